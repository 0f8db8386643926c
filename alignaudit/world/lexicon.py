"""The words: how each language says each concept, in every form that its grammar needs.

A foreign word descends from the English word (a cognate) or from a root of the language's family;
the language's sound changes, rewriting rules in a fixed order, apply to both. A word any of whose
forms is taken already gets another syllable, so no form belongs to two concepts. Other scripts
transliterate letter by letter at the very end.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from alignaudit.core import rng
from alignaudit.world.concept import ADJECTIVES, FIRST_NAME, NAMES, NOUNS, TIMES, VERBS
from alignaudit.world.language import SCRIPTS, WorldLanguage

__all__ = ["SOUND_CHANGES", "Lexicon", "build_lexicon", "english_words"]

SOUND_CHANGES: tuple[tuple[str, str], ...] = (
    *(("p", "f"), ("t", "d"), ("k", "g"), ("c", "k"), ("b", "v"), ("d", "z"), ("l", "r"), ("r", "l")),
    *(("a", "o"), ("e", "i"), ("i", "e"), ("o", "u"), ("s", "sh"), ("er", "ar"), ("n", "m"), ("h", "j")),
)
"""Rewriting rules, each sound to be replaced and its replacement."""

_FUNCTION = ("the", "a", "not", "in", "who", "what", "where")
_PARTICLES = ("plural", "past", "future")
_ENGLISH_ONLY = ("an", "do", "does", "did", "will")
_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All word forms of a language.

    Attributes
    ----------
    nouns
        ``nouns[accusative][plural][noun]``, indexed by 0/1, 0/1 and concept; equal where the language
        does not mark the difference.
    verbs
        ``verbs[form][verb]``. Foreign forms are present, past, future; English forms are base,
        third person singular, past.
    adjectives, times
        One form for each concept.
    function
        Function words and, where the morphology has them, particles, by their English name.
    """

    nouns: tuple[tuple[tuple[str, ...], ...], ...]
    verbs: tuple[tuple[str, ...], ...]
    adjectives: tuple[str, ...]
    times: tuple[str, ...]
    function: Mapping[str, str]

    def forms(self) -> Iterator[tuple[str, str]]:
        """Iterate over every (concept, form) pair; concepts are written like ``noun:hunter``."""
        for case in self.nouns:
            for number in case:
                yield from zip((f"noun:{word}" for word in NOUNS), number, strict=True)
        for tense in self.verbs:
            yield from zip((f"verb:{verb.word}" for verb in VERBS), tense, strict=True)
        yield from zip((f"adjective:{word}" for word in ADJECTIVES), self.adjectives, strict=True)
        yield from zip((f"time:{word}" for word in TIMES), self.times, strict=True)
        yield from ((f"function:{name}", word) for name, word in self.function.items())


def build_lexicon(seed: int, language: WorldLanguage) -> Lexicon:
    """Return the words of a language in the world of a seed.

    Parameters
    ----------
    seed
        Seed of the world; English does not depend on it.
    language
        The language.

    Returns
    -------
    Lexicon
        No form belongs to two concepts.
    """
    return _english() if language.family == "none" else _foreign(seed, language)


def english_words(foreign: Lexicon, english: Lexicon) -> dict[str, tuple[str, ...]]:
    """Return the English words of each form of a foreign lexicon.

    Parameters
    ----------
    foreign
        The lexicon whose forms are looked up.
    english
        That of English in the same world.

    Returns
    -------
    dict
        A form that serves several meanings has the words of each, in the order of the forms.
    """
    if foreign is english:
        return {form: (form,) for _, form in english.forms()}
    base, third, past = english.verbs
    future = tuple(f"will {verb}" for verb in base)
    present, *others = foreign.verbs
    tenses = (
        [] if others[0] == present else list(zip(others, (past, future), strict=True))
    )  # else particles say it
    columns = [
        *((case[number], english.nouns[0][number]) for case in foreign.nouns for number in (0, 1)),
        *((present, base), (present, third), *tenses),
        *((foreign.adjectives, english.adjectives), (foreign.times, english.times)),
    ]
    particles = {"past": "did", "future": "will", "plural": ""}  # English has an ending for the last
    pairs = [pair for forms, words in columns for pair in zip(forms, words, strict=True)]
    pairs += [(form, word) for name, form in foreign.function.items() if (word := particles.get(name, name))]
    words: dict[str, dict[str, None]] = {}
    for form, word in pairs:
        words.setdefault(form, {})[word] = None
    return {form: tuple(found) for form, found in words.items()}


