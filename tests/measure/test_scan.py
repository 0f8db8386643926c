"""Single cells against a naive scan, and the search by these against the one by whole tiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alignaudit.core.rng import stream
from alignaudit.measure import search
from alignaudit.measure.neighbours import empty_lists, merge, threshold
from alignaudit.measure.retrieval import normalise
from alignaudit.measure.scan import reaching
from alignaudit.measure.similarity import Cosines


def searched(cells, least, axis, most, place=np.asarray):
    """The cells of one direction; nothing is asked for in the other."""
    asked = [np.full(size, math.inf, dtype=np.float32) for size in cells.shape]
    asked[1 - axis] = least
    found = reaching(place(cells), (place(asked[0]), place(asked[1])), most)
    return found and found[1 - axis]


def naive(cells, least, axis):
    table = cells if axis == 1 else cells.T
    return [
        (query, candidate, float(value))
        for query, row in enumerate(table)
        for candidate, value in enumerate(row)
        if value >= least[query]
    ]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (16, 40), (17, 9), (40, 3), (64, 64), (520, 8)])
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("place", [np.asarray, torch.from_numpy])
def test_the_cells_that_reach_the_threshold(axis, shape, share, place):
    generator = stream(0, "test_scan", axis, *shape)
    cells = generator.integers(0, 50, size=shape).astype(np.float32)
    least = np.quantile(cells, 1 - share, axis=axis).astype(np.float32)
    least[::3] += 1
    found = searched(cells, least, axis, cells.size, place)
    queries, candidates, values = (np.asarray(part) for part in found)
    order = np.argsort(queries, kind="stable")  # those of a query come by candidate
    picked = list(zip(queries[order], candidates[order], values[order].tolist(), strict=True))
    assert picked == naive(cells, least, axis)


@pytest.mark.parametrize("axis", [0, 1])
def test_more_cells_than_wanted_are_not_picked(axis):
    cells = np.zeros((32, 32), dtype=np.float32)
    cells[::8, ::8] = 1
    half = np.full(32, 0.5, dtype=np.float32)
    assert len(searched(cells, half, axis, 16)[0]) == 16
    assert searched(cells, half, axis, 15) is None


def test_both_directions_of_a_tall_tile_in_one_call():
    cells = stream(0, "test_scan", "both").integers(0, 50, size=(1000, 30)).astype(np.float32)
    least = tuple(np.quantile(cells, 0.9, axis=axis).astype(np.float32) for axis in (1, 0))
    for axis, found in zip((1, 0), reaching(cells, least, cells.size), strict=True):
        order = np.argsort(found[0], kind="stable")
        picked = list(zip(found[0][order], found[1][order], found[2][order].tolist(), strict=True))
        assert picked == naive(cells, least[1 - axis], axis)


def test_a_threshold_without_neighbours_is_reached_by_enough():
    cells = stream(0, "test_scan", "bound").standard_normal((9, 400)).astype(np.float32)
    lists = empty_lists(9, 6, 1, cells)
    lists.values[2] = 9.0
    least = threshold(cells, lists, slice(0, 9))
    assert least[2] == 9.0
    reached = (cells >= least[:, None]).sum(axis=1)
    assert (np.delete(reached, 2) >= 6).all()
    assert (np.delete(reached, 2) < 60).all()


def test_merged_lists_hold_the_best():
    generator = stream(0, "test_scan", "merge")
    lists = empty_lists(12, 3, 1, np.empty(0, dtype=np.float32))
    held = {query: [] for query in range(12)}
    for start in range(0, 60, 20):
        queries = generator.integers(0, 5, size=20)  # of the part from 4 on
        values = generator.integers(0, 9, size=20).astype(np.float32)
        merge(lists, slice(4, 10), queries, np.arange(start, start + 20), values)
        for i, (query, value) in enumerate(zip(queries, values, strict=True)):
            held[query + 4].append((-float(value), start + i))
    for query, pairs in held.items():
        best = sorted(pairs)[:3]
        pad = 3 - len(best)
        assert lists.values[query].tolist() == [-value for value, _ in best] + [-math.inf] * pad
        assert lists.places[query].tolist() == [place for _, place in best] + [-1] * pad


@pytest.mark.parametrize(
    ("noise", "offset", "hopeless"), [(0.5, 0, 0), (0.7, 0, 0), (0.3, 3.0, 0), (0.5, 0, 20), (3.0, 0, 0)]
)
def test_picked_cells_give_what_whole_tiles_give(monkeypatch, noise, offset, hopeless):
    generator = stream(0, "test_scan", "search", str(noise), str(offset))
    meaning = generator.standard_normal((2200, 24))
    sides = [meaning[:n] + noise * generator.standard_normal((n, 24)) + offset for n in (1900, 2200)]
    sides[0][:hopeless] *= -1
    sides[1][::100] = sides[1][3]
    cosines = Cosines(*(normalise(side, centred=False) for side in sides))
    cosines.tile_shape = (512, 500)
    picked = []

    def spy(*arguments):
        picked.append(scan_few(*arguments))
        return picked[-1]

    scan_few = search._scan_few
    monkeypatch.setattr(search, "_scan_few", spy)
    found = search.search_both_ways(cosines, 4)
    assert (sum(picked) > len(picked) / 2) == (noise < 3)
    monkeypatch.setattr(search, "_scan_few", lambda *_: False)
    for one, other in zip(found, search.search_both_ways(cosines, 4), strict=True):
        for name in ("greater", "equal", "neighbours", "similarities"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
