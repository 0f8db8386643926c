"""Noise: how retrieval falls as foreign sentences are perturbed, one panel per perturbation."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    again,
    common_languages,
    inline,
    legend,
    line_domain,
    missing_sentence,
    panels,
    run_grid,
    scales,
    side_by_side,
    stacked,
)
from alignaudit.report.sentence import listing, number
from alignaudit.report.source import Primary, ReportInput
from alignaudit.report.theme import Preset, arm_styles

__all__ = ["draw"]

KEY = ["perturbation", "arm", "run", "language", "severity"]


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return accuracy by realised character error rate, mean over languages, with the range over runs.

    Raises
    ------
    DataError
        If no perturbed text was measured at the primary cell.
    """
    primary = replace(source.primary(), metric="accuracy", factor=100.0, unit="points")
    rows, unreached = _rows(source, primary)
    if rows.empty or not rows["value"].notna().any():
        raise DataError("no perturbed text was measured at the primary layer.", where="figure noise")
    common, fairly = common_languages(rows, "run")
    missing = missing_sentence(int(rows["value"].isna().sum()), len(rows), "run × language × severity cells")
    data = _means(source, rows[rows["language"].isin(common)])
    title = _title(data, source.arms())
    caption = (
        f"{'Centred r' if primary.centred else 'R'}etrieval accuracy at layer {primary.layer}, "
        f"{primary.pooling} pooling, mean of both directions and over languages, then over runs, after the "
        f"{primary.stage} stage; foreign sentences are perturbed, the English side is clean, and all runs "
        f"see the same text. Error rates are the realised ones. Shaded: lowest to highest run, not an "
        f"interval. {missing} {fairly} {_left_out(unreached)}"
    )
    names = list(dict.fromkeys(data["perturbation"].str.replace("_", " ")))
    alternative = f"Line chart of accuracy by character error rate for {listing(names)}. {title}."
    return Figure("noise", title, " ".join(caption.split()), alternative, data, _chart(source, data, size))


