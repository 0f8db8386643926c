"""Student, two one-sided tests, multiplicity and the interval's words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from alignaudit.infer.equivalence import two_one_sided_tests
from alignaudit.infer.interval import Interval
from alignaudit.infer.multiplicity import benjamini_hochberg, holm
from alignaudit.infer.student import student_test


def test_equivalence_against_statsmodels():
    x, y = np.random.default_rng(0).normal(0, 1, (2, 12))
    d = y - x
    result = two_one_sided_tests(d.mean(), stats.sem(d), 11, bound=0.8)
    assert result.p_value == pytest.approx(ttost_paired(y, x, -0.8, 0.8)[0], rel=1e-10)


@pytest.mark.parametrize("estimate", np.linspace(-0.05, 0.05, 21))
def test_equivalent_exactly_when_the_interval_lies_inside(estimate):
    result = two_one_sided_tests(estimate, 0.01, 5, bound=0.03, alpha=0.05)
    assert result.equivalent == (result.conf_low > -0.03 and result.conf_high < 0.03)


def test_no_bound_means_no_verdict_but_an_interval():
    result = two_one_sided_tests(0.0, 0.01, 5, bound=np.nan)
    assert np.isnan(result.p_value)
    assert not result.equivalent
    assert result.conf_low < 0 < result.conf_high


def test_student_against_scipy():
    d = np.array([0.3, -0.1, 0.8, 0.5])
    expected = stats.ttest_1samp(d, 0)
    result = student_test(d.mean(), stats.sem(d), 3, conf_level=0.95)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.conf_low, result.conf_high) == pytest.approx(tuple(expected.confidence_interval()))


@pytest.mark.parametrize(("adjust", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_adjustments_against_statsmodels(adjust, name):
    p = np.random.default_rng(1).random(17) ** 3
    assert adjust(p) == pytest.approx(multipletests(p, method=name)[1], rel=1e-12)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_impossible_tests_count_in_the_family_and_stay_nan(adjust):
    adjusted = adjust([0.01, np.nan, 0.02])
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2]] == pytest.approx(adjust([0.01, 1.0, 0.02])[[0, 2]])


def test_an_empty_family_stays_empty():
    assert len(holm([])) == len(benjamini_hochberg([])) == 0


def test_interval_says_all_a_caption_needs():
    text = str(Interval(0.01, 0.03, 0.9, "t interval", "6 pairs of runs", 6, 5.0))
    assert text == "90 % interval [0.01, 0.03] (t interval with 5 df, over 6 pairs of runs)"
