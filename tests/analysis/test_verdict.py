from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest

from alignaudit.analysis.verdict import Evidence, decide

BASE = Evidence(
    estimate=0.05, p_adjusted=0.01, family=4, equivalence_p_value=0.9, equivalence_low=0.03,
    equivalence_high=0.07, bound=0.02, alpha=0.05, higher_is_better=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "favours concurrent"),
        ({"estimate": -0.05}, "favours sequential"),
        ({"higher_is_better": False}, "favours sequential"),
        ({"estimate": -0.05, "higher_is_better": False}, "favours concurrent"),
        ({"p_adjusted": 0.05}, "inconclusive"),
        ({"equivalence_p_value": 0.01}, "equivalent"),
        ({"equivalence_p_value": 0.01, "p_adjusted": 0.5}, "equivalent"),
        ({"bound": nan, "equivalence_p_value": nan}, "favours concurrent"),
        ({"p_adjusted": nan, "equivalence_p_value": nan}, "inconclusive"),
    ],
)
def test_the_rule(change, verdict):
    found, rule = decide(replace(BASE, **change), "sequential", "concurrent")
    assert found == verdict
    assert rule.endswith(f"{verdict}.")
    assert "nan" not in rule


def test_the_rule_states_its_numbers():
    assert decide(BASE, "sequential", "concurrent")[1] == (
        "The 90 % interval [0.0300, 0.0700] does not lie inside the bound ±0.02 (equivalence p = 0.9000), "
        "and the Holm-adjusted p = 0.0100 of 4 tests is below 0.05: favours concurrent."
    )
