"""What data is made of: one example of each task format, a task's data, parallel text, mining sets.

These are plain frozen records without behaviour, so that the embedded world, the file readers and
the training code can meet without knowing one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "FORMATS",
    "ChoiceExample",
    "Example",
    "Format",
    "MiningText",
    "PairExample",
    "ParallelText",
    "SpanExample",
    "TagExample",
    "TaskData",
    "TextExample",
]

Format = Literal["classification", "multiple_choice", "span", "tagging", "mlm"]
FORMATS: tuple[Format, ...] = ("classification", "multiple_choice", "span", "tagging", "mlm")


@dataclass(frozen=True, slots=True)
class PairExample:
    """One text or a pair of texts with a class. ``label`` indexes ``TaskData.labels``."""

    text: str
    text_pair: str
    label: int


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A context with a question, several options, and the index of the right one."""

    context: str
    question: str
    options: tuple[str, ...]
    label: int


@dataclass(frozen=True, slots=True)
class SpanExample:
    """A question whose answers are spans of the context.

    ``starts[i]`` is the character offset of ``answers[i]`` in ``context``.
    """

    identifier: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TagExample:
    """Words with one tag each. ``tags[i]`` indexes ``TaskData.labels``.

    ``space_after[i]`` says whether a blank follows word ``i`` in the running text; empty means
    after every word.
    """

    words: tuple[str, ...]
    tags: tuple[int, ...]
    space_after: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class TextExample:
    """One stretch of running text, for masked language modelling."""

    text: str


Example: TypeAlias = PairExample | ChoiceExample | SpanExample | TagExample | TextExample


@dataclass(frozen=True, slots=True)
class TaskData:
    """Everything that is known of a task: English training and development sets, and test sets.

    Attributes
    ----------
    name
        Name of the task in studies and tables.
    format
        One of :data:`FORMATS`; decides head, loss and encoding.
    labels
        Names of the classes or tags in index order; empty for span, multiple choice and MLM.
    metric
        Column ``metric`` of the scores, for example ``accuracy``, ``f1`` or ``em_f1``.
    train, dev
        English examples.
    test
        Examples by language code (English included where it exists); empty for a task that is
        only trained on.
    answers
        How answers of a span task are compared: ``squad`` or ``mlqa`` (punctuation and articles of
        the language).
    unanswerable
        Whether a span task has questions without answer, so that "none" may be predicted.
    """

    name: str
    format: Format
    labels: tuple[str, ...]
    metric: str
    train: Sequence[Example]
    dev: Sequence[Example]
    test: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    answers: str = "squad"
    unanswerable: bool = False


@dataclass(frozen=True, slots=True)
class ParallelText:
    """Sentence pairs of one language and English: line ``i`` translates line ``i``.

    Attributes
    ----------
    language
        Code of the foreign language, as written in the file names.
    foreign, english
        Sentences; both have length n.
    documents
        Document that each pair was taken from, length n; empty where that is not known.
    """

    language: str
    foreign: tuple[str, ...]
    english: tuple[str, ...]
    documents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MiningText:
    """Sentences of one language and English among which the translations are to be found.

    Attributes
    ----------
    language
        Code of the foreign language, as written in the file names.
    foreign_ids, foreign
        Name and text of each foreign sentence; both have length n.
    english_ids, english
        Name and text of each English sentence; both have length m.
    gold
        The pairs that are translations, as (foreign name, English name). Most sentences have none.
    """

    language: str
    foreign_ids: tuple[str, ...]
    foreign: tuple[str, ...]
    english_ids: tuple[str, ...]
    english: tuple[str, ...]
    gold: tuple[tuple[str, str], ...]
