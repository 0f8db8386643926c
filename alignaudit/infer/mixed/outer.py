"""Find the optimum of Laplace's approximation over all parameters, and certify that it is one.

As in :mod:`alignaudit.infer.mixed.optimise`, zero is a stationary point in the roots whatever the data
say. The derivative by each covariance S_j, which :mod:`alignaudit.infer.mixed.laplace` has in closed
form also at S_j = 0, tells whether to stay: if it has a negative eigenvalue, the search leaves the
boundary along its eigenvector. Second derivatives are central differences of the exact gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from alignaudit.errors import FitError
from alignaudit.infer.mixed.laplace import (
    Approximation,
    Derivatives,
    Model,
    approximate,
    derivatives,
    fixed_information,
)
from alignaudit.infer.mixed.optimise import GAP, MULTIPLIER, ZERO, Certificate
from alignaudit.infer.mixed.roots import pack, semidefinite_root, unpack

__all__ = ["LARGEST_TAU", "Criterion", "Place", "find_optimum"]

Floats = NDArray[np.float64]

FIRST_STAGE = {"maxiter": 300, "ftol": 1e-9, "gtol": 1e-4, "maxcor": 20}
FIRST_TAU = 0.1
NEWTON_STEPS = 40
ESCAPES = 25
LARGEST_TAU = 1e3
"""Root of the dispersion κ beyond which every row is all success or all failure."""

SADDLE = -1e-4
"""Smallest eigenvalue of the Hessian with unit diagonal that still counts as zero."""

FLAT = 1e-9
"""Smallest eigenvalue of the Hessian with unit diagonal that can be inverted."""

LENGTHS = tuple(4.0**power for power in range(-12, 13))
"""Steps away from a boundary or a saddle, in its natural units."""


@dataclass(frozen=True, slots=True)
class Place:
    """An optimum in standardised units.

    Attributes
    ----------
    coefficients
        Shape [p]: fixed effects in the basis of the model.
    covariance
        Shape [p, p]: theirs.
    roots
        Shape [k, k] each: T_j in the order of the blocks.
    tau
        Root of the dispersion κ; zero for the binomial.
    at
        Laplace's approximation there.
    certificate
        Whether it is an optimum; multipliers in the order of the blocks, the dispersion's last.
    """

    coefficients: Floats
    covariance: Floats
    roots: tuple[Floats, ...]
    tau: float
    at: Approximation
    certificate: Certificate


class Criterion:
    """The deviance as a function of one vector: fixed effects, packed roots and τ.

    Parameters
    ----------
    model
        The model.
    centre, turn
        Shapes [p] and [p, p]: the fixed effects are ``centre + turn @ x[:p]``.
    """

    def __init__(self, model: Model, centre: Floats, turn: Floats) -> None:
        self.model, self.centre, self.turn = model, centre, turn
        self.predictor, self.number = np.zeros(len(model.offset)), 0

    def split(self, x: Floats) -> tuple[Floats, tuple[Floats, ...], float]:
        """Return fixed effects, roots and τ of a vector."""
        p = len(self.centre)
        tau = float(x[-1]) if self.model.dispersed else 0.0
        roots = unpack(x[p : len(x) - self.model.dispersed], self.model.effects.blocks)
        return self.centre + self.turn @ x[:p], roots, tau

    def join(self, x: Floats, roots: Sequence[Floats], tau: float) -> Floats:
        """Return the vector with other roots and τ."""
        return np.concatenate([x[: len(self.centre)], pack(roots), [tau] if self.model.dispersed else []])

    def __call__(self, x: Floats) -> Approximation:
        """Return the approximation there; the search for the mode starts at the last one."""
        coefficients, roots, tau = self.split(x)
        self.number += 1
        at = approximate(self.model, coefficients, roots, tau * tau, self.predictor)
        self.predictor = at.predictor
        return at

    def gradient(self, x: Floats, first: Derivatives) -> Floats:
        """Return the derivatives of the deviance by the vector."""
        _, roots, tau = self.split(x)
        by_roots = [np.tril(2 * d @ root) for d, root in zip(first.by_covariance, roots, strict=True)]
        by_tau = [2 * tau * first.by_dispersion] if self.model.dispersed else []
        return np.concatenate([self.turn.T @ first.by_fixed, pack(by_roots), by_tau])

    def gradient_at(self, x: Floats) -> Floats:
        """Return the same, evaluating first."""
        return self.gradient(x, derivatives(self.model, self(x)))


def find_optimum(model: Model, roots: Sequence[Floats] | None = None) -> Place:
    """Minimise the deviance over fixed effects, covariances and dispersion.

    Where a term has one effect a row and the response is beta-binomial, both describe the same
    overdispersion and the deviance can have a minimum for each: the search is then repeated from where
    either is zero.

    Parameters
    ----------
    model
        The model.
    roots
        Standardised roots to start from, in the order of the blocks; by default the identity.

    Returns
    -------
    Place
        Its certificate says whether the conditions hold.

    Raises
    ------
    FitError
        If the model cannot be evaluated at its start.

    References
    ----------
    Boyd & Vandenberghe (2004), Convex Optimization, section 5.9.2 (conditions for semidefinite
    matrices).
    """
    start = tuple(roots) if roots is not None else tuple(np.eye(b.width) for b in model.effects.blocks)
    starts = [(start, FIRST_TAU)]
    if model.dispersed and model.effects.saturated:
        starts += [((0 * start[0], *start[1:]), FIRST_TAU), (start, 0.0)]
    places = [_search(model, *one) for one in starts]
    best = min(places, key=lambda place: place.at.deviance)
    evaluations = sum(place.certificate.evaluations for place in places)
    return replace(best, certificate=replace(best.certificate, evaluations=evaluations))


def _search(model: Model, start: Sequence[Floats], tau: float) -> Place:
    """Minimise from one start, and certify what is found."""
    criterion = _prepared(model, start)
    x = _descend(criterion, criterion.join(np.zeros(len(criterion.centre)), start, tau))
    restarts = 0
    while True:
        x, at, first, (gradient, hessian, gap) = _polish(criterion, x)
        multipliers, worst, direction = _multipliers(model, first)
        curved, saddle = _valley(hessian, _active(criterion, x))
        better = None
        if restarts < ESCAPES and min(multipliers) < MULTIPLIER:
            better = _escape(criterion, x, at, worst, direction)
        elif restarts < ESCAPES and not curved:
            better = _lowest(
                criterion, at, [x + sign * length * saddle for sign in (1, -1) for length in LENGTHS]
            )
        if better is None:
            break
        x, restarts = _descend(criterion, better), restarts + 1
    optimal = min(multipliers) >= MULTIPLIER and gap <= GAP * max(1.0, len(model.offset) / 1000)
    certificate = Certificate(
        passed=bool(optimal and curved), gradient_norm=float(np.abs(gradient).max()), deviance_gap=gap,
        multipliers=multipliers, hessian_eigenvalues=tuple(float(v) for v in np.linalg.eigvalsh(hessian)),
        restarts=restarts, evaluations=criterion.number,
    )  # fmt: skip
    coefficients, found, tau = criterion.split(x)
    covariance = _covariance(hessian, _active(criterion, x), criterion.turn)
    return Place(coefficients, covariance, found, tau, at, certificate)


def _prepared(model: Model, roots: Sequence[Floats]) -> Criterion:
    """Find fixed effects for the first roots, and units in which the deviance is about as curved in each."""
    plain = Model(model.data, model.effects, model.fixed, model.offset, False)
    p = model.fixed.shape[1]
    criterion = Criterion(plain, np.zeros(p), np.eye(p))
    x = criterion.join(np.zeros(p), roots, 0.0)
    information = np.eye(p)
    for _ in range(4 if p else 0):
        at = criterion(x)
        information = fixed_information(plain, at)
        try:
            step = linalg.solve(information, derivatives(plain, at).by_fixed / 2, assume_a="pos")
        except linalg.LinAlgError:
            break
        x[:p] -= step
    values, vectors = np.linalg.eigh(information)
    values = np.maximum(values, 1e-8 * max(float(values.max(initial=0.0)), 1e-8))
    prepared = Criterion(model, x[:p].copy(), vectors / np.sqrt(values))
    prepared.predictor, prepared.number = criterion.predictor, criterion.number
    return prepared


def _descend(criterion: Criterion, x: Floats) -> Floats:
    """Return the end of a quasi-Newton descent."""
    ceiling = 10 * abs(criterion(x).deviance) + 1e6

    def function(x: Floats) -> tuple[float, Floats]:
        try:
            at = criterion(x)
            return at.deviance, criterion.gradient(x, derivatives(criterion.model, at))
        except FitError:
            return ceiling, np.zeros_like(x)

    diagonal = criterion.join(
        np.zeros_like(x), [np.eye(b.width) for b in criterion.model.effects.blocks], 1.0
    )
    bounds = [(0.0 if one else None, None) for one in diagonal]
    return np.asarray(
        optimize.minimize(function, x, jac=True, method="L-BFGS-B", bounds=bounds, options=FIRST_STAGE).x
    )


_Step = tuple[Floats, Floats, float]


def _polish(criterion: Criterion, x: Floats) -> tuple[Floats, Approximation, Derivatives, _Step]:
    """Take Newton steps to the stationary point nearby, and try zero where a root is almost zero."""
    x, at = _canonical(criterion, x)
    hessian, fresh, before = np.zeros((0, 0)), False, np.inf
    for _ in range(NEWTON_STEPS):
        first = derivatives(criterion.model, at)
        gradient = criterion.gradient(x, first)
        if not fresh:
            hessian, fresh = _hessian(criterion, x, at), True
        step, gap = _newton_step(gradient, hessian)
        if gap <= 1e-3 * GAP:
            break
        fresh = gap < 1e-3 * before and gap < 1e-6
        before = gap
        moved = _line_search(criterion, x, at, step)
        if moved is None:
            break
        x, at = _canonical(criterion, moved)
    return x, at, first, (gradient, hessian, gap)


def _canonical(criterion: Criterion, x: Floats) -> tuple[Floats, Approximation]:
    """Return the roots as Cholesky factors, entries that are almost zero as zero if nothing is lost."""
    _, roots, tau = criterion.split(x)
    plain = tuple(semidefinite_root(root @ root.T) for root in roots)
    x = criterion.join(x, plain, abs(tau))
    at = criterion(x)
    snapped = tuple(root * (np.diagonal(root) >= ZERO) for root in plain)
    there = criterion.join(x, snapped, abs(tau) if abs(tau) >= ZERO else 0.0)
    if (there != x).any():
        other = criterion(there)
        if other.deviance <= at.deviance + 1e-9:
            return there, other
    return x, at


def _hessian(criterion: Criterion, x: Floats, at: Approximation) -> Floats:
    """Return central differences of the gradient, shape [m, m]."""
    rows = []
    for i, length in enumerate(_lengths(criterion, x)):
        step = np.zeros_like(x)
        step[i] = length
        criterion.predictor = at.predictor
        up, down = criterion.gradient_at(x + step), criterion.gradient_at(x - step)
        rows.append((up - down) / (2 * length))
    hessian = np.array(rows).reshape(len(x), len(x))
    return (hessian + hessian.T) / 2


def _lengths(criterion: Criterion, x: Floats) -> Floats:
    """Return steps for differences: 1/1000 of about a standard error, or 1/10,000 of a standard deviation."""
    _, roots, tau = criterion.split(x)
    sizes = [np.tile(np.sqrt((root**2).sum(axis=1))[:, None], (1, len(root))) for root in roots]
    lengths = 1e-4 * np.maximum(criterion.join(x, sizes, tau), 1e-2)
    lengths[: len(criterion.centre)] = 1e-3
    return lengths


def _newton_step(gradient: Floats, hessian: Floats) -> tuple[Floats, float]:
    """Return the step -|H|⁻¹g in units that give H a unit diagonal, and the decrease that it promises."""
    values, vectors, scale = _scaled(hessian)
    size = np.abs(values)
    usable = size > 1e-9 * max(float(size.max()), 1e-300)
    coordinates = vectors.T @ (gradient * scale)
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=usable)
    return -scale * (vectors @ (inverse * coordinates)), float(0.5 * (inverse * coordinates**2).sum())


def _scaled(hessian: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the eigenvalues and eigenvectors of the Hessian with unit diagonal, and the units for that."""
    diagonal = np.abs(np.diagonal(hessian))
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-12 * max(float(diagonal.max(initial=0.0)), 1e-300)))
    values, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
    return values, vectors, scale


