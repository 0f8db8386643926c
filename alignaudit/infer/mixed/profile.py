"""Profile-likelihood intervals of fixed effects, standard deviations and correlations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.criterion import factorise, slopes_at
from alignaudit.infer.mixed.fit import MixedFit
from alignaudit.infer.mixed.model import GaussianModel, certified
from alignaudit.infer.mixed.optimise import minimise
from alignaudit.infer.mixed.products import CrossProducts, cross_products, standardised_rows
from alignaudit.infer.mixed.roots import pack, unpack

__all__ = ["profile_intervals"]

Floats = NDArray[np.float64]
WIDENINGS = 40
"""How often a bracket may be widened."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A function of the roots and the residual standard deviation, in the data's units."""

    group: str
    term: str
    kind: str
    value: Callable[[Floats], float]
    lowest: float
    highest: float


def profile_intervals(fit: MixedFit, *, conf_level: float = 0.95, force: bool = False) -> pd.DataFrame:
    """Return profile-likelihood intervals of all parameters of a linear mixed model.

    Parameters
    ----------
    fit
        The model; full likelihood is used, whatever it was fitted by.
    conf_level
        Nominal coverage.
    force
        Go on although the fit is not certified.

    Returns
    -------
    pandas.DataFrame
        Columns ``group, term, kind, estimate, conf_low, conf_high``; kind is ``sd``, ``correlation``
        or ``fixed``. A bound at the edge of the parameter space (0, ±1) stands there.

    Raises
    ------
    FitError
        If the fit is not certified, or a profile cannot be followed.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), section 5.1; Venzon &
    Moolgavkar (1988), Applied Statistics 37, 87-94.
    """
    model = fit.model.unrestricted
    certified(model.certificate, force=force)
    drop = float(stats.chi2.ppf(conf_level, 1))
    rows = [(q.group, q.term, q.kind, *_variance_interval(model, q, drop)) for q in _quantities(model)]
    rows += [
        ("", name, "fixed", *_fixed_interval(model, column, drop))
        for column, name in enumerate(model.design.fixed_names)
    ]
    columns = ["group", "term", "kind", "estimate", "conf_low", "conf_high"]
    return pd.DataFrame(rows, columns=columns)


def _quantities(model: GaussianModel) -> list[_Quantity]:
    """Return standard deviations and correlations as functions of the search's parameters."""
    found = []
    blocks = model.products.blocks
    for term_index, term in enumerate(model.design.terms):
        place = next(i for i, block in enumerate(blocks) if block.term == term_index)
        scales = model.rows.scales[term_index]
        for a, name in enumerate(term.columns):

            def deviation(
                x: Floats, place: int = place, a: int = a, scale: float = float(scales[a])
            ) -> float:
                root = unpack(x[:-1], blocks)[place]
                return float(np.linalg.norm(root[a])) * math.exp(x[-1]) / scale

            found.append(_Quantity(term.group, name, "sd", deviation, 0.0, math.inf))
            for b in range(a):

                def correlation(x: Floats, place: int = place, a: int = a, b: int = b) -> float:
                    root = unpack(x[:-1], blocks)[place]
                    size = float(np.linalg.norm(root[a]) * np.linalg.norm(root[b]))
                    return float(root[a] @ root[b]) / max(size, 1e-300)

                pair = f"{term.columns[b]}, {name}"
                found.append(_Quantity(term.group, pair, "correlation", correlation, -1.0, 1.0))
    found.append(_Quantity("Residual", "", "sd", lambda x: math.exp(x[-1]), 0.0, math.inf))
    return found


def _variance_interval(model: GaussianModel, quantity: _Quantity, drop: float) -> tuple[float, float, float]:
    products = model.products
    unit = 1.0 if quantity.kind == "correlation" else products.unit
    sigma = math.sqrt(model.optimum.at.rss / products.n)
    best = np.append(pack(model.optimum.roots), math.log(sigma))
    lowest = model.optimum.at.deviance
    estimate = quantity.value(best)
    warm = {"x": best}

    def excess(value: float) -> float:
        warm["x"], deviance = _constrained(products, quantity, value, warm["x"])
        return deviance - lowest - drop

    step = 0.25 * estimate + 1e-3 if quantity.kind == "sd" else 0.1
    low = _crossing(excess, estimate, -step, quantity.lowest)
    warm["x"] = best
    high = _crossing(excess, estimate, step, quantity.highest)
    return estimate * unit, low * unit, high * unit


