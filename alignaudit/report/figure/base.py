"""The figure object and the few marks that all figures share; specifications only encode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.sentence import listing, number
from alignaudit.report.source import Primary, ReportInput
from alignaudit.report.theme import GREY, Preset, Style, config

__all__ = [
    "CaptionedGrid",
    "Figure",
    "again",
    "common_languages",
    "finish",
    "inline",
    "language_axis",
    "legend",
    "line_domain",
    "missing_sentence",
    "no_data",
    "panels",
    "peaks",
    "run_grid",
    "scales",
    "side_by_side",
    "stacked",
]


Drawing: TypeAlias = alt.LayerChart | alt.ConcatChart


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it says, what it is drawn from, and the chart.

    Attributes
    ----------
    name
        Of its files.
    title
        What the reader should take away, with numbers.
    caption
        What is drawn, what every interval is, and how many cells have no data.
    alt
        The same for somebody who does not see it.
    data
        Every number in the plot, in long form and shown units; what the CSV holds.
    chart
        Altair chart without any transform.
    """

    name: str
    title: str
    caption: str
    alt: str
    data: pd.DataFrame
    chart: Drawing

    def spec(self) -> dict[str, Any]:
        """Return the Vega-Lite specification."""
        return dict(self.chart.to_dict())


def inline(frame: pd.DataFrame) -> alt.InlineData:
    """Return a frame as inline data: NaN and infinities become null, numbers become plain numbers."""
    columns = [[_plain(value) for value in frame[name]] for name in frame.columns]
    names = [str(name) for name in frame.columns]
    return alt.InlineData(values=[dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scales(styles: Mapping[str, Style]) -> dict[str, alt.Scale]:
    """Return the fixed scales ``color``, ``shape`` and ``dash`` over the labels of a figure."""
    domain = list(styles)
    return {
        "color": alt.Scale(domain=domain, range=[s.colour for s in styles.values()]),
        "shape": alt.Scale(domain=domain, range=[s.shape for s in styles.values()]),
        "dash": alt.Scale(domain=domain, range=[list(s.dash) for s in styles.values()]),
    }


def legend(size: Preset, labels: Sequence[str]) -> alt.Legend:
    """Return a legend above the plot that wraps where the words do not fit side by side."""
    room = size.width / (0.62 * size.font_size * (max(map(len, labels), default=1) + 5))
    return alt.Legend(title=None, columns=max(1, min(len(labels), int(room))), symbolOpacity=1)


def language_axis(order: Sequence[str], *, labelled: bool = True, grid: bool = True) -> alt.Y:
    """Return the axis of language names in a given order."""
    axis = alt.Axis(title=None, grid=grid, domain=False, labels=labelled)
    return alt.Y("label:N", title=None, sort=None, scale=alt.Scale(domain=list(order)), axis=axis)


def no_data(frame: pd.DataFrame, size: Preset, *, right: bool = False, **place: Any) -> list[alt.Chart]:
    """Return a hollow ring and the words ``no data`` (or the column ``gap``) at the edge, one per row."""
    if frame.empty:
        return []
    source, edge = inline(frame), 0.6 * size.font_size
    ring = alt.Chart(source).mark_point(
        shape="circle", filled=False, fill="white", stroke=GREY, size=3.5 * size.font_size, strokeWidth=1
    )
    words = alt.Chart(source).mark_text(
        align="right" if right else "left",
        dx=(-0.8 if right else 0.8) * size.font_size,
        color=GREY,
        fontSize=0.85 * size.font_size,
    )
    at = alt.value("width") if right else alt.value(edge)
    if "x" in place:
        return [ring.encode(**place, y=alt.value(edge))]
    return [
        ring.encode(**place, x=at),
        words.encode(
            **place,
            x=at,
            text=alt.Text("gap:N") if "gap" in frame else alt.value("no data"),
        ),
    ]


def finish(layers: Iterable[alt.Chart], size: Preset, height: float) -> alt.LayerChart:
    """Return layered marks as one chart of the preset's exact outer width."""
    return stacked(layers).properties(
        width=size.width,
        height=height,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        padding=2,
        config=config(size),
    )


def stacked(layers: Iterable[alt.Chart]) -> alt.LayerChart:
    """Return marks on top of each other."""
    return cast(alt.LayerChart, alt.layer(*layers))


def again(channel: alt.X | alt.Y, field: str) -> Any:
    """Return an axis again for another column, with the same scale and words."""
    copied = channel.copy()
    copied["shorthand"] = field
    return copied


def panels(count: int, size: Preset) -> int:
    """Return how many panels stand side by side, so that the rows are evenly filled."""
    return math.ceil(count / math.ceil(count / size.panels)) if count else 1


def side_by_side(charts: Sequence[alt.LayerChart], size: Preset) -> alt.ConcatChart:
    """Return panels in rows; the exporter fits their inner width to the preset."""
    columns = panels(len(charts), size)
    return alt.concat(*charts, columns=columns, spacing=1.2 * size.font_size).properties(
        config=config(size), padding=2, usermeta={"panel_columns": columns, "outer_width": size.width}
    )


def line_domain(values: pd.Series, *, bounded: bool) -> list[float]:
    """Return a tight domain for a score axis, inside 0–100 where the score is bounded."""
    finite = values[values.notna()]
    if finite.empty:
        return [0.0, 1.0]
    low, high = float(finite.min()), float(finite.max())
    room = max(0.08 * (high - low), 1e-3 if not bounded else 0.5)
    return [max(low - room, 0.0), min(high + room, 100.0)] if bounded else [low - room, high + room]


def missing_sentence(missing: int, total: int, cells: str) -> str:
    """Return how many cells have no data, for a caption.

    Examples
    --------
    >>> missing_sentence(2, 90, "run × language cells")
    '2 of 90 run × language cells have no data; means are over the others.'
    """
    if not missing:
        return f"All {total:,} {cells} have data."
    verb = "has" if missing == 1 else "have"
    return f"{missing:,} of {total:,} {cells} {verb} no data; means are over the others."


@dataclass(frozen=True, slots=True)
class CaptionedGrid:
    """Every planned run × language cell of a stage, what is missing, and which languages compare fairly."""

    frame: pd.DataFrame
    missing: int
    sentence: str
    common: tuple[str, ...]
    common_sentence: str


def run_grid(source: ReportInput, primary: Primary, *, all_layers: bool = False) -> CaptionedGrid:
    """Return the primary metric after the intermediate phase for every planned run and language.

    Returns
    -------
    CaptionedGrid
        ``run, arm, checkpoint, seed, language, layer, value`` with NaN in the cells without data.

    Raises
    ------
    DataError
        If the metric was not measured at all, neither before training nor after.
    """
    found = source.alignment(primary, stages=[primary.stage], all_layers=all_layers)
    runs = source.table("runs")
    idle = primary.stage == "intermediate"
    idle &= not found["run"].isin(runs.loc[runs["schedule"] == "none", "run"]).any()
    planned = runs[runs["schedule"] != "none"] if idle else runs
    planned = planned[["run", "arm", "checkpoint", "seed"]]
    extra = found.loc[~found["run"].isin(planned["run"]), ["run", "arm", "checkpoint", "seed"]]
    planned = pd.concat([planned, extra.drop_duplicates()], ignore_index=True)
    everything = source.alignment(primary, stages=["pretrained", primary.stage], all_layers=True)
    if not everything["value"].notna().any():
        raise DataError(f"{primary.metric.replace('_', ' ')} was not measured.", where="table alignment")
    languages = everything[["language"]].drop_duplicates().sort_values("language")
    layers = sorted(everything["layer"].unique()) if all_layers else [primary.layer]
    column = pd.DataFrame({"layer": pd.Series(layers, dtype="int64")})
    full = planned.merge(languages, how="cross").merge(column, how="cross")
    full = full.merge(found[["run", "language", "layer", "value"]], how="left")
    missing = int(full["value"].isna().sum())
    cells = "run × language × layer cells" if all_layers else "run × language cells"
    common, words = common_languages(full, "run")
    return CaptionedGrid(full, missing, missing_sentence(missing, len(full), cells), common, words)


def common_languages(frame: pd.DataFrame, unit: str) -> tuple[tuple[str, ...], str]:
    """Return the languages that every unit with any data has, and the sentence that says so.

    A mean over languages compares units only over the same languages: a run that lacks its hardest
    language would otherwise look better. Where no language is common, all are taken, and the sentence warns.
    """
    known = frame.assign(known=frame["value"].notna())
    alive = known.groupby(unit)["known"].transform("any")
    complete = known[alive].groupby("language")["known"].all()
    every = tuple(sorted(frame["language"].unique()))
    common = tuple(str(code) for code in complete.index[complete])
    if not common:
        return every, f"No language has data in every {unit}; means are over different languages."
    if len(common) == len(every):
        return common, ""
    return common, f"Means over languages take the {len(common)} of {len(every)} that every {unit} has."


def peaks(frame: pd.DataFrame, digits: int) -> str:
    """Return at which layer each series is highest, in words; frame: series, layer, value."""
    best = frame.loc[frame.groupby("series", sort=False)["value"].idxmax()]
    shown = [(str(s), int(x), number(v, digits)) for s, x, v in best[["series", "layer", "value"]].to_numpy()]
    if len({layer for _, layer, _ in shown}) == 1:
        return f"layer {shown[0][1]} throughout: {listing([f'{s} {v}' for s, _, v in shown])}"
    return listing([f"layer {layer} ({s}, {v})" for s, layer, v in shown])
