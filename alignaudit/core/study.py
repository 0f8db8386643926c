"""A study: what is trained, under which schedules and seeds, and what is measured. Strict and frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from alignaudit.core.decode import Strict, apply_overrides, decode, read_toml
from alignaudit.core.rng import STREAMS
from alignaudit.core.specification import Pooling
from alignaudit.errors import StudyError, did_you_mean

__all__ = [
    "Data",
    "EmbeddedEncoder",
    "Encoder",
    "Measures",
    "Optimisation",
    "Phase",
    "Schedule",
    "Study",
    "TaskSettings",
    "canonical_json",
    "load_study",
    "study_hash",
]

Policy = Literal["global", "restart", "constant"]
OptimizerState = Literal["carry", "reset"]


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the names must differ from one another")
    return names


class Optimisation(Strict):
    """AdamW and its learning-rate curve: warm-up, a flat part, then linear decay."""

    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="share of the updates spent warming up")
    flat_share: float = Field(
        0.0, ge=0, le=1, description="share of the updates until which the peak is held"
    )
    end_share: float = Field(0.0, ge=0, le=1, description="last learning rate as a share of the peak")
    weight_decay: float = Field(0.01, ge=0, description="not applied to biases and layer norms")
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    clip_norm: float = Field(1.0, gt=0, description="largest Euclidean norm of the gradient")
    micro_batches: int = Field(1, ge=1, description="parts a batch is cut into, shortest texts first")
    freeze_embeddings: bool = False


class TaskSettings(Strict):
    """How much a task is trained."""

    updates: int = Field(ge=1, description="optimizer updates")
    batch_size: int = Field(ge=1, description="examples per update")
    max_length: int = Field(128, ge=8, description="tokens per text; longer ones are cut")
    train_examples: int | None = Field(None, ge=1, description="use only the first so many")


class Phase(Strict):
    """One phase of training (intermediate or target): its tasks and its optimisation."""

    tasks: dict[str, TaskSettings] = Field(min_length=1)
    optimisation: Optimisation
    learning_rate_policy: Policy = "global"
    optimizer_state: OptimizerState = "carry"


class Schedule(Strict):
    """One arm: the order in which the fixed multiset of batches is seen."""

    kind: Literal["none", "sequential", "concurrent", "interleaved"]
    block: int | None = Field(None, ge=1, description="batches of a task in a row, for interleaved")
    order: tuple[str, ...] | None = Field(None, description="fixed task order instead of the drawn one")
    learning_rate_policy: Policy | None = Field(None, description="overrides the phase's")
    optimizer_state: OptimizerState | None = Field(None, description="overrides the phase's")

    @model_validator(mode="after")
    def _block_belongs_to_interleaved(self) -> Schedule:
        if (self.kind == "interleaved") != (self.block is not None):
            raise ValueError("`block` is needed for kind `interleaved` and for no other kind")
        return self


class EmbeddedEncoder(Strict):
    """Recipe of the embedded encoder: a small XLM-R pretrained by masked language modelling."""

    hidden_size: int = 64
    layers: int = 3
    attention_heads: int = 4
    vocabulary: int = 3500
    documents: int = Field(6000, ge=10, description="documents per language")
    updates: int = Field(2500, ge=1)
    batch_size: int = 32
    mask_share: float = Field(0.25, gt=0, lt=1)
    optimisation: Optimisation = Optimisation(
        learning_rate=4e-3, warmup_share=0.04, flat_share=0.4, end_share=0.05, betas=(0.9, 0.98)
    )


class Encoder(Strict):
    """The pretrained checkpoints that every arm starts from.

    A checkpoint is ``embedded:<seed>``, a Hub name (``xlm-roberta-large``), a folder, or
    ``package:<import name>/<folder>`` for weights that an installed package carries.
    """

    checkpoints: tuple[str, ...] = Field(min_length=1)
    head_pooling: Literal["first", "mean"] = "first"
    dropout: float = Field(0.1, ge=0, lt=1, description="hidden and attention dropout while fine-tuning")
    embedded: EmbeddedEncoder = EmbeddedEncoder()

    @field_validator("checkpoints")
    @classmethod
    def _checkpoints_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _different(names)


class Data(Strict):
    """Where text comes from: the embedded world, or a folder in the layout of ``data/README.md``."""

    source: Literal["world", "folder"]
    folder: str | None = Field(None, description="relative to the study file")
    parallel: str = Field("tatoeba", description="sub-folder with the parallel text")
    world_seed: int = Field(0, ge=0)
    train_examples: int = Field(3000, ge=1)
    dev_examples: int = Field(400, ge=1)
    test_examples: int = Field(300, ge=1)
    parallel_pairs: int = Field(400, ge=4)

    @model_validator(mode="after")
    def _folder_is_given(self) -> Data:
        if (self.source == "folder") != (self.folder is not None):
            raise ValueError("`folder` is needed for source `folder` and for no other source")
        return self


class Measures(Strict):
    """What is measured after every stage."""

    languages: tuple[str, ...] = Field((), description="empty: all that the data holds")
    poolings: tuple[Pooling, ...] = Field(("mean",), min_length=1, description="the first is the primary one")
    neighbours: int = Field(4, ge=1, description="k of the retrieval margin")
    pool: int = Field(200, ge=2, description="candidates of the pool-size-normalised accuracy")
    permutations: int = Field(99, ge=19, description="random pairings behind the p-value of CKA")
    perturbations: dict[str, tuple[Annotated[float, Field(gt=0, le=1)], ...]] = Field(
        {}, description="severities by name of the perturbation, measured at the primary layer"
    )
    max_length: int = Field(128, ge=8)
    batch_size: int = Field(64, ge=1)
    task_evaluations: int = Field(
        0, ge=0, description="English dev scores this often per phase; 0: where sequential changes task"
    )

    @field_validator("languages", "poolings")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _different(names)


class Study(Strict):
    """A whole study, as read from ``study.toml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str = ""
    seeds: tuple[int, ...] = Field(min_length=1)
    orders: Literal["all", "williams"] | int = "williams"
    data: Data
    encoder: Encoder
    intermediate: Phase
    target: Phase
    schedules: dict[str, Schedule] = Field(min_length=1)
    measure: Measures = Measures()
    streams: dict[str, int] = Field({}, description="seeds of single streams that replace the run's")

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be different non-negative integers")
        return seeds

    @model_validator(mode="after")
    def _names_agree(self) -> Study:
        for name in self.streams:
            if name not in STREAMS:
                raise ValueError(f'unknown stream "{name}". {did_you_mean(name, STREAMS)}')
        for name, schedule in self.schedules.items():
            if schedule.order is not None and sorted(schedule.order) != sorted(self.intermediate.tasks):
                raise ValueError(f"schedules.{name}.order must name each intermediate task once")
        return self


