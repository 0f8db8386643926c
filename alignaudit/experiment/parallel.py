"""Readers of parallel text in the layouts of their publishers.

The layout of a folder is seen from the names of its files. Every reader names the file and line of
what it cannot read, and nothing is paired that does not pair line by line or place by place.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from alignaudit.core.example import ParallelText
from alignaudit.errors import DataError, did_you_mean
from alignaudit.experiment.text_file import read_lines

__all__ = [
    "parallel_files",
    "parallel_languages",
    "read_columns",
    "read_parallel",
    "sentence_key",
]

MINIMUM_PAIRS = 4  # debiased CKA needs four
ENGLISH = ("eng", "en")
DOCUMENTS = "DOCUMENT_IDS.tsv"
CODE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
NEWSTEST = re.compile(r"newstest2019-ref\.(?P<code>.+)\.txt")


class _Pairs(NamedTuple):
    foreign: list[str]
    english: list[str]
    documents: list[str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the files of a layout are called, found (by language) and read."""

    expected: str
    find: Callable[[Path], dict[str, tuple[Path, ...]]]
    read: Callable[[Sequence[Path]], _Pairs]


def parallel_languages(folder: Path) -> tuple[str, ...]:
    """Return the language codes of a folder of parallel text, sorted.

    These layouts are known; where files fit several, the first counts:

    - pair files ``[<name>.]<a>-<b>.<a>`` beside ``[<name>.]<a>-<b>.<b>``, where a or b is ``eng``
      or ``en``; LASER's Tatoeba is one, ``tatoeba.<code>-eng.<code>``;
    - n-way files ``<code>.txt`` beside ``eng.txt``, with or without ``DOCUMENT_IDS.tsv``;
    - the NTREX repository, ``newstest2019-ref.<code>.txt`` beside ``newstest2019-src.eng.txt``,
      with ``DOCUMENT_IDS.tsv`` beside them or one folder up;
    - XQuAD, ``xquad.<code>.json`` beside ``xquad.en.json``: the contexts are the sentences and the
      articles the documents;
    - two columns ``<code>.tsv``, the foreign sentence before the English one.

    Raises
    ------
    DataError
        If the folder is absent or has none of these layouts, or one language is there twice.
    """
    return tuple(sorted(_recognise(folder)[1]))


def parallel_files(folder: Path, language: str) -> tuple[Path, ...]:
    """Return every file that the pairs of a language are read from, that of the documents last.

    Raises
    ------
    DataError
        As :func:`parallel_languages`, or if the language is not there.
    """
    return _language(folder, language)[1]


def read_parallel(folder: Path, language: str, limit: int | None = None) -> ParallelText:
    """Return the sentence pairs of one language, with their documents where these are known.

    Parameters
    ----------
    folder, language
        See :func:`parallel_languages`.
    limit
        Use only the first so many pairs.

    Raises
    ------
    DataError
        If the language is not there, the two sides differ in length or do not correspond, a
        sentence is blank, the documents do not fit, or fewer than 4 pairs are left (debiased CKA
        needs 4).
    """
    layout, files = _language(folder, language)
    foreign, english, documents = layout.read(files)
    used = len(foreign) if limit is None else min(limit, len(foreign))
    if used < MINIMUM_PAIRS:
        raise DataError(
            f"{used} sentence pairs; at least {MINIMUM_PAIRS} are needed.",
            where=str(files[0]),
            hint="Leave the language out with measure.languages, or give it more sentences.",
        )
    return ParallelText(language, tuple(foreign[:used]), tuple(english[:used]), tuple(documents[:used]))


