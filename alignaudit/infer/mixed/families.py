"""Log-likelihoods of successes out of trials, with the derivatives that Laplace's approximation needs.

The beta-binomial is written in κ = 1/φ instead of its precision φ:

    log P(y | n, μ, κ) = log C(n, y) + Σ_{i<y} log(μ + iκ) + Σ_{i<n-y} log(1 - μ + iκ) - Σ_{i<n} log(1 + iκ),

which is smooth at κ = 0, where it is the binomial, while its usual form in gamma functions loses all
digits there. The sums are taken term by term at their start and by the formula of Euler and Maclaurin
from there on, so they cost the same for ten trials and for a million.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import MixedDesign

__all__ = ["Counts", "Pointwise", "beta_binomial", "binomial", "counts"]

Floats = NDArray[np.float64]

FARTHEST = 200.0
"""Logit beyond which the beta-binomial is taken as constant: the cube of its share would underflow."""

HEAD = 10
"""Terms of a sum that are added one by one."""

_MACLAURIN = ((1, 1 / 12), (3, -1 / 720), (5, 1 / 30240), (7, -1 / 1209600), (9, 1 / 47900160))
"""Order of a derivative, and its coefficient B_2k / (2k)! in the formula of Euler and Maclaurin."""

PLAIN = (
    tuple(weight * math.factorial(k - 1) for k, weight in _MACLAURIN),
    *(tuple(weight * math.prod(range(p, p + k)) for k, weight in _MACLAURIN) for p in (1, 2, 3)),
)
"""Coefficients of the derivatives of log(μ + iκ), at 0, and of minus those of (μ + iκ)^-p, at p."""

RANKED = (
    (),
    *(tuple(weight * k * math.prod(range(p, p + k - 1)) for k, weight in _MACLAURIN) for p in (1, 2, 3)),
)
"""Coefficients of what the factor i adds to those."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Successes out of trials.

    Attributes
    ----------
    successes, trials
        Shape [n], whole numbers.
    log_ways
        Sum over the rows of the logarithm of the number of ways to have so many successes.
    sizes, multiplicity
        Shape [distinct]: the numbers of trials that occur, and in how many rows.
    """

    successes: Floats
    trials: Floats
    log_ways: float
    sizes: Floats
    multiplicity: Floats


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Minus the log-likelihood and its derivatives by the linear predictor, row by row.

    Attributes
    ----------
    loss
        Minus the log-likelihood of all rows.
    score
        Shape [n]: minus the first derivative of the loss.
    weight
        Shape [n]: second derivative of the loss; the beta-binomial's can be below zero.
    safe_weight
        Shape [n]: the quasi-likelihood's weight, which is never below zero.
    third
        Shape [n]: third derivative of the loss.
    loss_by_dispersion, score_by_dispersion, weight_by_dispersion
        Derivatives of the first three by κ, shapes [], [n] and [n]; zero for the binomial.
    dispersion_scale
        Natural scale of twice ``loss_by_dispersion``: sum of (n - 1) / (1 + (n - 1) ρ), ρ = κ / (1 + κ).
    """

    loss: float
    score: Floats
    weight: Floats
    safe_weight: Floats
    third: Floats
    loss_by_dispersion: float
    score_by_dispersion: Floats
    weight_by_dispersion: Floats
    dispersion_scale: float


