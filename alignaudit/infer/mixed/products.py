"""Cross-products of a mixed model, computed once, so that no evaluation afterwards depends on n.

The rows of the model are standardised first: response and fixed columns are multiplied by the square
root of the weights, the fixed columns are replaced by an orthonormal basis, the response by its
least-squares residual in units of its standard deviation, and each random column has root mean
square 1. None of this changes the model; it takes away what makes its arithmetic inaccurate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import MixedDesign, RandomTerm

__all__ = ["Block", "CrossProducts", "Rows", "cross_products", "standardised_rows", "with_response"]

Floats = NDArray[np.float64]
SPARSE_BELOW = 0.15
"""Share of non-zero entries below which the widest term's products are kept sparse, if they are large."""

LARGE = 200_000
"""Number of entries from which on a matrix is large."""


@dataclass(frozen=True, slots=True)
class Block:
    """Place of one random term among all random effects.

    Attributes
    ----------
    term
        Index of the term in the design.
    groups, width
        Number of groups, and of effects per group, k.
    place
        Rows of the term among the effects that are not eliminated; for the eliminated term, among
        its own.
    """

    term: int
    groups: int
    width: int
    place: slice

    @property
    def size(self) -> int:
        """Return groups × width."""
        return self.groups * self.width


@dataclass(frozen=True, slots=True)
class Rows:
    """Standardised rows of a model, kept for new responses.

    Attributes
    ----------
    random
        Shape [n, q], sparse: columns of all random effects, the eliminated term's first.
    basis
        Shape [n, p], orthonormal.
    triangle
        Shape [p, p], upper: fixed columns × root weights = basis @ triangle.
    root_weights, offset
        Shape [n].
    scales
        Root mean square of each random column, by term of the design.
    """

    random: Any
    basis: Floats
    triangle: Floats
    root_weights: Floats
    offset: Floats
    scales: tuple[Floats, ...]


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """All that the likelihood needs of the data.

    Attributes
    ----------
    first
        The widest term, eliminated group by group.
    rest
        The other terms, r effects in all.
    first_first
        Shape [groups, k, k]: Z1'Z1, block-diagonal.
    first_rest
        Shape [q1, r], dense or sparse: Z1'Z2.
    first_fixed
        Shape [q1, p + 1]: Z1'[X y].
    rest_rest, rest_fixed, fixed_fixed
        Shapes [r, r], [r, p + 1], [p + 1, p + 1].
    ols
        Shape [p]: least-squares coefficients in the orthonormal basis, in the response's unit.
    unit
        Standard deviation of the least-squares residuals, the unit of the standardised response.
    n, p
        Observations and fixed columns.
    log_weights
        Sum of the logarithms of the weights.
    """

    first: Block
    rest: tuple[Block, ...]
    first_first: Floats
    first_rest: Any
    first_fixed: Floats
    rest_rest: Floats
    rest_fixed: Floats
    fixed_fixed: Floats
    ols: Floats
    unit: float
    n: int
    p: int
    log_weights: float

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Return all terms, the eliminated one first."""
        return (self.first, *self.rest)


def standardised_rows(design: MixedDesign, *, first: int | None = None, extra: Floats | None = None) -> Rows:
    """Return the standardised rows of a design.

    Parameters
    ----------
    design
        The model.
    first
        Term to eliminate; the widest by default.
    extra
        Shape [n]: further weights, multiplied with those of the design.
    """
    weights = design.weights if extra is None else design.weights * extra
    roots = np.sqrt(weights)
    basis, triangle = np.linalg.qr(design.fixed * roots[:, None])
    scales = tuple(np.sqrt(np.mean(term.values**2, axis=0)) for term in design.terms)
    order = _elimination_order(design.terms, first)
    columns = [_columns(design.terms[t], scales[t], roots) for t in order]
    return Rows(sparse.hstack(columns, format="csr"), basis, triangle, roots, design.offset, scales)


def _elimination_order(terms: Sequence[RandomTerm], first: int | None) -> list[int]:
    sizes = [term.size for term in terms]
    chosen = int(np.argmax(sizes)) if first is None else first
    return [chosen, *(t for t in range(len(terms)) if t != chosen)]


def _columns(term: RandomTerm, scales: Floats, roots: Floats) -> Any:
    """Return the sparse columns [n, groups × k] of one term, scaled."""
    n, k = term.values.shape
    rows = np.arange(0, n * k + 1, k)
    places = (term.index[:, None] * k + np.arange(k)).ravel()
    values = (term.values / scales * roots[:, None]).ravel()
    return sparse.csr_matrix((values, places, rows), shape=(n, term.size))


def cross_products(design: MixedDesign, rows: Rows, *, first: int | None = None) -> CrossProducts:
    """Return the cross-products of a design and its response.

    Parameters
    ----------
    design, rows
        The model and its standardised rows, made with the same ``first``.
    first
        Term to eliminate; the widest by default.

    Returns
    -------
    CrossProducts
        Of the design's own response.

    Raises
    ------
    FitError
        If the response is a combination of the fixed columns.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), section 3.4; Wolfinger,
    Tobias & Sall (1994), SIAM J. Scientific Computing 15, 1294-1310 (elimination in blocks).
    """
    order = _elimination_order(design.terms, first)
    blocks, start = [], 0
    for place, t in enumerate(order):
        term = design.terms[t]
        begin = 0 if place == 0 else start
        blocks.append(Block(t, len(term.levels), len(term.columns), slice(begin, begin + term.size)))
        start = 0 if place == 0 else begin + term.size
    gram = (rows.random.T @ rows.random).tocsr()
    fixed = rows.random.T @ rows.basis
    q1, p = blocks[0].size, rows.basis.shape[1]
    empty = CrossProducts(
        first=blocks[0], rest=tuple(blocks[1:]), first_first=_diagonal_blocks(gram[:q1, :q1], blocks[0]),
        first_rest=_dense_or_sparse(gram[:q1, q1:]), first_fixed=_with_column(fixed[:q1]),
        rest_rest=gram[q1:, q1:].toarray(), rest_fixed=_with_column(fixed[q1:]),
        fixed_fixed=np.eye(p + 1), ols=np.zeros(p), unit=1.0, n=design.n, p=p,
        log_weights=2 * float(np.log(rows.root_weights).sum()),
    )  # fmt: skip
    return with_response(empty, rows, design.response)


def with_response(products: CrossProducts, rows: Rows, response: Floats) -> CrossProducts:
    """Return the cross-products with another response, at the cost of one pass over the rows.

    Parameters
    ----------
    products, rows
        As for the first response.
    response
        Shape [n], the unit of the data.

    Raises
    ------
    FitError
        If the response is a combination of the fixed columns.
    """
    y = (response - rows.offset) * rows.root_weights
    ols = rows.basis.T @ y
    rest = y - rows.basis @ ols
    again = rows.basis.T @ rest
    rest -= rows.basis @ again
    unit = float(np.linalg.norm(rest)) / np.sqrt(max(1, products.n - products.p))
    if not unit > 1e-12 * float(np.abs(y).max(initial=0.0)):
        raise FitError("the response does not vary beyond the fixed effects, so there is nothing to model.")
    rest /= unit
    random = rows.random.T @ rest
    q1 = products.first.size
    first_fixed, rest_fixed = products.first_fixed.copy(), products.rest_fixed.copy()
    fixed_fixed = np.eye(products.p + 1)
    first_fixed[:, -1], rest_fixed[:, -1] = random[:q1], random[q1:]
    fixed_fixed[-1, -1] = float(rest @ rest)
    return replace(
        products, first_fixed=first_fixed, rest_fixed=rest_fixed, fixed_fixed=fixed_fixed,
        ols=ols + again, unit=unit,
    )  # fmt: skip


def _with_column(fixed: Floats) -> Floats:
    return np.column_stack([fixed, np.zeros(len(fixed))])


def _diagonal_blocks(gram: Any, block: Block) -> Floats:
    """Return the k × k blocks of one term with itself, shape [groups, k, k]."""
    k = block.width
    coo = gram.tocoo()
    blocks = np.zeros((block.groups, k, k))
    blocks[coo.row // k, coo.row % k, coo.col % k] = coo.data
    return blocks


def _dense_or_sparse(matrix: Any) -> Any:
    size = matrix.shape[0] * matrix.shape[1]
    return matrix if size > LARGE and matrix.nnz < SPARSE_BELOW * size else matrix.toarray()
