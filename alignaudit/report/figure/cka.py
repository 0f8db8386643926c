"""CKA to English by layer and language: before training and after, one panel each."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    CaptionedGrid,
    Figure,
    inline,
    language_axis,
    panels,
    peaks,
    run_grid,
    side_by_side,
    stacked,
)
from alignaudit.report.sentence import listing
from alignaudit.report.source import Primary, ReportInput
from alignaudit.report.theme import GREY, Preset

__all__ = ["draw"]


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return debiased linear CKA per layer and language, pretrained and after every arm.

    Raises
    ------
    DataError
        If CKA was not measured.
    """
    primary = _cka(source)
    data, grid = _frame(source, primary)
    if not data["value"].notna().any():
        raise DataError("debiased CKA was not measured.", where="figure cka")
    common = data[data["language"].isin(grid.common)]
    curves = common.groupby(["series", "layer"], sort=False)["value"].mean().reset_index().dropna()
    title = f"CKA to English peaks at {peaks(curves, 2)}"
    hollow = int(data["missing"].sum())
    rings = f" {hollow} of {len(data):,} cells have no value in any run: hollow rings." if hollow else ""
    if grid.common_sentence:
        rings += f" {grid.common_sentence}"
    caption = (
        f"Debiased linear CKA between English and each language, {primary.pooling} pooling, on a fixed scale "
        f"from 0 to 1 (values outside take the end colour); languages sorted by their pretrained mean. "
        f"Arms are means over runs after the {primary.stage} stage, no interval is drawn. "
        f"{grid.sentence}{rings}"
    )
    alternative = (
        f"Heat maps of CKA by layer for {data['language'].nunique()} languages, panels "
        f"{listing(list(dict.fromkeys(data['series'])))}. {title}, means over languages."
    )
    return Figure("cka", title, caption, alternative, data, _chart(data, size))


def _cka(source: ReportInput) -> Primary:
    frame = source.table("alignment")
    rows = frame[frame["metric"] == "cka_debiased"]
    primary = source.primary()
    either = set(rows["centred"].astype(bool)) or {True}
    centred = primary.centred if primary.centred in either else max(either)
    return replace(primary, metric="cka_debiased", centred=centred, factor=1.0, unit="CKA")


def _frame(source: ReportInput, primary: Primary) -> tuple[pd.DataFrame, CaptionedGrid]:
    before = source.alignment(primary, stages=["pretrained"], all_layers=True).assign(series="pretrained")
    grid = run_grid(source, primary, all_layers=True)
    rows = pd.concat([before, grid.frame.rename(columns={"arm": "series"})], ignore_index=True)
    mean = rows.groupby(["series", "language", "layer"])["value"].agg(["mean", "count"]).reset_index()
    mean = mean.rename(columns={"mean": "value", "count": "n_values"})
    mean["missing"] = mean["value"].isna()
    order = [name for name in ["pretrained", *source.arms()] if name in set(mean["series"])]
    level = mean[mean["series"] == order[0]] if order else mean
    rank = level.groupby("language")["value"].mean().sort_values(ascending=False, kind="stable").index
    codes = [*rank, *sorted(set(mean["language"]) - set(rank))]
    mean["label"] = mean["language"].map(dict(zip(codes, source.labels(codes), strict=True)))
    place = {"series": {s: i for i, s in enumerate(order)}, "language": {c: i for i, c in enumerate(codes)}}
    mean = mean.sort_values(
        ["series", "language", "layer"],
        key=lambda c: c.map(place.get(str(c.name), {})) if c.name in place else c,
    )
    names = ["series", "language", "label", "layer", "value", "n_values", "missing"]
    return mean[names].round(6).reset_index(drop=True), grid


def _chart(data: pd.DataFrame, size: Preset) -> alt.ConcatChart:
    order = list(dict.fromkeys(data["label"]))
    layers = sorted(int(layer) for layer in data["layer"].unique())
    height = size.height(len(order)) * 0.85
    charts = []
    shown = list(dict.fromkeys(data["series"]))
    columns = panels(len(shown), size)
    for place, series in enumerate(shown):
        rows = data[data["series"] == series]
        x = alt.X(
            "layer:O",
            scale=alt.Scale(domain=layers, paddingInner=0.04),
            axis=alt.Axis(title="layer", labelAngle=0, grid=False, domain=False),
        )
        y = language_axis(order, labelled=place % columns == 0, grid=False)
        color = alt.Color(
            "value:Q",
            scale=alt.Scale(domain=[0, 1], scheme="cividis", clamp=True),
            legend=alt.Legend(title="CKA to English", gradientLength=10 * size.font_size, tickCount=3),
        )
        cells = alt.Chart(inline(rows[~rows["missing"]])).mark_rect()
        hint = [
            alt.Tooltip("label:N", title="language"),
            alt.Tooltip("layer:O"),
            alt.Tooltip("value:Q", title="CKA", format=".3f"),
            alt.Tooltip("n_values:Q", title="runs"),
        ]
        ring = alt.Chart(inline(rows[rows["missing"]])).mark_point(
            filled=False, stroke=GREY, size=2 * size.font_size, strokeWidth=0.8
        )
        marks = [cells.encode(x=x, y=y, color=color, tooltip=hint)]
        if rows["missing"].any():
            marks.append(ring.encode(x=x, y=y))
        charts.append(stacked(marks).properties(title=series, height=height, width=120))
    return side_by_side(charts, size)
