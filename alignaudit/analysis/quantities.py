"""Which quantities a comparison contrasts: the planned family, and what stands beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from alignaudit.analysis.align import depth, kept, retention, tail, transfer
from alignaudit.analysis.collect import Cells, Grid
from alignaudit.analysis.floor import floor_notes
from alignaudit.analysis.noise import Noise, noise, perturbations
from alignaudit.analysis.plan import AnalysisPlan
from alignaudit.errors import IncompleteDesignError
from alignaudit.infer.paired import Population

__all__ = ["Quantities", "Quantity", "quantities"]

UNITS = {"accuracy": "fraction", "margin": "cosine", "cka_debiased": "CKA"}
Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity on the grid, with what a row of the comparison says about it.

    Attributes
    ----------
    name, title, metric, unit, stage, layer, pooling, centred
        As in ``Estimand``.
    cells
        Values, shape [arms, pairs, units].
    population
        What its interval speaks about.
    bound
        Smallest effect of interest; NaN if none was stated.
    planned
        Whether it belongs to the planned family.
    contrast
        ``mean``, or ``spread`` for the log SD ratio.
    n_languages
        Number of languages behind the cells, where it is not their number of units.
    languages
        Their codes, for R3.
    sampled
        What the units of the cells are, which their population is of.
    repeats
        Whether the cells are those of a planned row once more, for another population.
    """

    name: str
    title: str
    metric: str
    unit: str
    stage: str
    layer: int | None
    pooling: str | None
    centred: bool | None
    cells: Cells
    population: Population
    bound: float
    planned: bool
    contrast: Literal["mean", "spread"] = "mean"
    n_languages: int | None = None
    languages: tuple[str, ...] = ()
    sampled: Literal["languages", "tasks"] = "languages"
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Quantities:
    """All quantities of a comparison, and sentences on those that could not be had."""

    rows: tuple[Quantity, ...]
    notes: tuple[str, ...]


def quantities(tables: Tables, grid: Grid, plan: AnalysisPlan) -> Quantities:
    """Return everything that the tables allow to compare, in the order of the report.

    Parameters
    ----------
    tables
        Long tables by contract name.
    grid
        The compared runs.
    plan
        What is primary.

    Returns
    -------
    Quantities
        R1, R2, R3, R4 and transfer first (those that can be had), then the exploratory ones.

    Raises
    ------
    IncompleteDesignError
        If the primary alignment is not in the tables at all.
    """
    layer = plan.layer(depth(tables))
    primary = _retention(tables, grid, plan, layer, planned=True)
    if not primary.cells.units:
        a = plan.alignment
        raise IncompleteDesignError(
            f"the alignment table holds no {a.metric} after stage {a.stage} at layer {layer} with "
            f"{a.pooling} pooling, {'centred' if a.centred else 'raw'}.",
            where="table alignment",
            hint="Change [alignment] of the plan, or measure that layer.",
        )
    planned = [primary, _stability(primary, plan)]
    perturbed = {name: _noise_of(tables, grid, plan, layer, name) for name in perturbations(tables)}
    notes = _unreached(perturbed)
    for found, what in (
        (_tail(tables, grid, plan, layer), "R3: no per-item results of the primary alignment"),
        (
            _noise(perturbed, plan, layer, planned=True),
            f"R4: the study measures no {plan.perturbation} at the primary alignment",
        ),
        (_transfer(tables, grid, plan), "transfer: no test scores of a target task"),
    ):
        planned += found[:1]
        if not found and (perturbed or not what.startswith("R4")):
            notes.append(f"Left out of the planned family, {what}.")
    notes += _floor(tables, grid, planned)
    beside = _beside(tables, grid, plan, layer, planned)
    beside += _noise(perturbed, plan, layer, planned=False)
    beside += _transfer(tables, grid, plan)[1:]
    return Quantities(tuple(planned + beside), tuple(notes))


def _floor(tables: Tables, grid: Grid, planned: list[Quantity]) -> list[str]:
    primary = planned[0]
    worst = next((row for row in planned if row.name == "R3"), None)
    values = worst.cells.values[np.isfinite(worst.cells.values)] if worst else np.empty(0)
    return floor_notes(
        tables,
        grid,
        metric=primary.metric,
        layer=primary.layer,
        pooling=primary.pooling,
        centred=primary.centred,
        tail_languages=worst.languages if worst else (),
        tail_value=float(values.mean()) if len(values) else None,
    )


