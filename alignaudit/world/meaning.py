"""Meanings: what a sentence says, apart from any language, and which split may use it.

A meaning is a :class:`Clause`, or equally a row of sixteen integers (the samplers work on arrays of
rows). It has a key, an integer that no other meaning has. English renders different meanings
differently, so equal English sentences have equal keys. The key alone decides, by a hash, whether a
meaning belongs to the corpora, the training, the development or the test sets. Every generator
rejects meanings of the other splits, so nothing leaks, whatever sizes and seeds are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignaudit.world.concept import ADJECTIVES, NOUNS, TIMES, VERBS

__all__ = [
    "COLUMNS",
    "NONE",
    "PLURAL",
    "SINGULAR",
    "SPLITS",
    "SPLIT_SHARES",
    "TENSES",
    "Clause",
    "NounPhrase",
    "Rows",
    "Split",
    "clauses_of",
    "in_split",
    "keys",
    "rows_of",
]

Rows: TypeAlias = NDArray[np.int64]
Split = Literal["corpus", "train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("corpus", "train", "dev", "test")
SPLIT_SHARES: tuple[float, ...] = (0.5, 0.2, 0.15, 0.15)
"""Share of all meanings that belongs to each split."""

NONE = -1
"""Stands for an adjective, object, place or time that is not there."""
PLURAL = 0
SINGULAR = 1
TENSES: tuple[str, ...] = ("present", "past", "future")


class NounPhrase(NamedTuple):
    """A noun with its modifiers, as indices of concepts.

    ``number`` is :data:`SINGULAR`, :data:`PLURAL` (an unsaid number) or a count from 2 to 9. A name
    always has no adjective, is singular and definite.
    """

    noun: int
    adjective: int
    number: int
    definite: int


class Clause(NamedTuple):
    """The meaning of one sentence."""

    tense: int
    negated: int
    verb: int
    subject: NounPhrase
    object: NounPhrase | None
    place: NounPhrase | None
    time: int


_PHRASE = ("noun", "adjective", "number", "definite")
COLUMNS: tuple[str, ...] = (
    *("tense", "negated", "verb"),
    *(f"{role}_{part}" for role in ("subject", "object", "place") for part in _PHRASE),
    "time",
)
"""Names of the sixteen columns of a row; an absent phrase is ``(NONE, NONE, PLURAL, 0)``."""

_ABSENT = (NONE, NONE, PLURAL, 0)
_PHRASE_SIZES = (len(NOUNS) + 1, len(ADJECTIVES) + 1, 10, 2)
_SIZES = (len(TENSES), 2, len(VERBS), *_PHRASE_SIZES * 3, len(TIMES) + 1)
_OFFSETS = np.array([name.endswith(("noun", "adjective", "time")) for name in COLUMNS], dtype=np.int64)
_WEIGHTS = np.cumprod((1, *_SIZES[:-1]), dtype=np.int64)


def clauses_of(rows: Rows) -> list[Clause]:
    """Turn rows into clauses.

    Parameters
    ----------
    rows
        Shape (n, 16), columns as in :data:`COLUMNS`.

    Returns
    -------
    list of Clause
        Length n.
    """
    return [
        Clause(
            r[0],
            r[1],
            r[2],
            NounPhrase(*r[3:7]),
            NounPhrase(*r[7:11]) if r[7] != NONE else None,
            NounPhrase(*r[11:15]) if r[11] != NONE else None,
            r[15],
        )
        for r in rows.tolist()
    ]


def rows_of(clauses: Sequence[Clause]) -> Rows:
    """Turn clauses into rows, the inverse of :func:`clauses_of`.

    Parameters
    ----------
    clauses
        Length n.

    Returns
    -------
    ndarray
        int64, shape (n, 16).
    """
    rows = [(*c[:3], *c.subject, *(c.object or _ABSENT), *(c.place or _ABSENT), c.time) for c in clauses]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))


def keys(rows: Rows) -> Rows:
    """Give each meaning a number of its own.

    Parameters
    ----------
    rows
        Shape (..., 16).

    Returns
    -------
    ndarray
        int64, shape (...): the row read as a number in mixed radix, below 2**52.
    """
    return (rows + _OFFSETS) @ _WEIGHTS


def in_split(rows: Rows, split: Split) -> NDArray[np.bool_]:
    """Say which meanings belong to a split.

    Parameters
    ----------
    rows
        Shape (..., 16).
    split
        One of :data:`SPLITS`.

    Returns
    -------
    ndarray
        bool, shape (...). Exactly one split claims each meaning, in every world.

    References
    ----------
    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", the 64-bit
    finaliser of SplitMix, hashes the key.
    """
    word = keys(rows).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    share = ((word ^ (word >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    position = SPLITS.index(split)
    low, high = sum(SPLIT_SHARES[:position]), sum(SPLIT_SHARES[: position + 1])
    above = share >= low
    return above & (share < high) if position + 1 < len(SPLITS) else above
