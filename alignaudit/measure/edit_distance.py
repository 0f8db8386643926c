"""Edit distance between sequences, and the character error rate that it gives.

The bits of one integer hold a whole column of differences of the dynamic programme, so a sentence
costs one handful of integer operations per character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.arrays import FloatArray
from alignaudit.measure.grapheme import clusters

__all__ = ["character_error_rate", "edit_distance"]


def edit_distance(source: Sequence[Hashable], target: Sequence[Hashable]) -> int:
    """Return the Levenshtein distance of two sequences.

    Parameters
    ----------
    source, target
        Sequences of elements that can be compared, for example grapheme clusters; a string is a
        sequence of code points.

    Returns
    -------
    int
        Fewest insertions, deletions and substitutions of one element that turn one into the other.
        Two neighbours that change places count 2.

    References
    ----------
    Levenshtein (1966), Binary codes capable of correcting deletions, insertions, and reversals.
    Myers (1999), A fast bit-vector algorithm for approximate string matching based on dynamic
    programming; in the form of Hyyrö (2003), A bit-vector algorithm for computing Levenshtein and
    Damerau edit distances.

    Examples
    --------
    >>> edit_distance("kitten", "sitting")
    3
    """
    start, shorter = 0, min(len(source), len(target))
    while start < shorter and source[start] == target[start]:
        start += 1
    end = 0
    while end < shorter - start and source[-1 - end] == target[-1 - end]:
        end += 1
    left, right = source[start : len(source) - end], target[start : len(target) - end]
    return _bit_parallel(left, right) if left and right else len(left) + len(right)


def character_error_rate(clean: Sequence[str], written: Sequence[str]) -> FloatArray:
    """Return how far each written sentence is from its clean form.

    Parameters
    ----------
    clean, written
        n sentences each; sentence ``i`` of one belongs to sentence ``i`` of the other. Both are
        compared in Unicode's composed form (NFC), so that one letter in two encodings is no error.

    Returns
    -------
    numpy.ndarray
        Shape [n], float64, >= 0: edit distance in grapheme clusters ÷ number of clusters of the
        clean sentence. Above 1 where more is inserted than the clean sentence is long.

    Raises
    ------
    DataError
        Where the numbers of sentences differ or a clean sentence is empty.

    Examples
    --------
    >>> character_error_rate(["Haus", "हिन्दी"], ["Huas", "हि"]).tolist()
    [0.5, 0.5]
    """
    if len(clean) != len(written):
        raise DataError(
            f"{len(clean)} clean and {len(written)} written sentences do not pair.",
            hint="Sentence i of one must belong to sentence i of the other.",
        )
    rates = np.zeros(len(clean))
    for i, (before, after) in enumerate(zip(clean, written, strict=True)):
        if not before:
            raise DataError(f"Sentence {i} is empty, so it has no error rate.", hint="Leave it out.")
        if before != after:
            source, target = (clusters(unicodedata.normalize("NFC", text)) for text in (before, after))
            rates[i] = edit_distance(source, target) / len(source)
    return rates


def _bit_parallel(source: Sequence[Hashable], target: Sequence[Hashable]) -> int:
    """Walk through ``target``; bit ``j`` says how row ``j + 1`` of a column differs from row ``j``."""
    places: dict[Hashable, int] = {}
    for j, element in enumerate(source):
        places[element] = places.get(element, 0) | 1 << j
    everywhere = (1 << len(source)) - 1
    last = 1 << (len(source) - 1)
    up, down, distance = everywhere, 0, len(source)
    for element in target:
        equal = places.get(element, 0) | down
        diagonal = (((equal & up) + up) ^ up) | equal
        right_up = down | (everywhere & ~(diagonal | up))
        right_down = up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = right_up << 1 | 1
        up = everywhere & (right_down << 1 | ~(equal | right_up))
        down = everywhere & right_up & equal
    return distance