def _english() -> Lexicon:
    singular = NOUNS
    plural = tuple(word if word in NAMES else f"{word}s" for word in NOUNS)
    verbs = tuple(verb.word for verb in VERBS)
    function = {name: name for name in (*_FUNCTION, *_ENGLISH_ONLY)}
    return Lexicon(
        nouns=((singular, plural),) * 2,
        verbs=(verbs, tuple(map(_third_person, verbs)), tuple(map(_past, verbs))),
        adjectives=ADJECTIVES,
        times=TIMES,
        function=MappingProxyType(function),
    )


def _third_person(verb: str) -> str:
    if verb.endswith("rry"):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("sh", "ch", "ss")) else f"{verb}s"


def _past(verb: str) -> str:
    if verb.endswith("rry"):
        return f"{verb[:-1]}ied"
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"


def _syllables(generator: np.random.Generator, count: int) -> str:
    consonants = generator.integers(len(_CONSONANTS), size=count)
    vowels = generator.integers(len(_VOWELS), size=count)
    return "".join(_CONSONANTS[c] + _VOWELS[v] for c, v in zip(consonants, vowels, strict=True))


def _foreign(seed: int, language: WorldLanguage) -> Lexicon:
    concepts = [*NOUNS[:FIRST_NAME], *(verb.word for verb in VERBS), *ADJECTIVES, *TIMES, *_FUNCTION]
    roots = rng.stream(seed, "world", "roots", language.family)
    own = rng.stream(seed, "world", "lexicon", language.code)
    particles = _PARTICLES if language.morphology == "particles" else ()
    root_of = {word: _syllables(roots, 1 if word in _FUNCTION else 2) for word in (*concepts, *_PARTICLES)}
    rules = [SOUND_CHANGES[i] for i in own.permutation(len(SOUND_CHANGES))[: language.sound_changes]]
    endings = [] if particles else _endings(own)
    taken = set(NAMES)
    stems = {}
    for word in (*concepts, *particles):
        cognate = own.random() < language.cognate_share and word not in _PARTICLES
        stem = word if cognate else root_of[word]
        for old, new in rules:
            stem = stem.replace(old, new)
        while taken & (forms := {stem, *(stem + ending for ending in endings)}):
            stem += _syllables(own, 1)
        taken |= forms
        stems[word] = stem
    script = str.maketrans(string.ascii_lowercase, SCRIPTS[language.script])
    return _inflect(
        {word: stem.translate(script) for word, stem in stems.items()},
        [ending.translate(script) for ending in endings],
        tuple(name.translate(script) for name in NAMES),
        language,
    )


def _endings(generator: np.random.Generator) -> list[str]:
    """Return the endings of plural, accusative, accusative plural, past and future.

    They end in five different consonants, so no two are alike.
    """
    consonants = generator.permutation(len(_CONSONANTS))[:5]
    return [_VOWELS[generator.integers(len(_VOWELS))] + _CONSONANTS[c] for c in consonants]


def _inflect(
    stems: Mapping[str, str], endings: list[str], names: tuple[str, ...], language: WorldLanguage
) -> Lexicon:
    plural, accusative, accusative_plural, past, future = endings or [""] * 5
    if language.morphology != "suffix+accusative":
        accusative, accusative_plural = "", plural
    common = [stems[word] for word in NOUNS[:FIRST_NAME]]
    verbs = [stems[verb.word] for verb in VERBS]

    def nouns(ending: str) -> tuple[str, ...]:
        return (*(stem + ending for stem in common), *names)

    return Lexicon(
        nouns=((nouns(""), nouns(plural)), (nouns(accusative), nouns(accusative_plural))),
        verbs=tuple(tuple(stem + ending for stem in verbs) for ending in ("", past, future)),
        adjectives=tuple(stems[word] for word in ADJECTIVES),
        times=tuple(stems[word] for word in TIMES),
        function=MappingProxyType({name: stems[name] for name in (*_FUNCTION, *_PARTICLES) if name in stems}),
    )
