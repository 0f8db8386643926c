"""lme4's syntax, split into its parts."""

from __future__ import annotations

import pytest

from alignaudit.errors import FitError
from alignaudit.infer.mixed.formula import Bar, parse_formula

RANDOM_PARTS = [
    ("(1 | g)", ["(1 | g)"]),
    ("(1|g)", ["(1 | g)"]),
    ("(1 + x | g)", ["(1 + x | g)"]),
    ("(x || g)", ["(x || g)"]),
    ("(1 | a:b)", ["(1 | a:b)"]),
    ("(1 | a/b)", ["(1 | a)", "(1 | a:b)"]),
    ("(1 + x | a/b/c)", ["(1 + x | a)", "(1 + x | a:b)", "(1 + x | a:b:c)"]),
    ("(x || a/b)", ["(x || a)", "(x || a:b)"]),
    ("(1 | a) + (0 + x | a)", ["(1 | a)", "(0 + x | a)"]),
    ("(log(x) + I(x**2) | g)", ["(log(x) + I(x**2) | g)"]),
]
FIXED_PARTS = [
    ("(1 | g)", "1"),
    ("1 + (1 | g)", "1"),
    ("0 + (1 | g)", "0"),
    ("x + (1 | g)", "x"),
    ("(1 | g) + x", "x"),
    ("x + (1 | g) + z", "x + z"),
    ("x * z + (1 | g) + (1 | h) + w", "x * z + w"),
    ("(1 | g) + x - 1", "x - 1"),
    ("x*(z + w) + (1 | g)", "x*(z + w)"),
    ("log(x) + I((x + 1)**2) + (1 | g)", "log(x) + I((x + 1)**2)"),
    ("x + offset(o) + (1 | g)", "x"),
    ("offset(o) + (1 | g)", "1"),
    ("offset(o) + x + (1 | g)", "x"),
]


@pytest.mark.parametrize(("right", "bars"), RANDOM_PARTS)
def test_random_part(right, bars):
    assert [str(bar) for bar in parse_formula(f"y ~ x + {right}").bars] == bars


@pytest.mark.parametrize(("right", "fixed"), FIXED_PARTS)
def test_fixed_part(right, fixed):
    assert parse_formula(f"y ~ {right}").fixed == fixed


@pytest.mark.parametrize(
    ("left", "response", "failures"),
    [
        ("y", "y", None),
        ("log(y + 1)", "log(y + 1)", None),
        ("cbind(hits, misses)", "hits", "misses"),
        ("cbind(hits, n - hits)", "hits", "n - hits"),
        ("cbind(pmax(a, b), n)", "pmax(a, b)", "n"),
    ],
)
def test_response(left, response, failures):
    parsed = parse_formula(f"{left} ~ x + (1 | g)")
    assert (parsed.response, parsed.failures) == (response, failures)


@pytest.mark.parametrize(("right", "offset"), [("x", None), ("x + offset(o)", "o"), ("offset( o ) + x", "o")])
def test_offset(right, offset):
    assert parse_formula(f"y ~ {right} + (1 | g)").offset == offset


def test_text_has_single_spaces():
    assert parse_formula("y  ~ x\n  + (1 |  g)").text == "y ~ x + (1 | g)"


def test_group_of_a_crossed_term():
    assert Bar("1", ("seed", "schedule")).group == "seed:schedule"


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y", "not a formula with a response"),
        ("~ x + (1 | g)", "not a formula with a response"),
        ("y ~ ", "not a formula with a response"),
        ("y ~ x", "no random term"),
        ("y ~ x + (z + w)", "no random term"),
        ("y ~ x + (1 | g", "parentheses .* do not match"),
        ("y ~ x) + (1 | g)", "parentheses .* do not match"),
        ("y ~ x + 1 | g", "outside parentheses"),
        ("y ~ x + (1 | )", "not a random term"),
        ("y ~ x + ( | g)", "not a random term"),
        ("y ~ x + (1 | g | h)", "not a random term"),
        ("y ~ x + (1 ||| g)", "not a random term"),
        ("y ~ x + (1 | a*b)", "not the name of a column"),
        ("y ~ x + (1 | a/)", "not the name of a column"),
        ("y ~ x + (1 | factor(a))", "not the name of a column"),
    ],
)
def test_what_cannot_be_read(formula, words):
    with pytest.raises(FitError, match=words):
        parse_formula(formula)
