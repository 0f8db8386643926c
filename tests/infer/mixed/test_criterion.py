"""The profiled deviance and its derivatives against likelihoods with n × n matrices.

First derivatives of the oracle are taken by complex steps, which are exact to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from alignaudit.errors import FitError
from alignaudit.infer.mixed import products as products_module
from alignaudit.infer.mixed.criterion import factorise, slopes, slopes_at
from alignaudit.infer.mixed.curvature import curvature, information
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.model import GaussianModel
from alignaudit.infer.mixed.optimise import root_gradient, root_hessian
from alignaudit.infer.mixed.products import cross_products, standardised_rows, with_response
from alignaudit.infer.mixed.roots import directions, pack, unpack, vech_places

Floats = NDArray[np.float64]
MODELS = {
    "one": ("y ~ 1 + (1 | g)", {}),
    "crossed": ("y ~ x + arm + (1 | g) + (1 | h)", {}),
    "nested": ("y ~ arm + (1 | g/arm)", {}),
    "correlated": ("y ~ x * arm + (1 + x + z | g) + (1 | h)", {}),
    "factor": ("y ~ arm + (1 + arm | h) + (1 | g:h)", {}),
    "weighted": ("y ~ x + offset(o) + (x || g) + (1 + z | h)", {"weights": "w"}),
    "without fixed part": ("y ~ 0 + (1 + x | g) + (1 | h)", {}),
}


@dataclass(frozen=True)
class Pair:
    """The engine's model and the dense one at the same variances."""

    model: GaussianModel
    oracle: object
    roots: tuple[Floats, ...]


def lower_triangles(design, seed: int) -> tuple[Floats, ...]:
    """Return relative Cholesky factors, drawn at random."""
    rng = np.random.default_rng(seed)
    return tuple(
        np.tril(rng.normal(0, 0.4, size=(k, k)), -1) + np.diag(rng.uniform(0.2, 1.2, size=k))
        for k in (len(term.columns) for term in design.terms)
    )


@pytest.fixture(scope="module", params=[(name, reml) for name in MODELS for reml in (True, False)], ids=str)
def pair(request, random_frame, model_at, dense) -> Pair:
    name, reml = request.param
    formula, options = MODELS[name]
    seed = 10 + list(MODELS).index(name)
    design = build_design(formula, random_frame(seed), **options)
    roots = lower_triangles(design, seed)
    model = model_at(design, roots, reml=reml)
    return Pair(model, dense(design, [root @ root.T for root in roots], reml), roots)


def effect_columns(pair: Pair) -> Floats:
    """Return the oracle's columns of all effects in the engine's order and scale."""
    return np.hstack(
        [
            pair.oracle.columns[block.term] / np.tile(scales(pair, block), block.groups)
            for block in pair.model.products.blocks
        ]
    )


def scales(pair: Pair, block) -> Floats:
    return np.sqrt(np.mean(pair.model.design.terms[block.term].values ** 2, axis=0))


def derivatives_of_v(pair: Pair) -> list[Floats]:
    """Return V_i, the derivatives of V by the entries of the engine's covariances, the residual's last."""
    found = []
    for block in pair.model.products.blocks:
        Z = pair.oracle.columns[block.term] / np.tile(scales(pair, block), block.groups)
        found += [Z @ np.kron(np.eye(block.groups), E) @ Z.T for E in directions(block.width)]
    return [*found, np.diag(1 / pair.model.design.weights)]


def free_deviance(pair: Pair, change: NDArray[np.complex128], variance: complex | None) -> complex:
    """Return minus twice the log-likelihood where V changes by sum of change_i V_i, up to a constant."""
    oracle, V = pair.oracle, pair.oracle.V.astype(complex)
    for amount, direction in zip(change, derivatives_of_v(pair), strict=False):
        V = V + amount * direction
    X, y = oracle.design.fixed, oracle.y
    inverse = np.linalg.inv(V)
    middle = X.T @ inverse @ X
    rest = y - X @ np.linalg.solve(middle, X.T @ inverse @ y)
    rss = rest @ inverse @ rest
    sign, size = np.linalg.slogdet(V)
    total = np.log(sign) + size
    if oracle.reml:
        sign, size = np.linalg.slogdet(middle)
        total += np.log(sign) + size
    return total + (oracle.free * np.log(rss) if variance is None else rss / variance)


