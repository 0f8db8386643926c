"""Rows of data sets as examples: one small function per kind of row.

A row maps column names to values as they stand in the data set. Which column plays which part is
written in the data set's record (``core.task.DataSet.columns``), so that a new data set of a known
kind needs no code. These are the kinds, with their words for the columns; words in brackets may be
left out:

========= ==========================================================================================
pair      text, [text_pair], label
choice    [context], [question], options, label, [keys], [first]; ``options`` is one column with a
          list, or the names of several columns with blanks between them; ``keys`` is the list in
          which the label stands for the option of the same place; ``first`` is the number of the
          first option
squad     identifier, question, context, answers, [title]
tokens    words, tags, [space_after], [document]
supertags as tokens; words and tags may be one text each, with blanks between them
text      text
sentences foreign, english
========= ==========================================================================================

A column may be a path with dots into nested columns, such as ``choices.text``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from alignaudit.core.example import (
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TagExample,
    TextExample,
)
from alignaudit.core.task import DataSet, Task
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.cells import as_text, cell_at, shown, whole_number
from alignaudit.experiment.tasks.columns import columns_of

__all__ = [
    "READERS",
    "Reading",
    "Row",
    "answer_offsets",
    "group_of",
    "read_example",
    "tag_words",
]

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of one part become examples of one task.

    Attributes
    ----------
    where
        The part in words, for messages.
    reader
        Name in :data:`READERS`.
    columns
        The reader's words for columns, with the data set's.
    codes
        Names of the data set's integer labels.
    aliases
        Other spellings of labels.
    labels
        Index of each label of the task.
    question_words
        Questions in English for the words of the question column.
    unknown
        Index that a tag gets which is not among ``labels``; None: such a tag is an error.
    """

    where: str
    reader: str
    columns: dict[str, str]
    codes: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    question_words: dict[str, str] = field(default_factory=dict)
    unknown: int | None = None

    @classmethod
    def of(
        cls,
        where: str,
        data_set: DataSet,
        task: Task,
        labels: Sequence[str],
        *,
        row: Row,
        names: Sequence[str] = (),
        unknown: int | None = None,
    ) -> Reading:
        """Return the reading of a data set's rows for a task with the given labels.

        Parameters
        ----------
        where, data_set, task, labels, unknown
            See the attributes.
        row
            The first row: it shows whether the columns are those of the Hub or the publisher's own.
        names
            All columns, for messages.

        Raises
        ------
        DataError
            If the reader is unknown, or columns are missing; it names them and those that are there.
        """
        return cls(
            where=where,
            reader=data_set.reader,
            columns=columns_of(row, data_set, where, names),
            codes=data_set.labels,
            aliases=dict(data_set.aliases),
            labels={label: index for index, label in enumerate(labels)},
            question_words=dict(task.question_words),
            unknown=unknown,
        )


def read_example(row: Row, number: int, reading: Reading) -> Example:
    """Return the example that a row holds.

    Parameters
    ----------
    row
        Values by column.
    number
        Number of the row in its part, from 1, for messages.
    reading
        How the row is read.

    Raises
    ------
    DataError
        If a column is absent, a value has the wrong type, a label is unknown, or an answer does not
        stand at its offset. It names data set, configuration, split and row.
    """
    with _naming_the_row(number, reading):
        return READERS[reading.reader](row, reading)


@contextmanager
def _naming_the_row(number: int, reading: Reading) -> Iterator[None]:
    where = f"{reading.where}, row {number}"
    try:
        yield
    except DataError as error:
        raise DataError(error.what, where=where, hint=error.hint) from None
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f'not a row that "{reading.reader}" reads: {error}.', where=where) from error


def group_of(row: Row, number: int, reading: Reading) -> str:
    """Return what must not be divided when a part is: the document, article, context or premise of a row.

    Parameters and errors are those of :func:`read_example`.
    """
    columns = reading.columns
    with _naming_the_row(number, reading):
        if reading.reader in ("tokens", "supertags"):
            document = row.get(columns.get("document", "document"))
            return str(document) if document is not None else " ".join(_words(row, reading))
        if reading.reader == "squad":
            title = row.get(columns.get("title", "title"))
            return str(title) if title is not None else _text(row, reading, "context")
        word = next((word for word in ("context", "text", "question", "foreign") if word in columns), "")
        return _text(row, reading, word)


def tag_words(row: Row, number: int, reading: Reading) -> list[str]:
    """Return the tags of a row as words.

    Parameters and errors are those of :func:`read_example`.
    """
    with _naming_the_row(number, reading):
        tags = _listed(row, reading, "tags")
        words = [reading.codes[tag] if isinstance(tag, int) and reading.codes else str(tag) for tag in tags]
        return [reading.aliases.get(word, word) for word in words]


def answer_offsets(context: str, answers: Sequence[str], starts: Sequence[int]) -> list[bool]:
    """Return for each answer whether it stands at its character offset in the context."""
    return [
        bool(answer) and start >= 0 and context[start : start + len(answer)] == answer
        for answer, start in zip(answers, starts, strict=True)
    ]


# --------------------------------------------------------------------------- kinds of rows


def _pair(row: Row, reading: Reading) -> PairExample:
    second = _text(row, reading, "text_pair") if "text_pair" in reading.columns else ""
    return PairExample(_text(row, reading, "text"), second, _label(_value(row, reading, "label"), reading))


