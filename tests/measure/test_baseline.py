from __future__ import annotations

import csv
import math
from collections import Counter

import numpy as np
import pytest

from alignaudit.errors import DataError
from alignaudit.measure.baseline import character_ngram_accuracy, character_ngram_vectors

FOREIGN = ["Das alte Haus", "Ein Garten", "Milch!", ""]
ENGLISH = ["the old house", "a garden", "milk", "???"]
LANGUAGES = (
    "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th "
    "tl tr ur vi zh"
).split()


def weights(sentences):
    """TF-IDF by its definition, one dictionary a sentence."""
    counts = []
    for sentence in sentences:
        text = " " + sentence.lower() + " "
        counts.append(Counter(text[i : i + n] for n in (1, 2, 3, 4) for i in range(len(text) - n + 1)))
    holding = Counter(gram for count in counts for gram in count)
    rows = [
        {
            gram: (1 + math.log(f)) * (1 + math.log((1 + len(sentences)) / (1 + holding[gram])))
            for gram, f in count.items()
        }
        for count in counts
    ]
    return [{gram: w / math.hypot(*row.values()) for gram, w in row.items()} for row in rows]


def test_cosines_equal_the_definition():
    foreign, english = character_ngram_vectors(FOREIGN, ENGLISH)
    rows = weights(FOREIGN + ENGLISH)
    expected = [
        [sum(w * right.get(gram, 0) for gram, w in left.items()) for right in rows[4:]] for left in rows[:4]
    ]
    np.testing.assert_allclose((foreign @ english.T).toarray(), expected, rtol=0, atol=1e-14)


def test_rows_have_unit_length_even_without_characters():
    foreign, _ = character_ngram_vectors(FOREIGN, ENGLISH)
    np.testing.assert_allclose(foreign.multiply(foreign).sum(axis=1), 1, rtol=1e-12)


def test_equal_sentences_share_the_credit():
    found = character_ngram_accuracy(["ja", "ja", "nein"], ["ja", "ja", "no"])
    np.testing.assert_array_equal(found.foreign_to_english.correct, [0.5, 0.5, 1])


def test_copies_are_all_found():
    found = character_ngram_accuracy(ENGLISH, ENGLISH)
    assert found.english_to_foreign.rank.tolist() == [1, 1, 1, 1]


def test_sides_that_do_not_pair_are_refused():
    with pytest.raises(DataError, match="1 foreign and 2 English sentences do not pair"):
        character_ngram_accuracy(["a"], ["a", "b"])


def test_no_sentence_is_refused():
    with pytest.raises(DataError, match="0 foreign and 0 English"):
        character_ngram_accuracy([], [])


@pytest.fixture(scope="module")
def published(reference_folder):
    with (reference_folder / "tatoeba36_published.csv").open(encoding="utf-8", newline="") as file:
        return {row["lang"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_tatoeba_accuracies_are_those_of_the_file(language, published, tatoeba_folder):
    """The file has one decimal, so an equal percentage differs by at most 0.05."""
    row = published[language]
    code = row["iso3"]
    foreign, english = (
        (tatoeba_folder / f"tatoeba.{code}-eng.{side}").read_text(encoding="utf-8").split("\n")[:-1]
        for side in (code, "eng")
    )
    found = character_ngram_accuracy(foreign, english)
    gold = np.arange(len(foreign))
    forward = 100 * np.mean(found.foreign_to_english.prediction == gold)
    backward = 100 * np.mean(found.english_to_foreign.prediction == gold)
    assert forward == pytest.approx(float(row["char_tfidf_x2en_pct"]), abs=0.05 + 1e-9)
    assert backward == pytest.approx(float(row["char_tfidf_en2x_pct"]), abs=0.05 + 1e-9)
