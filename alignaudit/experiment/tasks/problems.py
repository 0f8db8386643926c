"""What is wrong with the data of a task: everything is read once and nothing is trained."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.example import ChoiceExample, Example, PairExample, SpanExample, TagExample
from alignaudit.core.task import DataSet, Task
from alignaudit.errors import AlignAuditError, SetupError
from alignaudit.experiment.tasks.examples import Examples
from alignaudit.experiment.tasks.load import labels_of, target_languages
from alignaudit.experiment.tasks.rows import ENGLISH, Location, Place
from alignaudit.experiment.tasks.shelf import UNKNOWN_LABEL, Role, Shelf, Wanted, wanted_parts

__all__ = ["Problem", "Severity", "find_problems"]

Severity = Literal["error", "warning", "unchecked"]
Keys: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or that could not be looked at.

    Attributes
    ----------
    severity
        ``error``: the study must not start. ``warning``: it may, but should know.
        ``unchecked``: the rows could not be reached from here.
    where
        Data set, configuration and split, or the file.
    what, hint
        What is wrong, and what to do about it.
    """

    severity: Severity
    where: str
    what: str
    hint: str = ""


@dataclass(slots=True)
class _Check:
    """A task under examination, and what was found so far."""

    shelf: Shelf
    capped: Mapping[Role, bool]
    labels: tuple[str, ...] = ()
    found: list[Problem] = field(default_factory=list)
    unreachable: SetupError | None = None

    def add(self, severity: Severity, where: str, what: str, hint: str = "") -> None:
        problem = Problem(severity, where, what, hint)
        if problem not in self.found:
            self.found.append(problem)

    def fail(self, error: AlignAuditError, where: str) -> None:
        """Add the problem that an error tells; remember that the Hub is out of reach."""
        unchecked = isinstance(error, SetupError)
        self.unreachable = self.unreachable or (error if isinstance(error, SetupError) else None)
        self.add("unchecked" if unchecked else "error", error.where or where, error.what, error.hint)


def find_problems(
    task: Task,
    place: Place,
    *,
    train_languages: Sequence[str] = (ENGLISH,),
    test_languages: Sequence[str] = (),
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
    data_sets: Mapping[str, DataSet] = DATA_SETS,
) -> list[Problem]:
    """Return everything that is wrong with the data of a task; parameters as ``load.load_task``.

    All rows are read, those beyond a cap included. Looked for are: rows that cannot be found or
    read, missing columns, empty splits, unknown labels, answers that do not stand at their offset,
    identifiers that occur twice, numbers of rows that are not the published ones, empty texts,
    missing languages, a repository without a pinned revision, and items that stand in training and
    in development or test data. Bad data never raises. After the network has failed once, the other
    parts that need it are not tried.

    Returns
    -------
    list of Problem
        Errors first, then warnings, then what is unchecked. Empty for retrieval tasks, whose text
        is no rows of examples.
    """
    if task.format == "retrieval":
        return []
    capped: dict[Role, bool] = {
        "train": train_examples is not None,
        "dev": dev_examples is not None,
        "test": test_examples is not None,
    }
    check = _Check(Shelf(task, place, data_sets), capped)
    check.labels = _labels(check, train_languages)
    train, dev = _keys(check, "train", train_languages), _keys(check, "dev", (ENGLISH,))
    _overlap(check, train, dev, "development data")
    for language in _tested(check, test_languages):
        test = _keys(check, "test", (language,))
        _overlap(check, train, test, f'test data in "{language}"')
        _overlap(check, dev, test, f'test data in "{language}"', "development")
    order = ("error", "warning", "unchecked")
    return sorted(check.found, key=lambda problem: order.index(problem.severity))


def _labels(check: _Check, train_languages: Sequence[str]) -> tuple[str, ...]:
    """Return the task's labels; where they cannot be collected, what is wrong is said with the parts."""
    try:
        return labels_of(check.shelf, train_languages)
    except AlignAuditError:
        return (UNKNOWN_LABEL,)


def _keys(check: _Check, role: Role, languages: Sequence[str]) -> Keys:
    """Check the parts of a role; return a number for each example, equal for equal inputs."""
    keys = [
        _part(check, role, wanted)
        for language in languages
        for wanted in wanted_parts(check.shelf.task, check.shelf.place, role, language)
    ]
    return np.concatenate([np.empty(0, np.uint64), *keys])


