"""A whole small study: shared stages, kills, damage, a full disk; the tables stay the same, bit for bit."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny import make_encoder

from alignaudit.cli.main import main
from alignaudit.core.assemble import assemble_tables
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.layout import RunFolder
from alignaudit.core.plan import read_plan
from alignaudit.core.store import Store
from alignaudit.core.study import Schedule, load_study
from alignaudit.core.tables import content_hash
from alignaudit.errors import DamagedRecordError, DataError, SetupError, StudyError
from alignaudit.experiment.context import Context
from alignaudit.experiment.engine import Machine, repair, run_plan
from alignaudit.experiment.execute import execute
from alignaudit.experiment.model import save_encoder
from alignaudit.experiment.run import prepare_run, run_seeds
from alignaudit.experiment.stages import draw_plan

SMALL = (
    "seeds=[1]",
    'encoder.checkpoints=["embedded:1"]',
    "encoder.embedded.hidden_size=16",
    "encoder.embedded.layers=2",
    "encoder.embedded.vocabulary=400",
    "encoder.embedded.documents=40",
    "encoder.embedded.updates=12",
    "data.train_examples=64",
    "data.dev_examples=16",
    "data.test_examples=8",
    "data.parallel_pairs=12",
    'measure.languages=["dv", "rv"]',
    "intermediate.tasks.nli.updates=6",
    "intermediate.tasks.qa.updates=6",
    "intermediate.tasks.role.updates=6",
    "target.tasks.pos.updates=6",
)
HERE = Machine(("cpu",), keep_every_s=0.0)


def small_study(*overrides):
    return load_study(None, [*SMALL, *overrides])


def run_here(study, root: Path) -> Store:
    """Carry out every stage in this process, in the plan's order (parents come first)."""
    plan, store = draw_plan(study), Store(root / "store")
    for stage in plan.stages:
        execute(stage, Context(store, study.data, "cpu", 1e9))
    return store


