"""F tests of whole terms in an unbalanced design, against lmerTest and against unweighted means.

The values come from R 4.2.2 with lme4 1.1-31, lmerTest 3.1-3 and pbkrtest 0.5.2: the data of ``unbalanced``
written to a file, ``anova(lmer(formula, d, control = lmerControl("bobyqa", optCtrl = list(rhoend = 1e-9))),
type = 3, ddf = ...)``, factors with their levels by first appearance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.marginal import marginal_means
from alignaudit.infer.mixed.terms import joint_tests, predictors

# formula, term, numerator df, Satterthwaite's denominator and F, Kenward and Roger's denominator and F
LMERTEST = [
    ("arm * size", "arm", 2, 106.0182939, 0.2019199686, 105.8752781, 0.2015559699),
    ("arm * size", "size", 1, 105.5895509, 3.5622340739, 105.4427134, 3.5587025285),
    ("arm * size", "arm:size", 2, 106.5427639, 1.9336845480, 106.3976425, 1.9303185490),
    ("x * arm", "x", 1, 105.9795906, 0.02264742955, 105.9017147, 0.02260068639),
    ("x * arm", "arm", 2, 106.0293546, 0.48097254265, 105.9552093, 0.48011447793),
    ("x * arm", "x:arm", 2, 106.7008072, 0.81660867300, 106.6280037, 0.81314956505),
    ("x + arm * size", "x", 1, 105.6024317, 1.5297611963, 105.4667485, 1.5244835435),
    ("x + arm * size", "arm", 2, 104.9995740, 0.1615122825, 104.8521185, 0.1611098233),
    ("x + arm * size", "size", 1, 104.5654443, 3.8289102541, 104.4121743, 3.8253361283),
    ("x + arm * size", "arm:size", 2, 105.6010167, 2.0348142710, 105.4504757, 2.0315536682),
    ("arm:size", "arm:size", 5, 106.06359, 0.9822022851, 105.9232647, 0.9810378508),
]
# Without an intercept lmerTest's own denominator depends on how the columns are rotated.
WITHOUT_INTERCEPT = [("arm", 3, 37.57803181, 0.2333470327), ("x", 1, 108.36954248, 1.1591583540)]


@pytest.fixture(scope="module")
def unbalanced() -> pd.DataFrame:
    rng = np.random.default_rng(31)
    n = 120
    g = rng.integers(10, size=n)
    y = rng.normal(size=10)[g] * 1.5 + rng.normal(size=n) + 0.4 * np.arange(n) / n
    x = rng.normal(1, 2, size=n)
    arm = np.array(["b", "c", "a"])[rng.choice(3, size=n, p=[0.5, 0.3, 0.2])]
    size = np.array(["small", "large"])[rng.choice(2, size=n, p=[0.6, 0.4])]
    labels = [f"g{i}" for i in g]
    return pd.DataFrame({"y": y.round(6), "x": x.round(6), "arm": arm, "size": size, "g": labels})


@pytest.fixture(scope="module")
def fits(unbalanced):
    known = {}

    def fit(right: str):
        if right not in known:
            known[right] = fit_mixed(f"y ~ {right} + (1 | g)", unbalanced)
        return known[right]

    return fit


@pytest.mark.parametrize(("right", "term", "numerator", "denominator", "statistic", "_a", "_b"), LMERTEST)
def test_satterthwaite(right, term, numerator, denominator, statistic, _a, _b, fits):
    """By 1e-4 for the denominator: that of Fai and Cornelius depends on the rotation of the hypothesis."""
    row = joint_tests(fits(right), df="satterthwaite").set_index("term").loc[term]
    assert row["numerator_df"] == numerator
    assert row["statistic"] == pytest.approx(statistic, rel=1e-5)
    assert row["denominator_df"] == pytest.approx(denominator, rel=1e-4)


@pytest.mark.parametrize(("right", "term", "numerator", "_a", "_b", "denominator", "statistic"), LMERTEST)
def test_kenward_roger(right, term, numerator, _a, _b, denominator, statistic, fits):
    row = joint_tests(fits(right), df="kenward-roger").set_index("term").loc[term]
    assert row["numerator_df"] == numerator
    assert row["statistic"] == pytest.approx(statistic, rel=1e-5)
    assert row["denominator_df"] == pytest.approx(denominator, rel=1e-6)


@pytest.mark.parametrize(("term", "numerator", "denominator", "statistic"), WITHOUT_INTERCEPT)
def test_without_an_intercept(term, numerator, denominator, statistic, fits):
    row = joint_tests(fits("0 + arm + x"), df="kenward-roger").set_index("term").loc[term]
    assert row["numerator_df"] == numerator
    assert row["statistic"] == pytest.approx(statistic, rel=1e-5)
    assert row["denominator_df"] == pytest.approx(denominator, rel=1e-6)


@pytest.mark.parametrize("term", ["arm", "size"])
def test_main_effect_compares_unweighted_means(term, fits):
    """Wald's statistic of all differences of the marginal means from the first."""
    fit = fits("arm * size")
    rows = marginal_means(fit, term).rows
    L = rows[1:] - rows[0]
    b, C = fit.fixed_effects.to_numpy(), fit.covariance.to_numpy()
    expected = (L @ b) @ np.linalg.solve(L @ C @ L.T, L @ b) / len(L)
    row = joint_tests(fit, df="wald").set_index("term").loc[term]
    assert row["statistic"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger", "strata"])
def test_reference_levels_do_not_matter(df, unbalanced, fits):
    levels = {"arm": ["a", "b", "c"], "size": ["small", "large"]}
    other = fit_mixed("y ~ arm * size + (1 | g)", unbalanced, levels=levels)
    ours, theirs = joint_tests(fits("arm * size"), df=df), joint_tests(other, df=df)
    np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=1e-6)
    np.testing.assert_allclose(ours["denominator_df"], theirs["denominator_df"], rtol=1e-3)


