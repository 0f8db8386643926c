"""The figures of a report in the order shown, and why any of them was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alignaudit.errors import DataError
from alignaudit.report.figure import cka, forest, forgetting, layers, noise, retention, spread, transfer
from alignaudit.report.figure.base import Figure
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import Preset

__all__ = ["FIGURES", "Gallery", "draw_all"]

FIGURES: Mapping[str, Callable[[ReportInput, Preset], Figure]] = {
    "forest": forest.draw,
    "seed-spread": spread.draw,
    "retention": retention.draw,
    "layers": layers.draw,
    "cka": cka.draw,
    "noise": noise.draw,
    "transfer": transfer.draw,
    "forgetting": forgetting.draw,
}


@dataclass(frozen=True, slots=True)
class Gallery:
    """The figures that could be drawn, and one sentence for each that could not."""

    figures: tuple[Figure, ...]
    omitted: tuple[str, ...]


def draw_all(source: ReportInput, size: Preset) -> Gallery:
    """Return every figure that its tables allow."""
    figures, omitted = [], []
    for name, draw in FIGURES.items():
        try:
            figures.append(draw(source, size))
        except DataError as reason:
            omitted.append(f"Figure {name} is not drawn: {reason.what}")
    return Gallery(tuple(figures), tuple(omitted))
