from __future__ import annotations

import argparse

import pytest

from alignaudit.cli.console import text_table
from alignaudit.cli.options import (
    pairs_argument,
    perturbation_argument,
    positive_integer,
    seeds_argument,
)


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


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "one", "1e3"])
def test_what_is_no_positive_integer(text):
    with pytest.raises(argparse.ArgumentTypeError, match="whole number of at least 1"):
        positive_integer(text)


def test_a_positive_integer():
    assert [positive_integer(text) for text in ("1", "064")] == [1, 64]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("typos=0.05,0.1", ("typos", (0.05, 0.1))),
        ("lower_casing=1", ("lower_casing", (1.0,))),
        ("typos=1e-3", ("typos", (0.001,))),
        ("anything=.5,.5", ("anything", (0.5, 0.5))),
    ],
)
def test_perturbations_as_written(text, read):
    assert perturbation_argument(text) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "NAME=RATE"),
        ("typos", "NAME=RATE"),
        ("typos=", "NAME=RATE"),
        ("typos=0.1,,0.2", "NAME=RATE"),
        ("typos=a", "NAME=RATE"),
        ("typos=0", "above 0 and at most 1"),
        ("typos=-0.1", "above 0 and at most 1"),
        ("typos=0.1,1.01", "above 0 and at most 1"),
        ("typos=nan", "above 0 and at most 1"),
        ("typos=inf", "above 0 and at most 1"),
    ],
)
def test_what_is_no_perturbation(text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        perturbation_argument(text)


def test_columns_line_up():
    lines = text_table(["name", "n"], [["a", "1"], ["longer name", "1000"]]).split("\n")
    assert lines == ["name            n", "a               1", "longer name  1000"]