def counts(design: MixedDesign) -> Counts:
    """Return the successes and trials of a design.

    Parameters
    ----------
    design
        With a ``cbind`` response; or a response of 0 and 1; or proportions and, as weights, their trials.

    Returns
    -------
    Counts
        Whole numbers.

    Raises
    ------
    FitError
        If successes are no whole numbers from zero to the trials, or all rows are alike.
    """
    where = design.formula.text
    weighted = bool((design.weights != 1).any())
    if design.trials is not None and weighted:
        raise FitError(
            "counts of successes and failures cannot have weights as well.", where=where,
            hint="Give the counts alone.",
        )  # fmt: skip
    trials = design.weights if design.trials is None else design.trials
    successes = design.response * trials if design.trials is None else design.response
    y, n = np.round(successes), np.round(trials)
    slack = 1e-6 * np.maximum(1.0, n)
    if (
        (np.abs(y - successes) > slack).any()
        or (np.abs(n - trials) > slack).any()
        or (y < 0).any()
        or (y > n).any()
    ):
        raise FitError(
            "successes must be whole numbers from 0 to the number of trials.", where=where,
            hint="Write cbind(successes, failures), a column of 0 and 1, or shares with trials as weights.",
        )  # fmt: skip
    if not y.any() or not (n - y).any():
        raise FitError(
            f"every trial is a {'success' if y.any() else 'failure'}, so no effect can be estimated.",
            where=where,
        )
    ways = -np.log1p(n) - special.betaln(n - y + 1, y + 1)
    sizes, multiplicity = np.unique(n, return_counts=True)
    return Counts(y, n, float(ways.sum()), sizes, multiplicity.astype(np.float64))


def binomial(data: Counts, predictor: Floats) -> Pointwise:
    """Return the binomial loss with logit link.

    Parameters
    ----------
    data
        Successes and trials.
    predictor
        Shape [n], in logits.

    Returns
    -------
    Pointwise
        Its derivatives by the dispersion are zero.

    References
    ----------
    McCullagh & Nelder (1989), Generalized Linear Models, section 4.4.

    Examples
    --------
    >>> toss = Counts(np.array([1.0]), np.array([2.0]), np.log(2.0), np.array([2.0]), np.array([1.0]))
    >>> float(np.exp(-binomial(toss, np.zeros(1)).loss).round(12))
    0.5
    """
    y, n = data.successes, data.trials
    share, other = special.expit(predictor), special.expit(-predictor)
    loss = float(n @ np.logaddexp(0.0, predictor) - y @ predictor) - data.log_ways
    weight = n * share * other
    none = np.zeros_like(weight)
    return Pointwise(loss, y - n * share, weight, weight, weight * (other - share), 0.0, none, none, 1.0)


