"""How updates are divided among tasks: sums by hand, and what holds for every mixture."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.core.decode import decode
from alignaudit.core.mixture import mixed_updates, task_updates
from alignaudit.core.phase import Mixture, Phase
from alignaudit.errors import DataError, StudyError


def phase(tasks, **mixture) -> Phase:
    values = {
        "optimisation": {"learning_rate": 1e-3},
        "tasks": {name: {"batch_size": 8, **settings} for name, settings in tasks.items()},
    }
    if mixture:
        values["mixture"] = mixture
    return decode(Phase, values, where="phase")


# ------------------------------------------------------------------------------ shares by hand


def test_shares_are_in_proportion_to_the_examples():
    # 300 : 100 : 50 of 9 updates: 6, 2 and 1 exactly
    assert mixed_updates({"a": 300, "b": 100, "c": 50}, Mixture(updates=9)) == {"a": 6, "b": 2, "c": 1}


def test_a_cap_bounds_what_a_large_task_counts():
    # 300 counts 100: 100 : 100 : 50 of 10 updates
    sizes = {"a": 300, "b": 100, "c": 50}
    assert mixed_updates(sizes, Mixture(updates=10, cap=100)) == {"a": 4, "b": 4, "c": 2}


def test_a_temperature_takes_the_root_of_the_capped_number():
    # 6400 counts 3600: the roots are 60, 30 and 10, of 100 updates
    sizes = {"a": 6400, "b": 900, "c": 100}
    mixture = Mixture(updates=100, cap=3600, temperature=2.0)
    assert mixed_updates(sizes, mixture) == {"a": 60, "b": 30, "c": 10}


def test_the_largest_remainders_get_what_is_left():
    # 10 updates over 45 : 35 : 20 are 4.5, 3.5 and 2: the half of the first named counts
    assert mixed_updates({"a": 45, "b": 35, "c": 20}, Mixture(updates=10)) == {"a": 5, "b": 3, "c": 2}
    assert mixed_updates({"b": 35, "a": 45, "c": 20}, Mixture(updates=10)) == {"b": 4, "a": 4, "c": 2}
    # 7 updates over 50 : 30 : 20 are 3.5, 2.1 and 1.4
    assert mixed_updates({"a": 50, "b": 30, "c": 20}, Mixture(updates=7)) == {"a": 4, "b": 2, "c": 1}


def test_a_task_without_an_update_is_an_error():
    with pytest.raises(DataError, match=r"^task b: its share of 10 updates is less than one\..*temperature"):
        mixed_updates({"a": 1000, "b": 10}, Mixture(updates=10))
    assert mixed_updates({"a": 1000, "b": 10}, Mixture(updates=10, cap=20)) == {"a": 7, "b": 3}


NAMES = st.sampled_from("abcdefgh")
SIZES = st.dictionaries(NAMES, st.integers(1, 10**7), min_size=1)


@given(sizes=SIZES, updates=st.integers(1, 10**5), cap=st.none() | st.integers(1, 10**6))
def test_a_mixture_gives_each_task_its_share_rounded_and_all_updates(sizes, updates, cap):
    """Exact fractions; a largest-remainder share is the exact one rounded down or up."""
    counted = {name: min(size, cap or size) for name, size in sizes.items()}
    exact = {name: Fraction(updates * size, sum(counted.values())) for name, size in counted.items()}
    try:
        found = mixed_updates(sizes, Mixture(updates=updates, cap=cap))
    except DataError:
        assert min(exact.values()) < 1
        return
    assert list(found) == list(sizes)
    assert sum(found.values()) == updates
    for name, count in found.items():
        assert count >= 1
        assert int(exact[name]) <= count <= int(exact[name]) + 1
    ranked = sorted(sizes, key=counted.__getitem__)
    assert all(found[a] <= found[b] + 1 for a, b in pairwise(ranked))


@given(sizes=SIZES, temperature=st.floats(1, 50))
def test_a_higher_temperature_comes_nearer_to_equal_shares(sizes, temperature):
    updates = 10_000 * len(sizes)

    def spread(value: float) -> int:
        try:
            found = mixed_updates(sizes, Mixture(updates=updates, temperature=value))
        except DataError:
            return updates
        return max(found.values()) - min(found.values())

    # Each share may be rounded by one; 1e9 stands for an infinite temperature.
    assert spread(1e9) <= 1
    assert spread(2 * temperature) <= spread(temperature) + 2


# ------------------------------------------------------------------------------ phases


def test_epochs_are_rounded_up_to_whole_updates():
    found = task_updates(
        phase({"a": {"epochs": 2.0}, "b": {"epochs": 0.5}, "c": {"epochs": 3.0, "batch_size": 10}}),
        {"a": 81, "b": 16, "c": 10},
    )
    # 2 × 81 / 8 = 20.25; 0.5 × 16 / 8 = 1; 3 × 10 / 10 = 3
    assert found == {"a": 21, "b": 1, "c": 3}


def test_tasks_with_an_amount_of_their_own_stay_outside_the_mixture():
    mixed = phase({"own": {"updates": 7}, "a": {}, "passes": {"epochs": 1.0}, "b": {}}, updates=10, cap=100)
    found = task_updates(mixed, {"own": 10**6, "a": 300, "passes": 20, "b": 25})
    # 100 : 25 of 10 updates; 20 / 8 = 2.5 is 3
    assert found == {"own": 7, "a": 8, "passes": 3, "b": 2}
    assert list(found) == ["own", "a", "passes", "b"]


def test_an_unknown_number_of_examples_is_an_error_where_it_is_needed():
    assert task_updates(phase({"own": {"updates": 7}}), {"own": None}) == {"own": 7}
    said = re.escape("task b: the number of training examples is not known. Give the task `updates`")
    with pytest.raises(DataError, match=f"^{said}"):
        task_updates(phase({"own": {"updates": 7}, "b": {"epochs": 1.0}}), {"own": None, "b": None})
    with pytest.raises(DataError, match=f"^{said}"):
        task_updates(phase({"a": {}, "b": {}}, updates=10), {"a": 5, "b": None})


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        ({"updates": 0}, "mixture.updates: Input should be greater"),
        ({"updates": 5, "cap": 0}, "mixture.cap: Input should be greater"),
        (
            {"updates": 5, "temperature": 0.5},
            "mixture.temperature: Input should be greater",
        ),
    ],
)
def test_a_mixture_out_of_range_is_refused(mixture, words):
    with pytest.raises(StudyError, match=re.escape(words)):
        phase({"a": {}}, **mixture)
