"""Measuring one encoder without a study: any encoder on any folder of parallel text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.core.specification import POOLINGS, PRESETS, Specification, primary_layer
from alignaudit.core.study import Measures
from alignaudit.errors import UsageError, did_you_mean
from alignaudit.experiment.alignment import AlignmentTables, measure_encoder
from alignaudit.experiment.bmlama import is_bmlama_folder
from alignaudit.experiment.embeddings import EmbeddingFolder, EncoderReference
from alignaudit.experiment.encode import SentenceEncoder, block_count
from alignaudit.experiment.engine import find_machine
from alignaudit.experiment.knowledge import measure_knowledge
from alignaudit.experiment.language_codes import match_languages
from alignaudit.experiment.lexicon import read_lexicons
from alignaudit.experiment.mine import mine_encoder
from alignaudit.experiment.mining import is_mining_folder, mining_languages
from alignaudit.experiment.model import load_config, load_encoder, load_tokenizer
from alignaudit.experiment.parallel import parallel_languages, read_parallel
from alignaudit.experiment.perturbed import check_perturbations

__all__ = ["Measurement", "measure", "measured_languages"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What :func:`measure` found.

    Attributes
    ----------
    alignment
        One row per language × layer × pooling × direction × centred × metric, with ``value``
        (shares as fractions), ``standard_error`` over pairs or documents, ``n`` pairs, and
        ``note``, which says why a value is missing.
    items
        One row per language × layer × pooling × centred × sentence pair.
    perturbed, perturbed_items
        The same with perturbed foreign sentences; empty unless asked for.
    mining
        Precision, recall and F1 of mining, for a folder in BUCC's layout; the others are then empty.
    consistency
        RankC of every two languages, for a folder in BMLAMA's format; the others are then empty.
    depth
        Number of blocks of the encoder.
    seconds
        Wall time by part: ``encoder`` and ``measures``.
    """

    alignment: pd.DataFrame
    items: pd.DataFrame
    perturbed: pd.DataFrame
    perturbed_items: pd.DataFrame
    mining: pd.DataFrame
    consistency: pd.DataFrame
    depth: int
    seconds: dict[str, float]

    def preset(self, name: str) -> pd.DataFrame:
        """Return the rows of ``alignment`` that a protocol reads, its metrics in its order.

        Parameters
        ----------
        name
            A key of :data:`alignaudit.core.specification.PRESETS`.

        Raises
        ------
        UsageError
            If there is no such preset.
        """
        chosen = _preset(name)
        frame = self.alignment
        keep = frame["layer"].isin(chosen.layers(self.depth)) & frame["pooling"].isin(chosen.poolings)
        keep &= frame["direction"].isin(chosen.directions)
        if chosen.metrics:
            keep &= frame["metric"].isin(chosen.metrics)
        if chosen.centred is not None:
            keep &= frame["centred"] == chosen.centred
        order = {metric: place for place, metric in enumerate(chosen.metrics or METRICS)}
        asked = {language: place for place, language in enumerate(frame["language"].unique())}
        found = frame[keep].assign(
            turn=frame.loc[keep, "language"].map(asked), place=frame.loc[keep, "metric"].map(order)
        )
        by = ["turn", "layer", "pooling", "centred", "place"]
        return found.sort_values(by, kind="stable").drop(columns=["turn", "place"]).reset_index(drop=True)


def _preset(name: str) -> Specification:
    if name not in PRESETS:
        raise UsageError(f'unknown preset "{name}".', where="--preset", hint=did_you_mean(name, PRESETS))
    return PRESETS[name]


