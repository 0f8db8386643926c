from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.retrieval import (
    accuracy_standard_error,
    chance_accuracy,
    normalise,
    retrieve,
    retrieve_from_similarity,
)
from alignaudit.measure.similarity import Cosines


def sides(n, d, seed=0, noise=1.0):
    generator = stream(seed, "test_retrieval", n, d)
    meaning = generator.standard_normal((n, d))
    return tuple(
        normalise(meaning + noise * generator.standard_normal((n, d)), centred=False) for _ in range(2)
    )


def brute(foreign, english, k):
    """One query after the other, in float64, as the definitions read."""
    cosines = foreign.astype(float) @ english.astype(float).T
    n = len(cosines)
    found = {}
    for direction, table in (("foreign_to_english", cosines), ("english_to_foreign", cosines.T)):
        predictions, ranks, correct = [], [], []
        for i, row in enumerate(np.round(table, 9)):
            level = [j for j in range(n) if j != i and row[j] == row[i]]
            above = [j for j in range(n) if row[j] > row[i]]
            predictions.append(min(j for j in range(n) if row[j] == row.max()))
            ranks.append(1 + len(above) + len(level) / 2)
            correct.append(0.0 if above else 1 / (1 + len(level)))
        found |= {f"{direction}_prediction": predictions, f"{direction}_rank": ranks}
        found[f"{direction}_correct"] = correct
    forward = np.sort(cosines, axis=1)[:, ::-1][:, :k].mean(axis=1)
    backward = np.sort(cosines.T, axis=1)[:, ::-1][:, :k].mean(axis=1)
    found["margin"] = cosines.diagonal() - (forward + backward) / 2
    return found


FIELDS = [
    *(
        f"{direction}_{name}"
        for direction in ("foreign_to_english", "english_to_foreign")
        for name in ("correct", "prediction", "rank")
    ),
    "margin",
]


def value(found, name):
    """The field ``foreign_to_english_rank`` is ``found.foreign_to_english.rank``."""
    direction, _, field = name.rpartition("_")
    return getattr(getattr(found, direction), field) if direction else getattr(found, name)


def assert_same(found, expected):
    for name, values in expected.items():
        np.testing.assert_allclose(value(found, name), values, rtol=0, atol=3e-7, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 25),
    d=st.integers(2, 16),
    k=st.integers(1, 6),
    copies=st.integers(0, 6),
)
def test_every_result_equals_the_definition(seed, n, d, k, copies):
    foreign, english = sides(n, d, seed)
    english[: min(copies, n)] = english[0]
    assert_same(retrieve(foreign, english, k=k), brute(foreign, english, k))


@pytest.mark.parametrize("tile_shape", [(1, 1), (7, 40), (40, 7), (33, 8)])
def test_tiles_of_any_shape_give_the_same(tile_shape):
    foreign, english = sides(40, 8)
    english[20:] = english[:20]
    whole = retrieve(foreign, english)
    cosines = Cosines(foreign, english)
    cosines.tile_shape = tile_shape
    parts = retrieve_from_similarity(cosines)
    for name in FIELDS:
        np.testing.assert_array_equal(value(parts, name), value(whole, name), err_msg=name)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40))
def test_the_order_of_items_permutes_the_results(seed, n):
    foreign, english = sides(n, 8, seed)
    order = stream(seed, "order").permutation(n)
    found, permuted = retrieve(foreign, english), retrieve(foreign[order], english[order])
    for name in ("foreign_to_english_correct", "english_to_foreign_correct", "margin"):
        np.testing.assert_allclose(value(permuted, name), value(found, name)[order], rtol=0, atol=1e-7)
    for name in ("foreign_to_english_rank", "english_to_foreign_rank"):
        np.testing.assert_array_equal(value(permuted, name), value(found, name)[order])
    np.testing.assert_array_equal(
        order[permuted.english_to_foreign.prediction], found.english_to_foreign.prediction[order]
    )


def test_the_directions_change_places_with_the_sides():
    foreign, english = sides(30, 6)
    ahead, back = retrieve(foreign, english), retrieve(english, foreign)
    np.testing.assert_array_equal(ahead.foreign_to_english.rank, back.english_to_foreign.rank)
    np.testing.assert_array_equal(ahead.english_to_foreign.prediction, back.foreign_to_english.prediction)


def test_equal_sides_are_all_found():
    foreign, _ = sides(50, 12)
    found = retrieve(foreign, foreign)
    assert found.foreign_to_english.correct.mean() == found.english_to_foreign.correct.mean() == 1


