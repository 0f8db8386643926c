"""Normalised answers against what the official scripts give for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.answers import MLQA_LANGUAGES, normalised_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Quick, brown fox.", "quick brown fox"),
        ("an apple a day", "apple day"),
        ("Anathema theatre", "anathema theatre"),  # articles only as words
        ("U.S.A.", "usa"),
        ("the-end", "theend"),  # punctuation goes first
        ("„Ein“ Straße", "„ein“ straße"),  # only ASCII punctuation, lower case without folding
        ("a", ""),
        ("\uff08a\uff09类", "\uff08 \uff09类"),  # an article between other marks is a word
        ("a\u0308 b", "\u0308 b"),  # and so is one that carries a combining mark
        ("AN \u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"),  # final sigma
        ("दिल्ली।", "दिल्ली।"),
    ],
)
def test_answers_are_normalised_as_in_squad(text, expected):
    """Each value by third_party/evaluate_squad.py of google-research/xtreme 838c13b too."""
    assert normalised_answer(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "The Theory of a Game", "theory of game"),
        ("en", "$5 + ¢", "5 ¢"),  # ASCII symbols go, others stay
        ("en", "“Hello” – world…", "hello world"),
        ("es", "los unos y las otras", "y otras"),
        ("es", "elección de la nación", "elección de nación"),
        ("es", "un la\u0300 la", "\u0300"),
        ("de", "Einer Straße, dem STRASSE", "straße strasse"),
        ("de", "keine Ahnung", "keine ahnung"),
        ("ar", "القاهرة", "قاهرة"),
        ("ar", "في العالم العربي", "في ع م عربي"),  # the article inside a word splits it
        ("ar", "نعم، ربما؟", "نعم ربما"),
        ("ar", "مُحَمَّد", "مُحَمَّد"),
        ("hi", "१२ मार्च, २००१ ॥", "१२ मार्च २००१"),
        ("hi", "the राज्य", "the राज्य"),
        ("vi", "Hà Nội là thủ đô", "hà nội thủ đô"),
        ("vi", "la\u0300 ai", "la\u0300 ai"),  # decomposed, not the article
        ("vi", "những cái ghế", "ghế"),
        ("zh", "iPhone 6手机", "iphone 6 手 机"),
        ("zh", "2010年\uff0c10月", "2010 年 10 月"),
        ("zh", "\uff11\uff12\uff13人", "\uff11\uff12\uff13 人"),
        ("zh", "\u3400字\U00020000字", "\u3400 字 \U00020000 字"),
        ("zh", "\u4e00\u9fa5\u9fa6\u9fa7", "\u4e00 \u9fa5 \u9fa6\u9fa7"),  # the range ends at U+9FA5
        ("zh", "《。》", ""),
    ],
)
def test_answers_are_normalised_as_in_mlqa(language, text, expected):
    """Each value by third_party/evaluate_mlqa.py of google-research/xtreme 838c13b too."""
    assert normalised_answer(text, "mlqa", language) == expected


def test_mlqa_has_seven_languages():
    assert MLQA_LANGUAGES == ("ar", "de", "en", "es", "hi", "vi", "zh")


def test_squad_does_not_look_at_the_language():
    assert normalised_answer("die the", "squad", "de") == "die"


@given(st.text(), st.sampled_from(MLQA_LANGUAGES))
def test_words_are_separated_by_single_blanks_and_nothing_is_capital(text, language):
    for found in (normalised_answer(text), normalised_answer(text, "mlqa", language)):
        assert found == " ".join(found.split())
        assert found == found.lower()


def test_a_language_without_rules_is_refused():
    with pytest.raises(DataError, match=r'no rules for answers in "ru".*Known: ar, de, en, es, hi, vi, zh'):
        normalised_answer("да", "mlqa", "ru")


def test_an_unknown_scheme_is_refused():
    with pytest.raises(UsageError, match=r'Unknown scheme "squad2".*Known: mlqa, squad'):
        normalised_answer("x", "squad2")
