"""Examples into token numbers: one function per task format, a thousand examples at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import (
    ChoiceExample,
    Example,
    Format,
    PairExample,
    SpanExample,
    TagExample,
    TextExample,
)
from alignaudit.errors import DataError, UsageError
from alignaudit.experiment.tasks.ragged import Encoded, Ragged
from alignaudit.experiment.tasks.windows import encode_spans
from alignaudit.experiment.tasks.words import encode_tags

__all__ = ["VERSION", "Encoded", "encode"]

VERSION = 1
"""Goes up whenever the same examples would give other token numbers; part of the key of stored encodings."""

CHUNK = 1000  # examples held as records at once


@dataclass(frozen=True, slots=True)
class _Call:
    """What all chunks of one call share.

    ``paired`` says whether any example has a second text (classification), ``options`` how many
    the first example has (multiple choice).
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    stride: int
    training: bool
    paired: bool
    options: int


def encode(
    examples: Sequence[Example],
    form: Format,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    training: bool,
    stride: int = 0,
) -> Encoded:
    """Return examples as token numbers.

    Parameters
    ----------
    examples
        All of the record type that belongs to ``form``. They are walked in order, and never more
        than two thousand are held at once, so they may be made as they are asked for.
    form
        Task format.
    tokenizer
        A tokenizer that reports character offsets (every ``tokenizers``-backed one does).
    max_length
        Tokens per row, special ones included, or what the encoder takes, if that is less. Longer
        contexts of questions give several windows, longer tagged sentences several rows; other
        texts are cut at the end.
    training
        Whether tagged words without a token are left out, or marked to be scored as wrong.
    stride
        Tokens of context from window to window of a question; 0: they do not overlap.

    Raises
    ------
    DataError
        If there is no example, options differ in number between multiple-choice examples, a
        question or option leaves no room for its context, or no window holds an answer.
    UsageError
        If the stride is negative.
    """
    if not len(examples):
        raise DataError("there are no examples.", where=f"format {form}", hint="Check the task's files.")
    max_length = min(max_length, tokenizer.model_max_length)
    if stride < 0:
        raise UsageError(f"the stride ({stride}) must not be negative.")
    paired = form == "classification" and any(
        pair.text_pair for pair in cast(Sequence[PairExample], examples)
    )
    options = len(cast(Sequence[ChoiceExample], examples)[0].options) if form == "multiple_choice" else 1
    call = _Call(tokenizer, max_length, stride, training, paired, options)
    chunks, owner, answers = [], 0, 0
    for chunk in _chunks(examples):
        chunks.append(_ENCODERS[form](chunk, owner, call))
        owner += len(chunk)
        if form == "span":
            answers += sum(bool(span.answers) for span in cast(Sequence[SpanExample], chunk))
    encoded = Encoded.joined(chunks)
    _check_targets(encoded, call, answers)
    return encoded


def _check_targets(encoded: Encoded, call: _Call, answers: int) -> None:
    if not call.training:
        return
    if 0 < answers == encoded.dropped:
        raise DataError("no answer lies inside max_length.", where="format span", hint="Raise max_length.")
    if not len(encoded):
        raise DataError("the tokenizer knows no word of any example.", where=f"format {encoded.format}")


def _chunks(examples: Sequence[Example]) -> Iterator[list[Example]]:
    running = iter(examples)
    while chunk := list(islice(running, CHUNK)):
        yield chunk


def _rows(form: Format, encoded: Mapping[str, Any], labels: Ragged, owner: int, group: int = 1) -> Encoded:
    """One row per example, without positions."""
    count = len(labels)
    return Encoded(
        form,
        Ragged.of([np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]),
        group,
        labels,
        Ragged.empty(count),
        Ragged.empty(count),
        np.arange(owner, owner + count, dtype=np.int64),
    )


def _classes(examples: Sequence[PairExample] | Sequence[ChoiceExample]) -> Ragged:
    labels = np.array([example.label for example in examples], dtype=np.int32)
    return Ragged(labels, np.arange(1, len(labels) + 1))


def _classification(examples: Sequence[Example], owner: int, call: _Call) -> Encoded:
    pairs = cast(Sequence[PairExample], examples)
    second = [pair.text_pair for pair in pairs] if call.paired else None
    encoded = call.tokenizer(
        [pair.text for pair in pairs], second, truncation=True, max_length=call.max_length
    )
    return _rows("classification", encoded, _classes(pairs), owner)


def _multiple_choice(examples: Sequence[Example], owner: int, call: _Call) -> Encoded:
    choices = cast(Sequence[ChoiceExample], examples)
    texts: list[str] = []
    answers: list[str] = []
    for index, choice in enumerate(choices):
        if len(choice.options) != call.options:
            raise DataError(
                f"{len(choice.options)} options, but the first example has {call.options}.",
                where=f'example {owner + index + 1} ("{choice.question or choice.context[:60]}")',
            )
        for option in choice.options:
            first, second = _choice_texts(choice, option)
            texts.append(first)
            answers.append(second)
    encoded = _shortened(texts, answers, owner, call)
    return _rows("multiple_choice", encoded, _classes(choices), owner, call.options)


def _choice_texts(choice: ChoiceExample, option: str) -> tuple[str, str]:
    """Context against question and option; where there is no context, question against option."""
    if not choice.context:
        return choice.question, option
    return choice.context, f"{choice.question} {option}".strip()


def _shortened(texts: Sequence[str], answers: Sequence[str], owner: int, call: _Call) -> Mapping[str, Any]:
    """Pairs of texts of which the first may lose its end."""
    try:
        encoded: Mapping[str, Any] = call.tokenizer(
            list(texts), list(answers), truncation="only_first", max_length=call.max_length
        )
    except Exception as error:
        if "Truncation error" not in str(error):  # the tokenizers library raises a bare Exception
            raise
        alone = call.tokenizer(list(answers), add_special_tokens=False, verbose=False)["input_ids"]
        longest = int(np.argmax([len(ids) for ids in alone]))
        raise DataError(
            f'the option "{answers[longest][-60:]}" alone fills max_length ({call.max_length}).',
            where=f"example {owner + longest // call.options + 1}",
            hint="Raise max_length.",
        ) from error
    return encoded


def _span(examples: Sequence[Example], owner: int, call: _Call) -> Encoded:
    spans = cast(Sequence[SpanExample], examples)
    return encode_spans(spans, call.tokenizer, call.max_length, call.stride, owner)


def _tagging(examples: Sequence[Example], owner: int, call: _Call) -> Encoded:
    tagged = cast(Sequence[TagExample], examples)
    return encode_tags(tagged, call.tokenizer, call.max_length, training=call.training, first_owner=owner)


def _mlm(examples: Sequence[Example], owner: int, call: _Call) -> Encoded:
    texts = [example.text for example in cast(Sequence[TextExample], examples)]
    encoded = call.tokenizer(texts, truncation=True, max_length=call.max_length)
    return _rows("mlm", encoded, Ragged.empty(len(texts)), owner)


_ENCODERS: Mapping[Format, Callable[[Sequence[Example], int, _Call], Encoded]] = {
    "classification": _classification,
    "multiple_choice": _multiple_choice,
    "span": _span,
    "tagging": _tagging,
    "mlm": _mlm,
}