def _retention(
    tables: Tables, grid: Grid, plan: AnalysisPlan, layer: int, *,
    planned: bool = False, metric: str = "", stage: str = "",
) -> Quantity:  # fmt: skip
    a = plan.alignment
    metric, stage = metric or a.metric, stage or a.stage
    suffix = "" if planned else ":" + (metric if metric != a.metric else stage)
    centred = a.centred or metric == "cka_debiased"
    cells = retention(
        tables, grid, stage=stage, metric=metric, layer=layer, pooling=a.pooling, centred=centred
    )
    return Quantity(
        f"R1{suffix}", f"retention: {metric} of alignment after stage {stage} minus before training",
        metric, UNITS.get(metric, metric), stage, layer, a.pooling, centred, cells, plan.population,
        plan.smallest_effects.R1 if metric == "accuracy" else math.nan, planned,
    )  # fmt: skip


def _stability(primary: Quantity, plan: AnalysisPlan) -> Quantity:
    return Quantity(
        "R2", "stability: between-run standard deviation of the mean alignment over languages",
        primary.metric, "log ratio", primary.stage, primary.layer, primary.pooling, primary.centred,
        primary.cells, "these_languages", plan.smallest_effects.R2, planned=True, contrast="spread",
    )  # fmt: skip


def _tail(tables: Tables, grid: Grid, plan: AnalysisPlan, layer: int) -> list[Quantity]:
    a = plan.alignment
    cells, chosen = tail(
        tables, grid, stage=a.stage, layer=layer, pooling=a.pooling, centred=a.centred, share=plan.tail_share
    )
    title = (
        f"tail: accuracy in the worst {plan.tail_share:.0%} of languages, chosen by other runs on one "
        f"half of the items and evaluated on the other ({', '.join(chosen)})"
    )
    row = Quantity(
        "R3", title, "accuracy", "fraction", a.stage, layer, a.pooling, a.centred, cells, "these_languages",
        plan.smallest_effects.R3, planned=True, n_languages=len(chosen), languages=chosen,
    )  # fmt: skip
    return [row] if chosen else []


def _noise_of(tables: Tables, grid: Grid, plan: AnalysisPlan, layer: int, perturbation: str) -> Noise:
    a = plan.alignment
    return noise(
        tables, grid, perturbation=perturbation, stage=a.stage, layer=layer, pooling=a.pooling,
        centred=a.centred,
    )  # fmt: skip


def _unreached(perturbed: Mapping[str, Noise]) -> list[str]:
    return [
        f"R4 with {name.replace('_', ' ')} leaves out {', '.join(found.unreached)}, which it does not change."
        for name, found in perturbed.items()
        if found.unreached
    ]


def _noise(
    perturbed: Mapping[str, Noise], plan: AnalysisPlan, layer: int, *, planned: bool
) -> list[Quantity]:
    """R4 of the plan's perturbation; or, beside it, those of the others, and the shares that are kept."""
    rows = []
    for name, found in perturbed.items():
        own = name == plan.perturbation
        if not found.slope.units:
            continue
        levels = f"{name.replace('_', ' ')} at {', '.join(f'{level:g}' for level in found.severities)}"
        if own == planned:
            rows.append(_noise_row("R4" if own else f"R4:{name}", levels, found, plan, layer))
        if not planned and np.isfinite(found.kept.values).all():
            rows.append(_kept_row("R4:kept" if own else f"R4:kept_{name}", levels, found, plan, layer))
    return rows


def _noise_row(name: str, levels: str, found: Noise, plan: AnalysisPlan, layer: int) -> Quantity:
    a = plan.alignment
    return Quantity(
        name, f"noise: change of accuracy with 10 points of character error rate ({levels})", "accuracy",
        "fraction", a.stage, layer, a.pooling, a.centred, found.slope, plan.population,
        plan.smallest_effects.R4, name == "R4",
    )  # fmt: skip


