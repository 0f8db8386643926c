"""Exact nearest neighbours by inner product, with plain products or, where asked for, faiss."""

from __future__ import annotations

import math
from typing import Any, Literal

import array_api_compat
import numpy as np

from alignaudit.errors import DataError, SetupError, UsageError
from alignaudit.measure.arrays import Array, matrix, namespace, to_numpy
from alignaudit.measure.neighbours import SPARE, NeighbourLists, collect, confirm, empty_lists
from alignaudit.measure.similarity import Cosines

__all__ = ["nearest"]


def nearest(
    queries: Array, candidates: Array, k: int, *, backend: Literal["array", "faiss"] = "array"
) -> tuple[Array, Array]:
    """Return the k candidates with the largest inner product with each query.

    Parameters
    ----------
    queries, candidates
        Shapes [n, d] and [m, d], of one library, used in float32. With unit rows, as
        :func:`alignaudit.measure.retrieval.normalise` makes them, the inner product is the cosine.
    k
        Number of neighbours, at least 1; clipped to m.
    backend
        ``array`` multiplies where the arrays lie. ``faiss`` searches ``IndexFlatIP``, on the GPUs
        if faiss was built for them. The answers are the same: inner products are accumulated in
        float64 and rounded to float32, and equal ones are given to the lowest index first.

    Returns
    -------
    scores : numpy.ndarray or torch.Tensor
        Shape [n, k], float32, descending.
    indices : numpy.ndarray or torch.Tensor
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
    left, right = matrix(queries, "queries"), matrix(candidates, "candidates")
    xp = namespace(left, right)
    if left.shape[1] != right.shape[1]:
        raise DataError(f"Queries have {left.shape[1]} dimensions and candidates {right.shape[1]}.")
    left, right = xp.astype(left, xp.float32, copy=False), xp.astype(right, xp.float32, copy=False)
    longest = math.prod(math.sqrt(float(xp.max(xp.vecdot(side, side)))) for side in (left, right))
    similarity = Cosines(left, right, longest)
    keep = min(k + SPARE, right.shape[0])
    if backend == "array":
        lists = _scanned(similarity, keep)
    elif backend == "faiss":
        lists = _searched(left, right, keep)
    else:
        raise UsageError(f'Unknown back end "{backend}".', hint="Known: array, faiss.")
    return confirm(similarity, lists, min(k, right.shape[0]))


def _scanned(similarity: Cosines, keep: int) -> NeighbourLists:
    n, m = similarity.shape
    height, width = similarity.tile_shape
    lists = empty_lists(n, keep, 1, similarity.left)
    for top in range(0, n, height):
        rows = slice(top, min(top + height, n))
        for start in range(0, m, width):
            cells = similarity.tile(rows, slice(start, min(start + width, m)))
            collect(cells, namespace(cells).max(cells, axis=1), lists, rows, start)
    return lists


def _searched(queries: Array, candidates: Array, keep: int) -> NeighbourLists:
    try:
        import faiss
    except ImportError as error:
        raise SetupError("faiss is not installed.", hint="pip install faiss-cpu, or use array.") from error
    index: Any = faiss.IndexFlatIP(int(candidates.shape[1]))
    if getattr(faiss, "get_num_gpus", int)():
        index = faiss.index_cpu_to_all_gpus(index)
    index.add(np.ascontiguousarray(to_numpy(candidates)))
    scores, places = index.search(np.ascontiguousarray(to_numpy(queries)), keep)
    xp, device = namespace(queries), array_api_compat.device(queries)
    return NeighbourLists(1, xp.asarray(scores, device=device), xp.asarray(places, device=device))
