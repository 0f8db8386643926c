from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.permutation import permutation_test, sign_flip_test


@pytest.mark.parametrize("pairs", [1, 2, 5, 8])
def test_exact_p_is_brute_force(pairs):
    d = np.random.default_rng(pairs).normal(0.5, 1, pairs)
    means = [np.mean(np.array(signs) * d) for signs in product([1, -1], repeat=pairs)]
    expected = np.mean([abs(m) >= abs(d.mean()) - 1e-12 for m in means])
    result = sign_flip_test(d)
    assert result.p_value == pytest.approx(expected)
    assert result.min_p == pytest.approx(min(1.0, 2 / 2**pairs))
    assert result.exact


def test_five_pairs_never_reach_a_twentieth_and_six_do():
    assert sign_flip_test(np.arange(1.0, 6.0)).p_value == 0.0625
    assert sign_flip_test(np.arange(1.0, 7.0)).p_value == 0.03125


def test_monte_carlo_is_near_the_exact_p_of_a_normal_sum_and_repeats():
    d = np.random.default_rng(0).normal(0.2, 1, 30)
    first = sign_flip_test(d, rng=rng.stream(1, "flip"), draws=19_999)
    again = sign_flip_test(d, rng=rng.stream(1, "flip"), draws=19_999)
    assert first == again
    assert not first.exact
    signs = 2 * np.random.default_rng(9).integers(0, 2, (200_000, 30)) - 1
    reference = np.mean(np.abs(signs @ d) >= abs(d.sum()))
    assert abs(first.p_value - reference) < 4 * np.sqrt(reference * (1 - reference) / 20_000)


def test_monte_carlo_never_gives_zero():
    assert sign_flip_test(np.ones(40), rng=rng.stream(1, "flip"), draws=99).p_value == pytest.approx(0.01)


@pytest.mark.parametrize("values", [[], [np.nan, 1.0], np.ones(25)])
def test_what_cannot_be_flipped_is_refused(values):
    with pytest.raises(FitError):
        sign_flip_test(np.asarray(values))


# ------------------------------------------------------------------------------------ unpaired runs


def brute_force(first, second):
    pooled = np.concatenate([first, second])
    everyone, size = set(range(len(pooled))), len(first)
    observed = abs(second.mean() - first.mean())
    differences = [
        pooled[sorted(everyone - set(chosen))].mean() - pooled[list(chosen)].mean()
        for chosen in combinations(range(len(pooled)), size)
    ]
    return np.mean(np.abs(differences) >= observed - 1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), m=st.integers(1, 6), tied=st.booleans())
def test_unpaired_exact_p_is_brute_force(seed, n, m, tied):
    random = np.random.default_rng(seed)
    pooled = random.integers(0, 4, n + m) / 10 if tied else random.normal(size=n + m)
    first, second = pooled[:n], pooled[n:]
    result = permutation_test(first, second)
    assert result.p_value == pytest.approx(brute_force(first, second), abs=1e-12)
    assert result.statistic == pytest.approx(second.mean() - first.mean(), abs=1e-12)
    assert result.patterns == comb(n + m, n)
    assert result.p_value >= result.min_p - 1e-12


def test_unpaired_exact_p_is_that_of_scipy():
    first, second = np.random.default_rng(3).normal(size=(2, 7))
    expected = stats.permutation_test(
        (first, second + 0.8), lambda x, y, axis: y.mean(axis=axis) - x.mean(axis=axis), n_resamples=np.inf,
        vectorized=True,
    )  # fmt: skip
    assert permutation_test(first, second + 0.8).p_value == pytest.approx(expected.pvalue, rel=1e-12)


def test_swapping_arms_changes_the_sign_only():
    first, second = np.random.default_rng(4).normal(size=5), np.random.default_rng(5).normal(size=8)
    one, other = permutation_test(first, second), permutation_test(second, first)
    assert (one.statistic, one.p_value) == pytest.approx((-other.statistic, other.p_value))


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e6])
def test_ties_survive_rounding(shift):
    first, second = shift + np.array([0.1, 0.1, 0.1]), shift + np.array([0.1, 0.3, 0.3])
    # |T| is largest when both 0.3 share an arm: 4 · 2 of 20 assignments
    assert permutation_test(first, second).p_value == pytest.approx(8 / 20)


def test_runs_that_do_not_differ_at_all_give_one():
    assert permutation_test(np.full(4, 0.1), np.full(4, 0.1)).p_value == 1.0


