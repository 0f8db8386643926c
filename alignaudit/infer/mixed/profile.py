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
from alignaudit.infer.mixed.contrast import checked_level
from alignaudit.infer.mixed.criterion import factorise, slopes_at
from alignaudit.infer.mixed.fit import MixedFit
from alignaudit.infer.mixed.model import GaussianModel, certified
from alignaudit.infer.mixed.optimise import minimise
from alignaudit.infer.mixed.products import CrossProducts, cross_products, standardised_rows
from alignaudit.infer.mixed.roots import pack, semidefinite_root, unpack

__all__ = ["profile_intervals"]

Floats = NDArray[np.float64]
WIDENINGS = 40
"""How often a bracket may be widened."""

STOP = {"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-7, "maxcor": 20}
NUDGE = 0.02
"""Diagonal entry that a search starts from where the one before ended at zero, a stationary point."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A standard deviation or correlation of one term, or the residual standard deviation.

    ``place`` is the index of the term's block (-1 for the residual), ``order`` its effects with the one
    or two held effects first, ``scale`` the root mean square of the first one's column.
    """

    group: str
    term: str
    kind: str
    place: int = -1
    order: tuple[int, ...] = ()
    scale: float = 1.0

    @property
    def lowest(self) -> float:
        return -1.0 if self.kind == "correlation" else 0.0

    @property
    def highest(self) -> float:
        return 1.0 if self.kind == "correlation" else math.inf


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
    UsageError
        If the level is not between 0 and 1.
    FitError
        If the fit is not certified, or a profile cannot be followed.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), section 5.1; Venzon &
    Moolgavkar (1988), Applied Statistics 37, 87-94.
    """
    drop = float(stats.chi2.ppf(checked_level(conf_level), 1))
    model = fit.model.unrestricted
    certified(model.certificate, force=force)
    rows = [(q.group, q.term, q.kind, *_variance_interval(model, q, drop)) for q in _quantities(model)]
    rows += [
        ("", name, "fixed", *_fixed_interval(model, column, drop))
        for column, name in enumerate(model.design.fixed_names)
    ]
    columns = ["group", "term", "kind", "estimate", "conf_low", "conf_high"]
    return pd.DataFrame(rows, columns=columns)


def _quantities(model: GaussianModel) -> list[_Quantity]:
    found = []
    for index, term in enumerate(model.design.terms):
        place = next(i for i, block in enumerate(model.products.blocks) if block.term == index)
        scales, effects = model.rows.scales[index], range(len(term.columns))
        for a, name in enumerate(term.columns):
            order = (a, *(c for c in effects if c != a))
            found.append(_Quantity(term.group, name, "sd", place, order, float(scales[a])))
            for b in range(a):
                order = (b, a, *(c for c in effects if c not in (a, b)))
                pair = f"{term.columns[b]}, {name}"
                found.append(_Quantity(term.group, pair, "correlation", place, order))
    return [*found, _Quantity("Residual", "", "sd")]


class _Held:
    """The deviance of a model with one quantity held, over smooth parameters with simple bounds.

    The held effects stand first in their term, so that a standard deviation is the first entry of the
    root times sigma, and a correlation is the direction of its second row. The parameters are the
    entries of all roots, and the logarithm of sigma; those that are held are not moved.
    """

    def __init__(self, model: GaussianModel, quantity: _Quantity) -> None:
        self.products, self.quantity = model.products, quantity
        diagonal = pack([np.eye(block.width) for block in self.products.blocks])
        self.diagonal = np.append(diagonal, 0.0) > 0
        starts = np.cumsum([0, *(b.width * (b.width + 1) // 2 for b in self.products.blocks)])
        self.first = int(starts[quantity.place]) if quantity.place >= 0 else len(diagonal)
        roots = list(model.optimum.roots)
        if quantity.place >= 0:
            covariance = roots[quantity.place] @ roots[quantity.place].T
            roots[quantity.place] = semidefinite_root(covariance[np.ix_(quantity.order, quantity.order)])
        sigma = math.sqrt(model.optimum.at.rss / self.products.n)
        self.best = np.append(pack(roots), math.log(sigma))
        self.width = len(quantity.order)

    def value(self, x: Floats) -> float:
        """Return the quantity, in units of the standardised response."""
        if self.quantity.kind == "correlation":
            row = x[[self.first + 1, self.first + self.width]]
            return float(row[0]) / max(float(np.linalg.norm(row)), 1e-300)
        sigma = math.exp(x[-1])
        return sigma if self.quantity.place < 0 else float(x[self.first]) * sigma / self.quantity.scale

    def with_value(self, x: Floats, value: float) -> Floats:
        """Return the parameters with the quantity at a value."""
        held = x.copy()
        if self.quantity.place < 0:
            held[-1] = math.log(max(value, 1e-300))
        elif self.quantity.kind == "sd":
            held[self.first] = value * self.quantity.scale / math.exp(x[-1])
        else:
            size = float(np.linalg.norm(x[[self.first + 1, self.first + self.width]]))
            held[self.first + 1], held[self.first + self.width] = value * size, math.sqrt(1 - value**2) * size
        return held

    def lowest(self, value: float, start: Floats) -> tuple[Floats, float]:
        """Return the lowest deviance with the quantity at a value, and where it is."""
        start = np.where(self.diagonal & (start < NUDGE), NUDGE, start)
        size = self.first + self.width if self.quantity.kind == "correlation" else -1

        def criterion(x: Floats) -> tuple[float, Floats]:
            held = x.copy()
            if self.quantity.kind == "correlation":
                held[self.first + 1], held[size] = value * x[size], math.sqrt(1 - value**2) * x[size]
            else:
                held = self.with_value(x, value)
            deviance, gradient = self._deviance(held)
            return deviance, self._free(gradient, held, value, size)

        if size >= 0:
            start = start.copy()
            start[size] = float(np.linalg.norm(start[[self.first + 1, size]]))
        bounds = [(0.0, None) if edge else (None, None) for edge in self.diagonal]
        found = optimize.minimize(criterion, start, jac=True, method="L-BFGS-B", bounds=bounds, options=STOP)
        end = found.x.copy()
        if size >= 0:
            end[self.first + 1], end[size] = value * end[size], math.sqrt(1 - value**2) * end[size]
            return end, float(found.fun)
        return self.with_value(end, value), float(found.fun)

    def _free(self, gradient: Floats, held: Floats, value: float, size: int) -> Floats:
        """Turn the gradient by all entries into that by those that are not held."""
        if self.quantity.place < 0:
            gradient[-1] = 0.0
        elif self.quantity.kind == "sd":
            gradient[-1] -= gradient[self.first] * held[self.first]
            gradient[self.first] = 0.0
        else:
            along = value * gradient[self.first + 1] + math.sqrt(1 - value**2) * gradient[size]
            gradient[self.first + 1], gradient[size] = 0.0, along
        return gradient

    def _deviance(self, x: Floats) -> tuple[float, Floats]:
        products, variance = self.products, math.exp(2 * x[-1])
        roots = list(unpack(x[:-1], products.blocks))
        place, back = self.quantity.place, np.argsort(self.quantity.order)
        if place >= 0:
            roots[place] = roots[place][back]
        at = factorise(products, roots, reml=False)
        first = slopes_at(products, at, variance)
        steps = [2 * d @ root for d, root in zip(first.by_covariance, roots, strict=True)]
        if place >= 0:
            steps[place] = steps[place][list(self.quantity.order)]
        deviance = at.log_det + products.n * math.log(2 * math.pi * variance) + at.rss / variance
        return deviance, np.append(pack(steps), 2 * products.n - 2 * at.rss / variance)


def _variance_interval(model: GaussianModel, quantity: _Quantity, drop: float) -> tuple[float, float, float]:
    held = _Held(model, quantity)
    unit = 1.0 if quantity.kind == "correlation" else model.products.unit
    limit = model.optimum.at.deviance + drop
    estimate = held.value(held.best)
    warm = {"x": held.best}

    def excess(value: float) -> float:
        # with a quantity held there can be two minima, one of them at a standard deviation of zero
        ends = [held.lowest(value, start) for start in (warm["x"], held.best)]
        warm["x"], deviance = min(ends, key=lambda end: end[1])
        return deviance - limit

    step = 0.25 * estimate + 1e-3 if quantity.kind == "sd" else 0.1
    low = _crossing(excess, estimate, -step, quantity.lowest)
    warm["x"] = held.best
    high = _crossing(excess, estimate, step, quantity.highest)
    return estimate * unit, low * unit, high * unit


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
