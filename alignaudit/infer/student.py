"""The t test and t interval of one estimate with a standard error and degrees of freedom."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

__all__ = ["StudentTest", "student_test"]


@dataclass(frozen=True, slots=True)
class StudentTest:
    """Two-sided test of zero and the interval that belongs to it.

    Attributes
    ----------
    statistic, p_value
        t and its two-sided p; NaN where no error could be estimated.
    conf_low, conf_high
        Bounds in the unit of the estimate.
    """

    statistic: float
    p_value: float
    conf_low: float
    conf_high: float


def student_test(estimate: float, standard_error: float, df: float, *, conf_level: float) -> StudentTest:
    """Return the two-sided t test of zero and the t interval.

    Parameters
    ----------
    estimate, standard_error
        In the same unit. A standard error of zero means that the units do not vary at all: then
        nothing is known about the error of the estimate and every entry of the result is NaN.
    df
        Degrees of freedom, above 0, may be fractional.
    conf_level
        Nominal coverage of the interval.

    Returns
    -------
    StudentTest
        Statistic, two-sided p, interval bounds.

    References
    ----------
    Student (1908), Biometrika 6, 1-25.

    Examples
    --------
    >>> test = student_test(1.0, 0.5, 4.0, conf_level=0.95)
    >>> round(test.statistic, 3), round(test.p_value, 4), round(test.conf_low, 3)
    (2.0, 0.1161, -0.388)
    """
    if not (standard_error > 0 and df > 0):
        return StudentTest(math.nan, math.nan, math.nan, math.nan)
    statistic = estimate / standard_error
    half = float(stats.t.ppf(0.5 + conf_level / 2, df)) * standard_error
    p_value = 2 * float(stats.t.sf(abs(statistic), df))
    return StudentTest(statistic, p_value, estimate - half, estimate + half)
