"""A study: what is trained, under which schedules and seeds, and what is measured. Strict and frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.decode import Strict, apply_overrides, decode, read_toml
from alignaudit.core.phase import Optimisation, Phase, Schedule
from alignaudit.core.rng import STREAMS
from alignaudit.core.specification import Pooling
from alignaudit.errors import StudyError, did_you_mean

__all__ = [
    "Data",
    "EmbeddedEncoder",
    "Encoder",
    "Measures",
    "Study",
    "canonical_json",
    "load_study",
    "study_hash",
]


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the names must differ from one another")
    return names


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
    """Where text comes from: the embedded world, a folder, or the Hugging Face Hub.

    Folders are relative to the study file. A data set named in ``files`` or ``folders`` is read
    there, whatever the source of the others.
    """

    source: Literal["world", "folder", "hub"]
    folder: str | None = Field(None, description="root with one sub-folder per data set, see data/README.md")
    hub: str | None = Field(None, description="folder of Hub repositories to read instead of the network")
    folders: dict[str, str] = Field({}, description="folder by data set")
    files: dict[str, dict[str, str]] = Field({}, description="file name by data set and split")
    carve: dict[str, str] = Field(
        {}, description="by data set the split that train and development are both cut from"
    )
    revisions: dict[str, str] = Field({}, description="revision by data set, instead of the pinned one")
    parallel: str = Field("tatoeba", description="data set or sub-folder with the parallel text")
    lexicons: str | None = Field(None, description="folder of bilingual lexicons, for code-switching")
    world_seed: int = Field(0, ge=0)
    train_examples: int | None = Field(None, ge=1, description="at most so many per task")
    dev_examples: int | None = Field(None, ge=1)
    test_examples: int | None = Field(None, ge=1, description="at most so many per language")
    parallel_pairs: int | None = Field(None, ge=4, description="at most so many per language")

    @model_validator(mode="after")
    def _source_is_complete(self) -> Data:
        for setting in ("folders", "files", "carve", "revisions"):
            for name in getattr(self, setting):
                known = [*DATA_SETS, self.parallel] if setting == "folders" else DATA_SETS
                if name not in known:
                    raise ValueError(f'{setting}: there is no data set "{name}". {did_you_mean(name, known)}')
        if self.source == "folder" and self.folder is None:
            raise ValueError("`folder` is needed for source `folder`")
        if self.source == "world":
            if self.folder or self.hub or self.folders or self.files or self.carve or self.lexicons:
                raise ValueError("source `world` reads no files")
            for name in ("train_examples", "dev_examples", "test_examples", "parallel_pairs"):
                if getattr(self, name) is None:
                    raise ValueError(f"source `world` needs `{name}`")
        return self

    @property
    def has_lexicons(self) -> bool:
        """Return whether there are lexicons to switch words with: in a folder, or the world's own."""
        return self.source == "world" or self.lexicons is not None


class Measures(Strict):
    """What is measured after every stage."""

    languages: tuple[str, ...] = Field((), description="empty: all that the data holds")
    poolings: tuple[Pooling, ...] = Field(("mean",), min_length=1, description="the first is the primary one")
    neighbours: int = Field(4, ge=1, description="k of the retrieval margin")
    pool: int = Field(200, ge=2, description="candidates of the pool-size-normalised accuracy")
    permutations: int = Field(99, ge=19, description="random pairings behind the p-value of CKA")
    retrieval: tuple[Literal["tatoeba", "bucc2018"], ...] = Field(
        (), description="XTREME's retrieval tasks, scored from the encoder after every stage"
    )
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

    @model_validator(mode="after")
    def _tatoeba_needs_its_pooling(self) -> Measures:
        if "tatoeba" in self.retrieval and "mean" not in self.poolings:
            raise ValueError("`retrieval` of tatoeba reads the pooling `mean`: add it to `poolings`")
        return self

    @property
    def switches_code(self) -> bool:
        """Return whether words are switched with those of lexicons."""
        return "code_switching" in self.perturbations


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
        if self.measure.retrieval and self.data.source == "world":
            raise ValueError("measure.retrieval: the world has no text of tatoeba or bucc2018")
        if "tatoeba" in self.measure.retrieval and self.data.parallel != "tatoeba":
            raise ValueError(
                'measure.retrieval: tatoeba is scored from its own text: set data.parallel = "tatoeba"'
            )
        phase = self.intermediate
        if phase.selection != "last" or phase.patience:
            raise ValueError("intermediate: arms are compared after their last update: select in [target]")
        own = [name for name, settings in phase.tasks.items() if settings.optimisation is not None]
        if own:
            raise ValueError(
                f"intermediate.tasks.{own[0]}: all tasks of the phase share one optimisation: where the "
                "recipe differs between them, write [intermediate.optimisation]"
            )
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
        Validated and frozen; relative folders of ``[data]`` are resolved against the study file, and
        ``data.files`` against ``data.folder`` where there is one.

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
    return study.model_copy(update={"data": _resolved(study.data, file.parent)})


def _resolved(data: Data, base: Path) -> Data:
    """Return the data's settings with every folder and file made absolute."""

    def place(text: str) -> str:
        return text if Path(text).is_absolute() else str((base / text).resolve())

    root = Path(place(data.folder)) if data.folder else base
    return data.model_copy(
        update={
            "folder": place(data.folder) if data.folder else None,
            "hub": place(data.hub) if data.hub else None,
            "lexicons": place(data.lexicons) if data.lexicons else None,
            "folders": {name: place(folder) for name, folder in data.folders.items()},
            "files": {
                name: {split: str(root / file) for split, file in splits.items()}
                for name, splits in data.files.items()
            },
        }
    )


def study_hash(study: Study) -> str:
    """Return the SHA-256 of a study's settings, without the place of its data on this machine."""
    values = study.model_dump(
        mode="json", exclude={"data": {"folder", "hub", "folders", "files", "lexicons"}}
    )
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
