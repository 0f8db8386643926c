"""A fitted linear mixed model in the units of its data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.mixed.criterion import conditional_rest
from alignaudit.infer.mixed.curvature import Information, information
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.optimise import Certificate, Optimum, minimise
from alignaudit.infer.mixed.products import (
    CrossProducts,
    Rows,
    cross_products,
    standardised_rows,
    with_response,
)
from alignaudit.infer.mixed.roots import pack

__all__ = ["GaussianModel", "certified", "fit_gaussian", "variance_table"]

Floats = NDArray[np.float64]

LARGE = 2000
"""Rows up to which it is tested whether all effects together fit every row."""

SINGULAR = 1e-4
"""Diagonal entry of a relative Cholesky factor below which lme4 calls a fit singular."""


@dataclass(frozen=True)
class GaussianModel:
    """A linear mixed model at its optimum, with its parts in standardised and in original units.

    Attributes
    ----------
    design, rows, products
        What was fitted.
    optimum
        In standardised units.
    """

    design: MixedDesign
    rows: Rows
    products: CrossProducts
    optimum: Optimum

    @property
    def certificate(self) -> Certificate:
        """Return the evidence that this is the optimum."""
        return self.optimum.certificate

    @property
    def reml(self) -> bool:
        """Return whether the restricted likelihood was maximised."""
        return self.optimum.at.reml

    @property
    def free(self) -> int:
        """Return the rows, less the fixed effects where the likelihood is restricted."""
        return self.products.n - (self.products.p if self.reml else 0)

    @property
    def residual_variance(self) -> float:
        """Return sigma², the squared unit of the response."""
        return self.products.unit**2 * self.optimum.at.rss / self.free

    @property
    def loglik(self) -> float:
        """Return the log-likelihood, restricted for REML, as lme4 reports it."""
        p = self.products
        deviance = self.optimum.at.deviance + 2 * self.free * math.log(p.unit) - p.log_weights
        if self.reml:
            deviance += 2 * float(np.log(np.abs(np.diagonal(self.rows.triangle))).sum())
        return -0.5 * deviance

    @cached_property
    def roots(self) -> tuple[Floats, ...]:
        """Return the relative Cholesky factors, shape [k, k] each, in the order of the design's terms."""
        by_term = {
            block.term: root / self.rows.scales[block.term][:, None]
            for block, root in zip(self.products.blocks, self.optimum.roots, strict=True)
        }
        return tuple(by_term[t] for t in range(len(by_term)))

    @property
    def theta(self) -> Floats:
        """Return the lower triangles of the roots by columns, shape [m], as lme4's theta."""
        return pack(self.roots)

    @property
    def singular(self) -> bool:
        """Return whether a diagonal entry of a relative factor is below 1e-4, lme4's rule."""
        return any((np.diagonal(root) < SINGULAR).any() for root in self.roots)

    @cached_property
    def coefficients(self) -> Floats:
        """Return the fixed effects, shape [p]."""
        p = self.products
        return np.asarray(np.linalg.solve(self.rows.triangle, p.ols + p.unit * self.optimum.at.beta))

    @cached_property
    def facts(self) -> Information:
        """Return traces, Hessian and moments at the optimum, in units of the residual variance."""
        return information(self.products, self.optimum.at, self.optimum.curved)

    @cached_property
    def restricted(self) -> GaussianModel:
        """Return this fit, or the one by restricted likelihood if this is by full likelihood."""
        if self.reml:
            return self
        return fit_gaussian(
            self.design, reml=True, start=self.optimum.roots, rows=self.rows, products=self.products
        )

    @cached_property
    def unrestricted(self) -> GaussianModel:
        """Return this fit, or the one by full likelihood if this is by restricted likelihood."""
        if not self.reml:
            return self
        return fit_gaussian(
            self.design, reml=False, start=self.optimum.roots, rows=self.rows, products=self.products
        )

    def refit(self, response: Floats) -> GaussianModel:
        """Return the same model fitted to another response, shape [n]; it reuses what the rows allow."""
        if response.shape != (self.products.n,) or not np.isfinite(response).all():
            raise FitError(f"a new response needs one finite value for each of {self.products.n} rows.")
        products = with_response(self.products, self.rows, response)
        design = replace(self.design, response=response)
        start = tuple(root + 0.05 * np.eye(len(root)) for root in self.optimum.roots)
        return fit_gaussian(design, reml=self.reml, start=start, rows=self.rows, products=products)

    def in_basis(self, contrasts: Floats) -> Floats:
        """Return contrasts of the fixed effects as rows over the orthonormal basis, shape [r, p]."""
        return np.asarray(np.linalg.solve(self.rows.triangle.T, np.atleast_2d(contrasts).T).T)

    @cached_property
    def covariance(self) -> Floats:
        """Return the model-based covariance of the fixed effects, shape [p, p], squared unit."""
        basis = self.in_basis(np.eye(self.products.p))
        return self.residual_variance * (basis @ self.facts.covariance @ basis.T)

    def covariances(self) -> tuple[Floats, ...]:
        """Return the covariance matrix of each term's effects, shape [k, k], squared unit."""
        return tuple(self.residual_variance * root @ root.T for root in self.roots)

    def modes(self) -> tuple[Floats, ...]:
        """Return the conditional modes of the random effects, shape [groups, k] each, by term."""
        p, at = self.products, self.optimum.at
        contrast = np.append(-at.beta, 1.0)
        rest = conditional_rest(p, at, contrast)
        first = p.first_fixed @ contrast - p.first_rest @ rest
        k = p.first.width
        by_term = {p.first.term: np.einsum("gab,gb->ga", at.gain, first.reshape(-1, k))}
        by_term |= {block.term: rest[block.place].reshape(-1, block.width) for block in p.rest}
        return tuple(p.unit * by_term[t] / self.rows.scales[t] for t in range(len(by_term)))

    @cached_property
    def saturated(self) -> bool:
        """Return whether fixed and random effects together could fit every row; False above 2,000 rows."""
        effects = sum(term.size for term in self.design.terms) + self.products.p
        if effects < self.products.n or self.products.n > LARGE:
            return False
        columns = np.hstack([self.rows.random.toarray(), self.rows.basis])
        return int(np.linalg.matrix_rank(columns)) >= self.products.n

    def fitted(self) -> Floats:
        """Return fixed and random parts and offset of each row, shape [n], the response's unit."""
        design = self.design
        total = design.fixed @ self.coefficients + design.offset
        for term, modes in zip(design.terms, self.modes(), strict=True):
            total = total + np.einsum("nk,nk->n", term.values, modes[term.index])
        return total