def hashes(plan, store: Store) -> dict[str, str]:
    tables = assemble_tables(plan, store)
    tables["runs"] = tables["runs"].drop(columns="wall_s")
    return {name: content_hash(frame) for name, frame in tables.items()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    study = small_study()
    root = tmp_path_factory.mktemp("finished")
    return study, draw_plan(study), run_here(study, root)


def test_arms_share_their_prefix(finished):
    _, plan, _ = finished
    kinds = Counter(stage.kind for stage in plan.stages)
    assert kinds == {
        "pretrain": 1,
        "intermediate": 2,
        "target": 3,
        "measure": 6,
        "untrained": 1,
        "baselines": 1,
    }
    # Without sharing: three runs pretrain; each measures before its target; 2 controls and baselines.
    assert plan.stages_without_sharing == 3 * 1 + (2 + 2 + 1) + 3 * 2 + 3


def test_tables_hold_every_planned_cell(finished):
    _, plan, store = finished
    tables = assemble_tables(plan, store)
    alignment = tables["alignment"]
    runs, layers, languages = 3 * 2 + 1, 3, 2
    counts = alignment["metric"].value_counts()
    for name in ("accuracy", "margin"):  # directions × (raw and centred)
        assert counts[name] == runs * layers * languages * 2 * 2
    for name in ("cka_debiased", "language_gap"):  # of one variant
        assert counts[name] == runs * layers * languages * 2
    assert counts["cka_null_z"] == runs * languages * 2  # at one layer
    # Of seven measurements two are of the pretrained encoder, which has nothing to be compared with.
    assert counts["cka_reference"] == (runs - 2) * languages * 2
    assert len(tables["perturbed_items"]) == runs * languages * 2 * 12  # typos of two severities
    assert len(tables["items"]) == runs * layers * languages * 2 * 12
    assert set(tables["controls"]["control"]) == {"untrained", "shuffled_pairs", "chance", "character_ngram"}
    trained = tables["runs"].set_index("arm")
    assert trained.loc["sequential", "plan_hash"] == trained.loc["concurrent", "plan_hash"] != ""
    assert trained.loc["sequential", "tokens"] == trained.loc["concurrent", "tokens"] > 0
    assert trained.loc["sequential", "temporal_segregation"] == 1.0


def test_table_values_are_the_means_of_the_items(finished):
    _, plan, store = finished
    tables = assemble_tables(plan, store)
    accuracy = tables["alignment"].query("metric == 'accuracy' and direction == 'english_to_foreign'")
    keys = ["run", "stage", "language", "layer", "pooling", "centred"]
    means = tables["items"].groupby(keys)["english_to_foreign_correct"].mean()
    assert accuracy.set_index(keys)["value"].sort_index().to_numpy() == pytest.approx(
        means.sort_index().to_numpy()
    )


def test_the_same_study_in_other_processes_gives_the_same_bits(finished, tmp_path):
    _, plan, store = finished
    study = small_study()
    again = Store(tmp_path / "store")
    assert run_plan(plan, again, study.data, HERE) == len(plan.stages)
    assert hashes(plan, again) == hashes(plan, store)
    assert run_plan(plan, again, study.data, HERE) == 0


def test_interleaved_ends_train_to_the_same_weights(finished, tmp_path):
    """One block per task is the sequential arm, blocks of one the concurrent arm: bit for bit."""
    study, _plan, store = finished
    ends = {
        "many": Schedule(kind="interleaved", block=1),
        "one": Schedule(kind="interleaved", block=6),
    }
    other = study.model_copy(update={"schedules": {**study.schedules, **ends}})
    wider = draw_plan(other)
    runs = {run.arm: run for run in wider.runs}
    for stage in wider.stages:
        if stage.key in {runs["many"].intermediate, runs["one"].intermediate}:
            execute(stage, Context(store, study.data, "cpu", 1e9))
    for end, arm in (("many", "concurrent"), ("one", "sequential")):
        weights = [
            (store.folder(runs[name].intermediate) / "encoder" / "model.safetensors").read_bytes()
            for name in (end, arm)
        ]
        assert weights[0] == weights[1]


def test_tasks_are_scored_where_the_sequential_arm_changes_task(finished):
    study, _, store = finished
    wanted = small_study("measure.task_evaluations=0", "intermediate.tasks.qa.updates=3")
    plan = draw_plan(wanted)
    for run in plan.runs:
        if run.intermediate:
            execute(plan.stage(run.intermediate), Context(store, study.data, "cpu", 1e9))
            scores = pd.read_parquet(store.folder(run.intermediate) / "scores.parquet")
            sizes = [3 if task == "qa" else 6 for task in run.order.split(">")]
            assert sorted(scores["update"].unique()) == [sizes[0], sizes[0] + sizes[1], 15]
            metrics = {"nli": {"accuracy"}, "qa": {"em_f1", "exact_match", "f1"}, "role": {"accuracy"}}
            assert len(scores) == 3 * (1 + 3 + 1)
            assert {name: set(part["metric"]) for name, part in scores.groupby("task")} == metrics


def test_a_damaged_stage_is_set_aside_and_made_again(finished, tmp_path):
    study, plan, _ = finished
    store = run_here(study, tmp_path)
    before = hashes(plan, store)
    victim = next(stage for stage in plan.stages if stage.kind == "intermediate")
    weights = store.folder(victim.key) / "encoder" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 4
    weights.chmod(0o644)
    weights.write_bytes(bytes(content))
    said = repair(plan, store)
    assert len(said) == 1
    assert victim.label in said[0]
    assert not store.has(victim.key)
    assert run_plan(plan, store, study.data, HERE) == 1
    assert hashes(plan, store) == before
    assert len(list((tmp_path / "store" / "damaged").iterdir())) == 1


def test_a_full_disk_is_one_clear_error_and_loses_nothing(finished, tmp_path, monkeypatch):
    study, plan, _ = finished
    store = Store(tmp_path / "store")
    pretraining, *_ = plan.stages
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="disk is full") as caught:
        execute(pretraining, Context(store, study.data, "cpu", 0.0))
    assert caught.value.exit_code == 6
    assert not store.has(pretraining.key)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []
    monkeypatch.setattr(os, "fsync", real)
    execute(pretraining, Context(store, study.data, "cpu", 0.0))
    assert store.has(pretraining.key)


