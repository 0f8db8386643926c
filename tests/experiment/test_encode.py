"""Sentence vectors: each distinct sentence once, and the vectors of one sentence at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny import WORDS

from alignaudit.core.example import ParallelText
from alignaudit.core.specification import POOLINGS
from alignaudit.experiment.encode import SentenceEncoder, as_array, sentence_vectors

# Padding and batches change float32 sums of two blocks only in their last bits: 4e-7 was seen.
ROUNDING = {"rtol": 1e-5, "atol": 2e-6}
SENTENCES = [" ".join(WORDS[i : i + 1 + i % 5]) for i in range(14)]


def naive(encoder, tokenizer, sentence: str, max_length: int = 128) -> dict[str, np.ndarray]:
    """Vectors [layers, d] of one sentence alone, pooled token by token."""
    ids = tokenizer(sentence, truncation=True, max_length=max_length)["input_ids"]
    with torch.inference_mode():
        states = encoder(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    words = [place for place, token in enumerate(ids) if token not in tokenizer.all_special_ids]
    found = {pooling: [] for pooling in POOLINGS}
    for state in states:
        tokens = [token.numpy().astype(np.float64) for token in state[0]]
        found["mean"].append(sum(tokens) / len(tokens))
        plain = [tokens[place] for place in words] or tokens
        found["mean_without_special"].append(sum(plain) / len(plain))
        found["first"].append(tokens[0])
        found["max"].append([max(column) for column in zip(*tokens, strict=True)])
    return {pooling: np.array(layers) for pooling, layers in found.items()}


class Watched:
    """Records what goes through an encoder."""

    def __init__(self, encoder):
        self.rows = 0
        self.widths: list[int] = []
        encoder.register_forward_pre_hook(self.see, with_kwargs=True)

    def see(self, _module, _arguments, named):
        self.rows += len(named["input_ids"])
        self.widths.append(named["input_ids"].shape[1])


# ------------------------------------------------------------------ poolings and layers


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_four_poolings_are_those_of_one_sentence_at_a_time(tokenizer, encoder, batch_size):
    found = sentence_vectors(encoder, tokenizer, SENTENCES, poolings=POOLINGS, batch_size=batch_size)
    assert list(found) == list(POOLINGS)
    for index, sentence in enumerate(SENTENCES):
        for pooling, expected in naive(encoder, tokenizer, sentence).items():
            assert found[pooling].dtype == torch.float32
            assert found[pooling].shape == (3, len(SENTENCES), 16)
            np.testing.assert_allclose(found[pooling][:, index], expected, **ROUNDING)
    for first, second in pairwise(POOLINGS):  # the oracle would not tell them apart otherwise
        assert not np.allclose(found[first], found[second], atol=1e-3)


def test_a_text_without_words_is_the_mean_of_its_special_tokens(tokenizer, encoder):
    empty = ""
    assert set(tokenizer(empty)["input_ids"]) <= set(tokenizer.all_special_ids)
    found = sentence_vectors(encoder, tokenizer, ["the old cat", empty], poolings=POOLINGS)
    expected = naive(encoder, tokenizer, empty)
    for pooling in POOLINGS:
        np.testing.assert_allclose(found[pooling][:, 1], expected[pooling], **ROUNDING)
    np.testing.assert_allclose(found["mean_without_special"][:, 1], found["mean"][:, 1], **ROUNDING)


def test_padding_takes_no_part_in_the_maximum(tokenizer, encoder):
    """Padding states of these layers exceed every other somewhere, so a leak would show."""
    long = " ".join(WORDS[:12])
    ids = tokenizer(["cat", long], padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = encoder(**ids, output_hidden_states=True).hidden_states
    alone = naive(encoder, tokenizer, "cat")["max"]
    with_padding = np.array([state[0].amax(dim=0).numpy() for state in states])
    assert (with_padding > alone + 0.1).any()
    found = sentence_vectors(encoder, tokenizer, ["cat", long], poolings=("max",))["max"]
    np.testing.assert_allclose(found[:, 0], alone, **ROUNDING)


def test_layers_are_chosen_in_the_order_asked(tokenizer, encoder):
    every = sentence_vectors(encoder, tokenizer, SENTENCES, poolings=("mean", "first"))
    some = sentence_vectors(encoder, tokenizer, SENTENCES, poolings=("mean", "first"), layers=(2, 0))
    for pooling, vectors in some.items():
        assert torch.equal(vectors, every[pooling][[2, 0]])


def test_long_texts_are_cut(tokenizer, encoder):
    found = sentence_vectors(encoder, tokenizer, SENTENCES, max_length=4)["mean"]
    for index, sentence in enumerate(SENTENCES):
        expected = naive(encoder, tokenizer, sentence, max_length=4)["mean"]
        np.testing.assert_allclose(found[:, index], expected, **ROUNDING)


def test_batches_hold_texts_of_like_length_and_progress_ends_at_the_last(tokenizer, encoder):
    watched, done = Watched(encoder), []
    sentence_vectors(encoder, tokenizer, SENTENCES[::-1], batch_size=4, progress=done.append)
    assert watched.widths == sorted(watched.widths)
    assert done == [4, 8, 12, 14]


def test_vectors_do_not_depend_on_what_was_encoded_before(tokenizer, encoder):
    once = sentence_vectors(encoder, tokenizer, SENTENCES)["mean"]
    sentence_vectors(encoder, tokenizer, SENTENCES[:3])
    assert torch.equal(sentence_vectors(encoder, tokenizer, SENTENCES)["mean"], once)


def test_as_array_shares_the_numbers():
    vectors = torch.zeros(2, 3)
    as_array(vectors)[1, 2] = 5.0
    assert vectors[1, 2] == 5.0


# ------------------------------------------------------------------ each distinct sentence once


def test_a_sentence_that_comes_again_is_encoded_once(tokenizer, encoder):
    watched = Watched(encoder)
    source = SentenceEncoder(encoder, tokenizer, poolings=("mean", "max"), batch_size=3)
    asked = ["the cat", "a dog", "the cat", "red house", "a dog", "the cat"]
    found = source.vectors(asked)
    assert watched.rows == source.encoded == 3
    for pooling, vectors in found.items():
        assert vectors.shape == (3, 6, 16)
        assert torch.equal(vectors[:, 0], vectors[:, 2])
        for index, sentence in enumerate(asked):
            expected = naive(encoder, tokenizer, sentence)[pooling]
            np.testing.assert_allclose(vectors[:, index], expected, **ROUNDING)
    assert source.seconds > 0


def texts_of(*english: tuple[str, ...]) -> list[ParallelText]:
    return [ParallelText(f"l{place}", side, side) for place, side in enumerate(english)]


def random_sides(seed: int) -> list[tuple[str, ...]]:
    """English sides of five languages that share sentences; some sides equal, some with repetitions."""
    draw = np.random.default_rng(seed)
    sides = [tuple(draw.choice(SENTENCES, size=int(draw.integers(1, 9)))) for _ in range(3)]
    return [sides[int(place)] for place in draw.integers(0, 3, size=5)]


@pytest.mark.parametrize("seed", range(12))
def test_shared_english_is_encoded_once_and_kept_while_it_is_needed(tokenizer, encoder, seed):
    sides = random_sides(seed)
    alone = {sentence: naive(encoder, tokenizer, sentence) for sentence in SENTENCES}
    watched = Watched(encoder)
    source = SentenceEncoder(encoder, tokenizer, poolings=("mean", "first"), texts=texts_of(*sides))
    for place, side in enumerate(sides):
        found = source.shared(side)
        for pooling, vectors in found.items():
            assert vectors.shape == (3, len(side), 16)
            for index, sentence in enumerate(side):
                expected = alone[sentence][pooling]
                np.testing.assert_allclose(vectors[:, index], expected, **ROUNDING)
        met = {sentence for earlier in sides[: place + 1] for sentence in earlier}
        wanted = {sentence for later in sides[place + 1 :] for sentence in later}
        assert set(source._kept) == met & wanted
    assert not source._kept
    assert watched.rows == source.encoded == len({sentence for side in sides for sentence in side})


def test_what_is_kept_are_copies(tokenizer, encoder):
    """A view would keep all vectors of the language alive for the sake of one sentence."""
    sides = (tuple(SENTENCES[:6]), tuple(SENTENCES[5:9]))
    source = SentenceEncoder(encoder, tokenizer, texts=texts_of(*sides))
    source.shared(sides[0])
    ((_, vectors),) = source._kept.items()
    assert vectors["mean"].untyped_storage().nbytes() == vectors["mean"].nbytes


def test_a_text_that_was_not_announced_is_encoded_and_not_kept(tokenizer, encoder):
    source = SentenceEncoder(encoder, tokenizer)
    found = source.shared(tuple(SENTENCES[:4]))["mean"]
    assert torch.equal(found, sentence_vectors(encoder, tokenizer, SENTENCES[:4])["mean"])
    assert not source._kept
