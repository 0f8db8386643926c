"""One exact pass over all similarities of two sides, for both directions at once.

The similarities are made tile by tile, once, in float32; each tile serves its rows and its columns.
A float32 product may round the same two sentences differently at different places. Wherever the
last bits could decide (a candidate level with the translation, or with the last neighbour) the
similarity is made again by :meth:`Similarity.exact`, and that decides. So the results are those of
the exact similarities at the price of the fast ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import array_api_compat
import numpy as np

from alignaudit.measure.arrays import (
    Array,
    BoolArray,
    FloatArray,
    IntArray,
    SingleArray,
    namespace,
    to_numpy,
)
from alignaudit.measure.neighbours import (
    FEW,
    SPARE,
    NeighbourLists,
    collect,
    confirm,
    empty_lists,
    merge,
    threshold,
)
from alignaudit.measure.scan import Cells, reaching
from alignaudit.measure.similarity import Similarity

__all__ = ["Ranking", "search_both_ways"]

_FEW_CELLS = 1 / 32  # share of a tile's cells up to which they are picked out one by one
_EXACT_SHARE = 1 / 64  # of a tile's cells that are made again one by one; more, and the whole tile is


@dataclass(frozen=True, slots=True)
class Ranking:
    """What the similarities of q queries with their candidates amount to, in one direction.

    Attributes
    ----------
    greater
        Shape [n]: candidates more similar to query ``i`` than its translation; the first n <= q
        queries have a translation.
    equal
        Shape [n]: candidates exactly as similar as the translation, which is one of them.
    neighbours
        Shape [q, k]: the most similar candidates, best first; of equal ones the lowest first.
    similarities
        Shape [q, k], float32: their similarity.
    candidates
        Number of candidates.
    """

    greater: IntArray
    equal: IntArray
    neighbours: IntArray
    similarities: SingleArray
    candidates: int

    @property
    def correct(self) -> FloatArray:
        """Return per query 1 where the translation is the nearest, 1/t where t share that, else 0; [n]."""
        return np.where(self.greater == 0, 1.0 / self.equal, 0.0)

    @property
    def rank(self) -> FloatArray:
        """Return per query 1 + the larger similarities + half the other equal ones; [n]."""
        return 1.0 + self.greater + (self.equal - 1) / 2

    @property
    def prediction(self) -> IntArray:
        """Return per query the nearest candidate, the lowest of those that tie; [q]."""
        return self.neighbours[:, 0].copy()

    @property
    def neighbourhood(self) -> FloatArray:
        """Return per query the mean similarity of its k neighbours; [q]."""
        return self.similarities.mean(axis=1, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Direction:
    """One direction while the tiles go by."""

    lists: NeighbourLists
    gold: Array  # [q] similarity of the translation; +inf where there is none
    greater: IntArray  # [q]
    equal: IntArray  # [q]
    waiting: list[Cells] = field(default_factory=list)  # (query, candidate, cell) to be merged into the lists


_Side = tuple[_Direction, slice, slice]  # a direction, the tile's part of its queries and of its candidates


def search_both_ways(similarity: Similarity, k: int) -> tuple[Ranking, Ranking]:
    """Search rows among columns and columns among rows, exactly, in one pass over the cells.

    Parameters
    ----------
    similarity
        Of n rows with m >= n columns.
    k
        Neighbours to keep, at least 1; clipped to the number of candidates.

    Returns
    -------
    forward, backward : Ranking
        Of n rows among m columns, and of m columns among n rows.
    """
    n, m = similarity.shape
    gold = similarity.translations()
    forward = _start(gold, n, k, m, axis=1)
    backward = _start(gold, m, k, n, axis=0)
    height, width = similarity.tile_shape
    for top in range(0, n, height):
        rows = slice(top, min(top + height, n))
        for left in range(0, m, width):
            columns = slice(left, min(left + width, m))
            _scan(similarity, rows, columns, forward, backward)
            _merge(forward, rows)  # at once, because the next tile has the same queries
        _merge(backward, slice(0, m))
    return _ranking(similarity, forward, k), _ranking(similarity, backward, k)


def _ranking(similarity: Similarity, side: _Direction, k: int) -> Ranking:
    n, candidates = similarity.shape[0], similarity.shape[side.lists.axis]
    values, places = confirm(similarity, side.lists, min(k, candidates))
    return Ranking(side.greater[:n], side.equal[:n], to_numpy(places), to_numpy(values), candidates)


def _start(gold: Array, queries: int, k: int, candidates: int, axis: int) -> _Direction:
    """Begin with the translations as the only neighbours; tiles then leave them out."""
    xp, n, device = namespace(gold), int(gold.shape[0]), array_api_compat.device(gold)
    lists = empty_lists(queries, min(k + SPARE, candidates), axis, gold)
    lists.values[:n, 0] = gold
    lists.places[:n, 0] = xp.arange(n, dtype=xp.int64, device=device)
    unmatched = xp.full((queries - n,), math.inf, dtype=xp.float32, device=device)
    zero, one = np.zeros(queries, dtype=np.int64), np.ones(queries, dtype=np.int64)
    return _Direction(lists, xp.concat([gold, unmatched]), zero, one)


def _scan(
    similarity: Similarity, rows: slice, columns: slice, forward: _Direction, backward: _Direction
) -> None:
    """Add the cells of one tile to both directions."""
    sides = ((forward, rows, columns), (backward, columns, rows))
    tolerance = similarity.tolerance
    cells = _tile(similarity, rows, columns, exact=not tolerance)
    passed = (rows.stop - rows.start) * columns.start  # cells of these rows so far
    crowded = forward.greater[rows].sum() > _FEW_CELLS * passed
    if tolerance and not crowded and _scan_few(similarity, cells, sides):
        return
    best, counts = _counted(cells, sides, tolerance)
    if tolerance and sum(int(level.sum()) for _, level in counts) > _EXACT_SHARE * math.prod(cells.shape):
        tolerance, cells = 0.0, _tile(similarity, rows, columns, exact=True)
        best, counts = _counted(cells, sides, tolerance)
    for top, (above, level), (side, own, other) in zip(best, counts, sides, strict=True):
        side.greater[own] += above
        if not tolerance:
            side.equal[own] += level
        elif level.any():
            _settle(similarity, cells, side, own, other, level > 0)
        collect(cells, top, side.lists, own, other.start)


def _scan_few(similarity: Similarity, cells: Array, sides: tuple[_Side, _Side]) -> bool:
    """Add a tile of which few cells matter, looking only at these; return False where they are many."""
    xp, tolerance, size = namespace(cells), similarity.tolerance, math.prod(cells.shape)
    by_row, by_column = (
        xp.minimum(threshold(cells, side.lists, own), side.gold[own] - tolerance) for side, own, _ in sides
    )
    found = reaching(cells, (by_row, by_column), int(size * _FEW_CELLS))
    if found is None:
        return False
    scanned, levels = [], 0
    for (side, own, other), (queries, candidates, values) in zip(sides, found, strict=True):
        wanted, better = side.gold[own][queries], values > side.lists.values[own, -1][queries]
        above = values > wanted + tolerance
        level = (values >= wanted - tolerance) & ~above
        levels += int(xp.count_nonzero(level))
        scanned.append((side, own, queries, candidates + other.start, values, better, above, level))
    if levels > _EXACT_SHARE * size:
        return False
    for side, own, queries, candidates, values, better, above, level in scanned:
        side.greater[own] += np.bincount(to_numpy(queries[above]), minlength=own.stop - own.start)
        if bool(xp.any(level)):
            _decide(similarity, side, own, queries[level], candidates[level])
        if bool(xp.any(better)):
            side.waiting.append((queries[better] + own.start, candidates[better], values[better]))
    return True


def _merge(side: _Direction, own: slice) -> None:
    """Merge what waits, of a part of the queries, into the lists."""
    if side.waiting:
        queries, *cells = (namespace(side.gold).concat(parts) for parts in zip(*side.waiting, strict=True))
        merge(side.lists, own, queries - own.start, *cells)
        side.waiting.clear()


def _counted(
    cells: Array, sides: tuple[_Side, _Side], tolerance: float
) -> tuple[list[Array], list[tuple[IntArray, IntArray]]]:
    """Return the best candidate of each query in a tile, and the counts of both directions."""
    best = [namespace(cells).max(cells, axis=side.lists.axis) for side, _, _ in sides]
    counts = [
        _compare(cells, top, side, own, tolerance) for top, (side, own, _) in zip(best, sides, strict=True)
    ]
    return best, counts


def _tile(similarity: Similarity, rows: slice, columns: slice, *, exact: bool) -> Array:
    """Return a tile without the translations, which are in the lists from the start."""
    cells = similarity.tile(rows, columns, exact=exact)
    first, last = max(rows.start, columns.start), min(rows.stop, columns.stop)
    if first < last:
        pairs = namespace(cells).arange(first, last, device=array_api_compat.device(cells))
        cells[pairs - rows.start, pairs - columns.start] = -math.inf
    return cells


def _compare(
    cells: Array, best: Array, side: _Direction, own: slice, tolerance: float
) -> tuple[IntArray, IntArray]:
    """Count per query the candidates surely above its translation, and those level with it or nearly."""
    xp, gold = namespace(cells), side.gold[own]
    above = level = np.zeros(own.stop - own.start, dtype=np.int64)
    live = xp.nonzero(best >= gold - tolerance)[0]
    if not live.shape[0]:
        return above, level
    if live.shape[0] < FEW * gold.shape[0]:
        cells = cells[live, :] if side.lists.axis == 1 else xp.take(cells, live, axis=1)
        gold = gold[live]
    across = gold[:, None] if side.lists.axis == 1 else gold[None, :]
    greater = _count(cells > across + tolerance, side.lists.axis)
    near = _count(cells >= across - tolerance, side.lists.axis) - greater
    if len(greater) == len(above):
        return greater, near
    above, level, where = above.copy(), level.copy(), to_numpy(live)
    above[where], level[where] = greater, near
    return above, level


def _count(mask: Array, axis: int) -> IntArray:
    """Count true cells along an axis; NumPy's own count_nonzero is the slowest part of a scan."""
    if not isinstance(mask, np.ndarray):
        return to_numpy(namespace(mask).sum(mask, axis=axis, dtype=namespace(mask).int64))
    if axis == 1:
        return np.bitwise_count(np.packbits(mask, axis=1)).sum(axis=1, dtype=np.int64)
    total = np.zeros(mask.shape[1], dtype=np.int64)
    for start in range(0, len(mask), 255):  # as many as a byte can count
        total += np.add.reduce(mask[start : start + 255].view(np.uint8), axis=0, dtype=np.uint8)
    return total


