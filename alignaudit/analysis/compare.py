"""Compare schedules: every contrast of the plan, its tests, its verdict, and what was missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.analysis.collect import Grid, build_grid
from alignaudit.analysis.comparison import Comparison, Estimand, LanguageEffect
from alignaudit.analysis.conditions import design_warnings, status_reasons
from alignaudit.analysis.estimate import Numbers, Settings, location_numbers, spread_numbers
from alignaudit.analysis.plan import AnalysisPlan
from alignaudit.analysis.quantities import Quantities, Quantity, quantities
from alignaudit.analysis.verdict import Evidence, decide
from alignaudit.errors import FitError, IncompleteDesignError
from alignaudit.infer.crossed import language_predictions
from alignaudit.infer.multiplicity import benjamini_hochberg, holm
from alignaudit.infer.paired import balanced_paired_contrast

__all__ = ["compare_tables"]


Measured = tuple[Quantity, str, str, Numbers]


def compare_tables(
    tables: Mapping[str, pd.DataFrame],
    *,
    study: str,
    schedules: Sequence[str],
    plan: AnalysisPlan,
    allow_missing: bool = False,
) -> Comparison:
    """Contrast every two of the given schedules on every quantity of the plan.

    Parameters
    ----------
    tables
        Long tables by contract name: ``runs``, ``alignment``, ``items``, ``scores``.
    study
        Name of the study.
    schedules
        Arms, the earlier of two being the reference: ``<second>_minus_<first>``.
    plan
        What is primary, and what counts as large.
    allow_missing
        Go on with the cells there are, by the mixed model, and name what was left out.

    Returns
    -------
    Comparison
        Deterministic: the same tables, in any order of rows, give the same bytes of JSON.

    Raises
    ------
    UsageError
        If a schedule is unknown or there are fewer than two.
    DataError
        If a table breaks its contract.
    IncompleteDesignError
        If runs or cells are missing without ``allow_missing``, or there are fewer than two
        complete pairs of runs.
    FitError
        If the mixed model is needed for a planned quantity and fails.
    """
    grid = build_grid(tables, study, schedules)
    if len(grid.pairs) < 2:
        raise IncompleteDesignError(
            f"{len(grid.pairs)} pair of runs; a comparison needs at least 2.", hint="Train more seeds."
        )
    found = quantities(tables, grid, plan)
    missing = _missing(grid, found)
    if missing and not allow_missing:
        first = "; ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise IncompleteDesignError(
            f"{len(missing)} runs or cells are missing: {first}.",
            hint="Finish the study, or compare what there is with --allow-missing.",
        )
    measured, skipped = _measure(found, grid, plan)
    reasons = status_reasons(plan, grid.arms)
    status = "exploratory" if reasons else "planned"
    primary = found.rows[0]
    warnings = [*reasons, *design_warnings(grid), *found.notes, *skipped]
    warnings += [note for *_, numbers in measured for note in numbers.notes]
    warnings += [f"Missing: {entry}." for entry in missing]
    return Comparison(
        study=study,
        plan=plan.source,
        plan_sha256=plan.sha256,
        status=status,
        schedules=grid.arms,
        design=_design(grid, primary, missing),
        estimands=tuple(_concluded(measured, plan, status)),
        language_effects=tuple(_language_effects(primary, grid, plan)),
        arms=tuple(_arm(arm, grid, found) for arm in grid.arms),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _missing(grid: Grid, found: Quantities) -> list[str]:
    entries = list(grid.missing)
    for row in found.rows:
        if row.contrast == "mean" and not row.repeats:
            entries += [f"{row.name} of {entry}" for entry in row.cells.missing]
    return entries


def _design(grid: Grid, primary: Quantity, missing: list[str]) -> dict[str, Any]:
    return {
        "checkpoints": sorted({checkpoint for checkpoint, _ in grid.pairs}),
        "seeds": sorted({seed for _, seed in grid.pairs}),
        "pairs": len(grid.pairs),
        "languages": list(primary.cells.units),
        "missing": missing,
    }


def _measure(found: Quantities, grid: Grid, plan: AnalysisPlan) -> tuple[list[Measured], list[str]]:
    """Numbers of every quantity and pair of arms; exploratory ones that fail become a sentence."""
    measured: list[Measured] = []
    skipped: list[str] = []
    for row in found.rows:
        for first, second in combinations([arm for arm in grid.arms if arm in row.cells.arms], 2):
            settings = Settings(row.population, plan.conf_level, plan.alpha, row.bound, row.sampled)
            numbers_of = spread_numbers if row.contrast == "spread" else location_numbers
            try:
                measured.append((row, first, second, numbers_of(row.cells, first, second, settings)))
            except (IncompleteDesignError, FitError) as error:
                if row.planned:
                    raise
                skipped.append(f"{row.name} of {second} minus {first} was left out: {error}")
    return measured, skipped


def _concluded(measured: list[Measured], plan: AnalysisPlan, status: str) -> list[Estimand]:
    """Add Holm's adjustment within each family, and the verdicts."""
    results: list[Estimand] = []
    for planned in (True, False):
        family = [entry for entry in measured if entry[0].planned == planned]
        adjusted = holm([numbers.p_value for *_, numbers in family])
        family_status = status if planned else "exploratory"
        results += [
            _estimand(entry, float(p), len(family), plan, family_status)
            for entry, p in zip(family, adjusted, strict=True)
        ]
    return results