def _line_search(criterion: Criterion, x: Floats, at: Approximation, step: Floats) -> Floats | None:
    """Return the first of ever shorter steps that lowers the deviance, or None."""
    for halving in range(12):
        trial = x + step / 2**halving
        criterion.predictor = at.predictor
        try:
            there = criterion(trial)
        except FitError:
            continue
        if there.deviance < at.deviance + (1e-9 if halving == 0 else 0.0):
            return trial
    return None


def _multipliers(model: Model, first: Derivatives) -> tuple[tuple[float, ...], int, Floats]:
    """Return the smallest multiplier of each block and of the dispersion, the worst place, its direction."""
    values, vectors = [], []
    for derivative, scale in zip(first.by_covariance, first.spread.information, strict=True):
        size = max(float(np.trace(scale)), 1e-300)
        eigenvalues, directions = linalg.eigh(derivative, scale + 1e-12 * size * np.eye(len(scale)))
        values.append(float(eigenvalues[0]))
        vectors.append(directions[:, 0])
    if model.dispersed:
        values.append(first.by_dispersion / first.dispersion_scale)
        vectors.append(np.array([first.dispersion_scale**-0.5]))
    worst = int(np.argmin(values))
    return tuple(values), worst, vectors[worst]


def _escape(
    criterion: Criterion, x: Floats, at: Approximation, place: int, direction: Floats
) -> Floats | None:
    """Go from a boundary along a direction in which the deviance falls, as far as it falls."""
    _, roots, tau = criterion.split(x)
    trials = []
    for length in LENGTHS:
        moved, kappa = list(roots), tau * tau
        if place == len(roots):
            kappa += length * float(direction[0]) ** 2
        else:
            added = length * np.outer(direction, direction)
            moved[place] = semidefinite_root(roots[place] @ roots[place].T + added)
        trials.append(criterion.join(x, moved, float(np.sqrt(kappa))))
    return _lowest(criterion, at, trials)


