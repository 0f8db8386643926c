"""A folder's layout is seen from its names; nothing is paired that does not pair; errors name the line."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import unicodedata
from collections import Counter

import pytest

from alignaudit.core.study import Data
from alignaudit.errors import DataError
from alignaudit.experiment.data import TaskSource
from alignaudit.experiment.mining import gold_rows, mining_languages, read_mining
from alignaudit.experiment.parallel import (
    parallel_files,
    parallel_languages,
    read_parallel,
    sentence_key,
)

FOREIGN, ENGLISH = tuple("abcd"), tuple("efgh")


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pair(folder, code, foreign=FOREIGN, english=ENGLISH):
    write(folder / f"tatoeba.{code}-eng.{code}", foreign)
    write(folder / f"tatoeba.{code}-eng.eng", english)


def write_n_way(folder, documents=None):
    write(folder / "eng.txt", ENGLISH)
    write(folder / "fra.txt", FOREIGN)
    if documents is not None:
        write(folder / "DOCUMENT_IDS.tsv", documents)


def article(title, *contexts):
    paragraphs = [
        {"context": context, "qas": [{"id": f"{title}{place}"}]} for place, context in enumerate(contexts)
    ]
    return {"title": title, "paragraphs": paragraphs}


def write_xquad(folder, code, *articles):
    (folder / f"xquad.{code}.json").write_text(json.dumps({"data": articles}, indent=1))


# --------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    ("foreign", "english", "code"),
    [
        ("tatoeba.deu-eng.deu", "tatoeba.deu-eng.eng", "deu"),
        ("wmt.test.en-de.de", "wmt.test.en-de.en", "de"),
        ("eng-deu.deu", "eng-deu.eng", "deu"),
        ("de-en.de", "de-en.en", "de"),
        ("x.zh-CN-en.zh-CN", "x.zh-CN-en.en", "zh-CN"),
        ("fra.txt", "eng.txt", "fra"),
        ("newstest2019-ref.aze-Latn.txt", "newstest2019-src.eng.txt", "aze-Latn"),
    ],
)
def test_two_files_of_lines_are_a_language(tmp_path, foreign, english, code):
    write(tmp_path / foreign, FOREIGN)
    write(tmp_path / english, ENGLISH)
    write(tmp_path / "README.md", ["words"])
    assert parallel_languages(tmp_path) == (code,)
    text = read_parallel(tmp_path, code)
    assert (text.foreign, text.english, text.documents) == (FOREIGN, ENGLISH, ())
    assert [path.name for path in parallel_files(tmp_path, code)] == [foreign, english]


def test_two_columns_are_foreign_and_english(tmp_path):
    write(tmp_path / "swh.tsv", map("\t".join, zip(FOREIGN, ENGLISH, strict=True)))
    assert parallel_languages(tmp_path) == ("swh",)
    text = read_parallel(tmp_path, "swh", limit=4)
    assert (text.foreign, text.english) == (FOREIGN, ENGLISH)


def test_the_document_of_every_line_is_read_and_cut_with_the_lines(tmp_path):
    write(tmp_path / "eng.txt", "efghi")
    write(tmp_path / "fra.txt", "abcde")
    write(tmp_path / "DOCUMENT_IDS.tsv", ["one", "one", "two", "two", "three"])
    assert parallel_languages(tmp_path) == ("fra",)
    assert read_parallel(tmp_path, "fra", limit=4).documents == ("one", "one", "two", "two")
    assert parallel_files(tmp_path, "fra")[2].name == "DOCUMENT_IDS.tsv"


def test_documents_of_the_ntrex_repository_lie_one_folder_up(tmp_path):
    folder = tmp_path / "NTREX-128"
    write(folder / "newstest2019-src.eng.txt", ENGLISH)
    write(folder / "newstest2019-ref.deu.txt", FOREIGN)
    write(folder / "newstest2019-ref-2.spa.txt", FOREIGN)
    write(tmp_path / "DOCUMENT_IDS.tsv", "1122")
    assert parallel_languages(folder) == ("deu",)
    assert read_parallel(folder, "deu").documents == ("1", "1", "2", "2")


def test_contexts_of_xquad_pair_by_place_and_articles_are_documents(tmp_path):
    write_xquad(tmp_path, "en", article("T", "one", "two"), article("U", "three", "four"))
    write_xquad(tmp_path, "de", article("T", "eins", "zwei"), article("U", "drei", "vier"))
    assert parallel_languages(tmp_path) == ("de",)
    text = read_parallel(tmp_path, "de")
    assert text.foreign == ("eins", "zwei", "drei", "vier")
    assert text.english == ("one", "two", "three", "four")
    assert text.documents == ("T", "T", "U", "U")


# --------------------------------------------------------------------------- what is refused


def test_a_folder_without_pairs_says_what_it_expected(tmp_path):
    expected = r"no parallel text found.*-eng\.eng; .*eng\.txt; newstest.*; xquad.*; <code>\.tsv"
    with pytest.raises(DataError, match=expected):
        parallel_languages(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        parallel_languages(tmp_path / "absent")


def test_an_unknown_language_is_told_the_nearest(tmp_path):
    write_pair(tmp_path, "deu")
    for function in (read_parallel, parallel_files):
        with pytest.raises(DataError, match=r'no language "deq"\. Did you mean "deu"'):
            function(tmp_path, "deq")


def test_one_language_twice_is_ambiguous(tmp_path):
    for part in ("train", "test"):
        write(tmp_path / f"{part}.de-en.de", FOREIGN)
        write(tmp_path / f"{part}.de-en.en", ENGLISH)
    with pytest.raises(DataError, match=r"twice, as test\.de-en\.de and as train\.de-en\.de"):
        parallel_languages(tmp_path)


def test_a_missing_side_is_named(tmp_path):
    write(tmp_path / "x.de-en.en", ENGLISH)
    assert parallel_languages(tmp_path) == ("de",)
    with pytest.raises(DataError, match=r"x\.de-en\.de: there is no such file"):
        read_parallel(tmp_path, "de")


def test_english_as_xtreme_sorts_it_is_refused(tmp_path):
    """Its preprocessing writes <xx>-en.en in the order of the alphabet beside an unsorted <xx>-en.<xx>."""
    lines = [f"{number:03}" for number in range(200)]
    write(tmp_path / "xtreme" / "af-en.af", reversed(lines))
    write(tmp_path / "xtreme" / "af-en.en", lines)
    with pytest.raises(DataError, match=r"af-en\.en: the lines are sorted"):
        read_parallel(tmp_path / "xtreme", "af")
    write(tmp_path / "ours" / "mine.af-en.af", reversed(lines))
    write(tmp_path / "ours" / "mine.af-en.en", lines)
    assert len(read_parallel(tmp_path / "ours", "af").english) == 200


def test_a_limit_below_four_is_refused(tmp_path):
    write_pair(tmp_path, "deu")
    with pytest.raises(DataError, match="3 sentence pairs; at least 4"):
        read_parallel(tmp_path, "deu", limit=3)


@pytest.mark.parametrize(
    ("foreign", "english", "message"),
    [
        ("abcd", "efg", r"4 lines, but tatoeba\.xxx-eng\.eng has 3"),
        ("abc", "efg", "3 sentence pairs; at least 4"),
        (["a", "", "c", "d"], "efgh", r"\.xxx, line 2: a blank line"),
        ("abcd", ["e", "f", "\u3000", "h"], r"\.eng, line 3: a blank line"),
    ],
)
def test_bad_pairs_are_refused(tmp_path, foreign, english, message):
    write_pair(tmp_path, "xxx", foreign, english)
    with pytest.raises(DataError, match=message):
        read_parallel(tmp_path, "xxx")


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ("112", r"DOCUMENT_IDS\.tsv: 3 lines, but eng\.txt has 4"),
        (["1", "1", " ", "2"], r"DOCUMENT_IDS\.tsv, line 3: a blank line"),
    ],
)
def test_documents_that_do_not_fit_are_refused(tmp_path, documents, message):
    write_n_way(tmp_path, documents)
    with pytest.raises(DataError, match=message):
        read_parallel(tmp_path, "fra")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a", "line 2: 1 columns instead of 2"),
        ("a\tb\tc", "line 2: 3 columns instead of 2"),
        ("a\t ", "line 2: a blank line or column"),
        ("", "line 2: a blank line or column"),
    ],
)
def test_bad_columns_are_refused(tmp_path, line, message):
    write(tmp_path / "swh.tsv", ["a\te", line, "c\tg", "d\th"])
    with pytest.raises(DataError, match=message):
        read_parallel(tmp_path, "swh")


def test_text_that_is_not_utf8_is_refused(tmp_path):
    write_pair(tmp_path, "xxx")
    (tmp_path / "tatoeba.xxx-eng.xxx").write_bytes(b"\xff\xfe\n" * 4)
    with pytest.raises(DataError, match="not UTF-8"):
        read_parallel(tmp_path, "xxx")


def test_contexts_that_do_not_correspond_are_refused(tmp_path):
    write_xquad(tmp_path, "en", article("T", "one", "two"), article("U", "three", "four"))
    write_xquad(tmp_path, "de", article("T", "eins", "zwei", "drei"), article("U", "vier"))
    write_xquad(tmp_path, "es", article("U", "uno", "dos"), article("T", "tres", "cuatro"))
    write_xquad(tmp_path, "hi", article("T", "1", " "), article("U", "3", "4"))
    (tmp_path / "xquad.ru.json").write_text('{"data":\n[}')
    (tmp_path / "xquad.zh.json").write_text('{"data": [{}]}')
    for code, message in {
        "de": r"xquad\.de\.json: its articles and paragraphs are not those of xquad\.en\.json",
        "es": "article 1, paragraph 1: the questions are not those",
        "hi": "article 1, paragraph 2: a blank context",
        "ru": r"xquad\.ru\.json, line 2: not JSON",
        "zh": r"xquad\.zh\.json: not in the form of SQuAD 1\.1: KeyError\('paragraphs'\)",
    }.items():
        with pytest.raises(DataError, match=message):
            read_parallel(tmp_path, code)


# --------------------------------------------------------------------------- fingerprints and keys


def test_the_fingerprint_changes_with_the_documents(tmp_path):
    source = TaskSource(Data(source="folder", folder=str(tmp_path), parallel="ntrex"))
    write_n_way(tmp_path / "ntrex")
    fingerprints = [source.parallel_fingerprint(("fra",))]
    for documents in ("1122", "1112"):
        write_n_way(tmp_path / "ntrex", documents)
        fingerprints.append(source.parallel_fingerprint(("fra",)))
    assert len(set(fingerprints)) == 3


def test_a_key_is_the_first_63_bits_of_the_hash():
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(b"x").digest())
    assert sentence_key("x") == int(bits[:63], 2)


def test_a_key_does_not_see_composition_or_outer_space():
    composed, decomposed = "Caf\u00e9.", "Cafe\u0301."
    assert composed != decomposed
    assert sentence_key(composed) == sentence_key(f" {decomposed}\t")
    assert sentence_key(composed) != sentence_key("Cafe.")
    assert sentence_key("a b") != sentence_key("a  b")


def test_keys_agree_across_the_languages_of_tatoeba(real_data):
    """Counts by exact text, as the folder's FACTS.md has them; no sentence changes by NFC or strip."""
    with (real_data / "tatoeba" / "index.csv").open(encoding="utf-8") as file:
        codes = [row["laser_iso639_3"] for row in csv.DictReader(file) if row["in_xtreme_2020_36"] == "1"]
    sides = [read_parallel(real_data / "tatoeba", code).english for code in codes]
    texts = Counter(itertools.chain.from_iterable(sides))
    keys = Counter(sentence_key(text) for text in itertools.chain.from_iterable(sides))
    assert all(unicodedata.normalize("NFC", text).strip() == text for text in texts)
    assert {sentence_key(text): count for text, count in texts.items()} == keys
    assert (len(codes), keys.total(), len(keys)) == (36, 31692, 28234)
    assert sum(count > 1 for count in keys.values()) == 2433
    assert max(keys.values()) == 11
    assert keys[sentence_key("I have two cats.")] == 11


