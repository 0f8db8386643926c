"""Ragged arrays against plain lists of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.experiment.tasks.ragged import Encoded, Ragged

LISTS = st.lists(st.lists(st.integers(-5, 2**31 - 1), max_size=6), max_size=12)


@given(LISTS)
def test_a_record_gives_its_arrays_back(lists):
    ragged = Ragged.of([np.array(part, dtype=np.int64) for part in lists])
    assert ragged.values.dtype == np.int32
    assert ragged.ends.dtype == np.int64
    assert len(ragged) == len(lists)
    assert [part.tolist() for part in ragged] == lists
    assert [ragged[place].tolist() for place in range(len(lists))] == lists
    assert [ragged[-1 - place].tolist() for place in range(len(lists))] == lists[::-1]
    assert ragged.lengths.tolist() == [len(part) for part in lists]
    for wrong in (len(lists), -len(lists) - 1):
        with pytest.raises(IndexError):
            ragged[wrong]


@given(LISTS, st.data())
def test_gather_is_the_arrays_one_after_the_other(lists, data):
    ragged = Ragged.of([np.array(part, dtype=np.int64) for part in lists])
    places = st.lists(st.integers(0, max(len(lists) - 1, 0)), max_size=9 if lists else 0)
    rows = np.array(data.draw(places), dtype=np.int64)
    assert ragged.gather(rows).tolist() == [value for row in rows for value in lists[row]]
    assert ragged.lengths_of(rows).tolist() == [len(lists[row]) for row in rows]


@given(st.lists(LISTS, min_size=1, max_size=4))
def test_joined_parts_follow_one_another(parts):
    arrays = [[np.array(one, dtype=np.int64) for one in part] for part in parts]
    joined = Ragged.joined([Ragged.of(part) for part in arrays])
    assert [one.tolist() for one in joined] == [one for part in parts for one in part]


def test_two_columns_are_kept():
    offsets = [np.array([[0, 3], [3, 5]]), np.empty((0, 2), dtype=int), np.array([[7, 9]])]
    ragged = Ragged.joined([Ragged.of(offsets[:2], columns=2), Ragged.of(offsets[2:], columns=2)])
    assert [part.shape for part in ragged] == [(2, 2), (0, 2), (1, 2)]
    assert [part.tolist() for part in ragged] == [part.tolist() for part in offsets]
    assert Ragged.of([], columns=2).values.shape == (0, 2)


def test_slices_are_views():
    ragged = Ragged.of([np.arange(3), np.arange(4)])
    assert all(np.shares_memory(ragged[place], ragged.values) for place in (0, 1))
    assert not np.shares_memory(ragged.gather(np.array([0, 1])), ragged.values)


def test_the_length_of_a_row_is_that_of_its_longest_text():
    texts = Ragged.of([np.arange(length) for length in (3, 5, 4, 1)])
    nothing = Ragged.empty(2)
    encoded = Encoded("multiple_choice", texts, 2, Ragged.of([[0], [1]]), nothing, nothing, np.arange(2))
    assert encoded.lengths.tolist() == [5, 4]
    assert encoded.lengths_of(np.array([1])).tolist() == [4]
    assert encoded.texts_of(np.array([1, 0])).tolist() == [[2, 3], [0, 1]]
