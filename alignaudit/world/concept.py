"""What the world talks about: nouns in classes, verbs with frames, adjectives, names and times.

Concepts are numbered. Nouns, class words and names share one numbering (:data:`NOUNS`), so that a
noun phrase needs one integer; verbs, adjectives and times have their own. The English word *is* the
name of a concept; every other language gets its own word for it (``lexicon``).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ADJECTIVES",
    "ADJECTIVE_CLASSES",
    "ANTONYM",
    "CLASSES",
    "FIRST_CLASS_WORD",
    "FIRST_NAME",
    "MEMBERS",
    "NAMES",
    "NOUNS",
    "NOUN_CLASS",
    "TIMES",
    "VERBS",
    "Verb",
    "class_word",
]

CLASSES: tuple[str, ...] = ("person", "animal", "food", "tool", "building", "region")
"""The noun classes; each name is also a noun, the class word (hypernym) of its members."""

_MEMBER_WORDS: tuple[tuple[str, ...], ...] = (
    ("hunter", "farmer", "baker", "doctor", "teacher", "soldier", "singer", "sailor"),
    ("dog", "horse", "bear", "goat", "rabbit", "lion", "tiger", "monkey"),
    ("apple", "cake", "egg", "onion", "lemon", "carrot", "melon", "biscuit"),
    ("hammer", "rope", "lamp", "basket", "bucket", "needle", "ladder", "shovel"),
    ("station", "school", "market", "hospital", "castle", "kitchen"),
    ("forest", "garden", "valley", "field", "desert", "swamp"),
)
_PLAIN_NOUNS = tuple(word for words in _MEMBER_WORDS for word in words)

NAMES: tuple[str, ...] = ("anna", "boris", "clara", "david", "emma", "felix", "greta", "hugo")
"""Names of persons, the same in every language up to its script."""

NOUNS: tuple[str, ...] = (*_PLAIN_NOUNS, *CLASSES, *NAMES)
"""English words of all nouns: members of the classes, then class words, then names."""

FIRST_CLASS_WORD: int = len(_PLAIN_NOUNS)
"""Index in :data:`NOUNS` of the first class word."""

FIRST_NAME: int = FIRST_CLASS_WORD + len(CLASSES)
"""Index in :data:`NOUNS` of the first name."""

NOUN_CLASS: tuple[int, ...] = (
    *(index for index, words in enumerate(_MEMBER_WORDS) for _ in words),
    *range(len(CLASSES)),
    *(CLASSES.index("person") for _ in NAMES),
)
"""Class of each noun, aligned with :data:`NOUNS`."""

MEMBERS: tuple[tuple[int, ...], ...] = tuple(
    tuple(noun for noun in range(FIRST_CLASS_WORD) if NOUN_CLASS[noun] == index)
    for index in range(len(CLASSES))
)
"""Noun indices of the members of each class (without class word and names)."""


def class_word(noun: int) -> int:
    """Return the class word of a noun.

    Parameters
    ----------
    noun
        Index in :data:`NOUNS`.

    Returns
    -------
    int
        Index in :data:`NOUNS`.

    Examples
    --------
    >>> NOUNS[class_word(NOUNS.index("tiger"))]
    'animal'
    """
    return FIRST_CLASS_WORD + NOUN_CLASS[noun]


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its frame: which classes may be its subject and, if it is transitive, its object."""

    word: str
    subjects: tuple[str, ...]
    objects: tuple[str, ...] = ()


_PERSON = ("person",)
_ANIMATE = ("person", "animal")

VERBS: tuple[Verb, ...] = (
    Verb("enter", _ANIMATE, ("building",)),
    Verb("exit", _ANIMATE, ("building",)),
    Verb("love", _PERSON, ("person", "animal", "food")),
    Verb("hate", _PERSON, ("person", "animal", "food")),
    Verb("push", _ANIMATE, ("tool",)),
    Verb("pull", _ANIMATE, ("tool",)),
    Verb("open", _PERSON, ("building",)),
    Verb("close", _PERSON, ("building",)),
    Verb("lift", _PERSON, ("animal", "tool")),
    Verb("lower", _PERSON, ("animal", "tool")),
    Verb("accept", _PERSON, ("food", "tool")),
    Verb("refuse", _PERSON, ("food", "tool")),
    Verb("help", _ANIMATE, _ANIMATE),
    Verb("harm", _ANIMATE, _ANIMATE),
    Verb("arrive", _ANIMATE),
    Verb("depart", _ANIMATE),
    Verb("cook", _PERSON, ("food",)),
    Verb("taste", _ANIMATE, ("food",)),
    Verb("wash", _PERSON, ("animal", "tool", "food")),
    Verb("visit", _PERSON, ("building", "region")),
    Verb("chase", _ANIMATE, _ANIMATE),
    Verb("watch", _ANIMATE, ("person", "animal", "building")),
    Verb("paint", _PERSON, ("tool", "building")),
    Verb("carry", _ANIMATE, ("food", "tool")),
    Verb("follow", _ANIMATE, _ANIMATE),
    Verb("repair", _PERSON, ("tool", "building")),
    Verb("cross", _ANIMATE, ("region",)),
    Verb("walk", _ANIMATE),
    Verb("jump", _ANIMATE),
)
"""The verbs. The first sixteen are eight pairs of antonyms with equal frames."""

ANTONYM: tuple[int | None, ...] = tuple(index ^ 1 if index < 16 else None for index in range(len(VERBS)))
"""Index of each verb's antonym, where it has one."""

ADJECTIVES: tuple[str, ...] = (
    *("good", "bad", "big", "small", "young", "old"),
    *("rich", "poor", "clean", "dirty", "warm", "cold"),
)
"""Adjectives: six pairs of antonyms."""

ADJECTIVE_CLASSES: tuple[tuple[str, ...], ...] = (
    *(("person", "animal", "food", "tool", "building"),) * 2,
    *(("animal", "food", "tool", "building", "region"),) * 2,
    *(("person", "animal"),) * 2,
    *(("person", "region"),) * 2,
    *(("animal", "tool", "building"),) * 2,
    *(("food", "building", "region"),) * 2,
)
"""Noun classes that each adjective may describe, aligned with :data:`ADJECTIVES`."""

TIMES: tuple[str, ...] = ("today", "again", "early", "late")
"""Adverbs of time; they go with every tense."""
