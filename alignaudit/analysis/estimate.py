"""From cells on the grid to the numbers of one contrast, by the model that the cells allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.analysis.collect import Cells
from alignaudit.core import rng
from alignaudit.errors import IncompleteDesignError
from alignaudit.infer.crossed import crossed_paired_contrast
from alignaudit.infer.equivalence import Equivalence, two_one_sided_tests
from alignaudit.infer.paired import Population
from alignaudit.infer.permutation import sign_flip_test
from alignaudit.infer.student import detectable_effect
from alignaudit.infer.variance_robust import robust_log_sd_ratio

__all__ = ["Numbers", "Settings", "location_numbers", "spread_numbers"]

DETECTION = 0.8
"""Power that the smallest detectable effect is stated for."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """Population, levels and bound of one contrast; ``bound`` is NaN where none was stated.

    ``units`` says what is crossed with the runs: languages, or tasks.
    """

    population: Population
    conf_level: float
    alpha: float
    bound: float
    units: str = "languages"


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
    detectable
        Smallest true difference that a test at level alpha finds with power .8, given the standard
        error and degrees of freedom of this one.
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
    detectable: float
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
        By the crossed mixed model of the differences within pairs.

    Raises
    ------
    IncompleteDesignError
        If fewer than two pairs have both arms (complete pairs, where cells are missing).
    FitError
        If the mixed model fails.
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
    differences = values[1] - values[0]
    population = "these_languages" if values.shape[2] == 1 else settings.population
    found = crossed_paired_contrast(differences, population=population, conf_level=settings.conf_level)
    flip = sign_flip_test(differences[complete[usable]].mean(axis=1), rng=_flip_stream())
    pairs, whole = int(usable.sum()), int(complete.sum())
    gaps = "" if whole == pairs else f" ({whole} complete)"
    over = found.interval.over.replace("pairs of runs", f"pairs of runs{gaps}")
    return Numbers(
        estimate=found.estimate, statistic=found.statistic, p_value=found.p_value, df=found.df,
        df_method=found.df_method.replace("languages", settings.units), conf_low=found.interval.low,
        conf_high=found.interval.high, sign_flip_p_value=flip.p_value, sign_flip_min_p=flip.min_p,
        equivalence=two_one_sided_tests(
            found.estimate, found.standard_error, found.df, bound=settings.bound, alpha=settings.alpha
        ),
        detectable=_detectable(found.standard_error, found.df, settings),
        components={f"{name} (differences)": value for name, value in found.components.items()},
        n_pairs=pairs, n_units=values.shape[2],
        population=found.population.replace("languages", settings.units),
        over=over.replace("languages", settings.units),
        method="crossed mixed model of paired differences, by restricted maximum likelihood",
        arm_values={first: float(np.nanmean(values[0])), second: float(np.nanmean(values[1]))}, notes=notes,
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
        By the jackknife; NaN with a note where it is not testable.
    """
    runs = np.stack([cells.of(first).mean(axis=1), cells.of(second).mean(axis=1)])
    used = np.asarray(np.isfinite(runs).all(axis=0), dtype=np.bool_)
    checkpoints = [pair[0] for pair, keep in zip(cells.pairs, used, strict=True) if keep]
    x, y = runs[:, used]
    ratio = robust_log_sd_ratio(x, y, groups=checkpoints, conf_level=settings.conf_level)
    groups = len(set(checkpoints))
    notes: tuple[str, ...] = ()
    if not math.isfinite(ratio.p_value):
        notes = (
            f"R2 of {second} to {first} cannot be tested: {ratio.n_first} pairs over {groups} "
            "checkpoints, or an arm that does not vary between runs.",
        )
    return Numbers(
        estimate=ratio.estimate, statistic=ratio.statistic, p_value=ratio.p_value, df=ratio.df,
        df_method="pairs - checkpoints", conf_low=ratio.conf_low, conf_high=ratio.conf_high,
        sign_flip_p_value=math.nan, sign_flip_min_p=math.nan,
        equivalence=two_one_sided_tests(
            ratio.estimate, ratio.standard_error, ratio.df, bound=settings.bound, alpha=settings.alpha
        ),
        detectable=_detectable(ratio.standard_error, ratio.df, settings),
        components={}, n_pairs=int(used.sum()), n_units=len(cells.units), population="these_languages",
        over=f"{int(used.sum())} pairs of runs, {groups} checkpoint means removed",
        method="jackknife of the log ratio of paired standard deviations, checkpoint means removed",
        arm_values={first: ratio.sd_first, second: ratio.sd_second}, notes=notes,
    )  # fmt: skip


def _detectable(standard_error: float, df: float, settings: Settings) -> float:
    """Return the smallest detectable effect, NaN where no error could be estimated."""
    if not (standard_error > 0 and df > 0):
        return math.nan
    return detectable_effect(standard_error, df, alpha=settings.alpha, wanted=DETECTION)


def _flip_stream() -> np.random.Generator:
    """Return the same stream for every contrast: a repeated comparison repeats its p-values."""
    return rng.stream(0, "compare", "sign_flip")
