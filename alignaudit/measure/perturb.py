"""Perturbations of known strength and reach: the same text for every run, schedule and subset.

Every sentence draws from a random stream of its own, named by the perturbation, the severity, the
language and the sentence's identity. So its perturbed form depends on nothing else: not on the
model, on other sentences, or on their order. Two severities of one sentence are independent draws;
the edits of the smaller are not among those of the larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignaudit.core.language import languages
from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError, did_you_mean
from alignaudit.measure.arrays import FloatArray
from alignaudit.measure.edit_distance import character_error_rate
from alignaudit.measure.grapheme import main_script
from alignaudit.measure.perturbations_draw import Edited
from alignaudit.measure.perturbations_form import (
    lower_case,
    strip_marks,
    strip_points,
)
from alignaudit.measure.perturbations_table import PERTURBATIONS, Perturbation
from alignaudit.measure.perturbations_typo import ClusterFrequencies, typos
from alignaudit.measure.perturbations_word import drop_tokens, lexicon_of, switch_code

__all__ = ["PERTURBATIONS", "Perturbation", "PerturbedText", "Reach", "perturb_language"]

_NEARLY_UNTOUCHED = 0.005


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a perturbation got into one language.

    Attributes
    ----------
    sentences
        Number of sentences.
    changed
        Share of the sentences that differ from their clean form, in [0, 1].
    character_error_rate
        Mean over the sentences of the realised rate.
    deviation
        ``character_error_rate`` less the wanted one; NaN where severity is not a rate. Rounding to
        whole edits alone gives it a standard deviation of up to 0.5 / (clusters * sqrt(sentences)).
    units
        Clusters, words or tokens of all sentences, as the perturbation counts them.
    places
        How many of those it could have changed: for code-switching, the words with an entry.
    note
        What the reader must know where little or nothing was changed; empty otherwise.
    """

    sentences: int
    changed: float
    character_error_rate: float
    deviation: float
    units: int
    places: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class PerturbedText:
    """The sentences of one language after a perturbation.

    Attributes
    ----------
    sentences
        n sentences, in the order given; none is empty.
    character_error_rate
        Shape [n], float64: realised rate of each, as
        :func:`alignaudit.measure.edit_distance.character_error_rate` has it.
    reach
        Their summary.
    """

    sentences: tuple[str, ...]
    character_error_rate: FloatArray
    reach: Reach


def perturb_language(
    sentences: Sequence[str],
    language: str,
    perturbation: str,
    severity: float,
    seed: int,
    ids: Sequence[str | int] | None = None,
    lexicon: Mapping[str, str | Sequence[str]] | None = None,
    *,
    frequencies: ClusterFrequencies | None = None,
) -> PerturbedText:
    """Perturb the sentences of one language, and say how far that reached.

    Parameters
    ----------
    sentences
        n sentences, none empty.
    language
        ISO 639-3 code, or ISO 639-1 for a language of ``resources/languages.csv``; a part of the
        sentence's identity. Scripts are read from the text.
    perturbation
        A key of :data:`PERTURBATIONS`.
    severity
        In [0, 1]: the wanted character error rate, or the share of what can be changed; 0 gives
        back the very same strings.
    seed
        Of the study, not of a run: all runs must see the same text.
    ids
        n identities, one for each sentence. None for the sentences themselves, so that equal
        sentences are perturbed alike.
    lexicon
        English words of each foreign word; read by code-switching only, which needs it.
    frequencies
        What typos draw substitutes from: pass the letter counts of a whole language to use them.
        None for the letters of the sentence itself, whatever other sentences there are.

    Returns
    -------
    PerturbedText
        Sentences, realised character error rates and reach.

    Raises
    ------
    UsageError
        Where the perturbation is unknown, the severity is outside [0, 1], or code-switching has no
        lexicon.
    DataError
        Where there is no sentence, one is empty, or ``ids`` are not one different id for each.

    Examples
    --------
    >>> perturb_language(["こんにちは"], "jpn", "lower_casing", 1, seed=1).reach.note
    'Lower-casing changes nothing in jpn: its script has no case.'
    """
    if perturbation not in PERTURBATIONS:
        raise UsageError(
            f'There is no perturbation "{perturbation}".', hint=did_you_mean(perturbation, PERTURBATIONS)
        )
    level = float(severity)
    if not 0 <= level <= 1:
        raise UsageError(f"Severity is a rate or share in [0, 1], not {severity}.", where=perturbation)
    code = _code(language)
    change = _change(perturbation, code, lexicon, frequencies)
    edited = [
        change(sentence, level, stream(seed, "perturbation", perturbation, repr(level), code, identity))
        for sentence, identity in zip(sentences, _identities(sentences, ids), strict=True)
    ]
    written = tuple(each.text for each in edited)
    rates = character_error_rate(sentences, written)
    return PerturbedText(
        written, rates, _reach(sentences, edited, rates, PERTURBATIONS[perturbation], code, level)
    )


