"""Bitext mining as BUCC asks for it: find the translations among sentences most of which have none.

Every sentence proposes its best partner by margin. A threshold on the margin then decides which of the
proposals are extracted. It is tuned on a development set and applied to a test set; what the best
threshold of the test set itself would have given, which no one can know, stands beside it as oracle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import Array, BoolArray, FloatArray, IntArray, to_numpy, unit_rows
from alignaudit.measure.index import nearest
from alignaudit.measure.margin import Margin, margin_of

__all__ = [
    "MiningCandidates",
    "MiningResult",
    "MiningRetrieval",
    "MiningScore",
    "best_threshold",
    "mine",
    "mining_result",
    "mining_score",
]

MiningRetrieval: TypeAlias = Literal["forward", "backward", "intersection", "max"]


@dataclass(frozen=True, slots=True)
class MiningCandidates:
    """Pairs proposed as translations, the best first.

    Attributes
    ----------
    rows, columns
        Shape [c], int64: rows of x and of y that form the pairs.
    scores
        Shape [c], float64: their margins, descending; a cosine difference, cosine or ratio.
    shape
        Numbers of rows of x and of y.
    """

    rows: IntArray
    columns: IntArray
    scores: FloatArray
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MiningScore:
    """How well the candidates at or above a threshold meet the gold pairs.

    Attributes
    ----------
    threshold
        Smallest score that is extracted, in the unit of the scores; infinite where nothing is.
    precision
        Share of extracted pairs that are gold, in [0, 1]; 0 where nothing is extracted.
    recall
        Share of gold pairs that are extracted, in [0, 1].
    f1
        Harmonic mean of the two, in [0, 1].
    correct, extracted, gold
        Numbers of pairs.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    correct: int
    extracted: int
    gold: int


@dataclass(frozen=True, slots=True)
class MiningResult:
    """A mining evaluation.

    Attributes
    ----------
    development
        The development set at the threshold that is best for it.
    test
        The test set at that same threshold: the result.
    oracle
        The test set at the threshold that is best for the test set: an upper bound, not a result.
    """

    development: MiningScore
    test: MiningScore
    oracle: MiningScore


def mine(
    x: Array,
    y: Array,
    k: int = 4,
    kind: Margin = "ratio",
    retrieval: MiningRetrieval = "max",
    *,
    backend: Literal["array", "faiss"] = "array",
) -> MiningCandidates:
    """Return the pairs of sentences that are proposed as translations, with their margins.

    Parameters
    ----------
    x, y
        Shapes [n, d] and [m, d], rows as :func:`alignaudit.measure.retrieval.normalise` returns them.
        Equal sentences of a side compete for one partner, so give each distinct sentence one row.
    k
        Size of the neighbourhoods; clipped to the number of rows there are.
    kind
        Margin, see :func:`alignaudit.measure.margin.margin_of`; the published results have ``ratio``.
    retrieval
        ``forward``: each row of x with the best by margin of its k nearest in y; ``backward``: each
        row of y with its best in x; ``intersection``: pairs that choose each other; ``max``: all
        these pairs in the order of their margins, unless one of the two is taken already.
    backend
        See :func:`alignaudit.measure.index.nearest`.

    Returns
    -------
    MiningCandidates
        n, m, or at most min(n, m) pairs, the best first. Of equal margins, the nearer neighbour is
        chosen, and pairs come in the order of x, those that y chose last.

    Raises
    ------
    DataError
        Where rows are not normalised, or ``ratio`` meets a neighbourhood mean that is not positive.
    UsageError
        Where k is below 1, or the margin, the retrieval or the back end is unknown.

    References
    ----------
    Artetxe and Schwenk (2019), Margin-based parallel corpus mining, sections 3.1 to 3.3.

    Examples
    --------
    >>> found = mine(np.eye(3), np.eye(3)[[1, 0]], k=1, kind="absolute")
    >>> found.rows.tolist(), found.columns.tolist(), found.scores.tolist()
    ([0, 1], [1, 0], [1.0, 1.0])
    """
    if retrieval not in ("forward", "backward", "intersection", "max"):
        raise UsageError(
            f'Unknown retrieval "{retrieval}".', hint="Known: backward, forward, intersection, max."
        )
    left, right = unit_rows(x, "x"), unit_rows(y, "y")
    shape = (int(left.shape[0]), int(right.shape[0]))
    forward, forward_neighbours = map(to_numpy, nearest(left, right, k, backend=backend))
    backward, backward_neighbours = map(to_numpy, nearest(right, left, k, backend=backend))
    x_means, y_means = forward.mean(axis=1, dtype=np.float64), backward.mean(axis=1, dtype=np.float64)
    forward_best, forward_scores = _best(forward, forward_neighbours, x_means, y_means, kind)
    backward_best, backward_scores = _best(backward, backward_neighbours, y_means, x_means, kind)
    of_x = MiningCandidates(np.arange(shape[0]), forward_best, forward_scores, shape)
    of_y = MiningCandidates(backward_best, np.arange(shape[1]), backward_scores, shape)
    if retrieval == "forward":
        return _select(of_x, np.argsort(-of_x.scores, kind="stable"))
    if retrieval == "backward":
        return _select(of_y, np.argsort(-of_y.scores, kind="stable"))
    if retrieval == "intersection":
        mutual = np.flatnonzero(backward_best[forward_best] == of_x.rows)
        return _select(of_x, mutual[np.argsort(-of_x.scores[mutual], kind="stable")])
    return _each_once(of_x, of_y)


