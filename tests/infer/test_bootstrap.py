from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.bootstrap import multi_bootstrap

METHODS = ["studentised", "bca", "percentile"]


def stream(name="bootstrap"):
    return rng.stream(1, name)


def macro_mean(values, languages):
    names = np.array(languages)
    return np.mean([values[:, names == name].mean() for name in sorted(set(languages))])


# ------------------------------------------------------------------------------- point and error


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), paired=st.booleans())
def test_estimate_is_the_macro_mean_of_uneven_languages(seed, paired):
    x, y = np.random.default_rng(seed).normal(size=(2, 4, 7))
    languages = list("abacaba")
    result = multi_bootstrap(x, y, paired=paired, rng=stream(), languages=languages, draws=99)
    assert result.estimate == pytest.approx(macro_mean(y, languages) - macro_mean(x, languages), abs=1e-12)
    assert (result.n_items, result.n_languages) == (7, 3)


def jackknife_variance(values):
    return (len(values) - 1) / len(values) * np.sum((values - np.mean(values)) ** 2)


@pytest.mark.parametrize("over", ["runs", "runs_and_items", "runs_and_languages"])
def test_standard_error_is_the_jackknife_of_every_axis_written_out(over):
    x, y = np.random.default_rng(2).normal(size=(2, 5, 9))
    languages = np.array(list("abacabaca"))
    d = y - x
    variance = jackknife_variance([macro_mean(np.delete(d, r, 0), languages) for r in range(5)])
    if over == "runs_and_items":
        for name in "abc":
            own = np.flatnonzero(languages == name)
            left = [macro_mean(np.delete(d, i, 1), np.delete(languages, i)) for i in own]
            variance += jackknife_variance(left)
    if over == "runs_and_languages":
        left = [macro_mean(d[:, languages != name], languages[languages != name]) for name in "abc"]
        variance += jackknife_variance(left)
    result = multi_bootstrap(x, y, paired=True, rng=stream(), over=over, languages=languages, draws=99)
    assert result.standard_error == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_unpaired_standard_error_adds_the_arms():
    generator = np.random.default_rng(3)
    x, y = generator.normal(size=(4, 6)), generator.normal(size=(7, 6))
    items = (y.mean(axis=0) - x.mean(axis=0)).var(ddof=1) / 6
    runs = x.mean(axis=1).var(ddof=1) / 4 + y.mean(axis=1).var(ddof=1) / 7
    result = multi_bootstrap(x, y, paired=False, rng=stream(), draws=99)
    assert result.standard_error == pytest.approx(np.sqrt(runs + items), rel=1e-10)
    assert (result.n_first, result.n_second) == (4, 7)


# ----------------------------------------------------------------------------------- the draws


def enumerated(d):
    """Deviation and standard error of all R^R · I^I equally likely resamples, by plain indexing."""
    R, I = d.shape  # noqa: E741
    found = []
    for rows, columns in product(product(range(R), repeat=R), product(range(I), repeat=I)):
        sample = d[list(rows)][:, list(columns)]
        variance = sample.mean(axis=1).var(ddof=1) / R + sample.mean(axis=0).var(ddof=1) / I
        found.append((sample.mean() - d.mean(), np.sqrt(variance)))
    return np.array(found).T


@pytest.fixture(scope="module")
def small():
    d = np.random.default_rng(17).normal(0.9, 1, (3, 4))
    return d, *enumerated(d)


def exact_p(method, d, deviations, errors):
    estimate = d.mean()
    if method == "studentised":
        error = np.sqrt(d.mean(axis=1).var(ddof=1) / 3 + d.mean(axis=0).var(ddof=1) / 4)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where(errors > 1e-12, np.abs(deviations) / errors, np.inf)
        return np.mean(sizes >= abs(estimate) / error - 1e-9)
    below = np.mean(estimate + deviations <= 0)
    if method == "bca":  # Efron 1987 with the influences of runs and items as two samples
        runs, items = (d.mean(axis=1) - estimate) / 3, (d.mean(axis=0) - estimate) / 4
        both = np.concatenate([runs, items])
        a = np.sum(both**3) / (6 * np.sum(both**2) ** 1.5)
        z0 = stats.norm.ppf(np.mean(deviations < -1e-12) + 0.5 * np.mean(np.abs(deviations) <= 1e-12))
        z = stats.norm.ppf(below) - z0
        below = stats.norm.cdf(z / (1 + a * z) - z0)
    return 2 * min(below, 1 - below)


@pytest.mark.parametrize("method", METHODS)
def test_p_is_that_of_all_resamples(small, method):
    d, *resamples = small
    expected = exact_p(method, d, *resamples)
    assert 0.002 < expected < 0.5
    result = multi_bootstrap(np.zeros_like(d), d, paired=True, rng=stream(), method=method, draws=39_999)
    # four Monte-Carlo standard errors of twice a tail; bias adds as much again for BCa
    assert abs(result.p_value - expected) < 8 * np.sqrt(expected / 2 / 40_000) + 1 / 40_000


