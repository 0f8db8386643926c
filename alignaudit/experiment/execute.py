"""Carrying out one stage: load its encoder, train or measure, commit the result to the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file

from alignaudit.core.example import TaskData
from alignaudit.core.plan import Stage
from alignaudit.core.provenance import environment
from alignaudit.core.rng import stream
from alignaudit.core.study import Data, EmbeddedEncoder, Optimisation, Schedule, TaskSettings
from alignaudit.errors import StudyError
from alignaudit.experiment.checkpoint import FolderKeeper
from alignaudit.experiment.context import ENCODER_FOLDER, Context, Outcome, encoder_source
from alignaudit.experiment.data import open_source
from alignaudit.experiment.embedded import pretrain
from alignaudit.experiment.evaluate import score_task
from alignaudit.experiment.measure_stage import run_baselines, run_measure, run_untrained
from alignaudit.experiment.model import (
    HeadSpec,
    MultiTaskModel,
    load_encoder,
    load_tokenizer,
    save_encoder,
)
from alignaudit.experiment.schedule import BatchPlan, Descriptors, Steps, build_plan, describe, realise
from alignaudit.experiment.stages import AT_BOUNDARIES
from alignaudit.experiment.tasks.encoding import Encoded, encode
from alignaudit.experiment.train import TrainingPlan, train
from alignaudit.world.world import World

__all__ = ["device_name", "execute"]


def execute(stage: Stage, context: Context) -> None:
    """Carry out a stage and commit it; a finished stage is left alone.

    Raises
    ------
    DamagedRecordError
        If the parent's files are not what they were.
    InterruptedRunError
        If ``context.stop`` asked for it; the training state is kept.
    """
    with context.store.alone(stage.key, context.stop):
        if not context.store.has(stage.key):
            _carry_out(stage, context)


def _carry_out(stage: Stage, context: Context) -> None:
    started = time.monotonic()
    torch.use_deterministic_algorithms(True, warn_only=True)
    results, write = _KINDS[stage.kind](stage, context)
    record = {
        "kind": stage.kind,
        "label": stage.label,
        "config": dict(stage.config),
        "parents": list(stage.parents),
        "wall_s": round(results.pop("seconds_before", 0.0) + time.monotonic() - started, 3),
        "device": device_name(context.device),
        "threads": torch.get_num_threads(),
        "environment": environment(),
        **results,
    }
    context.store.commit(stage.key, record, write)


def device_name(device: str) -> str:
    """Return the device in words: ``cpu``, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


@cache
def _task_data(data: Data, name: str) -> TaskData:
    return open_source(data).task(name)


def _keeper(stage: Stage, context: Context) -> FolderKeeper:
    return FolderKeeper(context.store.work(stage.key), context.keep_every_s, context.stop)


def _run_pretrain(stage: Stage, context: Context) -> Outcome:
    config = stage.config
    recipe = EmbeddedEncoder.model_validate(config["recipe"], strict=False)
    world = World(config["world_seed"])
    corpora = {language.code: world.corpus(language.code, recipe.documents) for language in world.languages}
    keeper = _keeper(stage, context)
    model, tokenizer, state = pretrain(
        corpora,
        recipe,
        config["seed"],
        keeper=keeper,
        device=torch.device(context.device),
        progress=context.progress,
    )

    def write(folder: Path) -> None:
        save_encoder(model.encoder, tokenizer, folder / ENCODER_FOLDER)

    parameters = sum(parameter.numel() for parameter in model.encoder.parameters())
    return {
        "tokens": state.tokens,
        "loss": state.losses,
        "parameters": parameters,
        "resumed_at": keeper.resumed_at,
        "seconds_before": keeper.seconds_before,
    }, write


def _run_intermediate(stage: Stage, context: Context) -> Outcome:
    return _fine_tune(stage, context, "intermediate")


def _run_target(stage: Stage, context: Context) -> Outcome:
    return _fine_tune(stage, context, "target")


@dataclass(frozen=True, slots=True)
class _Phase:
    """A fine-tuning phase ready to run: model, data and order of batches."""

    model: MultiTaskModel
    tokenizer: Any
    tasks: Mapping[str, TaskData]
    settings: Mapping[str, TaskSettings]
    train: Mapping[str, Encoded]
    dev: Mapping[str, Encoded]
    plan: TrainingPlan
    descriptors: Descriptors