def mining_score(candidates: MiningCandidates, gold: Array, threshold: float) -> MiningScore:
    """Return precision, recall and F1 of the candidates at or above a threshold.

    Parameters
    ----------
    candidates
        As :func:`mine` returns them.
    gold
        Shape [g, 2], integers: the true pairs, as rows of x and of y.
    threshold
        In the unit of the scores; minus infinity extracts all.

    Returns
    -------
    MiningScore
        Shares and counts.

    Raises
    ------
    DataError
        Where the gold pairs are none, are no pairs of rows of x and y, or one is there twice.
    UsageError
        Where the threshold is not a number.
    """
    if math.isnan(threshold):
        raise UsageError("The threshold is not a number.")
    pairs = _gold(gold, candidates.shape)
    extracted = candidates.scores >= threshold
    correct = _correct(candidates, pairs) & extracted
    return _score(float(threshold), int(correct.sum()), int(extracted.sum()), len(pairs))


def best_threshold(candidates: MiningCandidates, gold: Array) -> MiningScore:
    """Return the score at the threshold with the largest F1, by exact search.

    All cuts between two different scores are tried, and the one after the last; candidates of equal
    score are extracted together or not at all. The threshold lies halfway between the scores that the
    cut separates, and on the lowest score where all candidates are extracted. Of equally good cuts the
    one that extracts fewest is taken; where no candidate is right, none is extracted.

    Parameters
    ----------
    candidates
        As :func:`mine` returns them.
    gold
        Shape [g, 2], integers: the true pairs, as rows of x and of y.

    Returns
    -------
    MiningScore
        Shares and counts; :func:`mining_score` gives the same at its threshold.

    Raises
    ------
    DataError
        As :func:`mining_score`.

    Examples
    --------
    >>> scores = np.array([0.9, 0.8, 0.6, 0.2])
    >>> found = MiningCandidates(np.arange(4), np.array([0, 3, 2, 1]), scores, (4, 4))
    >>> best = best_threshold(found, [[0, 0], [2, 2], [3, 3]])
    >>> best.threshold, best.correct, best.extracted, round(best.f1, 3)
    (0.4, 2, 3, 0.667)
    """
    pairs = _gold(gold, candidates.shape)
    order = np.argsort(-candidates.scores, kind="stable")
    scores = candidates.scores[order]
    correct = np.cumsum(_correct(candidates, pairs)[order])
    if len(scores) == 0 or correct[-1] == 0:
        return _score(math.inf, 0, 0, len(pairs))
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    f1 = 2 * correct[ends] / (ends + 1 + len(pairs))
    end = int(ends[f1.argmax()])
    return _score(_cut(scores, end), int(correct[end]), end + 1, len(pairs))


