"""Alignment of an encoder with parallel text: every layer, pooling, direction and variant in one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.core.rng import stream
from alignaudit.core.specification import Pooling, primary_layer
from alignaudit.core.study import Measures
from alignaudit.experiment.cell import Pairs, cell_rows, retrieval_rows
from alignaudit.experiment.encode import SentenceEncoder, as_array, block_count
from alignaudit.experiment.lexicon import Lexicons
from alignaudit.experiment.parallel import sentence_key
from alignaudit.experiment.perturbed import PerturbedTables, measure_perturbed
from alignaudit.experiment.primary import Reference, primary_rows, reference_rows
from alignaudit.measure.baseline import character_ngram_accuracy
from alignaudit.measure.retrieval import Retrieval, chance_accuracy

__all__ = ["AlignmentTables", "Recorder", "chance_rows", "measure_encoder", "ngram_rows"]

Vectors = dict[Pooling, torch.Tensor]
Row = dict[str, Any]


class Recorder(Protocol):
    """Receives the vectors of each language, for whoever wants to keep them."""

    def keep(self, text: ParallelText, foreign: Vectors, english: Vectors) -> None:
        """Take what it wants of the vectors, per pooling ``[layers, n, d]``; they are gone afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class AlignmentTables:
    """What one encoder's measurement gives.

    Attributes
    ----------
    alignment
        One row per language × layer × pooling × direction × centred × metric, with ``value``,
        ``standard_error``, ``n`` and ``note``. Symmetric metrics stand under both directions.
    items
        One row per language × layer × pooling × centred × sentence pair.
    shuffled
        Like ``alignment``, for the same vectors with the English side permuted; empty unless asked.
    perturbed, perturbed_items
        Retrieval with perturbed foreign sentences at the primary layer, and per sentence; empty
        where no perturbation is asked for.
    seconds
        Wall time by part: ``encoder`` and ``measures``.
    encoded
        Number of sentences that went through the encoder.
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    shuffled: pd.DataFrame
    perturbed: pd.DataFrame
    perturbed_items: pd.DataFrame
    seconds: dict[str, float]
    encoded: int


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows of all languages so far."""

    rows: list[Row] = field(default_factory=list)
    shuffled: list[Row] = field(default_factory=list)
    items: list[pd.DataFrame] = field(default_factory=list)
    perturbed: list[PerturbedTables] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every language is measured with."""

    source: SentenceEncoder
    settings: Measures
    layers: Sequence[int]
    primary: int
    shuffle_seed: int | None
    reference: Reference | None
    lexicons: Lexicons


def measure_encoder(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[ParallelText],
    settings: Measures,
    *,
    device: torch.device | None = None,
    layers: Sequence[int] | None = None,
    shuffle_seed: int | None = None,
    reference: Reference | None = None,
    recorder: Recorder | None = None,
    lexicons: Lexicons | None = None,
    progress: Callable[[str], None] | None = None,
) -> AlignmentTables:
    """Measure an encoder on parallel text; the vectors of one language are held in memory at a time.

    English sentences that several languages share are encoded once, and kept until the last of
    those languages is done.

    Parameters
    ----------
    encoder, tokenizer
        Any Hugging Face encoder and its tokenizer.
    texts
        Sentence pairs, one language after another.
    settings
        Poolings, k of the margin, pool size, perturbations, lengths and batch size.
    device
        Where the forward passes run, and the measures if it is not the CPU.
    layers
        Layers to measure, 0 being the embeddings; all by default.
    shuffle_seed
        Also measure the shuffled-pairs control, permuted by this seed.
    reference
        Vectors of the same sentences by another encoder, to compare with at the primary layer.
    recorder
        Receives the vectors of each language.
    lexicons
        By language code, English words of each foreign word; for code-switching only.
    progress
        Called with each language's code when it is done.

    Returns
    -------
    AlignmentTables

    Raises
    ------
    DataError
        Where a language cannot be measured, for example because the encoder gives NaN.
    """
    begun = time.perf_counter()
    all_texts = list(texts)
    depth = block_count(encoder)
    kept = tuple(layers) if layers is not None else tuple(range(depth + 1))
    source = SentenceEncoder.of(encoder, tokenizer, settings, device=device, texts=all_texts, layers=kept)
    found = _Found()
    plan = _Plan(source, settings, kept, primary_layer(depth), shuffle_seed, reference, lexicons or {})
    for text in all_texts:
        foreign, english = source.vectors(text.foreign), source.shared(text.english)
        if recorder:
            recorder.keep(text, foreign, english)
        _measure_language(text, foreign, english, plan, found)
        if progress:
            progress(text.language)
    whole = time.perf_counter() - begun
    encoding = source.seconds + (reference.seconds if reference else 0.0)
    return AlignmentTables(
        pd.DataFrame(found.rows),
        pd.concat(found.items, ignore_index=True),
        pd.DataFrame(found.shuffled),
        pd.concat([part.metrics for part in found.perturbed], ignore_index=True)
        if found.perturbed
        else pd.DataFrame(),
        pd.concat([part.items for part in found.perturbed], ignore_index=True)
        if found.perturbed
        else pd.DataFrame(),
        {"encoder": encoding, "measures": whole - encoding},
        source.encoded,
    )


def _measure_language(
    text: ParallelText, foreign: Vectors, english: Vectors, plan: _Plan, found: _Found
) -> None:
    """Add every cell of one language to what was found."""
    pairs, settings = Pairs.of(text), plan.settings
    keys = np.array([sentence_key(sentence) for sentence in text.english], dtype=np.int64)
    for pooling in settings.poolings:
        for place, layer in enumerate(plan.layers):
            x, y = as_array(foreign[pooling][place]), as_array(english[pooling][place])
            key = {"language": text.language, "layer": layer, "pooling": pooling}
            rows, retrievals = cell_rows(x, y, pairs, neighbours=settings.neighbours, pool=settings.pool)
            if layer == plan.primary and pooling == settings.poolings[0]:
                rows += primary_rows(x, y, pairs, text.language, settings.permutations)
                if plan.reference:
                    rows += reference_rows(x, y, pairs, *plan.reference.vectors(text))
                if settings.perturbations:
                    words = plan.lexicons.get(text.language)
                    found.perturbed.append(
                        measure_perturbed(text, plan.source, place, y, pairs, key, settings, words)
                    )
            found.rows.extend({**key, **row, "n": pairs.n} for row in rows)
            found.items.extend(
                _item_rows(one, {**key, "centred": centred}, keys) for centred, one in retrievals.items()
            )
            if plan.shuffle_seed is not None:
                draw = stream(plan.shuffle_seed, "shuffled_pairs", text.language, layer)
                order = draw.permutation(pairs.n)
                other = Pairs(pairs.n, pairs.documents, pairs.foreign_texts, pairs.english_texts[order])
                rows, _ = cell_rows(x, y[order], other, neighbours=settings.neighbours, pool=settings.pool)
                found.shuffled.extend({**key, **row, "n": pairs.n} for row in rows)


def _item_rows(found: Retrieval, key: Row, english_keys: np.ndarray[Any, Any]) -> pd.DataFrame:
    columns: dict[str, Any] = {"item": np.arange(len(found.similarity)), "english": english_keys}
    for direction in DIRECTIONS:
        ranking = getattr(found, direction)
        columns[f"{direction}_correct"] = ranking.correct
        columns[f"{direction}_rank"] = ranking.rank
        columns[f"{direction}_prediction"] = ranking.prediction
    return pd.DataFrame({**key, **columns, "margin": found.margin})


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
            "note": "",
        }
        for text in texts
        for direction in DIRECTIONS
        for centred in (False, True)
    ]


def ngram_rows(texts: Iterable[ParallelText], pool: int) -> list[Row]:
    """Return the model-free character n-gram baseline, in the columns of the alignment table.

    The baseline is not centred (its vectors are sparse counts); it stands under both words of
    ``centred`` so that every retrieval number has it beside it.
    """
    rows: list[Row] = []
    for text in texts:
        found, pairs = character_ngram_accuracy(text.foreign, text.english), Pairs.of(text)
        key = {"language": text.language, "layer": -1, "pooling": "none", "n": pairs.n}
        for centred in (False, True):
            rows += [{**key, **row} for row in retrieval_rows(found, pairs, pool, centred=centred)]
    return rows
