"""Lines of text files."""

from __future__ import annotations

from pathlib import Path

from alignaudit.experiment.tasks.row_files import file_lines

__all__ = ["read_lines"]


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, split at line feeds only; an empty file has one empty line.

    Raises
    ------
    DataError
        If the file is absent or not UTF-8.
    """
    return [line for _, line in file_lines(path)] or [""]
