"""Forest: the effect of the schedule in each language, with the band of negligible effects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    again,
    finish,
    inline,
    language_axis,
    legend,
    no_data,
    scales,
)
from alignaudit.report.sentence import Effect, effect, number
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import GREY, INK, Preset, Style, arm_styles

__all__ = ["draw"]

_OVERALL, _EITHER = "All languages", "interval includes 0"


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return the forest of the first estimand that has language effects.

    Raises
    ------
    DataError
        If the comparison holds no language effect.
    """
    overall, effects = _chosen(source)
    left, right = overall.contrast.split("_minus_") if "_minus_" in overall.contrast else ("", "")
    data = _frame(source, overall, effects, (left, right))
    drawn = data[data["role"] == "language"]
    missing, known = int(drawn["missing"].sum()), int((~drawn["missing"]).sum())
    higher = int((drawn["estimate"] > 0).sum())
    title = (
        f"{left.capitalize() or 'The contrast'} is higher in {higher} of {known} languages; "
        f"overall {overall.measured} {overall.interval}"
    )
    outside = int(((drawn["conf_low"] > 0) | (drawn["conf_high"] < 0)).sum())
    band = (
        f" The shaded band is ±{number(overall.bound, 2)} {overall.unit}, the smallest effect of interest."
        if math.isfinite(overall.bound)
        else ""
    )
    verb = "has" if missing == 1 else "have"
    gone = f" {missing} of {len(drawn)} languages {verb} no data." if missing else " No language is missing."
    caption = (
        f"{overall.title}: {overall.direction} in {overall.unit}, languages sorted by effect. "
        f"Points are estimates, lines {effects[0].level} intervals per language, not adjusted for the "
        f"number of languages; {outside} of {known} exclude 0. The diamond is the overall estimate: "
        f"{overall.facts}{band}{gone}"
    )
    ranked = drawn.dropna(subset=["estimate"])
    extremes = [
        f"{label} {number(value, overall.digits)}"
        for label, value in zip(ranked["label"], ranked["estimate"], strict=True)
    ]
    ends = f" Largest {extremes[0]}, smallest {extremes[-1]} {overall.unit}." if extremes else ""
    alternative = f"Forest plot of {overall.direction} per language. {title}.{ends}{gone}"
    return Figure(
        "forest", title, caption, alternative, data, _chart(source, data, overall, size, (left, right))
    )


def _chosen(source: ReportInput) -> tuple[Effect, list[Effect]]:
    entries: list[Mapping[str, Any]] = list(source.comparison.get("language_effects") or [])
    if not entries:
        raise DataError("the comparison holds no effect per language.", where="figure forest")
    first = entries[0]
    key = (first.get("estimand"), first.get("contrast"))
    parent: Mapping[str, Any] = next(
        (e for e in source.estimands if (e.get("estimand"), e.get("contrast")) == key), first
    )
    inherited = {name: parent.get(name) for name in ("metric", "unit", "conf_level", "title")}
    same = [e for e in entries if (e.get("estimand"), e.get("contrast")) == key]
    return effect(parent), [effect({**inherited, **e}) for e in same]


def _frame(
    source: ReportInput, overall: Effect, effects: list[Effect], arms: tuple[str, str]
) -> pd.DataFrame:
    codes = [str(e.source.get("language")) for e in effects]
    rows = [
        {"role": "language", "language": code, "label": label, **_numbers(one, arms)}
        for code, label, one in zip(codes, source.labels(codes), effects, strict=True)
    ]
    frame = pd.DataFrame(rows).sort_values("estimate", ascending=False, kind="stable", ignore_index=True)
    last = pd.DataFrame([{"role": "overall", "language": "", "label": _OVERALL, **_numbers(overall, arms)}])
    frame = pd.concat([frame, last], ignore_index=True)
    frame["equivalence_bound"], frame["unit"] = overall.bound, overall.unit
    return frame.round(6)


def _numbers(one: Effect, arms: tuple[str, str]) -> dict[str, Any]:
    higher = f"{arms[0]} higher" if arms[0] else "above 0"
    lower = f"{arms[1]} higher" if arms[1] else "below 0"
    favoured = higher if one.low > 0 else lower if one.high < 0 else _EITHER
    return {
        "estimate": one.estimate,
        "conf_low": one.low,
        "conf_high": one.high,
        "favours": favoured,
        "missing": math.isnan(one.estimate),
    }


def _chart(
    source: ReportInput, data: pd.DataFrame, overall: Effect, size: Preset, arms: tuple[str, str]
) -> alt.LayerChart:
    styles = arm_styles(source.kinds())
    named = {
        (f"{arms[1]} higher" if arms[1] else "below 0"): styles.get(arms[1], styles["pretrained"]),
        _EITHER: Style(GREY, "circle", (1, 0)),
        (f"{arms[0]} higher" if arms[0] else "above 0"): styles.get(arms[0], styles["pretrained"]),
    }
    scale, key, order = scales(named), legend(size, list(named)), list(data["label"])
    reach = pd.concat([data["conf_low"], data["conf_high"], data["estimate"], pd.Series([0.0])])
    reach = pd.concat([reach, data["equivalence_bound"], -data["equivalence_bound"]])
    room = 0.04 * float(reach.max() - reach.min())
    domain = [float(reach.min()) - room, float(reach.max()) + room]
    x = alt.X(
        "estimate:Q",
        scale=alt.Scale(domain=domain, nice=False),
        axis=alt.Axis(title=f"{overall.direction}, {overall.unit}", tickCount=7),
    )
    y = language_axis(order)
    shown, empty = data[~data["missing"]], data[data["missing"]]
    each, total = shown[shown["role"] == "language"], shown[shown["role"] == "overall"]
    hint = [
        alt.Tooltip("label:N", title="language"),
        alt.Tooltip("estimate:Q", format="+.2f"),
        alt.Tooltip("conf_low:Q", title="from", format="+.2f"),
        alt.Tooltip("conf_high:Q", title="to", format="+.2f"),
    ]
    one = alt.InlineData(values=[{}])
    layers: list[alt.Chart] = []
    if not math.isnan(overall.bound):
        band = alt.Chart(one).mark_rect(color="#eef1f4")
        layers.append(
            band.encode(x=alt.datum(-round(overall.bound, 6)), x2=alt.datum(round(overall.bound, 6)))
        )
    layers.append(alt.Chart(one).mark_rule(color=INK, strokeWidth=size.stroke(1)).encode(x=alt.datum(0)))
    color = alt.Color("favours:N", scale=scale["color"], legend=key)
    lines = alt.Chart(inline(each)).mark_rule(strokeWidth=size.stroke(1.6))
    layers.append(lines.encode(x=again(x, "conf_low:Q"), x2="conf_high:Q", y=y, color=color))
    points = alt.Chart(inline(each)).mark_point(filled=True, opacity=1, size=4.6 * size.font_size)
    shape = alt.Shape("favours:N", scale=scale["shape"], legend=key)
    layers.append(points.encode(x=x, y=y, color=color, shape=shape, tooltip=hint))
    layers.extend(no_data(empty, size, y=y))
    rule = alt.Chart(inline(total)).mark_rule(color=INK, strokeWidth=size.stroke(2.6))
    layers.append(rule.encode(x=again(x, "conf_low:Q"), x2="conf_high:Q", y=y))
    gem = alt.Chart(inline(total)).mark_point(
        filled=True, opacity=1, shape="diamond", color=INK, size=11 * size.font_size
    )
    layers.append(gem.encode(x=x, y=y, tooltip=hint))
    return finish(layers, size, size.height(len(order)))
