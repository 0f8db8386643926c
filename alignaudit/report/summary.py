"""The four tables of a report: estimands, language effects, runs and controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from alignaudit.report.sentence import Effect, effect, number, p_text, signed
from alignaudit.report.source import ReportInput
from alignaudit.report.table import Field, Table, plain

__all__ = ["controls_table", "estimands_table", "languages_table", "runs_table", "tables"]


def tables(source: ReportInput) -> list[Table]:
    """Return every table that has rows, in the order shown."""
    built = [build(source) for build in (estimands_table, languages_table, runs_table, controls_table)]
    return [table for table in built if len(table.frame)]


def _digits(digits: int, write: Callable[[Any, int], str]) -> Callable[[Any], str]:
    return lambda value: write(value, digits)


def _share(value: Any) -> str:
    """Return a share, or a dash for a run without an intermediate phase."""
    return "–" if pd.isna(value) else number(value, 2)


def _effects(entries: list[Effect]) -> dict[str, list[Any]]:
    return {
        "estimate": [e.estimate for e in entries],
        "conf_low": [e.low for e in entries],
        "conf_high": [e.high for e in entries],
        "unit": [e.unit for e in entries],
        "shown": [signed(e.estimate, e.digits) for e in entries],
        "measured": [e.measured for e in entries],
        "interval": [e.interval for e in entries],
    }


def estimands_table(source: ReportInput) -> Table:
    """Return one row per estimand with its interval, tests and verdict."""
    effects = [effect(entry) for entry in source.estimands]
    get = [e.source.get for e in effects]
    keys = "df df_method statistic p_value p_adjusted sign_flip_p_value equivalence_p_value n_runs n_pairs"
    frame = pd.DataFrame(
        {
            "estimand": [e.name for e in effects],
            "title": [e.title for e in effects],
            "contrast": [e.direction for e in effects],
            **_effects(effects),
            **{key: [g(key) for g in get] for key in [*keys.split(), "n_languages", "status"]},
            "detectable": [e.detectable for e in effects],
            "reach": [number(e.detectable, e.digits) for e in effects],
            "population": [str(g("population") or "") for g in get],
            "verdict": [str(g("verdict") or "none") for g in get],
        }
    )
    levels = sorted({e.level for e in effects})
    methods = {str(g("df_method")) for g in get if g("df_method")}
    notes = (
        f"Intervals: {', '.join(levels) or 'none'}. "
        f"Degrees of freedom: {', '.join(sorted(methods)) or 'none'}. "
        "p (Holm) is adjusted within the planned family; p (sign flip) is the exact paired permutation test; "
        "p (TOST) is the larger of the two one-sided equivalence tests. Detectable: the smallest true "
        "difference that such a test finds with power .8. Stars are not used.",
    )
    fields = (
        Field("estimand", "Estimand"),
        Field("title", "What it is"),
        Field("measured", "Estimate", plain, True),
        Field("interval", "Interval", plain, True),
        Field("df", "df", _digits(1, number), True),
        Field("p_value", "p", p_text, True),
        Field("p_adjusted", "p (Holm)", p_text, True),
        Field("sign_flip_p_value", "p (sign flip)", p_text, True),
        Field("equivalence_p_value", "p (TOST)", p_text, True),
        Field("reach", "Detectable", plain, True),
        Field("verdict", "Verdict"),
    )
    return Table("estimands", "Estimands, intervals and verdicts", frame, fields, notes)


def _shrunken(one: Effect) -> str:
    """Return the predicted effect of a language with its interval, in the unit of the effect."""
    keys = ("shrunken", "shrunken_low", "shrunken_high")
    values = [float("nan") if one.source.get(key) is None else float(one.source[key]) for key in keys]
    if any(pd.isna(value) for value in values):
        return "–"
    factor = 100.0 if one.unit == "points" else 1.0
    middle, low, high = (signed(factor * value, one.digits) for value in values)
    return f"{middle} [{low}, {high}]"


def languages_table(source: ReportInput) -> Table:
    """Return one row per estimand, contrast and language."""
    entries = list(source.comparison.get("language_effects") or [])
    effects = [effect({**_parent(source, entry), **entry}) for entry in entries]
    codes = [str(entry.get("language")) for entry in entries]
    known = source.languages
    frame = pd.DataFrame(
        {
            "language": [source.label(code) for code in codes],
            "code": codes,
            "script": [known.get(code, {}).get("script", "") for code in codes],
            "family": [known.get(code, {}).get("family", "") for code in codes],
            "estimand": [e.name for e in effects],
            "contrast": [e.direction for e in effects],
            **_effects(effects),
            **{key: [e.get(key) for e in entries] for key in ("df", "p_value", "p_adjusted", "n_pairs")},
            **{key: [e.get(key) for e in entries] for key in ("shrunken", "shrunken_low", "shrunken_high")},
            "borrowed": [_shrunken(one) for one in effects],
        }
    )
    fields = (
        Field("language", "Language"),
        Field("code", "Code"),
        Field("script", "Script"),
        Field("family", "Family"),
        *(Field(key, key.capitalize()) for key in ("estimand", "contrast") if frame[key].nunique() > 1),
        Field("shown", "Estimate", plain, True),
        Field("interval", "Interval", plain, True),
        Field("p_value", "p", p_text, True),
        Field("p_adjusted", "p (BH)", p_text, True),
        Field("borrowed", "Shrunken", plain, True),
        Field("n_pairs", "Pairs", plain, True),
    )
    what = "; ".join(dict.fromkeys(f"{e.name}, {e.direction}, in {e.unit}" for e in effects))
    notes = (
        f"Estimates: {what}. p (BH) is adjusted over languages by Benjamini and Hochberg, "
        "intervals are not adjusted. Shrunken: the effect predicted by the mixed model of all languages, "
        "which pulls each towards their mean the more the less its own runs tell, with its interval.",
    )
    return Table("language-effects", "Effect of the schedule in each language", frame, fields, notes)


def runs_table(source: ReportInput) -> Table:
    """Return one row per training run: what it was and how far it came."""
    frame = source.table("runs").copy()
    frame["stages"] = [
        f"{d} of {p}" for d, p in zip(frame["stages_done"], frame["stages_planned"], strict=True)
    ]
    frame["plan"] = [str(text)[:8] or "none" for text in frame["plan_hash"]]
    fields = (
        Field("run", "Run"),
        Field("arm", "Arm"),
        *([Field("checkpoint", "Checkpoint")] if frame["checkpoint"].nunique() > 1 else []),
        Field("seed", "Seed", plain, True),
        Field("order", "Task order", lambda value: str(value).replace(">", " → ") or "none"),
        Field("updates", "Updates", lambda value: f"{int(value):,}", True),
        Field("tokens", "Tokens", lambda value: f"{int(value):,}", True),
        Field("temporal_segregation", "Segregation", _share, True),
        Field("switch_rate", "Switch rate", _share, True),
        Field("plan", "Batches", plain),
        Field("wall_s", "Seconds", _digits(0, number), True),
        Field("stages", "Stages", plain, True),
    )
    notes = (
        "Batches: start of the hash of the multiset of mini-batches; paired runs share it. "
        "Segregation: mutual information of task and time, as a share of the task entropy.",
    )
    return Table("runs", "Training runs", frame, fields, notes)


def controls_table(source: ReportInput) -> Table:
    """Return one row per control: mean, lowest and highest language of the primary metric."""
    primary = source.primary()
    rows = source.control(primary)
    grouped = rows.groupby("control", sort=True)["value"]
    frame = pd.DataFrame(
        {
            "mean": grouped.mean(),
            "lowest": grouped.min(),
            "highest": grouped.max(),
            "languages": grouped.count(),
            "missing": grouped.size() - grouped.count(),
        }
    ).reset_index()
    frame["control"] = frame["control"].str.replace("_", " ")
    digits = 1 if primary.factor > 1 else 3
    fields = (
        Field("control", "Control"),
        Field("mean", "Mean", _digits(digits, number), True),
        Field("lowest", "Lowest language", _digits(digits, number), True),
        Field("highest", "Highest language", _digits(digits, number), True),
        Field("languages", "Languages", plain, True),
        Field("missing", "Missing", plain, True),
    )
    notes = (f"Unit: {primary.unit}. Cell: {primary.words}; mean of both directions.",)
    return Table("controls", "Controls beside the measure", frame, fields, notes)


def _parent(source: ReportInput, entry: Any) -> dict[str, Any]:
    """Return metric, unit and level of the estimand that a language effect belongs to."""
    for one in source.estimands:
        if one.get("estimand") == entry.get("estimand") and one.get("contrast") == entry.get("contrast"):
            return {key: one.get(key) for key in ("metric", "unit", "conf_level", "equivalence_bound")}
    return {}
