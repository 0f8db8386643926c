"""Forgetting: English development score of every intermediate task while the phase goes on."""

from __future__ import annotations

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    inline,
    legend,
    line_domain,
    missing_sentence,
    panels,
    scales,
    side_by_side,
    stacked,
)
from alignaudit.report.sentence import listing, number
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import Preset, arm_styles

__all__ = ["draw"]

_MOST_ROWS = 4500


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return one panel per intermediate task: runs as thin lines, arm means as thick ones.

    Raises
    ------
    DataError
        If no intermediate task was scored during the phase.
    """
    scores = source.table("scores")
    keep = (
        (scores["role"] == "intermediate") & (scores["split"] == "dev") & (scores["stage"] == "intermediate")
    )
    rows = scores[keep]
    if not rows["value"].notna().any():
        raise DataError("no intermediate task was scored during the phase.", where="figure forgetting")
    data, every = _frame(source, rows)
    drops = data[data["role"] == "run"].drop_duplicates("line").groupby("arm", sort=False)["fall"].mean()
    words = [f"{number(drop, 1)} ({arm})" for arm, drop in drops.items()]
    title = f"From a task's best score to the end of the phase, runs lose {listing(words)} points on average"
    metrics = listing(sorted({str(metric) for metric in rows["metric"]}))
    runs = data[data["role"] == "run"]
    gone = missing_sentence(int(runs["missing"].sum()), len(runs), "run × task × update scores")
    marks = " Breaks in a line and rings at its foot are missing scores." if runs["missing"].any() else ""
    thinned = f" Every {every}th update is drawn." if every > 1 else ""
    caption = (
        f"Score on the English development set ({metrics}) against optimizer updates of the intermediate "
        "phase, by task. Thin lines are runs, thick lines the mean over an arm's runs, whose orders differ; "
        "no interval is drawn. The title compares, in each run and task, the best score with the last. "
        f"{gone}{marks}{thinned}"
    )
    panel = listing(sorted(set(data["task"])))
    alternative = f"Line charts of English score over updates, panels {panel}. {title}."
    return Figure("forgetting", title, caption, alternative, data, _chart(source, data, size))


def _frame(source: ReportInput, rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    keys = ["task", "arm", "run", "update"]
    first = rows.groupby("task")["metric"].transform("min")
    kept = rows.loc[rows["metric"] == first].astype({"value": float})
    runs = kept.groupby(keys)["value"].mean().mul(100).reset_index()
    updates = sorted(runs["update"].unique())
    ends = runs.dropna(subset=["value"]).groupby(["task", "run"])["value"].agg(["max", "last"])
    falls = (ends["max"] - ends["last"]).rename("fall").reset_index()
    runs = runs.merge(falls, how="left", on=["task", "run"])
    every = max(1, -(-len(runs) // _MOST_ROWS))
    wanted = set(updates[::every]) | set(updates[-1:])
    runs = runs[runs["update"].isin(wanted)].assign(role="run")
    means = runs.groupby(["task", "arm", "update"])["value"].agg(["mean", "count"]).reset_index()
    means = means.rename(columns={"mean": "value", "count": "n_runs"}).assign(role="mean", run="")
    data = pd.concat([means, runs], ignore_index=True)
    data["missing"], data["line"] = data["value"].isna(), data["task"] + " " + data["arm"] + " " + data["run"]
    place = {arm: i for i, arm in enumerate(source.arms())}
    data = data.sort_values(
        ["task", "role", "arm", "run", "update"], key=lambda c: c.map(place) if c.name == "arm" else c
    )
    names = ["task", "role", "arm", "run", "line", "update", "value", "n_runs", "fall", "missing"]
    return data[names].round(6).reset_index(drop=True), every


def _chart(source: ReportInput, data: pd.DataFrame, size: Preset) -> alt.ConcatChart:
    every = arm_styles(source.kinds())
    styles = {arm: every[arm] for arm in source.arms() if arm in set(data["arm"])}
    scale, key = scales(styles), legend(size, list(styles))
    tasks = list(dict.fromkeys(data["task"]))
    domain = line_domain(data["value"], bounded=True)
    most = int(data["update"].max())
    color = alt.Color("arm:N", scale=scale["color"], legend=key)
    shape = alt.Shape("arm:N", scale=scale["shape"], legend=key)
    dash = alt.StrokeDash("arm:N", scale=scale["dash"], legend=None)
    charts, columns = [], panels(len(tasks), size)
    for place, task in enumerate(tasks):
        rows = data[data["task"] == task]
        runs, means = rows[rows["role"] == "run"], rows[rows["role"] == "mean"]
        x = alt.X(
            "update:Q",
            scale=alt.Scale(domain=[0, most], nice=False),
            axis=alt.Axis(title="updates", tickCount=4, grid=False, format="~s"),
        )
        y = alt.Y(
            "value:Q",
            scale=alt.Scale(domain=domain, nice=False, zero=False),
            axis=alt.Axis(title="English score, points" if place % columns == 0 else None, tickCount=5),
        )
        thin = alt.Chart(inline(runs)).mark_line(strokeWidth=size.stroke(0.8), opacity=0.4)
        thick = alt.Chart(inline(means)).mark_line(strokeWidth=size.stroke(2.4))
        last = means[~means["missing"]].groupby("arm", sort=False).tail(1)
        point = alt.Chart(inline(last)).mark_point(filled=True, opacity=1, size=5 * size.font_size)
        hint = [alt.Tooltip("arm:N"), alt.Tooltip("update:Q"), alt.Tooltip("value:Q", format=".1f")]
        marks = [
            thin.encode(x=x, y=y, color=color, detail="line:N"),
            thick.encode(x=x, y=y, color=color, strokeDash=dash),
            point.encode(x=x, y=y, color=color, shape=shape, tooltip=hint),
        ]
        foot = runs[runs["missing"]]
        height = 9 * size.font_size + 0.08 * size.width
        if len(foot):
            ring = alt.Chart(inline(foot)).mark_point(filled=False, size=2.5 * size.font_size)
            marks.append(ring.encode(x=x, y=alt.value(height - 4), color=color))
        charts.append(stacked(marks).properties(title=task, height=height, width=150))
    return side_by_side(charts, size)
