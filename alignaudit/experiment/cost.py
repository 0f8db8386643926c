"""What a study will take: stages, tokens, time; from this store's own records where there are any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.plan import Stage, StudyPlan
from alignaudit.core.store import Store
from alignaudit.core.task import LANGUAGE
from alignaudit.core.tasks import TASKS
from alignaudit.errors import DamagedRecordError, SetupError
from alignaudit.experiment.engine import Machine
from alignaudit.experiment.model import load_config

__all__ = ["GPU", "Cost", "KindCost", "StageCost", "estimate_cost"]

CPU_FLOPS = 4e10  # sustained by one core in float32, order of magnitude
GPU_FLOPS = 1.5e13  # sustained in float32 by the GPU below: its peak is 19.5e12 (NVIDIA's data sheet)
GPU = "A100"
UPDATE_OVERHEAD_S = 0.02
FILLED = 0.5  # tokens per text as a share of max_length
MEASURED_TOKENS = 2 * 1000 * 15  # two sides of a thousand short sentences, per language
KNOWN_SHAPES = {  # blocks and width of encoders whose configuration need not be fetched (Conneau et al. 2020)
    "xlm-roberta-base": (12, 768),
    "FacebookAI/xlm-roberta-base": (12, 768),
    "xlm-roberta-large": (24, 1024),
    "FacebookAI/xlm-roberta-large": (24, 1024),
}


@dataclass(frozen=True, slots=True)
class StageCost:
    """One stage: its label, whether it is done, and its updates, tokens, seconds, and GPU seconds."""

    stage: str
    done: bool
    updates: int
    tokens: int
    expected_s: float
    gpu_s: float


@dataclass(frozen=True, slots=True)
class KindCost:
    """All stages of a kind: how many there are, and how many there were without sharing of prefixes."""

    kind: str
    stages: int
    to_run: int
    updates: int
    tokens: int
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Expected cost of a plan.

    Attributes
    ----------
    runs, stages, done, to_run
        Runs of the design; stages in all, finished, and still to run.
    saved
        Stages that sharing prefixes saves.
    updates, tokens
        Optimizer updates still to run, and tokens that are still to go through the encoder.
    cpu_s, wall_s
        Sum over stages, and divided over the workers, in seconds, on the machine at hand.
    gpu_hours
        What is still to run, in hours of one :data:`GPU` in float32, by operations alone.
    workers
        In words.
    basis
        What the estimate of the seconds rests on.
    kinds
        One entry per kind of stage.
    lines
        One entry per stage.
    """

    runs: int
    stages: int
    done: int
    to_run: int
    saved: int
    updates: int
    tokens: int
    cpu_s: float
    wall_s: float
    gpu_hours: float
    workers: str
    basis: str
    kinds: tuple[KindCost, ...]
    lines: tuple[StageCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as plain values for JSON."""
        return {"schema_version": 2, **asdict(self)}

    def listing(self) -> str:
        """Return the graph as text: one stage per line, then one line per kind."""
        lines = [
            f"{'done' if line.done else 'to do':5}  {line.updates:6} updates  {_short(line.tokens):>6} tokens"
            f"  {'' if line.done else f'~{line.expected_s:.0f} s':>8}  {line.stage}"
            for line in self.lines
        ]
        head = f"{'kind':14}{'stages':>8}{'to run':>8}{'updates':>10}{'tokens':>9}{'GPU hours':>11}"
        rows = [
            f"{one.kind:14}{one.stages:8}{one.to_run:8}{one.updates:10}{_short(one.tokens):>9}{one.gpu_hours:11.1f}"
            for one in self.kinds
        ]
        total = f"{'all':14}{self.stages:8}{self.to_run:8}{self.updates:10}{_short(self.tokens):>9}"
        return "\n".join([*lines, "", head, *rows, f"{total}{self.gpu_hours:11.1f}"])


def _short(number: int) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)


def estimate_cost(plan: StudyPlan, store: Store, machine: Machine) -> Cost:
    """Return what is still to do and about how long it takes.

    The time of a stage is the mean of this plan's finished stages of its kind (per update, where
    it trains). Without any, it is 6 (training) or 2 (measuring) floating-point operations per
    parameter and token at an assumed rate; texts are taken to fill half of ``max_length``.

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
    rate = GPU_FLOPS if machine.devices[0].startswith("cuda") else CPU_FLOPS
    cap = plan.study["data"].get("test_examples")
    lines = [_stage_cost(stage, store.has(stage.key), known, rate, cap) for stage in plan.stages]
    left = [line for line in lines if not line.done]
    total = sum(line.expected_s for line in left)
    return Cost(
        runs=sum(run.schedule != "pretrained" for run in plan.runs),
        stages=len(lines),
        done=len(lines) - len(left),
        to_run=len(left),
        saved=max(plan.stages_without_sharing - len(plan.stages), 0),
        updates=sum(line.updates for line in left),
        tokens=sum(line.tokens for line in left),
        cpu_s=round(total, 1),
        wall_s=round(total / min(len(machine.devices), max(len(left), 1)), 1),
        gpu_hours=round(sum(line.gpu_s for line in left) / 3600, 2),
        workers=f"{len(machine.devices)} × {machine.devices[0].split(':')[0]}",
        basis="partly from finished stages" if known else "a rough guess; no stage has run here yet",
        kinds=_by_kind(plan, lines),
        lines=tuple(lines),
    )


