"""``fit_mixed``: fit a mixed model to a data frame, and what its result can say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.errors import UsageError, did_you_mean
from alignaudit.infer.mixed.contrast import checked_level, contrasts, tidy_table
from alignaudit.infer.mixed.describe import describe_fit, plain_records, without_p
from alignaudit.infer.mixed.design import MixedDesign, build_design
from alignaudit.infer.mixed.effects import effects_table, reliability_table, share_table
from alignaudit.infer.mixed.generalised import fit_generalised
from alignaudit.infer.mixed.generalised_fit import GeneralisedFit, generalised_result
from alignaudit.infer.mixed.heteroscedastic import ResidualStrata, fit_strata
from alignaudit.infer.mixed.model import GaussianModel, fit_gaussian, variance_table
from alignaudit.infer.mixed.optimise import Certificate

__all__ = ["MixedFit", "fit_mixed"]

Floats = NDArray[np.float64]
Family = Literal["gaussian", "binomial", "beta-binomial"]
FAMILIES: tuple[Family, ...] = ("gaussian", "binomial", "beta-binomial")


@dataclass(frozen=True)
class MixedFit:
    """A linear mixed model, fitted.

    Attributes
    ----------
    formula, method
        What was fitted, and by which likelihood: ``reml`` or ``ml``.
    loglik
        Log-likelihood, restricted for ``reml``; comparable with lme4's.
    sigma
        Residual standard deviation, the unit of the response.
    theta
        Shape [m]: relative Cholesky factors of the random effects' covariances, in lme4's order.
    fixed_effects
        Estimates by name.
    covariance
        Shape [p, p]: their model-based covariance.
    variance_components
        Columns ``group, term, with_term, vcov, sdcor``; the residual last.
    is_singular
        Whether a variance is zero or a correlation ±1, by lme4's rule: a diagonal of theta is below
        1e-4, which for a slope depends on the unit of its column.
    certificate
        Evidence that this is the optimum.
    n
        Rows used.
    groups
        Number of groups by grouping.
    notes
        Decisions on the way: rows and columns left out.
    residual_strata
        Residual standard deviations by group of rows, where they were asked for.
    model
        Everything else, for further inference.
    """

    formula: str
    method: str
    loglik: float
    sigma: float
    theta: Floats
    fixed_effects: pd.Series
    covariance: pd.DataFrame
    variance_components: pd.DataFrame
    is_singular: bool
    certificate: Certificate
    n: int
    groups: Mapping[str, int]
    notes: tuple[str, ...]
    residual_strata: ResidualStrata | None
    model: GaussianModel = field(repr=False)

    def tidy(self, df: str = "strata", conf_level: float = 0.95, *, force: bool = False) -> pd.DataFrame:
        """Return the fixed effects with their tests of zero and intervals.

        Parameters
        ----------
        df
            ``strata`` (:mod:`alignaudit.infer.mixed.strata`; holds its level in designs with few runs),
            ``kenward-roger``, ``satterthwaite`` or ``wald`` (a z test).
        conf_level
            Nominal coverage of the intervals.
        force
            Go on although the fit is not certified.

        Returns
        -------
        pandas.DataFrame
            Columns ``term, estimate, std_error, df, statistic, p_value, conf_low, conf_high``.

        Raises
        ------
        UsageError
            If ``df`` or ``conf_level`` is unknown.
        FitError
            If the fit is not certified and ``force`` is not set.
        """
        names = self.model.design.fixed_names
        found = contrasts(self.model, np.eye(len(names)), names, df=df, force=force)
        return tidy_table(found, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row about the whole fit.

        Returns
        -------
        pandas.DataFrame
            Columns ``method, n, parameters, loglik, deviance, aic, bic, sigma, is_singular, certified``.
        """
        strata = self.residual_strata.df if self.residual_strata else 0
        parameters = len(self.theta) + len(self.fixed_effects) + 1 + strata
        deviance = -2 * self.loglik
        row = {
            "method": self.method, "n": self.n, "parameters": parameters, "loglik": self.loglik,
            "deviance": deviance, "aic": deviance + 2 * parameters,
            "bic": deviance + math.log(self.n) * parameters, "sigma": self.sigma,
            "is_singular": self.is_singular, "certified": self.certificate.passed,
        }  # fmt: skip
        return pd.DataFrame([row])

    def random_effects(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the conditional modes of the random effects with prediction intervals.

        Parameters
        ----------
        conf_level
            Nominal coverage, by the normal distribution, the variances taken as known.

        Returns
        -------
        pandas.DataFrame
            Columns ``group, level, term, estimate, std_error, conf_low, conf_high``; the standard
            error is that of the prediction, with the uncertainty of the fixed effects.
        """
        return effects_table(self.model, conf_level=checked_level(conf_level))

    def variance_shares(self) -> pd.DataFrame:
        """Return what each grouping and the residual contribute to the variance of an observation.

        Returns
        -------
        pandas.DataFrame
            Columns ``group, variance, share``; intervals come from
            :func:`alignaudit.infer.mixed.bootstrap.bootstrap_intervals`.
        """
        return share_table(self.model)

    def reliability(self) -> pd.DataFrame:
        """Return how reliably the data tell the groups of each grouping apart.

        Returns
        -------
        pandas.DataFrame
            Columns ``group, term, reliability``, between 0 and 1; NaN where a variance is zero.
        """
        return reliability_table(self.model)

    def refit(self, response: Floats) -> MixedFit:
        """Return the same model fitted to another response; residual ratios stay as they were estimated.

        Parameters
        ----------
        response
            Shape [n], one value for each row used.

        Raises
        ------
        FitError
            If the response does not vary beyond the fixed effects.
        """
        return self.with_model(self.model.refit(np.asarray(response, dtype=np.float64)))

    def with_model(self, model: GaussianModel) -> MixedFit:
        """Return the result of another fit of the same model."""
        return _result(model, method=self.method)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the model's arrays as plain values, for JSON."""
        return {
            "formula": self.formula,
            "method": self.method,
            "n": self.n,
            "groups": dict(self.groups),
            "loglik": self.loglik,
            "sigma": self.sigma,
            "theta": self.theta.tolist(),
            "is_singular": self.is_singular,
            "fixed_effects": plain_records(without_p(self.tidy(force=True), self.certificate)),
            "variance_components": plain_records(self.variance_components),
            "residual_strata": self.residual_strata.to_dict() if self.residual_strata else None,
            "certificate": asdict(self.certificate),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return the result as text: first what was fitted, on what, and how."""
        return describe_fit(
            kind="Linear mixed model", method=self.method, formula=self.formula, n=self.n, groups=self.groups,
            loglik=self.loglik, certificate=self.certificate, notes=self.notes,
            variances=self.variance_components, fixed=self.tidy(force=True),
            df_words="degrees of freedom by strata", more=self._residual_lines(),
        )  # fmt: skip

    def _residual_lines(self) -> list[str]:
        if self.residual_strata is None:
            return []
        strata = self.residual_strata
        pairs = zip(strata.levels, strata.standard_deviations, strict=True)
        deviations = ", ".join(f"{level} {deviation:.4g}" for level, deviation in pairs)
        p_text = "<.0001" if strata.p_value < 1e-4 else f"= {strata.p_value:.4f}"
        return [f"  residual sd by {strata.column}: {deviations} (equal: p {p_text} by likelihood ratio)"]


def fit_mixed(
    formula: str,
    data: pd.DataFrame,
    *,
    method: Literal["reml", "ml"] = "reml",
    family: Family = "gaussian",
    weights: str | Sequence[float] | None = None,
    offset: str | Sequence[float] | None = None,
    residuals: str | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> MixedFit | GeneralisedFit:
    """Fit a mixed model with crossed or nested random effects to a data frame.

    Parameters
    ----------
    formula
        lme4's syntax: ``score ~ schedule * task + (1 + schedule | language) + (1 | seed/schedule)``.
    data
        One row per observation. The first level of a factor is the reference: the first of ``levels``,
        else of the column's categories, else the first to appear, never the first of the alphabet.
    method
        ``reml`` for estimates and tests, ``ml`` to compare fixed parts by likelihood; counts are
        always fitted by (approximate) full likelihood.
    family
        ``gaussian``; or ``binomial`` or ``beta-binomial`` with logit link, for a response of 0 and 1,
        ``cbind(successes, failures)``, or shares whose ``weights`` are their trials.
    weights, offset
        A column or one number per row: precision weights, and a known part of the mean.
    residuals
        A column whose groups have residual variances of their own (gaussian only).
    levels
        Order of the levels of some factors.

    Returns
    -------
    MixedFit or GeneralisedFit
        With a certificate of optimality; without it there are no p-values.

    Raises
    ------
    FitError
        If formula and data do not make a model that can be fitted.
    UsageError
        If the method or family is unknown.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1).

    Examples
    --------
    >>> frame = pd.DataFrame({
    ...     "yield_g": [1545.0, 1440, 1440, 1540, 1555, 1490, 1595, 1550, 1605, 1445, 1440, 1595],
    ...     "batch": list("AABBCCDDEEFF"),
    ... })
    >>> fit = fit_mixed("yield_g ~ 1 + (1 | batch)", frame)
    >>> fit.certificate.passed, fit.groups
    (True, {'batch': 6})
    """
    if method not in ("reml", "ml"):
        raise UsageError(f'there is no method "{method}".', hint='Choose "reml" or "ml".')
    if family not in FAMILIES:
        raise UsageError(f'there is no family "{family}".', hint=did_you_mean(family, FAMILIES))
    counts = family != "gaussian"
    if counts and residuals is not None:
        raise UsageError(f"a {family} model has no residual variance to differ by {residuals}.")
    design = build_design(
        formula, data, weights=weights, offset=offset, residuals=residuals, levels=levels, saturated=counts
    )
    if family == "binomial" or family == "beta-binomial":
        return generalised_result(design, fit_generalised(design, family), _notes(design))
    if residuals is not None:
        return _result(*fit_strata(design, residuals, reml=method == "reml"), method=method)
    return _result(fit_gaussian(design, reml=method == "reml"), method=method)


def _result(model: GaussianModel, strata: ResidualStrata | None = None, *, method: str) -> MixedFit:
    design = model.design
    names = list(design.fixed_names)
    return MixedFit(
        formula=design.formula.text, method=method, loglik=model.loglik,
        sigma=math.sqrt(model.residual_variance), theta=model.theta,
        fixed_effects=pd.Series(model.coefficients, index=names, name="estimate"),
        covariance=pd.DataFrame(model.covariance, index=names, columns=names),
        variance_components=variance_table(design, model.covariances(), model.residual_variance),
        is_singular=model.singular, certificate=model.optimum.certificate, n=design.n,
        groups={term.group: len(term.levels) for term in design.terms},
        notes=_notes(design, saturated=model.saturated), residual_strata=strata, model=model,
    )  # fmt: skip


def _notes(design: MixedDesign, *, saturated: bool = False) -> tuple[str, ...]:
    notes = []
    if saturated:
        notes.append(
            "Fixed and random effects together could fit every row: the residual is hardly identified."
        )
    if design.dropped_rows:
        notes.append(f"{design.dropped_rows} rows with missing values are left out.")
    if design.dropped_columns:
        columns = ", ".join(design.dropped_columns)
        notes.append(f"Fixed effects that depend on earlier ones are left out: {columns}.")
    return tuple(notes)
