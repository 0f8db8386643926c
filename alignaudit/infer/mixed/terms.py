"""F tests of whole terms of the fixed part."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import model_matrix
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.contrast import joint_test
from alignaudit.infer.mixed.degrees import JointTest
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.fit import MixedFit

__all__ = ["joint_tests", "predictors"]

Floats = NDArray[np.float64]


def joint_tests(fit: MixedFit, *, df: str = "strata", force: bool = False) -> pd.DataFrame:
    """Test each term of the fixed part: that its effects, averaged over the other factors, are all zero.

    Parameters
    ----------
    fit
        A linear mixed model.
    df
        Degrees of freedom, as in ``fit.tidy``.
    force
        Go on although the fit is not certified.

    Returns
    -------
    pandas.DataFrame
        Columns ``term, numerator_df, denominator_df, statistic, p_value``: F tests of type III,
        which do not depend on how factors are coded.

    Raises
    ------
    FitError
        If the fixed columns were not of full rank, or the fit is not certified.

    References
    ----------
    Yates (1934), J. American Statistical Association 29, 51-66 (weighted squares of means); Kuznetsova
    et al. (2017), J. Statistical Software 82(13), section 2.2.
    """
    design = fit.model.design
    if design.dropped_columns:
        raise FitError("terms cannot be tested jointly where fixed columns were left out.")
    rows = []
    for name, hypothesis in _type_three(design):
        test = joint_test(fit.model, hypothesis, df=df, force=force)
        p_value = _tail(test)
        rows.append((name, test.numerator_df, test.denominator_df, test.statistic, p_value))
    columns = ["term", "numerator_df", "denominator_df", "statistic", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def _tail(test: JointTest) -> float:
    """Return the p-value of an F test, whose denominator may have infinite degrees of freedom."""
    if math.isinf(test.denominator_df):
        return float(stats.chi2.sf(test.statistic * test.numerator_df, test.numerator_df))
    return float(stats.f.sf(test.statistic, test.numerator_df, test.denominator_df))


def predictors(design: MixedDesign) -> dict[str, Any]:
    """Return the levels of each factor of the fixed part, and the mean of each number.

    Parameters
    ----------
    design
        The model.

    Returns
    -------
    dict
        By column: a list of levels in their order, or a float.
    """
    used = {str(name) for name in design.specification.required_variables}
    found: dict[str, Any] = {}
    for name in design.frame.columns:
        if name in used:
            column = design.frame[name]
            is_factor = isinstance(column.dtype, pd.CategoricalDtype)
            found[name] = list(column.cat.categories) if is_factor else float(column.mean())
    return found


def _type_three(design: MixedDesign) -> list[tuple[str, Floats]]:
    """Return each term's hypothesis: its columns are zero where all factors are coded to sum to zero.

    The denominator of Fai and Cornelius depends on which contrasts span a hypothesis. These are
    uncorrelated under least squares, each led by one of the term's own columns.
    """
    specification = design.specification
    factors = [name for name, values in predictors(design).items() if isinstance(values, list)]
    text = _sum_coded(design.formula.fixed, factors)
    summed = model_matrix(text, design.frame, na_action="raise", context={})
    transform = np.linalg.lstsq(np.asarray(summed, dtype=np.float64), design.fixed, rcond=None)[0]
    inverse = np.asarray(np.linalg.inv(design.fixed.T @ design.fixed))
    spans = zip(specification.term_slices.items(), summed.model_spec.term_slices.values(), strict=True)
    return [
        (str(term), _uncorrelated(transform[summed_span], own, inverse))
        for (term, own), summed_span in spans
        if str(term) != "1"
    ]


def _uncorrelated(hypothesis: Floats, own: slice, inverse: Floats) -> Floats:
    """Return rows that span the same hypothesis, uncorrelated where the response has equal variances."""
    leading = hypothesis[:, own]
    rows = hypothesis
    if leading.shape[0] == leading.shape[1] and np.linalg.matrix_rank(leading) == len(leading):
        rows = np.asarray(np.linalg.solve(leading, hypothesis))
    lower = np.linalg.cholesky(np.linalg.inv(rows @ inverse @ rows.T))
    return (lower / np.diagonal(lower)).T @ rows


def _sum_coded(text: str, factors: Sequence[str]) -> str:
    """Return the formula with every factor coded to sum to zero."""
    for name in factors:
        text = re.sub(rf"\bC\(\s*{re.escape(name)}\s*\)", name, text)
        text = _replace_name(text, name, f"C({name}, contr.sum)")
    return text


def _replace_name(text: str, name: str, replacement: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.(])", lambda _: replacement, text)