def _rows(source: ReportInput, primary: Primary) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return a row per cell of perturbation, run, language and severity, and what was left as it was."""
    frame = source.table("perturbed")
    keep = (
        (frame["metric"] == "accuracy")
        & (frame["layer"] == primary.layer)
        & (frame["pooling"] == primary.pooling)
        & (frame["centred"].astype(bool) == primary.centred)
        & frame["stage"].isin(["pretrained", primary.stage])
    )
    frame = frame[keep]
    reached = frame[frame["reach_note"] == ""].groupby("perturbation")["language"].agg(set).to_dict()
    unreached = {
        str(name): sorted(set(part["language"]) - reached.get(name, set()))
        for name, part in frame.groupby("perturbation")
    }
    clean = source.alignment(primary, stages=["pretrained", primary.stage])
    runs = pd.concat([frame[["arm", "run"]], run_grid(source, primary).frame[["arm", "run"]]])
    runs = runs.drop_duplicates()
    parts = []
    for name, languages in ((str(key), codes) for key, codes in reached.items()):
        noisy = frame[(frame["perturbation"] == name) & frame["language"].isin(languages)]
        grouped = noisy.groupby(KEY)["value"]
        value = (grouped.mean().where(grouped.count() == 2) * primary.factor).reset_index()
        own = clean.assign(perturbation=name, severity=0.0)[[*KEY, "value"]]
        rates = noisy.groupby(["language", "severity"])["character_error_rate"].mean().rename("rate")
        levels = pd.DataFrame({"severity": [0.0, *sorted(set(noisy["severity"]))]})
        planned = runs.assign(perturbation=name).merge(pd.DataFrame({"language": sorted(languages)}), "cross")
        whole = planned.merge(levels, "cross").merge(pd.concat([own, value], ignore_index=True), "left")
        parts.append(whole.merge(rates.reset_index(), "left").fillna({"rate": 0.0}))
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()), unreached


def _means(source: ReportInput, rows: pd.DataFrame) -> pd.DataFrame:
    per_run = rows.groupby(["perturbation", "arm", "run", "severity"])[["value", "rate"]].mean().reset_index()
    data = per_run.groupby(["perturbation", "arm", "severity"]).agg(
        character_error_rate=("rate", "mean"),
        value=("value", "mean"),
        lowest=("value", "min"),
        highest=("value", "max"),
        n_runs=("value", "count"),
    )
    data = data.reset_index().rename(columns={"arm": "series"})
    data["character_error_rate"] *= 100
    place = {name: i for i, name in enumerate(["pretrained", *source.arms()])}
    data["missing"] = data["value"].isna()
    order = ["perturbation", "series", "severity"]
    data = data.sort_values(order, key=lambda c: c.map(place) if c.name == "series" else c)
    return data.round(6).reset_index(drop=True)


def _title(data: pd.DataFrame, arms: list[str]) -> str:
    """Return where the arms stand on clean text and at the highest rate of the first perturbation."""
    first = str(data["perturbation"].iloc[0])
    rows = data[data["perturbation"] == first]
    shown = [arm for arm in arms if arm in set(rows["series"])] or ["pretrained"]
    falls = []
    for arm in shown:
        own = rows[rows["series"] == arm].sort_values("character_error_rate")["value"]
        falls.append(f"{number(own.iloc[0], 1)} to {number(own.iloc[-1], 1)} ({arm})")
    rate = number(rows["character_error_rate"].max(), 1)
    name = first.replace("_", " ")
    return f"With {name}, {rate} edits per 100 characters, accuracy goes from {listing(falls)} points"


def _left_out(unreached: dict[str, list[str]]) -> str:
    return " ".join(
        f"{name.replace('_', ' ').capitalize()} leaves {listing(codes)} as they were: not in the means."
        for name, codes in unreached.items()
        if codes
    )


def _chart(source: ReportInput, data: pd.DataFrame, size: Preset) -> alt.ConcatChart:
    every = arm_styles(source.kinds())
    styles = {name: every[name] for name in every if name in set(data["series"])}
    scale, key = scales(styles), legend(size, list(styles))
    domain = line_domain(pd.concat([data["lowest"], data["highest"]]), bounded=True)
    names = list(dict.fromkeys(data["perturbation"]))
    columns = panels(len(names), size)
    height = (16 * size.font_size + 0.16 * size.width) / columns**0.5
    charts = []
    for place, name in enumerate(names):
        rows = data[data["perturbation"] == name]
        x = alt.X(
            "character_error_rate:Q",
            scale=alt.Scale(nice=False, padding=6),
            axis=alt.Axis(title="edits per 100 characters", tickCount=5),
        )
        y = alt.Y(
            "value:Q",
            scale=alt.Scale(domain=domain, nice=False, zero=False),
            axis=alt.Axis(title="accuracy, points" if place % columns == 0 else None, tickCount=6),
        )
        color = alt.Color("series:N", scale=scale["color"], legend=key)
        dash = alt.StrokeDash("series:N", scale=scale["dash"], legend=None)
        shape = alt.Shape("series:N", scale=scale["shape"], legend=key)
        hint = [
            alt.Tooltip("series:N"),
            alt.Tooltip("severity:Q", format=".2f"),
            alt.Tooltip("character_error_rate:Q", title="edits per 100 characters", format=".1f"),
            alt.Tooltip("value:Q", title="accuracy", format=".2f"),
            alt.Tooltip("n_runs:Q", title="runs"),
        ]
        drawn = inline(rows)
        marks = [
            alt.Chart(drawn)
            .mark_area(opacity=0.1)
            .encode(x=x, y=again(y, "lowest:Q"), y2="highest:Q", color=color),
            alt.Chart(drawn)
            .mark_line(strokeWidth=size.stroke(2))
            .encode(x=x, y=y, color=color, strokeDash=dash),
            alt.Chart(inline(rows[~rows["missing"]]))
            .mark_point(filled=True, opacity=1, size=4 * size.font_size)
            .encode(x=x, y=y, color=color, shape=shape, tooltip=hint),
        ]
        charts.append(stacked(marks).properties(title=name.replace("_", " "), height=height, width=160))
    return side_by_side(charts, size)
