"""One side of a kernel alignment: centred features, or the Gram matrix of a kernel on them.

The sums that HSIC consists of come from either: from n by n inner products (sample space) or from
d by d ones (feature space), whichever are fewer. Both kinds of side answer the same questions, and
two sides of one kind can be compared.

HSIC does not depend on where the origin lies. Float32 features are therefore centred at their
float64 mean rounded to float32: each entry is rounded once, and what the rounding of the mean leaves
over enters through the row sums, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import array_api_compat
import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.arrays import (
    Array,
    FloatArray,
    IntArray,
    centred_blocks,
    namespace,
    row_blocks,
    to_numpy,
)

__all__ = [
    "AnySide",
    "CentredFeatures",
    "CentredGram",
    "Side",
    "centred_features",
    "is_on_host",
    "linear_gram",
    "rbf_gram",
]

GroupSums: TypeAlias = Callable[[slice], Array]

_PANEL_COLUMNS = 256


@dataclass(frozen=True, slots=True)
class CentredFeatures:
    """Centred features, which stand for their linear Gram matrix ``K`` without forming it.

    Attributes
    ----------
    features
        Shape [n, d], float32 or float64.
    diagonal
        Shape [n]: squared lengths of the rows, the diagonal of ``K``.
    row_sums
        Shape [n]: sums of the rows of ``K`` without its diagonal.
    unit
        What the features were divided by: 1, or the power of two that keeps very large or small
        ones in the range of their precision.
    """

    features: Array
    diagonal: FloatArray
    row_sums: FloatArray
    unit: float = 1.0

    @property
    def is_single(self) -> bool:
        """Return whether products are taken in float32."""
        return bool(self.features.dtype == namespace(self.features).float32)

    @property
    def reason(self) -> str:
        """Return nothing: the linear kernel always has a Gram matrix."""
        return ""

    @property
    def subtracts_diagonal(self) -> bool:
        """Return whether totals are differences from sums that include the diagonal."""
        return True

    def total(self, other: CentredFeatures) -> float:
        """Return the sum over i != j of ``K_ij L_ij``, where ``L`` belongs to the other side."""
        covariance = namespace(self.features).matmul(self.features.T, other.features)
        return float(_row_dots(covariance, covariance).sum() - self.diagonal @ other.diagonal)

    def rows(self, other: CentredFeatures) -> FloatArray:
        """Return the sums over j != i of ``K_ij L_ij``, shape [n]."""
        xp, width = namespace(self.features), other.features.shape[1]
        covariance = xp.matmul(self.features.T, other.features)
        if other is self:  # its upper half, doubled off the diagonal, gives the same quadratic forms
            covariance = xp.triu(covariance) + xp.triu(covariance, k=1)
        sums = -self.diagonal * other.diagonal
        for start in range(0, width, _PANEL_COLUMNS):
            columns = slice(start, min(start + _PANEL_COLUMNS, width))
            used = slice(0, columns.stop if other is self else None)
            projected = xp.matmul(self.features[:, used], covariance[used, columns])
            sums += _row_dots(projected, other.features[:, columns])
        return sums

    def times(self, weights: FloatArray) -> FloatArray:
        """Return ``K`` without its diagonal times weights of shape [n], shape [n]."""
        xp = namespace(self.features)
        vector = _like(weights, self.features)
        product = xp.matmul(self.features, xp.matmul(self.features.T, vector))
        return _double(product) - self.diagonal * weights

    def permuted_total(self, other: CentredFeatures, order: IntArray) -> float:
        """Return :meth:`total` with the items of the other side in another order."""
        rows = _taken(other.features, order)
        return self.total(CentredFeatures(rows, other.diagonal[order], other.row_sums[order]))

    def group_sums(self, groups: list[IntArray]) -> GroupSums:
        """Return what gives, for b rows, the [b, G] sums of ``K`` over the columns of each group."""
        xp = namespace(self.features)
        sums = [xp.sum(_taken(self.features, group), axis=0, dtype=xp.float64) for group in groups]
        columns = xp.astype(xp.stack(sums, axis=1), self.features.dtype)
        return lambda rows: xp.matmul(self.features[rows, :], columns)

    def block(self, members: IntArray) -> Array:
        """Return ``K`` without its diagonal for some items, shape [m, m]."""
        rows = _taken(self.features, members)
        return _without_diagonal(namespace(rows).matmul(rows, rows.T))


@dataclass(frozen=True, slots=True)
class CentredGram:
    """The Gram matrix ``K`` of a side, kept for comparisons with many other sides.

    Attributes
    ----------
    off_diagonal
        Shape [n, n], in the precision and the place of the features: inner products of centred
        rows (divided by a power of four where they would overflow or vanish), zero on the diagonal.
    diagonal
        Shape [n], float64: squared lengths of the centred rows, in the same unit.
    row_sums
        Shape [n], float64: sums of the rows of ``off_diagonal``.
    reason
        Why the kernel has no Gram matrix, which is zero then; empty otherwise.
    """

    off_diagonal: Array
    diagonal: FloatArray
    row_sums: FloatArray
    reason: str = ""

    @property
    def is_single(self) -> bool:
        """Return whether products are taken in float32."""
        return bool(self.off_diagonal.dtype == namespace(self.off_diagonal).float32)

    @property
    def subtracts_diagonal(self) -> bool:
        """Return whether totals are differences from sums that include the diagonal."""
        return False

    def total(self, other: CentredGram) -> float:
        """Return the sum over i != j of ``K_ij L_ij``, where ``L`` belongs to the other side."""
        return float(self.rows(other).sum())

    def rows(self, other: CentredGram) -> FloatArray:
        """Return the sums over j != i of ``K_ij L_ij``, shape [n]."""
        return _row_dots(self.off_diagonal, other.off_diagonal)

    def times(self, weights: FloatArray) -> FloatArray:
        """Return ``K`` without its diagonal times weights of shape [n], shape [n]."""
        xp = namespace(self.off_diagonal)
        return _double(xp.matmul(self.off_diagonal, _like(weights, self.off_diagonal)))

    def permuted_total(self, other: CentredGram, order: IntArray) -> float:
        """Return :meth:`total` with the items of the other side in another order."""
        xp, n = namespace(self.off_diagonal), len(order)
        index = _indices(order, self.off_diagonal)
        total = 0.0
        for rows in row_blocks(n, n, on_host=is_on_host(self.off_diagonal)):
            ours = self.off_diagonal[rows, rows.start :]
            theirs = xp.take(xp.take(other.off_diagonal, index[rows], axis=0), index[rows.start :], axis=1)
            square = rows.stop - rows.start
            total += 2 * float(_row_dots(ours, theirs).sum())
            total -= float(_row_dots(ours[:, :square], theirs[:, :square]).sum())
        return total

    def group_sums(self, groups: list[IntArray]) -> GroupSums:
        """Return what gives, for b rows, the [b, G] sums of ``K`` over the columns of each group.

        Where a row belongs to the group, its diagonal entry is left out.
        """
        xp = namespace(self.off_diagonal)
        indicator = np.zeros((len(self.diagonal), len(groups)))
        for column, group in enumerate(groups):
            indicator[group, column] = 1.0
        columns = _like(indicator, self.off_diagonal)
        return lambda rows: xp.matmul(self.off_diagonal[rows, :], columns)

    def block(self, members: IntArray) -> Array:
        """Return ``K`` without its diagonal for some items, shape [m, m]."""
        rows = _taken(self.off_diagonal, members)
        return namespace(rows).take(rows, _indices(members, rows), axis=1)


AnySide: TypeAlias = CentredFeatures | CentredGram
Side = TypeVar("Side", CentredFeatures, CentredGram)


def centred_features(array: Array) -> CentredFeatures:
    """Return features minus their mean, which is taken in float64.

    Parameters
    ----------
    array
        Shape [n, d], as :func:`alignaudit.measure.arrays.matrix` returns it.

    Returns
    -------
    CentredFeatures
        In the precision and the place of the array; a constant column is exactly zero.

    Raises
    ------
    DataError
        Where squares overflow float64.
    """
    xp, n = namespace(array), array.shape[0]
    features, squares, excess = xp.empty_like(array), np.empty(n), np.zeros(n)
    if array.dtype == xp.float64:
        for rows, block in centred_blocks(array):
            features[rows, :] = block
            squares[rows] = to_numpy(xp.vecdot(block, block))
    else:
        mean = xp.sum(array, axis=0, dtype=xp.float64) / n
        centre = xp.astype(mean, xp.float32)
        remainder = n * (mean - xp.astype(centre, xp.float64))
        for rows in row_blocks(*array.shape, on_host=is_on_host(array)):
            single = array[rows, :] - centre
            features[rows, :] = single
            block = xp.astype(single, xp.float64)
            squares[rows] = to_numpy(xp.vecdot(block, block))
            excess[rows] = to_numpy(xp.matmul(block, remainder))
    unit = _unit(float(squares.mean()))
    if unit != 1:
        features, squares, excess = features / unit, squares / unit**2, excess / unit**2
    return CentredFeatures(features, squares, excess - squares, unit)


def linear_gram(side: CentredFeatures) -> CentredGram:
    """Return the inner products of centred rows.

    Parameters
    ----------
    side
        n rows.

    Returns
    -------
    CentredGram
        Takes n^2 cells in the precision of the features.
    """
    # One and the same buffer on both sides: NumPy then computes half of the products.
    products = namespace(side.features).matmul(side.features, side.features.T)
    return CentredGram(_without_diagonal(products), side.diagonal, side.row_sums)


def rbf_gram(side: CentredFeatures, threshold: float) -> CentredGram:
    """Return the doubly centred Gram matrix of the Gaussian (radial basis function) kernel.

    The kernel is ``exp(-D / (2 threshold^2 median D))``, where ``D`` holds the n^2 squared distances
    between rows, those of rows to themselves included.

    Parameters
    ----------
    side
        n rows.
    threshold
        Bandwidth in units of the root of the median squared distance.

    Returns
    -------
    CentredGram
        With a reason, and zero, where the median distance is zero.

    References
    ----------
    Kornblith et al. (2019), section 3, and the notebook published with it.
    """
    xp, n = namespace(side.features), len(side.diagonal)
    kernel = _squared_distances(side)
    median = _median(kernel)
    if median <= 0:
        zero = np.zeros(n)
        reason = "Half of the distances between rows or more are zero, so that there is no bandwidth."
        return CentredGram(kernel * 0, zero, zero, reason)
    sums = np.empty(n)
    blocks = list(row_blocks(n, n, on_host=is_on_host(kernel)))
    for rows in blocks:
        kernel[rows, :] = xp.exp(kernel[rows, :] * (-0.5 / (threshold**2 * median)))
        sums[rows] = to_numpy(xp.sum(kernel[rows, :], axis=1, dtype=xp.float64))
    means = sums / n
    shift = _like(means - means.mean() / 2, kernel, double=True)
    for rows in blocks:
        block = xp.astype(kernel[rows, :], xp.float64) - shift[rows, None] - shift[None, :]
        kernel[rows, :] = xp.astype(block, kernel.dtype)
    diagonal = 1 - 2 * means + means.mean()
    return CentredGram(_without_diagonal(kernel), diagonal, -diagonal)


def is_on_host(array: Array) -> bool:
    """Return whether an array lies in the processor's memory and not on a device.

    Parameters
    ----------
    array
        Of either library.

    Returns
    -------
    bool
        True for every NumPy array.
    """
    return str(array_api_compat.device(array)) == "cpu"


def _squared_distances(side: CentredFeatures) -> Array:
    """Return the squared distances between rows, shape [n, n], zero on the diagonal."""
    xp = namespace(side.features)
    squares = _like(side.diagonal, side.features)
    distances = xp.matmul(side.features, side.features.T)
    n = distances.shape[0]
    for rows in row_blocks(n, n, on_host=is_on_host(distances)):
        block = squares[rows, None] + squares[None, :] - 2 * distances[rows, :]
        distances[rows, :] = xp.where(block > 0, block, block * 0)
    return _without_diagonal(distances)


def _median(array: Array) -> float:
    """Return the median of all cells."""
    xp, size = namespace(array), math.prod(array.shape)
    middle = [(size - 1) // 2, size // 2]
    if is_on_host(array):
        ordered = np.partition(to_numpy(array), middle, axis=None)
    else:
        ordered = xp.sort(xp.reshape(array, (-1,)), stable=False)
    return (float(ordered[middle[0]]) + float(ordered[middle[1]])) / 2


def _unit(square: float) -> float:
    """Return 1 or, where the mean square is far from it, the power of two next to its root."""
    if not math.isfinite(square):
        raise DataError("The features are too large to be squared.", hint="Divide them by a constant.")
    return 1.0 if square == 0 or 2.0**-20 < square < 2.0**20 else 2.0 ** round(math.log2(square) / 2)


def _row_dots(left: Array, right: Array) -> FloatArray:
    """Return inner products of rows in the precision of the arrays, as float64; shape [n]."""
    return _double(namespace(left).vecdot(left, right))


def _without_diagonal(products: Array) -> Array:
    """Return the same array with zeros on its diagonal."""
    index = namespace(products).arange(products.shape[0], device=array_api_compat.device(products))
    products[index, index] = 0.0
    return products


def _double(vector: Array) -> FloatArray:
    values: FloatArray = to_numpy(vector).astype(np.float64)
    return values


def _like(values: FloatArray, array: Array, *, double: bool = False) -> Array:
    """Return host values beside an array, in its precision or in float64."""
    xp = namespace(array)
    dtype = xp.float64 if double else array.dtype
    return xp.asarray(values, dtype=dtype, device=array_api_compat.device(array))


def _indices(order: IntArray, array: Array) -> Array:
    return namespace(array).asarray(order, device=array_api_compat.device(array))


def _taken(array: Array, order: IntArray) -> Array:
    return namespace(array).take(array, _indices(order, array), axis=0)
