"""CKA of many sets of representations with many others: layers by layers, checkpoints by checkpoints.

Every Gram matrix is computed once, and never as a whole: strips of rows of all Gram matrices stand
side by side, and one product of that stack with itself gives what the strip adds to every pair of
sets. Products are taken in the precision of the features, row by row of the strip; rows are added
up in float64. Where n is so large that n^2 products for each set are more than d^2 n for each pair
of sets, the pairs are multiplied in feature space instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import array_api_compat
import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.arrays import Array, FloatArray, matrix, namespace, to_numpy
from alignaudit.measure.cka_compare import cancels, why_flat
from alignaudit.measure.cka_jackknife import HsicSums
from alignaudit.measure.cka_sides import MINIMUM_ITEMS
from alignaudit.measure.gram import CentredFeatures, centred_features, is_on_host

__all__ = ["cka_matrix"]

_STRIP_ROWS = 128
_DEVICE_STRIP_ROWS = 1024
_STACK_CELLS = 1 << 24


def cka_matrix(
    xs: Sequence[Array], ys: Sequence[Array] | None = None, *, debiased: bool = True
) -> FloatArray:
    """Return the linear CKA of every set of xs with every set of ys.

    Parameters
    ----------
    xs
        M arrays of shape [n, d_i], n >= 4: the same n items in each, for example at every layer.
    ys
        M' arrays of shape [n, d_j]; left out, every set of xs is compared with every other.
    debiased
        Whether the unbiased HSIC is taken, as in :func:`alignaudit.measure.cka.debiased_cka`.

    Returns
    -------
    numpy.ndarray
        Shape [M, M'], float64, without unit. Symmetric, with ones on the diagonal, where ys is left
        out. Beside the centred features, which take as much memory as xs and ys do, a stack of at
        most 2^24 cells is held (64 MiB in float32), or 128 columns of all sets where that is more.

    Raises
    ------
    DataError
        Where the sets do not have the same items, hold NaN or infinity, are too few or have fewer
        than four items; or where one does not vary, so that it has no CKA.

    References
    ----------
    As :func:`alignaudit.measure.cka.debiased_cka`.

    Examples
    --------
    >>> x = np.arange(12.0).reshape(6, 2) ** 2
    >>> cka_matrix([x, 3 * x[:, ::-1] + 1]).round(12).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    others = [] if ys is None else list(ys)
    if len(xs) == 0 or (ys is not None and not others):
        raise DataError("There is no set of representations to compare.")
    names = [f"xs[{i}]" for i in range(len(xs))] + [f"ys[{i}]" for i in range(len(others))]
    arrays = _aligned([*xs, *others], names)
    values = _values(arrays, names, len(xs), debiased)
    if values is None:
        double = namespace(arrays[0]).float64
        arrays = [namespace(array).astype(array, double) for array in arrays]
        values = _values(arrays, names, len(xs), debiased)
    assert values is not None
    return values


def _aligned(sets: list[Array], names: list[str]) -> list[Array]:
    """Return finite matrices of one precision and one number of rows."""
    arrays = [matrix(array, name) for array, name in zip(sets, names, strict=True)]
    xp, n = namespace(*arrays), arrays[0].shape[0]
    for array, name in zip(arrays, names, strict=True):
        if array.shape[0] != n:
            raise DataError(
                f"{name} has {array.shape[0]} rows and {names[0]} has {n}.",
                hint="Row i of every set must be the same item.",
            )
    if n < MINIMUM_ITEMS:
        raise DataError(f"{n} items are too few; at least {MINIMUM_ITEMS} are needed.")
    if len({array.dtype for array in arrays}) > 1:
        arrays = [xp.astype(array, xp.float64) for array in arrays]
    return arrays


def _values(arrays: list[Array], names: list[str], count: int, debiased: bool) -> FloatArray | None:
    """Return the matrix, or nothing where float32 does not leave enough digits."""
    sides = [centred_features(array) for array in arrays]
    totals, own_totals = _totals(sides, count)
    one_set = len(sides) == count
    left, right = slice(0, count), slice(0 if one_set else count, None)
    diagonals = np.stack([side.diagonal for side in sides])
    if not debiased:
        scales = np.sqrt(own_totals + np.vecdot(diagonals, diagonals))
        _refuse([f"{name} does not vary." for name, scale in zip(names, scales, strict=True) if scale == 0])
        values = totals + diagonals[left] @ diagonals[right].T
    else:
        sums = np.stack([side.row_sums for side in sides])
        all_sums = sums.sum(axis=1)
        own = HsicSums(len(sums[0]), own_totals, all_sums, all_sums, np.vecdot(sums, sums))
        every = list(zip(names, sides, own.each(), strict=True))
        if any(side.is_single and cancels(side, mine) for _, side, mine in every):
            return None
        _refuse([why_flat(*one) for one in every])
        scales = np.sqrt(own.hsic)
        between = sums[left] @ sums[right].T
        values = HsicSums(own.items, totals, all_sums[left, None], all_sums[None, right], between).hsic
    values = values / np.outer(scales[left], scales[right])
    if one_set:
        np.fill_diagonal(values, 1.0)
    return values


def _refuse(reasons: list[str]) -> None:
    if any(reasons):
        raise DataError(" ".join(filter(None, reasons)), hint="Leave it out, or look for collapse.")


def _totals(sides: list[CentredFeatures], count: int) -> tuple[FloatArray, FloatArray]:
    """Return the sums over i != j of ``K_ij L_ij``, shape [M, M'], and those of each side with itself.

    The first M sides are compared with the others or, where there are none, with each other.
    """
    n, widths = len(sides[0].diagonal), np.array([side.features.shape[1] for side in sides], dtype=np.float64)
    if len(sides) == count:
        pairs = widths.sum() ** 2 / 2
    else:
        pairs = widths[:count].sum() * widths[count:].sum() + widths @ widths / 2
    return (
        _totals_in_samples(sides, count)
        if n * widths.sum() / 2 < pairs
        else _totals_in_features(sides, count)
    )


def _totals_in_features(sides: list[CentredFeatures], count: int) -> tuple[FloatArray, FloatArray]:
    own = np.array([side.total(side) for side in sides])
    if len(sides) > count:
        return np.array([[x.total(y) for y in sides[count:]] for x in sides[:count]]), own
    totals = np.diag(own)
    for i, j in itertools.combinations(range(count), 2):
        totals[i, j] = totals[j, i] = sides[i].total(sides[j])
    return totals, own


def _totals_in_samples(sides: list[CentredFeatures], count: int) -> tuple[FloatArray, FloatArray]:
    n, example = len(sides[0].diagonal), sides[0].features
    xp, sets = namespace(example), len(sides)
    height = _STRIP_ROWS if is_on_host(example) else _DEVICE_STRIP_ROWS
    width = min(n, max(height, _STACK_CELLS // (sets * height)))
    place = {"dtype": example.dtype, "device": array_api_compat.device(example)}
    stack = xp.empty((sets, min(n, height), width), **place)
    totals, own = np.zeros((count, sets - count or count)), np.zeros(sets)
    for start in range(0, n, height):
        for first in range(start, n, width):
            rows, columns = slice(start, min(start + height, n)), slice(first, min(first + width, n))
            strip = stack[:, : rows.stop - start, : columns.stop - first]
            _fill(strip, sides, rows, columns)
            # Half of each Gram matrix, row by row of the strip: [rows, M, columns] with [rows, columns, M'].
            left, right = strip[:count, ...], strip[count:, ...] if sets > count else strip
            products = xp.matmul(xp.permute_dims(left, (1, 0, 2)), xp.permute_dims(right, (1, 2, 0)))
            totals += 2 * to_numpy(xp.sum(products, axis=0, dtype=xp.float64))
            if sets > count:
                own += 2 * to_numpy(xp.sum(xp.vecdot(strip, strip), axis=1, dtype=xp.float64))
    if sets > count:
        return totals, own
    totals = (totals + totals.T) / 2
    return totals, totals.diagonal().copy()


def _fill(strip: Array, sides: list[CentredFeatures], rows: slice, columns: slice) -> None:
    """Write the Gram matrices' rows and columns into a strip, zero on and below the diagonal."""
    xp = namespace(strip)
    for place, side in enumerate(sides):
        strip[place, ...] = xp.matmul(side.features[rows, :], side.features[columns, :].T)
    if columns.start < rows.stop:
        square = rows.stop - rows.start
        strip[:, :, :square] = xp.triu(strip[:, :, :square], k=1)
