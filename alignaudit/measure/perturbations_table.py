"""The perturbations that there are, what they do, and the scripts that they are meant for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from alignaudit.measure.grapheme import SCRIPTS
from alignaudit.measure.perturbations_form import CASED_SCRIPTS, MARKED_SCRIPTS, POINTED_SCRIPTS

__all__ = ["PERTURBATIONS", "Perturbation"]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One way to change a sentence without changing what it says.

    Attributes
    ----------
    name
        What it is called in studies and tables.
    label
        What a sentence calls it.
    effect
        What it does, in a few words.
    scripts
        ISO 15924 codes of the scripts that it is meant for.
    targets_error_rate
        Whether severity is the wanted character error rate; otherwise it is the share of the places
        that are changed, and 1, all of them, is the usual value.
    places
        What it can change, to end a sentence that begins "5 of its 90 ...".
    elsewhere
        Why it changes little in other scripts.
    """

    name: str
    label: str
    effect: str
    scripts: tuple[str, ...]
    targets_error_rate: bool
    places: str
    elsewhere: str = ""


_ALL = (
    Perturbation(
        name="typos",
        label="misspelling",
        effect="letters change places, vanish, come twice or are mistaken",
        scripts=SCRIPTS,
        targets_error_rate=True,
        places="clusters are letters",
    ),
    Perturbation(
        name="lower_casing",
        label="lower-casing",
        effect="words lose their capitals",
        scripts=CASED_SCRIPTS,
        targets_error_rate=False,
        places="words have a capital letter",
        elsewhere="its script has no case",
    ),
    Perturbation(
        name="mark_stripping",
        label="mark stripping",
        effect="letters lose their accents and other marks",
        scripts=MARKED_SCRIPTS,
        targets_error_rate=False,
        places="clusters have marks",
        elsewhere="its script has no marks of this kind",
    ),
    Perturbation(
        name="point_stripping",
        label="point stripping",
        effect="letters lose their vowel signs and other points",
        scripts=POINTED_SCRIPTS,
        targets_error_rate=False,
        places="clusters have points",
        elsewhere="its script has no points",
    ),
    Perturbation(
        name="token_dropout",
        label="token dropout",
        effect="words are left out, or clusters where no blanks set words apart",
        scripts=SCRIPTS,
        targets_error_rate=True,
        places="tokens can be left out",
    ),
    Perturbation(
        name="code_switching",
        label="code-switching",
        effect="words give way to English ones",
        scripts=SCRIPTS,
        targets_error_rate=False,
        places="words are in the lexicon",
    ),
)

PERTURBATIONS: Mapping[str, Perturbation] = MappingProxyType({each.name: each for each in _ALL})
"""The perturbations by name."""
