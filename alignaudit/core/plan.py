"""The plan of a study: which stages exist, what they depend on, and which rows of which run they give.

The experiment layer draws the plan and carries it out; the analysis layer reads it to know what
should be there. It is written to ``runs/<study>/plan.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alignaudit.core.store import atomic_text
from alignaudit.errors import DamagedRecordError, IncompleteDesignError

__all__ = ["PlannedRun", "Stage", "StudyPlan", "Yield", "read_plan", "write_plan"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One unit of work, identified by what it does, not by who asked for it.

    Attributes
    ----------
    key
        SHA-256 of kind, configuration, data fingerprints and the keys of its parents.
    kind
        ``pretrain``, ``intermediate``, ``target``, ``measure``, ``untrained`` or ``baselines``.
    label
        Name for people, for example ``c1-sequential-s3: intermediate``.
    parents
        Keys of the stages that must be finished first.
    config
        All that the work depends on.
    updates
        Optimizer updates it takes; 0 for stages that do not train.
    """

    key: str
    kind: str
    label: str
    parents: tuple[str, ...]
    config: Mapping[str, Any]
    updates: int


@dataclass(frozen=True, slots=True)
class Yield:
    """One stage's results as rows of one run: which table rows they become.

    Attributes
    ----------
    key
        The stage.
    run
        The run; for the state before training and the controls the checkpoint itself.
    stage
        Word of the column ``stage``, or the name of a control.
    role
        ``alignment``, ``scores`` or ``control``.
    """

    key: str
    run: str
    stage: str
    role: str


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One training run of the design, or a checkpoint before training (``schedule`` = ``pretrained``)."""

    run: str
    arm: str
    schedule: str
    checkpoint: str
    seed: int
    order: str
    learning_rate_policy: str
    optimizer_state: str
    updates: int
    stages: tuple[str, ...]
    intermediate: str


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The whole graph of a study.

    Attributes
    ----------
    study, study_hash
        The resolved study and its SHA-256.
    stages, runs, yields
        The graph, the runs of the design, and which stage gives which rows of which run.
    stages_without_sharing
        Stages there would be if no two runs shared any.
    languages
        Per language code its ``name``, ``script`` and ``family``.
    """

    study: Mapping[str, Any]
    study_hash: str
    stages: tuple[Stage, ...]
    runs: tuple[PlannedRun, ...]
    yields: tuple[Yield, ...]
    stages_without_sharing: int
    languages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def stage(self, key: str) -> Stage:
        """Return the stage of a key."""
        return next(stage for stage in self.stages if stage.key == key)


def write_plan(path: Path, plan: StudyPlan) -> None:
    """Write a plan as JSON, atomically.

    Raises
    ------
    SetupError
        If the disk is full.
    """
    atomic_text(path, json.dumps(asdict(plan), indent=1, sort_keys=True, ensure_ascii=False))


def read_plan(path: Path) -> StudyPlan:
    """Return the plan that a file holds.

    Raises
    ------
    IncompleteDesignError
        If there is none: the study has not been run.
    DamagedRecordError
        If it cannot be read.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return StudyPlan(
            study=raw["study"],
            study_hash=raw["study_hash"],
            stages=tuple(Stage(**{**stage, "parents": tuple(stage["parents"])}) for stage in raw["stages"]),
            runs=tuple(PlannedRun(**{**run, "stages": tuple(run["stages"])}) for run in raw["runs"]),
            yields=tuple(Yield(**entry) for entry in raw["yields"]),
            stages_without_sharing=raw["stages_without_sharing"],
            languages=raw["languages"],
        )
    except FileNotFoundError as error:
        raise IncompleteDesignError(
            "this study has not been run.", where=str(path), hint="Run `alignaudit run-seeds` first."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedRecordError(
            f"cannot be read: {error!r}.", where=str(path), hint="`alignaudit run-seeds` writes it again."
        ) from error
