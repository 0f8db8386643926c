"""Interquartile mean, optimality gap, profiles, probability of improvement; whole runs are resampled.

A run is scored on every language, so a draw takes whole runs, each with all its languages. Drawing
runs anew for each language, as suits benchmarks with one run per task, loses the error that a run's
languages share: such intervals called arms that do not differ different in 53 % of simulated studies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.bootstrap import CELLS, NOISE, BootstrapDraws, Method
from alignaudit.infer.interval import Interval

__all__ = [
    "Aggregate",
    "Contrast",
    "Summary",
    "bootstrap_contrast",
    "bootstrap_profile",
    "bootstrap_summary",
    "interquartile_mean",
    "probability_of_improvement",
]

Floats = NDArray[np.float64]
Summary = Literal["mean", "interquartile_mean", "optimality_gap"]
Contrast = Literal["mean", "interquartile_mean", "optimality_gap", "probability_of_improvement"]

# K statistics as a function of how often each run counts, [B, R] -> [B, K]; of one or several sets of runs.
OnCounts = Callable[[Floats], Floats]
OnAxes = Callable[[tuple[Floats, ...]], Floats]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number over all runs and languages, with its whole-run bootstrap interval.

    Attributes
    ----------
    name
        What was computed.
    estimate, standard_error
        In the unit of the scores, or a share; the error is the delete-one-run jackknife's.
    interval
        NaN where no run can be told from another.
    null, p_value
        Value of no difference and the two-sided p of it; NaN where there is one arm only.
    n_languages, draws
        L and B.
    """

    name: str
    estimate: float
    standard_error: float
    interval: Interval
    null: float
    p_value: float
    n_languages: int
    draws: int


def interquartile_mean(scores: Floats) -> float:
    """Return the mean of the middle half of all runs × languages.

    A quarter of the mass is trimmed from each end *exactly*: with N scores, N not a multiple of 4,
    the two scores at the edges count in part, so the value does not jump when a run is added.
    ``scipy.stats.trim_mean(scores, 0.25, axis=None)``, and rliable with it, trims ``floor(N / 4)``
    whole scores instead; both agree where 4 divides N.

    Parameters
    ----------
    scores
        Shape [R, L], one score per run and language.

    Returns
    -------
    float
        In the unit of the scores.

    Raises
    ------
    FitError
        If the layout is empty, incomplete or not two-dimensional.

    References
    ----------
    Agarwal et al. (2021), NeurIPS, arXiv 2108.13264, section 4.3.

    Examples
    --------
    >>> interquartile_mean(np.array([[1.0, 2.0], [3.0, 40.0]]))
    2.5
    >>> round(interquartile_mean(np.array([[1.0, 2.0, 90.0]])), 9)  # (0.25·1 + 1·2 + 0.25·90) / 1.5
    16.5
    """
    return float(_summary(_checked(scores), "interquartile_mean", 1.0)(np.ones((1, len(scores))))[0, 0])


def probability_of_improvement(first: Floats, second: Floats) -> float:
    """Return the chance that a run of the second arm beats a run of the first on a language.

    Parameters
    ----------
    first, second
        Shapes [N, L] and [M, L], one score per run and language, same languages, higher is better.

    Returns
    -------
    float
        Mean over languages of ``U / (N M)`` with the Mann–Whitney U of second over first; a tie
        counts half. 0.5 means no improvement.

    Raises
    ------
    FitError
        If the arms do not share their languages or scores are missing.

    References
    ----------
    Mann & Whitney (1947), Annals of Mathematical Statistics 18, 50-60; Agarwal et al. (2021),
    NeurIPS, arXiv 2108.13264, section 4.3.

    Examples
    --------
    >>> probability_of_improvement(np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]]))
    0.625
    """
    return float(_wins(*_checked_arms(first, second, paired=False)).mean())


def bootstrap_summary(
    scores: Floats,
    summary: Summary,
    *,
    rng: np.random.Generator,
    target: float = 1.0,
    method: Method = "studentised",
    conf_level: float = 0.95,
    draws: int = 1_999,
) -> Aggregate:
    """Summarise one arm, with an interval from resampled whole runs.

    Parameters
    ----------
    scores
        Shape [R, L], one score per run and language, higher is better, R at least 2.
    summary
        ``mean``, ``interquartile_mean``, or ``optimality_gap``: ``target - mean(min(score, target))``.
    rng
        A stream of ``core.rng``.
    target
        Of the optimality gap, in the unit of the scores.
    method, conf_level, draws
        As in :func:`alignaudit.infer.bootstrap.multi_bootstrap`, whose warning about percentile
        intervals over few runs holds here too.

    Returns
    -------
    Aggregate
        In the unit of the scores.

    Raises
    ------
    FitError
        If the layout is incomplete, of fewer than two runs, or there are too few draws.
    """
    x = _checked(scores)
    value = _summary(x, summary, target)
    found = _resampled(lambda runs: value(runs[0]), (len(x),), x, rng, draws)[0]
    return _one_arm(summary, found, method, conf_level, x.shape, (-math.inf, math.inf))


