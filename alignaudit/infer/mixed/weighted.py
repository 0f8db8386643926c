"""Linear algebra of random effects under weights that change at every step.

For weights w, G = Z'WZ, and covariances S_j = T_j T_j' of the terms, everything is made of
M = T (I + T'GT)⁻¹ T', the covariance of the effects given the data. As in
:mod:`alignaudit.infer.mixed.criterion` the widest term (1) is eliminated group by group, and what is
left (2) is one dense matrix. Every entry of G is linear in w, so one sparse product gives them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import blas, lapack

from alignaudit.errors import FitError
from alignaudit.infer.mixed.algebra import block_rows, dense, lower_times_rows, sum_of_blocks, times_lower
from alignaudit.infer.mixed.layout import Layout
from alignaudit.infer.mixed.products import LARGE, SPARSE_BELOW

__all__ = ["Spread", "Weighted", "multiply_gram", "solve", "spread", "weigh"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weighted:
    """The random effects under given weights and covariances.

    Attributes
    ----------
    layout
        The effects.
    weights
        Shape [n].
    roots
        Shape [k, k] each: T_j in the order of the blocks.
    first_first, first_rest, rest_rest
        Shapes [groups, k, k], [q1, r] (dense or sparse) and [r, r]: G.
    gain, keep
        Shape [groups, k, k]: H = S (I + G S)⁻¹ of the eliminated term, and I - G H.
    reduced
        Shape [r, r]: Z2'WZ2 without what the eliminated term explains.
    lower
        Shape [r, r]: Cholesky factor of I + T2'(reduced)T2.
    log_det
        Logarithm of the determinant of I + T'GT.
    """

    layout: Layout
    weights: Floats
    roots: tuple[Floats, ...]
    first_first: Floats
    first_rest: Any
    rest_rest: Floats
    gain: Floats
    keep: Floats
    reduced: Floats
    lower: Floats
    log_det: float


def weigh(effects: Layout, weights: Floats, roots: Sequence[Floats]) -> Weighted:
    """Factorise the random effects under weights.

    Parameters
    ----------
    effects
        Their layout.
    weights
        Shape [n].
    roots
        Shape [k, k] each: lower triangular T_j in the order of the blocks.

    Returns
    -------
    Weighted
        For :func:`solve` and :func:`spread`.

    Raises
    ------
    FitError
        If I + T'GT is not positive definite, which weights below zero can cause.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), section 3 (penalised least
    squares in the roots).
    """
    own, crossed, others = _gram(effects, weights)
    root, k = roots[0], effects.first.width
    half = _inverse_factors(np.eye(k) + root.T @ own @ root)
    left = root @ np.swapaxes(half, 1, 2)
    gain = left @ np.swapaxes(left, 1, 2)
    reduced = others - dense(crossed.T @ block_rows(gain, crossed))
    inner = lower_times_rows(effects.rest, roots[1:], reduced)
    inner = lower_times_rows(effects.rest, roots[1:], np.ascontiguousarray(inner.T))
    inner[np.diag_indices(len(inner))] += 1
    lower, info = lapack.dpotrf(inner.T, lower=1, clean=1)
    if info != 0:
        raise FitError(_INDEFINITE)
    log_det = -2 * float(np.log(np.diagonal(half, axis1=1, axis2=2)).sum())
    log_det += 2 * float(np.log(np.diagonal(lower)).sum())
    return Weighted(
        effects,
        weights,
        tuple(roots),
        own,
        crossed,
        others,
        gain,
        np.eye(k) - own @ gain,
        reduced,
        lower,
        log_det,
    )


_INDEFINITE = "the curvature of the likelihood in the random effects is not positive."


def _inverse_factors(matrices: Floats) -> Floats:
    """Return the inverse lower Cholesky factors of many small matrices."""
    if matrices.shape[1] == 1:
        if not matrices.min() > 0:
            raise FitError(_INDEFINITE)
        return 1 / np.sqrt(matrices)
    try:
        return np.linalg.inv(np.linalg.cholesky(matrices))
    except np.linalg.LinAlgError:
        raise FitError(_INDEFINITE) from None


def _gram(effects: Layout, weights: Floats) -> tuple[Floats, Any, Floats]:
    """Return the three parts of G."""
    own, crossed, others = effects.entries
    k, r, q1 = effects.first.width, effects.r, effects.first.size
    blocks = np.zeros((effects.first.groups, k, k))
    value = own.of_weights @ weights
    blocks[own.rows // k, own.rows % k, own.columns % k] = value
    blocks[own.rows // k, own.columns % k, own.rows % k] = value
    rest = np.zeros((r, r))
    value = others.of_weights @ weights
    rest[others.rows, others.columns] = value
    rest[others.columns, others.rows] = value
    value = crossed.of_weights @ weights
    if q1 * r > LARGE and len(value) < SPARSE_BELOW * q1 * r:
        starts = np.searchsorted(crossed.rows, np.arange(q1 + 1))
        return blocks, sparse.csr_matrix((value, crossed.columns, starts), shape=(q1, r)), rest
    full = np.zeros((q1, r))
    full[crossed.rows, crossed.columns] = value
    return blocks, full, rest


def solve(at: Weighted, matrix: Floats) -> Floats:
    """Return M times a matrix.

    Parameters
    ----------
    at
        The factorised effects.
    matrix
        Shape [q, m].

    Returns
    -------
    numpy.ndarray of float64, shape [q, m]
    """
    q1, rest = at.layout.first.size, at.layout.rest
    first = block_rows(at.gain, matrix[:q1])
    other = lower_times_rows(rest, at.roots[1:], matrix[q1:] - at.first_rest.T @ first)
    other = blas.dtrsm(1.0, at.lower, blas.dtrsm(1.0, at.lower, other, lower=1), lower=1, trans_a=1)
    other = times_lower(rest, at.roots[1:], other)
    return np.vstack([first - block_rows(at.gain, at.first_rest @ other), other])


def multiply_gram(at: Weighted, vector: Floats) -> Floats:
    """Return G times a vector, shape [q]."""
    q1 = at.layout.first.size
    first, rest = vector[:q1], vector[q1:]
    own = block_rows(at.first_first, first[:, None])[:, 0] + at.first_rest @ rest
    return np.concatenate([own, at.first_rest.T @ first + at.rest_rest @ rest])


@dataclass(frozen=True, slots=True)
class Spread:
    """Variances given the data, and what the weights tell about each covariance.

    Attributes
    ----------
    rows
        Shape [n]: variance of the linear predictor, the diagonal of Z M Z'.
    groups
        Shape [groups, k, k] each: diagonal blocks of M, in the order of the blocks.
    information
        Shape [k, k] each: sums over groups of the diagonal blocks of G - G M G.
    """

    rows: Floats
    groups: tuple[Floats, ...]
    information: tuple[Floats, ...]


def spread(at: Weighted) -> Spread:
    """Return the conditional variances.

    Parameters
    ----------
    at
        The factorised effects.

    Returns
    -------
    Spread
        In standardised units.
    """
    effects = at.layout
    turned = lower_times_rows(effects.rest, at.roots[1:], np.eye(effects.r))
    half = blas.dtrsm(1.0, at.lower, turned, lower=1)
    inner = half.T @ half
    explained = half @ at.reduced
    rows, blocks = _saturated(at, inner) if effects.saturated else _grouped(at, inner)
    covariance = at.gain + at.gain @ blocks @ at.gain
    lost = at.keep @ at.first_first - at.keep @ blocks @ np.swapaxes(at.keep, 1, 2)
    groups, information = [covariance], [lost.sum(axis=0)]
    for block in effects.rest:
        part, k = block.place, block.width
        places = np.arange(part.start, part.stop).reshape(block.groups, k)
        groups.append(inner[places[:, :, None], places[:, None, :]])
        information.append(sum_of_blocks(block, at.reduced[part, part]) - _inner_sums(k, explained[:, part]))
    return Spread(rows, tuple(groups), tuple(information))


def _inner_sums(k: int, columns: Floats) -> Floats:
    """Return the sums over groups of the k × k diagonal blocks of columns' columns."""
    return np.array([[np.vdot(columns[:, a::k], columns[:, b::k]) for b in range(k)] for a in range(k)])


