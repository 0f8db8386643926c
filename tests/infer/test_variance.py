from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.variance import (
    log_sd_ratio,
    log_sd_ratio_equivalence,
    unpaired_log_sd_ratio,
    unpaired_log_sd_ratio_equivalence,
)


def arms(seed, P, ratio=1.0, correlation=0.5):
    rng = np.random.default_rng(seed)
    covariance = [[1.0, correlation * ratio], [correlation * ratio, ratio**2]]
    return rng.multivariate_normal([0.0, 3.0], covariance, size=P).T


def test_p_is_that_of_the_correlation_of_sum_and_difference():
    x, y = arms(1, 9, 1.7)
    expected = stats.pearsonr(x + y, y - x)
    result = log_sd_ratio(x, y)
    assert result.df == 7
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert result.estimate == pytest.approx(math.log(y.std() / x.std()), rel=1e-12)


def test_bounds_are_the_ratios_that_the_test_just_does_not_reject():
    x, y = arms(2, 8, 1.3)
    result = log_sd_ratio(x, y, conf_level=0.9)
    for bound in (result.conf_low, result.conf_high):
        scaled = y * math.exp(-bound)
        assert stats.pearsonr(x + scaled, scaled - x).pvalue == pytest.approx(0.1, rel=1e-8)


def test_equivalence_p_is_the_one_sided_test_at_the_bound():
    x, y = arms(3, 12, 1.05, 0.9)
    bound = math.log(1.5)
    equivalence = log_sd_ratio_equivalence(log_sd_ratio(x, y), bound=bound)
    sides = []
    for theta, alternative in ((-bound, "greater"), (bound, "less")):
        scaled = y * math.exp(-theta)
        sides.append(stats.pearsonr(x + scaled, scaled - x, alternative=alternative).pvalue)
    assert equivalence.p_value == pytest.approx(max(sides), rel=1e-9)
    inside = -bound < equivalence.conf_low and equivalence.conf_high < bound
    assert equivalence.equivalent == inside


def test_checkpoint_means_are_removed_at_one_degree_of_freedom_each():
    x, y = arms(4, 10, 1.4)
    groups = ["a"] * 4 + ["b"] * 6
    shift = np.where(np.array(groups) == "a", 100.0, 0.0)
    plain, moved = log_sd_ratio(x, y, groups=groups), log_sd_ratio(x + shift, y - shift, groups=groups)
    assert plain.df == 7
    assert moved.estimate == pytest.approx(plain.estimate, abs=1e-9)
    assert moved.p_value == pytest.approx(plain.p_value, abs=1e-9)


def test_coverage_with_two_checkpoints_of_four_pairs():
    replicates, true = 2000, math.log(1.6)
    groups = ["a"] * 4 + ["b"] * 4
    covered = 0
    rng = np.random.default_rng(5)
    for _ in range(replicates):
        shared = rng.normal(size=8)
        x = shared + rng.normal(size=8)
        y = 1.6 * (0.5 * (x) + np.sqrt(0.75 * 2) * rng.normal(size=8))  # SD 1.6·√2, correlation 0.5
        result = log_sd_ratio(x, y, groups=groups)
        covered += result.conf_low <= true <= result.conf_high
    assert abs(covered / replicates - 0.95) < 3 * math.sqrt(0.05 * 0.95 / replicates)


@pytest.mark.parametrize(
    ("x", "y"),
    [([1.0, 2.0], [2.0, 5.0]), ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 5.0]), (range(5), range(5))],
)
def test_what_cannot_be_tested_is_nan(x, y):
    result = log_sd_ratio(np.array(x, dtype=float), np.array(y, dtype=float))
    assert math.isnan(result.p_value)
    assert not log_sd_ratio_equivalence(result, bound=0.4).equivalent


def test_arms_of_different_length_are_refused():
    with pytest.raises(FitError):
        log_sd_ratio(np.ones(3), np.ones(4))


# --------------------------------------------------------------------------------- unpaired arms


