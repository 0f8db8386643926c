"""Published XTREME scores beside a study's own, and what keeps the two from being comparable."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from alignaudit.analysis.xtreme import TASKS, ArmScores, RunScores, Summary, arm_scores, run_scores
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.layout import find_run_folder
from alignaudit.core.plan import read_plan
from alignaudit.core.published import published_scores, with_em_f1
from alignaudit.core.store import atomic_text
from alignaudit.core.tables import read_table
from alignaudit.core.tasks import task as find_task
from alignaudit.measure.xtreme import GROUPS, LANGUAGES

__all__ = ["SYSTEMS", "PaperRow", "PaperTable", "SummaryRow", "beside_paper", "paper_of_study"]

SYSTEMS = ("xlmr_large", "xstilts_best_per_task")
"""Published systems that are shown: the encoder alone, and X-STILTs' best intermediate task per target."""

XLMR_LARGE = ("xlm-roberta-large", "FacebookAI/xlm-roberta-large")
"""Names on the Hub of the encoder that the published systems start from."""

_AVERAGE = "xtreme"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One score: of an arm, or of a published system.

    Attributes
    ----------
    task
        Name of the task; ``xtreme`` for the mean of all nine.
    metric
        ``accuracy``, ``f1``, ``em_f1``, ``average`` …
    system
        Name of the arm or of the published system.
    origin
        ``ours`` or ``published``.
    value
        In percent.
    sd
        Standard deviation between the runs, in points; None for a single run and for published scores.
    runs
        Number of runs; None for published scores.
    languages, languages_of_xtreme
        Number of languages in the mean, and of XTREME's task; None for the mean of all nine.
    split
        ``test`` or, of published scores, data and protocol.
    status
        ``measured``, or how far a published score was checked, see :mod:`alignaudit.core.published`.
    source
        Where a published score was read; empty for ours.
    """

    task: str
    metric: str
    system: str
    origin: Literal["ours", "published"]
    value: float
    sd: float | None
    runs: int | None
    languages: int | None
    languages_of_xtreme: int | None
    split: str
    status: str
    source: str


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A mean of a group of tasks, or the gap of a task to English, in one arm.

    Attributes
    ----------
    what
        ``group`` or ``gap``.
    name
        XTREME's group, or the task.
    arm
        The arm.
    value
        In percent; of a gap English minus the mean of the other languages, in points.
    sd
        Standard deviation between the runs, in points; None for a single run.
    runs
        Number of runs.
    """

    what: Literal["group", "gap"]
    name: str
    arm: str
    value: float
    sd: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class PaperTable:
    """The table that ``compare --with-paper`` gives.

    Attributes
    ----------
    rows
        By task, ours before published ones; the mean of all nine last.
    summaries
        Our means by group, where all languages of XTREME are there, and our gaps to English.
    notes
        What is not comparable or not there, one a line.
    """

    rows: tuple[PaperRow, ...]
    summaries: tuple[SummaryRow, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return rows and notes as plain lists and dictionaries."""
        summaries = [asdict(row) for row in self.summaries]
        return {
            "rows": [asdict(row) for row in self.rows],
            "summaries": summaries,
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """Return the rows as CSV, unrounded; what is None is empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(PaperRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in self.rows)
        return text.getvalue()

    def __str__(self) -> str:
        """Return the table and its notes as plain text."""
        lines = [_TITLE, "", *_aligned([_HEADERS, *(_cells(row) for row in self.rows)])]
        if self.summaries:
            cells = [
                (row.what, row.name, row.arm, _plus_minus(row.value, row.sd), str(row.runs))
                for row in self.summaries
            ]
            lines += ["", _SUMMARY_TITLE, "", *_aligned([_SUMMARY_HEADERS, *cells])]
        return "\n".join([*lines, "", "Before comparing:", *[f"- {note}" for note in self.notes]])


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _plus_minus(value: float, sd: float | None) -> str:
    return f"{value:.2f}" if sd is None else f"{value:.2f} ± {sd:.2f}"


_SUMMARY_TITLE = "Groups of tasks in percent, and gaps to English (minus the mean of the others) in points."
_SUMMARY_HEADERS = ("what", "name", "arm", "value", "runs")
_TITLE = "Beside published XTREME scores, in percent: mean ± standard deviation between runs."
_HEADERS = ("task", "metric", "system", "score", "runs", "languages", "split", "status")


def _cells(row: PaperRow) -> tuple[str, ...]:
    score = f"{row.value:.2f}"
    if row.origin == "published":
        score = score.removesuffix("0")  # published with one decimal; means of two have two
    return (
        row.task, row.metric, row.system,
        score if row.sd is None else _plus_minus(row.value, row.sd),
        "–" if row.runs is None else str(row.runs),
        "–" if row.languages is None else f"{row.languages} of {row.languages_of_xtreme}",
        row.split, row.status,
    )  # fmt: skip


def paper_of_study(study: str | Path | None, schedules: Sequence[str], *, runs: str | Path) -> PaperTable:
    """Return the table of a study that was compared, and keep it beside its comparison.

    Parameters
    ----------
    study, runs
        As for :func:`alignaudit.analysis.study.compare`, which writes the tables that are read here.
    schedules
        The arms that were compared.

    Returns
    -------
    PaperTable
        Also written as ``comparison/<arms>/with_paper.csv`` below the study's folder.

    Raises
    ------
    UsageError, StudyError
        If the study does not exist.
    IncompleteDesignError
        If the study has not been run.
    DamagedRecordError
        If a table or the plan cannot be read.
    DataError
        As :func:`alignaudit.analysis.xtreme.run_scores`.
    """
    folder = find_run_folder(study, Path(runs))
    plan = read_plan(folder.plan)
    tables = {
        name: read_table(folder.tables / f"{name}.parquet", CONTRACTS[name]) for name in ("runs", "scores")
    }
    table = beside_paper(tables, plan.study, schedules)
    atomic_text(folder.comparison(schedules) / "with_paper.csv", table.to_csv())
    return table


def beside_paper(
    tables: Mapping[str, pd.DataFrame], study: Mapping[str, Any], schedules: Sequence[str]
) -> PaperTable:
    """Return published scores beside those of some arms, task by task.

    Parameters
    ----------
    tables
        Needs ``runs`` and ``scores``.
    study
        The resolved study: ``name``, and what it says of ``data`` and ``target``.
    schedules
        Arms.

    Returns
    -------
    PaperTable
        Deterministic: the same tables, in any order of rows, give the same bytes.

    Raises
    ------
    DataError
        As :func:`alignaudit.analysis.xtreme.run_scores`.

    References
    ----------
    Hu et al. (2020), "XTREME"; Phang et al. (2020), "English intermediate-task training improves
    zero-shot cross-lingual transfer too".
    """
    runs = run_scores(tables, str(study["name"]), schedules)
    arms = arm_scores(runs)
    rows = [row for task in TASKS for row in (*_ours(arms, task), *_published(task))]
    rows += [row for arm in arms for row in _row(arm, _AVERAGE, arm.overall)]
    rows += _published(_AVERAGE)
    return PaperTable(tuple(rows), tuple(_summaries(arms)), tuple(_notes(runs, arms, study)))


def _summaries(arms: Sequence[ArmScores]) -> Iterable[SummaryRow]:
    kinds: tuple[tuple[Literal["group", "gap"], Sequence[str]], ...] = (
        ("group", list(GROUPS)),
        ("gap", TASKS),
    )
    for what, names in kinds:
        for name in names:
            for arm in arms:
                found = (arm.groups if what == "group" else arm.gaps).get(name)
                if found is not None:
                    sd = None if math.isnan(found.sd) else 100 * found.sd
                    yield SummaryRow(what, name, arm.arm, 100 * found.mean, sd, found.runs)


def _ours(arms: Sequence[ArmScores], task: str) -> Iterable[PaperRow]:
    for arm in arms:
        yield from _row(arm, task, arm.tasks.get(task))


def _row(arm: ArmScores, task: str, summary: Summary | None) -> Iterable[PaperRow]:
    if summary is None:
        return
    whole = task == _AVERAGE
    yield PaperRow(
        task=task,
        metric="average" if whole else find_task(task).metric,
        system=arm.arm,
        origin="ours",
        value=100 * summary.mean,
        sd=None if math.isnan(summary.sd) else 100 * summary.sd,
        runs=summary.runs,
        languages=None if whole else len(arm.languages[task]),
        languages_of_xtreme=None if whole else len(LANGUAGES[task]),
        split="test",
        status="measured",
        source="",
    )


def _published(task: str) -> Iterable[PaperRow]:
    count = len(LANGUAGES[task]) if task in LANGUAGES else None
    for score in with_em_f1(published_scores()):
        if score.task == task and score.system in SYSTEMS and not score.metric.startswith("gain"):
            yield PaperRow(
                task, score.metric, score.system, "published", score.value, None, None, count, count,
                score.split, score.status, score.source,
            )  # fmt: skip


# ------------------------------------------------------------------------------------------- notes


def _notes(runs: Sequence[RunScores], arms: Sequence[ArmScores], study: Mapping[str, Any]) -> Iterable[str]:
    languages = arms[0].languages if arms else {}
    yield from _coverage(arms, languages)
    yield from _training(runs, study)
    yield from _data(study)
    same_rows = [task for task in languages if _split(task) != "test"]
    if same_rows:
        yield (
            f"Validation instead of test: {', '.join(same_rows)}. There is no test split; XTREME scores "
            "these rows too, and nothing may have been chosen on them."
        )
    if any(task in GROUPS["retrieval"] for task in languages):
        yield (
            "Retrieval: layer, pooling and scoring decide; both Tatoeba values of xlmr_large are of the same "
            "encoder and sentences. f1_oracle takes its threshold from the labels that it is scored by."
        )
    yield (
        "xstilts_best_per_task is no single model: it has the best intermediate task for each target task, "
        "an arm here has the same ones for all."
    )
    yield (
        "Status: verified was seen in the source that with_paper.csv names; triangulated is remembered and "
        "agrees with verified numbers in a mean, but is not confirmed alone."
    )


def _split(task: str) -> str:
    part = find_task(task).test
    return part.split if part else ""


def _coverage(arms: Sequence[ArmScores], languages: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    unscored = [task for task in TASKS if task not in languages]
    if unscored:
        yield f"Not scored here: {', '.join(unscored)}."
    fewer = [
        f"{task} {len(codes)} of {len(LANGUAGES[task])} ({', '.join(codes)})"
        for task, codes in languages.items()
        if len(codes) < len(LANGUAGES[task])
    ]
    if fewer:
        yield f"Fewer languages: {'; '.join(fewer)}. A mean over some is not the published mean over all."
    without = [arm.arm for arm in arms if arm.overall is None]
    if without:
        yield (
            f"No XTREME average for {', '.join(without)}: it takes one run with all nine tasks in all "
            "languages."
        )
    for arm in arms:
        if arm.incomplete:
            yield f"Left out of {arm.arm}: {'; '.join(arm.incomplete)}."


def _training(runs: Sequence[RunScores], study: Mapping[str, Any]) -> Iterable[str]:
    others = list(dict.fromkeys(run.checkpoint for run in runs if run.checkpoint not in XLMR_LARGE))
    if others:
        yield f"Other checkpoint: published systems start from XLM-R-large, ours from {', '.join(others)}."
    data, target = study.get("data") or {}, study.get("target") or {}
    caps = [
        f"{data[key]} {words}"
        for key, words in (
            ("train_examples", "training examples per task"),
            ("test_examples", "test examples per language"),
            ("parallel_pairs", "sentence pairs per language"),
        )
        if data.get(key) is not None
    ]
    caps += [
        f"{settings['train_examples']} training examples of {name}"
        for phase in (study.get("intermediate") or {}, target)
        for name, settings in (phase.get("tasks") or {}).items()
        if settings.get("train_examples") is not None
    ]
    if caps:
        yield f"Capped examples: at most {', '.join(caps)}."
    if target.get("selection") == "target-languages":
        yield "Checkpoints were selected on target languages: these scores are not zero-shot."


def _data(study: Mapping[str, Any]) -> Iterable[str]:
    data = study.get("data") or {}
    if data.get("source") == "world":
        yield "Artificial data: tasks and languages are invented, whatever their names."
    elif data.get("source") == "folder" or data.get("folders") or data.get("files"):
        yield "Own files: whether the texts in the study's folders are XTREME's is not known here."