@pytest.mark.parametrize(
    ("n", "m", "first", "expected"),
    [
        (3, 3, [0, 1, 2], 2 / 20),  # an assignment and its mirror image
        (2, 3, [0, 1], 1 / 10),  # unequal arms have no mirror images
        (1, 4, [0], 1 / 5),
    ],
)
def test_smallest_unpaired_p_is_attained(n, m, first, expected):
    second = 10.0 + np.arange(m) / 100
    result = permutation_test(np.array(first, dtype=float), second)
    assert result.min_p == pytest.approx(expected)
    assert result.p_value == pytest.approx(expected)


def test_ties_do_not_change_the_smallest_p_but_what_is_reached():
    result = sign_flip_test(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
    assert result.min_p == 2 / 2**6
    assert result.p_value == 4 / 2**6


def test_many_runs_are_drawn_and_near_scipy():
    random = np.random.default_rng(6)
    first, second = random.normal(size=12), random.normal(0.6, 1, size=12)
    drawn = permutation_test(first, second, rng=rng.stream(1, "permute"), draws=19_999)
    assert drawn == permutation_test(first, second, rng=rng.stream(1, "permute"), draws=19_999)
    assert (drawn.exact, drawn.min_p) == (False, 1 / 20_000)
    expected = stats.permutation_test(
        (first, second), lambda x, y, axis: y.mean(axis=axis) - x.mean(axis=axis), n_resamples=99_999,
        vectorized=True, rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    # two independent Monte-Carlo estimates: four standard errors of their difference
    assert abs(drawn.p_value - expected) < 4 * np.sqrt(expected * (1 - expected) * (1 / 20_000 + 1 / 100_000))


def test_type_one_error_of_the_exact_test_is_its_attainable_level():
    # 2/70 and 4/70 enclose .05: the exact level of rejecting at p <= .05 with four runs per arm is 2/70
    random = np.random.default_rng(8)
    rejected = np.mean([permutation_test(*random.normal(size=(2, 4))).p_value <= 0.05 for _ in range(3000)])
    assert abs(rejected - 2 / 70) < 3.5 * np.sqrt(2 / 70 * (68 / 70) / 3000)


@pytest.mark.parametrize(
    ("first", "second"),
    [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([[1.0]], [1.0]), (range(30), range(30))],
)
def test_what_cannot_be_relabelled_is_refused(first, second):
    with pytest.raises(FitError):
        permutation_test(np.asarray(first, dtype=float), np.asarray(second, dtype=float))


def test_no_draws_are_refused():
    with pytest.raises(FitError):
        sign_flip_test(np.ones(25), rng=rng.stream(1, "flip"), draws=0)


# ------------------------------------------------------------------------------------------- reach


@pytest.mark.parametrize(("pairs", "possible"), [(5, False), (6, True)])
def test_five_pairs_cannot_reach_a_twentieth(pairs, possible):
    assert sign_flip_test(np.ones(pairs)).reaches(0.05) is possible


@pytest.mark.parametrize(("runs", "possible"), [(3, False), (4, True)])
def test_three_unpaired_runs_cannot_reach_a_twentieth(runs, possible):
    assert permutation_test(np.arange(runs), np.arange(runs)).reaches(0.05) is possible


@pytest.mark.parametrize("alpha", [0.1, 0.05, 0.01, 0.005, 0.001, 1e-5])
def test_runs_that_it_takes_are_the_fewest(alpha):
    pairs = int(sign_flip_test(np.ones(1)).reach(alpha).split("takes ")[1].split()[0])
    assert 2 / 2**pairs <= alpha < 2 / 2 ** (pairs - 1)
    runs = int(permutation_test(np.ones(1), np.ones(1)).reach(alpha).split("takes ")[1].split()[0])
    assert 2 / comb(2 * runs, runs) <= alpha < 2 / comb(2 * runs - 2, runs - 1)


def test_a_level_that_is_met_exactly_is_reached():
    assert sign_flip_test(np.ones(6)).reaches(2 / 64)
    assert permutation_test(np.zeros(1), np.arange(39.0)).reaches(1 / 40)


def test_words_of_what_can_be_reached():
    text = sign_flip_test(np.arange(1.0, 7.0)).reach(0.05)
    assert (
        text
        == "With 6 pairs of runs the smallest possible two-sided p is 0.03125, so p <= 0.05 can be reached."
    )


def test_words_of_too_few_draws():
    text = sign_flip_test(np.ones(30), rng=rng.stream(1, "flip"), draws=9).reach(0.05)
    assert text == (
        "With 30 pairs of runs and 9 draws the smallest possible two-sided p is 0.1, so p <= 0.05 "
        "cannot be reached however large the difference; it takes 19 draws."
    )


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0, float("nan")])
def test_what_is_no_level_is_refused(alpha):
    with pytest.raises(FitError):
        sign_flip_test(np.ones(3)).reaches(alpha)
