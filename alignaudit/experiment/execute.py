"""Carrying out one stage: load its encoder, train or measure, commit the result to the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from alignaudit.core.plan import Stage
from alignaudit.core.provenance import environment
from alignaudit.core.study import EmbeddedEncoder
from alignaudit.experiment.checkpoint import FolderKeeper
from alignaudit.experiment.context import ENCODER_FOLDER, Context, Outcome
from alignaudit.experiment.embedded import pretrain
from alignaudit.experiment.fine_tune import run_intermediate, run_target
from alignaudit.experiment.measure_stage import run_baselines, run_measure, run_untrained
from alignaudit.experiment.model import save_encoder
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


def _run_pretrain(stage: Stage, context: Context) -> Outcome:
    config = stage.config
    recipe = EmbeddedEncoder.model_validate(config["recipe"], strict=False)
    world = World(config["world_seed"])
    corpora = {language.code: world.corpus(language.code, recipe.documents) for language in world.languages}
    keeper = FolderKeeper(context.store.work(stage.key), context.keep_every_s, context.stop)
    model, tokenizer, state = pretrain(
        corpora,
        recipe,
        config["seed"],
        keeper=keeper,
        device=torch.device(context.device),
        progress=context.progress,
    )

    def write(folder: Path) -> None:
        save_encoder(model.encoder, tokenizer, folder / ENCODER_FOLDER, mlm_head=model.heads["mlm"])

    parameters = sum(parameter.numel() for parameter in model.encoder.parameters())
    return {
        "tokens": state.tokens,
        "loss": state.losses,
        "parameters": parameters,
        "resumed_at": keeper.resumed_at,
        "seconds_before": keeper.seconds_before,
    }, write


_KINDS: Mapping[str, Callable[[Stage, Context], Outcome]] = {
    "pretrain": _run_pretrain,
    "intermediate": run_intermediate,
    "target": run_target,
    "measure": run_measure,
    "untrained": run_untrained,
    "baselines": run_baselines,
}
