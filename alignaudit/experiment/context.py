"""What a stage is carried out with, and what carrying it out gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignaudit.core.plan import Stage
from alignaudit.core.store import Store
from alignaudit.core.study import Data

__all__ = ["ENCODER_FOLDER", "Context", "Outcome", "Progress", "encoder_source"]

ENCODER_FOLDER = "encoder"
Progress = Callable[[int, int, float], None]
Outcome = tuple[dict[str, Any], Callable[[Path], None]]
"""Results for the record, and a function that writes the stage's files into a folder."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage is carried out with; beyond rounding between devices nothing in it changes the result.

    Attributes
    ----------
    store
        Where parents are read and results committed.
    data
        The study's ``[data]`` table (its folder may differ between machines).
    device
        ``cpu``, ``cuda:0`` …
    keep_every_s
        Seconds between two kept training states.
    progress
        Called after every update with (updates done, updates in all, loss).
    stop
        Asked after every update; when true the state is kept and the stage is given up.
    """

    store: Store
    data: Data
    device: str
    keep_every_s: float
    progress: Progress | None = None
    stop: Callable[[], bool] | None = None


def encoder_source(stage: Stage, context: Context) -> str:
    """Return the folder or name of the encoder that a stage starts from, its bytes checked if it is ours.

    Raises
    ------
    DamagedRecordError
        If the files of the stage that made it are not what they were.
    """
    parent = stage.config["stage"]
    if not parent:
        return str(stage.config["name"])
    context.store.verify(parent)
    return str(context.store.folder(parent) / ENCODER_FOLDER)
