"""``alignaudit run-seeds`` and ``alignaudit plan``: train and measure, or only say what that would take."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alignaudit.cli.console import Console, StageProgress, duration
from alignaudit.cli.options import positive_integer, seeds_argument

if TYPE_CHECKING:
    from alignaudit.experiment.cost import Cost

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("study", nargs="?", help="study file or folder (default: the embedded quickstart)")
    parser.add_argument("--schedules", nargs="*", metavar="ARM", help="arms to run (default: all)")
    parser.add_argument("--seeds", type=seeds_argument, metavar="LIST", help="for example 1-10 or 0-4,42")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a setting of the study, for example encoder.dropout=0; may repeat",
    )
    parser.add_argument("--out", default="runs", metavar="FOLDER", help="runs root (default: runs)")
    parser.add_argument(
        "--workers",
        type=positive_integer,
        metavar="N",
        help="worker processes (default: one per GPU or core)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--keep-every",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="keep the state of unfinished training this often (default: 60)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the graph and its cost, train nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from alignaudit.core.layout import RunFolder
    from alignaudit.core.store import Store
    from alignaudit.core.study import load_study
    from alignaudit.experiment.cost import estimate_cost
    from alignaudit.experiment.engine import Event, find_machine
    from alignaudit.experiment.run import prepare_run, quiet_libraries, run_seeds
    from alignaudit.experiment.stages import draw_plan

    quiet_libraries()
    overrides = list(arguments.overrides)
    if arguments.seeds:
        overrides.append(f"seeds={list(arguments.seeds)}")
    study = load_study(arguments.study, overrides)
    schedules = arguments.schedules or None
    unreached: list[str] = []
    if arguments.dry_run:
        plan = draw_plan(study, schedules, unreached=unreached)
    else:
        plan = prepare_run(study, schedules)
    folder = RunFolder(Path(arguments.out), study.name)
    store = Store(folder.store)
    machine = find_machine(arguments.device, arguments.workers, arguments.keep_every)
    cost = estimate_cost(plan, store, machine)
    _describe(console, study.name, cost, study.measure.retrieval)
    if arguments.dry_run:
        for sentence in unreached:
            console.say(f"not reached here: {sentence}")
        if arguments.json:
            console.give_json({**cost.to_dict(), "unreached": unreached})
        else:
            console.give(cost.listing())
        console.say(f"Next: {_command(arguments)}")
        return 0
    with StageProgress(console, cost.to_run) as progress:

        def tell(event: Event) -> None:
            if event.kind == "started":
                progress.start(event.label)
            elif event.kind == "progress":
                progress.move(event.label, event.done, event.total)
            else:
                progress.finish(event.label)

        result = run_seeds(study, out=arguments.out, machine=machine, tell=tell, plan=plan)
    for sentence in result.repaired:
        console.say(f"repaired: {sentence}")
    console.say(f"{result.stages_run} stages run, {result.stages_found} were finished before.")
    console.say(f"Tables: {folder.tables}")
    if arguments.json:
        console.give_json(
            {
                "schema_version": 1,
                "study": study.name,
                "folder": str(folder.folder),
                "stages_run": result.stages_run,
                "stages_found": result.stages_found,
                "repaired": list(result.repaired),
                "tables": {name: len(table) for name, table in result.tables.items()},
            }
        )
    default = arguments.study is None and arguments.out == "runs" and study.name == "quickstart"
    name = "" if default else f" {shlex.quote(str(folder.folder))}"
    console.say(f"Next: alignaudit compare{name} --schedules")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that does what the dry run described."""
    words = ["alignaudit", "run-seeds", *([arguments.study] if arguments.study else [])]
    words += ["--schedules", *arguments.schedules] if arguments.schedules else []
    words += ["--seeds", ",".join(map(str, arguments.seeds))] if arguments.seeds else []
    for override in arguments.overrides:
        words += ["--set", override]
    words += ["--out", arguments.out] if arguments.out != "runs" else []
    words += ["--workers", str(arguments.workers)] if arguments.workers else []
    words += ["--device", arguments.device] if arguments.device != "auto" else []
    return shlex.join(words)


def _describe(console: Console, name: str, cost: Cost, retrieval: Sequence[str]) -> None:
    from alignaudit.experiment.cost import GPU

    console.say(
        f"Study {name}: {cost.runs} runs in {cost.stages} stages "
        f"({cost.saved} saved by sharing); {cost.done} finished, {cost.to_run} to run "
        f"with {cost.updates} updates and {cost.tokens / 1e6:,.1f} million tokens."
    )
    console.say(f"Expected: about {duration(cost.wall_s)} on {cost.workers} ({cost.basis}).")
    if cost.gpu_hours >= 1:
        mining = " and the mining of BUCC" if "bucc2018" in retrieval else ""
        console.say(
            f"About {cost.gpu_hours:,.0f} hours of one {GPU} in float32, by operations alone; the scoring of "
            f"development sets{mining} not counted."
        )
