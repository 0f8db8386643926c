"""The languages: where each stands in word order, script, morphology and lexical distance.

Word order and script are crossed, so that distance from English is not one confounded axis:

=============  =================  ==============
word order     script of English  another script
=============  =================  ==============
of English     dv, fv             rv, cv
another        sv, tv, wv         gv, av
=============  =================  ==============

``dv`` and ``sv`` are declared alike but for word order (which brings postpositions and question
words in place with it); their words are drawn independently. Lexical distance varies within the
cells (``rv`` is near and ``cv`` far, ``sv`` near and ``tv``, ``wv`` far), but no near language has
another order *and* another script.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["LANGUAGES", "SCRIPTS", "WorldLanguage"]

SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "latin": string.ascii_lowercase,
        "cyrillic": "абцдефгхижклмнопщрстувшыюз",
        "greek": "αβχδεφγηιξκλμνοπϟρστυϝωψθζ",
        "arabic": "ابثدعفغهيجكلمنحخقرستصضوشطز",
        "georgian": "აბცდეფგჰიჯკლმნოპქრსტუვწხყზ",
    }
)
"""The 26 letters that stand for a to z in each script."""


@dataclass(frozen=True, slots=True)
class WorldLanguage:
    """One language, as typology describes it.

    Attributes
    ----------
    code, name
        Short code, as in tables, and a readable name.
    word_order
        Order of subject, verb and object. SOV languages have postpositions, the others prepositions.
    adjective_order
        ``AN``: the adjective precedes its noun; ``NA``: it follows.
    script
        Key of :data:`SCRIPTS`.
    morphology
        Plural and tense as suffixes, or as words of their own (``particles``); the suffix languages
        may mark the object as well (``suffix+accusative``).
    cognate_share
        Probability that a concept's word descends from the English one.
    sound_changes
        Number of rewriting rules between the ancestor of a word and the word.
    family
        Source of the words that are not cognates of English: ``west`` or ``east``, none for English.
    time_first
        Whether the adverb of time opens the sentence.
    """

    code: str
    name: str
    word_order: Literal["SVO", "SOV", "VSO"]
    adjective_order: Literal["AN", "NA"]
    script: str
    morphology: Literal["suffix", "suffix+accusative", "particles"]
    cognate_share: float
    sound_changes: int
    family: Literal["west", "east", "none"]
    time_first: bool = False

    @property
    def order_relation(self) -> Literal["same_order", "other_order"]:
        """Return how the word order relates to that of English, a factor for analyses."""
        return "same_order" if self.word_order == "SVO" else "other_order"

    @property
    def script_relation(self) -> Literal["same_script", "other_script"]:
        """Return how the script relates to that of English, a factor for analyses."""
        return "same_script" if self.script == "latin" else "other_script"

    @property
    def lexicon_relation(self) -> Literal["near_lexicon", "far_lexicon"]:
        """Return whether at least 40 % of the words are expected to be cognates of English ones."""
        return "near_lexicon" if self.cognate_share >= 0.4 else "far_lexicon"


LANGUAGES: tuple[WorldLanguage, ...] = (
    WorldLanguage("en", "English", "SVO", "AN", "latin", "suffix", 1.0, 0, "none"),
    WorldLanguage("dv", "Davish", "SVO", "AN", "latin", "suffix", 0.70, 2, "west"),
    WorldLanguage("fv", "Favish", "SVO", "NA", "latin", "suffix", 0.45, 4, "west"),
    WorldLanguage("rv", "Ravish", "SVO", "AN", "cyrillic", "suffix+accusative", 0.40, 4, "west"),
    WorldLanguage("cv", "Cavish", "SVO", "AN", "georgian", "particles", 0.15, 8, "east"),
    WorldLanguage("sv", "Savish", "SOV", "AN", "latin", "suffix", 0.70, 2, "west"),
    WorldLanguage(
        "tv", "Tavish", "SOV", "AN", "latin", "suffix+accusative", 0.30, 6, "east", time_first=True
    ),
    WorldLanguage("wv", "Wavish", "VSO", "NA", "latin", "particles", 0.15, 8, "east"),
    WorldLanguage("gv", "Gavish", "SOV", "AN", "greek", "suffix+accusative", 0.30, 6, "east"),
    WorldLanguage("av", "Avish", "VSO", "NA", "arabic", "particles", 0.15, 8, "east"),
)
"""English, then the foreign languages: English order, Latin script and other scripts, then the rest."""
