"""Values of rows: columns and paths into them, whole numbers, text, and how messages show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignaudit.errors import DataError

__all__ = ["as_text", "cell_at", "find", "has_column", "shown", "whole_number"]


def whole_number(value: Any) -> int | None:
    """Return the whole number that a value is or spells."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if digits.removeprefix("-").isdecimal() else None
    return None


def cell_at(row: Any, path: str) -> Any:
    """Return the value at a path of a row; a path has dots into nested columns.

    Raises
    ------
    DataError
        If the column is absent or empty; it names those that are there.
    """
    value = find(row, path)
    if value is None:
        state = "is empty" if has_column(row, path) else "is absent"
        names = ", ".join(row) if isinstance(row, Mapping) else shown(row)
        raise DataError(f'column "{path}" {state}.', hint=f"Found: {names}.")
    return value


def find(value: Any, path: str) -> Any:
    """Return the value at a path; through a list of records it is the list of their values."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    key, _, rest = path.partition(".")
    if isinstance(value, list | tuple):
        found = [find(item, path) for item in value]
        return None if None in found else found
    if not isinstance(value, Mapping) or key not in value:
        return None
    return find(value[key], rest) if rest else value[key]


def has_column(row: Any, path: str) -> bool:
    """Return whether a row has a column, be it empty."""
    return path in row or find(row, path) is not None


def as_text(value: Any, word: str) -> str:
    """Return a value that must be text.

    Raises
    ------
    DataError
        If it is something else.
    """
    if not isinstance(value, str):
        raise DataError(f"{shown(value)} in {word} is not text.")
    return value


def shown(value: Any) -> str:
    """Return a value as it stands in messages: cut after 60 characters."""
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else f"{text[:57]}…"
