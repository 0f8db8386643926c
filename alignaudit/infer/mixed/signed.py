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

from alignaudit.infer.mixed.criterion import factorise, slopes
from alignaudit.infer.mixed.curvature import curvature
from alignaudit.infer.mixed.model import GaussianModel
from alignaudit.infer.mixed.optimise import Optimum, root_gradient
from alignaudit.infer.mixed.products import CrossProducts, cross_products, standardised_rows
from alignaudit.infer.mixed.roots import pack, unpack

__all__ = ["with_signed_variance"]

Floats = NDArray[np.float64]
ROOM = 1e-6
"""Smallest share of a group's residual variance that a negative variance leaves."""

STOP = {"maxiter": 500, "ftol": 1e-14, "gtol": 1e-8}


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
    variance, roots = _search(products, others, reml=model.reml)
    at = factorise(products, roots, reml=model.reml, first_variance=variance)
    optimum = Optimum(roots, at, curvature(products, at), model.optimum.certificate)
    return replace(model, rows=rows, products=products, optimum=optimum)


def _search(
    products: CrossProducts, others: Sequence[Floats], *, reml: bool
) -> tuple[float, tuple[Floats, ...]]:
    """Return the variance of the eliminated term and the roots of all terms (the first as good as unset)."""
    lowest = -(1 - ROOM) / float(products.first_first.max())
    own = np.zeros((1, 1))

    def criterion(theta: Floats) -> tuple[float, Floats]:
        roots = (own, *unpack(theta[1:], products.rest))
        at = factorise(products, roots, reml=reml, first_variance=float(theta[0]))
        first = slopes(products, at)
        gradient = root_gradient(first, roots)
        gradient[0] = first.by_covariance[0][0, 0]
        return at.deviance, gradient

    diagonal = pack([np.eye(block.width) for block in products.rest]) if products.rest else np.zeros(0)
    bounds = [(lowest, None), *[(0.0 if value else None, None) for value in diagonal]]
    start = np.append(0.0, pack(others)) if others else np.zeros(1)
    found = optimize.minimize(criterion, start, jac=True, method="L-BFGS-B", bounds=bounds, options=STOP)
    return float(found.x[0]), (own, *unpack(found.x[1:], products.rest))
