"""Linear mixed models against lme4, lmerTest, pbkrtest, emmeans and RLRsim; versions in the README there."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alignaudit.core.rng import stream
from alignaudit.infer.adjust import adjust
from alignaudit.infer.mixed.degrees import kenward_roger_covariance
from alignaudit.infer.mixed.fit import MixedFit, fit_mixed
from alignaudit.infer.mixed.likelihood import (
    exact_variance_test,
    likelihood_ratio_test,
    restricted_null_draws,
    variance_component_test,
)
from alignaudit.infer.mixed.marginal import marginal_means
from alignaudit.infer.mixed.model import GaussianModel
from alignaudit.infer.mixed.profile import profile_intervals
from alignaudit.infer.mixed.roots import unpack
from alignaudit.infer.mixed.terms import joint_tests

CASES = [
    "dyestuff",
    "dyestuff2_singular",
    "pastes",
    "penicillin",
    "sleepstudy_corr",
    "sleepstudy_uncorr",
    "cake",
    "simA_3x10x36",
    "simA_intercepts",
    "simB_3x20x112",
    "simE_2x5x36",
]
# pbkrtest could not finish the largest data set.
WITH_KENWARD_ROGER = [name for name in CASES if name != "simB_3x20x112"]
WITH_F_TESTS = [
    "sleepstudy_corr",
    "sleepstudy_uncorr",
    "cake",
    "simA_3x10x36",
    "simA_intercepts",
    "simE_2x5x36",
]
WITH_MEANS = ["cake", "simA_3x10x36", "simA_intercepts", "simE_2x5x36"]
WITH_PROFILES = [
    "dyestuff",
    "pastes",
    "penicillin",
    "sleepstudy_corr",
    "sleepstudy_uncorr",
    "simA_intercepts",
]
WITH_FIXED_TEST = ["cake", "sleepstudy_corr", "simA_3x10x36", "simB_3x20x112", "simE_2x5x36"]
INTERCEPTS = ["(1 | language)", "(1 | schedule:language)", "(1 | seed)", "(1 | seed:schedule)"]
RANDOM_TESTS = [
    ("pastes", "(1 | batch)", "strength ~ 1 + (1 | sample)"),
    ("pastes", "(1 | sample)", "strength ~ 1 + (1 | batch)"),
    ("penicillin", "(1 | plate)", "diameter ~ 1 + (1 | sample)"),
    ("penicillin", "(1 | sample)", "diameter ~ 1 + (1 | plate)"),
    ("sleepstudy_corr", "Days in (Days | Subject)", "Reaction ~ Days + (1 | Subject)"),
    ("sleepstudy_uncorr", "(1 | Subject)", "Reaction ~ Days + (0 + Days | Subject)"),
    ("sleepstudy_uncorr", "Days in (0 + Days | Subject)", "Reaction ~ Days + (1 | Subject)"),
    *[
        (
            "simA_intercepts",
            dropped,
            f"score ~ schedule + {' + '.join(t for t in INTERCEPTS if t != dropped)}",
        )
        for dropped in INTERCEPTS
    ],
    *[
        (name, dropped, f"score ~ schedule + {small}")
        for name in ("simA_3x10x36", "simB_3x20x112", "simE_2x5x36")
        for dropped, small in [
            ("(1 | seed)", "(1 + schedule | language) + (1 | seed:schedule)"),
            ("(1 | seed:schedule)", "(1 + schedule | language) + (1 | seed)"),
            ("schedule in (1 + schedule | language)", "(1 | language) + (1 | seed) + (1 | seed:schedule)"),
        ]
    ],
]


@dataclass(frozen=True)
class Case:
    """One reference model, our fits of it, and our model at the reference's optimum."""

    facts: dict[str, Any]
    frame: pd.DataFrame
    make_model: Callable[..., GaussianModel]

    @cached_property
    def reml(self) -> MixedFit:
        return fit_mixed(self.facts["formula"], self.frame)

    @cached_property
    def ml(self) -> MixedFit:
        return fit_mixed(self.facts["formula"], self.frame, method="ml")

    def fit(self, method: str) -> MixedFit:
        return self.reml if method == "REML" else self.ml

    def at(self, theta: list[float], *, reml: bool) -> GaussianModel:
        return model_at_theta(self.reml, theta, self.make_model, reml=reml)

    @cached_property
    def there(self) -> MixedFit:
        """Return our REML fit moved to the reference's theta."""
        return self.reml.with_model(self.at(list(self.facts["REML"]["theta"].values()), reml=True))


