"""``alignaudit show``: what is on record of one run."""

from __future__ import annotations

import argparse
import json

from alignaudit.cli.console import Console

__all__ = ["add_options", "run"]

FACTS = ("wall_s", "device", "updates", "tokens", "losses", "descriptors")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("run", help="for example c1-sequential-s3")
    parser.add_argument("study", nargs="?", help="name, file or folder of the study (default: quickstart)")
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="runs root (default: runs)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from dataclasses import asdict
    from pathlib import Path

    from alignaudit.core.layout import find_run_folder
    from alignaudit.core.plan import read_plan
    from alignaudit.core.store import Store
    from alignaudit.errors import UsageError, did_you_mean

    folder = find_run_folder(arguments.study, Path(arguments.runs))
    plan = read_plan(folder.plan)
    runs = {planned.run: planned for planned in plan.runs}
    if arguments.run not in runs:
        raise UsageError(
            f'no run "{arguments.run}".',
            where=f"study {folder.study}",
            hint=did_you_mean(arguments.run, runs),
        )
    planned = runs[arguments.run]
    store = Store(folder.store)
    records = {key: store.record(key) if store.has(key) else {} for key in planned.stages}
    if arguments.json:
        console.give_json(
            {
                "schema_version": 1,
                "study": folder.study,
                **asdict(planned),
                "records": [
                    {"stage": plan.stage(key).label, "key": key, "done": bool(record), "record": record}
                    for key, record in records.items()
                ],
            }
        )
        return 0
    lines = [
        f"{planned.run}: {planned.schedule} from {planned.checkpoint}, seed {planned.seed}",
        f"task order {planned.order.replace('>', ' > ')}",
        f"learning rate {planned.learning_rate_policy}, optimizer state {planned.optimizer_state}",
    ]
    for key, record in records.items():
        lines.append(f"{'done' if record else 'to do':5}  {plan.stage(key).label}  {key}")
        lines += [f"         {name}: {json.dumps(record[name])}" for name in FACTS if name in record]
    console.give("\n".join(lines))
    return 0
