from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.consistency import (
    chance_consistency,
    rank_consistency,
    rank_consistency_matrix,
    rank_weights,
)
from alignaudit.measure.ranking import rank_candidates, scores_from_rankings, stack_scores

WEIGHTINGS = ("softmax", "norm1", "norm2")


def naive_weights(n, weighting):
    order = [n - place for place in range(n)]
    raw = {"softmax": [math.exp(x) for x in order], "norm1": order, "norm2": [x * x for x in order]}[
        weighting
    ]
    return [x / sum(raw) for x in raw]


def naive(first, second, weighting):
    """RankC of two rankings, best first, as the definition reads."""
    weights = naive_weights(len(first), weighting)
    return sum(
        weight * len(set(first[: j + 1]) & set(second[: j + 1])) / (j + 1) for j, weight in enumerate(weights)
    )


def ranking(scores):
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def ragged(seed, queries, largest, levels=0):
    """Scores of two sides; ``levels`` makes them integers, so that they tie."""
    draw = stream(seed, "test_consistency", queries, largest)
    sizes = draw.integers(1, largest + 1, queries)
    sides = [[draw.standard_normal(size) for size in sizes] for _ in range(2)]
    return [[np.floor(row * levels) if levels else row for row in side] for side in sides]


def stacked(sides):
    first, present = stack_scores(sides[0])
    return first, stack_scores(sides[1])[0], present


# ------------------------------------------------------------------------------- value


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_published_code_gives_the_same(reference_folder, weighting):
    reference = json.loads((reference_folder / "alignment" / "rankc.json").read_text())
    scores = [
        scores_from_rankings([query[name] for query in reference["queries"]])
        for name in ("rank_en", "rank_xx")
    ]
    found = rank_consistency(scores[0][0], scores[1][0], weighting, present=scores[0][1])
    assert found.value == pytest.approx(reference["RankC"][weighting], rel=0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    queries=st.integers(1, 12),
    largest=st.integers(1, 12),
    levels=st.sampled_from([0, 1, 2]),
    weighting=st.sampled_from(WEIGHTINGS),
)
def test_every_query_equals_the_definition(seed, queries, largest, levels, weighting):
    sides = ragged(seed, queries, largest, levels)
    first, second, present = stacked(sides)
    found = rank_consistency(first, second, weighting, present=present)
    expected = [naive(ranking(a), ranking(b), weighting) for a, b in zip(*sides, strict=True)]
    np.testing.assert_allclose(found.items, expected, rtol=0, atol=1e-14)
    assert found.value == pytest.approx(np.mean(expected), abs=1e-14)
    tied = [len(set(a)) < len(a) or len(set(b)) < len(b) for a, b in zip(*sides, strict=True)]
    assert found.tied == sum(tied)
    assert found.informative == sum(len(a) > 1 for a in sides[0])


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_equal_orders_agree_entirely(weighting):
    scores = stream(0, "equal").standard_normal((30, 7))
    found = rank_consistency(scores, np.exp(scores), weighting)
    np.testing.assert_allclose(found.items, 1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.corrected_items, 1, rtol=0, atol=1e-14)


def test_the_sides_may_change_places():
    first, second, present = stacked(ragged(3, 20, 9))
    ahead = rank_consistency(first, second, present=present)
    back = rank_consistency(second, first, present=present)
    np.testing.assert_array_equal(ahead.items, back.items)


def test_a_thousand_candidates_do_not_overflow():
    first, noise = stream(0, "many").standard_normal((2, 4, 1000))
    second = first + 0.01 * noise
    found = rank_consistency(first, second)
    expected = []
    for a, b in zip(first, second, strict=True):
        left, right = ranking(a), ranking(b)
        # Weights from the 60th place on are below 1e-26.
        expected.append(
            sum(
                math.exp(-j) * (1 - math.exp(-1)) * len(set(left[: j + 1]) & set(right[: j + 1])) / (j + 1)
                for j in range(60)
            )
        )
    np.testing.assert_allclose(found.items, expected, rtol=1e-12)
    assert rank_consistency(first, first).value == pytest.approx(1, rel=1e-14)