def _choice(row: Row, reading: Reading) -> ChoiceExample:
    columns = reading.columns
    names = columns.get("options", "").split()
    found = _value(row, reading, "options") if len(names) == 1 else [cell_at(row, name) for name in names]
    if not isinstance(found, list | tuple) or len(found) < 2:
        raise DataError(f"{shown(found)} is not a list of at least two options.")
    options = tuple(as_text(option, "options") for option in found)
    label = _option(_value(row, reading, "label"), len(options), row, reading)
    context = _text(row, reading, "context") if "context" in columns else ""
    return ChoiceExample(context, _question(row, reading), options, label)


def _question(row: Row, reading: Reading) -> str:
    if "question" not in reading.columns:
        return ""
    question = _text(row, reading, "question")
    if not reading.question_words:
        return question
    if question not in reading.question_words:
        known = ", ".join(reading.question_words)
        raise DataError(f"unknown question {shown(question)}.", hint=f"Known: {known}.")
    return reading.question_words[question]


def _option(label: Any, options: int, row: Row, reading: Reading) -> int:
    if "keys" in reading.columns:
        keys = [str(key) for key in _value(row, reading, "keys")]
        if str(label) not in keys[:options]:
            raise DataError(f"label {shown(label)} is not one of {', '.join(keys)}.")
        return keys.index(str(label))
    first = int(reading.columns.get("first", "0"))
    number = whole_number(label)
    if number is None or not first <= number < first + options:
        raise DataError(f"label {shown(label)} is not a number from {first} to {first + options - 1}.")
    return number - first


def _squad(row: Row, reading: Reading) -> SpanExample:
    context = _text(row, reading, "context")
    answers, starts = _answers(_value(row, reading, "answers"))
    identifier = str(_value(row, reading, "identifier"))
    for answer, stands in zip(answers, answer_offsets(context, answers, starts), strict=True):
        if not stands:
            raise DataError(
                f"question {identifier}: the answer {shown(answer)} does not stand at its offset."
            )
    return SpanExample(identifier, _text(row, reading, "question"), context, answers, starts)


def _answers(value: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return texts and offsets of answers as the Hub has them (two lists) or as SQuAD's files do (a list)."""
    if isinstance(value, list | tuple):
        value = {key: [cell_at(answer, key) for answer in value] for key in ("text", "answer_start")}
    texts, starts = cell_at(value, "text"), cell_at(value, "answer_start")
    offsets = [whole_number(start) for start in starts]
    if len(texts) != len(offsets) or None in offsets:
        raise DataError(f"{len(texts)} answers with offsets {shown(list(starts))}.")
    return tuple(as_text(text, "answers") for text in texts), tuple(o for o in offsets if o is not None)


def _tags(row: Row, reading: Reading) -> TagExample:
    words, tags = _words(row, reading), _listed(row, reading, "tags")
    if not words or len(tags) != len(words):
        raise DataError(f"{len(words)} words with {len(tags)} tags.")
    spaces = row.get(reading.columns.get("space_after", "space_after")) or ()
    if spaces and len(spaces) != len(words):
        raise DataError(f"{len(words)} words with {len(spaces)} entries of space_after.")
    indices = tuple(_label(tag, reading) for tag in tags)
    return TagExample(tuple(words), indices, tuple(bool(space) for space in spaces))


def _words(row: Row, reading: Reading) -> list[str]:
    return [as_text(word, "words") for word in _listed(row, reading, "words")]


def _listed(row: Row, reading: Reading, word: str) -> list[Any]:
    """Return a column that holds a list, or one text with blanks between its items."""
    value = _value(row, reading, word)
    return value.split() if isinstance(value, str) else list(value)


def _plain(row: Row, reading: Reading) -> TextExample:
    return TextExample(_text(row, reading, "text"))


def _sentences(row: Row, reading: Reading) -> PairExample:
    return PairExample(_text(row, reading, "foreign"), _text(row, reading, "english"), 0)


READERS: Mapping[str, Callable[[Row, Reading], Example]] = MappingProxyType(
    {
        "choice": _choice,
        "pair": _pair,
        "sentences": _sentences,
        "squad": _squad,
        "supertags": _tags,
        "text": _plain,
        "tokens": _tags,
    }
)
"""The function that makes an example of a row, by the name that data sets give."""


# --------------------------------------------------------------------------- values


def _label(value: Any, reading: Reading) -> int:
    """Return the task's index of a label that is a code, a word or another spelling of a word."""
    labels, codes, aliases = reading.labels, reading.codes, reading.aliases
    word = str(value)
    word = aliases.get(word, word)
    if word in labels and (isinstance(value, str) or not codes):
        return labels[word]
    number = whole_number(value)
    if codes and number is not None and 0 <= number < len(codes):
        word = aliases.get(codes[number], codes[number])
        if word in labels:
            return labels[word]
    if reading.unknown is not None:
        return reading.unknown
    known = ", ".join(list(labels)[:20])
    raise DataError(f"unknown label {shown(value)}.", hint=f"Known: {known}.")


def _value(row: Row, reading: Reading, word: str) -> Any:
    if word not in reading.columns:
        raise DataError(f'the record of the data set names no column for "{word}".')
    return cell_at(row, reading.columns[word])


def _text(row: Row, reading: Reading, word: str) -> str:
    return as_text(_value(row, reading, word), word)
