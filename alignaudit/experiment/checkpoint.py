"""Training state on disk: parameters and Adam moments as safetensors, the rest as JSON."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from alignaudit.core.store import atomic_folder, check_folder
from alignaudit.errors import DamagedRecordError, InterruptedRunError
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.train import TrainingState

__all__ = ["FolderKeeper"]

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class FolderKeeper:
    """Keeps the two newest states below a folder; a damaged one gives way to the one before.

    Parameters
    ----------
    folder
        ``work/<key>`` of the store.
    every_s
        Least time between two states, in seconds; 0 keeps every update. Keeping never takes more than
        about a twentieth of the time.
    stop
        Asked after every update; when it says so, the state is kept and the phase is given up.
    """

    def __init__(self, folder: Path, every_s: float, stop: Callable[[], bool] | None = None) -> None:
        self.folder = folder
        self.every_s = every_s
        self.stop = stop or (lambda: False)
        self.last = time.monotonic()
        self.started = self.last
        self.cost_s = 0.0
        self.resumed_at = 0
        self.seconds_before = 0.0

    def load(self, model: MultiTaskModel, optimizer: torch.optim.Optimizer) -> TrainingState | None:
        """Restore and return the newest sound state, or None; damaged ones are removed."""
        for step in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                check_folder(step)
            except DamagedRecordError:
                shutil.rmtree(step)
                continue
            _restore(load_file(step / "state.safetensors"), model, optimizer)
            kept = json.loads((step / "state.json").read_text(encoding="utf-8"))
            state = TrainingState(**kept["state"])
            self.resumed_at, self.seconds_before = state.update, float(kept["seconds"])
            return state
        return None

    def offer(self, model: MultiTaskModel, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Keep the state if ``every_s`` seconds have passed since the last one.

        Raises
        ------
        InterruptedRunError
            If asked to stop; the state is kept first.
        """
        stopping = self.stop()
        wait_s = max(self.every_s, 20 * self.cost_s) if self.every_s else 0.0
        if stopping or time.monotonic() - self.last >= wait_s:
            self._keep(model, optimizer, state)
        if stopping:
            raise InterruptedRunError(f"stopped after update {state.update}; its state is kept.")

    def _keep(self, model: MultiTaskModel, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        started = time.monotonic()
        seconds = self.seconds_before + started - self.started

        def write(folder: Path) -> None:
            save_file(_tensors(model, optimizer), folder / "state.safetensors")
            (folder / "state.json").write_text(
                json.dumps({"state": asdict(state), "seconds": seconds}), encoding="utf-8"
            )

        atomic_folder(self.folder / f"step-{state.update:09d}", write)
        for old in sorted(self.folder.glob("step-*"))[:-2]:
            shutil.rmtree(old, ignore_errors=True)
        self.last = time.monotonic()
        self.cost_s = self.last - started


def _tensors(model: MultiTaskModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {f"parameter/{name}": value.detach() for name, value in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for moment in _MOMENTS:
            if parameter in optimizer.state:
                tensors[f"{moment}/{name}"] = optimizer.state[parameter][moment]
    return {name: value.cpu().contiguous() for name, value in tensors.items()}


def _restore(
    tensors: dict[str, torch.Tensor], model: MultiTaskModel, optimizer: torch.optim.Optimizer
) -> None:
    optimizer.state.clear()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"parameter/{name}"])
            if f"step/{name}" in tensors:
                moments: dict[str, Any] = {
                    moment: tensors[f"{moment}/{name}"].to(parameter.device) for moment in _MOMENTS
                }
                optimizer.state[parameter] = moments