def _kept_row(name: str, levels: str, found: Noise, plan: AnalysisPlan, layer: int) -> Quantity:
    a = plan.alignment
    title = (
        f"noise: share of the clean accuracy that is kept, mean over error rates up to {found.upper:.2f} "
        f"({levels})"
    )
    return Quantity(
        name, title, "accuracy", "fraction", a.stage, layer, a.pooling, a.centred, found.kept,
        "these_languages", math.nan, planned=False, n_languages=len(found.slope.units),
    )  # fmt: skip


def _transfer(tables: Tables, grid: Grid, plan: AnalysisPlan) -> list[Quantity]:
    """Mean over target tasks first, then each task where there are several."""
    by_task = transfer(tables, grid)
    if not by_task:
        return []
    rows = [_score("transfer", ", ".join(by_task), _mean_of_tasks(by_task), plan, planned=True)]
    if len(by_task) > 1:
        rows.append(_tasks_like_these(by_task, plan))
        rows += [
            _score(f"transfer:{task}", task, cells, plan, planned=False) for task, cells in by_task.items()
        ]
    return rows


def _score(name: str, tasks: str, cells: Cells, plan: AnalysisPlan, *, planned: bool) -> Quantity:
    stage = "target:" + (tasks if "," not in tasks else "all")
    return Quantity(
        name, f"zero-shot transfer: test score of {tasks}, mean over languages other than English", "score",
        "fraction", stage, None, None, None, cells, plan.population, plan.smallest_effects.transfer, planned,
    )  # fmt: skip


def _mean_of_tasks(by_task: Mapping[str, Cells]) -> Cells:
    """Cells averaged over tasks that share their languages; else each run's mean of task means."""
    parts = list(by_task.values())
    first = parts[0]
    if all(part.units == first.units for part in parts):
        values = np.mean([part.values for part in parts], axis=0)
        return Cells(first.arms, first.pairs, first.units, values)
    means = np.mean([part.values.mean(axis=2) for part in parts], axis=0)
    return Cells(first.arms, first.pairs, ("mean of tasks",), means[:, :, None])


def _beside(
    tables: Tables, grid: Grid, plan: AnalysisPlan, layer: int, planned: list[Quantity]
) -> list[Quantity]:
    rows = [_other_population(row) for row in planned if _has_other_population(row)]
    others = [metric for metric in UNITS if metric != plan.alignment.metric]
    rows += [_retention(tables, grid, plan, layer, metric=metric) for metric in others]
    stages = sorted({str(s) for s in tables["alignment"]["stage"]} - {"pretrained", plan.alignment.stage})
    rows += [_retention(tables, grid, plan, layer, stage=stage) for stage in stages]
    final = kept(tables, grid)
    title = "forgetting: English development score of the intermediate tasks when the phase ends"
    rows.append(
        Quantity(
            "forgetting", f"{title} (higher: less forgotten)", "score", "fraction", "intermediate",
            None, None, None, final, "these_languages", math.nan, planned=False, n_languages=1,
            sampled="tasks",
        )
    )  # fmt: skip
    return [row for row in rows if row.cells.units]


def _has_other_population(row: Quantity) -> bool:
    return row.name in ("R1", "R4", "transfer") and len(row.cells.units) > 1


def _other_population(row: Quantity) -> Quantity:
    """Return the same cells for the other population of languages."""
    other: Population = "languages_like_these" if row.population == "these_languages" else "these_languages"
    return replace(
        row, name=f"{row.name}:{other}", title=f"{row.title}, for {other.replace('_', ' ')}",
        population=other, planned=False, repeats=True,
    )  # fmt: skip


def _tasks_like_these(by_task: Mapping[str, Cells], plan: AnalysisPlan) -> Quantity:
    """Transfer with the target tasks as a sample of tasks: the units are tasks, averaged over languages."""
    parts = list(by_task.values())
    values = np.stack([part.values.mean(axis=2) for part in parts], axis=2)
    cells = Cells(parts[0].arms, parts[0].pairs, tuple(by_task), values)
    row = _score("transfer:tasks_like_these", ", ".join(by_task), cells, plan, planned=False)
    title = f"{row.title}, for tasks like these"
    return replace(row, title=title, population="languages_like_these", sampled="tasks", repeats=True)
