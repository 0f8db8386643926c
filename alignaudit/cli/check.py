"""``alignaudit check``: everything about a study that can be validated before it is run."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from alignaudit.cli.console import Console

if TYPE_CHECKING:
    from alignaudit.experiment.tasks.problems import Problem

__all__ = ["add_options", "run"]

_MARKS = {"error": "error", "warning": "warning", "unchecked": "not checked"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("study", nargs="?", help="study file or folder (default: the embedded quickstart)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help='override a setting of the study, for example data.folders.ccg="PATH"; may repeat',
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code: 3 if anything is wrong, else 0."""
    from alignaudit.core.study import load_study
    from alignaudit.experiment.check import check_study
    from alignaudit.experiment.run import quiet_libraries

    quiet_libraries()
    study = load_study(arguments.study, arguments.overrides)
    found = check_study(study, tell=lambda name: console.say(f"  {name}"))
    counts = {name: sum(problem.severity == name for problem in found.problems) for name in _MARKS}
    if arguments.json:
        console.give_json(
            {
                "schema_version": 1,
                "study": study.name,
                **{f"{name}s" if name != "unchecked" else name: count for name, count in counts.items()},
                "problems": [asdict(problem) for problem in found.problems],
                "runs": sum(run.schedule != "pretrained" for run in found.plan.runs) if found.plan else None,
                "stages": len(found.plan.stages) if found.plan else None,
            }
        )
    else:
        lines = [_line(problem) for problem in found.problems if problem.severity != "unchecked"]
        lines += _unchecked([problem for problem in found.problems if problem.severity == "unchecked"])
        shape = ""
        if found.plan:
            runs = sum(run.schedule != "pretrained" for run in found.plan.runs)
            shape = f" {runs} runs in {len(found.plan.stages)} stages."
        verdict = (
            f"{counts['error']} errors, {counts['warning']} warnings, {counts['unchecked']} not checked here."
        )
        console.give("\n".join([*lines, f"Study {study.name}: {verdict}{shape}"]))
    place = f" {arguments.study}" if arguments.study else ""
    console.say("Put the errors right first." if counts["error"] else f"Next: alignaudit plan{place}")
    return 3 if counts["error"] else 0


def _unchecked(problems: list[Problem]) -> list[str]:
    """Return one line per data set: the first of its parts that is out of reach, and how many more are."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.where.partition(",")[0], []).append(problem)
    lines = []
    for first, *others in groups.values():
        more = f" (and {len(others)} more of its parts)" if others else ""
        lines.append(_line(replace(first, what=f"{first.what}{more}")))
    return lines


def _line(problem: Problem) -> str:
    place = f"{problem.where}:" if problem.where else ""
    parts = (f"{_MARKS[problem.severity]}:", place, problem.what, problem.hint)
    return " ".join(part for part in parts if part)
