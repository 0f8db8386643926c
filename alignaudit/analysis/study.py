"""The door of the analysis layer: from the records of a study to its comparison, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alignaudit.analysis.compare import compare_tables
from alignaudit.analysis.comparison import Comparison
from alignaudit.analysis.conditions import study_warnings
from alignaudit.analysis.plan import AnalysisPlan, load_plan
from alignaudit.analysis.selected import SelectionRow, selection_csv, selection_rows, selection_text
from alignaudit.core.assemble import assemble_tables, write_tables
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.layout import RunFolder, find_run_folder
from alignaudit.core.plan import read_plan
from alignaudit.core.store import Store, atomic_text
from alignaudit.core.tables import read_table

__all__ = ["chosen_schedules", "compare", "selection"]


def chosen_schedules(
    schedules: Sequence[str] | None, plan: AnalysisPlan, folder: RunFolder
) -> tuple[str, ...]:
    """Return the arms to compare: those given; all of the study for an empty list; else the plan's.

    Raises
    ------
    IncompleteDesignError
        If the study has not been run.
    """
    if schedules:
        return tuple(schedules)
    if schedules is None:
        return plan.schedules
    return tuple(
        dict.fromkeys(run.arm for run in read_plan(folder.plan).runs if run.schedule != "pretrained")
    )


def compare(
    study: str | Path | None = None,
    *,
    schedules: Sequence[str] | None = None,
    plan: str | Path | None = None,
    allow_missing: bool = False,
    runs: str | Path = "runs",
) -> Comparison:
    """Compare schedules of a study that was run, and keep the result beside its tables.

    Parameters
    ----------
    study
        Folder, study file or name of a study that was run; the quickstart by default.
    schedules
        Arms; an empty list means all of the study; by default those of the analysis plan.
    plan
        An analysis plan file; the built-in plan by default.
    allow_missing
        Compare what there is when runs or cells are missing.
    runs
        The runs root.

    Returns
    -------
    Comparison
        Also written as ``comparison/<arms>/comparison.json`` below the study's folder.

    Raises
    ------
    UsageError, StudyError
        If the study, the plan or a schedule does not exist.
    IncompleteDesignError
        If runs or cells are missing and ``allow_missing`` is not set.
    DamagedRecordError
        If a record is not what its manifest says.
    FitError
        If a model that is needed cannot be fitted.
    """
    folder = find_run_folder(study, Path(runs))
    analysis = load_plan(Path(plan) if plan else None)
    graph = read_plan(folder.plan)
    tables = assemble_tables(graph, Store(folder.store))
    write_tables(tables, folder.tables)
    arms = chosen_schedules(schedules, analysis, folder)
    result = compare_tables(
        tables, study=folder.study, schedules=arms, plan=analysis, allow_missing=allow_missing
    )
    warnings = dict.fromkeys((*study_warnings(graph.study), *result.warnings))
    result = replace(result, warnings=tuple(warnings))
    atomic_text(folder.comparison(arms) / "comparison.json", result.to_json())
    return result


def selection(
    study: str | Path | None, schedules: Sequence[str], *, runs: str | Path = "runs"
) -> tuple[tuple[SelectionRow, ...], str]:
    """Return what each way of choosing target checkpoints gives, and that as text.

    Parameters
    ----------
    study, runs
        As for :func:`compare`, which writes the tables that are read here.
    schedules
        The arms that were compared.

    Returns
    -------
    rows : tuple of SelectionRow
        Empty where every target task was evaluated at its end only. Otherwise also written as
        ``comparison/<arms>/selection.csv`` below the study's folder.
    text : str
        The rows as a table; empty without rows.

    Raises
    ------
    UsageError, StudyError, IncompleteDesignError, DamagedRecordError
        If the study does not exist, has not been run, or its table cannot be read.
    """
    folder = find_run_folder(study, Path(runs))
    scores = read_table(folder.tables / "scores.parquet", CONTRACTS["scores"])
    rows = selection_rows(scores, schedules)
    if not rows:
        return (), ""
    atomic_text(folder.comparison(schedules) / "selection.csv", selection_csv(rows))
    return rows, selection_text(rows, read_plan(folder.plan).study)
