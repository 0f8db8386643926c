"""Zero-shot transfer: test score of every target task, per language and arm."""

from __future__ import annotations

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    common_languages,
    inline,
    language_axis,
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

_ENGLISH = ("eng", "en")


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return the mean over runs per target task, language and arm, with the range over runs.

    Raises
    ------
    DataError
        If no target task was scored.
    """
    scores = source.table("scores")
    rows = scores[(scores["role"] == "target") & (scores["split"] == "test")]
    if not rows["value"].notna().any():
        raise DataError("no target task was scored on its test sets.", where="figure transfer")
    data, missing, total = _frame(source, rows)
    abroad = data[~data["language"].isin(_ENGLISH)]
    cells = abroad.assign(language=abroad["task"] + " " + abroad["language"])
    common, _ = common_languages(cells, "arm")
    fair = cells[cells["language"].isin(common)]
    means = fair.groupby("arm", sort=False)["value"].mean().dropna()
    words = [f"{number(value, 1)} ({arm})" for arm, value in means.items()]
    metrics = sorted(set(data["metric"]))
    title = f"Zero-shot transfer over languages: {listing(words)} points"
    hollow = int(data["missing"].sum())
    gone = missing_sentence(missing, total, "run × task × language scores")
    verb = " has" if hollow == 1 else "s have"
    lost = f" {hollow} mark{verb} no data at all, drawn as a ring at the left." if hollow else ""
    caption = (
        f"Test score ({listing(metrics)}) of each target task, trained in English only, languages sorted by "
        "mean score, English where it was scored. Marks are means over runs, lines run from the lowest to "
        f"the highest run and are not intervals. {gone}{lost} The title's means take the {len(common)} of "
        f"{cells['language'].nunique()} task × language cells that every arm has."
    )
    alternative = (
        f"Dot plots of test score for {data['language'].nunique()} languages, panels "
        f"{listing(list(dict.fromkeys(data['task'])))}. {title}, English not counted."
    )
    return Figure("transfer", title, caption, alternative, data, _chart(source, data, size))


def _frame(source: ReportInput, rows: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    first = rows.groupby("task")["metric"].transform("min")
    kept = rows.loc[rows["metric"] == first].astype({"value": float})
    last = kept.groupby(["run", "task"])["update"].transform("max")
    kept = kept.loc[kept["update"] == last, ["run", "arm", "task", "language", "metric", "value"]]
    runs = pd.concat([source.table("runs")[["run", "arm"]], kept[["run", "arm"]]]).drop_duplicates()
    cells = runs.merge(kept[["task", "metric", "language"]].drop_duplicates(), how="cross")
    full = cells.merge(kept, how="left", on=["run", "arm", "task", "metric", "language"])
    missing, total = int(full["value"].isna().sum()), len(full)
    full["value"] *= 100
    keys = ["task", "metric", "language", "arm"]
    data = full.groupby(keys)["value"].agg(["mean", "min", "max", "count"]).reset_index()
    data.columns = pd.Index([*keys, "value", "lowest", "highest", "n_runs"])
    data["missing"] = data["value"].isna()
    rank = data.groupby("language")["value"].mean().sort_values(ascending=False, kind="stable").index
    codes = [*[c for c in rank if c in _ENGLISH], *[c for c in rank if c not in _ENGLISH]]
    data["label"] = data["language"].map(dict(zip(codes, source.labels(codes), strict=True)))
    place = {
        "arm": {arm: i for i, arm in enumerate(source.arms())},
        "language": {code: i for i, code in enumerate(codes)},
    }
    data = data.sort_values(
        ["task", "language", "arm"], key=lambda c: c.map(place[str(c.name)]) if c.name in place else c
    )
    names = ["task", "metric", "language", "label", "arm", "value", "lowest", "highest", "n_runs", "missing"]
    return data[names].round(6).reset_index(drop=True), missing, total


def _chart(source: ReportInput, data: pd.DataFrame, size: Preset) -> alt.ConcatChart:
    every = arm_styles(source.kinds())
    styles = {arm: every[arm] for arm in source.arms() if arm in set(data["arm"])}
    scale, key = scales(styles), legend(size, list(styles))
    order = list(dict.fromkeys(data.sort_values("language", kind="stable")["label"]))
    best = data.groupby("label")["value"].mean()
    english = [source.label(code) for code in _ENGLISH]
    order.sort(key=lambda name: (name not in english, -best.fillna(-1.0)[name]))
    domain = line_domain(pd.concat([data["lowest"], data["highest"]]), bounded=True)
    tasks, lanes = list(dict.fromkeys(data["task"])), list(styles)
    columns = panels(len(tasks), size)
    color = alt.Color("arm:N", scale=scale["color"], legend=key)
    shape = alt.Shape("arm:N", scale=scale["shape"], legend=key)
    lane = alt.YOffset("arm:N", sort=None, scale=alt.Scale(domain=lanes, paddingOuter=0.5))
    charts = []
    for place, task in enumerate(tasks):
        rows = data[data["task"] == task]
        y = language_axis(order, labelled=place % columns == 0)
        axis = alt.Axis(title=f"{rows['metric'].iloc[0]}, points", tickCount=4)
        low, mid = (
            alt.X(f"{name}:Q", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=axis)
            for name in ("lowest", "value")
        )
        shown = inline(rows[~rows["missing"]])
        rule = alt.Chart(shown).mark_rule(strokeWidth=size.stroke(1.2), opacity=0.55)
        point = alt.Chart(shown).mark_point(
            filled=True, opacity=1, size=(3 if len(order) > 12 else 4.2) * size.font_size
        )
        hint = [
            alt.Tooltip("label:N", title="language"),
            alt.Tooltip("arm:N"),
            alt.Tooltip("value:Q", format=".1f"),
            alt.Tooltip("n_runs:Q", title="runs"),
        ]
        marks = [
            rule.encode(x=low, x2="highest:Q", y=y, yOffset=lane, color=color),
            point.encode(x=mid, y=y, yOffset=lane, color=color, shape=shape, tooltip=hint),
        ]
        empty = rows[rows["missing"]]
        if len(empty):
            ring = alt.Chart(inline(empty)).mark_point(filled=False, size=2.5 * size.font_size)
            marks.append(ring.encode(x=alt.value(4), y=y, yOffset=lane, color=color))
        height = size.height(len(order), len(lanes))
        charts.append(stacked(marks).properties(title=task, height=height, width=150))
    return side_by_side(charts, size)
