"""Picking the few cells of a tile that reach a threshold."""

from __future__ import annotations

from alignaudit.measure.arrays import Array, namespace

__all__ = ["reaching"]

_GROUP = 8  # rows of a column whose maximum is looked at first
_COPIED = 3 / 4  # share of a tile's rows up to which they are worth copying out


def reaching(cells: Array, least: Array, axis: int, most: int) -> tuple[Array, Array, Array] | None:
    """Return the cells of a tile that reach what their query asks.

    Parameters
    ----------
    cells
        A tile of similarities.
    least
        What a candidate must reach, per query.
    axis
        Along which the candidates lie: 1 where queries are rows.
    most
        Cells that may be returned, about.

    Returns
    -------
    queries, candidates, values : array or None
        Three arrays of shape [c]: where in the tile, and the cell; those of a query by candidate.
        None where they are more.
    """
    return _in_rows(cells, least, most) if axis == 1 else _in_columns(cells, least, most)


def _in_rows(cells: Array, least: Array, most: int) -> tuple[Array, Array, Array] | None:
    xp, width = namespace(cells), int(cells.shape[1])
    live = xp.nonzero(xp.max(cells, axis=1) >= least)[0]
    copied = live.shape[0] < _COPIED * cells.shape[0]
    if copied:
        cells, least = cells[live, :], least[live]
    mask = cells >= least[:, None]
    if int(xp.count_nonzero(mask)) > most:
        return None
    flat = xp.nonzero(xp.reshape(mask, (-1,)))[0]
    queries, candidates = flat // width, flat % width
    return live[queries] if copied else queries, candidates, cells[queries, candidates]


def _in_columns(cells: Array, least: Array, most: int) -> tuple[Array, Array, Array] | None:
    xp, (height, width) = namespace(cells), cells.shape
    size = _GROUP if height % _GROUP == 0 else 1
    groups = xp.reshape(cells, (height // size, size, width))
    live = xp.max(groups, axis=1) >= least[None, :]
    if int(xp.count_nonzero(live)) > most:
        return None
    flat = xp.nonzero(xp.reshape(live, (-1,)))[0]
    group, queries = flat // width, flat % width
    part = groups[group, :, queries]
    flat = xp.nonzero(xp.reshape(part >= least[queries][:, None], (-1,)))[0]
    place, row = flat // size, flat % size
    return queries[place], group[place] * size + row, part[place, row]
