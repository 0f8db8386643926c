"""What a study will take: stages, updates, time; from this store's own records where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alignaudit.core.plan import Stage, StudyPlan
from alignaudit.core.store import Store
from alignaudit.errors import DamagedRecordError, SetupError
from alignaudit.experiment.engine import Machine
from alignaudit.experiment.model import load_config

__all__ = ["Cost", "estimate_cost"]

CPU_FLOPS = 4e10  # sustained by one core in float32, order of magnitude
GPU_FLOPS = 1.5e13  # sustained by one data-centre GPU in float32, order of magnitude
UPDATE_OVERHEAD_S = 0.02
MEASURED_TOKENS = 2 * 1000 * 15  # two sides of a thousand short sentences, per language


@dataclass(frozen=True, slots=True)
class Cost:
    """Expected cost of a plan.

    Attributes
    ----------
    runs, stages, done, to_run
        Runs of the design; stages in all, finished, and still to run.
    saved
        Stages that sharing prefixes saves.
    updates
        Optimizer updates still to run.
    cpu_s, wall_s
        Sum over stages, and divided over the workers, in seconds.
    workers
        In words.
    basis
        What the estimate rests on.
    lines
        One line per stage: label, whether it is done, updates, seconds.
    """

    runs: int
    stages: int
    done: int
    to_run: int
    saved: int
    updates: int
    cpu_s: float
    wall_s: float
    workers: str
    basis: str
    lines: tuple[tuple[str, bool, int, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as plain values for JSON."""
        fields = asdict(self)
        names = ("stage", "done", "updates", "expected_s")
        fields["lines"] = [dict(zip(names, line, strict=True)) for line in self.lines]
        return {"schema_version": 1, **fields}

    def listing(self) -> str:
        """Return the graph as text, one stage per line."""
        return "\n".join(
            f"{'done' if done else 'to do':5}  {updates:6} updates  {time:>8}  {label}"
            for label, done, updates, seconds in self.lines
            for time in ["" if done else f"~{seconds:.0f} s"]
        )


def estimate_cost(plan: StudyPlan, store: Store, machine: Machine) -> Cost:
    """Return what is still to do and about how long it takes.

    The time of a stage is the mean of this plan's finished stages of its kind (per update, where
    it trains). Without any, it is 6 (training) or 2 (measuring) floating-point operations per
    parameter and token at an assumed rate; tokens are counted at half of ``max_length``.

    Parameters
    ----------
    plan
        The graph.
    store
        Finished stages.
    machine
        Workers.

    References
    ----------
    Kaplan et al. (2020), "Scaling Laws for Neural Language Models", section 2.1 (6 N per token).
    """
    known = _seconds_by_kind(plan, store)
    gpu = machine.devices[0].startswith("cuda")
    lines, total, updates = [], 0.0, 0
    for stage in plan.stages:
        done = store.has(stage.key)
        seconds = 0.0 if done else _expected(stage, known, gpu)
        lines.append((stage.label, done, stage.updates, round(seconds, 1)))
        total += seconds
        updates += 0 if done else stage.updates
    finished = sum(done for _, done, _, _ in lines)
    workers = min(len(machine.devices), max(len(lines) - finished, 1))
    return Cost(
        runs=sum(run.schedule != "pretrained" for run in plan.runs),
        stages=len(plan.stages),
        done=finished,
        to_run=len(lines) - finished,
        saved=max(plan.stages_without_sharing - len(plan.stages), 0),
        updates=updates,
        cpu_s=round(total, 1),
        wall_s=round(total / workers, 1),
        workers=f"{len(machine.devices)} × {machine.devices[0].split(':')[0]}",
        basis="partly from finished stages" if known else "a rough guess; no stage has run here yet",
        lines=tuple(lines),
    )


def _seconds_by_kind(plan: StudyPlan, store: Store) -> dict[str, float]:
    """Seconds per update (training) or per stage (measuring), the mean over finished stages."""
    times: dict[str, list[float]] = {}
    for stage in plan.stages:
        if store.has(stage.key):
            try:
                record = store.record(stage.key)
            except DamagedRecordError:
                continue  # it is set aside and made again when the run starts
            times.setdefault(stage.kind, []).append(float(record.get("wall_s", 0.0)) / max(stage.updates, 1))
    return {kind: sum(values) / len(values) for kind, values in times.items()}


def _expected(stage: Stage, known: Mapping[str, float], gpu: bool) -> float:
    if stage.kind in known:
        return known[stage.kind] * max(stage.updates, 1)
    config = stage.config
    rate = GPU_FLOPS if gpu else CPU_FLOPS
    parameters = _parameters(config)
    if stage.updates:
        if stage.kind == "pretrain":
            tokens = stage.updates * config["recipe"]["batch_size"] * 24
        else:
            tokens = sum(
                t["updates"] * t["batch_size"] * t["max_length"] // 2 for t in config["tasks"].values()
            )
        return stage.updates * UPDATE_OVERHEAD_S + 6 * parameters * tokens / rate
    return 2 * parameters * MEASURED_TOKENS * len(config["languages"]) / rate + 2


def _parameters(config: Mapping[str, Any]) -> float:
    """Parameters that every token passes through: 12 L d² (embeddings are looked up)."""
    name = str(config.get("name", "embedded:"))
    if name.startswith("embedded:"):
        return 3e5
    try:
        encoder = load_config(name)
        return 12.0 * encoder.num_hidden_layers * encoder.hidden_size**2
    except (SetupError, AttributeError):
        return 3e8
