"""A whole study over files in the layout of the Hub, small enough to be trained in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hub_files import ROWS, write_ccg, write_hub
from tiny import WORDS, make_encoder

from alignaudit.core.decode import apply_overrides, decode
from alignaudit.core.plan import Stage, StudyPlan
from alignaudit.core.rng import stream
from alignaudit.core.store import Store
from alignaudit.core.study import Study
from alignaudit.experiment.context import Context
from alignaudit.experiment.execute import execute
from alignaudit.experiment.model import save_encoder
from alignaudit.experiment.stages import draw_plan

SETTINGS = {"updates": 4, "batch_size": 2, "max_length": 48}
INTERMEDIATE = {"mnli": {}, "squad": {"stride": 12}, "hellaswag": {}}
TARGET = {"udpos": {"test_languages": ["en", "zh"]}}


def write_tatoeba(folder: Path, pairs: int = 24) -> Path:
    """Two languages in the layout of Tatoeba's publisher: the last words of the English, after others."""
    folder.mkdir(parents=True)
    draw = stream(0, "small tatoeba")

    def words(low: int, high: int) -> list[str]:
        return list(draw.choice(WORDS, size=int(draw.integers(low, high))))

    english = [words(3, 7) for _ in range(pairs)]
    for code, kept in (("deu", 3), ("fra", 2)):
        foreign = [" ".join([*words(2, 5), *text[-kept:]]) for text in english]
        for side, lines in (("eng", map(" ".join, english)), (code, foreign)):
            (folder / f"tatoeba.{code}-eng.{side}").write_text("\n".join(lines) + "\n")
    return folder


def write_study_files(root: Path, tokenizer: Any) -> Path:
    """Write an encoder, copies of Hub repositories of every data set, CCGbank's lines and parallel text."""
    save_encoder(make_encoder(tokenizer), tokenizer, root / "encoder")
    write_hub(root / "hub", ROWS)
    write_ccg(root)
    write_tatoeba(root / "tatoeba")
    return root


def small_study(
    root: Path,
    *overrides: str,
    intermediate: Mapping[str, Any] = INTERMEDIATE,
    target: Mapping[str, Any] = TARGET,
) -> Study:
    """A study over what :func:`write_study_files` wrote; its caps say that the rows are not all there are."""
    phase = {"optimisation": {"learning_rate": 1e-2, "warmup_share": 0.0}}
    values = {
        "name": "small",
        "seeds": [1],
        "orders": 1,
        "data": {
            "source": "hub",
            "hub": str(root / "hub"),
            "folders": {"tatoeba": str(root / "tatoeba"), "ccg": str(root / "ccg")},
            "train_examples": 100,
            "dev_examples": 100,
            "test_examples": 100,
        },
        "encoder": {"checkpoints": [str(root / "encoder")], "dropout": 0.0, "head_pooling": "mean"},
        "intermediate": {**phase, "tasks": {name: SETTINGS | one for name, one in intermediate.items()}},
        "target": {**phase, "tasks": {name: SETTINGS | one for name, one in target.items()}},
        "schedules": {"none": {"kind": "none"}, "sequential": {"kind": "sequential"}},
        "measure": {"permutations": 19, "pool": 4, "neighbours": 2},
    }
    return decode(Study, apply_overrides(values, overrides), where="small study")


def stages_of(plan: StudyPlan, kind: str) -> list[Stage]:
    """The stages of a kind, in the plan's order."""
    return [stage for stage in plan.stages if stage.kind == kind]


def only_stage(study: Study, kind: str) -> Stage:
    """The one stage of a kind that a study has."""
    (stage,) = stages_of(draw_plan(study), kind)
    return stage


def context_of(study: Study, root: Path, **more: Any) -> Context:
    """Where a stage of a study is carried out: on the CPU; states are kept only when it is stopped."""
    return Context(Store(root / "store"), study.data, "cpu", 1e9, **more)


def run_all(study: Study, root: Path) -> Store:
    """Carry out every stage in this process, in the plan's order (parents come first)."""
    context = context_of(study, root)
    for stage in draw_plan(study).stages:
        execute(stage, context)
    return context.store


def stay_offline(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the Hub be out of reach, and keep what is read in a folder of the test."""
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
