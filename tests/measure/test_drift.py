from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, rel_entr

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure import arrays, drift
from alignaudit.measure.drift import alignment_drift, fit_temperature, neighbour_overlap
from alignaudit.measure.retrieval import normalise


def sides(n, d=8, noise=1.5, seed=0, extra=0):
    """Queries and candidates, normalised; the last ``extra`` candidates pair with no query."""
    draw = stream(seed, "test_drift", n, d, extra)
    meaning = draw.standard_normal((n + extra, d))
    query, candidate = (meaning + noise * draw.standard_normal((n + extra, d)) for _ in range(2))
    return normalise(query[:n], centred=True), normalise(candidate, centred=True)


def moved(side, amount, seed=0):
    draw = stream(seed, "moved", *side.shape)
    return normalise(side + amount * draw.standard_normal(side.shape), centred=False)


def cosines(queries, candidates):
    return queries.astype(float) @ candidates.astype(float).T


def log_likelihood(table, sharpness):
    return float(log_softmax(sharpness * table, axis=1)[:, : len(table)].diagonal().mean())


def probabilities(table, temperature):
    return np.exp(log_softmax(table / temperature, axis=1))


# ------------------------------------------------------------------------------- temperature


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), noise=st.floats(0, 20), extra=st.integers(0, 5))
def test_the_temperature_is_the_likeliest(seed, n, noise, extra):
    queries, candidates = sides(n, 6, noise, seed, extra)
    table = cosines(queries, candidates)
    found = fit_temperature(queries, candidates)
    best = minimize_scalar(
        lambda sharpness: -log_likelihood(table, sharpness), bounds=(0, 1000), method="bounded"
    )
    assert found.log_likelihood == pytest.approx(log_likelihood(table, 1 / found.value), abs=1e-9)
    # The search of scipy stops short of the ends of its range, where the likelihood is flat.
    assert found.log_likelihood >= -best.fun - 1e-12
    if not found.limit:
        # scipy's search leaves 1e-5 of 1 / T by default; at high temperatures that is much of it.
        assert 1 / found.value == pytest.approx(best.x, rel=1e-4, abs=3e-5)


def test_at_the_temperature_the_mean_cosine_of_the_pairs_is_the_expected_one():
    queries, candidates = sides(300, 12)
    found = fit_temperature(queries, candidates)
    assert found.limit == ""
    table = cosines(queries, candidates)
    expected = np.sum(probabilities(table, found.value) * table, axis=1)
    # The last Newton step moved 1/T by less than 1e-9 of itself.
    assert table.diagonal().mean() == pytest.approx(expected.mean(), abs=1e-9)


def test_three_pairs_right_and_one_wrong_have_a_closed_form():
    """Each query has two candidates at cosine 1 and two at 0; the odds exp(1/T) are three to one."""
    here, there = [1.0, 0.0], [0.0, 1.0]
    found = fit_temperature(np.array([here, here, there, here]), np.array([here, here, there, there]))
    assert found.value == pytest.approx(1 / math.log(3), rel=1e-9)
    assert found.log_likelihood == pytest.approx((3 * math.log(3 / 8) + math.log(1 / 8)) / 4, rel=1e-14)


def test_the_search_takes_few_passes(monkeypatch):
    passes = []
    plain = drift._likelihood
    monkeypatch.setattr(drift, "_likelihood", lambda *given: passes.append(given) or plain(*given))
    for noise in (0.7, 1.5, 3.0, 6.0):
        passes.clear()
        assert fit_temperature(*sides(300, 12, noise)).limit == ""
        assert len(passes) <= 10  # bisection alone needs about 40


def test_pairs_that_all_come_first_end_at_the_lowest_temperature():
    queries, candidates = sides(30, 20, noise=0.01)
    for lowest in (1e-3, 0.05):
        found = fit_temperature(queries, candidates, lowest=lowest)
        assert (found.value, found.limit) == (lowest, "lowest")
    likelihoods = [fit_temperature(queries, candidates, lowest=t).log_likelihood for t in (0.2, 0.1, 0.05)]
    assert likelihoods == sorted(likelihoods)


def test_pairs_no_closer_than_the_rest_end_at_infinity():
    queries, candidates = sides(30, 20, noise=0.01)
    found = fit_temperature(queries, -candidates)
    assert (found.value, found.limit) == (math.inf, "infinite")
    assert found.log_likelihood == pytest.approx(-math.log(30), rel=1e-14)
    flat = np.full((5, 4), 0.5)
    assert fit_temperature(flat, flat).limit == "infinite"


