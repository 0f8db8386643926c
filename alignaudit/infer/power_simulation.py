"""Power by simulation, for designs that no closed form covers: missing cells, any test."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.paired import Population
from alignaudit.infer.power import Variances

__all__ = ["SimulatedPower", "simulated_power"]


@dataclass(frozen=True, slots=True)
class SimulatedPower:
    """Share of simulated studies in which a test rejected.

    Attributes
    ----------
    power
        Share of replicates with p below alpha.
    standard_error
        Binomial Monte-Carlo standard error of that share; where it is 0 because all or no replicates
        rejected, the truth is still uncertain by about ``3 / replicates``.
    replicates, untested
        Simulated studies, and those without a p-value; these count as not rejected.
    """

    power: float
    standard_error: float
    replicates: int
    untested: int


def simulated_power(
    variances: Variances,
    present: NDArray[np.bool_],
    test: Callable[[NDArray[np.float64]], float],
    *,
    effect: float,
    rng: np.random.Generator,
    population: Population = "these_languages",
    alpha: float = 0.05,
    replicates: int = 1000,
    seed_variance: float = 0.0,
    level_variance: float = 0.0,
) -> SimulatedPower:
    """Estimate the power of any test on any layout by simulating studies with normal values.

    Parameters
    ----------
    variances
        As in the closed form.
    present
        Shape [2, K, L], which cells (arm, run, language) exist; reference arm first.
    test
        Takes values of that shape, NaN where missing, and returns a p-value. NaN or a ``FitError``
        counts as not rejecting.
    effect
        True mean of second minus first arm over the population's languages; 0 gives the level.
    rng
        A stream of ``core.rng``.
    population
        For *these languages* the drawn language slopes are centred, so that ``effect`` is their mean.
    alpha, replicates
        Level, and number of simulated studies.
    seed_variance, level_variance
        Of what both runs k share, and of the languages' levels; with complete pairs they cancel.

    Returns
    -------
    SimulatedPower
        Power with its Monte-Carlo standard error.

    Raises
    ------
    FitError
        If the layout has not that shape, or there are no replicates.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> from alignaudit.infer.paired import balanced_paired_contrast
    >>> present = np.ones((2, 6, 4), dtype=bool)
    >>> test = lambda values: balanced_paired_contrast(values[1] - values[0]).p_value
    >>> found = simulated_power(
    ...     Variances(1, 0, 1), present, test, effect=9.0, rng=rng.stream(1, "power"), replicates=50
    ... )
    >>> found.power, found.untested
    (1.0, 0)
    """
    if not 0 < alpha < 1:
        raise FitError(f"alpha must lie between 0 and 1, but is {alpha}.", where="power by simulation")
    mask = np.asarray(present, dtype=np.bool_)
    if mask.ndim != 3 or mask.shape[0] != 2 or not mask.any(axis=(1, 2)).all() or replicates < 1:
        raise FitError(
            f"{replicates} replicates of a layout of shape {mask.shape}; both arms need present cells.",
            where="power by simulation",
            hint="Give present[arm, run, language] with two arms.",
        )
    sds = np.sqrt([variances.run, variances.language, variances.residual, seed_variance, level_variance])
    hits = untested = 0
    for _ in range(replicates):
        values = _draw(mask.shape, sds, effect, population == "these_languages", rng)
        p_value = _p_value(test, np.where(mask, values, np.nan))
        hits += p_value < alpha
        untested += math.isnan(p_value)
    share = hits / replicates
    return SimulatedPower(share, math.sqrt(share * (1 - share) / replicates), replicates, untested)


def _draw(
    shape: tuple[int, ...], sds: NDArray[np.float64], effect: float, centred: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Values of one simulated study, shape [2, K, L]."""
    _, K, L = shape
    run, slope, residual, seed, level = sds
    slopes = slope * rng.normal(size=L)
    if centred:
        slopes = slopes - slopes.mean()
    arm = np.array([-0.5, 0.5])[:, None, None]
    shared = seed * rng.normal(size=(1, K, 1)) + level * rng.normal(size=(1, 1, L))
    noise = run * rng.normal(size=(2, K, 1)) + residual * rng.normal(size=shape)
    return np.asarray(arm * (effect + slopes) + shared + noise, dtype=np.float64)


def _p_value(test: Callable[[NDArray[np.float64]], float], values: NDArray[np.float64]) -> float:
    try:
        return float(test(values))
    except FitError:
        return math.nan
