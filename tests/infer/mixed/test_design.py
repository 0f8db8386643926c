"""From a formula and a data frame to arrays: every column computed by hand here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from alignaudit.errors import FitError
from alignaudit.infer.mixed.design import build_design

# Levels are met as late, early, mid, so neither their order nor its reverse is that of the alphabet.
FRAME = pd.DataFrame(
    {
        "y": [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, 5.5, 3.5, 8.0, 9.5],
        "x": [0.0, 1.0, 2.0, 0.5, 1.5, 2.5, 0.0, 1.0, 2.0, 0.5, 1.5, 2.5],
        "w": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
        "arm": ["late", "early", "mid"] * 4,
        "g": ["v", "v", "v", "u", "u", "u", "t", "t", "t", "s", "s", "s"],
        "h": [2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1],
        "hits": [1, 0, 2, 1, 0, 2, 1, 0, 2, 1, 0, 2],
        "n": [3] * 12,
    }
)


def test_first_level_to_appear_is_the_reference():
    assert build_design("y ~ arm + (1 | g)", FRAME).fixed_names == ("Intercept", "arm[T.early]", "arm[T.mid]")


def test_first_category_is_the_reference():
    frame = FRAME.assign(arm=pd.Categorical(FRAME["arm"], ["mid", "late", "early"]))
    assert build_design("y ~ arm + (1 | g)", frame).fixed_names == (
        "Intercept",
        "arm[T.late]",
        "arm[T.early]",
    )


def test_stated_order_goes_before_the_categories():
    frame = FRAME.assign(arm=pd.Categorical(FRAME["arm"], ["mid", "late", "early"]))
    design = build_design("y ~ arm + (1 | g)", frame, levels={"arm": ["early", "mid", "late"]})
    assert design.fixed_names == ("Intercept", "arm[T.mid]", "arm[T.late]")


def test_numbers_become_a_factor_where_levels_are_stated():
    assert build_design("y ~ h + (1 | g)", FRAME, levels={"h": [2, 1]}).fixed_names == ("Intercept", "h[T.1]")


def test_categories_that_do_not_occur_are_no_levels():
    frame = FRAME.assign(arm=pd.Categorical(FRAME["arm"], ["never", "late", "early", "mid"]))
    assert build_design("y ~ arm + (1 | g)", frame).fixed_names == ("Intercept", "arm[T.early]", "arm[T.mid]")


def test_levels_of_groups_by_first_appearance():
    term = build_design("y ~ x + (1 | g)", FRAME).terms[0]
    assert term.levels == ("v", "u", "t", "s")
    assert term.index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_levels_of_crossed_groups_vary_fastest_in_the_last_factor():
    """Only combinations that occur are groups, those of numbers in the order of the numbers."""
    term = build_design("y ~ x + (1 | h:arm)", FRAME.iloc[:10]).terms[0]
    assert term.levels == ("1:late", "1:early", "1:mid", "2:late", "2:early", "2:mid")
    assert [term.levels[i] for i in term.index[:3]] == ["2:late", "1:early", "2:mid"]


def test_three_factors_cross():
    """The brute-force oracle names each row's group by itself."""
    term = build_design("y ~ x + (1 | arm:h:w)", FRAME).terms[0]
    expected = [f"{row.arm}:{row.h}:{row.w:g}" for row in FRAME.itertuples()]
    assert [term.levels[i] for i in term.index] == expected
    assert set(term.levels) == set(expected)


def test_nesting_is_short_for_two_terms():
    nested = build_design("y ~ x + (1 | h/arm)", FRAME)
    written = build_design("y ~ x + (1 | h) + (1 | h:arm)", FRAME)
    assert [term.group for term in nested.terms] == ["h:arm", "h"]
    for one, other in zip(nested.terms, written.terms, strict=True):
        assert one.levels == other.levels
        np.testing.assert_array_equal(one.index, other.index)


def test_correlated_effects_stand_in_one_term():
    term = build_design("y ~ x + (1 + x | g)", FRAME).terms[0]
    assert term.columns == ("Intercept", "x")
    np.testing.assert_array_equal(term.values, np.column_stack([np.ones(12), FRAME["x"]]))


def test_double_bar_makes_a_term_for_each_column():
    terms = build_design("y ~ x + (1 + x || g) + (1 | h)", FRAME).terms
    assert [(term.group, term.columns) for term in terms] == [
        ("g", ("Intercept",)), ("g", ("x",)), ("h", ("Intercept",)),
    ]  # fmt: skip


# lme4 1.1-31: names(getME(lmer(formula, d), "theta")) with a and b of 4 levels each, and c of 6.
TERM_ORDERS = [
    ("(1 | a) + (1 | b)", ["a.Intercept", "b.Intercept"]),
    ("(1 | a) + (1 | c) + (1 | b)", ["c.Intercept", "b.Intercept", "a.Intercept"]),
    ("(1 | c) + (1 | a) + (1 | b)", ["c.Intercept", "a.Intercept", "b.Intercept"]),
    ("(1 | a) + (0 + x | a) + (1 | c)", ["c.Intercept", "a.x", "a.Intercept"]),
    ("(x || a) + (1 | c)", ["c.Intercept", "a.x", "a.Intercept"]),
    ("(x || c) + (1 | a)", ["c.Intercept", "c.x", "a.Intercept"]),
    ("(1 | a/c)", ["a:c.Intercept", "a.Intercept"]),
    ("(1 | b) + (1 | a:c) + (1 | a)", ["a:c.Intercept", "a.Intercept", "b.Intercept"]),
]


