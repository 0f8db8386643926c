"""Whether an alignment is above what an untrained encoder has: differences at the floor mean little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from alignaudit.analysis.collect import Grid, validated

__all__ = ["floor_notes"]


def floor_notes(
    tables: Mapping[str, pd.DataFrame],
    grid: Grid,
    *,
    metric: str,
    layer: int | None,
    pooling: str | None,
    centred: bool | None,
    tail_languages: Sequence[str] = (),
    tail_value: float | None = None,
) -> list[str]:
    """Return sentences on languages and tails that are not above the untrained control.

    Parameters
    ----------
    tables
        Needs ``alignment`` (stage ``pretrained``) and ``controls`` (``untrained``); without either
        nothing can be said.
    grid
        The compared runs.
    metric, layer, pooling, centred
        The primary cell; both directions are averaged.
    tail_languages, tail_value
        Languages of R3, and their mean accuracy over arms and runs, a fraction.
    """
    cell = {"metric": metric, "layer": layer, "pooling": pooling, "centred": centred}
    checkpoints = sorted({checkpoint for checkpoint, _ in grid.pairs})
    trained = validated(tables, "alignment", stage="pretrained", checkpoint=checkpoints, **cell)
    control = validated(tables, "controls", control="untrained", checkpoint=checkpoints, **cell)
    if not len(trained) or not len(control):
        return []
    before = trained.groupby("language")["value"].mean()
    untrained = control.groupby("language")["value"].mean().reindex(before.index)
    low = [str(language) for language in before.index[(before <= untrained).to_numpy()]]
    notes = []
    if low:
        notes.append(
            f"In {len(low)} of {len(before)} languages ({', '.join(low)}) the pretrained encoder aligns no "
            "better than an untrained one: retention there is not about alignment that pretraining gave."
        )
    floor = float(untrained.reindex(list(tail_languages)).mean()) if tail_languages else float("nan")
    if tail_value is not None and tail_value <= floor:
        notes.append(
            f"R3 looks at languages ({', '.join(tail_languages)}) where the arms stand at "
            f"{100 * tail_value:.1f} points, not above the untrained control ({100 * floor:.1f}): its "
            "verdict may only say that both are at the floor."
        )
    return notes
