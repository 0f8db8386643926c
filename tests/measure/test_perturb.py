"""Perturbations: what may change and what not, strength, reach, and independence of everything else."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.language import XTREME_TATOEBA
from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.grapheme import clusters, letter_script
from alignaudit.measure.perturb import PERTURBATIONS, perturb_language
from alignaudit.measure.perturbations_draw import drawn_places, randomly_rounded
from alignaudit.measure.perturbations_form import lower_cased
from alignaudit.measure.perturbations_typo import cluster_frequencies, typos
from alignaudit.measure.perturbations_word import drop_tokens, lexicon_of, switch_code

LEXICON = {"der": "the", "hund": ["dog", "hound"], "猫": "cat", "我": ["I"], "喜欢": "like"}
WORDS = st.sampled_from(
    "Der Hund ÉTÉ naïve l'été, 12,5 a I ΟΔΟΣ άλφα Ещё йод हिन्दी सत् स्त्री தமிழ் వచ్చి 한국어 ภาษาไทย "
    "น้ำ 我喜欢猫 ひらがな カー שָׁלוֹם אב مُحَمَّد می‌روم မြန်မာ 👩‍👩‍👧 … - cafe\u0301 \u1112\u1161\u11ab".split()
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
NAMES = st.sampled_from(sorted(PERTURBATIONS))
SEVERITIES = st.sampled_from([0.02, 0.1, 0.3, 0.7, 1.0])


def perturbed(sentences, name, severity, seed=1, language="deu", ids=None):
    return perturb_language(sentences, language, name, severity, seed, ids, LEXICON)


def brute(source, target):
    row = list(range(len(target) + 1))
    for i, left in enumerate(source, 1):
        last, row[0] = row[0], i
        for j, right in enumerate(target, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (left != right))
    return row[-1]


# ------------------------------------------------------------------------------------- all of them


@settings(max_examples=60, deadline=None)
@given(st.lists(SENTENCES | st.text(min_size=1, max_size=12), min_size=1, max_size=4), NAMES)
def test_severity_zero_gives_the_same_strings(sentences, name):
    found = perturbed(sentences, name, 0)
    assert list(found.sentences) == sentences
    assert found.character_error_rate.tolist() == [0.0] * len(sentences)
    assert (found.reach.changed, found.reach.character_error_rate, found.reach.note) == (0, 0, "")


@settings(max_examples=120, deadline=None)
@given(SENTENCES, NAMES, SEVERITIES, st.integers(0, 50))
def test_error_rate_is_the_distance_by_hand(sentence, name, severity, seed):
    found = perturbed([sentence], name, severity, seed)
    a, b = (clusters(unicodedata.normalize("NFC", text)) for text in (sentence, found.sentences[0]))
    assert found.character_error_rate.tolist() == [brute(a, b) / len(a)]
    assert found.sentences[0].strip()


@settings(max_examples=40, deadline=None)
@given(st.lists(SENTENCES, min_size=2, max_size=6, unique=True), NAMES, SEVERITIES, st.randoms())
def test_a_sentence_depends_on_no_other(sentences, name, severity, random):
    whole = dict(zip(sentences, perturbed(sentences, name, severity).sentences, strict=True))
    some = random.sample(sentences, random.randint(1, len(sentences)))
    assert perturbed(some, name, severity).sentences == tuple(whole[each] for each in some)


def test_identity_chooses_the_stream():
    sentence = "The quick brown fox jumps over the lazy dog and is gone."
    one = perturbed([sentence], "typos", 0.2).sentences
    assert perturbed([sentence, "x"], "typos", 0.2, ids=[7, 8]).sentences[0] != one[0]
    assert (
        perturbed([sentence], "typos", 0.2, ids=["7"]).sentences
        == perturbed([sentence], "typos", 0.2, ids=[7]).sentences
    )
    others = [
        perturbed([sentence], "typos", 0.2, seed=2),
        perturbed([sentence], "typos", 0.21),
        perturbed([sentence], "typos", 0.2, language="eng"),
    ]
    assert len({one[0], *(each.sentences[0] for each in others)}) == 4
    assert perturbed([sentence], "typos", 0.2, language="de").sentences == one  # two codes of one language


def test_nearly_equal_severities_draw_anew():
    """Both want two edits of each sentence; with one stream they would be the same ones."""
    sentences = [f"{letter}bcdefghij" for letter in "klmnopqrst"]
    assert perturbed(sentences, "typos", 0.2).sentences != perturbed(sentences, "typos", 0.2000001).sentences


def test_severity_is_one_number_however_written():
    assert (
        perturbed(["Ein Satz"], "typos", 1).sentences
        == perturbed(["Ein Satz"], "typos", np.float64(1)).sentences
    )


# ------------------------------------------------------------------------------------------- typos


@settings(max_examples=150, deadline=None)
@given(SENTENCES | st.text(min_size=1, max_size=15), SEVERITIES, st.integers(0, 10**6))
def test_typos_split_no_cluster_and_leave_everything_but_letters(sentence, severity, seed):
    clean = clusters(sentence)
    written = clusters(typos(sentence, severity, stream(seed, "t")).text)
    assert set(written) <= set(clean)  # substitutes come from the sentence itself

    def rest(text):
        return [cluster for cluster in text if not letter_script(cluster)]

    def runs(text):
        marks = "".join("L" if letter_script(cluster) else "." for cluster in text)
        return [bool(run) for run in marks.split(".")]

    assert rest(written) == rest(clean)
    assert runs(written) == runs(clean)  # words neither join, nor vanish, nor come to be


@settings(max_examples=60, deadline=None)
@given(SENTENCES, SEVERITIES, st.integers(0, 10**6))
def test_typos_never_pass_the_number_of_edits_wanted(sentence, severity, seed):
    clean = clusters(sentence)
    wanted = randomly_rounded(severity * len(clean), stream(seed, "t"))  # the first draw of the same stream
    edited = typos(sentence, severity, stream(seed, "t"))
    distance = brute(clean, clusters(edited.text))
    assert distance <= wanted
    if severity <= 0.1 and edited.places > 2 * wanted + 4:
        assert distance == wanted
    assert edited.units == len(clean)
    assert edited.places == sum(bool(letter_script(cluster)) for cluster in clean)


def kinds(sentence, times, severity):
    """Tell the one edit, or pair of edits, that made each misspelling."""
    found = Counter()
    for seed in range(times):
        text = typos(sentence, severity, stream(seed, "kinds")).text
        step = len(text) - len(sentence)
        swapped = sorted(text) == sorted(sentence)
        found[{-1: "delete", 1: "duplicate"}.get(step, "swap" if swapped else "substitute")] += 1
    return found


def test_all_four_edits_happen():
    """One edit: three kinds alike. Binomial standard deviation of 300 at 1/3: 8.2; 5 of them."""
    once = kinds("abcdefghij", 300, 0.1)
    assert set(once) == {"delete", "duplicate", "substitute"}
    assert all(abs(count - 100) < 41 for count in once.values())
    assert kinds("abcdefghij", 300, 0.2)["swap"] > 40


def test_substitutes_keep_script_and_case():
    """Words of one letter can only be doubled or replaced, so every letter stays or gives way in place."""
    frequencies = cluster_frequencies(["XYZ", "wwv", "жшы", "ΞΨ", "字句"])
    sentence = "A b д Ω 文 7"
    allowed = ["AXYZ", "bwv", "джшы", "ΩΞΨ", "文字句", "7"]
    seen = set()
    for seed in range(200):
        written = typos(sentence, 0.4, stream(seed, "s"), frequencies).text.split(" ")
        assert all(set(word) <= set(letters) for word, letters in zip(written, allowed, strict=True))
        seen |= set("".join(written))
    assert seen == set("".join(allowed))


def test_substitutes_are_as_frequent_as_in_the_language():
    """Drawn without the replaced letter: a 6 of 10, b 3 of 10, c 1 of 10; five standard deviations."""
    frequencies = cluster_frequencies(["aaaaaa bbb c", "zzz"])
    drawn = Counter(frequencies.draw("z", stream(1, "draw", i)) for i in range(2000))
    for letter, share in {"a": 0.6, "b": 0.3, "c": 0.1}.items():
        assert abs(drawn[letter] - 2000 * share) < 5 * math.sqrt(2000 * share * (1 - share))
    assert sum(drawn.values()) == drawn["a"] + drawn["b"] + drawn["c"]
    assert frequencies.draw("ж", stream(1, "draw")) is None
    assert cluster_frequencies(["aa"]).draw("a", stream(1, "draw")) is None
    for letter in "abcdz":
        drawn = {frequencies.draw(letter, stream(2, "draw", i)) for i in range(400)}
        assert drawn == set("abcz") - {letter}


def test_frequencies_of_the_language_are_used():
    frequencies = cluster_frequencies(["qqq"])
    texts = [
        perturb_language(["aaaa bbbb"], "eng", "typos", 1, seed, frequencies=frequencies).sentences[0]
        for seed in range(20)
    ]
    assert any("q" in text for text in texts)


def test_a_virama_at_the_end_of_a_word_joins_nothing():
    for seed in range(200):
        assert set(clusters(typos("सत् सत्", 0.4, stream(seed, "v")).text)) <= {"स", "त्", " "}


# -------------------------------------------------------------------------------- case, marks, points


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("DIYARBAKIR İÇİN", "tur", "dıyarbakır için"),
        ("I\u0307 I", "aze", "i ı"),
        ("DIY", "eng", "diy"),
        ("ΟΔΥΣΣΕΥΣ ΣΑΣ", "ell", "οδυσσευς σας"),
        ("ẞ ÉÅ", "deu", "ß éå"),
        ("Ⴀ 日本 ಕ", "kat", "ⴀ 日本 ಕ"),
    ],
)
def test_small_letters_are_those_of_the_language(text, language, expected):
    assert lower_cased(text, language) == expected
    assert perturbed([text], "lower_casing", 1, language=language).sentences == (expected,)


STRIPPED = [
    ("Ångström señor ñandú", "Angstrom senor nandu"),
    ("Ещё мой їжак", "Еще мои іжак"),
    ("Ὀδυσσεύς ᾳ ϊ", "Οδυσσευς α ι"),
    ("Tiếng Việt: đường, ở", "Tieng Viet: đuong, o"),
    ("Łódź øre қазақ ı", "Łodz øre қазақ ı"),
    ("हिन्दी ഭാഷ น้ำ が パ 한 שָׁלוֹם مُ أب", "हिन्दी ഭാഷ น้ำ が パ 한 שָׁלוֹם مُ أب"),
]


@pytest.mark.parametrize(("text", "expected"), STRIPPED)
def test_marks_leave_latin_greek_and_cyrillic_only(text, expected):
    assert perturbed([text], "mark_stripping", 1).sentences == (expected,)


@pytest.mark.parametrize(("text", "expected"), STRIPPED[:5])
def test_composed_and_decomposed_text_lose_the_same_marks(text, expected):
    assert perturbed([unicodedata.normalize("NFD", text)], "mark_stripping", 1).sentences == (expected,)


def test_marks_of_other_scripts_keep_their_form():
    text = unicodedata.normalize("NFD", "가 が é")
    assert perturbed([text], "mark_stripping", 1).sentences == (text[:-2] + "e",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("שָׁלוֹם", "שלום"),
        ("\ufb2a\u05b8לום", "שלום"),
        ("مُحَمَّدٌ", "محمد"),
        ("أَنْتَ آل مؤمن", "أنت آل مؤمن"),
        ("اعلیٰ", "اعلی"),
        ("été हिं", "été हिं"),
    ],
)
def test_points_leave_hebrew_and_arabic_only(text, expected):
    assert perturbed([text], "point_stripping", 1).sentences == (expected,)
    found = perturbed([unicodedata.normalize("NFD", text)], "point_stripping", 1).sentences[0]
    assert unicodedata.normalize("NFC", found) == expected


def test_what_has_nothing_to_lose_keeps_its_encoding():
    for name, text in (("point_stripping", "ا\u0654نت"), ("mark_stripping", "5 \u212a und \u2126")):
        found = perturbed([text], name, 1)
        assert found.sentences == (text,)
        assert found.reach.places == 0


@pytest.mark.parametrize(
    ("name", "word"), [("lower_casing", "Ab "), ("mark_stripping", "é"), ("code_switching", "Hund ")]
)
def test_severity_is_the_share_of_places_changed(name, word):
    """Ten places at .25: two or three of them, 2.5 on average; standard deviation of 400 means .025."""
    counts = []
    for seed in range(400):
        after = perturbed([(word * 10).strip()], name, 0.25, seed).sentences[0]
        counts.append(10 - after.count(word.strip()))
    assert set(counts) == {2, 3}
    assert np.mean(counts) == pytest.approx(2.5, abs=0.125)


def test_places_are_drawn_alike():
    counts = Counter(
        place for seed in range(1000) for place in drawn_places([3, 5, 8], 2 / 3, stream(seed, "p"))
    )
    assert set(counts) == {3, 5, 8}
    assert all(abs(count - 2000 / 3) < 75 for count in counts.values())  # five standard deviations of 15


# ---------------------------------------------------------------------------------------- token dropout


@settings(max_examples=120, deadline=None)
@given(SENTENCES, SEVERITIES, st.integers(0, 10**6))
def test_dropout_leaves_a_part_of_the_sentence_in_order(sentence, severity, seed):
    edited = drop_tokens(sentence, severity, stream(seed, "d"))
    left = iter(clusters(sentence))
    assert all(cluster in left for cluster in clusters(edited.text))
    assert edited.text.strip() == edited.text != ""


def test_words_go_whole_and_blanks_with_them():
    sentence = "  ein\tguter  alter Satz "
    for seed in range(60):
        text = drop_tokens(sentence, 0.4, stream(seed, "w")).text
        assert text.startswith("  ")
        assert text.endswith(" ")
        assert text.split()
        assert [word for word in sentence.split() if word in text.split()] == text.split()
        blanks = [cluster for cluster in clusters(text) if cluster.isspace()]
        assert len(blanks) <= 3 + 2 * (len(text.split()) - 1)
    assert drop_tokens(sentence, 1.0, stream(1, "w")).text.split() in [[word] for word in sentence.split()]
    assert drop_tokens("Wort", 1.0, stream(1, "w")).text == "Wort"


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("我喜欢猫", 4),
        ("น้ำดีมาก", 5),
        ("ひらがな と カタカナ", 9),
        ("Der Hund, er", 3),
        ("나는 간다", 2),
        ("我 ok", 2),
    ],
)
def test_the_script_decides_what_a_token_is(sentence, tokens):
    assert drop_tokens(sentence, 0.1, stream(1, "w")).units == tokens


@pytest.mark.parametrize(
    "sentence", ["das ist ein guter Satz mit sieben Worten", "我喜欢猫也喜欢狗你呢今天天气真好"]
)
def test_dropout_takes_clusters_at_the_wanted_rate(sentence):
    """Expected distance: severity * clusters. Tolerance: five standard errors of these 1,500 draws."""
    n = len(clusters(sentence))
    losses = np.array(
        [n - len(clusters(drop_tokens(sentence, 0.2, stream(i, "r")).text)) for i in range(1500)]
    )
    assert losses.mean() == pytest.approx(0.2 * n, abs=5 * losses.std() / math.sqrt(1500))


def test_burmese_clusters_do_not_join_over_a_gap():
    sentence = "က္၊က၊" * 4
    clean = clusters(sentence)
    assert set(clean) == {"က္", "၊", "က"}
    assert len(clusters("က္က")) == 1  # what leaving out ၊ would make
    for seed in range(100):
        assert set(clusters(drop_tokens(sentence, 0.3, stream(seed, "b")).text)) <= set(clean)


# --------------------------------------------------------------------------------------- code-switching


@pytest.mark.parametrize(
    ("sentence", "expected", "places", "units"),
    [
        ("«Der HUND» bellt.", "«The DOG» bellt.", 2, 3),
        ("der Hunde 7", "the Hunde 7", 1, 2),
        ("我喜欢猫。", "I like cat。", 3, 3),
        ("他喜欢狗", "他 like 狗", 1, 3),
        ("Der猫", "Der猫", 0, 1),
        ("Ö U", "He she U", 1, 2),
    ],
)
def test_words_give_way_to_english(sentence, expected, places, units):
    lexicon = lexicon_of(LEXICON | {"hund": "dog", "喜": "happy", "ö": "he she"})
    edited = switch_code(sentence, 1.0, stream(1, "c"), lexicon, "deu")
    assert (edited.text, edited.places, edited.units) == (expected, places, units)


def test_every_english_word_is_drawn():
    texts = {perturbed(["hund"], "code_switching", 1, seed).sentences[0] for seed in range(30)}
    assert texts == {"dog", "hound"}


def test_reach_counts_words_with_an_entry():
    reach = perturbed(["Der Hund bellt", "Der Kater"], "code_switching", 1).reach
    assert (reach.units, reach.places, reach.changed) == (5, 3, 1.0)
    reach = perturbed(["Katze und Maus"], "code_switching", 1).reach
    assert reach.note == "Code-switching changes nothing in deu: 0 of its 3 words are in the lexicon."


def test_a_lexicon_has_words_on_both_sides():
    for entries in ({"a": []}, {"a": ["b", " "]}, {"": "b"}, {"a": ""}):
        with pytest.raises(DataError, match="empty on a side"):
            lexicon_of(entries)


# ---------------------------------------------------------------------------------- reach and refusals


def test_reach_says_what_was_left_untouched():
    note = perturb_language(["猫が好き。"] * 3, "jpn", "lower_casing", 1, 1, ids=[1, 2, 3]).reach.note
    assert note == "Lower-casing changes nothing in jpn: its script has no case."
    note = perturb_language(["これは NHK だ", "はい"], "ja", "lower_casing", 1, 1).reach.note
    assert note == "Lower-casing changes only 1 of 2 sentences in jpn: its script has no case."
    note = perturb_language(["kein", "wort"], "deu", "mark_stripping", 1, 1).reach.note
    assert note == "Mark stripping changes nothing in deu: 0 of its 8 clusters have marks."
    note = perturb_language(["12", "3!"], "deu", "typos", 0.5, 1).reach.note
    assert note == "Misspelling changes nothing in deu: 0 of its 4 clusters are letters."
    note = perturb_language(["ein Wort"], "deu", "typos", 1e-6, 1).reach.note
    assert note.endswith("7 of its 8 clusters are letters, and severity 1e-06 asks for few of them.")
    assert perturb_language(["Ein", "wort"], "deu", "lower_casing", 1, 1).reach.note == ""
    some = ["wort"] * 199 + ["Wort"]
    ids = range(200)
    assert "only 1 of 200" in perturb_language(some, "deu", "lower_casing", 1, 1, ids).reach.note
    assert perturb_language(some[1:], "deu", "lower_casing", 1, 1, ids[1:]).reach.note == ""  # above .5 %


def test_reach_is_the_mean_over_sentences():
    found = perturbed(["Ab", "cd ef", "Gh"], "lower_casing", 1)
    assert found.character_error_rate.tolist() == [0.5, 0.0, 0.5]
    assert found.reach.changed == pytest.approx(2 / 3, rel=1e-15)
    assert found.reach.character_error_rate == pytest.approx(1 / 3, rel=1e-15)
    assert (found.reach.sentences, found.reach.units, found.reach.places) == (3, 4, 2)
    assert math.isnan(found.reach.deviation)
    rate = perturbed(["Ein Satz", "noch einer"], "typos", 0.3).reach
    assert rate.deviation == rate.character_error_rate - 0.3


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_the_table_describes_each(name):
    record = PERTURBATIONS[name]
    assert record.name == name
    assert record.effect
    assert record.scripts
    assert record.targets_error_rate == (name in {"typos", "token_dropout"})


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match=r'"typo".*Did you mean "typos"'):
        perturbed(["a"], "typo", 0.1)
    for severity in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match="Severity"):
            perturbed(["a"], "typos", severity)
    with pytest.raises(UsageError, match="lexicon"):
        perturb_language(["a"], "deu", "code_switching", 1, 1)
    for sentences, ids in (([], None), (["a", ""], None), (["a", "b"], [1]), (["a", "b"], [1, "1"])):
        with pytest.raises(DataError):
            perturbed(sentences, "typos", 0.1, ids=ids)


# ------------------------------------------------------------------------------------------- real text


@pytest.fixture(scope="module")
def tatoeba(tatoeba_folder):
    return {
        language: (tatoeba_folder / f"tatoeba.{language}-eng.{language}")
        .read_text(encoding="utf-8")
        .split("\n")[:-1]
        for language in XTREME_TATOEBA
    }


def test_typos_reach_every_language_alike(tatoeba):
    """One keyboard letter in 20 mistyped leaves 17 of the 36 languages as they are; clusters reach all.

    A sentence of 20 clusters wants one edit at .05. The mean rate of a language differs from .05 by
    random rounding alone, whose variance is known: 4.5 standard errors (2e-4 for all 36 together).
    """
    untouched_by_keyboard, rates = 0, []
    for language, sentences in tatoeba.items():
        found = perturb_language(sentences, language, "typos", 0.05, seed=1)
        lengths = np.array([len(clusters(sentence)) for sentence in sentences])
        changed = np.array([a != b for a, b in zip(sentences, found.sentences, strict=True)])
        assert changed[lengths >= 20].mean() >= 0.99, language
        fraction = np.modf(0.05 * lengths)[0]
        error = math.sqrt(np.sum(fraction * (1 - fraction) / lengths**2)) / len(lengths)
        assert abs(found.reach.deviation) < 4.5 * error, language
        assert abs(found.reach.deviation) < 0.005, language
        assert found.reach.note == ""
        rates.append(found.reach.character_error_rate)
        letters = np.array([sum("a" <= letter <= "z" for letter in line.lower()) for line in sentences])
        untouched_by_keyboard += np.mean(1 - 0.95**letters) <= 0.005
    assert len(rates) == 36
    assert untouched_by_keyboard == 17
    assert np.mean(rates) == pytest.approx(0.05, abs=5e-4)


def test_reach_of_the_other_perturbations_on_real_text(tatoeba):
    some = {
        language: tatoeba[language][:200] for language in ("deu", "jpn", "tha", "vie", "heb", "kaz", "cmn")
    }

    def reach(name, language, severity=1.0):
        return perturb_language(some[language], language, name, severity, 1).reach

    assert reach("lower_casing", "deu").changed == 1
    assert "no case" in reach("lower_casing", "tha").note
    assert reach("mark_stripping", "vie").character_error_rate == pytest.approx(0.2, abs=0.02)
    assert "no marks of this kind" in reach("mark_stripping", "jpn").note
    assert "clusters have points" in reach("point_stripping", "heb").note
    for language in some:  # some 2,000 to 8,000 clusters, a word at a time: standard error below .007
        assert abs(reach("token_dropout", language, 0.1).deviation) < 0.025, language
