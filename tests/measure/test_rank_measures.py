from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.hubness import hub_penalised_f1, hubness
from alignaudit.measure.rank_measures import (
    area_under_curve,
    correct_by_text,
    mutual_nearest,
    pool_accuracy,
    pool_chance_corrected,
    reciprocal_rank,
)
from alignaudit.measure.retrieval import normalise, retrieve
from alignaudit.measure.search import Ranking


def ranking_of(greater, equal, candidates, neighbours=None):
    greater = np.asarray(greater)
    if neighbours is None:
        neighbours = np.zeros((len(greater), 1), dtype=int)
    return Ranking(
        greater, np.asarray(equal), np.asarray(neighbours), np.zeros((len(greater), 1)), candidates
    )


def found_sides(n=60, d=8, seed=0):
    generator = stream(seed, "test_ranking")
    meaning = generator.standard_normal((n, d))
    return retrieve(
        *(normalise(meaning + generator.standard_normal((n, d)), centred=False) for _ in range(2)), k=4
    )


def drawn(greater, level, others, pool):
    """Mean credit over all pools, by listing them: others are numbered better, level, worse."""
    shares = []
    for chosen in combinations(range(others), pool - 1):
        if any(one < greater for one in chosen):
            shares.append(Fraction(0))
        else:
            shares.append(Fraction(1, 1 + sum(one < greater + level for one in chosen)))
    return sum(shares, Fraction(0)) / len(shares)


@settings(max_examples=60, deadline=None)
@given(others=st.integers(0, 9), data=st.data())
def test_pool_accuracy_is_the_mean_over_all_pools(others, data):
    greater = data.draw(st.integers(0, others))
    level = data.draw(st.integers(0, others - greater))
    pool = data.draw(st.integers(1, others + 1))
    found = pool_accuracy(ranking_of([greater], [level + 1], others + 1), pool)
    # Logarithms of a few factorials: a dozen roundings of 1e-16.
    assert found[0] == pytest.approx(float(drawn(greater, level, others, pool)), abs=1e-14)


def test_the_whole_pool_gives_the_accuracy():
    found = found_sides().foreign_to_english
    np.testing.assert_allclose(pool_accuracy(found, 60), found.correct, rtol=0, atol=1e-13)


def test_blind_guesses_have_chance_accuracy_in_any_pool():
    """All candidates level, and ranks spread evenly."""
    level = ranking_of([0], [50], 50)
    even = ranking_of(np.arange(50), np.ones(50, dtype=int), 50)
    for pool in (2, 7, 50):
        for ranking in (level, even):
            accuracy = pool_accuracy(ranking, pool).mean()
            assert accuracy == pytest.approx(1 / pool, abs=1e-13)
            assert pool_chance_corrected(accuracy, pool) == pytest.approx(0, abs=1e-12)


def test_pool_accuracy_of_fifty_thousand_candidates():
    """Without ties A is the product of D factors (N - g - i) / (N - i), here with fractions."""
    others, pool, greater = 49_999, 205, 31
    exact = Fraction(1)
    for i in range(pool - 1):
        exact *= Fraction(others - greater - i, others - i)
    found = pool_accuracy(ranking_of([greater], [1], others + 1), pool)[0]
    assert found == pytest.approx(float(exact), rel=1e-10)  # running sums of 50,000 logarithms


def test_a_smaller_pool_is_never_harder():
    found = found_sides().english_to_foreign
    table = np.array([pool_accuracy(found, pool) for pool in range(1, 61)])
    assert (np.diff(table, axis=0) <= 1e-13).all()


@pytest.mark.parametrize("pool", [0, 61])
def test_a_pool_that_cannot_be_drawn_is_refused(pool):
    with pytest.raises(UsageError, match="cannot be drawn from 60 candidates"):
        pool_accuracy(found_sides().foreign_to_english, pool)


def test_area_under_curve_counts_pairs():
    ranking = ranking_of([0, 2, 1], [1, 1, 3], 5)
    np.testing.assert_array_equal(area_under_curve(ranking), [1, 0.5, 0.5])
    with pytest.raises(DataError, match="One candidate"):
        area_under_curve(ranking_of([0], [1], 1))


def test_reciprocal_rank_uses_the_mean_rank_of_ties():
    np.testing.assert_array_equal(reciprocal_rank(ranking_of([0, 1, 0], [1, 1, 3], 5)), [1, 0.5, 0.5])


def test_either_of_two_equal_texts_is_right():
    """The translations of queries 0 and 1 are one text; query 2 ties with a text that is another."""
    ranking = ranking_of([0, 0, 0, 1], [2, 2, 2, 1], 4)
    np.testing.assert_array_equal(correct_by_text(ranking, ["a", "a", "b", "c"]), [1, 1, 0.5, 0])
    with pytest.raises(DataError, match="do not name 4 candidates"):
        correct_by_text(ranking, ["a", "b"])


def test_mutual_nearest_neighbours_equal_the_definition():
    found = found_sides()
    forward, backward = found.foreign_to_english.prediction, found.english_to_foreign.prediction
    mutual = mutual_nearest(found)
    expected = [backward[forward[i]] == i for i in range(60)]
    np.testing.assert_array_equal(mutual.reciprocated, expected)
    np.testing.assert_array_equal(mutual.correct, [e and forward[i] == i for i, e in enumerate(expected)])
    assert 0 < mutual.correct.sum() < mutual.reciprocated.sum() < 60


def test_hub_penalised_f1_is_the_weighted_f1_of_classes():
    predictions = stream(3, "hubs").integers(0, 12, 40)
    total = 0.0
    for label in range(40):  # F1 of every class that is some query's gold, each once
        hits = int(predictions[label] == label)
        found, wanted = int((predictions == label).sum()), 1
        total += 2 * hits / (found + wanted)
    assert hub_penalised_f1(predictions).mean() == pytest.approx(total / 40, abs=1e-15)


@pytest.mark.parametrize("bad", [[], [-1, 0], [[0]]])
def test_predictions_must_be_numbers_of_candidates(bad):
    with pytest.raises(DataError, match="list of candidate numbers"):
        hub_penalised_f1(np.array(bad))


def test_hubness_counts_occurrences():
    neighbours = np.array([[0, 1], [0, 2], [0, 1], [3, 0]])
    found = hubness(ranking_of([0] * 4, [1] * 4, 6, neighbours))
    np.testing.assert_array_equal(found.in_degree, [4, 2, 1, 1, 0, 0])
    assert (found.top_share, found.orphan_share) == (0.75, 2 / 6)
    degrees = np.array([4, 2, 1, 1, 0, 0])
    third, second = (np.mean((degrees - degrees.mean()) ** power) for power in (3, 2))
    assert found.skewness == pytest.approx(third / second**1.5, rel=1e-12)


def test_an_even_spread_has_no_skewness():
    found = hubness(ranking_of([0] * 3, [1] * 3, 3, np.array([[0], [1], [2]])))
    assert np.isnan(found.skewness)
    assert found.orphan_share == 0
