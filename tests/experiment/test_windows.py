"""Windows of long contexts, against windows cut by hand and a naive maximal context."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example as with_example
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import WORDS

from alignaudit.core.example import SpanExample
from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.tasks.windows import maximal_context

SEPARATOR = 2


def question(draw, index: int, words: int, question_words: int = 2) -> SpanExample:
    """A question with an answer of one to six words at a drawn place."""
    context = [str(word) for word in draw.choice(WORDS, size=words)]
    first = int(draw.integers(words))
    answer = " ".join(context[first : first + int(draw.integers(1, 7))])
    start = len(" ".join(context[:first])) + (first > 0)
    asked = " ".join(draw.choice(WORDS, size=question_words))
    return SpanExample(f"q{index}", asked, " ".join(context), (answer,), (start,))


def by_hand(tokenizer, example, max_length, stride):
    """Devlin's windows: a full one at every step until one reaches the end of the context."""
    asked = tokenizer(example.question)["input_ids"]
    whole = tokenizer(example.context, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = whole["input_ids"], whole["offset_mapping"]
    room = max_length - len(asked) - 2
    rows, start = [], 0
    while True:
        stop = min(start + room, len(ids))
        rows.append(([*asked, SEPARATOR, *ids[start:stop], SEPARATOR], offsets[start:stop], start))
        if stop == len(ids):
            return rows
        start += min(stride, room) or room


@pytest.mark.parametrize(("max_length", "stride"), [(24, 0), (24, 7), (40, 15), (96, 30), (17, 3)])
def test_windows_are_those_cut_by_hand(tokenizer, max_length, stride):
    draw = stream(0, "windows", max_length, stride)
    examples = [question(draw, index, int(draw.integers(3, 120))) for index in range(30)]
    encoded = encode(examples, "span", tokenizer, max_length, training=False, stride=stride)
    expected = [
        (index, *row)
        for index, example in enumerate(examples)
        for row in by_hand(tokenizer, example, max_length, stride)
    ]
    assert encoded.owners.tolist() == [row[0] for row in expected]
    assert len(expected) > 30 or max_length == 96
    for row, (_, ids, offsets, _) in enumerate(expected):
        assert encoded.sequences[row].tolist() == ids
        first, last = encoded.positions[row][:2]
        assert [tuple(pair) for pair in encoded.characters[row][first : last + 1].tolist()] == offsets
        assert last == len(ids) - 2


@pytest.mark.parametrize("stride", [0, 9])
def test_targets_are_the_answer_where_it_is_whole_and_else_the_first_token(tokenizer, stride):
    draw = stream(0, "targets", stride)
    examples = [question(draw, index, int(draw.integers(3, 90))) for index in range(120)]
    encoded = encode(examples, "span", tokenizer, 30, training=True, stride=stride)
    held = np.zeros(len(examples), dtype=int)
    for row, owner in enumerate(encoded.owners):
        example, offsets = examples[owner], encoded.characters[row]
        first, last = encoded.positions[row][:2]
        begin, end = example.starts[0], example.starts[0] + len(example.answers[0])
        inside = [t for t in range(first, last + 1) if offsets[t, 0] < end and offsets[t, 1] > begin]
        whole = bool(inside) and offsets[inside[0], 0] <= begin and offsets[inside[-1], 1] >= end
        assert encoded.labels[row].tolist() == ([inside[0], inside[-1]] if whole else [0, 0])
        if whole:
            start, stop = encoded.labels[row]
            assert example.context[offsets[start, 0] : offsets[stop, 1]].strip() == example.answers[0]
            held[owner] += 1
    assert encoded.dropped == (held == 0).sum()
    assert (encoded.dropped > 0) == (stride == 0)  # windows that overlap hold every answer of six words here
    assert (np.bincount(encoded.owners) > 1).any()


def test_only_the_first_answer_is_a_target(tokenizer):
    example = SpanExample("q", "who", "the cat sees the dog", ("dog", "cat"), (17, 4))
    encoded = encode([example], "span", tokenizer, 40, training=True)
    start, end = encoded.labels[0]
    offsets = encoded.characters[0]
    assert example.context[offsets[start, 0] : offsets[end, 1]].strip() == "dog"


def test_a_question_without_answer_has_the_first_token_as_target(tokenizer):
    none = SpanExample("q", "who", "the cat sees the dog " * 9, (), ())
    encoded = encode([none], "span", tokenizer, 24, training=True, stride=5)
    assert len(encoded) > 1
    assert (encoded.labels.values == 0).all()
    assert encoded.dropped == 0


def naive_maximal_context(starts, lengths):
    """Token by token, as a search for the best window (first of equals)."""
    owned = {window: [] for window in range(len(starts))}
    for token in range(max(s + n for s, n in zip(starts, lengths, strict=True))):
        best, best_score = None, None
        for window, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            end = start + length - 1
            if not start <= token <= end:
                continue
            score = min(token - start, end - token) + 0.01 * length
            if best_score is None or score > best_score:
                best, best_score = window, score
        owned[best].append(token - starts[best])
    return owned


@settings(max_examples=200, deadline=None)
@with_example(500, 400, 200)  # windows that differ so much in length that a hundredth of it decides
@with_example(700, 384, 380)
@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 59))
def test_maximal_context_is_the_naive_one(tokens, size, overlap):
    overlap = min(overlap, size - 1)
    starts, lengths = [0], [min(size, tokens)]
    while starts[-1] + lengths[-1] < tokens:
        starts.append(starts[-1] + size - overlap)
        lengths.append(min(size, tokens - starts[-1]))
    found = maximal_context(np.array(starts), np.array(lengths))
    expected = naive_maximal_context(starts, lengths)
    assert [list(range(first, last + 1)) for first, last in found] == list(expected.values())


