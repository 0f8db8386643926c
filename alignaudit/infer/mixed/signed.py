"""A fit in which one variance may be estimated below zero, so that its stratum stays in the error of a test.

Where the runs vary less than the residuals within them would make them vary, the likelihood puts the
variance between runs at zero, and the error of a contrast between runs is then taken from all residuals.
That choice is made by the data and favours rejection. If the variance may be negative, the error remains
what the runs themselves show: in balanced designs the mean square of their stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from alignaudit.infer.mixed.criterion import Slopes, factorise, slopes
from alignaudit.infer.mixed.curvature import curvature
from alignaudit.infer.mixed.design import independent_columns
from alignaudit.infer.mixed.model import GaussianModel, fit_gaussian
from alignaudit.infer.mixed.optimise import Optimum, newton_step, root_gradient, root_hessian
from alignaudit.infer.mixed.products import CrossProducts, cross_products, standardised_rows
from alignaudit.infer.mixed.roots import pack, unpack

__all__ = ["with_fixed_groups", "with_signed_variance"]

Floats = NDArray[np.float64]
ROOM = 1e-6
"""Smallest share of a group's residual variance that a negative variance leaves."""

MOST_FIXED = 200
"""Groups that may be taken as fixed."""

STOP = {"maxiter": 500, "ftol": 1e-8, "gtol": 1e-5}
NEWTON_STEPS = 10
ENOUGH = 1e-11
"""Deviance still to gain at which the search ends."""


def with_signed_variance(model: GaussianModel, term: int) -> GaussianModel:
    """Return a fit with the variance of one term anywhere above what keeps the covariance positive.

    Parameters
    ----------
    model
        A fit by the likelihood to be used, the variance of the term estimated as zero.
    term
        Index of the term in the design; it has a single effect per group.

    Returns
    -------
    GaussianModel
        With the term eliminated, its variance and the others' at the new optimum; for standard errors
        of fixed effects, not for its roots.

    References
    ----------
    Littell, Milliken, Stroup, Wolfinger & Schabenberger (2006), SAS for Mixed Models, 2nd edition,
    section 4.4 (negative variance estimates and the level of tests).
    """
    rows, products = model.rows, model.products
    if products.first.term != term:
        rows = standardised_rows(model.design, first=term)
        products = cross_products(model.design, rows, first=term)
    by_term = {b.term: root for b, root in zip(model.products.blocks, model.optimum.roots, strict=True)}
    others = [np.maximum(by_term[block.term], 0.05 * np.eye(block.width)) for block in products.rest]
    theta = _polished(products, _search(products, others, reml=model.reml), reml=model.reml)
    roots = _roots(products, theta)
    at = factorise(products, roots, reml=model.reml, first_variance=float(theta[0]))
    optimum = Optimum(roots, at, curvature(products, at), model.certificate)
    return replace(model, rows=rows, products=products, optimum=optimum)


def with_fixed_groups(model: GaussianModel, term: int) -> GaussianModel:
    """Return a fit in which the groups of one term are fixed effects, after those of the model.

    Parameters
    ----------
    model
        A fit.
    term
        Index of the term in the design; it has a single effect per group.

    Returns
    -------
    GaussianModel
        By the same likelihood; the model itself where there are too many groups for that.

    References
    ----------
    Yates (1940), Annals of Eugenics 10, 317-325 (intra-block analysis).
    """
    design, chosen = model.design, model.design.terms[term]
    if len(chosen.levels) > MOST_FIXED or len(design.terms) < 2:
        return model
    dummies = chosen.values * np.eye(len(chosen.levels))[chosen.index]
    columns = np.hstack([design.fixed, dummies])
    keep = independent_columns(columns)
    if keep.sum() >= design.n:
        return model
    names = (*design.fixed_names, *(f"{chosen.group}[{level}]" for level in chosen.levels))
    fixed = replace(
        design, fixed=np.ascontiguousarray(columns[:, keep]),
        fixed_names=tuple(name for name, used in zip(names, keep, strict=True) if used),
        terms=tuple(other for other in design.terms if other is not chosen),
    )  # fmt: skip
    rows = standardised_rows(fixed)
    products = cross_products(fixed, rows)
    known = {b.term: root for b, root in zip(model.products.blocks, model.optimum.roots, strict=True)}
    kept = [place for place in range(len(design.terms)) if place != term]
    start = [known[kept[b.term]] + 0.05 * np.eye(b.width) for b in products.blocks]
    return fit_gaussian(fixed, reml=model.reml, start=start, rows=rows, products=products)


def _roots(products: CrossProducts, theta: Floats) -> tuple[Floats, ...]:
    """Return the roots of all terms, that of the signed one as zero."""
    return (np.zeros((1, 1)), *unpack(theta[1:], products.rest))


def _gradient(first: Slopes, roots: Sequence[Floats]) -> Floats:
    """Return the derivatives of the deviance by the signed variance and the packed roots of the others."""
    gradient = root_gradient(first, roots)
    gradient[0] = first.by_covariance[0][0, 0]
    return gradient


def _lowest(products: CrossProducts) -> float:
    return -(1 - ROOM) / float(products.first_first.max())


def _search(products: CrossProducts, others: Sequence[Floats], *, reml: bool) -> Floats:
    """Return the signed variance and the packed roots of the other terms, near the optimum."""

    def criterion(theta: Floats) -> tuple[float, Floats]:
        roots = _roots(products, theta)
        at = factorise(products, roots, reml=reml, first_variance=float(theta[0]))
        return at.deviance, _gradient(slopes(products, at), roots)

    diagonal = pack([np.eye(block.width) for block in products.rest]) if products.rest else np.zeros(0)
    bounds = [(_lowest(products), None), *[(0.0 if value else None, None) for value in diagonal]]
    start = np.append(0.0, pack(others)) if others else np.zeros(1)
    return optimize.minimize(criterion, start, jac=True, method="L-BFGS-B", bounds=bounds, options=STOP).x


def _polished(products: CrossProducts, theta: Floats, *, reml: bool) -> Floats:
    """Take Newton steps as long as the gain that the quadratic model expects falls."""
    best, lowest_gap = theta, np.inf
    for _ in range(NEWTON_STEPS):
        roots = _roots(products, theta)
        at = factorise(products, roots, reml=reml, first_variance=float(theta[0]))
        curved = curvature(products, at)
        hessian = root_hessian(products, at, curved, roots, signed_first=True)
        step, gap = newton_step(_gradient(curved.slopes, roots), hessian)
        if not gap < lowest_gap:
            break
        best, lowest_gap = theta, gap
        if gap < ENOUGH:
            break
        theta = theta + step
        if not theta[0] > _lowest(products):
            break
    return best
