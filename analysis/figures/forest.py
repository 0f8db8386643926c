"""The effect of the schedule in each language, one ACL column wide.

python analysis/figures/forest.py STUDY FILE.pdf   (or .svg, .png); STUDY was run below runs/
"""

import sys
from pathlib import Path

from alignaudit import compare
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.layout import find_run_folder
from alignaudit.core.plan import read_plan
from alignaudit.core.tables import read_table
from alignaudit.report.export import fitted, render, static_svg
from alignaudit.report.figure import forest
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import preset


def main(study: str, target: Path) -> None:
    comparison = compare(study)
    folder = find_run_folder(study, Path("runs"))
    plan = read_plan(folder.plan)
    source = ReportInput(
        study=plan.study,
        tables={name: read_table(folder.tables / f"{name}.parquet", CONTRACTS[name]) for name in CONTRACTS},
        comparison=comparison.to_dict(),
        languages=plan.languages,
    )
    figure = forest.draw(source, preset("acl-column"))
    drawing = static_svg(figure, fitted(figure.spec()))
    target.write_bytes(render(drawing, target.suffix.removeprefix(".")))
    print(f"{target}: {figure.title}\n\n{figure.caption}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
