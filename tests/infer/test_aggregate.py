from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.aggregate import (
    bootstrap_contrast,
    bootstrap_profile,
    bootstrap_summary,
    interquartile_mean,
    probability_of_improvement,
)

METHODS = ["studentised", "bca", "percentile"]
CONTRASTS = ["mean", "interquartile_mean", "optimality_gap", "probability_of_improvement"]


def stream(name="bootstrap"):
    return rng.stream(1, name)


def draw(seed, runs=5, languages=7):
    return np.random.default_rng(seed).normal(0.6, 0.2, size=(runs, languages))


# ------------------------------------------------------------------------------ the point estimates


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), runs=st.integers(1, 6), languages=st.integers(1, 9))
def test_interquartile_mean_is_the_integral_of_the_quantile_function(seed, runs, languages):
    scores = draw(seed, runs, languages)
    # every score four times: a quarter of 4 N copies is N whole copies, so nothing counts in part
    copies = np.sort(np.repeat(scores, 4))
    expected = copies[scores.size : 3 * scores.size].mean()
    assert interquartile_mean(scores) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), runs=st.integers(1, 6))
def test_interquartile_mean_is_that_of_scipy_where_four_divides_the_scores(seed, runs):
    scores = draw(seed, runs, 4)
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), abs=1e-12)


def test_scipy_trims_whole_scores_only():
    scores = np.array([[0.0, 1.0, 5.0]])
    assert stats.trim_mean(scores, 0.25, axis=None) == 2.0  # floor(3 / 4) = 0: the plain mean
    assert interquartile_mean(scores) == pytest.approx((0.25 * 0 + 1 + 0.25 * 5) / 1.5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 5), m=st.integers(1, 5))
def test_probability_of_improvement_is_the_mean_of_mann_whitney(seed, n, m):
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 4, (n, 6)) / 10, random.integers(0, 4, (m, 6)) / 10
    each = [
        stats.mannwhitneyu(second[:, j], first[:, j], method="asymptotic").statistic
        for j in range(6)
        if np.ptp(np.concatenate([first[:, j], second[:, j]]))
    ]
    constant = 6 - len(each)  # scipy has no p where all values tie; U is then half of n m
    expected = (sum(each) / (n * m) + 0.5 * constant) / 6
    assert probability_of_improvement(first, second) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_improvements_of_both_directions_add_up_to_one(seed):
    first, second = draw(seed, 4).round(1), draw(seed + 1, 6).round(1)
    total = probability_of_improvement(first, second) + probability_of_improvement(second, first)
    assert total == pytest.approx(1.0)


def test_estimates_of_the_bootstrap_are_the_definitions():
    first, second = draw(1), draw(2)
    gap = [0.7 - np.minimum(scores, 0.7).mean() for scores in (first, second)]
    one = bootstrap_summary(first, "optimality_gap", target=0.7, rng=stream(), draws=99)
    two = bootstrap_contrast(
        first, second, "optimality_gap", target=0.7, paired=False, rng=stream(), draws=99
    )
    assert one.estimate == pytest.approx(gap[0])
    assert two.estimate == pytest.approx(gap[1] - gap[0])
    middle = bootstrap_contrast(first, second, "interquartile_mean", paired=True, rng=stream(), draws=99)
    assert middle.estimate == pytest.approx(interquartile_mean(second) - interquartile_mean(first))
    chance = bootstrap_contrast(
        first, second, "probability_of_improvement", paired=True, rng=stream(), draws=99
    )
    assert chance.estimate == pytest.approx(probability_of_improvement(first, second))


def test_profile_is_the_share_of_scores_above():
    scores, grid = draw(3).round(1), np.array([-1.0, 0.4, 0.6, 9.0])
    profile = bootstrap_profile(scores, grid, rng=stream(), draws=99)
    assert [one.estimate for one in profile] == pytest.approx([np.mean(scores > tau) for tau in grid])
    assert profile[1].name == "share above 0.4"


# --------------------------------------------------------------------------- whole runs are drawn


def point(name, first, second):
    if name == "probability_of_improvement":
        return probability_of_improvement(first, second)
    of = {
        "mean": np.mean,
        "interquartile_mean": interquartile_mean,
        "optimality_gap": lambda scores: 1 - np.minimum(scores, 1).mean(),
    }[name]
    return of(second) - of(first)


