"""The Gaussian kernel: against its definition, on whole Gram matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.cka import centred_gram, cka_from_grams, debiased_cka, rbf_cka


def kernel(x, threshold=0.5):
    squares = ((x[:, None] - x[None]) ** 2).sum(2)
    return np.exp(-squares / (2 * threshold**2 * np.median(squares)))


def u_centred(k):
    """Székely and Rizzo (2013), equation 3.1: zero diagonal and zero row sums."""
    n = len(k)
    k = k - np.diag(np.diag(k))
    sums = k.sum(0)
    centred = k - (sums[:, None] + sums[None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    return centred - np.diag(np.diag(centred))


def brute_debiased(k, l):  # noqa: E741
    a, b = u_centred(k), u_centred(l)
    return np.sum(a * b) / math.sqrt(np.sum(a * a) * np.sum(b * b))


def brute_biased(k, l):  # noqa: E741
    centring = np.eye(len(k)) - 1 / len(k)
    a, b = centring @ k @ centring, centring @ l @ centring
    return np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b))


def related(n, d_x, d_y, seed=0):
    generator = stream(seed, "test_cka_kernel", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    return x, np.tanh(x @ generator.standard_normal((d_x, d_y))) + generator.standard_normal((n, d_y))


SHAPES = [(5, 3, 2), (12, 40, 30), (41, 6, 9), (60, 100, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.5, 1.0, 2.5])
def test_values_equal_the_definition(shape, threshold):
    x, y = related(*shape)
    k, l = kernel(x, threshold), kernel(y, threshold)  # noqa: E741
    assert rbf_cka(x, y, threshold=threshold) == pytest.approx(brute_biased(k, l), rel=1e-11)
    found = debiased_cka(x, y, kernel="rbf", threshold=threshold)
    assert found.value == pytest.approx(brute_debiased(k, l), rel=1e-9, abs=1e-11)
    assert found.biased == pytest.approx(brute_biased(k, l), rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_jackknife_leaves_out_rows_of_the_gram_matrix(shape):
    """The bandwidth stays that of all items: it is a unit of length, not an estimate."""
    x, y = related(*shape)
    k, l = kernel(x), kernel(y)  # noqa: E741
    brute = [
        brute_debiased(np.delete(np.delete(k, i, 0), i, 1), np.delete(np.delete(l, i, 0), i, 1))
        for i in range(len(x))
    ]
    np.testing.assert_allclose(debiased_cka(x, y, kernel="rbf").jackknife, brute, rtol=1e-9, atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-1e2, 1e2))
def test_rotation_scale_and_shift_change_nothing(seed, scale, shift):
    x, y = related(20, 5, 5, seed)
    rotation, _ = np.linalg.qr(stream(seed, "rotation").standard_normal((5, 5)))
    moved = debiased_cka(x, scale * (y @ rotation + shift), kernel="rbf")
    assert moved.value == pytest.approx(debiased_cka(x, y, kernel="rbf").value, rel=1e-8, abs=1e-9)


def test_a_set_agrees_with_itself():
    x, _ = related(30, 5, 1)
    assert debiased_cka(x, x, kernel="rbf").value == pytest.approx(1, abs=1e-12)
    assert rbf_cka(x, x) == pytest.approx(1, abs=1e-12)


def test_grams_tensors_and_float32_give_the_same():
    x, y = related(80, 12, 7)
    expected = debiased_cka(x, y, kernel="rbf")
    grams = cka_from_grams(centred_gram(x, kernel="rbf"), centred_gram(y, kernel="rbf"))
    tensors = debiased_cka(torch.from_numpy(x), torch.from_numpy(y), kernel="rbf")
    single = debiased_cka(x.astype(np.float32), y.astype(np.float32), kernel="rbf")
    for found, tolerance in ((grams, 1e-12), (tensors, 1e-12), (single, 1e-6)):
        assert found.value == pytest.approx(expected.value, abs=tolerance)
        np.testing.assert_allclose(found.jackknife, expected.jackknife, rtol=0, atol=tolerance)


def test_a_gram_matrix_is_doubly_centred():
    x, _ = related(25, 4, 1)
    gram = centred_gram(x, kernel="rbf", threshold=1.5)
    centring = np.eye(25) - 1 / 25
    expected = centring @ kernel(x, 1.5) @ centring
    np.testing.assert_allclose(gram.off_diagonal + np.diag(gram.diagonal), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(gram.row_sums, gram.off_diagonal.sum(1), rtol=0, atol=1e-14)


def test_half_of_the_rows_being_equal_leaves_no_bandwidth():
    x = np.zeros((20, 3))
    x[:3] = np.eye(3)
    found = debiased_cka(x, related(20, 3, 3)[1], kernel="rbf")
    assert math.isnan(found.value)
    assert found.reason.startswith("x: Half of the distances")
    assert math.isnan(rbf_cka(x, related(20, 3, 3)[1]))


def test_the_linear_kernel_is_the_default():
    x, y = related(20, 4, 4)
    assert debiased_cka(x, y, kernel="linear").value == debiased_cka(x, y).value
    assert cka_from_grams(centred_gram(x), centred_gram(y)).value != pytest.approx(
        debiased_cka(x, y, kernel="rbf").value, abs=1e-3
    )


@pytest.mark.parametrize("call", [debiased_cka, lambda x, y, **options: centred_gram(x, **options)])
def test_an_unknown_kernel_is_refused(call):
    with pytest.raises(UsageError, match=r'no kernel "rbg"\. Did you mean "rbf"'):
        call(*related(8, 2, 2), kernel="rbg")


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_a_bandwidth_that_is_not_positive_is_refused(threshold):
    with pytest.raises(UsageError, match="threshold"):
        rbf_cka(*related(8, 2, 2), threshold=threshold)


def test_three_items_are_refused():
    with pytest.raises(DataError, match="3 items are too few"):
        rbf_cka(np.eye(3), np.eye(3))
