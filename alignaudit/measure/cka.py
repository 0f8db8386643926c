"""Centred kernel alignment (CKA) of two sets of paired representations, with a linear kernel.

Notation: ``K`` and ``L`` are the Gram matrices of the centred features of x and y, ``k`` and ``l``
their diagonals. Because rows of a centred Gram matrix sum to zero, the unbiased HSIC needs only
``k``, ``l`` and the off-diagonal row products ``r_i = sum_{j != i} K_ij L_ij``; leaving out an
item needs ``K l`` and ``L k`` besides. All of them come either from the Gram matrices (sample
space) or from ``x_i' (X'Y) y_i`` (feature space), whichever takes fewer operations, so the
jackknife is as cheap as the value and never needs an n by n matrix where n is large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.arrays import FloatArray, matrix, paired

__all__ = [
    "CentredGram",
    "DebiasedCka",
    "centred_gram",
    "cka_from_grams",
    "debiased_cka",
    "linear_cka",
    "permuted_cka",
    "unbiased_hsic",
]

_MINIMUM_ITEMS = 4
_RESOLUTION = 1e-12


@dataclass(frozen=True, slots=True)
class DebiasedCka:
    """A debiased linear CKA and what it rests on.

    Attributes
    ----------
    value
        Debiased CKA, without unit: 1 for equal geometry, about 0 for unrelated sets; may be
        negative. NaN where a side does not vary.
    standard_error
        Delete-one jackknife standard error, in the unit of ``value``; NaN where it was not asked
        for or where some item cannot be left out.
    n
        Number of items.
    most_influential_item
        Row whose removal moves the value farthest from the mean of ``jackknife``; the row that
        cannot be left out where there is one; -1 where there is no jackknife.
    jackknife
        Shape [n]: the value without item ``i``. Shape [0] where it was not asked for.
    reason
        Why ``value`` or a requested ``standard_error`` is NaN; empty otherwise.
    """

    value: float
    standard_error: float
    n: int
    most_influential_item: int
    jackknife: FloatArray
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CentredGram:
    """The Gram matrix of centred features, kept for comparisons with many other sides.

    Attributes
    ----------
    off_diagonal
        Shape [n, n], float64: inner products of the centred rows, zero on the diagonal.
    diagonal
        Shape [n], float64: squared lengths of the centred rows.
    """

    off_diagonal: FloatArray
    diagonal: FloatArray


@dataclass(frozen=True, slots=True)
class _Terms:
    """What unbiased HSIC and its delete-one values need of one pair of sides."""

    k: FloatArray  # [n] diagonal of K
    l: FloatArray  # noqa: E741 - [n] diagonal of L
    total: float  # sum over i != j of K_ij L_ij
    rows: FloatArray | None = None  # [n] sum over j != i of K_ij L_ij
    cross: FloatArray | None = None  # [n] sum over j != i of K_ij l_j + k_j L_ij


def linear_cka(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
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
        In [0, 1], without unit; NaN where a side does not vary.

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
    xy, xx, yy = (term.total + float(term.k @ term.l) for term in _all_terms(x, y, rows=False))
    return xy / (math.sqrt(xx) * math.sqrt(yy)) if min(xx, yy) > 0 else math.nan


def unbiased_hsic(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
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
    left, right = (_centred(side) for side in paired(x, y, minimum=_MINIMUM_ITEMS))
    n = len(left)
    if n * (left.shape[1] + right.shape[1]) < 2 * left.shape[1] * right.shape[1]:
        terms = _terms_from_grams(_gram(left), _gram(right), rows=False)
    else:
        terms = _terms_from_features(left, right, rows=False)
    return _hsic(terms) / (n * (n - 3))


def debiased_cka(x: npt.ArrayLike, y: npt.ArrayLike, *, standard_error: bool = True) -> DebiasedCka:
    """Return linear CKA with the unbiased HSIC in its numerator and both denominators.

    Parameters
    ----------
    x, y
        Shapes [n, d_x] and [n, d_y], n >= 4; row ``i`` of x pairs with row ``i`` of y.
    standard_error
        Whether to compute the jackknife as well.

    Returns
    -------
    DebiasedCka
        Value, standard error, jackknife values and the most influential item.

    Raises
    ------
    DataError
        Where the sides do not pair, hold NaN or infinity, or have fewer than four items.

    References
    ----------
    Song et al. (2012), equation 5, for HSIC; Kornblith et al. (2019) for CKA; Efron and Stein
    (1981), The jackknife estimate of variance, for the standard error.

    Examples
    --------
    >>> x = np.arange(12.0).reshape(6, 2) ** 2
    >>> round(debiased_cka(x, x).value, 12)
    1.0
    """
    return _result(*_all_terms(x, y, rows=standard_error))


def permuted_cka(
    x: npt.ArrayLike, y: npt.ArrayLike, generator: np.random.Generator, *, standard_error: bool = True
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
    left, right = paired(x, y, minimum=_MINIMUM_ITEMS)
    return debiased_cka(left, right[generator.permutation(len(right))], standard_error=standard_error)


def centred_gram(x: npt.ArrayLike) -> CentredGram:
    """Return the Gram matrix of centred features, to be used with :func:`cka_from_grams`.

    Parameters
    ----------
    x
        Shape [n, d], n >= 4.

    Returns
    -------
    CentredGram
        Takes 8 n (n + 1) bytes.

    Raises
    ------
    DataError
        Where x is not a finite matrix of at least four rows.
    """
    array = matrix(x, "x")
    if len(array) < _MINIMUM_ITEMS:
        raise DataError(f"{len(array)} items are too few; at least {_MINIMUM_ITEMS} are needed.")
    return _gram(_centred(array))


def cka_from_grams(x: CentredGram, y: CentredGram, *, standard_error: bool = True) -> DebiasedCka:
    """Return :func:`debiased_cka` of two sides whose Gram matrices are at hand.

    Parameters
    ----------
    x, y
        Gram matrices over the same n items in the same order.
    standard_error
        Whether to compute the jackknife as well.

    Returns
    -------
    DebiasedCka
        Equal to the one from the features, in O(n^2) operations.

    Raises
    ------
    DataError
        Where the numbers of items differ.
    """
    if len(x.diagonal) != len(y.diagonal):
        raise DataError(f"The Gram matrices hold {len(x.diagonal)} and {len(y.diagonal)} items.")
    return _result(*(_terms_from_grams(a, b, rows=standard_error) for a, b in ((x, y), (x, x), (y, y))))


def _centred(array: npt.NDArray[np.floating]) -> FloatArray:
    """Return features minus their mean in float64, exactly zero where a column is constant."""
    shifted = array.astype(np.float64)
    shifted -= shifted[0].copy()
    shifted -= shifted.mean(axis=0)
    return shifted


def _gram(features: FloatArray) -> CentredGram:
    products: FloatArray = features @ features.T
    diagonal = products.diagonal().copy()
    np.fill_diagonal(products, 0.0)
    return CentredGram(products, diagonal)


def _all_terms(x: npt.ArrayLike, y: npt.ArrayLike, *, rows: bool) -> tuple[_Terms, _Terms, _Terms]:
    """Return the terms of (x, y), (x, x) and (y, y), from the space that takes fewer operations."""
    left, right = (_centred(side) for side in paired(x, y, minimum=_MINIMUM_ITEMS))
    n, d_x, d_y = len(left), left.shape[1], right.shape[1]
    # Multiplications; the product of a matrix with its own transpose costs half.
    sample_space = n * (d_x + d_y) / 2
    feature_space = d_x * d_y + (d_x**2 + d_y**2) / 2 + rows * (d_x * d_y + d_x**2 + d_y**2)
    if sample_space < feature_space:
        gram_x, gram_y = _gram(left), _gram(right)
        return (
            _terms_from_grams(gram_x, gram_y, rows=rows),
            _terms_from_grams(gram_x, gram_x, rows=rows),
            _terms_from_grams(gram_y, gram_y, rows=rows),
        )
    return (
        _terms_from_features(left, right, rows=rows),
        _terms_from_features(left, left, rows=rows),
        _terms_from_features(right, right, rows=rows),
    )


def _terms_from_grams(x: CentredGram, y: CentredGram, *, rows: bool) -> _Terms:
    k, l = x.diagonal, y.diagonal  # noqa: E741
    row_products = np.vecdot(x.off_diagonal, y.off_diagonal)
    total = float(row_products.sum())
    if not rows:
        return _Terms(k, l, total)
    return _Terms(k, l, total, row_products, x.off_diagonal @ l + y.off_diagonal @ k)


def _terms_from_features(x: FloatArray, y: FloatArray, *, rows: bool) -> _Terms:
    k, l = np.vecdot(x, x), np.vecdot(y, y)  # noqa: E741
    covariance = x.T @ y
    if not rows:
        return _Terms(k, l, float(np.vdot(covariance, covariance) - k @ l))
    row_products = np.vecdot(x @ covariance, y) - k * l
    cross = x @ (x.T @ l) + y @ (y.T @ k) - 2 * k * l
    return _Terms(k, l, float(row_products.sum()), row_products, cross)


def _hsic(terms: _Terms) -> float:
    """Return n (n - 3) times the unbiased HSIC (Song et al. 2012, equation 5, for centred features)."""
    n = len(terms.k)
    means = float(terms.k.sum() * terms.l.sum()) / ((n - 1) * (n - 2))
    return terms.total + means - 2 * float(terms.k @ terms.l) / (n - 2)


def _hsic_without_each(terms: _Terms) -> FloatArray:
    """Return, for every item, m (m - 3) times the unbiased HSIC of the other m = n - 1; shape [n].

    Equation 5 does not care where the origin lies, so the features stay centred on all items; the
    off-diagonal row sums of K are then ``-k``, and without item ``i`` they are ``-k_j - K_ij``.
    """
    assert terms.rows is not None
    assert terms.cross is not None
    m = len(terms.k) - 1
    kl = terms.k * terms.l
    total = terms.total - 2 * terms.rows
    means = (terms.k.sum() - 2 * terms.k) * (terms.l.sum() - 2 * terms.l) / ((m - 1) * (m - 2))
    between = kl.sum() - kl + terms.cross + terms.rows
    return total + means - 2 * between / (m - 2)


def _result(xy: _Terms, xx: _Terms, yy: _Terms) -> DebiasedCka:
    n = len(xy.k)
    floors = [_RESOLUTION * (side.total + float(side.k @ side.k)) for side in (xx, yy)]
    hsic_x, hsic_y = _hsic(xx), _hsic(yy)
    flat = [name for name, h, low in (("x", hsic_x, floors[0]), ("y", hsic_y, floors[1])) if h <= low]
    empty = np.empty(0)
    if flat:
        reason = f"The unbiased HSIC of {' and '.join(flat)} with itself is not positive."
        return DebiasedCka(math.nan, math.nan, n, -1, empty, reason)
    value = _hsic(xy) / (math.sqrt(hsic_x) * math.sqrt(hsic_y))
    if xy.rows is None:
        return DebiasedCka(value, math.nan, n, -1, empty)
    if n == _MINIMUM_ITEMS:
        reason = "The jackknife needs five items."
        return DebiasedCka(value, math.nan, n, -1, np.full(n, np.nan), reason)
    without_x, without_y = _hsic_without_each(xx), _hsic_without_each(yy)
    usable = (without_x > floors[0]) & (without_y > floors[1])
    scale_x, scale_y = (np.sqrt(np.where(usable, side, np.nan)) for side in (without_x, without_y))
    jackknife = _hsic_without_each(xy) / (scale_x * scale_y)
    if not usable.all():
        item = int(np.argmin(usable))
        reason = f"A side does not vary, or cannot be told from one that does not, without item {item}."
        return DebiasedCka(value, math.nan, n, item, jackknife, reason)
    deviations = jackknife - jackknife.mean()
    error = math.sqrt((n - 1) / n * float(deviations @ deviations))
    return DebiasedCka(value, error, n, int(np.argmax(np.abs(deviations))), jackknife)
