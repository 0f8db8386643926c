"""Hubs: candidates that are the neighbours of too many queries, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.arrays import FloatArray, IntArray
from alignaudit.measure.search import Ranking

__all__ = ["Hubness", "hub_penalised_f1", "hubness"]


@dataclass(frozen=True, slots=True)
class Hubness:
    """How unevenly queries fall on candidates.

    Attributes
    ----------
    in_degree
        Shape [candidates]: how many queries have the candidate among their k neighbours.
    skewness
        Third standardised moment of ``in_degree``, without unit; 0 for an even spread, NaN where
        all are equal.
    top_share
        Share of the queries whose nearest candidate is in the 1 % most often nearest (at least one
        candidate), in [0, 1].
    orphan_share
        Share of the candidates that are among nobody's k neighbours, in [0, 1].
    """

    in_degree: IntArray
    skewness: float
    top_share: float
    orphan_share: float


def hubness(ranking: Ranking) -> Hubness:
    """Return how unevenly the queries of a ranking fall on its candidates.

    Parameters
    ----------
    ranking
        Of q queries with k neighbours each.

    Returns
    -------
    Hubness

    References
    ----------
    Radovanovic, Nanopoulos and Ivanovic (2010), Hubs in space, section 3, for the skewness of the
    k-occurrences.

    Examples
    --------
    >>> ranking = Ranking(np.zeros(4), np.ones(4), np.array([[0], [0], [0], [1]]), np.ones((4, 1)), 4)
    >>> found = hubness(ranking)
    >>> found.top_share, found.orphan_share
    (0.75, 0.5)
    """
    degrees = np.bincount(ranking.neighbours.ravel(), minlength=ranking.candidates)
    picked = np.sort(np.bincount(ranking.neighbours[:, 0], minlength=ranking.candidates))
    top = max(1, ranking.candidates // 100)
    deviations = degrees - degrees.mean()
    spread = math.sqrt(float(np.mean(deviations**2)))
    skewness = float(np.mean(deviations**3)) / spread**3 if spread else math.nan
    return Hubness(
        degrees.astype(np.int64),
        skewness,
        float(picked[-top:].sum()) / len(ranking.neighbours),
        float(np.mean(degrees == 0)),
    )


def hub_penalised_f1(predictions: IntArray) -> FloatArray:
    """Return mteb's F1 of bitext retrieval, per item: a hit counts 2 / (1 + times it was predicted).

    That is the F1 of every candidate taken as a class, averaged over queries. A candidate that draws
    many queries loses credit even where it is right.

    Parameters
    ----------
    predictions
        Shape [n]: candidate predicted for query ``i``, whose translation is candidate ``i``.

    Returns
    -------
    numpy.ndarray
        Shape [n], in [0, 1]; the mean is mteb's main score.

    Raises
    ------
    DataError
        Where there is no prediction or a negative one.

    References
    ----------
    Muennighoff, Tazi, Magne and Reimers (2023), MTEB: Massive text embedding benchmark, section 3.1.

    Examples
    --------
    >>> hub_penalised_f1(np.array([0, 0, 2])).tolist()
    [0.6666666666666666, 0.0, 1.0]
    """
    chosen = np.asarray(predictions)
    if chosen.ndim != 1 or not chosen.size or chosen.min() < 0:
        raise DataError("Predictions must be a list of candidate numbers from 0.", where="predictions")
    times = np.bincount(chosen, minlength=len(chosen))[: len(chosen)]
    return np.where(chosen == np.arange(len(chosen)), 2.0 / (1.0 + times), 0.0)
