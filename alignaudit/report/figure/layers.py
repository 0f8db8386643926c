"""Alignment by layer: one curve per arm, before and after, with the untrained encoder."""

from __future__ import annotations

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    again,
    finish,
    inline,
    legend,
    line_domain,
    peaks,
    run_grid,
    scales,
)
from alignaudit.report.source import Primary, ReportInput
from alignaudit.report.theme import GREY, Preset, arm_styles, control_styles

__all__ = ["draw"]


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return the primary metric by layer, mean over languages, with the range over runs.

    Raises
    ------
    DataError
        If fewer than two layers were measured.
    """
    primary = source.primary()
    data, sentence = _frame(source, primary)
    if data.loc[data["value"].notna(), "layer"].nunique() < 2:
        raise DataError("fewer than two layers were measured.", where="figure layers")
    digits = 1 if primary.factor > 1 else 3
    name = primary.metric.replace("_", " ").capitalize()
    top = data[data["series"] != "untrained"].dropna(subset=["value"])
    title = f"{name} is highest at {peaks(top, digits)} {primary.unit}"
    caption = (
        f"{'Centred ' if primary.centred else ''}{primary.metric.replace('_', ' ')} by layer, "
        f"{primary.pooling} pooling, mean of both directions and over languages, then over runs, after the "
        f"{primary.stage} stage. Shaded: lowest to highest run, not an interval. The vertical line is the "
        f"primary layer {primary.layer}. {sentence}"
    )
    alternative = f"Line chart of {primary.metric} by layer, one line per arm. {title}."
    return Figure("layers", title, caption, alternative, data, _chart(source, data, size, primary))


def _frame(source: ReportInput, primary: Primary) -> tuple[pd.DataFrame, str]:
    before = source.alignment(primary, stages=["pretrained"], all_layers=True).assign(arm="pretrained")
    grid = run_grid(source, primary, all_layers=True)
    control = source.control(primary, all_layers=True)
    control = control[control["control"] == "untrained"].rename(columns={"control": "arm"})
    parts = [before, grid.frame, control.assign(run="untrained")]
    rows = pd.concat(
        [part[["arm", "run", "language", "layer", "value"]] for part in parts], ignore_index=True
    )
    rows = rows[rows["language"].isin(grid.common)]
    per_run = rows.groupby(["arm", "run", "layer"])["value"].mean().reset_index()
    data = per_run.groupby(["arm", "layer"])["value"].agg(["mean", "min", "max", "count"]).reset_index()
    data.columns = pd.Index(["series", "layer", "value", "lowest", "highest", "n_runs"])
    place = {name: i for i, name in enumerate(["pretrained", *source.arms(), "untrained"])}
    data["missing"] = data["value"].isna()
    data["layer"] = data["layer"].astype(int)
    data = data.sort_values(["series", "layer"], key=lambda c: c.map(place) if c.name == "series" else c)
    return data.round(6).reset_index(drop=True), f"{grid.sentence} {grid.common_sentence}".strip()


def _chart(source: ReportInput, data: pd.DataFrame, size: Preset, primary: Primary) -> alt.LayerChart:
    every = {**arm_styles(source.kinds()), "untrained": control_styles()["untrained"]}
    styles = {name: every[name] for name in dict.fromkeys(data["series"])}
    scale, key = scales(styles), legend(size, list(styles))
    x = alt.X(
        "layer:Q",
        scale=alt.Scale(nice=False, padding=6),
        axis=alt.Axis(
            title="layer (0 = embeddings)", values=sorted(data["layer"].unique().tolist()), format="d"
        ),
    )
    domain = line_domain(pd.concat([data["lowest"], data["highest"]]), bounded=primary.factor > 1)
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(title=f"{primary.metric.replace('_', ' ')}, {primary.unit}", tickCount=6),
    )
    low = again(y, "lowest:Q")
    color = alt.Color("series:N", scale=scale["color"], legend=key)
    drawn = inline(data)
    declared = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=GREY, strokeDash=[3, 3])
    band = alt.Chart(drawn).mark_area(opacity=0.1)
    line = alt.Chart(drawn).mark_line(strokeWidth=size.stroke(2))
    dash = alt.StrokeDash("series:N", scale=scale["dash"], legend=None)
    mark = alt.Chart(inline(data[~data["missing"]])).mark_point(
        filled=True, opacity=1, size=4 * size.font_size
    )
    shape = alt.Shape("series:N", scale=scale["shape"], legend=key)
    hint = [
        alt.Tooltip("series:N"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("value:Q", format=".2f"),
        alt.Tooltip("n_runs:Q", title="runs"),
    ]
    marks = [
        declared.encode(x=alt.datum(primary.layer)),
        band.encode(x=x, y=low, y2="highest:Q", color=color),
        line.encode(x=x, y=y, color=color, strokeDash=dash),
        mark.encode(x=x, y=y, color=color, shape=shape, tooltip=hint),
    ]
    return finish(marks, size, 16 * size.font_size + 0.16 * size.width)