def _estimand(entry: Measured, p_adjusted: float, family: int, plan: AnalysisPlan, status: str) -> Estimand:
    row, first, second, n = entry
    spread = row.contrast == "spread"
    equivalence = n.equivalence
    evidence = Evidence(
        n.estimate, p_adjusted, family, equivalence.p_value, equivalence.conf_low, equivalence.conf_high,
        row.bound, plan.alpha, higher_is_better=not spread,
    )  # fmt: skip
    verdict, rule = decide(evidence, first, second)
    return Estimand(
        estimand=row.name, title=row.title, metric=row.metric, unit=row.unit, stage=row.stage,
        layer=row.layer, pooling=row.pooling, centred=row.centred,
        contrast=f"log_sd_ratio_{second}_to_{first}" if spread else f"{second}_minus_{first}",
        estimate=n.estimate, conf_low=n.conf_low, conf_high=n.conf_high, conf_level=plan.conf_level,
        df=n.df, df_method=n.df_method, statistic=n.statistic, p_value=n.p_value, p_adjusted=p_adjusted,
        sign_flip_p_value=n.sign_flip_p_value, sign_flip_min_p=n.sign_flip_min_p,
        equivalence_bound=row.bound, equivalence_p_value=equivalence.p_value,
        detectable_effect=n.detectable,
        n_runs=2 * n.n_pairs, n_pairs=n.n_pairs, n_languages=row.n_languages or n.n_units,
        population=n.population,
        over=n.over, method=n.method, variance_components=n.components, verdict=verdict, rule=rule,
        status=status, arm_values=n.arm_values,
    )  # fmt: skip


def _language_effects(primary: Quantity, grid: Grid, plan: AnalysisPlan) -> list[LanguageEffect]:
    """Paired t over pairs of runs, language by language, and predictions that borrow from the others."""
    effects: list[LanguageEffect] = []
    for first, second in combinations(grid.arms, 2):
        differences = primary.cells.of(second) - primary.cells.of(first)
        columns = [column[np.isfinite(column)] for column in differences.T]
        shrunken = _shrunken(differences, plan)
        tests = [
            balanced_paired_contrast(column[:, None], conf_level=plan.conf_level) if len(column) > 1 else None
            for column in columns
        ]
        adjusted = benjamini_hochberg([test.p_value if test else math.nan for test in tests])
        rows = zip(primary.cells.units, columns, tests, adjusted, *shrunken, strict=True)
        for language, column, test, p, prediction, low, high in rows:
            effects.append(
                LanguageEffect(
                    estimand=primary.name, contrast=f"{second}_minus_{first}", language=language,
                    estimate=float(column.mean()) if len(column) else math.nan,
                    conf_low=test.interval.low if test else math.nan,
                    conf_high=test.interval.high if test else math.nan,
                    conf_level=plan.conf_level, df=test.df if test else math.nan,
                    p_value=test.p_value if test else math.nan, p_adjusted=float(p), n_pairs=len(column),
                    shrunken=float(prediction), shrunken_low=float(low), shrunken_high=float(high),
                )
            )  # fmt: skip
    return effects


def _shrunken(differences: NDArray[np.float64], plan: AnalysisPlan) -> tuple[NDArray[np.float64], ...]:
    """Return each language's predicted effect and its interval; NaN where no model can be fitted."""
    try:
        return language_predictions(differences, conf_level=plan.conf_level)
    except FitError:
        return (np.full(differences.shape[1], np.nan),) * 3


def _arm(arm: str, grid: Grid, found: Quantities) -> dict[str, Any]:
    """Mean and standard deviation between runs of each quantity, over the run's mean of units."""
    summary: dict[str, Any] = {}
    for row in found.rows:
        if row.contrast == "mean" and arm in row.cells.arms and not row.repeats:
            runs = row.cells.of(arm).mean(axis=1)
            runs = runs[np.isfinite(runs)]
            summary[row.name] = {
                "mean": float(runs.mean()) if len(runs) else math.nan,
                "sd": float(runs.std(ddof=1)) if len(runs) > 1 else math.nan,
            }
    return {"arm": arm, "n_runs": int((grid.runs["arm"] == arm).sum()), "estimands": summary}
