"""Schedules: a schedule is an ordering of one fixed multiset of mini-batches.

The batch plan of a (checkpoint, seed) is built once; every arm is a permutation of it. Within a
task the batches always come in the same order, so arms differ in how tasks are interleaved and in
nothing else: same examples, same updates, same tokens.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.phase import Schedule
from alignaudit.errors import DataError, StudyError

__all__ = [
    "BatchPlan",
    "Descriptors",
    "Steps",
    "build_plan",
    "describe",
    "draw_order",
    "order_rows",
    "realise",
]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The multiset of mini-batches that all arms of a (checkpoint, seed) share.

    Attributes
    ----------
    tasks
        Names of the tasks, in the study's order.
    batches
        Per task the example indices, shape ``[updates, batch size]``.
    """

    tasks: tuple[str, ...]
    batches: tuple[Indices, ...]

    @property
    def updates(self) -> int:
        """Return the number of optimizer updates of the phase."""
        return sum(len(batches) for batches in self.batches)

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the multiset; the order in which batches are seen does not enter."""
        digest = hashlib.sha256()
        for task, batches in sorted(zip(self.tasks, self.batches, strict=True), key=lambda pair: pair[0]):
            digest.update(f"{task}:{batches.shape}".encode())
            digest.update(np.ascontiguousarray(batches, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Steps:
    """The realised order of a plan.

    Attributes
    ----------
    task, batch
        Shape ``[updates]``: index of the task in ``BatchPlan.tasks`` and of the batch in it.
    starts
        First update of each stage of the schedule: one per task for sequential, else one.
    """

    task: Indices
    batch: Indices
    starts: tuple[int, ...]


def build_plan(
    sizes: Mapping[str, int],
    updates: Mapping[str, int],
    batch_sizes: Mapping[str, int],
    generators: Mapping[str, np.random.Generator],
) -> BatchPlan:
    """Return the batches of every task: passes over its examples, each pass in a new random order.

    Parameters
    ----------
    sizes, updates, batch_sizes
        Per task: number of examples, of updates, and of examples per update.
    generators
        Per task the generator of its data order.

    Raises
    ------
    DataError
        If a task has fewer examples than one batch.
    """
    batches = []
    for task, size in sizes.items():
        needed = updates[task] * batch_sizes[task]
        if size < batch_sizes[task]:
            raise DataError(
                f"{size} training examples, but a batch takes {batch_sizes[task]}.",
                where=f"task {task}",
                hint="Lower its batch_size, or give it training data.",
            )
        passes = math.ceil(needed / size)
        drawn = np.concatenate([generators[task].permutation(size) for _ in range(passes)])
        batches.append(drawn[:needed].reshape(updates[task], batch_sizes[task]).astype(np.int64))
    return BatchPlan(tuple(sizes), tuple(batches))


def order_rows(tasks: Sequence[str], design: Literal["all", "williams"] | int) -> list[tuple[str, ...]]:
    """Return the task orders of a design, before they are dealt to runs.

    Parameters
    ----------
    tasks
        K task names.
    design
        ``all``: the K! permutations; ``williams``: a square (two, for odd K) in which every task
        stands in every position, and follows every other task, equally often; an integer: that
        many distinct permutations, drawn without replacement by a fixed stream.

    Returns
    -------
    list of tuple
        K!, K (even) or 2K (odd), or ``design`` rows.

    Raises
    ------
    StudyError
        If an integer is not in 1 … K!, or ``all`` means more than 5,040 orders.

    References
    ----------
    Williams (1949), "Experimental designs balanced for the estimation of residual effects of
    treatments", Australian Journal of Scientific Research A 2, 149-168.

    Examples
    --------
    >>> order_rows("ab", "williams")
    [('a', 'b'), ('b', 'a')]
    >>> len(order_rows("abc", "williams")), len(order_rows("abcd", "williams"))
    (6, 4)
    """
    count = len(tasks)
    if design == "williams":
        return _williams(tasks)
    if design == "all":
        if count > 7:
            raise StudyError(f"{count}! task orders are too many.", where="orders", hint='Use "williams".')
        return [tuple(row) for row in itertools.permutations(tasks)]
    if not 1 <= design <= math.factorial(count):
        raise StudyError(f"{design} orders of {count} tasks cannot be drawn.", where="orders")
    generator = np.random.default_rng(np.random.SeedSequence(entropy=count))
    rows: dict[tuple[str, ...], None] = {}
    while len(rows) < design:
        rows[tuple(tasks[index] for index in generator.permutation(count))] = None
    return list(rows)


def _williams(tasks: Sequence[str]) -> list[tuple[str, ...]]:
    """Rows 0, 1, K-1, 2, K-2, … shifted cyclically; for odd K the mirrored rows as well."""
    count = len(tasks)
    zigzag = [0, *(index for low in range(1, count) for index in (low, count - low) if low <= count - low)]
    first = list(dict.fromkeys(zigzag))[:count]
    rows = [[(start + index) % count for index in first] for start in range(count)]
    if count % 2 == 1 and count > 1:
        rows += [row[::-1] for row in rows]
    return [tuple(tasks[index] for index in row) for row in rows]


def draw_order(rows: Sequence[tuple[str, ...]], seed: int, checkpoint: int) -> tuple[str, ...]:
    """Return the task order of one (checkpoint, seed), dealt so that all rows come equally often.

    Consecutive seeds take consecutive rows; checkpoint p starts at a van der Corput fraction of the
    list, so that adding seeds or checkpoints to a study never changes the orders already run.

    Parameters
    ----------
    rows
        As :func:`order_rows` returns them.
    seed
        Seed of the run.
    checkpoint
        Position of the checkpoint in the study, from 0.

    Examples
    --------
    >>> rows = order_rows("abc", "all")
    >>> len({draw_order(rows, seed, checkpoint) for seed in (1, 2, 3) for checkpoint in (0, 1)})
    6
    """
    fraction, weight, position = 0.0, 0.5, checkpoint
    while position:
        fraction += weight * (position % 2)
        position, weight = position // 2, weight / 2
    return rows[(seed + int(fraction * len(rows))) % len(rows)]


def realise(
    plan: BatchPlan, schedule: Schedule, order: Sequence[str], generator: np.random.Generator
) -> Steps:
    """Return the plan's batches in the order of a schedule.

    ``sequential`` runs task after task in ``order``. ``concurrent`` shuffles which task each update
    takes. ``interleaved`` cuts each task into blocks of ``block`` successive batches and shuffles
    the blocks: with ``block = 1`` it *is* ``concurrent`` (same generator, same order), and once no
    task has more than one block only the task order is left to choose, and it *is* ``sequential``.

    Parameters
    ----------
    plan
        The multiset.
    schedule
        Its ``kind`` and ``block`` are used.
    order
        Task order of this (checkpoint, seed).
    generator
        Stream of the mixing order.

    Raises
    ------
    StudyError
        If the schedule trains nothing (kind ``none``).
    """
    if schedule.kind == "none":
        raise StudyError("the schedule `none` has no updates.", where="schedule")
    counts = {task: len(batches) for task, batches in zip(plan.tasks, plan.batches, strict=True)}
    longest = max(counts.values())
    block = {"sequential": longest, "concurrent": 1, "interleaved": schedule.block or 1}[schedule.kind]
    number = {task: math.ceil(count / block) for task, count in counts.items()}
    if max(number.values()) == 1:
        sequence = [plan.tasks.index(task) for task in order]
    else:
        blocks = np.repeat(np.arange(len(plan.tasks)), [number[task] for task in plan.tasks])
        sequence = generator.permutation(blocks).tolist()
    taken = [0] * len(plan.tasks)
    task_of: list[int] = []
    batch_of: list[int] = []
    for task in sequence:
        stop = min(taken[task] + block, counts[plan.tasks[task]])
        task_of += [task] * (stop - taken[task])
        batch_of += range(taken[task], stop)
        taken[task] = stop
    task_array = np.array(task_of, dtype=np.int64)
    starts: tuple[int, ...] = (0,)
    if schedule.kind == "sequential" or (schedule.kind == "interleaved" and max(number.values()) == 1):
        starts = (0, *(int(at) + 1 for at in np.flatnonzero(np.diff(task_array))))
    return Steps(task_array, np.array(batch_of, dtype=np.int64), starts)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What the realised order looks like in numbers.

    Attributes
    ----------
    temporal_segregation
        I(task; bin) / H(task), 0 … 1: 1 when the time bins determine the task.
    switch_rate
        Share of updates whose task differs from the update before, 0 … 1.
    last_task
        Task of the last update.
    recency
        Per task: updates since its last batch, as a share of the phase (0 = it was last).
    """

    temporal_segregation: float
    switch_rate: float
    last_task: str
    recency: dict[str, float]


