"""The k most similar candidates of every query, kept while tiles of similarities go by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat

from alignaudit.measure.arrays import Array, namespace, row_blocks
from alignaudit.measure.similarity import Similarity

__all__ = ["FEW", "SPARE", "NeighbourLists", "collect", "confirm", "empty_lists", "merge", "threshold"]

SPARE = 2
"""Neighbours kept beyond k, so that a gap behind the k-th shows that none was missed."""
_GROUPS = 16  # of candidates, whose maxima bound the last neighbour from below
FEW = 1 / 3
"""Share of a tile's queries up to which they are worth copying out."""


@dataclass(frozen=True, slots=True)
class NeighbourLists:
    """The best candidates so far of q queries; arrays of the library of the similarities.

    Attributes
    ----------
    axis
        Of a tile along which the candidates lie: 1 where queries are rows.
    values
        Shape [q, K], float32, descending; minus infinity where nothing is known yet.
    places
        Shape [q, K], int64: which candidates; -1 where nothing is known yet.
    """

    axis: int
    values: Array
    places: Array


def empty_lists(queries: int, keep: int, axis: int, like: Array) -> NeighbourLists:
    """Return lists that hold nothing yet, where ``like`` lies.

    Parameters
    ----------
    queries, keep, axis
        q, K and the axis of the candidates.
    like
        An array of the library and device to use.

    Returns
    -------
    NeighbourLists
    """
    xp, device = namespace(like), array_api_compat.device(like)
    values = xp.full((queries, keep), -math.inf, dtype=xp.float32, device=device)
    return NeighbourLists(axis, values, xp.full((queries, keep), -1, dtype=xp.int64, device=device))


def collect(cells: Array, best: Array, lists: NeighbourLists, own: slice, offset: int) -> None:
    """Merge the candidates of a tile that beat a query's last neighbour into its list.

    Parameters
    ----------
    cells
        A tile of similarities.
    best
        Maximum of each query in the tile.
    lists
        Changed in place. Of equal candidates the first to come stays.
    own
        Which queries the tile holds.
    offset
        Number of the tile's first candidate.
    """
    xp, keep = namespace(cells), int(lists.values.shape[1])
    last = lists.values[own, keep - 1]
    improved = xp.nonzero(best > last)[0]
    if not improved.shape[0]:
        return
    if improved.shape[0] < FEW * best.shape[0]:
        cells = cells[improved, :] if lists.axis == 1 else xp.take(cells, improved, axis=1)
        last = last[improved]
    else:
        improved = xp.arange(best.shape[0], device=array_api_compat.device(cells))
    wanted = cells > _across(last, lists.axis)
    if bool(xp.any(last == -math.inf)):
        wanted = wanted & (cells >= _across(_bound(cells, lists.axis, keep), lists.axis))
    flat = xp.nonzero(xp.reshape(wanted, (-1,)))[0]
    rows, columns = flat // cells.shape[1], flat % cells.shape[1]
    queries, candidates = (rows, columns) if lists.axis == 1 else (columns, rows)
    merge(lists, own, improved[queries], candidates + offset, cells[rows, columns])


def threshold(cells: Array, lists: NeighbourLists, own: slice) -> Array:
    """Return per query what a candidate of a tile must reach to come into its list.

    Parameters
    ----------
    cells, lists, own
        As for :func:`collect`.

    Returns
    -------
    array
        Shape [queries], float32: the last neighbour's similarity; where there is none yet, one that
        enough candidates of the tile reach.
    """
    xp, keep = namespace(cells), int(lists.values.shape[1])
    last = lists.values[own, keep - 1]
    if bool(xp.any(last == -math.inf)):
        last = xp.maximum(last, _bound(cells, lists.axis, keep))
    return last


def merge(lists: NeighbourLists, own: slice, queries: Array, candidates: Array, values: Array) -> None:
    """Merge loose candidates into the lists of their queries.

    Parameters
    ----------
    lists
        Changed in place. Of equal candidates the first to come stays.
    own
        Part of the queries.
    queries, candidates, values
        Shape [c]: which query of that part, which candidate, and its similarity.
    """
    xp, keep = namespace(values), int(lists.values.shape[1])
    seen = xp.zeros((own.stop - own.start,), dtype=xp.bool, device=array_api_compat.device(values))
    seen[queries] = True
    improved = xp.nonzero(seen)[0]
    place = xp.cumulative_sum(xp.astype(seen, xp.int64))[queries] - 1
    values, names = _lists(place, candidates, values, int(improved.shape[0]), keep)
    improved = improved + own.start
    values = xp.concat([lists.values[improved, :], values], axis=1)
    names = xp.concat([lists.places[improved, :], names], axis=1)
    chosen = xp.argsort(values, axis=1, descending=True, stable=True)[:, :keep]
    lists.values[improved, :] = xp.take_along_axis(values, chosen, axis=1)
    lists.places[improved, :] = xp.take_along_axis(names, chosen, axis=1)


