"""What a task is: small frozen records that say where its text lies, how it is read, and how it is scored.

A *data set* is what somebody published: a repository with columns and splits. A *task* takes parts
of data sets for training, development and testing, and names format and metric. The tables
themselves are in ``core.data_sets`` and ``core.tasks``; adding a task is adding records there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from alignaudit.core.example import Format

__all__ = ["CODE", "LANGUAGE", "DataSet", "Group", "Part", "Task"]

Group = Literal["intermediate", "auxiliary", "classification", "tagging", "qa", "retrieval", "reasoning"]
"""XTREME's groups are classification, tagging, qa and retrieval (Hu et al. 2020, section 3)."""

LANGUAGE = "{language}"
"""Stands for the data set's own word for a language in configurations, splits and file names."""

CODE = "{code}"
"""Stands for our code of a language in file names that use it instead of the data set's word."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A published data set.

    Attributes
    ----------
    name
        Name in this package: the key of ``[data.folders]`` and ``[data.files]`` of a study.
    repository
        ``owner/name`` on the Hugging Face Hub; empty where it is not there (``absent`` says why).
    revision
        Commit of the repository that the sizes belong to; empty where none could be verified.
    reader
        Name of the function that makes an example of a row (``experiment.tasks.readers``).
    columns
        The reader's words for the columns, with the data set's: ``{"text": "premise", ...}``.
    file_columns
        The same words with the columns of the publisher's own files, where those are named otherwise.
    labels
        Names of the classes or tags in the order of the data set's integer codes; empty where
        labels are words already or there is no label.
    aliases
        Other spellings of labels in the publisher's own files, with the names they stand for.
    unlabelled
        Label codes that mean "no label"; such rows are left out and counted.
    languages
        Our code of each language with the data set's word for it; empty for a set in English only.
    sizes
        Published numbers of rows by ``(configuration, split)``.
    files
        Publisher's own file names by split, tried in a folder before the general ones; may contain
        :data:`LANGUAGE`, :data:`CODE` and the wildcard ``*``.
    absent
        Why the set is not on the Hub and where it is to be had.
    licence, citation
        As the publisher states them.
    source
        Where columns, splits and sizes were read.
    """

    name: str
    repository: str
    revision: str
    reader: str
    columns: Mapping[str, str]
    file_columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    labels: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unlabelled: tuple[int | str, ...] = ()
    languages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    absent: str = ""
    licence: str = ""
    citation: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a data set.

    Attributes
    ----------
    data
        Name of the data set.
    split
        Name of the split; may contain :data:`LANGUAGE`.
    configuration
        Name of the configuration ("subset") on the Hub; may contain :data:`LANGUAGE`; empty for the
        only one.
    row_prefix
        Where all languages share one split: rows are kept whose ``identifier`` column begins with
        this; may contain :data:`LANGUAGE`. Empty: all rows.
    """

    data: str
    split: str
    configuration: str = ""
    row_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One task: what it is trained, developed and tested on, and how it is scored.

    Attributes
    ----------
    name
        Name in studies and tables.
    title
        Name for people.
    group
        What kind of task it is, and XTREME's group for target tasks.
    benchmarks
        Benchmarks that score it, for example ``("xtreme", "xtreme-r")``; empty for tasks that are
        only trained on.
    format
        Decides head, loss and encoding; ``retrieval`` has none of them: it reads the encoder itself.
    labels
        Classes or tags in index order; empty for span, multiple choice and MLM, and where they are
        collected from the training data (CCG).
    metric
        Column ``metric`` of the scores: ``accuracy``, ``f1`` or ``em_f1``.
    train, dev
        Parts in English.
    test
        Part with :data:`LANGUAGE` for every language in ``languages``; None for a task that is
        only trained on.
    languages
        Codes of the tested languages as the benchmark writes them, English included where it has it.
    answers
        How answers of a span task are compared: ``squad`` or ``mlqa``; empty for other formats.
    options
        For multiple choice: how many texts an example is, at most.
    unanswerable
        Whether questions of a span task may have no answer in their context.
    question_words
        For multiple choice: words of the question column with the question in English.
    citation, source
        Who made it; where languages and metric were read.
    """

    name: str
    title: str
    group: Group
    format: Format | Literal["retrieval"]
    metric: str
    train: tuple[Part, ...]
    dev: tuple[Part, ...]
    test: Part | None = None
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    answers: Literal["", "squad", "mlqa"] = ""
    options: int = 1
    unanswerable: bool = False
    question_words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    citation: str = ""
    source: str = ""