def _constrained(
    products: CrossProducts, quantity: _Quantity, value: float, start: Floats
) -> tuple[Floats, float]:
    """Minimise the deviance with one quantity held at a value."""
    blocks = products.blocks

    def deviance(x: Floats) -> tuple[float, Floats]:
        variance, roots = math.exp(2 * x[-1]), unpack(x[:-1], blocks)
        at = factorise(products, roots, reml=False)
        first = slopes_at(products, at, variance)
        gradient = pack([2 * d @ r for d, r in zip(first.by_covariance, roots, strict=True)])
        value = at.log_det + products.n * math.log(2 * math.pi * variance) + at.rss / variance
        return value, np.append(gradient, 2 * products.n - 2 * at.rss / variance)

    diagonal = pack([np.eye(block.width) for block in blocks])
    bounds = [(0.0, 1e4) if edge else (-1e4, 1e4) for edge in diagonal] + [(-20.0, 20.0)]
    held = {"type": "eq", "fun": lambda x: quantity.value(x) - value}
    found = optimize.minimize(
        deviance, start, jac=True, method="SLSQP", bounds=bounds, constraints=[held],
        options={"maxiter": 300, "ftol": 1e-11},
    )  # fmt: skip
    if not math.isfinite(found.fun):
        raise FitError(f"the profile of {quantity.kind} {quantity.group} {quantity.term} cannot be followed.")
    return found.x, float(found.fun)


def _fixed_interval(model: GaussianModel, column: int, drop: float) -> tuple[float, float, float]:
    """Profile one fixed effect: its column times a value is taken from the response."""
    p = model.products.p
    order = [j for j in range(p) if j != column] + [column]
    design = replace(model.design, fixed=model.design.fixed[:, order])
    rows = standardised_rows(design)
    products = cross_products(design, rows)
    loads = rows.triangle[:, -1] / products.unit
    estimate, lowest = float(model.coefficients[column]), model.optimum.at.deviance
    error = math.sqrt(model.covariance[column, column])
    warm = {"start": model.optimum.roots}

    def excess(value: float) -> float:
        optimum = minimise(_without_last(products, loads, value), reml=False, start=warm["start"])
        warm["start"] = optimum.roots
        return optimum.at.deviance - lowest - drop

    low = _crossing(excess, estimate, -2 * error, -math.inf)
    return estimate, low, _crossing(excess, estimate, 2 * error, math.inf)


def _without_last(products: CrossProducts, loads: Floats, value: float) -> CrossProducts:
    """Return the model without its last fixed column, whose part of the response is known.

    The standardised response has no part in the fixed columns: their least-squares part, ``ols``, is
    added back, and ``value`` times the column is taken away.
    """
    p = products.p
    part = products.ols / products.unit - value * loads
    change = np.vstack([np.eye(p + 1)[:, : p - 1].T, np.append(part, 1.0)]).T
    return replace(
        products, p=p - 1, first_fixed=products.first_fixed @ change, rest_fixed=products.rest_fixed @ change,
        fixed_fixed=change.T @ products.fixed_fixed @ change, ols=products.ols[:-1],
    )  # fmt: skip


def _crossing(excess: Callable[[float], float], start: float, step: float, edge: float) -> float:
    """Return where the profile has risen by the drop, going from its minimum in one direction."""
    inside, outside = start, start + step
    for _ in range(WIDENINGS):
        beyond = (outside - edge) * step >= 0
        if beyond:
            outside = edge - math.copysign(1e-7, step) if edge != 0 else 0.0
        if excess(outside) > 0:
            return float(
                optimize.brentq(excess, inside, outside, xtol=1e-9 * max(1.0, abs(start)), rtol=1e-10)
            )
        if beyond:
            return edge
        inside, outside = outside, outside + 1.5 * (outside - inside)
    raise FitError("a profile does not rise far enough to give an interval.")
