"""The graph of stages of a study, and the identity of each stage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from alignaudit.core.mixture import task_updates
from alignaudit.core.phase import Phase, Schedule
from alignaudit.core.plan import PlannedRun, Stage, StudyPlan, Yield
from alignaudit.core.rng import STREAMS
from alignaudit.core.study import Study, canonical_json, study_hash
from alignaudit.errors import DataError, SetupError, StudyError, did_you_mean
from alignaudit.experiment.data import Source, mining_fingerprint, open_source
from alignaudit.experiment.schedule import draw_order, order_rows
from alignaudit.experiment.tasks.encoding import VERSION as ENCODING_VERSION
from alignaudit.experiment.weights import weights_fingerprint
from alignaudit.world.world import World

__all__ = ["AT_BOUNDARIES", "VERSIONS", "draw_plan", "run_name"]

VERSIONS: Mapping[str, int] = {
    "pretrain": 2,
    "intermediate": 2,
    "target": 2,
    "measure": 3,
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


def draw_plan(
    study: Study, schedules: Sequence[str] | None = None, *, unreached: list[str] | None = None
) -> StudyPlan:
    """Return the graph of stages that a study needs; nothing is computed but fingerprints.

    Parameters
    ----------
    study
        A validated study.
    schedules
        Arms to plan; all of the study's by default.
    unreached
        If given, data and weights that cannot be reached are noted in it, one sentence each, instead
        of being an error. The graph then has the right shape, but stages of its own identity: it can
        be shown and costed, not run.

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
    builder = _Builder(study, open_source(study.data), unreached)
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

    def __init__(self, study: Study, source: Source, unreached: list[str] | None) -> None:
        self.study = study
        self.source = source
        self.unreached = unreached
        self.stages: list[Stage] = []
        self.runs: list[PlannedRun] = []
        self.yields: list[Yield] = []
        self.unshared = 0
        self.languages = _languages(study, source)
        self.parallel = self.reach(lambda: source.parallel_fingerprint(self.languages))
        self.mining = self.reach(lambda: _mining(study, source))
        self.lexicons = self.reach(lambda: _lexicons(study, source, self.languages))
        self.intermediate, self.target = self._phase(study.intermediate), self._phase(study.target)
        self.orders = order_rows(tuple(study.intermediate.tasks), study.orders)
        self.prefix: dict[str, int] = {}

    def reach(self, fingerprint: Callable[[], str]) -> str:
        """Return a fingerprint, or a stand-in where it is out of reach and that may be so."""
        try:
            return fingerprint()
        except (DataError, SetupError) as error:
            if self.unreached is None:
                raise
            if str(error) not in self.unreached:
                self.unreached.append(str(error))
            return f"unreached: {error}"

    def _phase(self, phase: Phase) -> _PhaseData:
        sizes = {name: self.source.train_size(name, settings) for name, settings in phase.tasks.items()}
        updates = task_updates(phase, sizes)
        settings = {
            name: one.model_dump(mode="json", exclude={"epochs", "optimisation"}) | {"updates": updates[name]}
            for name, one in phase.tasks.items()
        }
        prints = {
            name: self.reach(partial(self.source.task_fingerprint, name, one))
            for name, one in phase.tasks.items()
        }
        return _PhaseData(updates, settings, prints)

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
            "retrieval": list(self.study.measure.retrieval),
            "mining": self.mining,
        }
        parents = (*encoder.parents, reference) if reference else encoder.parents
        return self.add("measure", label, config, parents, 0).key

    def measured(self, key: str, run: str, stage: str) -> list[Yield]:
        """Return what a measurement gives: alignment, and scores of the retrieval tasks if any."""
        roles = ("alignment", "scores") if self.study.measure.retrieval else ("alignment",)
        return [Yield(key, run, stage, role) for role in roles]

    def _measured(self) -> dict[str, Any]:
        settings = self.study.measure.model_dump(
            mode="json", exclude={"languages", "task_evaluations", "retrieval"}
        )
        found = {"measure": settings, "languages": list(self.languages), "parallel": self.parallel}
        return found | ({"lexicons": self.lexicons} if self.lexicons else {})

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
            *self.measured(measured, label, "pretrained"),
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
            return _Encoder(self.reach(lambda: weights_fingerprint(name)), "", name)
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
            self.yields += self.measured(pretrained, name, "intermediate")
        else:
            stage = self._intermediate(name, encoder, schedule, order, seed)
            intermediate = stage.key
            after = _Encoder(f"stage:{stage.key}", stage.key, checkpoint)
            measured = self.measure(after, f"{name}: measure after intermediate", reference=pretrained)
            keys += [stage.key, measured]
            self.yields += [
                Yield(stage.key, name, "intermediate", "scores"),
                *self.measured(measured, name, "intermediate"),
            ]
        for task in self.study.target.tasks:
            stage = self._target(name, after, task, seed)
            tuned = _Encoder(f"stage:{stage.key}", stage.key, checkpoint)
            measured = self.measure(tuned, f"{name}: measure after {task}", reference=pretrained)
            keys += [stage.key, measured]
            self.yields += [
                Yield(stage.key, name, f"target:{task}", "scores"),
                *self.measured(measured, name, f"target:{task}"),
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
                updates=sum(self.intermediate.updates.values()) if intermediate else 0,
                stages=tuple(keys),
                intermediate=intermediate,
            )
        )

    def _common(
        self, encoder: _Encoder, phase: Phase, data: _PhaseData, tasks: Sequence[str], seed: int
    ) -> dict[str, Any]:
        return {
            **encoder.config(),
            "tasks": {task: data.settings[task] for task in tasks},
            "data": {task: data.fingerprints[task] for task in tasks},
            "encoding": ENCODING_VERSION,
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
        config = self._common(encoder, phase, self.intermediate, list(phase.tasks), seed)
        config["optimisation"] = phase.optimisation.model_dump(mode="json")
        config["schedule"] = schedule.model_dump(mode="json", include={"kind", "block"})
        config["order"] = list(order)
        config["evaluations"] = self.study.measure.task_evaluations or AT_BOUNDARIES
        if schedule.learning_rate_policy:
            config["learning_rate_policy"] = schedule.learning_rate_policy
        if schedule.optimizer_state:
            config["optimizer_state"] = schedule.optimizer_state
        updates = sum(self.intermediate.updates.values())
        return self.add("intermediate", f"{name}: intermediate", config, encoder.parents, updates)

    def _target(self, name: str, encoder: _Encoder, task: str, seed: int) -> Stage:
        phase = self.study.target
        config = self._common(encoder, phase, self.target, [task], seed)
        config["optimisation"] = phase.optimisation_of(task).model_dump(mode="json")
        config["evaluations"] = phase.evaluations
        config["selection"] = phase.selection
        config["patience"] = phase.patience
        return self.add(
            "target", f"{name}: target {task}", config, encoder.parents, self.target.updates[task]
        )


@dataclass(frozen=True, slots=True)
class _PhaseData:
    """What the data make of a phase: updates, settings written out, fingerprints, all by task."""

    updates: Mapping[str, int]
    settings: Mapping[str, dict[str, Any]]
    fingerprints: Mapping[str, str]


def _mining(study: Study, source: Source) -> str:
    """Return a hash of the mining sets; empty where BUCC is not asked for."""
    if "bucc2018" not in study.measure.retrieval:
        return ""
    folder = source.mining_folder()
    if folder is None:
        raise DataError(
            "there are no mining sets.",
            where="measure.retrieval: bucc2018",
            hint='Put BUCC\'s files below data.folder, or name their folder: data.folders.bucc2018 = "PATH".',
        )
    return mining_fingerprint(folder)


def _lexicons(study: Study, source: Source, languages: tuple[str, ...]) -> str:
    """Return a hash of the lexicons; empty where no words are switched."""
    return source.lexicon_fingerprint(languages) if study.measure.switches_code else ""


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
