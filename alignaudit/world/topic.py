"""Topics: what goes with what, and the drawing of documents from it.

Ten topics each prefer some nouns, names, verbs and places (peaked Dirichlet draws, smoothed with a
uniform share); beside that each verb prefers some objects and each noun some adjectives. That is
the distributional signal from which a masked language model can learn what a word means. Drawing
is vectorised: a block of meanings is an array of rows (``meaning``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignaudit.core import rng
from alignaudit.world.concept import (
    ADJECTIVE_CLASSES,
    ADJECTIVES,
    CLASSES,
    FIRST_CLASS_WORD,
    FIRST_NAME,
    MEMBERS,
    NAMES,
    NOUN_CLASS,
    NOUNS,
    TIMES,
    VERBS,
)
from alignaudit.world.meaning import COLUMNS, NONE, PLURAL, SINGULAR, TENSES, Rows

__all__ = ["TOPIC_COUNT", "Topics", "build_topics", "draw_clauses", "draw_documents"]

TOPIC_COUNT = 10
_SMOOTHING = 0.1
_CLASS_WORD_SHARE = 0.08
_NAME_SHARE = 0.3
_NEGATED_SHARE = 0.15
_ADJECTIVE_SHARE = 0.4
_TIME_SHARE = 0.3
_PLACE_SHARES = (0.4, 0.65)
_NUMBER_SHARES = (0.6, 0.25)

Table: TypeAlias = NDArray[np.float64]

_CLASS_OF = np.array(NOUN_CLASS)
_ANIMATE = np.isin(np.arange(len(CLASSES)), [CLASSES.index("person"), CLASSES.index("animal")])
_TRANSITIVE = np.array([bool(verb.objects) for verb in VERBS])
_SUBJECT, _OBJECT, _PLACE = (
    slice(first := COLUMNS.index(f"{role}_noun"), first + 4) for role in ("subject", "object", "place")
)


@dataclass(frozen=True, slots=True)
class Topics:
    """Cumulative probabilities; the last axis is the concept drawn.

    Attributes
    ----------
    verb
        Shape (topics, classes + 1, verbs): the verb given the class of the subject; the last row of
        the middle axis is for a subject still to be drawn.
    subject, object
        Shape (topics, verbs, nouns); the object of an intransitive verb has no meaning.
    place
        Shape (topics, nouns).
    adjective
        Shape (nouns, adjectives).
    """

    verb: Table
    subject: Table
    object: Table
    place: Table
    adjective: Table


def build_topics(seed: int) -> Topics:
    """Draw the preferences of a world.

    Parameters
    ----------
    seed
        Seed of the world.

    Returns
    -------
    Topics
        Rows of the last axis end in exactly 1, or are 0 where no verb allows a class as subject.
    """
    generator = rng.stream(seed, "world", "topics")
    allows = np.array([[name in verb.subjects for verb in VERBS] for name in CLASSES])
    verbs = _peaked(generator, 0.2, TOPIC_COUNT, len(VERBS))
    by_class = np.stack([*(verbs * allowed for allowed in allows), verbs], axis=1)
    nouns = np.stack([_noun_shares(generator, index) for index in range(len(CLASSES))], axis=1)
    likes = np.stack([_noun_shares(generator, index, len(VERBS), 0.4) for index in range(len(CLASSES))])
    subject = np.stack([_mean(nouns, verb.subjects) for verb in VERBS], axis=1)
    objects = np.stack(
        [
            (_mean(nouns, verb.objects) + _mean(likes[:, index][None], verb.objects)) / 2
            for index, verb in enumerate(VERBS)
        ],
        axis=1,
    )
    return Topics(
        _cumulative(by_class),
        _cumulative(subject),
        _cumulative(objects),
        _cumulative(_place_shares(generator)),
        _cumulative(_adjective_shares(generator)),
    )


def _peaked(generator: np.random.Generator, alpha: float, rows: int, size: int) -> Table:
    return (1 - _SMOOTHING) * generator.dirichlet(np.full(size, alpha), size=rows) + _SMOOTHING / size


def _noun_shares(
    generator: np.random.Generator, index: int, rows: int = TOPIC_COUNT, alpha: float = 0.25
) -> Table:
    """Return shares of the nouns of one class, shape (rows, nouns)."""
    shares = np.zeros((rows, len(NOUNS)))
    shares[:, MEMBERS[index]] = (1 - _CLASS_WORD_SHARE) * _peaked(generator, alpha, rows, len(MEMBERS[index]))
    shares[:, FIRST_CLASS_WORD + index] = _CLASS_WORD_SHARE
    if CLASSES[index] == "person":
        shares *= 1 - _NAME_SHARE
        shares[:, FIRST_NAME:] = _NAME_SHARE * _peaked(generator, 0.4, rows, len(NAMES))
    return shares


def _mean(shares: Table, classes: tuple[str, ...]) -> Table:
    """Average (rows, classes, nouns) over some classes; uniform where there is none."""
    if not classes:
        return np.full((shares.shape[0], shares.shape[2]), 1 / shares.shape[2])
    return np.asarray(shares[:, [CLASSES.index(name) for name in classes]].mean(axis=1))


def _place_shares(generator: np.random.Generator) -> Table:
    shares = np.zeros((TOPIC_COUNT, len(NOUNS)))
    places = [CLASSES.index(name) for name in ("building", "region")]
    members = [noun for index in places for noun in MEMBERS[index]]
    shares[:, members] = (1 - _CLASS_WORD_SHARE) * _peaked(generator, 0.2, TOPIC_COUNT, len(members))
    shares[:, [FIRST_CLASS_WORD + index for index in places]] = _CLASS_WORD_SHARE / len(places)
    return shares


def _adjective_shares(generator: np.random.Generator) -> Table:
    shares = np.zeros((len(NOUNS), len(ADJECTIVES)))
    for noun, index in enumerate(NOUN_CLASS):
        fits = [a for a, classes in enumerate(ADJECTIVE_CLASSES) if CLASSES[index] in classes]
        shares[noun, fits] = _peaked(generator, 0.5, 1, len(fits))[0]
    return shares


def _cumulative(shares: Table) -> Table:
    total = np.cumsum(shares, axis=-1)
    last = total[..., -1:]
    return np.asarray(total / np.where(last > 0, last, 1))


def _draw(generator: np.random.Generator, cumulative: Table) -> Rows:
    """Draw one index for each row of (n, k) cumulative probabilities; never one of probability 0."""
    uniform = generator.random(len(cumulative))[:, None]
    return np.asarray((cumulative <= uniform).sum(axis=1), dtype=np.int64)


def _phrases(topics: Topics, generator: np.random.Generator, nouns: Rows) -> Rows:
    """Draw modifiers for nouns: shape (n,) to (n, 4)."""
    size = len(nouns)
    adjective = _draw(generator, topics.adjective[nouns])
    adjective[generator.random(size) >= _ADJECTIVE_SHARE] = NONE
    kind = np.searchsorted(np.cumsum(_NUMBER_SHARES), generator.random(size), side="right")
    count = generator.integers(2, 10, size=size)
    number = np.choose(kind, [np.full(size, SINGULAR), np.full(size, PLURAL), count])
    definite = generator.integers(2, size=size)
    phrases = np.stack([nouns, adjective, number, definite], axis=1)
    phrases[nouns >= FIRST_NAME, 1:] = (NONE, SINGULAR, 1)
    return phrases


def draw_clauses(
    topics: Topics, generator: np.random.Generator, topic: Rows, subject: Rows | None = None
) -> Rows:
    """Draw one meaning for each topic.

    Parameters
    ----------
    topics
        Preferences of the world.
    generator
        Source of randomness.
    topic
        Shape (n,), values below :data:`TOPIC_COUNT`.
    subject
        Shape (n, 4): noun phrases that are the subject; noun ``NONE`` where it is to be drawn.

    Returns
    -------
    ndarray
        int64, shape (n, 16). A subject may equal its object here; ``sampler`` drops such rows.
    """
    size = len(topic)
    rows = np.full((size, len(COLUMNS)), NONE, dtype=np.int64)
    rows[:, 0] = generator.integers(len(TENSES), size=size)
    rows[:, 1] = generator.random(size) < _NEGATED_SHARE
    given = np.full((size, 4), NONE) if subject is None else subject
    has = given[:, 0] != NONE
    verb = _draw(generator, topics.verb[topic, np.where(has, _CLASS_OF[given[:, 0]], len(CLASSES))])
    rows[:, 2] = verb
    drawn = _phrases(topics, generator, _draw(generator, topics.subject[topic, verb]))
    rows[:, _SUBJECT] = np.where(has[:, None], given, drawn)
    absent = (NONE, NONE, PLURAL, 0)
    transitive = _TRANSITIVE[verb][:, None]
    objects = _phrases(topics, generator, _draw(generator, topics.object[topic, verb]))
    rows[:, _OBJECT] = np.where(transitive, objects, absent)
    placed = generator.random((size, 1)) < np.where(transitive, *_PLACE_SHARES)
    places = _phrases(topics, generator, _draw(generator, topics.place[topic]))
    rows[:, _PLACE] = np.where(placed, places, absent)
    time = generator.integers(len(TIMES), size=size)
    rows[:, 15] = np.where(generator.random(size) < _TIME_SHARE, time, NONE)
    return rows


def draw_documents(topics: Topics, generator: np.random.Generator, count: int) -> Rows:
    """Draw documents of two clauses with one topic.

    The second clause takes up the subject of the first (probability 0.4) or its animate object
    (0.2), now definite.

    Parameters
    ----------
    topics
        Preferences of the world.
    generator
        Source of randomness.
    count
        Number of documents.

    Returns
    -------
    ndarray
        int64, shape (count, 2, 16).
    """
    topic = generator.integers(TOPIC_COUNT, size=count)
    first = draw_clauses(topics, generator, topic)
    choice = generator.random(count)
    again = np.full((count, 4), NONE, dtype=np.int64)
    takes_subject = choice < 0.4
    again[takes_subject] = first[takes_subject, _SUBJECT]
    is_animate = (first[:, _OBJECT.start] != NONE) & _ANIMATE[_CLASS_OF[first[:, _OBJECT.start]]]
    takes_object = (choice >= 0.4) & (choice < 0.6) & is_animate
    again[takes_object] = first[takes_object, _OBJECT]
    again[takes_subject | takes_object, 3] = 1
    return np.stack([first, draw_clauses(topics, generator, topic, again)], axis=1)
