"""XTREME's numbers of a study's runs: from the scores table to task means, groups and the overall score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from alignaudit.analysis.collect import validated
from alignaudit.core.language import find_language
from alignaudit.core.tasks import target_tasks
from alignaudit.errors import DataError
from alignaudit.measure.xtreme import GROUPS, LANGUAGES, XtremeScores, task_mean, transfer_gap, xtreme_scores

__all__ = ["TASKS", "ArmScores", "RunScores", "Summary", "arm_scores", "run_scores"]

TASKS = tuple(task.name for task in target_tasks("xtreme"))
"""XTREME's nine tasks, in the order in which they are shown."""

_METRIC = {task.name: task.metric for task in target_tasks("xtreme")}
_STAGE = {name: "intermediate" if name in GROUPS["retrieval"] else f"target:{name}" for name in TASKS}
"""Retrieval is read from the intermediate checkpoint, the other tasks after their own training."""


@dataclass(frozen=True, slots=True)
class RunScores:
    """What one run scored on XTREME.

    Attributes
    ----------
    run, arm, schedule, checkpoint, seed
        As in the runs table.
    values
        Score in [0, 1] by task and language; languages in XTREME's two-letter codes where they have
        one. A task without any score is absent.
    scores
        XTREME's own means: None wherever one of its languages is missing.
    """

    run: str
    arm: str
    schedule: str
    checkpoint: str
    seed: int
    values: Mapping[str, Mapping[str, float]]
    scores: XtremeScores


@dataclass(frozen=True, slots=True)
class Summary:
    """One number over the runs of an arm.

    Attributes
    ----------
    mean
        Over the runs.
    sd
        Standard deviation between the runs; NaN for a single one.
    runs
        How many runs. Before any training all seeds of a checkpoint are one.
    """

    mean: float
    sd: float
    runs: int


@dataclass(frozen=True, slots=True)
class ArmScores:
    """What one arm scored on XTREME.

    Attributes
    ----------
    arm
        Name of the schedule.
    languages
        By task those of XTREME's languages that any of the compared runs has a score in, which is
        the same for all arms. Tasks without any are absent.
    tasks
        By task the mean over ``languages``, in [0, 1]; only runs that have all of them count.
    gaps
        By task with English among ``languages``: English minus the mean of the others, in [-1, 1].
    groups
        By group, in [0, 1]; absent unless a run has all languages of XTREME.
    overall
        Mean over the nine tasks, in [0, 1]; None unless a run has all tasks in all languages.
    missing
        XTREME's languages without a score in any compared run, by task.
    incomplete
        Runs of the arm that lack some of ``languages``, in words.
    """

    arm: str
    languages: Mapping[str, tuple[str, ...]]
    tasks: Mapping[str, Summary]
    gaps: Mapping[str, Summary]
    groups: Mapping[str, Summary]
    overall: Summary | None
    missing: Mapping[str, tuple[str, ...]]
    incomplete: tuple[str, ...]


def run_scores(
    tables: Mapping[str, pd.DataFrame], study: str, schedules: Sequence[str]
) -> tuple[RunScores, ...]:
    """Return what every run of some arms scored on XTREME's tasks.

    Parameters
    ----------
    tables
        Needs ``runs`` and ``scores``: rows with role ``target``, split ``test`` and the task's
        metric. Retrieval counts at stage ``intermediate``, where Phang et al. (2020) read it, every
        other task at its own stage ``target:<task>``; of several updates the last.
    study
        Name of the study.
    schedules
        Arms.

    Returns
    -------
    tuple of RunScores
        By arm as given, then checkpoint, then seed; runs without any score too.

    Raises
    ------
    DataError
        If a table breaks its contract, a score is not in [0, 1], or a run has two scores of one
        language under different codes.
    """
    runs = validated(tables, "runs", study=study, arm=list(schedules))
    rows = _counting(validated(tables, "scores", role="target", split="test", run=list(runs["run"])))
    values: dict[str, dict[str, dict[str, float]]] = {}
    for run, task, code, value in zip(rows["run"], rows["task"], rows["code"], rows["value"], strict=True):
        values.setdefault(run, {}).setdefault(task, {})[code] = float(value)
    place = {arm: number for number, arm in enumerate(schedules)}
    entries: Any = runs.itertuples(index=False)
    found = [
        RunScores(
            str(row.run), str(row.arm), str(row.schedule), str(row.checkpoint), int(row.seed),
            values.get(row.run, {}), xtreme_scores(values.get(row.run, {})),
        )
        for row in entries
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda run: (place[run.arm], run.checkpoint, run.seed)))


