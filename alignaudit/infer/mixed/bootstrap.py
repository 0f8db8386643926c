"""Parametric bootstrap of mixed models, which reuses everything that does not depend on the response."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.errors import UsageError
from alignaudit.infer.mixed.contrast import checked_level
from alignaudit.infer.mixed.fit import MixedFit
from alignaudit.infer.mixed.likelihood import check_nested
from alignaudit.infer.mixed.model import GaussianModel

__all__ = ["BootstrapTest", "bootstrap_intervals", "bootstrap_test", "refits", "simulate"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BootstrapTest:
    """A likelihood-ratio test whose null distribution was simulated.

    Attributes
    ----------
    statistic
        Of the data.
    p_value
        ``(1 + #{simulated >= statistic}) / (draws + 1)``.
    draws
        Number of simulated responses.
    simulated
        Shape [draws]: their statistics.
    uncertified
        How many of their fits were not certified as optima.
    """

    statistic: float
    p_value: float
    draws: int
    simulated: Floats
    uncertified: int


def simulate(model: GaussianModel, *, rng: np.random.Generator) -> Floats:
    """Draw a response from a fitted model, new random effects and residuals.

    Parameters
    ----------
    model
        A fit.
    rng
        Random stream.

    Returns
    -------
    numpy.ndarray of float64, shape [n], the unit of the response
    """
    design, sigma = model.design, np.sqrt(model.residual_variance)
    response = design.fixed @ model.coefficients + design.offset
    for term, root in zip(design.terms, model.roots, strict=True):
        effects = rng.standard_normal((len(term.levels), len(term.columns))) @ (sigma * root).T
        response = response + np.einsum("nk,nk->n", term.values, effects[term.index])
    return response + sigma * rng.standard_normal(design.n) / np.sqrt(design.weights)


def refits(
    model: GaussianModel, source: GaussianModel, *, rng: np.random.Generator, draws: int
) -> Iterator[tuple[Floats, GaussianModel]]:
    """Fit a model to responses drawn from another one of the same rows.

    Parameters
    ----------
    model
        The model to be fitted; its factorised set-up and its optimum are where each fit starts.
    source
        The model to draw from.
    rng, draws
        Random stream, and number of responses.

    Yields
    ------
    tuple
        The response, shape [n], and the fit.
    """
    for _ in range(draws):
        response = simulate(source, rng=rng)
        yield response, model.refit(response)


def bootstrap_test(
    small: MixedFit, large: MixedFit, *, rng: np.random.Generator, draws: int = 999, force: bool = False
) -> BootstrapTest:
    """Test a larger model against a smaller one, the null distribution simulated from the smaller.

    Parameters
    ----------
    small, large
        Models of the same rows, the smaller one nested in the larger: in its fixed part (both are
        taken by full likelihood) or, with equal fixed parts, in its random part (by restricted).
    rng, draws
        Random stream, and number of simulated responses, each of which both models are fitted to.
    force
        Go on although a fit is not certified.

    Returns
    -------
    BootstrapTest

    Raises
    ------
    UsageError
        If ``draws`` is below 1.
    FitError
        If the models are not nested so, have different rows, or a fit is not certified.

    References
    ----------
    Halekoh & Højsgaard (2014), J. Statistical Software 59(9), section 4; Davison & Hinkley (1997),
    Bootstrap Methods and their Application, eq. 4.13.
    """
    if draws < 1:
        raise UsageError(f"a bootstrap needs at least one draw, not {draws}.")
    equal = small.model.products.p == large.model.products.p
    pick = _restricted if equal else _unrestricted
    null, full = pick(small), pick(large)
    check_nested(null, full, force=force)
    statistic = max(0.0, 2 * (full.loglik - null.loglik))
    simulated, uncertified = np.empty(draws), 0
    for place, (response, under) in enumerate(refits(null, null, rng=rng, draws=draws)):
        over = full.refit(response)
        simulated[place] = max(0.0, 2 * (over.loglik - under.loglik))
        uncertified += not (over.optimum.certificate.passed and under.optimum.certificate.passed)
    exceeding = int((simulated >= statistic - 1e-8).sum())
    return BootstrapTest(statistic, (1 + exceeding) / (draws + 1), draws, simulated, uncertified)


def _restricted(fit: MixedFit) -> GaussianModel:
    return fit.model.restricted


def _unrestricted(fit: MixedFit) -> GaussianModel:
    return fit.model.unrestricted


def bootstrap_intervals(
    fit: MixedFit,
    statistics: Callable[[MixedFit], pd.Series],
    *,
    rng: np.random.Generator,
    draws: int = 999,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    """Return percentile intervals of any numbers of a fit, from responses simulated from it.

    Parameters
    ----------
    fit
        A linear mixed model.
    statistics
        Computes named numbers from a fit, for example variance shares.
    rng, draws
        Random stream, and number of refits.
    conf_level
        Nominal coverage of each interval.

    Returns
    -------
    pandas.DataFrame
        Index of the numbers' names, columns ``estimate, conf_low, conf_high``.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 13.3.
    """
    if draws < 1:
        raise UsageError(f"a bootstrap needs at least one draw, not {draws}.")
    rows = [
        statistics(fit.with_model(model)) for _, model in refits(fit.model, fit.model, rng=rng, draws=draws)
    ]
    tail = (1 - checked_level(conf_level)) / 2
    drawn = pd.DataFrame(rows)
    return pd.DataFrame(
        {
            "estimate": statistics(fit),
            "conf_low": drawn.quantile(tail),
            "conf_high": drawn.quantile(1 - tail),
        }
    )
