"""The columns of a data frame that a mixed model uses, factors with their levels in the stated order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from alignaudit.errors import FitError, UsageError, did_you_mean
from alignaudit.infer.mixed.formula import MixedFormula

__all__ = ["OFFSET", "WEIGHTS", "as_factors", "plain", "quoted", "used_columns"]

Floats = NDArray[np.float64]
WEIGHTS, OFFSET = "_weights", "_offset"
"""Names under which weights and offset stand among the columns."""

_NAMES = re.compile(r"[^\W\d]\w*")
_CODED = re.compile(r"\bC\(\s*([^\W\d]\w*)\s*[,)]")
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x1f]")


def used_columns(
    parsed: MixedFormula, data: pd.DataFrame, weights: Any, offset: Any, residuals: str | None
) -> pd.DataFrame:
    """Return the columns that a model needs.

    Parameters
    ----------
    parsed
        The formula.
    data
        One row per observation.
    weights, offset
        A column, one number per row, or None.
    residuals
        A column whose groups have residual variances of their own, or None.

    Returns
    -------
    pandas.DataFrame
        These columns of all rows, weights and offset under the names ``WEIGHTS`` and ``OFFSET``.

    Raises
    ------
    FitError
        If a column is unknown, or weights or offset do not fit the rows.
    """
    if not isinstance(data, pd.DataFrame):
        raise UsageError(f"the data must be a pandas DataFrame, not {type(data).__name__}.")
    needed = _variables(parsed.fixed, data) | _variables(quoted(parsed.response), data)
    if parsed.failures is not None:
        needed |= _variables(quoted(parsed.failures), data)
    for bar in parsed.bars:
        needed |= _variables(bar.effects, data) | set(bar.factors)
    if residuals is not None:
        needed.add(residuals)
    for name in needed & {WEIGHTS, OFFSET}:
        raise FitError(f'"{name}" is a name of ours.', where=parsed.text, hint="Rename the column.")
    given = {WEIGHTS: weights, OFFSET: offset}
    needed |= {value for value in given.values() if isinstance(value, str)}
    for name in sorted(needed):
        if name not in data.columns:
            raise FitError(
                f'the data have no column "{name}".',
                where=parsed.text,
                hint=did_you_mean(name, map(str, data)),
            )
        if list(data.columns).count(name) > 1:
            raise FitError(f'the data have several columns "{name}".', where=parsed.text)
    frame = data[[str(name) for name in data.columns if name in needed]].reset_index(drop=True)
    for name, value in given.items():
        if value is not None:
            column = data[value] if isinstance(value, str) else value
            frame = frame.assign(**{name: _numbers(column, len(frame), name.strip("_"), parsed.text)})
    return frame


def as_factors(frame: pd.DataFrame, levels: Mapping[str, Sequence[str]], *, where: str) -> pd.DataFrame:
    """Make categories of text columns, in the stated order, without levels that do not occur.

    Parameters
    ----------
    frame
        Columns without missing values.
    levels
        Order of the levels of some of them; by default that of the categories, of numbers in ``C()``
        that of their size, else of appearance.
    where
        The formula, for messages.

    Returns
    -------
    pandas.DataFrame
        The same columns, numbers as they were.

    Raises
    ------
    FitError
        If levels are stated of a column that is not used, or lack one that occurs.
    """
    coded = set(_CODED.findall(where))
    factors = {
        name: frame[name]
        for name in frame.columns
        if name in levels or name in coded or not (_is_number(frame[name]) or name in (WEIGHTS, OFFSET))
    }
    made = {}
    for name in levels:
        if name not in frame:
            raise FitError(f'levels are stated of "{name}", which the model does not use.', where=where)
    for name, column in factors.items():
        stated = list(dict.fromkeys(levels[name])) if name in levels else None
        if stated is not None and (unknown := set(column.unique()) - set(stated)):
            raise FitError(
                f'the stated levels of "{name}" lack {", ".join(sorted(map(str, unknown)))}.',
                where=where,
            )
        if stated is None and isinstance(column.dtype, pd.CategoricalDtype):
            stated = list(column.cat.categories)
        found = list(column.unique())
        order = stated if stated is not None else sorted(found) if _is_number(column) else found
        made[name] = pd.Categorical(column, categories=order).remove_unused_categories()
    return frame.assign(**made)


def quoted(expression: str) -> str:
    """Return an arithmetic expression as formulaic takes it, which reads a bare minus as `without`.

    Examples
    --------
    >>> quoted("n - hits")
    '0 + {n - hits}'
    """
    return f"0 + {{{expression}}}"


def plain(error: Exception) -> str:
    """Return the message of an error without control characters."""
    return " ".join(_CONTROL.sub("", str(error)).split())


def _variables(expression: str, data: pd.DataFrame) -> set[str]:
    """Return the columns that an expression uses, those inside of transformations as well."""
    try:
        required = {str(name) for name in Formula(expression).required_variables}
    except FormulaicError as error:
        raise FitError(f'formulaic cannot read "{expression}": {plain(error)}') from error
    return required | {name for name in _NAMES.findall(expression) if name in data.columns}


def _numbers(column: Any, rows: int, name: str, where: str) -> Floats:
    try:
        numbers = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FitError(f"{name} must be numbers.", where=where) from error
    if numbers.shape != (rows,):
        raise FitError(f"{name} of shape {numbers.shape} do not fit {rows} rows.", where=where)
    return numbers


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))
