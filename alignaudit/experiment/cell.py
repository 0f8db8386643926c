"""Every metric of one cell: two sides of parallel text at one layer and pooling, raw and centred."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.errors import DataError
from alignaudit.measure.arrays import Array, FloatArray, IntArray
from alignaudit.measure.cka import debiased_cka
from alignaudit.measure.cluster import clustered_means
from alignaudit.measure.geometry import language_gap
from alignaudit.measure.hubness import hub_penalised_f1, hubness
from alignaudit.measure.margin import Margin, margin_search
from alignaudit.measure.rank_measures import (
    area_under_curve,
    correct_by_text,
    mutual_nearest,
    pool_accuracy,
    pool_chance_corrected,
    reciprocal_rank,
)
from alignaudit.measure.retrieval import Retrieval, normalise, retrieve_from_similarity
from alignaudit.measure.similarity import Cosines

__all__ = ["Pairs", "both_directions", "cell_rows", "item_rows", "retrieval_rows"]

Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the metrics need to know of a language's pairs besides their vectors.

    Attributes
    ----------
    n
        Number of pairs.
    documents
        Shape [n]: number of each pair's document; ``None`` where unknown, or all the same.
    foreign_texts, english_texts
        Shape [n]: equal numbers for equal texts.
    """

    n: int
    documents: IntArray | None
    foreign_texts: IntArray
    english_texts: IntArray

    @classmethod
    def of(cls, text: ParallelText) -> Pairs:
        """Return the pairs of a text."""
        documents = _codes(text.documents) if len(set(text.documents)) > 1 else None
        return cls(len(text.foreign), documents, _codes(text.foreign), _codes(text.english))


def cell_rows(
    x: Array, y: Array, pairs: Pairs, *, neighbours: int, pool: int, centrings: Sequence[bool] = (False, True)
) -> tuple[list[dict[str, Any]], dict[bool, Retrieval]]:
    """Measure one cell.

    Parameters
    ----------
    x, y
        Shapes [n, d]: foreign and English sentence vectors.
    pairs
        The pairs' documents and texts.
    neighbours
        k of the margin.
    pool
        Number of candidates of the pool-size-normalised accuracy; left out where there are fewer pairs.
    centrings
        Variants of retrieval.

    Returns
    -------
    rows : list of dict
        ``direction, centred, metric, value, standard_error, note``.
    found : dict
        The retrieval by variant, for per-item tables.
    """
    rows: list[dict[str, Any]] = []
    cka = debiased_cka(x, y, groups=pairs.documents)
    rows += both_directions("cka_debiased", True, cka.value, cka.standard_error, cka.reason)
    flat = cka.reason if math.isnan(cka.biased) else ""
    rows += both_directions("cka_biased", True, cka.biased, note=flat)
    gap = language_gap(x, y)
    rows += both_directions("language_gap", False, gap.value, gap.standard_error, gap.reason)
    found = {}
    for centred in centrings:
        cosines = Cosines(normalise(x, centred=centred), normalise(y, centred=centred))
        found[centred] = retrieve_from_similarity(cosines, k=neighbours)
        rows += retrieval_rows(found[centred], pairs, pool, centred=centred)
    return rows, found


