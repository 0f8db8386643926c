"""Binomial and beta-binomial mixed models against brute force and their own limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from alignaudit.errors import FitError, UsageError
from alignaudit.infer.mixed import weighted
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.families import counts
from alignaudit.infer.mixed.generalised import fit_generalised, laplace_deviance
from alignaudit.infer.mixed.laplace import Model, approximate, derivatives
from alignaudit.infer.mixed.layout import layout
from alignaudit.infer.mixed.separation import separated

CROSSED = "cbind(hits, misses) ~ arm + (1 + arm | language) + (1 | seed) + (1 | seed:arm)"
SATURATED = CROSSED + " + (1 | row)"


def study(seed=1, languages=9, seeds=4, trials=30, slope=0.4, run=0.2, row=0.0, language=0.8):
    """Hits of two arms, crossed languages and seeds."""
    rng = np.random.default_rng(seed)
    cells = [(a, s, x) for a in range(2) for s in range(seeds) for x in range(languages)]
    a, s, x = np.array(cells).T
    logit = (
        0.4 + 0.3 * a + language * rng.normal(size=languages)[x] + slope * a * rng.normal(size=languages)[x]
    )
    logit = logit + run * rng.normal(size=(2, seeds))[a, s] + row * rng.normal(size=len(a))
    frame = pd.DataFrame({"arm": a, "seed": s, "language": x, "row": np.arange(len(a))}).astype(str)
    hits = rng.binomial(trials, special.expit(logit))
    return frame.assign(hits=hits, misses=trials - hits, n=trials)


def model_of(formula, frame, family):
    design = build_design(formula, frame, saturated=True)
    return Model(counts(design), layout(design), design.fixed, design.offset, family == "beta-binomial")


# ------------------------------------------------------------------------------------ brute force


def test_one_intercept_group_by_group():
    frame = study(languages=12, seeds=3, trials=8)
    design = build_design("cbind(hits, misses) ~ arm + (1 | language)", frame)
    beta, sigma = np.array([0.3, -0.2]), 0.7
    total = 0.0
    for group in range(12):
        rows = design.terms[0].index == group
        y, n, mean = design.response[rows], design.trials[rows], design.fixed[rows] @ beta

        def joint(u, y=y, n=n, mean=mean):
            return -stats.binom.logpmf(y, n, special.expit(mean + u)).sum() + u * u / (2 * sigma**2)

        mode = optimize.minimize_scalar(joint, bounds=(-8, 8), method="bounded", options={"xatol": 1e-11}).x
        share = special.expit(mean + mode)
        curvature = (n * share * (1 - share)).sum() + sigma**-2
        total += -joint(mode) - 0.5 * np.log(sigma**2 * curvature)
    ours = laplace_deviance(design, "binomial", beta, [np.array([[sigma]])])
    assert ours == pytest.approx(-2 * total, rel=1e-10)


def dense_laplace(design, beta, theta, dispersion):
    """The same approximation with every effect in one dense vector, and derivatives by differences."""
    Z = np.hstack([
        (np.eye(len(t.levels))[t.index][:, :, None] * t.values[:, None, :]).reshape(design.n, -1)
        @ np.kron(np.eye(len(t.levels)), root)
        for t, root in zip(design.terms, theta, strict=True)
    ])  # fmt: skip
    mean = design.fixed @ beta

    def loss(eta):
        share = special.expit(eta)
        if dispersion is None:
            return -stats.binom.logpmf(design.response, design.trials, share)
        a, b = share * dispersion, (1 - share) * dispersion
        return -stats.betabinom.logpmf(design.response, design.trials, a, b)

    def slope(eta, h=1e-5):
        return (loss(eta + h) - loss(eta - h)) / (2 * h)

    def bend(eta, h=1e-3):
        far, near = loss(eta + 2 * h) + loss(eta - 2 * h), loss(eta + h) + loss(eta - h)
        return (16 * near - far - 30 * loss(eta)) / (12 * h * h)

    v = np.zeros(Z.shape[1])
    for _ in range(50):
        eta = mean + Z @ v
        hessian = np.eye(len(v)) + Z.T @ (bend(eta)[:, None] * Z)
        v = v - np.linalg.solve(hessian, Z.T @ slope(eta) + v)
    eta = mean + Z @ v
    hessian = np.eye(len(v)) + Z.T @ (bend(eta)[:, None] * Z)
    return 2 * loss(eta).sum() + v @ v + np.linalg.slogdet(hessian)[1], eta, Z @ np.linalg.inv(hessian) @ Z.T


@pytest.mark.parametrize("formula", [CROSSED, SATURATED])
@pytest.mark.parametrize("dispersion", [None, 6.0])
def test_crossed_terms_in_one_dense_matrix(formula, dispersion):
    frame = study(languages=5, seeds=3, trials=12)
    design = build_design(formula, frame, saturated=True)
    rng = np.random.default_rng(7)
    theta = [np.tril(0.5 * rng.normal(size=(len(t.columns),) * 2)) for t in design.terms]
    beta = np.array([0.2, 0.4])
    family = "binomial" if dispersion is None else "beta-binomial"
    expected, _, _ = dense_laplace(design, beta, theta, dispersion)
    ours = laplace_deviance(design, family, beta, theta, dispersion)
    assert ours == pytest.approx(expected, rel=1e-8)


def test_modes_and_their_covariances():
    design = build_design(CROSSED, study())
    fit = fit_generalised(design)
    _, eta, spread = dense_laplace(design, fit.beta, fit.theta, None)
    np.testing.assert_allclose(fit.linear_predictor, eta, atol=1e-7)
    parts = [(m[t.index] * t.values).sum(axis=1) for m, t in zip(fit.modes, design.terms, strict=True)]
    np.testing.assert_allclose(design.fixed @ fit.beta + sum(parts), eta, atol=1e-7)
    alone = build_design("cbind(hits, misses) ~ arm + (1 + arm | language)", study())
    fit = fit_generalised(alone)
    _, _, spread = dense_laplace(alone, fit.beta, fit.theta, None)
    term = alone.terms[0]
    ours = np.einsum("ia,iab,ib->i", term.values, fit.mode_covariances[0][term.index], term.values)
    np.testing.assert_allclose(ours, np.diagonal(spread), rtol=1e-6)


# ------------------------------------------------------------------------------------------ slopes

CASES = [
    ("binomial", CROSSED, False),
    ("binomial", CROSSED, True),
    ("binomial", SATURATED, False),
    ("binomial", "cbind(hits, misses) ~ arm + (1 | language)", False),
    ("beta-binomial", CROSSED, False),
    ("beta-binomial", SATURATED, True),
]


@pytest.mark.parametrize(("family", "formula", "sparse"), CASES)
def test_gradient(family, formula, sparse, monkeypatch):
    if sparse:
        monkeypatch.setattr(weighted, "LARGE", 0)
        monkeypatch.setattr(weighted, "SPARSE_BELOW", 2.0)
    model = model_of(formula, study(), family)
    rng = np.random.default_rng(3)
    beta, kappa = np.array([0.3, -0.4]), 0.05
    roots = [np.tril(0.6 * rng.normal(size=(block.width,) * 2)) for block in model.effects.blocks]
    at = approximate(model, beta, roots, kappa, np.zeros(len(model.offset)))
    first = derivatives(model, at)

    def slope(function, h=1e-5):
        return (function(h) - function(-h)) / (2 * h)

    def deviance(beta=beta, roots=roots, kappa=kappa):
        return approximate(model, beta, roots, kappa, at.predictor).deviance

    by_beta = [slope(lambda h, e=e: deviance(beta=beta + h * e)) for e in np.eye(2)]
    np.testing.assert_allclose(first.by_fixed, by_beta, rtol=1e-6, atol=1e-6)
    for j, block in enumerate(model.effects.blocks):
        for a, b in zip(*np.tril_indices(block.width), strict=True):

            def moved(h, j=j, a=a, b=b):
                changed = [root.copy() for root in roots]
                changed[j][a, b] += h
                return deviance(roots=changed)

            ours = (2 * first.by_covariance[j] @ roots[j])[a, b]
            assert ours == pytest.approx(slope(moved), rel=1e-5, abs=1e-5)
    if family == "beta-binomial":
        by_kappa = slope(lambda h: deviance(kappa=kappa + h), 1e-6)
        assert first.by_dispersion == pytest.approx(by_kappa, rel=1e-5)


@pytest.mark.parametrize("family", ["binomial", "beta-binomial"])
def test_slope_by_a_covariance_of_zero(family):
    """The closed form at S = 0 against one-sided differences in S itself, extrapolated."""
    model = model_of(CROSSED, study(), family)
    beta, start = np.array([0.3, 0.1]), np.zeros(len(model.offset))
    roots = [np.zeros((block.width, block.width)) for block in model.effects.blocks]
    first = derivatives(model, approximate(model, beta, roots, 0.02, start))
    direction = np.array([1.0, 0.5])

    def deviance(length):
        moved = [np.sqrt(length) * np.column_stack([direction, 0 * direction]), *roots[1:]]
        return approximate(model, beta, moved, 0.02, start).deviance

    values, h = [deviance(x * 1e-5) for x in range(4)], 1e-5
    slope = (-11 * values[0] + 18 * values[1] - 9 * values[2] + 2 * values[3]) / (6 * h)
    assert direction @ first.by_covariance[0] @ direction == pytest.approx(slope, rel=1e-5)


# --------------------------------------------------------------------------- optima and boundaries


@pytest.mark.parametrize("seed", range(8))
def test_no_variance_between_groups(seed):
    """Balanced groups, their totals made alike: the best variance between them is exactly zero."""
    rng = np.random.default_rng(seed)
    hits = np.array([rng.permutation([3, 4, 5, 6, 7, 8]) for _ in range(10)]).ravel()
    frame = pd.DataFrame(
        {"hits": hits, "misses": 12 - hits, "group": np.repeat(np.arange(10), 6).astype(str)}
    )
    fit = fit_generalised(build_design("cbind(hits, misses) ~ 1 + (1 | group)", frame))
    assert fit.theta[0][0, 0] == 0.0
    assert fit.certificate.passed
    assert fit.certificate.multipliers[0] > 0.1
    pooled = special.logit(hits.sum() / (12 * 60))
    assert fit.beta[0] == pytest.approx(pooled, rel=1e-9)
    assert fit.beta_covariance[0, 0] == pytest.approx(
        1 / (720 * special.expit(pooled) * special.expit(-pooled))
    )


def test_search_leaves_a_false_zero():
    """From zero, a stationary point in the roots, the search has to find the same optimum."""
    design = build_design(SATURATED, study(row=0.5, trials=200), saturated=True)
    plain = fit_generalised(design)
    stuck = fit_generalised(design, start=[np.zeros_like(root) for root in plain.theta])
    assert stuck.certificate.restarts > 0
    assert stuck.certificate.passed
    assert stuck.loglik == pytest.approx(plain.loglik, abs=1e-7)


def test_no_other_start_does_better():
    design = build_design(CROSSED, study(run=0.0, slope=0.0, seed=5))
    fit = fit_generalised(design)
    rng = np.random.default_rng(0)
    for _ in range(5):
        start = [np.tril(rng.normal(size=root.shape)) for root in fit.theta]
        assert fit_generalised(design, start=start).loglik == pytest.approx(fit.loglik, abs=1e-7)


def test_the_better_of_two_dispersions():
    """Row effects and beta-binomial dispersion compete; each alone is a lower bound for both together."""
    frame = study(seed=19, row=0.4, trials=100)
    both = fit_generalised(build_design(SATURATED, frame, saturated=True), "beta-binomial")
    rows = fit_generalised(build_design(SATURATED, frame, saturated=True))
    beta = fit_generalised(build_design(CROSSED, frame), "beta-binomial")
    assert both.loglik >= max(rows.loglik, beta.loglik) - 1e-7
    assert both.certificate.passed


def test_binomial_counts_have_no_dispersion():
    frame = study(trials=40)
    frame["hits"] = np.round(40 * special.expit(0.3 + 0.1 * np.arange(len(frame)) / len(frame))).astype(int)
    frame["misses"] = 40 - frame["hits"]
    design = build_design("cbind(hits, misses) ~ arm + (1 | language)", frame)
    fit = fit_generalised(design, "beta-binomial")
    plain = fit_generalised(design)
    assert fit.dispersion == np.inf
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-9)
    assert "infinite" in fit.notes[0]
    assert fit.certificate.multipliers[-1] > 0
    np.testing.assert_allclose(fit.beta_covariance, plain.beta_covariance, rtol=1e-5)


def test_large_precision_tends_to_the_binomial():
    design = build_design(CROSSED, study())
    theta = [np.eye(len(term.columns)) for term in design.terms]
    beta = np.array([0.2, 0.1])
    limit = laplace_deviance(design, "binomial", beta, theta)
    gaps = [laplace_deviance(design, "beta-binomial", beta, theta, phi) - limit for phi in (1e8, 1e10)]
    assert abs(gaps[0]) < 1e-3
    assert gaps[1] == pytest.approx(gaps[0] / 100, rel=1e-2)


# -------------------------------------------------------------------------------------- invariance


def test_row_order():
    frame = study(row=0.3)
    levels = {name: list(frame[name].unique()) for name in ("arm", "seed", "language", "row")}
    mixed = frame.sample(frac=1, random_state=4)
    first, second = (
        fit_generalised(build_design(SATURATED, data, saturated=True, levels=levels))
        for data in (frame, mixed)
    )
    assert first.loglik == pytest.approx(second.loglik, abs=1e-9)
    np.testing.assert_allclose(first.beta, second.beta, rtol=1e-6)
    np.testing.assert_allclose(first.theta[1], second.theta[1], rtol=1e-5, atol=1e-6)


def test_single_trials_are_counts():
    """Rows of 0 and 1 give the estimates of their counts; only the number of orders differs."""
    frame = study(trials=5)
    single = frame.loc[frame.index.repeat(5)].reset_index(drop=True)
    single["hit"] = (np.tile(np.arange(5), len(frame)) < single["hits"]).astype(float)
    formula = CROSSED.replace("cbind(hits, misses)", "hit")
    grouped, items = (
        fit_generalised(build_design(CROSSED, frame)),
        fit_generalised(build_design(formula, single)),
    )
    orders = np.log(special.comb(5, frame["hits"])).sum()
    assert items.loglik + orders == pytest.approx(grouped.loglik, abs=1e-8)
    np.testing.assert_allclose(items.beta, grouped.beta, rtol=1e-5)


def test_shares_with_trials_as_weights():
    frame = study().assign(share=lambda x: x["hits"] / x["n"])
    formula = CROSSED.replace("cbind(hits, misses)", "share")
    shares = fit_generalised(build_design(formula, frame, weights="n"))
    plain = fit_generalised(build_design(CROSSED, frame))
    assert shares.loglik == pytest.approx(plain.loglik, abs=1e-9)


def test_constant_offset_moves_the_intercept():
    plain = fit_generalised(build_design(CROSSED, study()))
    moved = fit_generalised(build_design(CROSSED, study().assign(known=1.5), offset="known"))
    assert moved.beta[0] == pytest.approx(plain.beta[0] - 1.5, rel=1e-6)
    np.testing.assert_allclose(moved.linear_predictor, plain.linear_predictor, atol=1e-6)


def test_units_of_a_covariate():
    frame = study().assign(x=lambda d: np.sin(np.arange(len(d))))
    formula = "cbind(hits, misses) ~ x + (1 + x | language) + (1 | seed)"
    fine = fit_generalised(build_design(formula, frame))
    coarse = fit_generalised(build_design(formula, frame.assign(x=1000 * frame["x"])))
    assert coarse.loglik == pytest.approx(fine.loglik, abs=1e-8)
    assert coarse.beta[1] * 1000 == pytest.approx(fine.beta[1], rel=1e-6)
    assert coarse.theta[0][1, 0] * 1000 == pytest.approx(fine.theta[0][1, 0], rel=1e-4)


# ---------------------------------------------------------------------------------------- refusals


def refused(formula, frame, family="binomial", **options):
    with pytest.raises(FitError) as error:
        fit_generalised(build_design(formula, frame, **options), family)
    return str(error.value)


def test_every_trial_a_success():
    frame = study()
    assert "every trial is a success" in refused(CROSSED, frame.assign(hits=30, misses=0))
    assert "every trial is a failure" in refused(CROSSED, frame.assign(hits=0, misses=30))


def test_an_arm_without_failures():
    frame = study()
    frame.loc[frame["arm"] == "1", ["hits", "misses"]] = [30, 0]
    words = refused("cbind(hits, misses) ~ arm + (1 | language)", frame)
    assert "arm[T.1] separate" in words
    assert "Intercept" not in words


def test_separation_along_a_covariate():
    frame = study(trials=1).assign(x=lambda d: np.sin(np.arange(len(d))))
    frame["hit"] = (frame["x"] > 0.1).astype(float)
    assert "separate" in refused("hit ~ x + (1 | language)", frame)
    frame.loc[3, "hit"] = 1 - frame.loc[3, "hit"]
    design = build_design("hit ~ x + (1 | language)", frame)
    assert separated(counts(design), design.fixed, design.fixed_names) == ()


def test_groups_of_one_kind_get_a_note():
    frame = pd.DataFrame({"hit": np.repeat([0.0, 1.0], 40), "group": np.repeat(np.arange(16), 5).astype(str)})
    fit = fit_generalised(build_design("hit ~ 1 + (1 | group)", frame))
    assert np.isfinite(fit.loglik)
    assert "Laplace's approximation is poor" in fit.notes[0]


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0])
def test_no_counts(value):
    assert "whole numbers" in refused("y ~ arm + (1 | language)", study().assign(y=value))


def test_weights_of_counts():
    assert "cannot have weights" in refused(CROSSED, study(), weights="n")


def test_dispersion_of_single_trials():
    frame = study(trials=1)
    assert "more than one trial" in refused("hits ~ arm + (1 | language)", frame, "beta-binomial")


def test_unknown_family():
    with pytest.raises(UsageError, match="poisson"):
        fit_generalised(build_design(CROSSED, study()), "poisson")


def test_parameters_are_counted():
    design = build_design(CROSSED, study())
    assert fit_generalised(design).n_parameters == 2 + 3 + 1 + 1
    assert fit_generalised(design, "beta-binomial").n_parameters == 8


def test_multipliers_stand_by_term():
    """The widest term is eliminated first, wherever it stands in the design."""
    design = build_design(CROSSED.replace("(1 | seed)", "(1 | seed) + (1 | language:seed)"), study(trials=10))
    turned = replace(design, terms=design.terms[::-1])
    first, second = fit_generalised(design), fit_generalised(turned)
    assert first.loglik == pytest.approx(second.loglik, abs=1e-8)
    np.testing.assert_allclose(
        np.array(first.certificate.multipliers) > 1e-3, np.array(second.certificate.multipliers[::-1]) > 1e-3
    )
    for ours, theirs in zip(first.theta, second.theta[::-1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
