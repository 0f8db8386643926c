"""Centred kernel alignment (CKA) of two sets of paired representations: linear or Gaussian kernel.

The debiased value has the unbiased HSIC in its numerator and both denominators; every part of it,
its jackknife included, comes from sums over Gram matrices that the sample space and the feature
space give alike (:mod:`alignaudit.measure.gram`), so the cheaper one is taken.

Float32 features are multiplied in float32, twice as fast as float64, and row sums are added up in
float64. That leaves an error of about 1e-9 for a thousand items. Where one item dominates, the value
is a small difference of large sums; where more than one digit cancels, float32 features are
multiplied in float64 instead. Without a standard error, and with more items than features, one pass
over float32 arrays is enough (:mod:`alignaudit.measure.cka_stream`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.arrays import Array, matrix, namespace, paired
from alignaudit.measure.cka_compare import DebiasedCka, biased, compared
from alignaudit.measure.cka_jackknife import grouped, sums_of_all
from alignaudit.measure.cka_sides import MINIMUM_ITEMS, Kernel, aligned_grams, check_kernel, gram_of, sides_of
from alignaudit.measure.cka_stream import streamed_cka
from alignaudit.measure.gram import CentredGram, centred_features, linear_gram

__all__ = [
    "DebiasedCka",
    "centred_gram",
    "cka_from_grams",
    "debiased_cka",
    "linear_cka",
    "permuted_cka",
    "rbf_cka",
    "unbiased_hsic",
]


def linear_cka(x: Array, y: Array) -> float:
    """Return the biased linear CKA, for comparison with publications only.

    For unrelated sets it is about ``1 / (1 + n / d)`` with ``d`` the effective dimension, so it
    ranks small test sets high. Use :func:`debiased_cka`.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4; row ``i`` of x pairs with row ``i`` of y.

    Returns
    -------
    float
        In [0, 1], without unit; NaN where, and only where, a side does not vary.

    Raises
    ------
    DataError
        Where the sides do not pair, hold NaN or infinity, or have fewer than four items.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton (2019), Similarity of neural network representations
    revisited, section 3.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [3.0, 1.0], [0.0, 4.0]])
    >>> round(linear_cka(x, 3 * x[:, ::-1] + 7), 12)
    1.0
    """
    if streamed := streamed_cka(x, y):
        return streamed.biased
    return biased(*sides_of(*paired(x, y, minimum=MINIMUM_ITEMS), "linear", 1.0, rows=False))


def rbf_cka(x: Array, y: Array, *, threshold: float = 0.5) -> float:
    """Return the biased CKA with a Gaussian kernel, for comparison with publications only.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4; row ``i`` of x pairs with row ``i`` of y.
    threshold
        Bandwidth in units of the root of the median squared distance, of each side for itself.

    Returns
    -------
    float
        In [0, 1], without unit; NaN where, and only where, half of the distances within a side, or
        more, are zero.

    Raises
    ------
    DataError
        Where the sides do not pair, hold NaN or infinity, or have fewer than four items.
    UsageError
        Where the threshold is not positive.

    References
    ----------
    Kornblith et al. (2019), section 3, and the notebook published with it.
    """
    check_kernel("rbf", threshold)
    return biased(*sides_of(*paired(x, y, minimum=MINIMUM_ITEMS), "rbf", threshold, rows=False))


def unbiased_hsic(x: Array, y: Array) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion, linear kernel.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4.

    Returns
    -------
    float
        In units of x squared times y squared; about 0 for independent sides, may be negative.

    Raises
    ------
    DataError
        Where the sides do not pair, hold NaN or infinity, or have fewer than four items.

    References
    ----------
    Song, Smola, Gretton, Bedo and Borgwardt (2012), Feature selection via dependence maximization,
    equation 5.
    """
    left, right = (centred_features(side) for side in paired(x, y, minimum=MINIMUM_ITEMS))
    n, d_x, d_y = len(left.diagonal), left.features.shape[1], right.features.shape[1]
    in_samples = n * (d_x + d_y) < 2 * d_x * d_y
    sums = sums_of_all(linear_gram(left), linear_gram(right)) if in_samples else sums_of_all(left, right)
    return float(sums.hsic) / (n * (n - 3)) * left.unit**2 * right.unit**2


