"""From cells on the grid to the numbers of one contrast, by the model that the cells allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignaudit.analysis.collect import Cells
from alignaudit.core import rng
from alignaudit.errors import FitError, IncompleteDesignError
from alignaudit.infer.equivalence import Equivalence, two_one_sided_tests
from alignaudit.infer.crossed import MixedContrast, crossed_mixed_model
from alignaudit.infer.paired import Population, crossed_paired_contrast
from alignaudit.infer.permutation import sign_flip_test
from alignaudit.infer.student import student_test
from alignaudit.infer.variance import log_sd_ratio, log_sd_ratio_equivalence

__all__ = ["CROSS_CHECK_CELLS", "Numbers", "Settings", "location_numbers", "spread_numbers"]

CROSS_CHECK_CELLS = 600
"""Up to this many cells the mixed model is fitted beside the closed form."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """Population, levels and bound of one contrast; ``bound`` is NaN where none was stated."""

    population: Population
    conf_level: float
    alpha: float
    bound: float
    cross_check: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """Everything numeric of one contrast, before multiplicity and verdict.

    Attributes
    ----------
    estimate, statistic, p_value, df, df_method, conf_low, conf_high
        Contrast, its test and its interval.
    sign_flip_p_value, sign_flip_min_p
        Exact test over pairs of runs; NaN where it does not apply.
    equivalence
        Two one-sided tests.
    components
        Variance components by name, squared unit.
    n_pairs, n_units
        Pairs and languages (or tasks) used.
    population, over, method
        What the interval speaks about and how it was computed, in words.
    arm_values
        Mean by arm over the cells used.
    notes
        Sentences for the warnings.
    """

    estimate: float
    statistic: float
    p_value: float
    df: float
    df_method: str
    conf_low: float
    conf_high: float
    sign_flip_p_value: float
    sign_flip_min_p: float
    equivalence: Equivalence
    components: Mapping[str, float]
    n_pairs: int
    n_units: int
    population: str
    over: str
    method: str
    arm_values: Mapping[str, float]
    notes: tuple[str, ...]


def location_numbers(cells: Cells, first: str, second: str, settings: Settings) -> Numbers:
    """Contrast the means of two arms over paired runs and languages.

    Parameters
    ----------
    cells
        Shape [arms, pairs, units].
    first, second
        The estimate is second minus first.
    settings
        A single unit, or a mean over selected languages, is always about *these languages*.

    Returns
    -------
    Numbers
        By the closed form on complete cells, else by the crossed mixed model.

    Raises
    ------
    IncompleteDesignError
        If fewer than two pairs have both arms (complete pairs, where cells are missing).
    FitError
        If the mixed model is needed and fails.
    """
    values = np.stack([cells.of(first), cells.of(second)])
    present = np.isfinite(values)
    usable = np.asarray(present.any(axis=2).all(axis=0), dtype=np.bool_)
    complete = np.asarray(present.all(axis=(0, 2)), dtype=np.bool_)
    if usable.sum() < 2 or complete.sum() < 2:
        raise IncompleteDesignError(
            f"{int(complete.sum())} complete pairs of runs for {second} minus {first}; at least 2 needed.",
            hint="Train more seeds of both schedules, or finish the study.",
        )
    notes = tuple(
        f"The pair {checkpoint} with seed {seed} is left out of {second} minus {first}: "
        "one of its runs has no values."
        for (checkpoint, seed), keep in zip(cells.pairs, usable, strict=True)
        if not keep
    )
    values = values[:, usable]
    fit = _closed_form if complete[usable].all() else _mixed_model
    numbers = fit(values, settings, int(complete.sum()))
    flip = sign_flip_test((values[1] - values[0])[complete[usable]].mean(axis=1), rng=_flip_stream())
    means = {first: float(np.nanmean(values[0])), second: float(np.nanmean(values[1]))}
    return Numbers(
        **numbers, sign_flip_p_value=flip.p_value, sign_flip_min_p=flip.min_p,
        n_pairs=int(usable.sum()), n_units=values.shape[2], arm_values=means, notes=notes,
    )  # fmt: skip


def spread_numbers(cells: Cells, first: str, second: str, settings: Settings) -> Numbers:
    """Contrast the between-run standard deviations of two arms (log ratio second to first).

    Each run counts with its mean over languages; the checkpoints' means are removed.

    Parameters
    ----------
    cells, first, second, settings
        As in :func:`location_numbers`; incomplete pairs are left out.

    Returns
    -------
    Numbers
        By Pitman–Morgan; NaN with a note where it is not testable.
    """
    runs = np.stack([cells.of(first).mean(axis=1), cells.of(second).mean(axis=1)])
    used = np.asarray(np.isfinite(runs).all(axis=0), dtype=np.bool_)
    checkpoints = [pair[0] for pair, keep in zip(cells.pairs, used, strict=True) if keep]
    x, y = runs[:, used]
    ratio = log_sd_ratio(x, y, groups=checkpoints, conf_level=settings.conf_level)
    notes: tuple[str, ...] = ()
    if not math.isfinite(ratio.p_value):
        notes = (
            f"R2 of {second} to {first} cannot be tested: {ratio.n_pairs} pairs over {ratio.n_groups} "
            "checkpoints, or an arm that does not vary between runs.",
        )
    return Numbers(
        estimate=ratio.estimate, statistic=ratio.statistic, p_value=ratio.p_value, df=ratio.df,
        df_method="pairs - checkpoints - 1", conf_low=ratio.conf_low, conf_high=ratio.conf_high,
        sign_flip_p_value=math.nan, sign_flip_min_p=math.nan,
        equivalence=log_sd_ratio_equivalence(ratio, bound=settings.bound, alpha=settings.alpha),
        components={}, n_pairs=int(used.sum()), n_units=len(cells.units), population="these_languages",
        over=f"{int(used.sum())} pairs of runs, {ratio.n_groups} checkpoint means removed",
        method="Pitman–Morgan test of paired standard deviations, checkpoint means removed",
        arm_values={first: ratio.sd_first, second: ratio.sd_second}, notes=notes,
    )  # fmt: skip


def _closed_form(values: Floats, settings: Settings, complete: int) -> dict[str, Any]:
    single = values.shape[2] == 1
    population = "these_languages" if single else settings.population
    result = crossed_paired_contrast(
        values[1] - values[0], population=population, conf_level=settings.conf_level
    )
    components = {f"{name} (differences)": value for name, value in result.components.items()}
    if settings.cross_check and values.size <= CROSS_CHECK_CELLS and not single:
        components |= _cross_check(values, population)
    return _common(
        result.estimate, result.standard_error, result.df, result.df_method, settings, population,
        result.interval.over, components, "closed-form crossed mixed model of paired differences",
    )  # fmt: skip


def _cross_check(values: Floats, population: Population) -> dict[str, float]:
    """REML components of the same cells; empty where they do not vary enough to be fitted."""
    try:
        fitted = crossed_mixed_model(values, population=population)
    except FitError:
        return {}
    return _reml(fitted)


def _reml(fitted: MixedContrast) -> dict[str, float]:
    return {f"{name} (REML)": value for name, value in fitted.components.items()}


def _mixed_model(values: Floats, settings: Settings, complete: int) -> dict[str, Any]:
    population = "these_languages" if values.shape[2] == 1 else settings.population
    fitted = crossed_mixed_model(values, population=population)
    over = f"{values.shape[1]} pairs of runs ({complete} complete)"
    if population == "languages_like_these":
        over += f" and {values.shape[2]} languages"
    return _common(
        fitted.estimate, fitted.standard_error, complete - 1.0, "containment (complete pairs - 1)",
        settings, population, over, _reml(fitted), "crossed mixed model by REML on incomplete cells",
    )  # fmt: skip


def _common(
    estimate: float, standard_error: float, df: float, df_method: str, settings: Settings,
    population: str, over: str, components: Mapping[str, float], method: str,
) -> dict[str, Any]:  # fmt: skip
    test = student_test(estimate, standard_error, df, conf_level=settings.conf_level)
    equivalence = two_one_sided_tests(
        estimate, standard_error, df, bound=settings.bound, alpha=settings.alpha
    )
    return {
        "estimate": estimate, "statistic": test.statistic, "p_value": test.p_value, "df": df,
        "df_method": df_method, "conf_low": test.conf_low, "conf_high": test.conf_high,
        "equivalence": equivalence, "components": components, "population": population, "over": over,
        "method": method,
    }  # fmt: skip


def _flip_stream() -> np.random.Generator:
    """Return the same stream for every contrast: a repeated comparison repeats its p-values."""
    return rng.stream(0, "compare", "sign_flip")
