"""Binomial and beta-binomial mixed models by Laplace's approximation, certified at their optimum.

The fixed effects, the roots T_j of the covariances and, for the beta-binomial, the root τ of the
dispersion κ = τ² = 1/φ are estimated together, as in glmmTMB. κ is treated like one more variance: at
κ = 0 the model is binomial, and the derivative by κ tells there whether it should stay so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError, UsageError
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.families import counts
from alignaudit.infer.mixed.laplace import Model, approximate, derivatives
from alignaudit.infer.mixed.layout import layout
from alignaudit.infer.mixed.optimise import Certificate
from alignaudit.infer.mixed.outer import LARGEST_TAU, Place, find_optimum
from alignaudit.infer.mixed.separation import separated

__all__ = ["GeneralisedOptimum", "fit_generalised", "laplace_deviance"]

Floats = NDArray[np.float64]
Family = Literal["binomial", "beta-binomial"]

WIDE = 10.0
"""Standard deviation, in logits, from which on a note says that groups are all success or all failure."""

FAR = 10.0
"""Fixed part, in logits, from which on the data are tested for separation."""


@dataclass(frozen=True, slots=True)
class GeneralisedOptimum:
    """A fitted binomial or beta-binomial mixed model.

    Attributes
    ----------
    family
        Of the response, with logit link.
    loglik
        Laplace's approximation to the log-likelihood, binomial coefficients included.
    beta
        Shape [p], logits: fixed effects in the order of the design.
    beta_covariance
        Shape [p, p]: from the second derivatives by all parameters that are not on the boundary.
    theta
        Shape [k, k] each, by term of the design, logits in the units of the data: lower triangular T_j;
        the covariance of the effects is T_j T_j'.
    dispersion
        φ of the beta-binomial, whose variance is n μ (1 - μ) (φ + n) / (φ + 1); infinite where the
        binomial fits best; None for the binomial.
    modes
        Shape [groups, k] each, by term of the design: conditional modes of the effects.
    mode_covariances
        Shape [groups, k, k] each: conditional covariances, the parameters taken as known.
    linear_predictor
        Shape [n], logits: at the modes, offset included.
    n_parameters
        Number of parameters of the model, for information criteria.
    certificate
        As of linear models; the multipliers stand by term of the design, that of the beta-binomial's
        dispersion last; gradient and Hessian are by fixed effects (in units of about their standard
        errors), roots and τ.
    notes
        What a reader of the estimates has to know.
    """

    family: Family
    loglik: float
    beta: Floats
    beta_covariance: Floats
    theta: tuple[Floats, ...]
    dispersion: float | None
    modes: tuple[Floats, ...]
    mode_covariances: tuple[Floats, ...]
    linear_predictor: Floats
    n_parameters: int
    certificate: Certificate
    notes: tuple[str, ...]


def fit_generalised(
    design: MixedDesign, family: Family = "binomial", *, start: Sequence[Floats] | None = None
) -> GeneralisedOptimum:
    """Fit a binomial or beta-binomial mixed model with logit link.

    Parameters
    ----------
    design
        With a ``cbind`` response; or a response of 0 and 1; or shares and, as weights, their trials.
        For observation-level effects build it with ``saturated=True``.
    family
        ``binomial`` or ``beta-binomial``.
    start
        Shape [k, k] each, by term of the design, in the units of the data: T_j to start from.

    Returns
    -------
    GeneralisedOptimum
        Its certificate says whether the conditions of an optimum hold.

    Raises
    ------
    FitError
        If the response holds no counts, if the fixed effects separate successes from failures, if a
        beta-binomial has single trials only, or if no optimum can be evaluated.
    UsageError
        If the family is unknown.

    References
    ----------
    Breslow & Clayton (1993), J. American Statistical Association 88, 9-25 (the approximation); Brooks
    et al. (2017), The R Journal 9, 378-400 (glmmTMB, which maximises the same function); Harrison
    (2014), PeerJ 2, e616 (observation-level effects and the beta-binomial against overdispersion).

    Examples
    --------
    >>> import pandas as pd
    >>> from alignaudit.infer.mixed.design import build_design
    >>> frame = pd.DataFrame({"hits": [9, 4, 8, 7, 2, 3], "miss": [1, 6, 2, 3, 8, 7], "g": list("aabbcc")})
    >>> fit = fit_generalised(build_design("cbind(hits, miss) ~ 1 + (1 | g)", frame))
    >>> round(fit.loglik, 3), fit.certificate.passed
    (-14.114, True)
    """
    if family not in ("binomial", "beta-binomial"):
        raise UsageError(f'there is no family "{family}".', hint="Use binomial or beta-binomial.")
    model, triangle = _model(design, family)
    try:
        place = find_optimum(model, None if start is None else _standardised(model, start))
    except (FitError, np.linalg.LinAlgError) as error:
        _check_separation(design, model)
        what = error.what if isinstance(error, FitError) else "the search for the optimum broke down."
        raise FitError(what, where=design.formula.text) from error
    if not place.certificate.passed or float(np.abs(model.fixed @ place.coefficients).max()) > FAR:
        _check_separation(design, model)
    return _result(design, family, model, triangle, place)


def laplace_deviance(
    design: MixedDesign,
    family: Family,
    beta: Floats,
    theta: Sequence[Floats],
    dispersion: float | None = None,
) -> float:
    """Return minus twice Laplace's approximation to the log-likelihood at given parameters.

    Parameters
    ----------
    design, family
        The model.
    beta
        Shape [p], logits.
    theta
        Shape [k, k] each, by term of the design, in the units of the data.
    dispersion
        φ of the beta-binomial; may be infinite.

    Returns
    -------
    float
        The criterion that :func:`fit_generalised` minimises.

    Raises
    ------
    FitError
        As :func:`fit_generalised`.
    """
    model, triangle = _model(design, family)
    kappa = 1 / dispersion if dispersion else 0.0
    mean = np.zeros(design.n)
    return approximate(model, triangle @ beta, _standardised(model, theta), kappa, mean).deviance


def _model(design: MixedDesign, family: Family) -> tuple[Model, Floats]:
    """Return the model in an orthonormal basis of the fixed columns, and the triangle that leads there."""
    data = counts(design)
    if family == "beta-binomial" and data.trials.max() < 2:
        raise FitError(
            "a beta-binomial model needs rows with more than one trial.", where=design.formula.text,
            hint="Use the binomial family.",
        )  # fmt: skip
    basis, triangle = np.linalg.qr(design.fixed)
    return Model(data, layout(design), basis, design.offset, family == "beta-binomial"), triangle


def _standardised(model: Model, theta: Sequence[Floats]) -> tuple[Floats, ...]:
    """Return roots of the terms of the design in standardised units, in the order of the blocks."""
    effects = model.effects
    return tuple(
        scale[:, None] * np.asarray(theta[block.term], dtype=np.float64)
        for block, scale in zip(effects.blocks, effects.scales, strict=True)
    )


def _check_separation(design: MixedDesign, model: Model) -> None:
    names = separated(model.data, design.fixed, design.fixed_names)
    if names:
        raise FitError(
            f"{', '.join(names)} separate successes from failures, so their estimates are infinite.",
            where=design.formula.text,
            hint="Leave them out, or join levels that have only successes or failures.",
        )  # fmt: skip


def _result(
    design: MixedDesign, family: Family, model: Model, triangle: Floats, place: Place
) -> GeneralisedOptimum:
    effects, blocks = model.effects, model.effects.blocks
    spread = derivatives(model, place.at).spread
    by_term = np.argsort([block.term for block in blocks])
    starts = np.concatenate([[0], np.cumsum([block.size for block in blocks])])
    theta, modes, covariances = [], [], []
    for j in by_term:
        scale, block = effects.scales[j], blocks[j]
        theta.append(place.roots[j] / scale[:, None])
        modes.append(place.at.effects[starts[j] : starts[j + 1]].reshape(block.groups, block.width) / scale)
        covariances.append(spread.groups[j] / np.outer(scale, scale))
    inverse = np.linalg.inv(triangle)
    dispersion = None
    if model.dispersed:
        dispersion = 1 / place.tau**2 if place.tau else np.inf
    variances = sum(block.width * (block.width + 1) // 2 for block in blocks) + model.dispersed
    return GeneralisedOptimum(
        family=family, loglik=-place.at.deviance / 2, beta=inverse @ place.coefficients,
        beta_covariance=inverse @ place.covariance @ inverse.T, theta=tuple(theta), dispersion=dispersion,
        modes=tuple(modes), mode_covariances=tuple(covariances), linear_predictor=place.at.predictor,
        n_parameters=design.fixed.shape[1] + variances,
        certificate=_by_term(place.certificate, by_term), notes=_notes(design, theta, dispersion),
    )  # fmt: skip


def _by_term(certificate: Certificate, by_term: NDArray[np.intp]) -> Certificate:
    given = certificate.multipliers
    ordered = (*(given[j] for j in by_term), *given[len(by_term) :])
    return Certificate(
        certificate.passed, certificate.gradient_norm, certificate.deviance_gap, ordered,
        certificate.hessian_eigenvalues, certificate.restarts, certificate.evaluations,
    )  # fmt: skip


def _notes(design: MixedDesign, theta: Sequence[Floats], dispersion: float | None) -> tuple[str, ...]:
    notes = []
    if dispersion == np.inf:
        notes.append("The dispersion is infinite: the counts vary no more than the binomial model says.")
    if dispersion is not None and dispersion < LARGEST_TAU**-2:
        notes.append("The dispersion is zero: rows hold only successes or only failures.")
    for term, root in zip(design.terms, theta, strict=True):
        if float(np.sqrt((root**2).sum(axis=1) * np.mean(term.values**2, axis=0)).max()) > WIDE:
            notes.append(
                f"The effects of {term.group} have a standard deviation above {WIDE:g} logits: most groups "
                "have only successes or only failures, and Laplace's approximation is poor."
            )
    return tuple(notes)
