"""Sentence retrieval between two sides of parallel text: accuracy, rank and margin of each item.

A cosine is accumulated in float64 from float32 unit rows and then rounded to float32. The rounding
is what defines a tie: equal sentences get equal cosines wherever they stand, which the last bit of
a float32 matrix product does not promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import FloatArray, IntArray, SingleArray, matrix, row_blocks, unit_rows
from alignaudit.measure.index import top_scores

__all__ = [
    "Retrieval",
    "accuracy_standard_error",
    "chance_accuracy",
    "normalise",
    "retrieve",
    "retrieve_from_similarity",
]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What retrieval gave for each of n items, in both directions.

    ``foreign_to_english`` queries with foreign sentence ``i`` among the English ones. The published
    XTREME accuracy is the share of ``english_to_foreign_prediction == arange(n)``.

    Attributes
    ----------
    foreign_to_english_correct, english_to_foreign_correct
        Shape [n], in [0, 1]: 1 where the translation alone has the largest cosine, 1/t where it
        shares it with t - 1 others, else 0.
    foreign_to_english_prediction, english_to_foreign_prediction
        Shape [n]: row with the largest cosine, the lowest of those that tie.
    foreign_to_english_rank, english_to_foreign_rank
        Shape [n], from 1: 1 + the number of larger cosines + half the number of other equal ones.
    margin
        Shape [n], in cosines: that of the pair, less the mean of its two neighbourhood means.
    """

    foreign_to_english_correct: FloatArray
    english_to_foreign_correct: FloatArray
    foreign_to_english_prediction: IntArray
    english_to_foreign_prediction: IntArray
    foreign_to_english_rank: FloatArray
    english_to_foreign_rank: FloatArray
    margin: FloatArray


@dataclass(frozen=True, slots=True)
class _Scan:
    """One direction: what the cosines of each query with all candidates amount to."""

    greater: IntArray  # [n] candidates above the gold
    equal: IntArray  # [n] candidates level with the gold, itself included
    values: SingleArray  # [n, k] largest cosines
    columns: IntArray  # [n, k] where they are

    @property
    def correct(self) -> FloatArray:
        return np.where(self.greater == 0, 1.0 / np.maximum(self.equal, 1), 0.0)

    @property
    def rank(self) -> FloatArray:
        return 1.0 + self.greater + (self.equal - 1) / 2

    @property
    def neighbourhood(self) -> FloatArray:
        return self.values.mean(axis=1, dtype=np.float64)


