"""Text as readers see it: grapheme clusters, their scripts, and words as they are written.

A grapheme cluster (Unicode Standard Annex 29) is what a reader calls one character: a letter with
its marks, an Indic consonant cluster with its vowel, a Hangul syllable, an emoji sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

import regex  # type: ignore[import-untyped]

__all__ = ["CONTINUOUS_SCRIPTS", "SCRIPTS", "clusters", "letter_script", "main_script", "stay_apart", "words"]

SCRIPTS: tuple[str, ...] = tuple(
    "Latn Grek Cyrl Armn Hebr Arab Syrc Thaa Nkoo Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Thai "
    "Laoo Tibt Mymr Geor Hang Ethi Cher Cans Mong Khmr Hira Kana Bopo Hani Yiii Tfng Olck Vaii Java Bali "
    "Sund Lana Tale Talu Adlm Copt Bugi Cham Lisu Mtei Saur Limb Lepc Batk Osge Rohg".split()
)
"""Scripts that are told apart, by ISO 15924 code."""

CONTINUOUS_SCRIPTS: frozenset[str] = frozenset(
    "Hani Hira Kana Bopo Yiii Thai Laoo Khmr Mymr Tibt Lana Tale Talu Java Bali".split()
)
"""Scripts that write no blank between words."""

_CLUSTER = regex.compile(r"\X")
_LETTER = regex.compile("|".join(rf"(?=\p{{Script={code}}})(?P<{code}>\p{{L}})" for code in SCRIPTS))
_KEPT = 1 << 16


def clusters(text: str) -> list[str]:
    """Return the extended grapheme clusters of a text.

    Parameters
    ----------
    text
        Any string.

    Returns
    -------
    list of str
        None empty; joined they give the text.

    References
    ----------
    Unicode Standard Annex 29, Unicode text segmentation, section 3.

    Examples
    --------
    >>> [len(cluster) for cluster in clusters("नमस्ते")]
    [1, 1, 4]
    """
    return _CLUSTER.findall(text)


@lru_cache(maxsize=_KEPT)
def letter_script(cluster: str) -> str:
    """Return the script of the first letter of a cluster.

    Parameters
    ----------
    cluster
        One grapheme cluster.

    Returns
    -------
    str
        ISO 15924 code, one of :data:`SCRIPTS`; empty for digits, punctuation, blanks, lone marks,
        and letters that several scripts share, such as the Japanese length mark.

    Examples
    --------
    >>> letter_script("é"), letter_script("한"), letter_script("7")
    ('Latn', 'Hang', '')
    """
    found = _LETTER.search(cluster)
    return (found.lastgroup or "") if found else ""


def main_script(texts: Iterable[str]) -> str:
    """Return the script of most letters of some texts.

    Parameters
    ----------
    texts
        Sentences.

    Returns
    -------
    str
        ISO 15924 code, the first in the alphabet of those level; empty where there is no letter.
    """
    counts = Counter(letter_script(cluster) for text in texts for cluster in clusters(text))
    del counts[""]
    return min(counts, key=lambda code: (-counts[code], code), default="")


@lru_cache(maxsize=_KEPT)
def stay_apart(left: str, right: str) -> bool:
    """Return whether two clusters are still two when one is written after the other.

    A consonant that ends in a virama joins the next consonant; a lone mark joins any letter.

    Parameters
    ----------
    left, right
        One grapheme cluster each.

    Returns
    -------
    bool
        False where they make one cluster, or others.

    Examples
    --------
    >>> stay_apart("a", "b"), stay_apart("त्", "स")
    (True, False)
    """
    return clusters(left + right) == [left, right]


def words(text: str) -> list[list[str]]:
    """Return the clusters of a text in runs of blanks and runs of anything else.

    Parameters
    ----------
    text
        Any string.

    Returns
    -------
    list of lists of str
        Runs alternate; in a continuous script a run other than blanks may hold many words.

    Examples
    --------
    >>> words("ab c")
    [['a', 'b'], [' '], ['c']]
    """
    return [list(run) for _, run in groupby(clusters(text), key=str.isspace)]
