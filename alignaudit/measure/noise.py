"""How correctness falls as the text gets noisier: slope, area and flips, each with a standard error.

All three take one column per item and one row per severity, because the same items are read at every
severity: the item, or a cluster of items such as a document, is the unit of every standard error.
Standard errors are those of Liang and Zeger: an estimate is written as a sum of one influence per
item, and the influences of a cluster are added before they are squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from alignaudit.errors import DataError, FitError
from alignaudit.measure.arrays import Array, FloatArray, matrix, to_numpy
from alignaudit.measure.cluster import clustered_covariance, clustered_mean

__all__ = ["FlipRates", "NoiseArea", "NoiseSlope", "flip_rates", "noise_area", "noise_slope"]

_PER = 0.1  # a slope is quoted for ten percentage points of character error rate
_STEPS = 100
_FLAT = 1e-10
_NOISE = 1e-13  # of a likelihood: what rounding may take from it


@dataclass(frozen=True, slots=True)
class NoiseSlope:
    """Logistic regression of correctness on the realised character error rate.

    Attributes
    ----------
    intercept
        Logit of the probability to be correct on clean text; NaN where there is no estimate.
    slope
        Change of the logit with 10 percentage points of character error rate; NaN likewise.
    intercept_standard_error, slope_standard_error
        In the units above, by cluster.
    covariance
        Shape [2, 2]: of intercept and slope, by cluster.
    items, clusters
        Numbers of items and of clusters.
    gradient
        Largest absolute derivative of the mean log-likelihood at the estimate, which certifies the
        maximum: at most 1e-10, times ten times the largest rate where that is above 0.1.
    reason
        Why there is no estimate; empty otherwise.
    """

    intercept: float
    slope: float
    intercept_standard_error: float
    slope_standard_error: float
    covariance: FloatArray
    items: int
    clusters: int
    gradient: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoiseArea:
    """Mean of accuracy ÷ clean accuracy over the range of noise.

    Attributes
    ----------
    area
        Without unit: 1 where noise changes nothing, 0.5 where accuracy falls on a straight line to
        nothing. NaN where it is not defined.
    standard_error
        In the unit of ``area``, by cluster, linearised.
    accuracies
        Shape [severities]: mean correctness, in the order given.
    character_error_rates
        Shape [severities]: mean realised rate, in the order given.
    upper
        The largest of them, where the area ends: areas with other ends do not compare.
    reason
        Why ``area`` is NaN; empty otherwise.
    """

    area: float
    standard_error: float
    accuracies: FloatArray
    character_error_rates: FloatArray
    upper: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FlipRates:
    """How many items change between right and wrong when their text is perturbed.

    Attributes
    ----------
    lost
        Share of all items that were right on clean text and are wrong on perturbed text.
    gained
        Share of all items that were wrong and are right; ``gained - lost`` is the change of accuracy.
    lost_standard_error, gained_standard_error
        Standard errors of the shares, by cluster.
    items
        Number of items.
    """

    lost: float
    gained: float
    lost_standard_error: float
    gained_standard_error: float
    items: int


def noise_slope(correct: Array, character_error_rate: Array, clusters: Array | None = None) -> NoiseSlope:
    """Fit logit P(correct) = intercept + slope * rate / 0.1 over items at several severities.

    Correctness between 0 and 1, as ties of retrieval give it, enters as a fractional response. The
    maximum of the likelihood is found by Newton's method and certified by its gradient. Where the
    two answers are separated by the rate there is none, and the result says so.

    Parameters
    ----------
    correct
        Shape [severities, n], in [0, 1]; the clean text is one of the severities.
    character_error_rate
        Shape [severities, n], >= 0: realised rate of each item at each severity.
    clusters
        Shape [n]: the cluster of each item. None where items are independent.

    Returns
    -------
    NoiseSlope
        Coefficients, standard errors with the factor G / (G - 1) for G clusters, and certificate.

    Raises
    ------
    DataError
        Where the arrays do not match, are outside their range, or there are fewer than two clusters.
    FitError
        Where the maximum could not be certified.

    References
    ----------
    Papke and Wooldridge (1996), Econometric methods for fractional response variables.
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, for the
    covariance. Silvapulle (1981), On the existence of maximum likelihood estimators for the binomial
    response models, for when there is a maximum.

    Examples
    --------
    >>> fit = noise_slope([[1, 1, 1, 0], [1, 0, 0, 0]], [[0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1]])
    >>> round(fit.slope, 4) == round(-2 * float(np.log(3)), 4)
    True
    """
    y, rates = _table(correct, "correct", 1.0), _table(character_error_rate, "character_error_rate", np.inf)
    if y.shape != rates.shape:
        raise DataError(f"correct has shape {list(y.shape)}, character_error_rate {list(rates.shape)}.")
    labels = _labels(clusters, y.shape[1])
    count = clustered_mean(y[0], labels).clusters
    reason = _why_no_maximum(y, rates)
    if reason:
        nothing = np.full((2, 2), np.nan)
        return NoiseSlope(nan, nan, nan, nan, nothing, y.shape[1], count, nan, reason)
    design = np.stack([np.ones(y.size), rates.ravel() / _PER])
    beta, gradient = _maximum(design, y.ravel())
    fitted = expit(beta @ design)
    information = (design * fitted * (1 - fitted)) @ design.T / y.size
    scores = (design * (y.ravel() - fitted)).reshape(2, *y.shape).mean(axis=1)
    covariance = clustered_covariance(np.linalg.solve(information, scores), labels)
    errors = np.sqrt(np.diag(covariance))
    return NoiseSlope(
        float(beta[0]),
        float(beta[1]),
        float(errors[0]),
        float(errors[1]),
        covariance,
        y.shape[1],
        count,
        gradient,
    )


def noise_area(correct: Array, character_error_rate: Array, clusters: Array | None = None) -> NoiseArea:
    """Return the area under accuracy ÷ clean accuracy over the mean character error rate.

    The area is taken by trapezoids between the severities and divided by the largest rate.

    Parameters
    ----------
    correct
        Shape [severities, n], in [0, 1]; one severity is the clean text, with rate 0 throughout.
    character_error_rate
        Shape [severities, n], >= 0.
    clusters
        Shape [n]: the cluster of each item. None where items are independent.

    Returns
    -------
    NoiseArea
        Area, standard error and the curve that it summarises.

    Raises
    ------
    DataError
        Where the arrays do not match, are outside their range, no severity is clean, or there are
        fewer than two clusters.

    Examples
    --------
    >>> round(noise_area([[1, 1], [1, 0]], [[0, 0], [0.2, 0.2]]).area, 4)
    0.75
    """
    y, rates = _table(correct, "correct", 1.0), _table(character_error_rate, "character_error_rate", np.inf)
    if y.shape != rates.shape:
        raise DataError(f"correct has shape {list(y.shape)}, character_error_rate {list(rates.shape)}.")
    labels = _labels(clusters, y.shape[1])
    accuracies, means = y.mean(axis=1), rates.mean(axis=1)
    if means.min() > 0:
        raise DataError("No severity is clean text.", hint="Give the clean text as a row with rate 0.")
    order = np.argsort(means, kind="stable")
    clean, upper = accuracies[order[0]], float(means.max())
    if upper == 0 or clean == 0:
        reason = "the perturbation changed nothing" if upper == 0 else "nothing is correct on clean text"
        return NoiseArea(nan, nan, accuracies, means, upper, reason)
    area, by_accuracy, by_rate = _trapezoids(accuracies[order], means[order])
    influence = by_accuracy @ (y - accuracies[:, None])[order] + by_rate @ (rates - means[:, None])[order]
    error = clustered_mean(influence, labels).standard_error
    return NoiseArea(area, error, accuracies, means, upper)


def flip_rates(clean: Array, perturbed: Array, clusters: Array | None = None) -> FlipRates:
    """Return the shares of items that perturbation turns from right to wrong, and from wrong to right.

    An item of fractional correctness flips by as much as its correctness falls or rises.

    Parameters
    ----------
    clean, perturbed
        Shape [n], in [0, 1]: correctness of the same items.
    clusters
        Shape [n]: the cluster of each item. None where items are independent.

    Returns
    -------
    FlipRates
        Both shares, with standard errors.

    Raises
    ------
    DataError
        Where the arrays do not match, are outside their range, or there are fewer than two clusters.

    Examples
    --------
    >>> flips = flip_rates([1, 1, 0, 0], [0, 1, 0, 0])
    >>> flips.lost, flips.gained
    (0.25, 0.0)
    """
    before, after = (_table(row, name, 1.0) for row, name in ((clean, "clean"), (perturbed, "perturbed")))
    if before.shape != after.shape or len(before) != 1:
        raise DataError(f"clean has shape {list(before.shape)} and perturbed {list(after.shape)}, not [n].")
    labels = _labels(clusters, before.shape[1])
    change = (after - before)[0]
    lost = clustered_mean(np.maximum(-change, 0), labels)
    gained = clustered_mean(np.maximum(change, 0), labels)
    return FlipRates(lost.mean, gained.mean, lost.standard_error, gained.standard_error, lost.n)


def _table(values: Array, name: str, largest: float) -> FloatArray:
    """Return values as float64 [severities, n]; one row where a vector was given."""
    array = values if hasattr(values, "ndim") else np.asarray(values)
    table = to_numpy(matrix(array.reshape(1, -1) if array.ndim == 1 else array, name)).astype(np.float64)
    if table.min() < 0 or table.max() > largest:
        span = "in [0, 1]" if largest == 1 else "at least 0"
        raise DataError(f"Values must be {span}, not {table.min():g} to {table.max():g}.", where=name)
    return table


def _labels(clusters: Array | None, n: int) -> Array:
    return np.arange(n) if clusters is None else clusters


def _why_no_maximum(y: FloatArray, rates: FloatArray) -> str:
    """Return why no finite intercept and slope maximise the likelihood; empty where some do."""
    if rates.min() == rates.max():
        return f"Every character error rate is {rates.min():g}, so there is no slope."
    right, wrong = rates[y > 0], rates[y < 1]
    if not right.size or not wrong.size:
        return f"Every answer is {'wrong' if not right.size else 'right'}, so there is no slope."
    for left, other, better, worse in ((right, wrong, "right", "wrong"), (wrong, right, "wrong", "right")):
        if left.max() <= other.min():
            return (
                f"Answers are separated: none is {worse} below an error rate of {other.min():.4g} and "
                f"none is {better} above {left.max():.4g}, so the slope is infinite."
            )
    return ""


def _maximum(design: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    """Return the coefficients that maximise the mean log-likelihood, and its largest derivative there.

    Newton's method from zero on the centred and scaled covariate; a step that loses likelihood is
    halved. The gradient that certifies the maximum is taken on the design itself.
    """
    centre, spread = design[1].mean(), design[1].std()
    standard = np.stack([design[0], (design[1] - centre) / spread])
    beta = np.zeros(2)
    value = _log_likelihood(beta, standard, y)
    for _ in range(_STEPS):
        fitted = expit(beta @ standard)
        slope = standard @ (y - fitted) / y.size
        information = (standard * fitted * (1 - fitted)) @ standard.T / y.size
        if np.abs(slope).max() <= _FLAT or not np.linalg.det(information) > 0:
            break
        step = np.linalg.solve(information, slope)
        while (new := _log_likelihood(beta + step, standard, y)) < value - _NOISE:
            step /= 2
        beta, value = beta + step, new
    result = np.array([beta[0] - beta[1] * centre / spread, beta[1] / spread])
    gradient = float(np.abs(design @ (y - expit(result @ design))).max() / y.size)
    if not gradient <= _FLAT * max(1.0, float(np.abs(design).max())):
        raise FitError(f"The slope under noise did not converge: a gradient of {gradient:.2g} is left.")
    return result, gradient


def _log_likelihood(beta: FloatArray, design: FloatArray, y: FloatArray) -> float:
    logit = beta @ design
    return float(np.mean(y * logit - np.logaddexp(0.0, logit)))


def _trapezoids(
    accuracies: npt.NDArray[np.float64], rates: npt.NDArray[np.float64]
) -> tuple[float, FloatArray, FloatArray]:
    """Return the normalised area and its derivatives by accuracies and by rates, both in order of rate."""
    widths, heights = np.diff(rates), (accuracies[1:] + accuracies[:-1]) / 2
    scale = accuracies[0] * rates[-1]
    area = float(widths @ heights / scale)
    by_accuracy = (np.append(widths, 0) + np.append(0, widths)) / 2 / scale
    by_accuracy[0] -= area / accuracies[0]
    by_rate = (np.append(0, heights) - np.append(heights, 0)) / scale
    by_rate[-1] -= area / rates[-1]
    return area, by_accuracy, by_rate
