from __future__ import annotations

import math

import numpy as np
import pytest

from alignaudit.core import rng
from alignaudit.errors import FitError
from alignaudit.infer.paired import balanced_paired_contrast
from alignaudit.infer.power import BalancedDesign, Variances, power
from alignaudit.infer.power_simulation import simulated_power

VARIANCES = Variances(0.5, 0.2, 1.0)
COMPLETE = np.ones((2, 6, 5), dtype=bool)


def complete_pairs(values):
    """Paired t test over the pairs that have every cell."""
    d = values[1] - values[0]
    return balanced_paired_contrast(d[np.isfinite(d).all(axis=1)]).p_value


def near(found, expected):
    return abs(found.power - expected) < 3.5 * math.sqrt(expected * (1 - expected) / found.replicates)


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_a_complete_layout_has_the_power_of_the_closed_form(effect):
    found = simulated_power(
        VARIANCES, COMPLETE, complete_pairs, effect=effect, rng=rng.stream(1, "power"), replicates=3000,
        seed_variance=4.0, level_variance=9.0,
    )  # fmt: skip
    assert near(found, power(BalancedDesign(VARIANCES, 5), effect=effect, runs=6))
    assert found.standard_error == pytest.approx(math.sqrt(found.power * (1 - found.power) / 3000))
    assert found.untested == 0


def test_missing_runs_cost_what_fewer_runs_have():
    present = COMPLETE.copy()
    present[0, 1] = False
    present[1, 4, 2] = False
    found = simulated_power(
        VARIANCES, present, complete_pairs, effect=1.0, rng=rng.stream(2, "power"), replicates=3000
    )
    assert near(found, power(BalancedDesign(VARIANCES, 5), effect=1.0, runs=4))


def test_slopes_are_centred_for_these_languages_only():
    wide = Variances(0.0, 25.0, 0.01)
    grand_means = {}
    for population in ("these_languages", "languages_like_these"):
        seen = grand_means[population] = []

        def look(values, seen=seen):
            seen.append((values[1] - values[0]).mean())
            return 1.0

        simulated_power(
            wide, COMPLETE, look, effect=2.0, rng=rng.stream(3, "p"), population=population, replicates=500
        )
    # SD of the mean: sqrt(2 · .01 / 30) = .026, and with the slopes sqrt(25 / 5) = 2.24
    assert np.std(grand_means["these_languages"]) == pytest.approx(0.026, rel=0.15)
    assert np.std(grand_means["languages_like_these"]) == pytest.approx(2.236, rel=0.15)
    assert np.mean(grand_means["these_languages"]) == pytest.approx(2.0, abs=0.01)


def test_cells_that_are_absent_are_nan():
    present = COMPLETE.copy()
    present[1, 0, 3] = False

    def look(values):
        assert (np.isfinite(values) == present).all()
        return 0.0

    found = simulated_power(VARIANCES, present, look, effect=0.0, rng=rng.stream(4, "p"), replicates=3)
    assert (found.power, found.standard_error, found.replicates) == (1.0, 0.0, 3)


def test_studies_without_a_p_value_are_counted_and_do_not_reject():
    def refuses(values):
        if values[0, 0, 0] > 0:
            raise FitError("no.")
        return math.nan

    found = simulated_power(VARIANCES, COMPLETE, refuses, effect=0.0, rng=rng.stream(5, "p"), replicates=20)
    assert (found.power, found.untested) == (0.0, 20)


def test_the_same_stream_gives_the_same_power():
    def once():
        stream = rng.stream(6, "p")
        return simulated_power(VARIANCES, COMPLETE, complete_pairs, effect=0.8, rng=stream, replicates=100)

    assert once() == once()


@pytest.mark.parametrize("present", [np.ones((6, 5)), np.ones((3, 6, 5)), np.zeros((2, 6, 5))])
def test_layouts_that_are_none_are_refused(present):
    with pytest.raises(FitError, match="two arms"):
        simulated_power(VARIANCES, present, complete_pairs, effect=1.0, rng=rng.stream(7, "p"))


@pytest.mark.parametrize("options", [{"replicates": 0}, {"alpha": 0.0}])
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(FitError):
        simulated_power(VARIANCES, COMPLETE, complete_pairs, effect=1.0, rng=rng.stream(8, "p"), **options)
