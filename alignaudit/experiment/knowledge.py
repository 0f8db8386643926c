"""Consistency of a masked language model's knowledge between languages: RankC on BMLAMA questions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from transformers import AutoModelForMaskedLM

from alignaudit.errors import SetupError
from alignaudit.experiment.bmlama import BmlamaLanguage, read_bmlama_folder
from alignaudit.experiment.candidates import CandidateScores, candidate_scores
from alignaudit.experiment.model import load_config, load_pretrained, load_tokenizer
from alignaudit.measure.consistency import rank_consistency_matrix

__all__ = ["load_masked_language_model", "measure_knowledge"]

_WITHOUT_BLANKS = ("zh", "cmn", "ja", "jpn", "th", "tha")  # prompts have no blank before the answer


def load_masked_language_model(name: str) -> nn.Module:
    """Return a pretrained encoder with its masked-language-model head, float32, in evaluation mode.

    Parameters
    ----------
    name
        Folder, Hub name, or ``package:`` name.

    Raises
    ------
    SetupError
        If it cannot be loaded, or the checkpoint has no such head.
    """
    model, missing = load_pretrained(AutoModelForMaskedLM, name, load_config(name))
    if missing:
        raise SetupError(
            f"has no head for masked language modelling: {min(missing)} is missing.",
            where=f"checkpoint {name}",
            hint="Consistency of knowledge needs the head that the encoder was pretrained with.",
        )
    return model


def measure_knowledge(
    name: str,
    folder: Path,
    languages: Sequence[str],
    *,
    batch_size: int = 64,
    device: torch.device | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Measure how consistently a model ranks the same candidate answers in different languages.

    Parameters
    ----------
    name
        Folder, Hub name, or ``package:`` name of a masked language model.
    folder, languages
        Questions, see :func:`alignaudit.experiment.bmlama.read_bmlama_folder`.
    batch_size, device
        For the forward passes.
    progress
        Called with each language's code when it is done.

    Returns
    -------
    rows : pandas.DataFrame
        One row per two languages: ``rankc`` as published (softmax weights) and
        ``rankc_corrected`` (0 for unrelated orders), each with its standard error over ``n``
        questions that have two candidates or more; ``tied``, the larger of the two languages'
        numbers of questions in which two candidates have equal scores; and ``accuracy`` and
        ``other_accuracy``, the shares of questions whose first candidate is an answer.
    seconds : dict
        Wall time by part.

    Raises
    ------
    DataError
        If a file is not as it should be, or the languages do not correspond.
    SetupError
        If the model cannot be loaded or has no head for masked language modelling.
    """
    begun = time.perf_counter()
    questions = read_bmlama_folder(folder, languages)
    model, tokenizer = load_masked_language_model(name).to(device or "cpu"), load_tokenizer(name)
    scored: list[CandidateScores] = []
    start = time.perf_counter()
    for one in questions:
        drop = one.language in _WITHOUT_BLANKS
        rows = one.rows
        scored.append(
            candidate_scores(
                model, tokenizer, rows, drop_blank_piece=drop, batch_size=batch_size, device=device
            )
        )
        if progress:
            progress(one.language)
    encoder = time.perf_counter() - start
    matrix = rank_consistency_matrix(np.stack([one.scores for one in scored]), present=scored[0].present)
    right = [_accuracy(one, scores) for one, scores in zip(questions, scored, strict=True)]
    first, second = np.triu_indices(len(questions), 1)
    codes, shares = np.array([one.language for one in questions]), np.array(right)
    columns: dict[str, Any] = {
        "language": codes[first],
        "other_language": codes[second],
        "rankc": matrix.value[first, second],
        "standard_error": matrix.standard_error[first, second],
        "rankc_corrected": matrix.corrected[first, second],
        "corrected_standard_error": matrix.corrected_standard_error[first, second],
        "n": matrix.informative,
        "tied": np.maximum(matrix.tied[first], matrix.tied[second]),
        "accuracy": shares[first],
        "other_accuracy": shares[second],
    }
    seconds = {"encoder": encoder, "measures": time.perf_counter() - begun - encoder}
    return pd.DataFrame(columns), seconds


def _accuracy(language: BmlamaLanguage, scored: CandidateScores) -> float:
    """Return the share of questions, of those whose answer is a candidate, with an answer in first place."""
    best = np.where(scored.present, scored.scores, -np.inf).argmax(axis=1)
    hits = [
        int(place) in row.answer_positions
        for row, place in zip(language.rows, best, strict=True)
        if row.answer_positions
    ]
    return float(np.mean(hits)) if hits else float("nan")
