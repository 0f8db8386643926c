"""Bilingual lexicons from files: English words of foreign words, for code-switching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from alignaudit.core.language import languages
from alignaudit.errors import DataError
from alignaudit.experiment.text_file import read_lines

__all__ = ["Lexicon", "Lexicons", "lexicon_file", "read_lexicon", "read_lexicons"]

Lexicon: TypeAlias = Mapping[str, str | Sequence[str]]
Lexicons: TypeAlias = Mapping[str, Lexicon]


def read_lexicon(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the English words of each foreign word of a file.

    Parameters
    ----------
    path
        UTF-8, one foreign word and one English word a line, with a tab or a blank between them, as
        MUSE distributes its dictionaries. A word with several translations has several lines. An
        empty file says that there is no lexicon of the language: nothing is switched there.

    Raises
    ------
    DataError
        If the file is absent or not UTF-8, or a line does not hold two words.

    References
    ----------
    Conneau, Lample, Ranzato, Denoyer and Jégou (2018), Word translation without parallel data.
    """
    words: dict[str, dict[str, None]] = {}
    lines = read_lines(path)
    for number, line in enumerate([] if lines == [""] else lines, 1):
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) != 2 or not all(column.strip() for column in columns):
            raise DataError(
                f"{len(columns)} columns instead of a foreign and an English word.",
                where=f"{path}, line {number}",
            )
        foreign, english = (column.strip() for column in columns)
        words.setdefault(foreign, {})[english] = None
    return {foreign: tuple(english) for foreign, english in words.items()}


def lexicon_file(folder: Path, code: str) -> Path:
    """Return the file with the lexicon of a language.

    Parameters
    ----------
    folder
        Holds ``<code>.txt``, ``<code>.tsv`` or, as MUSE names them, ``<code>-en.txt`` for each
        language, with its ISO 639-3 or 639-1 code.
    code
        Of the language.

    Raises
    ------
    DataError
        If the language has no file.
    """
    known = languages()
    names = [code, *([known[code].short] if code in known and known[code].short else [])]
    files = [folder / f"{name}{ending}" for name in names for ending in (".txt", ".tsv", "-en.txt")]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise DataError(
            f'no lexicon of "{code}".',
            where=str(folder),
            hint=f"Expected {files[0].name}, {files[1].name} or {files[-1].name}; where there is none to be "
            "had, an empty file says so.",
        )
    return path


def read_lexicons(folder: Path, codes: Iterable[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the lexicons of several languages, by code.

    Raises
    ------
    DataError
        If a language has no file, or :func:`read_lexicon` refuses it.
    """
    return {code: read_lexicon(lexicon_file(folder, code)) for code in codes}
