"""Which columns of a data set play which part for its reader, on the Hub and in the publisher's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from alignaudit.core.task import DataSet
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.cells import has_column

__all__ = ["REQUIRED", "columns_of", "used_columns"]

REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "choice": ("options", "label"),
        "pair": ("text", "label"),
        "sentences": ("foreign", "english"),
        "squad": ("identifier", "question", "context", "answers"),
        "supertags": ("words", "tags"),
        "text": ("text",),
        "tokens": ("words", "tags"),
    }
)
"""The words for columns that a record must give, by reader."""

_SETTINGS = ("first",)  # words that name no column
_OPTIONAL = ("document", "identifier", "space_after", "title")  # used where they are there
_TAG_COLUMNS = {"words": "tokens", "tags": "tags"}  # of files without column names


def used_columns(data_set: DataSet) -> set[str]:
    """Return the columns, without what is nested in them, that examples of a data set may be made of."""
    named = " ".join((*data_set.columns.values(), *data_set.file_columns.values())).split()
    return {*named, *(name.partition(".")[0] for name in named), *_TAG_COLUMNS.values(), *_OPTIONAL}


def columns_of(
    row: Mapping[str, Any], data_set: DataSet, where: str, names: Sequence[str] = ()
) -> dict[str, str]:
    """Return the reader's words for columns with those that a row has: the Hub's or the publisher's own.

    Parameters
    ----------
    row
        A row of the part.
    data_set, where
        Its data set, and the part in words.
    names
        All columns of the part, for the message.

    Raises
    ------
    DataError
        If neither fits; it names what is missing and what is there.
    """
    if data_set.reader not in REQUIRED:
        known = ", ".join(sorted(REQUIRED))
        raise DataError(f'no reader "{data_set.reader}".', where=where, hint=f"Known: {known}.")
    standard = _TAG_COLUMNS if data_set.reader in ("tokens", "supertags") else {}
    missing: list[str] = []
    for record in (data_set.columns, data_set.file_columns):
        columns = {word: name for word, name in {**standard, **record}.items() if name}
        lacking = [f"<{word}>" for word in REQUIRED[data_set.reader] if word not in columns]
        lacking += [name for word, name in _named(columns, data_set.reader) if not has_column(row, name)]
        if not lacking:
            return columns
        missing = missing or lacking
    there = ", ".join(names or row)
    raise DataError(f"missing columns: {', '.join(missing)}.", where=where, hint=f"Found: {there}.")


def _named(columns: Mapping[str, str], reader: str) -> list[tuple[str, str]]:
    """Return (word, column) of all columns that must be there."""
    return [
        (word, name)
        for word, names in columns.items()
        if word not in _SETTINGS and (word not in _OPTIONAL or word in REQUIRED[reader])
        for name in names.split()
    ]
