"""Residual variances by group of rows, against nlme and against a dense likelihood.

The values come from R 4.2.2 with nlme 3.1-162: the data of ``strata_data`` written to a file,
``lme(y ~ x + arm, random = list(g = ~ 1) or list(g = ~ x), weights = varIdent(form = ~ 1 | arm),
method = ..., control = lmeControl(opt = "nlminb", tolerance = 1e-12, msTol = 1e-14, niterEM = 50))``;
``equal`` is the log-likelihood of the same model without ``weights``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.fit import MixedFit, fit_mixed
from alignaudit.infer.mixed.heteroscedastic import fit_strata


def strata_data(*, each: int, levels: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), each)
    arm = np.tile(np.arange(each) % levels, 12)
    x = rng.normal(size=g.size).round(6)
    u = rng.normal(size=(12, 2)) * [1.5, 0.6]
    sd = np.array([0.5, 1.5, 1.0])[arm]
    y = 3 + 0.5 * x + 0.8 * (arm == 1) + u[g, 0] + u[g, 1] * x + sd * rng.normal(size=g.size)
    labels = [f"g{i:02d}" for i in g]
    return pd.DataFrame({"y": y.round(6), "x": x, "arm": np.array(["p", "q", "r"])[arm], "g": labels})


DATA = {2: strata_data(each=8, levels=2, seed=7), 3: strata_data(each=9, levels=3, seed=8)}


@dataclass(frozen=True)
class Nlme:
    levels: int
    method: str
    effects: str
    loglik: float
    equal: float
    sigma: float
    ratios: tuple[float, ...]
    fixed: tuple[float, ...]
    std_errors: tuple[float, ...]
    deviations: tuple[float, ...]


NLME = [
    Nlme(
        2, "reml", "1", -151.96536314367, -158.06795751804, 0.726651805493, (1.84440249684,),
        (2.573168716987, 0.564575219497, 0.668836818377), (0.374684040556, 0.126058631067, 0.220282130002),
        (1.243799551311,),
    ),
    Nlme(
        2, "reml", "1 + x", -146.74590119915, -156.48443434861, 0.557159413336, (2.35809222515,),
        (2.540170115252, 0.476214301216, 0.681090441301), (0.374908383277, 0.195040590627, 0.212968071354),
        (1.254654611298, 0.537725298765),
    ),
    Nlme(
        2, "ml", "1", -150.10985911679, -156.30212740071, 0.718859207154, (1.84065934781,),
        (2.573261321682, 0.565114903575, 0.668793560011), (0.358549372605, 0.124525596956, 0.217578172567),
        (1.186601102512,),
    ),
    Nlme(
        2, "ml", "1 + x", -145.26185196563, -154.99930767554, 0.555286573467, (2.34171708829,),
        (2.542276039791, 0.479587797819, 0.680133146971), (0.358911007451, 0.186792505742, 0.210726308716),
        (1.198205935517, 0.505404581353),
    ),
    Nlme(
        3, "reml", "1", -192.8549968361, -201.0652665622, 0.775797994374, (2.46557207869, 1.72461255457),
        (3.226949175019, 0.564740925859, 1.381065567400, 0.227787320313),
        (0.377038945443, 0.119369993772, 0.345410461833, 0.257806528535), (1.226339908294,),
    ),
    Nlme(
        3, "reml", "1 + x", -172.71083297293, -182.17871401405, 0.518274404912,
        (2.81907807475, 2.03793722734),
        (3.051653429282, 0.507788449950, 1.083542811056, 0.451337946415),
        (0.393343616436, 0.255929784499, 0.267836304031, 0.202942107737), (1.317173453578, 0.818604848709),
    ),
    Nlme(
        3, "ml", "1", -190.92160497174, -199.35023706096, 0.764495175113, (2.46207985799, 1.72203318138),
        (3.227054360156, 0.563565804953, 1.380760861911, 0.227742804905),
        (0.360942922711, 0.117444728068, 0.339963114898, 0.253766131465), (1.169279158001,),
    ),
    Nlme(
        3, "ml", "1 + x", -170.73577673785, -180.49068933323, 0.512428282864, (2.81888567093, 2.03742472347),
        (3.053005922788, 0.509682132540, 1.087908540917, 0.450120701329),
        (0.376400754154, 0.244451038735, 0.264491096986, 0.200421067962), (1.257754319358, 0.777844483562),
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=NLME, ids=lambda r: f"{r.levels}-{r.method}-{r.effects}")
def both(request) -> tuple[MixedFit, Nlme]:
    theirs = request.param
    formula = f"y ~ x + arm + ({theirs.effects} | g)"
    return fit_mixed(formula, DATA[theirs.levels], method=theirs.method, residuals="arm"), theirs


def test_log_likelihood(both):
    fit, theirs = both
    assert fit.loglik == pytest.approx(theirs.loglik, abs=1e-7)


def test_ratios_of_residual_standard_deviations(both):
    """By 1e-5: an error of a ratio by 1e-6 changes the log-likelihood by less than 1e-10."""
    fit, theirs = both
    ours = fit.residual_strata.standard_deviations
    np.testing.assert_allclose(ours[1:] / ours[0], theirs.ratios, rtol=1e-5)
    np.testing.assert_allclose(np.exp(fit.residual_strata.log_ratios), [1.0, *theirs.ratios], rtol=1e-5)


def test_sigma_is_that_of_the_first_group(both):
    fit, theirs = both
    assert fit.sigma == pytest.approx(theirs.sigma, rel=1e-5)
    assert fit.residual_strata.standard_deviations[0] == fit.sigma


def test_fixed_effects(both):
    fit, theirs = both
    np.testing.assert_allclose(fit.fixed_effects, theirs.fixed, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), theirs.std_errors, rtol=1e-5)


def test_standard_deviations_of_random_effects(both):
    fit, theirs = both
    table = fit.variance_components
    ours = table[(table["group"] == "g") & (table["with_term"] == "")]["sdcor"]
    np.testing.assert_allclose(ours, theirs.deviations, rtol=1e-5)


def test_likelihood_ratio_against_equal_variances(both):
    fit, theirs = both
    strata = fit.residual_strata
    expected = 2 * (theirs.loglik - theirs.equal)
    assert strata.statistic == pytest.approx(expected, abs=1e-6)
    assert strata.df == theirs.levels - 1
    assert strata.p_value == pytest.approx(stats.chi2.sf(expected, theirs.levels - 1), rel=1e-5)


def test_interval_only_for_two_groups(both):
    strata, theirs = both[0].residual_strata, both[1]
    assert math.isnan(strata.conf_low) == math.isnan(strata.conf_high) == (theirs.levels == 3)


def test_names(both):
    strata, theirs = both[0].residual_strata, both[1]
    assert strata.column == "arm"
    assert strata.levels == ("p", "q", "r")[: theirs.levels]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("conf_level", [0.95, 0.8])
def test_profile_interval_of_two_groups(reml, conf_level, dense):
    """The dense deviance, minimised over the variance of g, rises by the quantile at either bound."""
    design = build_design("y ~ x + arm + (1 | g)", DATA[2], residuals="arm")
    _, strata = fit_strata(design, "arm", reml=reml, conf_level=conf_level)
    oracle = dense(design, [np.eye(1)], reml)
    Z = oracle.columns[0]

    def deviance(ratio: float, theta: float) -> float:
        weights = np.exp(-2 * ratio * design.residual_groups)
        V = theta**2 * Z @ Z.T + np.diag(1 / weights)
        inverse = np.linalg.inv(V)
        middle = design.fixed.T @ inverse @ design.fixed
        rest = design.response - design.fixed @ np.linalg.solve(
            middle, design.fixed.T @ inverse @ design.response
        )
        total = np.linalg.slogdet(V)[1] + oracle.free * math.log(rest @ inverse @ rest)
        return total + (np.linalg.slogdet(middle)[1] if reml else 0.0)

    def profile(ratio: float) -> float:
        options = {"xatol": 1e-9}
        found = optimize.minimize_scalar(
            lambda theta: deviance(ratio, theta), bounds=(0, 10), method="bounded", options=options
        )
        return float(found.fun)

    best = optimize.minimize_scalar(profile, bounds=(-1, 3), method="bounded", options={"xatol": 1e-7})
    assert strata.log_ratios[1] == pytest.approx(best.x, abs=1e-5)
    for bound in (strata.conf_low, strata.conf_high):
        assert profile(bound) - best.fun == pytest.approx(stats.chi2.ppf(conf_level, 1), abs=1e-4)
    assert strata.conf_low < best.x < strata.conf_high


def test_weights_are_kept_beside_the_ratios():
    """Two rows of weight 2 in every group say the same as the model without weights."""
    plain = fit_mixed("y ~ x + arm + (1 | g)", DATA[2], residuals="arm")
    double = fit_mixed("y ~ x + arm + (1 | g)", DATA[2].assign(w=2.0), weights="w", residuals="arm")
    assert double.loglik == pytest.approx(plain.loglik, abs=1e-7)
    np.testing.assert_allclose(
        double.residual_strata.log_ratios, plain.residual_strata.log_ratios, rtol=1e-4, atol=1e-6
    )


def test_parameters_are_counted(both):
    """Fixed effects, variances and covariances, and one residual variance for each group of rows."""
    fit, theirs = both
    covariances = 1 if theirs.effects == "1" else 3
    assert fit.glance()["parameters"][0] == len(theirs.fixed) + covariances + theirs.levels


def test_a_group_with_a_single_row_is_refused():
    frame = DATA[2].assign(arm=["q", *["p"] * 95])
    with pytest.raises(FitError, match="at least two rows"):
        fit_mixed("y ~ x + (1 | g)", frame, residuals="arm")


def test_a_group_without_residuals_is_refused():
    """In arm p every row of a group lies on its line exactly, so its residual variance goes to zero."""
    frame = DATA[2]
    line = frame["x"] + frame.groupby("g")["y"].transform("first")
    frame = frame.assign(y=line + np.where(frame["arm"] == "p", 0.0, np.sin(7.0 * np.arange(len(frame)))))
    with pytest.raises(FitError, match="goes to zero"):
        fit_mixed("y ~ x + arm + (1 | g)", frame, residuals="arm")
