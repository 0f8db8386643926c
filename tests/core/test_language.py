from __future__ import annotations

import re
from collections import Counter

import pytest

from alignaudit.core.language import XTREME_TATOEBA, find_language, languages
from alignaudit.errors import DataError

# XTREME's own two-letter codes of its Tatoeba task (Hu et al. 2020, utils_tatoeba and Table 20)
XTREME_SHORT = """
af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur vi zh
"""


def test_the_36_languages_of_xtreme_are_known():
    assert len(set(XTREME_TATOEBA)) == 36
    assert sorted(find_language(code).short for code in XTREME_TATOEBA) == XTREME_SHORT.split()


def test_a_language_is_found_by_either_code():
    for language in languages().values():
        assert find_language(language.code) is language
        assert not language.short or find_language(language.short) is language


def test_no_two_languages_share_a_short_code():
    counts = Counter(language.short for language in languages().values() if language.short)
    assert [code for code, count in counts.items() if count > 1] == []


def test_codes_and_scripts_have_the_form_of_their_standards():
    for language in languages().values():
        assert re.fullmatch("[a-z]{3}", language.code)
        assert re.fullmatch("([a-z]{2})?", language.short)
        assert re.fullmatch("[A-Z][a-z]{3}", language.script)
        assert language.name
        assert language.family


@pytest.mark.parametrize(
    ("code", "script"),
    [("eng", "Latn"), ("rus", "Cyrl"), ("ell", "Grek"), ("heb", "Hebr"), ("kat", "Geor"), ("tam", "Taml")],
)
def test_scripts_by_iso_15924(code, script):
    assert find_language(code).script == script


@pytest.mark.parametrize("code", ["xyz", "", "DEU", "de "])
def test_an_unknown_code_is_refused(code):
    with pytest.raises(DataError, match="unknown language code"):
        find_language(code)


def test_the_nearest_code_is_named():
    with pytest.raises(DataError, match='Did you mean "deu"'):
        find_language("dex")


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        languages()["deu"] = languages()["fra"]
