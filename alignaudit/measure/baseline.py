"""The model-free control: retrieval by shared character n-grams.

What an encoder must beat before its alignment means anything: on close languages that share a
script this finds a quarter of the translations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from alignaudit.errors import DataError
from alignaudit.measure.arrays import IntArray, SingleArray
from alignaudit.measure.retrieval import Retrieval, retrieve_from_similarity

__all__ = ["character_ngram_accuracy", "character_ngram_vectors"]

_LONGEST = 4
_TILE_CELLS = 1 << 22


def character_ngram_vectors(
    foreign: Sequence[str], english: Sequence[str]
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return TF-IDF vectors of character 1- to 4-grams, both sides in one vocabulary.

    A sentence is lower-cased and set between two blanks. With f the count of an n-gram in the
    sentence, and g the number of the N = 2n sentences of both sides that hold it, its weight is
    (1 + ln f) (1 + ln((1 + N) / (1 + g))).

    Parameters
    ----------
    foreign, english
        n sentences each.

    Returns
    -------
    foreign_vectors, english_vectors : scipy.sparse.csr_array
        Shapes [n, n-grams], float64, rows of unit length.

    Raises
    ------
    DataError
        Where the sides differ in length or are empty.

    References
    ----------
    Salton and Buckley (1988), Term-weighting approaches in automatic text retrieval, for sublinear
    counts and inverse document frequencies.
    """
    if len(foreign) != len(english) or not foreign:
        raise DataError(
            f"{len(foreign)} foreign and {len(english)} English sentences do not pair.",
            hint="Line i of one side must translate line i of the other.",
        )
    counts = _counts([*foreign, *english])
    sentences, _ = counts.shape
    documents = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = 1 + np.log((1 + sentences) / (1 + documents))
    counts.data = (1 + np.log(counts.data)) * rarity[counts.indices]
    squares = np.add.reduceat(counts.data**2, counts.indptr[:-1])
    counts.data /= np.repeat(np.sqrt(squares), np.diff(counts.indptr))
    return counts[: len(foreign)], counts[len(foreign) :]


def character_ngram_accuracy(foreign: Sequence[str], english: Sequence[str]) -> Retrieval:
    """Retrieve translations by the cosine of :func:`character_ngram_vectors`, in both directions.

    Parameters
    ----------
    foreign, english
        n sentences each; sentence ``i`` of one translates sentence ``i`` of the other.

    Returns
    -------
    Retrieval
        Per-item results, with the ties of :func:`alignaudit.measure.retrieval.retrieve`.

    Raises
    ------
    DataError
        Where the sides differ in length or are empty.

    Examples
    --------
    >>> found = character_ngram_accuracy(["Das Haus", "Der Garten"], ["the garden", "the house"])
    >>> found.foreign_to_english.prediction.tolist()
    [1, 0]
    """
    left, right = character_ngram_vectors(foreign, english)
    return retrieve_from_similarity(_SparseCosines(left, right))


class _SparseCosines:
    """Cosines of sparse unit rows; products are in float64, so all of them are exact."""

    tolerance = 0.0

    def __init__(self, left: sparse.csr_array, right: sparse.csr_array) -> None:
        self.left, self.right, self.targets = left, right, right.T.tocsr()
        self.shape = (left.shape[0], right.shape[0])
        self.tile_shape = (max(1, _TILE_CELLS // right.shape[0]), right.shape[0])

    def tile(self, rows: slice, columns: slice, *, exact: bool = False) -> SingleArray:
        """Return the cosines of some rows with all columns, float32."""
        return (self.left[rows] @ self.targets).toarray().astype(np.float32)

    def exact(self, rows: IntArray, columns: IntArray) -> SingleArray:
        """Return the cosine of each row with the column beside it, float32."""
        products = self.left[rows].multiply(self.right[columns])
        return np.asarray(products.sum(axis=1)).astype(np.float32)

    def translations(self) -> SingleArray:
        """Return the cosine of each row with its translation, float32."""
        every = np.arange(self.shape[0])
        return self.exact(every, every)


def _counts(sentences: Sequence[str]) -> sparse.csr_array:
    """Count every n-gram of every sentence; a sentence has at least two blanks, so no row is empty."""
    vocabulary: dict[str, int] = {}
    columns: list[int] = []
    ends = [0]
    for sentence in sentences:
        text = f" {sentence.lower()} "
        for length in range(1, _LONGEST + 1):
            for start in range(len(text) - length + 1):
                columns.append(vocabulary.setdefault(text[start : start + length], len(vocabulary)))  # noqa: PERF401
        ends.append(len(columns))
    counts = sparse.csr_array(
        (np.ones(len(columns)), np.array(columns, dtype=np.int32), np.array(ends, dtype=np.int32)),
        shape=(len(sentences), len(vocabulary)),
    )
    counts.sum_duplicates()
    return counts
