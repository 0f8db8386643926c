"""Files of task data as rows, in the formats that publishers use.

Rows of a file have the columns that the same rows have on the Hub: nested SQuAD JSON is flattened,
and formats without column names (CoNLL-U, lines of words and tags, plain text) take the names from
the data set's record. What cannot be read is named with file and line. Lines end at line feeds
only, because U+2028 and form feeds occur inside sentences.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from alignaudit.core.task import DataSet
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.readers import Row

__all__ = ["EXTENSIONS", "file_lines", "file_rows"]

TAGGED = ("tokens", "supertags")
SHARED_PREFIX = re.compile(r"([a-z]{2,3}(?:-[a-z]+)*):.")


def file_rows(path: Path, data_set: DataSet) -> Iterator[Row]:
    """Yield the rows of one file that is not Parquet.

    Parameters
    ----------
    path
        The file; its extension says the format. Without a known extension it is read as lines of
        text, or of words and tags where the data set is read by ``tokens`` or ``supertags``.
    data_set
        Gives the names of columns, and the kind of rows.

    Raises
    ------
    DataError
        If the file is absent, not UTF-8, or not in its format. It names file and line.
    """
    read = _FORMATS.get(path.suffix.lower().removeprefix("."), _text_rows)
    return read(path, data_set)


def file_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of a UTF-8 file, without line ends.

    Raises
    ------
    DataError
        If the file is absent or a line is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.removesuffix("\n").removesuffix("\r")
    except FileNotFoundError as error:
        raise DataError("there is no such file.", where=str(path)) from error
    except UnicodeDecodeError as error:
        hint = "Convert it to UTF-8."
        raise DataError(f"not UTF-8: {error.reason}.", where=f"{path}, line {number}", hint=hint) from error


# --------------------------------------------------------------------------- JSON


def _json_lines(path: Path, data_set: DataSet) -> Iterator[Row]:
    for number, line in file_lines(path):
        if line.strip():
            yield _row(_parsed(line, path, number), f"{path}, line {number}")


def _json(path: Path, data_set: DataSet) -> Iterator[Row]:
    text = "\n".join(line for _, line in file_lines(path))
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise DataError(f"not JSON: {error.msg}.", where=f"{path}, line {error.lineno}") from error
        yield from _json_lines(path, data_set)
        return
    items = whole.get("data", [whole]) if isinstance(whole, dict) else whole
    if not isinstance(items, list):
        raise DataError("neither a list of rows nor SQuAD's layout.", where=str(path))
    for number, item in enumerate(items, 1):
        if isinstance(item, dict) and "paragraphs" in item:
            yield from _article_rows(item, number, path)
        else:
            yield _row(item, f"{path}, item {number}")


def _article_rows(article: Mapping[str, Any], number: int, path: Path) -> Iterator[Row]:
    """Flatten one article of SQuAD's layout, which XQuAD, MLQA and TyDiQA-GoldP share."""
    title = str(article.get("title", number))
    where = f"{path}, article {number}"
    try:
        for place, paragraph in enumerate(article["paragraphs"], 1):
            where = f"{path}, article {number}, paragraph {place}"
            context = paragraph["context"]
            for question in paragraph["qas"]:
                answers = question.get("answers", [])
                yield {
                    "id": question["id"],
                    "title": title,
                    "context": context,
                    "question": question["question"],
                    "answers": {
                        "text": [answer["text"] for answer in answers],
                        "answer_start": [answer["answer_start"] for answer in answers],
                    },
                }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not in SQuAD's layout: {error!r}.", where=where) from error


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON: {error}.", where=f"{path}, line {number}") from error


def _row(item: Any, where: str) -> Row:
    if not isinstance(item, dict):
        raise DataError("not a JSON object.", where=where, hint="A row maps column names to values.")
    return item


# --------------------------------------------------------------------------- tables


def _csv(path: Path, data_set: DataSet) -> Iterator[Row]:
    yield from _table(path, quoting=csv.QUOTE_MINIMAL, delimiter=",")


def _tsv(path: Path, data_set: DataSet) -> Iterator[Row]:
    """Read columns between tabs without quoting, as GLUE, PAWS-X and XNLI are published."""
    first = next((line for _, line in file_lines(path) if line.strip()), "")
    if data_set.reader in TAGGED and data_set.columns.get("words") not in first.split("\t"):
        yield from _text_rows(path, data_set)
    else:
        yield from _table(path, quoting=csv.QUOTE_NONE, delimiter="\t")


def _table(path: Path, quoting: Literal[0, 3], delimiter: str) -> Iterator[Row]:
    lines = (f"{line}\n" for _, line in file_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=quoting == csv.QUOTE_MINIMAL)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if header is None:
                header = _header(cells, where)
            elif cells and len(cells) != len(header):
                hint = "Put the row right, delete it, or read the set from the Hub."
                raise DataError(f"{len(cells)} columns instead of {len(header)}.", where=where, hint=hint)
            elif cells:
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"not a table: {error}.", where=f"{path}, line {reader.line_num}") from error


