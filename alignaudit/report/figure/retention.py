"""Retention: what each language keeps after training, beside the controls."""

from __future__ import annotations

import altair as alt
import pandas as pd

from alignaudit.errors import DataError
from alignaudit.report.figure.base import (
    Figure,
    common_languages,
    finish,
    inline,
    language_axis,
    legend,
    line_domain,
    no_data,
    run_grid,
    scales,
)
from alignaudit.report.sentence import listing, number
from alignaudit.report.source import Primary, ReportInput
from alignaudit.report.theme import RULE, Preset, Style, arm_styles, control_styles

__all__ = ["draw"]


def draw(source: ReportInput, size: Preset) -> Figure:
    """Return the primary metric per language: pretrained, every arm after training, every control.

    Raises
    ------
    DataError
        If the alignment table has no row of the primary metric.
    """
    primary = source.primary()
    grid = run_grid(source, primary)
    data = _frame(source, primary, grid.frame)
    if data.empty or not data["value"].notna().any():
        raise DataError("the alignment table has no row of the primary metric.", where="figure retention")
    digits = 1 if primary.factor > 1 else 3
    common, fairly = common_languages(data, "series")
    fair = data[data["language"].isin(common)]
    means = fair.groupby("series", sort=False)["value"].mean().dropna()
    words = [f"{name} {number(value, digits)}" for name, value in means.items()]
    trained = [w for w, name in zip(words, means.index, strict=True) if name in _trained(source)]
    title = f"Mean {primary.metric.replace('_', ' ')} over languages: {listing(trained)} {primary.unit}"
    hollow = int(data["missing"].sum())
    verb = "has" if hollow == 1 else "have"
    lost = f"{hollow} of {len(data)} marks {verb} no data at all, named at the right." if hollow else ""
    caption = (
        f"{primary.words.capitalize()}, mean of both directions, per language, sorted by the pretrained "
        f"value. Arms are means over runs after the {primary.stage} stage; no interval is drawn here, the "
        "forest shows those. Controls: untrained encoder, shuffled pairs, chance, and a model-free "
        f"character n-gram baseline, as far as they were measured. {grid.sentence} {lost} {fairly}"
    )
    caption = " ".join(caption.split())
    alternative = (
        f"Dot plot of {primary.words} for {data['language'].nunique()} languages. "
        f"Means over languages in {primary.unit}: {listing(words)}."
    )
    chart = _chart(source, data, size, primary)
    return Figure("retention", title, caption, alternative, data, chart)


def _trained(source: ReportInput) -> list[str]:
    return ["pretrained", *source.arms()]


def _frame(source: ReportInput, primary: Primary, grid: pd.DataFrame) -> pd.DataFrame:
    before = source.alignment(primary, stages=["pretrained"])
    parts = [before.assign(series="pretrained"), grid.rename(columns={"arm": "series"})]
    parts.append(source.control(primary).rename(columns={"control": "series"}))
    rows = pd.concat([part[["series", "language", "value"]] for part in parts], ignore_index=True)
    rows = rows[rows["language"].isin(set(grid["language"]) | set(before["language"]))]
    rows["series"] = rows["series"].str.replace("_", " ")
    mean = rows.groupby(["series", "language"])["value"].agg(["mean", "count"]).reset_index()
    mean = mean.rename(columns={"mean": "value", "count": "n_values"})
    known = [name.replace("_", " ") for name in [*_trained(source), *control_styles()]]
    present = [name for name in known if name in set(mean["series"])]
    languages = pd.DataFrame({"language": sorted(mean["language"].unique())})
    full = pd.DataFrame({"series": present}).merge(languages, how="cross").merge(mean, how="left")
    full["missing"] = full["value"].isna()
    base = full[full["series"] == (present[0] if present else "")].set_index("language")["value"]
    full["sort"] = full["language"].map(base)
    full = full.sort_values(["sort", "language"], ascending=[False, True], kind="stable", ignore_index=True)
    codes = list(dict.fromkeys(full["language"]))
    full["label"] = full["language"].map(dict(zip(codes, source.labels(codes), strict=True)))
    full["n_values"] = full["n_values"].fillna(0).astype(int)
    return full[["series", "language", "label", "value", "n_values", "missing"]].round(6)


def _chart(source: ReportInput, data: pd.DataFrame, size: Preset, primary: Primary) -> alt.LayerChart:
    every: dict[str, Style] = {
        name.replace("_", " "): style
        for name, style in {**arm_styles(source.kinds()), **control_styles()}.items()
    }
    styles = {name: every[name] for name in every if name in set(data["series"])}
    scale, key = scales(styles), legend(size, list(styles))
    order = list(dict.fromkeys(data["label"]))
    low, high = line_domain(data["value"], bounded=primary.factor > 1)
    x = alt.X(
        "value:Q",
        scale=alt.Scale(domain=[min(low, -0.015 * high), high], nice=False),
        axis=alt.Axis(title=f"{primary.metric.replace('_', ' ')}, {primary.unit}", tickCount=8),
    )
    y = language_axis(order)
    shown = data[~data["missing"]]
    marks = alt.Chart(inline(shown)).mark_point(filled=True, opacity=0.92, size=5.2 * size.font_size)
    points = marks.encode(
        x=x,
        y=y,
        color=alt.Color("series:N", scale=scale["color"], legend=key),
        shape=alt.Shape("series:N", scale=scale["shape"], legend=key),
        tooltip=[
            alt.Tooltip("label:N", title="language"),
            alt.Tooltip("series:N"),
            alt.Tooltip("value:Q", format=".2f"),
            alt.Tooltip("n_values:Q", title="runs"),
        ],
    )
    zero = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=RULE).encode(x=alt.datum(0))
    empty = data[data["missing"]].groupby("label", sort=False)["series"].agg(", ".join).reset_index()
    empty["gap"] = "no data: " + empty["series"]
    return finish([zero, points, *no_data(empty, size, right=True, y=y)], size, size.height(len(order)))
