"""Retrieval by margin, as LASER's xSIM does it: a cosine judged against its neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import Array, FloatArray, IntArray, namespace, to_numpy, unit_rows
from alignaudit.measure.retrieval import Retrieval
from alignaudit.measure.search import Ranking, search_both_ways
from alignaudit.measure.similarity import Cosines

__all__ = ["Margin", "MarginSearch", "margin_of", "margin_scores", "margin_search"]

Margin: TypeAlias = Literal["ratio", "distance", "absolute"]


@dataclass(frozen=True, slots=True)
class MarginSearch:
    """What a search by margin gave for each of n queries.

    Attributes
    ----------
    predictions
        Shape [n]: candidate with the largest margin among the k nearest; of equal ones the nearest.
    scores
        Shape [n]: its margin; a cosine difference, cosine or ratio.
    pair_scores
        Shape [n]: margin of the true pair.
    error_rate
        Share of queries whose prediction is not the candidate of the same row (xSIM / 100).
    """

    predictions: IntArray
    scores: FloatArray
    pair_scores: FloatArray
    error_rate: float


def margin_of(cosines: Array, means: Array, kind: Margin) -> Array:
    """Return the margins of cosines whose neighbourhoods have given mean cosines.

    Parameters
    ----------
    cosines, means
        Any two shapes that broadcast: a, and b, the mean of the two neighbourhood means of a pair.
    kind
        ``ratio`` a / b, ``distance`` a - b, ``absolute`` a.

    Returns
    -------
    array
        Their common shape; a cosine difference, cosine or ratio.

    Raises
    ------
    DataError
        Where ``ratio`` meets a mean that is not positive: dividing by it would turn the order round.
    UsageError
        Where the kind is unknown.

    References
    ----------
    Artetxe and Schwenk (2019), Margin-based parallel corpus mining, equation 2 and section 3.2.

    Examples
    --------
    >>> margin_of(np.array([0.5, 0.8]), np.array([0.25, 0.8]), "ratio").tolist()
    [2.0, 1.0]
    """
    if kind == "absolute":
        return cosines
    if kind == "distance":
        return cosines - means
    if kind != "ratio":
        raise UsageError(f'Unknown margin "{kind}".', hint="Known: absolute, distance, ratio.")
    if not bool(namespace(means).all(means > 0)):
        raise DataError(
            "The ratio margin needs positive neighbourhood means.",
            hint='Use kind="distance", which keeps its order for negative cosines.',
        )
    return cosines / means


def margin_search(found: Retrieval, kind: Margin = "distance") -> tuple[MarginSearch, MarginSearch]:
    """Search by margin in both directions, from a retrieval that has the neighbours already.

    Parameters
    ----------
    found
        Of n pairs; its k is that of the margin.
    kind
        See :func:`margin_of`.

    Returns
    -------
    foreign_to_english, english_to_foreign : MarginSearch

    Raises
    ------
    DataError, UsageError
        As :func:`margin_of`.
    """
    forward, backward = found.foreign_to_english, found.english_to_foreign
    return (
        _search(forward, backward.neighbourhood, found.similarity, kind),
        _search(backward, forward.neighbourhood, found.similarity, kind),
    )


def margin_scores(x: Array, y: Array, k: int = 4, kind: Margin = "distance") -> MarginSearch:
    """Search by margin as LASER's xSIM does: the best margin among the k nearest by cosine.

    Parameters
    ----------
    x, y
        Queries [n, d] and candidates [m, d], m >= n, rows as
        :func:`alignaudit.measure.retrieval.normalise` returns them; the translation of query ``i``
        is candidate ``i``, further candidates are distractors.
    k
        Size of the neighbourhoods; clipped to the number of rows there are.
    kind
        See :func:`margin_of`.

    Returns
    -------
    MarginSearch
        Predictions, their margins, margins of the true pairs, and the error rate.

    Raises
    ------
    DataError
        Where rows are not normalised or are too few, or as :func:`margin_of`.
    UsageError
        Where k is below 1 or the kind is unknown.

    References
    ----------
    Artetxe and Schwenk (2019), equations 1 and 2; Chen et al. (2023), xSIM++.
    """
    if kind not in ("ratio", "distance", "absolute"):
        raise UsageError(f'Unknown margin "{kind}".', hint="Known: absolute, distance, ratio.")
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}.")
    queries, candidates = unit_rows(x, "x"), unit_rows(y, "y")
    if queries.shape[1] != candidates.shape[1]:
        raise DataError(f"Queries have {queries.shape[1]} dimensions and candidates {candidates.shape[1]}.")
    if candidates.shape[0] < queries.shape[0]:
        raise DataError(f"{queries.shape[0]} queries have only {candidates.shape[0]} candidates.")
    cosines = Cosines(queries, candidates)
    forward, backward = search_both_ways(cosines, k)
    pairs = to_numpy(cosines.translations()).astype(np.float64)
    return _search(forward, backward.neighbourhood, pairs, kind)


def _search(own: Ranking, other_means: FloatArray, pairs: FloatArray, kind: Any) -> MarginSearch:
    n = len(pairs)
    every, means = np.arange(n), own.neighbourhood
    pair_scores = margin_of(pairs, (means + other_means[:n]) / 2, kind)
    between = (means[:, None] + other_means[own.neighbours]) / 2
    margins = margin_of(own.similarities.astype(np.float64), between, kind)
    best = margins.argmax(axis=1)
    predictions = own.neighbours[every, best]
    return MarginSearch(predictions, margins[every, best], pair_scores, float(np.mean(predictions != every)))
