"""Likelihood-ratio tests: exact null distributions, mixtures, and what may not be compared."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from alignaudit.core.rng import stream
from alignaudit.errors import FitError
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.likelihood import (
    exact_variance_test,
    likelihood_ratio_test,
    restricted_null_draws,
    variance_component_test,
)

DRAWS = 40_000
GROUPS, EACH = 6, 4


@pytest.fixture(scope="module")
def frame(random_frame):
    return random_frame(5, n=80)


@pytest.fixture(scope="module")
def balanced():
    """Return a balanced one-way layout with little between groups, and its fit."""
    rng = np.random.default_rng(3)
    y = 0.5 * rng.normal(size=(GROUPS, 1)) + rng.normal(size=(GROUPS, EACH))
    data = pd.DataFrame({"y": y.ravel(), "g": np.repeat([f"g{i}" for i in range(GROUPS)], EACH)})
    return fit_mixed("y ~ 1 + (1 | g)", data)


@pytest.fixture(scope="module")
def balanced_draws(balanced):
    return restricted_null_draws(balanced.model, rng=stream(1, "draws"), draws=DRAWS)


def ratio_of_f(f: float) -> float:
    """Return the restricted likelihood ratio of a balanced one-way layout, a function of its F.

    With mean squares as variances of the two strata against one pooled variance.
    """
    between, within = GROUPS - 1, GROUPS * (EACH - 1)
    if f <= 1:
        return 0.0
    pooled = (between * f + within) / (between + within)
    return (between + within) * math.log(pooled) - between * math.log(f)


@pytest.mark.parametrize("statistic", [0.1, 0.5, 1.0, 2.0, 4.0, 6.0])
def test_null_draws_of_a_balanced_layout(statistic, balanced_draws):
    """The tail is that of Fisher's F at the F that gives the statistic; four standard errors."""
    f = optimize.brentq(lambda f: ratio_of_f(f) - statistic, 1, 1e3)
    expected = stats.f.sf(f, GROUPS - 1, GROUPS * (EACH - 1))
    error = math.sqrt(expected * (1 - expected) / DRAWS)
    assert abs((balanced_draws > statistic).mean() - expected) < 4 * error


def test_null_probability_of_zero_in_a_balanced_layout(balanced_draws):
    expected = stats.f.cdf(1, GROUPS - 1, GROUPS * (EACH - 1))
    error = math.sqrt(expected * (1 - expected) / DRAWS)
    assert abs((balanced_draws < 1e-9).mean() - expected) < 4 * error


@pytest.fixture(scope="module")
def refitted(random_frame):
    """Return null draws of an unbalanced layout with covariates, and statistics of 400 refits."""
    frame = random_frame(6, n=24)
    fit = fit_mixed("y ~ x + (0 + z | g)", frame, weights="w")
    draws = restricted_null_draws(fit.model, rng=stream(2, "draws"), draws=DRAWS)
    rng, statistics = np.random.default_rng(4), []
    X, roots = np.column_stack([np.ones(24), frame["x"]]), np.sqrt(frame["w"].to_numpy())
    for _ in range(400):
        y = rng.normal(size=24) / roots
        rest = (
            roots * y - (roots[:, None] * X) @ np.linalg.lstsq(roots[:, None] * X, roots * y, rcond=None)[0]
        )
        design = np.linalg.slogdet((X * frame["w"].to_numpy()[:, None]).T @ X)[1]
        null = -0.5 * (22 * (1 + math.log(2 * math.pi * (rest @ rest) / 22)) + design)
        null += 0.5 * np.log(frame["w"]).sum()
        statistics.append(2 * (fit.refit(y).loglik - null))
    return draws, np.array(statistics)


@pytest.mark.parametrize("tail", [0.4, 0.2, 0.1, 0.05])
def test_null_draws_of_an_unbalanced_layout(tail, refitted):
    """By 400 direct refits: how many exceed a quantile of the draws is binomial, within four deviations."""
    draws, statistics = refitted
    quantile = float(np.quantile(draws, 1 - tail))
    assert quantile > 0
    assert abs((statistics > quantile).sum() - 400 * tail) < 4 * math.sqrt(400 * tail * (1 - tail))


def test_refitted_statistics_are_never_below_zero(refitted):
    assert refitted[1].min() > -1e-8


def test_exact_test_in_a_balanced_layout(balanced):
    y = balanced.model.design.response.reshape(GROUPS, EACH)
    f = EACH * y.mean(axis=1).var(ddof=1) / y.var(axis=1, ddof=1).mean()
    test = exact_variance_test(balanced, rng=stream(3, "draws"), draws=DRAWS)
    expected = stats.f.sf(f, GROUPS - 1, GROUPS * (EACH - 1))
    assert test.statistic == pytest.approx(ratio_of_f(f), rel=1e-6)
    assert abs(test.p_value - expected) < 4 * math.sqrt(expected / DRAWS)


def test_exact_test_counts_the_data_among_the_draws(balanced):
    test = exact_variance_test(balanced, rng=stream(3, "draws"), draws=99)
    draws = restricted_null_draws(balanced.model, rng=stream(3, "draws"), draws=99)
    assert test.p_value == (1 + (draws >= test.statistic).sum()) / 100
    assert test.reference == "exact null distribution, 99 draws"


def test_exact_test_takes_the_restricted_likelihood(frame):
    reml, ml = (fit_mixed("y ~ x + (1 | h)", frame, method=method) for method in ("reml", "ml"))
    one, other = (exact_variance_test(fit, rng=stream(4, "draws"), draws=9) for fit in (reml, ml))
    assert one.statistic == pytest.approx(other.statistic, abs=1e-8)


