from __future__ import annotations

import sys

import numpy as np
import pytest

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, SetupError, UsageError
from alignaudit.measure import arrays
from alignaudit.measure.index import nearest, top_scores
from alignaudit.measure.retrieval import normalise


def rows(n, d, seed=0):
    return normalise(stream(seed, "test_index", n, d).standard_normal((n, d)), centred=False)


@pytest.mark.parametrize("k", [1, 4, 30, 99])
def test_scores_and_order_equal_a_full_sort(k):
    queries, candidates = rows(12, 7), rows(30, 7)
    products = queries.astype(float) @ candidates.astype(float).T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    scores, indices = nearest(queries, candidates, k)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(scores, np.take_along_axis(products, order, 1), rtol=0, atol=6e-8)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_both_back_ends_find_the_same(k):
    pytest.importorskip("faiss")
    queries, candidates = rows(300, 24, 1), rows(400, 24, 2)
    scores, indices = nearest(queries, candidates, k)
    other_scores, other_indices = nearest(queries, candidates, k, backend="faiss")
    np.testing.assert_array_equal(other_indices, indices)
    np.testing.assert_allclose(other_scores, scores, rtol=0, atol=1e-6)


def test_blocks_of_any_size_give_the_same(monkeypatch):
    queries, candidates = rows(25, 6), rows(31, 6)
    _, whole = nearest(queries, candidates, 5)
    monkeypatch.setattr(arrays, "_BLOCK_CELLS", 70)
    np.testing.assert_array_equal(nearest(queries, candidates, 5)[1], whole)


def test_equal_scores_come_in_the_order_of_their_index():
    candidates = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest([[1.0, 0.0]], candidates, 4)[1].tolist() == [[1, 2, 3, 0]]


def test_top_scores_are_descending_with_their_columns():
    values, columns = top_scores(np.array([[1, 3, 2, 3]], dtype=np.float32), 3)
    assert (values.tolist(), columns.tolist()) == ([[3, 3, 2]], [[1, 3, 2]])


def test_a_missing_faiss_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SetupError, match="pip install faiss-cpu"):
        nearest(np.eye(2), np.eye(2), 1, backend="faiss")


def test_dimensions_must_agree():
    with pytest.raises(DataError, match="3 dimensions and candidates 2"):
        nearest(np.eye(3), np.eye(2), 1)


def test_an_unknown_back_end_is_refused():
    with pytest.raises(UsageError, match='Unknown back end "annoy"'):
        nearest(np.eye(2), np.eye(2), 1, backend="annoy")


def test_no_neighbour_is_refused():
    with pytest.raises(UsageError, match="k must be at least 1"):
        nearest(np.eye(2), np.eye(2), 0)
