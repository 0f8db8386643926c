"""Retrieval by margin, as LASER's xSIM does it: a cosine judged against its neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import FloatArray, IntArray, unit_rows
from alignaudit.measure.index import nearest

__all__ = ["Margin", "MarginSearch", "margin_scores"]

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


def margin_scores(x: npt.ArrayLike, y: npt.ArrayLike, k: int = 4, kind: Margin = "distance") -> MarginSearch:
    """Search by margin as LASER's xSIM does: the best margin among the k nearest by cosine.

    Parameters
    ----------
    x, y
        Queries [n, d] and candidates [m, d], m >= n, rows as :func:`normalise` returns them; the
        translation of query ``i`` is candidate ``i``, further candidates are distractors.
    k
        Size of the neighbourhoods; clipped to the number of rows there are.
    kind
        With a the cosine and b the mean of the two neighbourhood means: ``ratio`` a / b,
        ``distance`` a - b, ``absolute`` a.

    Returns
    -------
    MarginSearch
        Predictions, their margins, margins of the true pairs, and the error rate.

    Raises
    ------
    DataError
        Where rows are not normalised or are too few, or where ``ratio`` meets a neighbourhood mean
        that is not positive: dividing by it would turn the order round.
    UsageError
        Where k is below 1 or the kind is unknown.

    References
    ----------
    Artetxe and Schwenk (2019), Margin-based parallel corpus mining, equations 1 and 2;
    Chen et al. (2023), xSIM++.
    """
    if kind not in ("ratio", "distance", "absolute"):
        raise UsageError(f'Unknown margin "{kind}".', hint="Known: absolute, distance, ratio.")
    queries, candidates = unit_rows(x, "x"), unit_rows(y, "y")
    if len(candidates) < len(queries):
        raise DataError(f"{len(queries)} queries have only {len(candidates)} candidates.")
    forward, neighbours = nearest(queries, candidates, k)
    backward, _ = nearest(candidates, queries, k)
    query_means = forward.mean(axis=1, dtype=np.float64)
    candidate_means = backward.mean(axis=1, dtype=np.float64)
    n = len(queries)
    pairs = np.vecdot(queries, candidates[:n], dtype=np.float64)
    pair_scores = _margin(pairs, (query_means + candidate_means[:n]) / 2, kind)
    means = (query_means[:, None] + candidate_means[neighbours]) / 2
    margins = _margin(forward.astype(np.float64), means, kind)
    best = margins.argmax(axis=1)
    predictions = neighbours[np.arange(n), best]
    errors = float(np.mean(predictions != np.arange(n)))
    return MarginSearch(predictions, margins[np.arange(n), best], pair_scores, errors)


def _margin(cosines: FloatArray, means: FloatArray, kind: Margin) -> FloatArray:
    if kind == "absolute":
        return cosines
    if kind == "distance":
        return cosines - means
    if not (means > 0).all():
        raise DataError(
            "The ratio margin needs positive neighbourhood means.",
            hint='Use kind="distance", which keeps its order for negative cosines.',
        )
    return cosines / means
