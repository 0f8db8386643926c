from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from alignaudit.cli import doctor, main
from alignaudit.errors import DataError, FitError

CHECKOUT = Path(__file__).resolve().parents[2]
COMMANDS = list(main.COMMANDS)


def process(*words: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | (env or {}),
        text=True,
        check=False,
        timeout=100,
        **({"capture_output": True} | options),
    )


# ------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_is_data_and_success(cli, words):
    said = cli(*words)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("usage: alignaudit")


def test_the_version_is_that_of_the_project(cli):
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert cli("--version").out == f"alignaudit {project['version']}\n"


def test_help_lists_every_command_and_exit_code(cli):
    text = cli("--help").out
    assert all(re.search(rf"^ +{command}\s+\S", text, re.MULTILINE) for command in COMMANDS)
    assert all(f"{code} " in text.partition("exit codes:")[2] for code in (0, 1, 2, 3, 4, 5, 6, 130))


def test_help_loads_nothing_heavy():
    program = f"""
import sys
from alignaudit.cli.main import main
for words in (["--help"], *([command, "--help"] for command in {COMMANDS!r})):
    assert main(words) == 0
heavy = {{"torch", "transformers", "pandas", "numpy", "scipy", "altair", "pydantic", "pyarrow"}}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = process("-c", program)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_is_gone_is_no_failure():
    reading, writing = os.pipe()
    os.close(reading)
    done = process("-m", "alignaudit", "--help", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run-sedes"], 'Did you mean "run-seeds"?'),
        (["measrue", "x"], 'Did you mean "measure"?'),
        (["qqqq"], "Known: check, compare, doctor, measure, plan, power, report, run-seeds, show."),
        (["plan", "--device", "cuba"], 'Did you mean "cuda"?'),
        (["report", "--format", "svgg"], 'Did you mean "svg"?'),
        ([], "See `alignaudit --help`."),
        (["measure", "x"], "See `alignaudit measure --help`."),
        (["measure", "x", "--data", "y", "--limit", "3"], "See `alignaudit measure --help`."),
        (["measure", "x", "--data", "y", "--limit", "-1"], "See `alignaudit measure --help`."),
        (["plan", "--seeds", "one"], "See `alignaudit plan --help`."),
        (["plan", "--seeds", "3-1"], "See `alignaudit plan --help`."),
        (["doctor", "--jason"], "See `alignaudit --help`."),
    ],
)
def test_a_command_that_means_nothing_is_one_line_with_a_hint(cli, words, hint):
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.endswith(f"{hint}\n")
    assert said.err.count("\n") == 1


# --------------------------------------------------------------------------------------- failures


@pytest.fixture
def failing(cli, monkeypatch):
    """`doctor` with an error of one's choice inside."""

    def call(error: BaseException, *words: str):
        def run(*_: object) -> int:
            raise error

        monkeypatch.setattr(doctor, "run", run)
        return cli("doctor", *words)

    return call


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("wrong.", where="file", hint="Mend it."), 3, "error: file: wrong. Mend it."),
        (FitError("no fit."), 5, "error: no fit."),
        (KeyboardInterrupt(), 130, "error: interrupted. Run the same command to resume."),
        (
            ZeroDivisionError("by zero"),
            1,
            "error: unexpected ZeroDivisionError: by zero Run it with --debug for the traceback.",
        ),
    ],
)
def test_a_failure_is_one_line_and_its_code(failing, error, code, line):
    said = failing(error)
    assert (said.code, said.out, said.err) == (code, "", f"{line}\n")


@pytest.mark.parametrize(("error", "code"), [(DataError("wrong."), 3), (ZeroDivisionError("by zero"), 1)])
def test_debug_adds_the_traceback_and_keeps_the_code(failing, error, code):
    said = failing(error, "--debug")
    assert said.code == code
    assert "Traceback (most recent call last)" in said.err
    assert "raise error" in said.err


def test_quiet_still_says_errors(failing):
    assert failing(DataError("wrong."), "--quiet").err == "error: wrong.\n"


# ----------------------------------------------------------------------------------------- colour

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


@pytest.mark.parametrize("wanted", [True, False])
def test_no_color_is_honoured(failing, monkeypatch, wanted):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    assert bool(COLOUR.search(failing(DataError("wrong.")).err)) == wanted


def test_no_escapes_away_from_a_terminal(failing, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in failing(DataError("[red]wrong[/red].")).err


# ----------------------------------------------------------------------------------------- doctor


def test_doctor_gives_one_object(cli):
    said = cli("doctor", "--json")
    facts = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert set(facts) == {"schema_version", "environment", "checks", "missing"}
    assert facts["schema_version"] == 1
    assert facts["missing"] == []
    assert facts["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "alignaudit"} <= set(facts["environment"]["packages"])
    assert facts["checks"]["devices"].split(", ")[0].startswith(("cpu", "cuda"))


def test_doctor_for_people_names_the_same_things(cli):
    text = cli("doctor").out
    assert all(re.search(rf"^{name} +\S", text, re.MULTILINE) for name in ("python", "torch", "devices"))
