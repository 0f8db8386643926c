"""The parts of one task: which are wanted, where they lie, and the examples of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.example import Example
from alignaudit.core.task import DataSet, Part, Task
from alignaudit.errors import DataError, StudyError, did_you_mean
from alignaudit.experiment.tasks.examples import Examples, Rows
from alignaudit.experiment.tasks.readers import Reading, Row, group_of, read_example, tag_words
from alignaudit.experiment.tasks.rows import Location, Place, locate

__all__ = ["UNKNOWN_LABEL", "Role", "Shelf", "Wanted", "collected_labels", "dev_places", "wanted_parts"]

Role = Literal["train", "dev", "test"]

DEV_SHARE = 5  # one group in five goes to the development set
UNKNOWN_LABEL = "<unknown>"
"""Last label of a task whose labels are collected: gold of tags that the training data lacks.

No training example has it, so it is never right to predict any other label for such a word, and the
word counts as wrong in every score.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part in one language, and what is taken of it.

    Attributes
    ----------
    part, language
        What to locate.
    side
        ``train`` or ``dev`` where both are cut from the same split; empty: all rows.
    """

    part: Part
    language: str
    side: Literal["", "train", "dev"] = ""


@dataclass(slots=True)
class Shelf:
    """The rows of one task's parts; each is read once, however many languages and splits share it."""

    task: Task
    place: Place
    data_sets: Mapping[str, DataSet]
    read: dict[tuple[object, ...], Rows] = field(default_factory=dict)
    columns: dict[tuple[object, ...], list[Any]] = field(default_factory=dict)

    def locate(self, wanted: Wanted) -> Location:
        """Return where the rows of a part lie; raises as ``rows.locate``."""
        name = wanted.part.data
        if name not in self.data_sets:
            raise StudyError(
                f'there is no data set "{name}".',
                where=f"task {self.task.name}",
                hint=did_you_mean(name, self.data_sets),
            )
        return locate(wanted.part, self.data_sets[name], self.place, wanted.language)

    def rows(self, location: Location) -> Rows:
        """Return the rows of a location."""
        if location.key not in self.read:
            self.read[location.key] = location.rows()
        return self.read[location.key]

    def column(self, location: Location, name: str) -> list[Any]:
        """Return a column of a location."""
        key = (*location.key, name)
        if key not in self.columns:
            self.columns[key] = self.rows(location).column(name)
        return self.columns[key]

    def reading(self, location: Location, labels: Sequence[str]) -> Reading:
        """Return how the rows of a location are read.

        Raises
        ------
        DataError
            If there are no rows, or columns are missing.
        """
        rows = self.rows(location)
        if not len(rows):
            raise DataError("no rows.", where=location.where)
        row = rows.many([0])[0]
        unknown = list(labels).index(UNKNOWN_LABEL) if UNKNOWN_LABEL in labels else None
        return Reading.of(
            location.where, location.data_set, self.task, labels, row=row, names=rows.names, unknown=unknown
        )

    def examples(self, wanted: Wanted, labels: Sequence[str]) -> Examples:
        """Return the examples of a part: those of its language and side that have a label.

        Raises
        ------
        DataError, SetupError
            If the rows cannot be found or read, columns are missing, or nothing is left.
        """
        location = self.locate(wanted)
        reading = self.reading(location, labels)
        kept, unlabelled = self._kept(location, reading)
        if not len(kept):
            prefix = (
                f', which begin with "{location.row_prefix}" and have a label' if location.row_prefix else ""
            )
            raise DataError(f"no rows{prefix}.", where=location.where)
        make = partial(_make, reading)
        source = np.zeros(len(kept), dtype=np.int16)
        found = Examples([(self.rows(location), make)], source, kept, unlabelled)
        if not wanted.side:
            return found
        groups = [group_of(row, number, reading) for row, number, _ in found.rows()]
        train, dev = dev_places(groups)
        places = train if wanted.side == "train" else dev
        if not len(places):
            raise DataError(
                f"the {wanted.side} side that is cut from it is empty.",
                where=location.where,
                hint="It takes more groups of texts; one in five goes to development.",
            )
        return found.taken(places)

    def _kept(self, location: Location, reading: Reading) -> tuple[NDArray[np.int64], int]:
        keep = np.ones(len(self.rows(location)), dtype=bool)
        if location.row_prefix and not location.specific:
            name = reading.columns.get("identifier", "")
            if name not in self.rows(location).names:
                raise DataError(f'no column "{name}" that says the language.', where=location.where)
            identifiers = self.column(location, name)
            keep &= np.array(
                [str(value).startswith(location.row_prefix) for value in identifiers], dtype=bool
            )
        before = int(keep.sum())
        if location.data_set.unlabelled and "label" in reading.columns:
            without = {str(value) for value in location.data_set.unlabelled}
            labels = self.column(location, reading.columns["label"])
            keep &= np.array([str(value) not in without for value in labels], dtype=bool)
        return np.flatnonzero(keep), before - int(keep.sum())


def wanted_parts(task: Task, place: Place, role: Role, language: str) -> list[Wanted]:
    """Return the parts of a task for one role and language, with what the study cuts from one split."""
    if role == "test":
        return [] if task.test is None else [Wanted(task.test, language)]
    found: list[Wanted] = []
    for part in task.train if role == "train" else task.dev:
        split = place.carve.get(part.data)
        wanted = (
            Wanted(part, language) if split is None else Wanted(replace(part, split=split), language, role)
        )
        if wanted not in found:
            found.append(wanted)
    return found


def dev_places(groups: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of training and of development examples: whole groups, one in five to development.

    A group's side follows from the SHA-256 of its text, and the order within a side from that of
    group and place, so that both are the same on every machine.
    """
    ranked = sorted((_rank(f"{group}\x1f{place}"), place) for place, group in enumerate(groups))
    is_dev = {group: int(_rank(group)[:8], 16) % DEV_SHARE == 0 for group in set(groups)}
    train = [place for _, place in ranked if not is_dev[groups[place]]]
    dev = [place for _, place in ranked if is_dev[groups[place]]]
    return np.array(train, dtype=np.int64), np.array(dev, dtype=np.int64)


def collected_labels(shelf: Shelf, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of the whole training data, sorted, and :data:`UNKNOWN_LABEL` at the end."""
    found: set[str] = set()
    for language in languages:
        for wanted in wanted_parts(shelf.task, shelf.place, "train", language):
            reading = shelf.reading(shelf.locate(wanted), ())
            for row, number, _ in shelf.examples(wanted, ()).rows():
                found.update(tag_words(row, number, reading))
    return (*sorted(found), UNKNOWN_LABEL)


def _make(reading: Reading, row: Row, number: int) -> Example:
    return read_example(row, number, reading)


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
