"""How figures look: presets, palette, fonts; colour never stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignaudit.errors import UsageError, did_you_mean

__all__ = [
    "GREY",
    "INK",
    "PRESETS",
    "RULE",
    "Preset",
    "Style",
    "arm_styles",
    "config",
    "control_styles",
    "preset",
]

_SANS = "Helvetica, Arial, Liberation Sans, sans-serif"
INK, GREY, RULE = "#1c2733", "#5b6672", "#d5dae0"


@dataclass(frozen=True, slots=True)
class Preset:
    """A size of paper or screen.

    Attributes
    ----------
    name
        What the command line calls it.
    width
        Outer width of a figure, in pixels (screen) or PostScript points (paper).
    font_size
        Of labels, same unit.
    row
        Height of one language's row where there are few, same unit.
    panels
        Panels side by side, at most.
    """

    name: str
    width: float
    font_size: float
    row: float
    panels: int

    def stroke(self, width: float) -> float:
        """Return a line width of the screen preset in this preset's proportion."""
        return round(width * self.font_size / 13.0, 3)

    def height(self, rows: int, lanes: int = 1) -> float:
        """Return the height of ``rows`` language rows, tighter when there are many."""
        row = self.row if rows <= 12 else max(self.row * 0.72, self.font_size + 2.5)
        return round(max(row, 3.4 * lanes + 4) * max(rows, 1), 2)


PRESETS: Mapping[str, Preset] = {
    "screen": Preset("screen", 820.0, 13.0, 26.0, 4),
    "acl-column": Preset("acl-column", 218.16, 8.0, 14.0, 2),
    "acl-wide": Preset("acl-wide", 453.5, 8.0, 14.0, 4),
}


def preset(name: str) -> Preset:
    """Return a preset by name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in PRESETS:
        raise UsageError(f'unknown figure preset "{name}".', hint=did_you_mean(name, PRESETS))
    return PRESETS[name]


@dataclass(frozen=True, slots=True)
class Style:
    """Colour, point shape and dash of one series; any two series differ in at least two of them."""

    colour: str
    shape: str
    dash: tuple[int, ...]


_BAR = "M-0.22,-1H0.22V1H-0.22Z"
_HEXAGON = "M-0.5,-0.87L0.5,-0.87L1,0L0.5,0.87L-0.5,0.87L-1,0Z"
_SALTIRE = "M-1,-0.7L-0.7,-1L0,-0.3L0.7,-1L1,-0.7L0.3,0L1,0.7L0.7,1L0,0.3L-0.7,1L-1,0.7L-0.3,0Z"
_BY_KIND = {
    "pretrained": Style("#1c2733", "diamond", (1, 2)),
    "none": Style("#767d86", "triangle-up", (2, 3)),
    "sequential": Style("#003F6B", "circle", (1, 0)),
    "interleaved": Style("#1B8A7A", "cross", (8, 2, 2, 2)),
    "concurrent": Style("#D55E00", "square", (6, 3)),
}
_SPARE = (
    Style("#8A4F9E", "triangle-left", (4, 1)),
    Style("#A67C00", _HEXAGON, (10, 3)),
    Style("#4E86C6", "wedge", (3, 1, 1, 1)),
    Style("#7A3E2B", "arrow", (2, 1)),
)
_CONTROLS = {
    "untrained": Style("#767d86", "triangle-down", (2, 2)),
    "shuffled_pairs": Style("#8b929b", _SALTIRE, (1, 3)),
    "chance": Style("#5b6672", _BAR, (1, 3)),
    "character_ngram": Style("#8A6D00", "triangle-right", (4, 2)),
}


def arm_styles(kinds: Mapping[str, str]) -> dict[str, Style]:
    """Return a style for ``pretrained`` and every arm; the first arm of a kind has the kind's own.

    Parameters
    ----------
    kinds
        Arm to kind of schedule, in the order shown.

    Examples
    --------
    >>> styles = arm_styles({"sequential": "sequential", "late": "sequential"})
    >>> styles["sequential"].colour, styles["late"].colour
    ('#003F6B', '#8A4F9E')
    """
    styles, taken, spare = {"pretrained": _BY_KIND["pretrained"]}, {"pretrained"}, 0
    for arm, kind in kinds.items():
        if kind in _BY_KIND and kind not in taken:
            styles[arm] = _BY_KIND[kind]
            taken.add(kind)
        else:
            styles[arm] = _SPARE[spare % len(_SPARE)]
            spare += 1
    return styles


def control_styles() -> dict[str, Style]:
    """Return the style of every control of the contract."""
    return dict(_CONTROLS)


def config(size: Preset, font: str = _SANS) -> dict[str, Any]:
    """Return the Vega-Lite configuration of a preset.

    Raises
    ------
    UsageError
        If the font stack does not end in a generic family: the renderer would then drop all text
        without saying so.
    """
    if font.split(",")[-1].strip() not in {"serif", "sans-serif", "monospace"}:
        raise UsageError(f'font stack "{font}" has no generic family.', hint='End it in "sans-serif".')
    text = {"labelFontSize": size.font_size, "titleFontSize": size.font_size, "labelColor": INK}
    thin = 0.5 if size.width < 600 else 1.0
    return {
        "font": font,
        "background": "white",
        "view": {"stroke": None},
        "axis": {
            **text,
            "titleColor": INK,
            "titleFontWeight": "normal",
            "titlePadding": 0.7 * size.font_size,
            "labelPadding": 0.4 * size.font_size,
            "labelLimit": (13 if size.width > 400 else 9) * size.font_size,
            "domainColor": RULE,
            "gridColor": "#e9ecef",
            "gridWidth": thin,
            "domainWidth": thin,
            "ticks": False,
            "labelOverlap": True,
        },
        "legend": {
            **text,
            "orient": "top",
            "direction": "horizontal",
            "titleFontWeight": "normal",
            "titleColor": GREY,
            "symbolStrokeWidth": 0,
            "symbolSize": 5 * size.font_size,
            "columnPadding": 1.2 * size.font_size,
            "labelLimit": 14 * size.font_size,
        },
        "title": {
            "fontSize": size.font_size,
            "fontWeight": "bold",
            "color": INK,
            "anchor": "start",
            "frame": "group",
            "offset": 0.5 * size.font_size,
        },
        "text": {"fontSize": size.font_size, "color": INK},
    }
