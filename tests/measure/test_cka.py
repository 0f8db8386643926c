from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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
from alignaudit.measure.cka_sides import sides_of
from alignaudit.measure.gram import CentredFeatures, CentredGram, centred_features, linear_gram


def song_hsic(x, y):
    """Song et al. (2012), equation 5, term by term on uncentred Gram matrices."""
    n = len(x)
    gram_x, gram_y = x @ x.T, y @ y.T
    np.fill_diagonal(gram_x, 0)
    np.fill_diagonal(gram_y, 0)
    ones = np.ones(n)
    trace = np.trace(gram_x @ gram_y)
    sums = (ones @ gram_x @ ones) * (ones @ gram_y @ ones) / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * ones @ gram_x @ gram_y @ ones) / (n * (n - 3))


def brute_cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return song_hsic(x, y) / math.sqrt(song_hsic(x, x) * song_hsic(y, y))


def biased_cka(x, y):
    centring = np.eye(len(x)) - 1 / len(x)
    gram_x, gram_y = centring @ x @ x.T @ centring, centring @ y @ y.T @ centring
    return np.vdot(gram_x, gram_y) / (np.linalg.norm(gram_x) * np.linalg.norm(gram_y))


def related(n, d_x, d_y, seed=0):
    generator = stream(seed, "test_cka", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    y = x @ generator.standard_normal((d_x, d_y)) / math.sqrt(d_x) + generator.standard_normal((n, d_y))
    return x, y


SHAPES = [(5, 3, 2), (12, 40, 30), (40, 6, 9), (60, 100, 4), (200, 16, 16)]


@pytest.fixture
def google_notebook():
    """Inputs of representation_similarity/Demo.ipynb (Kornblith et al. 2019)."""
    random = np.random.RandomState(1337)
    x = random.randn(100, 10)
    return x, random.randn(100, 10) + x


def test_biased_value_is_the_one_published(google_notebook):
    assert f"{linear_cka(*google_notebook):.5f}" == "0.55761"


def test_debiased_value_is_the_one_published(google_notebook):
    assert f"{debiased_cka(*google_notebook).value:.5f}" == "0.51346"


@pytest.mark.parametrize("shape", SHAPES)
def test_debiased_value_equals_equation_5(shape):
    x, y = related(*shape)
    assert debiased_cka(x, y).value == pytest.approx(brute_cka(x, y), rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_biased_value_equals_the_centring_matrix(shape):
    x, y = related(*shape)
    assert linear_cka(x, y) == pytest.approx(biased_cka(x, y), rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_unbiased_hsic_equals_equation_5(shape):
    x, y = related(*shape)
    assert unbiased_hsic(x, y) == pytest.approx(song_hsic(x, y), rel=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_jackknife_equals_leaving_out_each_item(shape):
    x, y = related(*shape)
    brute = [brute_cka(np.delete(x, i, 0), np.delete(y, i, 0)) for i in range(len(x))]
    np.testing.assert_allclose(debiased_cka(x, y).jackknife, brute, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_standard_error_follows_from_the_jackknife(shape):
    x, y = related(*shape)
    n = len(x)
    brute = np.array([brute_cka(np.delete(x, i, 0), np.delete(y, i, 0)) for i in range(n)])
    assert debiased_cka(x, y).standard_error == pytest.approx(math.sqrt(n - 1) * brute.std(), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_sample_and_feature_space_agree(shape):
    in_features = [centred_features(side) for side in related(*shape)]
    in_samples = [linear_gram(side) for side in in_features]
    weights = stream(0, "weights").standard_normal(shape[0])
    for f, g in (in_features, in_samples), (in_features[::-1], in_samples[::-1]):
        scale = np.abs(g[0].off_diagonal).sum()  # rounding is relative to what is added up
        assert f[0].total(f[1]) == pytest.approx(g[0].total(g[1]), rel=1e-11)
        np.testing.assert_allclose(f[0].rows(f[1]), g[0].rows(g[1]), rtol=1e-11, atol=1e-13 * scale)
        np.testing.assert_allclose(f[0].rows(f[0]), g[0].rows(g[0]), rtol=1e-11, atol=1e-13 * scale)
        np.testing.assert_allclose(f[0].times(weights), g[0].times(weights), rtol=1e-11, atol=1e-13 * scale)


@pytest.mark.parametrize(
    ("shape", "rows", "kind"),
    [
        ((1000, 768, 768), False, CentredGram),
        ((1000, 384, 384), True, CentredGram),
        ((1000, 384, 384), False, CentredFeatures),
        ((5000, 384, 384), True, CentredFeatures),
        ((40, 20, 20), False, CentredFeatures),
    ],
)
def test_the_space_is_the_one_with_fewer_products(shape, rows, kind):
    n, d_x, d_y = shape
    in_samples, in_features = n**2 * (d_x + d_y) / 2, n * (d_x * d_y + (d_x**2 + d_y**2) / 2)
    if rows:
        in_features *= 2.5
    assert (in_samples < in_features) == (kind is CentredGram)
    sides = sides_of(np.eye(n, d_x), np.eye(n, d_y), "linear", 1.0, rows=rows)
    assert [type(side) for side in sides] == [kind, kind]


def test_panels_of_features_add_up():
    x, y = (centred_features(side) for side in related(20, 600, 300))  # three panels, two panels
    for left, right in ((x, y), (x, x), (y, x)):
        expected = linear_gram(left).rows(linear_gram(right))
        np.testing.assert_allclose(left.rows(right), expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(30, 5, 5), (30, 200, 200)])
def test_value_does_not_depend_on_whether_the_jackknife_is_wanted(shape):
    x, y = related(*shape)
    assert debiased_cka(x, y, standard_error=False).value == pytest.approx(
        debiased_cka(x, y).value, rel=1e-12
    )


def test_grams_give_what_features_give():
    x, y = related(40, 8, 12)
    from_grams, from_features = cka_from_grams(centred_gram(x), centred_gram(y)), debiased_cka(x, y)
    assert from_grams.value == pytest.approx(from_features.value, rel=1e-12)
    assert from_grams.standard_error == pytest.approx(from_features.standard_error, rel=1e-10)
    assert from_grams.most_influential_item == from_features.most_influential_item


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(6, 30),
    d=st.integers(2, 20),
    scale=st.floats(1e-6, 1e6),
    shift=st.floats(-1e3, 1e3),
)
def test_rotation_scale_and_shift_change_nothing(seed, n, d, scale, shift):
    x, y = related(n, d, d, seed)
    rotation, _ = np.linalg.qr(stream(seed, "rotation").standard_normal((d, d)))
    moved = debiased_cka(x, scale * (y @ rotation + shift))
    assert moved.value == pytest.approx(debiased_cka(x, y).value, rel=1e-8, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 20), d_x=st.integers(2, 25), d_y=st.integers(2, 25))
def test_jackknife_equals_leaving_out_each_item_at_random(seed, n, d_x, d_y):
    x, y = related(n, d_x, d_y, seed)
    found = debiased_cka(x, y)
    brute = [brute_cka(np.delete(x, i, 0), np.delete(y, i, 0)) for i in range(n)]
    # A denominator near zero magnifies rounding: with few items and dimensions |CKA| may be large.
    np.testing.assert_allclose(found.jackknife, brute, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 30), d=st.integers(1, 20))
def test_a_set_agrees_with_itself(seed, n, d):
    x, _ = related(n, d, 1, seed)
    assert debiased_cka(x, x).value == pytest.approx(1, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 25))
def test_the_order_of_items_permutes_the_jackknife(seed, n):
    x, y = related(n, 4, 6, seed)
    order = stream(seed, "order").permutation(n)
    np.testing.assert_allclose(
        debiased_cka(x[order], y[order]).jackknife, debiased_cka(x, y).jackknife[order], rtol=1e-8, atol=1e-9
    )


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(4, 9), st.integers(1, 4)), elements=st.integers(-3, 3)))
def test_every_finite_input_gives_a_number_or_a_reason(x):
    found = debiased_cka(x, x)
    assert math.isnan(found.value) <= bool(found.reason)
    assert math.isnan(found.standard_error) == bool(found.reason)


