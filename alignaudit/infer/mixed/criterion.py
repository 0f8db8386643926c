"""The profiled deviance of a mixed model, from its cross-products, with its gradient.

Notation, in units of the residual variance: y = X b + Z u + e with Var(e) = I and, for term j,
Var(u_j) = I ⊗ S_j, S_j = T_j T_j'. V is the covariance of y and
P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹. The widest term (1) is eliminated group by group, with k × k
matrices; what is left (2) is one dense matrix of the size of all other random effects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import blas, lapack

from alignaudit.errors import FitError
from alignaudit.infer.mixed.algebra import block_rows, dense, lower_times_rows, sum_of_blocks, times_lower
from alignaudit.infer.mixed.products import Block, CrossProducts

__all__ = [
    "Factorisation",
    "Slopes",
    "conditional_rest",
    "factorise",
    "slopes",
    "slopes_at",
    "slopes_from",
]

Floats = NDArray[np.float64]
Roots = Sequence[Floats]


@dataclass(frozen=True, slots=True)
class Factorisation:
    """A mixed model at given variances, solved.

    Attributes
    ----------
    reml
        Whether the criterion is the restricted one.
    covariances
        Shape [k, k] each: S_j, in the order of the blocks (the eliminated term first).
    roots
        T_j of the terms that are not eliminated.
    gain
        Shape [groups, k, k]: H = S (I + G S)⁻¹ of the eliminated term, G its Z'Z.
    keep
        Shape [groups, k, k]: I - G H.
    reduced
        Shape [r, r]: Z2'V1⁻¹Z2, with V1 the covariance without the other terms.
    reduced_fixed
        Shape [r, p + 1]: Z2'V1⁻¹[X y].
    lower
        Shape [r, r]: Cholesky factor of I + T2'(reduced)T2.
    solved_fixed
        Shape [r, p + 1]: lower⁻¹ T2' reduced_fixed.
    fixed_upper
        Shape [p, p]: upper Cholesky factor of X'V⁻¹X.
    beta
        Shape [p]: fixed effects in the orthonormal basis, standardised response.
    rss
        y'P y, standardised.
    log_det, log_det_fixed
        Logarithms of the determinants of V and of X'V⁻¹X.
    deviance
        Minus twice the profiled log-likelihood (restricted if ``reml``) of the standardised response.
    """

    reml: bool
    covariances: tuple[Floats, ...]
    roots: tuple[Floats, ...]
    gain: Floats
    keep: Floats
    reduced: Floats
    reduced_fixed: Floats
    lower: Floats
    solved_fixed: Floats
    fixed_upper: Floats
    beta: Floats
    rss: float
    log_det: float
    log_det_fixed: float
    deviance: float


@dataclass(frozen=True, slots=True)
class Slopes:
    """First derivatives of the deviance at a factorisation.

    Attributes
    ----------
    by_covariance
        Shape [k, k] each, in the order of the blocks: the derivative D_j by S_j, symmetric, such that
        the deviance changes by ``trace(D_j dS_j)``. At an optimum D_j is positive semidefinite
        and D_j S_j = 0.
    information
        Shape [k, k] each: the part of D_j that the determinants contribute, its natural scale.
    scores
        Shape [q]: Z'P y, the eliminated term's effects first.
    """

    by_covariance: tuple[Floats, ...]
    information: tuple[Floats, ...]
    scores: Floats


def factorise(
    products: CrossProducts, roots: Roots, *, reml: bool, first_variance: float | None = None
) -> Factorisation:
    """Evaluate the profiled deviance.

    Parameters
    ----------
    products
        Cross-products of the model.
    roots
        Shape [k, k] each, in the order of ``products.blocks``: lower triangular T_j.
    reml
        Restricted or full likelihood.
    first_variance
        Variance of the eliminated term in place of T_1 T_1', where its width is 1; it may be below
        zero as long as the covariance of y stays positive definite.

    Returns
    -------
    Factorisation
        With the deviance and everything that its derivatives need.

    Raises
    ------
    FitError
        If the covariance of y is not positive definite.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), eqs. 30-42.
    """
    first = np.array([[first_variance]]) if first_variance is not None else roots[0] @ roots[0].T
    gain, keep, log_det = _eliminate(products, roots[0], first_variance)
    weighted = block_rows(gain, products.first_rest)
    reduced = products.rest_rest - dense(products.first_rest.T @ weighted)
    gained = block_rows(gain, products.first_fixed)
    reduced_fixed = products.rest_fixed - products.first_rest.T @ gained
    fixed = products.fixed_fixed - products.first_fixed.T @ gained
    rest = tuple(roots[1:])
    lower = _cholesky(_inner(products.rest, rest, reduced))
    log_det += 2 * float(np.log(np.diagonal(lower)).sum())
    solved = blas.dtrsm(1.0, lower, lower_times_rows(products.rest, rest, reduced_fixed), lower=1)
    fixed = fixed - solved.T @ solved
    p = products.p
    upper = _cholesky(fixed[:p, :p]).T
    projected = blas.dtrsm(1.0, upper, fixed[:p, p:], trans_a=1)
    rss = float(fixed[p, p] - (projected.T @ projected)[0, 0])
    if not rss > 0:
        raise FitError("the residual sum of squares is not positive.")
    beta = blas.dtrsm(1.0, upper, projected)[:, 0]
    log_det_fixed = 2 * float(np.log(np.diagonal(upper)).sum())
    free = products.n - p if reml else products.n
    deviance = log_det + free * (1 + math.log(2 * math.pi * rss / free)) + (log_det_fixed if reml else 0.0)
    covariances = (first, *(root @ root.T for root in rest))
    return Factorisation(
        reml, covariances, rest, gain, keep, reduced, reduced_fixed, lower, solved, upper, beta, rss,
        log_det, log_det_fixed, deviance,
    )  # fmt: skip


def slopes(products: CrossProducts, at: Factorisation) -> Slopes:
    """Return the derivatives of the deviance by the covariances of the random effects.

    Parameters
    ----------
    products, at
        The model, and where it was evaluated.

    Returns
    -------
    Slopes
        For the profiled deviance; the derivative by T_j is the lower triangle of ``2 D_j T_j``.

    References
    ----------
    Harville (1977), J. American Statistical Association 72, 320-338, eqs. 4.2-4.5 (traces of P times
    derivatives of V).
    """
    return slopes_from(products, at, _information(products, at))


def slopes_from(products: CrossProducts, at: Factorisation, parts: Sequence[Floats]) -> Slopes:
    """Return the derivatives of the deviance from the part of the determinants.

    Parameters
    ----------
    products, at
        The model, and where it was evaluated.
    parts
        Shape [k, k] each: sums over groups of the diagonal blocks of Z'PZ (Z'V⁻¹Z for full likelihood).

    Returns
    -------
    Slopes
        As of :func:`slopes`.
    """
    free = products.n - products.p if at.reml else products.n
    return _assembled(products, at, parts, at.rss / free)


def slopes_at(products: CrossProducts, at: Factorisation, variance: float) -> Slopes:
    """Return the derivatives of the deviance where the residual variance is given, not profiled.

    Parameters
    ----------
    products, at
        The model, and where it was evaluated.
    variance
        Residual variance of the standardised response.

    Returns
    -------
    Slopes
        As of :func:`slopes`.
    """
    return _assembled(products, at, _information(products, at), variance)


def _assembled(
    products: CrossProducts, at: Factorisation, parts: Sequence[Floats], variance: float
) -> Slopes:
    scores = _scores(products, at)
    derivatives, start = [], 0
    for block, part in zip(products.blocks, parts, strict=True):
        u = scores[start : start + block.size].reshape(block.groups, block.width)
        derivatives.append(part - (u.T @ u) / variance)
        start += block.size
    return Slopes(tuple(derivatives), tuple(parts), scores)


def _eliminate(products: CrossProducts, root: Floats, variance: float | None) -> tuple[Floats, Floats, float]:
    """Return H, I - G H and log det(I + G S) of the widest term."""
    G = products.first_first
    if products.first.width == 1:
        s = float(root[0, 0]) ** 2 if variance is None else variance
        inner = 1 + G * s
        if not inner.min() > 0:
            raise FitError("the covariance of the response is not positive definite.")
        return s / inner, 1 / inner, float(np.log(inner).sum())
    inner = np.eye(products.first.width) + root.T @ G @ root
    half = np.linalg.inv(np.linalg.cholesky(inner))
    log_det = -2 * float(np.log(np.diagonal(half, axis1=1, axis2=2)).sum())
    left = root @ np.swapaxes(half, 1, 2)
    gain = left @ np.swapaxes(left, 1, 2)
    covariance = root @ root.T
    keep = np.asarray(np.linalg.inv(np.eye(products.first.width) + G @ covariance))
    return gain, keep, log_det


def _inner(blocks: Sequence[Block], roots: Roots, reduced: Floats) -> Floats:
    """Return I + T'(reduced)T."""
    half = lower_times_rows(blocks, roots, reduced)
    inner = lower_times_rows(blocks, roots, np.ascontiguousarray(half.T))
    inner[np.diag_indices(len(inner))] += 1
    return inner