# ------------------------------------------------------------------ bad studies stop before training


def test_unknown_schedule_and_task_are_named():
    with pytest.raises(StudyError, match=r'no schedule "sequental".*Did you mean "sequential"'):
        draw_plan(small_study(), ["sequental"])
    with pytest.raises(StudyError, match=r'no data for a task "nlj".*Did you mean "nli"'):
        draw_plan(small_study("intermediate.tasks.nlj={updates=1, batch_size=2}"))


def test_too_few_training_examples_stop_the_study():
    with pytest.raises(DataError, match="task nli: 5 training examples, but a batch takes 32"):
        prepare_run(small_study("data.train_examples=5"))


def real_study(real_data, *overrides):
    folder = Path(__file__).parents[2] / "experiments" / "real-text"
    return load_study(folder, [f'data.folder="{real_data}"', *overrides])


def test_a_target_task_needs_test_sets(real_data, tmp_path, tokenizer):
    save_encoder(make_encoder(tokenizer), tokenizer, tmp_path / "encoder")
    study = real_study(
        real_data,
        f'encoder.checkpoints=["{tmp_path / "encoder"}"]',
        "target.tasks={anli={updates=1, batch_size=2}}",
        'measure.languages=["deu"]',
    )
    with pytest.raises(DataError, match="task anli: has no test sets"):
        prepare_run(study)


def test_the_embedded_encoder_needs_the_world(real_data):
    with pytest.raises(StudyError, match="embedded encoder knows no language but the world"):
        draw_plan(real_study(real_data, 'encoder.checkpoints=["embedded:1"]'))


def test_identity_of_an_external_encoder_is_its_files(real_data, tmp_path, tokenizer):
    folder = tmp_path / "encoder"
    save_encoder(make_encoder(tokenizer), tokenizer, folder)
    study = real_study(real_data, f'encoder.checkpoints=["{folder}"]', 'measure.languages=["deu"]')

    def identities():
        return {run.intermediate for run in draw_plan(study).runs if run.intermediate}

    before = identities()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        assert not identities() & before, name
        (folder / name).write_bytes(content)
    assert identities() == before
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SetupError, match=r"model\.safetensors cannot be found"):
        draw_plan(study)


def test_unknown_language_is_named():
    with pytest.raises(DataError, match='no parallel text for language "xx"'):
        draw_plan(small_study('measure.languages=["xx"]'))


# ------------------------------------------------------------------ identities


def test_identity_covers_what_matters_and_nothing_else():
    keys = {run.arm: run.intermediate for run in draw_plan(small_study()).runs}
    renamed = {run.arm: run.intermediate for run in draw_plan(small_study("name=other", "title=x")).runs}
    assert keys == renamed
    for change in (
        "intermediate.optimisation.learning_rate=2e-3",
        "intermediate.tasks.qa.updates=7",
        "intermediate.learning_rate_policy=constant",
        "encoder.dropout=0.1",
        "data.train_examples=65",
        "streams.head_init=9",
        "seeds=[2]",
        "encoder.embedded.updates=13",
        "data.world_seed=1",
    ):
        changed = {run.arm: run.intermediate for run in draw_plan(small_study(change)).runs}
        assert changed["sequential"] != keys["sequential"], change


@pytest.mark.parametrize(
    "change",
    [
        "measure.neighbours=5",
        "measure.pool=5",
        "measure.permutations=19",
        'measure.poolings=["mean", "max"]',
        "data.parallel_pairs=13",
        'measure.languages=["dv"]',
    ],
)
def test_measuring_otherwise_trains_nothing_again(change):
    first, second = draw_plan(small_study()), draw_plan(small_study(change))
    training = ("pretrain", "intermediate", "target")

    def trained(plan):
        return {stage.key for stage in plan.stages if stage.kind in training}

    def measured(plan):
        return {stage.key for stage in plan.stages if stage.kind == "measure"}

    assert trained(first) == trained(second)
    assert not measured(first) & measured(second)


# ------------------------------------------------------------------ killed, interrupted, run again