@pytest.mark.parametrize(("random", "order"), TERM_ORDERS)
def test_terms_stand_in_the_order_of_lme4(random, order):
    cells = [(a, b, c, r) for a in "pqrs" for b in "pqrs" for c in "uvwxyz" for r in range(2)]
    frame = pd.DataFrame(cells, columns=["a", "b", "c", "r"])
    values = np.random.default_rng(1).normal(size=(2, len(frame)))
    terms = build_design(f"y ~ 1 + {random}", frame.assign(y=values[0], x=values[1])).terms
    assert [f"{term.group}.{term.columns[0]}" for term in terms] == order


def test_fixed_columns():
    design = build_design("y ~ x * arm + (1 | g)", FRAME)
    x, early, mid = FRAME["x"], FRAME["arm"] == "early", FRAME["arm"] == "mid"
    columns = [np.ones(12), early, mid, x, x * early, x * mid]
    by_name = dict(zip(design.fixed_names, design.fixed.T, strict=True))
    names = ["Intercept", "arm[T.early]", "arm[T.mid]", "x", "x:arm[T.early]", "x:arm[T.mid]"]
    np.testing.assert_array_equal(
        np.column_stack([by_name[name] for name in names]), np.column_stack(columns)
    )


def test_fixed_rows_of_other_data():
    design = build_design("y ~ x * arm + (1 | g)", FRAME)
    rows = FRAME.iloc[[4, 2]]
    frame = rows.assign(arm=pd.Categorical(rows["arm"], ["late", "early", "mid"]))
    np.testing.assert_array_equal(design.fixed_rows(frame), design.fixed[[4, 2]])


@pytest.mark.parametrize("transform", ["I(x**2)", "exp(x)", "center(x)", "poly(x, 2)"])
def test_columns_used_only_within_a_transform(transform):
    """The column of the transform stands nowhere else in the formula."""
    design = build_design(f"y ~ {transform} + (1 | g)", FRAME)
    x = FRAME["x"].to_numpy()
    hand = {"I(x**2)": x**2, "exp(x)": np.exp(x), "center(x)": x - x.mean()}
    expected = np.column_stack([np.ones(12), hand.get(transform, np.column_stack([x, x**2]))])
    projection = expected @ np.linalg.pinv(expected)
    np.testing.assert_allclose(projection @ design.fixed, design.fixed, atol=1e-12)
    assert design.fixed.shape == expected.shape


def test_dependent_fixed_columns_are_left_out_and_named():
    design = build_design("y ~ x + I(2 * x + 1) + arm + (1 | g)", FRAME)
    assert design.dropped_columns == ("I(2 * x + 1)",)
    assert design.fixed_names == ("Intercept", "x", "arm[T.early]", "arm[T.mid]")


def test_rows_with_missing_values_are_left_out_and_counted():
    frame = FRAME.assign(y=[np.nan, *FRAME["y"][1:]], g=[*FRAME["g"][:-1], None])
    design = build_design("y ~ x + (1 | g)", frame)
    assert design.dropped_rows == 2
    np.testing.assert_array_equal(design.response, FRAME["y"][1:-1])
    assert [design.terms[0].levels[i] for i in design.terms[0].index] == FRAME["g"][1:-1].tolist()


def test_missing_values_elsewhere_do_not_matter():
    frame = FRAME.assign(w=np.nan)
    assert build_design("y ~ x + (1 | g)", frame).dropped_rows == 0


def test_rows_without_a_weight_are_left_out():
    weights = [np.nan, *[1.0] * 11]
    assert build_design("y ~ x + (1 | g)", FRAME, weights=weights).dropped_rows == 1


def test_response_of_an_expression():
    design = build_design("log(y) - x ~ arm + (1 | g)", FRAME)
    np.testing.assert_allclose(design.response, np.log(FRAME["y"]) - FRAME["x"], rtol=1e-15)


def test_counts_and_trials():
    design = build_design("cbind(hits, n - hits) ~ x + (1 | g)", FRAME)
    np.testing.assert_array_equal(design.response, FRAME["hits"])
    np.testing.assert_array_equal(design.trials, FRAME["n"])


@pytest.mark.parametrize(
    "given",
    ["w", FRAME["w"].tolist(), FRAME["w"].to_numpy(), FRAME["w"]],
    ids=["column", "list", "array", "series"],
)
@pytest.mark.parametrize("what", ["weights", "offset"])
def test_weights_and_offset(what, given):
    design = build_design("y ~ x + (1 | g)", FRAME, **{what: given})
    np.testing.assert_array_equal(getattr(design, what), FRAME["w"])


def test_offset_in_the_formula():
    design = build_design("y ~ x + offset(w) + (1 | g)", FRAME)
    np.testing.assert_array_equal(design.offset, FRAME["w"])
    assert design.fixed_names == ("Intercept", "x")


