"""Parallel text from the Hub, or from a copy of its repository: one configuration per language."""

from __future__ import annotations

from collections.abc import Mapping

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.example import ParallelText
from alignaudit.core.task import DataSet, Part
from alignaudit.core.tasks import TASKS
from alignaudit.errors import DataError, StudyError, did_you_mean
from alignaudit.experiment.tasks.rows import Location, Place, locate

__all__ = ["hub_languages", "hub_parallel", "hub_parallel_fingerprint"]

LEAST_PAIRS = 4


def hub_languages(name: str, data_sets: Mapping[str, DataSet] = DATA_SETS) -> tuple[str, ...]:
    """Return the languages that a repository of sentence pairs is known to hold, in its own words.

    Raises
    ------
    StudyError
        If there is no such set of sentence pairs.
    """
    record = _record(name, data_sets)
    with_size = {configuration.rpartition(".")[2] for configuration, _ in record.sizes}
    return tuple(word for word in record.languages.values() if word in with_size)


def hub_parallel(name: str, language: str, place: Place, limit: int | None = None) -> ParallelText:
    """Return the sentence pairs of one language.

    Parameters
    ----------
    name
        Data set of sentence pairs.
    language
        The set's own word for the language.
    place
        Where the data sets of the study lie.
    limit
        At most so many pairs, the first ones.

    Raises
    ------
    DataError
        If rows or columns are missing, a sentence is blank, or there are fewer than 4 pairs.
    SetupError
        If the Hub cannot be reached.
    """
    location = _location(name, language, place)
    rows, columns = location.rows(), location.data_set.columns
    sides = []
    for role in ("foreign", "english"):
        if columns[role] not in rows.names:
            known = ", ".join(rows.names)
            raise DataError(
                f'no column "{columns[role]}".', where=location.where, hint=f"There are: {known}."
            )
        sides.append([str(text).strip() for text in rows.column(columns[role])[:limit]])
    for number, pair in enumerate(zip(*sides, strict=True), 1):
        if not all(pair):
            raise DataError("a sentence is blank.", where=f"{location.where}, row {number}")
    if len(sides[0]) < LEAST_PAIRS:
        raise DataError(f"{len(sides[0])} pairs; at least {LEAST_PAIRS} are needed.", where=location.where)
    return ParallelText(language, tuple(sides[0]), tuple(sides[1]))


def hub_parallel_fingerprint(name: str, language: str, place: Place) -> str:
    """Return text that changes when the sentence pairs may; raises as :func:`hub_parallel`."""
    return _location(name, language, place).fingerprint()


def _record(name: str, data_sets: Mapping[str, DataSet]) -> DataSet:
    known = [one.name for one in data_sets.values() if one.reader == "sentences"]
    if name not in known:
        raise StudyError(
            f'there is no data set of sentence pairs "{name}".',
            where="data.parallel",
            hint=f"{did_you_mean(name, known)} Or set data.folders.{name} to a folder.",
        )
    return data_sets[name]


def _location(name: str, language: str, place: Place) -> Location:
    record = _record(name, DATA_SETS)
    code = next((code for code, word in record.languages.items() if word == language), None)
    if code is None:
        raise DataError(
            f'no language "{language}".',
            where=f"data set {name}",
            hint=did_you_mean(language, record.languages.values()),
        )
    part = next(task.test for task in TASKS.values() if task.test and task.test.data == name)
    return locate(Part(part.data, part.split, part.configuration), record, place, code)
