"""Adjusted p-values against closed testing, every intersection of hypotheses tested by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alignaudit.errors import UsageError
from alignaudit.infer.adjust import ADJUSTMENTS, adjust

P_VALUES = [
    [0.01],
    [0.04, 0.01],
    [0.02, 0.02, 0.02, 0.02],
    [0.001, 0.3, 0.012, 0.8, 0.04, 0.0101],
    [0.9, 0.02, 0.6, 0.024, 0.021],
]


def bonferroni(p_values: list[float]) -> float:
    return min(1.0, len(p_values) * min(p_values))


def simes(p_values: list[float]) -> float:
    return min(len(p_values) * p / rank for rank, p in enumerate(sorted(p_values), start=1))


def closed(p_values: list[float], local) -> list[float]:
    """Return for each hypothesis the largest p-value of the intersections that it belongs to."""
    places = range(len(p_values))
    subsets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(places, size)]
    return [max(local([p_values[j] for j in s]) for s in subsets if i in s) for i in places]


@pytest.mark.parametrize("p_values", P_VALUES)
@pytest.mark.parametrize(("method", "local"), [("holm", bonferroni), ("hommel", simes)])
def test_closed_tests(method, local, p_values):
    """Holm's method closes Bonferroni's test, Hommel's closes Simes'."""
    np.testing.assert_allclose(adjust(p_values, method), closed(p_values, local), rtol=1e-12)


@pytest.mark.parametrize("p_values", P_VALUES)
def test_hochberg(p_values):
    """The smallest m - j + 1 times p_(j) of all that are not smaller."""
    m = len(p_values)
    expected = [
        min(1.0, *((m - j) * p for j, p in enumerate(sorted(p_values)) if p >= own)) for own in p_values
    ]
    np.testing.assert_allclose(adjust(p_values, "hochberg"), expected, rtol=1e-12)


@pytest.mark.parametrize("p_values", P_VALUES)
@pytest.mark.parametrize("method", ["benjamini-hochberg", "benjamini-yekutieli"])
@pytest.mark.parametrize("level", [0.02, 0.05, 0.1])
def test_false_discovery_rate(method, p_values, level):
    """What the step-up procedure rejects at a level is what has an adjusted p-value up to it."""
    m = len(p_values)
    share = level / (sum(1 / k for k in range(1, m + 1)) if method.endswith("yekutieli") else 1.0)
    passed = [p for rank, p in enumerate(sorted(p_values), start=1) if p <= rank * share / m * (1 + 1e-12)]
    expected = [p <= max(passed, default=-1.0) for p in p_values]
    assert (adjust(p_values, method) <= level * (1 + 1e-9)).tolist() == expected


@pytest.mark.parametrize("p_values", P_VALUES)
def test_bonferroni(p_values):
    assert adjust(p_values, "bonferroni").tolist() == [min(1.0, len(p_values) * p) for p in p_values]


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_a_test_that_was_not_possible_counts_as_one(method):
    ours = adjust([0.01, np.nan, 0.03], method)
    np.testing.assert_allclose(ours[[0, 2]], adjust([0.01, 1.0, 0.03], method)[[0, 2]], rtol=1e-12)
    assert np.isnan(ours[1])


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_order_does_not_matter(method):
    p_values = np.array(P_VALUES[3])
    order = np.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_allclose(
        adjust(p_values[order].tolist(), method), adjust(p_values.tolist(), method)[order], rtol=1e-12
    )


def test_unknown_method():
    with pytest.raises(UsageError, match='Did you mean "hommel"'):
        adjust([0.1], "homel")
