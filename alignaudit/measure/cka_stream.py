"""The sums of two sides of float32 features in one pass, without a centred copy of either.

Blocks of rows are centred near their mean while they lie in the cache, and one symmetric product
adds up the covariances of both sides. What the centre misses of the mean is known from the sums of
the columns, so the results are those of exactly centred features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from alignaudit.measure.arrays import Array, FloatArray, SingleArray
from alignaudit.measure.cka_compare import DebiasedCka
from alignaudit.measure.cka_jackknife import HsicSums

__all__ = ["streamed_cka"]

_CENTRE_ROWS = 1024  # evenly spaced, whose mean is the centre
_PART_CELLS, _PART_ROWS = 1 << 17, 1024  # half a MiB of float32, and sums of no more terms
_BLOCK_CELLS = 40 * _PART_CELLS
_FARTHEST = 0.25  # share of the squared products that the centre's distance from the mean may make up
_CANCELLED = 0.1  # share of the squared products below which the rest has lost a digit
_RANGE = 2.0**20  # of the mean square of a row, on both sides of 1


@dataclass(frozen=True, slots=True)
class _Moments:
    """Sums over the n rows ``z`` of both sides beside each other, less their centre.

    Attributes
    ----------
    products
        Shape [d, d], float32, of d = d_x + d_y columns: sums of ``z z'``, its lower triangle.
    weighted
        Shape [3, d]: sums of ``z``, and of ``z`` times the squared length of x's row and of y's.
    squares
        Shape [2, n]: squared lengths of the rows of x and of y.
    """

    products: SingleArray
    weighted: FloatArray
    squares: FloatArray


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the moments: which columns, its mean there, the mean's square and that of all rows."""

    row: int
    columns: slice
    mean: FloatArray
    mean_square: float
    trace: float


def streamed_cka(x: Array, y: Array) -> DebiasedCka | None:
    """Return the debiased linear CKA of two sides without its jackknife, where that can be streamed.

    Parameters
    ----------
    x, y
        Two sides, which need not have been checked.

    Returns
    -------
    DebiasedCka or None
        None where the sides are not two finite float32 NumPy matrices of as many rows, with so few
        columns that the feature space is cheaper; or where float32 is not enough for this way: the
        scale is far from 1, the mean is far from where it seemed, or digits cancel.
    """
    if not _is_open(x, y):
        return None
    with np.errstate(all="ignore"):
        moments = _moments(x, y)
    if not all(1 / _RANGE < square < _RANGE for square in moments.squares.mean(axis=1)):
        return None
    n = moments.squares.shape[1]
    left, right = _sides(moments, x.shape[1])
    xy, xx, yy = (_sums(moments, *pair) for pair in ((left, right), (left, left), (right, right)))
    for side, own in ((left, xx), (right, yy)):
        total = float(own.products + own.between)
        if not (n * side.mean_square) ** 2 <= _FARTHEST**2 * total or own.hsic < _CANCELLED * total:
            return None
    value = float(xy.hsic) / (math.sqrt(xx.hsic) * math.sqrt(yy.hsic))
    totals = [float(sums.products + sums.between) for sums in (xy, xx, yy)]
    biased = totals[0] / (math.sqrt(totals[1]) * math.sqrt(totals[2]))
    return DebiasedCka(value, math.nan, n, -1, np.empty(0), biased=biased)


def _is_open(x: Array, y: Array) -> bool:
    for side in (x, y):
        if not isinstance(side, np.ndarray) or side.dtype != np.float32 or side.ndim != 2 or not side.size:
            return False
    n, d_x, d_y = len(x), x.shape[1], y.shape[1]
    return 4 <= n == len(y) and (d_x + d_y) ** 2 <= n * (d_x + d_y)


def _moments(x: SingleArray, y: SingleArray) -> _Moments:
    n, split, width = len(x), x.shape[1], x.shape[1] + y.shape[1]
    centres = [side[:: max(1, n // _CENTRE_ROWS)].mean(axis=0) for side in (x, y)]
    size = min(n, max(1, _BLOCK_CELLS // width))
    step = min(_PART_ROWS, max(1, _PART_CELLS // width))
    buffer = np.empty((size, width), dtype=np.float32)
    halves = (slice(0, split), slice(split, width))
    weights = np.ones((4, n), dtype=np.float32)  # products with four rows are faster than with three
    products = np.zeros((width, width), dtype=np.float32, order="F")
    weighted = np.zeros((4, width))
    for top in range(0, n, size):
        block = buffer[: min(size, n - top)]
        for start in range(0, len(block), step):
            part = block[start : start + step]
            rows = slice(top + start, top + start + len(part))
            for i, (side, centre) in enumerate(zip((x, y), centres, strict=True)):
                centred = part[:, halves[i]]
                np.subtract(side[rows], centre, out=centred)
                np.vecdot(centred, centred, out=weights[1 + i, rows])
            weighted += weights[:, rows] @ part
        products = blas.ssyrk(1.0, block.T, beta=1.0, c=products, overwrite_c=1)
    return _Moments(products.T, weighted[:3], weights[1:3].astype(np.float64))


def _sides(moments: _Moments, split: int) -> tuple[_Side, _Side]:
    n = moments.squares.shape[1]
    sides = []
    for i, columns in enumerate((slice(0, split), slice(split, None))):
        mean = moments.weighted[0, columns] / n
        square = float(mean @ mean)
        sides.append(_Side(i, columns, mean, square, float(moments.squares[i].sum()) - n * square))
    return sides[0], sides[1]


def _sums(moments: _Moments, a: _Side, b: _Side) -> HsicSums:
    """Return the sums of two sides as they are when both are centred at their mean."""
    n = moments.squares.shape[1]
    covariance = moments.products[b.columns, a.columns]
    squares = float(np.vecdot(covariance, covariance).sum(dtype=np.float64))
    along = float(b.mean @ (covariance @ a.mean.astype(np.float32)))  # sum of (z' mean_a) (w' mean_b)
    if a is b:  # only the lower triangle is there
        diagonal = covariance.diagonal().astype(np.float64)
        squares = 2 * squares - float(diagonal @ diagonal)
        along = 2 * along - float(diagonal @ a.mean**2)
    total = squares - 2 * n * along + n**2 * a.mean_square * b.mean_square
    # Rows of K and L sum to zero with their diagonals, which are |z|^2 - 2 z' mean_a + mean_a^2.
    diagonals = (
        float(moments.squares[a.row] @ moments.squares[b.row])
        + b.mean_square * a.trace
        + a.mean_square * b.trace
        - 2 * float(a.mean @ moments.weighted[1 + b.row, a.columns])
        - 2 * float(b.mean @ moments.weighted[1 + a.row, b.columns])
        + 4 * along
        - n * a.mean_square * b.mean_square
    )
    return HsicSums(n, total - diagonals, -a.trace, -b.trace, diagonals)
