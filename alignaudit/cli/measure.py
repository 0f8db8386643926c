"""``alignaudit measure``: the alignment of any encoder on any folder of parallel text."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from alignaudit.cli.console import Console, text_table
from alignaudit.cli.options import pairs_argument

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("encoder", help="folder, Hub name, or package:<import name>/<folder>")
    parser.add_argument(
        "--data", required=True, metavar="FOLDER", help="parallel text as in Tatoeba or NTREX"
    )
    parser.add_argument("--languages", nargs="+", metavar="CODE", help="ISO 639-3 or 639-1 (default: all)")
    parser.add_argument("--preset", default="all", metavar="NAME", help="all, last or xtreme (default: all)")
    parser.add_argument(
        "--limit", type=pairs_argument, metavar="N", help="use only the first N pairs of each language"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", metavar="FILE.csv", help="also write every row to a CSV file")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from pathlib import Path

    from alignaudit.core.store import atomic_text
    from alignaudit.experiment.run import measure, quiet_libraries

    quiet_libraries()
    rows = measure(
        arguments.encoder,
        arguments.data,
        languages=arguments.languages,
        preset=arguments.preset,
        device=arguments.device,
        limit=arguments.limit,
        progress=lambda code: console.say(f"  {code}"),
    )
    if arguments.out:
        atomic_text(Path(arguments.out), rows.to_csv(index=False, lineterminator="\n"))
    if arguments.json:
        records = rows.to_dict(orient="records")
        plain = [{key: _plain(value) for key, value in record.items()} for record in records]
        console.give_json({"schema_version": 1, "encoder": arguments.encoder, "rows": plain})
    else:
        console.give(_summary(rows, arguments.encoder, arguments.preset))
    console.say("Next: alignaudit run-seeds, to see what training does to these numbers")
    return 0


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(rows: pd.DataFrame, encoder: str, preset: str) -> str:
    """Per language the numbers of the deepest layer measured, in percent."""
    layer = int(rows["layer"].max())
    wide = rows[rows["layer"] == layer].assign(
        column=lambda frame: [
            _heading(metric, direction, centred)
            for metric, direction, centred in zip(
                frame["metric"], frame["direction"], frame["centred"], strict=True
            )
        ]
    )
    headings = [heading for heading in _HEADINGS if heading in set(wide["column"])]
    lines = []
    for language, part in wide.groupby("language", sort=False):
        values = dict(zip(part["column"], part["value"], strict=True))
        cells = [_cell(heading, values[heading]) for heading in headings]
        lines.append([str(language), str(int(part["n"].iloc[0])), *cells])
    title = f"{encoder}, layer {layer}, preset {preset}; accuracy in %, f→e = foreign to English"
    return f"{title}\n\n{text_table(['language', 'pairs', *headings], lines)}"


_HEADINGS = ("raw f→e", "raw e→f", "centred f→e", "centred e→f", "margin", "CKA")


def _heading(metric: str, direction: str, centred: bool) -> str:
    if metric == "accuracy":
        return f"{'centred' if centred else 'raw'} {'f→e' if direction == 'foreign_to_english' else 'e→f'}"
    if metric == "margin":
        return "margin" if centred else ""
    return "CKA"


def _cell(heading: str, value: float) -> str:
    return f"{value:.3f}" if heading in ("margin", "CKA") else f"{100 * value:.1f}"
