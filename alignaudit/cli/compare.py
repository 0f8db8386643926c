"""``alignaudit compare``: contrasts between schedules, with tests and verdicts."""

from __future__ import annotations

import argparse

from alignaudit.cli.console import Console
from alignaudit.cli.options import add_study_options

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_study_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from alignaudit.analysis.study import compare

    result = compare(
        arguments.study,
        schedules=arguments.schedules,
        plan=arguments.plan,
        allow_missing=arguments.allow_missing,
        runs=arguments.runs,
    )
    console.give(result.to_json() if arguments.json else str(result))
    name = f" {arguments.study}" if arguments.study else ""
    console.say(f"Next: alignaudit report{name} --schedules {' '.join(result.schedules)}")
    return 0
