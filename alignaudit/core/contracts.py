"""Contracts of the long tables: what one row is, and name, type, unit and levels of every column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alignaudit.core.metrics import METRICS

__all__ = [
    "ALIGNMENT",
    "CONTRACTS",
    "CONTROLS",
    "DIRECTIONS",
    "ITEMS",
    "PERTURBED",
    "PERTURBED_ITEMS",
    "RUNS",
    "SCHEMA_VERSION",
    "SCORES",
    "Column",
    "Contract",
    "Kind",
]

SCHEMA_VERSION = 2
DIRECTIONS = ("foreign_to_english", "english_to_foreign")

Kind = Literal["string", "int64", "float64", "bool"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type, unit and, where they are few, the words it may hold."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """A table: one row per ``row``, identified by the columns in ``key``."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Return the column names in their written order."""
        return [column.name for column in self.columns]


_RUN = Column("run", "string", "identifier of the training run, for example c1-sequential-s3")
_ARM = Column("arm", "string", "name of the schedule in the study; `pretrained` before any training")
_CHECKPOINT = Column("checkpoint", "string", "pretrained checkpoint that the run starts from")
_SEED = Column("seed", "int64", "seed of the run; -1 where there is none")
_STAGE = Column("stage", "string", "`pretrained`, `intermediate` or `target:<task>`: after which stage")
_LANGUAGE = Column("language", "string", "language code as in the data")
_LAYER = Column("layer", "int64", "0 = embeddings, 1 … L = output of each block")
_POOLING = Column("pooling", "string", "how token vectors become one sentence vector")
_DIRECTION = Column(
    "direction", "string", "queries → candidates; symmetric metrics stand under both", levels=DIRECTIONS
)
_CENTRED = Column("centred", "bool", "whether each language's mean was subtracted (CKA always centres)")

_OWNER = (_RUN, _ARM, _CHECKPOINT, _SEED, _STAGE)
_CELL = (_LANGUAGE, _LAYER, _POOLING)
_VALUE = (
    Column("metric", "string", "name of a metric, see `alignaudit.core.metrics`", levels=tuple(METRICS)),
    Column("value", "float64", "value of the metric; accuracy as a fraction", nullable=True),
    Column(
        "standard_error",
        "float64",
        "over sentence pairs, or over documents where they are known; unit of value",
        nullable=True,
    ),
    Column("n", "int64", "sentence pairs"),
    Column(
        "note", "string", "why the value, or a standard error that the metric has, is missing; else empty"
    ),
)
_CORRECT = tuple(
    Column(f"{direction}_correct", "float64", "1, 0, or 1/(number tied)") for direction in DIRECTIONS
)

RUNS = Contract(
    "runs",
    "training run",
    ("run",),
    (
        _RUN,
        Column("study", "string", "name of the study"),
        _ARM,
        Column(
            "schedule",
            "string",
            "kind of schedule",
            levels=("none", "sequential", "concurrent", "interleaved"),
        ),
        _CHECKPOINT,
        _SEED,
        Column("order", "string", "task order drawn for this checkpoint and seed, `a>b>c`"),
        Column("plan_hash", "string", "SHA-256 of the multiset of mini-batches; empty for `none`"),
        Column("learning_rate_policy", "string", "`global`, `restart` or `constant`"),
        Column("optimizer_state", "string", "`carry` or `reset` at task boundaries"),
        Column("temporal_segregation", "float64", "I(task; time bin) / H(task)", "0–1", nullable=True),
        Column(
            "switch_rate",
            "float64",
            "share of steps whose task differs from the step before",
            "0–1",
            nullable=True,
        ),
        Column("last_task", "string", "task of the last step of the intermediate phase; empty for `none`"),
        Column("updates", "int64", "optimizer updates of the intermediate phase"),
        Column("tokens", "int64", "non-padding tokens of the intermediate phase"),
        Column("wall_s", "float64", "wall time of all stages of the run", "s"),
        Column("device", "string", "device the run was trained on"),
        Column("stages_done", "int64", "finished stages of the run"),
        Column("stages_planned", "int64", "planned stages of the run"),
    ),
)