def model_at_theta(
    fit: MixedFit, theta: list[float], make_model: Callable[..., GaussianModel], *, reml: bool
) -> GaussianModel:
    design = fit.model.design
    shapes = [replace(fit.model.products.first, width=len(term.columns)) for term in design.terms]
    return make_model(design, unpack(np.array(theta, dtype=float), shapes), reml=reml)


def r_name(name: str) -> str:
    """Return the name that R gives to a column."""
    return re.sub(r"\[T\.([^\]]*)\]", r"\1", name).replace("Intercept", "(Intercept)")


@pytest.fixture(scope="module")
def case(stats_folder, model_at) -> Callable[[str], Case]:
    known: dict[str, Case] = {}

    def load(name: str) -> Case:
        if name not in known:
            facts = json.loads((stats_folder / f"{name}.json").read_text())
            known[name] = Case(facts, read_data(stats_folder, facts), model_at)
        return known[name]

    return load


def read_data(folder: Path, facts: dict[str, Any]) -> pd.DataFrame:
    """Read a data set, its factors with the levels in R's order where the file states it."""
    stated = {name: levels for name, levels in facts["levels"].items() if isinstance(levels, list)}
    frame = pd.read_csv(folder / facts["data"], dtype=dict.fromkeys(stated, str))
    return frame.assign(**{name: pd.Categorical(frame[name], levels) for name, levels in stated.items()})


def column(table: dict[str, dict[str, float]], key: str) -> list[float]:
    return [row[key] for row in table.values()]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("method", "key"), [("REML", "reml_criterion"), ("ML", "ml_deviance")])
