"""Published XTREME scores, each with where it was read and how far it was checked."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from alignaudit.errors import DataError

__all__ = ["PublishedScore", "Status", "published_scores", "read_published", "with_em_f1"]

Status = Literal["verified", "triangulated"]
"""``verified``: seen in the named source; ``triangulated``: remembered, and it agrees with what was seen."""

_RESOURCE = "published_xtreme.csv"


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """One published number.

    Attributes
    ----------
    system
        What was scored: ``xlmr_large``, ``xstilts_best_per_task``, …
    task
        Name of the task, or ``xtreme`` for the benchmark as a whole.
    metric
        As in the scores table; for the benchmark ``average``, or ``gain_…`` over XLM-R-large.
    split
        Which data and protocol, for example ``xtreme_test``.
    value
        In percent, 0 to 100; gains in points.
    status
        See :data:`Status`.
    source
        Where it was read, or why it is believed.
    """

    system: str
    task: str
    metric: str
    split: str
    value: float
    status: Status
    source: str


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """Return every shipped row, in the order of the file.

    Examples
    --------
    >>> [row.value for row in published_scores() if row.metric == "average"]
    [68.1, 73.5]
    """
    text = files("alignaudit.resources").joinpath(_RESOURCE).read_text(encoding="utf-8")
    return read_published(text, where=_RESOURCE)


def read_published(text: str, *, where: str = "") -> tuple[PublishedScore, ...]:
    """Return the records of a CSV text whose header names the fields of :class:`PublishedScore`.

    Parameters
    ----------
    text
        Content of the file.
    where
        Name of the file, for errors.

    Returns
    -------
    tuple of PublishedScore
        In the order of the rows.

    Raises
    ------
    DataError
        If a column is missing or unknown, a cell is empty, a value is no number from 0 to 100, a
        status is not a :data:`Status`, or two rows share system, task, metric and split.
    """
    lines = csv.reader(text.splitlines())
    names = [field.name for field in fields(PublishedScore)]
    header = next(lines, [])
    if header != names:
        raise DataError(f"the columns are {header}, not {names}.", where=where)
    rows: list[PublishedScore] = []
    seen: set[tuple[str, ...]] = set()
    for number, cells in enumerate(lines, start=2):
        place = f"{where}, line {number}" if where else f"line {number}"
        row = _record(cells, place)
        key = (row.system, row.task, row.metric, row.split)
        if key in seen:
            raise DataError(f"repeats {', '.join(key)}.", where=place)
        seen.add(key)
        rows.append(row)
    return tuple(rows)


def _record(cells: list[str], where: str) -> PublishedScore:
    if len(cells) != len(fields(PublishedScore)) or not all(cell.strip() for cell in cells):
        raise DataError("a cell is empty, or there are too few or too many.", where=where)
    system, task, metric, split, number, status, source = cells
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise DataError(f'"{number}" is not a percentage.', where=where)
    for known in get_args(Status):
        if status == known:
            return PublishedScore(system, task, metric, split, value, known, source)
    raise DataError(f'"{status}" is not one of {", ".join(get_args(Status))}.', where=where)


def with_em_f1(rows: tuple[PublishedScore, ...]) -> tuple[PublishedScore, ...]:
    """Return the rows, with exact match and F1 of one system, task and split replaced by their mean.

    That mean, ``em_f1``, is what XTREME scores question answering by. It is verified only if both
    numbers are. Where one of the two is missing, the other stays as it is.

    Parameters
    ----------
    rows
        Published scores.

    Returns
    -------
    tuple of PublishedScore
        The mean stands where F1 stood.

    References
    ----------
    Hu et al. (2020), "XTREME", ``evaluate.py`` of google-research/xtreme.

    Examples
    --------
    >>> found = with_em_f1(published_scores())
    >>> [row.value for row in found if (row.system, row.task) == ("xlmr_large", "xquad")]
    [68.7]
    """
    exact = {(row.system, row.task, row.split): row for row in rows if row.metric == "exact_match"}
    joined: list[PublishedScore] = []
    paired: set[PublishedScore] = set()
    for row in rows:
        other = exact.get((row.system, row.task, row.split)) if row.metric == "f1" else None
        joined.append(_mean(row, other) if other else row)
        paired |= {other} if other else set()
    return tuple(row for row in joined if row not in paired)


def _mean(f1: PublishedScore, exact: PublishedScore) -> PublishedScore:
    both: tuple[Status, ...] = (f1.status, exact.status)
    status: Status = "triangulated" if "triangulated" in both else "verified"
    source = f1.source if f1.source == exact.source else f"F1: {f1.source}; exact match: {exact.source}"
    value = round((f1.value + exact.value) / 2, 6)
    return PublishedScore(f1.system, f1.task, "em_f1", f1.split, value, status, source)
