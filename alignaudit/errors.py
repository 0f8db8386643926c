"""The one exception tree, and the exit code that each branch gives the command line.

::

    AlignAuditError            1    anything unexpected that we raised ourselves
    ├── UsageError             2    the command or call cannot mean anything
    ├── StudyError             3    the study or plan file is invalid
    ├── DataError              3    sentences, tasks or tables are invalid
    ├── DamagedRecordError     3    a file in the store is not what its manifest says
    ├── IncompleteDesignError  4    runs or cells are missing, analysis refused
    ├── FitError               5    a model could not be fitted
    ├── SetupError             6    disk, device, package or network is missing
    └── InterruptedRunError  130    stopped by the user; the same command resumes

Every error says *what* happened, *where*, and *what to do* (``hint``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "AlignAuditError",
    "DamagedRecordError",
    "DataError",
    "FitError",
    "IncompleteDesignError",
    "InterruptedRunError",
    "SetupError",
    "StudyError",
    "UsageError",
    "did_you_mean",
]


class AlignAuditError(Exception):
    """Root of every error that this package raises on purpose.

    Parameters
    ----------
    what
        One sentence: what is wrong.
    where
        The file, key, table or cell it was found in; may be empty.
    hint
        One sentence: what to do about it; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        """Return ``where: what hint`` on one line, without the parts that are empty."""
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.hint}" if self.hint else ""
        return f"{place}{self.what}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild the error in another process with its keyword arguments."""
        return _rebuild, (type(self), self.what, self.where, self.hint)


def _rebuild(kind: type[AlignAuditError], what: str, where: str, hint: str) -> AlignAuditError:
    return kind(what, where=where, hint=hint)


class UsageError(AlignAuditError):
    """The command line or call cannot mean anything (exit code 2)."""

    exit_code = 2


class StudyError(AlignAuditError):
    """A study or analysis plan is invalid (exit code 3)."""

    exit_code = 3


class DataError(AlignAuditError):
    """Text, task data or a table breaks its contract (exit code 3)."""

    exit_code = 3


class DamagedRecordError(AlignAuditError):
    """A stored file is truncated or altered: it disagrees with its manifest (exit code 3)."""

    exit_code = 3


class IncompleteDesignError(AlignAuditError):
    """Runs or cells are missing and the analysis was refused (exit code 4)."""

    exit_code = 4


class FitError(AlignAuditError):
    """A statistical model could not be fitted (exit code 5)."""

    exit_code = 5


class SetupError(AlignAuditError):
    """The machine lacks something: disk space, a device, a package, the network (exit code 6)."""

    exit_code = 6


class InterruptedRunError(AlignAuditError):
    """The user stopped the work; the same command resumes it (exit code 130)."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known name, or lists them all.

    Parameters
    ----------
    name
        What was written.
    known
        What would have been understood.

    Returns
    -------
    str
        ``Did you mean "x"?`` or ``Known: a, b, c.``

    Examples
    --------
    >>> did_you_mean("sequental", ["concurrent", "sequential"])
    'Did you mean "sequential"?'
    >>> did_you_mean("zzz", ["b", "a"])
    'Known: a, b.'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(names)}."