def test_weights_and_offset_by_default():
    design = build_design("y ~ x + (1 | g)", FRAME)
    np.testing.assert_array_equal(design.weights, np.ones(12))
    np.testing.assert_array_equal(design.offset, np.zeros(12))


def test_residual_groups():
    design = build_design("y ~ x + (1 | g)", FRAME, residuals="arm")
    assert design.residual_levels == ("late", "early", "mid")
    np.testing.assert_array_equal(design.residual_groups, [0, 1, 2] * 4)


def test_saturated_groupings_are_allowed_for_counts():
    frame = FRAME.assign(row=np.arange(12))
    design = build_design("cbind(hits, n - hits) ~ x + (1 | row)", frame, saturated=True)
    assert len(design.terms[0].levels) == 12


ALL_INFINITE = FRAME.assign(x=[np.inf, *FRAME["x"][1:]])
REFUSED = [
    ("y ~ xx + (1 | g)", FRAME, {}, 'no column "xx".*Did you mean "x"'),
    ("y ~ x + (1 | gg)", FRAME, {}, 'no column "gg".*Did you mean "g"'),
    ("yy ~ x + (1 | g)", FRAME, {}, 'no column "yy"'),
    ("y ~ x + (z | g)", FRAME, {}, 'no column "z"'),
    ("y ~ x + offset(z) + (1 | g)", FRAME, {}, 'no column "z"'),
    ("y ~ x + (1 | g)", FRAME, {"weights": "z"}, 'no column "z"'),
    ("y ~ x + (1 | g)", FRAME, {"residuals": "z"}, 'no column "z"'),
    ("y ~ x $ w + (1 | g)", FRAME, {}, "cannot read"),
    ("y ~ x + (1 | g)", FRAME.assign(y=np.nan), {}, "every row .* missing value"),
    ("y ~ x + (1 | g)", FRAME.iloc[:0], {}, "no rows"),
    ("y ~ log(x - 100) + (1 | g)", FRAME.assign(x=FRAME["x"].abs()), {}, "not finite in every row"),
    ("y ~ x + one + (1 | g)", FRAME.assign(one="a"), {}, '"one" has a single level'),
    ("y ~ _weights + (1 | g)", FRAME.rename(columns={"x": "_weights"}), {}, "a name of ours"),
    ("y ~ x + offset(x) + (1 | g)", FRAME, {"offset": "x"}, "in the formula and in the call"),
    ("y ~ x + (1 | g)", ALL_INFINITE, {}, "infinite"),
    ("y ~ x + (1 | g)", FRAME, {"weights": [np.inf, *[1.0] * 11]}, "infinite"),
    ("y ~ x + (1 | g)", FRAME.assign(g="only"), {}, 'grouping "g" has a single group'),
    ("y ~ arm + (1 | y)", FRAME, {}, "effects of 12 groups .* cannot be told from the residuals of 12 rows"),
    ("y ~ arm + (1 + x + w | g)", FRAME, {}, "3 effects of 4 groups"),
    ("y ~ x + (0 | g)", FRAME, {}, "no effects"),
    ("y ~ x + (0 + z | g)", FRAME.assign(z=0.0), {}, '"z" of .* is zero in every row'),
    ("y ~ x + (1 | g)", FRAME, {"weights": [0.0, *[1.0] * 11]}, "weights must be above zero"),
    ("y ~ x + (1 | g)", FRAME, {"weights": [-1.0, *[1.0] * 11]}, "weights must be above zero"),
    ("y ~ x + (1 | g)", FRAME, {"weights": [1.0, 2.0]}, "weights"),
    ("y ~ x + (1 | g)", FRAME, {"weights": "arm"}, "weights"),
    ("y ~ x + (1 | g)", FRAME.assign(z="k"), {"residuals": "z"}, 'residual grouping "z" has a single group'),
    ("y ~ arm + (1 | g)", FRAME, {"levels": {"arm": ["late", "mid"]}}, 'levels of "arm" lack early'),
    ("arm ~ x + (1 | g)", FRAME, {}, 'response "arm" is not a number'),
    ("log(y) ~ x + (1 | g)", FRAME.assign(y=-FRAME["y"]), {}, 'response "log'),
    ("1 / w ~ x + (1 | g)", FRAME.assign(w=0.0), {}, "response .* is not finite"),
    ("y ~ factorial(x) + (1 | g)", FRAME, {}, "factorial"),
    ("y ~ x * arm * w * h + (1 | g)", FRAME.iloc[:5], {}, "5 fixed effects cannot be estimated from 5 rows"),
]


@pytest.mark.parametrize(("formula", "frame", "options", "words"), REFUSED)
def test_what_is_refused(formula, frame, options, words):
    with pytest.raises(FitError, match=words):
        build_design(formula, frame, **options)


def test_messages_hold_no_control_characters():
    """They are printed in logs and reports, not only in terminals."""
    with pytest.raises(FitError) as caught:
        build_design("y ~ x $ w + (1 | g)", FRAME)
    assert "\x1b" not in str(caught.value)
