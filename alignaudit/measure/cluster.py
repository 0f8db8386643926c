"""Standard errors of means over items that come in clusters, as sentences come in documents.

Items of one document resemble one another, so a standard error that takes them as independent is too
small. Here the cluster is the unit: with the mean ``v`` of n items in G clusters and the cluster sums
``s_g = sum_i (v_i - v)``, the variance of the mean is ``G / (G - 1) * sum_g s_g^2 / n^2``. It is the
usual one where every item is a cluster of its own. Intervals take G - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.arrays import Array, FloatArray, IntArray, matrix, to_numpy

__all__ = [
    "ClusteredMean",
    "ClusteredMeans",
    "clustered_covariance",
    "clustered_difference",
    "clustered_mean",
    "clustered_means",
    "covariance_of_means",
]


@dataclass(frozen=True, slots=True)
class ClusteredMeans:
    """Means over one set of items, m at a time, with their standard errors by cluster.

    Attributes
    ----------
    means
        Shape [m], in the unit of the values.
    standard_errors
        Shape [m], in the unit of the values: cluster-robust, linearised.
    design_effects
        Shape [m], without unit: the variance of the mean divided by what it would be for independent
        items; NaN where the values do not vary.
    effective_items
        Shape [m]: n divided by the design effect, the number of independent items that would give
        the same standard error; NaN where the values do not vary, infinite where the clusters
        cancel.
    intraclass_correlations
        Shape [m], at most 1, by one-way analysis of variance; negative where items of one cluster
        differ more than those of different clusters. NaN where the values do not vary or every
        cluster has one item.
    n
        Number of items.
    clusters
        Number of clusters.
    """

    means: FloatArray
    standard_errors: FloatArray
    design_effects: FloatArray
    effective_items: FloatArray
    intraclass_correlations: FloatArray
    n: int
    clusters: int


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """One mean with its standard error by cluster; fields as in :class:`ClusteredMeans`.

    Attributes
    ----------
    mean, standard_error
        In the unit of the values.
    design_effect, effective_items, intraclass_correlation
        Without unit; NaN for the reasons given there.
    n, clusters
        Numbers of items and of clusters.
    """

    mean: float
    standard_error: float
    design_effect: float
    effective_items: float
    intraclass_correlation: float
    n: int
    clusters: int


class _Clusters(NamedTuple):
    order: IntArray  # [n] items, cluster by cluster
    starts: IntArray  # [G] place in `order` where each cluster begins
    sizes: FloatArray  # [G]

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the sums of [m, n] values over clusters, shape [m, G]."""
        return np.add.reduceat(values[:, self.order], self.starts, axis=1)

    @property
    def factor(self) -> float:
        """Return G / (G - 1)."""
        return len(self.sizes) / (len(self.sizes) - 1)


def clustered_means(values: Array, clusters: Array) -> ClusteredMeans:
    """Return the means of m variables over one set of items, with standard errors by cluster.

    Parameters
    ----------
    values
        Shape [m, n]: one row per variable, for example per layer or per language of n-way text.
    clusters
        Shape [n]: the cluster of each item, as integers or strings.

    Returns
    -------
    ClusteredMeans
        Means, standard errors, design effects and intraclass correlations.

    Raises
    ------
    DataError
        Where values are not finite, the labels are not integers or strings or not one for each
        item, or there are fewer than two clusters.

    References
    ----------
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear models;
    Kish (1965), Survey sampling; Donner (1986), A review of inference procedures for the intraclass
    correlation coefficient in the one-way random effects model.
    """
    rows = _rows(values)
    groups = _clusters(clusters, rows.shape[1])
    n = rows.shape[1]
    means, deviations = _deviations(rows)
    sums = groups.sums(deviations)
    variances = groups.factor * np.sum(sums**2, axis=1) / n**2
    squares = np.sum(deviations**2, axis=1)
    varies = squares > 0
    effects = np.full(len(rows), np.nan)
    np.divide(variances, squares / (n * (n - 1)), out=effects, where=varies)
    items = np.full(len(rows), np.nan)
    np.divide(n, effects, out=items, where=effects > 0)
    items[effects == 0] = np.inf
    return ClusteredMeans(
        means,
        np.sqrt(variances),
        effects,
        items,
        _intraclass_correlations(squares, sums, groups),
        n,
        len(groups.sizes),
    )


def clustered_mean(values: Array, clusters: Array) -> ClusteredMean:
    """Return the mean of n values with its standard error by cluster.

    Parameters
    ----------
    values
        Shape [n].
    clusters
        Shape [n]: the cluster of each item, as integers or strings.

    Returns
    -------
    ClusteredMean
        Mean, standard error, design effect and intraclass correlation.

    Raises
    ------
    DataError
        As :func:`clustered_means`.

    Examples
    --------
    >>> clustered_mean([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]).standard_error
    0.5
    >>> round(clustered_mean([1.0, 1.0, 0.0, 0.0], ["a", "b", "c", "d"]).standard_error, 4)
    0.2887
    """
    found = clustered_means(_row(values), clusters)
    return ClusteredMean(
        float(found.means[0]),
        float(found.standard_errors[0]),
        float(found.design_effects[0]),
        float(found.effective_items[0]),
        float(found.intraclass_correlations[0]),
        found.n,
        found.clusters,
    )


