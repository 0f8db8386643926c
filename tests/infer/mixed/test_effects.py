"""Predicted effects of groups against Henderson's mixed-model equations, solved densely."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from alignaudit.errors import UsageError
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.effects import effects_table, group_effects, reliability_table, share_table
from alignaudit.infer.mixed.fit import fit_mixed

MODELS = {
    "one": "y ~ x + (1 | g)",
    "crossed": "y ~ x + arm + (1 + x | g) + (1 | h)",
    "uncorrelated": "y ~ arm + (1 + x || g) + (1 | h)",
}


@pytest.fixture(scope="module", params=MODELS)
def both(request, random_frame, model_at, dense):
    """Return the engine's model and the dense one at the same variances, chosen by hand."""
    design = build_design(MODELS[request.param], random_frame(9), weights="w")
    roots = [
        np.array([[0.8, 0.0], [-0.2, 0.4]])[: len(term.columns), : len(term.columns)] / (1 + place)
        for place, term in enumerate(design.terms)
    ]
    return model_at(design, roots, reml=True), dense(design, [root @ root.T for root in roots], True)


def henderson(oracle) -> tuple[np.ndarray, np.ndarray]:
    """Return solution and inverse of the mixed-model equations, the random effects not divided by sigma."""
    X, Z, W = oracle.design.fixed, np.hstack(oracle.columns), np.diag(oracle.design.weights)
    prior = linalg.block_diag(
        *[
            np.kron(np.eye(len(term.levels)), np.linalg.inv(S))
            for term, S in zip(oracle.design.terms, oracle.covariances, strict=True)
        ]
    )
    A = np.hstack([X, Z])
    left = A.T @ W @ A + linalg.block_diag(np.zeros((X.shape[1],) * 2), prior)
    inverse = np.linalg.inv(left)
    return inverse @ A.T @ W @ oracle.y, inverse


def places(oracle) -> list[np.ndarray]:
    """Return where the effects of each term stand among all unknowns, shape [groups, k]."""
    found, start = [], oracle.design.fixed.shape[1]
    for term in oracle.design.terms:
        found.append(start + np.arange(term.size).reshape(len(term.levels), -1))
        start += term.size
    return found


def test_table_of_modes(both):
    model, oracle = both
    solution, inverse = henderson(oracle)
    table, half = effects_table(model, conf_level=0.9), stats.norm.ppf(0.95)
    where = np.concatenate([place[:, column] for place in places(oracle) for column in range(place.shape[1])])
    errors = np.sqrt(oracle.variance * np.diag(inverse)[where])
    np.testing.assert_allclose(table["estimate"], solution[where], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(table["std_error"], errors, rtol=1e-8)
    np.testing.assert_allclose(table["conf_low"], solution[where] - half * errors, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(table["conf_high"], solution[where] + half * errors, rtol=1e-7, atol=1e-9)


def test_names_of_the_table(both):
    model, oracle = both
    table = effects_table(model, conf_level=0.9)
    expected = [
        (term.group, level, name)
        for term in oracle.design.terms
        for name in term.columns
        for level in term.levels
    ]
    assert list(zip(table["group"], table["level"], table["term"], strict=True)) == expected


@pytest.mark.parametrize("random", [[1.0, 0.0], [0.5, -2.0]])
def test_fixed_and_random_contrast_in_each_group(random, random_frame, model_at, dense):
    """The prediction error of their sum, with the covariance between the two."""
    design = build_design(MODELS["crossed"], random_frame(9))
    roots = [np.array([[0.8, 0.0], [-0.2, 0.4]]), np.array([[0.3]])]
    model, oracle = model_at(design, roots, reml=True), dense(design, [r @ r.T for r in roots], True)
    fixed = np.array([0.0, 1.0, -0.5, 2.0])
    ours = group_effects(model, "g", fixed, np.array(random))
    solution, inverse = henderson(oracle)
    term = next(i for i, t in enumerate(design.terms) if t.group == "g")
    for row, place in enumerate(places(oracle)[term]):
        contrast = np.zeros(len(solution))
        contrast[:4], contrast[place] = fixed, random
        assert ours.estimates[row] == pytest.approx(contrast @ solution, rel=1e-7)
        error = np.sqrt(oracle.variance * contrast @ inverse @ contrast)
        assert ours.std_errors[row] == pytest.approx(error, rel=1e-7)
    assert ours.levels == design.terms[term].levels


@pytest.mark.parametrize("group", ["k", "g"])
def test_grouping_must_stand_in_one_term(group, random_frame):
    model = fit_mixed("y ~ x + (1 + x || g) + (1 | h)", random_frame(9)).model
    with pytest.raises(UsageError, match=f'random terms group by "{group}"'):
        group_effects(model, group, np.zeros(2), np.ones(1))


def test_shares_of_the_variance_of_an_observation(both):
    """The diagonal of each grouping's part of the covariance matrix, averaged over the rows."""
    model, oracle = both
    parts: dict[str, float] = {}
    for Z, S, term in zip(oracle.columns, oracle.covariances, oracle.design.terms, strict=True):
        part = np.diag(Z @ np.kron(np.eye(len(term.levels)), S) @ Z.T).mean()
        parts[term.group] = parts.get(term.group, 0.0) + part
    parts["Residual"] = (1 / oracle.design.weights).mean()
    expected = oracle.variance * np.array(list(parts.values()))
    table = share_table(model)
    assert table["group"].tolist() == list(parts)
    np.testing.assert_allclose(table["variance"], expected, rtol=1e-9)
    np.testing.assert_allclose(table["share"], expected / expected.sum(), rtol=1e-9)


def test_reliability(both):
    model, oracle = both
    _, inverse = henderson(oracle)
    expected = [
        1 - np.diag(inverse)[place[:, column]].mean() / S[column, column]
        for place, S in zip(places(oracle), oracle.covariances, strict=True)
        for column in range(len(S))
    ]
    np.testing.assert_allclose(reliability_table(model)["reliability"], expected, rtol=1e-7)


def test_reliability_in_a_balanced_one_way_layout():
    """Spearman and Brown: m tau² / (m tau² + sigma²), less the share 1 / groups for the estimated mean."""
    rng = np.random.default_rng(2)
    y = 2 * rng.normal(size=(8, 1)) + rng.normal(size=(8, 5))
    frame = pd.DataFrame({"y": y.ravel(), "g": np.repeat([f"g{i}" for i in range(8)], 5)})
    fit = fit_mixed("y ~ 1 + (1 | g)", frame)
    between = fit.variance_components["vcov"][0]
    expected = 5 * between / (5 * between + fit.sigma**2) * (1 - 1 / 8)
    assert reliability_table(fit.model)["reliability"][0] == pytest.approx(expected, rel=1e-6)


def test_reliability_without_variance_is_unknown():
    frame = pd.DataFrame({"y": [1.0, -1.0, 3.0, -3.0] * 5, "g": np.repeat(list("abcde"), 4)})
    fit = fit_mixed("y ~ 1 + (1 | g)", frame)
    assert np.isnan(reliability_table(fit.model)["reliability"][0])
    np.testing.assert_array_equal(fit.random_effects()["std_error"], 0.0)