def _by_kind(plan: StudyPlan, lines: list[StageCost]) -> tuple[KindCost, ...]:
    kinds: dict[str, list[StageCost]] = {}
    for stage, line in zip(plan.stages, lines, strict=True):
        kinds.setdefault(stage.kind, []).append(line)
    found = []
    for kind, members in kinds.items():
        left = [line for line in members if not line.done]
        sums: Counter[str] = Counter()
        for line in left:
            sums.update(updates=line.updates, tokens=line.tokens)
        hours = round(sum(line.gpu_s for line in left) / 3600, 2)
        found.append(KindCost(kind, len(members), len(left), sums["updates"], sums["tokens"], hours))
    return tuple(found)


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


def _stage_cost(
    stage: Stage, done: bool, known: Mapping[str, float], rate: float, test_examples: int | None
) -> StageCost:
    tokens, scored = _tokens(stage), _scored_tokens(stage, test_examples)
    passes = 6 * tokens if stage.updates else 2 * tokens
    operations = _parameters(stage.config) * (passes + 2 * scored)
    overhead = stage.updates * UPDATE_OVERHEAD_S + (0 if stage.updates else 2)
    seconds = (
        known[stage.kind] * max(stage.updates, 1) if stage.kind in known else operations / rate + overhead
    )
    return StageCost(
        stage.label,
        done,
        stage.updates,
        tokens + scored,
        0.0 if done else round(seconds, 1),
        0.0 if done else round(operations / GPU_FLOPS + overhead, 1),
    )


def _tokens(stage: Stage) -> int:
    """Tokens that a stage sends through its encoder to train or to measure."""
    config = stage.config
    if stage.kind == "baselines":
        return 0
    if stage.kind == "pretrain":
        return int(stage.updates * config["recipe"]["batch_size"] * 24)
    if stage.updates:
        each = (
            settings["updates"] * settings["batch_size"] * settings["max_length"] * _texts(name)
            for name, settings in config["tasks"].items()
        )
        return int(FILLED * sum(each))
    return MEASURED_TOKENS * len(config["languages"])


def _texts(task: str) -> int:
    return TASKS[task].options if task in TASKS else 1


def _scored_tokens(stage: Stage, limit: int | None) -> int:
    """Tokens of the published test sets that a target stage is scored on, at every evaluation."""
    if stage.kind != "target":
        return 0
    total = 0
    for name, settings in stage.config["tasks"].items():
        test = TASKS[name].test if name in TASKS else None
        if test is None:
            continue
        record = DATA_SETS[test.data]
        for language in settings["test_languages"] or TASKS[name].languages:
            word = record.languages.get(language, language)
            key = (test.configuration.replace(LANGUAGE, word), test.split.replace(LANGUAGE, word))
            size = record.sizes.get(key, 0)
            if test.row_prefix:
                size = round(size / len(TASKS[name].languages))  # one split for all languages
            total += min(size, limit or size) * settings["max_length"] * _texts(name)
    return int(FILLED * total * stage.config["evaluations"])


def _parameters(config: Mapping[str, Any]) -> float:
    """Parameters that every token passes through: 12 L d² (embeddings are looked up)."""
    name = str(config.get("name", "embedded:"))
    if name.startswith("embedded:"):
        return 3e5
    if name in KNOWN_SHAPES:
        blocks, width = KNOWN_SHAPES[name]
        return 12.0 * blocks * width**2
    try:
        encoder = load_config(name)
        return 12.0 * encoder.num_hidden_layers * encoder.hidden_size**2
    except (SetupError, AttributeError):
        return 3e8
