"""What a comparison concluded: plain records, the same JSON bytes every time, and a readable print."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["SCHEMA_VERSION", "Comparison", "Estimand", "LanguageEffect"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Estimand:
    """One contrast of two arms: estimate, interval, tests and verdict.

    ``estimand`` with ``contrast`` identifies it: ``R1``, ``R2``, ``R3`` and ``transfer`` are the
    planned family; a suffix (``R1:margin``, ``R1:target:pos``, ``transfer:pos``) or ``forgetting``
    marks what stands beside it and is always exploratory. Fractions are fractions, log ratios
    natural logarithms; NaN means "could not be computed" and becomes null in JSON.
    """

    estimand: str
    title: str
    metric: str
    unit: str
    stage: str
    layer: int | None
    pooling: str | None
    centred: bool | None
    contrast: str
    estimate: float
    conf_low: float
    conf_high: float
    conf_level: float
    df: float
    df_method: str
    statistic: float
    p_value: float
    p_adjusted: float
    sign_flip_p_value: float
    sign_flip_min_p: float
    equivalence_bound: float
    equivalence_p_value: float
    detectable_effect: float
    n_runs: int
    n_pairs: int
    n_languages: int
    population: str
    over: str
    method: str
    variance_components: Mapping[str, float]
    verdict: str
    rule: str
    status: str
    arm_values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in their order, with None for what is not finite."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class LanguageEffect:
    """The contrast in one language: paired t over pairs of runs, Benjamini–Hochberg over languages.

    ``shrunken`` is its prediction by the mixed model of all languages, pulled towards their mean the
    more the less the language's own runs tell, with a prediction interval.
    """

    estimand: str
    contrast: str
    language: str
    estimate: float
    conf_low: float
    conf_high: float
    conf_level: float
    df: float
    p_value: float
    p_adjusted: float
    n_pairs: int
    shrunken: float
    shrunken_low: float
    shrunken_high: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in their order, with None for what is not finite."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that ``compare`` found.

    Attributes
    ----------
    study, plan, plan_sha256, status, schedules
        What was compared, by which plan, and whether that was planned or exploratory.
    design
        ``checkpoints``, ``seeds``, ``languages`` and ``missing`` as lists; ``pairs`` as a number.
    estimands, language_effects
        Contrasts of arms; contrasts by language for R1.
    arms
        Per arm ``arm``, ``n_runs`` and ``estimands``: ``{name: {"mean", "sd"}}`` between runs.
    warnings
        Sentences that a reader has to know.
    """

    study: str
    plan: str
    plan_sha256: str
    status: str
    schedules: tuple[str, ...]
    design: Mapping[str, Any]
    estimands: tuple[Estimand, ...]
    language_effects: tuple[LanguageEffect, ...]
    arms: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``comparison.json``."""
        return {"schema_version": SCHEMA_VERSION, **_plain(self)}

    def to_json(self) -> str:
        """Return the text of ``comparison.json``: the same bytes for the same comparison."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=False, allow_nan=False) + "\n"

    def __str__(self) -> str:
        """Return the comparison as plain text: first what was compared, on what, and how."""
        d = self.design
        main = [row for row in self.estimands if ":" not in row.estimand and row.estimand != "forgetting"]
        beside = [row for row in self.estimands if row not in main]
        missing = f"{len(d['missing'])} missing cells or runs" if d["missing"] else "no cell missing"
        lines = [
            f'Comparison of {", ".join(self.schedules)} in study "{self.study}": {self.status}, '
            f"plan {self.plan}.",
            f"Design: {d['pairs']} pairs of runs ({len(d['checkpoints'])} checkpoints, "
            f"{len(d['seeds'])} seeds), {len(d['languages'])} languages, {missing}.",
            *dict.fromkeys(f"{row.estimand}: {row.title}; {row.method}." for row in main),
            "",
            *_table(main),
            "Detectable: the smallest true difference that such a test finds with power .8.",
        ]
        if beside:
            lines += ["", "Beside them, exploratory:", *_table(beside)]
        if self.warnings:
            lines += ["", "Warnings:", *[f"- {warning}" for warning in self.warnings]]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Return records and tuples as dictionaries and lists; floats that are not finite as None."""
    if isinstance(value, Estimand | LanguageEffect | Comparison):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


_HEADERS = ("estimand", "contrast", "estimate", "interval", "df", "p", "Holm p", "detectable", "verdict")


def _table(rows: list[Estimand]) -> list[str]:
    cells = [_HEADERS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADERS))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _cells(row: Estimand) -> tuple[str, ...]:
    interval = "none"
    if math.isfinite(row.conf_low):
        interval = f"[{row.conf_low:+.4f}, {row.conf_high:+.4f}] {100 * row.conf_level:g} %"
    return (
        row.estimand, row.contrast, _number(row.estimate, "+.4f"), interval, _number(row.df, ".1f"),
        _p_text(row.p_value), _p_text(row.p_adjusted), _number(row.detectable_effect, ".4f"), row.verdict,
    )  # fmt: skip


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "none"


def _p_text(p_value: float) -> str:
    return "<.0001" if p_value < 1e-4 else _number(p_value, ".4f")
