"""Slope, area and flips under noise, against statsmodels, closed forms, jackknife and simulation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, FitError
from alignaudit.measure import noise
from alignaudit.measure.noise import flip_rates, noise_area, noise_slope


def items(n, seed=1, slope=-0.8, spread=1.0, levels=(0.0, 0.025, 0.05, 0.1, 0.2)):
    """Answers to n items of different difficulty, at realised rates around the levels."""
    generator = stream(seed, "test_noise", n)
    rates = np.array(levels)[:, None] * generator.uniform(0.5, 1.5, (len(levels), n))
    ability = 1.2 + spread * generator.standard_normal(n)
    correct = (generator.random(rates.shape) < expit(ability + slope * rates / 0.1)).astype(float)
    ties = generator.random(rates.shape) < 0.1
    return np.where(ties & (correct > 0), 0.5, correct), rates


def by_statsmodels(correct, rates, clusters):
    """Fit by iterated least squares; its covariance carries (N - 1) / (N - 2) besides G / (G - 1)."""
    n = correct.size
    design = sm.add_constant(rates.ravel() / 0.1)
    labels = np.tile(clusters, len(correct))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sm.GLM(correct.ravel(), design, sm.families.Binomial()).fit(
            tol=1e-14, cov_type="cluster", cov_kwds={"groups": labels}
        )
    return fit.params, fit.cov_params() / ((n - 1) / (n - 2))


@pytest.mark.parametrize(("n", "documents"), [(40, 40), (200, 200), (200, 23)])
def test_slope_is_that_of_statsmodels(n, documents):
    """Both maximise one concave function; statsmodels stops at a change of 1e-14 in deviance."""
    correct, rates = items(n)
    clusters = np.arange(n) % documents
    found = noise_slope(correct, rates, clusters)
    beta, covariance = by_statsmodels(correct, rates, clusters)
    np.testing.assert_allclose([found.intercept, found.slope], beta, rtol=1e-7)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
    errors = [found.intercept_standard_error, found.slope_standard_error]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert (found.items, found.clusters, found.reason) == (n, documents, "")
    assert found.gradient <= 1e-9


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60), st.floats(0.01, 0.3))
def test_two_rates_have_a_closed_form(seed, n, rate):
    """Slope: difference of logits. Its influence: that of each share, divided by p (1 - p)."""
    generator = stream(seed, "closed")
    correct = (generator.random((2, n)) < 0.6).astype(float)
    correct[:, 0], correct[:, 1] = 0, 1  # both answers at both rates
    found = noise_slope(correct, np.repeat([[0.0], [rate]], n, axis=1))
    p = correct.mean(axis=1, keepdims=True)
    influence = (correct - p) / (p * (1 - p))
    per = 0.1 / rate
    assert found.intercept == pytest.approx(logit(p[0, 0]), abs=1e-8)
    assert found.slope == pytest.approx(per * (logit(p[1, 0]) - logit(p[0, 0])), abs=1e-8 * max(1, per))
    expected = per * np.std(influence[1] - influence[0], ddof=1) / math.sqrt(n)
    assert found.slope_standard_error == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_items_and_severities_may_come_in_any_order():
    correct, rates = items(60)
    one = noise_slope(correct, rates)
    order = stream(2, "order").permutation(60)
    two = noise_slope(correct[::-1][:, order], rates[::-1][:, order])
    assert two.slope == pytest.approx(one.slope, rel=1e-9)
    assert two.slope_standard_error == pytest.approx(one.slope_standard_error, rel=1e-9)


def test_copies_of_an_item_in_one_cluster_add_nothing():
    correct, rates = items(60)
    one = noise_slope(correct, rates)
    twice = noise_slope(np.tile(correct, 2), np.tile(rates, 2), np.tile(np.arange(60), 2))
    np.testing.assert_allclose(twice.covariance, one.covariance, rtol=1e-8)
    area, copied = (
        noise_area(correct, rates),
        noise_area(np.tile(correct, 2), np.tile(rates, 2), [*range(60)] * 2),
    )
    assert copied.area == pytest.approx(area.area, rel=1e-12)
    assert copied.standard_error == pytest.approx(area.standard_error, rel=1e-9)


def test_standard_errors_are_the_spread_of_repetitions():
    """400 repetitions: their standard deviation has a standard error of 3.5 %; allowed is four of them.

    The items' own difficulty makes answers at different severities alike. Were they independent the
    standard error of the intercept would be too small, and outside.
    """
    slopes, areas = [], []
    for seed in range(400):
        correct, rates = items(120, seed, spread=2.0, levels=(0, 0.05, 0.1, 0.2))
        slopes.append(noise_slope(correct, rates))
        areas.append(noise_area(correct, rates))
    for name in ("intercept", "slope"):
        spread = np.std([getattr(each, name) for each in slopes], ddof=1)
        errors = np.mean([getattr(each, f"{name}_standard_error") for each in slopes])
        assert errors == pytest.approx(spread, rel=0.14), name
    spread = np.std([each.area for each in areas], ddof=1)
    assert np.mean([each.standard_error for each in areas]) == pytest.approx(spread, rel=0.14)


@pytest.mark.parametrize(
    ("correct", "rates", "words"),
    [
        ([[1, 1, 1], [0, 0, 0]], [[0, 0, 0], [0.1, 0.2, 0.3]], "none is wrong below an error rate of 0.1"),
        ([[0, 0, 0], [1, 1, 1]], [[0, 0, 0], [0.1, 0.2, 0.3]], "none is right below an error rate of 0.1"),
        ([[1, 1, 1], [1, 0, 0]], [[0, 0, 0], [0.1, 0.1, 0.3]], "none is right above 0.1"),
        ([[1, 1, 1], [0.5, 0, 0]], [[0, 0, 0], [0.1, 0.1, 0.3]], "so the slope is infinite"),
        ([[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0.1, 0.1, 0.3]], "Every answer is right"),
        ([[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0.1, 0.1, 0.3]], "Every answer is wrong"),
        ([[1, 0, 1], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]], "Every character error rate is 0"),
    ],
)
def test_where_there_is_no_slope_it_says_why(correct, rates, words):
    found = noise_slope(correct, rates)
    assert words in found.reason
    assert math.isnan(found.slope)
    assert math.isnan(found.slope_standard_error)
    assert np.isnan(found.covariance).all()


@pytest.mark.parametrize("overlap", [1e-1, 1e-3, 1e-5])
def test_nearly_separated_answers_have_a_certified_slope(overlap):
    """One wrong answer just below the only right one among the wrong; the maximum is finite but steep."""
    rates = np.array([[0.0, 0.01, 0.02, 0.1], [0.1 + overlap * 0.1, 0.2, 0.3, 0.4]])
    correct = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], dtype=float)
    assert_maximum(noise_slope(correct, rates), correct, rates)
    assert noise_slope(correct, rates).slope < 0


def assert_maximum(found, correct, rates):
    """The two score equations hold, so this concave function is at its maximum."""
    assert found.reason == ""
    assert found.gradient <= 1e-10 * max(1, rates.max() / 0.1)
    left = correct - expit(found.intercept + found.slope * rates / 0.1)
    assert abs(left.sum()) < 1e-8
    assert abs((left * rates).sum()) < 1e-8 * max(1, rates.max())


def test_one_tie_may_be_all_that_overlaps():
    rates = np.array([[0.0, 0.1, 0.2, 0.3]])
    correct = np.array([[1.0, 0.0, 0.5, 0.0]])
    assert_maximum(noise_slope(correct, rates), correct, rates)


def test_a_rate_far_outside_still_converges():
    """Full Newton steps overshoot here until every fitted value is 0 or 1."""
    rates = """0.0175 0.0256 0.0023 0.0071 0.0442 0.1307 0.0531 0.0576 1.0206 0.0732 0.1291 0.0053 0.2048
        0.0835 0.0135 0.0199 0.0192 0.0764 0.1049 0.0467 16.0754 0.0121 0.2738 0.0331 0.0647 0.0944 0.0877"""
    rates = np.array(rates.split(), dtype=float)[None]
    correct = np.ones((1, 27))
    correct[0, [8, 12, 20]] = 0.5, 0.5, 0
    assert_maximum(noise_slope(correct, rates), correct, rates)


def test_a_maximum_that_is_not_certified_is_an_error(monkeypatch):
    monkeypatch.setattr(noise, "_STEPS", 1)
    with pytest.raises(FitError, match="did not converge"):
        noise_slope(*items(40))


# -------------------------------------------------------------------------------------------- area


def test_areas_of_simple_curves():
    rates = np.repeat([[0.0], [0.1], [0.2]], 4, axis=1)
    assert noise_area(np.ones((3, 4)), rates).area == 1
    line = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=float)
    assert noise_area(line, rates).area == pytest.approx(0.5, rel=1e-15)
    assert noise_area(line[::-1], rates[::-1]).area == pytest.approx(0.5, rel=1e-15)
    half = noise_area([[1, 0], [1, 0]], [[0, 0], [0.05, 0.15]])
    assert (half.area, half.upper, half.standard_error) == (
        1,
        pytest.approx(0.1),
        pytest.approx(0, abs=1e-15),
    )
    np.testing.assert_allclose(half.accuracies, [0.5, 0.5])


def area_of(correct, rates):
    """The definition, by NumPy's trapezoids."""
    accuracies, means = correct.mean(axis=1), rates.mean(axis=1)
    return np.trapezoid(accuracies / accuracies[0], means) / means[-1]


