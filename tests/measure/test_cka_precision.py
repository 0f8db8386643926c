"""Float32 and float64, NumPy and torch, very large and very small features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure.cka import (
    centred_gram,
    cka_from_grams,
    debiased_cka,
    linear_cka,
    permuted_cka,
    unbiased_hsic,
)
from alignaudit.measure.gram import centred_features

# Sample space, feature space, and one of each with and without the jackknife.
SHAPES = [(60, 100, 40), (300, 16, 24), (200, 120, 120)]
# A float32 product of d terms errs by about sqrt(d) 2^-25 of its size, independently of the others;
# a hundred thousand of them and more leave 1e-8 to 1e-7 of the sum.
SINGLE = 2e-7


def related(n, d_x, d_y, seed=0):
    generator = stream(seed, "test_cka_precision", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    y = x @ generator.standard_normal((d_x, d_y)) / math.sqrt(d_x) + generator.standard_normal((n, d_y))
    return x.astype(np.float32), y.astype(np.float32)


def doubles(*sides):
    return [side.astype(np.float64) for side in sides]


@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_close_to_float64(shape):
    sides = related(*shape)
    single, double = debiased_cka(*sides), debiased_cka(*doubles(*sides))
    assert single.value == pytest.approx(double.value, abs=SINGLE)
    np.testing.assert_allclose(single.jackknife, double.jackknife, rtol=0, atol=SINGLE)
    assert single.standard_error == pytest.approx(double.standard_error, rel=1e-5)
    assert single.most_influential_item == double.most_influential_item
    assert linear_cka(*sides) == pytest.approx(linear_cka(*doubles(*sides)), abs=SINGLE)


def test_a_thousand_items_err_by_a_billionth():
    sides = related(1000, 768, 768)
    assert debiased_cka(*sides).value == pytest.approx(debiased_cka(*doubles(*sides)).value, abs=5e-9)


@pytest.mark.parametrize("offset", [1e2, 1e4])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_offset_costs_float32_nothing_that_the_input_has_kept(shape, offset):
    """The mean is not a float32 number; what its rounding leaves over is accounted for."""
    x, y = related(*shape)
    x = x + np.float32(offset) * np.linspace(0.5, 1.5, x.shape[1], dtype=np.float32)
    assert x.dtype == np.float32
    single, double = debiased_cka(x, y), debiased_cka(*doubles(x, y))
    assert single.value == pytest.approx(double.value, abs=SINGLE)
    np.testing.assert_allclose(single.jackknife, double.jackknife, rtol=0, atol=SINGLE)
    assert linear_cka(x, y) == pytest.approx(linear_cka(*doubles(x, y)), abs=SINGLE)


def test_row_sums_are_those_of_the_features_as_they_are():
    x, _ = related(50, 8, 1)
    side = centred_features(x + np.float32(1e5) / 3)
    features = side.features.astype(np.float64)
    gram = features @ features.T
    expected = gram.sum(1) - gram.diagonal()
    assert np.abs(expected + side.diagonal).max() > 1e-4  # minus the diagonal alone would be wrong
    np.testing.assert_allclose(side.row_sums, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(side.diagonal, gram.diagonal(), rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_give_what_arrays_give(shape, dtype):
    sides = [side.astype(dtype) for side in related(*shape)]
    tensors = [torch.from_numpy(side) for side in sides]
    tolerance = 1e-12 if dtype == np.float64 else SINGLE
    ours, theirs = debiased_cka(*sides), debiased_cka(*tensors)
    assert type(theirs.value) is float
    assert type(theirs.jackknife) is np.ndarray
    assert theirs.value == pytest.approx(ours.value, abs=tolerance)
    np.testing.assert_allclose(theirs.jackknife, ours.jackknife, rtol=0, atol=tolerance)
    assert theirs.standard_error == pytest.approx(ours.standard_error, rel=1e-9 if tolerance < 1e-9 else 1e-5)
    assert theirs.most_influential_item == ours.most_influential_item
    assert linear_cka(*tensors) == pytest.approx(linear_cka(*sides), abs=tolerance)
    assert unbiased_hsic(*tensors) == pytest.approx(
        unbiased_hsic(*sides), rel=1e-9 if tolerance < 1e-9 else 1e-5
    )
    grams = cka_from_grams(*(centred_gram(side) for side in tensors))
    assert grams.value == pytest.approx(ours.value, abs=tolerance)
    shuffled = [permuted_cka(*both, stream(3, "permute")).value for both in (sides, tensors)]
    assert shuffled[0] == pytest.approx(shuffled[1], abs=tolerance)


def test_gradients_and_half_precision_are_no_obstacle():
    x, y = (torch.from_numpy(side) for side in related(40, 6, 6))
    expected = debiased_cka(x, y).value
    assert debiased_cka(x.requires_grad_(), y).value == expected
    assert debiased_cka(x.detach().to(torch.bfloat16), y).value == pytest.approx(expected, abs=0.01)


def test_mixed_precision_is_computed_in_float64():
    x, y = related(40, 6, 6)
    expected = debiased_cka(*doubles(x, y)).value
    assert debiased_cka(x, y.astype(np.float64)).value == expected
    for place in (np.asarray, torch.from_numpy):
        mixed = cka_from_grams(centred_gram(place(x)), centred_gram(place(y.astype(np.float64))))
        assert mixed.value == pytest.approx(expected, abs=SINGLE)


def test_libraries_do_not_mix():
    x, y = related(40, 6, 6)
    for call in (
        lambda: debiased_cka(x, torch.from_numpy(y)),
        lambda: cka_from_grams(centred_gram(x), centred_gram(torch.from_numpy(y))),
    ):
        with pytest.raises(DataError, match="different libraries"):
            call()


@pytest.mark.parametrize("size", [10, 100, 1000, 10000])
def test_one_far_row_costs_float32_no_digits(size):
    """In feature space its square is in every sum; where it dominates, products are taken in float64."""
    x, y = related(300, 8, 8)
    x[5] += size
    y[5] += size
    single, double = debiased_cka(x, y), debiased_cka(*doubles(x, y))
    assert single.value == pytest.approx(double.value, abs=2e-6)
    assert single.standard_error == pytest.approx(double.standard_error, rel=1e-5)
    assert single.most_influential_item == 5


@settings(max_examples=40, deadline=None)
@given(
    exponents=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    shape=st.sampled_from([(20, 30, 30), (40, 3, 4)]),
)
def test_scale_changes_nothing_in_float32(exponents, shape):
    x, y = related(*shape)
    scaled = [side * np.float32(10.0**e) for side, e in zip((x, y), exponents, strict=True)]
    assert debiased_cka(*scaled).value == pytest.approx(debiased_cka(x, y).value, abs=2e-6)
    assert linear_cka(*scaled) == pytest.approx(linear_cka(x, y), abs=2e-6)
    grams = cka_from_grams(*(centred_gram(side) for side in scaled))
    assert grams.value == pytest.approx(debiased_cka(x, y).value, abs=2e-6)


@pytest.mark.parametrize("scale", [1e-140, 1e-80, 1e80, 1e140])
def test_scale_changes_nothing_in_float64(scale):
    x, y = doubles(*related(30, 5, 5))
    assert debiased_cka(x * scale, y).value == pytest.approx(debiased_cka(x, y).value, rel=1e-11)
    assert debiased_cka(x * scale, y, kernel="rbf").value == pytest.approx(
        debiased_cka(x, y, kernel="rbf").value, rel=1e-9
    )


def test_hsic_keeps_its_unit():
    x, y = doubles(*related(30, 5, 5))
    expected = unbiased_hsic(x, y)
    assert unbiased_hsic(1e8 * x, 1e-6 * y) == pytest.approx(expected * 1e4, rel=1e-10)


def test_what_cannot_be_squared_is_refused():
    x, y = doubles(*related(30, 5, 5))
    with np.errstate(over="ignore"), pytest.raises(DataError, match="too large to be squared"):
        debiased_cka(x * 1e200, y)


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, 1 / 3])
def test_a_constant_side_is_flat_in_float32_too(value):
    found = debiased_cka(np.full((57, 3), value, dtype=np.float32), related(57, 3, 3)[1])
    assert "HSIC of x with itself" in found.reason
    assert math.isnan(found.value)
    assert math.isnan(found.biased)


def test_a_side_with_one_deviating_row_is_flat_in_float32_too():
    x = np.zeros((57, 3), dtype=np.float32)
    x[4] = 1 / 3
    assert math.isnan(debiased_cka(x, related(57, 3, 3)[1]).value)
    assert "of x with itself" in cka_from_grams(centred_gram(x), centred_gram(x)).reason
