from __future__ import annotations

import argparse

import pytest

from alignaudit.cli.console import text_table
from alignaudit.cli.options import pairs_argument, seeds_argument


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (3,)), ("1-3,42", (1, 2, 3, 42)), ("0-1,1-2", (0, 1, 2)), ("2,1", (2, 1)), ("5-5", (5,))],
)
def test_seeds_as_written(text, seeds):
    assert seeds_argument(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "3-1", "1.5"])
def test_what_is_no_list_of_seeds(text):
    with pytest.raises(argparse.ArgumentTypeError):
        seeds_argument(text)


@pytest.mark.parametrize("text", ["", "3", "-4", "4.0", "four"])
def test_what_is_no_number_of_pairs(text):
    with pytest.raises(argparse.ArgumentTypeError):
        pairs_argument(text)


def test_a_number_of_pairs():
    assert pairs_argument("4") == 4


def test_columns_line_up():
    lines = text_table(["name", "n"], [["a", "1"], ["longer name", "1000"]]).split("\n")
    assert lines == ["name            n", "a               1", "longer name  1000"]
