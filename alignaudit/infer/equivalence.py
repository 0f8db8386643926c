"""Two one-sided tests of whether an effect is smaller than the smallest effect of interest."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

__all__ = ["Equivalence", "two_one_sided_tests"]


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Result of an equivalence test.

    Attributes
    ----------
    bound
        Smallest effect of interest, in the unit of the estimate.
    p_value
        The larger of the two one-sided p-values.
    conf_low, conf_high
        Bounds of the interval of level ``1 - 2 alpha``; it lies inside ±bound exactly when
        ``p_value < alpha``.
    alpha
        Level of each one-sided test.
    """

    bound: float
    p_value: float
    conf_low: float
    conf_high: float
    alpha: float

    @property
    def equivalent(self) -> bool:
        """Return whether both one-sided tests reject; False where no test was possible."""
        return self.p_value < self.alpha


def two_one_sided_tests(
    estimate: float, standard_error: float, df: float, *, bound: float, alpha: float = 0.05
) -> Equivalence:
    """Test the hypothesis that an effect is at least as large as ``bound`` in either direction.

    Parameters
    ----------
    estimate, standard_error
        In the same unit; a standard error of zero gives NaN, as in ``student_test``.
    df
        Degrees of freedom of the t distribution.
    bound
        Smallest effect of interest, above 0; NaN if none was stated (then only the interval).
    alpha
        Level of each one-sided test.

    Returns
    -------
    Equivalence
        p-value and the ``1 - 2 alpha`` interval.

    References
    ----------
    Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, 657-680; Lakens (2017), Social
    Psychological and Personality Science 8, 355-362.

    Examples
    --------
    >>> test = two_one_sided_tests(0.001, 0.005, 8.0, bound=0.02)
    >>> test.equivalent, round(test.p_value, 4)
    (True, 0.0026)
    """
    if not (standard_error > 0 and df > 0):
        return Equivalence(bound, math.nan, math.nan, math.nan, alpha)
    above_lower = float(stats.t.sf((estimate + bound) / standard_error, df))
    below_upper = float(stats.t.cdf((estimate - bound) / standard_error, df))
    half = float(stats.t.ppf(1 - alpha, df)) * standard_error
    p_value = max(above_lower, below_upper) if bound > 0 else math.nan
    return Equivalence(bound, p_value, estimate - half, estimate + half, alpha)