def normalise(x: npt.ArrayLike, *, centred: bool) -> SingleArray:
    """Return rows of unit length.

    Parameters
    ----------
    x
        Shape [n, d].
    centred
        Whether to subtract the mean of these rows first. That needs no pairing, and takes away
        what all sentences of a language share.

    Returns
    -------
    numpy.ndarray
        Shape [n, d], float32; computed in float64. A zero row stays zero.

    Raises
    ------
    DataError
        Where x is not a finite matrix.

    Examples
    --------
    >>> normalise([[3.0, 4.0], [0.0, 0.0]], centred=False).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    rows = matrix(x, "x").astype(np.float64)
    if centred:
        rows -= rows[0].copy()  # a constant column becomes exactly zero
        rows -= rows.mean(axis=0)
    lengths = np.sqrt(np.vecdot(rows, rows))[:, None]
    np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows.astype(np.float32)


def retrieve(foreign: npt.ArrayLike, english: npt.ArrayLike, *, k: int = 4) -> Retrieval:
    """Search every sentence's translation on the other side, in both directions at once.

    Parameters
    ----------
    foreign, english
        Shapes [n, d], rows as :func:`normalise` returns them; row ``i`` translates row ``i``.
    k
        Size of the neighbourhoods of the margin, the translation included; clipped to n.

    Returns
    -------
    Retrieval
        Per-item results. Memory stays bounded: the n by n cosines are made block by block, once.

    Raises
    ------
    DataError
        Where the sides do not pair or a row is neither of unit length nor zero.
    UsageError
        Where k is below 1.

    References
    ----------
    Hu et al. (2020), XTREME, for retrieval; Artetxe and Schwenk (2019), Margin-based parallel
    corpus mining, equation 2 and section 3.2, for the margin (function "distance"), which ranks as
    the CSLS of Conneau et al. (2018).

    Examples
    --------
    >>> rows = normalise([[1.0, 0.0], [0.0, 1.0]], centred=False)
    >>> retrieve(rows, rows[::-1]).english_to_foreign_prediction.tolist()
    [1, 0]
    """
    left, right = unit_rows(foreign, "foreign"), unit_rows(english, "english")
    if left.shape != right.shape:
        raise DataError(f"Foreign rows {list(left.shape)} and English rows {list(right.shape)} do not pair.")
    targets = right.T.astype(np.float64)
    gold = np.vecdot(left, right, dtype=np.float64).astype(np.float32)

    def similarity(rows: slice) -> SingleArray:
        return (left[rows].astype(np.float64) @ targets).astype(np.float32)

    return retrieve_from_similarity(similarity, gold, k=k)


def retrieve_from_similarity(
    similarity: Callable[[slice], SingleArray], gold: SingleArray, *, k: int = 4
) -> Retrieval:
    """Do as :func:`retrieve` with any similarity that comes in blocks of rows.

    Parameters
    ----------
    similarity
        Gives for a slice of b foreign rows a new array [b, n] of similarities with English.
    gold
        Shape [n]: similarity of each true pair.
    k
        Size of the neighbourhoods of the margin; clipped to n.

    Returns
    -------
    Retrieval
        Per-item results, the margin in the unit of the similarity.

    Raises
    ------
    UsageError
        Where k is below 1.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}.")
    n = len(gold)
    forward: list[_Scan] = []
    backward: _Scan | None = None
    for rows in row_blocks(n, n):
        block = similarity(rows)
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = gold[rows]
        transposed = block.T.copy()  # a scan overwrites what it reads
        forward.append(_scan(block, gold[rows], k))
        backward = _merged(backward, _scan(transposed, gold, k), rows.start, k)
    assert backward is not None
    ahead = _Scan(
        *(
            np.concatenate([getattr(scan, name) for scan in forward])
            for name in ("greater", "equal", "values", "columns")
        )
    )
    return Retrieval(
        foreign_to_english_correct=ahead.correct,
        english_to_foreign_correct=backward.correct,
        foreign_to_english_prediction=ahead.columns[:, 0].copy(),
        english_to_foreign_prediction=backward.columns[:, 0].copy(),
        foreign_to_english_rank=ahead.rank,
        english_to_foreign_rank=backward.rank,
        margin=gold.astype(np.float64) - (ahead.neighbourhood + backward.neighbourhood) / 2,
    )


def accuracy_standard_error(correct: npt.ArrayLike) -> float:
    """Return the standard error of a mean over items: their standard deviation over root n.

    Parameters
    ----------
    correct
        Shape [n]: per-item scores, for example 0 and 1.

    Returns
    -------
    float
        In the unit of the scores; NaN for fewer than two items.

    Examples
    --------
    >>> accuracy_standard_error([1.0, 0.0, 1.0, 0.0])
    0.28867513459481287
    """
    values = np.asarray(correct, dtype=np.float64)
    if values.size < 2:
        return math.nan
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def chance_accuracy(n: int) -> float:
    """Return the accuracy of a blind guess among n candidates, in [0, 1].

    Parameters
    ----------
    n
        Number of candidates, at least 1.

    Returns
    -------
    float
        1 / n.

    Raises
    ------
    UsageError
        Where n is below 1.
    """
    if n < 1:
        raise UsageError(f"There must be at least one candidate, not {n}.")
    return 1.0 / n


def _scan(block: SingleArray, gold: SingleArray, k: int) -> _Scan:
    """Summarise each row of a block, which is overwritten; column order decides between equals."""
    greater = np.count_nonzero(block > gold[:, None], axis=1)
    equal = np.count_nonzero(block == gold[:, None], axis=1)
    return _Scan(greater, equal, *top_scores(block, min(k, block.shape[1])))


def _merged(before: _Scan | None, scan: _Scan, offset: int, k: int) -> _Scan:
    """Add the candidates from row ``offset`` on to those before them."""
    columns = scan.columns + offset
    if before is None:
        return _Scan(scan.greater, scan.equal, scan.values, columns)
    values = np.concatenate([before.values, scan.values], axis=1)
    columns = np.concatenate([before.columns, columns], axis=1)
    values, chosen = top_scores(values, min(k, values.shape[1]))
    return _Scan(
        before.greater + scan.greater,
        before.equal + scan.equal,
        values,
        np.take_along_axis(columns, chosen, axis=1),
    )
