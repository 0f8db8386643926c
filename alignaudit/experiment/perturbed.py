"""Retrieval with perturbed foreign sentences: the English side stays clean, all runs see the same text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.core.study import Measures
from alignaudit.errors import StudyError, did_you_mean
from alignaudit.experiment.cell import Pairs, retrieval_rows
from alignaudit.experiment.encode import SentenceEncoder, as_array
from alignaudit.experiment.lexicon import Lexicon
from alignaudit.measure.arrays import Array
from alignaudit.measure.perturb import PerturbedText, perturb_language
from alignaudit.measure.perturbations_table import PERTURBATIONS
from alignaudit.measure.retrieval import Retrieval, normalise, retrieve

__all__ = ["PerturbedTables", "check_perturbations", "measure_perturbed"]

_SEED = 0  # of the perturbed text: one for all studies, so that their numbers compare


@dataclass(frozen=True, slots=True)
class PerturbedTables:
    """Retrieval with perturbed sentences of one language.

    Attributes
    ----------
    metrics
        One row per perturbation × severity × direction × centred × metric, with ``value``,
        ``standard_error``, ``n``, ``note``, and the reach: ``character_error_rate`` realised,
        ``changed_share`` of the sentences, and ``reach_note`` where there is none to speak of.
    items
        One row per perturbation × severity × sentence, centred: its realised error rate and
        whether it was right, in both directions.
    """

    metrics: pd.DataFrame
    items: pd.DataFrame


def check_perturbations(names: Iterable[str], *, lexicons: bool) -> None:
    """Refuse perturbations that there are not, or that need what a study does not hold.

    Parameters
    ----------
    names
        As in ``measure.perturbations``.
    lexicons
        Whether there are lexicons to switch words with.

    Raises
    ------
    StudyError
        Naming the first that cannot be used.
    """
    for name in names:
        if name not in PERTURBATIONS:
            raise StudyError(
                f'there is no perturbation "{name}".',
                where="measure.perturbations",
                hint=did_you_mean(name, PERTURBATIONS),
            )
        if name == "code_switching" and not lexicons:
            raise StudyError(
                "code-switching needs a lexicon.",
                where="measure.perturbations",
                hint="Name a folder of them: data.lexicons in a study, --lexicon for alignaudit measure.",
            )


def measure_perturbed(
    text: ParallelText,
    source: SentenceEncoder,
    place: int,
    english: Array,
    pairs: Pairs,
    key: dict[str, Any],
    settings: Measures,
    lexicon: Lexicon | None = None,
) -> PerturbedTables:
    """Measure one language under every perturbation and severity of the settings.

    Parameters
    ----------
    text
        Sentence pairs; the foreign side is perturbed.
    source
        The encoder.
    place
        Which of its layers to read.
    english
        Shape [n, d]: vectors of the clean English side at that layer.
    pairs
        The pairs' documents and texts.
    key
        Columns that say which language, layer and pooling this is.
    settings
        Perturbations and severities, k and pool size.
    lexicon
        English words of each foreign word; for code-switching only.

    Returns
    -------
    PerturbedTables
    """
    rows: list[dict[str, Any]] = []
    items: list[pd.DataFrame] = []
    for name, severities in settings.perturbations.items():
        for severity in dict.fromkeys(severities):
            noisy = perturb_language(
                text.foreign, text.language, name, severity, _SEED, ids=range(pairs.n), lexicon=lexicon
            )
            seen = Pairs.of(replace(text, foreign=noisy.sentences))
            own = {**key, "perturbation": name, "severity": severity}
            found = _retrieve(noisy, source, place, english, key["pooling"], settings)
            for centred, retrieval in found.items():
                rows += [
                    {**own, **row, "n": pairs.n, **_reach(noisy)}
                    for row in retrieval_rows(retrieval, seen, settings.pool, centred=centred)
                ]
            items.append(_items(found[True], noisy, own))
    whole = pd.concat(items, ignore_index=True) if items else pd.DataFrame()
    return PerturbedTables(pd.DataFrame(rows), whole)


def _retrieve(
    noisy: PerturbedText,
    source: SentenceEncoder,
    place: int,
    english: Array,
    pooling: Any,
    settings: Measures,
) -> dict[bool, Retrieval]:
    x = as_array(source.vectors(noisy.sentences)[pooling][place])
    return {
        centred: retrieve(
            normalise(x, centred=centred), normalise(english, centred=centred), k=settings.neighbours
        )
        for centred in (False, True)
    }


def _reach(noisy: PerturbedText) -> dict[str, Any]:
    return {
        "character_error_rate": noisy.reach.character_error_rate,
        "changed_share": noisy.reach.changed,
        "reach_note": noisy.reach.note,
    }


def _items(found: Retrieval, noisy: PerturbedText, key: dict[str, Any]) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "item": np.arange(len(noisy.sentences)),
        "character_error_rate": noisy.character_error_rate,
    }
    for direction in DIRECTIONS:
        columns[f"{direction}_correct"] = getattr(found, direction).correct
    return pd.DataFrame({**key, **columns})
