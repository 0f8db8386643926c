"""Which state of a target task is kept: the rules, and what lies on disk after a real training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from small_study import context_of, only_stage, small_study, stay_offline, write_study_files

from alignaudit.core.phase import Selection
from alignaudit.core.store import Store
from alignaudit.core.study import Study
from alignaudit.errors import DamagedRecordError, InterruptedRunError
from alignaudit.experiment import fine_tune
from alignaudit.experiment.check import check_study
from alignaudit.experiment.execute import execute
from alignaudit.experiment.selection import best_evaluation, long_enough, selection_score

# ------------------------------------------------------------------------------ rules


def evaluation(update: int, dev: float, **test: float) -> list[dict]:
    """First-metric rows of one evaluation of one task."""
    rows = [{"update": update, "split": "dev", "language": "en", "value": dev}]
    return rows + [
        {"update": update, "split": "test_path", "language": code, "value": value}
        for code, value in test.items()
    ]


PATH = [
    evaluation(10, 0.5, en=0.9, de=0.2, zh=0.5),
    evaluation(20, 0.7, en=0.1, de=0.4, zh=0.4),
    evaluation(30, 0.7, en=0.8, de=0.3, zh=0.4),
    evaluation(40, 0.6, en=0.8, de=0.4, zh=0.4),
]


@pytest.mark.parametrize(
    ("rule", "scores", "best"),
    [
        ("last", [10, 20, 30, 40], 3),
        ("english-dev", [0.5, 0.7, 0.7, 0.6], 1),  # of equal ones the first
        ("target-languages", [0.35, 0.4, 0.35, 0.4], 1),  # without English
    ],
)
def test_each_rule_looks_at_its_own_rows(rule: Selection, scores, best):
    assert [selection_score(rows, rule) for rows in PATH] == pytest.approx(scores)
    assert best_evaluation(PATH, rule) == best


@pytest.mark.parametrize(
    ("scores", "patience", "stops_after"),
    [
        ([0.5, 0.6, 0.7], 1, None),
        ([0.5, 0.4, 0.9], 1, 2),
        ([0.5, 0.5, 0.9], 1, 2),  # as good is no improvement
        ([0.5, 0.4, 0.9], 2, None),
        ([0.5, 0.4, 0.45, 0.4], 2, 3),
        ([0.5, 0.4, 0.3, 0.2], 0, None),
    ],
)
def test_patience_counts_evaluations_without_improvement(scores, patience, stops_after):
    rows = [evaluation(place, score) for place, score in enumerate(scores)]
    found = [count for count in range(1, len(rows) + 1) if long_enough(rows[:count], "english-dev", patience)]
    assert (found[0] if found else None) == stops_after


# ------------------------------------------------------------------------------ a real training

EVERY = ("target.evaluations=3", "target.tasks.udpos.updates=9")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer) -> Path:
    return write_study_files(tmp_path_factory.mktemp("files"), tokenizer)


@pytest.fixture
def study(files) -> Callable[..., Study]:
    """A study whose only training is UDPOS: 9 updates, scored after 3, 6 and 9."""

    def make(*overrides: str) -> Study:
        return small_study(files, 'schedules={none={kind="none"}}', *EVERY, *overrides)

    return make


@pytest.fixture
def say(monkeypatch) -> Callable[..., None]:
    """Make the English development scores of successive evaluations what a test says; others stay real."""

    def script(*scores: float) -> None:
        real = fine_tune._Scorer.dev

        def dev(scorer, update: int):
            rows = real(scorer, update)
            return [row | {"value": scores[update // 3 - 1]} for row in rows]

        monkeypatch.setattr(fine_tune._Scorer, "dev", dev)

    return script


def stop_after(study: Study, root: Path, update: int) -> Path:
    """Carry out the target stage up to an update; return the folder of the state that is kept there."""
    stage, seen = only_stage(study, "target"), [0]
    context = context_of(
        study,
        root,
        progress=lambda done, total, loss: seen.append(done),
        stop=lambda: seen[-1] >= update,
    )
    with pytest.raises(InterruptedRunError):
        execute(stage, context)
    assert seen[-1] == update
    return context.store.work(stage.key) / f"step-{update:09d}"


def run(study: Study, root: Path, stop_at: tuple[int, ...] = ()) -> tuple[Store, str]:
    """Carry out the target stage, interrupted after some updates and taken up again each time."""
    for update in stop_at:
        stop_after(study, root, update)
    stage, context = only_stage(study, "target"), context_of(study, root)
    execute(stage, context)
    return context.store, stage.key


def scores_of(store: Store, key: str) -> pd.DataFrame:
    return pd.read_parquet(store.folder(key) / "scores.parquet")


def parameters_of(store: Store, key: str) -> dict[str, torch.Tensor]:
    folder = store.folder(key)
    encoder, heads = (
        load_file(folder / "encoder" / "model.safetensors"),
        load_file(folder / "heads.safetensors"),
    )
    return {f"encoder.{name}": value for name, value in encoder.items()} | {
        f"heads.{name}": value for name, value in heads.items()
    }


def parameters_at(step: Path) -> dict[str, torch.Tensor]:
    """Parameters of a state that was kept."""
    tensors = load_file(step / "state.safetensors")
    return {
        name.removeprefix("parameter/"): value
        for name, value in tensors.items()
        if name.startswith("parameter/")
    }


@pytest.fixture(scope="module")
def states(files, tmp_path_factory) -> dict[int, dict[str, torch.Tensor]]:
    """Parameters of the same training stopped after an update, which no rule has a part in."""
    study = small_study(files, 'schedules={none={kind="none"}}', *EVERY)
    return {
        update: parameters_at(stop_after(study, tmp_path_factory.mktemp("stopped"), update))
        for update in (3, 6, 9)
    }


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    shared = one.keys() & other.keys()
    assert {name for name in one.keys() | other.keys() if "position_ids" not in name} == shared
    return all(torch.equal(one[name], other[name]) for name in shared)


@pytest.mark.parametrize(
    ("scores", "best"), [((0.9, 0.5, 0.4), 3), ((0.5, 0.9, 0.9), 6), ((0.1, 0.2, 0.3), 9)]
)
def test_english_dev_keeps_the_weights_of_the_best_evaluation(study, say, states, tmp_path, scores, best):
    say(*scores)
    chosen = study("target.selection=english-dev")
    store, key = run(chosen, tmp_path / "run")
    kept = parameters_of(store, key)
    assert {update: equal(kept, state) for update, state in states.items()} == {
        update: update == best for update in states
    }
    assert store.record(key)["selection"] == {"rule": "english-dev", "update": best, "evaluations": 3}


def test_rows_of_the_kept_state_are_the_test_rows(study, say, tmp_path):
    say(0.5, 0.9, 0.7)
    store, key = run(study("target.selection=english-dev"), tmp_path)
    table = scores_of(store, key)
    counts = table.groupby(["split", "update"]).size().to_dict()
    metrics, languages = 2, 2
    assert counts == {
        **{("dev", update): metrics for update in (3, 6, 9)},
        **{("test_path", update): metrics * languages for update in (3, 6, 9)},
        ("test", 6): metrics * languages,
    }
    test = table[table["split"] == "test"].drop(columns="split").reset_index(drop=True)
    path = table[(table["split"] == "test_path") & (table["update"] == 6)].drop(columns="split")
    pd.testing.assert_frame_equal(test, path.reset_index(drop=True), check_exact=True)
    others = table[(table["split"] == "test_path") & (table["update"] != 6)]
    assert set(others["value"]) != set(test["value"])


def test_the_last_state_is_kept_by_default_whatever_the_scores(study, say, states, tmp_path):
    say(0.9, 0.5, 0.1)
    store, key = run(study(), tmp_path / "run")
    assert equal(parameters_of(store, key), states[9])
    table = scores_of(store, key)
    assert set(table.loc[table["split"] == "test", "update"]) == {9}
    assert not list((tmp_path / "run" / "store").rglob("selected-*"))


def test_one_evaluation_has_no_path(study, tmp_path):
    store, key = run(study("target.evaluations=1"), tmp_path)
    assert scores_of(store, key).groupby(["split", "update"]).size().to_dict() == {
        ("dev", 9): 2,
        ("test", 9): 4,
    }


@pytest.mark.parametrize("stop_at", [(2, 6), (4, 8), (9,)])
def test_interrupted_and_resumed_gives_the_same_bits_and_the_same_selection(study, say, tmp_path, stop_at):
    """Between evaluations, at the one that is kept (6), after it, and at the very end."""
    say(0.5, 0.9, 0.7)
    chosen = study("target.selection=english-dev", "encoder.dropout=0.1")
    whole, key = run(chosen, tmp_path / "whole")
    parts, again = run(chosen, tmp_path / "parts", stop_at)
    assert again == key
    for file in ("encoder/model.safetensors", "heads.safetensors", "scores.parquet"):
        assert (parts.folder(key) / file).read_bytes() == (whole.folder(key) / file).read_bytes()
    one, other = whole.record(key), parts.record(key)
    assert other["resumed_at"] == stop_at[-1]
    for name in ("selection", "updates", "tokens", "losses", "plan_hash"):
        assert one[name] == other[name]
    assert one["selection"]["update"] == 6


@pytest.mark.parametrize("stop_at", [(), (6,)])
def test_patience_ends_the_training(study, say, states, tmp_path, stop_at):
    """A state kept at the update that ended it does not go on when it is taken up again."""
    say(0.9, 0.5, 1.0)
    chosen = study("target.selection=english-dev", "target.patience=1")
    store, key = run(chosen, tmp_path / "run", stop_at)
    record = store.record(key)
    assert record["updates"] == 6
    assert record["selection"] == {"rule": "english-dev", "update": 3, "evaluations": 2}
    assert equal(parameters_of(store, key), states[3])
    assert set(scores_of(store, key)["update"]) == {3, 6}


def test_target_languages_chooses_by_the_mean_without_english(study, tmp_path):
    """Real scores: the rule is worked out from the rows that the run wrote."""
    store, key = run(study("target.selection=target-languages"), tmp_path)
    table = scores_of(store, key)
    path = table[(table["split"] == "test_path") & (table["language"] != "en") & (table["metric"] == "f1")]
    means = path.groupby("update")["value"].mean()
    assert means.nunique() > 1
    assert store.record(key)["selection"]["update"] == means.idxmax()


def test_a_damaged_kept_state_is_an_error(study, say, tmp_path):
    say(0.9, 0.5, 0.4)
    chosen = study("target.selection=english-dev")
    stop_after(chosen, tmp_path, 9)
    (weights,) = (tmp_path / "store").rglob("selected-*/model.safetensors")
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DamagedRecordError):
        execute(only_stage(chosen, "target"), context_of(chosen, tmp_path))


def test_choosing_on_target_languages_is_flagged(study):
    flagged = [
        (problem.severity, problem.where)
        for problem in check_study(study("target.selection=target-languages")).problems
        if "zero-shot" in problem.what
    ]
    assert flagged == [("warning", "target.selection")]
    for rule in ("last", "english-dev"):
        assert not any("zero-shot" in p.what for p in check_study(study(f"target.selection={rule}")).problems)


def test_choosing_on_target_languages_without_any_is_an_error(study):
    """The mean over no language would only fail after the training."""
    alone = study("target.selection=target-languages", 'target.tasks.udpos.test_languages=["en"]')
    (problem,) = check_study(alone).errors
    assert (problem.where, problem.what) == (
        "task udpos",
        "has no language but English for target.selection to look at.",
    )
