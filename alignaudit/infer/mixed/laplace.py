"""Laplace's approximation to the likelihood of a generalised linear mixed model, with its gradient.

Linear predictor η = m + Z u with m = offset + X b and Var(u) = S block by block, K = Z S Z'. At the
mode û of the effects, r is the score of the data (minus the derivative of the loss by η) and W the
second derivative of the loss, and the approximation to minus twice the log-likelihood is

    L = 2 loss(η) + r'K r + log det(I + W K),    η = m + K r.

Written like this, with u = S Z'r, it is a smooth function of the S_j up to and on the boundary: no
S⁻¹ occurs. With C = Z M Z' = K (I + W K)⁻¹, t_i = C_ii dW_i/dη_i and a = t - W C t, the derivatives,
the dependence of η on everything included, are

    dL/db = X'(a - 2 r),    dL = trace[(W - W C W - r r' + (a r' + r a') / 2) dK],

so the derivative D_j by S_j is the sum over groups of the k × k blocks of Z' [...] Z. It is the same
formula at S_j = 0: no numerical probe is needed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.mixed.families import Counts, Pointwise, beta_binomial, binomial
from alignaudit.infer.mixed.layout import Layout
from alignaudit.infer.mixed.weighted import Spread, Weighted, multiply_gram, solve, spread, weigh

__all__ = ["Approximation", "Derivatives", "Model", "approximate", "derivatives", "fixed_information"]

Floats = NDArray[np.float64]

CONVERGED = 1e-18
"""Decrement of Newton's method at which the mode counts as found."""

ALMOST = 1e-12
"""Decrement, relative to the loss, that rounding may leave behind."""

TRUSTED = 1e-8
"""Decrement, relative to the loss, below which a step is taken without a look at the loss."""

STEPS = 200
HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Model:
    """A generalised linear mixed model.

    Attributes
    ----------
    data
        Successes and trials.
    effects
        Random effects.
    fixed
        Shape [n, p]: columns of the fixed effects, in any basis.
    offset
        Shape [n], logits.
    dispersed
        Whether the response is beta-binomial.
    """

    data: Counts
    effects: Layout
    fixed: Floats
    offset: Floats
    dispersed: bool

    def pointwise(self, predictor: Floats, dispersion: float) -> Pointwise:
        """Return the loss at a linear predictor, shape [n], and κ."""
        if self.dispersed:
            return beta_binomial(self.data, predictor, dispersion)
        return binomial(self.data, predictor)


@dataclass(frozen=True, slots=True)
class Approximation:
    """Laplace's approximation at given parameters.

    Attributes
    ----------
    deviance
        Minus twice the approximate log-likelihood, all constants included.
    predictor
        Shape [n], logits: η at the mode.
    effects
        Shape [q]: the mode, standardised, the eliminated term first.
    points
        Loss and derivatives there.
    weighted
        Random effects under the weights there.
    """

    deviance: float
    predictor: Floats
    effects: Floats
    points: Pointwise
    weighted: Weighted


@dataclass(frozen=True, slots=True)
class Derivatives:
    """First derivatives of the deviance.

    Attributes
    ----------
    by_fixed
        Shape [p].
    by_covariance
        Shape [k, k] each, in the order of the blocks: D_j, symmetric.
    by_dispersion
        By κ; zero for the binomial.
    dispersion_scale
        Its natural scale.
    spread
        Conditional variances; its information is the natural scale of ``by_covariance``.
    """

    by_fixed: Floats
    by_covariance: tuple[Floats, ...]
    by_dispersion: float
    dispersion_scale: float
    spread: Spread


def approximate(
    model: Model, coefficients: Floats, roots: Sequence[Floats], dispersion: float, start: Floats
) -> Approximation:
    """Find the mode of the random effects by penalised reweighted least squares, and evaluate there.

    Parameters
    ----------
    model
        The model.
    coefficients
        Shape [p]: fixed effects in the basis of ``model.fixed``.
    roots
        Shape [k, k] each: T_j in the order of the blocks.
    dispersion
        κ; without meaning for the binomial.
    start
        Shape [n]: linear predictor at which the first step is taken; it may be any.

    Returns
    -------
    Approximation
        At the mode.

    Raises
    ------
    FitError
        If there is no mode to be found.

    References
    ----------
    Breslow & Clayton (1993), J. American Statistical Association 88, 9-25, section 2.
    """
    mean = model.offset + model.fixed @ coefficients
    state = _State(mean, start, None, None, model.pointwise(start, dispersion))
    before = np.inf
    for _ in range(STEPS):
        weighted = _weigh(model, state, roots)
        effects, pull, decrement = _target(model, weighted, state)
        size = 1 + abs(state.points.loss)
        if decrement <= CONVERGED or (decrement <= ALMOST * size and decrement > before / 10):
            return _finish(weighted, state)
        moved = _search(model, state, effects, pull, dispersion, trusted=decrement <= TRUSTED * size)
        if moved is None:
            break
        state, before = moved, decrement
    raise FitError(_NO_MODE)


