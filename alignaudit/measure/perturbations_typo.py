"""Typing errors in any script: clusters that change places, vanish, come twice or are mistaken.

Only letters are touched, never digits, punctuation or blanks, so that words begin and end where they
did and no number changes. A grapheme cluster is never split, and an edit after which two clusters
would join is not made. In Hangul a cluster is a syllable, in Indic scripts a consonant cluster with
its vowel.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np

from alignaudit.measure.edit_distance import edit_distance
from alignaudit.measure.grapheme import clusters, letter_script, stay_apart
from alignaudit.measure.perturbations_draw import Edited, randomly_rounded

__all__ = ["ClusterFrequencies", "cluster_frequencies", "typos"]

_SWAP, _DELETE, _DUPLICATE, _SUBSTITUTE = range(4)


@dataclass(frozen=True, slots=True)
class ClusterFrequencies:
    """How often each letter of a language is written, by script and case.

    Attributes
    ----------
    letters
        For each script (ISO 15924) and whether capital: its clusters in ascending order.
    cumulative
        For each of the same keys: occurrences of the clusters up to each, in the same order.
    """

    letters: Mapping[tuple[str, bool], tuple[str, ...]]
    cumulative: Mapping[tuple[str, bool], tuple[int, ...]]

    def draw(self, cluster: str, generator: np.random.Generator) -> str | None:
        """Return another letter of the same script and case, as often as it is written.

        Parameters
        ----------
        cluster
            What to replace.
        generator
            Source of the draw.

        Returns
        -------
        str or None
            Never ``cluster`` itself; None where no other is known.
        """
        key = _kind(cluster)
        letters, ends = self.letters.get(key, ()), self.cumulative.get(key, ())
        place = bisect_left(letters, cluster)
        known = place < len(letters) and letters[place] == cluster
        start = ends[place - 1] if place else 0
        own = ends[place] - start if known else 0
        if not letters or ends[-1] == own:
            return None
        drawn = int(generator.integers(ends[-1] - own))
        return letters[bisect_right(ends, drawn if drawn < start else drawn + own)]


def cluster_frequencies(sentences: Iterable[str]) -> ClusterFrequencies:
    """Count the letters of a language.

    Parameters
    ----------
    sentences
        Any text of the language, in any order.

    Returns
    -------
    ClusterFrequencies
        Of all its grapheme clusters that are letters.

    Examples
    --------
    >>> cluster_frequencies(["Abba", "cab"]).letters
    {('Latn', False): ('a', 'b', 'c'), ('Latn', True): ('A',)}
    """
    counts = Counter(cluster for sentence in sentences for cluster in clusters(sentence))
    letters: dict[tuple[str, bool], list[str]] = {}
    for cluster in sorted(counts, key=lambda text: (_kind(text), text)):
        if letter_script(cluster):
            letters.setdefault(_kind(cluster), []).append(cluster)
    return ClusterFrequencies(
        {key: tuple(row) for key, row in letters.items()},
        {key: tuple(accumulate(counts[cluster] for cluster in row)) for key, row in letters.items()},
    )


def typos(
    sentence: str,
    severity: float,
    generator: np.random.Generator,
    frequencies: ClusterFrequencies | None = None,
) -> Edited:
    """Misspell a sentence by as many edits as a character error rate asks for.

    The number of edits is ``severity`` times the number of clusters, randomly rounded. Letters are
    taken in random order, and one of four things happens to each with equal probability where it
    can: it changes places with the next letter of its word, is left out, is written twice, or gives
    way to another of its script and case. A change of places counts two edits, so it happens only
    where two are still wanted. The edit distance to the clean sentence is then computed, and where
    edits have undone one another more letters are taken. A word keeps at least one letter.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Wanted character error rate, in [0, 1].
    generator
        Source of every draw.
    frequencies
        What substitutes are drawn from. None for the letters of the sentence itself, which follow
        those of the language and depend on no other sentence.

    Returns
    -------
    Edited
        Units are clusters, places are letters. The edit distance never exceeds the number of edits
        wanted, and falls short of it only where the letters are used up: in ordinary sentences from a
        severity of about 0.5 on.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> typos("perturbation", 0.1, rng.stream(2, "example")).text
    'prturbation'
    """
    clean = clusters(sentence)
    letters = [place for place, cluster in enumerate(clean) if letter_script(cluster)]
    wanted = randomly_rounded(severity * len(clean), generator)
    if not wanted or not letters:
        return Edited(sentence, len(letters), len(clean))
    draft = _Draft(clean, letters, frequencies, generator)
    spent = 0
    for place in generator.permutation(letters).tolist():
        if spent >= wanted:
            spent = edit_distance(clean, draft.clusters)
            if spent >= wanted:
                break
        spent += draft.edit(place, wanted - spent)
    return Edited("".join(draft.clusters), len(letters), len(clean))


class _Draft:
    """A sentence while it is being misspelt: what stands at each place of the clean one."""

    def __init__(
        self,
        clean: list[str],
        letters: Sequence[int],
        frequencies: ClusterFrequencies | None,
        generator: np.random.Generator,
    ) -> None:
        self.clean = clean
        self.written = [[cluster] for cluster in clean]
        self.free = set(letters)
        self.frequencies = frequencies
        self.generator = generator
        self.word = [0] * len(clean)  # number of the run of letters that a place belongs to
        for left, right in pairwise(range(len(clean))):
            together = bool(letter_script(clean[left]) and letter_script(clean[right]))
            self.word[right] = self.word[left] + (not together)
        self.left = Counter(self.word[place] for place in letters)

    @property
    def clusters(self) -> list[str]:
        return list(chain.from_iterable(self.written))

    def edit(self, place: int, budget: int) -> int:
        """Edit one letter and return the number of edits that this counts."""
        if place not in self.free:
            return 0
        for operation in self.generator.permutation(4).tolist():
            proposed = self._proposal(operation, place, budget)
            if proposed and self._holds(place, proposed):
                self.written[place : place + len(proposed)] = proposed
                self.free.difference_update(range(place, place + len(proposed)))
                self.left[self.word[place]] -= operation == _DELETE
                return 2 if operation == _SWAP else 1
        return 0

    def _proposal(self, operation: int, place: int, budget: int) -> list[list[str]]:
        """Return what would stand at ``place`` and after it; empty where that cannot be."""
        cluster = self.clean[place]
        if operation == _SWAP:
            after = place + 1
            fits = budget > 1 and after in self.free and self.clean[after] != cluster
            return [[self.clean[after]], [cluster]] if fits else []
        if operation == _DELETE:
            return [[]] if self.left[self.word[place]] > 1 else []
        if operation == _DUPLICATE:
            return [[cluster, cluster]]
        if self.frequencies is None:
            self.frequencies = cluster_frequencies(self.clean)
        other = self.frequencies.draw(cluster, self.generator)
        return [[other]] if other else []

    def _holds(self, place: int, proposed: list[list[str]]) -> bool:
        """Return whether the clusters around and in a proposal would stay apart."""
        before = next((row[-1:] for row in reversed(self.written[:place]) if row), [])
        after = next((row[:1] for row in self.written[place + len(proposed) :] if row), [])
        line = [*before, *chain.from_iterable(proposed), *after]
        return all(stay_apart(left, right) for left, right in pairwise(line))


def _kind(cluster: str) -> tuple[str, bool]:
    return letter_script(cluster), cluster[:1].isupper()
