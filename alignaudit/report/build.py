"""The public door: write the report, its figures and its tables, all or nothing."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignaudit.errors import SetupError, UsageError, did_you_mean
from alignaudit.report.export import FORMATS, fitted, render, static_svg
from alignaudit.report.figure.catalogue import Gallery, draw_all
from alignaudit.report.html import page
from alignaudit.report.source import ReportInput
from alignaudit.report.summary import tables
from alignaudit.report.theme import preset as find_preset

__all__ = ["FORMATS", "ReportFiles", "write_report"]


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """What was written.

    Attributes
    ----------
    folder, html
        The report's folder and its page.
    figures, tables
        Name to files, in the order shown.
    omitted
        One sentence per figure that could not be drawn.
    """

    folder: Path
    html: Path
    figures: Mapping[str, tuple[Path, ...]]
    tables: Mapping[str, tuple[Path, ...]]
    omitted: tuple[str, ...]


def write_report(
    source: ReportInput,
    folder: Path,
    *,
    formats: Sequence[str] = FORMATS,
    preset: str = "screen",
) -> ReportFiles:
    """Write ``report.html``, ``figures/`` and ``tables/`` into a folder, replacing a report that is there.

    Parameters
    ----------
    source
        Study, tables, comparison, provenance and languages.
    folder
        Of the report. It appears whole or, after an error, stays as it was.
    formats
        Of the figures, from ``svg``, ``pdf`` and ``png``; specification (JSON) and data (CSV) are
        always written.
    preset
        Width of the figure files: ``screen``, ``acl-column`` (218.16 pt) or ``acl-wide`` (453.5 pt).
        The page always uses ``screen``.

    Returns
    -------
    ReportFiles
        Every path written.

    Raises
    ------
    UsageError
        If a format or preset is unknown, or the folder holds something that is not a report.
    SetupError
        If the disk refuses, or a figure was rendered without text.
    """
    size = find_preset(preset)
    for kind in formats:
        if kind not in FORMATS:
            raise UsageError(f'unknown figure format "{kind}".', hint=did_you_mean(kind, FORMATS))
    if not _replaceable(folder):
        raise UsageError("is not empty and holds no report.", where=str(folder), hint="Name another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise SetupError(f"cannot be written: {error}", where=str(folder)) from error
    try:
        screen = draw_all(source, find_preset("screen"))
        specs = {figure.name: fitted(figure.spec()) for figure in screen.figures}
        gallery = screen if size.name == "screen" else draw_all(source, size)
        sized = specs if gallery is screen else {f.name: fitted(f.spec()) for f in gallery.figures}
        figures = _figures(gallery, sized, draft, folder, formats)
        written = _tables(source, draft, folder)
        (draft / "report.html").write_bytes(page(source, screen, specs, formats=formats).encode())
        _replace(draft, folder)
    except OSError as error:
        raise SetupError(f"cannot be written: {error}", where=str(folder)) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ReportFiles(folder, folder / "report.html", figures, written, gallery.omitted)


def _replaceable(folder: Path) -> bool:
    """Return whether a folder is absent, empty or a report of ours."""
    if not folder.exists():
        return True
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / "report.html").exists())


def _figures(
    gallery: Gallery, specs: Mapping[str, Any], draft: Path, folder: Path, formats: Sequence[str]
) -> dict[str, tuple[Path, ...]]:
    (draft / "figures").mkdir()
    written = {}
    for figure in gallery.figures:
        spec = specs[figure.name]
        drawing = static_svg(figure, spec)
        files = {kind: render(drawing, kind) for kind in formats}
        files["json"] = (json.dumps(spec, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
        files["csv"] = figure.data.to_csv(index=False, lineterminator="\n").encode()
        written[figure.name] = _write(draft, folder, f"figures/{figure.name}", files)
    return written


def _tables(source: ReportInput, draft: Path, folder: Path) -> dict[str, tuple[Path, ...]]:
    (draft / "tables").mkdir()
    written = {}
    for table in tables(source):
        views = {"csv": table.to_csv(), "md": table.to_markdown(), "tex": table.to_latex()}
        files = {kind: text.encode() for kind, text in views.items()}
        written[table.name] = _write(draft, folder, f"tables/{table.name}", files)
    return written


def _write(draft: Path, folder: Path, stem: str, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    for kind, content in files.items():
        (draft / f"{stem}.{kind}").write_bytes(content)
    return tuple(folder / f"{stem}.{kind}" for kind in files)


def _replace(draft: Path, folder: Path) -> None:
    """Put the finished draft in the folder's place; the old report goes last."""
    draft.chmod(0o755)
    old = draft.with_name(draft.name + "-old")
    if folder.exists():
        folder.rename(old)
    try:
        draft.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
