"""Almost stochastic order of two arms' runs: exact violation ratio, bootstrap bound, right Bonferroni."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import FitError

__all__ = ["StochasticOrder", "almost_stochastic_order", "violation_ratio"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StochasticOrder:
    """How far a candidate is from stochastically dominating a reference.

    Attributes
    ----------
    epsilon
        Violation ratio of the two samples: 0 where the candidate's quantiles are nowhere below the
        reference's, 1 where they are nowhere above, 0.5 for identical samples.
    epsilon_min
        Upper confidence bound of it, clipped to [0, 1]; dominance is claimed where it is small.
    sigma
        Bootstrap standard deviation of ``sqrt(n m / (n + m)) epsilon``.
    confidence
        Level of the bound: ``1 - alpha / comparisons``.
    alpha, comparisons
        Level of the family and number of comparisons in it.
    separation_p
        ``1 / C(n + m, n)``: chance that arms which do not differ separate completely in this
        direction. Then epsilon, sigma and the bound are all 0, so no claim is safer than this.
    n_candidate, n_reference
        Runs of each arm.
    """

    epsilon: float
    epsilon_min: float
    sigma: float
    confidence: float
    alpha: float
    comparisons: int
    separation_p: float
    n_candidate: int
    n_reference: int

    def dominates(self, threshold: float = 0.2) -> bool:
        """Return whether the bound lies below a threshold (0.2 is advised, 0.5 is the weakest claim)."""
        return self.epsilon_min < threshold

    @property
    def caution(self) -> str:
        """Return why the level cannot be trusted with so few runs; empty where it can be reached.

        Examples
        --------
        >>> from alignaudit.core import rng
        >>> order = almost_stochastic_order(np.arange(3.0) + 9, np.arange(2.0), rng=rng.stream(1, "aso"))
        >>> order.epsilon_min, order.caution[:78]
        (0.0, 'Arms of 3 and 2 runs that do not differ separate completely by chance in 10 % ')
        """
        if self.separation_p <= self.alpha / self.comparisons:
            return ""
        return (
            f"Arms of {self.n_candidate} and {self.n_reference} runs that do not differ separate "
            f"completely by chance in {100 * self.separation_p:.2g} % of studies, more than the "
            f"{100 * self.alpha / self.comparisons:.2g} % allowed; the bootstrap cannot see that. "
            "Train more runs or use a permutation test."
        )


def violation_ratio(candidate: Floats, reference: Floats) -> float:
    r"""Return the share of the squared Wasserstein distance where the candidate is below the reference.

    With F, G the empirical distributions of candidate and reference,
    ``int over {F^-1 < G^-1} of (F^-1 - G^-1)^2 / int (F^-1 - G^-1)^2``. Both quantile functions are
    step functions, so the integrals are finite sums over the merged steps k/n and j/m.

    Parameters
    ----------
    candidate, reference
        Shapes [n] and [m], one score per run, higher is better.

    Returns
    -------
    float
        In [0, 1]; 0.5 for identical distributions, the one value for which the ratios of both
        directions still add up to 1.

    Raises
    ------
    FitError
        If an arm has fewer than two scores or scores are not finite.

    References
    ----------
    del Barrio, Cuesta-Albertos & Matrán (2018), arXiv 1705.01788.

    Examples
    --------
    >>> violation_ratio(np.array([1.0, 4.0]), np.array([2.0, 3.0]))
    0.5
    >>> round(violation_ratio(np.array([2.0, 5.0]), np.array([1.0, 6.0, 3.0])), 4)
    0.3333
    """
    x, y = _checked(candidate, reference)
    return float(_ratios(x[None], y[None])[0])


def almost_stochastic_order(
    candidate: Floats,
    reference: Floats,
    *,
    rng: np.random.Generator,
    alpha: float = 0.05,
    comparisons: int = 1,
    draws: int = 9_999,
) -> StochasticOrder:
    r"""Bound how far a candidate's runs are from dominating a reference's runs.

    ``epsilon_min = epsilon - sqrt((n + m) / (n m)) sigma Phi^-1(1 - confidence)`` is an upper
    bound of the violation ratio. For m comparisons the confidence is ``1 - alpha / m`` (Bonferroni).
    The deepsig package (1.2.8) takes ``confidence + (1 - confidence) / m`` instead, which is right
    for m = 2 only and then *relaxes* with every further comparison.

    With few runs the bound is not calibrated. Between arms of 3, 5, 10, 20 independent normal runs
    that do not differ it fell below 0.5 in 22, 20, 18, 18 % and below 0.2 in 9, 5, 4, 3 % of 4,000
    simulated studies at alpha = .05. See ``StochasticOrder.caution``.

    Parameters
    ----------
    candidate, reference
        Shapes [n] and [m], one score per *run* (a mean over languages and items), higher is
        better, at least two each.
    rng
        A stream of ``core.rng``.
    alpha
        Level of the whole family.
    comparisons
        Number of comparisons in the family.
    draws
        Bootstrap draws, each of n and m scores.

    Returns
    -------
    StochasticOrder
        Ratio, bound and what they rest on; the order of the arguments is the direction claimed.

    Raises
    ------
    FitError
        If an arm has fewer than two scores, scores are not finite, or a number is out of range.

    References
    ----------
    del Barrio, Cuesta-Albertos & Matrán (2018), arXiv 1705.01788; Dror, Shlomov & Reichart (2019),
    ACL, 2773-2785; Ulmer, Hardmeier & Frellsen (2022), arXiv 2204.06815.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> scores = rng.stream(1, "example").normal(size=(2, 10))
    >>> order = almost_stochastic_order(scores[0], scores[1] + 0.5, rng=rng.stream(1, "aso"))
    >>> order.epsilon_min >= order.epsilon, order.dominates(), order.caution
    (True, False, '')
    """
    x, y = _checked(candidate, reference)
    if not 0 < alpha < 1 or comparisons < 1 or draws < 2:
        raise FitError(
            f"alpha {alpha}, {comparisons} comparisons and {draws} draws bound nothing.",
            where="almost stochastic order",
            hint="State 0 < alpha < 1, comparisons of 1 or more, some 9,999 draws.",
        )
    n, m = len(x), len(y)
    epsilon = float(_ratios(x[None], y[None])[0])
    resampled = _ratios(x[rng.integers(0, n, size=(draws, n))], y[rng.integers(0, m, size=(draws, m))])
    scale = math.sqrt(n * m / (n + m))
    sigma = scale * float(resampled.std())
    confidence = 1 - alpha / comparisons
    bound = epsilon - sigma / scale * float(stats.norm.ppf(alpha / comparisons))
    return StochasticOrder(
        epsilon, min(1.0, max(0.0, bound)), sigma, confidence, alpha, comparisons,
        1 / math.comb(n + m, n), n, m,
    )  # fmt: skip


def _checked(candidate: Floats, reference: Floats) -> tuple[Floats, Floats]:
    x, y = (np.asarray(scores, dtype=np.float64) for scores in (candidate, reference))
    where = "almost stochastic order"
    if x.ndim != 1 or y.ndim != 1 or not np.isfinite([*x, *y]).all():
        raise FitError(
            "each arm needs one finite score per run.", where=where, hint="Average over languages."
        )
    if min(len(x), len(y)) < 2:
        what = f"{len(x)} and {len(y)} scores show no distribution: any difference would look certain."
        raise FitError(what, where=where, hint="Train at least two runs per arm, better ten.")
    return x, y


def _ratios(x: Floats, y: Floats) -> Floats:
    """Violation ratio of each row of x [B, n] against the same row of y [B, m], shape [B]."""
    n, m = x.shape[1], y.shape[1]
    ends = np.union1d(m * np.arange(n + 1), n * np.arange(m + 1))  # in units of 1 / (n m), exact
    start, length = ends[:-1], np.diff(ends)
    gap = np.sort(x, axis=1)[:, start // m] - np.sort(y, axis=1)[:, start // n]
    gap[np.abs(gap) <= 1e-12 * max(np.abs(x).max(), np.abs(y).max())] = 0.0
    squared = gap**2 @ length
    below = np.minimum(gap, 0.0) ** 2 @ length
    return np.where(squared > 0, below / np.where(squared > 0, squared, 1.0), 0.5)
