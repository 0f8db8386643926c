"""Every task from files in its true layout through loading, encoding, training and scoring."""

from __future__ import annotations

import math

import datasets
import numpy as np
import pytest
import torch
from hub_files import LONG, ROWS, TESTED, data_sets_of, write_ccg, write_hub
from tiny import make_encoder

from alignaudit.core.example import SpanExample, TagExample
from alignaudit.core.phase import Optimisation, Schedule
from alignaudit.core.rng import stream
from alignaudit.core.tasks import TASKS
from alignaudit.experiment.batch import Masking
from alignaudit.experiment.embedded import SPECIALS, train_tokenizer
from alignaudit.experiment.evaluate import METRICS, score_task
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.schedule import build_plan, realise
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.tasks.load import load_task
from alignaudit.experiment.tasks.rows import Place
from alignaudit.experiment.tasks.shelf import UNKNOWN_LABEL
from alignaudit.experiment.tasks.words import running_text
from alignaudit.experiment.train import TrainingPlan, train

CPU = torch.device("cpu")
LENGTH, STRIDE, UPDATES = 48, 12, 12
TRAINED = [name for name, task in TASKS.items() if task.format != "retrieval"]


@pytest.fixture(scope="module")
def tokenizer():
    """Pieces of all scripts in the rows: some words are one piece, most several."""
    text = str(ROWS)
    return train_tokenizer([text[start : start + 400] for start in range(0, len(text), 400)], 700)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """A folder of copies of Hub repositories with every data set, and one with CCGbank."""
    root = tmp_path_factory.mktemp("hub")
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = root / "cache"
    yield Place(hub=str(write_hub(root, ROWS)), folders={"ccg": str(write_ccg(root))}, network=False)
    datasets.config.HF_DATASETS_CACHE = before


def load(name, copies):
    languages = ("en", "zh") if name == "mlm" else ("en",)
    return load_task(TASKS[name], copies, train_languages=languages, test_languages=TESTED.get(name, ()))


def encoded_as(data, examples, tokenizer, *, training):
    return encode(examples, data.format, tokenizer, LENGTH, training=training, stride=STRIDE)


def trained(data, train_set, tokenizer):
    """A tiny model after some updates on a task, its losses, and how it masks."""
    heads = {data.name: HeadSpec(data.format, len(data.labels))}
    model = MultiTaskModel(make_encoder(tokenizer), heads, "mean", 0.0, seed=5)
    batches = build_plan(
        {data.name: len(train_set)}, {data.name: UPDATES}, {data.name: 2}, {data.name: stream(5, data.name)}
    )
    steps = realise(batches, Schedule(kind="sequential"), [data.name], stream(5, "mixing_order"))
    masking = Masking(0.2, SPECIALS.index("<mask>"), len(tokenizer), tuple(range(len(SPECIALS))))
    curve = Optimisation(learning_rate=1e-2, warmup_share=0.0)
    plan = TrainingPlan(
        batches, steps, curve, "constant", "carry", dropout_seed=5, masking_seed=5, masking=masking
    )
    losses: list[float] = []
    train(
        model,
        {data.name: train_set},
        plan,
        pad_id=SPECIALS.index("<pad>"),
        device=CPU,
        progress=lambda done, total, loss: losses.append(loss),
    )
    return model, losses, masking


@pytest.mark.parametrize("name", TRAINED)
def test_a_task_goes_through_loading_encoding_training_and_scoring(name, copies, tokenizer):
    task, data = TASKS[name], load(name, copies)
    train_set = encoded_as(data, data.train, tokenizer, training=True)
    model, losses, masking = trained(data, train_set, tokenizer)
    assert len(losses) == UPDATES
    assert np.mean(losses[-3:]) < np.mean(losses[:3])  # what is to be learnt reaches the head
    sets = {"dev": data.dev} if len(data.dev) else {"train": data.train}
    sets |= data.test
    assert set(data.test) == set(TESTED.get(name, ()))
    for language, examples in sets.items():
        scores = score_task(
            model,
            data,
            encoded_as(data, examples, tokenizer, training=False),
            examples,
            pad_id=SPECIALS.index("<pad>"),
            device=CPU,
            language="en" if language in ("dev", "train") else language,
            masking=masking,
        )
        assert next(iter(scores)) == task.metric
        allowed = set(METRICS[data.format]) - ({"f1"} if task.metric == "accuracy" else set())
        assert set(scores) == allowed
        assert all(0 <= value <= 1 and math.isfinite(value) for value in scores.values())


# ------------------------------------------------------------------------------ what the rows became