def fit_gaussian(
    design: MixedDesign,
    *,
    reml: bool,
    start: Sequence[Floats] | None = None,
    rows: Rows | None = None,
    products: CrossProducts | None = None,
) -> GaussianModel:
    """Fit a linear mixed model to a design.

    Parameters
    ----------
    design
        The model and its data.
    reml
        Restricted or full likelihood.
    start
        Standardised roots to start from, in the order of the products' blocks.
    rows, products
        Made from the design before; by default they are made here.

    Returns
    -------
    GaussianModel
        Its optimum's certificate says whether it is one.

    Raises
    ------
    FitError
        If the response is counts, or does not vary beyond the fixed effects.
    """
    if design.trials is not None:
        raise FitError("a cbind response needs family binomial or beta-binomial.", where=design.formula.text)
    if not design.fixed_names:
        raise FitError("a linear mixed model needs a fixed effect.", where=design.formula.text, hint="Add 1.")
    rows = standardised_rows(design) if rows is None else rows
    products = cross_products(design, rows) if products is None else products
    return GaussianModel(design, rows, products, minimise(products, reml=reml, start=start))


def variance_table(
    design: MixedDesign, covariances: Sequence[Floats], residual: float | None
) -> pd.DataFrame:
    """Return variances and covariances of random effects as a long table.

    Parameters
    ----------
    design
        The model.
    covariances
        Shape [k, k] each, by term, squared unit of the response.
    residual
        Residual variance, or None where there is none.

    Returns
    -------
    pandas.DataFrame
        Columns ``group``, ``term``, ``with_term`` (empty for a variance), ``vcov`` (variance or
        covariance) and ``sdcor`` (standard deviation or correlation), as lme4 names them; the last
        row is the residual.
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for term, covariance in zip(design.terms, covariances, strict=True):
        deviations = np.sqrt(np.diagonal(covariance))
        for i, name in enumerate(term.columns):
            rows.append((term.group, name, "", float(covariance[i, i]), float(deviations[i])))
        for i, name in enumerate(term.columns):
            for j in range(i + 1, len(term.columns)):
                size = deviations[i] * deviations[j]
                correlation = float(covariance[i, j] / size) if size > 0 else math.nan
                rows.append((term.group, name, term.columns[j], float(covariance[i, j]), correlation))
    if residual is not None:
        rows.append(("Residual", "", "", residual, math.sqrt(residual)))
    return pd.DataFrame(rows, columns=["group", "term", "with_term", "vcov", "sdcor"])


def certified(certificate: Certificate, *, force: bool) -> None:
    """Refuse p-values of a fit without a certificate.

    Raises
    ------
    FitError
        If the certificate was not passed and ``force`` is not set.
    """
    if not (certificate.passed or force):
        raise FitError(
            f"the fit is not certified as an optimum ({certificate}), so it gives no p-values.",
            hint="Simplify the random part, rescale its columns, or pass force=True.",
        )
