"""The verdict on a contrast, by a rule that is stated with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Evidence", "decide"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rule looks at.

    Attributes
    ----------
    estimate
        Second arm minus first, or log ratio second to first.
    p_adjusted
        Holm-adjusted p within its family of ``family`` tests; NaN if not testable.
    equivalence_p_value, equivalence_low, equivalence_high, bound
        Equivalence test, its ``1 - 2 alpha`` interval and bound; a NaN bound means none was stated.
    alpha
        Level of both.
    higher_is_better
        False for a standard deviation.
    """

    estimate: float
    p_adjusted: float
    family: int
    equivalence_p_value: float
    equivalence_low: float
    equivalence_high: float
    bound: float
    alpha: float
    higher_is_better: bool


def decide(evidence: Evidence, first: str, second: str) -> tuple[str, str]:
    """Return the verdict and one sentence that says by which rule and numbers.

    (1) *Equivalent* if the ``1 - 2 alpha`` interval lies inside ±bound; this comes first because
    the bound was stated beforehand. (2) *Favours* the better arm if the Holm-adjusted p is below
    alpha. (3) *Inconclusive* otherwise.

    Parameters
    ----------
    evidence
        Numbers of one contrast.
    first, second
        Names of the arms; the estimate is second minus first.

    Returns
    -------
    tuple of str
        Verdict and rule.
    """
    e = evidence
    better = second if (e.estimate > 0) == e.higher_is_better else first
    if not math.isfinite(e.p_adjusted):
        return "inconclusive", "No test was possible, because the error could not be estimated: inconclusive."
    equivalent = e.equivalence_p_value < e.alpha
    significant = e.p_adjusted < e.alpha
    verdict = "equivalent" if equivalent else f"favours {better}" if significant else "inconclusive"
    if math.isfinite(e.bound):
        inside = "lies" if equivalent else "does not lie"
        start = (
            f"The {100 * (1 - 2 * e.alpha):g} % interval [{e.equivalence_low:.4f}, {e.equivalence_high:.4f}] "
            f"{inside} inside the bound ±{e.bound:.4g} (equivalence p = {e.equivalence_p_value:.4f})"
        )
    else:
        start = "No smallest effect of interest was stated"
    if equivalent:
        return verdict, f"{start}, which decides first because the bound was stated beforehand: equivalent."
    below = "below" if significant else "not below"
    return verdict, (
        f"{start}, and the Holm-adjusted p = {e.p_adjusted:.4f} of {e.family} tests is {below} "
        f"{e.alpha:g}: {verdict}."
    )
