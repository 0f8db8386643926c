"""F tests of whole terms of the fixed part."""

from __future__ import annotations

import math
import re
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
    inverse = np.asarray(np.linalg.inv(design.fixed.T @ design.fixed))
    parts = {term: _summed_columns(design, term) for term in design.specification.term_slices}
    summed = np.hstack(list(parts.values()))
    transform = np.asarray(np.linalg.lstsq(summed, design.fixed, rcond=None)[0])
    same_space = np.allclose(summed @ transform, design.fixed, atol=1e-8 * np.abs(design.fixed).max())
    hypotheses, start = [], 0
    for term, own in design.specification.term_slices.items():
        span = slice(start, start + parts[term].shape[1])
        start = span.stop
        if str(term) != "1":
            rows: Floats = transform[span] if same_space else np.eye(design.fixed.shape[1])[own]
            hypotheses.append((str(term), _uncorrelated(rows, own, inverse)))
    return hypotheses


def _summed_columns(design: MixedDesign, term: Any) -> Floats:
    """Return a term's columns, shape [n, columns], factors coded to sum to zero however they were coded."""
    columns = np.ones((design.n, 1))
    for factor in term.factors:
        if str(factor.expr) != "1":
            own = _summed_factor(design, factor)
            columns = np.einsum("na,nb->nba", columns, own).reshape(design.n, -1)
    return columns


def _summed_factor(design: MixedDesign, factor: Any) -> Floats:
    kind, state = design.specification.encoder_state.get(factor.expr, (None, {}))
    if kind is None or str(getattr(kind, "value", kind)) != "categorical":
        if factor.expr in design.frame:
            return design.frame[factor.expr].to_numpy(dtype=np.float64)[:, None]
        columns = model_matrix(f"0 + {factor.expr}", design.frame, na_action="raise", context={})
        return np.asarray(columns, dtype=np.float64)
    name = next(name for name in design.frame if name in _names(factor.expr))
    codes = pd.Categorical(design.frame[name], categories=state["categories"]).codes
    levels = len(state["categories"])
    coding = np.vstack([np.eye(levels - 1), -np.ones(levels - 1)])
    return coding[codes]


def _names(expression: str) -> set[str]:
    """Return what could be names of columns in an expression: itself, and the words in it."""
    return {expression, *re.findall(r"[^\W\d]\w*", expression)}


def _uncorrelated(hypothesis: Floats, own: slice, inverse: Floats) -> Floats:
    """Return rows that span the same hypothesis, uncorrelated where the response has equal variances."""
    leading = hypothesis[:, own]
    rows = hypothesis
    if leading.shape[0] == leading.shape[1] and np.linalg.matrix_rank(leading) == len(leading):
        rows = np.asarray(np.linalg.solve(leading, hypothesis))
    lower = np.linalg.cholesky(np.linalg.inv(rows @ inverse @ rows.T))
    return (lower / np.diagonal(lower)).T @ rows
