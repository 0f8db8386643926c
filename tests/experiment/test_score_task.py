"""Scores of constructed predictions, and answers found over all windows against a search by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import WORDS, make_encoder, task_data
from tokenizers import normalizers

from alignaudit.core.example import SpanExample, TagExample, TaskData
from alignaudit.core.rng import stream
from alignaudit.errors import DataError, StudyError, UsageError
from alignaudit.experiment import evaluate
from alignaudit.experiment.batch import Masking, mask_for_evaluation
from alignaudit.experiment.embedded import train_tokenizer
from alignaudit.experiment.evaluate import LONGEST_ANSWER, METRICS, best_span, score_task
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.tasks.encoding import encode

CPU = torch.device("cpu")
PLACE = {"pad_id": 1, "device": CPU, "batch_size": 5}
LOGITS = hnp.arrays(float, st.tuples(st.just(2), st.integers(1, 45)), elements=st.integers(-5, 5))


@given(LOGITS, st.data())
def test_best_span_is_the_first_best_of_all_allowed(logits, data):
    tokens = logits.shape[1]
    first = data.draw(st.integers(0, tokens - 1))
    last = data.draw(st.integers(first, tokens - 1))
    allowed = [(s, e) for s in range(first, last + 1) for e in range(s, min(tokens, s + LONGEST_ANSWER))]
    sums = [logits[0, s] + logits[1, e] for s, e in allowed]
    before = logits.copy()
    assert best_span(logits, (first, last)) == allowed[sums.index(max(sums))]
    assert (logits == before).all()
    if (first, last) == (0, tokens - 1):
        assert best_span(logits) == best_span(logits, (first, last))


class Oracle(MultiTaskModel):
    """Gives the gold labels, or the wrong ones, as logits."""

    def __init__(self, tokenizer, form, right=True):
        super().__init__(make_encoder(tokenizer), {form: HeadSpec(form, 3)}, "mean", 0.0, 0)
        self.right = right
        self.size = len(tokenizer) if form == "mlm" else 3

    def forward(self, task, batch):
        if batch.labels.dim() == 2:
            tokens = batch.input_ids.shape[1]
            return torch.nn.functional.one_hot(batch.labels, tokens).float() * 9
        labels = batch.labels if self.right else (batch.labels + 1) % self.size
        return torch.nn.functional.one_hot(labels, self.size).float()


def masking_of(tokenizer):
    return Masking(0.25, 4, len(tokenizer), (0, 1, 2, 3, 4))


FORMATS = ("classification", "multiple_choice", "tagging", "span", "mlm")


@pytest.mark.parametrize("form", FORMATS)
def test_gold_predictions_score_one(tokenizer, form):
    task = task_data(form)
    encoded = encode(task.train, form, tokenizer, 64, training=False)
    scores = score_task(
        Oracle(tokenizer, form), task, encoded, task.train, masking=masking_of(tokenizer), **PLACE
    )
    expected = METRICS[form] if form != "tagging" else ("accuracy",)
    assert list(scores) == list(expected)
    assert dict.fromkeys(expected, 1.0) == scores


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "span"])
def test_wrong_predictions_score_zero(tokenizer, form):
    task = task_data(form)
    encoded = encode(task.train, form, tokenizer, 64, training=False)
    wrong = Oracle(tokenizer, form, right=False)
    scores = score_task(wrong, task, encoded, task.train, masking=masking_of(tokenizer), **PLACE)
    assert set(scores.values()) == {0.0}


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", ["accuracy"]), ("f1", ["f1", "accuracy"])])
def test_tags_have_f1_only_where_the_task_is_scored_by_it(tokenizer, metric, expected):
    task = replace(task_data("tagging"), metric=metric)
    encoded = encode(task.train, "tagging", tokenizer, 64, training=False)
    scores = score_task(Oracle(tokenizer, "tagging"), task, encoded, task.train, **PLACE)
    assert list(scores) == expected


def test_a_metric_must_fit_its_format(tokenizer):
    task = replace(task_data("classification"), metric="em_f1")
    encoded = encode(task.train, "classification", tokenizer, 64, training=False)
    with pytest.raises(StudyError, match="metric em_f1 does not fit"):
        score_task(Oracle(tokenizer, "classification"), task, encoded, task.train, **PLACE)


def test_examples_must_be_those_that_were_encoded(tokenizer):
    task = task_data("classification")
    encoded = encode(task.train, "classification", tokenizer, 64, training=False)
    with pytest.raises(DataError, match="fewer examples"):
        score_task(Oracle(tokenizer, "classification"), task, encoded, task.train[:-1], **PLACE)


# ------------------------------------------------------------------ spans


class Waves(MultiTaskModel):
    """Logits that depend on a row's tokens alone; coarse, so that sums tie."""

    def __init__(self, tokenizer, shift=0.0):
        super().__init__(make_encoder(tokenizer), {"span": HeadSpec("span", 0)}, "mean", 0.0, 0)
        self.shift = shift

    def of_row(self, ids):
        at = np.arange(len(ids))
        start = np.round(4 * np.sin(1.3 * ids + 0.7 * at + len(ids))) / 2
        end = np.round(4 * np.cos(2.1 * ids - 0.4 * at + len(ids))) / 2
        start[0] += self.shift
        return np.stack([start, end])

    def forward(self, task, batch):
        logits = torch.full((len(batch.input_ids), 2, batch.input_ids.shape[1]), float("-inf"))
        for row, (ids, mask) in enumerate(zip(batch.input_ids, batch.attention_mask, strict=True)):
            length = int(mask.sum())
            logits[row, :, :length] = torch.from_numpy(self.of_row(ids[:length].numpy()))
        return logits