def _tested(check: _Check, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the tested languages that the task has."""
    task = check.shelf.task
    for language in languages:
        try:
            target_languages(task, (language,))
        except AlignAuditError as error:
            check.fail(error, f"task {task.name}")
    return tuple(language for language in languages or task.languages if language in task.languages)


def _part(check: _Check, role: Role, wanted: Wanted) -> Keys:
    language = "" if wanted.language == ENGLISH else f", language {wanted.language}"
    try:
        return _checked_part(check, role, wanted)
    except AlignAuditError as error:
        check.fail(error, f"{wanted.part.data}, split {wanted.part.split}{language}")
        return np.empty(0, np.uint64)


def _checked_part(check: _Check, role: Role, wanted: Wanted) -> Keys:
    location = check.shelf.locate(wanted)
    _revision(check, location)
    if check.unreachable is not None and not location.at_hand:
        raise SetupError(
            f"not tried, for the Hub was out of reach for {check.unreachable.where}.",
            where=location.where,
            hint=f"Set data.folders.{location.data_set.name} to a folder with its files.",
        )
    _size(check, role, wanted, location, len(check.shelf.rows(location)))
    examples = check.shelf.examples(wanted, check.labels)
    if examples.unlabelled:
        check.add(
            "warning", location.where, f"rows without a label, which are left out: {examples.unlabelled:,}."
        )
    return _examples(check, role, location.where, examples)


def _revision(check: _Check, location: Location) -> None:
    if not location.at_hand and not location.revision:
        name = location.data_set.name
        hint = f"Set data.revisions.{name} to a commit of {location.data_set.repository}."
        check.add("warning", location.data_set.name, "no revision is pinned: its rows may change.", hint)


def _size(check: _Check, role: Role, wanted: Wanted, location: Location, size: int) -> None:
    published = location.data_set.sizes.get((location.configuration, location.split))
    if published is None or published == size or (location.row_prefix and location.specific):
        return
    name, place = location.data_set.name, check.shelf.place
    split_named = {wanted.part.split, location.split} & set(place.files.get(name, {}))
    partial = check.capped[role] or bool(split_named) or bool(wanted.side)
    what = f"{size:,} rows, but {published:,} are published."
    hint = "" if partial else f"Complete the files, or name the part with data.files.{name}.{location.split}."
    check.add("warning" if partial else "error", location.where, what, hint)


def _examples(check: _Check, role: Role, where: str, examples: Examples) -> Keys:
    """Make every example once; count what is wrong with them by kind, and name the first of each."""
    kinds = _Kinds()
    identifiers: set[str] = set()
    options: set[int] = set()
    keys: list[int] = []
    unanswerable = check.shelf.task.unanswerable
    unknown = check.labels.index(UNKNOWN_LABEL) if UNKNOWN_LABEL in check.labels[1:] else None
    for row, number, make in examples.rows():
        try:
            example = make(row, number)
        except AlignAuditError as error:
            kinds.add("error", _kind(error.what), f"row {number}: {error.what}", error.hint)
            continue
        keys.append(_key(example))
        if any(not text.strip() for text in _texts(example)):
            kinds.add("warning", "empty", f"row {number} has an empty text.")
        if isinstance(example, SpanExample):
            if example.identifier in identifiers:
                kinds.add(
                    "error", "twice", f'row {number}: the identifier "{example.identifier}" occurs twice.'
                )
            identifiers.add(example.identifier)
            if not example.answers and not unanswerable:
                severity: Severity = "warning" if role == "train" else "error"
                kinds.add(severity, "unanswered", f"row {number} has no answer.")
        if isinstance(example, ChoiceExample):
            options.add(len(example.options))
        if unknown is not None and isinstance(example, TagExample) and unknown in example.tags:
            kinds.add("warning", "unknown", f"row {number} has a tag that the training data lacks.")
    if len(options) > 1:
        numbers = " and ".join(map(str, sorted(options)))
        check.add("error", where, f"rows have different numbers of options: {numbers}.")
    for severity, count, first, hint in kinds.all():
        what = (
            first[0].upper() + first[1:] if count == 1 else f"{count:,} rows are wrong alike; first {first}"
        )
        check.add(severity, where, what, hint)
    return np.array(keys, dtype=np.uint64)


class _Kinds:
    """Counts what is wrong by kind, and keeps the first case of each."""

    def __init__(self) -> None:
        self.cases: dict[tuple[Severity, str], tuple[int, str, str]] = {}

    def add(self, severity: Severity, kind: str, first: str, hint: str = "") -> None:
        count, earliest, advice = self.cases.get((severity, kind), (0, first, hint))
        self.cases[severity, kind] = (count + 1, earliest, advice)

    def all(self) -> Iterator[tuple[Severity, int, str, str]]:
        for (severity, _), (count, first, hint) in self.cases.items():
            yield severity, count, first, hint


def _kind(what: str) -> str:
    """Return a message without what differs from row to row."""
    return re.sub(r'question \S+:|"[^"]*"|\'[^\']*\'|-?\d+', "…", what)


def _texts(example: Example) -> tuple[str, ...]:
    match example:
        case PairExample():
            return (example.text, example.text_pair or "-")
        case ChoiceExample():
            return (example.context + example.question, *example.options)
        case SpanExample():
            return (example.question, example.context)
        case TagExample():
            return example.words
        case _:
            return (example.text,)


def _key(example: Example) -> int:
    """Return 64 bits that are equal for examples with equal inputs, whatever their labels."""
    digest = hashlib.blake2b("\x1f".join(_inputs(example)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _inputs(example: Example) -> Sequence[str]:
    return (example.text, example.text_pair) if isinstance(example, PairExample) else _texts(example)


def _overlap(check: _Check, known: Keys, other: Keys, name: str, of: str = "training") -> None:
    shared = int(np.isin(other, known).sum())
    if shared:
        check.add(
            "warning",
            f"task {check.shelf.task.name}",
            f"{shared:,} of {len(other):,} items of the {name} stand in the {of} data too.",
        )
