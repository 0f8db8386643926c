"""Rows of tables at places in any order, and what one column costs."""

from __future__ import annotations

import itertools

import datasets
import pytest

from alignaudit.experiment.tasks.examples import PackedRows, TableRows


@pytest.mark.parametrize("places", [*itertools.permutations((2, 4, 9)), (3, 4, 5), (5, 4, 3), (7,), ()])
def test_rows_come_in_the_order_of_their_places(places):
    """The first and the last place may be as far apart as in a slice of that length, and it is none."""
    table = TableRows(datasets.Dataset.from_dict({"text": [str(place) for place in range(12)]}))
    assert [row["text"] for row in table.many(places)] == [str(place) for place in places]


@pytest.mark.parametrize("places", list(itertools.permutations((2, 3, 4))))
def test_three_rows_in_a_row_are_not_sorted(places):
    table = TableRows(datasets.Dataset.from_dict({"text": [str(place) for place in range(12)]}))
    assert [row["text"] for row in table.many(places)] == [str(place) for place in places]


def test_a_column_of_packed_rows_is_that_of_the_rows():
    rows = [{"label": place % 3, "text": "x" * place} for place in range(20)]
    packed = PackedRows(iter(rows), {"label", "text"})
    assert packed.column("label") == [row["label"] for row in rows]
    assert packed.many([5, 2]) == [rows[5], rows[2]]
