"""Retrieval accuracy before and after each arm, beside the controls, as a Markdown table.

python analysis/figures/retention_table.py STUDY [LAYER]   (default: the primary layer)
"""

import sys
from pathlib import Path

import pandas as pd

from alignaudit.analysis.plan import primary_layer
from alignaudit.core.contracts import ALIGNMENT, CONTROLS
from alignaudit.core.layout import find_run_folder
from alignaudit.core.tables import read_table


def main(study: str, layer: int | None = None) -> None:
    tables = find_run_folder(study, Path("runs")).tables
    alignment = read_table(tables / "alignment.parquet", ALIGNMENT)
    controls = read_table(tables / "controls.parquet", CONTROLS)
    at = primary_layer(int(alignment["layer"].max())) if layer is None else layer
    chosen = "metric == 'accuracy' and centred and layer in [@at, -1]"
    columns = {}
    for control in ("chance", "character_ngram", "untrained"):
        rows = controls.query(chosen).query("control == @control")
        columns[control.replace("_", " ")] = rows.groupby("language")["value"].mean()
    for (stage, arm), rows in alignment.query(chosen).groupby(["stage", "arm"], sort=False):
        if (stage, arm) != ("intermediate", "none"):  # the pretrained encoder once more
            name = "before" if stage == "pretrained" else f"{arm}, after {stage.removeprefix('target:')}"
            columns[name] = rows.groupby("language")["value"].mean()
    table = 100 * pd.DataFrame(columns)
    order = ["chance", "character ngram", "untrained", "before"]
    table = table[order + sorted(set(table) - set(order), key=lambda name: (", after int" not in name, name))]
    table.loc["mean"] = table.mean()
    print(f"Layer {at}, centred, mean of both directions, %:\n")
    print("| language | " + " | ".join(table) + " |\n|---|" + "---|" * table.shape[1])
    for language, row in table.iterrows():
        print(f"| {language} | " + " | ".join(f"{value:.1f}" for value in row) + " |")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
