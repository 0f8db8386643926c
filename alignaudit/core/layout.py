"""Where a study's files lie: one folder per study, and one store that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignaudit.core.study import load_study
from alignaudit.errors import UsageError, did_you_mean

__all__ = ["RunFolder", "find_run_folder"]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one study below a runs root.

    Layout::

        <root>/store/                       finished stages, shared by all studies below the root
        <root>/<study>/plan.json            the graph
        <root>/<study>/journal.jsonl        what was started and finished when
        <root>/<study>/tables/              long tables, Parquet with CSV twins
        <root>/<study>/comparison/<arms>/   comparison.json
        <root>/<study>/report/<arms>/       report.html, figures, tables
    """

    root: Path
    study: str

    @property
    def folder(self) -> Path:
        """Return the study's own folder."""
        return self.root / self.study

    @property
    def store(self) -> Path:
        """Return the root of the shared store."""
        return self.root / "store"

    @property
    def plan(self) -> Path:
        """Return the file of the plan."""
        return self.folder / "plan.json"

    @property
    def journal(self) -> Path:
        """Return the file of the journal."""
        return self.folder / "journal.jsonl"

    @property
    def tables(self) -> Path:
        """Return the folder of the long tables."""
        return self.folder / "tables"

    def comparison(self, schedules: Sequence[str]) -> Path:
        """Return the folder of the comparison of some arms."""
        return self.folder / "comparison" / "-vs-".join(schedules)

    def report(self, schedules: Sequence[str]) -> Path:
        """Return the folder of the report on some arms."""
        return self.folder / "report" / "-vs-".join(schedules)


def find_run_folder(study: str | Path | None, root: Path) -> RunFolder:
    """Return the folder that a study's results are in.

    Parameters
    ----------
    study
        ``None`` for the quickstart; the folder of a study that was run; the path of a study file
        or of the folder that holds one; or the name of a study below ``root``.
    root
        The runs root.

    Raises
    ------
    UsageError
        If it is none of these.
    StudyError
        If it is a study file that cannot be read.
    """
    if study is None:
        return RunFolder(root, load_study().name)
    path = Path(study)
    if (path / "plan.json").is_file():
        resolved = path.resolve()
        return RunFolder(resolved.parent, resolved.name)
    if path.is_file() or (path / "study.toml").is_file():
        return RunFolder(root, load_study(path).name)
    if (root / str(study) / "plan.json").is_file():
        return RunFolder(root, str(study))
    known = [entry.parent.name for entry in root.glob("*/plan.json")]
    raise UsageError(
        f'"{study}" is neither a study file nor a study that was run.',
        where=str(root),
        hint=did_you_mean(str(study), known) if known else "Run `alignaudit run-seeds` first.",
    )
