"""The two sides of an alignment, in the space that takes fewer operations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from alignaudit.errors import DataError, UsageError, did_you_mean
from alignaudit.measure.arrays import Array, namespace
from alignaudit.measure.gram import CentredGram, centred_features, linear_gram, rbf_gram

__all__ = ["MINIMUM_ITEMS", "Kernel", "Sides", "aligned_grams", "check_kernel", "gram_of", "sides_of"]

Kernel: TypeAlias = Literal["linear", "rbf"]
Sides: TypeAlias = tuple[Any, Any]  # both CentredFeatures or both CentredGram

MINIMUM_ITEMS = 4  # n (n - 3) divides the unbiased HSIC


def aligned_grams(x: CentredGram, y: CentredGram) -> tuple[CentredGram, CentredGram]:
    """Return two Gram matrices in the wider of their precisions.

    Parameters
    ----------
    x, y
        Over the same n items in the same order.

    Returns
    -------
    tuple of CentredGram
        The same objects where their precision is the same.

    Raises
    ------
    DataError
        Where the numbers of items or the libraries differ.
    """
    if len(x.diagonal) != len(y.diagonal):
        raise DataError(f"The Gram matrices hold {len(x.diagonal)} and {len(y.diagonal)} items.")
    xp = namespace(x.off_diagonal, y.off_diagonal)
    if x.is_single == y.is_single:
        return x, y
    left, right = (replace(side, off_diagonal=xp.astype(side.off_diagonal, xp.float64)) for side in (x, y))
    return left, right


def check_kernel(kernel: str, threshold: float) -> None:
    """Refuse a kernel that does not exist and a bandwidth that is not positive.

    Parameters
    ----------
    kernel
        Must be ``"linear"`` or ``"rbf"``.
    threshold
        Must be positive and finite.

    Raises
    ------
    UsageError
        Where either is not.
    """
    if kernel not in ("linear", "rbf"):
        raise UsageError(f'There is no kernel "{kernel}".', hint=did_you_mean(kernel, ("linear", "rbf")))
    if not 0 < threshold < math.inf:
        raise UsageError(f"The threshold of the bandwidth must be positive, not {threshold}.")


def gram_of(array: Array, kernel: Kernel, threshold: float) -> CentredGram:
    """Return the Gram matrix of one side.

    Parameters
    ----------
    array
        Shape [n, d], as :func:`alignaudit.measure.arrays.matrix` returns it.
    kernel, threshold
        Which kernel, and the bandwidth of the Gaussian one.

    Returns
    -------
    CentredGram
        Of the centred features, or doubly centred.
    """
    side = centred_features(array)
    return linear_gram(side) if kernel == "linear" else rbf_gram(side, threshold)


def sides_of(left: Array, right: Array, kernel: Kernel, threshold: float, *, rows: bool) -> Sides:
    """Return two sides of one kind.

    Parameters
    ----------
    left, right
        Shapes [n, d_x] and [n, d_y], as :func:`alignaudit.measure.arrays.paired` returns them.
    kernel, threshold
        Which kernel, and the bandwidth of the Gaussian one, which has no feature space.
    rows
        Whether the jackknife is wanted, which takes more operations in feature space.

    Returns
    -------
    tuple
        Features, or Gram matrices where these take fewer operations. There n is less than
        5 max(d_x, d_y), which bounds their memory.
    """
    n, d_x, d_y = left.shape[0], left.shape[1], right.shape[1]
    # Multiplications over n; the product of a matrix with its own transpose costs half.
    in_features = d_x * d_y + (d_x**2 + d_y**2) / 2 + rows * (d_x * d_y + d_x**2 + d_y**2)
    if kernel == "linear" and in_features <= n * (d_x + d_y) / 2:
        return centred_features(left), centred_features(right)
    return gram_of(left, kernel, threshold), gram_of(right, kernel, threshold)