# --------------------------------------------------------------------------- mining sets


def write_mining(folder, split="dev", gold=("de-1\ten-2", "de-3\ten-1")):
    write(folder / f"de-en.{split}.de", [f"de-{n}\tSatz {n}" for n in (1, 2, 3)])
    write(folder / f"de-en.{split}.en", [f"en-{n}\tsentence {n}" for n in (1, 2)])
    write(folder / f"de-en.{split}.gold", gold)


@pytest.mark.parametrize(
    ("split", "asked", "place"),
    [
        ("dev", "dev", "."),
        ("test", "test", "."),
        ("sample", "dev", "de-en"),
        ("sample", "sample", "."),
        ("training", "test", "de-en"),
        ("training", "training", "de-en"),
    ],
)
def test_a_mining_set_is_read_under_both_names_of_its_split(tmp_path, split, asked, place):
    write_mining(tmp_path / place, split)
    assert mining_languages(tmp_path) == ("de",)
    text = read_mining(tmp_path, "de", asked)
    assert text.foreign_ids == ("de-1", "de-2", "de-3")
    assert text.foreign == ("Satz 1", "Satz 2", "Satz 3")
    assert text.english_ids == ("en-1", "en-2")
    assert text.gold == (("de-1", "en-2"), ("de-3", "en-1"))
    assert gold_rows(text).tolist() == [[0, 1], [2, 0]]


