"""What is known of a language: names, codes, script, family and direction of writing."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from alignaudit.errors import DataError, did_you_mean

__all__ = ["XTREME_TATOEBA", "Language", "find_language", "languages"]


@dataclass(frozen=True, slots=True)
class Language:
    """One language of ``resources/languages.csv``.

    Attributes
    ----------
    code
        ISO 639-3 as in the file names of Tatoeba and NTREX (``deu``, ``cmn``, ``pes``).
    short
        ISO 639-1 as in XTREME (``de``, ``zh``, ``fa``); empty where there is none.
    name
        English name.
    script
        ISO 15924 code, for example ``Latn``.
    family
        Language family in the words of XTREME (Hu et al. 2020, Table 1).
    """

    code: str
    short: str
    name: str
    script: str
    family: str


@cache
def languages() -> Mapping[str, Language]:
    """Return every known language by its ISO 639-3 code (read-only)."""
    text = files("alignaudit.resources").joinpath("languages.csv").read_text(encoding="utf-8")
    return MappingProxyType({row["code"]: Language(**row) for row in csv.DictReader(text.splitlines())})


def find_language(code: str) -> Language:
    """Return the language of an ISO 639-3 or ISO 639-1 code.

    Raises
    ------
    DataError
        If no language has that code.

    Examples
    --------
    >>> find_language("zh").code, find_language("cmn").name
    ('cmn', 'Mandarin')
    """
    known = languages()
    if code in known:
        return known[code]
    for language in known.values():
        if code and language.short == code:
            return language
    raise DataError(f'unknown language code "{code}".', hint=did_you_mean(code, known))


XTREME_TATOEBA: tuple[str, ...] = tuple(
    "afr ara bul ben deu ell spa est eus pes fin fra heb hin hun ind ita jpn jav kat kaz kor mal mar nld por "
    "rus swh tam tel tha tgl tur urd vie cmn".split()
)
"""The 36 languages of XTREME's Tatoeba task (Hu et al. 2020), in XTREME's order, as ISO 639-3."""
