"""The world as a whole: same seed, same bytes; sizes, spans, errors."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections import Counter

import pytest

from alignaudit.core.example import PairExample, SpanExample, TagExample
from alignaudit.errors import DataError
from alignaudit.world.concept import NOUNS
from alignaudit.world.language import LANGUAGES
from alignaudit.world.world import TASK_NAMES, World

GOLDEN_FINGERPRINT = "fab9461c011634f7a25f0494aa8b0fca617b9815a530b8028c9ed8bc66c27ea8"
GOLDEN_ENGLISH = "8f538e6b967727367ed255ae5518b969083019e6ed20b01ecded225da235fd82"


@pytest.fixture(scope="module")
def world():
    return World(1)


@pytest.fixture(scope="module")
def answers(world):
    return world.task("qa", train=300, dev=30, test=90)


def test_golden_sample(world):
    text = "\n".join(world.corpus("en", 200)).encode()
    assert hashlib.sha256(text).hexdigest() == GOLDEN_ENGLISH


def test_golden_fingerprint(world):
    assert world.fingerprint() == GOLDEN_FINGERPRINT


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_another_process_gives_the_same_bytes(hash_seed):
    code = "from alignaudit.world.world import World; print(World(1).fingerprint())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == GOLDEN_FINGERPRINT


def test_order_of_generation_does_not_matter():
    one, other = World(4), World(4)
    first = (one.corpus("rv", 20), one.task("nli", 9, 3, 3), one.parallel("rv", 5))
    last = (other.parallel("rv", 5), other.task("nli", 9, 3, 3), other.corpus("rv", 20))
    assert first == last[::-1]


def test_shorter_corpus_is_the_beginning_of_the_longer_one(world):
    assert world.corpus("wv", 30) == world.corpus("wv", 3000)[:30]


def test_seeds_differ(world):
    assert World(2).fingerprint() != world.fingerprint()
    assert World(2).corpus("en", 5) != world.corpus("en", 5)


def test_corpora_of_languages_are_not_translations(world):
    digits = {
        code: [[w for w in line.split() if w.isdigit()] for line in world.corpus(code, 60)]
        for code in ("en", "dv")
    }
    assert digits["en"] != digits["dv"]


def test_world_travels_between_processes(world):
    world.corpus("en", 1)
    assert pickle.loads(pickle.dumps(world)) == world


def test_lines_are_two_sentences_of_lower_case_tokens(world):
    for language in world.languages:
        lines = world.corpus(language.code, 100)
        assert len(lines) == 100
        for line in lines:
            assert line == " ".join(line.lower().split())
            assert line.split().count(".") == 2
            assert line.endswith(" .")


@pytest.mark.parametrize("name", TASK_NAMES)
def test_task_sizes(world, name):
    data = world.task(name, train=31, dev=7, test=11)
    assert (len(data.train), len(data.dev)) == (31, 7)
    assert {code: len(examples) for code, examples in data.test.items()} == {
        language.code: 11 for language in world.languages
    }


@pytest.mark.parametrize(
    ("name", "form", "labels", "metric", "kind"),
    [
        ("nli", "classification", 3, "accuracy", PairExample),
        ("qa", "span", 0, "em_f1", SpanExample),
        ("role", "tagging", 6, "accuracy", TagExample),
        ("pos", "tagging", 11, "accuracy", TagExample),
    ],
)
def test_task_description(world, name, form, labels, metric, kind):
    data = world.task(name, train=3, dev=3, test=3)
    assert (data.name, data.format, len(data.labels), data.metric) == (name, form, labels, metric)
    assert {type(example) for example in (*data.train, *data.dev, *data.test["av"])} == {kind}


@pytest.mark.parametrize("name", ["role", "pos"])
def test_every_word_has_a_tag_and_every_tag_occurs(world, name):
    data = world.task(name, train=500, dev=50, test=50)
    for example in (*data.train, *(item for items in data.test.values() for item in items)):
        assert len(example.words) == len(example.tags)
    assert {tag for example in data.train for tag in example.tags} == set(range(len(data.labels)))


def test_answers_are_exact_spans_of_whole_tokens(world, answers):
    for examples in (answers.train, answers.dev, *answers.test.values()):
        for example in examples:
            (answer,), (start,) = example.answers, example.starts
            assert example.context[start : start + len(answer)] == answer
            assert f" {example.context} "[start] == " "
            assert f" {example.context} "[start + len(answer) + 1] == " "


def test_answers_stand_in_the_sentence_of_the_question(world, answers):
    for code, examples in answers.test.items():
        verbs = {
            form: concept for concept, form in world.grammars[code].lexicon.forms() if concept[:5] == "verb:"
        }
        for example in examples:
            second = example.context.index(" . ") + 3
            sentences = (example.context[:second], example.context[second:])
            asked = {verbs[word] for word in example.question.split() if word in verbs}
            found = [{verbs[word] for word in text.split() if word in verbs} for text in sentences]
            assert found[example.starts[0] >= second] == asked != found[example.starts[0] < second]


def test_a_third_of_the_questions_asks_for_each_role(answers):
    words = Counter(example.question.split()[0] for example in answers.train)
    assert words["where"] == 100
    assert words["who"] + words["what"] == 200
    assert min(words.values()) > 50


def test_question_words_fit_the_answers(world, answers):
    persons = {"hunter", "farmer", "baker", "doctor", "teacher", "soldier", "singer", "sailor", "person"}
    persons |= {f"{word}s" for word in persons} | {
        "anna",
        "boris",
        "clara",
        "david",
        "emma",
        "felix",
        "greta",
        "hugo",
    }
    for example in answers.train:
        word, before = example.question.split()[0], example.context[: example.starts[0]]
        assert (word == "where") == before.endswith(" in ")
        if word != "where":
            assert (word == "who") == bool(persons & set(example.answers[0].split()))


def test_answers_mean_the_same_in_every_language(world, answers):
    english = {form: concept for concept, form in world.grammars["en"].lexicon.forms()}
    for code, examples in answers.test.items():
        foreign = {form: concept for concept, form in world.grammars[code].lexicon.forms()}
        for example, original in zip(examples, answers.test["en"], strict=True):
            assert example.identifier == original.identifier
            said = [
                Counter(concepts[word] for word in item.answers[0].split() if ":" in concepts.get(word, ""))
                for item, concepts in ((example, foreign), (original, english))
            ]
            content = [{c: n for c, n in each.items() if not c.startswith("function:")} for each in said]
            assert content[0] == content[1]


def test_examples_are_not_repeated(world):
    for name in TASK_NAMES:
        train = world.task(name, train=600, dev=3, test=3).train
        said = {(e.question, e.context) if name == "qa" else e for e in train}
        assert len(said) == 600


@pytest.mark.parametrize(
    "call", [lambda w: w.corpus("dvv", 1), lambda w: w.parallel("dvv"), lambda w: w.language("dvv")]
)
def test_unknown_language(world, call):
    with pytest.raises(DataError, match=r'There is no language "dvv"\. Did you mean "dv"\?'):
        call(world)


def test_unknown_task(world):
    with pytest.raises(DataError, match=r'There is no task "nlli"\. Did you mean "nli"\?'):
        world.task("nlli")


@pytest.mark.parametrize(
    "call", [lambda w: w.corpus("en", 0), lambda w: w.parallel("en", -1), lambda w: w.task("pos", dev=0)]
)
def test_sizes_below_one(world, call):
    with pytest.raises(DataError, match="Ask for at least 1"):
        call(world)


@pytest.mark.parametrize("code", [language.code for language in LANGUAGES if language.family != "none"])
def test_a_dictionary_translates_every_form_to_its_own_concept(world, code):
    english: dict[str, set[str]] = {}
    for concept, form in world.grammars["en"].lexicon.forms():
        english.setdefault(concept, set()).add(form)
    dictionary, lexicon = world.dictionary(code), world.grammars[code].lexicon
    forms = list(lexicon.forms())
    assert set(dictionary) == {form for concept, form in forms if concept != "function:plural"}
    for concept, form in forms:
        kind, name = concept.split(":")
        if kind != "function":
            assert {word.removeprefix("will ") for word in dictionary[form]} <= english[concept]
        elif name != "plural":
            assert dictionary[form] == ({"past": "did", "future": "will"}.get(name, name),)


def test_a_dictionary_keeps_number_and_tense_where_words_show_them(world):
    lexicon, dictionary = world.grammars["rv"].lexicon, world.dictionary("rv")
    (one, many), verb = lexicon.nouns[0], NOUNS.index("dog")
    assert (one[verb] != many[verb], dictionary[one[verb]], dictionary[many[verb]]) == (
        True,
        ("dog",),
        ("dogs",),
    )
    present, past, future = (tense[0] for tense in lexicon.verbs)
    base, third, before = (tense[0] for tense in world.grammars["en"].lexicon.verbs)
    assert dictionary[present] == (base, third)
    assert (dictionary[past], dictionary[future]) == ((before,), (f"will {base}",))


def test_english_words_are_their_own(world):
    assert all(words == (form,) for form, words in world.dictionary("en").items())
