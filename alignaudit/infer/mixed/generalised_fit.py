"""The result of ``fit_mixed`` for counts: a binomial or beta-binomial mixed model, fitted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.errors import UsageError
from alignaudit.infer.mixed.contrast import Contrasts, checked_level, tidy_table
from alignaudit.infer.mixed.describe import describe_fit, plain_records, without_p
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.effects import effect_rows
from alignaudit.infer.mixed.generalised import GeneralisedOptimum
from alignaudit.infer.mixed.model import certified, variance_table
from alignaudit.infer.mixed.optimise import Certificate
from alignaudit.infer.mixed.roots import pack

__all__ = ["GeneralisedFit", "generalised_result"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GeneralisedFit:
    """A binomial or beta-binomial mixed model with logit link, fitted by Laplace's approximation.

    Attributes
    ----------
    formula, family
        What was fitted.
    loglik
        Laplace's approximation to the log-likelihood; comparable with glmmTMB's.
    theta
        Shape [m], logits: Cholesky factors of the random effects' covariances, in lme4's order.
    dispersion
        φ of the beta-binomial, infinite where the binomial fits best; None for the binomial.
    fixed_effects
        Estimates by name, logits.
    covariance
        Shape [p, p]: their covariance from the observed information.
    variance_components
        Columns ``group, term, with_term, vcov, sdcor``, logits.
    is_singular
        Whether a variance is zero or a correlation ±1 (lme4's rule, 1e-4).
    certificate
        Evidence that this is the optimum.
    n
        Rows used.
    groups
        Number of groups by grouping.
    notes
        Decisions on the way, and what a reader of the estimates has to know.
    design, optimum
        Everything else.
    """

    formula: str
    family: str
    loglik: float
    theta: Floats
    dispersion: float | None
    fixed_effects: pd.Series
    covariance: pd.DataFrame
    variance_components: pd.DataFrame
    is_singular: bool
    certificate: Certificate
    n: int
    groups: Mapping[str, int]
    notes: tuple[str, ...]
    design: MixedDesign = field(repr=False)
    optimum: GeneralisedOptimum = field(repr=False)

    def tidy(self, df: str = "wald", conf_level: float = 0.95, *, force: bool = False) -> pd.DataFrame:
        """Return the fixed effects with Wald tests of zero and intervals.

        Parameters
        ----------
        df
            ``wald`` only: no degrees of freedom for few groups are accepted for these models.
        conf_level
            Nominal coverage of the intervals.
        force
            Go on although the fit is not certified.

        Returns
        -------
        pandas.DataFrame
            Columns ``term, estimate, std_error, df, statistic, p_value, conf_low, conf_high``; logits.

        Raises
        ------
        UsageError
            If another method is asked for.
        FitError
            If the fit is not certified and ``force`` is not set.
        """
        if df != "wald":
            raise UsageError(
                f'there are no degrees of freedom "{df}" for a {self.family} mixed model.',
                hint="Use wald, and confirm few runs by a test of run means.",
            )
        certified(self.certificate, force=force)
        p = len(self.fixed_effects)
        found = Contrasts(
            names=self.design.fixed_names, rows=np.eye(p), estimates=self.optimum.beta,
            std_errors=np.sqrt(np.diagonal(self.optimum.beta_covariance)), df=np.full(p, math.inf),
            df_method="wald",
        )  # fmt: skip
        return tidy_table(found, conf_level=conf_level)

    @property
    def sigma(self) -> float:
        """Return 1, the scale of models without a residual."""
        return 1.0

    @property
    def model(self) -> NoReturn:
        """Refuse what only linear mixed models can do.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(
            f"this is not available for a {self.family} model, only for linear mixed models.",
            hint="Compare nested models of counts by likelihood_ratio_test.",
        )

    def glance(self) -> pd.DataFrame:
        """Return one row about the whole fit.

        Returns
        -------
        pandas.DataFrame
            Columns ``family, n, parameters, loglik, deviance, aic, bic, dispersion, is_singular, certified``.
        """
        parameters, deviance = self.optimum.n_parameters, -2 * self.loglik
        row = {
            "family": self.family, "n": self.n, "parameters": parameters, "loglik": self.loglik,
            "deviance": deviance, "aic": deviance + 2 * parameters,
            "bic": deviance + math.log(self.n) * parameters, "dispersion": self.dispersion,
            "is_singular": self.is_singular, "certified": self.certificate.passed,
        }  # fmt: skip
        return pd.DataFrame([row])

    def random_effects(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the conditional modes of the random effects with intervals.

        Parameters
        ----------
        conf_level
            Nominal coverage, by the normal distribution, all parameters taken as known.

        Returns
        -------
        pandas.DataFrame
            Columns ``group, level, term, estimate, std_error, conf_low, conf_high``; logits.
        """
        checked_level(conf_level)
        optimum = self.optimum
        sources = zip(self.design.terms, optimum.modes, optimum.mode_covariances, strict=True)
        frames = [
            effect_rows(
                term, column, modes[:, column], np.sqrt(covariances[:, column, column]), conf_level=conf_level
            )
            for term, modes, covariances in sources
            for column in range(len(term.columns))
        ]
        return pd.concat(frames, ignore_index=True)

    def fitted(self) -> Floats:
        """Return the fitted probabilities at the conditional modes, shape [n]."""
        return 1 / (1 + np.exp(-self.optimum.linear_predictor))

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as plain values, for JSON."""
        finite = self.dispersion is not None and math.isfinite(self.dispersion)
        return {
            "formula": self.formula,
            "family": self.family,
            "n": self.n,
            "groups": dict(self.groups),
            "loglik": self.loglik,
            "theta": self.theta.tolist(),
            "dispersion": self.dispersion if finite else None,
            "is_singular": self.is_singular,
            "fixed_effects": plain_records(without_p(self.tidy(force=True), self.certificate)),
            "variance_components": plain_records(self.variance_components),
            "certificate": asdict(self.certificate),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return the result as text: first what was fitted, on what, and how."""
        return describe_fit(
            kind=f"{self.family.capitalize()} mixed model with logit link", method="laplace",
            formula=self.formula, n=self.n, groups=self.groups, loglik=self.loglik,
            certificate=self.certificate, notes=self.notes, variances=self.variance_components,
            fixed=self.tidy(force=True), df_words="logits; Wald's z",
            more=() if self.dispersion is None else (f"  dispersion {self.dispersion:.4g}",),
        )  # fmt: skip


def generalised_result(
    design: MixedDesign, optimum: GeneralisedOptimum, notes: tuple[str, ...]
) -> GeneralisedFit:
    """Return the result of a fit.

    Parameters
    ----------
    design, optimum
        The model and its optimum.
    notes
        On the design; those of the optimum follow.
    """
    names = list(design.fixed_names)
    return GeneralisedFit(
        formula=design.formula.text, family=optimum.family, loglik=optimum.loglik, theta=pack(optimum.theta),
        dispersion=optimum.dispersion, fixed_effects=pd.Series(optimum.beta, index=names, name="estimate"),
        covariance=pd.DataFrame(optimum.beta_covariance, index=names, columns=names),
        variance_components=variance_table(design, [root @ root.T for root in optimum.theta], None),
        is_singular=any((np.diagonal(root) < 1e-4).any() for root in optimum.theta),
        certificate=optimum.certificate, n=design.n,
        groups={term.group: len(term.levels) for term in design.terms}, notes=(*notes, *optimum.notes),
        design=design, optimum=optimum,
    )  # fmt: skip