def sentence_key(text: str) -> int:
    """Return the number by which a sentence is known again in another file or language.

    It is made of the first 63 bits of the SHA-256 of the text, in normal form C and without white
    space at its ends, so equal sentences have equal keys on every machine, and it fits int64. Among
    a million different sentences two share a key with a probability of 5e-8.

    Examples
    --------
    >>> sentence_key(" I have two cats.") == sentence_key("I have two cats.")
    True
    """
    digest = hashlib.sha256(unicodedata.normalize("NFC", text).strip().encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def read_columns(path: Path) -> list[tuple[str, str]]:
    """Return the rows of a file with two columns that a tab separates.

    Raises
    ------
    DataError
        If the file cannot be read, or a line has not two columns or a blank one.
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        columns = line.split("\t")
        where = f"{path}, line {number}"
        if len(columns) != 2 and line.strip():
            raise DataError(
                f"{len(columns)} columns instead of 2.", where=where, hint="Separate them by a tab."
            )
        if not all(column.strip() for column in columns):
            raise DataError("a blank line or column.", where=where, hint="Remove the line.")
        rows.append((columns[0], columns[1]))
    return rows


# --------------------------------------------------------------------------- layouts


def _recognise(folder: Path) -> tuple[_Layout, dict[str, tuple[Path, ...]]]:
    if not folder.is_dir():
        raise DataError("there is no such folder.", where=str(folder))
    for layout in _LAYOUTS:
        if files := layout.find(folder):
            return layout, files
    expected = "; ".join(layout.expected for layout in _LAYOUTS)
    raise DataError("no parallel text found.", where=str(folder), hint=f"Expected one of: {expected}.")


def _language(folder: Path, language: str) -> tuple[_Layout, tuple[Path, ...]]:
    layout, files = _recognise(folder)
    if language not in files:
        raise DataError(f'no language "{language}".', where=str(folder), hint=did_you_mean(language, files))
    return layout, files[language]


def _pair_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted(folder.iterdir()):
        stem, _, side = path.name.rpartition(".")
        languages = _pair(stem.rpartition(".")[2], side)
        if languages is None:
            continue
        code, english = languages
        files = (folder / f"{stem}.{code}", folder / f"{stem}.{english}")
        if found.setdefault(code, files) != files:
            raise DataError(
                f'"{code}" is there twice, as {found[code][0].name} and as {files[0].name}.',
                where=str(folder),
                hint="Keep one set in a folder.",
            )
    return found


def _pair(languages: str, side: str) -> tuple[str, str] | None:
    """Return the foreign and the English code of ``<a>-<b>`` where ``side`` is one of the two."""
    for english in ENGLISH:
        for code in (languages.removesuffix(f"-{english}"), languages.removeprefix(f"{english}-")):
            known = code != languages and code not in ENGLISH and CODE.fullmatch(code)
            if known and side in (code, english):
                return code, english
    return None


def _n_way_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    files = {path.stem: path for path in folder.glob("*.txt") if CODE.fullmatch(path.stem)}
    english = next((files[code] for code in ENGLISH if code in files), None)
    if english is None:
        return {}
    documents = _documents(folder)
    return {code: (path, english, *documents) for code, path in files.items() if code not in ENGLISH}


def _newstest_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    english = folder / "newstest2019-src.eng.txt"
    if not english.is_file():
        return {}
    documents = _documents(folder, folder.resolve().parent)
    matches = ((NEWSTEST.fullmatch(path.name), path) for path in folder.iterdir())
    return {match["code"]: (path, english, *documents) for match, path in matches if match}


def _documents(*folders: Path) -> list[Path]:
    return [folder / DOCUMENTS for folder in folders if (folder / DOCUMENTS).is_file()][:1]


def _xquad_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    english = folder / "xquad.en.json"
    if not english.is_file():
        return {}
    files = {path.name.split(".")[1]: path for path in folder.glob("xquad.*.json")}
    return {code: (path, english) for code, path in files.items() if code not in ENGLISH}


def _column_files(folder: Path) -> dict[str, tuple[Path, ...]]:
    files = {path.stem: path for path in folder.glob("*.tsv") if CODE.fullmatch(path.stem)}
    return {code: (path,) for code, path in files.items() if code not in ENGLISH}


# --------------------------------------------------------------------------- pairs


def _line_pairs(files: Sequence[Path]) -> _Pairs:
    foreign, english = read_lines(files[0]), read_lines(files[1])
    _same_length(files[0], foreign, files[1], english)
    _no_blank(files[0], foreign, "Remove the pair from both.")
    _no_blank(files[1], english, "Remove the pair from both.")
    _not_sorted(files[1], english)
    if len(files) == 2:
        return _Pairs(foreign, english, [])
    documents = [line.split("\t")[0].strip() for line in read_lines(files[2])]
    _same_length(files[2], documents, files[1], english)
    _no_blank(files[2], documents, "Give each line the name of its document.")
    return _Pairs(foreign, english, documents)


def _same_length(path: Path, lines: Sequence[str], other: Path, others: Sequence[str]) -> None:
    if len(lines) != len(others):
        raise DataError(
            f"{len(lines)} lines, but {other.name} has {len(others)}.",
            where=str(path),
            hint="Line i of one must belong to line i of the other.",
        )


def _no_blank(path: Path, lines: Sequence[str], hint: str) -> None:
    blank = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if blank is not None:
        raise DataError("a blank line.", where=f"{path}, line {blank}", hint=hint)


def _not_sorted(path: Path, english: Sequence[str]) -> None:
    """Refuse English sides as XTREME's preprocessing leaves them: sorted, without record of the pairs."""
    if (
        re.fullmatch(r"[a-z]{2}-en\.en", path.name)
        and len(english) >= 20
        and list(english) == sorted(english)
    ):
        raise DataError(
            "the lines are sorted, as XTREME leaves them, so line i does not translate line i.",
            where=str(path),
            hint="Use LASER's own files; if these lines do pair, call them <name>.<code>-en.en.",
        )


def _column_pairs(files: Sequence[Path]) -> _Pairs:
    pairs = read_columns(files[0])
    return _Pairs([foreign for foreign, _ in pairs], [english for _, english in pairs], [])


class _Context(NamedTuple):
    place: str
    document: str
    text: str
    questions: tuple[str, ...]


def _context_pairs(files: Sequence[Path]) -> _Pairs:
    foreign, english = list(_contexts(files[0])), list(_contexts(files[1]))
    if [context.place for context in foreign] != [context.place for context in english]:
        raise DataError(
            f"its articles and paragraphs are not those of {files[1].name}.",
            where=str(files[0]),
            hint="Contexts pair by their place.",
        )
    for ours, theirs in zip(foreign, english, strict=True):
        if ours.questions != theirs.questions:
            raise DataError(
                f"the questions are not those of {files[1].name}.",
                where=f"{files[0]}, {ours.place}",
                hint="Contexts pair by their place, so they must have the same questions.",
            )
    return _Pairs(
        [context.text for context in foreign],
        [context.text for context in english],
        [context.document for context in english],
    )


def _contexts(path: Path) -> Iterator[_Context]:
    try:
        articles = json.loads("\n".join(read_lines(path)))["data"]
        for number, article in enumerate(articles, 1):
            for count, paragraph in enumerate(article["paragraphs"], 1):
                place = f"article {number}, paragraph {count}"
                questions = tuple(str(question["id"]) for question in paragraph.get("qas", []))
                text = str(paragraph["context"])
                if not text.strip():
                    raise DataError("a blank context.", where=f"{path}, {place}")
                yield _Context(place, str(article.get("title", number)), text, questions)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}.", where=f"{path}, line {error.lineno}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not in the form of SQuAD 1.1: {error!r}.", where=str(path)) from error


_LAYOUTS = (
    _Layout("<name>.<code>-eng.<code> with <name>.<code>-eng.eng", _pair_files, _line_pairs),
    _Layout("<code>.txt with eng.txt", _n_way_files, _line_pairs),
    _Layout("newstest2019-ref.<code>.txt with newstest2019-src.eng.txt", _newstest_files, _line_pairs),
    _Layout("xquad.<code>.json with xquad.en.json", _xquad_files, _context_pairs),
    _Layout("<code>.tsv with a foreign and an English column", _column_files, _column_pairs),
)
