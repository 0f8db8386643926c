"""RankC: whether two sides rank the same candidates in the same order.

With ``m_c`` the worse of the two ranks of candidate c, it is in both lists of the j best exactly
where ``m_c <= j``. So RankC is ``sum_c t(m_c)`` with ``t(m) = sum_{j >= m} w_j / j``: a table for
each number of candidates, and one look-up a candidate.

Candidates are compared by position: position c must mean the same answer on both sides, in
whatever language. Equal scores are ranked by position, the lower first, as in the published code;
so sides that hardly tell candidates apart look alike, and ``tied`` says how often that was so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError, did_you_mean
from alignaudit.measure.arrays import Array, BoolArray, FloatArray, IntArray, to_numpy
from alignaudit.measure.ranking import rank_candidates

__all__ = [
    "RankConsistency",
    "RankConsistencyMatrix",
    "Weighting",
    "chance_consistency",
    "rank_consistency",
    "rank_consistency_matrix",
    "rank_weights",
]

Weighting: TypeAlias = Literal["softmax", "norm1", "norm2"]


@dataclass(frozen=True, slots=True)
class RankConsistency:
    """RankC of two sides over q queries.

    Attributes
    ----------
    value
        Mean of ``items``: RankC as published, in (0, 1].
    standard_error
        Of ``value`` over queries, clustered where groups were given; NaN for one query or group.
    corrected
        Mean of ``corrected_items`` over the queries that have two candidates or more: 0 for
        unrelated orders, 1 for equal ones; may be negative. NaN where there is no such query.
    corrected_standard_error
        Of ``corrected``.
    items
        Shape [q]: RankC of each query.
    chance
        Shape [q]: expected RankC of two unrelated orders of as many candidates.
    corrected_items
        Shape [q]: (items - chance) / (1 - chance). NaN for one candidate, whose only order says
        nothing.
    informative
        Number of queries with two candidates or more.
    tied
        Number of queries in which a side gives two candidates equal scores.
    """

    value: float
    standard_error: float
    corrected: float
    corrected_standard_error: float
    items: FloatArray
    chance: FloatArray
    corrected_items: FloatArray
    informative: int
    tied: int


@dataclass(frozen=True, slots=True)
class RankConsistencyMatrix:
    """RankC of every two of M sides; each number as in :class:`RankConsistency`.

    Attributes
    ----------
    value, standard_error, corrected, corrected_standard_error
        Shape [M, M], symmetric.
    informative
        Number of queries with two candidates or more.
    tied
        Shape [M]: number of queries in which the side gives two candidates equal scores.
    """

    value: FloatArray
    standard_error: FloatArray
    corrected: FloatArray
    corrected_standard_error: FloatArray
    informative: int
    tied: IntArray


def rank_weights(n: int, weighting: Weighting = "softmax") -> FloatArray:
    """Return the weight of each place in a ranking of n candidates.

    Parameters
    ----------
    n
        Number of candidates, at least 1.
    weighting
        ``softmax`` of n, n - 1, ..., 1; ``norm1``: those numbers over their sum; ``norm2``: their
        squares over the sum of their squares.

    Returns
    -------
    numpy.ndarray
        Shape [n], from the best place on; sums to 1. Finite for every n.

    Raises
    ------
    UsageError
        Where n is below 1 or the weighting is unknown.

    Examples
    --------
    >>> rank_weights(10).round(3)[:3].tolist()
    [0.632, 0.233, 0.086]
    """
    if n < 1:
        raise UsageError(f"A ranking needs at least one candidate, not {n}.")
    if weighting not in get_args(Weighting):
        raise UsageError(
            f'Unknown weighting "{weighting}".', hint=did_you_mean(weighting, get_args(Weighting))
        )
    order = np.arange(n, 0, -1, dtype=np.float64)
    raw = {"softmax": np.exp(order - n), "norm1": order, "norm2": order**2}[weighting]
    weights: FloatArray = raw / raw.sum()
    return weights


def chance_consistency(n: int, weighting: Weighting = "softmax") -> float:
    """Return the expected RankC of two independent, uniformly random orders of n candidates.

    Two random lists of the j best share ``j^2 / n`` candidates on average, so the expectation is
    ``sum_j w_j j / n``.

    Parameters
    ----------
    n
        Number of candidates, at least 1.
    weighting
        As in :func:`rank_weights`.

    Returns
    -------
    float
        In (0, 1]; 1 for one candidate.

    Raises
    ------
    UsageError
        As :func:`rank_weights`.

    Examples
    --------
    >>> round(chance_consistency(10, "norm1"), 12)
    0.4
    """
    return 1.0 if n == 1 else float(rank_weights(n, weighting) @ np.arange(1, n + 1)) / n


def rank_consistency(
    scores_a: Array,
    scores_b: Array,
    weighting: Weighting = "softmax",
    *,
    present: Array | None = None,
    groups: npt.ArrayLike | None = None,
) -> RankConsistency:
    """Return RankC of two sides that scored the same candidates.

    What the sides are is the caller's choice: two languages of one model, two runs in one language,
    or the runs of two arms. A query with one candidate counts 1 in ``value``, as published, and
    nothing in ``corrected``.

    Parameters
    ----------
    scores_a, scores_b
        Shapes [q, n]: score of candidate position c for query i, larger is better. Ragged lists and
        rankings come in this shape from :mod:`alignaudit.measure.ranking`.
    weighting
        As in :func:`rank_weights`; the paper's choice is ``softmax``.
    present
        Shape [q, n], bool: which positions hold a candidate; all of them if not given. What stands
        elsewhere is not looked at.
    groups
        Shape [q]: labels of queries that depend on each other, for example relations or subjects.

    Returns
    -------
    RankConsistency
        Per query and in the mean, plain and corrected for chance.

    Raises
    ------
    DataError
        Where shapes differ, a query has no candidate, or a score is NaN.
    UsageError
        Where the weighting is unknown.

    References
    ----------
    Qi, Fernandez and Bisazza (2023), Cross-lingual consistency of factual knowledge in multilingual
    language models, for RankC; Liang and Zeger (1986), Longitudinal data analysis using generalized
    linear models, for errors by groups.

    Examples
    --------
    >>> english = [[0.9, 0.5, 0.1], [0.2, 0.8, 0.3]]
    >>> tamil = [[0.7, 0.6, 0.2], [0.2, 0.8, 0.3]]
    >>> round(rank_consistency(english, tamil).value, 12)
    1.0
    >>> round(rank_consistency(english, np.negative(english)).corrected, 3)
    -0.5
    """
    stack = [_numbers(side) for side in (scores_a, scores_b)]
    if stack[0].shape != stack[1].shape:
        raise DataError(f"Scores have shapes {list(stack[0].shape)} and {list(stack[1].shape)}.")
    ranked = _rank(np.stack(stack), weighting, present, groups)
    items, corrected = ranked.pair(0, 1)
    known = ranked.known
    return RankConsistency(
        *_mean_and_error(items, ranked.groups),
        *_mean_and_error(corrected[known], ranked.groups[known]),
        items=items,
        chance=ranked.chance,
        corrected_items=corrected,
        informative=int(known.sum()),
        tied=int((ranked.tied[0] | ranked.tied[1]).sum()),
    )


def rank_consistency_matrix(
    scores: Array,
    weighting: Weighting = "softmax",
    *,
    present: Array | None = None,
    groups: npt.ArrayLike | None = None,
) -> RankConsistencyMatrix:
    """Return RankC of every two of M sides.

    Parameters
    ----------
    scores
        Shape [M, q, n]. Sides may be languages of one model, runs in one language, or both.
    weighting, present, groups
        As in :func:`rank_consistency`; the mask has shape [q, n] and holds for all sides.

    Returns
    -------
    RankConsistencyMatrix
        Means and standard errors of all pairs.

    Raises
    ------
    DataError
        Where the array is not [M, q, n], a query has no candidate, or a score is NaN.
    UsageError
        Where the weighting is unknown.

    Examples
    --------
    Between languages of one model:

    >>> generator = np.random.default_rng(0)
    >>> meaning = generator.standard_normal((200, 10))
    >>> languages = meaning + 0.5 * generator.standard_normal((3, 200, 10))
    >>> rank_consistency_matrix(languages).value.shape
    (3, 3)

    Between runs in one language, and between two arms of three runs each: the runs of both arms are
    stacked, and blocks of the matrix are averaged.

    >>> arms = meaning + generator.standard_normal((2, 1, 200, 10))
    >>> runs = (arms + 0.3 * generator.standard_normal((2, 3, 200, 10))).reshape(6, 200, 10)
    >>> corrected = rank_consistency_matrix(runs).corrected
    >>> within = corrected[:3, :3][~np.eye(3, dtype=bool)].mean()
    >>> between = corrected[:3, 3:].mean()
    >>> bool(within > between)
    True
    """
    ranked = _rank(_numbers(scores), weighting, present, groups)
    known, sides = ranked.known, len(ranked.ranks)
    result = np.empty((4, sides, sides))
    for a in range(sides):
        for b in range(a, sides):
            items, corrected = ranked.pair(a, b)
            cell = (
                *_mean_and_error(items, ranked.groups),
                *_mean_and_error(corrected[known], ranked.groups[known]),
            )
            result[:, a, b] = result[:, b, a] = cell
    value, error, corrected_value, corrected_error = result
    return RankConsistencyMatrix(
        value, error, corrected_value, corrected_error, int(known.sum()), ranked.tied.sum(axis=1)
    )


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Ranks of M sides, and what turns the ranks of two of them into RankC."""

    ranks: IntArray  # [M, q, n] from 0; n where there is no candidate
    tied: BoolArray  # [M, q]
    counts: IntArray  # [q] candidates
    tables: FloatArray  # [n + 1, n + 1] by number of candidates and the worse rank
    chance: FloatArray  # [q]
    groups: IntArray  # [q]

    @property
    def known(self) -> BoolArray:
        return self.counts > 1

    def pair(self, a: int, b: int) -> tuple[FloatArray, FloatArray]:
        """Return RankC of two sides and its corrected value; both [q]."""
        worse = np.maximum(self.ranks[a], self.ranks[b])
        items = self.tables[self.counts[:, None], worse].sum(axis=1)
        corrected = np.full(len(items), np.nan)
        np.divide(items - self.chance, 1 - self.chance, out=corrected, where=self.known)
        return items, corrected


