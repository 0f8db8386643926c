from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.dominance import almost_stochastic_order, violation_ratio


def stream(name="aso"):
    return rng.stream(1, name)


def quantiles(scores, p):
    return np.sort(scores)[np.ceil(len(scores) * p).astype(int) - 1]


def grid_ratio(x, y, points):
    """Both integrals on the midpoints of a grid."""
    p = (np.arange(points) + 0.5) / points
    gap = quantiles(x, p) - quantiles(y, p)
    return np.sum(np.minimum(gap, 0) ** 2) / np.sum(gap**2)


scores = st.lists(st.integers(0, 20), min_size=2, max_size=7)


@settings(max_examples=60, deadline=None)
@given(x=scores, y=scores)
def test_ratio_is_the_sum_over_a_grid_that_no_step_cuts(x, y):
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    p = (np.arange(len(x) * len(y)) + 0.5) / (len(x) * len(y))
    assume(np.any(quantiles(x, p) != quantiles(y, p)))
    assert violation_ratio(x, y) == pytest.approx(grid_ratio(x, y, len(x) * len(y)), abs=1e-12)


def test_ratio_in_exact_fractions():
    x, y = [2, 5], [1, 3, 6]
    # thirds against halves: gaps 1, -1, 2, -1 over lengths 1/3, 1/6, 1/6, 1/3
    below = Fraction(1, 6) + Fraction(1, 3)
    total = below + Fraction(1, 3) + 4 * Fraction(1, 6)
    assert violation_ratio(np.array(x), np.array(y)) == pytest.approx(float(below / total), rel=1e-14)


@settings(max_examples=40, deadline=None)
@given(x=scores, y=scores)
def test_ratios_of_both_directions_add_up_to_one(x, y):
    x, y = np.array(x) / 10, np.array(y) / 10
    assert violation_ratio(x, y) + violation_ratio(y, x) == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(x=scores, y=scores, scale=st.sampled_from([1e-6, 0.1, 1e4]), shift=st.sampled_from([0.0, -3.0, 50.0]))
def test_unit_and_origin_of_the_scores_do_not_matter(x, y, scale, shift):
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    moved = violation_ratio(scale * (x + shift), scale * (y + shift))
    assert moved == pytest.approx(violation_ratio(x, y), abs=1e-9)


@pytest.mark.parametrize("other", [[0.1, 0.2, 0.3], [0.1, 0.1, 0.2, 0.2, 0.3, 0.3], [0.1, 0.2, 0.1 + 0.2]])
def test_identical_distributions_give_one_half(other):
    one = np.array([0.3, 0.1, 0.2])
    assert violation_ratio(one, np.array(other)) == 0.5
    assert not almost_stochastic_order(np.full(9, 0.1), np.full(9, 0.1), rng=stream()).dominates(0.5)


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 0.0), (-0.5, 1.0)])
def test_a_shifted_copy_dominates_or_is_dominated_completely(shift, expected):
    values = np.random.default_rng(1).normal(size=8)
    assert violation_ratio(values + shift, values) == expected


# --------------------------------------------------------------------------------------- bound


def test_sigma_and_bound_are_those_of_a_loop_over_draws():
    x, y = np.random.default_rng(2).normal(size=12) + 0.4, np.random.default_rng(3).normal(size=9)
    order = almost_stochastic_order(x, y, rng=stream(), draws=9_999)
    loop = np.random.default_rng(4)
    drawn = [grid_ratio(loop.choice(x, 12), loop.choice(y, 9), points=756) for _ in range(2_000)]
    scale = np.sqrt(12 * 9 / 21)
    # a standard deviation of 2,000 draws is known to 1/sqrt(4,000); kurtosis below 3: four errors are 6.3 %
    assert order.sigma == pytest.approx(scale * np.std(drawn), rel=0.065)
    assert order.epsilon == pytest.approx(grid_ratio(x, y, points=756), abs=1e-12)
    expected = order.epsilon - order.sigma / scale * stats.norm.ppf(0.05)
    assert order.epsilon_min == pytest.approx(expected, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 8), m=st.integers(2, 8))
def test_bound_is_a_share_and_no_smaller_than_the_ratio(seed, n, m):
    random = np.random.default_rng(seed)
    order = almost_stochastic_order(random.normal(size=n), random.normal(size=m), rng=random, draws=99)
    assert 0 <= order.epsilon <= order.epsilon_min <= 1


