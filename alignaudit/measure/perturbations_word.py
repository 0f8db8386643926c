"""Perturbations of whole tokens: some left out, or some written in English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.grapheme import (
    CONTINUOUS_SCRIPTS,
    clusters,
    letter_script,
    main_script,
    stay_apart,
    words,
)
from alignaudit.measure.perturbations_draw import Edited, drawn_places
from alignaudit.measure.perturbations_form import lower_cased

__all__ = ["Lexicon", "drop_tokens", "lexicon_of", "switch_code"]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words of one language and what they may be in English.

    Attributes
    ----------
    entries
        At least one English word or phrase for each foreign word.
    longest
        Clusters of the longest foreign word.
    """

    entries: Mapping[str, tuple[str, ...]]
    longest: int

    def find(self, word: str, language: str) -> tuple[str, ...]:
        """Return the English words of a word as written or in small letters; empty where there are none."""
        return self.entries.get(word) or self.entries.get(lower_cased(word, language), ())


@dataclass(slots=True)
class _Token:
    text: str
    english: tuple[str, ...] = ()
    is_word: bool = True
    continuous: bool = False
    switched: bool = False


def lexicon_of(entries: Mapping[str, str | Sequence[str]]) -> Lexicon:
    """Return a lexicon from a dictionary.

    Parameters
    ----------
    entries
        English words of each foreign word; a string is one.

    Returns
    -------
    Lexicon
        With a tuple for every word.

    Raises
    ------
    DataError
        Where a foreign or English word is empty or blank, or a word has no English one.
    """
    table = {}
    for word, given in entries.items():
        english = (given,) if isinstance(given, str) else tuple(given)
        if not word.strip() or not english or not all(each.strip() for each in english):
            raise DataError(
                f'The entry "{word}" of the lexicon is empty on a side.', hint="Leave out such entries."
            )
        table[word] = english
    return Lexicon(table, max((len(clusters(word)) for word in table), default=0))


def drop_tokens(sentence: str, severity: float, generator: np.random.Generator) -> Edited:
    """Leave out tokens until a share of the sentence's clusters is gone.

    A token is a word between blanks where the script writes them, and one grapheme cluster in runs
    of a script that does not (Chinese, Japanese, Thai, Lao, Khmer, Burmese and others). Tokens go in
    random order, a word together with one blank; a cluster stays where its neighbours would join
    over the gap, as Burmese ones can. The last token goes with the probability that makes the
    expected number of clusters right, so all languages lose text at one rate, whatever their words.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Wanted share of clusters to leave out, in [0, 1].
    generator
        Source of every draw.

    Returns
    -------
    Edited
        Units and places are tokens; a sentence of one token has no place, and keeps it.
    """
    runs = words(sentence)
    tokens = [_dropout_tokens(run) for run in runs]
    order = [(i, j) for i, run in enumerate(tokens) for j in range(len(run))]
    places = len(order) if len(order) > 1 else 0
    left = severity * sum(map(len, runs))
    several_words = sum(map(bool, tokens)) > 1
    gone: list[set[int]] = [set() for _ in runs]
    dropped = 0
    for place in generator.permutation(len(order)).tolist():
        if left <= 0 or dropped + 1 >= len(order):
            break
        i, j = order[place]
        if not _would_part(tokens[i], gone[i], j):
            continue
        cost = len(clusters(tokens[i][j])) + (len(tokens[i]) == 1 and several_words)
        if cost <= left or generator.random() < left / cost:
            gone[i].add(j)
            dropped += 1
        left -= cost
    if not dropped:
        return Edited(sentence, places, len(order))
    kept = [[token for j, token in enumerate(run) if j not in gone[i]] for i, run in enumerate(tokens)]
    text = _joined(["".join(run) for run in runs], ["".join(run) for run in kept])
    return Edited(text, places, len(order))


