"""The analysis plan: what is primary, and what counts as large, stated before looking at results."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date as calendar_date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from alignaudit.core.decode import Strict, decode, read_toml
from alignaudit.core.specification import primary_layer
from alignaudit.errors import did_you_mean
from alignaudit.infer.paired import Population
from alignaudit.measure.perturbations_table import PERTURBATIONS

__all__ = ["AlignmentChoice", "AnalysisPlan", "SmallestEffects", "load_plan"]

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


class AlignmentChoice(Strict):
    """Which of all measured alignments is the primary one."""

    metric: Literal["accuracy", "margin", "cka_debiased"] = "accuracy"
    centred: bool = True
    layer: Literal["primary"] | Annotated[int, Field(ge=0)] = "primary"
    pooling: str = "mean"
    stage: str = "intermediate"


class SmallestEffects(Strict):
    """Smallest effects of interest: fractions, and for R2 a log ratio of standard deviations."""

    R1: Positive = 0.02
    R2: Positive = 0.4054651081081644
    R3: Positive = 0.03
    R4: Positive = 0.02
    transfer: Positive = 0.02


class AnalysisPlan(Strict):
    """What is compared and how, as a plan file states it.

    Attributes
    ----------
    schedules
        Arms of the planned contrasts; the earlier one is the reference.
    population
        ``these_languages`` (fixed) or ``languages_like_these`` (a sample).
    conf_level, alpha
        Level of intervals; level of the Holm family and of each one-sided equivalence test.
    tail_share
        Share of languages that R3 looks at.
    perturbation
        What R4 looks at.
    alignment, smallest_effects
        The primary measure, and the bounds of the equivalence tests.
    author, date
        Who stated the plan, and when; optional.
    """

    schedules: tuple[str, ...] = ("sequential", "concurrent")
    population: Population = "these_languages"
    conf_level: Share = 0.95
    alpha: Share = 0.05
    tail_share: Share = 0.25
    perturbation: str = "typos"
    alignment: AlignmentChoice = AlignmentChoice()
    smallest_effects: SmallestEffects = SmallestEffects()
    author: str = ""
    date: calendar_date | None = None

    @field_validator("perturbation")
    @classmethod
    def _known_perturbation(cls, name: str) -> str:
        if name not in PERTURBATIONS:
            raise ValueError(f'there is no perturbation "{name}". {did_you_mean(name, PERTURBATIONS)}')
        return name

    _source: str = PrivateAttr(default="in memory")
    _stated: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _two_schedules(self) -> Self:
        if len(set(self.schedules)) != len(self.schedules) or len(self.schedules) < 2:
            raise ValueError("schedules must name at least two different arms")
        return self

    @property
    def source(self) -> str:
        """Return the name of the plan file, ``built-in``, or ``in memory``."""
        return self._source

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the settings, whatever the comments and layout of the file."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def as_stated(self) -> bool:
        """Return whether the settings are still those of the file the plan was read from."""
        return self._stated == self.sha256

    def layer(self, depth: int) -> int:
        """Return the layer to read from an encoder with ``depth`` blocks."""
        chosen = self.alignment.layer
        return primary_layer(depth) if chosen == "primary" else chosen


def load_plan(path: Path | None = None) -> AnalysisPlan:
    """Read a plan file, or the built-in plan when no path is given.

    Parameters
    ----------
    path
        A TOML file with the keys of :class:`AnalysisPlan`; None for the built-in plan.

    Returns
    -------
    AnalysisPlan
        Frozen; remembers the name of its file and the hash of the settings read from it.

    Raises
    ------
    StudyError
        If the file cannot be read, holds an unknown key or a value outside its range.

    Examples
    --------
    >>> plan = load_plan()
    >>> plan.source, plan.schedules, plan.as_stated
    ('built-in', ('sequential', 'concurrent'), True)
    """
    if path is None:
        resource = files("alignaudit.resources").joinpath("plans", "primary.toml")
        values, source = tomllib.loads(resource.read_text(encoding="utf-8")), "built-in"
    else:
        values, source = read_toml(path), path.name
    plan = decode(AnalysisPlan, values, where=source)
    plan._source = source
    plan._stated = plan.sha256
    return plan