def retrieval_rows(found: Retrieval, pairs: Pairs, pool: int, *, centred: bool) -> Iterator[dict[str, Any]]:
    """Yield the metrics of one retrieval as rows, per-item ones with their standard error.

    Parameters
    ----------
    found
        Retrieval of n pairs.
    pairs
        Their documents and texts.
    pool
        See :func:`cell_rows`.
    centred
        Which variant this is.

    Yields
    ------
    dict
        ``direction, centred, metric, value, standard_error, note``.
    """
    margins, refused = _margin_errors(found)
    sides = (
        (found.foreign_to_english, pairs.english_texts),
        (found.english_to_foreign, pairs.foreign_texts),
    )
    every = np.arange(pairs.n)
    for number, (direction, (ranking, texts)) in enumerate(zip(DIRECTIONS, sides, strict=True)):
        first = (ranking.prediction == every).astype(np.float64)
        items = {
            "accuracy": ranking.correct,
            "accuracy_first": first,
            "accuracy_text": correct_by_text(ranking, texts),
            "auc": area_under_curve(ranking),
            "reciprocal_rank": reciprocal_rank(ranking),
            "hub_f1": hub_penalised_f1(ranking.prediction),
            "xsim_absolute": 1.0 - first,
        }
        items |= {name: errors[number] for name, errors in margins.items()}
        if pool <= pairs.n:
            items["accuracy_pool"] = pool_accuracy(ranking, pool)
            items["accuracy_pool_corrected"] = pool_chance_corrected(items["accuracy_pool"], pool)
        yield from item_rows(items, pairs, direction=direction, centred=centred)
        for name, reason in refused.items():
            yield _row(direction, centred, name, np.nan, np.nan, reason)
        hubs = hubness(ranking)
        no_spread = "All candidates are chosen equally often." if np.isnan(hubs.skewness) else ""
        yield _row(direction, centred, "hub_top_share", hubs.top_share)
        yield _row(direction, centred, "hub_skewness", hubs.skewness, note=no_spread)
        yield _row(direction, centred, "hub_orphan_share", hubs.orphan_share)
    mutual = mutual_nearest(found)
    items = {
        "margin": found.margin,
        "margin_positive": (found.margin > 0).astype(np.float64),
        "mutual_recall": mutual.correct.astype(np.float64),
    }
    for direction in DIRECTIONS:
        yield from item_rows(items, pairs, direction=direction, centred=centred)
    reciprocated = int(mutual.reciprocated.sum())
    precision = mutual.correct.sum() / reciprocated if reciprocated else np.nan
    note = "" if reciprocated else "No two sentences are each other's nearest."
    yield from both_directions("mutual_precision", centred, float(precision), note=note)


def both_directions(
    metric: str, centred: bool, value: float, standard_error: float = np.nan, note: str = ""
) -> list[dict[str, Any]]:
    """Return a symmetric metric's rows, one under each direction."""
    return [_row(direction, centred, metric, value, standard_error, note) for direction in DIRECTIONS]


def _row(
    direction: str,
    centred: bool,
    metric: str,
    value: float,
    standard_error: float = np.nan,
    note: str = "",
) -> dict[str, Any]:
    return {
        "direction": direction,
        "centred": centred,
        "metric": metric,
        "value": value,
        "standard_error": standard_error,
        "note": note,
    }


def item_rows(items: Values, pairs: Pairs, *, direction: str, centred: bool) -> Iterator[dict[str, Any]]:
    """Yield the means of per-item metrics as rows, with standard errors over pairs or documents.

    Parameters
    ----------
    items
        Shape [n] each, by the name of the metric.
    pairs
        Their documents.
    direction, centred
        Columns of the rows.

    Yields
    ------
    dict
        ``direction, centred, metric, value, standard_error, note``.
    """
    table = np.array(list(items.values()))
    if pairs.documents is not None:
        found = clustered_means(table, pairs.documents)
        means, errors = found.means, found.standard_errors
    else:
        means = table.mean(axis=1)
        errors = table.std(axis=1, ddof=1) / np.sqrt(pairs.n)
    for name, mean, error in zip(items, means, errors, strict=True):
        yield _row(direction, centred, name, float(mean), float(error))


def _margin_errors(found: Retrieval) -> tuple[dict[str, tuple[FloatArray, FloatArray]], dict[str, str]]:
    """Return per margin the errors of both directions, and why a margin is refused."""
    errors: dict[str, tuple[FloatArray, FloatArray]] = {}
    refused: dict[str, str] = {}
    kinds: tuple[Margin, ...] = ("distance", "ratio")
    every = np.arange(len(found.similarity))
    for kind in kinds:
        try:
            forward, backward = margin_search(found, kind)
        except DataError as error:
            refused[f"xsim_{kind}"] = error.what
            continue
        wrong = [(search.predictions != every).astype(np.float64) for search in (forward, backward)]
        errors[f"xsim_{kind}"] = (wrong[0], wrong[1])
    return errors, refused


def _codes(words: Iterable[str]) -> IntArray:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