def _fine_tune(stage: Stage, context: Context, kind: str) -> Outcome:
    """Train an intermediate phase or a target task, and score it as it goes."""
    device = torch.device(context.device)
    phase = _prepare(stage, context)
    pad_id = int(phase.tokenizer.pad_token_id)
    total = phase.plan.batches.updates
    points = dict.fromkeys(_evaluation_points(stage, phase.plan.batches), kind)

    def evaluate(model: MultiTaskModel, update: int) -> list[dict[str, Any]]:
        return [
            {
                "task": name,
                "update": update,
                "split": "dev",
                "language": "en",
                "metric": task.metric,
                "value": score_task(model, task, phase.dev[name], task.dev, pad_id=pad_id, device=device),
                "n": len(task.dev),
            }
            for name, task in phase.tasks.items()
        ]

    keeper = _keeper(stage, context)
    state = train(
        phase.model,
        phase.train,
        phase.plan,
        pad_id=pad_id,
        device=device,
        keeper=keeper,
        evaluate_at=points,
        evaluate=evaluate,
        progress=context.progress,
    )
    scores = [row for rows in state.evaluations for row in rows]
    if kind == "target":
        scores += _test_scores(phase, pad_id, device, total)
    table = pd.DataFrame(scores).assign(role=kind)

    def write(folder: Path) -> None:
        save_encoder(phase.model.encoder, phase.tokenizer, folder / ENCODER_FOLDER)
        heads = phase.model.heads.state_dict()
        save_file(
            {name: value.cpu().contiguous() for name, value in heads.items()}, folder / "heads.safetensors"
        )
        table.to_parquet(folder / "scores.parquet", index=False)

    return {
        "updates": total,
        "tokens": state.tokens,
        "losses": state.losses,
        "resumed_at": keeper.resumed_at,
        "seconds_before": keeper.seconds_before,
        "plan_hash": phase.plan.batches.hash,
        "descriptors": asdict(phase.descriptors),
        "dropped_examples": {name: encoded.dropped for name, encoded in phase.train.items()},
        "train_examples": {name: len(encoded) for name, encoded in phase.train.items()},
    }, write


def _evaluation_points(stage: Stage, batches: BatchPlan) -> list[int]:
    """Return after which updates tasks are scored: equal parts, or where sequential changes task.

    Arms that share the drawn order are scored after the same numbers of updates.
    """
    wanted = stage.config.get("evaluations", 1)
    if wanted == AT_BOUNDARIES:
        sizes = {task: len(part) for task, part in zip(batches.tasks, batches.batches, strict=True)}
        return list(accumulate(sizes[task] for task in stage.config["order"]))
    return [round(batches.updates * part / wanted) for part in range(1, wanted + 1)]


def _prepare(stage: Stage, context: Context) -> _Phase:
    config = stage.config
    source = encoder_source(stage, context)
    tokenizer = load_tokenizer(source)
    settings = {
        name: TaskSettings.model_validate(values, strict=False) for name, values in config["tasks"].items()
    }
    tasks = {name: _task_data(context.data, name) for name in settings}
    train_sets, dev_sets = {}, {}
    for name, task in tasks.items():
        examples = task.train[: settings[name].train_examples]
        length = settings[name].max_length
        train_sets[name] = encode(examples, task.format, tokenizer, length, training=True)
        dev_sets[name] = encode(task.dev, task.format, tokenizer, length, training=False)
    seeds = config["seeds"]
    heads = {name: HeadSpec(task.format, len(task.labels)) for name, task in tasks.items()}
    model = MultiTaskModel(
        load_encoder(source, dropout=config["dropout"]),
        heads,
        config["head_pooling"],
        config["dropout"],
        seeds["head_init"],
    ).to(context.device)
    batches = build_plan(
        {name: len(encoded) for name, encoded in train_sets.items()},
        {name: values.updates for name, values in settings.items()},
        {name: values.batch_size for name, values in settings.items()},
        {name: stream(seeds["data_order"], "data_order", name) for name in settings},
    )
    order = config.get("order", list(settings))
    schedule = Schedule.model_validate(config.get("schedule", {"kind": "sequential"}))
    steps: Steps = realise(batches, schedule, order, stream(seeds["mixing_order"], "mixing_order"))
    plan = TrainingPlan(
        batches,
        steps,
        Optimisation.model_validate(config["optimisation"], strict=False),
        config["learning_rate_policy"],
        config["optimizer_state"],
        seeds["dropout"],
        seeds["data_order"],
    )
    descriptors = describe(batches, steps, order)
    return _Phase(model, tokenizer, tasks, settings, train_sets, dev_sets, plan, descriptors)


def _test_scores(phase: _Phase, pad_id: int, device: torch.device, update: int) -> list[dict[str, Any]]:
    rows = []
    for name, task in phase.tasks.items():
        if not task.test:
            raise StudyError("has no test sets, so it cannot be a target task.", where=f"task {name}")
        for language, examples in task.test.items():
            length = phase.settings[name].max_length
            encoded = encode(examples, task.format, phase.tokenizer, length, training=False)
            value = score_task(phase.model, task, encoded, examples, pad_id=pad_id, device=device)
            rows.append(
                {
                    "task": name,
                    "update": update,
                    "split": "test",
                    "language": language,
                    "metric": task.metric,
                    "value": value,
                    "n": len(examples),
                }
            )
    return rows


_KINDS: Mapping[str, Callable[[Stage, Context], Outcome]] = {
    "pretrain": _run_pretrain,
    "intermediate": _run_intermediate,
    "target": _run_target,
    "measure": run_measure,
    "untrained": run_untrained,
    "baselines": run_baselines,
}
