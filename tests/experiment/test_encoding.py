"""Token numbers and targets of texts, pairs and options; long data sets a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from encoded import same
from tiny import sentence, task_data

from alignaudit.core.example import ChoiceExample, PairExample, TextExample
from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.experiment.tasks import encoding
from alignaudit.experiment.tasks.encoding import encode

FORMATS = ("classification", "multiple_choice", "span", "tagging", "mlm")


def test_pairs_are_joined_and_single_texts_are_not(tokenizer):
    pairs = [PairExample("the cat", "a dog", 1), PairExample("the dog", "", 0)]
    encoded = encode(pairs, "classification", tokenizer, 32, training=True)
    for row, pair in enumerate(pairs):
        assert encoded.sequences[row].tolist() == tokenizer([pair.text], [pair.text_pair])["input_ids"][0]
    single = encode(pairs[1:], "classification", tokenizer, 32, training=True)
    assert single.sequences[0].tolist() == tokenizer("the dog")["input_ids"]
    assert [labels.tolist() for labels in encoded.labels] == [[1], [0]]
    assert encoded.owners.tolist() == [0, 1]


def test_options_stand_beside_context_and_question(tokenizer):
    """With a question (Cosmos QA), without one (HellaSwag), and without a context (CommonsenseQA)."""
    options = ("a cat", "the old man", "near the house")
    cases = [
        (ChoiceExample("the dog eats", "who is it ?", options, 2), [f"who is it ? {o}" for o in options]),
        (ChoiceExample("the dog eats", "", options, 0), list(options)),
    ]
    for example, seconds in cases:
        encoded = encode([example], "multiple_choice", tokenizer, 48, training=True)
        expected = tokenizer(["the dog eats"] * 3, seconds)["input_ids"]
        assert [ids.tolist() for ids in encoded.sequences] == expected
        assert (encoded.group, len(encoded)) == (3, 1)
    example = ChoiceExample("", "who is it ?", options, 1)
    encoded = encode([example], "multiple_choice", tokenizer, 48, training=True)
    assert [ids.tolist() for ids in encoded.sequences] == (
        tokenizer(["who is it ?"] * 3, list(options))["input_ids"]
    )
    assert encoded.labels[0].tolist() == [1]


def test_only_the_context_is_cut_before_options(tokenizer):
    example = ChoiceExample("the old man eats " * 20, "what ?", ("a cat", "a dog"), 0)
    encoded = encode([example], "multiple_choice", tokenizer, 20, training=True)
    for ids, option in zip(encoded.sequences, example.options, strict=True):
        tail = tokenizer(f"what ? {option}", add_special_tokens=False)["input_ids"]
        assert len(ids) == 20
        assert ids[-1 - len(tail) : -1].tolist() == tail


def test_options_must_agree_in_number(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 2)
    examples = [ChoiceExample("a", f"b{number}", ("x", "y"), 0) for number in range(3)]
    odd = ChoiceExample("a", "which one", ("x",), 0)
    with pytest.raises(DataError, match=r'example 4 \("which one"\): 1 options, but the first example has 2'):
        encode([*examples, odd], "multiple_choice", tokenizer, 16, training=True)


def test_an_option_that_fills_the_length_is_an_error_with_its_example(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 2)
    fine = ChoiceExample("the cat", "what ?", ("x", "y"), 0)
    long = ChoiceExample("the cat", "what ?", ("x", "dog " * 50), 0)
    with pytest.raises(DataError, match=r"example 4: the option .* alone fills max_length"):
        encode([fine, fine, fine, long], "multiple_choice", tokenizer, 16, training=True)


def test_no_examples_is_an_error(tokenizer):
    for form in FORMATS:
        with pytest.raises(DataError, match="no examples"):
            encode([], form, tokenizer, 16, training=True)


class Lazy(Sequence):
    """Makes each example when it is asked for, and counts how many are alive."""

    def __init__(self, count):
        self.count, self.alive, self.most = count, 0, 0

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        if not 0 <= place < self.count:
            raise IndexError(place)
        self.alive += 1
        self.most = max(self.most, self.alive)
        return _Counted(sentence(stream(0, "lazy", place)), self)


class _Counted(TextExample):
    def __init__(self, text, owner):
        super().__init__(text)
        object.__setattr__(self, "owner", owner)

    def __del__(self):
        self.owner.alive -= 1


def test_examples_are_held_a_chunk_at_a_time(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 10)
    lazy = Lazy(95)
    encoded = encode(lazy, "mlm", tokenizer, 32, training=True)
    assert lazy.most <= 20
    assert len(encoded) == 95
    texts = [TextExample(sentence(stream(0, "lazy", place))) for place in range(95)]
    monkeypatch.setattr(encoding, "CHUNK", 1000)
    assert same(encoded, encode(texts, "mlm", tokenizer, 32, training=True))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("training", [True, False])
def test_chunks_leave_no_trace(tokenizer, monkeypatch, form, training):
    examples = task_data(form, 50).train
    whole = encode(examples, form, tokenizer, 24, training=training, stride=4)
    monkeypatch.setattr(encoding, "CHUNK", 7)
    assert same(whole, encode(examples, form, tokenizer, 24, training=training, stride=4))


def test_the_second_text_of_a_late_example_counts_for_all(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 3)
    examples = [*[PairExample("the cat", "", 0)] * 5, PairExample("a", "dog", 1)]
    encoded = encode(examples, "classification", tokenizer, 16, training=True)
    assert encoded.sequences[0].tolist() == tokenizer(["the cat"], [""])["input_ids"][0]
