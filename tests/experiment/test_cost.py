"""What a study will take: every number worked out by hand from the design."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import context_of, run_all, small_study, stages_of, stay_offline, write_study_files

from alignaudit.core.store import Store
from alignaudit.experiment import cost as cost_module
from alignaudit.experiment.cost import GPU_FLOPS, KNOWN_SHAPES, UPDATE_OVERHEAD_S, Cost, estimate_cost
from alignaudit.experiment.engine import Machine
from alignaudit.experiment.execute import execute
from alignaudit.experiment.stages import draw_plan

HERE = Machine(("cpu",))


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer) -> Path:
    return write_study_files(tmp_path_factory.mktemp("files"), tokenizer)


def cost_of(study, root: Path) -> Cost:
    return estimate_cost(draw_plan(study), Store(root / "store"), HERE)


def kinds(cost: Cost) -> dict[str, tuple[int, int, int]]:
    """Stages, updates and tokens by kind."""
    return {one.kind: (one.stages, one.updates, one.tokens) for one in cost.kinds}


def test_stages_updates_and_tokens_are_those_of_the_design(files, tmp_path):
    """Two seeds, arms none and sequential, one target task; 4 updates × 2 examples of 48 tokens a task.

    Texts count half of their length; HellaSwag has 4 of them to an example. A target task is scored on
    100 sentences (the cap) in 2 languages. 2 languages are measured, 2 × 1,000 sentences of 15 tokens each.
    """
    cost = cost_of(small_study(files, "seeds=[1, 2]"), tmp_path)
    tokens = {"intermediate": (1 + 1 + 4) * 4 * 2 * 24, "measure": 2 * 30_000}
    tokens["target"] = 4 * 2 * 24 + 2 * 100 * 24
    assert kinds(cost) == {
        "measure": (1 + 2 + 4, 0, 7 * tokens["measure"]),
        "untrained": (1, 0, tokens["measure"]),
        "baselines": (1, 0, 0),
        "intermediate": (2, 2 * 12, 2 * tokens["intermediate"]),
        "target": (4, 4 * 4, 4 * tokens["target"]),
    }
    assert (cost.runs, cost.stages, cost.done, cost.to_run) == (4, 15, 0, 15)
    # Without sharing: of each run the measurement before its target task, or intermediate phase and
    # measurement; target task and measurement; the checkpoint's own three.
    assert cost.saved == 2 * (1 + 2) + 2 * (2 + 2) + 3 - 15
    assert cost.updates == 2 * 12 + 4 * 4
    assert cost.tokens == sum(one.tokens for one in cost.kinds) == sum(line.tokens for line in cost.lines)


def test_gpu_hours_are_operations_over_a_rate(files, tmp_path):
    """6 operations per parameter and token of training, 2 of scoring or measuring; 12 L d² parameters."""
    cost = cost_of(small_study(files), tmp_path)
    by_stage = {line.stage: line for line in cost.lines}
    parameters = 12 * 2 * 16**2
    train = by_stage["c1-sequential-s1: intermediate"]
    seconds = 6 * parameters * train.tokens / GPU_FLOPS + 12 * UPDATE_OVERHEAD_S
    assert train.gpu_s == round(seconds, 1)
    target = by_stage["c1-none-s1: target udpos"]
    seconds = (6 * 192 + 2 * 4800) * parameters / GPU_FLOPS + 4 * UPDATE_OVERHEAD_S
    assert (target.tokens, target.gpu_s) == (192 + 4800, round(seconds, 1))
    measured = by_stage["c1: measure pretrained"]
    assert measured.gpu_s == round(2 * parameters * 60_000 / GPU_FLOPS + 2, 1)
    assert cost.gpu_hours == round(sum(line.gpu_s for line in cost.lines) / 3600, 2)


def test_every_evaluation_scores_all_test_sets(files, tmp_path):
    def tokens(*overrides: str) -> int:
        return kinds(cost_of(small_study(files, *overrides), tmp_path))["target"][2] // 2

    assert tokens("target.evaluations=3") == 192 + 3 * 4800
    assert tokens("data.test_examples=7") == 192 + 2 * 7 * 24
    # Published: 5,440 English and 5,528 Chinese sentences
    assert tokens("data.test_examples=1_000_000") == 192 + (5440 + 5528) * 24


@pytest.mark.parametrize(("name", "millions"), [("xlm-roberta-base", 85), ("xlm-roberta-large", 302)])
def test_encoders_out_of_reach_have_their_published_shape(files, tmp_path, name, millions):
    """12 and 24 blocks of 768 and 1,024 (Conneau et al. 2020): 85 and 302 million block parameters."""
    blocks, width = KNOWN_SHAPES[name]
    assert round(12 * blocks * width**2 / 1e6) == millions
    assert KNOWN_SHAPES[f"FacebookAI/{name}"] == KNOWN_SHAPES[name]
    study = small_study(files, f'encoder.checkpoints=["{name}"]')
    plan = draw_plan(study, unreached=[])
    cost = estimate_cost(plan, Store(tmp_path), HERE)
    (line,) = [line for line in cost.lines if line.stage == "c1: measure pretrained"]
    assert line.gpu_s == pytest.approx(2 * millions * 1e6 * 60_000 / GPU_FLOPS + 2, rel=0.01)


def test_finished_stages_cost_nothing_and_say_how_long_the_others_take(files, tmp_path, monkeypatch):
    monkeypatch.setattr(cost_module, "CPU_FLOPS", 1.0)  # a guess that would be out of all reason
    study = small_study(files, "seeds=[1, 2]")
    plan = draw_plan(study)
    context = context_of(study, tmp_path)
    first, second = stages_of(plan, "intermediate")
    execute(first, context)
    cost = cost_of(study, tmp_path)
    lines = dict(zip((stage.key for stage in plan.stages), cost.lines, strict=True))
    assert lines[first.key].done
    assert (lines[first.key].expected_s, lines[first.key].gpu_s) == (0, 0)
    assert lines[second.key].expected_s == round(context.store.record(first.key)["wall_s"], 1)
    assert (cost.done, cost.to_run, cost.updates) == (1, 14, 12 + 4 * 4)
    assert kinds(cost)["intermediate"] == (2, 12, 6 * 4 * 2 * 24)
    assert cost.basis == "partly from finished stages"
    assert "done " in cost.listing()


def test_a_finished_study_costs_nothing(files, tmp_path):
    study = small_study(files, 'schedules={none={kind="none"}}')
    run_all(study, tmp_path)
    cost = cost_of(study, tmp_path)
    assert (cost.to_run, cost.updates, cost.tokens, cost.gpu_hours, cost.cpu_s) == (0, 0, 0, 0, 0)


def test_the_listing_has_every_stage_every_kind_and_the_sum(files, tmp_path):
    cost = cost_of(small_study(files), tmp_path)
    lines = cost.listing().splitlines()
    stages, table = lines[: cost.stages], lines[cost.stages + 1 :]
    assert all(line.startswith("to do") for line in stages)
    assert [line.split()[0] for line in table] == ["kind", *(one.kind for one in cost.kinds), "all"]
    assert table[-1].split()[1:4] == [str(cost.stages), str(cost.to_run), str(cost.updates)]


def test_workers_divide_the_time(files, tmp_path):
    plan = draw_plan(small_study(files))
    one, two = (
        estimate_cost(plan, Store(tmp_path), Machine(devices)) for devices in (("cpu",), ("cpu", "cpu"))
    )
    assert two.wall_s == pytest.approx(one.wall_s / 2, abs=0.1)
    assert (one.workers, two.workers) == ("1 × cpu", "2 × cpu")
