"""Tagged words find their tokens in any script, and long sentences lose no word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import WORDS
from tokenizers import normalizers

from alignaudit.core.example import TagExample
from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.experiment.embedded import train_tokenizer
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.tasks.words import running_text, word_tokens

ASIAN = {
    "zh": ("我", "喜欢", "猫", "和", "狗", "他", "看见", "红色", "的", "房子"),
    "ja": ("私", "は", "猫", "が", "好き", "です", "大きな", "家", "を", "見る"),
    "th": ("ฉัน", "ชอบ", "แมว", "และ", "หมา", "เขา", "เห็น", "บ้าน", "สี", "แดง"),
}


@pytest.fixture(scope="module")
def asian():
    """A tokenizer of running text without blanks, whose pieces cross word boundaries."""
    draw = stream(0, "asian lines")
    lines = ["".join(draw.choice(words, size=6)) for words in ASIAN.values() for _ in range(150)]
    return train_tokenizer([*lines, *["我喜欢猫"] * 100], 260)


def tagged(words, spaces=()) -> TagExample:
    return TagExample(tuple(words), tuple(range(len(words))), tuple(spaces))


def test_tags_stand_on_the_token_with_the_first_character(tokenizer):
    encoded = encode([tagged(("the", "cat", "walks"))], "tagging", tokenizer, 32, training=True)
    pieces = tokenizer.convert_ids_to_tokens(encoded.sequences[0][encoded.positions[0]].tolist())
    assert [piece.lstrip("▁")[0] for piece in pieces] == ["t", "c", "w"]


@pytest.mark.parametrize("language", sorted(ASIAN))
def test_words_without_blanks_are_found_in_running_text(asian, language):
    draw = stream(0, "asian", language)
    crossed = 0
    for _ in range(30):
        words = [str(word) for word in draw.choice(ASIAN[language], size=int(draw.integers(2, 12)))]
        encoded = encode([tagged(words, (False,) * len(words))], "tagging", asian, 64, training=False)
        offsets = asian("".join(words), return_offsets_mapping=True)["offset_mapping"]
        start = 0
        for word, token in zip(words, encoded.positions[0], strict=True):
            assert offsets[token][0] <= start < offsets[token][1]
            crossed += offsets[token][1] > start + len(word)
            start += len(word)
    assert crossed > 0  # some pieces hold two words


def test_a_piece_of_two_words_carries_both(asian):
    words = ("我", "喜欢", "猫", "和")
    pieces = asian.tokenize("".join(words))
    assert any("喜欢" in piece and len(piece.lstrip("▁")) > 2 for piece in pieces)
    encoded = encode([tagged(words, (False,) * 4)], "tagging", asian, 32, training=True)
    assert len(set(encoded.positions[0].tolist())) < 4
    assert encoded.labels[0].tolist() == [0, 1, 2, 3]


SPANS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=8)


def laid_out(parts):
    """Gap and length of each part, as ranges of characters."""
    at, found = 0, []
    for gap, length in parts:
        found.append((at + gap, at + gap + length))
        at += gap + length
    return found


@given(SPANS, SPANS)
def test_word_tokens_are_those_found_by_walking(tokens, words):
    offsets = [(0, 0), *(pair for pair in laid_out(tokens) if pair[0] < pair[1]), (0, 0)]
    spans = laid_out(words)
    expected = []
    for start, end in spans:
        first = [i for i, (low, high) in enumerate(offsets) if low <= start < high and start < end]
        any_of = [i for i, (low, high) in enumerate(offsets) if low < end and high > start and high > low]
        expected.append((first or (any_of if start < end else []) or [-1])[0])
    assert word_tokens(np.array(offsets), np.array(spans)).tolist() == expected


def test_running_text_follows_the_blanks():
    text, spans = running_text(TagExample(("New", "York", "!"), (0, 1, 2), (True, False, True)))
    assert text == "New York!"
    assert [text[start:end] for start, end in spans] == ["New", "York", "!"]


# ------------------------------------------------------------------ long sentences


def as_xtreme_cuts(tokenizer, words, max_length):
    """First word of each row: words are added while their pieces, counted alone, fit."""
    firsts, used = [0], 0
    for place, word in enumerate(words):
        pieces = len(tokenizer.tokenize(word))
        if used + pieces > max_length - 2 and place > 0:
            firsts.append(place)
            used = 0
        used += pieces
    return firsts


@pytest.mark.parametrize("training", [True, False])
def test_long_sentences_are_cut_between_words_as_xtreme_cuts_them(tokenizer, training):
    draw = stream(0, "long sentences")
    examples = [tagged(draw.choice(WORDS, size=int(draw.integers(1, 70))).tolist()) for _ in range(40)]
    encoded = encode(examples, "tagging", tokenizer, 16, training=training)
    assert encoded.dropped == 0
    assert len(encoded) > 80
    for index, example in enumerate(examples):
        rows = np.flatnonzero(encoded.owners == index)
        assert np.concatenate([encoded.labels[row] for row in rows]).tolist() == list(example.tags)
        assert [encoded.labels[row][0] for row in rows] == as_xtreme_cuts(tokenizer, example.words, 16)
        for row in rows:
            ids = encoded.sequences[row]
            assert len(ids) <= 16
            words = [example.words[tag] for tag in encoded.labels[row]]
            assert ids.tolist() == tokenizer(" ".join(words))["input_ids"]
            pieces = tokenizer.convert_ids_to_tokens(ids[encoded.positions[row]].tolist())
            assert all(word.startswith(p.lstrip("▁")) for word, p in zip(words, pieces, strict=True))


@pytest.mark.parametrize("language", sorted(ASIAN))
def test_long_sentences_without_blanks_lose_no_word(asian, language):
    draw = stream(0, "long asian", language)
    words = draw.choice(ASIAN[language], size=120).tolist()
    encoded = encode([tagged(words, (False,) * 120)], "tagging", asian, 12, training=False)
    assert np.concatenate(list(encoded.labels)).tolist() == list(range(120))
    assert encoded.sequences.lengths.max() <= 12
    assert encoded.dropped == 0
    for row, tags in enumerate(encoded.labels):
        text = "".join(words[tag] for tag in tags)
        assert encoded.sequences[row].tolist() == asian(text)["input_ids"]


def test_a_word_longer_than_a_row_keeps_its_first_piece(tokenizer):
    example = tagged(("cat", "housecatdog" * 12, "dog"))
    encoded = encode([example], "tagging", tokenizer, 12, training=True)
    assert [labels.tolist() for labels in encoded.labels] == [[0], [1], [2]]
    assert len(encoded.sequences[1]) == 12
    assert encoded.dropped == 0


# ------------------------------------------------------------------ words without a token


@pytest.fixture
def dropping():
    """A tokenizer that drops zero-width blanks before it cuts text into pieces."""
    made = train_tokenizer(["the cat sees a dog"] * 50, 60)
    before = made.backend_tokenizer.normalizer
    steps = [normalizers.Replace("\u200b", ""), *([before] if before is not None else [])]
    made.backend_tokenizer.normalizer = normalizers.Sequence(steps)
    return made


def test_words_without_a_piece_are_counted(dropping):
    example = tagged(("the", "cat", "\u200b", ""), (True, False, True, True))
    trained = encode([example], "tagging", dropping, 32, training=True)
    assert trained.dropped == 2
    assert trained.labels[0].tolist() == [0, 1]
    scored = encode([example], "tagging", dropping, 32, training=False)
    assert scored.labels[0].tolist() == [0, 1, 2, 3]
    assert (scored.positions[0] < 0).tolist() == [False, False, True, True]


def test_a_word_that_begins_with_nothing_keeps_its_token(dropping):
    example = tagged(("the", "\u200bcat"))
    encoded = encode([example], "tagging", dropping, 32, training=True)
    assert encoded.dropped == 0
    piece = dropping.convert_ids_to_tokens(int(encoded.sequences[0][encoded.positions[0][1]]))
    assert piece.lstrip("▁")[0] == "c"


def test_rows_without_any_word_are_left_out_of_training(dropping):
    nothing, something = tagged(("\u200b",)), tagged(("cat",))
    encoded = encode([nothing, something], "tagging", dropping, 32, training=True)
    assert encoded.owners.tolist() == [1]
    assert len(encode([nothing, something], "tagging", dropping, 32, training=False)) == 2
    with pytest.raises(DataError, match="no word of any example"):
        encode([nothing], "tagging", dropping, 32, training=True)


def test_texts_never_exceed_the_positions_of_the_encoder(tokenizer):
    """The tokenizer knows how many tokens its encoder takes; a larger max_length is cut to that."""
    encoded = encode([tagged(("cat",) * 300)], "tagging", tokenizer, 500, training=False)
    assert encoded.sequences.lengths.max() <= tokenizer.model_max_length == 96
