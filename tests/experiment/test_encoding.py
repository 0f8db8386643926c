"""Token numbers and targets point at the right characters."""

from __future__ import annotations

import pytest
from tiny import task_data

from alignaudit.core.example import ChoiceExample, SpanExample, TagExample
from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.experiment.batch import Masking, mask_tokens
from alignaudit.experiment.tasks.encoding import encode


def test_span_targets_decode_to_the_answer(tokenizer):
    data = task_data("span", 40)
    encoded = encode(data.train, "span", tokenizer, 64, training=True)
    assert encoded.dropped == 0
    for index, example in enumerate(data.train):
        start, end = encoded.labels[index]
        offsets = encoded.characters[index]
        assert example.context[offsets[start, 0] : offsets[end, 1]].strip() == example.answers[0]


def test_span_beyond_the_length_is_dropped_in_training_only(tokenizer):
    context = "the cat " * 40 + "red house"
    far = SpanExample("far", "where", context, ("red house",), (context.index("red"),))
    near = SpanExample("near", "where", context, ("the cat",), (0,))
    assert encode([far, near], "span", tokenizer, 24, training=True).dropped == 1
    assert len(encode([far, near], "span", tokenizer, 24, training=False)) == 2
    with pytest.raises(DataError, match="no answer lies inside"):
        encode([far], "span", tokenizer, 24, training=True)


def test_tags_stand_on_the_token_with_the_first_character(tokenizer):
    example = TagExample(("the", "cat", "walks"), (0, 1, 2))
    encoded = encode([example], "tagging", tokenizer, 32, training=True)
    pieces = tokenizer.convert_ids_to_tokens(encoded.sequences[0][encoded.positions[0]].tolist())
    assert [piece.lstrip("▁")[0] for piece in pieces] == ["t", "c", "w"]


def test_words_without_blanks_are_found_in_running_text(tokenizer):
    """As in Chinese: three words, no blanks; each is tagged on the token that covers its start."""
    example = TagExample(("cat", "dog", "man"), (0, 1, 2), (False, False, True))
    encoded = encode([example], "tagging", tokenizer, 32, training=True)
    offsets = tokenizer("catdogman", return_offsets_mapping=True)["offset_mapping"]
    for start, token in zip((0, 3, 6), encoded.positions[0], strict=True):
        assert offsets[token][0] <= start < offsets[token][1]


def test_words_beyond_the_length_are_marked_when_scoring(tokenizer):
    example = TagExample(("cat",) * 30, (0,) * 30)
    kept = encode([example], "tagging", tokenizer, 12, training=True)
    assert len(kept.labels[0]) + kept.dropped == 30
    scored = encode([example], "tagging", tokenizer, 12, training=False)
    assert len(scored.labels[0]) == 30
    assert (scored.positions[0] < 0).sum() == kept.dropped > 0


def test_options_must_agree_in_number(tokenizer):
    examples = [ChoiceExample("a", "b", ("x", "y"), 0), ChoiceExample("a", "b", ("x",), 0)]
    with pytest.raises(DataError, match="do not have 2 options"):
        encode(examples, "multiple_choice", tokenizer, 16, training=True)


def test_no_examples_is_an_error(tokenizer):
    with pytest.raises(DataError, match="no examples"):
        encode([], "classification", tokenizer, 16, training=True)


def test_masks_hide_the_stated_share_and_never_special_tokens(tokenizer):
    data = task_data("mlm", 400)
    encoded = encode(data.train, "mlm", tokenizer, 32, training=True)
    masking = Masking(0.25, 4, len(tokenizer), (0, 1, 2, 3, 4))
    everything = range(len(encoded))
    masked = mask_tokens(encoded, everything, masking, stream(0, "masks"))
    free = sum(int((ids > 4).sum()) for ids in encoded.sequences)
    hidden = sum(len(labels) for labels in masked.labels)
    # At least one per text raises the share above 25 %: for n tokens by (1 - .25)^n / n.
    expected = sum(0.25 * n + 0.75**n for n in (int((ids > 4).sum()) for ids in encoded.sequences))
    assert hidden == pytest.approx(expected, abs=5 * (free * 0.25 * 0.75) ** 0.5)
    for ids, new, labels, positions in zip(
        encoded.sequences, masked.sequences, masked.labels, masked.positions, strict=True
    ):
        assert len(labels) >= 1
        assert (ids[positions] == labels).all()
        assert (labels > 4).all()
        untouched = [place for place in range(len(ids)) if place not in positions]
        assert (ids[untouched] == new[untouched]).all()


def test_a_question_that_fills_the_length_is_an_error(tokenizer):
    long = SpanExample("q", "where " * 40, "the cat", ("the cat",), (0,))
    with pytest.raises(DataError, match="fills max_length"):
        encode([long], "span", tokenizer, 16, training=False)


def test_texts_never_exceed_the_positions_of_the_encoder(tokenizer):
    """The tokenizer knows how many tokens its encoder takes; a larger max_length is cut to that."""
    encoded = encode([TagExample(("cat",) * 300, (0,) * 300)], "tagging", tokenizer, 500, training=False)
    assert len(encoded.sequences[0]) == tokenizer.model_max_length == 96