def _rest_rows(effects: Layout, inner: Floats) -> Floats:
    """Return the diagonal of Z2 M22 Z2', shape [n]."""
    total = np.zeros(len(effects.places))
    for a in range(effects.places.shape[1]):
        for b in range(a + 1):
            share = (
                inner[effects.places[:, a], effects.places[:, b]] * effects.loads[:, a] * effects.loads[:, b]
            )
            total += share if a == b else 2 * share
    return total


def _saturated(at: Weighted, inner: Floats) -> tuple[Floats, Floats]:
    """Return the rows' variances, and G12 M22 G21 by group, where every group is one row."""
    effects = at.layout
    z, group = effects.values[:, 0], effects.index
    rest = _rest_rows(effects, inner)
    gain, own = at.gain[group, 0, 0], at.first_first[group, 0, 0]
    rows = z * z * gain + rest * (1 - gain * own) ** 2
    blocks = np.empty_like(at.gain)
    blocks[group, 0, 0] = (at.weights * z) ** 2 * rest
    return rows, blocks


def _grouped(at: Weighted, inner: Floats) -> tuple[Floats, Floats]:
    """Return the rows' variances, and the diagonal blocks of G12 M22 G21."""
    effects, k = at.layout, at.layout.first.width
    carried = at.first_rest @ inner
    shaped = carried.reshape(effects.first.groups, k, effects.r)
    if sparse.issparse(at.first_rest):
        blocks = _sparse_blocks(at.first_rest, shaped)
    else:
        blocks = shaped @ np.swapaxes(at.first_rest.reshape(shaped.shape), 1, 2)
    covariance = at.gain + at.gain @ blocks @ at.gain
    loaded = np.einsum("ia,iab->ib", effects.values, at.gain[effects.index])
    rows = np.einsum("ia,iab,ib->i", effects.values, covariance[effects.index], effects.values)
    rows += _rest_rows(effects, inner)
    for b in range(effects.places.shape[1]):
        for a in range(k):
            entry = carried[effects.index * k + a, effects.places[:, b]]
            rows -= 2 * loaded[:, a] * entry * effects.loads[:, b]
    return rows, blocks


def _sparse_blocks(crossed: Any, carried: Floats) -> Floats:
    """Return by group the products of carried rows with the sparse rows of Z1'WZ2."""
    groups, k, _ = carried.shape
    rows = np.repeat(np.arange(crossed.shape[0]), np.diff(crossed.indptr))
    blocks = np.zeros((groups, k, k))
    for a in range(k):
        share = carried[rows // k, a, crossed.indices] * crossed.data
        for b in range(k):
            mine = rows % k == b
            blocks[:, a, b] = np.bincount(rows[mine] // k, share[mine], minlength=groups)
    return blocks
