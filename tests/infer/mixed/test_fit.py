"""What a fit says: tables, text, plain values, and nothing without a certificate."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from alignaudit.core.rng import stream
from alignaudit.errors import FitError, UsageError
from alignaudit.infer.mixed.bootstrap import bootstrap_test
from alignaudit.infer.mixed.fit import MixedFit, fit_mixed
from alignaudit.infer.mixed.likelihood import (
    exact_variance_test,
    likelihood_ratio_test,
    variance_component_test,
)
from alignaudit.infer.mixed.marginal import marginal_means
from alignaudit.infer.mixed.profile import profile_intervals
from alignaudit.infer.mixed.terms import joint_tests

# Dyestuff: yields of five preparations from six batches, Davies & Goldsmith (1972), table 6.3.
YIELDS = [
    1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560,
    1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450, 1480, 1445,
]  # fmt: skip
ONE = "yield_g ~ 1 + (1 | batch)"
TEXT = """\
Linear mixed model by restricted maximum likelihood (REML)
Formula: yield_g ~ 1 + (1 | batch)
Data: 30 rows; groups: batch 6
Log-likelihood -159.8271; CERTIFICATE

Random effects
  group     term       sd     correlations
  batch     Intercept  42
  Residual             49.51

Fixed effects (degrees of freedom by strata)
  term       estimate   std. error  df   t      p       interval
  Intercept  1527.5000  19.3834     5.0  78.80  <.0001  [1477.6734, 1577.3266]"""


@pytest.fixture(scope="module")
def dyestuff() -> pd.DataFrame:
    return pd.DataFrame({"yield_g": np.array(YIELDS, dtype=float), "batch": np.repeat(list("ABCDEF"), 5)})


@pytest.fixture(scope="module")
def fit(dyestuff) -> MixedFit:
    return fit_mixed(ONE, dyestuff)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Return 12 groups of 8 rows with correlated intercepts and slopes well inside the space."""
    rng = np.random.default_rng(17)
    g = np.repeat(np.arange(12), 8)
    x = rng.normal(size=96)
    u = rng.multivariate_normal([0, 0], [[2.0, 0.5], [0.5, 1.0]], size=12)
    arm = np.array(["late", "early"])[(np.arange(96) // 2) % 2]
    y = 5 + x + 0.5 * (arm == "early") + u[g, 0] + u[g, 1] * x + rng.normal(size=96)
    return pd.DataFrame({"y": y, "x": x, "arm": arm, "g": [f"g{i:02d}" for i in g]})


@pytest.fixture(scope="module")
def slopes(frame) -> MixedFit:
    return fit_mixed("y ~ x + arm + (1 + x | g)", frame)


def mean_squares() -> tuple[float, float]:
    y = np.array(YIELDS, dtype=float).reshape(6, 5)
    return 5 * y.mean(axis=1).var(ddof=1), y.var(axis=1, ddof=1).mean()


def test_variance_components_of_a_balanced_layout(fit):
    """The analysis of variance: sigma² = MS_within, tau² = (MS_between - MS_within) / 5."""
    between, within = mean_squares()
    expected = [(between - within) / 5, within]
    np.testing.assert_allclose(fit.variance_components["vcov"], expected, rtol=1e-6)
    np.testing.assert_allclose(fit.variance_components["sdcor"], np.sqrt(expected), rtol=1e-6)


def test_log_likelihood_of_a_balanced_layout(fit):
    """Restricted: the density of the two mean squares' contrasts."""
    between, within = mean_squares()
    total = 5 * (math.log(between) + 1) + 24 * (math.log(within) + 1) + 29 * math.log(2 * math.pi)
    assert fit.loglik == pytest.approx(-0.5 * (total + math.log(30)), abs=1e-9)


def test_tidy_of_a_balanced_layout(fit):
    between, _ = mean_squares()
    row = fit.tidy(conf_level=0.9).iloc[0]
    mean, error = np.mean(YIELDS), math.sqrt(between / 30)
    half = stats.t.ppf(0.95, 5) * error
    expected = [mean, error, 5.0, mean / error, 2 * stats.t.sf(mean / error, 5), mean - half, mean + half]
    assert row["term"] == "Intercept"
    np.testing.assert_allclose(row.drop("term").astype(float), expected, rtol=1e-6)


def test_columns_of_tidy(fit):
    assert fit.tidy().columns.tolist() == [
        "term", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip


def test_glance(slopes):
    """Three fixed effects, three covariance parameters, one residual variance."""
    row = slopes.glance().iloc[0]
    assert row["parameters"] == 7
    assert row["deviance"] == -2 * slopes.loglik
    assert row["aic"] == pytest.approx(-2 * slopes.loglik + 14)
    assert row["bic"] == pytest.approx(-2 * slopes.loglik + 7 * math.log(96))
    assert (row["method"], row["n"], row["certified"], row["is_singular"]) == ("reml", 96, True, False)
    assert row["sigma"] == slopes.sigma


def test_text(fit):
    """The certificate's numbers are rounding errors, which differ between machines."""
    assert str(fit) == TEXT.replace("CERTIFICATE", str(fit.certificate))


def test_text_of_correlations_and_notes(frame):
    """Group names appear in the order of their terms, correlations beside the later effect."""
    data = frame.assign(y=frame["y"].where(frame.index > 1), twice=2 * frame["x"])
    fit = fit_mixed("y ~ x + twice + (1 + x | g)", data, method="ml")
    lines = str(fit).splitlines()
    correlation = fit.variance_components["sdcor"][2]
    assert lines[:2] == ["Linear mixed model by maximum likelihood (ML)", f"Formula: {fit.formula}"]
    assert lines[2] == "Data: 94 rows; groups: g 12"
    assert lines[4:6] == [
        "Note: 2 rows with missing values are left out.",
        "Note: Fixed effects that depend on earlier ones are left out: twice.",
    ]
    assert re.fullmatch(rf" +g +x +[\d.]+ +Intercept {re.escape(f'{correlation:+.3f}')}", lines[10])


def test_notes_are_empty_where_nothing_was_left_out(fit):
    assert fit.notes == ()


def test_plain_values_are_json(slopes):
    """Strict JSON, without NaN or infinity, gives back what the attributes hold."""
    found = json.loads(json.dumps(slopes.to_dict(), allow_nan=False))
    assert found["loglik"] == slopes.loglik
    assert found["theta"] == slopes.theta.tolist()
    assert found["groups"] == {"g": 12}
    assert [row["term"] for row in found["fixed_effects"]] == ["Intercept", "x", "arm[T.early]"]
    assert found["variance_components"][2]["with_term"] == "x"
    assert found["certificate"]["passed"] is True


def test_plain_values_of_a_singular_fit_are_json(frame):
    """A correlation with a variance of zero does not exist, and JSON has no NaN."""
    y = np.tile([1.0, -1.0, 3.0, -3.0, 2.0, -2.0, 0.5, -0.5], 12)
    fit = fit_mixed("y ~ 1 + (1 + x | g)", frame.assign(y=y, x=np.tile([1.0, -1.0], 48) + 0.0))
    assert fit.is_singular
    json.dumps(fit.to_dict(), allow_nan=False)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_refit_is_a_fit_of_the_new_response(method, frame):
    fit = fit_mixed("y ~ x + arm + (1 + x | g)", frame, method=method)
    response = frame["y"].to_numpy()[::-1].copy()
    ours, again = (
        fit.refit(response),
        fit_mixed("y ~ x + arm + (1 + x | g)", frame.assign(y=response), method=method),
    )
    assert ours.loglik == pytest.approx(again.loglik, abs=1e-8)
    np.testing.assert_allclose(ours.fixed_effects, again.fixed_effects, rtol=1e-5)
    assert (ours.method, ours.formula) == (fit.method, fit.formula)


def test_random_effects_of_a_balanced_layout(fit):
    """Deviations of the batches' means, shrunken by 5 tau² / (5 tau² + sigma²)."""
    between, within = mean_squares()
    y = np.array(YIELDS, dtype=float).reshape(6, 5)
    table = fit.random_effects()
    np.testing.assert_allclose(
        table["estimate"], (1 - within / between) * (y.mean(axis=1) - y.mean()), rtol=1e-6
    )
    assert table["level"].tolist() == list("ABCDEF")


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_statsmodels_finds_the_same_optimum(method, frame):
    """By 1e-6 and 1e-3: its search ends by its own gradient tolerance."""
    X = np.column_stack([np.ones(96), frame["x"], frame["arm"] == "early"]).astype(float)
    theirs = MixedLM(frame["y"].to_numpy(), X, frame["g"].to_numpy(), exog_re=X[:, :2]).fit(
        reml=method == "reml", method="bfgs", gtol=1e-8
    )
    ours = fit_mixed("y ~ x + arm + (1 + x | g)", frame, method=method)
    assert ours.loglik == pytest.approx(theirs.llf, abs=1e-6)
    np.testing.assert_allclose(ours.fixed_effects, theirs.fe_params, rtol=1e-4)
    assert ours.sigma**2 == pytest.approx(theirs.scale, rel=1e-3)
    np.testing.assert_allclose(ours.model.covariances()[0], np.asarray(theirs.cov_re), rtol=1e-3, atol=1e-4)


def without_certificate(fit: MixedFit) -> MixedFit:
    optimum = fit.model.optimum
    refused = replace(optimum.certificate, passed=False)
    return fit.with_model(replace(fit.model, optimum=replace(optimum, certificate=refused)))


@pytest.fixture(scope="module")
def refused(slopes) -> MixedFit:
    return without_certificate(slopes)


@pytest.fixture(scope="module")
def smaller(frame) -> MixedFit:
    return fit_mixed("y ~ x + (1 + x | g)", frame)


ASKED = {
    "tidy": lambda fit, _, **force: fit.tidy(**force),
    "joint tests": lambda fit, _, **force: joint_tests(fit, **force),
    "means": lambda fit, _, **force: marginal_means(fit, "arm", **force).tidy(),
    "contrasts": lambda fit, _, **force: marginal_means(fit, "arm", **force).contrasts().tidy(),
    "variance test": lambda fit, small, **force: variance_component_test(
        fit_mixed("y ~ x + arm + (1 | g)", fit.model.design.frame), fit, **force
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_no_p_value_without_a_certificate(what, refused, smaller):
    with pytest.raises(FitError, match=r"not certified as an optimum.*force=True"):
        ASKED[what](refused, smaller)


@pytest.mark.parametrize("what", ASKED)
def test_force_goes_on(what, refused, slopes, smaller):
    forced, certified = ASKED[what](refused, smaller, force=True), ASKED[what](slopes, smaller)
    if isinstance(forced, pd.DataFrame):
        pd.testing.assert_frame_equal(forced, certified)
    else:
        assert forced == certified


def test_full_likelihood_tests_want_certificates_of_their_own(frame, smaller):
    """These take fits by full likelihood, so one of those is replaced."""
    refused = without_certificate(fit_mixed("y ~ x + arm + (1 + x | g)", frame, method="ml"))
    for ask in (
        lambda: likelihood_ratio_test(smaller, refused),
        lambda: bootstrap_test(smaller, refused, rng=stream(1, "draws"), draws=1),
        lambda: profile_intervals(refused),
    ):
        with pytest.raises(FitError, match="not certified"):
            ask()


def test_exact_test_wants_a_certificate(fit):
    with pytest.raises(FitError, match="not certified"):
        exact_variance_test(without_certificate(fit), rng=stream(1, "draws"), draws=1)


def test_text_and_plain_values_say_that_a_fit_is_not_certified(refused):
    assert "NOT certified as an optimum" in str(refused)
    assert refused.to_dict()["certificate"]["passed"] is False
    assert not refused.glance()["certified"][0]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda d: fit_mixed(ONE, d, method="bayes"), 'no method "bayes"'),
        (lambda d: fit_mixed(ONE, d, family="gausian"), 'Did you mean "gaussian"'),
        (lambda d: fit_mixed(ONE, d).tidy("satterthwait"), "satterthwaite"),
        (lambda d: fit_mixed(ONE, d).tidy(conf_level=1.0), "between 0 and 1"),
        (lambda d: fit_mixed(ONE, d).random_effects(conf_level=95), "between 0 and 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(ask, words, dyestuff):
    with pytest.raises(UsageError, match=words):
        ask(dyestuff)


def test_counts_need_another_family(frame):
    data = frame.assign(hits=np.arange(96) % 5, misses=3)
    with pytest.raises(FitError, match="cbind response needs family binomial"):
        fit_mixed("cbind(hits, misses) ~ x + (1 | g)", data)
