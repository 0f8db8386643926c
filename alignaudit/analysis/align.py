"""The quantities that are compared, as arrays on the grid: retention, tail, transfer, what was kept."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from alignaudit.analysis.collect import RUN_KEY, Cells, Grid, to_cells, validated
from alignaudit.infer.tail import tail_values

__all__ = ["ENGLISH", "depth", "kept", "retention", "tail", "transfer", "with_untrained"]

ENGLISH = ("en", "eng")
"""Codes of English, which zero-shot transfer leaves out."""

PREFERRED = ("em_f1", "f1", "accuracy")
"""Of several metrics of one task the first that is there counts, as in XTREME."""

HALVES = ("even", "odd")
"""Halves of the items, by their numbers."""

Tables = Mapping[str, pd.DataFrame]


def depth(tables: Tables) -> int:
    """Return the number of blocks of the encoder: the highest layer in the alignment table, else 0."""
    frame = tables.get("alignment")
    return int(frame["layer"].max()) if frame is not None and len(frame) else 0


def retention(
    tables: Tables, grid: Grid, *, stage: str, metric: str, layer: int, pooling: str, centred: bool
) -> Cells:
    """Return alignment after a stage minus alignment of the same checkpoint before any training.

    Parameters
    ----------
    tables
        Needs ``alignment``.
    grid
        The compared runs. An arm of kind ``none`` has no intermediate phase: after it, its
        encoder is the pretrained one, and its retention there is 0.
    stage, metric, layer, pooling, centred
        Which rows; both directions are averaged. CKA always centres.

    Returns
    -------
    Cells
        Shape [arms, pairs, languages], in the unit of the metric; NaN where either side, or a
        direction, is missing. No units where the tables hold no such rows.
    """
    rows = validated(
        tables, "alignment", metric=metric, layer=layer, pooling=pooling,
        centred=centred or metric == "cka_debiased", stage=[stage, "pretrained"],
    )  # fmt: skip
    if not len(rows):
        return to_cells(rows, grid, "language")
    both = rows.groupby(["stage", *RUN_KEY, "language"], as_index=False).agg(
        value=("value", lambda v: float(v.mean(skipna=False)) if len(v) == 2 else math.nan)
    )
    before = both[both["stage"] == "pretrained"].groupby(["checkpoint", "language"], as_index=False)
    baseline = before.agg(before=("value", "mean"))
    after = with_untrained(both[both["stage"] == stage], baseline, grid, stage, "language")
    merged = after.merge(baseline, on=["checkpoint", "language"], how="left")
    merged["value"] = merged["value"] - merged["before"]
    return to_cells(merged, grid, "language")


def with_untrained(
    after: pd.DataFrame, baseline: pd.DataFrame, grid: Grid, stage: str, *units: str
) -> pd.DataFrame:
    """Add the pretrained values as what arms without intermediate training have after that phase.

    Parameters
    ----------
    after
        Columns of a run, of ``units``, and ``value``, after the stage.
    baseline
        Columns ``checkpoint``, of ``units``, and ``before`` or ``value``: the pretrained encoder's.
    grid, stage
        The compared runs, and the stage.
    units
        Columns that tell the values of a run apart.

    Returns
    -------
    pandas.DataFrame
        The rows of ``after``, and those of arms of kind ``none`` where they had none.
    """
    frames = [after[[*RUN_KEY, *units, "value"]]]
    for arm, kind in grid.kinds.items():
        if kind == "none" and stage == "intermediate" and not (after["arm"] == arm).any():
            runs = grid.runs.loc[grid.runs["arm"] == arm, RUN_KEY]
            filled = runs.merge(baseline.rename(columns={"before": "value"}), on="checkpoint")
            frames.append(filled[[*RUN_KEY, *units, "value"]])
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)


def tail(
    tables: Tables, grid: Grid, *, stage: str, layer: int, pooling: str, centred: bool, share: float
) -> tuple[Cells, tuple[str, ...]]:
    """Return retrieval accuracy in the worst languages, chosen and evaluated on different items.

    For each pair of runs, the ``ceil(share × L)`` languages in which the other pairs have the lowest
    accuracy on the even items, averaged over all compared arms, are evaluated on the odd items; then
    the other way round; the two are averaged (:func:`alignaudit.infer.tail.tail_values`). Choosing
    over all arms together favours none of them, and by other runs no arm whose runs vary more.

    Parameters
    ----------
    tables
        Needs ``items``.
    grid
        The compared runs; ``none`` as in :func:`retention`.
    stage, layer, pooling, centred
        Which rows; both directions are averaged.
    share
        Share of languages, for example 0.25.

    Returns
    -------
    tuple of Cells and tuple of str
        Shape [arms, pairs, 1], accuracy as a fraction; and the languages chosen in either half.
    """
    rows = validated(
        tables, "items", layer=layer, pooling=pooling, centred=centred, stage=[stage, "pretrained"]
    )
    if not len(rows):
        return to_cells(rows.assign(value=0.0), grid, "language"), ()
    rows["value"] = (rows["foreign_to_english_correct"] + rows["english_to_foreign_correct"]) / 2
    rows["half"] = np.where(rows["item"] % 2 == 0, *HALVES)
    means = rows.groupby(["stage", *RUN_KEY, "language", "half"], as_index=False)["value"].mean()
    before = means[means["stage"] == "pretrained"]
    baseline = before.groupby(["checkpoint", "language", "half"], as_index=False)["value"].mean()
    after = with_untrained(means[means["stage"] == stage], baseline, grid, stage, "language", "half")
    after["unit"] = after["half"] + ":" + after["language"]
    cells = to_cells(after, grid, "unit")
    languages = sorted({str(level) for level in after["language"]})
    found = tail_values(_halves(cells, languages), share=share, leave_out=True)
    chosen = tuple(languages[int(place)] for place in np.flatnonzero(found.chosen.any(axis=0)))
    return Cells(cells.arms, cells.pairs, ("tail",), found.values[:, :, None]), chosen


def _halves(cells: Cells, languages: list[str]) -> NDArray[np.float64]:
    """Arrange cells of units ``half:language``, shape [arms, pairs, languages, 2]; NaN where missing."""
    padded = np.concatenate([cells.values, np.full((*cells.values.shape[:2], 1), np.nan)], axis=2)
    places = [
        [cells.units.index(f"{half}:{name}") if f"{half}:{name}" in cells.units else -1 for half in HALVES]
        for name in languages
    ]
    return np.asarray(padded[:, :, np.array(places)], dtype=np.float64)


def transfer(tables: Tables, grid: Grid) -> dict[str, Cells]:
    """Return zero-shot scores of every target task after its own training.

    Parameters
    ----------
    tables
        Needs ``scores``: rows with role ``target``, split ``test``, stage ``target:<task>``. Of
        several metrics the first of :data:`PREFERRED` is taken, else the first by name; of several
        updates the last.
    grid
        The compared runs.

    Returns
    -------
    dict of str to Cells
        By task: shape [arms, pairs, languages without English], scores as fractions.
    """
    rows = validated(tables, "scores", role="target", split="test", arm=list(grid.arms))
    own = rows[(rows["stage"] == "target:" + rows["task"]) & ~rows["language"].isin(ENGLISH)]
    return {
        str(task): to_cells(_last(_one_metric(part)), grid, "language")
        for task, part in own.groupby("task", sort=True)
    }


def kept(tables: Tables, grid: Grid) -> Cells:
    """Return English development scores of the intermediate tasks when the phase ends.

    Parameters
    ----------
    tables
        Needs ``scores``: rows with role ``intermediate``, split ``dev``, stage ``intermediate``;
        per run the last update counts.
    grid
        The compared runs; arms without an intermediate phase are left out.

    Returns
    -------
    Cells
        Shape [arms with an intermediate phase, pairs, tasks], scores as fractions.
    """
    arms = [arm for arm in grid.arms if grid.kinds[arm] != "none"]
    rows = validated(tables, "scores", role="intermediate", split="dev", stage="intermediate", arm=arms)
    parts = [_last(_one_metric(part)) for _, part in rows.groupby("task", sort=True)]
    return to_cells(pd.concat(parts) if parts else rows, grid, "task", arms=arms)


def _one_metric(rows: pd.DataFrame) -> pd.DataFrame:
    names = sorted({str(name) for name in rows["metric"]})
    chosen = next((name for name in PREFERRED if name in names), names[0])
    return rows[rows["metric"] == chosen]


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["update"] == rows.groupby(RUN_KEY)["update"].transform("max")]
