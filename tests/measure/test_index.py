from __future__ import annotations

import sys

import numpy as np
import pytest

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, SetupError, UsageError
from alignaudit.measure.index import nearest
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
    np.testing.assert_array_equal(other_scores, scores)


@pytest.mark.parametrize("backend", ["array", "faiss"])
@pytest.mark.parametrize("copies", [2, 40])
def test_equal_scores_come_in_the_order_of_their_index(backend, copies):
    """With 40 copies, more candidates tie than any list keeps, so the search has to be made again."""
    pytest.importorskip("faiss")
    candidates = np.concatenate([rows(30, 64, 5)] * copies)
    _, indices = nearest(rows(8, 64, 6), candidates, 3, backend=backend)
    kept = min(3, copies)
    np.testing.assert_array_equal(indices[:, :kept], indices[:, :1] + 30 * np.arange(kept))
    assert indices[:, 0].max() < 30


@pytest.mark.parametrize("backend", ["array", "faiss"])
def test_tensors_give_tensors_of_the_same_numbers(backend):
    torch = pytest.importorskip("torch")
    pytest.importorskip("faiss")
    queries, candidates = rows(50, 24, 1), rows(80, 24, 2)
    expected = nearest(queries, candidates, 4)
    found = nearest(torch.from_numpy(queries), torch.from_numpy(candidates), 4, backend=backend)
    for tensor, array in zip(found, expected, strict=True):
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_rows_of_any_length_are_searched_by_inner_product():
    queries, candidates = 1000 * rows(12, 7), rows(3000, 7, 3) * np.float32(50)
    products = (queries.astype(float) @ candidates.astype(float).T).astype(np.float32)
    order = np.argsort(-products, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(nearest(queries, candidates, 4)[1], order)


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
