"""The world: languages, monolingual corpora, parallel test sentences and tasks, all from one seed.

Nothing is stored and nothing global is touched: every text is a function of the seed, the language
and the purpose it is for, in any process and whatever was asked for before.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from alignaudit.core.example import ParallelText, TaskData
from alignaudit.errors import DataError, did_you_mean
from alignaudit.world.grammar import Grammar
from alignaudit.world.language import LANGUAGES, WorldLanguage
from alignaudit.world.lexicon import build_lexicon, english_words
from alignaudit.world.sampler import Sampler
from alignaudit.world.task import TASKS, TaskSize, build_task, unique_clauses
from alignaudit.world.topic import build_topics

__all__ = ["TASK_NAMES", "WORLD_VERSION", "World"]

WORLD_VERSION = 1
"""Raised whenever a seed gives other texts than before."""

TASK_NAMES: tuple[str, ...] = tuple(TASKS)
"""Names of the tasks: ``nli``, ``qa`` and ``role`` are meant as intermediate, ``pos`` as target task."""


@dataclass(frozen=True)
class World:
    """A synthetic multilingual world.

    Parameters
    ----------
    seed
        Non-negative integer. It decides the foreign words, the topics and all samples; which
        meanings belong to which split is the same in every world.

    Examples
    --------
    >>> world = World(seed=1)
    >>> world.corpus("en", documents=1)[0].count(" .")
    2
    """

    seed: int

    @property
    def languages(self) -> tuple[WorldLanguage, ...]:
        """Return the languages, English first."""
        return LANGUAGES

    @cached_property
    def grammars(self) -> Mapping[str, Grammar]:
        """Return the grammar and lexicon of every language, by code."""
        return MappingProxyType(
            {language.code: Grammar(language, build_lexicon(self.seed, language)) for language in LANGUAGES}
        )

    @cached_property
    def sampler(self) -> Sampler:
        """Return the source of meanings."""
        return Sampler(self.seed, build_topics(self.seed))

    def __reduce__(self) -> tuple[type[World], tuple[int]]:
        """Travel between processes as the seed alone."""
        return World, (self.seed,)

    def language(self, code: str) -> WorldLanguage:
        """Return a language by its code.

        Raises
        ------
        DataError
            If there is no such language.
        """
        return self._grammar(code).language

    def corpus(self, language: str, documents: int) -> tuple[str, ...]:
        """Return monolingual text: each line is a document of two sentences on one topic.

        Every language is sampled on its own, so there is no parallel text beyond coincidence. The
        first lines do not depend on how many are asked for.

        Parameters
        ----------
        language
            Code of the language.
        documents
            Number of lines n, at least 1.

        Returns
        -------
        tuple of str
            Length n.

        Raises
        ------
        DataError
            If there is no such language, or n is below 1.
        """
        grammar = self._grammar(language)
        _check_size("documents", documents)
        drawn = itertools.islice(self.sampler.documents("corpus", "corpus", language), documents)
        return tuple(f"{grammar.sentence(first)} {grammar.sentence(second)}" for first, second in drawn)

    def parallel(self, language: str, pairs: int = 400) -> ParallelText:
        """Return test sentences with their English translations.

        The meanings are the same for every language (the test set is n-way parallel), all different,
        and of the ``test`` split: no corpus and no task's training or development set has them.

        Parameters
        ----------
        language
            Code of the language; English is paired with itself.
        pairs
            Number of sentence pairs n, at least 1.

        Returns
        -------
        ParallelText
            n sentences on each side.

        Raises
        ------
        DataError
            If there is no such language, or n is below 1.
        """
        grammar = self._grammar(language)
        _check_size("pairs", pairs)
        clauses = unique_clauses(self.sampler.clauses("test", "parallel"), pairs)
        return ParallelText(
            language,
            tuple(grammar.sentence(clause) for clause in clauses),
            tuple(self.grammars["en"].sentence(clause) for clause in clauses),
        )

    def dictionary(self, language: str) -> dict[str, tuple[str, ...]]:
        """Return what each word form of a language may be in English.

        Parameters
        ----------
        language
            Code of the language.

        Returns
        -------
        dict
            One or two English words for each form; a verb's present has its base and its third person.
            Particles of number have none, and names are their own.

        Raises
        ------
        DataError
            If there is no such language.

        Examples
        --------
        >>> world = World(seed=1)
        >>> world.dictionary("rv")[world.grammars["rv"].lexicon.times[0]]
        ('today',)
        """
        return english_words(self._grammar(language).lexicon, self.grammars["en"].lexicon)

    def task(self, name: str, train: int = 3000, dev: int = 400, test: int = 300) -> TaskData:
        """Return a task: English training and development sets, a test set in every language.

        Parameters
        ----------
        name
            One of :data:`TASK_NAMES`; see ``alignaudit.world.task`` for what each asks.
        train, dev, test
            Numbers of examples, each at least 1; ``test`` is the number for every language. Example i
            of a test set means the same in every language.

        Returns
        -------
        TaskData
            No sentence of one split occurs in another, nor in a corpus.

        Raises
        ------
        DataError
            If there is no such task, or a size is below 1.
        """
        if name not in TASKS:
            raise DataError(f'There is no task "{name}".', where="world", hint=did_you_mean(name, TASKS))
        for split, size in (("train", train), ("dev", dev), ("test", test)):
            _check_size(split, size)
        return build_task(name, self.sampler, self.grammars, TaskSize(train, dev, test))

    def fingerprint(self) -> str:
        """Return a SHA-256 over the version, all word forms and a sample of every kind of text.

        Returns
        -------
        str
            64 hexadecimal digits, for cache keys. Worlds that differ in a word, a rule of the grammar,
            a task or the seed differ here.
        """
        content = {
            "version": WORLD_VERSION,
            "seed": self.seed,
            "forms": {code: list(grammar.lexicon.forms()) for code, grammar in self.grammars.items()},
            "corpus": {code: self.corpus(code, 8) for code in self.grammars},
            "parallel": {code: self.parallel(code, 8).foreign for code in self.grammars},
            "tasks": {name: _content(self.task(name, train=6, dev=3, test=3)) for name in TASKS},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _grammar(self, code: str) -> Grammar:
        if code not in self.grammars:
            hint = did_you_mean(code, self.grammars)
            raise DataError(f'There is no language "{code}".', where="world", hint=hint)
        return self.grammars[code]


def _content(task: TaskData) -> dict[str, Any]:
    """Return what the world decides of a task; how answers are compared is not among it."""
    found = asdict(task)
    return {name: found[name] for name in ("name", "format", "labels", "metric", "train", "dev", "test")}


def _check_size(name: str, size: int) -> None:
    if size < 1:
        raise DataError(f"{name} is {size}.", where="world", hint="Ask for at least 1.")