@pytest.mark.parametrize("lowest", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_must_be_positive(lowest):
    queries, candidates = sides(5)
    with pytest.raises(UsageError, match="positive"):
        fit_temperature(queries, candidates, lowest=lowest)
    with pytest.raises(UsageError, match="positive"):
        alignment_drift(queries, candidates, queries, candidates, lowest=lowest)


# ------------------------------------------------------------------------------- drift


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), amount=st.floats(0.01, 2), extra=st.integers(0, 4))
def test_the_divergences_equal_the_definition(seed, n, amount, extra):
    before = sides(n, 6, 1.5, seed, extra)
    after = [moved(side, amount, seed) for side in before]
    found = alignment_drift(*before, *after)
    old = probabilities(cosines(*before), found.before.value)
    for name, temperature in (("common", found.before.value), ("fitted", found.after.value)):
        new = np.exp(np.maximum(log_softmax(cosines(*after) / temperature, axis=1), -700))
        # Cosines over T = 0.001 reach 1000, whose last digit is 1e-13, times up to 34 candidates.
        expected = rel_entr(old, new).sum(axis=1)
        usable = (log_softmax(cosines(*after) / temperature, axis=1) > -700).all(axis=1)
        np.testing.assert_allclose(getattr(found, name)[usable], expected[usable], rtol=1e-9, atol=1e-11)
        assert getattr(found, f"{name}_mean") == pytest.approx(getattr(found, name).mean(), rel=1e-14)
        assert (getattr(found, name) >= 0).all()
    assert found.before == fit_temperature(*before)
    assert found.after == fit_temperature(*after)


def test_an_encoder_has_not_drifted_from_itself():
    before = sides(40)
    found = alignment_drift(*before, *before)
    assert (found.common == 0).all()
    assert (found.fitted == 0).all()


def test_a_change_of_scale_is_drift_only_at_the_common_temperature():
    """One more coordinate that all sentences share takes every cosine c to (c + 4) / 5."""
    before = sides(80)
    after = [normalise(np.hstack([side, np.full((len(side), 1), 2.0)]), centred=False) for side in before]
    found = alignment_drift(*before, *after)
    assert found.after.value == pytest.approx(found.before.value / 5, rel=1e-5)  # float32 rows
    assert found.common_mean > 0.1
    assert found.fitted_mean < 1e-9  # the square of what float32 rows move a logit by


def test_more_drift_is_more_divergence():
    before = sides(200, 16)
    means = [
        alignment_drift(*before, *(moved(side, a) for side in before)).fitted_mean for a in (0.02, 0.1, 0.4)
    ]
    assert 0 < means[0] < means[1] < means[2]


def test_an_encoder_that_collapses_drifts_to_the_uniform_distribution():
    queries, candidates = sides(30)
    flat = [np.full((30, 4), 0.5)] * 2
    found = alignment_drift(queries, candidates, *flat)
    assert found.after.limit == "infinite"
    old = probabilities(cosines(queries, candidates), found.before.value)
    entropy = -np.sum(old * np.log(old), axis=1)
    np.testing.assert_allclose(found.fitted, math.log(30) - entropy, rtol=0, atol=1e-12)
    back = alignment_drift(*flat, queries, candidates)
    # At infinite temperature all encoders give the same distribution.
    np.testing.assert_allclose(back.common, 0, atol=1e-14)
    assert (back.fitted > 0).all()


def test_extreme_temperatures_stay_finite():
    queries, candidates = sides(30, 20, noise=0.01)
    found = alignment_drift(queries, candidates, queries, candidates[::-1], lowest=1e-3)
    assert np.isfinite(found.common).all()
    assert found.common_mean > 100  # nats: every pair was certain and became impossible


# ------------------------------------------------------------------------------- neighbours


def lists(table, k):
    return [set(np.argsort(-row, kind="stable")[:k].tolist()) for row in table.astype(np.float32)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 30),
    extra=st.integers(0, 4),
    amount=st.floats(0, 2),
    data=st.data(),
)
def test_the_overlap_is_that_of_the_lists(seed, n, extra, amount, data):
    k = data.draw(st.integers(1, n + extra - 1))
    before = sides(n, 6, 1.5, seed, extra)
    after = [moved(side, amount, seed) for side in before]
    found = neighbour_overlap(*before, *after, k=k)
    old, new = lists(cosines(*before), k), lists(cosines(*after), k)
    np.testing.assert_allclose(
        found.items, [len(a & b) / k for a, b in zip(old, new, strict=True)], atol=1e-14
    )
    assert found.chance == k / (n + extra)
    assert found.value == pytest.approx(found.items.mean(), rel=1e-15)
    assert found.corrected == pytest.approx((found.value - found.chance) / (1 - found.chance), abs=1e-15)


