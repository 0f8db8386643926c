"""Mining of translation pairs with an encoder, as BUCC asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.study import Measures
from alignaudit.errors import DataError
from alignaudit.experiment.encode import SentenceEncoder, as_array
from alignaudit.experiment.mining import distinct_sentences, gold_rows, read_mining
from alignaudit.measure.arrays import Array, IntArray
from alignaudit.measure.margin import Margin
from alignaudit.measure.mining import mine, mining_result
from alignaudit.measure.retrieval import normalise

__all__ = ["mine_encoder"]

_SCORINGS: tuple[tuple[bool, Margin], ...] = ((False, "ratio"), (True, "distance"))


def mine_encoder(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    languages: Sequence[str],
    settings: Measures,
    layers: Sequence[int],
    device: torch.device,
    progress: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Mine translation pairs with an encoder; the threshold is tuned on the development split.

    Parameters
    ----------
    encoder, tokenizer
        Any Hugging Face encoder and its tokenizer.
    folder, languages
        Mining sets, see :mod:`alignaudit.experiment.mining`.
    settings
        Poolings, k of the margin, lengths and batch size.
    layers
        Layers to mine with, 0 being the embeddings.
    device
        Where the forward passes run.
    progress
        Called with each language's code when it is done.

    Returns
    -------
    rows : pandas.DataFrame
        One row per language × layer × pooling × margin: ``f1``, ``precision``, ``recall`` (shares)
        at the ``threshold`` tuned on the development split, and ``oracle_f1`` at the best one for
        the test split itself; ``gold`` pairs of the test split; ``note``, why the numbers are
        missing where the ratio meets a neighbourhood that is not positive. The ratio is taken on
        raw vectors, as XTREME does, the distance on centred ones.
    seconds : dict
        Wall time by part.

    Raises
    ------
    DataError
        If a file is not as it should be.
    """
    begun = time.perf_counter()
    source = SentenceEncoder.of(encoder, tokenizer, settings, device=device, layers=layers)
    rows: list[dict[str, Any]] = []
    for language in languages:
        sets = [distinct_sentences(read_mining(folder, language, split)) for split in ("dev", "test")]
        vectors = [(source.vectors(one.foreign), source.vectors(one.english)) for one in sets]
        for pooling in settings.poolings:
            for place, layer in enumerate(layers):
                sides = [(as_array(x[pooling][place]), as_array(y[pooling][place])) for x, y in vectors]
                for centred, kind in _SCORINGS:
                    key = {"language": language, "layer": layer, "pooling": pooling, "centred": centred}
                    gold = [gold_rows(one) for one in sets]
                    scores = _mined(sides, gold, centred, kind, settings.neighbours)
                    rows.append({**key, "margin": kind, **scores})
        if progress:
            progress(language)
    return pd.DataFrame(rows), {
        "encoder": source.seconds,
        "measures": time.perf_counter() - begun - source.seconds,
    }


def _mined(
    sides: Sequence[tuple[Array, Array]], gold: Sequence[IntArray], centred: bool, kind: Margin, k: int
) -> dict[str, Any]:
    """Mine both splits, and score the test split with the threshold of the other."""
    numbers = dict.fromkeys(("f1", "precision", "recall", "threshold", "oracle_f1"), float("nan"))
    try:
        development, test = (
            mine(normalise(x, centred=centred), normalise(y, centred=centred), k, kind) for x, y in sides
        )
    except DataError as error:
        return {**numbers, "gold": len(gold[1]), "note": error.what}
    result = mining_result(development, gold[0], test, gold[1])
    return {
        "f1": result.test.f1,
        "precision": result.test.precision,
        "recall": result.test.recall,
        "threshold": result.development.threshold,
        "oracle_f1": result.oracle.f1,
        "gold": result.test.gold,
        "note": "",
    }
