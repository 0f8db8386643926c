"""Second derivatives of the likelihood, and all that inference needs of it, without an n × n matrix.

V is linear in the parameters g: the entries of each term's covariance S_j, and the residual variance.
Everything is made of traces ``K_ij = trace(P V_i P V_j)``, of ``q_ij = y'P V_i P V_j P y`` and of the
products ``X'V⁻¹V_i P V_j V⁻¹X``, and each of those of Z'PZ, Z'Py and Z'V⁻¹X. The residual variance
needs nothing more: V = I + sum g_i V_i and P V P = P give its traces from the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from alignaudit.infer.mixed.algebra import block_rows, dense, lower_times_rows, sum_of_blocks
from alignaudit.infer.mixed.criterion import Factorisation, Slopes, slopes_from
from alignaudit.infer.mixed.products import Block, CrossProducts
from alignaudit.infer.mixed.roots import directions, vech_places

__all__ = [
    "Curvature",
    "Information",
    "curvature",
    "information",
    "spans",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curvature:
    """Second-order quantities in the m entries of the terms' covariances.

    Attributes
    ----------
    slopes
        First derivatives at the same point.
    traces
        Shape [m, m]: trace(P V_i P V_j).
    full_traces
        Shape [m, m]: the same with V⁻¹ in place of P.
    first_traces, full_first_traces
        Shape [m]: trace(P V_i) and trace(V⁻¹ V_i).
    quadratics, first_quadratics
        Shapes [m, m] and [m]: y'P V_i P V_j P y and y'P V_i P y.
    gram
        Shape [q, q]: Z'PZ, the eliminated term's effects first.
    carried
        Shape [q, p]: Z'V⁻¹X, X in the orthonormal basis.
    entries
        Shape [m]: current values of the parameters, vech of each S_j by columns.
    """

    slopes: Slopes
    traces: Floats
    full_traces: Floats
    first_traces: Floats
    full_first_traces: Floats
    quadratics: Floats
    first_quadratics: Floats
    gram: Floats
    carried: Floats
    entries: Floats


@dataclass(frozen=True, slots=True)
class Information:
    """What inference on fixed effects needs, in units of the residual variance.

    The last of the m + 1 parameters is the residual variance, with value 1.

    Attributes
    ----------
    traces
        Shape [m + 1, m + 1]: trace(P V_i P V_j); half of it is the expected restricted information.
    hessian
        Shape [m + 1, m + 1]: second derivatives of minus twice the log-likelihood.
    gradient
        Shape [m + 1]: first derivatives of it.
    entries
        Shape [m + 1]: values of the parameters.
    covariance
        Shape [p, p]: C = (X'V⁻¹X)⁻¹, in the orthonormal basis.
    first
        Shape [m + 1, p, p]: X'V⁻¹ V_i V⁻¹X, so that dC/dg_i = C first_i C.
    second
        Shape [m + 1, m + 1, p, p]: X'V⁻¹ V_i P V_j V⁻¹X.
    """

    traces: Floats
    hessian: Floats
    gradient: Floats
    entries: Floats
    covariance: Floats
    first: Floats
    second: Floats


def curvature(products: CrossProducts, at: Factorisation) -> Curvature:
    """Return the second-order quantities of a model at given variances.

    Parameters
    ----------
    products, at
        The model, and where it was evaluated.

    Returns
    -------
    Curvature
        In units of the residual variance, for the standardised response.

    References
    ----------
    Harville (1977), J. American Statistical Association 72, 320-338; Kenward & Roger (1997),
    Biometrics 53, 983-997, appendix.
    """
    gram, carried = _gram(products, at)
    half = blas.dtrsm(1.0, at.fixed_upper, carried.T, trans_a=1)
    full = gram + half.T @ half
    sums = _sums(gram if at.reml else full, products.blocks)
    first = slopes_from(products, at, sums)
    loaded = _loaded(first.scores[:, None], products.blocks)[:, :, 0]
    entries = [
        covariance[vech_places(block.width)]
        for block, covariance in zip(products.blocks, at.covariances, strict=True)
    ]
    return Curvature(
        slopes=first, traces=_traces(gram, products.blocks), full_traces=_traces(full, products.blocks),
        first_traces=_first_traces(gram, products.blocks),
        full_first_traces=_first_traces(full, products.blocks), quadratics=loaded @ gram @ loaded.T,
        first_quadratics=loaded @ first.scores, gram=gram, carried=carried, entries=np.concatenate(entries),
    )  # fmt: skip


def information(products: CrossProducts, at: Factorisation, curved: Curvature) -> Information:
    """Return traces, Hessian and moments of the fixed effects, the residual variance included.

    Parameters
    ----------
    products, at, curved
        The model, where it was evaluated, and its curvature there.

    Returns
    -------
    Information
        Of the likelihood (restricted or full) that ``at`` was evaluated for, the residual variance
        at its profile estimate.
    """
    free = products.n - products.p if at.reml else products.n
    variance = at.rss / free
    g = curved.entries
    traces = _bordered(curved.traces, curved.first_traces, g, float(products.n - products.p))
    full = _bordered(curved.full_traces, curved.full_first_traces, g, float(products.n))
    quadratics = _bordered(curved.quadratics, curved.first_quadratics, g, at.rss)
    firsts = curved.first_traces if at.reml else curved.full_first_traces
    gradient = np.append(firsts, free - g @ firsts)
    gradient -= np.append(curved.first_quadratics, at.rss - g @ curved.first_quadratics) / variance
    fixed = at.fixed_upper.T @ at.fixed_upper
    first, second = _fixed_moments(products, curved, fixed)
    return Information(
        traces=traces, hessian=2 * quadratics / variance - (traces if at.reml else full), gradient=gradient,
        entries=np.append(g, 1.0), covariance=np.asarray(np.linalg.inv(fixed)), first=first, second=second,
    )  # fmt: skip


def _fixed_moments(products: CrossProducts, curved: Curvature, fixed: Floats) -> tuple[Floats, Floats]:
    """Return X'V⁻¹V_iV⁻¹X and X'V⁻¹V_iPV_jV⁻¹X for all parameters, the residual variance last."""
    g = curved.entries
    moved = _loaded(curved.carried, products.blocks)
    first = np.einsum("qa,iqb->iab", curved.carried, moved)
    m, q, p = moved.shape
    flat = moved.transpose(1, 0, 2).reshape(q, m * p)
    inner = (flat.T @ (curved.gram @ flat)).reshape(m, p, m, p).transpose(0, 2, 1, 3)
    edge = -np.einsum("j,ijab->iab", g, inner)
    second = np.empty((m + 1, m + 1, p, p))
    second[:m, :m] = inner
    second[:m, m] = edge
    second[m, :m] = edge.transpose(0, 2, 1)
    second[m, m] = -np.einsum("i,iab->ab", g, edge)
    return np.concatenate([first, (fixed - np.einsum("i,iab->ab", g, first))[None]]), second


def _bordered(inner: Floats, first: Floats, g: Floats, total: float) -> Floats:
    """Add the residual variance to a symmetric form in the V_i, by I = V - sum g_i V_i.

    ``first`` holds the form's values for (V_i, V), and ``total`` that for (V, V).
    """
    edge = first - inner @ g
    corner = total - 2 * (g @ first) + g @ inner @ g
    return np.block([[inner, edge[:, None]], [edge[None, :], np.array([[corner]])]])


def _gram(products: CrossProducts, at: Factorisation) -> tuple[Floats, Floats]:
    """Return Z'PZ, shape [q, q], and Z'V⁻¹X, shape [q, p]."""
    p, q1 = products.p, products.first.size
    half_rest = blas.dtrsm(1.0, at.lower, lower_times_rows(products.rest, at.roots, at.reduced), lower=1)
    crossed = dense(block_rows(at.keep, products.first_rest))
    transposed = np.ascontiguousarray(crossed.T)
    half_first = blas.dtrsm(1.0, at.lower, lower_times_rows(products.rest, at.roots, transposed), lower=1)
    half = np.hstack([half_first, half_rest])
    gram = np.empty((q1 + len(half), q1 + len(half)))
    gram[q1:, q1:] = at.reduced
    gram[:q1, q1:] = crossed
    gram[q1:, :q1] = transposed
    gram[:q1, :q1] = 0.0
    _add_diagonal_blocks(gram, products.first, at.keep @ products.first_first)
    gram -= half.T @ half
    fixed = np.vstack([block_rows(at.keep, products.first_fixed[:, :p]), at.reduced_fixed[:, :p]])
    carried = fixed - half.T @ at.solved_fixed[:, :p]
    solved = blas.dtrsm(1.0, at.fixed_upper, carried.T, trans_a=1)
    gram -= solved.T @ solved
    return gram, carried


def _add_diagonal_blocks(matrix: Floats, block: Block, blocks: Floats) -> None:
    k = block.width
    groups = np.arange(block.groups) * k
    for a in range(k):
        for b in range(k):
            matrix[groups + a, groups + b] += blocks[:, a, b]


def spans(blocks: Sequence[Block]) -> list[slice]:
    """Return the place of each term among all effects, the eliminated term first."""
    ends = np.cumsum([block.size for block in blocks])
    return [slice(int(end) - block.size, int(end)) for block, end in zip(blocks, ends, strict=True)]


def _traces(gram: Floats, blocks: Sequence[Block]) -> Floats:
    """Return trace(P V_i P V_j) from P's Gram matrix of the random columns, shape [m, m]."""
    places, bases = spans(blocks), [directions(block.width) for block in blocks]
    ends = np.cumsum([len(base) for base in bases])
    result = np.zeros((int(ends[-1]), int(ends[-1])))
    for i, first in enumerate(blocks):
        for j, second in enumerate(blocks[: i + 1]):
            part = gram[places[i], places[j]]
            moments = _block_moments(part, first, second)
            value = _contracted(bases[i], moments, bases[j])
            rows, columns = slice(ends[i] - len(bases[i]), ends[i]), slice(ends[j] - len(bases[j]), ends[j])
            result[rows, columns] = value
            result[columns, rows] = value.T
    return result


def _contracted(left: Floats, moments: Floats, right: Floats) -> Floats:
    """Return sum over a, b, c, d of E_i[a, b] M[b, c, a, d] E_j[c, d], shape [i, j]."""
    k, m = moments.shape[:2]
    flat = moments.transpose(2, 0, 1, 3).reshape(k * k, m * m)
    return left.reshape(-1, k * k) @ flat @ right.reshape(-1, m * m).T


def _block_moments(part: Floats, first: Block, second: Block) -> Floats:
    """Return sum over pairs of groups of A[b, c] A[a, d], A their k × k' block; shape [k, k', k, k']."""
    k, m = first.width, second.width
    if k == m == 1:
        return np.einsum("ij,ij->", part, part).reshape(1, 1, 1, 1)
    flat = part.reshape(first.groups, k, second.groups, m).transpose(1, 3, 0, 2).reshape(k * m, -1)
    return (flat @ flat.T).reshape(k, m, k, m)


def _first_traces(gram: Floats, blocks: Sequence[Block]) -> Floats:
    """Return trace(P V_i), shape [m]."""
    sums = _sums(gram, blocks)
    return np.concatenate([np.einsum("iab,ab->i", directions(len(own)), own) for own in sums])


def _sums(gram: Floats, blocks: Sequence[Block]) -> list[Floats]:
    """Return the sums over groups of each term's diagonal blocks, shape [k, k] each."""
    return [sum_of_blocks(block, gram[span, span]) for block, span in zip(blocks, spans(blocks), strict=True)]


def _loaded(matrix: Floats, blocks: Sequence[Block]) -> Floats:
    """Return (I ⊗ E_i) M for every parameter i, zero outside its term; shape [m, q, columns]."""
    result = []
    for block, span in zip(blocks, spans(blocks), strict=True):
        shaped = matrix[span].reshape(block.groups, block.width, -1)
        for direction in directions(block.width):
            whole = np.zeros_like(matrix)
            whole[span] = (direction @ shaped).reshape(block.size, -1)
            result.append(whole)
    return np.stack(result)