def test_area_and_its_standard_error_by_jackknife():
    """Linearised and delete-one errors differ by terms of order 1/n: below 1 % for 500 items."""
    correct, rates = items(500)
    found = noise_area(correct, rates)
    assert found.area == pytest.approx(area_of(correct, rates), rel=1e-13)
    without = np.array([area_of(np.delete(correct, i, 1), np.delete(rates, i, 1)) for i in range(500)])
    jackknife = math.sqrt(499 / 500 * np.sum((without - without.mean()) ** 2))
    assert found.standard_error == pytest.approx(jackknife, rel=0.01)


def test_standard_error_of_the_area_by_numerical_derivatives():
    """Central differences of step 1e-6 leave a relative error of about 1e-9."""
    correct, rates = items(80)
    data = np.concatenate([correct, rates])
    means = data.mean(axis=1)
    gradient = np.zeros(10)
    for j in range(10):
        ends = []
        for step in (1e-6, -1e-6):
            moved = means.copy()
            moved[j] += step
            ends.append(np.trapezoid(moved[:5] / moved[0], moved[5:]) / moved[-1])
        gradient[j] = (ends[0] - ends[1]) / 2e-6
    gradient[5] = 0  # the clean text has rate 0 for every item
    expected = math.sqrt(gradient @ np.cov(data) @ gradient / 80)
    assert noise_area(correct, rates).standard_error == pytest.approx(expected, rel=1e-6)


