"""Robustness to noise on the grid: how accuracy falls with the error rate, and what share of it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.analysis.align import with_untrained
from alignaudit.analysis.collect import RUN_KEY, Cells, Grid, to_cells, validated
from alignaudit.errors import DataError

__all__ = ["Noise", "noise", "perturbations"]

PER = 0.1
"""A slope is quoted for ten percentage points of character error rate."""

Tables = Mapping[str, pd.DataFrame]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """What a perturbation does to retrieval, on the grid.

    Attributes
    ----------
    slope
        Shape [arms, pairs, languages]: change of accuracy, a fraction, with ten points of character
        error rate; NaN where accuracy at a severity, or on clean text, is missing.
    kept
        Shape [arms, pairs, 1]: mean of accuracy ÷ clean accuracy over the range of error rates, both
        averaged over languages first; NaN likewise, and where nothing is right on clean text.
    severities
        Those of the perturbation, without the clean text.
    upper
        Mean over languages of the realised character error rate at the highest severity.
    unreached
        Languages that the perturbation leaves as they were; they have no slope and are no units.
    """

    slope: Cells
    kept: Cells
    severities: tuple[float, ...]
    upper: float
    unreached: tuple[str, ...]


def perturbations(tables: Tables) -> tuple[str, ...]:
    """Return the names of the perturbations that were measured, sorted."""
    frame = tables.get("perturbed")
    return () if frame is None else tuple(sorted({str(name) for name in frame["perturbation"]}))


def noise(
    tables: Tables, grid: Grid, *, perturbation: str, stage: str, layer: int, pooling: str, centred: bool
) -> Noise:
    """Return how accuracy falls as foreign sentences are perturbed, for every run and language.

    The slope is that of the least-squares line through clean text, at an error rate of 0, and every
    severity at its realised error rate. Runs see the same text, so the slope of every run is the same
    weighted sum of its accuracies, and a difference of slopes is the interaction of noise with the arm.

    Parameters
    ----------
    tables
        Needs ``perturbed``, and ``alignment`` for the clean text.
    grid
        The compared runs; an arm of kind ``none`` has the pretrained encoder after the intermediate
        phase.
    perturbation
        Which one.
    stage, layer, pooling, centred
        Which rows; both directions are averaged.

    Returns
    -------
    Noise
        Without units where the tables hold no such rows.

    Raises
    ------
    DataError
        If a table breaks its contract, or runs saw different text.
    """
    where = {
        "metric": "accuracy", "layer": layer, "pooling": pooling, "centred": centred,
        "stage": [stage, "pretrained"],
    }  # fmt: skip
    noisy = validated(tables, "perturbed", perturbation=perturbation, **where)
    if not len(noisy):
        none = to_cells(noisy, grid, "language")
        return Noise(none, none, (), math.nan, ())
    reached = noisy.loc[noisy["reach_note"] == "", "language"]
    languages = sorted({str(name) for name in reached})
    unreached = sorted({str(name) for name in noisy["language"]} - set(languages))
    clean = validated(tables, "alignment", **where).assign(severity=0.0, character_error_rate=0.0)
    whole = pd.concat([noisy, clean])
    whole = whole[whole["language"].isin(languages)]
    severities = sorted({float(level) for level in whole["severity"]} | {0.0})
    accuracy = _accuracy(whole, grid, stage, languages, severities)
    rates = _rates(whole, languages, severities)
    arms, pairs = accuracy.shape[0], grid.pairs
    slope = Cells(grid.arms, pairs, tuple(languages), _slopes(accuracy, rates))
    kept = _kept(accuracy.mean(axis=2), rates.mean(axis=0)) if languages else np.empty((arms, len(pairs)))
    return Noise(
        slope,
        Cells(grid.arms, pairs, ("mean of languages",) if languages else (), kept[:, :, None]),
        tuple(severities[1:]),
        float(rates[:, -1].mean()) if languages else math.nan,
        tuple(unreached),
    )


def _accuracy(
    rows: pd.DataFrame, grid: Grid, stage: str, languages: list[str], severities: list[float]
) -> Floats:
    """Arrange the mean of both directions, shape [arms, pairs, languages, severities]; NaN where missing."""
    both = rows.groupby(["stage", *RUN_KEY, "language", "severity"], as_index=False).agg(
        value=("value", lambda v: float(v.mean(skipna=False)) if len(v) == 2 else math.nan)
    )
    before = both[both["stage"] == "pretrained"]
    baseline = before.groupby(["checkpoint", "language", "severity"], as_index=False).agg(
        before=("value", "mean")
    )
    after = with_untrained(both[both["stage"] == stage], baseline, grid, stage, "language", "severity")
    after["unit"] = [f"{s!r}:{name}" for s, name in zip(after["severity"], after["language"], strict=True)]
    cells = to_cells(after, grid, "unit")
    padded = np.concatenate([cells.values, np.full((*cells.values.shape[:2], 1), np.nan)], axis=2)
    place = {unit: i for i, unit in enumerate(cells.units)}
    wanted = [[place.get(f"{s!r}:{name}", -1) for s in severities] for name in languages]
    shape = (len(languages), len(severities))
    return np.asarray(padded[:, :, np.array(wanted, dtype=int).reshape(shape)], dtype=np.float64)


def _rates(rows: pd.DataFrame, languages: list[str], severities: list[float]) -> Floats:
    """Return realised error rates, shape [languages, severities], which must be those of every run."""
    grouped = rows.groupby(["language", "severity"])["character_error_rate"]
    spread = grouped.max() - grouped.min()
    if len(spread) and not float(spread.max()) <= 1e-12:  # the same text, summed in the same order
        place: tuple[str, float] = spread.index[int(spread.to_numpy().argmax())]
        raise DataError(
            f'runs saw different text in "{place[0]}" at severity {place[1]:g}: '
            "their realised character error rates differ.",
            where="table perturbed",
            hint="Measure all runs with the same data and version.",
        )
    rates = grouped.mean()
    found = [[rates.get((language, level), np.nan) for level in severities] for language in languages]
    return np.array(found, dtype=np.float64).reshape(len(languages), len(severities))


def _slopes(accuracy: Floats, rates: Floats) -> Floats:
    """Least-squares slopes over severities for ten points of error rate, shape [arms, pairs, languages]."""
    centred = rates - rates.mean(axis=1, keepdims=True)
    weights = PER * centred / (centred**2).sum(axis=1, keepdims=True)
    return np.asarray((accuracy * weights).sum(axis=3), dtype=np.float64)


def _kept(accuracy: Floats, rates: Floats) -> Floats:
    """Area under accuracy ÷ clean accuracy over the range of rates ``[severities]``, shape [arms, pairs]."""
    order = np.argsort(rates, kind="stable")
    clean = np.where(accuracy[..., 0] > 0, accuracy[..., 0], np.nan)
    area = np.trapezoid(accuracy[..., order], rates[order], axis=2)
    return np.asarray(area / clean / rates.max(), dtype=np.float64)
