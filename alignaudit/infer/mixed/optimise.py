"""Find the optimum of the profiled deviance, and certify that it is one.

In the roots T_j of the covariances, zero is a stationary point whatever the data say, so an optimiser
can stop there for no reason. The conditions of Karush, Kuhn and Tucker in the covariances themselves
tell: at an optimum the derivative by each S_j is positive semidefinite and vanishes on S_j. Where an
eigenvalue of the derivative is negative, the deviance falls along its eigenvector, and the search goes
on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from alignaudit.errors import FitError
from alignaudit.infer.mixed.criterion import Factorisation, Slopes, factorise, slopes
from alignaudit.infer.mixed.curvature import Curvature, curvature
from alignaudit.infer.mixed.products import Block, CrossProducts
from alignaudit.infer.mixed.roots import (
    pack,
    root_curvature,
    root_jacobian,
    semidefinite_root,
    unpack,
)

__all__ = [
    "Certificate",
    "Optimum",
    "minimise",
    "newton_step",
    "root_gradient",
    "root_hessian",
]

Floats = NDArray[np.float64]

GAP = 1e-9
"""Largest deviance that may still be gained, by the quadratic model, at a certified optimum."""

CLOSE = 1e-6
"""Deviance still to gain below which rounding hides it from a line search."""

MULTIPLIER = -1e-5
"""Smallest multiplier of a certified optimum, relative to the information about that covariance."""

ZERO = 1e-6
"""Diagonal entry of a standardised root that is tried as zero."""

FARTHEST = 1e5
"""Entry of a standardised root beyond which a trial step of the first stage is called too long."""

TOO_FAR = 1e10
"""Deviance that such a step is given, so that the search shortens it."""

FIRST_STAGE = {"maxiter": 200, "ftol": 1e-8, "gtol": 1e-5, "maxcor": 20}
START = 0.5
"""Standard deviation of every random effect at the start, in residual ones."""

NEWTON_STEPS = 100
ESCAPES = 25


@dataclass(frozen=True, slots=True)
class Certificate:
    """Evidence that a fit is at an optimum.

    Attributes
    ----------
    passed
        Whether all conditions hold.
    gradient_norm
        Largest absolute derivative of the deviance by an entry of the standardised roots.
    deviance_gap
        Deviance that the quadratic model still expects to gain, g'H⁻¹g / 2.
    multipliers
        By term: smallest eigenvalue of the deviance's derivative by the term's covariance, relative
        to its information. Zero inside the parameter space; above zero where a variance of zero is
        the best there is; below zero would mean that a larger variance fits better.
    hessian_eigenvalues
        Of the deviance's second derivatives by the roots, ascending; zeros belong to directions
        in which a singular covariance does not change.
    restarts
        How often the search left a boundary that was not the optimum.
    evaluations
        Number of evaluations of the deviance.
    """

    passed: bool
    gradient_norm: float
    deviance_gap: float
    multipliers: tuple[float, ...]
    hessian_eigenvalues: tuple[float, ...]
    restarts: int
    evaluations: int

    def __str__(self) -> str:
        """Return the certificate in one line."""
        state = "certified optimum" if self.passed else "NOT certified as an optimum"
        return (
            f"{state}: gradient {self.gradient_norm:.1e}, deviance still to gain {self.deviance_gap:.1e}, "
            f"smallest multiplier {min(self.multipliers):.1e}, restarts {self.restarts}"
        )


@dataclass(frozen=True, slots=True)
class Optimum:
    """An optimum in standardised units.

    Attributes
    ----------
    roots
        T_j in the order of the products' blocks.
    at, curved
        The model there, and its curvature.
    certificate
        Whether it is an optimum.
    """

    roots: tuple[Floats, ...]
    at: Factorisation
    curved: Curvature
    certificate: Certificate


class _Count:
    """Evaluations of one search."""

    def __init__(self, products: CrossProducts, *, reml: bool) -> None:
        self.products, self.reml, self.number = products, reml, 0

    def __call__(self, roots: Sequence[Floats]) -> Factorisation:
        self.number += 1
        return factorise(self.products, roots, reml=self.reml)


def minimise(
    products: CrossProducts,
    *,
    reml: bool,
    start: Sequence[Floats] | None = None,
) -> Optimum:
    """Minimise the profiled deviance over the covariances of the random effects.

    Parameters
    ----------
    products
        Cross-products of the model.
    reml
        Restricted or full likelihood.
    start
        Standardised roots to start from, in the order of the blocks; by default half the identity.

    Returns
    -------
    Optimum
        Its certificate says whether the conditions hold.

    Raises
    ------
    FitError
        If the model cannot be evaluated at its start.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), section 3 (the criterion);
    Boyd & Vandenberghe (2004), Convex Optimization, section 5.9.2 (conditions for semidefinite
    matrices).
    """
    evaluate = _Count(products, reml=reml)
    roots = (
        tuple(start) if start is not None else tuple(START * np.eye(block.width) for block in products.blocks)
    )
    roots = _descend(evaluate, roots)
    restarts = 0
    while True:
        end = _polish(evaluate, roots)
        worst, multipliers, direction = _multipliers(products, end.curved.slopes)
        if min(multipliers) >= MULTIPLIER or restarts == ESCAPES:
            break
        better = _escape(evaluate, end.at, worst, direction, end.roots)
        if better is None:
            break
        roots, restarts = _descend(evaluate, better), restarts + 1
    certificate = Certificate(
        passed=bool(min(multipliers) >= MULTIPLIER and end.gap <= GAP * max(1.0, products.n / 1000)),
        gradient_norm=float(np.abs(end.gradient).max()), deviance_gap=end.gap, multipliers=multipliers,
        hessian_eigenvalues=tuple(float(value) for value in np.linalg.eigvalsh(end.hessian)),
        restarts=restarts, evaluations=evaluate.number,
    )  # fmt: skip
    return Optimum(end.roots, end.at, end.curved, certificate)


def _descend(evaluate: _Count, roots: Sequence[Floats]) -> tuple[Floats, ...]:
    """Return the end of a quasi-Newton descent over the roots."""
    blocks = evaluate.products.blocks

    def criterion(theta: Floats) -> tuple[float, Floats]:
        trial = unpack(theta, blocks)
        if np.abs(theta).max() > FARTHEST:
            return TOO_FAR, np.zeros_like(theta)
        try:
            at = evaluate(trial)
        except FitError:  # so far out that rounding leaves no positive definite matrix
            return TOO_FAR, np.zeros_like(theta)
        return at.deviance, root_gradient(slopes(evaluate.products, at), trial)

    result = optimize.minimize(
        criterion, pack(roots), jac=True, method="L-BFGS-B", bounds=_bounds(blocks), options=FIRST_STAGE
    )
    return unpack(result.x, blocks)


def _bounds(blocks: Sequence[Block]) -> list[tuple[float | None, None]]:
    diagonal = pack([np.eye(block.width) for block in blocks])
    return [(0.0 if value else None, None) for value in diagonal]


def root_gradient(first: Slopes, roots: Sequence[Floats]) -> Floats:
    """Return the derivatives of the deviance by the packed roots, shape [m].

    Parameters
    ----------
    first, roots
        Derivatives by the covariances, and the roots there.
    """
    return pack([2 * d @ root for d, root in zip(first.by_covariance, roots, strict=True)])


@dataclass(frozen=True, slots=True)
class _Polished:
    """A point of the search with its derivatives by the packed roots."""

    roots: tuple[Floats, ...]
    at: Factorisation
    curved: Curvature
    gradient: Floats
    hessian: Floats
    gap: float


def _polish(evaluate: _Count, roots: tuple[Floats, ...]) -> _Polished:
    """Take Newton steps to the stationary point nearby, and try zero where a root is almost zero.

    Where the deviance no longer resolves the steps' gains, they are taken as long as the gain that the
    quadratic model expects falls.
    """
    products = evaluate.products
    roots, at = _canonical(evaluate, roots)
    best: _Polished | None = None
    blind = False
    for _ in range(NEWTON_STEPS):
        curved = curvature(products, at)
        gradient = root_gradient(curved.slopes, roots)
        hessian = root_hessian(products, at, curved, roots)
        step, gap = newton_step(gradient, hessian)
        if best is not None and blind and gap >= best.gap:
            break
        best = _Polished(roots, at, curved, gradient, hessian, gap)
        if gap <= 1e-3 * GAP:
            break
        trial = _line_search(evaluate, roots, at, step)
        blind = trial is None
        if trial is None:
            if gap > CLOSE:
                break
            trial = unpack(pack(roots) + step, products.blocks)
        roots, at = _canonical(evaluate, trial)
    assert best is not None
    return best


def _canonical(evaluate: _Count, roots: tuple[Floats, ...]) -> tuple[tuple[Floats, ...], Factorisation]:
    """Return the roots as Cholesky factors, entries that are almost zero as zero if nothing is lost."""
    plain = tuple(semidefinite_root(root @ root.T) for root in roots)
    at = evaluate(plain)
    snapped = tuple(_snapped(root) for root in plain)
    if any((a != b).any() for a, b in zip(snapped, plain, strict=True)):
        there = evaluate(snapped)
        if there.deviance <= at.deviance + 1e-9:
            return snapped, there
    return plain, at


def _snapped(root: Floats) -> Floats:
    result = root.copy()
    result[:, np.diagonal(root) < ZERO] = 0.0
    return result


def root_hessian(
    products: CrossProducts,
    at: Factorisation,
    curved: Curvature,
    roots: Sequence[Floats],
    *,
    signed_first: bool = False,
) -> Floats:
    """Return the second derivatives of the profiled deviance by the packed roots, shape [m, m].

    Parameters
    ----------
    products, at, curved, roots
        The model, where it was evaluated, its curvature and roots there.
    signed_first
        Whether the first parameter is the variance of the eliminated term itself, not its root.
    """
    free = products.n - products.p if at.reml else products.n
    own = curved.traces if at.reml else curved.full_traces
    s = curved.first_quadratics
    inner = free * (2 * curved.quadratics / at.rss - np.outer(s, s) / at.rss**2) - own
    jacobian = linalg.block_diag(*[root_jacobian(root) for root in roots])
    bent = linalg.block_diag(*[root_curvature(d) for d in curved.slopes.by_covariance])
    if signed_first:
        jacobian[0, 0], bent[0, 0] = 1.0, 0.0
    return jacobian.T @ inner @ jacobian + bent


def newton_step(gradient: Floats, hessian: Floats) -> tuple[Floats, float]:
    """Return the step -|H|⁻¹g and the decrease that the quadratic model expects of it.

    Parameters
    ----------
    gradient, hessian
        Shapes [m] and [m, m]; |H| has the absolute eigenvalues, directions without curvature left out.
    """
    values, vectors = np.linalg.eigh(hessian)
    size = np.abs(values)
    usable = size > 1e-9 * max(float(size.max()), 1e-300)
    coordinates = vectors.T @ gradient
    inverse = np.divide(1.0, size, out=np.zeros_like(size), where=usable)
    return -vectors @ (inverse * coordinates), float(0.5 * (inverse * coordinates**2).sum())


def _line_search(
    evaluate: _Count, roots: tuple[Floats, ...], at: Factorisation, step: Floats
) -> tuple[Floats, ...] | None:
    """Return the first of ever shorter steps that lowers the deviance, or None."""
    blocks, theta = evaluate.products.blocks, pack(roots)
    for halving in range(12):
        trial = unpack(theta + step / 2**halving, blocks)
        try:
            there = evaluate(trial)
        except FitError:
            continue
        if there.deviance < at.deviance:
            return trial
    return None


def _multipliers(products: CrossProducts, first: Slopes) -> tuple[int, tuple[float, ...], Floats]:
    """Return the block with the smallest multiplier, all blocks' smallest, and the eigenvector of it."""
    values, vectors = [], []
    for derivative, scale in zip(first.by_covariance, first.information, strict=True):
        metric = scale + 1e-12 * np.trace(scale) * np.eye(len(scale))
        eigenvalues, directions = linalg.eigh(derivative, metric)
        values.append(float(eigenvalues[0]))
        vectors.append(directions[:, 0])
    worst = int(np.argmin(values))
    return worst, tuple(values), vectors[worst]


def _escape(
    evaluate: _Count, at: Factorisation, block: int, direction: Floats, roots: tuple[Floats, ...]
) -> tuple[Floats, ...] | None:
    """Go from a boundary along a direction in which the deviance falls, as far as it falls."""
    best, best_deviance, length = None, at.deviance, 1e-6
    unit = direction / max(float(np.linalg.norm(direction)), 1e-300)
    while length < 1e6:
        moved = list(roots)
        moved[block] = semidefinite_root(roots[block] @ roots[block].T + length * np.outer(unit, unit))
        deviance = evaluate(moved).deviance
        if deviance >= best_deviance:
            if best is not None:
                return best
            if length > 1e-6:
                return None
            return None
        best, best_deviance, length = tuple(moved), deviance, 4 * length
    return best