_NO_MODE = "the conditional modes of the random effects could not be found."


@dataclass(frozen=True, slots=True)
class _State:
    """Where the search for the mode stands: u, and d with u = S d; the first point needs neither."""

    mean: Floats
    predictor: Floats
    effects: Floats | None
    pull: Floats | None
    points: Pointwise

    @property
    def objective(self) -> float:
        """Return the penalised loss."""
        if self.effects is None or self.pull is None:
            return np.inf
        return self.points.loss + 0.5 * float(self.effects @ self.pull)


def _weigh(model: Model, state: _State, roots: Sequence[Floats]) -> Weighted:
    """Factorise under the observed weights, or where these are indefinite under those of quasi-likelihood."""
    try:
        return weigh(model.effects, state.points.weight, roots)
    except FitError:
        return weigh(model.effects, state.points.safe_weight, roots)


def _target(model: Model, weighted: Weighted, state: _State) -> tuple[Floats, Floats, float]:
    """Return the next u and d, and the decrement of Newton's method."""
    Z, points = model.effects.random, state.points
    score = Z.T @ points.score
    if state.effects is None or state.pull is None:
        load = score + Z.T @ (weighted.weights * (state.predictor - state.mean))
        effects = solve(weighted, load[:, None])[:, 0]
        return effects, load - multiply_gram(weighted, effects), np.inf
    load = score + multiply_gram(weighted, state.effects)
    effects = solve(weighted, load[:, None])[:, 0]
    decrement = float((score - state.pull) @ (effects - state.effects))
    return effects, load - multiply_gram(weighted, effects), decrement


def _search(
    model: Model, state: _State, effects: Floats, pull: Floats, dispersion: float, *, trusted: bool
) -> _State | None:
    """Return the first of ever shorter steps that does not raise the penalised loss, or None."""
    share = 1.0
    for _ in range(HALVINGS):
        u, d = effects, pull
        if share < 1 and state.effects is not None and state.pull is not None:
            u = state.effects + share * (effects - state.effects)
            d = state.pull + share * (pull - state.pull)
        predictor = state.mean + model.effects.random @ u
        moved = _State(state.mean, predictor, u, d, model.pointwise(predictor, dispersion))
        if moved.objective <= state.objective or (trusted and np.isfinite(moved.objective)):
            return moved
        share /= 2
    return None


def _finish(weighted: Weighted, state: _State) -> Approximation:
    """Evaluate at the mode; there the observed weights have to be positive definite."""
    if weighted.weights is not state.points.weight or state.effects is None:
        raise FitError(_NO_MODE)
    deviance = 2 * state.objective + weighted.log_det
    return Approximation(deviance, state.predictor, state.effects, state.points, weighted)


def derivatives(model: Model, at: Approximation) -> Derivatives:
    """Return the derivatives of the deviance, by implicit differentiation of the mode.

    Parameters
    ----------
    model, at
        The model, and where it was evaluated.

    Returns
    -------
    Derivatives
        The derivative by T_j is the lower triangle of ``2 D_j T_j``.

    References
    ----------
    Kristensen, Nielsen, Berg, Skaug & Bell (2016), J. Statistical Software 70(5), section 2 (the
    gradient of Laplace's approximation); the form in the covariances follows in the module's words.
    """
    Z, points = model.effects.random, at.points
    spreads = spread(at.weighted)
    bend = spreads.rows * points.third
    carried = Z @ solve(at.weighted, (Z.T @ bend)[:, None])[:, 0]
    shift = bend - points.weight * carried
    scores, shifts = Z.T @ points.score, Z.T @ shift
    by_covariance, start = [], 0
    for block, information in zip(model.effects.blocks, spreads.information, strict=True):
        s = scores[start : start + block.size].reshape(block.groups, block.width)
        h = shifts[start : start + block.size].reshape(block.groups, block.width)
        mixed = (h - s).T @ s
        by_covariance.append(information + (mixed + mixed.T) / 2)
        start += block.size
    by_dispersion = 2 * points.loss_by_dispersion + float(
        spreads.rows @ points.weight_by_dispersion + carried @ points.score_by_dispersion
    )
    return Derivatives(
        model.fixed.T @ (shift - 2 * points.score), tuple(by_covariance), by_dispersion,
        points.dispersion_scale, spreads,
    )  # fmt: skip


def fixed_information(model: Model, at: Approximation) -> Floats:
    """Return X'(W - W C W)X, half the deviance's curvature in the fixed effects but for higher terms.

    Parameters
    ----------
    model, at
        The model, and where it was evaluated.

    Returns
    -------
    numpy.ndarray of float64, shape [p, p]
    """
    Z = model.effects.random
    scaled = model.fixed * at.points.weight[:, None]
    crossed = Z.T @ scaled
    return model.fixed.T @ scaled - crossed.T @ solve(at.weighted, crossed)