def test_percentile_bounds_are_quantiles_of_all_resamples(small):
    d, deviations, _ = small
    result = multi_bootstrap(
        np.zeros_like(d), d, paired=True, rng=stream(), method="percentile", conf_level=0.9, draws=39_999
    )
    # ranks may be off by four Monte-Carlo standard errors
    slack = 4 * np.sqrt(0.05 * 0.95 / 40_000)
    for bound, share in ((result.interval.low, 0.05), (result.interval.high, 0.95)):
        low, high = d.mean() + np.quantile(deviations, [share - slack, share + slack], method="inverted_cdf")
        assert low - 1e-9 <= bound <= high + 1e-9


@pytest.mark.parametrize(("method", "name"), [("percentile", "percentile"), ("bca", "BCa")])
def test_runs_alone_against_scipy(method, name):
    d = np.random.default_rng(5).gamma(1.0, size=9)
    expected = stats.bootstrap(
        (d,), np.mean, method=name, n_resamples=19_999, rng=np.random.default_rng(1)
    ).confidence_interval
    result = multi_bootstrap(
        np.zeros((9, 1)), d[:, None], paired=True, rng=stream(), method=method, draws=19_999
    )
    # a 2.5 % quantile of B = 19,999 draws has a standard error of .019 SE; BCa's z0 doubles it
    tolerance = 4 * 2 * 0.019 * np.sqrt(2) * stats.sem(d)
    assert result.interval.low == pytest.approx(expected.low, abs=tolerance)
    assert result.interval.high == pytest.approx(expected.high, abs=tolerance)


def test_studentised_runs_come_near_the_t_interval_for_many_normal_runs():
    d = np.random.default_rng(6).normal(0.2, 1, 60)
    low, high = stats.ttest_1samp(d, 0).confidence_interval()
    result = multi_bootstrap(np.zeros((60, 1)), d[:, None], paired=True, rng=stream(), draws=19_999)
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high), abs=0.02)
    assert result.p_value == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(METHODS), paired=st.booleans())
def test_p_is_below_alpha_exactly_when_zero_lies_outside(seed, method, paired):
    x, y = np.random.default_rng(seed).normal(size=(2, 6, 5))
    result = multi_bootstrap(x, y + 0.5, paired=paired, rng=stream(), method=method, draws=999)
    outside = result.interval.low > 0 or result.interval.high < 0
    if method != "bca" or abs(result.p_value - 0.05) > 0.01:  # BCa bounds interpolate between ranks
        assert outside == (result.p_value <= 0.05)


def test_language_draws_are_item_draws_of_language_means():
    x, y = np.random.default_rng(7).normal(size=(2, 5, 12))
    languages = list("abc" * 4)
    means = (values.reshape(5, 4, 3).mean(axis=1) for values in (x, y))
    whole = multi_bootstrap(x, y, paired=True, rng=stream(), over="runs_and_languages", languages=languages)
    by_mean = multi_bootstrap(*means, paired=True, rng=stream(), over="runs_and_items")
    assert (whole.interval.low, whole.p_value) == pytest.approx((by_mean.interval.low, by_mean.p_value))


def test_one_item_per_language_leaves_nothing_but_runs_to_draw():
    x, y = np.random.default_rng(8).normal(size=(2, 5, 4))
    result = multi_bootstrap(x, y, paired=True, rng=stream(), languages=list("abcd"))
    runs = multi_bootstrap(x, y, paired=True, rng=stream(), over="runs")
    assert result.standard_error == pytest.approx(runs.standard_error)


def test_memory_is_cut_into_batches_without_losing_draws(monkeypatch):
    x, y = np.random.default_rng(9).normal(size=(2, 4, 50))
    monkeypatch.setattr("alignaudit.infer.bootstrap.CELLS", 1000)
    result = multi_bootstrap(x, y + 5, paired=True, rng=stream(), method="percentile", draws=4_001)
    assert result.p_value == pytest.approx(2 / 4_002)