def load_study(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Study:
    """Return the study of a file, or the embedded quickstart study.

    Parameters
    ----------
    path
        A ``study.toml`` or a folder that holds one; ``None`` for the quickstart.
    overrides
        ``key.path=value`` settings, see :func:`alignaudit.core.decode.apply_overrides`.

    Returns
    -------
    Study
        Validated and frozen; a relative ``data.folder`` is resolved against the study file.

    Raises
    ------
    StudyError
        If the file is absent or invalid.

    Examples
    --------
    >>> load_study().name
    'quickstart'
    """
    if path is None:
        with as_file(files("alignaudit.resources") / "studies" / "quickstart.toml") as shipped:
            return decode(Study, apply_overrides(read_toml(shipped), overrides), where="quickstart study")
    file = Path(path)
    if file.is_dir():
        file = file / "study.toml"
    values = apply_overrides(read_toml(file), overrides)
    study = decode(Study, values, where=str(file))
    folder = study.data.folder
    if folder is None or Path(folder).is_absolute():
        return study
    resolved = str((file.parent / folder).resolve())
    return study.model_copy(update={"data": study.data.model_copy(update={"folder": resolved})})


def study_hash(study: Study) -> str:
    """Return the SHA-256 of a study's settings, without the place of its data on this machine."""
    values = study.model_dump(mode="json", exclude={"data": {"folder"}})
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no blanks, so that equal settings give equal bytes.

    Raises
    ------
    StudyError
        If a value cannot be written as JSON.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise StudyError(f"not representable as JSON: {error}.") from error
