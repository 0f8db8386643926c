"""Numbers in words: signs, digits, p-values, intervals, and the sentence an estimand makes.

Examples
--------
>>> p_text(0.0042), p_text(0.0001), p_text(None)
('.004', '<.001', 'not computed')
>>> number(-1.105, 2), signed(0.5, 1)
('−1.11', '+0.5')
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignaudit.report.source import FRACTIONS

__all__ = ["Effect", "effect", "estimand_sentence", "listing", "number", "p_text", "signed"]

MISSING = "no data"


def number(value: object, digits: int = 2) -> str:
    """Return a number with a true minus sign, half away from zero, or ``no data``."""
    amount = _real(value)
    if amount is None:
        return MISSING
    rounded = math.copysign(math.floor(abs(amount) * 10**digits + 0.5 + 1e-9) / 10**digits, amount)
    return f"{rounded + 0.0:.{digits}f}".replace("-", "−")


def signed(value: object, digits: int = 2) -> str:
    """Return a number with its sign, also when positive."""
    text = number(value, digits)
    amount = _real(value)
    return f"+{text}" if amount is not None and amount > 0 and text.strip("0.") else text


def p_text(value: object) -> str:
    """Return a p-value without a leading zero, three digits, never ``.000``."""
    p = _real(value)
    if p is None:
        return "not computed"
    if p < 0.001:
        return "<.001"
    return number(p, 3).removeprefix("0") if p < 0.9995 else "1.000"


def listing(words: list[str], joint: str = "and") -> str:
    """Return words as a list in a sentence.

    Examples
    --------
    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}" if words else ""


@dataclass(frozen=True, slots=True)
class Effect:
    """One interval in shown units, with everything that its caption must say.

    Attributes
    ----------
    estimate, low, high, bound, detectable
        In ``unit``; NaN where the comparison has none. ``bound`` is the smallest effect of interest,
        ``detectable`` the smallest that a test of this precision finds with power .8.
    digits
        Decimals to show, two significant digits of the standard error.
    """

    name: str
    title: str
    unit: str
    contrast: str
    estimate: float
    low: float
    high: float
    bound: float
    detectable: float
    digits: int
    source: Mapping[str, Any]

    @property
    def direction(self) -> str:
        """Return the contrast in words, ``concurrent − sequential``."""
        return _direction(self.contrast)

    @property
    def level(self) -> str:
        """Return the confidence level, ``95 %``."""
        level = _real(self.source.get("conf_level"))
        return "unstated level" if level is None else f"{100 * level:g} %"

    @property
    def interval(self) -> str:
        """Return ``[low, high]``, or ``no data``."""
        if math.isnan(self.low) and math.isnan(self.high):
            return MISSING
        return f"[{signed(self.low, self.digits)}, {signed(self.high, self.digits)}]"

    @property
    def measured(self) -> str:
        """Return the estimate with its unit."""
        return f"{signed(self.estimate, self.digits)} {self.unit}".strip()

    @property
    def reach(self) -> str:
        """Return which true difference would have been found, in words; empty where it is not known."""
        if math.isnan(self.detectable):
            return ""
        size = f"{number(self.detectable, self.digits)} {self.unit}".strip()
        return f"A true difference of {size} would be found with power .8."

    @property
    def population(self) -> str:
        """Return what the interval speaks about, in words; empty where it is not stated."""
        return {
            "these_languages": "About these languages.",
            "languages_like_these": "About languages like these.",
            "these_tasks": "About these tasks.",
            "tasks_like_these": "About tasks like these.",
        }.get(str(self.source.get("population")), "")

    @property
    def test(self) -> str:
        """Return ``t(9.3) = 3.65, p = .005``, as far as it was computed."""
        statistic, df = _real(self.source.get("statistic")), _real(self.source.get("df"))
        parts = []
        if statistic is not None:
            name = "z" if df is None else f"t({df:.1f})"
            parts.append(f"{name} = {number(statistic, 2)}")
        p = p_text(self.source.get("p_value"))
        parts.append(f"p {p}" if p.startswith("<") or p == "not computed" else f"p = {p}")
        return ", ".join(parts)

    @property
    def facts(self) -> str:
        """Return what the interval is: level, method, over what, numbers, degrees of freedom."""
        get = self.source.get
        counts = [
            f"{_real(get(key)):g} {words}"
            for key, words in (("n_pairs", "paired seeds"), ("n_runs", "runs"), ("n_languages", "languages"))
            if _real(get(key)) is not None
        ]
        df = _real(get("df"))
        freedom = "" if df is None else f"{df:.1f} degrees of freedom ({get('df_method') or 'unstated'})"
        parts = [
            f"{self.level} interval",
            str(get("method") or "method not stated").rstrip("."),
            f"over {str(get('over') or 'unstated units').removeprefix('over ').rstrip('.')}",
            listing(counts),
            freedom,
        ]
        return "; ".join(part for part in parts if part) + "."


def effect(entry: Mapping[str, Any]) -> Effect:
    """Return an estimand or language effect of ``comparison.json`` in shown units."""
    contrast = str(entry.get("contrast") or "")
    unit, metric = str(entry.get("unit") or ""), str(entry.get("metric") or "")
    log = contrast.startswith("log_") or "log" in unit
    scaled = not log and (unit in FRACTIONS or (not unit and metric in FRACTIONS))
    factor = 100.0 if scaled else 1.0
    shown = "points" if scaled else "log ratio" if log else unit.replace("_", " ")
    estimate, low, high, bound, detectable = (
        math.nan if (real := _real(entry.get(key))) is None else factor * real
        for key in ("estimate", "conf_low", "conf_high", "equivalence_bound", "detectable_effect")
    )
    spread = (high - low) / 4
    digits = 2 if not spread > 0 else min(max(1 - math.floor(math.log10(spread)), 0), 4)
    return Effect(
        name=str(entry.get("estimand") or ""),
        title=str(entry.get("title") or entry.get("estimand") or "Effect"),
        unit=shown,
        contrast=contrast,
        estimate=estimate,
        low=low,
        high=high,
        bound=bound,
        detectable=detectable,
        digits=digits,
        source=entry,
    )


def estimand_sentence(entry: Mapping[str, Any]) -> str:
    """Return the sentence that a paper would print for one estimand.

    Returns
    -------
    str
        Estimate, interval, test, method and numbers; the direction is always named.
    """
    result = effect(entry)
    if math.isnan(result.estimate):
        return f"{result.title}: no estimate ({result.direction})."
    sentence = (
        f"{result.title}: {result.direction} = {result.measured} "
        f"({result.level} CI {result.interval}, {result.test}). {result.facts}"
    )
    if result.unit == "log ratio":
        ratio = [number(math.exp(x), 2) for x in (result.estimate, result.low, result.high)]
        sentence += f" As a ratio of standard deviations: {ratio[0]} [{ratio[1]}, {ratio[2]}]."
    return sentence


def _direction(contrast: str) -> str:
    for joint in ("_minus_", "_to_"):
        if joint in contrast:
            left, right = contrast.split(joint, 1)
            if joint == "_to_":
                head, _, left = left.rpartition("_ratio_")
                head = head.removeprefix("log_").replace("sd", "SD")
                return f"log {head} ratio, {left.replace('_', ' ')} to {right.replace('_', ' ')}".replace(
                    "  ", " "
                )
            return f"{left.replace('_', ' ')} − {right.replace('_', ' ')}"
    return contrast.replace("_", " ")


def _real(value: object) -> float | None:
    """Return a finite float, or None for null, NaN, infinities and words."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return float(value) if math.isfinite(value) else None