def _cholesky(matrix: Floats) -> Floats:
    lower, info = lapack.dpotrf(matrix.T, lower=1, clean=1)
    if info != 0:
        raise FitError("a covariance matrix of the model is not positive definite.")
    return np.asarray(lower)


def _scores(products: CrossProducts, at: Factorisation) -> Floats:
    """Return Z'P y, shape [q]."""
    contrast = np.append(-at.beta, 1.0)
    effects = conditional_rest(products, at, contrast)
    first = block_rows(at.keep, (products.first_fixed @ contrast - products.first_rest @ effects)[:, None])[
        :, 0
    ]
    rest = at.reduced_fixed @ contrast - at.reduced @ effects
    return np.concatenate([first, rest])


def conditional_rest(products: CrossProducts, at: Factorisation, contrast: Floats) -> Floats:
    """Return the conditional modes of the effects that were not eliminated.

    Parameters
    ----------
    products, at
        The model, and where it was evaluated.
    contrast
        Shape [p + 1]: coefficients of [X y] that give the residual, ``(-beta, 1)``.

    Returns
    -------
    numpy.ndarray of float64, shape [r], standardised response
    """
    solved = blas.dtrsm(1.0, at.lower, (at.solved_fixed @ contrast)[:, None], lower=1, trans_a=1)
    return times_lower(products.rest, at.roots, solved)[:, 0]