def bootstrap_profile(
    scores: Floats,
    thresholds: Floats,
    *,
    rng: np.random.Generator,
    method: Method = "studentised",
    conf_level: float = 0.95,
    draws: int = 1_999,
) -> tuple[Aggregate, ...]:
    """Return the performance profile of one arm: the share of runs × languages above each threshold.

    Parameters
    ----------
    scores
        Shape [R, L], one score per run and language, R at least 2.
    thresholds
        Shape [T], in the unit of the scores.
    rng, method, conf_level, draws
        As in :func:`bootstrap_summary`; all thresholds share the draws.

    Returns
    -------
    tuple of Aggregate
        T shares with pointwise (not simultaneous) intervals, kept inside [0, 1].

    Raises
    ------
    FitError
        If the layout is incomplete, of fewer than two runs, or there are too few draws.

    References
    ----------
    Dolan & Moré (2002), Mathematical Programming 91, 201-213; Agarwal et al. (2021), section 4.2.
    """
    x, grid = _checked(scores), np.asarray(thresholds, dtype=np.float64)
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all():
        raise FitError("a profile needs finite thresholds in one dimension.", where="aggregate")
    shares = (x[:, :, None] > grid).mean(axis=1)
    value = _mean_of(shares)
    found = _resampled(lambda runs: value(runs[0]), (len(x),), shares, rng, draws)
    return tuple(
        _one_arm(f"share above {threshold:g}", one, method, conf_level, x.shape, (0.0, 1.0))
        for threshold, one in zip(grid, found, strict=True)
    )


def bootstrap_contrast(
    first: Floats,
    second: Floats,
    contrast: Contrast,
    *,
    paired: bool,
    rng: np.random.Generator,
    target: float = 1.0,
    method: Method = "studentised",
    conf_level: float = 0.95,
    draws: int = 1_999,
) -> Aggregate:
    """Compare two arms, with an interval and a test from resampled whole runs.

    Where arms separate completely on every language the probability of improvement does not vary
    over draws: bounds and p are then NaN, and a permutation test is the one to use.

    Parameters
    ----------
    first, second
        Shapes [R, L] and [R', L], same languages; if ``paired``, row r of both is one pair of runs
        and pairs are drawn together.
    contrast
        ``probability_of_improvement`` of the second arm over the first, or a summary, whose
        difference is second minus first.
    paired
        Whether the runs of the two arms are pairs.
    rng, target, method, conf_level, draws
        As in :func:`bootstrap_summary`.

    Returns
    -------
    Aggregate
        With the p of no difference: of 0, or of 0.5 for the probability of improvement.

    Raises
    ------
    FitError
        If layouts are incomplete or do not match, or runs or draws are too few.
    """
    x, y = _checked_arms(first, second, paired=paired)
    runs, improvement = (len(x),) if paired else (len(x), len(y)), contrast == "probability_of_improvement"
    source = _wins(x, y) if improvement else np.concatenate([x, y])
    value = _improvement(source) if improvement else _difference(x, y, contrast, target)
    found = _resampled(value, runs, source, rng, draws)[0]
    null, limits = (0.5, (0.0, 1.0)) if improvement else (0.0, (-math.inf, math.inf))
    words = f"{len(x)} pairs of whole runs" if paired else f"{len(x)} and {len(y)} whole runs"
    interval = _interval(found, method, conf_level, words, min(runs), limits)
    p_value, error = found.p_value(method, null), found.standard_error
    return Aggregate(contrast, found.estimate, error, interval, null, p_value, x.shape[1], draws)


def _checked(scores: Floats) -> Floats:
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all():
        what = f"scores of shape {x.shape} are no complete runs × languages."
        raise FitError(what, where="aggregate", hint="Leave incomplete runs or languages out.")
    return x


def _checked_arms(first: Floats, second: Floats, *, paired: bool) -> tuple[Floats, Floats]:
    x, y = _checked(first), _checked(second)
    if x.shape[1] != y.shape[1]:
        raise FitError(f"arms have {x.shape[1]} and {y.shape[1]} languages.", where="aggregate")
    if paired and len(x) != len(y):
        raise FitError(f"{len(x)} runs cannot be paired with {len(y)}.", where="aggregate")
    return x, y


def _wins(x: Floats, y: Floats) -> Floats:
    """Share of languages on which run j of y beats run i of x, shape [N, M]; ties half."""
    return np.array([((row < y) + 0.5 * (row == y)).mean(axis=1) for row in x], dtype=np.float64)


def _mean_of(per_run: Floats) -> OnCounts:
    return lambda counts: counts @ per_run / counts.sum(axis=1, keepdims=True)