def test_equal_sentences_share_the_credit_wherever_they_stand():
    foreign, english = sides(700, 96, noise=0.1)
    english[1::2] = english[::2]
    found = retrieve(foreign, english)
    np.testing.assert_array_equal(found.foreign_to_english.correct[::2], 0.5)
    np.testing.assert_array_equal(found.foreign_to_english.rank[::2], 1.5)
    np.testing.assert_array_equal(found.foreign_to_english.prediction[::2], np.arange(0, 700, 2))


def test_a_collapsed_encoder_is_at_chance_not_at_zero_or_one():
    rows = normalise(np.full((8, 3), 0.3), centred=True)
    found = retrieve(rows, rows)
    np.testing.assert_array_equal(found.english_to_foreign.correct, chance_accuracy(8))
    np.testing.assert_array_equal(found.english_to_foreign.rank, 4.5)


def test_common_offset_costs_raw_accuracy_and_centring_restores_it():
    generator = stream(1, "offset")
    meaning = generator.standard_normal((300, 32))
    plain = [meaning + generator.standard_normal((300, 32)) for _ in range(2)]
    offset = 10 * generator.standard_normal(32)
    raw, centred, without = (
        retrieve(*(normalise(side + shift, centred=flag) for side in plain)).english_to_foreign.correct.mean()
        for shift, flag in ((offset, False), (offset, True), (0, True))
    )
    assert centred == without
    assert raw < centred


def test_the_similarity_may_come_from_elsewhere():
    class Table:
        values = np.array([[3.0, 1.0, 2.0], [5.0, 4.0, 4.0], [0.0, 9.0, 9.0]], dtype=np.float32)
        shape, tile_shape, tolerance = (3, 3), (2, 2), 0.0

        def tile(self, rows, columns, *, exact=False):
            return self.values[rows, columns].copy()

        def exact(self, rows, columns):
            return self.values[rows, columns]

        def translations(self):
            return self.values.diagonal().copy()

    found = retrieve_from_similarity(Table(), k=1)
    np.testing.assert_array_equal(found.foreign_to_english.correct, [1, 0, 0.5])
    np.testing.assert_array_equal(found.english_to_foreign.rank, [2, 2, 1])
    np.testing.assert_array_equal(found.margin, [3 - (3 + 5) / 2, 4 - (5 + 9) / 2, 9 - (9 + 9) / 2])


@pytest.mark.parametrize("centred", [True, False])
def test_rows_get_unit_length_in_float32(centred):
    rows = normalise(stream(0, "rows").standard_normal((20, 5)) + 4, centred=centred)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def test_centring_subtracts_the_mean_of_the_set():
    x = stream(0, "rows").standard_normal((20, 5)) + 4
    expected = x - x.mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1)[:, None]
    np.testing.assert_allclose(normalise(x, centred=True), expected, rtol=0, atol=6e-8)


def test_centring_half_precision_does_not_lose_the_differences():
    x = (stream(0, "half").standard_normal((200, 4)) + 60).astype(np.float16)
    exact = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    exact /= np.linalg.norm(exact, axis=1)[:, None]
    np.testing.assert_allclose(normalise(x, centred=True), exact, rtol=0, atol=1e-7)


def test_a_zero_row_stays_zero():
    assert normalise([[0.0, 0.0], [0.0, 2.0]], centred=False).tolist() == [[0, 0], [0, 1]]


def test_rows_that_are_not_normalised_are_refused():
    with pytest.raises(DataError, match=r"english: Row 1 has length 2, not 1\. Call normalise first"):
        retrieve(np.eye(2), np.diag([1.0, 2.0]))


def test_sides_that_do_not_pair_are_refused():
    with pytest.raises(DataError, match=r"\[3, 3\] and English rows \[2, 2\] do not pair"):
        retrieve(np.eye(3), np.eye(2))


def test_an_empty_neighbourhood_is_refused():
    with pytest.raises(UsageError, match="k must be at least 1, not 0"):
        retrieve(np.eye(3), np.eye(3), k=0)


def test_standard_error_is_the_binomial_one_with_n_minus_one():
    correct = [1] * 7 + [0] * 3
    assert accuracy_standard_error(correct) == pytest.approx(math.sqrt(0.7 * 0.3 / 9), rel=1e-12)


def test_one_item_has_no_standard_error():
    assert math.isnan(accuracy_standard_error([1.0]))


def test_no_candidates_are_refused():
    with pytest.raises(UsageError, match="at least one candidate"):
        chance_accuracy(0)
