"""``alignaudit report``: one HTML page, its figures and tables."""

from __future__ import annotations

import argparse

from alignaudit.cli.console import Console
from alignaudit.cli.options import add_study_options

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_study_options(parser)
    parser.add_argument(
        "--format",
        nargs="+",
        choices=("svg", "pdf", "png"),
        default=["svg", "pdf", "png"],
        dest="formats",
        help="figure files (default: all three)",
    )
    parser.add_argument(
        "--width",
        choices=("screen", "acl-column", "acl-wide"),
        default="screen",
        help="width of figure files",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from alignaudit.report.study import report

    files = report(
        arguments.study,
        schedules=arguments.schedules,
        plan=arguments.plan,
        allow_missing=arguments.allow_missing,
        runs=arguments.runs,
        formats=arguments.formats,
        preset=arguments.width,
    )
    if arguments.json:
        console.give_json(
            {
                "schema_version": 1,
                "report": str(files.html),
                "figures": [str(path) for paths in files.figures.values() for path in paths],
                "tables": [str(path) for paths in files.tables.values() for path in paths],
            }
        )
    else:
        console.give(str(files.html))
    console.say(f"Next: open {files.html} in a browser")
    return 0
