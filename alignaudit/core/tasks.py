"""Every task by name: what is trained on, XTREME's targets, and a few more.

In a training or development part ``{language}`` stands for English, or for the languages that a
study trains in.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alignaudit.core.task import Task
from alignaudit.core.tasks_english import TRAINED_ON
from alignaudit.core.tasks_multilingual import TESTED_ON
from alignaudit.errors import StudyError, did_you_mean

__all__ = ["TASKS", "target_tasks", "task"]

TASKS: Mapping[str, Task] = MappingProxyType({record.name: record for record in (*TRAINED_ON, *TESTED_ON)})
"""Every task by name, in the order in which they are shown."""


def task(name: str) -> Task:
    """Return the task of a name.

    Raises
    ------
    StudyError
        If there is none.

    Examples
    --------
    >>> task("tydiqa").languages
    ('en', 'ar', 'bn', 'fi', 'id', 'ko', 'ru', 'sw', 'te')
    """
    if name not in TASKS:
        raise StudyError(f'there is no task "{name}".', hint=did_you_mean(name, TASKS))
    return TASKS[name]


def target_tasks(benchmark: str) -> tuple[Task, ...]:
    """Return the tasks that a benchmark scores, in the order of :data:`TASKS`.

    Parameters
    ----------
    benchmark
        ``xtreme``: all nine. ``xtreme-r``: those whose data and languages are here.

    Raises
    ------
    StudyError
        If there is no such benchmark.

    Examples
    --------
    >>> [found.name for found in target_tasks("xtreme") if found.group == "retrieval"]
    ['bucc2018', 'tatoeba']
    """
    found = tuple(record for record in TASKS.values() if benchmark in record.benchmarks)
    if not found:
        known = {name for record in TASKS.values() for name in record.benchmarks}
        raise StudyError(f'there is no benchmark "{benchmark}".', hint=did_you_mean(benchmark, known))
    return found
