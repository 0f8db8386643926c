"""Exact nearest neighbours by inner product, with NumPy or, where asked for, faiss."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, SetupError, UsageError
from alignaudit.measure.arrays import IntArray, SingleArray, matrix, row_blocks

__all__ = ["nearest", "top_scores"]


def nearest(
    queries: npt.ArrayLike, candidates: npt.ArrayLike, k: int, *, backend: Literal["numpy", "faiss"] = "numpy"
) -> tuple[SingleArray, IntArray]:
    """Return the k candidates with the largest inner product with each query.

    Parameters
    ----------
    queries, candidates
        Shapes [n, d] and [m, d], used in float32. With unit rows, as
        :func:`alignaudit.measure.retrieval.normalise` makes them, the inner product is the cosine.
    k
        Number of neighbours, at least 1; clipped to m.
    backend
        ``numpy`` accumulates in float64, rounds to float32 and gives equal scores to the lowest
        index first. ``faiss`` searches ``IndexFlatIP`` in float32 and leaves the order of ties open.

    Returns
    -------
    scores : numpy.ndarray
        Shape [n, k], float32, descending.
    indices : numpy.ndarray
        Shape [n, k], int64: rows of ``candidates``.

    Raises
    ------
    DataError
        Where an array is not a finite matrix or the dimensions differ.
    SetupError
        Where faiss is asked for and not installed.
    UsageError
        Where k is below 1 or the back end is unknown.

    Examples
    --------
    >>> scores, indices = nearest([[1.0, 0.0]], [[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]], k=2)
    >>> indices.tolist()
    [[2, 1]]
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}.")
    left = np.ascontiguousarray(matrix(queries, "queries"), dtype=np.float32)
    right = np.ascontiguousarray(matrix(candidates, "candidates"), dtype=np.float32)
    if left.shape[1] != right.shape[1]:
        raise DataError(f"Queries have {left.shape[1]} dimensions and candidates {right.shape[1]}.")
    k = min(k, len(right))
    if backend == "numpy":
        return _nearest_numpy(left, right, k)
    if backend == "faiss":
        return _nearest_faiss(left, right, k)
    raise UsageError(f'Unknown back end "{backend}".', hint="Known: faiss, numpy.")


def top_scores(scores: SingleArray, k: int) -> tuple[SingleArray, IntArray]:
    """Return the k largest entries of every row; equal entries come in the order of their columns.

    Parameters
    ----------
    scores
        Shape [n, m], finite; **overwritten** with minus infinity where an entry was taken.
    k
        Between 1 and m.

    Returns
    -------
    values : numpy.ndarray
        Shape [n, k], float32, descending.
    columns : numpy.ndarray
        Shape [n, k], int64.
    """
    every_row = np.arange(len(scores))
    values = np.empty((len(scores), k), dtype=np.float32)
    columns = np.empty((len(scores), k), dtype=np.int64)
    for place in range(k):
        columns[:, place] = scores.argmax(axis=1)
        values[:, place] = scores[every_row, columns[:, place]]
        scores[every_row, columns[:, place]] = -np.inf
    return values, columns


def _nearest_numpy(queries: SingleArray, candidates: SingleArray, k: int) -> tuple[SingleArray, IntArray]:
    targets = candidates.T.astype(np.float64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    indices = np.empty((len(queries), k), dtype=np.int64)
    for rows in row_blocks(len(queries), len(candidates)):
        products = (queries[rows].astype(np.float64) @ targets).astype(np.float32)
        scores[rows], indices[rows] = top_scores(products, k)
    return scores, indices


def _nearest_faiss(queries: SingleArray, candidates: SingleArray, k: int) -> tuple[SingleArray, IntArray]:
    try:
        import faiss
    except ImportError as error:
        raise SetupError("faiss is not installed.", hint="pip install faiss-cpu, or use numpy.") from error
    index = faiss.IndexFlatIP(candidates.shape[1])
    index.add(candidates)
    scores, indices = index.search(queries, k)
    return scores, indices
