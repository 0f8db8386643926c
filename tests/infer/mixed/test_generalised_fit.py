"""``fit_mixed`` of counts: what its result says, against the optimum that it wraps and glmmTMB."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit import fit_mixed, likelihood_ratio_test
from alignaudit.errors import FitError, UsageError

COLUMNS = ["term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Twelve groups, two arms, ten trials in each cell; effects of 0.7 of the arm and 0.8 between groups."""
    rng = np.random.default_rng(8)
    group, arm = (index.ravel() for index in np.indices((12, 2)))
    probability = 1 / (1 + np.exp(-(0.2 + 0.7 * arm + 0.8 * rng.normal(size=12)[group])))
    hits = rng.binomial(10, probability)
    return pd.DataFrame(
        {
            "hits": hits,
            "misses": 10 - hits,
            "arm": np.array(["u", "v"])[arm],
            "g": [f"g{i:02d}" for i in group],
        }
    )


@pytest.fixture(scope="module")
def fit(frame):
    return fit_mixed("cbind(hits, misses) ~ arm + (1 | g)", frame, family="binomial")


def test_tidy_is_a_wald_test_in_logits(fit):
    table = fit.tidy(conf_level=0.9)
    assert list(table) == COLUMNS
    errors = np.sqrt(np.diag(fit.covariance))
    np.testing.assert_allclose(table["statistic"], fit.fixed_effects / errors, rtol=1e-12)
    np.testing.assert_allclose(table["p_value"], 2 * stats.norm.sf(np.abs(table["statistic"])), rtol=1e-12)
    np.testing.assert_allclose(
        table["conf_high"] - table["estimate"], stats.norm.ppf(0.95) * errors, rtol=1e-9
    )
    assert np.isinf(table["df"]).all()


@pytest.mark.parametrize("df", ["strata", "kenward-roger", "satterthwaite"])
def test_degrees_of_freedom_are_refused(fit, df):
    with pytest.raises(UsageError, match="Use wald"):
        fit.tidy(df)


def test_three_ways_to_write_the_response_are_one_model(frame, fit):
    shares = frame.assign(share=frame["hits"] / 10, n=10.0)
    by_share = fit_mixed("share ~ arm + (1 | g)", shares, family="binomial", weights="n")
    assert by_share.loglik == pytest.approx(fit.loglik, abs=1e-8)
    single = pd.concat(
        [
            frame.loc[frame.index.repeat(frame[column])].assign(y=value)
            for column, value in (("hits", 1), ("misses", 0))
        ]
    )
    by_trial = fit_mixed("y ~ arm + (1 | g)", single, family="binomial")
    np.testing.assert_allclose(
        by_trial.fixed_effects, fit.fixed_effects, rtol=1e-6
    )  # same likelihood in beta
    assert by_trial.n == 240


def test_glance_counts_parameters(fit):
    row = fit.glance().iloc[0]
    assert (row["n"], row["parameters"]) == (24, 3)
    assert row["aic"] == pytest.approx(-2 * fit.loglik + 6)
    assert row["bic"] == pytest.approx(-2 * fit.loglik + 3 * math.log(24))


def test_variance_is_the_square_of_theta_and_has_no_residual(fit):
    assert list(fit.variance_components["group"]) == ["g"]
    assert fit.variance_components["vcov"][0] == pytest.approx(fit.theta[0] ** 2)


def test_random_effects_are_modes_with_normal_intervals(fit):
    table = fit.random_effects(0.8)
    np.testing.assert_allclose(table["estimate"], fit.optimum.modes[0][:, 0])
    half = stats.norm.ppf(0.9) * np.sqrt(fit.optimum.mode_covariances[0][:, 0, 0])
    np.testing.assert_allclose(table["conf_high"] - table["estimate"], half)


def test_fitted_probabilities(fit, frame):
    index = [int(level[1:]) for level in frame["g"]]
    logits = fit.fixed_effects.iloc[0] + fit.fixed_effects.iloc[1] * (frame["arm"] == "v")
    expected = 1 / (1 + np.exp(-(logits.to_numpy() + fit.optimum.modes[0][index, 0])))
    np.testing.assert_allclose(fit.fitted(), expected)


def test_plain_values_are_strict_json(frame):
    both = [
        fit_mixed("cbind(hits, misses) ~ arm + (1 | g)", frame, family=f)
        for f in ("binomial", "beta-binomial")
    ]
    for one in both:
        found = json.loads(json.dumps(one.to_dict(), allow_nan=False))
        assert found["fixed_effects"][1]["term"] == "arm[T.v]"
        assert found["fixed_effects"][1]["df"] is None


def test_text_says_first_what_was_fitted(fit):
    lines = str(fit).splitlines()
    assert lines[:3] == [
        "Binomial mixed model with logit link by maximum likelihood, Laplace approximation",
        "Formula: cbind(hits, misses) ~ arm + (1 | g)",
        "Data: 24 rows; groups: g 12",
    ]
    assert "Fixed effects (logits; Wald's z)" in lines


def test_likelihood_ratio_of_the_period_in_cbpp(stats_folder):
    reference = json.loads((stats_folder / "cbpp_glmm.json").read_text())
    frame = pd.read_csv(stats_folder / reference["data"]).astype({"period": "category"})
    formulas = (reference["fixed_lrt"]["null"], reference["formula"])
    test = likelihood_ratio_test(*(fit_mixed(formula, frame, family="binomial") for formula in formulas))
    assert test.loglik_large == pytest.approx(reference["glmmTMB_laplace"]["logLik"], abs=1e-6)
    # the chi-square is glmer's, whose log-likelihoods are up to 4e-4 short
    assert test.statistic == pytest.approx(reference["fixed_lrt"]["chisq"], abs=2e-3)
    assert test.df == reference["fixed_lrt"]["df"]


def test_likelihoods_of_different_kinds_are_not_compared(frame, fit):
    linear = fit_mixed("hits ~ arm + (1 | g)", frame)
    with pytest.raises(FitError, match="cannot be compared"):
        likelihood_ratio_test(linear, fit)
    other = fit_mixed("cbind(hits, misses) ~ arm + (1 | g)", frame, family="beta-binomial")
    with pytest.raises(FitError, match="more than fixed effects"):
        likelihood_ratio_test(fit, other)


def test_counts_have_no_residual_variance(frame):
    with pytest.raises(UsageError, match="no residual variance"):
        fit_mixed("cbind(hits, misses) ~ arm + (1 | g)", frame, family="binomial", residuals="arm")


def test_an_unknown_family_names_the_nearest(frame):
    with pytest.raises(UsageError, match='Did you mean "binomial"'):
        fit_mixed("cbind(hits, misses) ~ arm + (1 | g)", frame, family="binomal")  # type: ignore[arg-type]
