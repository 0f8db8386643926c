from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure.edit_distance import character_error_rate, edit_distance
from alignaudit.measure.grapheme import clusters


def brute(source, target):
    """The dynamic programme, cell by cell (Wagner and Fischer 1974)."""
    table = [[i + j if not i or not j else 0 for j in range(len(target) + 1)] for i in range(len(source) + 1)]
    for i, left in enumerate(source, 1):
        for j, right in enumerate(target, 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (left != right))
    return table[-1][-1]


@settings(max_examples=300, deadline=None)
@given(st.text("abc", max_size=14), st.text("abc", max_size=14))
def test_distance_is_that_of_the_dynamic_programme(source, target):
    assert edit_distance(source, target) == brute(source, target)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_any_sequence_will_do(source, target):
    assert edit_distance(source, tuple(target)) == brute(source, target)


def test_distance_beyond_one_machine_word():
    generator = stream(1, "test_edit_distance")
    for length in (63, 64, 65, 130, 200):
        source, target = (generator.integers(0, 4, length + extra).tolist() for extra in (0, 7))
        assert edit_distance(source, target) == brute(source, target)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2), ("abc", "abc", 0), ("aaa", "aa", 1)],
)
def test_simple_distances(source, target, expected):
    assert edit_distance(source, target) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("aéहि्न한", min_size=1, max_size=9), st.text("aéहि्न한", max_size=9)), max_size=4
    )
)
def test_error_rate_is_distance_in_clusters_over_length(pairs):
    clean, written = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    expected = [brute(clusters(a), clusters(b)) / len(clusters(a)) for a, b in pairs]
    rates = character_error_rate(clean, written)
    assert rates.dtype == np.float64
    assert rates.tolist() == expected


def test_a_letter_in_two_encodings_is_no_error():
    text = "Não é fácil, ещё й 각"
    assert character_error_rate([text], [unicodedata.normalize("NFD", text)]).tolist() == [0.0]
    assert character_error_rate(["é"], ["e\u0300"]).tolist() == [1.0]


def test_a_rate_may_pass_one():
    assert character_error_rate(["ab"], ["abxyz"]).tolist() == [1.5]


def test_sentences_must_pair_and_be_written():
    with pytest.raises(DataError, match="1 clean and 2 written"):
        character_error_rate(["a"], ["a", "b"])
    with pytest.raises(DataError, match="Sentence 1 is empty"):
        character_error_rate(["a", ""], ["a", ""])
