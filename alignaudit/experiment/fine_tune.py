"""The stages that fine-tune: the intermediate phase under a schedule, and a target task after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file

from alignaudit.core.example import Example
from alignaudit.core.plan import Stage
from alignaudit.errors import StudyError
from alignaudit.experiment.checkpoint import FolderKeeper
from alignaudit.experiment.context import ENCODER_FOLDER, Context, Outcome
from alignaudit.experiment.evaluate import score_task
from alignaudit.experiment.model import MultiTaskModel, save_encoder
from alignaudit.experiment.prepare import EncodedTask, PreparedPhase, prepare
from alignaudit.experiment.schedule import BatchPlan
from alignaudit.experiment.selection import StateKeeper, long_enough
from alignaudit.experiment.stages import AT_BOUNDARIES
from alignaudit.experiment.tasks.encoding import Encoded
from alignaudit.experiment.train import TrainingState, train

__all__ = ["run_intermediate", "run_target"]

Row = dict[str, Any]


def run_intermediate(stage: Stage, context: Context) -> Outcome:
    """Train the intermediate phase; return its record and what writes its files."""
    phase = prepare(stage, context)
    scorer = _Scorer(phase, torch.device(context.device), "intermediate")
    keeper = FolderKeeper(context.store.work(stage.key), context.keep_every_s, context.stop)
    state = train(
        phase.model,
        phase.train,
        phase.plan,
        pad_id=scorer.pad_id,
        device=scorer.device,
        keeper=keeper,
        evaluate_at=_points(stage, phase.plan.batches),
        evaluate=lambda _, update: scorer.dev(update),
        progress=context.progress,
    )
    scores = [row for rows in state.evaluations for row in rows]
    return _record(phase, state, keeper), _writer(phase, scores)


def run_target(stage: Stage, context: Context) -> Outcome:
    """Train a target task and test it; return as :func:`run_intermediate`.

    Test sets are scored at every evaluation, so that the oracle can stand beside what was selected;
    which state is kept is the study's rule, and the rows of that state are split ``test``.
    """
    phase = prepare(stage, context)
    scorer = _Scorer(phase, torch.device(context.device), "target")
    rule, patience = stage.config["selection"], int(stage.config["patience"])
    folder = context.store.work(stage.key)
    keeper = FolderKeeper(folder, context.keep_every_s, context.stop)
    states = StateKeeper(folder, rule)

    def after(model: MultiTaskModel, evaluations: Sequence[Any]) -> bool:
        states.offer(model, _primary(evaluations))
        return long_enough(_primary(evaluations), rule, patience)

    state = train(
        phase.model,
        phase.train,
        phase.plan,
        pad_id=scorer.pad_id,
        device=scorer.device,
        keeper=keeper,
        evaluate_at=_points(stage, phase.plan.batches),
        evaluate=lambda _, update: [*scorer.dev(update), *scorer.test(update)],
        after=after,
        progress=context.progress,
    )
    kept = states.restore(phase.model, _primary(state.evaluations))
    scores = [row for rows in state.evaluations for row in rows]
    chosen = [row | {"split": "test"} for row in state.evaluations[kept] if row["split"] == "test_path"]
    path = scores if len(state.evaluations) > 1 else [row for row in scores if row["split"] != "test_path"]
    record = _record(phase, state, keeper)
    selection = {"rule": rule, "update": chosen[0]["update"], "evaluations": len(state.evaluations)}
    return record | {"selection": selection}, _writer(phase, path + chosen)


def _primary(evaluations: Sequence[Any]) -> list[list[Row]]:
    """Rows of the tasks' own metrics only, which come first for each task, split and language."""
    kept = []
    for rows in evaluations:
        first: dict[tuple[str, str, str], Row] = {}
        for row in rows:
            first.setdefault((row["task"], row["split"], row["language"]), row)
        kept.append(list(first.values()))
    return kept


class _Scorer:
    """Scores the tasks of a phase; encodes every set once."""

    def __init__(self, phase: PreparedPhase, device: torch.device, role: str) -> None:
        self.phase = phase
        self.device = device
        self.role = role
        self.pad_id = int(phase.tokenizer.pad_token_id)

    def dev(self, update: int) -> list[Row]:
        """Return the rows of the English development sets; running text of the Hub has none."""
        return [
            row
            for name, task in self.phase.tasks.items()
            if len(task.data.dev)
            for row in self._rows(name, task, task.dev(), task.data.dev, "dev", "en", update)
        ]

    def test(self, update: int) -> list[Row]:
        """Return the rows of the test sets of every language."""
        rows = []
        for name, task in self.phase.tasks.items():
            if not task.data.test:
                raise StudyError("has no test sets, so it cannot be a target task.", where=f"task {name}")
            for language, examples in task.data.test.items():
                encoded = task.test(language)
                rows += self._rows(name, task, encoded, examples, "test_path", language, update)
        return rows

    def _rows(
        self,
        name: str,
        task: EncodedTask,
        encoded: Encoded,
        examples: Sequence[Example],
        split: str,
        language: str,
        update: int,
    ) -> list[Row]:
        scores = score_task(
            self.phase.model,
            task.data,
            encoded,
            examples,
            language=language,
            masking=self.phase.plan.masking,
            pad_id=self.pad_id,
            device=self.device,
        )
        row = {"task": name, "role": self.role, "update": update, "split": split, "language": language}
        return [
            row | {"metric": metric, "value": value, "n": len(examples)} for metric, value in scores.items()
        ]


def _points(stage: Stage, batches: BatchPlan) -> set[int]:
    """Return after which updates tasks are scored: equal parts, or where sequential changes task.

    Arms that share the drawn order are scored after the same numbers of updates.
    """
    wanted = stage.config["evaluations"]
    if wanted == AT_BOUNDARIES:
        sizes = {task: len(part) for task, part in zip(batches.tasks, batches.batches, strict=True)}
        return set(accumulate(sizes[task] for task in stage.config["order"]))
    return {round(batches.updates * part / wanted) for part in range(1, wanted + 1)} - {0}


def _record(phase: PreparedPhase, state: TrainingState, keeper: FolderKeeper) -> Row:
    return {
        "updates": state.update,
        "tokens": state.tokens,
        "losses": state.losses,
        "resumed_at": keeper.resumed_at,
        "seconds_before": keeper.seconds_before,
        "plan_hash": phase.plan.batches.hash,
        "descriptors": asdict(phase.descriptors),
        "dropped_examples": {name: encoded.dropped for name, encoded in phase.train.items()},
        "train_examples": {name: len(encoded) for name, encoded in phase.train.items()},
        "mlm_head": phase.mlm_head,
    }


def _writer(phase: PreparedPhase, scores: Sequence[Mapping[str, Any]]) -> Any:
    table = pd.DataFrame(scores)

    def write(folder: Path) -> None:
        save_encoder(phase.model.encoder, phase.tokenizer, folder / ENCODER_FOLDER)
        heads = phase.model.heads.state_dict()
        save_file(
            {name: value.cpu().contiguous() for name, value in heads.items()}, folder / "heads.safetensors"
        )
        table.to_parquet(folder / "scores.parquet", index=False)

    return write
