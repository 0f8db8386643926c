"""``alignaudit compare``: contrasts between schedules, with tests and verdicts."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from alignaudit.cli.console import Console
from alignaudit.cli.options import add_study_options

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_study_options(parser)
    parser.add_argument(
        "--with-paper", action="store_true", help="then published XTREME scores beside those of the arms"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from alignaudit.analysis.paper import paper_of_study
    from alignaudit.analysis.study import compare, selection

    result = compare(
        arguments.study,
        schedules=arguments.schedules,
        plan=arguments.plan,
        allow_missing=arguments.allow_missing,
        runs=arguments.runs,
    )
    rows, selected = selection(arguments.study, result.schedules, runs=arguments.runs)
    texts: list[str] = [str(result)]
    extra: dict[str, object] = {}
    if rows:
        texts.append(selected)
        extra["selection"] = [asdict(row) for row in rows]
    if arguments.with_paper:
        paper = paper_of_study(arguments.study, result.schedules, runs=arguments.runs)
        texts.append(str(paper))
        extra["with_paper"] = paper.to_dict()
    if arguments.json:
        console.give_json({**result.to_dict(), **extra})
    else:
        console.give("\n\n".join(texts))
    name = f" {arguments.study}" if arguments.study else ""
    console.say(f"Next: alignaudit report{name} --schedules {' '.join(result.schedules)}")
    return 0
