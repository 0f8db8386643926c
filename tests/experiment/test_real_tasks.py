"""The real files of the data's publishers through a whole study: tasks, parallel text, retrieval."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from small_study import context_of, run_all, stages_of, stay_offline

from alignaudit.core.assemble import assemble_tables
from alignaudit.core.decode import decode
from alignaudit.core.phase import Optimisation, Schedule
from alignaudit.core.rng import stream
from alignaudit.core.study import EmbeddedEncoder, Study
from alignaudit.core.tasks import TASKS
from alignaudit.experiment.check import check_study
from alignaudit.experiment.data import open_source
from alignaudit.experiment.embedded import SPECIALS, embedded_config, train_tokenizer
from alignaudit.experiment.evaluate import score_task
from alignaudit.experiment.execute import execute
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.model import (
    MultiTaskModel,
    build_encoder,
    load_encoder,
    load_tokenizer,
    save_encoder,
)
from alignaudit.experiment.schedule import build_plan, realise
from alignaudit.experiment.stages import draw_plan
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.tasks.load import load_task
from alignaudit.experiment.tasks.rows import Place
from alignaudit.experiment.train import TrainingPlan, train

CPU = torch.device("cpu")
LENGTH = 192
QUESTIONS = ("en", "de", "es", "ru", "zh", "hi")
TAGS = ("en", "de", "tr", "zh")
TEXTS = ("deu", "cmn", "hin")
PAD = SPECIALS.index("<pad>")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def real_encoder(real_data, tmp_path_factory) -> Path:
    """A tiny XLM-R for texts of 192 tokens, with pieces of the languages of the real files."""
    names = [f"ntrex/{code}.txt" for code in ("eng", "deu", "spa", "rus", "cmn", "hin", "tur", "swh")]
    lines = [line for name in names for line in (real_data / name).read_text("utf-8").splitlines()[:150]]
    tokenizer = train_tokenizer(lines, 2500)
    tokenizer.model_max_length = LENGTH
    config = embedded_config(EmbeddedEncoder(hidden_size=16, layers=2, attention_heads=2), len(tokenizer))
    config.max_position_embeddings = LENGTH + 4
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(build_encoder(config, 3), tokenizer, folder)
    return folder


def real_study(real_data: Path, encoder: Path, **data) -> Study:
    """Three intermediate tasks and two target tasks on the real files; a few updates each."""
    curve = {"learning_rate": 1e-3}
    size = {"updates": 2, "batch_size": 4, "max_length": LENGTH}
    return decode(
        Study,
        {
            "name": "real",
            "seeds": [1],
            "orders": 1,
            "data": {
                "source": "folder",
                "folder": str(real_data),
                "carve": {
                    "anli": "dev",
                    "cosmosqa": "validation",
                    "squad": "validation",
                    "udpos": "validation",
                },
                "files": {
                    "anli": {"dev": str(real_data / "anli/dev_r*.jsonl")},
                    "cosmosqa": {"validation": str(real_data / "cosmosqa/valid.csv")},
                    "squad": {"validation": str(real_data / "xquad/xquad.en.json")},
                    "udpos": {
                        "validation": str(real_data / "ud/en_ewt-ud-dev.conllu"),
                        "test": str(real_data / "ud/{language}_*-ud-test.conllu"),
                    },
                },
                "train_examples": 24,
                "dev_examples": 8,
                "test_examples": 6,
                "parallel_pairs": 20,
                **data,
            },
            "encoder": {"checkpoints": [str(encoder)], "head_pooling": "mean"},
            "intermediate": {
                "optimisation": curve,
                "tasks": {"anli": size, "cosmosqa": size, "squad": {**size, "stride": 64}},
            },
            "target": {
                "optimisation": curve,
                "tasks": {
                    "xquad": {**size, "stride": 64, "test_languages": list(QUESTIONS)},
                    "udpos": {**size, "test_languages": list(TAGS)},
                },
            },
            "schedules": {"sequential": {"kind": "sequential"}},
            "measure": {
                "languages": list(TEXTS),
                "retrieval": ["tatoeba"] if data.get("parallel", "tatoeba") == "tatoeba" else [],
                "permutations": 19,
                "pool": 4,
                "neighbours": 2,
            },
        },
        where="real study",
    )


@pytest.fixture(scope="module")
def tables(real_data, real_encoder, tmp_path_factory) -> dict[str, pd.DataFrame]:
    study = real_study(real_data, real_encoder)
    store = run_all(study, tmp_path_factory.mktemp("run"))
    return assemble_tables(draw_plan(study), store)


def test_the_real_files_have_no_error(real_data, real_encoder):
    """Every row of every file is looked at; what remains are numbers of rows that are not the published."""
    found = check_study(real_study(real_data, real_encoder))
    assert [problem for problem in found.problems if problem.severity != "warning"] == []
    assert found.plan is not None


def test_tasks_are_scored_in_every_language(tables):
    scores = tables["scores"]
    target = scores[scores["stage"].str.startswith("target:") & (scores["role"] == "target")]
    tested = target[target["split"] == "test"]
    for task, languages, metrics in (
        ("xquad", QUESTIONS, {"em_f1", "exact_match", "f1"}),
        ("udpos", TAGS, {"f1", "accuracy"}),
    ):
        rows = tested[tested["task"] == task]
        assert sorted(rows["language"].unique()) == sorted(languages)
        assert len(rows) == len(languages) * len(metrics)
        assert set(rows["metric"]) == metrics
        assert set(rows["n"]) == {6}
        assert set(rows["stage"]) == {f"target:{task}"}
        dev = target[(target["task"] == task) & (target["split"] == "dev")]
        assert set(dev["language"]) == {"en"}
        assert set(dev["n"]) == {8}
    assert scores["value"].between(0, 1).all()


def test_intermediate_tasks_are_scored_where_the_task_changes(tables):
    scores = tables["scores"]
    dev = scores[(scores["stage"] == "intermediate") & (scores["role"] == "intermediate")]
    assert sorted(dev["update"].unique()) == [2, 4, 6]
    counts = dev.groupby("task").size().to_dict()
    assert counts == {"anli": 3, "cosmosqa": 3, "squad": 3 * 3}
    assert set(dev["split"]) == {"dev"}


def test_tatoeba_is_scored_before_after_and_between(tables):
    """20 pairs of three languages: accuracies are twentieths."""
    scores = tables["scores"]
    rows = scores[scores["task"] == "tatoeba"]
    stages = {"pretrained", "intermediate", "target:xquad", "target:udpos"}
    assert set(rows["stage"]) == stages
    assert len(rows) == len(stages) * len(TEXTS)
    assert set(rows["language"]) == set(TEXTS)
    assert set(rows["n"]) == {20}
    assert ((rows["value"] * 20).round(9) % 1 == 0).all()
    alignment = tables["alignment"]
    assert set(alignment["language"]) == set(TEXTS)
    assert set(alignment["stage"]) == stages


def test_ntrex_is_measured_as_well(real_data, real_encoder, tmp_path):
    study = real_study(real_data, real_encoder, parallel="ntrex")
    source = open_source(study.data)
    assert len(source.parallel_languages()) == 38
    plan = draw_plan(study)
    measure = stages_of(plan, "measure")[0]
    context = context_of(study, tmp_path)
    execute(measure, context)
    folder = context.store.folder(measure.key)
    alignment = pd.read_parquet(folder / "alignment.parquet")
    assert set(alignment["language"]) == set(TEXTS)
    assert set(alignment.loc[alignment["metric"] == "accuracy", "n"]) == {20}
    assert len(pd.read_parquet(folder / "items.parquet").groupby("language")) == 3
    assert not (folder / "scores.parquet").exists()


def test_xcopa_is_scored_with_a_head_that_four_options_trained(real_data, real_encoder):
    """Cosmos QA has four options, XCOPA two: a head gives one score to each, however many there are."""
    tokenizer = load_tokenizer(str(real_encoder))
    place = Place(
        folder=str(real_data),
        files={
            "cosmosqa": {"validation": str(real_data / "cosmosqa/valid.csv")},
            "copa": {"train": str(real_data / "xcopa/test.it.jsonl")},
        },
        carve={"cosmosqa": "validation", "copa": "train"},
        network=False,
    )
    four = load_task(TASKS["cosmosqa"], place, train_examples=24)
    languages = ("et", "id", "it", "sw", "zh")
    two = load_task(TASKS["xcopa"], place, test_languages=languages, test_examples=40)
    encoded = encode(four.train, "multiple_choice", tokenizer, LENGTH, training=True)
    assert encoded.group == 4
    heads = {"xcopa": HeadSpec("multiple_choice", 0)}
    model = MultiTaskModel(load_encoder(str(real_encoder)), heads, "mean", 0.0, seed=5)
    batches = build_plan({"xcopa": 24}, {"xcopa": 3}, {"xcopa": 4}, {"xcopa": stream(5, "xcopa")})
    steps = realise(batches, Schedule(kind="sequential"), ["xcopa"], stream(5, "order"))
    plan = TrainingPlan(batches, steps, Optimisation(learning_rate=1e-3), "global", "carry", 5, 5)
    train(model, {"xcopa": encoded}, plan, pad_id=PAD, device=CPU)
    for language in languages:
        examples = two.test[language]
        rows = encode(examples, "multiple_choice", tokenizer, LENGTH, training=False)
        assert (rows.group, len(rows)) == (2, 40)
        scores = score_task(model, two, rows, examples, pad_id=PAD, device=CPU, language=language)
        assert list(scores) == ["accuracy"]
        assert 0 <= scores["accuracy"] <= 1
        assert (scores["accuracy"] * 40) % 1 == pytest.approx(0, abs=1e-9)