def test_a_stream_repeats():
    x, y = np.random.default_rng(5).normal(size=(2, 8))
    assert almost_stochastic_order(x, y, rng=stream()) == almost_stochastic_order(x, y, rng=stream())


# ----------------------------------------------------------------------------------- Bonferroni


def bounds(comparisons):
    x, y = np.random.default_rng(6).normal(size=(2, 20))
    return almost_stochastic_order(x + 0.3, y, rng=stream(), comparisons=comparisons)


@pytest.mark.parametrize("comparisons", [1, 2, 4, 10, 100])
def test_confidence_is_one_minus_alpha_over_the_comparisons(comparisons):
    order = bounds(comparisons)
    assert order.confidence == pytest.approx(1 - 0.05 / comparisons, rel=1e-12)
    scale = np.sqrt(20 * 20 / 40)
    assert order.epsilon_min == pytest.approx(
        min(1.0, order.epsilon + order.sigma / scale * stats.norm.isf(0.05 / comparisons)), rel=1e-9
    )


def test_deepsig_disagrees_its_correction_relaxes_with_every_comparison():
    """The deepsig package, 1.2.8: ``confidence_level += (1 - confidence_level) / num_comparisons``."""
    theirs = [0.95 + 0.05 / comparisons for comparisons in (2, 4, 10, 100)]
    ours = [bounds(comparisons).confidence for comparisons in (2, 4, 10, 100)]
    assert ours[0] == pytest.approx(theirs[0])  # both right for two comparisons only
    assert theirs == sorted(theirs, reverse=True)
    assert ours == sorted(ours)
    assert (theirs[2], ours[2]) == pytest.approx((0.955, 0.995))


def test_more_comparisons_never_ease_a_claim():
    found = [bounds(comparisons).epsilon_min for comparisons in (1, 2, 4, 10, 100)]
    assert found == sorted(found)
    assert found[0] < found[-1]


# ------------------------------------------------------------------------------------- few runs


@pytest.mark.parametrize(("n", "cautioned"), [(2, True), (3, False), (4, False)])
def test_caution_where_separation_by_chance_is_more_likely_than_alpha(n, cautioned):
    order = almost_stochastic_order(np.arange(n) + 9.0, np.arange(float(n)), rng=stream())
    assert order.separation_p == pytest.approx(1 / comb(2 * n, n))
    assert bool(order.caution) is cautioned  # 1/6, 1/20, 1/70 against 1/20


def test_more_comparisons_need_more_runs():
    order = almost_stochastic_order(np.arange(4) + 9.0, np.arange(4.0), rng=stream(), comparisons=10)
    assert order.caution == (
        "Arms of 4 and 4 runs that do not differ separate completely by chance in 1.4 % of studies, more "
        "than the 0.5 % allowed; the bootstrap cannot see that. Train more runs or use a permutation test."
    )


def test_complete_separation_leaves_the_bootstrap_nothing_to_vary():
    order = almost_stochastic_order(np.array([5.0, 6.0]), np.array([1.0, 2.0]), rng=stream())
    assert (order.epsilon, order.sigma, order.epsilon_min) == (0.0, 0.0, 0.0)
    assert order.dominates()


def test_share_of_false_claims_with_three_runs_is_as_stated():
    random = np.random.default_rng(7)
    claims = np.array(
        [
            almost_stochastic_order(*random.normal(size=(2, 3)), rng=random, draws=199).epsilon_min
            for _ in range(1_500)
        ]
    )
    # stated from 4,000 studies: .22 below one half and .09 below one fifth; three errors of both samples
    for threshold, stated in ((0.5, 0.22), (0.2, 0.09)):
        error = np.sqrt(stated * (1 - stated) * (1 / 1_500 + 1 / 4_000))
        assert abs(np.mean(claims < threshold) - stated) < 3 * error + 0.005


@pytest.mark.parametrize(
    ("x", "y", "changes"),
    [
        ([1.0], [0.0], {}),
        ([1.0, 2.0], [0.0], {}),
        ([1.0, np.nan], [0.0, 1.0], {}),
        ([[1.0, 2.0]], [[0.0, 1.0]], {}),
        ([1.0, 2.0], [0.0, 1.0], {"alpha": 0.0}),
        ([1.0, 2.0], [0.0, 1.0], {"comparisons": 0}),
        ([1.0, 2.0], [0.0, 1.0], {"draws": 1}),
    ],
)
def test_what_cannot_be_ordered_is_refused(x, y, changes):
    with pytest.raises(FitError):
        almost_stochastic_order(np.array(x), np.array(y), rng=stream(), **changes)
