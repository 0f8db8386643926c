from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from alignaudit.core.assemble import assemble_tables, write_tables
from alignaudit.core.contracts import CONTRACTS, DIRECTIONS
from alignaudit.core.plan import PlannedRun, Stage, StudyPlan, Yield
from alignaudit.core.store import Store, check_folder
from alignaudit.core.tables import read_table
from alignaudit.errors import DamagedRecordError

ARMS = ("sequential", "concurrent")


def planned(arm: str, stages: tuple[str, ...], intermediate: str, schedule: str = "") -> PlannedRun:
    name = "c1" if arm == "pretrained" else f"c1-{arm}-s1"
    seed, order = (-1, "") if arm == "pretrained" else (1, "a>b")
    policies = ("global", "carry")
    return PlannedRun(
        name, arm, schedule or arm, "embedded:1", seed, order, *policies, 20, stages, intermediate
    )


def stage(key: str, kind: str, *parents: str) -> Stage:
    return Stage(key, kind, f"c1: {key}", parents, {}, 0)


PLAN = StudyPlan(
    study={"name": "trial"},
    study_hash="00",
    stages=(
        stage("pre", "pretrain"),
        stage("pre-m", "measure", "pre"),
        stage("base", "baselines"),
        *(stage(arm, "intermediate", "pre") for arm in ARMS),
        *(stage(f"{arm}-m", "measure", arm) for arm in ARMS),
    ),
    runs=(
        planned("pretrained", ("pre", "pre-m"), ""),
        *(planned(arm, ("pre", "pre-m", arm, f"{arm}-m"), arm) for arm in ARMS),
    ),
    yields=(
        Yield("pre-m", "c1", "pretrained", "alignment"),
        Yield("base", "", "chance", "control"),
        *(Yield(arm, f"c1-{arm}-s1", "intermediate", "scores") for arm in ARMS),
        *(Yield(f"{arm}-m", f"c1-{arm}-s1", "intermediate", "alignment") for arm in ARMS),
    ),
    stages_without_sharing=9,
)

CELL = {"language": "ita", "layer": 0, "pooling": "mean", "centred": True}
DIRECTED = {
    **CELL,
    "direction": "foreign_to_english",
    "metric": "accuracy",
    "standard_error": 0.1,
    "n": 4,
    "note": "",
}
ITEM = {f"{way}_{what}": 1.0 for way in DIRECTIONS for what in ("correct", "rank")}
ITEM |= {f"{way}_prediction": 0 for way in DIRECTIONS} | {"english": 7}
SCORE = {"task": "a", "role": "intermediate", "update": 20, "split": "dev", "language": "en", "n": 8}


NOISE = {"perturbation": "typos", "severity": 0.1}


def measured(value: float, *, noisy: bool = False):
    def write(folder: Path) -> None:
        pd.DataFrame([{**DIRECTED, "value": value}]).to_parquet(folder / "alignment.parquet")
        rows = [{**CELL, "item": item, **ITEM, "margin": value} for item in range(4)]
        pd.DataFrame(rows).to_parquet(folder / "items.parquet")
        if noisy:
            reach = {"character_error_rate": 0.1, "changed_share": 1.0, "reach_note": ""}
            metric = {**DIRECTED, **NOISE, **reach, "value": value}
            pd.DataFrame([metric]).to_parquet(folder / "perturbed.parquet")
            cell = {name: CELL[name] for name in ("language", "layer", "pooling")}
            correct = {f"{way}_correct": 1.0 for way in DIRECTIONS}
            pair = {**cell, **NOISE, **correct, "item": 0, "character_error_rate": 0.1}
            pd.DataFrame([pair]).to_parquet(folder / "perturbed_items.parquet")

    return write


def trained(value: float):
    def write(folder: Path) -> None:
        pd.DataFrame([{**SCORE, "metric": "accuracy", "value": value}]).to_parquet(folder / "scores.parquet")

    return write


def chance(folder: Path) -> None:
    pd.DataFrame([{**DIRECTED, "layer": -1, "value": 0.25}]).to_parquet(folder / "chance.parquet")


def commit(store: Store, key: str, write, **record) -> None:
    store.commit(key, {"wall_s": 2.0, "device": "cpu", **record}, write)


@pytest.fixture
def store(tmp_path) -> Store:
    """All is finished but the measurement of the concurrent run."""
    store = Store(tmp_path / "store")
    commit(store, "pre", lambda folder: None)
    commit(store, "pre-m", measured(0.1))
    commit(store, "base", chance)
    facts = {"plan_hash": "77", "updates": 20, "tokens": 900}
    words = {"temporal_segregation": 1.0, "switch_rate": 0.05, "last_task": "b"}
    for arm, value in zip(ARMS, (0.3, 0.4), strict=True):
        commit(store, arm, trained(value), **facts, descriptors=words)
    commit(store, "sequential-m", measured(0.5, noisy=True))
    return store