def _settle(
    similarity: Similarity, cells: Array, side: _Direction, own: slice, other: slice, doubtful: BoolArray
) -> None:
    """Compare the candidates that are nearly level with a translation exactly."""
    xp = namespace(cells)
    queries = _on_device(np.flatnonzero(doubtful), cells)
    part = cells[queries, :] if side.lists.axis == 1 else xp.take(cells, queries, axis=1).T
    gold = side.gold[own][queries][:, None]
    tolerance = similarity.tolerance
    near = (part >= gold - tolerance) & (part <= gold + tolerance)
    flat = xp.nonzero(xp.reshape(near, (-1,)))[0]
    place, candidates = flat // part.shape[1], flat % part.shape[1]
    _decide(similarity, side, own, queries[place], candidates + other.start)


def _decide(similarity: Similarity, side: _Direction, own: slice, queries: Array, candidates: Array) -> None:
    """Count candidates that are nearly level with the translation of a query by exact similarity."""
    where, queries = to_numpy(queries), queries + own.start
    pair = (queries, candidates) if side.lists.axis == 1 else (candidates, queries)
    exact, wanted = to_numpy(similarity.exact(*pair)), to_numpy(side.gold[queries])
    size = own.stop - own.start
    side.greater[own] += np.bincount(where[exact > wanted], minlength=size)
    side.equal[own] += np.bincount(where[exact == wanted], minlength=size)


def _on_device(index: IntArray, like: Array) -> Array:
    return namespace(like).asarray(index, device=array_api_compat.device(like))
