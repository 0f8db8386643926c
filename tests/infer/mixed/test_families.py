"""Log-likelihoods of counts against SciPy's, and their derivatives against differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.families import beta_binomial, binomial, counts


def draw(trials):
    """Sixty rows of hits out of up to so many trials."""
    rng = np.random.default_rng(2)
    n = np.maximum(1, trials - np.arange(60) % 5)
    hits = rng.binomial(n, special.expit(rng.normal(size=60)))
    frame = pd.DataFrame({"hits": hits, "misses": n - hits, "group": np.arange(60) % 6})
    return counts(build_design("cbind(hits, misses) ~ 1 + (1 | group)", frame))


@pytest.mark.parametrize("precision", [0.05, 1.0, 30.0, 1e4])
def test_beta_binomial_probabilities(precision):
    data = draw(400)
    logit = np.linspace(-4, 4, len(data.trials))
    share = special.expit(logit)
    expected = stats.betabinom.logpmf(
        data.successes, data.trials, share * precision, special.expit(-logit) * precision
    )
    assert -beta_binomial(data, logit, 1 / precision).loss == pytest.approx(expected.sum(), rel=1e-9)


@pytest.mark.parametrize("kappa", [0.0, 1e-9, 1e-3, 0.4])
@pytest.mark.parametrize("trials", [1, 7, 5000])
def test_beta_binomial_derivatives(kappa, trials):
    data = draw(trials)
    logit = np.linspace(-2, 3, len(data.trials))
    at = beta_binomial(data, logit, kappa)

    def slope(field, h=1e-5):
        up, down = (getattr(beta_binomial(data, logit + x, kappa), field) for x in (h, -h))
        return (up - down) / (2 * h)

    size = 1e-7 * trials * (1 + np.abs(at.third).max())
    assert slope("loss") == pytest.approx(-at.score.sum(), rel=1e-6, abs=size)
    np.testing.assert_allclose(slope("score"), -at.weight, rtol=1e-6, atol=size)
    np.testing.assert_allclose(slope("weight"), at.third, rtol=1e-6, atol=size)


@pytest.mark.parametrize("kappa", [0.0, 1e-6, 1e-2, 0.4])
def test_beta_binomial_derivatives_by_dispersion(kappa):
    """At κ = 0 by differences to one side, extrapolated."""
    data = draw(60)
    logit = np.linspace(-2, 3, len(data.trials))
    at, h = beta_binomial(data, logit, kappa), 1e-6
    for field, ours in [
        ("loss", at.loss_by_dispersion),
        ("score", at.score_by_dispersion),
        ("weight", at.weight_by_dispersion),
    ]:
        values = [np.asarray(getattr(beta_binomial(data, logit, kappa + x * h), field)) for x in range(4)]
        slope = (-11 * values[0] + 18 * values[1] - 9 * values[2] + 2 * values[3]) / (6 * h)
        np.testing.assert_allclose(ours, slope, rtol=1e-5, atol=1e-5 * np.abs(slope).max())


def test_beta_binomial_without_dispersion_is_binomial():
    data = draw(1000)
    logit = np.linspace(-6, 6, len(data.trials))
    ours, plain = beta_binomial(data, logit, 0.0), binomial(data, logit)
    for field in ("loss", "score", "weight", "third"):
        np.testing.assert_allclose(getattr(ours, field), getattr(plain, field), rtol=1e-9, atol=1e-9)
