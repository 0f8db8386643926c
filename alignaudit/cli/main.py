"""The command line: one sub-command per file, heavy imports inside the commands."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import NoReturn

from alignaudit.errors import AlignAuditError, UsageError, did_you_mean

__all__ = ["build_parser", "entry_point", "main"]

COMMANDS = {
    "run-seeds": ("run_seeds", "train and measure every run of a study; resumes by itself"),
    "plan": ("run_seeds", "say what run-seeds would do and take (the same as --dry-run)"),
    "check": ("check", "validate a study, its data and its encoders before anything is trained"),
    "compare": ("compare", "contrast schedules: estimates, intervals, tests, verdicts"),
    "report": ("report", "write the HTML report, figures and tables"),
    "measure": ("measure", "alignment of any encoder on any folder of parallel text"),
    "show": ("show", "what is on record of one run"),
    "power": ("power", "how many runs are needed, and which difference they can find"),
    "doctor": ("doctor", "versions, devices and what is missing"),
}

EPILOG = """\
examples:
  alignaudit run-seeds                                   the embedded quickstart study
  alignaudit run-seeds experiments/real-text --dry-run
  alignaudit compare --schedules sequential concurrent
  alignaudit report
  alignaudit measure xlm-roberta-base --data tatoeba --languages ita fra --preset xtreme

exit codes: 0 done, 1 unexpected, 2 usage, 3 invalid study or data, 4 incomplete design,
5 fit failed, 6 environment, 130 interrupted and resumable
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, with the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Raise a usage error instead of printing the whole usage."""
        choice = re.fullmatch(r"(.*invalid choice: '(.*)') \(choose from (.*)\)", message)
        if choice is None:
            raise UsageError(f"{message}.", hint=f"See `{self.prog} --help`.")
        known = [word.strip("'\"") for word in choice[3].split(", ")]
        raise UsageError(f"{choice[1]}.", hint=did_you_mean(choice[2], known))


def _module(name: str) -> ModuleType:
    """Import one command's module; they are light, what they need is imported when they run."""
    from importlib import import_module

    return import_module(f"alignaudit.cli.{name}")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="alignaudit",
        description="Does the order of intermediate-task fine-tuning change multilingual alignment?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"alignaudit {version('alignaudit')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
        _module(module).add_options(command)
        command.set_defaults(module=module)
    return parser


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    try:
        return build_parser().parse_args(words)
    finally:
        sys.stdout.flush()  # of --help: a reader that is gone shows here, not while Python shuts down


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    words
        Arguments after the program's name; those of the process by default.
    """
    from alignaudit.cli.console import Console

    console = Console()
    debug = "--debug" in (sys.argv if words is None else words)
    try:
        arguments = _parse(words)
        if arguments.command == "plan":
            arguments.dry_run = True
        console = Console(arguments.quiet)
        code: int = _module(arguments.module).run(arguments, console)
        return code
    except AlignAuditError as error:
        if debug:
            console.trace()
        console.error(str(error))
        return error.exit_code
    except SystemExit as stop:  # --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        console.error("interrupted. Run the same command to resume.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            console.trace()
        console.error(f"unexpected {type(error).__name__}: {error} Run it with --debug for the traceback.")
        return 1


def entry_point() -> NoReturn:
    """Run the command line of the process and exit with its code."""
    sys.exit(main())
