"""From a formula and a data frame to the arrays of a mixed model, with every decision on record."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from formulaic import ModelSpec, model_matrix
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.mixed.columns import OFFSET, WEIGHTS, as_factors, plain, quoted, used_columns
from alignaudit.infer.mixed.formula import Bar, MixedFormula, parse_formula

__all__ = ["MixedDesign", "RandomTerm", "build_design", "independent_columns"]

Floats = NDArray[np.float64]
RANK_TOLERANCE = 1e-9
"""A fixed column whose part orthogonal to the earlier ones is relatively smaller than this is left out."""


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """Effects that vary by group.

    Attributes
    ----------
    group
        Name of the grouping, for example ``seed:schedule``.
    factors
        Its columns.
    columns
        Names of the k effects, for example ``("Intercept", "schedule[T.concurrent]")``.
    levels
        Names of the groups that occur, in the stated order of their factors.
    index
        Shape [n]: the group of each observation.
    values
        Shape [n, k]: the effects' columns.
    """

    group: str
    factors: tuple[str, ...]
    columns: tuple[str, ...]
    levels: tuple[str, ...]
    index: NDArray[np.intp]
    values: Floats

    @property
    def size(self) -> int:
        """Return the number of random effects, groups × columns."""
        return len(self.levels) * len(self.columns)


@dataclass(frozen=True, slots=True)
class MixedDesign:
    """Everything that a mixed model is fitted to.

    Attributes
    ----------
    formula
        As parsed.
    response
        Shape [n], the unit of the data; for binomial data the successes.
    trials
        Shape [n] for ``cbind`` responses, else None.
    fixed
        Shape [n, p], of full column rank.
    fixed_names
        Names of its columns.
    dropped_columns
        Fixed columns left out because they are combinations of earlier ones.
    terms
        Random terms by decreasing number of groups, as lme4 orders them.
    weights
        Shape [n], precision weights: the residual variance of row i is sigma² / weight.
    offset
        Shape [n], a known part of the mean.
    residual_groups
        Shape [n], the residual stratum of each row; None for one residual variance.
    residual_levels
        Names of the strata.
    dropped_rows
        Number of rows left out because of missing values.
    frame
        The columns used, without those rows, factors as categories.
    specification
        How formulaic builds the fixed columns, to build them for other rows.
    """

    formula: MixedFormula
    response: Floats
    trials: Floats | None
    fixed: Floats
    fixed_names: tuple[str, ...]
    dropped_columns: tuple[str, ...]
    terms: tuple[RandomTerm, ...]
    weights: Floats
    offset: Floats
    residual_groups: NDArray[np.intp] | None
    residual_levels: tuple[str, ...]
    dropped_rows: int
    frame: pd.DataFrame
    specification: ModelSpec

    @property
    def n(self) -> int:
        """Return the number of observations."""
        return len(self.response)

    def fixed_rows(self, frame: pd.DataFrame) -> Floats:
        """Return the fixed columns for other rows.

        Parameters
        ----------
        frame
            Rows with the columns of the fixed part, factors with the levels of the data.

        Returns
        -------
        numpy.ndarray of float64, shape [rows, p]
        """
        columns = self.specification.get_model_matrix(frame)
        return np.asarray(columns[list(self.fixed_names)], dtype=np.float64)


def build_design(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    residuals: str | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    saturated: bool = False,
) -> MixedDesign:
    """Build the arrays of a mixed model.

    Parameters
    ----------
    formula
        lme4's syntax, see :func:`alignaudit.infer.mixed.formula.parse_formula`.
    data
        One row per observation. Text columns are factors; their levels stand in the order of
        ``levels``, else of the column's categories, else of first appearance, never of the alphabet.
    weights, offset
        A column or one number per row of ``data``.
    residuals
        A column whose levels have residual variances of their own.
    levels
        Order of the levels of some factors.
    saturated
        Whether a grouping may have a group for each observation (binomial models only).

    Returns
    -------
    MixedDesign
        Rows with missing values and dependent columns are left out and counted.

    Raises
    ------
    FitError
        If a column is unknown, a value infinite, a grouping has a single group or too many, or
        nothing is left to be fitted.

    Examples
    --------
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "arm": list("baba"), "g": list("uuvv")})
    >>> build_design("y ~ arm + (1 | g)", frame).fixed_names
    ('Intercept', 'arm[T.a]')
    """
    parsed = parse_formula(formula)
    frame = used_columns(parsed, data, weights, _one_offset(parsed, offset), residuals)
    complete = frame.notna().all(axis=1).to_numpy()
    if not len(frame):
        raise FitError("the data have no rows.", where=parsed.text)
    if not complete.any():
        raise FitError(f'every row of the data has a missing value in a column of "{parsed.text}".')
    frame = as_factors(frame[complete].reset_index(drop=True), levels or {}, where=parsed.text)
    numbers = frame.select_dtypes("number").to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise FitError("the data hold infinite values.", where=parsed.text)
    response, trials = _response(parsed, frame)
    fixed, names, dropped, specification = _fixed_part(parsed, frame)
    terms = _ordered([term for bar in parsed.bars for term in _random_terms(bar, frame)])
    _check_groups(terms, len(response), saturated)
    strata, stratum_names = _strata(frame, residuals)
    return MixedDesign(
        formula=parsed, response=response, trials=trials, fixed=fixed, fixed_names=names,
        dropped_columns=dropped, terms=terms, weights=_weights(frame), offset=_offset(frame),
        residual_groups=strata, residual_levels=stratum_names, dropped_rows=int((~complete).sum()),
        frame=frame, specification=specification,
    )  # fmt: skip


def _one_offset(parsed: MixedFormula, offset: Any) -> Any:
    if parsed.offset is not None and offset is not None:
        raise FitError(
            "an offset stands in the formula and in the call.", where=parsed.text, hint="Add them up."
        )
    return parsed.offset if offset is None else offset


def _response(parsed: MixedFormula, frame: pd.DataFrame) -> tuple[Floats, Floats | None]:
    successes = _expression(parsed.response, frame, parsed.text)
    if parsed.failures is None:
        return successes, None
    return successes, successes + _expression(parsed.failures, frame, parsed.text)


def _expression(expression: str, frame: pd.DataFrame, where: str) -> Floats:
    try:
        columns = model_matrix(quoted(expression), frame, na_action="ignore", context={})
    except FormulaicError as error:
        raise FitError(
            f'the response "{expression}" cannot be computed: {plain(error)}', where=where
        ) from error
    if columns.shape[1] != 1:
        raise FitError(f'the response "{expression}" is not a number.', where=where)
    values = np.asarray(columns, dtype=np.float64)[:, 0]
    if not np.isfinite(values).all():
        raise FitError(f'the response "{expression}" is not finite in every row.', where=where)
    return values


def _fixed_part(
    parsed: MixedFormula, frame: pd.DataFrame
) -> tuple[Floats, tuple[str, ...], tuple[str, ...], ModelSpec]:
    columns = _model_matrix(parsed.fixed, frame, parsed.text)
    X = np.asarray(columns, dtype=np.float64)
    keep = independent_columns(X)
    names = [str(name) for name in columns.columns]
    kept = tuple(name for name, used in zip(names, keep, strict=True) if used)
    dropped = tuple(name for name, used in zip(names, keep, strict=True) if not used)
    if len(kept) >= len(X):
        raise FitError(
            f"{len(kept)} fixed effects cannot be estimated from {len(X)} rows.", where=parsed.text
        )
    return np.ascontiguousarray(X[:, keep]), kept, dropped, columns.model_spec


def _model_matrix(expression: str, frame: pd.DataFrame, where: str) -> Any:
    try:
        with np.errstate(all="ignore"):
            columns = model_matrix(expression, frame, na_action="ignore", context={})
    except (FormulaicError, ValueError) as error:
        raise FitError(
            f'the columns of "{expression}" cannot be computed: {plain(error)}', where=where
        ) from error
    values = np.asarray(columns, dtype=np.float64)
    for name, column in zip(columns.columns, values.T, strict=True):
        if not np.isfinite(column).all():
            raise FitError(f'the column "{name}" is not finite in every row.', where=where)
    for factor, (_, state) in columns.model_spec.encoder_state.items():
        if len(state.get("categories", (1, 2))) < 2:
            raise FitError(f'the factor "{factor}" has a single level.', where=where, hint="Leave it out.")
    return columns


def independent_columns(X: Floats) -> NDArray[np.bool_]:
    """Say which columns are no combination of earlier ones, by Gram-Schmidt with one repetition.

    Parameters
    ----------
    X
        Shape [n, p].

    Returns
    -------
    numpy.ndarray of bool, shape [p]
    """
    basis = np.empty((X.shape[0], 0))
    keep = np.zeros(X.shape[1], dtype=np.bool_)
    for column in range(X.shape[1]):
        x = X[:, column]
        rest = x - basis @ (basis.T @ x)
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > RANK_TOLERANCE * float(np.linalg.norm(x)):
            keep[column] = True
            basis = np.column_stack([basis, rest / length])
    return keep


def _random_terms(bar: Bar, frame: pd.DataFrame) -> list[RandomTerm]:
    columns = _model_matrix(bar.effects, frame, str(bar))
    index, levels = _groups(bar.factors, frame)
    names = tuple(str(name) for name in columns.columns)
    values = np.asarray(columns, dtype=np.float64)
    if not names:
        raise FitError(f"the random term {bar} has no effects.")
    for name, column in zip(names, values.T, strict=True):
        if not column.any():
            raise FitError(f'the effect "{name}" of {bar} is zero in every row.')
    if bar.correlated:
        return [RandomTerm(bar.group, bar.factors, names, levels, index, values)]
    return [
        RandomTerm(bar.group, bar.factors, (name,), levels, index, values[:, [column]])
        for column, name in enumerate(names)
    ]


def _groups(factors: Sequence[str], frame: pd.DataFrame) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Return the number of each row's combination of levels, and the names of those that occur."""
    code = np.zeros(len(frame), dtype=np.int64)
    names: list[str] = [""]
    for factor in factors:
        column = frame[factor]
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes, levels = column.cat.codes.to_numpy(), column.cat.categories
        else:
            codes, levels = pd.factorize(column, sort=True)
        code = code * len(levels) + codes
        present, code = np.unique(code, return_inverse=True)
        labels = [_label(level) for level in levels]
        names = [f"{names[c // len(levels)]}:{labels[c % len(levels)]}" for c in present]
    return code.astype(np.intp), tuple(name[1:] for name in names)


