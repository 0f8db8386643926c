"""Tagged words: which token carries each word, and long sentences cut between words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import TagExample
from alignaudit.experiment.tasks.ragged import Encoded, Ragged

__all__ = ["encode_tags", "running_text", "word_tokens"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Running text and where in it each word starts and ends, shape ``[words, 2]``."""

    text: str
    spans: Integers


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Words ``first`` to ``stop`` (exclusive) of a sentence, with the token of each word in ``ids``."""

    sentence: int
    first: int
    stop: int
    ids: Integers
    tokens: Integers


def encode_tags(
    examples: Sequence[TagExample],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    *,
    training: bool,
    first_owner: int = 0,
) -> Encoded:
    """Return tagged sentences as rows of at most ``max_length`` tokens, cut between words.

    The tag of a word stands on the token that holds its first character, so that scripts without
    blanks work too; where none does, on the first token that holds any of it.

    Parameters
    ----------
    examples
        Sentences.
    tokenizer
        One that reports character offsets.
    max_length
        Tokens per row, special ones included. A word longer than that loses its end.
    training
        Whether words without a token, and rows without a word, are left out; otherwise such words
        have position -1.
    first_owner
        Index of the first example in its data set.

    Returns
    -------
    Encoded
        Rows of a sentence follow one another from left to right. ``dropped`` counts the words
        without a token.

    References
    ----------
    Hu et al. (2020), XTREME, whose preprocessing cuts long sentences between words as well.
    """
    sequences, labels, positions, owners, dropped = [], [], [], [], 0
    for row in _stretches(examples, tokenizer, max_length):
        tags = np.asarray(examples[row.sentence].tags[row.first : row.stop], dtype=np.int64)
        kept = row.tokens >= 0
        dropped += int((~kept).sum())
        if training and not kept.any():
            continue
        sequences.append(row.ids)
        labels.append(tags[kept] if training else tags)
        positions.append(row.tokens[kept] if training else row.tokens)
        owners.append(first_owner + row.sentence)
    return Encoded(
        "tagging",
        Ragged.of(sequences),
        1,
        Ragged.of(labels),
        Ragged.of(positions),
        Ragged.empty(len(labels)),
        np.array(owners, dtype=np.int64),
        dropped,
    )


def running_text(example: TagExample) -> tuple[str, Integers]:
    """Return the words as running text, and the characters of each word.

    Returns
    -------
    text : str
        Words with a blank between them where ``space_after`` says so.
    spans : numpy.ndarray
        Shape ``[words, 2]``: first character of each word, and the one after its last.

    Examples
    --------
    >>> running_text(TagExample(("New", "York", "!"), (0, 0, 0), (True, False, True)))[0]
    'New York!'
    """
    spaces = example.space_after or (True,) * len(example.words)
    text, spans = "", []
    for word, space in zip(example.words, spaces, strict=True):
        spans.append((len(text), len(text) + len(word)))
        text += word + (" " if space else "")
    return text.rstrip(" "), np.array(spans, dtype=np.int64).reshape(-1, 2)


def word_tokens(offsets: Integers, spans: Integers) -> Integers:
    """Return the token that carries each word.

    Parameters
    ----------
    offsets
        Shape ``[tokens, 2]``: characters of each token, from left to right; special tokens are
        empty (``[0, 0]``).
    spans
        Shape ``[words, 2]``: characters of each word.

    Returns
    -------
    numpy.ndarray
        Shape ``[words]``: the token that holds the word's first character, else the first that
        holds any of its characters, else -1.

    Examples
    --------
    >>> word_tokens(np.array([[0, 0], [0, 3], [3, 5], [0, 0]]), np.array([[0, 2], [2, 3], [4, 5], [5, 6]]))
    array([ 1,  1,  2, -1])
    """
    real = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
    if not len(real):
        return np.full(len(spans), -1, dtype=np.int64)
    start, end = spans[:, 0], spans[:, 1]
    at = np.searchsorted(offsets[real, 0], start, side="right") - 1
    before, after = real[np.maximum(at, 0)], real[np.minimum(at + 1, len(real) - 1)]
    holds_first = (offsets[before, 0] <= start) & (offsets[before, 1] > start)
    holds_any = (offsets[after, 0] > start) & (offsets[after, 0] < end)
    return np.where(end <= start, -1, np.where(holds_first, before, np.where(holds_any, after, -1)))


def _stretches(
    examples: Sequence[TagExample], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[_Stretch]:
    """Rows of all sentences in order. A row cut off is tokenised anew, for its pieces may differ."""
    sentences = [_Sentence(*running_text(example)) for example in examples]
    waiting = [(index, 0, len(sentence.spans)) for index, sentence in enumerate(sentences)]
    done: list[_Stretch] = []
    shorten = False
    while waiting:
        rows = _tokenised(waiting, sentences, tokenizer, max_length if shorten else None)
        fits = [shorten or len(row.ids) <= max_length for row, _ in rows]
        done += [row for (row, _), fit in zip(rows, fits, strict=True) if fit]
        long = [pair for pair, fit in zip(rows, fits, strict=True) if not fit]
        shorten = bool(long) and all(row.stop - row.first <= 1 for row, _ in long)
        waiting = [piece for row, end in long for piece in _cut(row, end, max_length, tokenizer)]
    return sorted(done, key=lambda row: (row.sentence, row.first))


def _tokenised(
    pieces: Sequence[tuple[int, int, int]],
    sentences: Sequence[_Sentence],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
) -> list[tuple[_Stretch, int]]:
    """Tokenise some stretches; beside each, where the tokens of its text end."""
    spans = [sentences[sentence].spans[first:stop] for sentence, first, stop in pieces]
    texts = [
        sentences[sentence].text[part[0, 0] : part[-1, 1]] if len(part) else ""
        for (sentence, _, _), part in zip(pieces, spans, strict=True)
    ]
    encoded = tokenizer(
        texts,
        truncation=max_length is not None,
        max_length=max_length,
        return_offsets_mapping=True,
        verbose=False,
    )
    rows = []
    for piece, part, ids, pairs in zip(
        pieces, spans, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        offsets = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        tokens = word_tokens(offsets, part - part[:1, :1])
        end = int(np.flatnonzero(offsets[:, 1] > offsets[:, 0]).max(initial=-1)) + 1
        rows.append((_Stretch(*piece, np.asarray(ids, dtype=np.int64), tokens), end))
    return rows


def _cut(
    row: _Stretch, end: int, max_length: int, tokenizer: PreTrainedTokenizerBase
) -> list[tuple[int, int, int]]:
    """Cut a stretch into the longest runs of words that should fit; at least one word each."""
    words = row.stop - row.first
    if words <= 1:
        return [(row.sentence, row.first, row.stop)]
    room = max_length - int(tokenizer.num_special_tokens_to_add(pair=False))
    begins = np.maximum.accumulate(row.tokens)  # a word without token begins where the one before does
    ends = [*begins[1:].tolist(), end]
    firsts = [0]
    for word in range(1, words):
        if ends[word] - max(int(begins[firsts[-1]]), 0) > room:
            firsts.append(word)
    if len(firsts) == 1:
        firsts.append(words - 1)
    stops = [*firsts[1:], words]
    return [
        (row.sentence, row.first + first, row.first + stop) for first, stop in zip(firsts, stops, strict=True)
    ]
