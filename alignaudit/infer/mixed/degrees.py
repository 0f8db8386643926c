"""Degrees of freedom of fixed effects: Satterthwaite's and Kenward and Roger's, at any number of rows.

Contrasts are rows over the orthonormal basis of the fixed columns, and everything is in units of the
residual variance; degrees of freedom have no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from alignaudit.infer.mixed.curvature import Information
from alignaudit.infer.mixed.roots import root_curvature, root_jacobian

__all__ = [
    "JointTest",
    "joint_from_single",
    "kenward_roger_covariance",
    "kenward_roger_df",
    "kenward_roger_joint",
    "satterthwaite_df",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JointTest:
    """Reference distribution of a joint test of r contrasts.

    Attributes
    ----------
    numerator_df, denominator_df
        Degrees of freedom of the F distribution; the numerator is the rank of the contrasts.
    scale
        What the Wald statistic per numerator degree of freedom is multiplied with.
    statistic
        F, scaled.
    """

    numerator_df: int
    denominator_df: float
    scale: float
    statistic: float


def satterthwaite_df(
    facts: Information, roots: Sequence[Floats], derivatives: Sequence[Floats], contrasts: Floats
) -> Floats:
    """Return Satterthwaite's degrees of freedom of single contrasts.

    ``2 f² / (d' A d)`` with f the variance of the contrast, d its derivatives by the roots of the
    covariances and the residual standard deviation, and A twice the inverse Hessian of the deviance
    in these, over its positive eigenvalues.

    Parameters
    ----------
    facts
        Information at the optimum.
    roots, derivatives
        Shape [k, k] each: roots T_j there, and derivatives of the deviance by the covariances.
    contrasts
        Shape [r, p].

    Returns
    -------
    numpy.ndarray of float64, shape [r]

    References
    ----------
    Giesbrecht & Burns (1985), Biometrics 41, 477-486; Kuznetsova, Brockhoff & Christensen (2017),
    J. Statistical Software 82(13), section 2 (the parameters).
    """
    jacobian = _jacobian(facts, roots)
    bent = linalg.block_diag(*[root_curvature(d) for d in derivatives], np.zeros((1, 1)))
    values, vectors = np.linalg.eigh(jacobian.T @ facts.hessian @ jacobian + bent)
    usable = values > 1e-8
    inverse = (vectors[:, usable] / values[usable]) @ vectors[:, usable].T
    moved = contrasts @ facts.covariance
    change = np.einsum("ra,iab,rb->ri", moved, facts.first, moved) @ jacobian
    variance = np.einsum("ra,ra->r", moved, contrasts)
    return variance**2 / np.einsum("ri,ij,rj->r", change, inverse, change)


def _jacobian(facts: Information, roots: Sequence[Floats]) -> Floats:
    """Return derivatives of the covariances' entries by the roots and residual SD, shape [m + 1, m + 1]."""
    m = len(facts.entries) - 1
    result = np.zeros((m + 1, m + 1))
    result[:m, :m] = linalg.block_diag(*[root_jacobian(root) for root in roots])
    result[:, m] = 2 * facts.entries
    return result


def joint_from_single(
    facts: Information, contrasts: Floats, estimates: Floats, degrees: Callable[[Floats], Floats]
) -> JointTest:
    """Return the F test of several contrasts with Fai and Cornelius' denominator.

    Parameters
    ----------
    facts
        Information at the optimum.
    contrasts, estimates
        Shapes [r, p] and [r]: the contrasts, and their values in units of the residual standard
        deviation.
    degrees
        Degrees of freedom of single contrasts, from rows [r, p] to an array [r].

    Returns
    -------
    JointTest

    References
    ----------
    Fai & Cornelius (1996), J. Statistical Computation and Simulation 54, 363-378, method 1;
    Kuznetsova et al. (2017), J. Statistical Software 82(13), section 2.
    """
    values, vectors = np.linalg.eigh(contrasts @ facts.covariance @ contrasts.T)
    used = values > 1e-9 * values.max()
    statistics = (vectors[:, used].T @ estimates) ** 2 / values[used]
    rank = int(used.sum())
    dfs = degrees(vectors[:, used].T @ contrasts)
    if not np.isfinite(dfs).all() or float(np.ptp(dfs)) < 1e-8 * float(dfs.max()):
        denominator = float(dfs.mean())
    elif (dfs <= 2).any():
        denominator = 2.0
    else:
        expected = float((dfs / (dfs - 2)).sum())
        denominator = 2 * expected / (expected - rank)
    return JointTest(rank, denominator, 1.0, float(statistics.mean()))


def kenward_roger_covariance(facts: Information) -> Floats:
    """Return Kenward and Roger's covariance of the fixed effects, shape [p, p].

    Parameters
    ----------
    facts
        Information of a restricted fit, in units of the residual variance.

    References
    ----------
    Kenward & Roger (1997), Biometrics 53, 983-997, eq. 3 and the expression below eq. 5; V is linear
    in its parameters, so that the second derivatives R_ij vanish.
    """
    C, W = facts.covariance, _parameter_covariance(facts)
    return np.asarray(C + 2 * C @ np.einsum("ij,ijab->ab", W, facts.second) @ C)


def _parameter_covariance(facts: Information) -> Floats:
    """Return the asymptotic covariance of the variance parameters, from the expected information."""
    scale = 1 / np.sqrt(np.diagonal(facts.traces))
    standardised = facts.traces * np.outer(scale, scale)
    return np.linalg.pinv(standardised / 2, rcond=1e-10, hermitian=True) * np.outer(scale, scale)


def kenward_roger_df(facts: Information, contrasts: Floats) -> Floats:
    """Return Kenward and Roger's degrees of freedom of single contrasts, shape [r].

    Parameters
    ----------
    facts
        Information of a restricted fit.
    contrasts
        Shape [r, p].

    References
    ----------
    Kenward & Roger (1997), Biometrics 53, 983-997, section 3.
    """
    return np.array([_kenward_roger(facts, row[None])[0] for row in contrasts])


def kenward_roger_joint(facts: Information, contrasts: Floats, estimates: Floats) -> JointTest:
    """Return Kenward and Roger's F test of several contrasts.

    Parameters
    ----------
    facts, contrasts, estimates
        As in :func:`joint_from_single`; the statistic uses the adjusted covariance.

    Returns
    -------
    JointTest

    References
    ----------
    Kenward & Roger (1997), Biometrics 53, 983-997, section 3; Halekoh & Højsgaard (2014),
    J. Statistical Software 59(9), section 3.
    """
    values, vectors = np.linalg.eigh(contrasts @ facts.covariance @ contrasts.T)
    used = values > 1e-9 * values.max()
    rotated, effects = vectors[:, used].T @ contrasts, vectors[:, used].T @ estimates
    adjusted = rotated @ kenward_roger_covariance(facts) @ rotated.T
    wald = float(effects @ np.linalg.solve(adjusted, effects)) / int(used.sum())
    df, scale = _kenward_roger(facts, rotated)
    return JointTest(int(used.sum()), df, scale, scale * wald)


def _kenward_roger(facts: Information, L: Floats) -> tuple[float, float]:
    """Return denominator degrees of freedom and scale; names as in the paper."""
    C, W, rank = facts.covariance, _parameter_covariance(facts), len(L)
    theta_c = C @ L.T @ np.linalg.solve(L @ C @ L.T, L @ C)
    moved = np.einsum("ab,ibc->iac", theta_c, facts.first)
    traces = np.einsum("iaa->i", moved)
    A1 = float(traces @ W @ traces)
    A2 = float(np.einsum("ij,iab,jba->", W, moved, moved, optimize=True))
    B = (A1 + 6 * A2) / (2 * rank)
    g = ((rank + 1) * A1 - (rank + 4) * A2) / ((rank + 2) * A2) if A2 > 0 else 0.0
    base = 3 * rank + 2 * (1 - g)
    c1, c2, c3 = g / base, (rank - g) / base, (rank + 2 - g) / base
    v0, v1, v2 = 1 + c1 * B, 1 - c2 * B, 1 - c3 * B
    ratio = (1 - A2 / rank) / v1 if abs(v1) > 1e-14 else 1.0
    rho = ratio**2 * (0.0 if abs(v0) < 1e-10 else v0) / (rank * v2)
    df = 4 + (rank + 2) / (rank * rho - 1)
    scale = 1.0 if abs(df - 2) < 1e-2 else df * (1 - A2 / rank) / (df - 2)
    return df, scale
