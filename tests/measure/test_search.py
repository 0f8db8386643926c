"""The fused pass against the whole table of exact cosines, sorted and counted; integers must be equal."""

from __future__ import annotations

import numpy as np
import pytest

from alignaudit.core.rng import stream
from alignaudit.measure.retrieval import normalise
from alignaudit.measure.search import search_both_ways
from alignaudit.measure.similarity import Cosines


def sides(n, m, d, *, noise=1.0, offset=0.0, seed=0):
    generator = stream(seed, "test_search", n, m, d)
    meaning = generator.standard_normal((m, d))
    shift = offset * generator.standard_normal(d)
    foreign = meaning[:n] + noise * generator.standard_normal((n, d)) + shift
    english = meaning + noise * generator.standard_normal((m, d)) + shift
    return normalise(foreign, centred=False), normalise(english, centred=False)


def assert_exact(left, right, k=4, found=None):
    n = len(left)
    found = found or search_both_ways(Cosines(left, right), k)
    table = (left.astype(float) @ right.astype(float).T).astype(np.float32)
    gold = np.vecdot(left.astype(float), right[:n].astype(float)).astype(np.float32)
    table[np.arange(n), np.arange(n)] = gold
    for ranking, cosines in zip(
        found or search_both_ways(Cosines(left, right), k), (table, table.T), strict=True
    ):
        translated = cosines[:n]
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(ranking.greater, (translated > gold[:, None]).sum(axis=1))
        np.testing.assert_array_equal(ranking.equal, (translated == gold[:, None]).sum(axis=1))
        np.testing.assert_array_equal(ranking.neighbours, order)
        np.testing.assert_array_equal(ranking.similarities, np.take_along_axis(cosines, order, axis=1))
        assert ranking.candidates == cosines.shape[1]


@pytest.mark.parametrize(
    ("n", "m", "d"), [(1, 1, 3), (5, 5, 2), (40, 40, 16), (1500, 1500, 24), (700, 2300, 32)]
)
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_counts_and_neighbours_are_those_of_the_whole_table(n, m, d, noise):
    assert_exact(*sides(n, m, d, noise=noise))


@pytest.mark.parametrize("offset", [3.0, 30.0, 3000.0])
def test_cosines_that_float32_products_cannot_tell_apart(offset):
    """With a common offset all cosines are near 1; most differ by less than the tolerance at 30."""
    assert_exact(*sides(1100, 1100, 48, offset=offset))


def test_sentences_that_stand_at_many_places():
    left, right = sides(600, 600, 32, noise=0.5)
    left[100:200] = left[0]
    right[::3] = right[1]
    right[300:] = right[:300]
    assert_exact(left, right)


def test_collapsed_and_zero_rows():
    left, right = sides(300, 300, 8)
    left[:] = left[0]
    right[:150] = 0.0
    assert_exact(left, right)


def test_float32_products_alone_would_be_wrong():
    """Guards the tests above: without exact comparisons their answers differ from the table's."""
    left, right = sides(1100, 1100, 48, offset=30.0)
    trusting = Cosines(left, right)
    trusting.tolerance = 0.0
    trusting.translations = lambda: np.vecdot(left, right)
    trusting_tile = trusting.tile
    trusting.tile = lambda rows, columns, *, exact=False: trusting_tile(rows, columns)
    with pytest.raises(AssertionError):
        assert_exact(left, right, found=search_both_ways(trusting, 4))


@pytest.mark.parametrize("tile_shape", [(64, 100), (301, 17)])
def test_small_tiles(tile_shape):
    left, right = sides(300, 420, 16, noise=2.0, offset=2.0)
    cosines = Cosines(left, right)
    cosines.tile_shape = tile_shape
    assert_exact(left, right, found=search_both_ways(cosines, 4))


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_tensors(offset):
    torch = pytest.importorskip("torch")
    left, right = sides(500, 800, 24, offset=offset)
    found = search_both_ways(Cosines(torch.from_numpy(left), torch.from_numpy(right)), 4)
    assert_exact(left, right, found=found)


def test_tensors_on_a_gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    left, right = sides(3000, 3000, 64, offset=3.0)
    cosines = Cosines(torch.from_numpy(left).cuda(), torch.from_numpy(right).cuda())
    found, expected = search_both_ways(cosines, 4), search_both_ways(Cosines(left, right), 4)
    for one, other in zip(found, expected, strict=True):
        # Exact cosines are summed in float64 in another order there, and round alike nearly always.
        assert np.mean(one.greater != other.greater) < 0.001
        assert np.mean(one.neighbours != other.neighbours) < 0.001