def test_test_does_not_become_training_where_its_gold_is_missing(tmp_path):
    """A threshold tuned on BUCC's training set must not be scored on the same set unseen."""
    write_mining(tmp_path, "training")
    write_mining(tmp_path, "test")
    (tmp_path / "de-en.test.gold").unlink()
    with pytest.raises(DataError, match=r"de-en\.test\.gold: there is no such file, and without gold"):
        read_mining(tmp_path, "de", "test")


@pytest.mark.parametrize(
    ("side", "line", "message"),
    [
        ("de", "de-1\tSatz", r'\.de, line 4: "de-1" is also the name of line 1'),
        ("en", "en-1\tSatz", r'\.en, line 3: "en-1" is also the name of line 1'),
        ("en", "en-4", r"\.en, line 3: 1 columns instead of 2"),
        ("de", "\tSatz", r"\.de, line 4: a blank line or column"),
        ("gold", "de-9\ten-1", r'\.gold, line 3: "de-9" is not in de-en\.dev\.de'),
        ("gold", "de-1\ten-9", r'\.gold, line 3: "en-9" is not in de-en\.dev\.en'),
        ("gold", "de-1\ten-2", r"\.gold, line 3: the same pair as in line 1"),
    ],
)
def test_bad_mining_files_are_refused_with_their_line(tmp_path, side, line, message):
    write_mining(tmp_path)
    with (tmp_path / f"de-en.dev.{side}").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        read_mining(tmp_path, "de", "dev")


