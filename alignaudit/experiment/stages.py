"""The graph of stages of a study, and the identity of each stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from alignaudit.core.plan import PlannedRun, Stage, StudyPlan, Yield
from alignaudit.core.rng import STREAMS
from alignaudit.core.store import file_sha256
from alignaudit.core.study import Phase, Schedule, Study, canonical_json, study_hash
from alignaudit.errors import DataError, SetupError, StudyError, did_you_mean
from alignaudit.experiment.data import Source, open_source
from alignaudit.experiment.model import checkpoint_path
from alignaudit.experiment.schedule import draw_order, order_rows
from alignaudit.world.world import World

__all__ = ["AT_BOUNDARIES", "VERSIONS", "draw_plan", "run_name"]

VERSIONS: Mapping[str, int] = {
    "pretrain": 1,
    "intermediate": 1,
    "target": 1,
    "measure": 2,
    "untrained": 2,
    "baselines": 2,
}
"""Version of what each kind of stage computes: raised whenever its results may change."""

EMBEDDED = "embedded:"
AT_BOUNDARIES = "task boundaries"


def run_name(checkpoint: int, arm: str, seed: int) -> str:
    """Return the identifier of a run: position of the checkpoint (from 1), arm and seed.

    Examples
    --------
    >>> run_name(0, "sequential", 3)
    'c1-sequential-s3'
    """
    return f"c{checkpoint + 1}-{arm}-s{seed}"


def draw_plan(study: Study, schedules: Sequence[str] | None = None) -> StudyPlan:
    """Return the graph of stages that a study needs; nothing is computed but fingerprints.

    Parameters
    ----------
    study
        A validated study.
    schedules
        Arms to plan; all of the study's by default.

    Raises
    ------
    StudyError
        If a schedule or a task does not exist.
    DataError
        If a file of the data is missing.
    SetupError
        If a checkpoint cannot be found.
    """
    arms = list(schedules or study.schedules)
    for arm in arms:
        if arm not in study.schedules:
            raise StudyError(
                f'the study has no schedule "{arm}".',
                where=f"study {study.name}",
                hint=did_you_mean(arm, study.schedules),
            )
    builder = _Builder(study, open_source(study.data))
    for position, name in enumerate(study.encoder.checkpoints):
        encoder = builder.checkpoint(position, name)
        for seed in study.seeds:
            for arm in arms:
                builder.run(position, name, encoder, arm, seed)
    stages = {stage.key: stage for stage in builder.stages}
    return StudyPlan(
        study=study.model_dump(mode="json"),
        study_hash=study_hash(study),
        stages=tuple(stages.values()),
        runs=tuple(builder.runs),
        yields=tuple(dict.fromkeys(builder.yields)),
        stages_without_sharing=builder.unshared,
        languages=builder.source.describe_languages(),
    )


@dataclass(frozen=True, slots=True)
class _Encoder:
    """An encoder that a stage starts from: a finished stage's, or weights that lie somewhere."""

    identity: str
    stage: str
    name: str

    @property
    def parents(self) -> tuple[str, ...]:
        return (self.stage,) if self.stage else ()

    def config(self) -> dict[str, str]:
        """Fields of a configuration; the place of external weights is not part of the identity."""
        return {"encoder": self.identity, "stage": self.stage, "name": self.name}


