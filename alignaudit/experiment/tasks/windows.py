"""Questions with long contexts: the context is cut into windows that overlap, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import SpanExample
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.ragged import Encoded, Ragged

__all__ = ["encode_spans", "maximal_context"]

Integers = NDArray[np.int64]
NO_ANSWER = (0, 0)  # start and end: the first token


@dataclass(frozen=True, slots=True)
class _Window:
    """Token ids and character offsets of a question with a piece of its context.

    ``first`` is the first token of the context, ``length`` the number of its tokens.
    """

    ids: Integers
    offsets: Integers
    first: int
    length: int


def encode_spans(
    examples: Sequence[SpanExample],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    stride: int,
    first_owner: int = 0,
) -> Encoded:
    """Return questions with their contexts as rows of at most ``max_length`` tokens.

    A window that does not hold the whole (first) answer, and every window of a question without
    answer, has the first token as its target.

    Parameters
    ----------
    examples
        Questions; an example without answers is one that its context does not answer.
    tokenizer
        One that reports character offsets.
    max_length
        Tokens per row, question and special ones included.
    stride
        Tokens of context from the start of one window to that of the next; windows overlap by what
        the question leaves beyond that. 0, or more than the question leaves: they do not overlap.
    first_owner
        Index of the first example in its data set.

    Returns
    -------
    Encoded
        Rows of one example follow one another from left to right. ``dropped`` counts the examples
        with an answer that no window holds whole.

    Raises
    ------
    DataError
        If a question leaves no room for its context.

    References
    ----------
    Devlin et al. (2019), BERT, sections 4.2 and 4.3, and the program for SQuAD published with it,
    whose stride is the step from window to window, as it is in XTREME's and jiant's.
    """
    sequences, labels, positions, characters, owners, dropped = [], [], [], [], [], 0
    cut = _windows(examples, tokenizer, max_length, stride)
    for index, (example, (windows, overlap)) in enumerate(zip(examples, cut, strict=True)):
        lengths = np.array([window.length for window in windows])
        starts = np.arange(len(windows)) * (lengths[0] - overlap)
        answer = _answer_tokens(_whole_offsets(windows, starts), example)
        held = 0
        for window, start, allowed in zip(windows, starts, maximal_context(starts, lengths), strict=True):
            target = NO_ANSWER
            if answer is not None and start <= answer[0] and answer[1] < start + window.length:
                target = (answer[0] - start + window.first, answer[1] - start + window.first)
                held += 1
            sequences.append(window.ids)
            labels.append(np.array(target))
            place = [window.first, window.first + window.length - 1, *(window.first + allowed)]
            positions.append(np.array(place))
            characters.append(window.offsets)
            owners.append(first_owner + index)
        dropped += bool(example.answers) and not held
    return Encoded(
        "span",
        Ragged.of(sequences),
        1,
        Ragged.of(labels),
        Ragged.of(positions),
        Ragged.of(characters, columns=2),
        np.array(owners, dtype=np.int64),
        dropped,
    )


def maximal_context(starts: Integers, lengths: Integers) -> Integers:
    """Return which tokens have, in each window of a text, more context than in any other window.

    A token's context in a window is the smaller of the numbers of tokens to its left and right
    there, plus a hundredth of the window's length; of equals the first window counts.

    Parameters
    ----------
    starts, lengths
        Shape ``[windows]``: first token of each window in the text, and its number of tokens.

    Returns
    -------
    numpy.ndarray
        Shape ``[windows, 2]``: first and last such token, counted from the window's start;
        ``[0, -1]`` where there is none. Each token of the text is in exactly one of these ranges.

    References
    ----------
    Devlin et al. (2019), the program for SQuAD published with BERT ("maximum context").

    Examples
    --------
    >>> maximal_context(np.array([0, 4]), np.array([8, 8])).tolist()
    [[0, 5], [2, 7]]
    """
    tokens = np.arange(int((starts + lengths).max()))
    left, right = tokens - starts[:, None], (starts + lengths - 1)[:, None] - tokens
    context = np.minimum(left, right) + 0.01 * lengths[:, None]
    best = np.where((left >= 0) & (right >= 0), context, -np.inf).argmax(axis=0)
    ranges = np.tile([0, -1], (len(starts), 1))
    for window in np.unique(best):
        owned = np.flatnonzero(best == window)
        ranges[window] = owned[[0, -1]] - starts[window]
    return ranges


def _windows(
    examples: Sequence[SpanExample], tokenizer: PreTrainedTokenizerBase, max_length: int, stride: int
) -> list[tuple[list[_Window], int]]:
    """Windows of each example from left to right, with the number of tokens they share."""
    # Blanks around a question mean nothing; some of SQuAD's questions begin with many.
    questions = [example.question.strip() for example in examples]
    overlaps = _overlaps(examples, questions, tokenizer, max_length, stride)
    cut: list[tuple[list[_Window], int]] = [([], int(overlap)) for overlap in overlaps]
    for overlap in np.unique(overlaps):
        chosen = np.flatnonzero(overlaps == overlap).tolist()
        encoded = tokenizer(
            [questions[index] for index in chosen],
            [examples[index].context for index in chosen],
            truncation="only_second",
            max_length=max_length,
            stride=int(overlap),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for row, sample in enumerate(encoded["overflow_to_sample_mapping"]):
            context = np.array([part == 1 for part in encoded.sequence_ids(row)])
            window = _Window(
                np.asarray(encoded["input_ids"][row], dtype=np.int64),
                np.asarray(encoded["offset_mapping"][row], dtype=np.int64),
                int(context.argmax()),
                int(context.sum()),
            )
            cut[chosen[sample]][0].append(window)
    return cut


def _overlaps(
    examples: Sequence[SpanExample],
    questions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    stride: int,
) -> Integers:
    """Tokens that the windows of each example share: what the question leaves beyond the stride."""
    alone = tokenizer(list(questions), add_special_tokens=False, verbose=False)["input_ids"]
    special = int(tokenizer.num_special_tokens_to_add(pair=True))
    room = max_length - special - np.array([len(ids) for ids in alone])
    if room.min() < 1:
        index = int(room.argmin())
        raise DataError(
            f"the question fills max_length ({max_length}) and leaves no room for its context.",
            where=f'question "{examples[index].identifier}"',
            hint="Raise max_length.",
        )
    return np.maximum(room - stride, 0) if stride else np.zeros_like(room)


def _whole_offsets(windows: Sequence[_Window], starts: Integers) -> Integers:
    """Character offsets of all tokens of the context, shape ``[tokens, 2]``."""
    parts, known = [], 0
    for window, start in zip(windows, starts, strict=True):
        inside = window.offsets[window.first : window.first + window.length]
        parts.append(inside[known - start :])
        known = start + window.length
    return np.concatenate(parts)


def _answer_tokens(offsets: Integers, example: SpanExample) -> tuple[int, int] | None:
    """First and last token of the first answer in the context; None where there is none."""
    if not example.answers:
        return None
    start, end = example.starts[0], example.starts[0] + len(example.answers[0])
    covering = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    return (int(covering[0]), int(covering[-1])) if len(covering) else None
