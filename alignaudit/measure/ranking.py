"""Scores and rankings of the candidates of many queries, as dense arrays with a mask.

A candidate is known by its position. Queries may have different numbers of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.arrays import BoolArray, FloatArray, IntArray

__all__ = ["rank_candidates", "scores_from_rankings", "stack_scores"]


def rank_candidates(scores: FloatArray, present: BoolArray) -> tuple[IntArray, BoolArray]:
    """Return the rank of every candidate, equal scores by position, the lower first.

    Parameters
    ----------
    scores
        Shape [..., q, n]: larger is better; not looked at where no candidate is.
    present
        Shape [q, n]: which positions hold a candidate.

    Returns
    -------
    ranks : numpy.ndarray
        Shape [..., q, n], int64, from 0 for the best; n where there is no candidate.
    tied : numpy.ndarray
        Shape [..., q], bool: whether two candidates of the query have equal scores.

    Examples
    --------
    >>> ranks, tied = rank_candidates(np.array([[0.1, 0.7, 0.7]]), np.array([[True, True, True]]))
    >>> ranks.tolist(), tied.tolist()
    ([[2, 0, 1]], [True])
    """
    n = scores.shape[-1]
    missing = np.broadcast_to(~present, scores.shape)
    filled = np.where(missing, 0.0, scores)
    order = np.lexsort((-filled, missing), axis=-1)
    ranks = np.empty(scores.shape, dtype=np.int64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(n), scores.shape), axis=-1)
    ranks[missing] = n
    best_first = np.take_along_axis(filled, order, axis=-1)
    both = ~np.take_along_axis(missing, order, axis=-1)[..., 1:]
    tied: BoolArray = ((best_first[..., 1:] == best_first[..., :-1]) & both).any(axis=-1)
    return ranks, tied


def stack_scores(scores: Sequence[npt.ArrayLike]) -> tuple[FloatArray, BoolArray]:
    """Return ragged lists of scores as one array and its mask.

    Parameters
    ----------
    scores
        For each query the scores of its candidates, in the order of their positions.

    Returns
    -------
    scores : numpy.ndarray
        Shape [q, n], float64, n the largest number of candidates; NaN where there is none.
    present : numpy.ndarray
        Shape [q, n], bool.

    Raises
    ------
    DataError
        Where there is no query or a query has no list of candidates.

    Examples
    --------
    >>> stack_scores([[0.5, 0.2], [0.1]])[1].tolist()
    [[True, True], [True, False]]
    """
    rows = [np.asarray(row, dtype=np.float64) for row in scores]
    for query, row in enumerate(rows):
        if row.ndim != 1 or not row.size:
            raise DataError("Every query needs a list of at least one score.", where=f"query {query}")
    if not rows:
        raise DataError("There are no queries.")
    present = np.arange(max(map(len, rows))) < np.array([[len(row)] for row in rows])
    dense = np.full(present.shape, np.nan)
    dense[present] = np.concatenate(rows)
    return dense, present


def scores_from_rankings(rankings: Sequence[Sequence[int]]) -> tuple[FloatArray, BoolArray]:
    """Return rankings as scores: minus the rank of each candidate, the best 0.

    Parameters
    ----------
    rankings
        For each query the positions of its candidates, from best to worst.

    Returns
    -------
    scores, present : numpy.ndarray
        As :func:`stack_scores` returns them.

    Raises
    ------
    DataError
        Where a ranking does not name every position from 0 on once.

    Examples
    --------
    >>> scores_from_rankings([[2, 0, 1]])[0].tolist()
    [[-1.0, -2.0, 0.0]]
    """
    for query, ranking in enumerate(rankings):
        if sorted(ranking) != list(range(len(ranking))):
            raise DataError(
                f"A ranking must name each position from 0 to {len(ranking) - 1} once.",
                where=f"query {query}",
            )
    return stack_scores([0.0 - np.argsort(ranking) for ranking in rankings])
