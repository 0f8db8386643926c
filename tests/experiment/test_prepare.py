"""A phase made ready: the same batches wherever the rows lie, and every text encoded once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_files import ROWS, write_lines
from small_study import context_of, only_stage, small_study, stages_of, stay_offline, write_study_files

from alignaudit.core.phase import Optimisation
from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.experiment.batch import Batch, collate, mask_tokens
from alignaudit.experiment.context import Context
from alignaudit.experiment.prepare import ENCODED_FOLDER, PreparedPhase, prepare
from alignaudit.experiment.schedule import Steps
from alignaudit.experiment.stages import draw_plan
from alignaudit.experiment.tasks.cache import HEADER
from alignaudit.experiment.train import learning_rate

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer) -> Path:
    return write_study_files(tmp_path_factory.mktemp("files"), tokenizer)


def batches_of(phase: PreparedPhase) -> list[Batch]:
    """The batches of every update as they go into the model, hidden tokens drawn."""
    found = []
    plan = phase.plan
    for update, (task, batch) in enumerate(zip(plan.steps.task, plan.steps.batch, strict=True)):
        encoded = phase.train[plan.batches.tasks[task]]
        rows = plan.batches.batches[task][batch]
        if encoded.format == "mlm":
            encoded = mask_tokens(encoded, rows, plan.masking, stream(plan.masking_seed, "masking", update))
            rows = np.arange(len(rows))
        found.append(collate(encoded, rows, int(phase.tokenizer.pad_token_id), CPU))
    return found


def same_batches(one: PreparedPhase, other: PreparedPhase) -> bool:
    return all(
        torch.equal(getattr(a, field.name), getattr(b, field.name))
        if isinstance(getattr(a, field.name), torch.Tensor)
        else getattr(a, field.name) == getattr(b, field.name)
        for a, b in zip(batches_of(one), batches_of(other), strict=True)
        for field in fields(Batch)
    )


# ------------------------------------------------------------------------------ Hub and folders

TASKS = {
    "mnli": {},
    "squad": {"stride": 12},
    "squad_v2": {"stride": 12},
    "hellaswag": {},
    "mlm": {"train_languages": ["en", "zh"]},
}


@pytest.mark.parametrize("name", ["mnli", "squad", "squad_v2", "hellaswag", "wikipedia"])
def test_a_folder_in_place_of_a_hub_data_set_gives_the_same_batches(files, tmp_path, name):
    """Bit for bit: one data set from JSON lines, the others by name from copies of repositories."""
    by_name = small_study(files, intermediate=TASKS)
    lines = write_lines(tmp_path, name)
    folder = small_study(files, f'data.folders.{name}="{lines}"', intermediate=TASKS)
    phases = [
        prepare(only_stage(study, "intermediate"), context_of(study, tmp_path / where))
        for study, where in ((by_name, "a"), (folder, "b"))
    ]
    assert phases[0].plan.batches.hash == phases[1].plan.batches.hash
    assert len(batches_of(phases[0])) == 5 * 4
    assert same_batches(*phases)
    assert only_stage(by_name, "intermediate").key != only_stage(folder, "intermediate").key


def test_other_rows_in_the_folder_give_other_batches(files, tmp_path):
    lines = write_lines(tmp_path, "mnli")
    changed = lines / "mnli" / "train.jsonl"
    changed.write_text(changed.read_text().replace("the cat eats", "the dog eats"))
    by_name = small_study(files)
    folder = small_study(files, f'data.folders.mnli="{lines}"')
    phases = [
        prepare(only_stage(study, "intermediate"), context_of(study, tmp_path)) for study in (by_name, folder)
    ]
    assert phases[0].plan.batches.hash == phases[1].plan.batches.hash  # which examples, not what they say
    assert not same_batches(*phases)


def test_a_target_task_and_its_test_sets_are_the_same_from_a_folder(files, tmp_path):
    by_name = small_study(files)
    folder = small_study(files, f'data.folders.udpos="{write_lines(tmp_path, "udpos")}"')
    stages = [stages_of(draw_plan(study), "target")[0] for study in (by_name, folder)]
    phases = [
        prepare(stage, context_of(study, tmp_path / where))
        for stage, study, where in zip(stages, (by_name, folder), "ab", strict=True)
    ]
    assert same_batches(*phases)
    for language in ("en", "zh"):
        one, other = (phase.tasks["udpos"].test(language) for phase in phases)
        for part in ("sequences", "labels", "positions"):
            assert np.array_equal(getattr(one, part).values, getattr(other, part).values)
            assert np.array_equal(getattr(one, part).ends, getattr(other, part).ends)


# ------------------------------------------------------------------------------ encoded once


def encodings(context: Context) -> dict[str, int]:
    """Folders of encodings in a store, with the time of their last change."""
    folder = context.store.root / ENCODED_FOLDER
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"*/{HEADER}")}


def test_two_seeds_share_the_encodings_on_disk(files, tmp_path):
    study = small_study(files, "seeds=[1, 2]")
    first, second = stages_of(draw_plan(study), "intermediate")
    assert first.key != second.key
    context = context_of(study, tmp_path)
    one = prepare(first, context)
    made = encodings(context)
    assert len(made) == 3 * 2  # training and development data of three tasks
    other = prepare(second, context)
    assert encodings(context) == made
    assert one.plan.batches.hash != other.plan.batches.hash
    for name in one.train:
        assert not one.train[name].sequences.values.flags.writeable
    one.tasks["mnli"].dev()
    assert encodings(context) == made


def test_lengths_and_caps_make_other_encodings(files, tmp_path):
    study = small_study(files)
    context = context_of(study, tmp_path)
    prepare(only_stage(study, "intermediate"), context)
    for number, override in enumerate(
        (
            "intermediate.tasks.mnli.max_length=40",
            "intermediate.tasks.squad.stride=8",
            "intermediate.tasks.hellaswag.train_examples=2",
            "intermediate.tasks.mnli.batch_size=3",  # needs none
        )
    ):
        changed = small_study(files, override)
        prepare(only_stage(changed, "intermediate"), context)
        assert len(encodings(context)) == 2 * (3 + min(number + 1, 3)), override


def test_test_sets_are_encoded_before_a_target_task_is_trained(files, tmp_path):
    """So a question that leaves no room for its context shows before hours of training."""
    tests = {"udpos": {"test_languages": ["en", "zh"]}}
    study = small_study(files, target=tests)
    context = context_of(study, tmp_path)
    prepare(stages_of(draw_plan(study), "target")[0], context)
    assert len(encodings(context)) == 2 + 2
    lines = write_lines(tmp_path, "xquad")
    path = lines / "xquad.zh" / "validation.jsonl"
    path.write_text(path.read_text("utf-8").replace("谁赢了比赛", "谁赢了比赛" * 10), "utf-8")
    asked = {"xquad": {"test_languages": ["en", "zh"], "stride": 12}}
    study = small_study(files, f'data.folders.xquad="{lines}"', target=asked)
    with pytest.raises(DataError, match="leaves no room for its context"):
        prepare(stages_of(draw_plan(study), "target")[0], context_of(study, tmp_path))


def test_data_that_changed_since_the_plan_are_refused(files, tmp_path):
    lines = write_lines(tmp_path, "mnli")
    study = small_study(files, f'data.folders.mnli="{lines}"')
    stage = only_stage(study, "intermediate")
    prepare(stage, context_of(study, tmp_path))
    path = lines / "mnli" / "train.jsonl"
    path.write_text(path.read_text().replace("the cat eats", "the dog eats more"))
    with pytest.raises(DataError, match="task mnli: its data are not those that the study was planned with"):
        prepare(stage, context_of(study, tmp_path))


def test_caps_of_the_study_and_of_a_task_bound_the_examples(files, tmp_path):
    for override, expected in (
        ("data.train_examples=3", {"mnli": 3, "squad": 3, "hellaswag": 2}),
        ("intermediate.tasks.mnli.train_examples=2", {"mnli": 2, "squad": 4, "hellaswag": 2}),
    ):
        study = small_study(files, override)
        phase = prepare(only_stage(study, "intermediate"), context_of(study, tmp_path))
        assert {name: len(task.data.train) for name, task in phase.tasks.items()} == expected
        used = {name: set(phase.train[name].owners.tolist()) for name in expected}
        assert used == {name: set(range(count)) for name, count in expected.items()}


def test_updates_follow_the_examples_where_epochs_are_given(files, tmp_path):
    """MNLI has 4 rows, HellaSwag 2: 1.5 passes by 2 are 3 and 1.5 updates."""
    assert (len(ROWS["mnli"]["mnli", "train"]), len(ROWS["hellaswag"]["default", "train"])) == (4, 2)
    study = small_study(files)
    tasks = {
        name: settings.model_copy(update={"updates": None, "epochs": 1.5})
        for name, settings in study.intermediate.tasks.items()
        if name != "squad"
    }
    study = study.model_copy(update={"intermediate": study.intermediate.model_copy(update={"tasks": tasks})})
    stage = only_stage(study, "intermediate")
    phase = prepare(stage, context_of(study, tmp_path))
    assert stage.updates == 5
    assert [len(part) for part in phase.plan.batches.batches] == [3, 2]


# ------------------------------------------------------------------------------ warm-up in updates


@pytest.mark.parametrize(("total", "warmup"), [(20, 5), (20, 1), (4, 500)])
def test_a_warm_up_in_updates_is_that_many_whatever_the_length(total, warmup):
    """Linear up to the peak at the given update, linear to 0 after it; QA of XTREME has 500."""
    curve = Optimisation(learning_rate=2.0, warmup_share=0.5, warmup_updates=warmup)
    steps = Steps(np.zeros(total, dtype=np.int64), np.arange(total), (0,))
    found = [learning_rate(update, steps, total, curve, "global") for update in range(total)]
    up = [2.0 * (update + 1) / warmup for update in range(min(warmup, total))]
    down = [2.0 * (total - update) / (total - warmup) for update in range(warmup, total)]
    assert found == pytest.approx([*up, *down], rel=1e-12)


def test_a_warm_up_of_no_update_starts_at_the_peak():
    curve = Optimisation(learning_rate=2.0, warmup_share=0.5, warmup_updates=0)
    steps = Steps(np.zeros(4, dtype=np.int64), np.arange(4), (0,))
    assert learning_rate(0, steps, 4, curve, "global") == 2.0
    assert learning_rate(3, steps, 4, curve, "global") == pytest.approx(0.5)


def test_a_restarted_curve_warms_up_in_every_stage():
    curve = Optimisation(learning_rate=2.0, warmup_updates=2)
    steps = Steps(np.array([0] * 4 + [1] * 6), np.arange(10), (0, 4))
    found = [learning_rate(update, steps, 10, curve, "restart") for update in range(10)]
    assert [found[0], found[1], found[4], found[5]] == pytest.approx([1.0, 2.0, 1.0, 2.0])
    assert found[6] == pytest.approx(2.0)
