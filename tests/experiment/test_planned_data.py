"""Data that change between planning and training are refused; masks belong to batches, not to time."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import (
    context_of,
    only_stage,
    small_study,
    stages_of,
    stay_offline,
    write_study_files,
)

from alignaudit.core.example import TextExample
from alignaudit.core.phase import Optimisation, Schedule
from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.experiment import train as training
from alignaudit.experiment.batch import Masking
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.measure_stage import run_measure
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.prepare import prepare
from alignaudit.experiment.schedule import build_plan, realise
from alignaudit.experiment.stages import draw_plan
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.train import TrainingPlan, train


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


def changed(path: Path) -> None:
    path.write_text(path.read_text().replace("the", "one", 1) + "\n")


def test_a_task_whose_file_changed_since_the_plan_is_refused(tmp_path, tokenizer):
    """Otherwise its encoding would be kept under the name of the file that was planned with."""
    folder = tmp_path / "mnli"
    folder.mkdir(parents=True)
    row = '{"premise": "the cat eats", "hypothesis": "a dog walks", "label": "neutral"}\n'
    for split in ("train", "validation_matched"):
        (folder / f"{split}.jsonl").write_text(row * 8)
    write_study_files(tmp_path, tokenizer)
    study = small_study(tmp_path, f'data.folders.mnli="{folder}"', intermediate={"mnli": {}})
    stage = only_stage(study, "intermediate")
    (folder / "train.jsonl").write_text(row.replace("cat", "dog") * 8)
    context = context_of(study, tmp_path / "store")
    with pytest.raises(DataError, match="task mnli: its data are not those that the study was planned with"):
        prepare(stage, context)
    assert not list((tmp_path / "store").glob("encoded/*"))


def test_parallel_text_that_changed_since_the_plan_is_refused(tmp_path, tokenizer):
    write_study_files(tmp_path, tokenizer)
    study = small_study(tmp_path)
    stage = stages_of(draw_plan(study), "measure")[0]
    changed(tmp_path / "tatoeba" / "tatoeba.deu-eng.deu")
    with pytest.raises(DataError, match="parallel text is not what the study was planned with"):
        run_measure(stage, context_of(study, tmp_path / "store"))


def test_a_batch_hides_the_same_tokens_in_every_arm(tokenizer, encoder, monkeypatch):
    """The arms see the same multiset of inputs, masks included, in another order."""
    texts = [TextExample(f"the cat number {index} sees a red house by the river") for index in range(12)]
    encoded = encode(texts, "mlm", tokenizer, 32, training=True)
    draws = {name: stream(0, "order", name) for name in ("one", "two")}
    plan = build_plan({"one": 12, "two": 12}, {"one": 4, "two": 4}, {"one": 3, "two": 3}, draws)
    masking = Masking(0.3, tokenizer.mask_token_id, len(tokenizer), tuple(tokenizer.all_special_ids))
    seen: dict[str, list[tuple[bytes, bytes]]] = {}
    masked = training.mask_tokens

    def record(*arguments):
        found = masked(*arguments)
        seen[arm].append((found.sequences.values.tobytes(), found.labels.values.tobytes()))
        return found

    monkeypatch.setattr(training, "mask_tokens", record)
    for arm in ("sequential", "concurrent"):
        seen[arm] = []
        steps = realise(plan, Schedule(kind=arm), ("one", "two"), stream(1, "mixing"))
        model = MultiTaskModel(
            encoder, {"one": HeadSpec("mlm", 0), "two": HeadSpec("mlm", 0)}, "mean", 0.0, 0
        )
        settings = TrainingPlan(
            plan, steps, Optimisation(learning_rate=1e-4), "global", "carry", 5, 5, masking
        )
        train(model, {"one": encoded, "two": encoded}, settings, pad_id=1, device=model_device(model))
    assert seen["sequential"] != seen["concurrent"]
    assert sorted(seen["sequential"]) == sorted(seen["concurrent"])
    assert len(set(seen["sequential"])) == 8


def model_device(model):
    return next(model.parameters()).device
