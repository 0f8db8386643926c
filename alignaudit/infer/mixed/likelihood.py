"""Tests by likelihood ratio: of fixed effects, and of variance components."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.fit import MixedFit
from alignaudit.infer.mixed.generalised_fit import GeneralisedFit
from alignaudit.infer.mixed.model import GaussianModel, certified
from alignaudit.infer.mixed.optimise import Certificate

__all__ = [
    "LikelihoodRatio",
    "check_nested",
    "exact_variance_test",
    "likelihood_ratio_test",
    "restricted_null_draws",
    "variance_component_test",
]

Floats = NDArray[np.float64]


class _Likelihood(Protocol):
    """What a likelihood ratio needs of a fit."""

    @property
    def design(self) -> MixedDesign: ...
    @property
    def theta(self) -> Floats: ...
    @property
    def loglik(self) -> float: ...
    @property
    def certificate(self) -> Certificate: ...


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """A test by likelihood ratio.

    Attributes
    ----------
    statistic
        Twice the difference of the log-likelihoods, never below 0.
    df
        Difference of the numbers of parameters.
    p_value
        Of the larger model against the smaller.
    reference
        The null distribution, in words.
    loglik_small, loglik_large
        Log-likelihoods (restricted for variance components).
    """

    statistic: float
    df: int
    p_value: float
    reference: str
    loglik_small: float
    loglik_large: float


def likelihood_ratio_test(
    small: MixedFit | GeneralisedFit, large: MixedFit | GeneralisedFit, *, force: bool = False
) -> LikelihoodRatio:
    """Test fixed effects that one model has and another, nested in it, has not.

    Parameters
    ----------
    small, large
        Models of the same rows and family with the same random part; linear ones are refitted by full
        likelihood where they were not.
    force
        Go on although a fit is not certified.

    Returns
    -------
    LikelihoodRatio
        By the chi-square distribution, which is liberal for few groups; a parametric bootstrap is not.

    Raises
    ------
    FitError
        If the models are not nested so, or a fit is not certified.

    References
    ----------
    Wilks (1938), Annals of Mathematical Statistics 9, 60-62; Pinheiro & Bates (2000), section 2.4.1
    (full likelihood only).
    """
    if isinstance(small, GeneralisedFit) or isinstance(large, GeneralisedFit):
        if not (isinstance(small, GeneralisedFit) and isinstance(large, GeneralisedFit)):
            raise FitError("a linear model and one for counts cannot be compared by likelihood.")
        if small.family != large.family:
            raise FitError(f"a {small.family} and a {large.family} model differ in more than fixed effects.")
        return _nested(small, large, force)
    return _nested(small.model.unrestricted, large.model.unrestricted, force)


def _nested(first: _Likelihood, second: _Likelihood, force: bool) -> LikelihoodRatio:
    """Compare two models that may differ in their fixed parts only."""
    _same_rows(first, second, force)
    if not _spanned(first.design.fixed, second.design.fixed):
        raise FitError("the fixed part of the smaller model is not contained in that of the larger.")
    if _random_effects(first.design) != _random_effects(second.design):
        raise FitError(
            "the models differ in their random parts.", hint="Use variance_component_test for those."
        )
    df = second.design.fixed.shape[1] - first.design.fixed.shape[1]
    if df < 1:
        raise FitError("the larger model has no more fixed effects than the smaller.")
    return _ratio(first, second, df, stats.chi2.sf, f"chi-square with {df} df")


def variance_component_test(small: MixedFit, large: MixedFit, *, force: bool = False) -> LikelihoodRatio:
    """Test one more variance, with its covariances, by the mixture of chi-squares.

    Parameters
    ----------
    small, large
        Models of the same rows with the same fixed part; the larger has one more random effect in
        one of its terms, or one more term with one effect. Both are taken by restricted likelihood.
    force
        Go on although a fit is not certified.

    Returns
    -------
    LikelihoodRatio
        For a variance with r covariances the null distribution is half chi-square with r and half
        with r + 1 degrees of freedom. That holds for many independent groups; it is conservative for
        few. :func:`exact_variance_test` is exact for a single variance component, and a parametric
        bootstrap applies always.

    Raises
    ------
    FitError
        If the models are not nested so, or a fit is not certified.

    References
    ----------
    Self & Liang (1987), J. American Statistical Association 82, 605-610, case 5; Stram & Lee (1994),
    Biometrics 50, 1171-1177.
    """
    first, second = small.model.restricted, large.model.restricted
    _same_rows(first, second, force)
    same = _spanned(first.design.fixed, second.design.fixed) and first.products.p == second.products.p
    if not same:
        raise FitError("the models differ in their fixed parts.", hint="Use likelihood_ratio_test for those.")
    small_effects, large_effects = _random_effects(first.design), _random_effects(second.design)
    more = large_effects - small_effects
    extra = len(second.theta) - len(first.theta)
    if small_effects - large_effects or more.total() != 1:
        raise FitError(
            f"the random part of the smaller model is not nested in that of the larger with one effect less: "
            f"the larger has {more.total()} more random effects."
        )
    return _ratio(
        first, second, extra, lambda x, df: _mixture_tail(x, df - 1),
        f"half chi-square with {extra - 1}, half with {extra} df",
    )  # fmt: skip


def exact_variance_test(
    fit: MixedFit, *, rng: np.random.Generator, draws: int = 10_000, force: bool = False
) -> LikelihoodRatio:
    """Test the only variance component of a model exactly, by restricted likelihood.

    Parameters
    ----------
    fit
        A model with one random term of one effect.
    rng
        Random stream for the null distribution.
    draws
        Number of draws from it.
    force
        Go on although the fit is not certified.

    Returns
    -------
    LikelihoodRatio
        With ``p = (1 + #{draw >= statistic}) / (draws + 1)``; exact up to the number of draws, at any
        number of groups, balanced or not.

    Raises
    ------
    FitError
        If there is more than one variance component, or the fit is not certified.

    References
    ----------
    Crainiceanu & Ruppert (2004), J. Royal Statistical Society B 66, 165-185, theorem 1.
    """
    model = fit.model.restricted
    certified(model.certificate, force=force)
    if len(model.theta) != 1:
        raise FitError(
            f"the exact test is for a single variance component, and the model has {len(model.theta)}.",
            hint="Use a parametric bootstrap.",
        )
    null = _null_restricted_loglik(model)
    statistic = max(0.0, 2 * (model.loglik - null))
    draw = restricted_null_draws(model, rng=rng, draws=draws)
    p_value = (1 + int((draw >= statistic - 1e-9).sum())) / (draws + 1)
    return LikelihoodRatio(
        statistic, 1, p_value, f"exact null distribution, {draws} draws", null, model.loglik
    )


def restricted_null_draws(model: GaussianModel, *, rng: np.random.Generator, draws: int) -> Floats:
    """Draw from the null distribution of the restricted likelihood ratio of a single variance.

    Parameters
    ----------
    model
        A model with one random term of one effect, by restricted likelihood.
    rng, draws
        Random stream, and number of draws.

    Returns
    -------
    numpy.ndarray of float64, shape [draws]
        With the eigenvalues m of Z'(I - X(X'X)⁻¹X')Z and standard normal w, the maximum over the
        variance ratio v of ``f log(1 + N(v) / D(v)) - sum log(1 + v m)``, f = n - p,
        ``N = sum v m w² / (1 + v m)``, ``D = sum w² / (1 + v m) + chi2(f - q)``.

    References
    ----------
    Crainiceanu & Ruppert (2004), J. Royal Statistical Society B 66, 165-185, theorem 1.
    """
    products = model.products
    crossed = products.first_fixed[:, :-1]
    gram = np.diag(products.first_first[:, 0, 0]) - crossed @ crossed.T
    roots = np.linalg.eigvalsh(gram)
    roots = roots[roots > 1e-9 * roots[-1]]
    free = products.n - products.p
    squares = rng.chisquare(1, size=(draws, len(roots)))
    rest = rng.chisquare(free - len(roots), size=draws) if free > len(roots) else np.zeros(draws)
    ratios = np.concatenate([[0.0], np.logspace(-6, 6, 400) / float(roots.mean())])
    best = np.zeros(draws)
    for ratio in ratios:
        shrunk = 1 / (1 + ratio * roots)
        denominator = squares @ shrunk + rest
        numerator = squares @ (1 - shrunk)
        value = free * np.log1p(numerator / denominator) + float(np.log(shrunk).sum())
        np.maximum(best, value, out=best)
    return best


def _null_restricted_loglik(model: GaussianModel) -> float:
    """Return the restricted log-likelihood of the regression without random effects."""
    products = model.products
    free = products.n - products.p
    rss = float(products.fixed_fixed[-1, -1])
    deviance = free * (1 + math.log(2 * math.pi * rss / free)) + 2 * free * math.log(products.unit)
    deviance += 2 * float(np.log(np.abs(np.diagonal(model.rows.triangle))).sum()) - products.log_weights
    return -0.5 * deviance


def check_nested(small: GaussianModel, large: GaussianModel, *, force: bool) -> None:
    """Refuse two linear models of which the smaller is not nested in the larger.

    Parameters
    ----------
    small, large
        Models that may differ in their fixed parts, or in their random parts, not in both.
    force
        Go on although a fit is not certified.

    Raises
    ------
    FitError
        If they are not nested so, were not fitted to the same rows, or are not certified.
    """
    _same_rows(small, large, force)
    few, many = _random_effects(small.design), _random_effects(large.design)
    if not _spanned(small.design.fixed, large.design.fixed) or few - many:
        raise FitError("the smaller model is not nested in the larger.")
    wider = large.products.p > small.products.p
    if wider == bool(many - few):
        raise FitError("nested models must differ in their fixed part or in their random part, not in both.")


def _same_rows(first: _Likelihood, second: _Likelihood, force: bool) -> None:
    for model in (first, second):
        certified(model.certificate, force=force)
    one, other = first.design, second.design
    for name in ("response", "trials", "weights", "offset", "residual_groups"):
        ours, theirs = getattr(one, name), getattr(other, name)
        if (ours is None) != (theirs is None) or (ours is not None and not np.array_equal(ours, theirs)):
            raise FitError(
                f"the models were not fitted to the same {name.replace('_', ' ')}.",
                hint="Fit both to the same rows in the same way.",
            )


def _random_effects(design: MixedDesign) -> Counter[tuple[str, str]]:
    """Count the random effects by grouping and name."""
    return Counter((":".join(sorted(term.factors)), name) for term in design.terms for name in term.columns)


def _spanned(small: Floats, large: Floats) -> bool:
    """Return whether the columns of one matrix are combinations of those of another."""
    basis = np.linalg.qr(large / np.linalg.norm(large, axis=0))[0]
    unit = small / np.linalg.norm(small, axis=0)
    return bool(np.abs(unit - basis @ (basis.T @ unit)).max(initial=0.0) <= 1e-8)


def _mixture_tail(value: float, lower: int) -> float:
    tail = float(stats.chi2.sf(value, lower)) if lower > 0 else float(value <= 0)
    return 0.5 * tail + 0.5 * float(stats.chi2.sf(value, lower + 1))


def _ratio(
    small: _Likelihood, large: _Likelihood, df: int, tail: Callable[[float, int], float], words: str
) -> LikelihoodRatio:
    statistic = 2 * (large.loglik - small.loglik)
    if statistic < -1e-6 * max(1.0, abs(large.loglik)):
        raise FitError("the larger model fits worse than the smaller, so they are not nested.")
    statistic = max(0.0, statistic)
    return LikelihoodRatio(statistic, df, float(tail(statistic, df)), words, small.loglik, large.loglik)
