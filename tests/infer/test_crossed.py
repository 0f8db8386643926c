from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from alignaudit.errors import FitError
from alignaudit.infer.crossed import crossed_mixed_model
from alignaudit.infer.paired import crossed_paired_contrast


def draw(seed, A=2, P=6, L=7, run=1.0, arm=0.7):
    rng = np.random.default_rng(seed)
    return (
        2 * rng.normal(size=(1, 1, L))
        + rng.normal(size=(1, P, 1))
        + 0.7 * rng.normal(size=(1, P, L))
        + run * rng.normal(size=(A, P, 1))
        + arm * rng.normal(size=(A, 1, L))
        + 0.5 * rng.normal(size=(A, P, L))
    )


@pytest.mark.parametrize("population", ["these_languages", "languages_like_these"])
def test_complete_cells_give_the_closed_form(population):
    values = 0.01 * draw(2)
    expected = crossed_paired_contrast(values[1] - values[0], population=population)
    assert not expected.truncated
    fit = crossed_mixed_model(values, population=population)
    assert fit.estimate == pytest.approx(expected.estimate, rel=1e-9)
    assert fit.standard_error == pytest.approx(expected.standard_error, rel=1e-6)
    assert 2 * fit.components["run"] == pytest.approx(expected.components["run"], rel=1e-5)
    assert 2 * fit.components["residual"] == pytest.approx(expected.components["residual"], rel=1e-5)
    assert fit.converged
    assert not fit.boundary


def dense_reml(values, ratios):
    """Restricted log-likelihood of the model for these languages, written out with n × n matrices."""
    a, p, u = np.nonzero(np.isfinite(values))
    y = values[a, p, u]
    X = np.array([[(i, j) == cell for cell in np.ndindex(values.shape[0], values.shape[2])] for i, j in
                  zip(a, u, strict=True)], dtype=float)  # fmt: skip
    same = [p[:, None] == p, (p[:, None] == p) & (u[:, None] == u), (p[:, None] == p) & (a[:, None] == a)]
    V = np.eye(len(y)) + sum(r * s for r, s in zip(ratios, same, strict=True))
    W = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ y)
    rest = y - X @ beta
    free = len(y) - X.shape[1]
    scale = rest @ W @ rest / free
    determinants = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ W @ X)[1]
    signs = np.where(np.arange(X.shape[1]) < values.shape[2], -1.0, 1.0) / values.shape[2]
    variance = scale * signs @ np.linalg.solve(X.T @ W @ X, signs)
    return -0.5 * (free * np.log(2 * np.pi * scale) + determinants + free), signs @ beta, np.sqrt(variance)


def test_missing_cells_against_a_dense_likelihood_written_out_here():
    values = draw(5, P=5, L=4)
    values[0, 1, 2] = values[1, 3, 0] = np.nan
    fit = crossed_mixed_model(values)
    best = optimize.minimize(
        lambda logs: -dense_reml(values, np.exp(logs))[0], np.zeros(3), method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000},
    )  # fmt: skip
    likelihood, estimate, standard_error = dense_reml(values, np.exp(best.x))
    assert fit.n_cells == 38
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-7)
    assert fit.estimate == pytest.approx(estimate, rel=1e-5)
    assert fit.standard_error == pytest.approx(standard_error, rel=1e-5)


def test_a_component_without_variance_is_reported_as_boundary():
    fits = [crossed_mixed_model(draw(seed, run=0.0, arm=0.0, P=4, L=5)) for seed in range(6)]
    assert any(fit.boundary for fit in fits)
    assert all(fit.components["run"] >= 0 for fit in fits)


def test_three_arms_contrast_the_two_that_are_asked_for():
    values = draw(8, A=3)
    fit = crossed_mixed_model(values, contrast=(0, 2))
    assert fit.estimate == pytest.approx(values[2].mean() - values[0].mean(), rel=1e-9)


def test_scale_and_shift_of_the_response():
    values = draw(2)
    fit, moved = crossed_mixed_model(values), crossed_mixed_model(3 + 1e-3 * values)
    assert moved.estimate == pytest.approx(1e-3 * fit.estimate, rel=1e-6)
    assert moved.standard_error == pytest.approx(1e-3 * fit.standard_error, rel=1e-5)


@pytest.mark.parametrize("values", [np.ones((2, 3, 4)), np.ones((1, 3, 4)), np.ones((2, 3))])
def test_values_that_cannot_be_modelled_are_refused(values):
    with pytest.raises(FitError):
        crossed_mixed_model(values)


def test_a_language_without_values_in_one_arm_is_refused():
    values = draw(1)
    values[1, :, 2] = np.nan
    with pytest.raises(FitError, match="no value at all"):
        crossed_mixed_model(values)