def test_exact_test_is_for_a_single_variance(frame):
    fit = fit_mixed("y ~ x + (1 | g) + (1 | h)", frame)
    with pytest.raises(FitError, match="single variance component, and the model has 2"):
        exact_variance_test(fit, rng=stream(1, "draws"))


@pytest.fixture(scope="module")
def fits(frame):
    known = {}

    def fit(right: str, method: str = "reml"):
        key = right, method
        if key not in known:
            known[key] = fit_mixed(f"y ~ {right}", frame, method=method)
        return known[key]

    return fit


def test_fixed_effects_are_compared_by_full_likelihood(fits):
    """Whatever the two were fitted by."""
    small, large = "x + (1 | g)", "x + arm + (1 | g)"
    expected = 2 * (fits(large, "ml").loglik - fits(small, "ml").loglik)
    test = likelihood_ratio_test(fits(small), fits(large))
    assert test.statistic == pytest.approx(expected, abs=1e-8)
    assert test.df == 2
    assert test.p_value == pytest.approx(stats.chi2.sf(expected, 2), rel=1e-7)
    assert test.reference == "chi-square with 2 df"


def test_one_more_variance(fits):
    small, large = fits("x + (1 | g)"), fits("x + (1 | g) + (1 | h)")
    test = variance_component_test(small, large)
    expected = 2 * (large.loglik - small.loglik)
    assert test.statistic == pytest.approx(expected, abs=1e-8)
    assert test.p_value == pytest.approx(0.5 * stats.chi2.sf(expected, 1), rel=1e-6)
    assert test.reference == "half chi-square with 0, half with 1 df"


def test_one_more_slope_with_its_covariance(fits):
    """Stram and Lee's case: half chi-square with one, half with two degrees of freedom."""
    small, large = fits("x + (1 | g)"), fits("x + (1 + x | g)")
    test = variance_component_test(small, large)
    expected = 0.5 * stats.chi2.sf(test.statistic, 1) + 0.5 * stats.chi2.sf(test.statistic, 2)
    assert test.p_value == pytest.approx(expected, rel=1e-10)
    assert test.reference == "half chi-square with 1, half with 2 df"


def test_variance_at_zero_has_p_value_one():
    y = np.array([1.0, -1.0, 3.0, -3.0] * 5) + np.repeat([0.0, 4.0, 1.0, -3.0, 2.0], 4)
    frame = pd.DataFrame({"y": y, "g": np.repeat(list("abcde"), 4), "h": ["p", "p", "q", "q"] * 5})
    large = fit_mixed("y ~ 1 + (1 | g) + (1 | h)", frame)
    test = variance_component_test(fit_mixed("y ~ 1 + (1 | g)", frame), large)
    assert large.variance_components["vcov"][1] == 0
    assert test.statistic == pytest.approx(0, abs=1e-8)
    assert test.p_value == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("small", "large", "words"),
    [
        ("z + (1 | g)", "x + arm + (1 | g)", "not contained"),
        ("x + (1 | g)", "x + arm + (1 + x | g)", "random parts"),
        ("x + arm + (1 | g)", "x + arm + (1 | g)", "no more fixed effects"),
        ("x + (1 | h)", "x + arm + (1 | g)", "random parts"),
    ],
)
def test_what_is_no_test_of_fixed_effects(small, large, words, fits):
    with pytest.raises(FitError, match=words):
        likelihood_ratio_test(fits(small), fits(large))


@pytest.mark.parametrize(
    ("small", "large", "words"),
    [
        ("x + (1 | g)", "x + arm + (1 | g) + (1 | h)", "fixed parts"),
        ("x + (1 | g)", "x + (1 + x + z | g)", "has 2 more random effects"),
        ("x + (1 | g)", "x + (1 | g)", "has 0 more random effects"),
        ("x + (1 | h)", "x + (1 + z | g)", "nested|random"),
    ],
)
def test_what_is_no_test_of_a_variance(small, large, words, fits):
    with pytest.raises(FitError, match=words):
        variance_component_test(fits(small), fits(large))


@pytest.mark.parametrize("test", [likelihood_ratio_test, variance_component_test])
def test_other_rows_are_refused(test, frame, fits):
    small = fit_mixed("y ~ x + (1 | g)", frame.iloc[1:])
    with pytest.raises(FitError, match="same response"):
        test(small, fits("x + arm + (1 | g)"))


@pytest.mark.parametrize("what", ["weights", "offset"])
def test_models_with_other_weights_or_offsets_are_not_compared(what):
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"y": rng.normal(size=40), "x": rng.normal(size=40), "w": rng.uniform(1, 2, 40)})
    frame["g"] = [f"g{i % 5}" for i in range(40)]
    small, large = fit_mixed("y ~ 1 + (1 | g)", frame, **{what: "w"}), fit_mixed("y ~ x + (1 | g)", frame)
    with pytest.raises(FitError, match=f"same {what}"):
        likelihood_ratio_test(small, large)


def test_nesting_does_not_depend_on_the_scale_of_a_column():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {"y": rng.normal(size=40), "z": rng.normal(size=40), "tokens": 1e9 * rng.uniform(1, 2, 40)}
    )
    frame["s"], frame["g"] = rng.choice(list("uv"), 40), [f"g{i % 5}" for i in range(40)]
    small, large = fit_mixed("y ~ s + tokens + (1 | g)", frame), fit_mixed("y ~ z + tokens + (1 | g)", frame)
    with pytest.raises(FitError, match="not contained"):
        likelihood_ratio_test(small, large)