def _change(
    perturbation: str,
    language: str,
    lexicon: Mapping[str, str | Sequence[str]] | None,
    frequencies: ClusterFrequencies | None,
) -> Callable[[str, float, np.random.Generator], Edited]:
    """Return what perturbs one sentence at a severity with a generator."""
    if perturbation == "code_switching":
        if lexicon is None:
            raise UsageError(
                "Code-switching needs a lexicon.", hint="Pass English words of each foreign word."
            )
        entries = lexicon_of(lexicon)
        return lambda sentence, level, generator: switch_code(sentence, level, generator, entries, language)
    if perturbation == "typos":
        return lambda sentence, level, generator: typos(sentence, level, generator, frequencies)
    if perturbation == "lower_casing":
        return lambda sentence, level, generator: lower_case(sentence, level, generator, language)
    return {"mark_stripping": strip_marks, "point_stripping": strip_points, "token_dropout": drop_tokens}[
        perturbation
    ]


def _code(language: str) -> str:
    """Return the ISO 639-3 code where the language is known, so that one language has one stream."""
    known = languages()
    if not language or language in known:
        return language
    return next((each.code for each in known.values() if each.short == language), language)


def _identities(sentences: Sequence[str], ids: Sequence[str | int] | None) -> list[str]:
    if not sentences or not all(sentences):
        raise DataError("A sentence is empty, or there is none.", hint="Leave out empty sentences.")
    if ids is None:
        return list(sentences)
    names = [str(each) for each in ids]
    if len(names) != len(sentences) or len(set(names)) < len(names):
        raise DataError(
            f"{len(sentences)} sentences have {len(set(names))} different ids among {len(names)}.",
            hint="Give each sentence an id of its own.",
        )
    return names


def _reach(
    sentences: Sequence[str],
    edited: Sequence[Edited],
    rates: FloatArray,
    perturbation: Perturbation,
    language: str,
    severity: float,
) -> Reach:
    n, rate = len(sentences), float(rates.mean())
    changed = sum(each.text != clean for each, clean in zip(edited, sentences, strict=True))
    places, units = sum(each.places for each in edited), sum(each.units for each in edited)
    script = main_script(sentences)
    reason = f"{places} of its {units} {perturbation.places}"
    if script and script not in perturbation.scripts:
        reason = perturbation.elsewhere
    elif places and severity < 1:
        reason += f", and severity {severity:g} asks for few of them"
    note = ""
    if severity > 0 and (reason == perturbation.elsewhere or changed <= _NEARLY_UNTOUCHED * n):
        extent = f"only {changed} of {n} sentences" if changed else "nothing"
        label = perturbation.label[0].upper() + perturbation.label[1:]
        note = f"{label} changes {extent} in {language}: {reason}."
    deviation = rate - severity if perturbation.targets_error_rate else math.nan
    return Reach(n, changed / n, rate, deviation, units, places, note)
