"""Parametric bootstrap: what is drawn, what is fitted, and how the p-value is counted."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit.core.rng import stream
from alignaudit.errors import FitError, UsageError
from alignaudit.infer.mixed.bootstrap import bootstrap_intervals, bootstrap_test, refits, simulate
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.fit import fit_mixed

DRAWS = 4000


@pytest.fixture(scope="module")
def simulated(random_frame, model_at, dense):
    """Return the mean and covariance that responses should have, and many of them."""
    design = build_design("y ~ x + offset(o) + (1 + z | g) + (1 | h)", random_frame(3, n=14), weights="w")
    roots = [
        np.array([[1.0, 0.0], [0.5, 0.7]]) if len(term.columns) == 2 else np.array([[0.8]])
        for term in design.terms
    ]
    model = model_at(design, roots, reml=True)
    oracle = dense(design, [root @ root.T for root in roots], True)
    rng = stream(1, "simulate")
    mean = design.fixed @ oracle.beta + design.offset
    return mean, oracle.variance * oracle.V, np.array([simulate(model, rng=rng) for _ in range(DRAWS)])


def test_mean_of_simulated_responses(simulated):
    """Within 4.5 standard errors in each of 14 rows."""
    mean, V, draws = simulated
    assert (np.abs(draws.mean(axis=0) - mean) < 4.5 * np.sqrt(np.diag(V) / DRAWS)).all()


def test_covariance_of_simulated_responses(simulated):
    """Within 4.5 standard errors of a sample covariance in each of the 105 entries."""
    mean, V, draws = simulated
    rest = draws - mean
    errors = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / DRAWS)
    assert (np.abs(rest.T @ rest / DRAWS - V) < 4.5 * errors).all()


@pytest.fixture(scope="module")
def frame(random_frame):
    return random_frame(12, n=60)


@pytest.fixture(scope="module")
def small(frame):
    return fit_mixed("y ~ x + (1 | g)", frame)


@pytest.fixture(scope="module")
def large(frame):
    return fit_mixed("y ~ x + arm + (1 | g)", frame)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_refits_are_the_fits_of_the_drawn_responses(method, frame):
    fit = fit_mixed("y ~ x + (1 + x | g)", frame, method=method)
    for response, model in refits(fit.model, fit.model, rng=stream(2, "draws"), draws=3):
        again = fit_mixed("y ~ x + (1 + x | g)", frame.assign(y=response), method=method)
        assert model.loglik == pytest.approx(again.loglik, abs=1e-8)
        np.testing.assert_allclose(model.coefficients, again.fixed_effects, rtol=1e-5)


def test_p_value_counts_the_data_among_the_draws(small, large):
    test = bootstrap_test(small, large, rng=stream(3, "draws"), draws=39)
    assert test.p_value == (1 + (test.simulated >= test.statistic).sum()) / 40
    assert test.draws == len(test.simulated) == 39
    assert test.uncertified == 0


def test_fixed_effects_are_compared_by_full_likelihood(small, large, frame):
    test = bootstrap_test(small, large, rng=stream(3, "draws"), draws=5)
    null, full = small.model.unrestricted, large.model.unrestricted
    assert test.statistic == pytest.approx(2 * (full.loglik - null.loglik), abs=1e-9)
    drawn = [response for response, _ in refits(null, null, rng=stream(3, "draws"), draws=5)]
    expected = [
        2
        * (
            fit_mixed("y ~ x + arm + (1 | g)", frame.assign(y=y), method="ml").loglik
            - fit_mixed("y ~ x + (1 | g)", frame.assign(y=y), method="ml").loglik
        )
        for y in drawn
    ]
    np.testing.assert_allclose(test.simulated, expected, atol=1e-7)


def test_random_terms_are_compared_by_restricted_likelihood(small, frame):
    large = fit_mixed("y ~ x + (1 | g) + (1 | h)", frame, method="ml")
    test = bootstrap_test(small, large, rng=stream(3, "draws"), draws=2)
    expected = 2 * (fit_mixed("y ~ x + (1 | g) + (1 | h)", frame).loglik - small.loglik)
    assert test.statistic == pytest.approx(expected, abs=1e-8)


def test_p_value_is_that_of_the_exact_f_test():
    """In balanced blocks the likelihood ratio is a function of F; four standard errors of 400 draws.

    That holds as long as the variance of the blocks is not estimated as zero, which 1.5 against 1
    in eight blocks leaves to one draw in thousands.
    """
    rng = np.random.default_rng(6)
    y = 3 * rng.normal(size=(8, 1)) + rng.normal(size=(8, 3)) + np.array([0.0, 0.5, 0.9])
    data = pd.DataFrame({"y": y.ravel(), "arm": ["a", "b", "c"] * 8, "g": np.repeat(list("stuvwxyz"), 3)})
    rest = y - y.mean(axis=0) - y.mean(axis=1, keepdims=True) + y.mean()
    f = 8 * y.mean(axis=0).var(ddof=1) / ((rest**2).sum() / 14)
    exact = stats.f.sf(f, 2, 14)
    small, large = fit_mixed("y ~ 1 + (1 | g)", data), fit_mixed("y ~ arm + (1 | g)", data)
    test = bootstrap_test(small, large, rng=stream(4, "draws"), draws=400)
    assert 0.02 < exact < 0.5
    assert abs(test.p_value - exact) < 4 * math.sqrt(exact * (1 - exact) / 400)


def test_at_least_one_draw(small, large):
    with pytest.raises(UsageError, match="at least one draw"):
        bootstrap_test(small, large, rng=stream(1, "draws"), draws=0)


def test_other_rows_are_refused(large, frame):
    with pytest.raises(FitError, match="same response"):
        bootstrap_test(fit_mixed("y ~ x + (1 | g)", frame.iloc[1:]), large, rng=stream(1, "draws"), draws=1)


@pytest.mark.parametrize("conf_level", [0.95, 0.5])
def test_intervals_are_quantiles_of_refits(conf_level, small, frame):
    def numbers(fit):
        return pd.Series({"sigma": fit.sigma, "slope": fit.fixed_effects["x"]})

    ours = bootstrap_intervals(small, numbers, rng=stream(5, "draws"), draws=19, conf_level=conf_level)
    rng = stream(5, "draws")
    drawn = [frame.assign(y=simulate(small.model, rng=rng)) for _ in range(19)]
    fits = [fit_mixed("y ~ x + (1 | g)", data) for data in drawn]
    tail = (1 - conf_level) / 2
    for name, values, estimate in [
        ("sigma", [fit.sigma for fit in fits], small.sigma),
        ("slope", [fit.fixed_effects["x"] for fit in fits], small.fixed_effects["x"]),
    ]:
        expected = [estimate, *np.quantile(values, [tail, 1 - tail])]
        np.testing.assert_allclose(ours.loc[name], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("y ~ x + (1 | g)", "y ~ 1 + (1 | g)"),
        ("y ~ s + (1 | g)", "y ~ x + (1 | g)"),
        ("y ~ 1 + (1 | g)", "y ~ 1 + (1 | h)"),
        ("y ~ 1 + (1 | g)", "y ~ x + (1 | g) + (1 | h)"),
        ("y ~ x + (1 | g)", "y ~ x + (1 | g)"),
    ],
)
def test_models_that_are_not_nested_are_refused(small, large):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {"y": rng.normal(size=40), "x": rng.normal(size=40), "s": rng.choice(list("uv"), 40)}
    )
    frame["g"], frame["h"] = [f"g{i % 5}" for i in range(40)], [f"h{i % 8}" for i in range(40)]
    with pytest.raises(FitError, match="nested"):
        bootstrap_test(fit_mixed(small, frame), fit_mixed(large, frame), rng=rng, draws=1)
