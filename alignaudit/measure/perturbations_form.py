"""Perturbations that write the same letters more plainly: without capitals, marks or points."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import numpy as np

from alignaudit.measure.grapheme import clusters, letter_script, words
from alignaudit.measure.perturbations_draw import Edited, drawn_places

__all__ = [
    "CASED_SCRIPTS",
    "MARKED_SCRIPTS",
    "POINTED_SCRIPTS",
    "lower_case",
    "lower_cased",
    "strip_marks",
    "strip_points",
]

CASED_SCRIPTS: tuple[str, ...] = ("Latn", "Grek", "Cyrl", "Armn", "Adlm", "Cher", "Copt", "Osge")
"""Scripts written with capitals. Georgian has some in Unicode, but its sentences are written without."""

MARKED_SCRIPTS: tuple[str, ...] = ("Latn", "Grek", "Cyrl")
"""Scripts in which a letter without its marks is another letter; elsewhere marks are vowels or tones."""

POINTED_SCRIPTS: tuple[str, ...] = ("Hebr", "Arab")
"""Scripts that leave out their points in most writing."""

_DOTLESS = str.maketrans({"I": "ı", "İ": "i"})
_HAMZA_AND_MADDA = frozenset("\u0653\u0654\u0655")


def lower_cased(text: str, language: str) -> str:
    """Return a text in small letters, as its language writes them.

    Parameters
    ----------
    text
        Any text.
    language
        ISO 639-3 code. Turkish and Azerbaijani (``tur``, ``aze``) have ı below I and i below İ.

    Returns
    -------
    str
        By the full mapping of Unicode; the sigma that ends a word becomes ς. The Lithuanian rule
        for a dot under an accent is not followed.

    References
    ----------
    The Unicode Standard, SpecialCasing.txt.

    Examples
    --------
    >>> lower_cased("ISIK", "tur"), lower_cased("ΟΔΟΣ", "ell")
    ('ısık', 'οδος')
    """
    if language in ("tur", "aze"):
        text = text.replace("I\u0307", "i").translate(_DOTLESS)
    return text.lower()


def lower_case(sentence: str, severity: float, generator: np.random.Generator, language: str) -> Edited:
    """Write words without their capitals.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Share of the words with a capital that lose it, in [0, 1].
    generator
        Draws which ones.
    language
        As for :func:`lower_cased`.

    Returns
    -------
    Edited
        Units are words between blanks, places are those with a capital.
    """
    runs = ["".join(run) for run in words(sentence)]
    lowered = [lower_cased(run, language) for run in runs]
    places = [i for i, (run, small) in enumerate(zip(runs, lowered, strict=True)) if run != small]
    for i in drawn_places(places, severity, generator):
        runs[i] = lowered[i]
    return Edited("".join(runs), len(places), sum(not run.isspace() for run in runs))


def strip_marks(sentence: str, severity: float, generator: np.random.Generator) -> Edited:
    """Take the marks off Latin, Greek and Cyrillic letters.

    What Unicode decomposes loses its marks, also where the language counts a letter of its own: ñ
    becomes n, å a, й и, ё е, ơ o. Letters without a decomposition stay: ø, ł, đ, қ, ı. Composed and
    decomposed text (NFC, NFD) give the same result; other clusters keep the form they had.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Share of the marked clusters that lose their marks, in [0, 1].
    generator
        Draws which ones.

    Returns
    -------
    Edited
        Units are clusters, places are those with marks.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> strip_marks("Ngày mới ở Łódź, ещё", 1.0, rng.stream(1, "example")).text
    'Ngay moi o Łodz, еще'
    """
    return _replaced(sentence, severity, generator, _without_marks)


def strip_points(sentence: str, severity: float, generator: np.random.Generator) -> Edited:
    """Take the points off Hebrew and Arabic letters.

    Hebrew loses vowel points, dagesh, the dots of shin and cantillation; Arabic loses vowel signs,
    shadda and Koranic signs, but keeps hamza and madda, which are written in ordinary text.

    Parameters
    ----------
    sentence
        Clean text.
    severity
        Share of the pointed clusters that lose their points, in [0, 1].
    generator
        Draws which ones.

    Returns
    -------
    Edited
        Units are clusters, places are those with points.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> strip_points("שָׁלוֹם", 1.0, rng.stream(1, "example")).text == "שלום"
    True
    """
    return _replaced(sentence, severity, generator, _without_points)


def _without_marks(cluster: str) -> str:
    if letter_script(cluster) not in MARKED_SCRIPTS:
        return cluster
    return _without(cluster, frozenset())


def _without_points(cluster: str) -> str:
    if letter_script(cluster) not in POINTED_SCRIPTS:
        return cluster
    return _without(cluster, _HAMZA_AND_MADDA)


def _without(cluster: str, kept: frozenset[str]) -> str:
    """Return a cluster without nonspacing marks, as it was where it has none."""
    parts = unicodedata.normalize("NFD", cluster)
    plain = [part for part in parts if part in kept or unicodedata.category(part) != "Mn"]
    return cluster if len(plain) == len(parts) else unicodedata.normalize("NFC", "".join(plain))


def _replaced(
    sentence: str, severity: float, generator: np.random.Generator, plain: Callable[[str], str]
) -> Edited:
    written = clusters(sentence)
    plainer = [plain(cluster) for cluster in written]
    places = [i for i, (old, new) in enumerate(zip(written, plainer, strict=True)) if old != new]
    for i in drawn_places(places, severity, generator):
        written[i] = plainer[i]
    return Edited("".join(written), len(places), len(written))