def test_a_name_within_another_name(unbalanced):
    """The factor ``a`` is coded anew, and ``a_2`` with it, without one name being taken for the other."""
    frame = unbalanced.rename(columns={"arm": "a", "size": "a_2"})
    ours = joint_tests(fit_mixed("y ~ a * a_2 + (1 | g)", frame), df="wald")
    theirs = joint_tests(fit_mixed("y ~ arm * size + (1 | g)", unbalanced), df="wald")
    np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=1e-9)


def test_predictors(unbalanced, fits):
    found = predictors(fits("x * arm").model.design)
    assert found == {"x": pytest.approx(unbalanced["x"].mean()), "arm": ["b", "c", "a"]}


def test_dependent_columns_are_refused(unbalanced):
    fit = fit_mixed("y ~ x + I(2 * x) + (1 | g)", unbalanced)
    with pytest.raises(FitError, match="fixed columns were left out"):
        joint_tests(fit)


def test_a_number_in_C_is_a_factor_for_means_and_joint_tests():
    """A coded number gives what the same column as text gives; levels stand in the order of their size."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"layer": np.tile([10, 2, 7], 16), "arm": np.repeat(list("uv"), 24)})
    frame["g"] = [f"g{i}" for i in np.tile(np.repeat(np.arange(8), 3), 2)]
    frame["y"] = rng.normal(size=48) + 0.1 * frame["layer"]
    text = frame.assign(layer=pd.Categorical(frame["layer"].astype(str), categories=["2", "7", "10"]))
    coded = fit_mixed("y ~ arm * C(layer) + (1 | g)", frame)
    plain = fit_mixed("y ~ arm * layer + (1 | g)", text)
    assert marginal_means(coded, "layer").grid["layer"].tolist() == [2, 7, 10]
    for one, other in (
        (joint_tests(coded), joint_tests(plain)),
        (marginal_means(coded, "layer").tidy(), marginal_means(plain, "layer").tidy()),
    ):
        np.testing.assert_allclose(one.iloc[:, 1:].astype(float), other.iloc[:, 1:].astype(float), rtol=1e-8)


def test_joint_tests_by_wald_are_chi_square_tests():
    frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 2, 4, 5, 1], "arm": list("uvwuvwuv"), "g": list("aaabbbcc")})
    row = joint_tests(fit_mixed("y ~ arm + (1 | g)", frame), df="wald").iloc[0]
    assert np.isinf(row["denominator_df"])
    assert row["p_value"] == pytest.approx(stats.chi2.sf(2 * row["statistic"], 2))


@pytest.mark.parametrize(
    "coding",
    ["C(s, contr.treatment('w'))", "C(s, contr.sum)", "C(s, contr.helmert)", "C(s, levels=['w', 'v', 'u'])"],
)
@pytest.mark.parametrize("other", ["x", "t"])
def test_joint_tests_do_not_depend_on_the_coding(coding, other):
    """Type III: every term that a factor interacts with is tested over the mean of its levels."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"s": rng.choice(list("uvw"), 90), "t": rng.choice(list("pq"), 90), "x": rng.normal(size=90)}
    )
    frame["g"] = [f"g{i % 9}" for i in range(90)]
    frame["y"] = rng.normal(size=90) + 0.4 * frame["x"] * (frame["s"] == "u") + (frame["t"] == "p")
    plain = joint_tests(fit_mixed(f"y ~ s * {other} + (1 | g)", frame))
    coded = joint_tests(fit_mixed(f"y ~ {coding} * {other} + (1 | g)", frame))
    np.testing.assert_allclose(coded["statistic"], plain["statistic"], rtol=1e-7)
    np.testing.assert_allclose(coded["p_value"], plain["p_value"], rtol=1e-6)


def test_names_that_are_no_words_of_the_language_are_tested_like_others():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"my s": rng.choice(list("uvw"), 60), "t": rng.choice(list("pq"), 60)})
    frame["g"], frame["y"] = [f"g{i % 6}" for i in range(60)], rng.normal(size=60)
    quoted = joint_tests(fit_mixed("y ~ `my s` * t + (1 | g)", frame))
    plain = joint_tests(fit_mixed("y ~ s * t + (1 | g)", frame.rename(columns={"my s": "s"})))
    np.testing.assert_allclose(quoted["p_value"], plain["p_value"], rtol=1e-9)