def test_within_one_language_a_sentence_is_not_its_own_neighbour():
    before, _ = sides(25)
    after = moved(before, 0.5)
    found = neighbour_overlap(before, before, after, after, k=4, within=True)
    tables = [cosines(side, side) for side in (before, after)]
    for table in tables:
        np.fill_diagonal(table, -np.inf)
    old, new = (lists(table, 4) for table in tables)
    np.testing.assert_allclose(
        found.items, [len(a & b) / 4 for a, b in zip(old, new, strict=True)], atol=1e-15
    )
    assert found.chance == 4 / 24


def test_tied_places_are_shared():
    """Averaged over every way to break the ties of both lists."""
    before = normalise([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], centred=False)
    after = normalise([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0]], centred=False)
    found = neighbour_overlap(before[:1], before, after[:1], after, k=2)
    old = list(itertools.combinations((0, 1, 2), 2))
    shares = [len({0, 3} & set(pair)) / 2 for pair in old]
    assert found.items[0] == pytest.approx(np.mean(shares), rel=1e-15)


def test_a_collapsed_encoder_is_at_chance_and_an_equal_one_is_not():
    queries, candidates = sides(40)
    flat = np.full((40, 4), 0.5)
    assert neighbour_overlap(flat, flat, flat, flat, k=5).corrected == pytest.approx(0, abs=1e-15)
    assert neighbour_overlap(queries, candidates, flat, flat, k=5).corrected == pytest.approx(0, abs=1e-15)
    assert neighbour_overlap(queries, candidates, queries, candidates, k=5).corrected == 1


def test_unrelated_encoders_overlap_by_chance():
    found = neighbour_overlap(*sides(400, 30, seed=1), *sides(400, 30, seed=2), k=20)
    # 400 lists that share 20 * 20 / 400 = 1 candidate on average, with standard deviation about 1.
    assert abs(found.value - found.chance) < 5 / (20 * math.sqrt(400))


@pytest.mark.parametrize(("k", "within"), [(0, False), (5, False), (4, True)])
def test_a_list_must_leave_something_out(k, within):
    side, _ = sides(5)
    with pytest.raises(UsageError, match="k must be"):
        neighbour_overlap(side, side, side, side, k=k, within=within)


# ------------------------------------------------------------------------------- all


@pytest.mark.parametrize("cells", [1, 130, 10_000])
@pytest.mark.parametrize("cached", [0, 1 << 22])
def test_blocks_of_any_size_give_the_same(cells, cached, monkeypatch):
    before = sides(60)
    after = [moved(side, 0.3) for side in before]
    whole, overlap = alignment_drift(*before, *after), neighbour_overlap(*before, *after, k=5)
    within = [before[0], before[0], after[0], after[0]]
    among = neighbour_overlap(*within, k=5, within=True)
    monkeypatch.setattr(arrays, "_BLOCK_CELLS", cells)
    monkeypatch.setattr(drift, "_CACHED_CELLS", cached)
    parts = alignment_drift(*before, *after)
    # Sums in another order, then a temperature that agrees to 1e-9.
    np.testing.assert_allclose(parts.fitted, whole.fitted, rtol=1e-8)
    np.testing.assert_allclose(parts.common, whole.common, rtol=1e-8)
    np.testing.assert_array_equal(neighbour_overlap(*before, *after, k=5).items, overlap.items)
    np.testing.assert_array_equal(neighbour_overlap(*within, k=5, within=True).items, among.items)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_what_arrays_give(dtype):
    before = sides(60, extra=3)
    four = [torch.tensor(side, dtype=dtype) for side in (*before, *(moved(side, 0.3) for side in before))]
    arrays_ = [side.numpy() for side in four]
    ours, theirs = alignment_drift(*four), alignment_drift(*arrays_)
    for name in ("common", "fitted"):
        assert isinstance(getattr(ours, name), np.ndarray)
        # Float64 sums by another library; the temperature agrees to 1e-9.
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-13)
    np.testing.assert_array_equal(neighbour_overlap(*four, k=5).items, neighbour_overlap(*arrays_, k=5).items)


def test_memory_stays_below_one_table_of_cosines():
    before = sides(2600, 4)
    tracemalloc.start()
    fit_temperature(*before)
    neighbour_overlap(*before, *before, k=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2600**2 * 8 / 2


def test_what_does_not_match_is_refused():
    queries, candidates = sides(10)
    for measure in (alignment_drift, neighbour_overlap):
        with pytest.raises(DataError, match="same sentences"):
            measure(queries, candidates, queries[:9], candidates)
        with pytest.raises(DataError, match="dimensions"):
            measure(queries, normalise(candidates[:, :3], centred=False), queries, candidates)
        with pytest.raises(DataError, match="only 9 candidates"):
            measure(queries, candidates[:9], queries, candidates)
        with pytest.raises(DataError, match="normalise first"):
            measure(queries, candidates, 2 * queries, candidates)
        with pytest.raises(DataError, match="libraries"):
            measure(queries, candidates, torch.tensor(queries), torch.tensor(candidates))
