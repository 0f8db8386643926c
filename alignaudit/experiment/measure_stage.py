"""The stages that measure: a checkpoint, its untrained control, and the model-free baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import ParallelText
from alignaudit.core.plan import Stage
from alignaudit.core.rng import stream_seed
from alignaudit.core.specification import primary_layer
from alignaudit.core.study import Measures
from alignaudit.errors import DataError, InterruptedRunError
from alignaudit.experiment.alignment import chance_rows, measure_encoder, ngram_rows
from alignaudit.experiment.context import Context, Outcome, encoder_source
from alignaudit.experiment.data import mining_fingerprint, open_source
from alignaudit.experiment.embeddings import REFERENCE_FILE, PrimaryVectors, StoredReference
from alignaudit.experiment.encode import block_count
from alignaudit.experiment.lexicon import Lexicons
from alignaudit.experiment.model import build_encoder, load_config, load_encoder, load_tokenizer
from alignaudit.experiment.retrieval_scores import bucc_scores, tatoeba_scores

__all__ = ["planned_lexicons", "run_baselines", "run_measure", "run_untrained"]


def run_measure(stage: Stage, context: Context) -> Outcome:
    """Measure a checkpoint; return its record and what writes its tables."""
    source = encoder_source(stage, context)
    return _measured(stage, context, load_encoder(source), source)


def run_untrained(stage: Stage, context: Context) -> Outcome:
    """Measure an encoder of the same architecture with random weights; return as :func:`run_measure`."""
    source = encoder_source(stage, context)
    seed = stream_seed(0, "untrained_control")
    return _measured(stage, context, build_encoder(load_config(source), seed), source)


def _measured(stage: Stage, context: Context, encoder: torch.nn.Module, source: str) -> Outcome:
    config = stage.config
    device = torch.device(context.device)
    languages = tuple(config["languages"])
    settings = Measures.model_validate(config["measure"], strict=False)
    if stage.kind == "untrained":  # a control of the clean text
        settings = settings.model_copy(update={"perturbations": {}})
    done: list[str] = []

    def progress(language: str) -> None:
        done.append(language)
        if context.progress:
            context.progress(len(done), len(languages), float("nan"))
        if context.stop and context.stop():
            raise InterruptedRunError(f"stopped after {len(done)} of {len(languages)} languages.")

    recorder = None
    if config.get("shuffled"):  # the pretrained checkpoint: what others are compared with
        layer = primary_layer(block_count(encoder))
        recorder = PrimaryVectors(layer, settings.poolings[0])
    reference = None
    if before := config.get("reference"):
        context.store.verify(before, {REFERENCE_FILE})
        reference = StoredReference(context.store.folder(before) / REFERENCE_FILE, device)
    tokenizer = load_tokenizer(source)
    tables = measure_encoder(
        encoder.to(device),
        tokenizer,
        _parallel(config, context),
        settings,
        device=device,
        shuffle_seed=0 if config.get("shuffled") else None,
        reference=reference,
        recorder=recorder,
        lexicons=planned_lexicons(config, context) if settings.switches_code else None,
        progress=progress,
    )

    scores = _retrieval(config, tables.alignment, encoder, tokenizer, settings, context)

    def write(folder: Path) -> None:
        if scores:
            pd.DataFrame(scores).to_parquet(folder / "scores.parquet", index=False)
        tables.alignment.to_parquet(folder / "alignment.parquet", index=False)
        tables.items.to_parquet(folder / "items.parquet", index=False)
        if len(tables.shuffled):
            tables.shuffled.to_parquet(folder / "shuffled_pairs.parquet", index=False)
        if len(tables.perturbed):
            tables.perturbed.to_parquet(folder / "perturbed.parquet", index=False)
            tables.perturbed_items.to_parquet(folder / "perturbed_items.parquet", index=False)
        if recorder:
            recorder.save(folder / REFERENCE_FILE)

    return {"seconds": tables.seconds, "sentences_encoded": tables.encoded}, write


def _parallel(config: Mapping[str, Any], context: Context) -> Iterator[ParallelText]:
    """Return the parallel text, if it still is what the study was planned with."""
    source, languages = open_source(context.data), tuple(config["languages"])
    if source.parallel_fingerprint(languages) != config["parallel"]:
        raise DataError(
            "the parallel text is not what the study was planned with.",
            hint="Run the same command again: it plans with the text that is there now.",
        )
    return source.parallel(languages)


def planned_lexicons(config: Mapping[str, Any], context: Context) -> Lexicons:
    """Return the lexicons, if they still are what the study was planned with.

    Raises
    ------
    DataError
        If they are not.
    """
    source, languages = open_source(context.data), tuple(config["languages"])
    if source.lexicon_fingerprint(languages) != config["lexicons"]:
        raise DataError(
            "the lexicons are not what the study was planned with.",
            where=context.data.lexicons or "",
            hint="Run the same command again: it plans with the lexicons that are there now.",
        )
    return source.lexicons(languages)


def _retrieval(
    config: Mapping[str, Any],
    alignment: pd.DataFrame,
    encoder: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    settings: Measures,
    context: Context,
) -> list[dict[str, Any]]:
    """Scores of the retrieval tasks that the stage asks for; the untrained control has none."""
    wanted, depth = config.get("retrieval", ()), block_count(encoder)
    scores = tatoeba_scores(alignment, depth) if "tatoeba" in wanted else []
    if "bucc2018" in wanted:
        folder = open_source(context.data).mining_folder()
        if folder is None or mining_fingerprint(folder) != config["mining"]:
            raise DataError(
                "the mining sets are not those that the study was planned with.", where=str(folder)
            )
        device = torch.device(context.device)
        scores += bucc_scores(encoder, tokenizer, folder, settings, depth, device)
    return scores


def run_baselines(stage: Stage, context: Context) -> Outcome:
    """Measure chance and the character n-gram baseline; return as :func:`run_measure`."""
    texts = list(_parallel(stage.config, context))
    chance, ngram = pd.DataFrame(chance_rows(texts)), pd.DataFrame(ngram_rows(texts, stage.config["pool"]))

    def write(folder: Path) -> None:
        chance.to_parquet(folder / "chance.parquet", index=False)
        ngram.to_parquet(folder / "character_ngram.parquet", index=False)

    return {}, write
