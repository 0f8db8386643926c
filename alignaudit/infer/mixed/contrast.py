"""Estimates, standard errors and degrees of freedom of contrasts of fixed effects, and their tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import UsageError, did_you_mean
from alignaudit.infer.mixed.degrees import (
    JointTest,
    joint_from_single,
    kenward_roger_covariance,
    kenward_roger_df,
    kenward_roger_joint,
    satterthwaite_df,
)
from alignaudit.infer.mixed.model import GaussianModel, certified
from alignaudit.infer.mixed.strata import strata_df, strata_source, strata_tests

__all__ = ["Contrasts", "DfMethod", "checked_level", "contrasts", "joint_test", "tidy_table"]

Floats = NDArray[np.float64]
DfMethod = Literal["strata", "kenward-roger", "satterthwaite", "wald"]
RESTRICTED = ("strata", "kenward-roger")
"""Methods that are about restricted likelihood, for which fits by full likelihood are refitted."""

METHODS: tuple[DfMethod, ...] = ("strata", "kenward-roger", "satterthwaite", "wald")


@dataclass(frozen=True, slots=True)
class Contrasts:
    """Linear functions of the fixed effects.

    Attributes
    ----------
    names
        One per contrast.
    rows
        Shape [r, p]: coefficients.
    estimates, std_errors
        Shape [r], the unit of the response.
    df
        Shape [r]: degrees of freedom of the t distribution; infinite for Wald's z.
    df_method
        Where they come from.
    """

    names: tuple[str, ...]
    rows: Floats
    estimates: Floats
    std_errors: Floats
    df: Floats
    df_method: DfMethod


def contrasts(
    model: GaussianModel, rows: Floats, names: Sequence[str], *, df: str, force: bool = False
) -> Contrasts:
    """Estimate contrasts of the fixed effects.

    Parameters
    ----------
    model
        A fit. Tests by strata and by Kenward and Roger are about restricted likelihood; a fit by full
        likelihood is refitted for them.
    rows, names
        Shape [r, p] and r names.
    df
        ``strata``, ``kenward-roger``, ``satterthwaite`` or ``wald``.
    force
        Go on although the fit is not certified.

    Returns
    -------
    Contrasts

    Raises
    ------
    UsageError
        If the method is unknown.
    FitError
        If the fit is not certified and ``force`` is not set.
    """
    method = _method(df)
    if method in RESTRICTED:
        model = model.restricted
    certified(model.certificate, force=force)
    basis, facts = model.in_basis(rows), model.facts
    if method == "strata":
        variance, degrees = strata_tests(model, basis)
    else:
        covariance = kenward_roger_covariance(facts) if method == "kenward-roger" else facts.covariance
        variance = model.residual_variance * np.einsum("ra,ab,rb->r", basis, covariance, basis)
        degrees = _degrees(model, method, basis)
    estimates = np.atleast_2d(rows) @ model.coefficients
    return Contrasts(tuple(names), np.atleast_2d(rows), estimates, np.sqrt(variance), degrees, method)


def joint_test(model: GaussianModel, rows: Floats, *, df: str, force: bool = False) -> JointTest:
    """Test that several contrasts are all zero.

    Parameters
    ----------
    model, rows, df, force
        As in :func:`contrasts`; for ``wald`` the denominator's degrees of freedom are infinite.

    Returns
    -------
    JointTest

    Raises
    ------
    UsageError, FitError
        As in :func:`contrasts`.
    """
    method = _method(df)
    if method in RESTRICTED:
        model = model.restricted
    certified(model.certificate, force=force)
    basis = model.in_basis(rows)
    estimates = np.atleast_2d(rows) @ model.coefficients / math.sqrt(model.residual_variance)
    if method == "kenward-roger":
        return kenward_roger_joint(model.facts, basis, estimates)
    if method == "strata":
        source, moved = strata_source(model, basis)
        estimates = estimates * math.sqrt(model.residual_variance / source.residual_variance)
        return joint_from_single(source.facts, moved, estimates, lambda rows: strata_df(source, rows))
    return joint_from_single(model.facts, basis, estimates, lambda rows: _degrees(model, method, rows))


def _degrees(model: GaussianModel, method: DfMethod, basis: Floats) -> Floats:
    """Return degrees of freedom of single contrasts, shape [r]."""
    if method == "kenward-roger":
        return kenward_roger_df(model.facts, basis)
    if method == "satterthwaite":
        derivatives = model.optimum.curved.slopes.by_covariance
        return satterthwaite_df(model.facts, model.optimum.roots, derivatives, basis)
    return np.full(len(basis), math.inf)


def checked_level(conf_level: float) -> float:
    """Return a confidence level.

    Raises
    ------
    UsageError
        If it is not between 0 and 1.
    """
    if not 0 < float(conf_level) < 1:
        raise UsageError(f"conf_level must lie between 0 and 1, and {conf_level} does not.")
    return conf_level


def tidy_table(found: Contrasts, *, conf_level: float, label: str = "term") -> pd.DataFrame:
    """Return contrasts with their two-sided tests of zero and intervals, one row each.

    Parameters
    ----------
    found
        The contrasts.
    conf_level
        Nominal coverage of each interval.
    label
        Name of the first column.

    Returns
    -------
    pandas.DataFrame
        Columns ``label, estimate, std_error, df, statistic, p_value, conf_low, conf_high``.

    Raises
    ------
    UsageError
        If the level is not between 0 and 1.
    """
    checked_level(conf_level)
    statistic = found.estimates / found.std_errors
    half = stats.t.ppf(0.5 + conf_level / 2, found.df) * found.std_errors
    return pd.DataFrame(
        {
            label: found.names,
            "estimate": found.estimates,
            "std_error": found.std_errors,
            "df": found.df,
            "statistic": statistic,
            "p_value": 2 * stats.t.sf(np.abs(statistic), found.df),
            "conf_low": found.estimates - half,
            "conf_high": found.estimates + half,
        }
    )


def _method(df: str) -> DfMethod:
    for method in METHODS:
        if df == method:
            return method
    raise UsageError(f'there are no degrees of freedom called "{df}".', hint=did_you_mean(str(df), METHODS))
