"""From finished stages to the long tables of a study: the bridge that analysis reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from alignaudit.core.contracts import (
    ALIGNMENT,
    CONTRACTS,
    CONTROLS,
    ITEMS,
    PERTURBED,
    PERTURBED_ITEMS,
    RUNS,
    SCORES,
    Contract,
)
from alignaudit.core.plan import PlannedRun, StudyPlan, Yield
from alignaudit.core.store import RECORD, Store, atomic_folder
from alignaudit.core.tables import validate, write_table
from alignaudit.errors import DamagedRecordError

__all__ = ["assemble_tables", "write_tables"]


def assemble_tables(plan: StudyPlan, store: Store) -> dict[str, pd.DataFrame]:
    """Return the tables of everything that is finished; what is missing is simply not there.

    Parameters
    ----------
    plan
        The graph with its runs and yields.
    store
        Finished stages.

    Returns
    -------
    dict
        ``runs``, ``alignment``, ``items``, ``scores`` and ``controls``, each as its contract says.
        ``runs`` also holds planned runs of which nothing is finished.

    Raises
    ------
    DamagedRecordError
        If a file of a finished stage is not what its manifest says.
    """
    runs = {run.run: run for run in plan.runs}
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in CONTRACTS}
    for entry in plan.yields:
        if store.has(entry.key):
            for table, frame in _stage_tables(entry, runs.get(entry.run), store):
                parts[table].append(frame)
    records = {stage.key: _record(store, stage.key) for stage in plan.stages if store.has(stage.key)}
    name = str(plan.study["name"])
    rows = [_run_row(run, name, records) for run in plan.runs if run.schedule != "pretrained"]
    parts["runs"] = [pd.DataFrame(rows, columns=RUNS.names)]
    return {table: _joined(parts[table], contract) for table, contract in CONTRACTS.items()}


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write tables as Parquet with CSV twins (items, the largest, without) in one atomic folder.

    Raises
    ------
    SetupError
        If the disk is full.
    """

    def write(private: Path) -> None:
        for name, frame in tables.items():
            write_table(private / f"{name}.parquet", frame, CONTRACTS[name], twin="items" not in name)

    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic_folder(folder, write, replace=True)


def _joined(parts: Iterable[pd.DataFrame], contract: Contract) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return validate(pd.DataFrame(columns=contract.names), contract)
    return validate(pd.concat(filled, ignore_index=True), contract)


def _stage_tables(entry: Yield, run: PlannedRun | None, store: Store) -> Iterable[tuple[str, pd.DataFrame]]:
    """Read what one stage gives and add the columns that say whose it is."""
    if entry.role == "control":
        file = "alignment.parquet" if entry.stage == "untrained" else f"{entry.stage}.parquet"
        frame = _read(store, entry.key, file)
        checkpoint = run.checkpoint if run else ""
        yield "controls", frame.assign(control=entry.stage, checkpoint=checkpoint)[CONTROLS.names]
    elif run is not None:
        owner: dict[str, Any] = {
            "run": run.run,
            "arm": run.arm,
            "checkpoint": run.checkpoint,
            "seed": run.seed,
            "stage": entry.stage,
        }
        if entry.role == "scores":
            yield "scores", _read(store, entry.key, "scores.parquet").assign(**owner)[SCORES.names]
        else:
            yield "alignment", _read(store, entry.key, "alignment.parquet").assign(**owner)[ALIGNMENT.names]
            yield "items", _read(store, entry.key, "items.parquet").assign(**owner)[ITEMS.names]
            for contract in (PERTURBED, PERTURBED_ITEMS):
                file = f"{contract.name}.parquet"
                if (store.folder(entry.key) / file).exists():
                    yield contract.name, _read(store, entry.key, file).assign(**owner)[contract.names]


def _read(store: Store, key: str, file: str) -> pd.DataFrame:
    _verify(store, key, file)
    return pd.read_parquet(store.folder(key) / file)


def _record(store: Store, key: str) -> dict[str, Any]:
    _verify(store, key, RECORD)
    return store.record(key)


def _verify(store: Store, key: str, file: str) -> None:
    try:
        store.verify(key, {file})
    except DamagedRecordError as error:
        raise DamagedRecordError(
            error.what,
            where=error.where,
            hint="`alignaudit run-seeds` moves the stage aside and runs it again.",
        ) from error


def _run_row(run: PlannedRun, study: str, records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    done = [records[key] for key in run.stages if key in records]
    trained = records.get(run.intermediate, {})
    descriptors = trained.get("descriptors", {})
    return {
        "run": run.run,
        "study": study,
        "arm": run.arm,
        "schedule": run.schedule,
        "checkpoint": run.checkpoint,
        "seed": run.seed,
        "order": run.order,
        "plan_hash": trained.get("plan_hash", ""),
        "learning_rate_policy": run.learning_rate_policy,
        "optimizer_state": run.optimizer_state,
        "temporal_segregation": descriptors.get("temporal_segregation", float("nan")),
        "switch_rate": descriptors.get("switch_rate", float("nan")),
        "last_task": descriptors.get("last_task", ""),
        "updates": int(trained.get("updates", 0)),
        "tokens": int(trained.get("tokens", 0)),
        "wall_s": float(sum(record["wall_s"] for record in done)),
        "device": ", ".join(sorted({str(record["device"]) for record in done})),
        "stages_done": len(done),
        "stages_planned": len(run.stages),
    }