def _numbers(scores: Array) -> FloatArray:
    return np.asarray(to_numpy(scores), dtype=np.float64)


def _rank(
    scores: FloatArray, weighting: Weighting, present: Array | None, groups: npt.ArrayLike | None
) -> _Ranked:
    """Check [M, q, n] scores and rank the candidates of every side and query."""
    if scores.ndim != 3 or 0 in scores.shape:
        raise DataError(f"Scores must be [queries, candidates] of each side, not {list(scores.shape[1:])}.")
    _, queries, n = scores.shape
    mask = np.ones((queries, n), bool) if present is None else np.asarray(to_numpy(present), dtype=bool)
    if mask.shape != (queries, n):
        raise DataError(f"The mask has shape {list(mask.shape)}, the scores {[queries, n]}.")
    counts = mask.sum(axis=1)
    if not counts.all():
        raise DataError("A query has no candidate.", where=f"query {int(counts.argmin())}")
    wrong = np.isnan(scores) & mask
    if wrong.any():
        side, query, place = (int(index) for index in np.argwhere(wrong)[0])
        raise DataError(f"The score of candidate {place} is NaN.", where=f"side {side}, query {query}")
    labels = np.arange(queries) if groups is None else np.asarray(groups)
    if labels.shape != (queries,):
        raise DataError(f"Group labels have shape {list(labels.shape)}, not [{queries}].")
    tables, expected = np.zeros((n + 1, n + 1)), np.empty(n + 1)
    for size in np.unique(counts).tolist():
        terms = rank_weights(size, weighting) / np.arange(1, size + 1)
        tables[size, :size] = terms[::-1].cumsum()[::-1]
        expected[size] = chance_consistency(size, weighting)
    ranks, tied = rank_candidates(scores, mask)
    return _Ranked(ranks, tied, counts, tables, expected[counts], np.unique(labels, return_inverse=True)[1])


def _mean_and_error(values: FloatArray, groups: IntArray) -> tuple[float, float]:
    """Return the mean and its standard error from the sums of deviations within groups."""
    if not len(values):
        return math.nan, math.nan
    mean = float(values.mean())
    sums = np.bincount(groups, values - mean)
    number = int((np.bincount(groups) > 0).sum())
    if number < 2:
        return mean, math.nan
    return mean, math.sqrt(number / (number - 1) * float(sums @ sums)) / len(values)