def test_criterion_at_fixed_theta(name, method, key, case):
    one = case(name)
    for point in one.facts["devfun"]:
        model = one.at(np.atleast_1d(point["theta"]).tolist(), reml=method == "REML")
        assert -2 * model.loglik == pytest.approx(point[key], abs=1e-8)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_optimum_is_not_below_the_reference(name, method, case):
    """lme4 stops at up to 3e-6 below the best log-likelihood, so we may lie above it."""
    ours, theirs = case(name).fit(method).loglik, case(name).facts[method]["logLik"]
    assert -1e-7 <= ours - theirs <= 1e-5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_certificate(name, method, case):
    certificate = case(name).fit(method).certificate
    assert certificate.passed, certificate


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_fixed_effects(name, method, case):
    ours, theirs = case(name).fit(method).fixed_effects, case(name).facts[method]["fixef"]
    assert [r_name(column) for column in ours.index] == list(theirs)
    np.testing.assert_allclose(ours, list(theirs.values()), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_residual_standard_deviation(name, method, case):
    assert case(name).fit(method).sigma == pytest.approx(case(name).facts[method]["sigma"], rel=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_theta_and_its_order(name, method, case):
    """By 2e-3: where lme4 stops 3e-6 below the optimum of a flat likelihood, theta is that far from it."""
    ours, theirs = case(name).fit(method), case(name).facts[method]["theta"]
    names = [
        f"{term.group}.{r_name(row)}" if row == column else f"{term.group}.{r_name(row)}.{r_name(column)}"
        for term in ours.model.design.terms
        for place, column in enumerate(term.columns)
        for row in term.columns[place:]
    ]
    assert names == list(theirs)
    np.testing.assert_allclose(ours.theta, list(theirs.values()), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_singular(name, method, case):
    assert case(name).fit(method).is_singular == case(name).facts[method]["singular"]


@pytest.mark.parametrize("name", CASES)
def test_group_counts(name, case):
    assert dict(case(name).reml.groups) == case(name).facts["REML"]["ngrps"]


@pytest.mark.parametrize("name", CASES)
def test_variance_components_there(name, case):
    """lme4 lists variances first, then covariances, term by term; the residual last."""
    theirs = case(name).facts["REML"]["varcomp"]
    ours = case(name).there.variance_components
    assert [r_name(term) for term in ours["term"]] == [row["var1"] or "" for row in theirs]
    np.testing.assert_allclose(ours["vcov"], [row["vcov"] for row in theirs], rtol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_covariance_of_fixed_effects_there(name, case):
    np.testing.assert_allclose(
        case(name).there.covariance, case(name).facts["REML"]["vcov"]["values"], rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("key", ["se", "df", "t", "p"])
def test_satterthwaite_there(name, key, case):
    """By 2e-5: lmerTest takes its Hessian by numerical differences; a p-value of 1e-111 magnifies that."""
    ours = case(name).there.tidy("satterthwaite")
    mine = {"se": "std_error", "df": "df", "t": "statistic", "p": "p_value"}[key]
    rtol = 5e-4 if key == "p" else 2e-5
    np.testing.assert_allclose(ours[mine], column(case(name).facts["satterthwaite"], key), rtol=rtol)


@pytest.mark.parametrize("name", WITH_KENWARD_ROGER)
@pytest.mark.parametrize("key", ["se", "df", "t", "p"])
def test_kenward_roger_there(name, key, case):
    ours = case(name).there.tidy("kenward-roger")
    mine = {"se": "std_error", "df": "df", "t": "statistic", "p": "p_value"}[key]
    np.testing.assert_allclose(ours[mine], column(case(name).facts["kenward_roger"], key), rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_satterthwaite_at_our_optimum(name, case):
    np.testing.assert_allclose(
        case(name).reml.tidy("satterthwaite")["df"],
        column(case(name).facts["satterthwaite"], "df"),
        rtol=1e-3,
    )


@pytest.mark.parametrize("name", WITH_KENWARD_ROGER)
def test_kenward_roger_at_our_optimum(name, case):
    np.testing.assert_allclose(
        case(name).reml.tidy("kenward-roger")["df"],
        column(case(name).facts["kenward_roger"], "df"),
        rtol=1e-3,
    )


@pytest.mark.parametrize("name", WITH_KENWARD_ROGER)
def test_adjusted_covariance_there(name, case):
    model = case(name).there.model
    basis = model.in_basis(np.eye(model.products.p))
    ours = model.residual_variance * basis @ kenward_roger_covariance(model.facts) @ basis.T
    np.testing.assert_allclose(ours, case(name).facts["kr_vcovAdj"]["values"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [*WITH_F_TESTS, "simB_3x20x112"])
def test_satterthwaite_f_tests_there(name, case):
    compare_f_tests(case(name), "satterthwaite", "anova3_satterthwaite", rtol=2e-5)


@pytest.mark.parametrize("name", WITH_F_TESTS)
def test_kenward_roger_f_tests_there(name, case):
    compare_f_tests(case(name), "kenward-roger", "anova3_kenward_roger", rtol=1e-6)


def compare_f_tests(one: Case, df: str, key: str, *, rtol: float) -> None:
    ours, theirs = joint_tests(one.there, df=df), one.facts[key]
    assert ours["term"].tolist() == list(theirs)
    pairs = {"numerator_df": "numDF", "denominator_df": "denDF", "statistic": "F", "p_value": "p"}
    for mine, other in pairs.items():
        np.testing.assert_allclose(ours[mine], column(theirs, other), rtol=rtol, err_msg=mine)


@pytest.mark.parametrize("name", CASES)
def test_conditional_modes_there(name, case):
    ours = case(name).there.random_effects()
    for group, theirs in case(name).facts["ranef"].items():
        levels = [str(row.pop("level")) for row in (dict(row) for row in theirs)]
        wide = ours[ours["group"] == group].pivot(index="level", columns="term", values="estimate")
        wide.columns = [r_name(term) for term in wide.columns]
        for term in wide:
            values = [row[term] for row in theirs]
            np.testing.assert_allclose(wide.loc[levels, term], values, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", WITH_MEANS)
@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_marginal_means_there(name, df, case):
    theirs = pd.DataFrame(case(name).facts[f"emmeans_{df}"]["means"])
    factor = theirs.columns[0]
    ours = marginal_means(case(name).there, factor, df=df).tidy()
    assert ours[factor].tolist() == theirs[factor].tolist()
    columns = ["estimate", "std_error", "df", "conf_low", "conf_high"]
    np.testing.assert_allclose(
        ours[columns], theirs[["emmean", "SE", "df", "lower.CL", "upper.CL"]], rtol=2e-5
    )


@pytest.mark.parametrize("name", WITH_MEANS)
@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
@pytest.mark.parametrize("adjustment", ["tukey", "holm", "none"])
def test_pairwise_contrasts_there(name, df, adjustment, case):
    """The reference subtracts the later level from the earlier; we say ``later_minus_earlier``."""
    facts = case(name).facts[f"emmeans_{df}"]
    theirs = pd.DataFrame(facts[f"pairs_{adjustment}"])
    means = marginal_means(case(name).there, facts["spec"].removeprefix("~ "), df=df)
    ours = means.contrasts("pairwise", adjustment=adjustment).tidy()
    assert ours["contrast"].tolist() == ["_minus_".join(c.split(" - ")[::-1]) for c in theirs["contrast"]]
    np.testing.assert_allclose(-ours["estimate"], theirs["estimate"], rtol=1e-6)
    np.testing.assert_allclose(ours[["std_error", "df"]], theirs[["SE", "df"]], rtol=2e-5)
    np.testing.assert_allclose(ours["p_value"], theirs["p.value"], rtol=1e-4)
    if adjustment != "holm":
        np.testing.assert_allclose(-ours["conf_low"], theirs["upper.CL"], rtol=1e-5)
        np.testing.assert_allclose(-ours["conf_high"], theirs["lower.CL"], rtol=1e-5)


@pytest.mark.parametrize("name", WITH_PROFILES)
def test_profile_intervals(name, case):
    """By 2e-4: lme4 interpolates its profile; test_profile.py finds our bounds exact by 1e-6."""
    theirs = case(name).facts["ci_profile_ML"]
    ours = profile_intervals(case(name).ml)
    found = {
        profile_name(row.group, row.term, row.kind): (row.conf_low, row.conf_high)
        for row in ours.itertuples()
    }
    assert set(found) == set(theirs)
    for parameter, bounds in theirs.items():
        np.testing.assert_allclose(
            found[parameter], [bounds["lo"], bounds["hi"]], rtol=2e-4, atol=1e-4, err_msg=parameter
        )


def profile_name(group: str, term: str, kind: str) -> str:
    if kind == "fixed":
        return r_name(term)
    if group == "Residual":
        return "sigma"
    if kind == "correlation":
        return f"cor_{'.'.join(r_name(part) for part in term.split(', ')[::-1])}|{group}"
    return f"sd_{r_name(term)}|{group}"


@pytest.mark.parametrize("name", WITH_FIXED_TEST)
def test_likelihood_ratio_of_fixed_effects(name, case):
    """By 1e-4: lme4's fit of simB without its fixed effect stops 3.2e-5 below our optimum."""
    one = case(name)
    theirs = one.facts["fixed_lrt"]
    ours = likelihood_ratio_test(fit_mixed(theirs["null"], one.frame, method="ml"), one.ml)
    assert ours.df == theirs["df"]
    assert -1e-7 <= ours.loglik_small - theirs["logLik0"] <= 5e-5
    assert ours.statistic == pytest.approx(theirs["chisq"], abs=1e-4)
    assert ours.p_value == pytest.approx(theirs["p"], rel=1e-4)


@pytest.mark.parametrize(("name", "dropped", "small"), RANDOM_TESTS)
def test_restricted_likelihood_ratio_of_a_random_term(name, dropped, small, case):
    """By 2e-5: both of lme4's optima lie up to 3e-6 below the true ones."""
    one = case(name)
    ours = 2 * (one.reml.loglik - fit_mixed(small, one.frame).loglik)
    assert ours == pytest.approx(one.facts["ranova"][dropped]["LRT"], abs=2e-5)


@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("dyestuff", "(1 | Batch)"),
        ("dyestuff2_singular", "(1 | Batch)"),
        ("cake", "(1 | recipe:replicate)"),
    ],
)
def test_regression_without_random_effects(name, dropped, case):
    one = case(name)
    ours = exact_variance_test(one.reml, rng=stream(1, "exact"), draws=2).loglik_small
    assert ours == pytest.approx(one.facts["ranova"][dropped]["logLik"], abs=1e-8)


def test_mixture_of_chi_squares_halves_the_p_value_of_ranova(case):
    """For one variance without covariances, ranova's p-value is that of a full chi-square with 1 df."""
    one = case("pastes")
    ours = variance_component_test(fit_mixed("strength ~ 1 + (1 | sample)", one.frame), one.reml)
    assert ours.p_value == pytest.approx(one.facts["ranova"]["(1 | batch)"]["p_uncorrected"] / 2, rel=1e-5)


@pytest.fixture(scope="module")
def others(stats_folder):
    return json.loads((stats_folder / "contrasts_tost_rlrt.json").read_text())


EQUIVALENCE = [
    ("simA_3x10x36", "simA.csv"),
    ("simE_2x5x36", "simE_2x5x36.csv"),
]


@pytest.mark.parametrize(("name", "key"), EQUIVALENCE)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_equivalence_there(name, key, place, case, others):
    theirs = others["tost"][key][place]
    means = marginal_means(case(name).there, "schedule", df="satterthwaite")
    ours = means.contrasts(adjustment="none").equivalence(theirs["delta"])
    np.testing.assert_allclose(ours["p_value"], [row["p.value"] for row in theirs["equivalence"]], rtol=1e-4)


@pytest.mark.parametrize(("name", "key"), EQUIVALENCE)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_noninferiority_there(name, key, place, case, others):
    """emmeans tests earlier - later from below; with levels turned round that is our direction."""
    theirs = others["tost"][key][place]
    turned = case(name).there
    means = marginal_means(turned, "schedule", df="satterthwaite")
    means = replace(means, grid=means.grid[::-1], rows=means.rows[::-1])
    ours = means.contrasts(adjustment="none").noninferiority(theirs["delta"]).set_index("contrast")
    for row in theirs["noninferiority"]:
        mine = ours.loc["_minus_".join(row["contrast"].split(" - "))]
        assert mine["statistic"] == pytest.approx(row["t.ratio"], rel=2e-5)
        assert mine["p_value"] == pytest.approx(row["p.value"], rel=1e-4)


@pytest.fixture(scope="module")
def dyestuff_draws(case):
    return restricted_null_draws(case("dyestuff").reml.model, rng=stream(1, "exact"), draws=40_000)


@pytest.mark.parametrize(
    ("key", "name", "formula"),
    [
        ("dyestuff", "dyestuff", "Yield ~ 1 + (1 | Batch)"),
        ("sleepstudy_int", "sleepstudy_corr", "Reaction ~ Days + (1 | Subject)"),
    ],
)
def test_exact_restricted_likelihood_ratio(key, name, formula, case, others):
    fit = fit_mixed(formula, case(name).frame)
    ours = exact_variance_test(fit, rng=stream(1, "exact"), draws=10)
    assert ours.statistic == pytest.approx(others["exactRLRT"][key]["stat"], abs=1e-5)


def test_exact_p_value(case, others, dyestuff_draws):
    """Within four standard errors of the two Monte-Carlo estimates, 10,000 draws there, 40,000 here."""
    theirs = others["exactRLRT"]["dyestuff"]
    ours = float((dyestuff_draws >= theirs["stat"]).mean())
    error = math.sqrt(theirs["p"] * (1 - theirs["p"]) * (1 / 10_000 + 1 / 40_000))
    assert abs(ours - theirs["p"]) < 4 * error


@pytest.mark.parametrize(("quantile", "tail"), [("90%", 0.1), ("95%", 0.05), ("99%", 0.01)])
def test_quantiles_of_the_exact_null(quantile, tail, others, dyestuff_draws):
    """As for the p-value; the reference's quantiles come from 100,000 draws."""
    theirs = others["exactRLRT"]["dyestuff_null_quantiles"][quantile]
    ours = float((dyestuff_draws > theirs).mean())
    assert abs(ours - tail) < 4 * math.sqrt(tail * (1 - tail) * (1 / 100_000 + 1 / 40_000))


def test_probability_of_zero_under_the_exact_null(others, dyestuff_draws):
    theirs = others["exactRLRT"]["dyestuff_null_p0"]
    ours = float((dyestuff_draws < 1e-10).mean())
    assert abs(ours - theirs) < 4 * math.sqrt(theirs * (1 - theirs) * (1 / 100_000 + 1 / 40_000))


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("holm", "holm"),
        ("hochberg", "hochberg"),
        ("hommel", "hommel"),
        ("benjamini-hochberg", "BH"),
        ("benjamini-yekutieli", "BY"),
        ("bonferroni", "bonferroni"),
    ],
)
def test_adjusted_p_values(method, key, others):
    table = others["p.adjust"]
    np.testing.assert_allclose(adjust(table["p"], method), table[key], rtol=1e-12)


STRESS = range(40)


@pytest.fixture(scope="module")
def stress(stats_folder) -> Callable[[int], tuple[dict[str, Any], MixedFit]]:
    cases = json.loads((stats_folder / "stress_boundary.json").read_text())
    data = pd.read_csv(stats_folder / "data" / "stress_boundary.csv.gz")
    known: dict[int, MixedFit] = {}

    def load(place: int) -> tuple[dict[str, Any], MixedFit]:
        if place not in known:
            known[place] = fit_mixed(cases[place]["formula"], data[data["rep"] == cases[place]["rep"]])
        return cases[place], known[place]

    return load


@pytest.mark.parametrize("place", STRESS)
def test_boundary_optimum_is_not_below_the_best_of_three(place, stress):
    facts, fit = stress(place)
    assert fit.loglik >= facts["reml_logLik_best"] - 3e-5


@pytest.mark.parametrize("place", STRESS)
def test_boundary_certificate(place, stress):
    certificate = stress(place)[1].certificate
    assert certificate.passed, certificate


@pytest.mark.parametrize("place", STRESS)
def test_boundary_satterthwaite(place, stress):
    """By 1e-4; they agree to 1e-5. Directions of a singular covariance that do not change V do not count."""
    facts, fit = stress(place)
    np.testing.assert_allclose(fit.tidy("satterthwaite")["df"], facts["satt_df"], rtol=1e-4)
