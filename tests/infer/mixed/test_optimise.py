"""The optimum does not depend on where the search starts, nor on how the same model is written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alignaudit.infer.mixed import optimise
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.optimise import minimise
from alignaudit.infer.mixed.products import cross_products, standardised_rows

FORMULAS = [
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x * arm + (1 + x | g) + (1 | h)",
    "y ~ arm + (1 + arm | g) + (1 | g:h)",
    "y ~ x + (1 + x + z || g) + (1 | h)",
]


@pytest.fixture(scope="module")
def products_of(random_frame):
    def make(formula: str, seed: int, **changes):
        design = build_design(formula, random_frame(seed, n=80).assign(**changes))
        return cross_products(design, standardised_rows(design))

    return make


def random_start(products, rng) -> list[np.ndarray]:
    return [
        np.tril(rng.normal(0, 0.5, size=(b.width, b.width)), -1) + np.diag(rng.uniform(0.05, 3, b.width))
        for b in products.blocks
    ]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("reml", [True, False])
def test_random_starts_agree(formula, seed, reml, products_of):
    products, rng = products_of(formula, seed), np.random.default_rng(seed)
    ends = [minimise(products, reml=reml, start=random_start(products, rng)) for _ in range(4)]
    assert np.ptp([end.at.deviance for end in ends]) < 1e-9
    assert all(end.certificate.passed for end in ends)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_point_nearby_is_better(formula, products_of):
    """Random covariances around the optimum, which may lie on the boundary."""
    products, rng = products_of(formula, 4), np.random.default_rng(4)
    end = minimise(products, reml=True)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(20):
            near = [root + size * np.tril(rng.normal(size=root.shape)) for root in end.roots]
            assert optimise.factorise(products, near, reml=True).deviance >= end.at.deviance - 1e-9


@pytest.mark.parametrize("formula", FORMULAS)
def test_start_at_zero_is_left_where_the_data_vary(formula, products_of):
    """Zero is stationary in the roots: without the test of multipliers the search would stay there."""
    products = products_of(formula, 1)
    trapped = minimise(products, reml=True, start=[np.zeros((b.width, b.width)) for b in products.blocks])
    assert trapped.certificate.restarts >= 1
    assert trapped.at.deviance == pytest.approx(minimise(products, reml=True).at.deviance, abs=1e-9)


def test_zero_is_kept_where_it_is_the_best(products_of):
    """Group means that are all equal: any variance between groups fits worse."""
    y = np.tile([1.0, -1.0, 3.0, -3.0], 20)
    g = np.repeat([f"g{i}" for i in range(20)], 4)
    products = products_of("y ~ 1 + (1 | g)", 1, y=y, g=g)
    end = minimise(products, reml=True)
    assert end.roots[0][0, 0] == 0.0
    assert end.certificate.passed
    assert min(end.certificate.multipliers) > 0


def test_multiplier_vanishes_inside(products_of):
    assert minimise(products_of(FORMULAS[0], 1), reml=True).certificate.multipliers[0] == pytest.approx(
        0, abs=1e-5
    )


def test_no_certificate_on_a_boundary_that_is_not_the_optimum(products_of, monkeypatch):
    monkeypatch.setattr(optimise, "ESCAPES", 0)
    products = products_of(FORMULAS[0], 1)
    stuck = minimise(products, reml=True, start=[np.zeros((1, 1)), np.zeros((1, 1))])
    assert not stuck.certificate.passed
    assert min(stuck.certificate.multipliers) < optimise.MULTIPLIER


def test_no_certificate_before_the_end_of_the_search(products_of, monkeypatch):
    monkeypatch.setitem(optimise.FIRST_STAGE, "maxiter", 1)
    monkeypatch.setattr(optimise, "NEWTON_STEPS", 1)
    start = [np.array([[40.0]]), np.array([[40.0]])]
    early = minimise(products_of(FORMULAS[0], 1), reml=True, start=start)
    assert not early.certificate.passed
    assert early.certificate.deviance_gap > optimise.GAP


@pytest.mark.parametrize(
    ("passed", "words"), [(True, "certified optimum"), (False, "NOT certified as an optimum")]
)
def test_certificate_in_words(passed, words):
    certificate = optimise.Certificate(passed, 1.23e-7, 4.56e-12, (0.5, -2e-9), (1.0, 2.0), 3, 40)
    assert str(certificate) == (
        f"{words}: gradient 1.2e-07, deviance still to gain 4.6e-12, smallest multiplier -2.0e-09, restarts 3"
    )


@pytest.fixture(scope="module")
def frame(random_frame):
    return random_frame(7, n=90)


FORMULA = "y ~ x * arm + (1 + x | g) + (1 | h)"


@pytest.fixture(scope="module", params=["reml", "ml"])
def method(request):
    return request.param


@pytest.fixture(scope="module")
def plain(frame, method):
    return fit_mixed(FORMULA, frame, method=method)


def test_order_of_rows_does_not_matter(plain, frame, method):
    levels = {name: list(dict.fromkeys(frame[name])) for name in ("arm", "g", "h")}
    other = fit_mixed(FORMULA, frame.sample(frac=1, random_state=1), method=method, levels=levels)
    assert other.loglik == pytest.approx(plain.loglik, abs=1e-9)
    np.testing.assert_allclose(other.fixed_effects, plain.fixed_effects, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 10.0, 1e6])
def test_scale_of_the_response(factor, plain, frame, method):
    """The density changes by the Jacobian of the n (REML: n - p) free dimensions."""
    other = fit_mixed(FORMULA, frame.assign(y=factor * frame["y"]), method=method)
    assert other.loglik == pytest.approx(plain.loglik - plain.model.free * math.log(factor), abs=1e-8)
    np.testing.assert_allclose(other.theta, plain.theta, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [-1e3, 1e6])
def test_shift_of_the_response(shift, plain, frame, method):
    """By 1e-6: adding a million costs six of the response's digits."""
    other = fit_mixed(FORMULA, frame.assign(y=frame["y"] + shift), method=method)
    assert other.loglik == pytest.approx(plain.loglik, abs=1e-6)
    assert other.fixed_effects["Intercept"] - shift == pytest.approx(
        plain.fixed_effects["Intercept"], rel=1e-6
    )