def test_the_variance_ratio_is_f_by_hand():
    # variances 1 with 2 df and 20/3 with 3 df
    result = unpaired_log_sd_ratio(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0, 8.0]))
    assert (result.statistic, result.df_first, result.df_second) == (pytest.approx(20 / 3), 2, 3)
    assert result.p_value == pytest.approx(2 * stats.f.sf(20 / 3, 3, 2), rel=1e-12)
    assert result.estimate == pytest.approx(0.5 * math.log(20 / 3))


def test_exchanged_arms_turn_the_ratio_and_keep_p():
    x, y = arms(6, 12, 1.8)
    one, other = unpaired_log_sd_ratio(x, y[:7]), unpaired_log_sd_ratio(y[:7], x)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-12)
    assert (one.conf_low, one.conf_high) == pytest.approx((-other.conf_high, -other.conf_low), rel=1e-9)


def test_unpaired_bounds_are_the_ratios_that_the_test_just_does_not_reject():
    x, y = arms(7, 9, 1.3)
    result = unpaired_log_sd_ratio(x, y[:5], conf_level=0.9)
    for bound in (result.conf_low, result.conf_high):
        p = unpaired_log_sd_ratio(x, y[:5] * math.exp(-bound)).p_value
        assert p == pytest.approx(0.1, rel=1e-9)


def test_unpaired_equivalence_is_the_one_sided_f_test_at_the_bound():
    x, y = arms(8, 20, 1.1)
    bound = math.log(2)
    result = unpaired_log_sd_ratio_equivalence(unpaired_log_sd_ratio(x, y), bound=bound)
    ratio = y.var(ddof=1) / x.var(ddof=1)
    sides = stats.f.sf(ratio * 4, 19, 19), stats.f.cdf(ratio / 4, 19, 19)
    assert result.p_value == pytest.approx(max(sides), rel=1e-9)
    assert result.equivalent == (-bound < result.conf_low and result.conf_high < bound)


def test_unpaired_group_means_are_removed():
    x, y = arms(9, 10, 1.4)
    groups = ["a"] * 4 + ["b"] * 6
    shift = np.where(np.array(groups) == "a", 100.0, 0.0)
    plain = unpaired_log_sd_ratio(x, y, first_groups=groups, second_groups=groups)
    moved = unpaired_log_sd_ratio(x + shift, y - shift, first_groups=groups, second_groups=groups)
    assert (plain.df_first, plain.df_second) == (8, 8)
    assert moved.p_value == pytest.approx(plain.p_value, abs=1e-9)
    assert plain.sd_first == pytest.approx(
        math.sqrt((x[:4].var() * 4 + x[4:].var() * 6) / 8)
    )  # pooled within groups


@pytest.mark.parametrize("x", [[1.0], [2.0, 2.0, 2.0]])
def test_unpaired_arms_that_do_not_vary_are_nan(x):
    result = unpaired_log_sd_ratio(np.array(x), np.array([1.0, 2.0, 4.0]))
    assert math.isnan(result.p_value)
    assert math.isnan(result.conf_low)
    assert not unpaired_log_sd_ratio_equivalence(result, bound=9.0).equivalent


@pytest.mark.parametrize("x", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_unpaired_arms_that_are_none_are_refused(x):
    with pytest.raises(FitError):
        unpaired_log_sd_ratio(np.array(x), np.arange(3.0))


@pytest.mark.parametrize("runs", [3, 5, 10, 20])
def test_both_tests_hold_their_level_for_normal_values(runs):
    studies = 2000
    rng = np.random.default_rng(20 + runs)
    shared, x, y = rng.normal(size=(3, studies, runs))
    p = np.array(
        [
            [log_sd_ratio(s + a, s + b).p_value, unpaired_log_sd_ratio(a, b).p_value]
            for s, a, b in zip(shared, x, y, strict=True)
        ]
    )
    error = math.sqrt(0.05 * 0.95 / studies)
    assert (abs((p < 0.05).mean(axis=0) - 0.05) < 3.5 * error).all()