def measured_languages(data: str | Path, languages: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the codes of the languages that :func:`measure` would measure, in its order.

    Parameters
    ----------
    data
        Folder of parallel text, mining sets or questions.
    languages
        ISO 639-3 or 639-1 codes; all of the folder's by default.

    Raises
    ------
    DataError
        If the folder holds no parallel text or lacks a language.
    """
    folder = Path(data)
    if is_mining_folder(folder):
        known = mining_languages(folder)
    elif is_bmlama_folder(folder):
        known = tuple(sorted(path.stem for path in folder.glob("*.tsv")))
    else:
        known = parallel_languages(folder)
    return match_languages(languages, known, str(folder))


def measure(
    encoder: str | Path,
    data: str | Path,
    *,
    languages: Sequence[str] | None = None,
    presets: Sequence[str] = ("all",),
    settings: Measures | None = None,
    device: str = "auto",
    limit: int | None = None,
    reference: str | Path | None = None,
    keep_embeddings: str | Path | None = None,
    precision: Literal["float16", "float32"] = "float32",
    lexicon: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Measurement:
    """Measure the alignment of any encoder on any folder of parallel text, without a study.

    Parameters
    ----------
    encoder
        Folder, Hub name or ``package:`` name.
    data
        Folder of parallel text in one of the layouts of
        :func:`alignaudit.experiment.parallel.parallel_languages`, of mining sets as BUCC has
        them, or of questions as BMLAMA has them.
    languages
        ISO 639-3 or 639-1 codes; all of the folder's by default.
    presets
        Keys of :data:`alignaudit.core.specification.PRESETS`: only layers and poolings that one of
        them reads are measured.
    settings
        k of the margin, pool size, perturbations, lengths and batch size. Its poolings count only
        where they are not the default.
    device
        ``auto``, ``cpu`` or ``cuda``.
    limit
        Use only the first so many pairs of each language.
    reference
        Another encoder, for example the pretrained one: how far representations have moved from it
        is measured at the primary layer.
    keep_embeddings
        Folder for the sentence vectors, one safetensors file per language.
    precision
        Of those vectors on disk.
    lexicon
        Folder of bilingual lexicons, for code-switching only, see
        :func:`alignaudit.experiment.lexicon.read_lexicons`.
    progress
        Called with each language's code when it is done.

    Returns
    -------
    Measurement

    Raises
    ------
    DataError
        If the folder, a language or a file is not as it should be.
    SetupError
        If the encoder cannot be loaded or there is no such device.
    StudyError
        If a perturbation is unknown.
    UsageError
        If a preset is unknown, or an option needs sentence pairs and the folder holds none.
    """
    chosen = [_preset(name) for name in presets]
    check_perturbations((settings or Measures()).perturbations, lexicons=lexicon is not None)
    codes = measured_languages(data, languages)
    mining, questions = is_mining_folder(Path(data)), is_bmlama_folder(Path(data))
    if mining or questions:
        _refuse_without_pairs(settings, limit, reference, keep_embeddings)
    place = torch.device(find_machine(device, 1).devices[0])
    none = pd.DataFrame()
    if questions:
        size = (settings or Measures()).batch_size
        consistency, seconds = measure_knowledge(
            str(encoder), Path(data), codes, batch_size=size, device=place, progress=progress
        )
        depth = int(load_config(str(encoder)).num_hidden_layers)
        return Measurement(none, none, none, none, none, consistency, depth, seconds)
    model, tokenizer = load_encoder(str(encoder)).to(place), load_tokenizer(str(encoder))
    depth = block_count(model)
    used = settings or Measures()
    if used.poolings == Measures().poolings:
        needed = {pooling for preset in chosen for pooling in preset.poolings}
        used = used.model_copy(update={"poolings": tuple(p for p in POOLINGS if p in needed)})
    layers = sorted({layer for preset in chosen for layer in preset.layers(depth)})
    if mining:
        mined, seconds = mine_encoder(model, tokenizer, Path(data), codes, used, layers, place, progress)
        return Measurement(none, none, none, none, mined, none, depth, seconds)
    texts = [read_parallel(Path(data), code, limit) for code in codes]
    if used.perturbations or reference:
        layers = sorted({*layers, primary_layer(depth)})
    tables = measure_encoder(
        model,
        tokenizer,
        texts,
        used,
        device=place,
        layers=layers,
        reference=_reference(reference, texts, used, place) if reference else None,
        lexicons=read_lexicons(Path(lexicon), codes) if lexicon else None,
        recorder=EmbeddingFolder(Path(keep_embeddings), precision) if keep_embeddings else None,
        progress=progress,
    )
    return _measurement(tables, depth)


def _refuse_without_pairs(
    settings: Measures | None, limit: int | None, reference: object, keep_embeddings: object
) -> None:
    """Refuse what only pairs have, rather than ignore it."""
    asked = {
        "limit": limit,
        "reference": reference,
        "keep-embeddings": keep_embeddings,
        "perturb": settings and settings.perturbations,
    }
    for name, value in asked.items():
        if value:
            raise UsageError(
                "the folder holds no sentence pairs, which this option needs.",
                where=f"--{name}",
                hint="Leave it out, or give a folder of parallel text.",
            )


def _measurement(tables: AlignmentTables, depth: int) -> Measurement:
    return Measurement(
        tables.alignment,
        tables.items,
        tables.perturbed,
        tables.perturbed_items,
        pd.DataFrame(),
        pd.DataFrame(),
        depth,
        tables.seconds,
    )


def _reference(
    name: str | Path, texts: Sequence[ParallelText], settings: Measures, device: torch.device
) -> EncoderReference:
    model: nn.Module = load_encoder(str(name)).to(device)
    tokenizer: PreTrainedTokenizerBase = load_tokenizer(str(name))
    pooling = settings.poolings[0]
    one = settings.model_copy(update={"poolings": (pooling,)})
    layers = (primary_layer(block_count(model)),)
    source = SentenceEncoder.of(model, tokenizer, one, device=device, texts=texts, layers=layers)
    return EncoderReference(source, pooling)
