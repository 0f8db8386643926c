"""What every measure asks of its input: finite matrices with one row per item, paired row by row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError

__all__ = ["FloatArray", "IntArray", "SingleArray", "matrix", "paired", "row_blocks", "unit_rows"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
SingleArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]

_BLOCK_CELLS = 1 << 22


def matrix(values: npt.ArrayLike, name: str) -> npt.NDArray[np.floating]:
    """Return ``values`` as a finite two-dimensional floating-point array.

    Parameters
    ----------
    values
        One row per item, shape [n, d]; integers become float64, floats keep their precision.
    name
        What to call the array in an error.

    Returns
    -------
    numpy.ndarray
        Shape [n, d]; the caller's own array where nothing had to change.

    Raises
    ------
    DataError
        Where the array is not two-dimensional, has no row or no column, is not made of real
        numbers, or holds NaN or infinity.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(
            f"Embeddings must have shape [items, dimensions], not {list(array.shape)}.",
            where=name,
            hint="Stack one row per sentence.",
        )
    if array.dtype.kind not in "fiub":
        raise DataError(f"Embeddings must be real numbers, not {array.dtype}.", where=name)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(
            f"Row {row} holds NaN or infinity.",
            where=name,
            hint="Look for a diverged run or a sentence without tokens.",
        )
    return array


def paired(
    x: npt.ArrayLike, y: npt.ArrayLike, *, minimum: int = 1
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Return two finite matrices whose rows correspond.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y]; row ``i`` of one belongs to row ``i`` of the other.
    minimum
        Fewest items for which the measure is defined.

    Returns
    -------
    tuple of numpy.ndarray
        Both arrays as :func:`matrix` returns them.

    Raises
    ------
    DataError
        Where a side is not a finite matrix, the numbers of rows differ, or there are too few.
    """
    left, right = matrix(x, "x"), matrix(y, "y")
    if len(left) != len(right):
        raise DataError(
            f"x has {len(left)} rows and y has {len(right)}.", hint="Row i of x must pair with row i of y."
        )
    if len(left) < minimum:
        raise DataError(f"{len(left)} items are too few; at least {minimum} are needed.")
    return left, right


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices that cut a [rows, columns] product into blocks of bounded size.

    Parameters
    ----------
    rows, columns
        Shape of the product.

    Yields
    ------
    slice
        Consecutive rows, in order; a block has at most 2**22 cells (32 MiB of float64), and at
        least one row.

    Examples
    --------
    >>> list(row_blocks(3, 2**21))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    size = max(1, _BLOCK_CELLS // columns)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def unit_rows(values: npt.ArrayLike, name: str) -> SingleArray:
    """Return ``values`` in float32 after checking that its rows are of unit length or zero.

    Parameters
    ----------
    values
        Shape [n, d], as :func:`alignaudit.measure.retrieval.normalise` returns it.
    name
        What to call the array in an error.

    Returns
    -------
    numpy.ndarray
        Shape [n, d], float32, contiguous.

    Raises
    ------
    DataError
        Where the array is not a finite matrix or a length differs from 0 and 1 by 0.0005 or more.
    """
    rows = np.ascontiguousarray(matrix(values, name), dtype=np.float32)
    squares = np.vecdot(rows, rows)
    wrong = (np.abs(squares - 1) > 1e-3) & (squares > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"Row {row} has length {math.sqrt(squares[row]):.4g}, not 1.",
            where=name,
            hint="Call normalise first.",
        )
    return rows