def clustered_difference(x: Array, y: Array, clusters: Array) -> ClusteredMean:
    """Return the mean of x minus that of y over the same items, with its standard error by cluster.

    Parameters
    ----------
    x, y
        Shape [n]: values of the same items, for example of two languages of n-way text.
    clusters
        Shape [n]: the cluster of each item.

    Returns
    -------
    ClusteredMean
        Of the differences ``x - y``.

    Raises
    ------
    DataError
        As :func:`clustered_means`; also where the numbers of items differ.
    """
    left, right = _rows(_row(x)), _rows(_row(y))
    if left.shape != right.shape:
        raise DataError(f"x has {left.shape[1]} items and y has {right.shape[1]}.")
    return clustered_mean((left - right)[0], clusters)


def clustered_covariance(values: Array, clusters: Array) -> FloatArray:
    """Return the covariances of the means of m variables over one set of items.

    Parameters
    ----------
    values
        Shape [m, n].
    clusters
        Shape [n]: the cluster of each item.

    Returns
    -------
    numpy.ndarray
        Shape [m, m], float64, in the squared unit of the values; the diagonal holds the squared
        standard errors of :func:`clustered_means`, and ``c' V c`` is the variance of a contrast c.

    Raises
    ------
    DataError
        As :func:`clustered_means`.
    """
    rows = _rows(values)
    groups = _clusters(clusters, rows.shape[1])
    sums = groups.sums(_deviations(rows)[1])
    return np.asarray(groups.factor * (sums @ sums.T) / rows.shape[1] ** 2)


def covariance_of_means(x: Array, x_clusters: Array, y: Array, y_clusters: Array) -> float:
    """Return the covariance of two means over different items that share some of their clusters.

    It serves test sets of two languages that have English sentences in common without being parallel,
    as those of Tatoeba: the clusters are then the English sentences.

    Parameters
    ----------
    x, y
        Shapes [n] and [l].
    x_clusters, y_clusters
        Shapes [n] and [l]: the cluster of each item, of one kind; equal labels are one cluster.

    Returns
    -------
    float
        In the product of the two units: 0 where no cluster is shared, the squared standard error
        where x is y.

    Raises
    ------
    DataError
        As :func:`clustered_means`; also where one side has integer labels and the other strings.
    """
    sides = []
    for values, labels in ((x, x_clusters), (y, y_clusters)):
        row = _rows(_row(values))
        groups = _clusters(labels, row.shape[1])
        names = _labels(labels)[groups.order[groups.starts]]
        sides.append((names, groups.sums(_deviations(row)[1])[0] * math.sqrt(groups.factor) / row.shape[1]))
    (left_names, left), (right_names, right) = sides
    if left_names.dtype.kind != right_names.dtype.kind:
        raise DataError("Clusters of one side are integers and those of the other strings.")
    _, in_left, in_right = np.intersect1d(left_names, right_names, assume_unique=True, return_indices=True)
    return float(left[in_left] @ right[in_right])


def _row(values: Array) -> Array:
    array = values if hasattr(values, "ndim") else np.asarray(values)
    if array.ndim != 1:
        raise DataError(f"Values must have shape [items], not {list(array.shape)}.", where="values")
    return array.reshape(1, -1)


def _rows(values: Array) -> FloatArray:
    return np.asarray(to_numpy(matrix(values, "values")), dtype=np.float64)


def _labels(clusters: Array) -> npt.NDArray[np.generic]:
    """Return labels as integers or as strings."""
    labels = to_numpy(clusters)
    if labels.ndim != 1 or labels.dtype.kind not in "iuUO":
        raise DataError(
            f"Clusters must be integers or strings of shape [items], not {labels.dtype}{list(labels.shape)}.",
            where="clusters",
        )
    if labels.dtype.kind == "O" and not all(isinstance(label, str) for label in labels):
        raise DataError("Clusters are neither all integers nor all strings.", where="clusters")
    return labels.astype(str) if labels.dtype.kind in "UO" else labels.astype(np.int64)


def _clusters(clusters: Array, n: int) -> _Clusters:
    labels = _labels(clusters)
    if len(labels) != n:
        raise DataError(f"{len(labels)} labels for {n} items.", where="clusters")
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    if len(starts) < 2:
        raise DataError(
            "All items lie in one cluster, which leaves no standard error.",
            where="clusters",
            hint="Give each item a label of its own if the items are independent.",
        )
    return _Clusters(order, starts, np.diff(np.append(starts, n)).astype(np.float64))


def _deviations(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the means [m] and the values minus their means [m, n], exactly zero for constants."""
    shifted = rows - rows[:, :1]
    shift = shifted.mean(axis=1, keepdims=True)
    return (rows[:, :1] + shift)[:, 0], shifted - shift


def _intraclass_correlations(squares: FloatArray, sums: FloatArray, groups: _Clusters) -> FloatArray:
    """Return (MSB - MSW) / (MSB + (n0 - 1) MSW), n0 the mean size of clusters, adjusted for its variance."""
    count, n = len(groups.sizes), float(groups.sizes.sum())
    result = np.full(len(squares), np.nan)
    if n == count:
        return result
    between = np.sum(sums**2 / groups.sizes, axis=1)
    within = np.maximum(squares - between, 0.0) / (n - count)
    between /= count - 1
    size = (n - np.sum(groups.sizes**2) / n) / (count - 1)
    np.divide(between - within, between + (size - 1) * within, out=result, where=squares > 0)
    return result