def test_sides_are_exchangeable():
    x, y = related(30, 7, 11)
    assert debiased_cka(x, y).value == pytest.approx(debiased_cka(y, x).value, rel=1e-12)


def test_a_large_offset_does_not_cost_digits():
    x, y = related(100, 16, 16)
    assert debiased_cka(x + 1e6, y).value == pytest.approx(debiased_cka(x, y).value, rel=1e-8)


def test_the_one_far_row_is_named():
    generator = stream(5, "outlier")
    x, y = generator.standard_normal((2, 200, 32))
    x[17] += 40
    y[17] += 40
    found = debiased_cka(x, y)
    assert found.most_influential_item == 17
    assert linear_cka(x, y) > 0.98
    assert abs(found.value) < 2 * found.standard_error


def test_biased_value_of_unrelated_sets_is_the_one_that_theory_gives():
    x, y = stream(2, "unrelated").standard_normal((2, 205, 768))
    assert linear_cka(x, y) == pytest.approx(1 / (1 + 205 / 768), abs=0.005)


def test_standard_error_is_that_of_repeated_sampling():
    values, errors = [], []
    for seed in range(150):
        x, y = related(80, 10, 10, seed)
        weights = stream(0, "fixed").standard_normal((10, 10)) / math.sqrt(10)
        found = debiased_cka(x, x @ weights + y)
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.25)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_biased_value_comes_with_the_debiased_one(shape):
    x, y = related(*shape)
    assert debiased_cka(x, y).biased == pytest.approx(biased_cka(x, y), rel=1e-11)


