from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.measure.grapheme import (
    CONTINUOUS_SCRIPTS,
    SCRIPTS,
    clusters,
    letter_script,
    main_script,
    stay_apart,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("año", ["a", "ñ", "o"]),
        ("an\u0303o", ["a", "n\u0303", "o"]),
        ("हिन्दी", ["हि", "न्दी"]),
        ("น้ำ", ["น้ำ"]),
        ("가\u1100\u1161\u11a8", ["가", "\u1100\u1161\u11a8"]),
        ("می\u200cرود", ["م", "ی\u200c", "ر", "و", "د"]),
        ("👩‍👩‍👧🇸🇪🇳🇴", ["👩‍👩‍👧", "🇸🇪", "🇳🇴"]),
        ("\r\n", ["\r\n"]),
        ("", []),
    ],
)
def test_clusters_are_what_a_reader_counts(text, expected):
    assert clusters(text) == expected


@given(st.text())
def test_clusters_and_words_lose_nothing(text):
    assert "".join(clusters(text)) == text
    assert "" not in clusters(text)
    runs = words(text)
    assert [cluster for run in runs for cluster in run] == clusters(text)
    blank = [run[0].isspace() for run in runs]
    assert all(left != right for left, right in pairwise(blank))


NAMES = {
    "LATIN": "Latn",
    "GREEK": "Grek",
    "CYRILLIC": "Cyrl",
    "ARMENIAN": "Armn",
    "HEBREW": "Hebr",
    "ARABIC": "Arab",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "MALAYALAM": "Mlym",
    "THAI": "Thai",
    "LAO": "Laoo",
    "MYANMAR": "Mymr",
    "KHMER": "Khmr",
    "GEORGIAN": "Geor",
    "HANGUL": "Hang",
    "HIRAGANA": "Hira",
    "KATAKANA": "Kana",
    "ETHIOPIC": "Ethi",
    "CJK": "Hani",
}


def test_letters_have_the_script_of_their_unicode_name():
    """Oracle: names in Python's own tables. Modifier letters are left out: some are shared."""
    checked = dict.fromkeys(NAMES, 0)
    for code in range(0x10000):
        character = chr(code)
        block = unicodedata.name(character, "").split(" ")[0]
        if block in NAMES and unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo"):
            assert letter_script(character) == NAMES[block], unicodedata.name(character)
            checked[block] += 1
    assert all(checked.values()), checked


def test_what_is_no_letter_has_no_script():
    assert [letter_script(each) for each in ["7", "٣", ".", " ", "\u0301", "ー", "👩‍👩‍👧", "\n"]] == [""] * 8
    assert letter_script("々") == "Hani"
    assert letter_script("'a") == "Latn"  # the first letter counts


def test_scripts_are_told_apart_once():
    assert len(set(SCRIPTS)) == len(SCRIPTS)
    assert set(SCRIPTS) >= CONTINUOUS_SCRIPTS


def test_main_script_is_that_of_most_letters():
    assert main_script(["NHK は", "日本の放送局", "です"]) == "Hani"
    assert main_script(["Привет, Tom"]) == "Cyrl"
    assert main_script(["12.", "!"]) == ""
    assert main_script(["ба", "ab"]) == "Cyrl"  # level: the first in the alphabet


@pytest.mark.parametrize(
    ("left", "right", "apart"),
    [
        ("a", "b", True),
        ("a", "\u0301", False),
        ("त्", "स", False),
        ("क", "स", True),
        ("\u1100", "\u1161", False),
        ("가", "각", True),
        ("\r", "\n", False),
        ("🇸", "🇪", False),
    ],
)
def test_clusters_that_join_do_not_stay_apart(left, right, apart):
    assert stay_apart(left, right) is apart
