"""Products with block-diagonal matrices, which is what random effects by group are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignaudit.infer.mixed.products import Block

__all__ = ["block_rows", "dense", "lower_times_rows", "sum_of_blocks", "times_lower"]

Floats = NDArray[np.float64]
Roots = Sequence[Floats]


def block_rows(blocks: Floats, matrix: Any) -> Any:
    """Return a block-diagonal matrix times another one.

    Parameters
    ----------
    blocks
        Shape [groups, k, k].
    matrix
        Shape [groups × k, m], dense or sparse.

    Returns
    -------
    Same kind and shape as ``matrix``.
    """
    groups, k, _ = blocks.shape
    if sparse.issparse(matrix):
        places = np.arange(groups + 1)
        return sparse.bsr_matrix((blocks, places[:-1], places)).tocsr() @ matrix
    if k == 1:
        return blocks[:, 0] * matrix
    return (blocks @ matrix.reshape(groups, k, -1)).reshape(groups * k, -1)


def dense(matrix: Any) -> Floats:
    """Return a matrix, dense or sparse, as a dense array of the same shape."""
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def lower_times_rows(blocks: Sequence[Block], roots: Roots, matrix: Floats) -> Floats:
    """Return T'M for the block-diagonal T of several terms.

    Parameters
    ----------
    blocks, roots
        Terms and their T_j, shape [k, k] each.
    matrix
        Shape [r, m], rows in the order of the terms.

    Returns
    -------
    numpy.ndarray of float64, shape [r, m], a new array
    """
    result = np.empty_like(matrix)
    for block, root in zip(blocks, roots, strict=True):
        rows = matrix[block.place]
        if block.width == 1:
            np.multiply(rows, root[0, 0], out=result[block.place])
        else:
            shaped = rows.reshape(block.groups, block.width, -1)
            result[block.place] = (root.T @ shaped).reshape(block.size, -1)
    return result


def times_lower(blocks: Sequence[Block], roots: Roots, matrix: Floats) -> Floats:
    """Return T M for the block-diagonal T of several terms; shapes as in :func:`lower_times_rows`."""
    return lower_times_rows(blocks, [root.T for root in roots], matrix)


def sum_of_blocks(block: Block, matrix: Floats) -> Floats:
    """Return the sum over groups of the k × k diagonal blocks of a term's square matrix.

    Parameters
    ----------
    block
        The term.
    matrix
        Shape [groups × k, groups × k].

    Returns
    -------
    numpy.ndarray of float64, shape [k, k]
    """
    k = block.width
    total = np.empty((k, k))
    for a in range(k):
        for b in range(k):
            total[a, b] = float(np.trace(matrix[a::k, b::k]))
    return total
