"""Scores of constructed predictions, and sentence vectors against a pass by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import WORDS, make_encoder, task_data

from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.core.study import Measures
from alignaudit.errors import StudyError
from alignaudit.experiment.alignment import chance_rows, measure_encoder, ngram_rows
from alignaudit.experiment.embedded import train_tokenizer
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.evaluate import LONGEST_ANSWER, best_span, score_task
from alignaudit.experiment.model import HeadSpec, MultiTaskModel, load_encoder, load_tokenizer, save_encoder
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.measure.cka import debiased_cka
from alignaudit.measure.retrieval import normalise, retrieve

CPU = torch.device("cpu")
LOGITS = hnp.arrays(float, st.tuples(st.just(2), st.integers(1, 45)), elements=st.floats(-5, 5))


@given(LOGITS)
def test_best_span_is_the_best_of_all_allowed(logits):
    tokens = logits.shape[1]
    start, end = best_span(logits.copy())
    allowed = [(s, e) for s in range(tokens) for e in range(s, min(tokens, s + LONGEST_ANSWER))]
    assert (start, end) in allowed
    assert logits[0, start] + logits[1, end] == max(logits[0, s] + logits[1, e] for s, e in allowed)


class Oracle(MultiTaskModel):
    """Gives the gold labels, or the wrong ones, as logits."""

    def __init__(self, tokenizer, form, right):
        super().__init__(make_encoder(tokenizer), {form: HeadSpec(form, 3)}, "mean", 0.0, 0)
        self.right = right

    def forward(self, task, batch):
        labels = batch.labels if self.right else (batch.labels + 1) % 3
        if labels.dim() == 2:
            tokens = batch.input_ids.shape[1]
            target = batch.labels if self.right else torch.ones_like(batch.labels) * (tokens - 2)
            return torch.nn.functional.one_hot(target, tokens).float() * 9
        return torch.nn.functional.one_hot(labels, 3).float()


@pytest.mark.parametrize("form", ["classification", "multiple_choice", "tagging", "span"])
def test_gold_predictions_score_one(tokenizer, form):
    task = task_data(form)
    encoded = encode(task.train, form, tokenizer, 64, training=False)
    right = Oracle(tokenizer, form, right=True)
    assert score_task(right, task, encoded, task.train, pad_id=1, device=CPU, batch_size=5) == 1.0


@pytest.mark.parametrize("form", ["classification", "multiple_choice", "tagging"])
def test_wrong_predictions_score_zero(tokenizer, form):
    task = task_data(form)
    encoded = encode(task.train, form, tokenizer, 64, training=False)
    wrong = Oracle(tokenizer, form, right=False)
    assert score_task(wrong, task, encoded, task.train, pad_id=1, device=CPU, batch_size=5) == 0.0


def test_words_cut_away_count_as_wrong(tokenizer):
    task = task_data("tagging")
    encoded = encode(task.train, "tagging", tokenizer, 8, training=False)
    kept = sum(int((positions >= 0).sum()) for positions in encoded.positions)
    words = sum(len(example.words) for example in task.train)
    assert kept < words
    score = score_task(Oracle(tokenizer, "tagging", True), task, encoded, task.train, pad_id=1, device=CPU)
    assert score == pytest.approx(kept / words)


def test_a_metric_must_fit_its_format(tokenizer):
    task = task_data("mlm")
    encoded = encode(task_data("classification").train, "classification", tokenizer, 64, training=False)
    other = type(task)("classification", "classification", ("x", "y", "z"), "em_f1", task.train, task.dev)
    with pytest.raises(StudyError, match="metric em_f1 does not fit"):
        score_task(
            Oracle(tokenizer, "classification", True), other, encoded, task.train, pad_id=1, device=CPU
        )


# ------------------------------------------------------------------ vectors and alignment

SENTENCES = [" ".join(WORDS[i : i + 1 + i % 5]) for i in range(14)]


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_vectors_are_those_of_one_sentence_at_a_time(tokenizer, encoder, pooling):
    """Padding and batching change nothing beyond float32 rounding of a 2-layer encoder."""
    found = sentence_vectors(encoder, tokenizer, SENTENCES, poolings=(pooling,), batch_size=4)[pooling]
    assert found.shape == (3, len(SENTENCES), 16)
    for index, sentence in enumerate(SENTENCES):
        ids = torch.tensor([tokenizer(sentence)["input_ids"]])
        with torch.inference_mode():
            states = encoder(input_ids=ids, output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            expected = state[0].mean(0) if pooling == "mean" else state[0, 0]
            np.testing.assert_allclose(found[layer, index], expected.numpy(), rtol=1e-5, atol=2e-6)


def test_vectors_do_not_depend_on_what_was_encoded_before(tokenizer, encoder):
    once = sentence_vectors(encoder, tokenizer, SENTENCES)["mean"]
    sentence_vectors(encoder, tokenizer, SENTENCES[:3])
    assert (sentence_vectors(encoder, tokenizer, SENTENCES)["mean"] == once).all()


def test_measurement_equals_the_measures_on_the_vectors(tokenizer, encoder):
    texts = [ParallelText("xx", tuple(SENTENCES[::-1]), tuple(SENTENCES))]
    found = measure_encoder(encoder, tokenizer, texts, Measures(), shuffle_seed=3)
    x = sentence_vectors(encoder, tokenizer, SENTENCES[::-1])["mean"][2]
    y = sentence_vectors(encoder, tokenizer, SENTENCES)["mean"][2]
    rows = found.alignment.query("layer == 2").set_index(["metric", "direction", "centred"])["value"]
    for centred in (False, True):
        direct = retrieve(normalise(x, centred=centred), normalise(y, centred=centred))
        correct = direct.foreign_to_english.correct.mean()
        assert rows["accuracy", "foreign_to_english", centred] == pytest.approx(correct, abs=0)
        assert rows["margin", "english_to_foreign", centred] == pytest.approx(direct.margin.mean(), rel=1e-6)
    assert rows["cka_debiased", "foreign_to_english", True] == pytest.approx(
        debiased_cka(x, y).value, rel=1e-6
    )
    assert len(found.items) == 3 * 2 * len(SENTENCES)
    here = METRICS.__getitem__
    assert len(found.shuffled) == sum(here(name).where == "cell" for name in found.alignment["metric"])


def test_identical_sides_are_perfectly_aligned(tokenizer, encoder):
    texts = [ParallelText("xx", tuple(SENTENCES), tuple(SENTENCES))]
    found = measure_encoder(encoder, tokenizer, texts, Measures()).alignment
    assert (found.query("metric == 'accuracy'")["value"] == 1.0).all()
    assert found.query("metric == 'cka_debiased'")["value"].to_numpy() == pytest.approx(1.0)


def test_controls_stand_under_both_words_of_centred():
    texts = [ParallelText("xx", tuple(SENTENCES), tuple(SENTENCES))]
    assert {row["value"] for row in chance_rows(texts)} == {1 / len(SENTENCES)}
    rows = ngram_rows(texts, 10)
    assert {(row["direction"], row["centred"]) for row in rows} == {
        (direction, centred)
        for direction in ("foreign_to_english", "english_to_foreign")
        for centred in (False, True)
    }


def test_saved_encoder_is_loaded_to_the_same_bits(tokenizer, encoder, tmp_path):
    save_encoder(encoder, tokenizer, tmp_path / "saved")
    loaded = load_encoder(str(tmp_path / "saved"))
    again = load_tokenizer(str(tmp_path / "saved"))
    assert again(SENTENCES)["input_ids"] == tokenizer(SENTENCES)["input_ids"]
    before = sentence_vectors(encoder, tokenizer, SENTENCES)["mean"]
    assert (sentence_vectors(loaded, again, SENTENCES)["mean"] == before).all()
    assert not list((tmp_path / "saved").glob("*.bin"))


def test_tokenizer_training_is_deterministic():
    first, second = (train_tokenizer(SENTENCES * 3, 60).backend_tokenizer.to_str() for _ in range(2))
    assert first == second
