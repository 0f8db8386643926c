"""What else ranks say: reciprocal ranks, AUC, accuracy at a common pool size, mutual neighbours.

All functions work on the counts of one pass (:class:`alignaudit.measure.search.Ranking`) and give
one number per item, so that means, standard errors and paired differences are left to the reader.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import BoolArray, FloatArray, IntArray
from alignaudit.measure.retrieval import Retrieval
from alignaudit.measure.search import Ranking

__all__ = [
    "MutualNearest",
    "area_under_curve",
    "correct_by_text",
    "mutual_nearest",
    "pool_accuracy",
    "pool_chance_corrected",
    "reciprocal_rank",
]


def reciprocal_rank(ranking: Ranking) -> FloatArray:
    """Return one over the rank of each translation; the mean is the mean reciprocal rank (MRR).

    Parameters
    ----------
    ranking
        Of n queries; the rank of a tie is the mean rank of those that tie.

    Returns
    -------
    numpy.ndarray
        Shape [n], in (0, 1].

    References
    ----------
    Voorhees (1999), The TREC-8 question answering track report.
    """
    return 1.0 / ranking.rank


def area_under_curve(ranking: Ranking) -> FloatArray:
    """Return the share of wrong candidates that are less similar than the translation, ties half.

    The mean over queries is a scale-free margin: chance is 1/2 whatever the number of candidates.

    Parameters
    ----------
    ranking
        Of n queries among at least 2 candidates.

    Returns
    -------
    numpy.ndarray
        Shape [n], in [0, 1].

    Raises
    ------
    DataError
        Where there is only one candidate.

    References
    ----------
    Hanley and McNeil (1982), The meaning and use of the area under a ROC curve, for one positive.
    """
    wrong = ranking.candidates - 1
    if wrong < 1:
        raise DataError("One candidate leaves no wrong one to compare with.")
    return 1.0 - (ranking.greater + (ranking.equal - 1) / 2) / wrong


def pool_accuracy(ranking: Ranking, pool: int) -> FloatArray:
    """Return the accuracy that each query would have among fewer candidates, in expectation.

    The pool holds the translation and ``pool - 1`` of the other candidates, drawn without
    replacement. With M = N - g of the N others not above the translation and e level with it,

        A = C(M, D) / C(N, D) * (1 - C(M - e, D + 1) / C(M + 1, D + 1)) (M + 1) / ((D + 1) (e + 1)),

    D = pool - 1: the chance that no better one is drawn, times the mean of 1 / (1 + ties drawn).
    It is exact, and makes languages with test sets of different sizes comparable.

    Parameters
    ----------
    ranking
        Of n queries.
    pool
        Number of candidates, from 1 to those there are; at the latter this is the accuracy itself.

    Returns
    -------
    numpy.ndarray
        Shape [n], in [0, 1]; a blind guess has 1 / pool.

    Raises
    ------
    UsageError
        Where the pool is empty or larger than the number of candidates.

    Examples
    --------
    >>> none = np.zeros((2, 1))
    >>> ranking = Ranking(np.array([0, 1]), np.array([1, 1]), none.astype(int), none, candidates=3)
    >>> pool_accuracy(ranking, 3).tolist(), pool_accuracy(ranking, 2).tolist()
    ([1.0, 0.0], [1.0, 0.5])
    """
    if not 1 <= pool <= ranking.candidates:
        raise UsageError(f"A pool of {pool} cannot be drawn from {ranking.candidates} candidates.")
    others, drawn = ranking.candidates - 1, pool - 1
    level, below = ranking.equal - 1, others - ranking.greater - (ranking.equal - 1)
    possible = level + below >= drawn
    rest = np.where(possible, level + below, drawn)
    none_better = np.exp(_log_ratio(rest, drawn, others) - _log_ratio(np.array([others]), drawn, others))
    none_level = _log_ratio(below, drawn + 1, others + 1) - _log_ratio(rest + 1, drawn + 1, others + 1)
    credit = -np.expm1(none_level) * (rest + 1) / ((drawn + 1) * (level + 1))
    return np.where(possible, none_better * np.where(level == 0, 1.0, credit), 0.0)


def pool_chance_corrected(accuracy: npt.ArrayLike, pool: int) -> FloatArray:
    """Return accuracies on the scale where a blind guess among ``pool`` candidates is 0 and 1 stays 1.

    Parameters
    ----------
    accuracy
        Any shape, in [0, 1].
    pool
        Number of candidates, at least 2.

    Returns
    -------
    numpy.ndarray
        (A - 1 / pool) / (1 - 1 / pool), same shape; negative below chance.

    Raises
    ------
    UsageError
        Where the pool holds fewer than two.
    """
    if pool < 2:
        raise UsageError(f"A pool of {pool} leaves nothing to guess.")
    return (np.asarray(accuracy, dtype=np.float64) - 1 / pool) / (1 - 1 / pool)


def correct_by_text(ranking: Ranking, candidate_texts: npt.ArrayLike) -> FloatArray:
    """Return the share of the nearest candidates whose text is that of the translation.

    Where a test set holds a sentence twice, either is right. Equal texts must have equal vectors,
    as they have when each distinct text is encoded once.

    Parameters
    ----------
    ranking
        Of n queries.
    candidate_texts
        Shape [m], m >= n: a text, or a number that stands for it, per candidate.

    Returns
    -------
    numpy.ndarray
        Shape [n], in [0, 1]; at least ``ranking.correct``.

    Raises
    ------
    DataError
        Where there is not one text per candidate.
    """
    texts = np.asarray(candidate_texts)
    if texts.shape != (ranking.candidates,):
        raise DataError(f"{list(texts.shape)} texts do not name {ranking.candidates} candidates.")
    _, place, copies = np.unique(texts, return_inverse=True, return_counts=True)
    same = copies[place][: len(ranking.equal)]
    return np.where(ranking.greater == 0, np.minimum(same / ranking.equal, 1.0), 0.0)


@dataclass(frozen=True, slots=True)
class MutualNearest:
    """Which pairs are each other's nearest neighbours.

    Attributes
    ----------
    reciprocated
        Shape [n]: whether the nearest English sentence of foreign sentence ``i`` has ``i`` as its
        nearest foreign one.
    correct
        Shape [n]: whether besides it is the translation.
    """

    reciprocated: BoolArray
    correct: BoolArray


def mutual_nearest(found: Retrieval) -> MutualNearest:
    """Return which nearest neighbours are mutual, and which of those are translations.

    Parameters
    ----------
    found
        Of n pairs; of equal candidates the lowest is the nearest.

    Returns
    -------
    MutualNearest
        Precision of mutual retrieval is ``correct.sum() / reciprocated.sum()``, its recall
        ``correct.mean()``.
    """
    forward = found.foreign_to_english.prediction
    backward = found.english_to_foreign.prediction
    every = np.arange(len(forward))
    reciprocated = backward[forward] == every
    return MutualNearest(reciprocated, reciprocated & (forward == every))


def _log_ratio(size: IntArray, drawn: int, largest: int) -> FloatArray:
    """Return ln C(size, drawn) up to a constant of ``drawn``; minus infinity where size < drawn.

    ln C(s, D) - ln C(s - 1, D) = -ln(1 - D / s), so it is a running sum that loses no digits.
    """
    sizes = np.arange(drawn + 1, largest + 1, dtype=np.float64)
    table = np.full(largest + 1, -np.inf)
    table[drawn:] = np.concatenate([[0.0], -np.cumsum(np.log1p(-drawn / sizes))])
    return table[np.maximum(size, 0)]