def found_by_hand(model, tokenizer, example, max_length, stride, unanswerable):
    """Every window, every pair of tokens, one after the other."""
    asked = tokenizer(example.question)["input_ids"]
    whole = tokenizer(example.context, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = whole["input_ids"], whole["offset_mapping"]
    room, starts = max_length - len(asked) - 2, [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + (min(stride, room) or room))
    windows = [(start, min(start + room, len(ids))) for start in starts]

    def context(window, token):
        low, high = window
        return min(token - low, high - 1 - token) + 0.01 * (high - low) if low <= token < high else -1.0

    best, answer, nulls = -np.inf, None, []
    for number, (low, high) in enumerate(windows):
        logits = model.of_row(np.array([*asked, 2, *ids[low:high], 2]))
        nulls.append(logits[0, 0] + logits[1, 0])
        shift = len(asked) + 1 - low
        for start in range(low, high):
            contexts = [context(window, start) for window in windows]
            if contexts.index(max(contexts)) != number:
                continue
            for end in range(start, min(high, start + LONGEST_ANSWER)):
                score = logits[0, start + shift] + logits[1, end + shift]
                if score > best:
                    best, answer = score, example.context[offsets[start][0] : offsets[end][1]].strip()
    return "" if unanswerable and min(nulls) > best else answer


def questions(count):
    draw = stream(0, "questions of waves")
    for index in range(count):
        context = " ".join(draw.choice(WORDS, size=int(draw.integers(2, 90))))
        asked = " ".join(draw.choice(WORDS, size=int(draw.integers(1, 5))))
        yield SpanExample(f"q{index}", asked, context, (context.split()[0],), (0,))


@pytest.mark.parametrize(("max_length", "stride"), [(30, 0), (30, 9), (90, 20)])
@pytest.mark.parametrize("unanswerable", [False, True])
def test_answers_are_the_best_over_all_windows(tokenizer, monkeypatch, max_length, stride, unanswerable):
    examples = list(questions(25))
    task = TaskData("span", "span", (), "em_f1", examples, [], {}, answers="mlqa", unanswerable=unanswerable)
    encoded = encode(examples, "span", tokenizer, max_length, training=False, stride=stride)
    given_to_score = {}

    def record(answers, accepted, **settings):
        given_to_score.update(answers=answers, accepted=accepted, settings=settings)
        return 0.5, 0.75

    monkeypatch.setattr(evaluate, "span_exact_match_f1", record)
    model = Waves(tokenizer, shift=2.0)
    scores = score_task(model, task, encoded, examples, language="de", **PLACE)
    expected = {
        example.identifier: found_by_hand(model, tokenizer, example, max_length, stride, unanswerable)
        for example in examples
    }
    assert given_to_score["answers"] == expected
    assert len(set(expected.values())) > 15
    assert ("" in expected.values()) == unanswerable
    assert given_to_score["accepted"] == {example.identifier: example.answers for example in examples}
    assert given_to_score["settings"] == {"scheme": "mlqa", "language": "de", "unanswerable": unanswerable}
    assert scores == {"em_f1": 0.625, "exact_match": 0.5, "f1": 0.75}


def test_gold_answers_beyond_the_first_window_score_one(tokenizer):
    draw = stream(0, "far answers")
    examples = []
    for index in range(12):
        words = draw.choice(WORDS, size=60).tolist()
        first = 30 + 2 * index
        start = len(" ".join(words[:first])) + 1
        answer = " ".join(words[first : first + 2])
        examples.append(SpanExample(f"q{index}", "where", " ".join(words), (answer,), (start,)))
    examples.append(SpanExample("none", "where", " ".join(WORDS * 3), (), ()))
    task = replace(task_data("span"), unanswerable=True)
    encoded = encode(examples, "span", tokenizer, 30, training=False, stride=8)
    scores = score_task(Oracle(tokenizer, "span"), task, encoded, examples, **PLACE)
    assert scores == {"em_f1": 1.0, "exact_match": 1.0, "f1": 1.0}
    only_first = encode(
        [replace(e, context=e.context[:60]) for e in examples], "span", tokenizer, 30, training=False
    )
    assert score_task(Oracle(tokenizer, "span"), task, only_first, examples, **PLACE)["em_f1"] < 0.2


def test_answers_are_compared_as_the_task_says(tokenizer):
    example = SpanExample("q", "who", "the old cat sees the dog", ("cat",), (8,))
    encoded = encode([example], "span", tokenizer, 32, training=False)
    accepted = [replace(example, answers=("la cat",))]
    task = task_data("span")
    model = Oracle(tokenizer, "span")
    for answers, language, expected in (("squad", "es", 0.0), ("mlqa", "es", 1.0), ("mlqa", "de", 0.0)):
        scores = score_task(
            model, replace(task, answers=answers), encoded, accepted, language=language, **PLACE
        )
        assert scores["exact_match"] == expected


def test_an_empty_context_is_answered_by_nothing(tokenizer):
    examples = [SpanExample("q", "who", "", (), ()), SpanExample("p", "who", "the cat", ("cat",), (4,))]
    task = replace(task_data("span"), unanswerable=True)
    encoded = encode(examples, "span", tokenizer, 32, training=False)
    scores = score_task(Oracle(tokenizer, "span"), task, encoded, examples, **PLACE)
    assert scores["em_f1"] == 1.0


# ------------------------------------------------------------------ tags


def test_long_sentences_lose_no_word(tokenizer):
    task = task_data("tagging")
    encoded = encode(task.train, "tagging", tokenizer, 8, training=False)
    assert len(encoded) > 1.5 * len(task.train)
    scores = score_task(Oracle(tokenizer, "tagging"), task, encoded, task.train, **PLACE)
    assert scores == {"accuracy": 1.0}


def test_words_without_a_token_count_as_wrong():
    tokenizer = train_tokenizer(["the cat sees a dog"] * 50, 60)
    steps = [normalizers.Replace("\u200b", ""), tokenizer.backend_tokenizer.normalizer]
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([step for step in steps if step])
    examples = [
        TagExample(("the", "cat", "\u200b"), (0, 1, 1), (True, False, True)),
        TagExample(("a", "dog"), (0, 2)),
    ]
    task = TaskData("tagging", "tagging", ("O", "B-X", "B-Y"), "f1", examples, [], {})
    encoded = encode(examples, "tagging", tokenizer, 32, training=False)
    scores = score_task(Oracle(tokenizer, "tagging"), task, encoded, examples, **PLACE)
    # Right are 4 of 5 words; spans: three in the gold, three found (one of them "cut"), two right.
    assert scores == {"f1": pytest.approx(2 / 3), "accuracy": pytest.approx(4 / 5)}


# ------------------------------------------------------------------ masked tokens


COMMON = 58  # a token that is hidden several times


class Constant(Oracle):
    """Always guesses one token."""

    def forward(self, task, batch):
        logits = torch.zeros(len(batch.labels), self.size)
        logits[:, COMMON] = 1.0
        return logits


def test_masked_accuracy_is_the_share_of_hidden_tokens(tokenizer):
    task = task_data("mlm", 60)
    encoded = encode(task.train, "mlm", tokenizer, 32, training=False)
    masking = masking_of(tokenizer)
    hidden = mask_for_evaluation(encoded, np.arange(60), masking).labels.values
    shares = []
    for size in (3, 64):
        scores = score_task(
            Constant(tokenizer, "mlm"),
            task,
            encoded,
            task.train,
            pad_id=1,
            device=CPU,
            masking=masking,
            batch_size=size,
        )
        shares.append(scores["accuracy"])
    assert shares == [pytest.approx((hidden == COMMON).mean(), abs=1e-15)] * 2
    assert (hidden == COMMON).sum() > 3


def test_masked_language_modelling_needs_a_masking(tokenizer):
    task = task_data("mlm")
    encoded = encode(task.train, "mlm", tokenizer, 32, training=False)
    with pytest.raises(UsageError, match="with a masking"):
        score_task(Oracle(tokenizer, "mlm"), task, encoded, task.train, **PLACE)