def switch_code(
    sentence: str, severity: float, generator: np.random.Generator, lexicon: Lexicon, language: str
) -> Edited:
    """Write words in English where a lexicon has them.

    A word between blanks is looked up without the punctuation around it, as written and then in
    small letters. In a script without blanks the longest entry that fits is taken, from left to
    right, and an English word is set off by blanks from letters beside it. The English word follows
    its model's case: all capitals, a first capital, or as in the lexicon.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Share of the words with an entry that are replaced, in [0, 1].
    generator
        Draws which ones, and among several English words.
    lexicon
        Of the sentence's language.
    language
        ISO 639-3 code, for small letters.

    Returns
    -------
    Edited
        Units are words, places are those with an entry. In a script without blanks a cluster that
        begins no entry counts as a word.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> lexicon = lexicon_of({"hund": "dog", "der": "the"})
    >>> switch_code("Der Hund bellt.", 1.0, rng.stream(1, "example"), lexicon, "deu").text
    'The Dog bellt.'
    """
    tokens = [token for run in words(sentence) for token in _lexicon_tokens(run, lexicon, language)]
    places = [i for i, token in enumerate(tokens) if token.english]
    for i in drawn_places(places, severity, generator):
        token = tokens[i]
        token.text = _in_case_of(token.text, token.english[int(generator.integers(len(token.english)))])
        token.switched = True
    return Edited("".join(_set_off(tokens)), len(places), sum(token.is_word for token in tokens))


def _is_continuous(run: Sequence[str]) -> bool:
    return main_script(run) in CONTINUOUS_SCRIPTS


def _dropout_tokens(run: list[str]) -> list[str]:
    if run[0].isspace():
        return []
    return run if _is_continuous(run) else ["".join(run)]


def _would_part(run: list[str], gone: set[int], j: int) -> bool:
    """Return whether what is left around token ``j`` of a run stays apart without it."""
    before = next((run[k] for k in range(j - 1, -1, -1) if k not in gone), "")
    after = next((run[k] for k in range(j + 1, len(run)) if k not in gone), "")
    return not before or not after or stay_apart(before, after)


def _joined(runs: list[str], kept: list[str]) -> str:
    """Join what is kept of each run by the blanks that stood before it; outer blanks stay."""
    text = [runs[0]] if runs[0].isspace() else []
    blank = ""
    first = True
    for run, rest in zip(runs, kept, strict=True):
        if run.isspace():
            blank = run
        elif rest:
            text += [rest] if first else [blank, rest]
            first = False
    return "".join([*text, runs[-1] if runs[-1].isspace() else ""])


def _lexicon_tokens(run: list[str], lexicon: Lexicon, language: str) -> Iterator[_Token]:
    """Cut a run into words and what stands between them."""
    if _is_continuous(run):
        yield from _longest_matches(run, lexicon)
        return
    inside = [i for i, cluster in enumerate(run) if letter_script(cluster)]
    if not inside:
        yield _Token("".join(run), is_word=False)
        return
    start, stop = inside[0], inside[-1] + 1
    word = "".join(run[start:stop])
    yield _Token("".join(run[:start]), is_word=False)
    yield _Token(word, lexicon.find(word, language))
    yield _Token("".join(run[stop:]), is_word=False)


def _longest_matches(run: list[str], lexicon: Lexicon) -> Iterator[_Token]:
    start = 0
    while start < len(run):
        longest = min(lexicon.longest, len(run) - start)
        for length in range(longest, 0, -1):
            text = "".join(run[start : start + length])
            if text in lexicon.entries:
                yield _Token(text, lexicon.entries[text], continuous=True)
                break
        else:
            length = 1
            yield _Token(run[start], is_word=bool(letter_script(run[start])), continuous=True)
        start += length


def _set_off(tokens: list[_Token]) -> Iterator[str]:
    """Yield the texts of tokens, with blanks around English words in runs without blanks."""
    before = _Token("", is_word=False)
    for token in tokens:
        meet = before.continuous and token.continuous and before.is_word and token.is_word
        if meet and (before.switched or token.switched):
            yield " "
        yield token.text
        before = token


def _in_case_of(model: str, english: str) -> str:
    if len(clusters(model)) > 1 and model.isupper():
        return english.upper()
    return english[0].upper() + english[1:] if model[0].isupper() else english