def test_coding_of_fixed_effects(plain, frame, method):
    """With X = X* A, the restricted density changes by log |det A|, and the full one does not."""
    other = fit_mixed(FORMULA.replace("x * arm", "0 + arm + x:arm"), frame, method=method)
    change = np.linalg.lstsq(other.model.design.fixed, plain.model.design.fixed, rcond=None)[0]
    expected = -np.linalg.slogdet(change)[1] if method == "reml" else 0.0
    assert plain.loglik - other.loglik == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scale_of_a_random_slope(factor, plain, frame, method):
    """The slope's standard deviation changes by the inverse factor, and its column's is fixed too."""
    other = fit_mixed(FORMULA, frame.assign(x=factor * frame["x"]), method=method)
    columns = int((plain.fixed_effects.index.str.startswith("x")).sum())
    lost = columns * math.log(factor) if method == "reml" else 0.0
    assert other.loglik == pytest.approx(plain.loglik - lost, abs=1e-8)
    ours, theirs = other.variance_components, plain.variance_components
    np.testing.assert_allclose(factor * ours["sdcor"][1], theirs["sdcor"][1], rtol=1e-4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ x + (1 | g/h)", "y ~ x + (1 | g) + (1 | g:h)"),
        ("y ~ x + (1 + x || g)", "y ~ x + (1 | g) + (0 + x | g)"),
        ("y ~ x + (1 + arm | g)", "y ~ x + (0 + arm | g)"),
        ("y ~ x + (1 + x | g)", "y ~ x + (1 + I(x - 5) | g)"),
        ("y ~ x + (1 | g:h)", "y ~ x + (1 | h:g)"),
    ],
)
def test_two_ways_to_write_a_model(one, other, frame, method):
    first, second = fit_mixed(one, frame, method=method), fit_mixed(other, frame, method=method)
    assert first.loglik == pytest.approx(second.loglik, abs=1e-8)
    np.testing.assert_allclose(first.fixed_effects, second.fixed_effects, rtol=1e-5)


def test_offset_is_a_known_part_of_the_mean(plain, frame, method):
    moved = frame.assign(y=frame["y"] + frame["o"])
    other = fit_mixed(FORMULA, moved, method=method, offset="o")
    assert other.loglik == pytest.approx(plain.loglik, abs=1e-8)
    np.testing.assert_allclose(other.fixed_effects, plain.fixed_effects, rtol=1e-5)


def test_weights_count_as_rows_do(random_frame, method):
    """A mean of two equal values with weight 2 has the likelihood of one row, and the same estimates."""
    frame = random_frame(8, n=60)
    double = fit_mixed("y ~ x + (1 | g)", frame.assign(w=2.0), weights="w", method=method)
    single = fit_mixed("y ~ x + (1 | g)", frame, method=method)
    assert double.loglik == pytest.approx(single.loglik, abs=1e-8)
    assert double.sigma == pytest.approx(math.sqrt(2) * single.sigma, rel=1e-6)
