"""The jackknife of the log SD ratio against leaving runs out by hand, and its level where F fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.equivalence import two_one_sided_tests
from alignaudit.infer.variance import log_sd_ratio, unpaired_log_sd_ratio
from alignaudit.infer.variance_robust import robust_log_sd_ratio, robust_unpaired_log_sd_ratio


def without(values, i):
    return [value for j, value in enumerate(values) if j != i]


def test_paired_standard_error_is_that_of_pairs_left_out():
    x, y = np.random.default_rng(1).normal(size=(2, 7))
    left_out = np.array(
        [math.log(np.std(without(y, i), ddof=1) / np.std(without(x, i), ddof=1)) for i in range(7)]
    )
    result = robust_log_sd_ratio(x, y)
    assert result.estimate == pytest.approx(math.log(y.std() / x.std()), rel=1e-12)
    assert result.standard_error == pytest.approx(math.sqrt((7 - 1) * left_out.var()), rel=1e-10)
    assert result.df == 6


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_grouped_standard_error_is_that_of_pairs_left_out(sizes, seed):
    groups = [name for name, size in zip("abcd", sizes, strict=False) for _ in range(size)]
    x, y = np.random.default_rng(seed).normal(size=(2, len(groups)))
    result = robust_log_sd_ratio(x, y, groups=groups)
    if len(groups) - len(sizes) < 2:
        assert math.isnan(result.p_value)
        return
    used = [i for i, name in enumerate(groups) if groups.count(name) > 1]
    left_out = []
    for i in used:
        part = without(groups, i)
        left_out.append(log_sd_ratio(*(np.array(without(v, i)) for v in (x, y)), groups=part).estimate)
    factors = np.array([1 - 1 / groups.count(groups[i]) for i in used])
    expected = (factors * (np.array(left_out) - np.mean(left_out)) ** 2).sum()
    if expected > 1e-9:
        assert result.standard_error**2 == pytest.approx(expected, rel=1e-6)
        assert result.df == len(groups) - len(sizes)


def test_unpaired_is_welch_of_the_arms_jackknife_variances():
    x, y = np.random.default_rng(2).normal(size=6), np.random.default_rng(3).normal(size=9)
    parts = []
    for arm in (x, y):
        logs = np.array([math.log(np.std(without(arm, i), ddof=1)) for i in range(len(arm))])
        parts.append((len(arm) - 1) * logs.var())
    result = robust_unpaired_log_sd_ratio(x, y)
    assert result.standard_error == pytest.approx(math.sqrt(sum(parts)), rel=1e-10)
    assert result.df == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 5 + parts[1] ** 2 / 8), rel=1e-9)
    expected = 2 * stats.t.sf(abs(result.estimate) / math.sqrt(sum(parts)), result.df)
    assert result.p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("test", [robust_log_sd_ratio, robust_unpaired_log_sd_ratio])
def test_scale_and_place_do_not_matter_and_a_factor_adds_its_logarithm(test):
    x, y = np.random.default_rng(4).normal(size=(2, 8))
    plain, moved = test(x, y), test(100 + 3 * x, -7 + 6 * y)
    assert moved.estimate == pytest.approx(plain.estimate + math.log(2), rel=1e-9)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)
    shifted = np.array([plain.conf_low, plain.conf_high]) + math.log(2)
    assert (moved.conf_low, moved.conf_high) == pytest.approx(tuple(shifted), rel=1e-9)


@pytest.mark.parametrize("test", [robust_log_sd_ratio, robust_unpaired_log_sd_ratio])
def test_exchanged_arms_turn_the_ratio(test):
    x, y = np.random.default_rng(5).normal(size=(2, 8))
    one, other = test(x, y), test(y, x)
    assert one.estimate == pytest.approx(-other.estimate)
    assert one.p_value == pytest.approx(other.p_value)


def test_equivalence_goes_with_the_interval():
    x, y = np.random.default_rng(6).normal(size=(2, 40))
    ratio = robust_log_sd_ratio(x, y, conf_level=0.9)
    for bound in (0.1, 0.3, 0.6, 1.0):
        found = two_one_sided_tests(ratio.estimate, ratio.standard_error, ratio.df, bound=bound)
        assert found.equivalent == (-bound < ratio.conf_low and ratio.conf_high < bound)


@pytest.mark.parametrize("test", [robust_log_sd_ratio, robust_unpaired_log_sd_ratio])
@pytest.mark.parametrize("x", [[0.1, 0.1, 0.1, 0.1], [1.0, 1.0, 1.0, 5.0]])
def test_an_arm_that_does_not_vary_or_only_by_one_run_is_not_tested(test, x):
    result = test(np.array(x), np.array([1.0, 2.0, 4.0, 3.0]))
    assert math.isnan(result.p_value)
    assert math.isnan(result.conf_low)
    assert result.sd_first == pytest.approx(np.std(x, ddof=1), abs=1e-15)


def test_arms_that_are_multiples_of_each_other_are_not_tested():
    x = np.array([1.0, 2.0, 4.0, 3.0])
    result = robust_log_sd_ratio(x, 2 * x)
    assert result.estimate == pytest.approx(math.log(2))
    assert math.isnan(result.p_value)


@pytest.mark.parametrize(
    "arms", [([], []), ([1.0, np.nan, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0], [1.0, 2.0, 4.0])]
)
def test_arms_that_are_none_are_refused(arms):
    with pytest.raises(FitError, match="log SD ratio"):
        robust_log_sd_ratio(*(np.array(arm) for arm in arms))


def test_groups_of_another_length_are_refused():
    with pytest.raises(FitError, match="one group"):
        robust_unpaired_log_sd_ratio(np.arange(4.0), np.arange(4.0), first_groups=["a"])


# ------------------------------------------------------------------------------------------ level

STUDIES = 2000
SLACK = 3.5 * math.sqrt(0.05 * 0.95 / STUDIES)


def rejections(draw, runs, seed, *tests):
    """Share of studies with equal SDs that each test rejects; half of the variance is shared by pairs."""
    shared, x, y = draw(np.random.default_rng(seed), (3, STUDIES, runs))
    first, second = (shared + x, shared + y) if tests[0] in (robust_log_sd_ratio, log_sd_ratio) else (x, y)
    p = [[test(a, b).p_value for test in tests] for a, b in zip(first, second, strict=True)]
    return (np.array(p) < 0.05).mean(axis=0)


def normal(rng, shape):
    return rng.normal(size=shape)


def failing(rng, shape):
    """One run in twenty has four times the SD."""
    return rng.normal(size=shape) * np.where(rng.random(shape) < 0.05, 4, 1)


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
def test_paired_level_for_normal_values(runs):
    (rate,) = rejections(normal, runs, 30 + runs, robust_log_sd_ratio)
    assert 0.035 - SLACK < rate < 0.065 + SLACK


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
def test_unpaired_level_for_normal_values(runs):
    (rate,) = rejections(normal, runs, 40 + runs, robust_unpaired_log_sd_ratio)
    # with 3 runs per arm it rejects next to nothing, as documented
    assert (0.035 - SLACK if runs > 3 else 0) <= rate < 0.065 + SLACK


@pytest.mark.parametrize("runs", [3, 20])
def test_paired_level_with_failing_runs_where_pitman_and_morgan_have_none(runs):
    robust, exact = rejections(failing, runs, 50 + runs, robust_log_sd_ratio, log_sd_ratio)
    assert robust < 0.065 + SLACK
    assert runs < 20 or exact > 0.12


@pytest.mark.parametrize("runs", [3, 20])
def test_unpaired_level_with_failing_runs_where_f_has_none(runs):
    robust, exact = rejections(failing, runs, 60 + runs, robust_unpaired_log_sd_ratio, unpaired_log_sd_ratio)
    assert robust < 0.065 + SLACK
    assert exact > robust + 0.02
    assert runs < 20 or exact > 0.2


@pytest.mark.parametrize("groups", [["a"] * 3 + ["b"] * 3, ["a"] * 4 + ["b"] * 4, list("aaabbbccc")])
def test_level_with_checkpoints(groups):
    rng = np.random.default_rng(70 + len(groups))
    x, y = rng.normal(size=(2, STUDIES, len(groups)))
    p = np.array([robust_log_sd_ratio(a, b, groups=groups).p_value for a, b in zip(x, y, strict=True)])
    assert 0.035 - SLACK < (p < 0.05).mean() < 0.065 + SLACK