def _information(products: CrossProducts, at: Factorisation) -> tuple[Floats, ...]:
    """Return the sums over groups of the diagonal blocks of Z'PZ (of Z'V⁻¹Z for full likelihood)."""
    half = blas.dtrsm(1.0, at.lower, lower_times_rows(products.rest, at.roots, at.reduced), lower=1)
    fixed = _fixed_part(at, at.reduced_fixed[:, : products.p].T, half)
    own = np.einsum("gab,gbc->ac", at.keep, products.first_first)
    carried = block_rows(at.keep, products.first_rest)
    explained = _explained_sparse if sparse.issparse(carried) else _explained_dense
    result = [own - explained(products, at, carried)]
    for block in products.rest:
        place = block.place
        gram = _block_gram(block, half[:, place])
        if at.reml:
            gram += _block_gram(block, fixed[:, place])
        result.append(sum_of_blocks(block, at.reduced[place, place]) - gram)
    return tuple(result)


def _explained_dense(products: CrossProducts, at: Factorisation, carried: Floats) -> Floats:
    """Return what the other terms and the fixed part explain of the eliminated term, summed over groups."""
    crossed = np.ascontiguousarray(carried.T)
    half = blas.dtrsm(1.0, at.lower, lower_times_rows(products.rest, at.roots, crossed), lower=1)
    gram = _block_gram(products.first, half)
    if at.reml:
        kept = block_rows(at.keep, products.first_fixed[:, : products.p])
        gram += _block_gram(products.first, _fixed_part(at, kept.T, half))
    return gram


def _explained_sparse(products: CrossProducts, at: Factorisation, carried: Any) -> Floats:
    """Return the same as :func:`_explained_dense` where few groups of the two terms meet."""
    inverse, _ = lapack.dpotri(at.lower, lower=1)
    inverse += np.tril(inverse, -1).T
    shrunk = times_lower(products.rest, at.roots, inverse)
    shrunk = times_lower(products.rest, at.roots, np.ascontiguousarray(shrunk.T))
    k = products.first.width
    parts = [carried[a::k] for a in range(k)]
    gram = np.array([[(left.T @ right).multiply(shrunk).sum() for right in parts] for left in parts])
    if at.reml:
        p = products.p
        solved = blas.dtrsm(1.0, at.lower, at.solved_fixed[:, :p], lower=1, trans_a=1)
        kept = block_rows(at.keep, products.first_fixed[:, :p])
        kept = kept - carried @ times_lower(products.rest, at.roots, solved)
        gram += _block_gram(products.first, blas.dtrsm(1.0, at.fixed_upper, kept.T, trans_a=1))
    return gram


def _fixed_part(at: Factorisation, crossed: Floats, half: Floats) -> Floats:
    """Return R⁻' X'V⁻¹Z_j, shape [p, q_j], from X'V1⁻¹Z_j and the solved half."""
    p = len(at.beta)
    return blas.dtrsm(1.0, at.fixed_upper, crossed - at.solved_fixed[:, :p].T @ half, trans_a=1)


def _block_gram(block: Block, half: Floats) -> Floats:
    """Return the sum over groups of the diagonal blocks of half'half, shape [k, k]."""
    if block.width == 1:
        return np.array([[np.einsum("ij,ij->", half, half)]])
    parts = [half[:, a :: block.width] for a in range(block.width)]
    return np.array([[np.einsum("ij,ij->", left, right) for right in parts] for left in parts])