# ---------------------------------------------------------------------------------- invariances


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), method=st.sampled_from(METHODS), scale=st.sampled_from([1e-4, 0.1, 100.0])
)
def test_shift_and_scale_of_the_scores(seed, method, scale):
    x, y = np.random.default_rng(seed).normal(size=(2, 5, 6))
    one = multi_bootstrap(x, y, paired=False, rng=stream(), method=method, draws=199)
    other = multi_bootstrap(
        30 + scale * x, 30 + scale * y, paired=False, rng=stream(), method=method, draws=199
    )
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)
    bounds = np.array([one.interval.low, one.interval.high])
    assert [other.interval.low, other.interval.high] == pytest.approx(scale * bounds, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_swapping_paired_arms_mirrors_the_interval(method):
    x, y = np.random.default_rng(10).normal(size=(2, 6, 5))
    one = multi_bootstrap(x, y, paired=True, rng=stream(), method=method)
    other = multi_bootstrap(y, x, paired=True, rng=stream(), method=method)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert (other.interval.low, other.interval.high) == pytest.approx((-one.interval.high, -one.interval.low))


def test_a_stream_repeats_and_is_the_only_source_of_chance():
    x, y = np.random.default_rng(11).normal(size=(2, 5, 8))
    first, again = (multi_bootstrap(x, y, paired=True, rng=stream()) for _ in range(2))
    assert str(first) == str(again)
    assert str(first) != str(multi_bootstrap(x, y, paired=True, rng=stream("another")))


def test_pairing_removes_what_the_pair_shares():
    generator = np.random.default_rng(12)
    shared = 5 * generator.normal(size=(8, 1))
    x, y = shared + generator.normal(size=(2, 8, 10))
    paired, unpaired = (multi_bootstrap(x, y, paired=p, rng=stream()) for p in (True, False))
    assert paired.standard_error < 0.3 * unpaired.standard_error


# ------------------------------------------------------------------------------ few runs, no runs


def test_three_runs_alone_cannot_bound_and_never_reach_a_twentieth():
    d = 50 + np.array([[0.0, 1.0], [2.0, 3.0], [5.0, 9.0]])
    result = multi_bootstrap(np.zeros((3, 2)), d, paired=True, rng=stream(), over="runs")
    assert (result.interval.low, result.interval.high) == (-np.inf, np.inf)
    # 3 of the 27 resamples repeat one run; four Monte-Carlo standard errors
    assert abs(result.p_value - 1 / 9) < 4 * np.sqrt(1 / 9 * 8 / 9 / 9_999)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_nothing_that_varies_gives_neither_bounds_nor_p(method, constant):
    x = np.random.default_rng(13).normal(50, 1, size=(5, 4))
    result = multi_bootstrap(x, x + constant, paired=True, rng=stream(), method=method)
    assert result.estimate == pytest.approx(constant)
    assert np.isnan([result.p_value, result.interval.low, result.interval.high]).all()


def test_caption_says_what_was_resampled():
    x, y = np.random.default_rng(14).normal(size=(2, 5, 1200))
    languages = ["aa", "bb"] * 600
    words = {
        (over, paired): multi_bootstrap(
            x, y, paired=paired, rng=stream(), over=over, languages=languages, draws=99
        ).interval.over
        for over, paired in [("runs", True), ("runs_and_items", False), ("runs_and_languages", True)]
    }
    assert list(words.values()) == [
        "5 pairs of runs",
        "5 and 5 runs and 1,200 items",
        "5 pairs of runs and 2 languages",
    ]


ONES = np.ones((3, 4))


@pytest.mark.parametrize(
    ("first", "second", "changes"),
    [
        (ONES, np.ones((3, 5)), {}),
        (ONES[0], ONES[0], {}),
        (np.ones((3, 0)), np.ones((3, 0)), {}),
        (ONES, np.ones((4, 4)), {}),
        (ONES[:1], ONES[:1], {}),
        (ONES, np.where(np.eye(3, 4) > 0, np.nan, 1.0), {}),
        (ONES, ONES, {"languages": ["a"]}),
        (ONES, ONES, {"over": "runs_and_languages"}),
        (ONES, ONES, {"over": "cells"}),
        (ONES, ONES, {"draws": 38}),
        (ONES, ONES, {"draws": 0}),
        (ONES, ONES, {"conf_level": 95}),
        (ONES, np.eye(3, 4), {"method": "normal"}),
    ],
)
def test_layouts_and_choices_that_mean_nothing_are_refused(first, second, changes):
    with pytest.raises(FitError):
        multi_bootstrap(first, second, **{"paired": True, "rng": stream(), **changes})


# ----------------------------------------------------------------------------------- calibration


def rejections(method, over, runs, replicates=400):
    """Share of p <= .05 without a difference: 36 languages, run SD .8, cell SD 1.5 in each arm."""
    generator = np.random.default_rng(runs)
    languages = [str(language) for language in range(36)]
    rejected = 0
    for _ in range(replicates):
        arms = 0.8 * generator.normal(size=(2, runs, 1)) + 1.5 * generator.normal(size=(2, runs, 36))
        result = multi_bootstrap(
            *arms, paired=True, rng=generator, over=over, languages=languages, method=method, draws=399
        )
        rejected += result.p_value <= 0.05
    return rejected / replicates


ERROR = np.sqrt(0.05 * 0.95 / 400)


def test_studentised_runs_keep_the_level_with_five_runs():
    assert rejections("studentised", "runs", 5) < 0.05 + 3 * ERROR


def test_percentile_runs_do_not_keep_it():
    # .16 to .18 were measured over 2,000 studies; three standard errors below that is .11
    assert rejections("percentile", "runs", 5) > 0.1


def test_studentised_interval_covers_over_runs_and_items():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        d = 0.7 + generator.normal(size=(6, 1)) + 3 * generator.normal(size=(1, 40))
        d += 4 * generator.normal(size=(6, 40))
        result = multi_bootstrap(np.zeros_like(d), d, paired=True, rng=generator, draws=399)
        covered += result.interval.low <= 0.7 <= result.interval.high
    assert abs(covered / 400 - 0.95) < 3.5 * ERROR
