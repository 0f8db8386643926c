"""Square roots of covariance matrices, and the order in which their entries are parameters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from alignaudit.infer.mixed.products import Block

__all__ = [
    "directions",
    "pack",
    "root_curvature",
    "root_jacobian",
    "semidefinite_root",
    "unpack",
    "vech_places",
]

Floats = NDArray[np.float64]


@lru_cache
def vech_places(width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the lower triangle of a k × k matrix, by columns.

    Parameters
    ----------
    width
        k.

    Returns
    -------
    tuple of numpy.ndarray of int, shape [k (k + 1) / 2] each

    Examples
    --------
    >>> [places.tolist() for places in vech_places(2)]
    [[0, 1, 1], [0, 0, 1]]
    """
    columns, rows = np.triu_indices(width)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


@lru_cache
def directions(width: int) -> Floats:
    """Return the symmetric matrices E_i with S = sum of g_i E_i, g the vech of S by columns.

    Parameters
    ----------
    width
        k.

    Returns
    -------
    numpy.ndarray of float64, shape [k (k + 1) / 2, k, k]

    Examples
    --------
    >>> directions(2)[1].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    rows, columns = vech_places(width)
    result = np.zeros((len(rows), width, width))
    places = np.arange(len(rows))
    result[places, rows, columns] = result[places, columns, rows] = 1.0
    result.flags.writeable = False
    return result


def pack(roots: Sequence[Floats]) -> Floats:
    """Return the lower triangles of the roots by columns, one after the other, shape [m].

    Examples
    --------
    >>> pack([np.array([[1.0, 0.0], [2.0, 3.0]]), np.array([[4.0]])]).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    return np.concatenate([root[vech_places(len(root))] for root in roots])


def unpack(theta: Floats, blocks: Sequence[Block]) -> tuple[Floats, ...]:
    """Return the roots from their lower triangles, the inverse of :func:`pack`.

    Parameters
    ----------
    theta
        Shape [m].
    blocks
        Terms, for their widths.
    """
    roots, start = [], 0
    for block in blocks:
        rows, columns = vech_places(block.width)
        root = np.zeros((block.width, block.width))
        root[rows, columns] = theta[start : start + len(rows)]
        roots.append(root)
        start += len(rows)
    return tuple(roots)


def semidefinite_root(covariance: Floats) -> Floats:
    """Return the lower Cholesky factor of a positive semidefinite matrix, zero columns where it is singular.

    Parameters
    ----------
    covariance
        Shape [k, k].

    Returns
    -------
    numpy.ndarray of float64, shape [k, k]

    Examples
    --------
    >>> semidefinite_root(np.array([[0.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.0, 0.0], [0.0, 2.0]]
    """
    rest, k = covariance.copy(), len(covariance)
    root = np.zeros((k, k))
    floor = 1e-14 * np.maximum(np.diagonal(covariance), np.finfo(float).tiny)
    for j in range(k):
        if rest[j, j] > floor[j]:
            root[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest -= np.outer(root[:, j], root[:, j])
    return root


def root_jacobian(root: Floats) -> Floats:
    """Return the derivatives of vech(T T') by vech(T), both by columns.

    Parameters
    ----------
    root
        Shape [k, k], lower triangular T.

    Returns
    -------
    numpy.ndarray of float64, shape [k (k + 1) / 2, k (k + 1) / 2]
        Row: entry of S; column: entry of T.
    """
    rows, columns = vech_places(root.shape[0])
    result = np.zeros((len(rows), len(rows)))
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        step = np.zeros_like(root)
        step[row, column] = 1.0
        change = step @ root.T
        result[:, place] = (change + change.T)[rows, columns]
    return result


def root_curvature(derivative: Floats) -> Floats:
    """Return the second derivatives of trace(D T T') by vech(T), shape [k (k + 1) / 2] squared.

    Parameters
    ----------
    derivative
        Shape [k, k]: D, symmetric. Two entries of one column of T give 2 D[i, i'], others 0.
    """
    rows, columns = vech_places(len(derivative))
    return 2 * derivative[rows[:, None], rows] * (columns[:, None] == columns)