def _label(level: Any) -> str:
    """Return the name of a group; whole numbers without a decimal point."""
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)


def _ordered(terms: list[RandomTerm]) -> tuple[RandomTerm, ...]:
    """Order terms as lme4 does: as written if group counts fall, else by falling count, ties reversed."""
    counts = [len(term.levels) for term in terms]
    if all(first >= second for first, second in itertools.pairwise(counts)):
        return tuple(terms)
    return tuple(reversed([terms[place] for place in np.argsort(counts, kind="stable")]))


def _check_groups(terms: Sequence[RandomTerm], n: int, saturated: bool) -> None:
    for term in terms:
        if len(term.levels) < 2:
            raise FitError(
                f'the grouping "{term.group}" has a single group.', hint="Leave the term out, or add data."
            )
        if not saturated and term.size >= n:
            raise FitError(
                f'the {len(term.columns)} effects of {len(term.levels)} groups of "{term.group}" cannot be '
                f"told from the residuals of {n} rows.",
                hint="Use a coarser grouping or fewer effects.",
            )


def _strata(frame: pd.DataFrame, residuals: str | None) -> tuple[NDArray[np.intp] | None, tuple[str, ...]]:
    if residuals is None:
        return None, ()
    index, levels = _groups([residuals], frame)
    if len(levels) < 2:
        raise FitError(f'the residual grouping "{residuals}" has a single group.')
    return index, levels


def _weights(frame: pd.DataFrame) -> Floats:
    if WEIGHTS not in frame:
        return np.ones(len(frame))
    weights = frame[WEIGHTS].to_numpy(dtype=np.float64)
    if not (weights > 0).all():
        raise FitError("weights must be above zero.", hint="Leave out rows that should not count.")
    return weights


def _offset(frame: pd.DataFrame) -> Floats:
    return frame[OFFSET].to_numpy(dtype=np.float64) if OFFSET in frame else np.zeros(len(frame))