def beta_binomial(data: Counts, predictor: Floats, dispersion: float) -> Pointwise:
    """Return the beta-binomial loss with logit link.

    Parameters
    ----------
    data
        Successes and trials.
    predictor
        Shape [n], in logits.
    dispersion
        κ = 1/φ, at least zero: the variance of y is n μ (1 - μ) (φ + n) / (φ + 1).

    Returns
    -------
    Pointwise
        The binomial's where the dispersion is zero.

    References
    ----------
    Griffiths (1973), Biometrics 29, 637-648 (the likelihood as products).

    Examples
    --------
    With μ = 1/2 and φ = 2 every number of successes is as likely as any other.

    >>> toss = Counts(np.array([1.0]), np.array([2.0]), np.log(2.0), np.array([2.0]), np.array([1.0]))
    >>> float(np.exp(-beta_binomial(toss, np.zeros(1), 0.5).loss).round(12))
    0.333333333333
    """
    y, n = data.successes, data.trials
    bounded = np.clip(predictor, -FARTHEST, FARTHEST)
    share, other = special.expit(bounded), special.expit(-bounded)
    a, b = _sums(share, dispersion, y), _sums(other, dispersion, n - y)
    c = _sums(np.ones_like(data.sizes), dispersion, data.sizes)
    v, tilt = share * other, other - share
    first, second, third = a.plain[1] - b.plain[1], -a.plain[2] - b.plain[2], 2 * (a.plain[3] - b.plain[3])
    moved_first, moved_second = b.ranked[2] - a.ranked[2], 2 * (a.ranked[3] + b.ranked[3])
    safe = n * v * (1 + dispersion) / (1 + n * dispersion)
    extra = np.maximum(n - 1, 0.0)
    moved = float(a.ranked[1].sum() + b.ranked[1].sum())
    return Pointwise(
        loss=float(c.plain[0] @ data.multiplicity - a.plain[0].sum() - b.plain[0].sum()) - data.log_ways,
        score=v * first,
        weight=-v * (v * second + tilt * first),
        safe_weight=safe,
        third=-v * (v * v * third + 3 * v * tilt * second + (tilt * tilt - 2 * v) * first),
        loss_by_dispersion=float(c.ranked[1] @ data.multiplicity) - moved,
        score_by_dispersion=v * moved_first,
        weight_by_dispersion=-v * (v * moved_second + tilt * moved_first),
        dispersion_scale=float((extra / (1 + extra * dispersion / (1 + dispersion))).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over i < y; place p of ``plain`` has (μ + iκ)^-p (log at 0), of ``ranked`` i (μ + iκ)^-p."""

    plain: Floats
    ranked: Floats


def _sums(start: Floats, step: float, number: Floats) -> _Sums:
    """Return the sums of the terms start, start + step, ...; row 0 of the ranked ones stays empty."""
    rank = np.arange(HEAD, dtype=np.float64)[:, None]
    there = rank < number
    value = start + rank * step
    inverse = np.where(there, 1 / np.where(there, value, 1.0), 0.0)
    plain, ranked = np.zeros((4, len(start))), np.zeros((4, len(start)))
    plain[0] = np.log(np.where(there, value, 1.0)).sum(axis=0)
    power = np.ones_like(value)
    for p in (1, 2, 3):
        power = power * inverse
        plain[p], ranked[p] = power.sum(axis=0), (rank * power).sum(axis=0)
    long = np.flatnonzero(number > HEAD)
    if len(long):
        tail = _tail(start[long] + HEAD * step, step, number[long] - HEAD)
        plain[:, long] += tail.plain
        ranked[:, long] += tail.ranked
    return _Sums(plain, ranked)


def _tail(start: Floats, step: float, number: Floats) -> _Sums:
    """Return the same sums by Euler and Maclaurin, for a start of at least HEAD steps."""
    z = step * number / start
    end = start + step * number
    w1, log = _slack(z), np.log1p(z)
    spans = (number * (np.log(start) + log - z * w1), 1 - z * w1, 1 / (1 + z), (1 + z / 2) / (1 + z) ** 2)
    ranks = (w1, 1 / (1 + z) - w1, 0.5 / (1 + z) ** 2)
    low, high = step / start, step / end
    plain, ranked = np.zeros((4, len(start))), np.zeros((4, len(start)))
    plain[0] = spans[0] - log / 2 + high * _polynomial(high, PLAIN[0]) - low * _polynomial(low, PLAIN[0])
    for p in (1, 2, 3):
        bottom, top = start**-p, end**-p
        first = bottom * (0.5 + low * _polynomial(low, PLAIN[p]))
        last = top * (0.5 + high * _polynomial(high, PLAIN[p]))
        whole = number * bottom * spans[p]
        plain[p] = whole + first - last
        ranked[p] = HEAD * (whole + first) - (HEAD + number) * last + number * number * bottom * ranks[p - 1]
        ranked[p] += top * _polynomial(high, RANKED[p]) - bottom * _polynomial(low, RANKED[p])
    return _Sums(plain, ranked)


def _polynomial(x: Floats, coefficients: Sequence[float]) -> Floats:
    """Return the polynomial in x² with these coefficients, lowest first."""
    square = x * x
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * square + coefficient
    return total


def _slack(z: Floats) -> Floats:
    """Return (z - log(1 + z)) / z², by its series near zero."""
    far = np.maximum(z, 0.05)
    result = np.asarray((far - np.log1p(far)) / far**2)
    near = z < 0.05
    if near.any():
        series = [(-1.0) ** k / (k + 2) for k in range(13)]
        result[near] = np.polynomial.polynomial.polyval(z[near], series)
    return result