def resamples(name, first, second, paired):
    """Statistic of all equally likely draws of whole runs, by plain indexing."""
    rows = [list(drawn) for drawn in product(range(len(first)), repeat=len(first))]
    others = [list(drawn) for drawn in product(range(len(second)), repeat=len(second))]
    pairs = zip(rows, rows, strict=True) if paired else product(rows, others)
    return np.array([point(name, first[a], second[b]) for a, b in pairs])


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("name", CONTRASTS)
def test_percentile_bounds_are_quantiles_of_all_draws_of_whole_runs(name, paired):
    first, second = 0.3 + draw(4, 3), 0.3 + draw(5, 4 if not paired else 3)
    result = bootstrap_contrast(
        first, second, name, paired=paired, rng=stream(), method="percentile", conf_level=0.8, draws=4_999
    )
    every = resamples(name, first, second, paired)
    slack = 4 * np.sqrt(0.1 * 0.9 / 5_000)  # four Monte-Carlo standard errors of the rank
    for bound, share in ((result.interval.low, 0.1), (result.interval.high, 0.9)):
        low, high = np.quantile(every, [share - slack, share + slack], method="inverted_cdf")
        assert low - 1e-9 <= bound <= high + 1e-9


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("name", CONTRASTS)
def test_standard_error_is_the_jackknife_over_whole_runs_written_out(name, paired):
    first, second = draw(6, 5), draw(7, 5)

    def variance(values):
        return 4 / 5 * np.sum((values - np.mean(values)) ** 2)

    without = [np.delete(np.arange(5), r) for r in range(5)]
    if paired:
        expected = variance([point(name, first[rows], second[rows]) for rows in without])
    else:
        expected = variance([point(name, first[rows], second) for rows in without])
        expected += variance([point(name, first, second[rows]) for rows in without])
    result = bootstrap_contrast(first, second, name, paired=paired, rng=stream(), draws=99)
    assert result.standard_error == pytest.approx(np.sqrt(expected), rel=1e-9)


def studentised_p(first, second, draws):
    """The p of the interquartile mean difference by gathered arrays, row by row."""

    def error(x, y):
        left = [point("interquartile_mean", np.delete(x, r, 0), np.delete(y, r, 0)) for r in range(len(x))]
        return np.sqrt((len(x) - 1) / len(x) * np.sum((left - np.mean(left)) ** 2))

    estimate, hits = point("interquartile_mean", first, second), 0
    size = abs(estimate) / error(first, second)
    for rows in draws:
        x, y = first[rows], second[rows]
        deviation, own = abs(point("interquartile_mean", x, y) - estimate), error(x, y)
        hits += deviation >= (size - 1e-9) * own if own > 1e-12 else deviation > 0
    return hits / len(draws)


def test_studentised_p_is_that_of_all_draws():
    first, second = draw(8, 4, 3), draw(9, 4, 3) + 0.1
    every = [list(rows) for rows in product(range(4), repeat=4)]
    expected = studentised_p(first, second, every)
    assert 0.02 < expected < 0.9
    result = bootstrap_contrast(first, second, "interquartile_mean", paired=True, rng=stream(), draws=9_999)
    assert abs(result.p_value - expected) < 4 * np.sqrt(expected * (1 - expected) / 10_000)