def test_what_a_folder_of_mining_sets_lacks_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such folder"):
        mining_languages(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no mining set found.*<code>-en\.<split>\.<code>"):
        mining_languages(tmp_path)
    write_mining(tmp_path)
    with pytest.raises(DataError, match=r'no language "dd"\. Known: de'):
        read_mining(tmp_path, "dd", "dev")
    with pytest.raises(DataError, match=r'no split "tests"\. Did you mean "test"'):
        read_mining(tmp_path, "de", "tests")
    with pytest.raises(DataError, match=r"de-en\.test\.de: there is no such file"):
        read_mining(tmp_path, "de", "test")
    (tmp_path / "de-en.dev.en").unlink()
    with pytest.raises(DataError, match=r"de-en\.dev\.en: there is no such file"):
        read_mining(tmp_path, "de", "dev")


# --------------------------------------------------------------------------- the real files


def test_the_real_parallel_text_is_read_whole(real_data):
    """Sizes as the publishers state them (see data/README.md)."""
    tatoeba = real_data / "tatoeba"
    assert len(parallel_languages(tatoeba)) == 112
    assert len(read_parallel(tatoeba, "jav").foreign) == 205
    for code in ("cmn", "deu"):
        text = read_parallel(real_data / "ntrex", code)
        assert (len(text.foreign), len(text.documents), len(set(text.documents))) == (1997, 1997, 123)
    assert len(parallel_languages(real_data / "ntrex")) == 38


def test_the_real_contexts_pair_in_every_language(real_data):
    folder = real_data / "xquad"
    assert parallel_languages(folder) == ("de", "es", "hi", "ru", "zh")
    texts = [read_parallel(folder, code) for code in parallel_languages(folder)]
    assert {len(text.foreign) for text in texts} == {240}
    assert {len(set(text.documents)) for text in texts} == {48}
    assert len({text.english for text in texts}) == 1
    assert {text.documents[0] for text in texts} == {"Super_Bowl_50"}
