"""What every measure asks of its input: finite matrices with one row per item, paired row by row.

A measure takes NumPy arrays and PyTorch tensors alike, on any device, through the array API; torch
is imported by whoever brings a tensor, never here. Products run where the input lies and in its
precision; what a measure says of each item comes back as a NumPy array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError

__all__ = [
    "Array",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "SingleArray",
    "centred",
    "centred_blocks",
    "matrix",
    "namespace",
    "paired",
    "row_blocks",
    "to_numpy",
    "unit_rows",
]

Array: TypeAlias = Any
FloatArray: TypeAlias = npt.NDArray[np.float64]
SingleArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

_BLOCK_CELLS = 1 << 16  # half a MiB of float64: temporaries that stay in the cache are several times faster
_DEVICE_BLOCK_CELLS = 1 << 26


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace of arrays: that of NumPy or of torch.

    Parameters
    ----------
    arrays
        At least one; all of one library.

    Returns
    -------
    module
        From array-api-compat.

    Raises
    ------
    DataError
        Where the arrays are of different libraries.
    """
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError as error:
        raise DataError(
            "The arrays belong to different libraries.", hint="Give NumPy arrays or torch tensors, not both."
        ) from error


def to_numpy(array: Array) -> npt.NDArray[Any]:
    """Return an array of either library as a NumPy array on the host.

    Parameters
    ----------
    array
        Any shape and device.

    Returns
    -------
    numpy.ndarray
        Same shape and type; the caller's own memory where it is a NumPy array.
    """
    if array_api_compat.is_torch_array(array):
        return np.asarray(array.detach().cpu())
    return np.asarray(array)


def matrix(values: Array, name: str) -> Array:
    """Return ``values`` as a finite two-dimensional floating-point array.

    Parameters
    ----------
    values
        One row per item, shape [n, d]. Integers become float64, half precision float32; other
        floats keep their precision, tensors their device.
    name
        What to call the array in an error.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Shape [n, d], float32 or float64; the caller's own array where nothing had to change.

    Raises
    ------
    DataError
        Where the array is not two-dimensional, has no row or no column, is not made of real
        numbers, or holds NaN or infinity.
    """
    array = values.detach() if array_api_compat.is_torch_array(values) else np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(
            f"Embeddings must have shape [items, dimensions], not {list(array.shape)}.",
            where=name,
            hint="Stack one row per sentence.",
        )
    xp = namespace(array)
    if xp.isdtype(array.dtype, ("bool", "integral")):
        array = xp.astype(array, xp.float64)
    elif not xp.isdtype(array.dtype, "real floating"):
        raise DataError(f"Embeddings must be real numbers, not {array.dtype}.", where=name)
    elif array.dtype not in (xp.float32, xp.float64):
        array = xp.astype(array, xp.float32 if array.dtype.itemsize < 4 else xp.float64)
    with np.errstate(all="ignore"):
        if math.isfinite(float(xp.sum(array))):  # the sum may overflow too, so that this is no proof
            return array
    for rows in row_blocks(*array.shape):
        finite = to_numpy(xp.all(xp.isfinite(array[rows, :]), axis=1))
        if not finite.all():
            raise DataError(
                f"Row {rows.start + int(np.argmin(finite))} holds NaN or infinity.",
                where=name,
                hint="Look for a diverged run or a sentence without tokens.",
            )
    return array


def paired(x: Array, y: Array, *, minimum: int = 1) -> tuple[Array, Array]:
    """Return two finite matrices whose rows correspond.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], of one library; row ``i`` of one belongs to row ``i`` of the
        other.
    minimum
        Fewest items for which the measure is defined.

    Returns
    -------
    tuple of arrays
        Both arrays as :func:`matrix` returns them, in the wider of the two precisions.

    Raises
    ------
    DataError
        Where a side is not a finite matrix, the numbers of rows differ, or there are too few.
    """
    left, right = matrix(x, "x"), matrix(y, "y")
    xp = namespace(left, right)
    if left.shape[0] != right.shape[0]:
        raise DataError(
            f"x has {left.shape[0]} rows and y has {right.shape[0]}.",
            hint="Row i of x must pair with row i of y.",
        )
    if left.shape[0] < minimum:
        raise DataError(f"{left.shape[0]} items are too few; at least {minimum} are needed.")
    if left.dtype != right.dtype:
        left, right = xp.astype(left, xp.float64), xp.astype(right, xp.float64)
    return left, right


def centred(array: Array) -> Array:
    """Return rows minus their mean, exactly zero in a column that is constant.

    Parameters
    ----------
    array
        Shape [n, d], as :func:`matrix` returns it.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Shape [n, d], a new array in the precision of the input. The mean is taken, and subtracted,
        in float64; float32 rows are rounded once, after that.
    """
    xp = namespace(array)
    result = xp.empty_like(array)
    for rows, block in centred_blocks(array):
        result[rows, :] = xp.astype(block, array.dtype, copy=False)
    return result


def centred_blocks(array: Array) -> Iterator[tuple[slice, Array]]:
    """Yield the rows of :func:`centred` in float64, a cache-sized block at a time.

    Parameters
    ----------
    array
        Shape [n, d], as :func:`matrix` returns it.

    Yields
    ------
    rows : slice
        Which rows, in order.
    block : numpy.ndarray or torch.Tensor
        Shape [rows, d], float64: those rows minus the mean of all.
    """
    xp = namespace(array)
    first = xp.astype(array[:1, :], xp.float64)  # taken off before summing: a constant column gives zeros
    total = first * 0
    for rows in row_blocks(*array.shape):
        block = xp.astype(array[rows, :], xp.float64) - first
        total = total + xp.sum(block, axis=0, keepdims=True)
    shift = total / array.shape[0]
    for rows in row_blocks(*array.shape):
        yield rows, (xp.astype(array[rows, :], xp.float64) - first) - shift


def row_blocks(rows: int, columns: int, *, on_host: bool = True) -> Iterator[slice]:
    """Yield slices that cut a [rows, columns] array into blocks of bounded size.

    Parameters
    ----------
    rows, columns
        Shape of the array.
    on_host
        Whether the blocks should fit a processor's cache; a GPU wants few large ones.

    Yields
    ------
    slice
        Consecutive rows, in order; a block has at most 2**16 cells (2**26 on a device), and at
        least one row.

    Examples
    --------
    >>> list(row_blocks(3, 2**15))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    size = max(1, (_BLOCK_CELLS if on_host else _DEVICE_BLOCK_CELLS) // columns)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def unit_rows(values: Array, name: str) -> Array:
    """Return ``values`` in float32 after checking that its rows are of unit length or zero.

    Parameters
    ----------
    values
        Shape [n, d], as :func:`alignaudit.measure.retrieval.normalise` returns it.
    name
        What to call the array in an error.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Shape [n, d], float32.

    Raises
    ------
    DataError
        Where the array is not a finite matrix or a length differs from 0 and 1 by 0.0005 or more.
    """
    array = matrix(values, name)
    xp = namespace(array)
    rows = xp.astype(array, xp.float32, copy=False)
    squares = to_numpy(xp.vecdot(rows, rows))
    wrong = (np.abs(squares - 1) > 1e-3) & (squares > 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"Row {row} has length {math.sqrt(squares[row]):.4g}, not 1.",
            where=name,
            hint="Call normalise first.",
        )
    return rows