def _lowest(criterion: Criterion, at: Approximation, trials: Sequence[Floats]) -> Floats | None:
    """Return the trial of the lowest deviance, if that is lower than here."""
    best, lowest = None, at.deviance
    for trial in trials:
        criterion.predictor = at.predictor
        try:
            deviance = criterion(trial).deviance
        except FitError:
            continue
        if deviance < lowest:
            best, lowest = trial, deviance
    return best


def _active(criterion: Criterion, x: Floats) -> NDArray[np.bool_]:
    """Say which parameters are inside: a zero column of a root is not, nor a τ of zero or without bound."""
    _, roots, tau = criterion.split(x)
    columns = [np.tile((np.diagonal(root) != 0).astype(float), (len(root), 1)) for root in roots]
    return criterion.join(np.ones(len(x)), columns, float(0 < tau < LARGEST_TAU)) != 0


def _valley(hessian: Floats, active: NDArray[np.bool_]) -> tuple[bool, Floats]:
    """Say whether the deviance curves upwards in all active parameters, and where it does so least."""
    values, vectors, scale = _scaled(hessian[np.ix_(active, active)])
    direction = np.zeros(len(hessian))
    direction[active] = scale * vectors[:, 0] if len(values) else 0.0
    return bool(values.min(initial=1.0) >= SADDLE), direction


def _covariance(hessian: Floats, active: NDArray[np.bool_], turn: Floats) -> Floats:
    """Return the fixed effects' part of twice the inverse Hessian; no numbers where it is no covariance."""
    p = len(turn)
    values, vectors, scale = _scaled(hessian[np.ix_(active, active)])
    if values.min(initial=1.0) <= FLAT:
        return np.full((p, p), np.nan)
    turned = (turn @ (vectors * scale[:, None])[:p]) if p else np.zeros((0, len(values)))
    return 2 * (turned / values) @ turned.T
