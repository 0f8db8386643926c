"""Marginal means by averaging predictions, their contrasts by hand, and what may not be asked."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit.errors import FitError, UsageError
from alignaudit.infer.adjust import adjust
from alignaudit.infer.mixed.fit import fit_mixed
from alignaudit.infer.mixed.marginal import marginal_means

ARMS = ["b", "c", "a"]
SIZES = ["large", "small"]


@pytest.fixture(scope="module")
def frame(random_frame):
    """Return unbalanced data whose factors have stated levels."""
    data = random_frame(15, n=90)
    size = np.array(SIZES)[np.random.default_rng(15).choice(2, size=90, p=[0.7, 0.3])]
    return data.assign(arm=pd.Categorical(data["arm"], ARMS), size=pd.Categorical(size, SIZES))


@pytest.fixture(scope="module")
def fit(frame):
    return fit_mixed("y ~ arm * size + x + (1 | g)", frame)


def prediction(fit, arm: str, size: str, x: float) -> float:
    """Return the mean at a combination of levels, from the coefficients by name."""
    b = fit.fixed_effects
    total = b["Intercept"] + x * b["x"]
    total += 0.0 if arm == "b" else b[f"arm[T.{arm}]"]
    total += 0.0 if size == "large" else b["size[T.small]"]
    return total + (b[f"arm[T.{arm}]:size[T.small]"] if arm != "b" and size == "small" else 0.0)


def test_other_factors_have_equal_weight_and_numbers_their_mean(fit, frame):
    table = marginal_means(fit, "arm").tidy()
    expected = [np.mean([prediction(fit, arm, size, frame["x"].mean()) for size in SIZES]) for arm in ARMS]
    assert table["arm"].tolist() == ARMS
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-12)


def test_numbers_may_stand_elsewhere(fit):
    table = marginal_means(fit, "size", at={"x": -3.5}).tidy()
    expected = [np.mean([prediction(fit, arm, size, -3.5) for arm in ARMS]) for size in SIZES]
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-12)


def test_combinations_of_two_factors(fit, frame):
    means = marginal_means(fit, ["size", "arm"])
    keys = list(itertools.product(SIZES, ARMS))
    assert list(means.grid.itertuples(index=False, name=None)) == keys
    assert means.names == tuple(":".join(key) for key in keys)
    expected = [prediction(fit, arm, size, frame["x"].mean()) for size, arm in keys]
    np.testing.assert_allclose(means.tidy()["estimate"], expected, rtol=1e-12)


def test_standard_errors_and_intervals(fit):
    means = marginal_means(fit, "arm", df="satterthwaite")
    table, rows = means.tidy(conf_level=0.9), means.rows
    errors = np.sqrt(np.diag(rows @ fit.covariance.to_numpy() @ rows.T))
    half = stats.t.ppf(0.95, table["df"]) * errors
    np.testing.assert_allclose(table["std_error"], errors, rtol=1e-9)
    np.testing.assert_allclose(table["conf_low"], table["estimate"] - half, rtol=1e-9)
    np.testing.assert_allclose(table["conf_high"], table["estimate"] + half, rtol=1e-9)


def test_means_of_a_balanced_design_are_those_of_the_rows():
    rng = np.random.default_rng(1)
    cells = list(itertools.product("abc", "uv", range(5)))
    data = pd.DataFrame(cells, columns=["arm", "size", "g"])
    data["y"] = rng.normal(size=5)[data["g"]] + rng.normal(size=30)
    table = marginal_means(fit_mixed("y ~ arm * size + (1 | g)", data), "arm").tidy()
    np.testing.assert_allclose(table["estimate"], data.groupby("arm")["y"].mean(), rtol=1e-10)


PAIRS = {
    "pairwise": [(0, 1), (0, 2), (1, 2)],
    "reference": [(0, 1), (0, 2)],
    "consecutive": [(0, 1), (1, 2)],
}


@pytest.mark.parametrize("kind", PAIRS)
def test_contrasts_are_later_minus_earlier(kind, fit):
    means = marginal_means(fit, "arm")
    table, values = means.contrasts(kind, adjustment="none").tidy(), means.tidy()["estimate"]
    assert table["contrast"].tolist() == [f"{ARMS[j]}_minus_{ARMS[i]}" for i, j in PAIRS[kind]]
    np.testing.assert_allclose(table["estimate"], [values[j] - values[i] for i, j in PAIRS[kind]], rtol=1e-9)


@pytest.mark.parametrize("adjustment", ["holm", "bonferroni", "benjamini-hochberg", "hommel", "none"])
def test_adjusted_p_values(adjustment, fit):
    means = marginal_means(fit, "arm", df="satterthwaite")
    raw = means.contrasts(adjustment="none").tidy()
    p_values = 2 * stats.t.sf(np.abs(raw["estimate"] / raw["std_error"]), raw["df"])
    table = means.contrasts(adjustment=adjustment).tidy()
    np.testing.assert_allclose(table["p_value"], adjust(p_values.tolist(), adjustment), rtol=1e-12)


def test_simultaneous_intervals_of_bonferroni(fit):
    """Each of the three at 1 - alpha / 3."""
    table = marginal_means(fit, "arm").contrasts(adjustment="bonferroni").tidy(conf_level=0.94)
    half = stats.t.ppf(1 - 0.06 / 6, table["df"]) * table["std_error"]
    np.testing.assert_allclose(table["conf_high"] - table["estimate"], half, rtol=1e-9)


def test_tukey_intervals_exclude_zero_where_the_p_value_is_below_the_level(fit):
    contrasts = marginal_means(fit, "arm").contrasts()
    for p_value, row in zip(contrasts.tidy()["p_value"], range(3), strict=True):
        edge = contrasts.tidy(conf_level=1 - p_value).iloc[row]
        assert min(abs(edge["conf_low"]), abs(edge["conf_high"])) == pytest.approx(0, abs=1e-6)


def test_tukey_of_two_means_is_the_plain_test(fit):
    means = marginal_means(fit, "size")
    tukey, plain = (means.contrasts(adjustment=name).tidy() for name in ("tukey", "none"))
    pd.testing.assert_frame_equal(tukey, plain)


def test_interactions_are_differences_of_differences(fit, frame):
    table = marginal_means(fit, ["arm", "size"]).interactions(adjustment="none").tidy()
    x = frame["x"].mean()
    expected = {
        f"({b}_minus_{a}):(small_minus_large)": prediction(fit, b, "small", x)
        - prediction(fit, a, "small", x)
        - prediction(fit, b, "large", x)
        + prediction(fit, a, "large", x)
        for a, b in itertools.combinations(ARMS, 2)
    }
    assert table["contrast"].tolist() == list(expected)
    np.testing.assert_allclose(table["estimate"], list(expected.values()), rtol=1e-8)


def test_equivalence_by_two_one_sided_tests(fit):
    contrasts = marginal_means(fit, "arm", df="satterthwaite").contrasts(adjustment="none")
    raw = contrasts.tidy()
    table = contrasts.equivalence(0.8, alpha=0.1)
    lower = stats.t.sf((raw["estimate"] + 0.8) / raw["std_error"], raw["df"])
    upper = stats.t.cdf((raw["estimate"] - 0.8) / raw["std_error"], raw["df"])
    np.testing.assert_allclose(table["p_value"], np.maximum(lower, upper), rtol=1e-10)
    half = stats.t.ppf(0.9, raw["df"]) * raw["std_error"]
    np.testing.assert_allclose(table["conf_high"] - raw["estimate"], half, rtol=1e-10)
    assert table["equivalent"].tolist() == (table["p_value"] < 0.1).tolist()


def test_noninferiority_is_the_lower_test(fit):
    contrasts = marginal_means(fit, "arm", df="satterthwaite").contrasts(adjustment="none")
    raw, table = contrasts.tidy(), contrasts.noninferiority(0.3)
    expected = stats.t.sf((raw["estimate"] + 0.3) / raw["std_error"], raw["df"])
    np.testing.assert_allclose(table["p_value"], expected, rtol=1e-10)


@pytest.fixture(scope="module")
def empty_cell(frame):
    """Return a fit without rows at one combination of levels."""
    kept = ~((frame["arm"] == "c") & (frame["size"] == "small"))
    fit = fit_mixed("y ~ arm * size + (1 | g)", frame[kept])
    assert len(fit.model.design.dropped_columns) == 1
    return fit


@pytest.mark.parametrize("factors", ["arm", "size", ["arm", "size"]])
def test_means_over_an_empty_cell_are_refused(factors, empty_cell):
    with pytest.raises(FitError, match="cannot be estimated"):
        marginal_means(empty_cell, factors)


def test_means_stay_estimable_beside_a_redundant_column(frame):
    """A column that says twice the same takes nothing from any mean."""
    plain = fit_mixed("y ~ arm + x + (1 | g)", frame)
    more = fit_mixed("y ~ arm + x + I(2 * x) + (1 | g)", frame)
    ours, theirs = (marginal_means(fit, "arm", at={"x": 1.0}).tidy() for fit in (more, plain))
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=1e-9)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda fit: marginal_means(fit, "g"), '"g" is not a factor of the fixed part'),
        (lambda fit: marginal_means(fit, "x"), '"x" is not a factor of the fixed part'),
        (lambda fit: marginal_means(fit, ["arm", "sise"]), 'Did you mean "size"'),
        (lambda fit: marginal_means(fit, "arm", at={"z": 1.0}), '"z"'),
        (lambda fit: marginal_means(fit, "arm", at={"size": "small"}), '"size"'),
        (lambda fit: marginal_means(fit, "arm").contrasts("pairs"), 'no "pairs" contrasts'),
        (lambda fit: marginal_means(fit, "arm").contrasts(adjustment="tuckey"), 'Did you mean "tukey"'),
        (lambda fit: marginal_means(fit, "arm").contrasts("reference"), "is for all pairs"),
        (lambda fit: marginal_means(fit, "arm").interactions(), "exactly two factors"),
        (lambda fit: marginal_means(fit, ["arm", "size"]).interactions(adjustment="tukey"), "tukey"),
        (lambda fit: marginal_means(fit, "arm").contrasts().equivalence(0.0), "must be above zero"),
        (lambda fit: marginal_means(fit, "arm").contrasts().equivalence(math.nan), "must be above zero"),
        (lambda fit: marginal_means(fit, "arm").contrasts().noninferiority(-1.0), "must be above zero"),
        (lambda fit: marginal_means(fit, "arm").tidy(conf_level=95), "between 0 and 1"),
        (lambda fit: marginal_means(fit, "arm", df="kenward").tidy(), 'Did you mean "kenward-roger"'),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(ask, words, fit):
    with pytest.raises(UsageError, match=words):
        ask(fit)