ALIGNMENT = Contract(
    "alignment",
    "run × stage × language × layer × pooling × direction × centred × metric",
    ("run", "stage", "language", "layer", "pooling", "direction", "centred", "metric"),
    (
        *_OWNER,
        *_CELL,
        _DIRECTION,
        _CENTRED,
        *_VALUE,
    ),
)

ITEMS = Contract(
    "items",
    "run × stage × language × layer × pooling × centred × sentence pair",
    ("run", "stage", "language", "layer", "pooling", "centred", "item"),
    (
        *_OWNER,
        *_CELL,
        _CENTRED,
        Column("item", "int64", "line number of the pair, from 0"),
        Column("english", "int64", "number of the English sentence, the same in every language and file"),
        *_CORRECT,
        *(
            Column(f"{direction}_rank", "float64", "rank of the translation, from 1; ties share the mean")
            for direction in DIRECTIONS
        ),
        *(
            Column(f"{direction}_prediction", "int64", "nearest candidate; of equal ones the first")
            for direction in DIRECTIONS
        ),
        Column("margin", "float64", "LASER distance margin of the true pair", "cosine"),
    ),
)

SCORES = Contract(
    "scores",
    "run × stage × task × update × split × language × metric",
    ("run", "stage", "task", "update", "split", "language", "metric"),
    (
        *_OWNER,
        Column("task", "string", "task that was scored"),
        Column("role", "string", "what the task is in the study", levels=("intermediate", "target")),
        Column("update", "int64", "optimizer updates of the stage done when it was scored"),
        Column(
            "split",
            "string",
            "`dev`: English, along the way; `test`: of the state that is kept; `test_path`: along the way",
            levels=("dev", "test", "test_path"),
        ),
        _LANGUAGE,
        Column("metric", "string", "`accuracy`, `f1`, `em_f1` …"),
        Column("value", "float64", "score as a fraction", "0–1", nullable=True),
        Column("n", "int64", "examples scored"),
    ),
)

CONTROLS = Contract(
    "controls",
    "control × checkpoint × language × layer × direction × centred × metric",
    ("control", "checkpoint", "language", "layer", "direction", "centred", "metric"),
    (
        Column(
            "control",
            "string",
            "what stands in for the trained encoder",
            levels=("untrained", "shuffled_pairs", "chance", "character_ngram"),
        ),
        Column("checkpoint", "string", "checkpoint the control belongs to; empty for model-free controls"),
        _LANGUAGE,
        Column("layer", "int64", "layer; -1 for model-free controls"),
        _POOLING,
        _DIRECTION,
        _CENTRED,
        *_VALUE,
    ),
)

_PERTURBATION = Column("perturbation", "string", "what was done to the foreign sentences")
_SEVERITY = Column("severity", "float64", "wanted character error rate, or share of what can change", "0–1")

PERTURBED = Contract(
    "perturbed",
    "run × stage × language × perturbation × severity × direction × centred × metric",
    (
        "run",
        "stage",
        "language",
        "layer",
        "pooling",
        "perturbation",
        "severity",
        "direction",
        "centred",
        "metric",
    ),
    (
        *_OWNER,
        *_CELL,
        _PERTURBATION,
        _SEVERITY,
        _DIRECTION,
        _CENTRED,
        *_VALUE,
        Column("character_error_rate", "float64", "realised, mean over sentences", "edits per character"),
        Column("changed_share", "float64", "sentences that are not as they were", "0–1"),
        Column("reach_note", "string", "says where a perturbation leaves a language as it was"),
    ),
)

PERTURBED_ITEMS = Contract(
    "perturbed_items",
    "run × stage × language × perturbation × severity × sentence pair, centred",
    ("run", "stage", "language", "layer", "pooling", "perturbation", "severity", "item"),
    (
        *_OWNER,
        *_CELL,
        _PERTURBATION,
        _SEVERITY,
        Column("item", "int64", "line number of the pair, from 0"),
        Column("character_error_rate", "float64", "realised in this sentence", "edits per character"),
        *_CORRECT,
    ),
)

CONTRACTS: Mapping[str, Contract] = {
    contract.name: contract
    for contract in (RUNS, ALIGNMENT, ITEMS, SCORES, CONTROLS, PERTURBED, PERTURBED_ITEMS)
}
