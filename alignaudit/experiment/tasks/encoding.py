"""Examples into token numbers: one function per task format, one ragged record for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
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
from alignaudit.errors import DataError

__all__ = ["Encoded", "encode"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples as token numbers and targets.

    Attributes
    ----------
    format
        Task format.
    sequences
        Token ids, one array per text; ``group`` successive texts belong to one example.
    group
        Texts per example: the number of options for multiple choice, else 1.
    labels
        Per example: ``[class]``, ``[right option]``, ``[start, end]`` token of the answer, the tags
        of its words, or nothing (MLM draws its own).
    positions
        Per example: for tagging the token that carries each word (when not training, -1 for a
        word beyond ``max_length``), for span the first and last token of the context; else empty.
    characters
        For span: per example the character offsets of each token, shape ``[tokens, 2]``.
    dropped
        Training examples left out because their answer lies beyond ``max_length`` (span), or
        words beyond it (tagging).
    """

    format: Format
    sequences: list[Integers]
    group: int
    labels: list[Integers]
    positions: list[Integers]
    characters: list[Integers] = field(default_factory=list)
    dropped: int = 0

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)


def encode(
    examples: Sequence[Example],
    form: Format,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    training: bool,
) -> Encoded:
    """Return examples as token numbers.

    Parameters
    ----------
    examples
        All of the record type that belongs to ``form``.
    form
        Task format.
    tokenizer
        A tokenizer that reports character offsets (every ``tokenizers``-backed one does).
    max_length
        Tokens per text, special ones included; longer texts are cut at the end.
    training
        Whether span examples without an answer inside ``max_length`` are dropped (their number
        is kept in ``dropped``) or kept, to be scored as wrong.

    Raises
    ------
    DataError
        If there is no example, options differ in number between multiple-choice examples, or a
        question leaves no room for its context.
    """
    if not examples:
        raise DataError("there are no examples.", where=f"format {form}", hint="Check the task's files.")
    try:
        return _ENCODERS[form](examples, tokenizer, min(max_length, tokenizer.model_max_length), training)
    except Exception as error:
        if "Truncation error" in str(error):  # the tokenizers library raises a bare Exception
            raise DataError(
                "a question or option alone fills max_length.",
                where=f"format {form}",
                hint="Raise max_length.",
            ) from error
        raise


def _ids(encoded: Mapping[str, Any]) -> list[Integers]:
    return [np.asarray(ids, dtype=np.int64) for ids in encoded["input_ids"]]


def _nothing(count: int) -> list[Integers]:
    return [np.empty(0, dtype=np.int64) for _ in range(count)]


def _classification(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
) -> Encoded:
    pairs = cast(Sequence[PairExample], examples)
    second = [pair.text_pair for pair in pairs] if any(pair.text_pair for pair in pairs) else None
    encoded = tokenizer([pair.text for pair in pairs], second, truncation=True, max_length=max_length)
    labels = [np.array([pair.label], dtype=np.int64) for pair in pairs]
    return Encoded("classification", _ids(encoded), 1, labels, _nothing(len(pairs)))


def _multiple_choice(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
) -> Encoded:
    choices = cast(Sequence[ChoiceExample], examples)
    group = len(choices[0].options)
    if any(len(choice.options) != group for choice in choices):
        raise DataError(f"some examples do not have {group} options.", where="format multiple_choice")
    contexts = [choice.context for choice in choices for _ in choice.options]
    answers = [f"{choice.question} {option}".strip() for choice in choices for option in choice.options]
    encoded = tokenizer(contexts, answers, truncation="only_first", max_length=max_length)
    labels = [np.array([choice.label], dtype=np.int64) for choice in choices]
    return Encoded("multiple_choice", _ids(encoded), group, labels, _nothing(len(choices)))


def _span(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
) -> Encoded:
    spans = cast(Sequence[SpanExample], examples)
    encoded = tokenizer(
        [span.question for span in spans],
        [span.context for span in spans],
        truncation="only_second",
        max_length=max_length,
        return_offsets_mapping=True,
    )
    sequences, labels, positions, characters, dropped = [], [], [], [], 0
    for index, span in enumerate(spans):
        offsets = np.asarray(encoded["offset_mapping"][index], dtype=np.int64)
        inside = np.array([part == 1 for part in encoded.sequence_ids(index)])
        context = np.flatnonzero(inside)
        target = _token_span(offsets, context, span)
        if target is None and training:
            dropped += 1
            continue
        sequences.append(np.asarray(encoded["input_ids"][index], dtype=np.int64))
        labels.append(np.array(target or (0, 0), dtype=np.int64))
        positions.append(np.array([context[0], context[-1]] if len(context) else [0, 0], dtype=np.int64))
        characters.append(offsets)
    if not sequences:
        raise DataError("no answer lies inside max_length.", where="format span", hint="Raise max_length.")
    return Encoded("span", sequences, 1, labels, positions, characters, dropped)


def _token_span(offsets: Integers, context: Integers, span: SpanExample) -> tuple[int, int] | None:
    """First and last token of the first answer, or None where it was cut away."""
    start, end = span.starts[0], span.starts[0] + len(span.answers[0])
    covering = [int(token) for token in context if offsets[token, 0] < end and offsets[token, 1] > start]
    if not covering or offsets[covering[-1], 1] < end:
        return None
    return covering[0], covering[-1]


def _tagging(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
) -> Encoded:
    """Tag the token that holds a word's first character, so that scripts without blanks work too."""
    tagged = cast(Sequence[TagExample], examples)
    texts, starts = zip(*(_running_text(example) for example in tagged), strict=True)
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, return_offsets_mapping=True)
    labels, positions, dropped = [], [], 0
    for index, example in enumerate(tagged):
        offsets = np.asarray(encoded["offset_mapping"][index], dtype=np.int64)
        real = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
        word_starts = np.asarray(starts[index], dtype=np.int64)
        token = real[np.searchsorted(offsets[real, 0], word_starts, side="right") - 1]
        kept = (offsets[token, 0] <= word_starts) & (offsets[token, 1] > word_starts)
        tags = np.asarray(example.tags, dtype=np.int64)
        dropped += int((~kept).sum())
        positions.append(token[kept] if training else np.where(kept, token, -1))
        labels.append(tags[kept] if training else tags)
    return Encoded("tagging", _ids(encoded), 1, labels, positions, dropped=dropped)


def _running_text(example: TagExample) -> tuple[str, list[int]]:
    """Return the words as running text and the character at which each word starts."""
    spaces = example.space_after or (True,) * len(example.words)
    text, starts = "", []
    for word, space in zip(example.words, spaces, strict=True):
        starts.append(len(text))
        text += word + (" " if space else "")
    return text.rstrip(" "), starts


def _mlm(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int, training: bool
) -> Encoded:
    texts = cast(Sequence[TextExample], examples)
    encoded = tokenizer([example.text for example in texts], truncation=True, max_length=max_length)
    return Encoded("mlm", _ids(encoded), 1, _nothing(len(texts)), _nothing(len(texts)))


_Encoder = Callable[[Sequence[Example], PreTrainedTokenizerBase, int, bool], Encoded]
_ENCODERS: Mapping[Format, _Encoder] = {
    "classification": _classification,
    "multiple_choice": _multiple_choice,
    "span": _span,
    "tagging": _tagging,
    "mlm": _mlm,
}
