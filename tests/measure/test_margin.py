from __future__ import annotations

import numpy as np
import pytest

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.margin import margin_scores
from alignaudit.measure.retrieval import normalise, retrieve


def sides(n, m, d, seed=0):
    generator = stream(seed, "test_margin", n, m)
    meaning = generator.standard_normal((m, d)) + 0.5
    x = meaning[:n] + generator.standard_normal((n, d))
    return normalise(x, centred=False), normalise(meaning + generator.standard_normal((m, d)), centred=False)


def brute(x, y, k, kind):
    """Artetxe and Schwenk (2019), equations 1 and 2, one query after the other."""
    cosines = x.astype(float) @ y.astype(float).T
    predictions, scores = [], []
    for row in cosines:
        nearest = sorted(range(len(y)), key=lambda j: -row[j])[:k]
        margins = []
        for j in nearest:
            b = (np.mean(sorted(row)[-k:]) + np.mean(sorted(cosines[:, j])[-k:])) / 2
            margins.append({"ratio": row[j] / b, "distance": row[j] - b, "absolute": row[j]}[kind])
        predictions.append(nearest[int(np.argmax(margins))])
        scores.append(max(margins))
    return predictions, scores


@pytest.mark.parametrize("kind", ["ratio", "distance", "absolute"])
@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 4), (20, 60, 4), (30, 30, 1), (5, 5, 5)])
def test_predictions_and_scores_equal_the_definition(n, m, k, kind):
    x, y = sides(n, m, 6)
    found = margin_scores(x, y, k, kind)
    predictions, scores = brute(x, y, k, kind)
    np.testing.assert_array_equal(found.predictions, predictions)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-6)


def test_the_error_rate_counts_predictions_off_the_diagonal():
    found = margin_scores(np.eye(4), np.eye(4)[[0, 1, 3, 2]], 1, "absolute")
    assert found.error_rate == 0.5


def test_distance_of_the_true_pairs_is_the_margin_of_retrieval():
    x, y = sides(50, 50, 8)
    found = margin_scores(x, y, 4, "distance").pair_scores
    np.testing.assert_allclose(found, retrieve(x, y, k=4).margin, rtol=0, atol=1e-7)


def test_a_neighbourhood_larger_than_the_set_is_clipped():
    """LASER's xSIM reports three errors of three here."""
    x = normalise(stream(0, "tiny").random((3, 5)), centred=False)
    assert margin_scores(x, x, 4, "ratio").error_rate == 0


def test_a_ratio_with_negative_neighbourhoods_is_refused():
    x, y = sides(20, 20, 6)
    with pytest.raises(DataError, match="positive neighbourhood means"):
        margin_scores(x, -y, 20, "ratio")


def test_the_input_is_left_alone():
    """LASER normalises the caller's arrays in place."""
    x, y = sides(10, 10, 4)
    before = x.copy(), y.copy()
    margin_scores(x, y)
    np.testing.assert_array_equal((x, y), before)


def test_fewer_candidates_than_queries_are_refused():
    with pytest.raises(DataError, match="3 queries have only 2 candidates"):
        margin_scores(np.eye(3), np.eye(3)[:2])


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match='Unknown margin "cosine"'):
        margin_scores(np.eye(3), np.eye(3), 4, "cosine")