def test_the_tables_hold_what_is_finished(store):
    tables = assemble_tables(PLAN, store)
    assert {name: len(table) for name, table in tables.items()} == {
        "runs": 2,
        "alignment": 2,
        "items": 8,
        "scores": 2,
        "controls": 1,
        "perturbed": 1,
        "perturbed_items": 1,
    }
    assert tables["perturbed"].loc[0, ["run", "perturbation", "severity"]].to_list() == [
        "c1-sequential-s1",
        "typos",
        0.1,
    ]


def test_rows_carry_whose_they_are(store):
    tables = assemble_tables(PLAN, store)
    after = tables["alignment"].set_index("run").loc["c1-sequential-s1"]
    assert (after["arm"], after["stage"], after["seed"], after["value"]) == (
        "sequential",
        "intermediate",
        1,
        0.5,
    )
    before = tables["alignment"].set_index("run").loc["c1"]
    assert (before["arm"], before["stage"], before["seed"], before["value"]) == (
        "pretrained",
        "pretrained",
        -1,
        0.1,
    )
    assert dict(zip(tables["scores"]["arm"], tables["scores"]["value"], strict=True)) == {
        "sequential": 0.3,
        "concurrent": 0.4,
    }
    assert tables["controls"].iloc[0][["control", "checkpoint", "value"]].to_list() == ["chance", "", 0.25]


def test_a_run_says_how_far_it_came(store):
    runs = assemble_tables(PLAN, store)["runs"].set_index("run")
    assert list(runs["stages_done"][["c1-sequential-s1", "c1-concurrent-s1"]]) == [4, 3]
    assert set(runs["stages_planned"]) == {4}
    assert list(runs["wall_s"][["c1-sequential-s1", "c1-concurrent-s1"]]) == [8.0, 6.0]
    assert runs.loc["c1-sequential-s1", ["study", "order", "plan_hash", "last_task", "device"]].to_list() == [
        "trial",
        "a>b",
        "77",
        "b",
        "cpu",
    ]


def test_nothing_finished_gives_the_planned_runs_and_empty_tables(tmp_path):
    tables = assemble_tables(PLAN, Store(tmp_path / "empty"))
    assert [len(tables[name]) for name in CONTRACTS] == [2, 0, 0, 0, 0, 0, 0]
    assert list(tables["runs"]["stages_done"]) == [0, 0]
    assert list(tables["runs"]["plan_hash"]) == ["", ""]
    assert tables["runs"]["switch_rate"].isna().all()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("sequential-m", "alignment.parquet"),
        ("sequential-m", "items.parquet"),
        ("base", "chance.parquet"),
        ("concurrent", "scores.parquet"),
    ],
)
def test_a_damaged_table_stops_it_and_says_what_mends_it(store, key, file):
    flip(store.folder(key) / file, 40)
    with pytest.raises(DamagedRecordError) as caught:
        assemble_tables(PLAN, store)
    assert caught.value.where == str(store.folder(key) / file)
    assert "run-seeds" in caught.value.hint


@pytest.mark.parametrize("key", ["pre", "sequential", "sequential-m"])
def test_a_record_with_another_number_stops_it(store, key):
    path = store.folder(key) / "record.json"
    record = json.loads(path.read_text())
    path.write_text(path.read_text().replace('"wall_s": 2.0', '"wall_s": 3.0'))
    assert json.loads(path.read_text()) != record
    with pytest.raises(DamagedRecordError):
        assemble_tables(PLAN, store)


def test_the_tables_are_written_with_twins_and_sums(store, tmp_path):
    tables = assemble_tables(PLAN, store)
    for _ in range(2):  # the second replaces the first
        write_tables(tables, tmp_path / "trial" / "tables")
    check_folder(tmp_path / "trial" / "tables")
    names = {path.name for path in (tmp_path / "trial" / "tables").iterdir()}
    twins = {f"{name}.csv" for name in CONTRACTS if "items" not in name}
    assert names == {f"{name}.parquet" for name in CONTRACTS} | twins | {"manifest.json"}
    assert [path.name for path in (tmp_path / "trial").iterdir()] == ["tables"]
    for name, contract in CONTRACTS.items():
        back = read_table(tmp_path / "trial" / "tables" / f"{name}.parquet", contract)
        pd.testing.assert_frame_equal(back, tables[name])