def describe(plan: BatchPlan, steps: Steps, order: Sequence[str]) -> Descriptors:
    """Return temporal segregation, switch rate and recency of a realised order.

    Time is cut at the task boundaries of the sequential arm (``order``), so that segregation is
    exactly 1 for that arm whatever the sizes of the tasks, and near 0 for a well-mixed one.

    Returns
    -------
    Descriptors
        With one task, segregation is 1 by convention.

    References
    ----------
    Mutual information and entropy: Shannon (1948); plug-in estimates over updates.
    """
    total = len(steps.task)
    sizes = [len(plan.batches[plan.tasks.index(task)]) for task in order]
    time_bin = np.repeat(np.arange(len(sizes)), sizes)
    joint = np.zeros((len(plan.tasks), len(sizes)))
    np.add.at(joint, (steps.task, time_bin), 1.0 / total)
    task_share, bin_share = joint.sum(1), joint.sum(0)
    filled = joint > 0
    information = float((joint[filled] * np.log((joint / np.outer(task_share, bin_share))[filled])).sum())
    entropy = float(-(task_share[task_share > 0] * np.log(task_share[task_share > 0])).sum())
    last = {task: int(np.flatnonzero(steps.task == index).max()) for index, task in enumerate(plan.tasks)}
    return Descriptors(
        temporal_segregation=information / entropy if entropy > 0 else 1.0,
        switch_rate=float(np.mean(np.diff(steps.task) != 0)) if total > 1 else 0.0,
        last_task=plan.tasks[int(steps.task[-1])],
        recency={task: (total - 1 - at) / total for task, at in last.items()},
    )
