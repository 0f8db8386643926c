"""Endless sequences of the meanings of one split, the same whatever is drawn beside them.

Meanings come in blocks, each from a random stream of its own that is named by purpose, split and
number of the block. So the first n items of a sequence do not depend on how many are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from alignaudit.core import rng
from alignaudit.world.meaning import COLUMNS, NONE, Clause, Rows, Split, clauses_of, in_split
from alignaudit.world.topic import TOPIC_COUNT, Topics, draw_clauses, draw_documents

__all__ = ["Sampler"]

_BLOCK = 2048
_SUBJECT, _OBJECT, _PLACE = (COLUMNS.index(f"{role}_noun") for role in ("subject", "object", "place"))


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws meanings of a world that belong to one split.

    Attributes
    ----------
    seed
        Seed of the world.
    topics
        Its preferences.
    """

    seed: int
    topics: Topics

    def stream(self, *names: str | int) -> np.random.Generator:
        """Return a random stream of this world that no sequence of meanings uses."""
        return rng.stream(self.seed, "world", "edit", *names)

    def clauses(self, split: Split, *names: str) -> Iterator[Clause]:
        """Iterate for ever over meanings of ``split`` for the purpose that ``names`` names."""

        def draw(generator: np.random.Generator) -> Rows:
            topic = generator.integers(TOPIC_COUNT, size=_BLOCK)
            return draw_clauses(self.topics, generator, topic)[:, None]

        for block in self._blocks(draw, split, *names):
            yield from clauses_of(block[:, 0])

    def documents(self, split: Split, *names: str) -> Iterator[tuple[Clause, Clause]]:
        """Iterate for ever over documents of two clauses, both of which belong to ``split``."""

        def draw(generator: np.random.Generator) -> Rows:
            return draw_documents(self.topics, generator, _BLOCK)

        for block in self._blocks(draw, split, *names):
            yield from zip(clauses_of(block[:, 0]), clauses_of(block[:, 1]), strict=True)

    def _blocks(
        self, draw: Callable[[np.random.Generator], Rows], split: Split, *names: str
    ) -> Iterator[Rows]:
        for number in itertools.count():
            rows = draw(rng.stream(self.seed, "world", "meaning", *names, split, number))
            yield rows[(in_split(rows, split) & _sensible(rows)).all(axis=1)]


def _sensible(rows: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Refuse clauses in which the object's noun is the subject's or the place's as well."""
    noun = rows[..., _OBJECT]
    return (noun == NONE) | ((noun != rows[..., _SUBJECT]) & (noun != rows[..., _PLACE]))
