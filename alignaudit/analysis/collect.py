"""From long tables to the grid of paired runs: which runs belong together, and which cells are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.core.contracts import CONTRACTS, RUNS
from alignaudit.core.tables import validate
from alignaudit.errors import DataError, UsageError, did_you_mean

__all__ = ["RUN_KEY", "Cells", "Grid", "build_grid", "to_cells", "validated"]

RUN_KEY = ["arm", "checkpoint", "seed"]
Pair = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Grid:
    """The compared runs: arms × pairs, where a pair is a checkpoint and a seed.

    Attributes
    ----------
    arms
        Schedules in the order of the comparison.
    pairs
        Every (checkpoint, seed) that any compared arm plans, sorted.
    kinds
        Kind of schedule by arm (``none``, ``sequential``, …).
    runs
        The runs table, only the compared arms.
    missing
        Planned runs that are absent or unfinished, in words.
    """

    arms: tuple[str, ...]
    pairs: tuple[Pair, ...]
    kinds: Mapping[str, str]
    runs: pd.DataFrame
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cells:
    """Values of one quantity on the grid.

    Attributes
    ----------
    arms, pairs, units
        Labels of the three axes; units are languages, or tasks.
    values
        Shape [arms, pairs, units], NaN where missing.
    """

    arms: tuple[str, ...]
    pairs: tuple[Pair, ...]
    units: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def missing(self) -> list[str]:
        """Return the missing cells in words, whole runs as one entry."""
        gaps = ~np.isfinite(self.values)
        entries: list[str] = []
        for a, arm in enumerate(self.arms):
            for p, (checkpoint, seed) in enumerate(self.pairs):
                run = f"{arm} from {checkpoint} with seed {seed}"
                if gaps[a, p].all():
                    entries.append(f"{run}: all of {len(self.units)}")
                else:
                    entries += [f"{run}: {self.units[u]}" for u in np.flatnonzero(gaps[a, p])]
        return entries

    def of(self, arm: str) -> NDArray[np.float64]:
        """Return the values of one arm, shape [pairs, units]."""
        return np.asarray(self.values[self.arms.index(arm)], dtype=np.float64)


def validated(tables: Mapping[str, pd.DataFrame], name: str, **where: object) -> pd.DataFrame:
    """Return the rows of a table that match ``where``, checked by the table's contract.

    Parameters
    ----------
    tables
        Frames by contract name; an absent table counts as empty.
    name
        Which table.
    **where
        Column and value (or a list of values) that rows must have.

    Returns
    -------
    pandas.DataFrame
        As ``core.tables.validate`` returns it.

    Raises
    ------
    DataError
        If the table breaks its contract.
    """
    contract = CONTRACTS[name]
    frame = tables.get(name)
    if frame is None:
        return validate(pd.DataFrame({column: [] for column in contract.names}), contract)
    validate(frame.iloc[:0], contract)  # the columns, before they are used to choose rows
    for column, value in where.items():
        frame = frame[frame[column].isin(value) if isinstance(value, list) else frame[column] == value]
    return validate(frame, contract)


def build_grid(tables: Mapping[str, pd.DataFrame], study: str, schedules: Sequence[str]) -> Grid:
    """Pair the runs of the compared arms by checkpoint and seed.

    Parameters
    ----------
    tables
        Needs ``runs``, which lists every planned run.
    study
        Name of the study; rows of other studies are left aside.
    schedules
        At least two different arms.

    Returns
    -------
    Grid
        Arms in the order given, pairs sorted.

    Raises
    ------
    UsageError
        If fewer than two arms, or an arm that the study does not have, is asked for.
    DataError
        If an arm has two runs of the same checkpoint and seed.
    """
    if len(set(schedules)) != len(schedules) or len(schedules) < 2:
        raise UsageError(
            f"a comparison needs at least two different schedules, got {list(schedules)}.",
            where="--schedules",
        )
    runs = validated(tables, RUNS.name, study=study)
    known = sorted(set(runs["arm"]))
    for name in schedules:
        if name not in known:
            hint = did_you_mean(name, known) if known else f'No run of "{study}" is in the tables.'
            raise UsageError(f'the study has no schedule "{name}".', where="--schedules", hint=hint)
    runs = runs[runs["arm"].isin(list(schedules))].reset_index(drop=True)
    if runs.duplicated(RUN_KEY).any():
        raise DataError("two runs share arm, checkpoint and seed.", where="table runs")
    found = {(str(c), int(s)) for c, s in zip(runs["checkpoint"], runs["seed"], strict=True)}
    pairs = tuple(sorted(found))
    kinds = {str(arm): str(kind) for arm, kind in zip(runs["arm"], runs["schedule"], strict=True)}
    return Grid(tuple(schedules), pairs, kinds, runs, _missing_runs(runs, schedules, pairs))


def _missing_runs(runs: pd.DataFrame, schedules: Sequence[str], pairs: Sequence[Pair]) -> tuple[str, ...]:
    rows: Any = runs.itertuples(index=False)
    planned = {(str(row.arm), str(row.checkpoint), int(row.seed)): row for row in rows}
    entries: list[str] = []
    for arm in schedules:
        for checkpoint, seed in pairs:
            row = planned.get((arm, checkpoint, seed))
            if row is None:
                entries.append(f"{arm} from {checkpoint} with seed {seed}: no such run")
            elif row.stages_done < row.stages_planned:
                entries.append(f"run {row.run}: {row.stages_done} of {row.stages_planned} stages done")
    return tuple(entries)


def to_cells(frame: pd.DataFrame, grid: Grid, unit: str, *, arms: Sequence[str] | None = None) -> Cells:
    """Arrange one value per run and unit on the grid.

    Parameters
    ----------
    frame
        Columns ``arm, checkpoint, seed``, the unit's column and ``value``; at most one row per cell.
    grid
        The compared runs.
    unit
        Column that becomes the third axis (``language`` or ``task``), levels sorted.
    arms
        Only these arms; default all of the grid.

    Returns
    -------
    Cells
        NaN where the frame has no row or an empty value.
    """
    chosen = tuple(arms if arms is not None else grid.arms)
    units = tuple(sorted({str(level) for level in frame[unit]}))
    values = np.full((len(chosen), len(grid.pairs), len(units)), np.nan)
    position = {pair: index for index, pair in enumerate(grid.pairs)}
    column = {level: index for index, level in enumerate(units)}
    rows = zip(frame["arm"], frame["checkpoint"], frame["seed"], frame[unit], frame["value"], strict=True)
    for arm, checkpoint, seed, level, value in rows:
        pair = (str(checkpoint), int(seed))
        if arm in chosen and pair in position:
            values[chosen.index(arm), position[pair], column[str(level)]] = value
    return Cells(chosen, grid.pairs, units, values)