def debiased_cka(
    x: Array,
    y: Array,
    *,
    kernel: Kernel = "linear",
    threshold: float = 0.5,
    standard_error: bool = True,
    groups: npt.ArrayLike | None = None,
) -> DebiasedCka:
    """Return CKA with the unbiased HSIC in its numerator and both denominators.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4; row ``i`` of x pairs with row ``i`` of y.
    kernel
        ``"linear"``, or ``"rbf"`` for the Gaussian kernel, which needs n^2 cells for each side.
    threshold
        Bandwidth of the Gaussian kernel in units of the root of the median squared distance.
    standard_error
        Whether to compute the jackknife as well.
    groups
        Shape [n], integers or words: leave out whole groups, such as the sentences of a document,
        because items of one group are not independent.

    Returns
    -------
    DebiasedCka
        Value, standard error, jackknife values and the most influential item or group.

    Raises
    ------
    DataError
        Where the sides do not pair, hold NaN or infinity, have fewer than four items, or there is
        not one group label per item.
    UsageError
        Where the kernel is unknown or the threshold is not positive.

    References
    ----------
    Song et al. (2012), equation 5, for HSIC; Kornblith et al. (2019) for CKA; Efron and Stein
    (1981), The jackknife estimate of variance, for the standard error, and for that by groups
    :func:`alignaudit.measure.cka_jackknife.jackknife_error`.

    Examples
    --------
    >>> x = np.arange(12.0).reshape(6, 2) ** 2
    >>> round(debiased_cka(x, x).value, 12)
    1.0
    """
    check_kernel(kernel, threshold)
    if kernel == "linear" and not standard_error and groups is None and (streamed := streamed_cka(x, y)):
        return streamed
    left, right = paired(x, y, minimum=MINIMUM_ITEMS)
    among = None if groups is None else grouped(groups, left.shape[0])

    def result(left: Array, right: Array) -> tuple[DebiasedCka, bool]:
        sides = sides_of(left, right, kernel, threshold, rows=standard_error)
        return compared(*sides, standard_error=standard_error, groups=among)

    xp = namespace(left)
    found, cancelled = result(left, right)
    if cancelled and left.dtype == xp.float32:
        found, _ = result(xp.astype(left, xp.float64), xp.astype(right, xp.float64))
    return found


def permuted_cka(
    x: Array, y: Array, generator: np.random.Generator, *, standard_error: bool = True
) -> DebiasedCka:
    """Return the debiased CKA after the rows of y were shuffled: a control that should be near 0.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4.
    generator
        Source of the permutation, from :func:`alignaudit.core.rng.stream`.
    standard_error
        Whether to compute the jackknife as well.

    Returns
    -------
    DebiasedCka
        As :func:`debiased_cka` returns it; items are rows of x.

    Raises
    ------
    DataError
        As :func:`debiased_cka`.
    """
    left, right = paired(x, y, minimum=MINIMUM_ITEMS)
    xp = namespace(right)
    order = xp.asarray(generator.permutation(right.shape[0]), device=right.device)
    return debiased_cka(left, xp.take(right, order, axis=0), standard_error=standard_error)


def centred_gram(x: Array, *, kernel: Kernel = "linear", threshold: float = 0.5) -> CentredGram:
    """Return the Gram matrix of centred features, to be used with :func:`cka_from_grams`.

    Parameters
    ----------
    x
        Shape [n, d], n >= 4.
    kernel, threshold
        As in :func:`debiased_cka`.

    Returns
    -------
    CentredGram
        Takes n^2 cells in the precision of x.

    Raises
    ------
    DataError
        Where x is not a finite matrix of at least four rows.
    UsageError
        Where the kernel is unknown or the threshold is not positive.
    """
    check_kernel(kernel, threshold)
    array = matrix(x, "x")
    if array.shape[0] < MINIMUM_ITEMS:
        raise DataError(f"{array.shape[0]} items are too few; at least {MINIMUM_ITEMS} are needed.")
    return gram_of(array, kernel, threshold)


def cka_from_grams(
    x: CentredGram, y: CentredGram, *, standard_error: bool = True, groups: npt.ArrayLike | None = None
) -> DebiasedCka:
    """Return :func:`debiased_cka` of two sides whose Gram matrices are at hand.

    Parameters
    ----------
    x, y
        Gram matrices over the same n items in the same order.
    standard_error
        Whether to compute the jackknife as well.
    groups
        As in :func:`debiased_cka`.

    Returns
    -------
    DebiasedCka
        Equal to the one from the features, in O(n^2) operations; float32 is not left for float64.

    Raises
    ------
    DataError
        Where the numbers of items or the libraries differ, or there is not one group label per item.
    """
    left, right = aligned_grams(x, y)
    among = None if groups is None else grouped(groups, len(left.diagonal))
    return compared(left, right, standard_error=standard_error, groups=among)[0]
