"""The data of a task: its parts found, read lazily, selected and joined."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.example import Format, TaskData
from alignaudit.core.task import LANGUAGE, DataSet, Task
from alignaudit.errors import DataError, SetupError, StudyError, did_you_mean
from alignaudit.experiment.tasks.examples import Examples
from alignaudit.experiment.tasks.rows import ENGLISH, Place
from alignaudit.experiment.tasks.shelf import Shelf, Wanted, collected_labels, wanted_parts

__all__ = [
    "labels_of",
    "load_task",
    "quotas",
    "target_languages",
    "task_fingerprint",
    "train_size",
]

VERSION = 1  # of the reading: raised when the same rows give other examples


def load_task(
    task: Task,
    place: Place,
    *,
    train_languages: Sequence[str] = (ENGLISH,),
    test_languages: Sequence[str] = (),
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
    data_sets: Mapping[str, DataSet] = DATA_SETS,
) -> TaskData:
    """Return the data of a task; its examples are made when they are asked for.

    Parameters
    ----------
    task
        The task's record.
    place
        Where its data sets lie.
    train_languages
        Languages of the training data. Others than English are translations: parts whose names hold
        ``{language}``, or local files with the language in their names.
    test_languages
        Codes of the tested languages; empty: all of the task.
    train_examples, dev_examples, test_examples
        Use only the first so many: of training, divided evenly among the languages; of development;
        of the test in each language.
    data_sets
        The records of data sets.

    Raises
    ------
    DataError
        If rows are missing or columns are wrong. Single rows are looked at when their example is
        made; ``problems.find_problems`` looks at all of them beforehand.
    SetupError
        If the Hub cannot be reached.
    StudyError
        If the task is measured from the encoder and has no examples.
    """
    form = _format_of(task)
    shelf = Shelf(task, place, data_sets)
    labels = labels_of(shelf, train_languages)

    def joined(wanted: Sequence[Wanted]) -> Examples:
        return Examples.joined([shelf.examples(one, labels) for one in wanted])

    train = [
        joined(wanted_parts(task, place, "train", language))[:quota]
        for language, quota in zip(train_languages, quotas(train_examples, len(train_languages)), strict=True)
    ]
    return TaskData(
        name=task.name,
        format=form,
        labels=labels,
        metric=task.metric,
        train=Examples.joined(train),
        dev=joined(wanted_parts(task, place, "dev", ENGLISH))[:dev_examples],
        test={
            language: joined(wanted_parts(task, place, "test", language))[:test_examples]
            for language in target_languages(task, test_languages)
        },
        answers=task.answers or "squad",
        unanswerable=task.unanswerable,
    )


def task_fingerprint(
    task: Task,
    place: Place,
    *,
    train_languages: Sequence[str] = (ENGLISH,),
    test_languages: Sequence[str] = (),
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
    data_sets: Mapping[str, DataSet] = DATA_SETS,
) -> str:
    """Return a SHA-256 that changes when the task's examples may; parameters as :func:`load_task`.

    It holds the contents of local files and of copies of repositories, wherever they lie; of the Hub
    repository, revision, configuration and split. The same rows from a file and from the Hub have
    different fingerprints.

    Raises
    ------
    DataError
        If rows cannot be located.
    """
    _format_of(task)
    shelf = Shelf(task, place, data_sets)
    parts = [
        ("train", wanted) for code in train_languages for wanted in wanted_parts(task, place, "train", code)
    ]
    parts += [("dev", wanted) for wanted in wanted_parts(task, place, "dev", ENGLISH)]
    for code in target_languages(task, test_languages):
        parts += [(f"test {code}", wanted) for wanted in wanted_parts(task, place, "test", code)]
    lines: list[object] = [VERSION, task.name, task.labels, dict(task.question_words), task.answers]
    lines += [
        task.unanswerable,
        task.format,
        task.metric,
        tuple(train_languages),
        train_examples,
        dev_examples,
        test_examples,
    ]
    for role, wanted in parts:
        found = shelf.locate(wanted)
        record = found.data_set
        lines.append((role, wanted.side, found.specific, found.fingerprint(), record.reader, record.labels))
        lines.append(
            (dict(record.columns), dict(record.file_columns), dict(record.aliases), record.unlabelled)
        )
    return hashlib.sha256(repr(lines).encode()).hexdigest()


def train_size(
    task: Task,
    place: Place,
    *,
    train_languages: Sequence[str] = (ENGLISH,),
    test_languages: Sequence[str] = (),
    train_examples: int | None = None,
    dev_examples: int | None = None,
    test_examples: int | None = None,
    data_sets: Mapping[str, DataSet] = DATA_SETS,
) -> int | None:
    """Return the number of training examples; parameters as :func:`load_task`.

    It is counted where the data is on this machine; otherwise it is the published number of rows,
    those without a label included, or None where that is not known. Nothing is downloaded.
    """
    _format_of(task)
    shelf = Shelf(task, place, data_sets)
    total = 0
    for language, quota in zip(train_languages, quotas(train_examples, len(train_languages)), strict=True):
        sizes = [_size(shelf, wanted) for wanted in wanted_parts(task, place, "train", language)]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes) and (quota is None or sum(known) < quota):
            return None
        total += sum(known) if quota is None else min(quota, sum(known))
    return total


def target_languages(task: Task, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of the languages that are tested, all of the task if none are given.

    Raises
    ------
    StudyError
        If the task has no such language.
    """
    for language in languages:
        if language not in task.languages:
            raise StudyError(
                f'task {task.name} is not tested in "{language}".',
                where="test_languages",
                hint=did_you_mean(language, task.languages),
            )
    return tuple(languages) or task.languages


def quotas(total: int | None, parts: int) -> list[int | None]:
    """Return how many examples each of some parts gives, as evenly as whole numbers can be.

    Examples
    --------
    >>> quotas(8, 3), quotas(None, 2)
    ([3, 3, 2], [None, None])
    """
    if total is None:
        return [None] * parts
    return [total // parts + (place < total % parts) for place in range(parts)]


def labels_of(shelf: Shelf, train_languages: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a task: its own, or for tags without a list those of the training data."""
    task = shelf.task
    return (
        collected_labels(shelf, train_languages)
        if task.format == "tagging" and not task.labels
        else task.labels
    )


def _format_of(task: Task) -> Format:
    if task.format == "retrieval":
        raise StudyError(
            f"task {task.name} has no examples: it is measured from the encoder.",
            hint="Name it in measure.retrieval of a study.",
        )
    return task.format


def _size(shelf: Shelf, wanted: Wanted) -> int | None:
    """Return the examples of a part: counted where it is at hand, published otherwise."""
    try:
        location = shelf.locate(wanted)
    except (DataError, SetupError):
        location = None
    if location is not None and location.at_hand:
        return len(shelf.examples(wanted, shelf.task.labels))
    part, record = wanted.part, shelf.data_sets[wanted.part.data]
    if part.row_prefix or wanted.side:
        return None
    word = record.languages.get(wanted.language, wanted.language)
    if wanted.language != ENGLISH and LANGUAGE not in f"{part.configuration}{part.split}":
        return None
    return record.sizes.get((part.configuration.replace(LANGUAGE, word), part.split.replace(LANGUAGE, word)))