def _lists(queries: Array, candidates: Array, values: Array, count: int, keep: int) -> tuple[Array, Array]:
    """Sort loose (query, candidate, value) into lists [count, keep or fewer], padded with minus infinity."""
    xp, device = namespace(values), array_api_compat.device(values)
    order = xp.argsort(values, descending=True, stable=True)
    order = order[xp.argsort(queries[order], stable=True)]
    queries, candidates, values = queries[order], candidates[order], values[order]
    starts = xp.searchsorted(queries, xp.arange(count, dtype=queries.dtype, device=device))
    place = xp.arange(queries.shape[0], device=device) - starts[queries]
    kept = place < keep
    width = min(keep, int(xp.max(place)) + 1)
    listed = xp.full((count, width), -math.inf, dtype=values.dtype, device=device)
    names = xp.full((count, width), -1, dtype=xp.int64, device=device)
    listed[queries[kept], place[kept]] = values[kept]
    names[queries[kept], place[kept]] = candidates[kept]
    return listed, names


def _bound(cells: Array, axis: int, keep: int) -> Array:
    """Return per query a value that at least ``keep`` of its candidates in the tile reach; [queries]."""
    xp, size = namespace(cells), int(cells.shape[axis])
    groups = max(_GROUPS, 2 * keep)
    if size < 2 * groups:
        shape = (cells.shape[1 - axis],)
        return xp.full(shape, -math.inf, dtype=xp.float32, device=array_api_compat.device(cells))
    width = size // groups
    parts = [slice(g * width, (g + 1) * width) for g in range(groups)]
    tops = [xp.max(cells[:, part] if axis == 1 else cells[part, :], axis=axis) for part in parts]
    return xp.sort(xp.stack(tops), axis=0)[groups - keep, :]


def confirm(similarity: Similarity, lists: NeighbourLists, k: int) -> tuple[Array, Array]:
    """Order neighbours by exact similarity, and search again where one may have been missed.

    Parameters
    ----------
    similarity
        What the lists come from.
    lists
        K >= min(k + SPARE, candidates) neighbours of each query, the best by similarities that
        are within ``similarity.tolerance`` of the exact ones.
    k
        Neighbours to return, at most K.

    Returns
    -------
    values : array
        Shape [q, k], float32: exact similarities, descending.
    places : array
        Shape [q, k], int64; of equal candidates the lowest first.
    """
    xp = namespace(lists.values)
    queries, keep = int(lists.values.shape[0]), int(lists.values.shape[1])
    values, places = lists.values, lists.places
    if similarity.tolerance:
        own = xp.arange(queries, dtype=xp.int64, device=array_api_compat.device(values))[:, None]
        values = similarity.exact(*((own, places) if lists.axis == 1 else (places, own)))
    order = xp.argsort(places, axis=1, stable=True)
    values, places = xp.take_along_axis(values, order, axis=1), xp.take_along_axis(places, order, axis=1)
    order = xp.argsort(values, axis=1, descending=True, stable=True)[:, :k]
    values, places = xp.take_along_axis(values, order, axis=1), xp.take_along_axis(places, order, axis=1)
    candidates = similarity.shape[lists.axis]
    if similarity.tolerance and keep < candidates:
        doubtful = xp.nonzero(lists.values[:, keep - 1] + similarity.tolerance >= values[:, k - 1])[0]
        for part in row_blocks(int(doubtful.shape[0]), 1024):
            values[doubtful[part], :], places[doubtful[part], :] = _again(
                similarity, lists, doubtful[part], k
            )
    return values, places


def _again(similarity: Similarity, lists: NeighbourLists, queries: Array, k: int) -> tuple[Array, Array]:
    """Search the neighbours of a few queries with exact similarities only."""
    count = int(queries.shape[0])
    fresh = empty_lists(count, k, lists.axis, lists.values)
    for start in range(0, similarity.shape[lists.axis], similarity.tile_shape[lists.axis]):
        part = slice(start, start + similarity.tile_shape[lists.axis])
        where = (queries, part) if lists.axis == 1 else (part, queries)
        cells = similarity.tile(*where, exact=True)
        collect(cells, namespace(cells).max(cells, axis=lists.axis), fresh, slice(0, count), start)
    return fresh.values, fresh.places


def _across(values: Array, axis: int) -> Array:
    return values[:, None] if axis == 1 else values[None, :]