def test_where_there_is_no_area_it_says_why():
    unchanged = noise_area([[1, 0], [1, 0]], [[0, 0], [0, 0]])
    assert (math.isnan(unchanged.area), unchanged.reason) == (True, "the perturbation changed nothing")
    wrong = noise_area([[0, 0], [1, 0]], [[0, 0], [0.1, 0.1]])
    assert (math.isnan(wrong.area), wrong.reason) == (True, "nothing is correct on clean text")


# ------------------------------------------------------------------------------------------- flips


def test_flips_are_counted_both_ways():
    generator = stream(3, "flips")
    clean, after = (generator.random((2, 90)) < [[0.8], [0.5]]).astype(float)
    found = flip_rates(clean, after)
    lost = sum(a == 1 and b == 0 for a, b in zip(clean, after, strict=True)) / 90
    gained = sum(a == 0 and b == 1 for a, b in zip(clean, after, strict=True)) / 90
    assert (found.lost, found.gained, found.items) == (pytest.approx(lost), pytest.approx(gained), 90)
    assert found.gained - found.lost == pytest.approx(after.mean() - clean.mean(), rel=1e-12)
    # variance of a share of 0/1 values with divisor n - 1: p (1 - p) n / (n - 1) / n
    assert found.lost_standard_error == pytest.approx(math.sqrt(lost * (1 - lost) / 89), rel=1e-12)
    assert found.gained_standard_error == pytest.approx(math.sqrt(gained * (1 - gained) / 89), rel=1e-12)


def test_ties_flip_by_as_much_as_they_change():
    found = flip_rates([0.5, 1, 0, 0.5], [0.5, 0.5, 0.25, 0])
    assert (found.lost, found.gained) == (0.25, 0.0625)


def test_flips_by_document():
    clean, after = np.array([1, 1, 1, 1, 0, 0]), np.array([0, 0, 1, 1, 0, 1])
    documents = ["a", "a", "b", "b", "c", "c"]
    # sums of deviations from 1/3: 4/3, -2/3, -2/3; variance 3/2 * (24/9) / 36 = 1/9
    assert flip_rates(clean, after, documents).lost_standard_error == pytest.approx(1 / 3)


# -------------------------------------------------------------------------------- tensors, refusals


def test_tensors_give_the_same():
    """The arithmetic is NumPy's either way, so nothing differs; float32 answers and rates are exact here."""
    correct, rates = items(50)
    rates = np.round(rates * 256) / 256
    tensors = torch.tensor(correct), torch.tensor(rates, dtype=torch.float32)
    one, two = noise_slope(correct, rates), noise_slope(*tensors)
    assert (two.slope, two.slope_standard_error) == (one.slope, one.slope_standard_error)
    first, second = noise_area(correct, rates), noise_area(*tensors, torch.arange(50))
    assert (second.area, second.standard_error) == (first.area, first.standard_error)
    assert flip_rates(tensors[0][0], tensors[0][1]) == flip_rates(correct[0], correct[1])


@pytest.mark.parametrize("function", [noise_slope, noise_area])
def test_what_cannot_be_is_refused(function):
    good = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    rates = np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.1]])
    with pytest.raises(DataError, match=r"shape \[2, 3\].*\[1, 3\]"):
        function(good, rates[:1])
    with pytest.raises(DataError, match=r"correct: Values must be in \[0, 1\]"):
        function(good * 2, rates)
    with pytest.raises(DataError, match="character_error_rate: Values must be at least 0"):
        function(good, -rates)
    with pytest.raises(DataError, match="NaN"):
        function(good * np.nan, rates)
    with pytest.raises(DataError, match="one cluster"):
        function(good, rates, [1, 1, 1])
    with pytest.raises(DataError, match="2 labels for 3"):
        function(good, rates, [1, 2])


def test_area_needs_clean_text_and_flips_need_vectors():
    with pytest.raises(DataError, match="No severity is clean text"):
        noise_area([[1.0, 0.0]], [[0.1, 0.1]])
    with pytest.raises(DataError, match=r"not \[n\]"):
        flip_rates([[1, 0], [0, 1]], [[1, 0], [0, 1]])
    with pytest.raises(DataError, match=r"not \[n\]"):
        flip_rates([1, 0], [1, 0, 1])
