"""Adjusted p-values by name, against R's p.adjust."""

from __future__ import annotations

import numpy as np
import pytest

from alignaudit.errors import UsageError
from alignaudit.infer.adjust import ADJUSTMENTS, adjust

P = [0.001, 0.008, 0.012, 0.03, 0.041, 0.2, 0.5, 0.049]
# R 4.2.2, p.adjust(P, method)
BY_R = {
    "none": P,
    "holm": [0.008, 0.056, 0.072, 0.15, 0.164, 0.4, 0.5, 0.164],
    "hochberg": [0.008, 0.056, 0.072, 0.147, 0.147, 0.4, 0.5, 0.147],
    "hommel": [0.008, 0.048, 0.072, 0.098, 0.123, 0.4, 0.5, 0.147],
    "benjamini-hochberg": [
        0.008, 0.032, 0.032, 0.06, 0.0653333333333333, 0.228571428571429, 0.5, 0.0653333333333333,
    ],
    "benjamini-yekutieli": [
        0.0217428571428571, 0.0869714285714286, 0.0869714285714286, 0.163071428571429, 0.177566666666667,
        0.621224489795918, 1, 0.177566666666667,
    ],
    "bonferroni": [0.008, 0.064, 0.096, 0.24, 0.328, 1, 1, 0.392],
}  # fmt: skip


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_every_method_gives_what_r_gives(method):
    assert adjust(P, method) == pytest.approx(BY_R[method], abs=1e-12)


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_an_impossible_test_stays_missing_and_makes_no_other_easier(method):
    adjusted = adjust([0.01, np.nan, 0.02], method)
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2]] == pytest.approx(adjust([0.01, 1.0, 0.02], method)[[0, 2]])


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UsageError, match='Did you mean "hommel"'):
        adjust([0.1], "homel")
