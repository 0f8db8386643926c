"""How a phase is trained: its tasks, how much of each, and the optimisation. Strict and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from alignaudit.core.decode import Strict
from alignaudit.core.recipes import Recipe, recipe
from alignaudit.errors import StudyError

__all__ = [
    "Mixture",
    "Optimisation",
    "OptimizerState",
    "Phase",
    "Policy",
    "Schedule",
    "Selection",
    "TaskSettings",
]

Policy = Literal["global", "restart", "constant"]
OptimizerState = Literal["carry", "reset"]
Selection = Literal["last", "english-dev", "target-languages"]


class Optimisation(Strict):
    """AdamW and its learning-rate curve: warm-up, a flat part, then linear decay."""

    learning_rate: float = Field(gt=0, description="peak learning rate")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="share of the updates spent warming up")
    warmup_updates: int | None = Field(None, ge=0, description="their number, instead of the share")
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
    """How much a task is trained: ``updates``, or ``epochs`` over its examples, or a share of the mixture."""

    updates: int | None = Field(None, ge=1, description="optimizer updates")
    epochs: float | None = Field(None, gt=0, description="passes over the training examples")
    batch_size: int = Field(ge=1, description="examples per update")
    max_length: int = Field(128, ge=8, description="tokens per text")
    stride: int = Field(0, ge=0, description="tokens from window to window of a long context")
    train_examples: int | None = Field(None, ge=1, description="use only the first so many")
    train_languages: tuple[str, ...] = Field(
        ("en",), min_length=1, description="others than en: translated training data"
    )
    test_languages: tuple[str, ...] = Field((), description="empty: all that the task has")
    mask_share: float = Field(0.15, gt=0, lt=1, description="hidden tokens of masked language modelling")
    optimisation: Optimisation | None = Field(None, description="of this target task alone")

    @field_validator("train_languages", "test_languages")
    @classmethod
    def _languages_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("the languages must differ from one another")
        return names

    @model_validator(mode="after")
    def _amount_is_said_once(self) -> TaskSettings:
        if self.updates is not None and self.epochs is not None:
            raise ValueError("give `updates` or `epochs`, not both")
        return self


class Mixture(Strict):
    """Divides a number of updates among tasks in proportion to min(examples, cap)^(1/temperature).

    Raffel et al. (2020), "Exploring the limits of transfer learning with a unified text-to-text
    transformer", section 3.5.2: examples-proportional and temperature-scaled mixing.
    """

    updates: int = Field(ge=1, description="optimizer updates of the tasks without an amount of their own")
    cap: int | None = Field(None, ge=1, description="examples beyond which a task counts no more")
    temperature: float = Field(1.0, ge=1, description="1: proportional; towards infinity: equal shares")


class Phase(Strict):
    """One phase of training (intermediate or target): its tasks and its optimisation.

    With a ``recipe``, whatever the study does not write down comes from ``core.recipes``.
    """

    recipe: str = Field("", description="published hyper-parameters to start from, see core.recipes")
    tasks: dict[str, TaskSettings] = Field(min_length=1)
    mixture: Mixture | None = None
    optimisation: Optimisation
    learning_rate_policy: Policy = "global"
    optimizer_state: OptimizerState = "carry"
    evaluations: int = Field(
        1, ge=1, description="evaluations of a target task, equally spaced; the last at the end"
    )
    selection: Selection = Field("last", description="which evaluated state of a target task is kept")
    patience: int = Field(
        0, ge=0, description="evaluations of a target task without improvement before it stops; 0: never"
    )

    @model_validator(mode="before")
    @classmethod
    def _recipe_fills_in(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not values.get("recipe"):
            return values
        tables = (values.get("tasks", {}), values.get("optimisation", {}))
        if not all(isinstance(table, Mapping) for table in tables):
            return values
        try:
            return _filled_in(values)
        except StudyError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _every_task_has_an_amount(self) -> Phase:
        for name, settings in self.tasks.items():
            given = settings.updates is not None or settings.epochs is not None
            if self.mixture is None and not given:
                raise ValueError(f"tasks.{name} needs `updates` or `epochs`, or the phase a `mixture`")
        if self.selection == "last" and self.patience:
            raise ValueError('`patience` needs selection "english-dev" or "target-languages"')
        return self

    def optimisation_of(self, task: str) -> Optimisation:
        """Return the optimisation of a target task: its own, or else the phase's."""
        return self.tasks[task].optimisation or self.optimisation


_SETTINGS = ("batch_size", "epochs", "max_length", "stride")
_OPTIMISATION = ("learning_rate", "weight_decay", "epsilon", "clip_norm")


def _filled_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a phase's written settings with those of its recipe where it says nothing.

    Parameters
    ----------
    values
        The phase as read from TOML, with ``recipe`` and ``tasks``.

    Returns
    -------
    dict
        With all of ``tasks`` and ``optimisation`` written out. Tasks that the recipe trains
        otherwise than the first keep that as an optimisation of their own.

    Raises
    ------
    StudyError
        If the recipe does not exist or does not know a task.
    """
    tasks: dict[str, Any] = {}
    written = values.get("optimisation", {})
    shared: dict[str, Any] = {}
    for name, settings in values.get("tasks", {}).items():
        if not isinstance(settings, Mapping):
            tasks[name] = settings  # refused by its own validation
            continue
        found = recipe(str(values["recipe"]), name)
        own = dict(settings)
        amounts = {"epochs"} if "updates" in own or values.get("mixture") else set()
        filled = {key: getattr(found, key) for key in _SETTINGS if key not in amounts}
        optimisation = _optimisation(found, written)
        shared = shared or optimisation
        if isinstance(own.get("optimisation"), Mapping):
            own["optimisation"] = _optimisation(found, written, own["optimisation"])
        elif optimisation != shared:
            filled["optimisation"] = optimisation
        tasks[name] = filled | own
    return {**values, "tasks": tasks, "optimisation": shared or written}


def _optimisation(found: Recipe, *written: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's optimisation under what is written, the later the stronger.

    A share of warming up that is written takes the place of the recipe's number of updates.
    """
    warmup = "warmup_updates" if found.warmup_updates else "warmup_share"
    values = {key: getattr(found, key) for key in (*_OPTIMISATION, warmup)}
    for settings in written:
        if "warmup_share" in settings:
            values.pop("warmup_updates", None)
        values |= settings
    return values


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
