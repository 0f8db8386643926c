"""XTREME's retrieval tasks, scored as the benchmark scores them, from an encoder without fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.specification import PRESETS, primary_layer
from alignaudit.core.study import Measures
from alignaudit.experiment.mine import mine_encoder
from alignaudit.experiment.mining import mining_languages

__all__ = ["bucc_scores", "tatoeba_scores"]


def _row(task: str, language: str, metric: str, value: float, n: int) -> dict[str, Any]:
    return {
        "task": task,
        "role": "target",
        "update": 0,
        "split": "test",
        "language": language,
        "metric": metric,
        "value": value,
        "n": n,
    }


def tatoeba_scores(alignment: pd.DataFrame, depth: int) -> list[dict[str, Any]]:
    """Return rows of the scores table: Tatoeba's accuracy as XTREME reads it off an encoder.

    Parameters
    ----------
    alignment
        Measurements of the encoder.
    depth
        Number of blocks of the encoder.

    Returns
    -------
    list of dict
        One row per language: accuracy as a fraction, English queries, raw cosine, mean over all
        tokens at block 14 of 24 (that share of the depth for other encoders).

    References
    ----------
    Hu et al. (2020), XTREME, section 3; the direction, layer and pooling are those of its code.
    """
    protocol = PRESETS["xtreme"]
    rows = alignment[
        (alignment["layer"] == primary_layer(depth))
        & alignment["pooling"].isin(protocol.poolings)
        & alignment["direction"].isin(protocol.directions)
        & (alignment["centred"] == protocol.centred)
        & alignment["metric"].isin(protocol.metrics)
    ]
    return [
        _row("tatoeba", row["language"], "accuracy", row["value"], row["n"])
        for row in rows.to_dict("records")
    ]


def bucc_scores(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    settings: Measures,
    depth: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Return rows of the scores table: F1 of the pairs mined from BUCC's sentences.

    The margin is the ratio, its threshold is tuned on the development split; ``f1_oracle`` stands
    beside it, tuned on the test split itself, as X-STILTs' code does.

    Parameters
    ----------
    encoder, tokenizer, device
        What encodes, and where.
    folder
        Mining sets, see :mod:`alignaudit.experiment.mining`.
    settings
        Neighbours, lengths and batch size.
    depth
        Number of blocks of the encoder; the layer is chosen as for Tatoeba.

    Raises
    ------
    DataError
        If a file is not as it should be.

    References
    ----------
    Hu et al. (2020), XTREME, section 3; Artetxe and Schwenk (2019) for the margin.
    """
    once = settings.model_copy(update={"poolings": PRESETS["xtreme"].poolings})
    found, _ = mine_encoder(
        encoder, tokenizer, folder, mining_languages(folder), once, (primary_layer(depth),), device
    )
    ratio = found[found["margin"] == "ratio"].to_dict("records")
    return [
        _row("bucc2018", row["language"], metric, row[column], row["gold"])
        for row in ratio
        for metric, column in (("f1", "f1"), ("f1_oracle", "oracle_f1"))
    ]