def test_acceleration_and_bias_are_those_of_scipy():
    scores = np.random.default_rng(10).gamma(1.0, size=(9, 1))
    expected = stats.bootstrap(
        (scores[:, 0],), np.mean, n_resamples=9_999, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    result = bootstrap_summary(scores, "mean", rng=stream(), method="bca", draws=9_999)
    tolerance = 4 * 2 * 0.027 * np.sqrt(2) * stats.sem(scores[:, 0])  # see test_bootstrap.py
    assert (result.interval.low, result.interval.high) == pytest.approx(tuple(expected), abs=tolerance)


def test_languages_that_repeat_a_run_add_no_information():
    # one column or forty copies of it: the whole run is the unit, so nothing changes
    one, other = draw(11, 6, 1), draw(12, 6, 1)
    narrow = bootstrap_contrast(one, other, "mean", paired=True, rng=stream())
    wide = bootstrap_contrast(
        np.repeat(one, 40, axis=1), np.repeat(other, 40, axis=1), "mean", paired=True, rng=stream()
    )
    assert (wide.interval.low, wide.interval.high) == pytest.approx(
        (narrow.interval.low, narrow.interval.high), rel=1e-9
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(METHODS), name=st.sampled_from(CONTRASTS))
def test_order_of_languages_changes_nothing(seed, method, name):
    first, second = draw(seed), draw(seed + 1)
    one, other = (
        bootstrap_contrast(x, y, name, paired=True, rng=stream(), method=method, draws=199)
        for x, y in ((first, second), (first[:, ::-1], second[:, ::-1]))
    )
    bounds = [one.interval.low, one.interval.high, one.p_value]
    assert [other.interval.low, other.interval.high, other.p_value] == pytest.approx(bounds, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(CONTRASTS), paired=st.booleans())
def test_p_is_below_alpha_exactly_when_the_null_lies_outside(seed, name, paired):
    first, second = draw(seed), draw(seed + 1) + 0.1
    result = bootstrap_contrast(first, second, name, paired=paired, rng=stream(), draws=199)
    outside = result.interval.low > result.null or result.interval.high < result.null
    assert outside == (result.p_value <= 0.05)


def test_memory_is_cut_into_batches_without_losing_draws(monkeypatch):
    monkeypatch.setattr("alignaudit.infer.aggregate.CELLS", 500)
    result = bootstrap_contrast(
        draw(13), draw(14) + 9, "mean", paired=True, rng=stream(), method="percentile", draws=401
    )
    assert result.p_value == pytest.approx(2 / 402)


# -------------------------------------------------------------------------------------- edges


def test_shares_stay_between_none_and_all():
    scores = draw(15, 4, 3)
    profile = bootstrap_profile(scores, np.linspace(0.2, 1, 9), rng=stream())
    bounds = np.array([[one.interval.low, one.interval.high] for one in profile])
    known = bounds[~np.isnan(bounds)]
    assert len(known)
    assert ((known >= 0) & (known <= 1)).all()


def test_where_all_runs_agree_there_are_no_bounds():
    low, _ = bootstrap_profile(draw(16), np.array([-9.0, 0.6]), rng=stream())
    assert low.estimate == 1
    assert np.isnan([low.interval.low, low.interval.high]).all()


def test_complete_separation_gives_no_p():
    result = bootstrap_contrast(
        draw(17), draw(18) + 9, "probability_of_improvement", paired=False, rng=stream()
    )
    assert (result.estimate, result.null) == (1.0, 0.5)
    assert np.isnan(result.p_value)


def test_captions():
    one = bootstrap_summary(draw(19), "mean", rng=stream())
    paired, unpaired = (
        bootstrap_contrast(draw(19), draw(20), "mean", paired=p, rng=stream()) for p in (True, False)
    )
    assert [result.interval.over for result in (one, paired, unpaired)] == [
        "5 whole runs",
        "5 pairs of whole runs",
        "5 and 5 whole runs",
    ]


@pytest.mark.parametrize("scores", [np.ones(3), np.ones((0, 3)), np.array([[np.nan, 1.0]])])
def test_incomplete_scores_are_refused(scores):
    with pytest.raises(FitError):
        interquartile_mean(scores)


@pytest.mark.parametrize(
    ("first", "second", "changes"),
    [
        (draw(1), draw(2, 5, 6), {}),
        (draw(1), draw(2, 6), {"paired": True}),
        (draw(1, 1), draw(2, 1), {}),
        (draw(1), draw(2), {"contrast": "median"}),
        (draw(1), draw(2), {"draws": 0}),
        (draw(1), draw(2), {"draws": 38}),
        (draw(1), draw(2), {"conf_level": 95}),
    ],
)
def test_contrasts_that_mean_nothing_are_refused(first, second, changes):
    arguments = {"contrast": "mean", "paired": False, "rng": stream(), **changes}
    with pytest.raises(FitError):
        bootstrap_contrast(first, second, **arguments)


@pytest.mark.parametrize("thresholds", [[], [np.nan], [[0.5]]])
def test_thresholds_that_are_no_grid_are_refused(thresholds):
    with pytest.raises(FitError):
        bootstrap_profile(draw(1), np.asarray(thresholds), rng=stream())


# --------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize("name", ["interquartile_mean", "probability_of_improvement"])
def test_whole_runs_keep_the_level_that_runs_drawn_per_language_lose(name):
    """Five paired runs, 12 languages, run SD .8, cell SD 1.5, no difference."""
    generator = np.random.default_rng(21)
    replicates, rejected, rejected_per_language = 200, 0, 0
    for _ in range(replicates):
        first, second = 0.8 * generator.normal(size=(2, 5, 1)) + 0.5 * generator.normal(size=(2, 5, 12))
        result = bootstrap_contrast(first, second, name, paired=True, rng=generator, draws=199)
        rejected += result.p_value <= 0.05
        d = second - first
        rows = generator.integers(0, 5, size=(199, 5, 12))
        means = np.take_along_axis(d[None], rows, axis=1).mean(axis=(1, 2))
        low, high = np.quantile(means, [0.025, 0.975])
        rejected_per_language += low > 0 or high < 0
    assert rejected / replicates < 0.05 + 3 * np.sqrt(0.05 * 0.95 / replicates)
    assert rejected_per_language / replicates > 0.4