def test_equal_scores_are_ranked_by_position():
    ranks, tied = rank_candidates(np.array([[1.0, 2.0, 2.0, 1.0]]), np.ones((1, 4), bool))
    assert ranks.tolist() == [[2, 0, 1, 3]]
    assert tied.tolist() == [True]
    found = rank_consistency(np.zeros((2, 3)), [[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert found.items.tolist() == pytest.approx([1.0, naive([0, 1, 2], [2, 1, 0], "softmax")])
    assert found.tied == 2


def test_what_stands_where_no_candidate_is_does_not_count():
    first, second, present = stacked(ragged(5, 20, 6))
    found = rank_consistency(first, second, present=present)
    filled = rank_consistency(np.where(present, first, 99), np.where(present, second, -99), present=present)
    np.testing.assert_array_equal(found.items, filled.items)
    assert found.tied == filled.tied == 0


def test_minus_infinity_is_the_worst_candidate_and_not_a_missing_one():
    present = np.array([[True, True, False]])
    ranks, _ = rank_candidates(np.array([[-np.inf, 0.0, 5.0]]), present)
    assert ranks.tolist() == [[1, 0, 3]]


# ------------------------------------------------------------------------------- chance


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_chance_is_the_mean_over_all_orders(n, weighting):
    orders = list(itertools.permutations(range(n)))
    # One side may be held fixed: only the relative order matters.
    mean = np.mean([naive(orders[0], order, weighting) for order in orders])
    assert chance_consistency(n, weighting) == pytest.approx(mean, rel=1e-13)


def test_unrelated_orders_are_at_chance_whatever_the_number_of_candidates():
    first, second, present = stacked(ragged(1, 6000, 10))
    found = rank_consistency(first, second, present=present)
    assert abs(found.corrected) < 4 * found.corrected_standard_error
    assert found.corrected_standard_error < 0.01
    counts = present.sum(axis=1)
    for size in range(2, 11):
        part = found.corrected_items[counts == size]
        assert abs(part.mean()) < 4.5 * part.std() / math.sqrt(len(part)), size
    assert found.value > 0.3  # which would look like agreement


def test_one_candidate_counts_as_published_but_says_nothing():
    found = rank_consistency([[1.0, 2.0], [1.0, 0.0]], [[2.0, 1.0], [5.0, 0.0]], present=[[1, 1], [1, 0]])
    first = naive([1, 0], [0, 1], "softmax")
    assert found.items.tolist() == pytest.approx([first, 1.0])
    assert math.isnan(found.corrected_items[1])
    chance = chance_consistency(2)
    assert found.corrected == pytest.approx((first - chance) / (1 - chance))
    assert found.informative == 1
    lone = rank_consistency([[1.0]], [[1.0]])
    assert (lone.value, lone.informative) == (1.0, 0)
    assert math.isnan(lone.corrected)
    assert math.isnan(lone.standard_error)


# ------------------------------------------------------------------------------- standard errors


def test_the_error_is_that_of_a_mean_and_doubling_every_query_needs_groups():
    first, second = stream(2, "error").standard_normal((2, 50, 6))
    found = rank_consistency(first, second)
    assert found.standard_error == pytest.approx(found.items.std(ddof=1) / math.sqrt(50), rel=1e-13)
    twice = [np.repeat(side, 2, axis=0) for side in (first, second)]
    labels = np.repeat([f"relation {i}" for i in range(50)], 2)
    clustered = rank_consistency(*twice, groups=labels)
    assert clustered.standard_error == pytest.approx(found.standard_error, rel=1e-13)
    assert clustered.corrected_standard_error == pytest.approx(found.corrected_standard_error, rel=1e-13)
    assert rank_consistency(*twice).standard_error < 0.8 * found.standard_error


def test_groups_of_single_candidates_drop_out_of_the_corrected_error():
    first, second = stream(3, "groups").standard_normal((2, 40, 4))
    present = np.ones((40, 4), bool)
    present[30:, 1:] = False
    groups = np.arange(40) // 5
    found = rank_consistency(first, second, present=present, groups=groups)
    part = rank_consistency(first[:30], second[:30], groups=groups[:30])
    assert found.corrected == pytest.approx(part.corrected, rel=1e-13)
    assert found.corrected_standard_error == pytest.approx(part.corrected_standard_error, rel=1e-13)
    assert math.isnan(rank_consistency(first, second, groups=np.zeros(40)).standard_error)


# ------------------------------------------------------------------------------- matrix


def test_the_matrix_holds_what_every_pair_gives():
    draw = stream(4, "matrix")
    scores = np.round(draw.standard_normal((4, 30, 6)), 1)
    present = np.arange(6) < draw.integers(1, 7, 30)[:, None]
    groups = np.arange(30) // 3
    found = rank_consistency_matrix(scores, "norm2", present=present, groups=groups)
    for a, b in itertools.product(range(4), repeat=2):
        pair = rank_consistency(scores[a], scores[b], "norm2", present=present, groups=groups)
        for name in ("value", "standard_error", "corrected", "corrected_standard_error"):
            assert getattr(found, name)[a, b] == pytest.approx(getattr(pair, name), rel=1e-12, abs=1e-15), (
                name
            )
        assert found.informative == pair.informative
    own = [rank_consistency(side, side, present=present).tied for side in scores]
    assert found.tied.tolist() == own
    np.testing.assert_allclose(found.value.diagonal(), 1, rtol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_what_arrays_give(dtype):
    scores = torch.tensor(stream(5, "tensor").standard_normal((3, 20, 5)), dtype=dtype)
    present = torch.arange(5) < torch.arange(1, 21).clamp(max=5)[:, None]
    ours = rank_consistency(scores[0], scores[1], present=present)
    theirs = rank_consistency(scores[0].numpy(), scores[1].numpy(), present=present.numpy())
    np.testing.assert_array_equal(ours.items, theirs.items)
    np.testing.assert_array_equal(
        rank_consistency_matrix(scores, present=present).value,
        rank_consistency_matrix(scores.numpy(), present=present.numpy()).value,
    )


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("n", [1, 2, 10, 700, 5000])
def test_weights_sum_to_one_and_fall(n, weighting):
    weights = rank_weights(n, weighting)
    assert weights.sum() == pytest.approx(1, rel=1e-13)
    assert (np.diff(weights) <= 0).all()
    if n <= 700:
        np.testing.assert_allclose(weights, naive_weights(n, weighting), rtol=1e-12)


def test_what_cannot_be_compared_is_refused():
    good = np.ones((3, 2))
    with pytest.raises(UsageError, match="softmax"):
        rank_consistency(good, good, "sofmax")
    with pytest.raises(UsageError, match="at least one"):
        rank_weights(0)
    with pytest.raises(DataError, match="shapes"):
        rank_consistency(good, np.ones((3, 3)))
    with pytest.raises(DataError, match="candidates"):
        rank_consistency(np.ones(3), np.ones(3))
    with pytest.raises(DataError, match="mask"):
        rank_consistency(good, good, present=np.ones((2, 2)))
    with pytest.raises(DataError, match="query 1: A query has no candidate"):
        rank_consistency(good, good, present=[[1, 1], [0, 0], [1, 0]])
    with pytest.raises(DataError, match="side 1, query 2: The score of candidate 0 is NaN"):
        rank_consistency(good, [[1, 1], [1, 1], [math.nan, 1]])
    with pytest.raises(DataError, match="labels"):
        rank_consistency(good, good, groups=[1, 2])
    with pytest.raises(DataError, match="query 1: A ranking must name"):
        scores_from_rankings([[0, 1], [1, 2]])
    with pytest.raises(DataError, match="query 0: Every query needs"):
        stack_scores([[]])
    with pytest.raises(DataError, match="no queries"):
        stack_scores([])
