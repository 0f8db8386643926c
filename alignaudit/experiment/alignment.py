"""Alignment of an encoder with parallel text: every layer, both directions, raw and centred."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import ParallelText
from alignaudit.core.rng import stream
from alignaudit.core.study import Measures
from alignaudit.core.tables import DIRECTIONS
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.model import Pooling
from alignaudit.measure.baseline import character_ngram_accuracy
from alignaudit.measure.cka import centred_gram, cka_from_grams, permuted_cka
from alignaudit.measure.retrieval import (
    Retrieval,
    accuracy_standard_error,
    chance_accuracy,
    normalise,
    retrieve,
)

__all__ = ["AlignmentTables", "chance_rows", "measure_encoder", "ngram_rows"]

Vectors = NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlignmentTables:
    """What one encoder's measurement gives.

    Attributes
    ----------
    alignment
        One row per language × layer × pooling × direction × centred × metric, with ``value``,
        ``standard_error`` and ``n``. Symmetric metrics (margin, CKA) stand under both directions.
    items
        One row per language × layer × pooling × centred × sentence pair.
    shuffled
        Like ``alignment``, for the same vectors with the English side permuted; empty unless asked.
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    shuffled: pd.DataFrame


def measure_encoder(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[ParallelText],
    settings: Measures,
    *,
    device: torch.device | None = None,
    shuffle_seed: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> AlignmentTables:
    """Measure an encoder on parallel text; one language is held in memory at a time.

    Parameters
    ----------
    encoder, tokenizer
        Any Hugging Face encoder and its tokenizer.
    texts
        Sentence pairs, one language after another. English sides that are the same for successive
        languages are encoded once.
    settings
        Poolings, k of the margin, lengths and batch size.
    device
        Where the forward passes run.
    shuffle_seed
        Also measure the shuffled-pairs control, permuted by this seed.
    progress
        Called with each language's code when it is done.

    Returns
    -------
    AlignmentTables
    """
    rows: list[Row] = []
    shuffled: list[Row] = []
    items: list[pd.DataFrame] = []
    for text, foreign, english in _encoded(encoder, tokenizer, texts, settings, device):
        for pooling in settings.poolings:
            for layer, (x, y) in enumerate(zip(foreign[pooling], english[pooling], strict=True)):
                key = {"language": text.language, "layer": layer, "pooling": pooling}
                layer_rows, layer_items = _measure_layer(x, y, key, settings.neighbours)
                rows += layer_rows
                items += layer_items
                if shuffle_seed is not None:
                    draw = stream(shuffle_seed, "shuffled_pairs", text.language, layer)
                    shuffled += _measure_shuffled(x, y, key, settings.neighbours, draw)
        if progress:
            progress(text.language)
    return AlignmentTables(pd.DataFrame(rows), pd.concat(items, ignore_index=True), pd.DataFrame(shuffled))


def _encoded(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[ParallelText],
    settings: Measures,
    device: torch.device | None,
) -> Iterator[tuple[ParallelText, dict[Pooling, Vectors], dict[Pooling, Vectors]]]:
    def vectors(sentences: tuple[str, ...]) -> dict[Pooling, Vectors]:
        return sentence_vectors(
            encoder,
            tokenizer,
            sentences,
            poolings=settings.poolings,
            max_length=settings.max_length,
            batch_size=settings.batch_size,
            device=device,
        )

    last_english: tuple[str, ...] = ()
    english: dict[Pooling, Vectors] = {}
    for text in texts:
        if text.english != last_english:
            last_english, english = text.english, vectors(text.english)
        yield text, vectors(text.foreign), english


def _measure_layer(x: Vectors, y: Vectors, key: Row, neighbours: int) -> tuple[list[Row], list[pd.DataFrame]]:
    cka = cka_from_grams(centred_gram(x), centred_gram(y))
    rows = _both_directions({**key, "centred": True}, "cka_debiased", cka.value, cka.standard_error, len(x))
    items = []
    for centred in (False, True):
        found = retrieve(normalise(x, centred=centred), normalise(y, centred=centred), k=neighbours)
        rows += _retrieval_rows(found, {**key, "centred": centred})
        items.append(_item_rows(found, {**key, "centred": centred}))
    return rows, items


def _retrieval_rows(found: Retrieval, key: Row) -> list[Row]:
    rows = [
        {
            **key,
            "direction": direction,
            "metric": "accuracy",
            "value": float(correct.mean()),
            "standard_error": accuracy_standard_error(correct),
            "n": len(correct),
        }
        for direction, correct in zip(
            DIRECTIONS, (found.foreign_to_english_correct, found.english_to_foreign_correct), strict=True
        )
    ]
    margin = found.margin
    error = float(margin.std(ddof=1) / np.sqrt(len(margin)))
    return rows + _both_directions(key, "margin", float(margin.mean()), error, len(margin))


def _both_directions(key: Row, metric: str, value: float, standard_error: float, n: int) -> list[Row]:
    measured = {"metric": metric, "value": value, "standard_error": standard_error, "n": n}
    return [{**key, "direction": direction, **measured} for direction in DIRECTIONS]


def _item_rows(found: Retrieval, key: Row) -> pd.DataFrame:
    columns = {
        "foreign_to_english_correct": found.foreign_to_english_correct,
        "english_to_foreign_correct": found.english_to_foreign_correct,
        "foreign_to_english_rank": found.foreign_to_english_rank,
        "english_to_foreign_rank": found.english_to_foreign_rank,
        "margin": found.margin,
    }
    return pd.DataFrame({**key, "item": np.arange(len(found.margin)), **columns})


def _measure_shuffled(
    x: Vectors, y: Vectors, key: Row, neighbours: int, draw: np.random.Generator
) -> list[Row]:
    cka = permuted_cka(x, y, draw)
    rows = _both_directions({**key, "centred": True}, "cka_debiased", cka.value, cka.standard_error, len(x))
    other = y[draw.permutation(len(y))]
    for centred in (False, True):
        found = retrieve(normalise(x, centred=centred), normalise(other, centred=centred), k=neighbours)
        rows += _retrieval_rows(found, {**key, "centred": centred})
    return rows


def chance_rows(texts: Iterable[ParallelText]) -> list[Row]:
    """Return the chance level of retrieval per language, in the columns of the alignment table."""
    return [
        {
            "language": text.language,
            "layer": -1,
            "pooling": "none",
            "direction": direction,
            "centred": centred,
            "metric": "accuracy",
            "value": chance_accuracy(len(text.foreign)),
            "standard_error": 0.0,
            "n": len(text.foreign),
        }
        for text in texts
        for direction in DIRECTIONS
        for centred in (False, True)
    ]


def ngram_rows(texts: Iterable[ParallelText]) -> list[Row]:
    """Return the model-free character n-gram baseline, in the columns of the alignment table.

    The baseline is not centred (its vectors are sparse counts); it stands under both words of
    ``centred`` so that every retrieval number has it beside it.
    """
    rows: list[Row] = []
    for text in texts:
        found = character_ngram_accuracy(text.foreign, text.english)
        key = {"language": text.language, "layer": -1, "pooling": "none"}
        for centred in (False, True):
            rows += [
                row
                for row in _retrieval_rows(found, {**key, "centred": centred})
                if row["metric"] == "accuracy"
            ]
    return rows