def complex_gradient(function: Callable[[NDArray[np.complex128]], complex], at: Floats) -> Floats:
    step = 1e-30
    return np.array([function(at + 1j * step * unit).imag / step for unit in np.eye(len(at))])


def entries(matrices: tuple[Floats, ...]) -> Floats:
    """Return derivatives by symmetric matrices as derivatives by their entries, off-diagonal ones twice."""
    return np.concatenate([np.einsum("iab,ab->i", directions(len(D)), D) for D in matrices])


def test_log_likelihood(pair):
    assert pair.model.loglik == pytest.approx(pair.oracle.loglik, abs=1e-9)


def test_residual_variance(pair):
    assert pair.model.residual_variance == pytest.approx(pair.oracle.variance, rel=1e-10)


def test_fixed_effects(pair):
    np.testing.assert_allclose(pair.model.coefficients, pair.oracle.beta, rtol=1e-9)


def test_covariance_of_fixed_effects(pair):
    expected = pair.oracle.variance * pair.oracle.fixed_covariance
    np.testing.assert_allclose(pair.model.covariance, expected, rtol=1e-8, atol=1e-12)


def test_conditional_modes(pair):
    for ours, theirs in zip(pair.model.modes(), pair.oracle.modes(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_fitted_values(pair):
    oracle = pair.oracle
    rest = oracle.y - oracle.design.fixed @ oracle.beta
    residual = np.linalg.solve(oracle.V, rest) / oracle.design.weights
    np.testing.assert_allclose(pair.model.fitted(), oracle.design.response - residual, rtol=1e-10)


def test_gram_of_random_columns(pair):
    Z = effect_columns(pair)
    np.testing.assert_allclose(pair.model.optimum.curved.gram, Z.T @ pair.oracle.P @ Z, rtol=1e-8, atol=1e-9)


def test_fixed_columns_carried_to_random_ones(pair):
    carried = pair.model.optimum.curved.carried @ pair.model.rows.triangle
    expected = effect_columns(pair).T @ np.linalg.solve(pair.oracle.V, pair.oracle.design.fixed)
    np.testing.assert_allclose(carried, expected, rtol=1e-8, atol=1e-9)


def test_scores(pair):
    ours = pair.model.products.unit * pair.model.optimum.curved.slopes.scores
    expected = effect_columns(pair).T @ pair.oracle.P @ pair.oracle.y
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-9)


def test_first_derivatives_of_the_profiled_deviance(pair):
    zero = np.zeros(len(pair.model.optimum.curved.entries))
    expected = complex_gradient(lambda change: free_deviance(pair, change, None), zero)
    ours = entries(pair.model.optimum.curved.slopes.by_covariance)
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_first_derivatives_without_curvature(pair):
    """Another algorithm, which forms no gram matrix of all random columns."""
    cheap = slopes(pair.model.products, pair.model.optimum.at)
    full = pair.model.optimum.curved.slopes
    np.testing.assert_allclose(
        entries(cheap.by_covariance), entries(full.by_covariance), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(cheap.scores, full.scores, rtol=1e-12)


def test_first_derivatives_at_a_given_residual_variance(pair):
    zero, given = np.zeros(len(pair.model.optimum.curved.entries)), 0.7
    variance = given * pair.model.products.unit**2
    expected = complex_gradient(lambda change: free_deviance(pair, change, variance), zero)
    ours = slopes_at(pair.model.products, pair.model.optimum.at, given)
    np.testing.assert_allclose(entries(ours.by_covariance), expected, rtol=1e-8, atol=1e-8)


def test_gradient_by_roots(pair):
    products, roots = pair.model.products, pair.model.optimum.roots
    theta, step = pack(roots), 1e-5

    def deviance(theta: Floats) -> float:
        return factorise(products, unpack(theta, products.blocks), reml=pair.model.reml).deviance

    expected = [
        (deviance(theta + step * e) - deviance(theta - step * e)) / (2 * step) for e in np.eye(len(theta))
    ]
    ours = root_gradient(pair.model.optimum.curved.slopes, roots)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


def test_hessian_by_roots(pair):
    products, roots = pair.model.products, pair.model.optimum.roots
    theta, step = pack(roots), 1e-5

    def gradient(theta: Floats) -> Floats:
        moved = unpack(theta, products.blocks)
        return root_gradient(slopes(products, factorise(products, moved, reml=pair.model.reml)), moved)

    expected = np.array(
        [(gradient(theta + step * e) - gradient(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    )
    ours = root_hessian(products, pair.model.optimum.at, pair.model.optimum.curved, roots)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-6)


def test_traces(pair):
    """trace(P V_i P V_j), whichever likelihood: Kenward and Roger's information is the restricted one."""
    loaded = [pair.oracle.P @ V for V in derivatives_of_v(pair)]
    expected = [[np.trace(left @ right) for right in loaded] for left in loaded]
    facts = information(pair.model.products, pair.model.optimum.at, pair.model.optimum.curved)
    np.testing.assert_allclose(facts.traces, expected, rtol=1e-8, atol=1e-8)


def test_gradient_with_residual_variance(pair):
    start = np.zeros(len(pair.model.facts.entries))
    expected = complex_gradient(lambda change: free_deviance(pair, change, pair.oracle.variance), start)
    np.testing.assert_allclose(pair.model.facts.gradient, expected, rtol=1e-8, atol=1e-8)


def test_hessian_with_residual_variance(pair):
    """Central differences of complex-step gradients."""
    step, variance = 1e-4, pair.oracle.variance
    m = len(pair.model.facts.entries)

    def gradient(change: Floats) -> Floats:
        return complex_gradient(lambda amount: free_deviance(pair, amount, variance), change)

    expected = np.array([(gradient(step * e) - gradient(-step * e)) / (2 * step) for e in np.eye(m)])
    np.testing.assert_allclose(pair.model.facts.hessian, expected, rtol=1e-5, atol=1e-5)


def test_moments_of_fixed_columns(pair):
    X = np.linalg.solve(pair.model.rows.triangle.T, pair.model.design.fixed.T).T
    inverse, P, Vs = np.linalg.inv(pair.oracle.V), pair.oracle.P, derivatives_of_v(pair)
    first = [X.T @ inverse @ V @ inverse @ X for V in Vs]
    second = [[X.T @ inverse @ V @ P @ W @ inverse @ X for W in Vs] for V in Vs]
    np.testing.assert_allclose(pair.model.facts.first, first, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(pair.model.facts.second, second, rtol=1e-8, atol=1e-9)


def test_values_of_the_parameters(pair):
    expected = [
        (scales(pair, block)[:, None] * pair.oracle.covariances[block.term] * scales(pair, block))[
            vech_places(block.width)
        ]
        for block in pair.model.products.blocks
    ]
    np.testing.assert_allclose(pair.model.facts.entries, [*np.concatenate(expected), 1.0], rtol=1e-12)


@pytest.mark.parametrize("reml", [True, False])
def test_which_term_is_eliminated_does_not_matter(reml, random_frame, model_at):
    formula, options = MODELS["weighted"]
    design = build_design(formula, random_frame(3), **options)
    roots = lower_triangles(design, 3)
    found = [model_at(design, roots, reml=reml, first=first) for first in range(len(design.terms))]
    for other in found[1:]:
        assert other.loglik == pytest.approx(found[0].loglik, abs=1e-10)
        np.testing.assert_allclose(other.covariance, found[0].covariance, rtol=1e-10)


def test_another_response(random_frame, model_at, dense):
    formula, options = MODELS["weighted"]
    frame = random_frame(4)
    design = build_design(formula, frame, **options)
    roots = lower_triangles(design, 4)
    rows = standardised_rows(design)
    response = np.sin(np.arange(len(frame)))
    products = with_response(cross_products(design, rows), rows, response)
    model = model_at(design, roots, reml=True)
    at = factorise(products, model.optimum.roots, reml=True)
    moved = replace(model, products=products, optimum=replace(model.optimum, at=at))
    oracle = dense(replace(design, response=response), [root @ root.T for root in roots], True)
    assert moved.loglik == pytest.approx(oracle.loglik, abs=1e-9)


@pytest.fixture
def sparse_pair(random_frame, monkeypatch) -> Callable[[str], tuple[GaussianModel, GaussianModel]]:
    """Return the same model with the eliminated term's products dense and sparse."""

    def make(formula: str, model_at, *, reml: bool):
        frame = random_frame(5, n=120)
        rng = np.random.default_rng(5)
        frame["p"] = rng.integers(30, size=120)
        frame["q"] = frame["p"] // 2 + 20 * (frame["arm"] == "a")
        design = build_design(formula, frame, weights="w")
        roots = lower_triangles(design, 5)
        full = model_at(design, roots, reml=reml)
        monkeypatch.setattr(products_module, "LARGE", 0)
        thin = model_at(design, roots, reml=reml)
        assert not sparse.issparse(full.products.first_rest)
        assert sparse.issparse(thin.products.first_rest)
        return full, thin

    return make


SPARSE = ["y ~ x + (1 | p) + (1 | q)", "y ~ x + arm + (1 + z | p) + (1 + x | q) + (1 | q:h)"]


@pytest.mark.parametrize("formula", SPARSE)
@pytest.mark.parametrize("reml", [True, False])
def test_sparse_products_give_the_same_deviance(formula, reml, sparse_pair, model_at):
    full, thin = sparse_pair(formula, model_at, reml=reml)
    assert thin.optimum.at.deviance == pytest.approx(full.optimum.at.deviance, abs=1e-10)


@pytest.mark.parametrize("formula", SPARSE)
@pytest.mark.parametrize("reml", [True, False])
def test_sparse_products_give_the_same_slopes(formula, reml, sparse_pair, model_at):
    full, thin = (
        slopes(model.products, model.optimum.at) for model in sparse_pair(formula, model_at, reml=reml)
    )
    np.testing.assert_allclose(
        entries(thin.by_covariance), entries(full.by_covariance), rtol=1e-9, atol=1e-10
    )
    np.testing.assert_allclose(entries(thin.information), entries(full.information), rtol=1e-9)
    np.testing.assert_allclose(thin.scores, full.scores, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("formula", SPARSE)
@pytest.mark.parametrize("reml", [True, False])
def test_sparse_products_give_the_same_curvature(formula, reml, sparse_pair, model_at):
    full, thin = sparse_pair(formula, model_at, reml=reml)
    np.testing.assert_allclose(thin.facts.hessian, full.facts.hessian, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(thin.facts.second, full.facts.second, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("variance", [-0.02, -0.08, 0.3])
def test_variance_of_the_eliminated_term_below_zero(variance, reml, random_frame, dense):
    design = build_design("y ~ x + (1 | g) + (1 + z | h)", random_frame(6), weights="w")
    place = next(place for place, term in enumerate(design.terms) if term.group == "g")
    rows = standardised_rows(design, first=place)
    products = cross_products(design, rows, first=place)
    own = lower_triangles(design, 6)
    roots = [rows.scales[b.term][:, None] * own[b.term] for b in products.blocks]
    at = factorise(products, roots, reml=reml, first_variance=variance)
    covariances = [root @ root.T for root in own]
    covariances[place] = np.array([[variance]])
    oracle = dense(design, covariances, reml)
    model = GaussianModel(design, rows, products, None)
    deviance = at.deviance + 2 * oracle.free * np.log(products.unit) - products.log_weights
    if reml:
        deviance += 2 * np.log(np.abs(np.diagonal(model.rows.triangle))).sum()
    assert -0.5 * deviance == pytest.approx(oracle.loglik, abs=1e-9)
    curved = curvature(products, at)
    Z = oracle.columns[place]
    np.testing.assert_allclose(
        curved.gram[: Z.shape[1], : Z.shape[1]], Z.T @ oracle.P @ Z, rtol=1e-8, atol=1e-9
    )


def test_covariance_that_is_not_positive_definite(random_frame):
    design = build_design("y ~ x + (1 | g) + (1 | h)", random_frame(6))
    products = cross_products(design, standardised_rows(design))
    with pytest.raises(FitError, match="not positive definite"):
        factorise(products, [np.eye(1), np.eye(1)], reml=True, first_variance=-5.0)


def test_response_without_variation_beyond_the_fixed_effects(random_frame):
    frame = random_frame(6)
    design = build_design("y ~ x + (1 | g)", frame.assign(y=3 * frame["x"] - 1))
    with pytest.raises(FitError, match="does not vary beyond the fixed effects"):
        cross_products(design, standardised_rows(design))