def test_every_token_of_the_context_may_start_an_answer_in_one_window(tokenizer):
    draw = stream(0, "starts")
    example = question(draw, 0, 150)
    encoded = encode([example], "span", tokenizer, 40, training=False, stride=11)
    starts = []
    for row, (_, _, first, last) in enumerate(encoded.positions):
        starts += encoded.characters[row][first : last + 1].tolist()
    whole = tokenizer(example.context, add_special_tokens=False, return_offsets_mapping=True)
    assert [tuple(pair) for pair in starts] == whole["offset_mapping"]


def test_windows_of_a_long_question_never_leave_a_gap(tokenizer):
    """The step is at most what the question leaves; rows stay in the examples' order."""
    draw = stream(0, "long questions")
    examples = [question(draw, 0, 40), question(draw, 1, 40, question_words=13), question(draw, 2, 40)]
    encoded = encode(examples, "span", tokenizer, 34, training=False, stride=18)
    assert (np.diff(encoded.owners) >= 0).all()
    assert set(encoded.owners) == {0, 1, 2}
    for owner, example in enumerate(examples):
        expected = by_hand(tokenizer, example, 34, 18)
        rows = np.flatnonzero(encoded.owners == owner)
        assert [encoded.sequences[row].tolist() for row in rows] == [ids for ids, _, _ in expected]
    assert 34 - len(tokenizer(examples[1].question)["input_ids"]) - 2 < 18


def test_a_question_that_fills_the_length_is_an_error_with_its_name(tokenizer):
    fine = SpanExample("fine", "where", "the cat", ("the cat",), (0,))
    long = SpanExample("q17", "where " * 40, "the cat", ("the cat",), (0,))
    for training in (True, False):
        with pytest.raises(DataError, match='question "q17": the question fills max_length'):
            encode([fine, long], "span", tokenizer, 16, training=training)
    blanks = replace(fine, question=" " * 400 + "where")
    assert encode([blanks], "span", tokenizer, 16, training=True).sequences[0].tolist() == (
        encode([fine], "span", tokenizer, 16, training=True).sequences[0].tolist()
    )


def test_answers_that_no_window_holds_are_an_error_where_all_are(tokenizer):
    context = "the cat sees a dog near the old red house by the blue river and eats"
    long = SpanExample("long", "what", context, (context,), (0,))
    short = SpanExample("short", "what", context, ("the cat",), (0,))
    assert encode([long, short], "span", tokenizer, 16, training=True).dropped == 1
    with pytest.raises(DataError, match="no answer lies inside"):
        encode([long], "span", tokenizer, 16, training=True)
    assert len(encode([long], "span", tokenizer, 16, training=False)) > 1


def test_the_stride_must_not_be_negative(tokenizer):
    example = SpanExample("q", "where", "the cat", ("the cat",), (0,))
    with pytest.raises(UsageError, match="the stride"):
        encode([example], "span", tokenizer, 16, training=True, stride=-1)


def test_an_empty_context_has_no_place_for_an_answer(tokenizer):
    encoded = encode([SpanExample("q", "where", "", (), ())], "span", tokenizer, 16, training=False)
    first, last, start_first, start_last = encoded.positions[0]
    assert first > last
    assert start_first > start_last