def command(root: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "alignaudit", "run-seeds", "--out", str(root), "--workers", "1"]
    return [*words, "--keep-every", "0", *(part for setting in SMALL for part in ("--set", setting)), *more]


def finished_stages(root: Path) -> int:
    return len(list((root / "store" / "stages").glob("[0-9a-f]*")))


def wait_for(condition, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_at_five_moments_gives_the_same_tables(finished, tmp_path):
    """SIGKILL to the driver (its worker dies with it), five times; no stage is ever finished twice."""
    _, plan, store = finished
    for wanted in (0, 2, 4, 7, 10):
        process = subprocess.Popen(command(tmp_path), stderr=subprocess.DEVNULL)

        def far_enough(wanted: int = wanted) -> bool:
            busy = any((tmp_path / "store" / "work").glob("*/step-*")) if wanted < 4 else True
            return busy and finished_stages(tmp_path) >= wanted

        wait_for(far_enough, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    subprocess.run(command(tmp_path), check=True, capture_output=True)
    folder = RunFolder(tmp_path, "quickstart")
    assert hashes(read_plan(folder.plan), Store(folder.store)) == hashes(plan, store)
    lines = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    done = Counter(line["key"] for line in lines if line["event"] == "finished")
    assert max(done.values()) == 1
    assert not (tmp_path / "store" / "damaged").exists()


@pytest.mark.slow
@pytest.mark.parametrize("notice", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_exits_130_and_keeps_its_state(tmp_path, notice):
    """The whole process group is signalled, as a terminal or SLURM does.

    States are kept every four seconds. Half a second after one, the signal comes: a newer state can
    only have been kept because of it.
    """
    words = [*command(tmp_path), "--keep-every", "4", "--set", "encoder.embedded.updates=6000"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def kept() -> list[str]:
        return sorted(
            path.parent.name for path in (tmp_path / "store" / "work").glob("*/step-*/manifest.json")
        )

    wait_for(kept, process)
    time.sleep(0.5)
    before = kept()
    os.killpg(process.pid, notice)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Run the same command to resume" in said
    assert "Traceback" not in said
    assert len(before) == 1
    assert kept()[0] == before[0] < kept()[-1]


def test_a_damaged_record_does_not_stop_the_command_that_mends_it(finished, tmp_path, capsys):
    study, plan, _ = finished
    store = run_here(study, tmp_path)
    record = store.folder(plan.stages[-1].key) / "record.json"
    record.write_text("{")
    settings = [part for setting in SMALL for part in ("--set", setting)]
    assert main(["run-seeds", "--out", str(tmp_path), "--workers", "1", *settings]) == 0
    assert "repaired: " in capsys.readouterr().err
    store.verify(plan.stages[-1].key)


def test_arms_run_one_after_the_other_stay_in_the_tables(finished, tmp_path):
    _, _, store = finished
    os.symlink(store.root, tmp_path / "store")
    for arm in ("sequential", "concurrent"):
        run = run_seeds(small_study(), schedules=[arm], out=tmp_path, machine=HERE)
    assert set(run.tables["runs"]["arm"]) == {"none", "sequential", "concurrent"}
    assert {planned.arm for planned in read_plan(run.folder.plan).runs} >= {"sequential", "concurrent"}


def test_a_vanished_parent_ends_the_run(finished, tmp_path):
    study, plan, _ = finished
    orphan = [stage for stage in plan.stages if stage.kind == "target"]
    alone = replace(plan, stages=tuple(orphan))
    with pytest.raises(DamagedRecordError, match="a stage it builds on is gone"):
        run_plan(alone, Store(tmp_path / "store"), study.data, HERE)


def test_python_door_returns_the_tables(finished, tmp_path):
    _, plan, store = finished
    os.symlink(store.root, tmp_path / "store")
    run = run_seeds(small_study(), out=tmp_path, machine=HERE)
    assert (run.stages_run, run.stages_found) == (0, len(plan.stages))
    assert set(run.tables) == set(CONTRACTS)
    assert (tmp_path / "quickstart" / "tables" / "alignment.csv").is_file()
