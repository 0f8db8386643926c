from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.permutation import sign_flip_test


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