def test_permuted_pairs_are_the_pairs_of_the_generator():
    x, y = related(50, 6, 6)
    order = stream(3, "permute").permutation(50)
    assert permuted_cka(x, y, stream(3, "permute")).value == pytest.approx(brute_cka(x, y[order]), rel=1e-10)


def test_permuted_pairs_are_unrelated():
    x, y = related(400, 20, 20)
    found = permuted_cka(x, y, stream(4, "permute"))
    assert abs(found.value) < 4 * found.standard_error


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, 0.0])
def test_a_side_that_does_not_vary_has_no_value_and_says_why(value):
    found = debiased_cka(np.full((10, 3), value), related(10, 3, 3)[1])
    assert math.isnan(found.value)
    assert found.reason == (
        "The unbiased HSIC of x with itself is not positive, or too small to be told from zero."
    )
    assert found.most_influential_item == -1


def test_both_sides_that_do_not_vary_are_named():
    found = debiased_cka(np.ones((6, 2)), np.zeros((6, 3)))
    assert "HSIC of x with" in found.reason
    assert "HSIC of y with" in found.reason


def test_biased_value_of_a_side_that_does_not_vary_is_nan():
    assert math.isnan(linear_cka(np.full((10, 3), 0.1), related(10, 3, 3)[1]))


def test_a_side_with_one_deviating_row_has_no_value():
    x = np.zeros((10, 3))
    x[4] = 1.0
    assert math.isnan(debiased_cka(x, related(10, 3, 3)[1]).value)


def test_an_item_that_carries_all_variation_leaves_no_standard_error():
    x = np.zeros((10, 1))
    x[2], x[7] = 1.0, -1.0
    found = debiased_cka(x, related(10, 3, 3)[1])
    assert not math.isnan(found.value)
    assert math.isnan(found.standard_error)
    assert found.reason == "A side does not vary, or cannot be told from one that does not, without item 2."


def test_four_items_have_a_value_but_no_standard_error():
    random = np.random.RandomState(9)
    found = debiased_cka(random.randn(4, 3), random.randn(4, 5))
    assert found.value == pytest.approx(0.8337518311370733, rel=1e-9)  # five implementations
    assert found.reason == "The jackknife needs five items."


def test_three_items_are_refused():
    with pytest.raises(DataError, match="3 items are too few"):
        debiased_cka(np.eye(3), np.eye(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_their_row(bad):
    x = np.ones((6, 2))
    x[3, 1] = bad
    with pytest.raises(DataError, match="y: Row 3 holds NaN or infinity"):
        debiased_cka(related(6, 2, 2)[0], x)


def test_sides_of_different_length_are_refused():
    with pytest.raises(DataError, match="x has 6 rows and y has 5"):
        debiased_cka(np.eye(6), np.eye(5))


def test_grams_of_different_length_are_refused():
    with pytest.raises(DataError, match="hold 6 and 5 items"):
        cka_from_grams(centred_gram(np.eye(6)), centred_gram(np.eye(5)))


def test_a_vector_is_refused():
    with pytest.raises(DataError, match=r"x: Embeddings must have shape \[items, dimensions\], not \[6\]"):
        centred_gram(np.ones(6))


def test_the_input_is_left_alone():
    x, y = related(20, 4, 4)
    before = x.copy()
    debiased_cka(x, y)
    np.testing.assert_array_equal(x, before)
