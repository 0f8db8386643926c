"""The null of permuted pairs: where the debiased CKA of two sides lies if row i need not pair with row i.

Over all n! pairings the debiased CKA has mean 0 and variance ``2 / (n (n - 3))``, whatever the two
sides are. With ``A`` and ``B`` the U-centred kernels, which are zero on the diagonal and in every
row sum, the numerator is ``sum_ij A_ij B_pi(i)pi(j)``. Its mean is ``sum A sum B / (n (n - 1)) = 0``.
Its variance sums over pairs of cells that are the same, share one item, or share none (Mantel 1967);
as all row sums are zero, the sums of ``A_ij A_kl`` over these cases are ``2 a``, ``-4 a`` and ``2 a``
with ``a = sum A_ij^2``, and the three terms add up to ``2 a b / (n (n - 3))``, where ``a`` and ``b``
are the two denominators.

The distribution is not normal where few dimensions carry a side, hence a p-value by random pairings
beside z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignaudit.errors import UsageError
from alignaudit.measure.arrays import Array, IntArray, namespace, paired
from alignaudit.measure.cka_compare import cancels, why_flat
from alignaudit.measure.cka_jackknife import HsicSums, sums_of_all
from alignaudit.measure.cka_sides import MINIMUM_ITEMS, Kernel, Sides, aligned_grams, check_kernel, gram_of
from alignaudit.measure.gram import CentredGram, Side, centred_features

__all__ = [
    "PermutationNull",
    "permutation_null",
    "permutation_null_from_grams",
    "permutation_standard_deviation",
]

_GRAM_ITEMS = 8192


@dataclass(frozen=True, slots=True)
class PermutationNull:
    """A debiased CKA beside its distribution over permuted pairs.

    Attributes
    ----------
    value
        Debiased CKA of the pairs as they are; NaN where a side does not vary.
    mean, standard_deviation
        Exact moments over all n! pairings, in the unit of ``value``.
    z
        ``(value - mean) / standard_deviation``.
    p_value
        One-sided: ``(1 + c) / (1 + permutations)``, where ``c`` random pairings have a CKA of at least
        ``value``.
    permutations
        Number of random pairings.
    reason
        Why ``value``, ``z`` and ``p_value`` are NaN; empty otherwise.
    """

    value: float
    mean: float
    standard_deviation: float
    z: float
    p_value: float
    permutations: int
    reason: str = ""


def permutation_standard_deviation(n: int) -> float:
    """Return the standard deviation of the debiased CKA over all pairings of n items.

    Parameters
    ----------
    n
        Number of items, at least 4.

    Returns
    -------
    float
        ``sqrt(2 / (n (n - 3)))``; a debiased CKA divided by it is z.

    Raises
    ------
    UsageError
        Where n is below 4.

    References
    ----------
    Mantel (1967), The detection of disease clustering and a generalized regression approach, for the
    moments; Székely and Rizzo (2013), The distance correlation t-test of independence in high
    dimension, where n (n - 3) / 2 appears as degrees of freedom of the same statistic.

    Examples
    --------
    >>> permutation_standard_deviation(4)
    0.7071067811865476
    """
    if n < MINIMUM_ITEMS:
        raise UsageError(f"{n} items are too few; at least {MINIMUM_ITEMS} are needed.")
    return math.sqrt(2 / (n * (n - 3)))


def permutation_null(
    x: Array,
    y: Array,
    generator: np.random.Generator,
    *,
    permutations: int = 999,
    kernel: Kernel = "linear",
    threshold: float = 0.5,
) -> PermutationNull:
    """Compare the debiased CKA of the pairs with that of permuted pairs.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4; row ``i`` of x pairs with row ``i`` of y.
    generator
        Source of the permutations, from :func:`alignaudit.core.rng.stream`.
    permutations
        Number of random pairings, at least 1.
    kernel, threshold
        As in :func:`alignaudit.measure.cka.debiased_cka`.

    Returns
    -------
    PermutationNull
        z from exact moments, p from random pairings. Each costs n^2 / 2 look-ups in a Gram matrix
        or, where d is small or n above 8,192, one product in feature space.

    Raises
    ------
    DataError
        As :func:`alignaudit.measure.cka.debiased_cka`.
    UsageError
        Where the kernel is unknown, or the threshold or the number of permutations is not positive.

    References
    ----------
    Davison and Hinkley (1997), Bootstrap methods and their application, section 4.3, for the p-value.
    """
    check_kernel(kernel, threshold)
    left, right = paired(x, y, minimum=MINIMUM_ITEMS)
    sides = _sides(left, right, kernel, threshold)
    if sides[0].is_single and any(cancels(side, sums_of_all(side, side)) for side in sides):
        double = namespace(left).float64
        left, right = (namespace(left).astype(side, double) for side in (left, right))
        sides = _sides(left, right, kernel, threshold)
    return _null(*sides, generator, permutations)


def permutation_null_from_grams(
    x: CentredGram, y: CentredGram, generator: np.random.Generator, *, permutations: int = 999
) -> PermutationNull:
    """Return :func:`permutation_null` of two sides whose Gram matrices are at hand.

    Parameters
    ----------
    x, y
        Gram matrices over the same n items in the same order.
    generator
        Source of the permutations.
    permutations
        Number of random pairings, at least 1.

    Returns
    -------
    PermutationNull
        As from the features.

    Raises
    ------
    DataError
        Where the numbers of items or the libraries differ.
    UsageError
        Where the number of permutations is not positive.
    """
    return _null(*aligned_grams(x, y), generator, permutations)


def _sides(left: Array, right: Array, kernel: Kernel, threshold: float) -> Sides:
    """Return the sides in the space where a permutation takes less time."""
    n, d_x, d_y = left.shape[0], left.shape[1], right.shape[1]
    # A look-up takes about as long as a hundred multiplications; there are n^2 / 2 against n d_x d_y.
    if kernel == "linear" and (n > _GRAM_ITEMS or d_x * d_y < 50 * n):
        return centred_features(left), centred_features(right)
    return gram_of(left, kernel, threshold), gram_of(right, kernel, threshold)


def _null(x: Side, y: Side, generator: np.random.Generator, permutations: int) -> PermutationNull:
    if permutations < 1:
        raise UsageError(f"At least one permutation is needed, not {permutations}.")
    xy, xx, yy = (sums_of_all(a, b) for a, b in ((x, y), (x, x), (y, y)))
    n = len(x.diagonal)
    deviation = permutation_standard_deviation(n)
    reason = " ".join(filter(None, (why_flat("x", x, xx), why_flat("y", y, yy))))
    if reason:
        return PermutationNull(math.nan, 0.0, deviation, math.nan, math.nan, permutations, reason)
    scale = math.sqrt(xx.hsic) * math.sqrt(yy.hsic)
    value = float(xy.hsic) / scale
    # Pairings that give the same value must count, whatever rounding made of it.
    least = value - deviation * (1e-4 if x.is_single else 1e-9)
    count = sum(_permuted(x, y, xy, generator.permutation(n)) >= least * scale for _ in range(permutations))
    p_value = (1 + count) / (1 + permutations)
    return PermutationNull(value, 0.0, deviation, value / deviation, p_value, permutations)


def _permuted(x: Side, y: Side, pairs: HsicSums, order: IntArray) -> float:
    """Return the numerator of the debiased CKA with the items of y in another order."""
    between = float(x.row_sums @ y.row_sums[order])
    return float(HsicSums(pairs.items, x.permuted_total(y, order), pairs.left, pairs.right, between).hsic)
