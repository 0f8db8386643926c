"""The permuted-pair null against all n! pairings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure import cka_null as module
from alignaudit.measure.cka import centred_gram, debiased_cka
from alignaudit.measure.cka_jackknife import sums_of_all
from alignaudit.measure.cka_null import (
    permutation_null,
    permutation_null_from_grams,
    permutation_standard_deviation,
)
from alignaudit.measure.gram import centred_features, linear_gram


def related(n, d_x, d_y, seed=0):
    generator = stream(seed, "test_cka_null", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    return x, x[:, :1] + generator.standard_normal((n, d_y))


def over_all_pairings(x, y, kernel="linear"):
    orders = itertools.permutations(range(len(x)))
    return np.array(
        [debiased_cka(x, y[list(order)], kernel=kernel, standard_error=False).value for order in orders]
    )


@pytest.mark.parametrize(("n", "d_x", "d_y"), [(4, 3, 2), (5, 1, 1), (5, 3, 7), (6, 2, 2)])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_moments_are_those_over_all_pairings(n, d_x, d_y, kernel):
    x, y = related(n, d_x, d_y)
    every = over_all_pairings(x, y, kernel)
    null = permutation_null(x, y, stream(0, "null"), permutations=1, kernel=kernel)
    assert every.mean() == pytest.approx(0, abs=1e-12)
    assert every.mean() == pytest.approx(null.mean, abs=1e-12)
    assert every.std() == pytest.approx(null.standard_deviation, rel=1e-11)
    assert null.standard_deviation == permutation_standard_deviation(n)
    assert null.z == pytest.approx((null.value - every.mean()) / every.std(), rel=1e-9)


def test_moments_do_not_depend_on_how_the_items_are_distributed():
    x, y = related(6, 1, 2)
    every = over_all_pairings(np.exp(2 * x), np.round(y))
    assert every.mean() == pytest.approx(0, abs=1e-12)
    assert every.std() == pytest.approx(permutation_standard_deviation(6), rel=1e-11)


@pytest.mark.parametrize(("n", "seed"), [(5, 0), (5, 1), (6, 2), (6, 3)])
def test_p_value_is_the_share_of_all_pairings(n, seed):
    x, y = related(n, 3, 3, seed)
    every = over_all_pairings(x, y)
    share = np.mean(every >= every[0] - 1e-9)
    found = permutation_null(x, y, stream(seed, "null"), permutations=3000)
    assert found.p_value == pytest.approx(share, abs=4.5 * math.sqrt(share * (1 - share) / 3000) + 1 / 3000)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairings_that_tie_count(dtype):
    """The symmetries of a pentagon give the same value, but for rounding."""
    angles = 2 * np.pi * np.arange(5) / 5 + 0.1
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    share = 10 / 120
    assert np.mean(over_all_pairings(x, x) > 1 - 1e-5) == pytest.approx(share)
    found = permutation_null(x, x, stream(1, "pairings"), permutations=2000)
    assert found.p_value == pytest.approx(share, abs=4.5 * math.sqrt(share / 2000))


def test_value_and_z_are_those_of_the_pairs():
    x, y = related(80, 10, 12)
    found = permutation_null(x, y, stream(0, "null"), permutations=99)
    assert found.value == pytest.approx(debiased_cka(x, y).value, rel=1e-12)
    assert found.z == pytest.approx(found.value * math.sqrt(80 * 77 / 2), rel=1e-12)
    assert found.permutations == 99
    assert found.reason == ""


def test_related_pairs_have_the_least_p_value_and_unrelated_ones_a_flat_one():
    x, y = related(200, 8, 8)
    assert permutation_null(x, x + 0.1 * y, stream(0, "null"), permutations=199).p_value == 1 / 200
    values = []
    for seed in range(100):
        generator = stream(seed, "unrelated")
        a, b = generator.standard_normal((2, 20, 3))
        values.append(permutation_null(a, b, generator, permutations=39).p_value)
    assert np.mean(values) == pytest.approx(0.5, abs=4 * 0.29 / 10)  # 0.29 is that of a uniform variable
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=4 * 0.03)


def test_z_of_shuffled_pairs_has_unit_variance():
    x, y = related(60, 5, 5)
    draws = stream(0, "draws")
    z = [
        debiased_cka(x, y[draws.permutation(60)], standard_error=False).value
        / permutation_standard_deviation(60)
        for _ in range(800)
    ]
    assert np.mean(z) == pytest.approx(0, abs=4 / math.sqrt(800))
    assert np.std(z) == pytest.approx(1, abs=0.2)  # heavier-tailed than the normal, hence four times 0.05


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 40))
def test_a_permuted_total_is_the_total_of_permuted_rows(seed, n):
    x, y = related(n, 4, 6, seed)
    order = stream(seed, "order").permutation(n)
    expected = sums_of_all(centred_features(x), centred_features(y[order])).products
    sides = centred_features(x), centred_features(y)
    scale = np.abs(sides[0].diagonal @ sides[1].diagonal)
    assert sides[0].permuted_total(sides[1], order) == pytest.approx(expected, abs=1e-11 * scale)
    grams = [linear_gram(side) for side in sides]
    assert grams[0].permuted_total(grams[1], order) == pytest.approx(expected, abs=1e-11 * scale)


def test_blocks_of_a_gram_matrix_add_up():
    x, y = related(600, 3, 3)  # a block holds 109 rows
    order = stream(0, "order").permutation(600)
    k, l = (linear_gram(centred_features(side)) for side in (x, y))  # noqa: E741
    expected = np.vdot(k.off_diagonal, l.off_diagonal[order][:, order])
    assert k.permuted_total(l, order) == pytest.approx(expected, rel=1e-11)


def test_every_way_to_the_null_is_the_same(monkeypatch):
    x, y = related(60, 70, 80, seed=2)
    y -= 0.6 * x[:, :1]
    expected = permutation_null(x, y, stream(0, "null"), permutations=200)
    grams = permutation_null_from_grams(centred_gram(x), centred_gram(y), stream(0, "null"), permutations=200)
    tensors = permutation_null(torch.from_numpy(x), torch.from_numpy(y), stream(0, "null"), permutations=200)
    single = permutation_null(x.astype(np.float32), y.astype(np.float32), stream(0, "null"), permutations=200)
    monkeypatch.setattr(module, "_GRAM_ITEMS", 0)
    in_features = permutation_null(x, y, stream(0, "null"), permutations=200)
    for found, tolerance in ((grams, 1e-12), (tensors, 1e-12), (in_features, 1e-12), (single, 1e-6)):
        assert found.value == pytest.approx(expected.value, abs=tolerance)
        assert found.p_value == expected.p_value
    assert 1 / 201 < expected.p_value < 1


def test_a_far_row_costs_float32_no_digits():
    x, y = related(300, 6, 6)
    x[4], y[4] = x[4] + 1000, y[4] - 1000
    x, y = x.astype(np.float32), y.astype(np.float32)
    double = permutation_null(x.astype(float), y.astype(float), stream(0, "null"), permutations=20)
    assert permutation_null(x, y, stream(0, "null"), permutations=20) == double


def test_a_side_that_does_not_vary_has_no_z_and_says_why():
    x, y = related(10, 3, 3)
    found = permutation_null(x, np.ones((10, 2)), stream(0, "null"))
    assert math.isnan(found.value)
    assert math.isnan(found.z)
    assert math.isnan(found.p_value)
    assert "HSIC of y with itself" in found.reason
    half = np.zeros((10, 2))
    half[0] = 1
    assert "no bandwidth" in permutation_null(half, y, stream(0, "null"), kernel="rbf").reason


def test_bad_arguments_are_refused():
    x, y = related(10, 3, 3)
    with pytest.raises(UsageError, match="At least one permutation"):
        permutation_null(x, y, stream(0, "null"), permutations=0)
    with pytest.raises(UsageError, match="no kernel"):
        permutation_null(x, y, stream(0, "null"), kernel="cubic")
    with pytest.raises(DataError, match="3 items are too few"):
        permutation_null(x[:3], y[:3], stream(0, "null"))
    with pytest.raises(UsageError, match="3 items are too few"):
        permutation_standard_deviation(3)
    with pytest.raises(DataError, match="hold 10 and 9 items"):
        permutation_null_from_grams(centred_gram(x), centred_gram(y[1:]), stream(0, "null"))


def test_the_same_stream_gives_the_same_null():
    x, y = related(30, 3, 3)
    first, second = (permutation_null(x, y, stream(5, "null"), permutations=50) for _ in range(2))
    assert first == second