def mining_result(
    development: MiningCandidates, development_gold: Array, test: MiningCandidates, test_gold: Array
) -> MiningResult:
    """Return the score of a test set at the threshold tuned on a development set, beside the oracle.

    Parameters
    ----------
    development, test
        As :func:`mine` returns them, both by the same margin and retrieval.
    development_gold, test_gold
        Shapes [g, 2], integers: the true pairs of each set, as rows of its x and of its y.

    Returns
    -------
    MiningResult
        Development, test and oracle score.

    Raises
    ------
    DataError
        As :func:`mining_score`, for either set.

    References
    ----------
    Zweigenbaum, Sharoff and Rapp (2018), Overview of the third BUCC shared task: Spotting parallel
    sentences in comparable corpora; Hu et al. (2020), XTREME.
    """
    tuned = best_threshold(development, development_gold)
    return MiningResult(
        tuned, mining_score(test, test_gold, tuned.threshold), best_threshold(test, test_gold)
    )


def _best(
    cosines: Array, neighbours: IntArray, own_means: FloatArray, other_means: FloatArray, kind: Margin
) -> tuple[IntArray, FloatArray]:
    """Return the neighbour with the largest margin of each row, the nearest of equal ones, and the margin."""
    means = (own_means[:, None] + other_means[neighbours]) / 2
    margins = margin_of(cosines.astype(np.float64), means, kind)
    rows = np.arange(len(margins))
    best = margins.argmax(axis=1)
    return neighbours[rows, best], margins[rows, best]


def _select(candidates: MiningCandidates, places: IntArray) -> MiningCandidates:
    return MiningCandidates(
        candidates.rows[places], candidates.columns[places], candidates.scores[places], candidates.shape
    )


def _each_once(of_x: MiningCandidates, of_y: MiningCandidates) -> MiningCandidates:
    """Keep, from the best pair down, those neither of whose sentences is in a pair that was kept."""
    both = MiningCandidates(
        np.concatenate([of_x.rows, of_y.rows]),
        np.concatenate([of_x.columns, of_y.columns]),
        np.concatenate([of_x.scores, of_y.scores]),
        of_x.shape,
    )
    row_free, column_free = ([True] * count for count in both.shape)
    kept = []
    order = np.argsort(-both.scores, kind="stable").tolist()
    rows, columns = both.rows.tolist(), both.columns.tolist()
    for place in order:
        row, column = rows[place], columns[place]
        if row_free[row] and column_free[column]:
            row_free[row] = column_free[column] = False
            kept.append(place)
    return _select(both, np.array(kept, dtype=np.int64))


def _gold(gold: Array, shape: tuple[int, int]) -> IntArray:
    """Return gold pairs as numbers, ``row * m + column``."""
    pairs = to_numpy(gold)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0 or pairs.dtype.kind not in "iu":
        raise DataError(
            f"Gold pairs must be integers of shape [pairs, 2], not {pairs.dtype}{list(pairs.shape)}.",
            where="gold",
        )
    outside = ((pairs < 0) | (pairs >= shape)).any(axis=1)
    if outside.any():
        pair = int(outside.argmax())
        raise DataError(
            f"Pair {pair} is {pairs[pair].tolist()}, but there are {shape[0]} and {shape[1]} sentences.",
            where="gold",
            hint="Give rows of x, then rows of y, counted from 0.",
        )
    keys = pairs[:, 0].astype(np.int64) * shape[1] + pairs[:, 1].astype(np.int64)
    if len(np.unique(keys)) < len(keys):
        raise DataError("A gold pair is there twice.", where="gold")
    return keys


def _correct(candidates: MiningCandidates, gold: IntArray) -> BoolArray:
    return np.isin(candidates.rows * candidates.shape[1] + candidates.columns, gold)


def _cut(scores: FloatArray, end: int) -> float:
    """Return a threshold between a score and the next lower one, the score itself where there is none."""
    if end + 1 == len(scores):
        return float(scores[end])
    middle = (scores[end] + scores[end + 1]) / 2
    return float(middle if middle > scores[end + 1] else scores[end])


def _score(threshold: float, correct: int, extracted: int, gold: int) -> MiningScore:
    return MiningScore(
        threshold,
        correct / extracted if extracted else 0.0,
        correct / gold,
        2 * correct / (extracted + gold),
        correct,
        extracted,
        gold,
    )
