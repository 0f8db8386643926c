"""What is measured at the primary layer and pooling only: costly measures, and change since a reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.core.rng import stream
from alignaudit.experiment.cell import Pairs, both_directions, item_rows
from alignaudit.measure.arrays import Array
from alignaudit.measure.cka import debiased_cka
from alignaudit.measure.cka_null import permutation_null
from alignaudit.measure.drift import alignment_drift, neighbour_overlap
from alignaudit.measure.geometry import isotropy
from alignaudit.measure.procrustes import procrustes_retrieval
from alignaudit.measure.retrieval import normalise

__all__ = ["Reference", "primary_rows", "reference_rows"]

_SEED = 0  # of folds and pairings: the same for every encoder, so that their differences are not of the draw


class Reference(Protocol):
    """Vectors of sentences by the encoder that others are compared with, at its primary layer.

    Attributes
    ----------
    seconds
        Wall time spent in that encoder so far.
    """

    @property
    def seconds(self) -> float:
        """Return the wall time spent in that encoder so far."""
        ...

    def vectors(self, text: ParallelText) -> tuple[Array, Array]:
        """Return the vectors of a text's foreign and English side, [n, d] each."""
        ...


def primary_rows(
    x: Array, y: Array, pairs: Pairs, language: str, permutations: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of costly measures: Gaussian CKA, the permuted-pair null, rotation, isotropy.

    Parameters
    ----------
    x, y
        Shapes [n, d]: foreign and English sentence vectors.
    pairs
        Their documents.
    language
        Names the random streams of folds and pairings.
    permutations
        Number of random pairings.

    Yields
    ------
    dict
        As :func:`alignaudit.experiment.cell.cell_rows` returns them.
    """
    rbf = debiased_cka(x, y, kernel="rbf", groups=pairs.documents)
    yield from both_directions("cka_rbf_debiased", True, rbf.value, rbf.standard_error, rbf.reason)
    null = permutation_null(x, y, stream(_SEED, "permuted_pairs", language), permutations=permutations)
    yield from both_directions("cka_null_z", True, null.z, note=null.reason)
    yield from both_directions("cka_null_p", True, null.p_value, note=null.reason)
    turned = procrustes_retrieval(x, y, stream(_SEED, "folds", language), groups=pairs.documents)
    for direction in DIRECTIONS:
        items = {
            "procrustes_accuracy": getattr(turned, f"{direction}_correct"),
            "half_accuracy": getattr(turned, f"{direction}_unmapped"),
        }
        yield from item_rows(items, pairs, direction=direction, centred=True)
    for side, vectors in (("foreign", x), ("english", y)):
        shape = isotropy(vectors)
        yield from both_directions(f"mean_cosine_{side}", False, shape.mean_cosine, shape.standard_error)
        dimension = shape.corrected_effective_dimension
        note = shape.reason if math.isnan(dimension) else ""
        yield from both_directions(f"effective_dimension_{side}", True, dimension, note=note)


def reference_rows(
    x: Array, y: Array, pairs: Pairs, x_before: Array, y_before: Array
) -> Iterator[dict[str, Any]]:
    """Yield the rows of change since a reference encoder.

    Parameters
    ----------
    x, y
        Shapes [n, d]: foreign and English sentence vectors.
    pairs
        Their documents.
    x_before, y_before
        Shapes [n, d']: those of the reference.

    Yields
    ------
    dict
        As :func:`alignaudit.experiment.cell.cell_rows` returns them.
    """
    kept = debiased_cka(x, x_before, groups=pairs.documents)
    yield from both_directions("cka_reference", True, kept.value, kept.standard_error, kept.reason)
    after, before = (
        [normalise(side, centred=True) for side in two] for two in ((x, y), (x_before, y_before))
    )
    for number, direction in enumerate(DIRECTIONS):
        queries, candidates = number, 1 - number
        four = (before[queries], before[candidates], after[queries], after[candidates])
        items = {
            "drift": alignment_drift(*four).fitted,
            "neighbour_overlap": neighbour_overlap(*four, k=min(10, pairs.n - 1)).items,
        }
        yield from item_rows(
            {name: np.asarray(v) for name, v in items.items()}, pairs, direction=direction, centred=True
        )
