"""Seed spread: every run as a point, arms side by side, pairs joined."""

from __future__ import annotations

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    finish,
    inline,
    line_domain,
    no_data,
    run_grid,
    scales,
)
from alignaudit.report.sentence import listing, number
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import GREY, INK, Preset, arm_styles

__all__ = ["draw"]


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return the mean over languages of the primary metric, one point per run.

    Raises
    ------
    DataError
        If no run has been measured after its intermediate phase.
    """
    primary = source.primary()
    grid = run_grid(source, primary)
    if grid.frame["value"].notna().sum() == 0:
        raise DataError("no run was measured after its intermediate phase.", where="figure spread")
    data = _frame(source, grid.frame[grid.frame["language"].isin(grid.common)])
    runs = data[data["role"] == "run"]
    gone = int(runs["missing"].sum())
    sds = data[data["role"] == "mean"]
    digits = 2 if primary.factor > 1 else 4
    words = [f"{number(sd, digits)} ({arm})" for arm, sd in zip(sds["arm"], sds["sd"], strict=True)]
    title = f"Between-run standard deviation: {listing(words)} {primary.unit}"
    lost = f"{gone} of {len(runs)} runs {'has' if gone == 1 else 'have'} no data (ring at the top)."
    sentences = [
        f"Each point is one training run: the mean over its languages of {primary.words}, both directions, "
        f"after the {primary.stage} stage. Grey lines join runs of one checkpoint and seed. Black bars are "
        "arm means, no interval is drawn. Standard deviations are those of R2: about the mean of the runs "
        "from the same checkpoint.",
        grid.sentence,
        grid.common_sentence,
        lost if gone else "",
    ]
    caption = " ".join(sentence for sentence in sentences if sentence)
    parts = [
        f"{arm}: mean {number(mean, digits)}, standard deviation {number(sd, digits)}, {n} runs"
        for arm, mean, sd, n in zip(sds["arm"], sds["value"], sds["sd"], sds["n_runs"], strict=True)
    ]
    alternative = f"Points per training run, by arm, in {primary.unit}. {'; '.join(parts)}."
    chart = _chart(source, data, size, primary.unit, bounded=primary.factor > 1)
    return Figure("seed-spread", title, caption, alternative, data, chart)


def _frame(source: ReportInput, grid: pd.DataFrame) -> pd.DataFrame:
    keys = ["run", "arm", "checkpoint", "seed"]
    runs = grid.groupby(keys, sort=True)["value"].agg(["mean", "count"]).reset_index()
    runs = runs.rename(columns={"mean": "value", "count": "n_languages"})
    runs["role"], runs["missing"] = "run", runs["value"].isna()
    runs["pair"] = runs["checkpoint"] + " seed " + runs["seed"].astype(str)
    means = runs.groupby("arm")["value"].agg(["mean", "count"]).reset_index()
    means = means.rename(columns={"mean": "value", "count": "n_runs"})
    means["sd"] = means["arm"].map(_within_checkpoints(runs))
    means["role"], means["missing"] = "mean", False
    place = {arm: i for i, arm in enumerate(source.arms())}
    both = pd.concat([runs, means], ignore_index=True)
    both = both.sort_values(["role", "arm", "run"], key=lambda c: c.map(place) if c.name == "arm" else c)
    names = ["role", "arm", "run", "pair", "value", "n_languages", "sd", "n_runs", "missing"]
    return both[names].astype({"run": object, "pair": object}).fillna({"run": "", "pair": ""}).round(6)


def _within_checkpoints(runs: pd.DataFrame) -> pd.Series:
    """Return the standard deviation of each arm about the means of its checkpoints, as R2 takes it."""
    present = runs.dropna(subset="value")
    centred = present["value"] - present.groupby(["arm", "checkpoint"])["value"].transform("mean")
    squares = (centred**2).groupby(present["arm"]).sum()
    by_arm = present.groupby("arm")["checkpoint"]
    freedom = by_arm.size() - by_arm.nunique()
    return (squares / freedom.where(freedom > 0)) ** 0.5


def _chart(
    source: ReportInput, data: pd.DataFrame, size: Preset, unit: str, *, bounded: bool
) -> alt.LayerChart:
    arms = [arm for arm in source.arms() if arm in set(data["arm"])]
    every = arm_styles(source.kinds())
    scale = scales({arm: every[arm] for arm in arms})
    x = alt.X(
        "arm:N",
        sort=None,
        scale=alt.Scale(domain=arms),
        axis=alt.Axis(title=None, labelAngle=0, domain=False, labelFontWeight="bold"),
    )
    domain = line_domain(data["value"], bounded=bounded)
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(title=f"mean over languages, {unit}", tickCount=6),
    )
    runs, means = data[data["role"] == "run"], data[data["role"] == "mean"]
    shown = runs[~runs["missing"]]
    hint = [alt.Tooltip("run:N"), alt.Tooltip("value:Q", format=".2f"), alt.Tooltip("n_languages:Q")]
    pairs = alt.Chart(inline(shown)).mark_line(color=GREY, strokeWidth=size.stroke(0.8), opacity=0.45)
    points = alt.Chart(inline(shown)).mark_point(filled=True, opacity=0.9, size=5 * size.font_size)
    bars = alt.Chart(inline(means)).mark_tick(
        orient="horizontal", color=INK, thickness=size.stroke(2.2), size=5 * size.font_size
    )
    layers = [
        pairs.encode(x=x, y=y, detail="pair:N"),
        bars.encode(x=x, y=y),
        points.encode(
            x=x,
            y=y,
            color=alt.Color("arm:N", scale=scale["color"], legend=None),
            shape=alt.Shape("arm:N", scale=scale["shape"], legend=None),
            tooltip=hint,
        ),
        *no_data(runs[runs["missing"]], size, x=x),
    ]
    return finish(layers, size, 14 * size.font_size + 0.18 * size.width)
