"""Extracted answers in the form in which the official evaluations of question answering compare them.

Answers are lower-cased and lose punctuation and articles before they are compared. What counts as
punctuation, as an article and as a word differs between SQuAD and MLQA. Both rules work on code
points as they come: nothing is brought to a Unicode normal form, so ``ä`` as one and as two code
points are different answers.
"""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Literal, TypeAlias

from alignaudit.errors import DataError, UsageError, did_you_mean

__all__ = ["MLQA_LANGUAGES", "AnswerScheme", "normalised_answer"]

AnswerScheme: TypeAlias = Literal["squad", "mlqa"]

_ENGLISH_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)

_MLQA_ARTICLES = {
    "ar": re.compile("ال"),  # wherever it stands, inside words too
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "zh": None,
}
_CHINESE_CHARACTER = re.compile("([\u4e00-\u9fa5])")

MLQA_LANGUAGES = tuple(_MLQA_ARTICLES)
"""Languages that MLQA has rules for."""


def normalised_answer(text: str, scheme: AnswerScheme = "squad", language: str = "en") -> str:
    """Return an answer in the form in which an evaluation compares it.

    Parameters
    ----------
    text
        An answer.
    scheme
        ``squad``: ASCII punctuation and English articles go, whatever the language of the answer;
        so XTREME scores XQuAD and TyDi QA. ``mlqa``: all punctuation of Unicode and ASCII goes, and
        the articles of the answer's language; Chinese characters become words of their own.
    language
        Language of the answer, one of :data:`MLQA_LANGUAGES`; ``squad`` does not look at it.

    Returns
    -------
    str
        Lower case, single blanks between words; empty where nothing else is left. Splitting it at
        blanks gives the words that F1 counts.

    Raises
    ------
    DataError
        Where MLQA has no rules for the language.
    UsageError
        Where the scheme is unknown.

    References
    ----------
    Rajpurkar et al. (2016), SQuAD, section 6.1; Lewis et al. (2020), MLQA. As in
    ``evaluate_squad.py`` and ``evaluate_mlqa.py`` of google-research/xtreme, ``third_party``,
    commit 838c13b.

    Examples
    --------
    >>> normalised_answer("The  U.S.  Army!")
    'us army'
    >>> normalised_answer("„Die Zauberflöte“", "mlqa", "de")
    'zauberflöte'
    >>> normalised_answer("iPhone 6手机", "mlqa", "zh")
    'iphone 6 手 机'
    """
    if scheme == "squad":
        return " ".join(
            _ENGLISH_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_ASCII_PUNCTUATION)).split()
        )
    if scheme != "mlqa":
        raise UsageError(f'Unknown scheme "{scheme}" of answers.', hint="Known: mlqa, squad.")
    if language not in _MLQA_ARTICLES:
        raise DataError(
            f'MLQA has no rules for answers in "{language}".', hint=did_you_mean(language, MLQA_LANGUAGES)
        )
    bare = "".join(character for character in text.lower() if not _is_punctuation(character))
    articles = _MLQA_ARTICLES[language]
    if articles:
        bare = articles.sub(" ", bare)
    if language == "zh":
        bare = _CHINESE_CHARACTER.sub(r" \1 ", bare)
    return " ".join(bare.split())


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
