"""``alignaudit doctor``: what this machine has, and what that means."""

from __future__ import annotations

import argparse
import os
import shutil

from alignaudit.cli.console import Console, text_table

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code: 0, or 6 if something needed is missing."""
    from importlib.util import find_spec

    from alignaudit.core.provenance import environment
    from alignaudit.experiment.engine import find_machine

    facts = environment()
    machine = find_machine()
    checks = {
        "devices": ", ".join(machine.devices),
        "free disk": f"{shutil.disk_usage('.').free / 2**30:.0f} GB",
        "hub": "offline (HF_HUB_OFFLINE)"
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        else "not tried",
        "figures": "vl-convert found"
        if find_spec("vl_convert")
        else "vl-convert missing: no SVG, PDF or PNG",
        "large searches": "faiss found" if find_spec("faiss") else "faiss missing: NumPy search is used",
    }
    missing = [name for name, value in checks.items() if "missing: no" in value]
    if arguments.json:
        console.give_json({"schema_version": 1, "environment": facts, "checks": checks, "missing": missing})
    else:
        packages = facts["packages"]
        versions = list(packages.items()) if isinstance(packages, dict) else []
        rows = [
            ("python", str(facts["python"])),
            ("platform", str(facts["platform"])),
            *versions,
            *checks.items(),
        ]
        console.give(text_table(["what", "found"], [[name, str(value)] for name, value in rows]))
    return 6 if missing else 0
