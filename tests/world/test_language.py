"""Languages: scripts, lexicons and word order are what they are declared to be."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from itertools import groupby, pairwise

import pytest

from alignaudit.world.language import LANGUAGES, SCRIPTS
from alignaudit.world.world import World

CODES = [language.code for language in LANGUAGES]
FOREIGN = CODES[1:]
TAG_OF_KIND = {"noun": "NOUN", "verb": "VERB", "adjective": "ADJ", "time": "ADV"}
TAG_OF_FUNCTION = {
    **dict.fromkeys(("the", "a", "an"), "DET"),
    **dict.fromkeys(("not", "plural"), "PART"),
    **dict.fromkeys(("do", "does", "did", "will", "past", "future"), "AUX"),
    "in": "ADP",
}
NAMES = {"anna", "boris", "clara", "david", "emma", "felix", "greta", "hugo"}


@pytest.fixture(scope="module")
def world():
    return World(1)


@pytest.fixture(scope="module")
def concept_of(world):
    return {
        code: {form: concept for concept, form in grammar.lexicon.forms()}
        for code, grammar in world.grammars.items()
    }


def content(text, concept_of):
    """Multiset of what a text says, function words aside."""
    said = Counter()
    for word in text.split():
        if word.isdigit():
            said[word] += 1
        elif word not in {".", "?"} and not concept_of[word].startswith("function:"):
            said[concept_of[word]] += 1
    return said


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_has_26_stable_lower_case_letters(script):
    letters = SCRIPTS[script]
    assert len(set(letters)) == len(letters) == 26
    for letter in letters:
        assert letter.isalpha()
        assert (
            letter
            == letter.lower()
            == unicodedata.normalize("NFKC", letter)
            == unicodedata.normalize("NFD", letter)
        )
        assert unicodedata.name(letter).split()[0].lower() == script


@pytest.mark.parametrize("code", ["rv", "gv", "av", "cv"])
def test_other_scripts_share_no_letter_with_english(world, code):
    english = {char for line in world.corpus("en", 500) for char in line if char.isalpha()}
    foreign = {char for line in world.corpus(code, 500) for char in line if char.isalpha()}
    assert foreign
    assert not foreign & english


@pytest.mark.parametrize("seed", [0, 1, 2, 7])
def test_no_form_has_two_concepts(seed):
    for code, grammar in World(seed).grammars.items():
        concepts = defaultdict(set)
        for concept, form in grammar.lexicon.forms():
            assert form
            assert " " not in form
            concepts[form].add(concept)
        assert {form: found for form, found in concepts.items() if len(found) > 1} == {}, code


@pytest.mark.parametrize("code", FOREIGN)
def test_translations_mean_the_same(world, concept_of, code):
    text = world.parallel(code, 200)
    for foreign, english in zip(text.foreign, text.english, strict=True):
        assert content(foreign, concept_of[code]) == content(english, concept_of["en"])


@pytest.mark.parametrize("code", FOREIGN)
def test_parallel_text_is_the_same_in_every_language_and_unique(world, code):
    text = world.parallel(code, 200)
    assert text.language == code
    assert text.english == world.parallel("dv", 200).english == world.parallel("en", 200).foreign
    assert len(set(text.english)) == len(set(text.foreign)) == 200


@pytest.mark.parametrize("language", LANGUAGES, ids=CODES)
def test_word_order_is_the_declared_one(world, language):
    data = world.task("role", 1, 1, 300)
    letter = {"subject": "S", "predicate": "V", "object": "O"}
    seen = Counter()
    for example in data.test[language.code]:
        tags = [data.labels[tag] for tag in example.tags]
        roles = dict.fromkeys(tags)
        assert len(list(groupby(tags))) == len(roles), "a role stands in two places"
        if "object" in roles:
            seen["".join(letter[role] for role in roles if role in letter)] += 1
        if "time" in roles:
            assert (next(iter(roles)) == "time") == language.time_first
    assert set(seen) == {language.word_order}


@pytest.mark.parametrize("language", LANGUAGES, ids=CODES)
def test_adjective_and_adposition_order(world, language):
    data = world.task("pos", 1, 1, 300)
    for example in data.test[language.code]:
        tags = [data.labels[tag] for tag in example.tags]
        for position, tag in enumerate(tags):
            if tag == "ADJ":
                assert tags[position + (1 if language.adjective_order == "AN" else -1)] == "NOUN"
            if tag == "ADP":
                after = tags[position + 1] in {"DET", "NUM", "ADJ", "NOUN", "PART"}
                assert after if language.word_order != "SOV" else tags[position - 1] == "NOUN"


@pytest.mark.parametrize("code", CODES)
def test_parts_of_speech_follow_from_the_words(world, concept_of, code):
    data = world.task("pos", 1, 1, 200)
    for example in data.test[code]:
        for word, tag in zip(example.words, example.tags, strict=True):
            kind, _, name = concept_of[code].get(word, ":").partition(":")
            expected = TAG_OF_FUNCTION[name] if kind == "function" else TAG_OF_KIND.get(kind, "PUNCT")
            expected = "PROPN" if name in NAMES else "NUM" if word.isdigit() else expected
            assert data.labels[tag] == expected


@pytest.mark.parametrize("language", LANGUAGES, ids=CODES)
def test_morphology_is_the_declared_one(world, language):
    lexicon = world.grammars[language.code].lexicon
    (singular, plural), (accusative, _) = lexicon.nouns
    assert (singular[0] != plural[0]) == (language.morphology != "particles")
    assert (singular[0] != accusative[0]) == (language.morphology == "suffix+accusative")
    assert ("plural" in lexicon.function) == (language.morphology == "particles")


def test_order_and_script_are_crossed():
    cells = defaultdict(set)
    for language in LANGUAGES[1:]:
        cells[language.order_relation, language.script_relation].add(language.code)
    assert cells == {
        ("same_order", "same_script"): {"dv", "fv"},
        ("same_order", "other_script"): {"rv", "cv"},
        ("other_order", "same_script"): {"sv", "tv", "wv"},
        ("other_order", "other_script"): {"gv", "av"},
    }


def test_near_languages_look_more_like_english_than_far_ones(world):
    def shared(code):
        english = dict(world.grammars["en"].lexicon.forms())
        return sum(english.get(concept) == form for concept, form in world.grammars[code].lexicon.forms())

    assert min(shared("dv"), shared("sv")) > max(shared("tv"), shared("wv"))


def test_english_is_readable(world):
    assert (
        world.grammars["en"].sentence(next(world.sampler.clauses("test", "parallel")))
        == (world.parallel("en", 1).english[0])
    )
    for line in world.corpus("en", 300):
        words = line.split()
        for word, following in pairwise(words):
            if word in {"a", "an"}:
                assert (word == "an") == (following[0] in "aeiou")
            if word in {"does", "did", "will", "do"}:
                assert following == "not" or not following.endswith("ed")