def _counting(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count, with the column ``code`` for XTREME's word for the language."""
    own = scores["stage"] == scores["task"].map(_STAGE)
    rows = scores[own & (scores["metric"] == scores["task"].map(_METRIC))]
    rows = rows[rows["update"] == rows.groupby(["run", "task"])["update"].transform("max")]
    rows = rows[rows["value"].notna()]
    rows = rows.assign(code=rows["language"].map({name: _code(name) for name in rows["language"].unique()}))
    twice = rows[rows.duplicated(["run", "task", "code"])]
    if len(twice):
        first = twice.iloc[0]
        raise DataError(
            f'run {first["run"]} has two scores of {first["task"]} in "{first["code"]}".',
            where="table scores",
        )
    return rows


def _code(language: str) -> str:
    try:
        return find_language(language).short or language
    except DataError:
        return language


def arm_scores(runs: Sequence[RunScores]) -> tuple[ArmScores, ...]:
    """Return mean and standard deviation over the runs of every arm.

    Parameters
    ----------
    runs
        Of all arms that are compared: a task's mean is taken over the same languages in all of them.

    Returns
    -------
    tuple of ArmScores
        One per arm, in the order of the runs.
    """
    scored = {
        task: tuple(code for code in LANGUAGES[task] if any(code in run.values.get(task, {}) for run in runs))
        for task in TASKS
    }
    languages = {task: codes for task, codes in scored.items() if codes}
    missing = {
        task: tuple(code for code in LANGUAGES[task] if code not in scored[task])
        for task in TASKS
        if len(scored[task]) < len(LANGUAGES[task])
    }
    arms = dict.fromkeys(run.arm for run in runs)
    return tuple(_arm([run for run in runs if run.arm == arm], languages, missing) for arm in arms)


def _arm(
    runs: Sequence[RunScores],
    languages: Mapping[str, tuple[str, ...]],
    missing: Mapping[str, tuple[str, ...]],
) -> ArmScores:
    tasks = {
        task: _summary((_owner(run, task), task_mean(run.values.get(task, {}), codes)) for run in runs)
        for task, codes in languages.items()
    }
    gaps = {
        task: _summary((_owner(run, task), transfer_gap(run.values.get(task, {}), codes)) for run in runs)
        for task, codes in languages.items()
    }
    groups = {
        group: _summary((_owner(run, members[0]), run.scores.groups[group]) for run in runs)
        for group, members in GROUPS.items()
    }
    return ArmScores(
        arm=runs[0].arm,
        languages=languages,
        tasks=_present(tasks),
        gaps=_present(gaps),
        groups=_present(groups),
        overall=_summary((_owner(run, ""), run.scores.overall) for run in runs),
        missing=missing,
        incomplete=tuple(words for run in runs for words in _lacking(run, languages)),
    )


def _owner(run: RunScores, task: str) -> str:
    """Return whose value it is: without intermediate training all seeds share the checkpoint's retrieval."""
    shared = run.schedule == "none" and task in GROUPS["retrieval"]
    return run.checkpoint if shared else run.run


def _summary(values: Iterable[tuple[str, float | None]]) -> Summary | None:
    """Return the summary of one value per owner; None where nobody has one."""
    numbers = list({owner: value for owner, value in values if value is not None}.values())
    if not numbers:
        return None
    return Summary(fmean(numbers), stdev(numbers) if len(numbers) > 1 else math.nan, len(numbers))


def _present(summaries: Mapping[str, Summary | None]) -> dict[str, Summary]:
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _lacking(run: RunScores, languages: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    for task, codes in languages.items():
        absent = [code for code in codes if code not in run.values.get(task, {})]
        if absent:
            what = "all languages" if len(absent) == len(codes) else ", ".join(absent)
            yield f"run {run.run} has no score of {task} in {what}"
