"""Matrices of CKA: every cell equals the pair by itself, in either space and however it is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure import cka_matrix as module
from alignaudit.measure.cka import debiased_cka, linear_cka
from alignaudit.measure.cka_matrix import cka_matrix
from alignaudit.measure.gram import centred_features


def brute_cka(x, y):
    """Song et al. (2012), equation 5, on uncentred Gram matrices."""

    def hsic(k, l):  # noqa: E741
        n, ones = len(k), np.ones(len(k))
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
        means = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
        return np.trace(k @ l) + means - 2 / (n - 2) * ones @ k @ l @ ones

    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / math.sqrt(hsic(k, k) * hsic(l, l))


def layers(n, widths, seed=0):
    generator = stream(seed, "test_cka_matrix", n)
    hidden = generator.standard_normal((n, 5))
    return [
        hidden @ generator.standard_normal((5, width)) + 2 * generator.standard_normal((n, width))
        for width in widths
    ]


def brute_matrix(xs, ys, measure):
    return np.array([[measure(x, y) for y in ys] for x in xs])


# Sample space, more rows than a strip, and feature space.
SETS = [(5, [3, 2, 4]), (50, [40, 7, 60, 33]), (300, [200, 100, 30]), (300, [2, 3, 5, 4])]


@pytest.mark.parametrize(("n", "widths"), SETS)
def test_every_cell_is_the_debiased_value_of_the_pair(n, widths):
    xs, ys = layers(n, widths), layers(n, widths[:2], seed=1)
    np.testing.assert_allclose(cka_matrix(xs), brute_matrix(xs, xs, brute_cka), rtol=0, atol=1e-12)
    np.testing.assert_allclose(cka_matrix(xs, ys), brute_matrix(xs, ys, brute_cka), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "widths"), SETS)
def test_every_cell_is_the_biased_value_of_the_pair(n, widths):
    xs, ys = layers(n, widths), layers(n, widths[:2], seed=1)
    ours = cka_matrix(xs, debiased=False), cka_matrix(xs, ys, debiased=False)
    np.testing.assert_allclose(ours[0], brute_matrix(xs, xs, linear_cka), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours[1], brute_matrix(xs, ys, linear_cka), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "widths"), SETS)
def test_one_set_is_symmetric_with_ones_on_its_diagonal(n, widths):
    found = cka_matrix(layers(n, widths))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(found.diagonal(), 1.0)


@pytest.mark.parametrize("other_rows", [[], [40, 9]])
def test_the_spaces_agree(other_rows):
    sides = [centred_features(x) for x in layers(300, [30, 20, 10, *other_rows])]
    in_samples, in_features = module._totals_in_samples(sides, 3), module._totals_in_features(sides, 3)
    for ours, theirs in zip(in_samples, in_features, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_a_stack_that_holds_few_columns_changes_nothing(monkeypatch):
    xs, ys = layers(300, [200, 100, 90]), layers(300, [150], seed=1)
    expected = cka_matrix(xs), cka_matrix(xs, ys)
    monkeypatch.setattr(module, "_STACK_CELLS", 1)
    for ours, theirs in zip((cka_matrix(xs), cka_matrix(xs, ys)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "widths"), SETS[1:])
def test_float32_is_close_to_float64(n, widths):
    xs = [x.astype(np.float32) for x in layers(n, widths)]
    double = cka_matrix([x.astype(np.float64) for x in xs])
    # Products err independently by about 6e-8 of their size; a few thousand of them leave less.
    np.testing.assert_allclose(cka_matrix(xs), double, rtol=0, atol=3e-7)
    single = brute_matrix(xs, xs, lambda x, y: debiased_cka(x, y).value)
    np.testing.assert_allclose(cka_matrix(xs), single, rtol=0, atol=3e-7)


@pytest.mark.parametrize(("n", "widths"), SETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_give_what_arrays_give(n, widths, dtype):
    xs, ys = ([x.astype(dtype) for x in layers(n, widths, seed)] for seed in (0, 1))
    tensors = [[torch.from_numpy(x) for x in side] for side in (xs, ys)]
    tolerance = 1e-12 if dtype == np.float64 else 3e-7 if n > 5 else 1e-5  # five items leave ten products
    for ours, theirs in (
        (cka_matrix(xs), cka_matrix(tensors[0])),
        (cka_matrix(xs, ys), cka_matrix(*tensors)),
    ):
        assert type(theirs) is np.ndarray
        assert theirs.dtype == np.float64
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=tolerance)


def test_a_far_row_costs_float32_no_digits():
    xs = layers(300, [6, 5, 4])
    for x in xs:
        x[3] += 1000
    xs = [x.astype(np.float32) for x in xs]
    double = cka_matrix([x.astype(np.float64) for x in xs])
    np.testing.assert_allclose(cka_matrix(xs), double, rtol=0, atol=1e-9)


def test_mixed_precision_is_computed_in_float64():
    xs = layers(40, [6, 5])
    mixed = cka_matrix([xs[0].astype(np.float32), xs[1]])
    assert mixed[0, 1] == pytest.approx(debiased_cka(xs[0].astype(np.float32), xs[1]).value, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("debiased", [True, False])
def test_a_set_that_does_not_vary_is_named(dtype, debiased):
    xs = [x.astype(dtype) for x in layers(20, [3, 4, 5])]
    xs[1][:] = 0.1
    with pytest.raises(DataError, match=r"xs\[1\]"):
        cka_matrix(xs, debiased=debiased)
    with pytest.raises(DataError, match=r"ys\[1\]"):
        cka_matrix(layers(20, [2]), xs, debiased=debiased)


def test_bad_sets_are_refused_with_their_name():
    xs = layers(20, [3, 4])
    with pytest.raises(DataError, match=r"ys\[0\] has 19 rows and xs\[0\] has 20"):
        cka_matrix(xs, [xs[0][1:]])
    with pytest.raises(DataError, match="3 items are too few"):
        cka_matrix([x[:3] for x in xs])
    xs[1][7, 2] = np.nan
    with pytest.raises(DataError, match=r"xs\[1\]: Row 7 holds NaN"):
        cka_matrix(xs)
    for arguments in ([], []), ([], layers(20, [3])), (layers(20, [3]), []), ([],):
        with pytest.raises(DataError, match="no set"):
            cka_matrix(*arguments)


def test_a_stack_of_layers_is_a_sequence():
    xs = np.stack(layers(20, [3, 3]))
    np.testing.assert_array_equal(cka_matrix(xs, xs[:1]), cka_matrix(list(xs), [xs[0]]))


def test_one_layer_with_itself_is_one():
    assert cka_matrix(layers(20, [3])).tolist() == [[1.0]]


def test_the_input_is_left_alone():
    xs = layers(20, [3, 4])
    before = [x.copy() for x in xs]
    cka_matrix(xs)
    for x, kept in zip(xs, before, strict=True):
        np.testing.assert_array_equal(x, kept)