class _Builder:
    """Collects stages, runs and yields while the design is walked through."""

    def __init__(self, study: Study, source: Source) -> None:
        self.study = study
        self.source = source
        self.stages: list[Stage] = []
        self.runs: list[PlannedRun] = []
        self.yields: list[Yield] = []
        self.unshared = 0
        self.languages = _languages(study, source)
        self.parallel = source.parallel_fingerprint(self.languages)
        self.tasks = {
            name: source.task_fingerprint(name) for name in (*study.intermediate.tasks, *study.target.tasks)
        }
        self.orders = order_rows(tuple(study.intermediate.tasks), study.orders)
        self.prefix: dict[str, int] = {}

    def add(
        self, kind: str, label: str, config: Mapping[str, Any], parents: Sequence[str], updates: int
    ) -> Stage:
        identity = {key: value for key, value in config.items() if key != "name"}
        body = {"kind": kind, "version": VERSIONS[kind], "config": identity, "parents": list(parents)}
        key = hashlib.sha256(canonical_json(body).encode()).hexdigest()[:32]
        stage = Stage(key, kind, label, tuple(parents), config, updates)
        self.stages.append(stage)
        return stage

    def measure(self, encoder: _Encoder, label: str, *, reference: str = "") -> str:
        """Plan a measurement: compared with that of the pretrained checkpoint, or being it."""
        config = {
            **encoder.config(),
            **self._measured(),
            "shuffled": not reference,
            "reference": reference,
        }
        parents = (*encoder.parents, reference) if reference else encoder.parents
        return self.add("measure", label, config, parents, 0).key

    def _measured(self) -> dict[str, Any]:
        settings = self.study.measure.model_dump(mode="json", exclude={"languages", "task_evaluations"})
        return {"measure": settings, "languages": list(self.languages), "parallel": self.parallel}

    def checkpoint(self, position: int, name: str) -> _Encoder:
        """Plan a checkpoint: its pretraining, its measurement and its controls."""
        label = f"c{position + 1}"
        encoder = self._pretrained(label, name)
        measured = self.measure(encoder, f"{label}: measure pretrained")
        untrained = self.add(
            "untrained",
            f"{label}: measure untrained control",
            {**encoder.config(), **self._measured()},
            encoder.parents,
            0,
        )
        baselines = self.add(
            "baselines",
            "model-free baselines",
            {"languages": list(self.languages), "parallel": self.parallel, "pool": self.study.measure.pool},
            (),
            0,
        )
        self.runs.append(
            PlannedRun(label, "pretrained", "pretrained", name, -1, "", "", "", 0, (measured,), "")
        )
        self.yields += [
            Yield(measured, label, "pretrained", "alignment"),
            Yield(measured, label, "shuffled_pairs", "control"),
            Yield(untrained.key, label, "untrained", "control"),
            Yield(baselines.key, "", "chance", "control"),
            Yield(baselines.key, "", "character_ngram", "control"),
        ]
        self.prefix[name] = len(encoder.parents)
        self.unshared += 2 if position else 3  # the controls belong to checkpoints, not to runs
        return encoder

    def _pretrained(self, label: str, name: str) -> _Encoder:
        if not name.startswith(EMBEDDED):
            return _Encoder(_weights_fingerprint(name), "", name)
        if self.study.data.source != "world":
            raise StudyError(
                "the embedded encoder knows no language but the world's.",
                where=f"encoder.checkpoints: {name}",
                hint='Use data.source = "world", or name a real encoder.',
            )
        try:
            seed = int(name.removeprefix(EMBEDDED))
        except ValueError as error:
            raise StudyError(
                "expected embedded:<seed>.",
                where=f"encoder.checkpoints: {name}",
                hint="For example embedded:1.",
            ) from error
        recipe = self.study.encoder.embedded
        config = {
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "world_seed": self.study.data.world_seed,
            "world": World(self.study.data.world_seed).fingerprint(),
        }
        stage = self.add("pretrain", f"{label}: pretrain", config, (), recipe.updates)
        return _Encoder(f"stage:{stage.key}", stage.key, name)

    def run(self, position: int, checkpoint: str, encoder: _Encoder, arm: str, seed: int) -> None:
        """Plan one run: intermediate phase, its measurement, and every target task after it."""
        schedule = self.study.schedules[arm]
        name = run_name(position, arm, seed)
        order = schedule.order or draw_order(self.orders, seed, position)
        keys: list[str] = []
        after = encoder
        intermediate = ""
        pretrained = self.measure(encoder, f"c{position + 1}: measure pretrained")
        if schedule.kind == "none":
            self.yields.append(Yield(pretrained, name, "intermediate", "alignment"))
        else:
            stage = self._intermediate(name, encoder, schedule, order, seed)
            intermediate = stage.key
            after = _Encoder(f"stage:{stage.key}", stage.key, checkpoint)
            measured = self.measure(after, f"{name}: measure after intermediate", reference=pretrained)
            keys += [stage.key, measured]
            self.yields += [
                Yield(stage.key, name, "intermediate", "scores"),
                Yield(measured, name, "intermediate", "alignment"),
            ]
        for task in self.study.target.tasks:
            stage = self._target(name, after, task, seed)
            tuned = _Encoder(f"stage:{stage.key}", stage.key, checkpoint)
            measured = self.measure(tuned, f"{name}: measure after {task}", reference=pretrained)
            keys += [stage.key, measured]
            self.yields += [
                Yield(stage.key, name, f"target:{task}", "scores"),
                Yield(measured, name, f"target:{task}", "alignment"),
            ]
            self.unshared += self.prefix[checkpoint] + (2 if intermediate else 1) + 2
        self.runs.append(
            PlannedRun(
                run=name,
                arm=arm,
                schedule=schedule.kind,
                checkpoint=checkpoint,
                seed=seed,
                order=">".join(order),
                learning_rate_policy=schedule.learning_rate_policy
                or self.study.intermediate.learning_rate_policy,
                optimizer_state=schedule.optimizer_state or self.study.intermediate.optimizer_state,
                updates=_updates(self.study.intermediate) if intermediate else 0,
                stages=tuple(keys),
                intermediate=intermediate,
            )
        )

    def _common(self, encoder: _Encoder, phase: Phase, tasks: Sequence[str], seed: int) -> dict[str, Any]:
        settings = phase.model_dump(mode="json")
        return {
            **encoder.config(),
            "tasks": {task: settings["tasks"][task] for task in tasks},
            "data": {task: self.tasks[task] for task in tasks},
            "optimisation": settings["optimisation"],
            "learning_rate_policy": phase.learning_rate_policy,
            "optimizer_state": phase.optimizer_state,
            "seeds": {name: self.study.streams.get(name, seed) for name in STREAMS},
            "head_pooling": self.study.encoder.head_pooling,
            "dropout": self.study.encoder.dropout,
        }

    def _intermediate(
        self, name: str, encoder: _Encoder, schedule: Schedule, order: Sequence[str], seed: int
    ) -> Stage:
        phase = self.study.intermediate
        config = self._common(encoder, phase, list(phase.tasks), seed)
        config["schedule"] = schedule.model_dump(mode="json", include={"kind", "block"})
        config["order"] = list(order)
        config["evaluations"] = self.study.measure.task_evaluations or AT_BOUNDARIES
        if schedule.learning_rate_policy:
            config["learning_rate_policy"] = schedule.learning_rate_policy
        if schedule.optimizer_state:
            config["optimizer_state"] = schedule.optimizer_state
        return self.add("intermediate", f"{name}: intermediate", config, encoder.parents, _updates(phase))

    def _target(self, name: str, encoder: _Encoder, task: str, seed: int) -> Stage:
        phase = self.study.target
        config = self._common(encoder, phase, [task], seed)
        return self.add(
            "target", f"{name}: target {task}", config, encoder.parents, phase.tasks[task].updates
        )


