"""Readers of task data in the layouts of their publishers.

Every reader names the file and line of what it cannot read. Splits follow documents or contexts,
never single items, so that no text stands on both sides.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignaudit.core.example import (
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TagExample,
    TaskData,
)
from alignaudit.errors import DataError

__all__ = [
    "FOLDER_TASKS",
    "FolderTask",
    "read_conllu",
    "read_lines",
]

DEV_SHARE = 5  # one group in five goes to the development set
UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
NLI = ("entailment", "neutral", "contradiction")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, split at line feeds only.

    Raises
    ------
    DataError
        If the file is absent or not UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("there is no such file.", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}.", where=str(path), hint="Convert it to UTF-8.") from error
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


ExampleT = TypeVar("ExampleT", bound=Example)


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _split(
    grouped: Sequence[tuple[str, ExampleT]], train: int, dev: int
) -> tuple[list[ExampleT], list[ExampleT]]:
    """Send whole groups to train or dev by their hash; order and cut each by a hash of group and place."""
    numbered = [(_rank(f"{group}\x1f{place}"), group, item) for place, (group, item) in enumerate(grouped)]
    numbered.sort(key=lambda entry: entry[0])
    is_dev = {group: int(_rank(group)[:8], 16) % DEV_SHARE == 0 for _, group, _ in numbered}
    return (
        [item for _, group, item in numbered if not is_dev[group]][:train],
        [item for _, group, item in numbered if is_dev[group]][:dev],
    )


def _cosmosqa(folder: Path, train: int, dev: int, test: int) -> TaskData:
    """Cosmos QA (Huang et al. 2019), ``cosmosqa/valid.csv``, split by context."""
    path = folder / "cosmosqa" / "valid.csv"
    grouped = []
    for number, row in enumerate(_csv_rows(path), 2):
        try:
            options = tuple(row[f"answer{index}"] for index in range(4))
            example = ChoiceExample(row["context"], row["question"], options, int(row["label"]))
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"not a Cosmos QA row: {error!r}.", where=f"{path}, line {number}") from error
        grouped.append((row["context"], example))
    return TaskData("cosmosqa", "multiple_choice", (), "accuracy", *_split(grouped, train, dev))


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    read_lines(path)  # says clearly what is wrong with the file
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _anli(folder: Path, train: int, dev: int, test: int) -> TaskData:
    """ANLI (Nie et al. 2020), rounds 1-3 in ``anli/dev_r*.jsonl``, split by premise."""
    grouped = []
    for round_ in (1, 2, 3):
        path = folder / "anli" / f"dev_r{round_}.jsonl"
        for number, line in enumerate(read_lines(path), 1):
            row = _json_line(line, path, number)
            try:
                example = PairExample(row["premise"], row["hypothesis"], NLI.index(row["label"]))
            except (KeyError, ValueError) as error:
                raise DataError(f"not an ANLI row: {error!r}.", where=f"{path}, line {number}") from error
            grouped.append((row["premise"], example))
    return TaskData("anli", "classification", NLI, "accuracy", *_split(grouped, train, dev))


def _json_line(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError as error:
        raise DataError(f"not JSON: {error}.", where=f"{path}, line {number}") from error


def _xquad(folder: Path, train: int, dev: int, test: int) -> TaskData:
    """XQuAD English (Artetxe et al. 2020), ``xquad/xquad.en.json``, split by article."""
    path = folder / "xquad" / "xquad.en.json"
    return TaskData("xquad", "span", (), "em_f1", *_split(list(_squad_rows(path)), train, dev))


def _squad_rows(path: Path) -> Iterator[tuple[str, SpanExample]]:
    articles = _json_line("\n".join(read_lines(path)), path, 1).get("data", [])
    for number, article in enumerate(articles):
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = tuple(answer["text"] for answer in question["answers"])
                starts = tuple(int(answer["answer_start"]) for answer in question["answers"])
                context = paragraph["context"]
                for answer, start in zip(answers, starts, strict=True):
                    if context[start : start + len(answer)] != answer:
                        raise DataError(
                            "an answer does not stand at its offset.",
                            where=f"{path}, question {question['id']}",
                        )
                example = SpanExample(question["id"], question["question"], context, answers, starts)
                yield str(article.get("title", number)), example


def _udpos(folder: Path, train: int, dev: int, test: int) -> TaskData:
    """Universal POS tags: English EWT for training, EWT test and PUD for testing.

    Training and development documents are disjoint parts of EWT's dev file; the English test set
    is EWT's test file. The other languages are the PUD test sets.
    """
    files = {
        "de": "de_pud-ud-test.conllu",
        "tr": "tr_pud-ud-test.conllu",
        "zh": "zh_pud-ud-test.conllu",
    }
    grouped = list(read_conllu(folder / "ud" / "en_ewt-ud-dev.conllu"))
    sets: dict[str, Sequence[Example]] = {
        "en": [example for _, example in read_conllu(folder / "ud" / "en_ewt-ud-test.conllu")][:test]
    }
    for language, name in files.items():
        sets[language] = [example for _, example in read_conllu(folder / "ud" / name)][:test]
    return TaskData("udpos", "tagging", UPOS, "f1", *_split(grouped, train, dev), test=sets)


def read_conllu(path: Path) -> list[tuple[str, TagExample]]:
    """Return (document, sentence) for every sentence of a CoNLL-U file, with universal POS tags.

    Words are syntactic words; of a multi-word token the last word carries its ``SpaceAfter``.

    Raises
    ------
    DataError
        If a line has fewer than 10 columns or an unknown tag.
    """
    sentences: list[tuple[str, TagExample]] = []
    document = "0"
    words: list[str] = []
    tags: list[int] = []
    spaces: list[bool] = []
    inside_until, inside_space = 0, True
    for number, line in enumerate([*read_lines(path), ""], 1):
        if not line.strip():
            if words:
                sentences.append((document, TagExample(tuple(words), tuple(tags), tuple(spaces))))
            words, tags, spaces, inside_until = [], [], [], 0
        elif line.startswith("#"):
            document = line.partition("=")[2].strip() if line.startswith("# newdoc id") else document
        else:
            columns = line.split("\t")
            if len(columns) != 10:
                raise DataError(f"{len(columns)} columns instead of 10.", where=f"{path}, line {number}")
            space = "SpaceAfter=No" not in columns[9]
            if "-" in columns[0]:
                inside_until, inside_space = int(columns[0].split("-")[1]), space
            elif "." not in columns[0]:
                if columns[3] not in UPOS:
                    raise DataError(f'unknown tag "{columns[3]}".', where=f"{path}, line {number}")
                words.append(columns[1])
                tags.append(UPOS.index(columns[3]))
                last = int(columns[0]) == inside_until
                spaces.append(inside_space if last else space)
    return sentences


@dataclass(frozen=True, slots=True)
class FolderTask:
    """How a task is read from a folder, and which files that takes."""

    files: tuple[str, ...]
    read: Callable[[Path, int, int, int], TaskData]


FOLDER_TASKS: Mapping[str, FolderTask] = {
    "anli": FolderTask(("anli/dev_r1.jsonl", "anli/dev_r2.jsonl", "anli/dev_r3.jsonl"), _anli),
    "cosmosqa": FolderTask(("cosmosqa/valid.csv",), _cosmosqa),
    "udpos": FolderTask(
        (
            "ud/en_ewt-ud-dev.conllu",
            "ud/en_ewt-ud-test.conllu",
            "ud/de_pud-ud-test.conllu",
            "ud/tr_pud-ud-test.conllu",
            "ud/zh_pud-ud-test.conllu",
        ),
        _udpos,
    ),
    "xquad": FolderTask(("xquad/xquad.en.json",), _xquad),
}
"""The tasks that can be read from a folder, by the name used in studies."""
