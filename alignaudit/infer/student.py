"""The t test and t interval of one estimate with a standard error and degrees of freedom, and its power."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize, stats

from alignaudit.errors import FitError

__all__ = ["StudentTest", "detectable_effect", "student_power", "student_test"]


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


def student_power(shift: float, df: float, alpha: float) -> float:
    """Return the power of the two-sided t test.

    Parameters
    ----------
    shift
        True effect in standard errors.
    df
        Degrees of freedom, above 0.
    alpha
        Level of the test.

    Returns
    -------
    float
        By the noncentral t distribution.

    References
    ----------
    Johnson, Kotz & Balakrishnan (1995), Continuous Univariate Distributions 2, chapter 31.
    """
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    right = float(stats.nct.sf(critical, df, shift))
    wrong = float(stats.nct.sf(critical, df, -shift))  # nct.cdf(-critical, df, shift) may be NaN
    return right + wrong


def detectable_effect(standard_error: float, df: float, *, alpha: float = 0.05, wanted: float = 0.8) -> float:
    """Return the smallest true effect that a two-sided t test finds with the wanted power.

    Parameters
    ----------
    standard_error
        Of the estimate, above 0, any unit.
    df
        Degrees of freedom of the test, above 0.
    alpha
        Level of the test.
    wanted
        Power, above alpha and below 1.

    Returns
    -------
    float
        Unit of the standard error, by the noncentral t distribution.

    Raises
    ------
    FitError
        If such a power cannot be asked for, or the standard error is not above 0.

    References
    ----------
    Bloom (1995), Evaluation Review 19, 547-556 (minimum detectable effects).

    Examples
    --------
    >>> round(detectable_effect(1.0, 1e6), 3)  # the normal limit, 1.960 + 0.842
    2.802
    """
    if not (standard_error > 0 and df > 0 and 0 < alpha < wanted < 1):
        raise FitError(
            f"no effect is found with power {wanted:g} at level {alpha:g} with a standard error of "
            f"{standard_error:g} and {df:g} degrees of freedom.",
            where="power",
        )
    last = 1.0
    while student_power(last, df, alpha) < wanted:
        last *= 2
    return standard_error * float(
        optimize.brentq(lambda shift: student_power(shift, df, alpha) - wanted, 0, last)
    )