def _updates(phase: Phase) -> int:
    return sum(settings.updates for settings in phase.tasks.values())


def _languages(study: Study, source: Source) -> tuple[str, ...]:
    known = source.parallel_languages()
    for language in study.measure.languages:
        if language not in known:
            raise DataError(
                f'no parallel text for language "{language}".',
                where="measure.languages",
                hint=did_you_mean(language, known),
            )
    return study.measure.languages or known


_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)


def _weights_fingerprint(name: str) -> str:
    """SHA-256 over the files that decide what an external encoder computes."""
    path = checkpoint_path(name)
    needed = ("config.json", *_weight_files(path, name))
    digest = hashlib.sha256()
    for file in (*needed, *_TOKENIZER_FILES):
        local = _locate(path, file)
        if local is None and file in needed:
            raise SetupError(
                f"its {file} cannot be found.",
                where=f"checkpoint {name}",
                hint="Give a folder that holds it, or a Hub name while online or with the files cached.",
            )
        if local is not None:
            digest.update(f"{file}:{file_sha256(local)}".encode())
    return f"weights:{digest.hexdigest()}"


def _weight_files(path: str, name: str) -> list[str]:
    """Names of the safetensors files: one, or the shards of an index. Pickled weights do not count."""
    index = _locate(path, "model.safetensors.index.json")
    if index is None:
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SetupError("its weight index cannot be read.", where=f"checkpoint {name}") from error


def _locate(path: str, file: str) -> Path | None:
    if Path(path).is_dir():
        local = Path(path) / file
        return local if local.is_file() else None
    try:
        found = cached_file(path, file, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError):
        return None
    return Path(found) if found else None
