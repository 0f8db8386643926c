"""A figure as SVG, PDF and PNG: exact width, text checked, same bytes for the same figure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import vl_convert

from alignaudit.errors import SetupError, UsageError, did_you_mean
from alignaudit.report.figure.base import Figure

__all__ = ["FORMATS", "VEGA_LITE", "fitted", "render", "static_svg"]

VEGA_LITE = "6.4"
FORMATS = ("svg", "pdf", "png")
_PPI = 300
_SIZE = re.compile(r'<svg\b[^>]*?\swidth="([\d.]+)"')
_PAGE = re.compile(r'(<svg\b[^>]*?\swidth=")[\d.]+("[^>]*?\sviewBox="0 0 )[\d.]+( )')
_PARTS = re.compile(r"(<svg\b)([^>]*)(>)")


def fitted(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a specification whose panels make up the declared outer width.

    Parameters
    ----------
    spec
        Charts without panels pass unchanged: they fit themselves.

    Returns
    -------
    dict
        A new specification; panel widths come from at most six secant steps on the rendered width,
        because Vega-Lite's own fitting ignores concatenated charts. It rounds their width up to a
        whole number; the fraction that is left is added by :func:`static_svg`.
    """
    meta = spec.get("usermeta") or {}
    if "panel_columns" not in meta:
        return dict(spec)
    columns, target = int(meta["panel_columns"]), float(meta["outer_width"])
    width = max(target / columns - 0.25 * target / columns, 20.0)
    result = _with_width(spec, width)
    for _ in range(6):
        off = target - _outer_width(vl_convert.vegalite_to_svg(result, vl_version=VEGA_LITE))
        if 0 <= off < 1:
            break
        width = max(width + (off - 0.5) / columns, 12.0)
        result = _with_width(spec, width)
    return result


def static_svg(figure: Figure, spec: Mapping[str, Any], *, prefix: str = "") -> str:
    """Return a figure as accessible SVG text: role, title, description, identifiers of its own.

    Parameters
    ----------
    figure
        Gives title and alternative text.
    spec
        Its specification after :func:`fitted`.
    prefix
        Put before every identifier, so that several drawings can stand in one page.

    Raises
    ------
    SetupError
        If the renderer dropped all text.
    """
    drawn = vl_convert.vegalite_to_svg(dict(spec), vl_version=VEGA_LITE)
    if "<text" not in drawn:
        raise SetupError(
            "the renderer dropped all text.", where=f"figure {figure.name}", hint="Check the fonts."
        )
    drawn = _exact_width(drawn, spec)
    drawn = _own_identifiers(drawn, prefix or f"{figure.name}-")
    label = f"{prefix or figure.name + '-'}title"
    words = f'<title id="{label}">{html.escape(figure.title)}</title><desc>{html.escape(figure.alt)}</desc>'
    return _PARTS.sub(
        lambda m: f'{m[1]}{m[2]} role="img" aria-labelledby="{label}"{m[3]}{words}', drawn, count=1
    )


def render(drawing: str, kind: str) -> bytes:
    """Return the bytes of one file.

    Parameters
    ----------
    drawing
        Of :func:`static_svg`.
    kind
        ``svg``, ``pdf`` (fonts embedded, one preset unit = 1 pt) or ``png`` (300 pixels per inch).

    Raises
    ------
    UsageError
        If the format is unknown.
    SetupError
        If a PDF holds no font.
    """
    if kind == "svg":
        return drawing.encode()
    if kind == "png":
        return bytes(vl_convert.svg_to_png(drawing, ppi=_PPI))
    if kind == "pdf":
        sheet = bytes(vl_convert.svg_to_pdf(drawing))
        if b"/Font" not in sheet and b"/ObjStm" not in sheet:
            raise SetupError("a PDF holds no font.", where="figures", hint="Check the fonts.")
        return sheet
    raise UsageError(f'unknown figure format "{kind}".', hint=did_you_mean(kind, FORMATS))


def _with_width(spec: Mapping[str, Any], width: float) -> dict[str, Any]:
    return {**spec, "concat": [{**panel, "width": round(width, 3)} for panel in spec["concat"]]}


def _outer_width(svg: str) -> float:
    found = _SIZE.search(svg)
    return float(found[1]) if found else 0.0


def _exact_width(svg: str, spec: Mapping[str, Any]) -> str:
    """Return the drawing with the declared outer width on its page."""
    target = (spec.get("usermeta") or {}).get("outer_width")
    if target is None:
        return svg
    return _PAGE.sub(lambda found: f"{found[1]}{target:g}{found[2]}{target:g}{found[3]}", svg, count=1)


def _own_identifiers(svg: str, prefix: str) -> str:
    """Return the drawing with identifiers counted from 0 and prefixed, and references to follow."""
    names = dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg))
    for place, name in enumerate(names):
        kind = re.sub(r"\d+$", "", name).strip("_-") or "part"
        new = f"{prefix}{kind}-{place}"
        svg = svg.replace(f'id="{name}"', f'id="{new}"').replace(f"url(#{name})", f"url(#{new})")
        svg = svg.replace(f'href="#{name}"', f'href="#{new}"')
    return svg
