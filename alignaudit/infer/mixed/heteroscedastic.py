"""Residual variances that differ between groups of rows, and the test that they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.model import GaussianModel, fit_gaussian

__all__ = ["ResidualStrata", "fit_strata"]

Floats = NDArray[np.float64]
WORST = 1e12
"""Deviance of ratios that no model can be fitted at."""

WIDEST = 12.0
"""Logarithm of a ratio of standard deviations beyond which an interval is called unbounded."""


@dataclass(frozen=True, slots=True)
class ResidualStrata:
    """Residual standard deviations by group of rows, and the test that they are equal.

    Attributes
    ----------
    column, levels
        Grouping of the rows, and its groups in their order; the first is the reference.
    standard_deviations
        Shape [groups], the unit of the response.
    log_ratios
        Shape [groups]: logarithms of the ratios to the first; the first is 0.
    statistic, df, p_value
        Likelihood ratio against equal variances, by chi-square; liberal for few groups of random effects.
    conf_low, conf_high
        Profile-likelihood interval of the last log ratio where there are two groups, else NaN.
    conf_level
        Its nominal coverage.
    """

    column: str
    levels: tuple[str, ...]
    standard_deviations: Floats
    log_ratios: Floats
    statistic: float
    df: int
    p_value: float
    conf_low: float
    conf_high: float
    conf_level: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, numbers that are not finite as None."""
        values = asdict(self)
        for name in ("standard_deviations", "log_ratios"):
            values[name] = values[name].tolist()
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def fit_strata(
    design: MixedDesign, column: str, *, reml: bool, conf_level: float = 0.95
) -> tuple[GaussianModel, ResidualStrata]:
    """Fit a linear mixed model whose residual variance differs between groups of rows.

    Parameters
    ----------
    design
        The model, with ``residual_groups``.
    column
        Name of the grouping.
    reml
        Restricted or full likelihood.
    conf_level
        Nominal coverage of the interval of the log ratio.

    Returns
    -------
    tuple
        The model with the estimated ratios as precision weights (its tests of fixed effects take
        them as known; ``sigma`` is that of the first group), and the strata.

    Raises
    ------
    FitError
        If a group has fewer than two rows, or the search does not end.

    References
    ----------
    Pinheiro & Bates (2000), Mixed-Effects Models in S and S-PLUS, section 5.2.1 (varIdent).
    """
    groups = design.residual_groups
    if groups is None or np.bincount(groups).min() < 2:
        raise FitError(f'every group of "{column}" needs at least two rows for a residual variance.')
    count = len(design.residual_levels) - 1
    equal = _weighted(design, np.zeros(count), reml=reml)

    def deviance(ratios: Floats) -> float:
        return _deviance(design, ratios, reml=reml, like=equal)

    ends = [_search(deviance, start) for start in (np.zeros(count), _from_residuals(equal, groups))]
    found = min(ends, key=lambda end: float(end.fun))
    runaway = any(deviance(found.x + step) < found.fun - 1e-6 for step in _far_steps(count))
    if not np.isfinite(found.x).all() or np.abs(found.x).max() > WIDEST or runaway:
        raise FitError(f'a residual variance by "{column}" goes to zero, so it cannot be estimated.')
    model = _weighted(design, found.x, reml=reml, like=equal)
    statistic = max(0.0, 2 * (model.loglik - equal.loglik))
    low = high = math.nan
    if count == 1:
        low, high = _interval(deviance, float(found.x[0]), conf_level)
    ratios = np.concatenate([[0.0], found.x])
    return model, ResidualStrata(
        column=column, levels=design.residual_levels,
        standard_deviations=math.sqrt(model.residual_variance) * np.exp(ratios), log_ratios=ratios,
        statistic=statistic, df=count, p_value=float(stats.chi2.sf(statistic, count)),
        conf_low=low, conf_high=high, conf_level=conf_level,
    )  # fmt: skip


def _search(deviance: Callable[[Floats], float], start: Floats) -> Any:
    return optimize.minimize(deviance, start, method="BFGS", jac="3-point", options={"gtol": 1e-4})


def _from_residuals(equal: GaussianModel, groups: NDArray[np.intp]) -> Floats:
    """Return log ratios of the residual standard deviations to the first group's, from a fit without them."""
    rest = (equal.design.response - equal.fitted()) * np.sqrt(equal.design.weights)
    squares = np.bincount(groups, weights=rest**2) / np.bincount(groups)
    logs = 0.5 * np.log(np.maximum(squares, 1e-12 * squares.max()))
    return np.asarray(logs[1:] - logs[0])


def _far_steps(count: int) -> list[Floats]:
    """Return steps to ratios so far away that only a variance of zero could be better there."""
    steps = [sign * 6.0 * unit for unit in np.eye(count) for sign in (1, -1)]
    return [*steps, np.full(count, 6.0), np.full(count, -6.0)]


def _deviance(design: MixedDesign, ratios: Floats, *, reml: bool, like: GaussianModel) -> float:
    """Return minus twice the log-likelihood at given ratios; very large where there is none."""
    try:
        return -2 * _weighted(design, ratios, reml=reml, like=like).loglik
    except FitError:
        return WORST


def _weighted(
    design: MixedDesign, ratios: Floats, *, reml: bool, like: GaussianModel | None = None
) -> GaussianModel:
    """Fit with given log ratios of the residual standard deviations to the first group's."""
    logs = np.concatenate([[0.0], ratios])[design.residual_groups]
    weighted = replace(design, weights=design.weights * np.exp(-2 * logs))
    start = None
    if like is not None:
        start = tuple(root + 0.05 * np.eye(len(root)) for root in like.optimum.roots)
    return fit_gaussian(weighted, reml=reml, start=start)


def _interval(deviance: Callable[[Floats], float], best: float, conf_level: float) -> tuple[float, float]:
    """Return where the profile has risen by the chi-square quantile on either side."""
    limit = float(deviance(np.array([best]))) + float(stats.chi2.ppf(conf_level, 1))

    def excess(ratio: float) -> float:
        return float(deviance(np.array([ratio]))) - limit

    bounds = []
    for direction in (-1.0, 1.0):
        reach = 0.25
        while excess(best + direction * reach) < 0 and reach < WIDEST:
            reach *= 2
        if reach >= WIDEST:
            bounds.append(direction * math.inf)
        else:
            inner, outer = best, best + direction * reach
            bounds.append(float(optimize.brentq(excess, min(inner, outer), max(inner, outer), xtol=1e-6)))
    return bounds[0], bounds[1]
