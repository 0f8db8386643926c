"""Sentence retrieval between two sides of parallel text: accuracy, rank and margin of each item.

A cosine is that of float32 unit rows, accumulated in float64 and then rounded to float32. The
rounding is what defines a tie: equal sentences get equal cosines wherever they stand, which the
last bit of a float32 matrix product does not promise (see :mod:`alignaudit.measure.search`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import (
    Array,
    FloatArray,
    centred_blocks,
    matrix,
    namespace,
    row_blocks,
    to_numpy,
    unit_rows,
)
from alignaudit.measure.search import Ranking, search_both_ways
from alignaudit.measure.similarity import Cosines, Similarity

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

    Attributes
    ----------
    foreign_to_english, english_to_foreign
        Counts and neighbours of each query; ``foreign_to_english`` queries with foreign sentence
        ``i`` among the English ones. The published XTREME accuracy is the share of
        ``english_to_foreign.prediction == arange(n)``.
    similarity
        Shape [n], a cosine: that of each true pair.
    """

    foreign_to_english: Ranking
    english_to_foreign: Ranking
    similarity: FloatArray

    @property
    def margin(self) -> FloatArray:
        """Return per item the pair's cosine less the mean of its two neighbourhood means; [n], a cosine."""
        own, other = self.foreign_to_english.neighbourhood, self.english_to_foreign.neighbourhood
        return self.similarity - (own + other) / 2


def normalise(x: Array, *, centred: bool) -> Array:
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
    numpy.ndarray or torch.Tensor
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
    array = matrix(x, "x")
    xp = namespace(array)
    result = xp.empty_like(array, dtype=xp.float32)
    blocks = (
        centred_blocks(array)
        if centred
        else ((rows, xp.astype(array[rows, :], xp.float64)) for rows in row_blocks(*array.shape))
    )
    for rows, block in blocks:
        lengths = xp.sqrt(xp.vecdot(block, block))[:, None]
        divisor = xp.where(lengths > 0, lengths, xp.ones_like(lengths))
        result[rows, :] = xp.astype(block / divisor, xp.float32)
    return result


def retrieve(foreign: Array, english: Array, *, k: int = 4) -> Retrieval:
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
        Per-item results. Memory stays bounded: the n by n cosines are made tile by tile, once.

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
    >>> retrieve(rows, rows[::-1]).english_to_foreign.prediction.tolist()
    [1, 0]
    """
    left, right = unit_rows(foreign, "foreign"), unit_rows(english, "english")
    if left.shape != right.shape:
        raise DataError(f"Foreign rows {list(left.shape)} and English rows {list(right.shape)} do not pair.")
    return retrieve_from_similarity(Cosines(left, right), k=k)


def retrieve_from_similarity(similarity: Similarity, *, k: int = 4) -> Retrieval:
    """Do as :func:`retrieve` with any similarity.

    Parameters
    ----------
    similarity
        Of n foreign rows with n English columns.
    k
        Size of the neighbourhoods of the margin; clipped to n.

    Returns
    -------
    Retrieval
        Per-item results, in the unit of the similarity.

    Raises
    ------
    UsageError
        Where k is below 1.
    """
    if k < 1:
        raise UsageError(f"k must be at least 1, not {k}.")
    forward, backward = search_both_ways(similarity, k)
    return Retrieval(forward, backward, to_numpy(similarity.translations()).astype(np.float64))


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
