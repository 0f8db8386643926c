"""Every arm is a permutation of one multiset, and `interleaved` joins the other two schedules."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.core.phase import Schedule
from alignaudit.core.rng import stream
from alignaudit.errors import DataError, StudyError
from alignaudit.experiment.schedule import build_plan, describe, draw_order, order_rows, realise

SIZES = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def plan_of(updates: list[int], seed: int = 0):
    names = [f"t{index}" for index in range(len(updates))]
    return build_plan(
        dict.fromkeys(names, 10),
        dict(zip(names, updates, strict=True)),
        dict.fromkeys(names, 4),
        {name: stream(seed, "data_order", name) for name in names},
    )


def pairs(steps) -> Counter:
    return Counter(zip(steps.task.tolist(), steps.batch.tolist(), strict=True))


def drawn(plan, seed=0):
    return [plan.tasks[index] for index in stream(seed, "order").permutation(len(plan.tasks))]


@given(SIZES, st.integers(0, 3), st.integers(1, 13))
def test_every_arm_is_the_same_multiset(updates, seed, block):
    plan = plan_of(updates, seed)
    whole = Counter((task, batch) for task, count in enumerate(updates) for batch in range(count))
    arms = [
        Schedule(kind="sequential"),
        Schedule(kind="concurrent"),
        Schedule(kind="interleaved", block=block),
    ]
    for arm in arms:
        assert pairs(realise(plan, arm, drawn(plan, seed), stream(seed, "mixing_order"))) == whole


@given(SIZES, st.integers(0, 3), st.integers(1, 13))
def test_batches_of_a_task_keep_their_order(updates, seed, block):
    plan = plan_of(updates, seed)
    steps = realise(
        plan, Schedule(kind="interleaved", block=block), drawn(plan), stream(seed, "mixing_order")
    )
    for task in range(len(updates)):
        assert steps.batch[steps.task == task].tolist() == list(range(updates[task]))


@given(SIZES, st.integers(0, 3))
def test_the_ends_of_interleaved_are_the_other_schedules(updates, seed):
    plan, longest = plan_of(updates, seed), max(updates)

    def realised(**schedule):
        return realise(plan, Schedule(**schedule), drawn(plan, seed), stream(seed, "mixing_order"))

    for block, kind in ((1, "concurrent"), (longest, "sequential")):
        if block == longest == 1:
            continue  # one batch per task: both ends at once
        end, other = realised(kind="interleaved", block=block), realised(kind=kind)
        assert end.task.tolist() == other.task.tolist()
        assert end.batch.tolist() == other.batch.tolist()
        assert end.starts == other.starts


@given(SIZES)
def test_sequential_follows_the_drawn_order(updates):
    plan = plan_of(updates)
    order = drawn(plan)
    steps = realise(plan, Schedule(kind="sequential"), order, stream(0))
    expected = [plan.tasks.index(task) for task in order for _ in range(updates[plan.tasks.index(task)])]
    assert steps.task.tolist() == expected
    assert list(steps.starts) == np.cumsum([0, *(updates[plan.tasks.index(t)] for t in order)])[:-1].tolist()


def test_hash_ignores_order_of_tasks_and_notices_every_example():
    names, plan = ["a", "b"], plan_of([3, 2])
    again = plan_of([3, 2])
    other = plan_of([3, 2], seed=1)
    assert plan.hash == again.hash != other.hash
    streams = {name: stream(0, name) for name in names}
    forward = build_plan({"a": 9, "b": 8}, {"a": 2, "b": 2}, {"a": 4, "b": 4}, streams)
    streams = {name: stream(0, name) for name in names}
    backward = build_plan({"b": 8, "a": 9}, {"a": 2, "b": 2}, {"a": 4, "b": 4}, streams)
    assert forward.hash == backward.hash


def test_each_pass_uses_every_example_once():
    plan = build_plan({"a": 8}, {"a": 6}, {"a": 4}, {"a": stream(0)})
    flat = plan.batches[0].reshape(-1)
    for start in range(0, 24, 8):
        assert sorted(flat[start : start + 8]) == list(range(8))


def test_fewer_examples_than_a_batch_are_refused():
    with pytest.raises(DataError, match="3 training examples, but a batch takes 4"):
        build_plan({"a": 3}, {"a": 1}, {"a": 4}, {"a": stream(0)})


@pytest.mark.parametrize("count", range(1, 10))
def test_williams_rows_are_balanced(count):
    tasks = "abcdefghi"[:count]
    rows = order_rows(tasks, "williams")
    assert len(rows) == (2 * count if count % 2 and count > 1 else count)
    at = Counter((place, task) for row in rows for place, task in enumerate(row))
    assert len(at) == count * count
    assert len(set(at.values())) == 1
    follows = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(follows) == count * (count - 1)
    assert len(set(follows.values())) <= 1


def test_all_orders_and_drawn_orders():
    assert len(set(order_rows("abcd", "all"))) == 24
    rows = order_rows("abcd", 7)
    assert len(set(rows)) == 7
    assert rows == order_rows("abcd", 7)
    with pytest.raises(StudyError):
        order_rows("abc", 7)


@given(st.integers(1, 4), st.integers(2, 5))
def test_dealt_orders_are_balanced_and_never_change(checkpoints, tasks):
    rows = order_rows("abcde"[:tasks], "williams")
    seeds = range(1, len(rows) + 1)
    for checkpoint in range(checkpoints):
        assert Counter(draw_order(rows, seed, checkpoint) for seed in seeds) == Counter(rows)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(0, 3))
def test_segregation_is_one_for_sequential_and_between_for_others(updates, seed):
    plan, order = plan_of(updates, seed), drawn(plan_of(updates, seed), seed)
    sequential = describe(plan, realise(plan, Schedule(kind="sequential"), order, stream(seed)), order)
    assert math.isclose(sequential.temporal_segregation, 1.0, rel_tol=1e-12)
    assert sequential.last_task == order[-1]
    assert sequential.recency[order[-1]] == 0.0
    mixed = describe(plan, realise(plan, Schedule(kind="concurrent"), order, stream(seed)), order)
    assert -1e-12 <= mixed.temporal_segregation <= 1 + 1e-12


def test_descriptors_by_hand():
    """Two tasks of two batches, order a>b, realised a b a b: bins {a b} {a b}, so I = 0."""
    plan = plan_of([2, 2])
    steps = realise(plan, Schedule(kind="sequential"), ["t0", "t1"], stream(0))
    mixed = type(steps)(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), (0,))
    found = describe(plan, mixed, ["t0", "t1"])
    assert found.temporal_segregation == pytest.approx(0.0, abs=1e-15)
    assert found.switch_rate == 1.0
    assert found.recency == {"t0": 0.25, "t1": 0.0}


def test_schedule_none_has_no_updates():
    with pytest.raises(StudyError):
        realise(plan_of([1]), Schedule(kind="none"), ["t0"], stream(0))
