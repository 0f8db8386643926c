"""The door of the experiment layer: run a study."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from transformers.utils import logging as transformers_logging

from alignaudit.core.assemble import assemble_tables, write_tables
from alignaudit.core.layout import RunFolder
from alignaudit.core.plan import StudyPlan, write_plan
from alignaudit.core.store import Store
from alignaudit.core.study import Study, load_study
from alignaudit.experiment.check import check_study, raise_first
from alignaudit.experiment.engine import Event, Machine, find_machine, repair, run_plan
from alignaudit.experiment.perturbed import check_perturbations
from alignaudit.experiment.stages import draw_plan

__all__ = ["StudyRun", "prepare_run", "quiet_libraries", "run_seeds"]


@dataclass(frozen=True, slots=True)
class StudyRun:
    """What :func:`run_seeds` did.

    Attributes
    ----------
    folder
        Where the study's files lie.
    plan
        The graph.
    stages_run, stages_found
        Stages carried out now, and stages that were finished already.
    repaired
        One sentence per damaged stage that was moved aside and run again.
    tables
        The long tables, by name (see ``core.tables``).
    """

    folder: RunFolder
    plan: StudyPlan
    stages_run: int
    stages_found: int
    repaired: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]


def quiet_libraries() -> None:
    """Let libraries say errors only and draw no progress bars in this process (for the command line)."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def prepare_run(study: Study, schedules: Sequence[str] | None = None) -> StudyPlan:
    """Return the plan of a study after reading all its data once, so that bad data stops it early.

    Raises
    ------
    StudyError, DataError, SetupError
        As :func:`alignaudit.experiment.stages.draw_plan`; also if anything that
        :func:`alignaudit.experiment.check.check_study` looks at is wrong or out of reach.
    """
    check_perturbations(study.measure.perturbations, lexicons=study.data.has_lexicons)
    plan = draw_plan(study, schedules)
    raise_first(check_study(study, plan=plan))
    return plan


def run_seeds(
    study: Study | str | Path | None = None,
    *,
    schedules: Sequence[str] | None = None,
    out: str | Path = "runs",
    machine: Machine | None = None,
    tell: Callable[[Event], None] | None = None,
    plan: StudyPlan | None = None,
) -> StudyRun:
    """Train and measure every run of a study; finished stages are never run again.

    Parameters
    ----------
    study
        A study, the path of one, or ``None`` for the embedded quickstart.
    schedules
        Arms to run now; all of the study's by default. The tables hold whatever is finished of all.
    out
        Runs root.
    machine
        Worker processes and devices; found by itself by default.
    tell
        Called with progress.
    plan
        A plan drawn before, to save drawing it again.

    Returns
    -------
    StudyRun
        With the assembled tables, also written below ``out``.

    Raises
    ------
    StudyError, DataError
        If the study or its data are invalid; nothing has been trained then.
    SetupError
        If disk, device or a worker process fails.
    InterruptedRunError
        On Ctrl-C; the same call resumes.
    """
    resolved = study if isinstance(study, Study) else load_study(study)
    graph = plan or prepare_run(resolved, schedules)
    folder = RunFolder(Path(out), resolved.name)
    store = Store(folder.store)
    everything = {run.arm for run in graph.runs} >= set(resolved.schedules)
    whole = graph if everything else draw_plan(resolved)
    write_plan(folder.plan, whole)
    repaired = repair(whole, store)
    found = sum(store.has(stage.key) for stage in graph.stages)
    run = run_plan(graph, store, resolved.data, machine or find_machine(), journal=folder.journal, tell=tell)
    tables = assemble_tables(whole, store)
    write_tables(tables, folder.tables)
    return StudyRun(folder, whole, run, found, tuple(repaired), tables)