def _header(cells: list[str], where: str) -> list[str]:
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise DataError(
            f'column "{twice[0]}" is there twice.',
            where=where,
            hint="The first line must hold the names of the columns.",
        )
    return cells


# --------------------------------------------------------------------------- words and tags


def _conllu(path: Path, data_set: DataSet) -> Iterator[Row]:
    """Read syntactic words with universal tags; of a multi-word token the last word has its SpaceAfter."""
    names = _tag_columns(data_set, "upos")
    document = ""
    words: list[tuple[str, str, bool]] = []
    inside_until, inside_space = 0, True
    for number, line in _with_blank_end(file_lines(path)):
        where = f"{path}, line {number}"
        if not line.strip():
            if words:
                yield _tagged(words, names, document)
            words, inside_until = [], 0
        elif line.startswith("#"):
            document = line.partition("=")[2].strip() if line.startswith("# newdoc id") else document
        else:
            columns = line.split("\t")
            if len(columns) != 10:
                raise DataError(f"{len(columns)} columns instead of 10.", where=where)
            space = "SpaceAfter=No" not in columns[9]
            kind, first, last = _word_number(columns[0], where)
            if kind == "range":
                inside_until, inside_space = last, space
            elif kind == "word":
                words.append((columns[1], columns[3], inside_space if first == inside_until else space))


def _word_number(text: str, where: str) -> tuple[str, int, int]:
    """Return what the first column of CoNLL-U stands for: a word, a range of words or an empty node."""
    match = re.fullmatch(r"([0-9]+)(?:([-.])([0-9]+))?", text)
    if match is None:
        raise DataError(f'"{text}" is not the number of a word.', where=where)
    kind = {None: "word", "-": "range", ".": "empty"}[match[2]]
    return kind, int(match[1]), int(match[3] or match[1])


def _tagged(words: list[tuple[str, str, bool]], names: tuple[str, str], document: str) -> Row:
    return {
        names[0]: [word for word, _, _ in words],
        names[1]: [tag for _, tag, _ in words],
        "space_after": [space for _, _, space in words],
        **({"document": document} if document else {}),
    }


def _tag_columns(data_set: DataSet, tags: str) -> tuple[str, str]:
    return data_set.columns.get("words", "tokens"), data_set.columns.get("tags", tags)


def _with_blank_end(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield from lines
    yield 0, ""


def _word_lines(path: Path, data_set: DataSet) -> Iterator[Row]:
    """Read one word and its tag a line, with a blank line between sentences.

    WikiANN's own files write ``lang:word``; what all words of a file have before a colon is left out.
    """
    names = _tag_columns(data_set, "tags")
    pairs: list[tuple[str, str] | None] = []
    for number, line in file_lines(path):
        cells = line.split("\t")
        if len(cells) != 2 and line.strip():
            raise DataError(
                f"{len(cells)} columns instead of a word, a tab and a tag.", where=f"{path}, line {number}"
            )
        pairs.append((cells[0], cells[1].strip()) if line.strip() else None)
    matches = [SHARED_PREFIX.match(pair[0]) for pair in pairs if pair]
    prefixes = {match[1] if match else "" for match in matches}
    cut = len(min(prefixes)) + 1 if len(prefixes) == 1 and prefixes != {""} else 0
    sentence: list[tuple[str, str]] = []
    for pair in [*pairs, None]:
        if pair is not None:
            sentence.append((pair[0][cut:], pair[1]))
        elif sentence:
            yield {names[0]: [word for word, _ in sentence], names[1]: [tag for _, tag in sentence]}
            sentence = []


def _bar_lines(path: Path, data_set: DataSet) -> Iterator[Row]:
    """Read one sentence a line, ``word|part of speech|supertag`` with blanks between words."""
    names = _tag_columns(data_set, "tags")
    for number, line in file_lines(path):
        words = [item.rsplit("|", 2) for item in line.split()]
        if any(len(word) != 3 for word in words):
            raise DataError("not word|tag|supertag.", where=f"{path}, line {number}")
        if words:
            yield {names[0]: [word[0] for word in words], names[1]: [word[2] for word in words]}


# --------------------------------------------------------------------------- text


def _text_rows(path: Path, data_set: DataSet) -> Iterator[Row]:
    if data_set.reader in TAGGED:
        first = next((line for _, line in file_lines(path) if line.strip()), "")
        read = _bar_lines if first.count("|") >= 2 and "\t" not in first else _word_lines
        yield from read(path, data_set)
    elif data_set.reader == "text":
        column = data_set.columns.get("text", "text")
        yield from ({column: line} for _, line in file_lines(path) if line.strip())
    else:
        raise DataError(
            "a text file has no columns.",
            where=str(path),
            hint="Use Parquet, JSON lines, JSON, CSV or TSV for this data set.",
        )


_FORMATS: Mapping[str, Callable[[Path, DataSet], Iterator[Row]]] = MappingProxyType(
    {"conllu": _conllu, "csv": _csv, "json": _json, "jsonl": _json_lines, "tsv": _tsv, "txt": _text_rows}
)
EXTENSIONS = ("parquet", "jsonl", "json", "csv", "tsv", "conllu", "txt")
"""Extensions of files that are looked for in a folder, in this order."""
