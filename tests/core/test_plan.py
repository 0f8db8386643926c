from __future__ import annotations

import dataclasses
import json

import pytest

from alignaudit.core.plan import PlannedRun, Stage, StudyPlan, Yield, read_plan, write_plan
from alignaudit.errors import DamagedRecordError, IncompleteDesignError

PLAN = StudyPlan(
    study={"name": "trial", "seeds": [1]},
    study_hash="ab" * 32,
    stages=(
        Stage("k1", "pretrain", "c1: pretrain", (), {"seed": 1, "rate": 1e-3}, 10),
        Stage("k2", "measure", "c1: mesure für alle", ("k1",), {"languages": ["ita"]}, 0),
    ),
    runs=(
        PlannedRun(
            "c1-sequential-s1", "sequential", "sequential", "embedded:1", 1, "a>b", "global", "carry", 20,
            ("k1", "k2"), "k1",
        ),
    ),
    yields=(Yield("k2", "c1-sequential-s1", "intermediate", "alignment"),),
    stages_without_sharing=3,
    languages={"ita": {"name": "Italian", "script": "Latn", "family": "Romance"}},
)  # fmt: skip


def test_a_plan_comes_back_as_it_was_written(tmp_path):
    write_plan(tmp_path / "trial" / "plan.json", PLAN)
    assert read_plan(tmp_path / "trial" / "plan.json") == PLAN


def test_equal_plans_give_equal_bytes(tmp_path):
    turned = dataclasses.replace(PLAN, study=dict(reversed(PLAN.study.items())))
    for name, plan in (("a", PLAN), ("b", turned)):
        write_plan(tmp_path / name, plan)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_stage_is_found_by_its_key():
    assert PLAN.stage("k2").label == "c1: mesure für alle"


def test_a_missing_plan_means_that_the_study_was_not_run(tmp_path):
    with pytest.raises(IncompleteDesignError, match="has not been run") as caught:
        read_plan(tmp_path / "plan.json")
    assert "run-seeds" in caught.value.hint


def written() -> dict:
    return json.loads(json.dumps(dataclasses.asdict(PLAN)))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"plan"',
        "{}",
        *(
            json.dumps({name: value for name, value in written().items() if name != gone})
            for gone in written()
        ),
        json.dumps(written() | {"stages": [{"key": "k1"}]}),
        json.dumps(written() | {"stages": ["k1"]}),
        json.dumps(written() | {"runs": [{"other": 1}]}),
        json.dumps(written() | {"yields": None}),
    ],
)
def test_a_plan_of_another_shape_is_damaged(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(DamagedRecordError) as caught:
        read_plan(tmp_path / "plan.json")
    assert caught.value.where == str(tmp_path / "plan.json")