def _interquartile_mean(x: Floats) -> OnCounts:
    order = np.argsort(x, axis=None, kind="stable")
    ordered = x.ravel()[order]
    up_to = np.cumsum(np.eye(len(x))[:, order // x.shape[1]], axis=1)[:, :-1]  # each run's scores so far

    def value(counts: Floats) -> Floats:
        mass = (counts / (x.shape[1] * counts.sum(axis=1, keepdims=True))) @ up_to
        np.clip(mass, 0.25, 0.75, out=mass)  # sum of (mass_k - mass_k-1) score_k, by parts
        middle = 0.75 * ordered[-1] - 0.25 * ordered[0] - mass @ np.diff(ordered)
        return np.asarray(2 * middle[:, None])

    return value


def _summary(x: Floats, name: str, target: float) -> OnCounts:
    if name == "interquartile_mean":
        return _interquartile_mean(x)
    if name == "optimality_gap":
        return _mean_of(target - np.minimum(x, target).mean(axis=1, keepdims=True))
    if name == "mean":
        return _mean_of(x.mean(axis=1, keepdims=True))
    known = "interquartile_mean, mean, optimality_gap; for two arms also probability_of_improvement"
    raise FitError(f'"{name}" is no summary.', where="aggregate", hint=f"Known: {known}.")


def _difference(x: Floats, y: Floats, name: str, target: float) -> OnAxes:
    of_x, of_y = _summary(x, name, target), _summary(y, name, target)
    return lambda runs: of_y(runs[-1]) - of_x(runs[0])


def _improvement(wins: Floats) -> OnAxes:
    def value(runs: tuple[Floats, ...]) -> Floats:
        first, second = (counts / counts.sum(axis=1, keepdims=True) for counts in (runs[0], runs[-1]))
        return ((first @ wins) * second).sum(axis=1, keepdims=True)

    return value


def _resampled(
    value: OnAxes, sizes: tuple[int, ...], source: Floats, rng: np.random.Generator, draws: int
) -> list[BootstrapDraws]:
    """Draws of each of the K statistics of ``source``, runs with replacement within each set of runs."""
    if min(sizes) < 2:
        raise FitError("one run says nothing about runs.", where="aggregate", hint="Train at least two.")
    if draws < 1:
        raise FitError(f"{draws} draws are none.", where="aggregate", hint="Take 1,999.")
    ones, noise = tuple(np.ones((1, size)) for size in sizes), NOISE * float(np.abs(source).max())
    estimates, (errors, acceleration) = value(ones)[0], _jackknife(value, ones, noise)
    batch = max(1, CELLS // (source.size * max(sizes)))
    counts = (
        tuple(
            rng.multinomial(R, np.full(R, 1 / R), min(batch, draws - start)).astype(np.float64) for R in sizes
        )
        for start in range(0, draws, batch)
    )
    batches = [(value(runs), _jackknife(value, runs, noise)[0]) for runs in counts]
    values, drawn_errors = (np.concatenate(part) for part in zip(*batches, strict=True))
    deviations = values - estimates
    deviations[np.abs(deviations) <= noise] = 0.0
    columns = zip(estimates, errors[0], deviations.T, drawn_errors.T, acceleration[0], strict=True)
    return [BootstrapDraws(float(a), float(b), c, d, float(e)) for a, b, c, d, e in columns]


def _jackknife(value: OnAxes, runs: tuple[Floats, ...], noise: float) -> tuple[Floats, Floats]:
    """Delete-one-run standard errors and BCa accelerations, [B, K] each; sets of runs add up."""
    squares = cubes = errors = np.zeros(1)
    for axis, counts in enumerate(runs):
        B, R = counts.shape
        left = np.maximum(counts[:, None, :] - np.eye(R), 0.0)  # runs that were not drawn weigh 0 below
        parts = [np.repeat(other, R, axis=0) for other in runs]
        parts[axis] = left.reshape(B * R, R)
        values, weight = value(tuple(parts)).reshape(B, R, -1), counts[:, :, None]
        influence = (R - 1) / R * ((weight * values).sum(axis=1, keepdims=True) / R - values)
        influence[np.abs(influence) <= noise] = 0.0
        errors = errors + (weight * influence**2).sum(axis=1) * R / (R - 1)
        squares = squares + (weight * influence**2).sum(axis=1)
        cubes = cubes + (weight * influence**3).sum(axis=1)
    return np.sqrt(errors), cubes / (6 * np.where(squares > 0, squares, 1.0) ** 1.5)


def _interval(
    found: BootstrapDraws, method: Method, conf_level: float, words: str, n: int, limits: tuple[float, float]
) -> Interval:
    low, high = np.clip(found.bounds(method, conf_level), *limits)
    return Interval(float(low), float(high), conf_level, f"{method} bootstrap interval", words, n, math.nan)


def _one_arm(
    name: str, found: BootstrapDraws, method: Method, conf_level: float, shape: tuple[int, ...],
    limits: tuple[float, float],
) -> Aggregate:  # fmt: skip
    interval = _interval(found, method, conf_level, f"{shape[0]} whole runs", shape[0], limits)
    error, draws = found.standard_error, len(found.deviations)
    return Aggregate(name, found.estimate, error, interval, math.nan, math.nan, shape[1], draws)
