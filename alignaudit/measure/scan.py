"""Picking the few cells of a tile that reach a threshold, by its rows and by its columns."""

from __future__ import annotations

from typing import TypeAlias

import array_api_compat

from alignaudit.measure.arrays import Array, namespace

__all__ = ["Cells", "reaching"]

_GROUP = 8  # rows of a column whose maximum is looked at first
_SLAB = 256  # rows that are read for both maxima while they are in the cache
_COPIED = 3 / 4  # share of a tile's rows up to which they are worth copying out

Cells: TypeAlias = tuple[Array, Array, Array]


def reaching(cells: Array, least: tuple[Array, Array], most: int) -> tuple[Cells, Cells] | None:
    """Return the cells of a tile that reach what their row asks, and those that reach what their column asks.

    Parameters
    ----------
    cells
        A tile of similarities, [h, w].
    least
        What a cell must reach, shapes [h] by its row and [w] by its column.
    most
        Cells that may be returned in either direction, about.

    Returns
    -------
    by_row, by_column : tuple of three arrays of shape [c], or None
        Query, candidate and cell; queries are rows in the first and columns in the second, and those
        of a query come by candidate. None where they are more.
    """
    best, tops = _maxima(cells)
    by_row = _in_rows(cells, best, least[0], most)
    by_column = _in_columns(cells, tops, least[1], most) if by_row else None
    return (by_row, by_column) if by_row and by_column else None


def _maxima(cells: Array) -> tuple[Array, Array]:
    """Return the maximum of each row, [h], and of each column in groups of a few rows, [groups, w]."""
    xp, (height, width) = namespace(cells), cells.shape
    device = array_api_compat.device(cells)
    size = _GROUP if height % _GROUP == 0 else 1
    slab = _SLAB if size > 1 and str(device) == "cpu" else height
    best = xp.empty((height,), dtype=cells.dtype, device=device)
    tops = xp.empty((height // size, width), dtype=cells.dtype, device=device)
    for start in range(0, height, slab):
        part = cells[start : start + slab, :]
        best[start : start + slab] = xp.max(part, axis=1)
        groups = xp.reshape(part, (part.shape[0] // size, size, width))
        tops[start // size : (start + slab) // size, :] = xp.max(groups, axis=1)
    return best, tops


def _in_rows(cells: Array, best: Array, least: Array, most: int) -> Cells | None:
    xp, width = namespace(cells), int(cells.shape[1])
    live = xp.nonzero(best >= least)[0]
    copied = live.shape[0] < _COPIED * cells.shape[0]
    if copied:
        cells, least = cells[live, :], least[live]
    mask = cells >= least[:, None]
    if int(xp.count_nonzero(mask)) > most:
        return None
    flat = xp.nonzero(xp.reshape(mask, (-1,)))[0]
    queries, candidates = flat // width, flat % width
    return live[queries] if copied else queries, candidates, cells[queries, candidates]


def _in_columns(cells: Array, tops: Array, least: Array, most: int) -> Cells | None:
    xp, width = namespace(cells), int(cells.shape[1])
    size = cells.shape[0] // tops.shape[0]
    groups = xp.reshape(cells, (tops.shape[0], size, width))
    live = tops >= least[None, :]
    if int(xp.count_nonzero(live)) > most:
        return None
    flat = xp.nonzero(xp.reshape(live, (-1,)))[0]
    group, queries = flat // width, flat % width
    part = groups[group, :, queries]
    flat = xp.nonzero(xp.reshape(part >= least[queries][:, None], (-1,)))[0]
    place, row = flat // size, flat % size
    return queries[place], group[place] * size + row, part[place, row]
