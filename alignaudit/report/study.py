"""The door of the report floor: from a study's tables and comparison to its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from alignaudit.analysis.plan import load_plan
from alignaudit.analysis.study import chosen_schedules, compare
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.layout import RunFolder, find_run_folder
from alignaudit.core.plan import StudyPlan, read_plan
from alignaudit.core.store import Store
from alignaudit.core.tables import content_hash, read_table
from alignaudit.report.build import FORMATS, ReportFiles, write_report
from alignaudit.report.source import ReportInput

__all__ = ["report"]


def report(
    study: str | Path | None = None,
    *,
    schedules: Sequence[str] | None = None,
    plan: str | Path | None = None,
    allow_missing: bool = False,
    runs: str | Path = "runs",
    formats: Sequence[str] = FORMATS,
    preset: str = "screen",
) -> ReportFiles:
    """Compare a study's schedules and write the report, figures and tables.

    Parameters
    ----------
    study, schedules, plan, allow_missing, runs
        As for :func:`alignaudit.analysis.study.compare`.
    formats, preset
        Of the figure files, see :func:`alignaudit.report.build.write_report`.

    Returns
    -------
    ReportFiles
        Below ``report/<arms>/`` of the study's folder.

    Raises
    ------
    AlignAuditError
        As ``compare`` and ``write_report``.
    """
    folder = find_run_folder(study, Path(runs))
    comparison = compare(study, schedules=schedules, plan=plan, allow_missing=allow_missing, runs=runs)
    arms = chosen_schedules(schedules, load_plan(Path(plan) if plan else None), folder)
    graph = read_plan(folder.plan)
    shown = [name for name in CONTRACTS if name != "items"]
    tables = {name: read_table(folder.tables / f"{name}.parquet", CONTRACTS[name]) for name in shown}
    source = ReportInput(
        study=graph.study,
        tables=tables,
        comparison=json.loads(comparison.to_json()),
        provenance=_provenance(graph, Store(folder.store), tables, folder, arms),
        languages=graph.languages,
    )
    return write_report(source, folder.report(arms), formats=formats, preset=preset)


def _provenance(
    graph: StudyPlan, store: Store, tables: Mapping[str, pd.DataFrame], folder: RunFolder, arms: Sequence[str]
) -> dict[str, Any]:
    """Return what the records say of where and with what the study was run; no time stamps."""
    records = [store.record(stage.key) for stage in graph.stages if store.has(stage.key)]
    environments = [record["environment"] for record in records]
    newest: Mapping[str, Any] = environments[-1] if environments else {}
    chosen = " ".join(arms)
    return {
        "versions": {"python": newest.get("python", ""), **newest.get("packages", {})},
        "git": ", ".join(sorted({str(entry.get("code", "")) for entry in environments} - {""})),
        "device": ", ".join(sorted({str(record["device"]) for record in records})),
        "wall_s": float(sum(record["wall_s"] for record in records)),
        "study_sha256": graph.study_hash,
        "files": {f"{name}.parquet": content_hash(frame) for name, frame in tables.items()},
        "commands": [
            f"alignaudit run-seeds {folder.study}",
            f"alignaudit compare {folder.study} --schedules {chosen}",
            f"alignaudit report {folder.study} --schedules {chosen}",
        ],
    }