CLASSES = {  # labels of the training rows by hand, in the order of the rows
    "mnli": ("neutral", "entailment", "contradiction", "neutral"),
    "xnli": ("neutral", "entailment", "contradiction", "neutral"),
    "anli": ("neutral", "entailment", "contradiction", "neutral") * 3,
    "anli_plus": ("neutral", "entailment", "contradiction", "neutral") * 5,
    "qqp": ("duplicate", "not_duplicate", "duplicate"),
    "pawsx": ("paraphrase", "different"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_the_labels_of_the_rows(name, copies, tokenizer):
    data = load(name, copies)
    encoded = encoded_as(data, data.train, tokenizer, training=True)
    assert [data.labels[row[0]] for row in encoded.labels] == list(CLASSES[name])
    assert encoded.lengths.max() == LENGTH  # the long text was cut
    assert encoded.owners.tolist() == list(range(len(data.train)))


def test_words_for_labels_and_other_languages(copies):
    data = load("xnli", copies)
    for language in TESTED["xnli"]:
        found = [data.labels[example.label] for example in data.test[language]]
        assert found == ["entailment", "neutral", "contradiction"]
    assert data.test["zh"][0].text == "猫在吃东西"


OPTIONS = {  # number of options, and the right one of each training row
    "hellaswag": (4, [3, 0]),
    "cosmosqa": (4, [2, 3]),
    "commonsenseqa": (5, [2, 4]),
    "social_i_qa": (3, [2, 0]),
    "xcopa": (2, [1, 0]),
    "belebele": (4, [2, 3]),  # trained on Cosmos QA
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_whole_beside_a_context_that_may_be_cut(name, copies, tokenizer):
    data = load(name, copies)
    encoded = encoded_as(data, data.train, tokenizer, training=True)
    number, right = OPTIONS[name]
    assert encoded.group == TASKS[name].options == number
    assert [row[0] for row in encoded.labels] == right
    assert encoded.lengths.max() <= LENGTH
    texts = tokenizer.batch_decode([encoded.sequences[row] for row in range(number * len(encoded))])
    options = [option for example in data.train for option in example.options]
    for text, option in zip(texts, options, strict=True):
        unknown = tokenizer.decode(tokenizer(option, add_special_tokens=False)["input_ids"])
        assert text.removesuffix("</s>").rstrip().endswith(unknown.strip())


SPANS = ("squad", "squad_v2", "xquad", "mlqa", "tydiqa")


@pytest.mark.parametrize("name", SPANS)
def test_answers_at_the_end_of_long_contexts_stay_answers(name, copies, tokenizer):
    """The tokens between start and end spell the answer; questions without one point at the first token."""
    data = load(name, copies)
    for examples in (data.train, *data.test.values()):
        encoded = encoded_as(data, examples, tokenizer, training=True)
        assert encoded.dropped == 0
        answered = set()
        for row, owner in enumerate(encoded.owners.tolist()):
            start, end = encoded.labels[row]
            example = examples[owner]
            assert isinstance(example, SpanExample)
            if (start, end) == (0, 0):
                continue
            offsets = encoded.characters[row]
            found = example.context[offsets[start, 0] : offsets[end, 1]]
            assert found.strip(" .") == example.answers[0] or example.answers[0] in found
            assert len(found) <= len(example.answers[0]) + 8  # a piece may hold a neighbour
            answered.add(owner)
        assert answered == {index for index, example in enumerate(examples) if example.answers}
    train_set = encoded_as(data, data.train, tokenizer, training=True)
    rows = np.bincount(train_set.owners)
    assert rows[1] > 2  # the long context has several windows
    assert train_set.lengths.max() <= LENGTH
    without = [example for example in data.train if not example.answers]
    assert len(without) == (2 if name == "squad_v2" else 0)


TAGGED = [
    (name, language) for name in ("udpos", "panx", "ccg") for language in ("train", *TESTED.get(name, ()))
]


@pytest.mark.parametrize(("name", "language"), TAGGED)
def test_every_word_is_tagged_on_its_first_piece(name, language, copies, tokenizer):
    """Chinese, Japanese, Thai and Burmese too; a cut sentence has each word in exactly one row."""
    data = load(name, copies)
    examples = data.train if language == "train" else data.test[language]
    encoded = encoded_as(data, examples, tokenizer, training=False)
    assert encoded.lengths.max() <= LENGTH
    for index, example in enumerate(examples):
        assert isinstance(example, TagExample)
        rows = np.flatnonzero(encoded.owners == index)
        tags = np.concatenate([encoded.labels[row] for row in rows])
        assert tags.tolist() == list(example.tags)
        pieces = [
            tokenizer.convert_ids_to_tokens(int(encoded.sequences[row][token])) if token >= 0 else None
            for row in rows
            for token in encoded.positions[row]
        ]
        for word, piece in zip(example.words, pieces, strict=True):
            assert piece is not None
            assert piece == "<unk>" or word.startswith(piece.lstrip("▁")), (word, piece)
    if name != "ccg":
        assert (np.bincount(encoded.owners) > 1).any()
        assert running_text(examples[0])[0] == " ".join(examples[0].words)


def test_a_supertag_that_training_lacks_is_never_right(copies, tokenizer):
    data = load("ccg", copies)
    assert data.labels[-1] == UNKNOWN_LABEL
    assert [data.labels[tag] for tag in data.dev[0].tags] == ["NP", UNKNOWN_LABEL, "."]
    train_set = encoded_as(data, data.train, tokenizer, training=True)
    assert data.labels.index(UNKNOWN_LABEL) not in train_set.labels.values


def test_running_text_is_in_both_languages_and_cut(copies, tokenizer):
    data = load("mlm", copies)
    assert [example.text for example in data.train][1] == LONG
    encoded = encoded_as(data, data.train, tokenizer, training=True)
    assert len(encoded) == 4
    assert encoded.lengths.max() == LENGTH
    assert "猫" in tokenizer.decode(encoded.sequences[2])


def test_there_are_rows_of_every_data_set_that_tasks_train_and_test_on():
    tasks = [TASKS[name] for name in TRAINED]
    assert set(data_sets_of(*tasks)) == {*ROWS, "ccg"}
