"""The tasks: part-of-speech and role tagging, question answering, and natural language inference.

``pos``
    The part of speech of every token, eleven tags.
``role``
    The role of every token: subject, predicate, object, place, time or punctuation.
``qa``
    Two sentences and a question for the subject, object or place of one of them, a third of the
    questions each (up to rounding); the answer is the noun phrase. The two sentences have different
    verbs, so the verb of the question tells which one is meant; the question word alone leaves few
    candidates in each sentence. Only affirmative sentences are asked about.
``nli``
    Entailment, neutral or contradiction, a third each (up to rounding); see ``inference``.

Test examples mean the same in every language. No split repeats an example's meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from alignaudit.core.example import Example, Format, PairExample, SpanExample, TagExample, TaskData
from alignaudit.world.grammar import ROLES, TAGS, Grammar
from alignaudit.world.inference import INFERENCE_LABELS, Inference, draw_inferences
from alignaudit.world.meaning import Clause, Split
from alignaudit.world.sampler import Sampler

__all__ = ["TASKS", "Recipe", "TaskSize", "build_task", "unique_clauses"]

_ASKED = ("subject", "object", "place")


@dataclass(frozen=True, slots=True)
class TaskSize:
    """Numbers of examples; ``test`` for each language."""

    train: int
    dev: int
    test: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a task is made: what its data look like, how meanings are drawn and how they are said.

    Attributes
    ----------
    format, labels, metric
        As in :class:`~alignaudit.core.example.TaskData`.
    draw
        From a sampler, a split and a number to that many items, which hold meanings only.
    render
        From a grammar, an item and an identifier to an example in the grammar's language.
    """

    format: Format
    labels: tuple[str, ...]
    metric: str
    draw: Callable[[Sampler, Split, int], list[Any]]
    render: Callable[[Grammar, Any, str], Example]


class _Asked(NamedTuple):
    """Two clauses and what is asked: which of them, and which of its roles."""

    clauses: tuple[Clause, Clause]
    position: int
    role: str


def build_task(name: str, sampler: Sampler, grammars: Mapping[str, Grammar], size: TaskSize) -> TaskData:
    """Make a task.

    Parameters
    ----------
    name
        Key of :data:`TASKS`.
    sampler
        Source of meanings.
    grammars
        Grammar of each language by code; ``en`` is that of the training set.
    size
        Numbers of examples.

    Returns
    -------
    TaskData
        With a test set for each key of ``grammars``.
    """
    recipe = TASKS[name]

    def examples(items: list[Any], code: str, split: Split) -> tuple[Example, ...]:
        return tuple(
            recipe.render(grammars[code], item, f"{name}-{split}-{number}")
            for number, item in enumerate(items)
        )

    test = recipe.draw(sampler, "test", size.test)
    return TaskData(
        name=name,
        format=recipe.format,
        labels=recipe.labels,
        metric=recipe.metric,
        train=examples(recipe.draw(sampler, "train", size.train), "en", "train"),
        dev=examples(recipe.draw(sampler, "dev", size.dev), "en", "dev"),
        test={code: examples(test, code, "test") for code in grammars},
    )


def unique_clauses(clauses: Iterable[Clause], count: int) -> list[Clause]:
    """Return the first ``count`` different meanings."""
    seen: dict[Clause, None] = {}
    for clause in clauses:
        seen.setdefault(clause)
        if len(seen) == count:
            break
    return list(seen)


def _draw_clauses(purpose: str, sampler: Sampler, split: Split, count: int) -> list[Clause]:
    return unique_clauses(sampler.clauses(split, purpose), count)


def _render_pos(grammar: Grammar, clause: Clause, _: str) -> TagExample:
    phrases = grammar.phrases(clause)
    tags = tuple(TAGS.index(tag) for phrase in phrases for tag in phrase.tags)
    return TagExample(tuple(word for phrase in phrases for word in phrase.words), tags)


def _render_role(grammar: Grammar, clause: Clause, _: str) -> TagExample:
    phrases = grammar.phrases(clause)
    tags = tuple(ROLES.index(phrase.role) for phrase in phrases for _ in phrase.words)
    return TagExample(tuple(word for phrase in phrases for word in phrase.words), tags)


def _draw_qa(sampler: Sampler, split: Split, count: int) -> list[_Asked]:
    """Ask for each role in turn, then shuffle."""
    generator = sampler.stream("qa", split)
    quota = {role: len(range(index, count, len(_ASKED))) for index, role in enumerate(_ASKED)}
    seen: dict[_Asked, None] = {}
    for documents in _with_two_verbs(sampler.documents(split, "qa")):
        role = _ASKED[generator.integers(len(_ASKED))]
        position = int(generator.integers(2))
        clause = documents[position]
        asked = _Asked(documents, position, role)
        if quota[role] and not clause.negated and getattr(clause, role) is not None and asked not in seen:
            quota[role] -= 1
            seen[asked] = None
        if not any(quota.values()):
            break
    items = list(seen)
    return [items[index] for index in generator.permutation(len(items))]


def _with_two_verbs(documents: Iterator[tuple[Clause, Clause]]) -> Iterator[tuple[Clause, Clause]]:
    return (document for document in documents if document[0].verb != document[1].verb)


def _render_qa(grammar: Grammar, asked: _Asked, identifier: str) -> SpanExample:
    clause = asked.clauses[asked.position]
    sentences = [grammar.sentence(each) for each in asked.clauses]
    answer, within = grammar.argument(clause, asked.role)
    start = within + (len(sentences[0]) + 1 if asked.position else 0)
    return SpanExample(
        identifier, grammar.question(clause, asked.role), " ".join(sentences), (answer,), (start,)
    )


def _render_nli(grammar: Grammar, inference: Inference, _: str) -> PairExample:
    premise, hypothesis, label = inference
    return PairExample(grammar.sentence(premise), grammar.sentence(hypothesis), label)


TASKS: Mapping[str, Recipe] = MappingProxyType(
    {
        "nli": Recipe("classification", INFERENCE_LABELS, "accuracy", draw_inferences, _render_nli),
        "qa": Recipe("span", (), "em_f1", _draw_qa, _render_qa),
        "role": Recipe("tagging", ROLES, "accuracy", partial(_draw_clauses, "role"), _render_role),
        "pos": Recipe("tagging", TAGS, "accuracy", partial(_draw_clauses, "pos"), _render_pos),
    }
)
"""The recipe of each task by name."""
