"""Figure files: exact width, text and fonts present, accessible, same bytes again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from alignaudit.errors import SetupError, UsageError
from alignaudit.report import build
from alignaudit.report.build import ReportFiles, write_report
from alignaudit.report.export import fitted, render, static_svg
from alignaudit.report.figure.catalogue import FIGURES
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import PRESETS, arm_styles, config, control_styles, preset


@pytest.mark.parametrize("name", ["forest", "cka"])
@pytest.mark.parametrize("size", ["acl-column", "acl-wide", "screen"])
def test_outer_width_is_exact(nine: ReportInput, name: str, size: str) -> None:
    figure = FIGURES[name](nine, PRESETS[size])
    page = render(static_svg(figure, fitted(figure.spec())), "pdf")
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ", page)
    assert box is not None
    assert float(box[1]) == pytest.approx(PRESETS[size].width, abs=0.01)


def test_svg_is_accessible_and_repeats(nine: ReportInput) -> None:
    figure = FIGURES["cka"](nine, PRESETS["screen"])
    first, second = (static_svg(figure, fitted(figure.spec())) for _ in range(2))
    assert first == second
    assert 'role="img" aria-labelledby="cka-title"' in first
    assert f'<title id="cka-title">{figure.title}</title><desc>{figure.alt}</desc>' in first
    names = re.findall(r'\bid="([^"]+)"', first)
    assert len(names) == len(set(names))
    assert all(name.startswith("cka-") for name in names)
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= set(names)


def test_pdf_holds_fonts_and_png_has_300_ppi(nine: ReportInput) -> None:
    figure = FIGURES["forest"](nine, PRESETS["acl-column"])
    drawing = static_svg(figure, fitted(figure.spec()))
    assert b"/FontFile" in render(drawing, "pdf")
    png = render(drawing, "png")
    assert int.from_bytes(png[16:20]) == pytest.approx(218.16 / 72 * 300, abs=1.5)
    with pytest.raises(UsageError, match='Did you mean "pdf"'):
        render(drawing, "pdff")


def test_font_stack_needs_a_generic_family() -> None:
    with pytest.raises(UsageError, match="no generic family"):
        config(PRESETS["screen"], "Helvetica, Arial")


def test_styles_differ_in_more_than_colour() -> None:
    kinds = {name: name for name in ("none", "sequential", "interleaved", "concurrent")}
    arms = arm_styles(kinds | {"late": "sequential", "other": "other"})
    styles = [*arms.values(), *control_styles().values()]
    assert len({style.shape for style in styles}) == len(styles)
    for place, one in enumerate(styles):
        for other in styles[place + 1 :]:
            assert sum((one.colour != other.colour, one.shape != other.shape, one.dash != other.dash)) >= 2


def test_unknown_preset() -> None:
    with pytest.raises(UsageError, match='Did you mean "acl-column"'):
        preset("acl-colum")


def test_every_file_is_written(written: ReportFiles) -> None:
    assert list(written.figures) == list(FIGURES)
    assert list(written.tables) == ["estimands", "language-effects", "runs", "controls"]
    for name, files in written.figures.items():
        assert [file.name for file in files] == [f"{name}.{kind}" for kind in ("svg", "pdf", "json", "csv")]
    for name, files in written.tables.items():
        assert [file.name for file in files] == [f"{name}.{kind}" for kind in ("csv", "md", "tex")]
    listed = {file for group in (*written.figures.values(), *written.tables.values()) for file in group}
    assert {file for file in written.folder.rglob("*") if file.is_file()} == listed | {written.html}
    assert [entry.name for entry in written.folder.parent.iterdir()] == ["nine"]


def test_a_failed_report_leaves_the_old_one(
    nine: ReportInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").write_text("old")
    monkeypatch.setattr(build, "page", full_disk)
    with pytest.raises(SetupError, match="No space left"):
        write_report(nine, folder, formats=())
    assert (folder / "report.html").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_a_folder_of_something_else_is_not_replaced(nine: ReportInput, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="holds no report"):
        write_report(nine, tmp_path, formats=())
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_two_builds_are_equal(
    written: ReportFiles, synthetic: Callable[..., ReportInput], tmp_path: Path
) -> None:
    again = write_report(synthetic(), tmp_path / "nine", formats=("svg", "pdf"))
    for file in sorted(written.folder.rglob("*")):
        if file.is_file() and file.suffix != ".pdf":
            assert file.read_bytes() == (again.folder / file.relative_to(written.folder)).read_bytes(), (
                file.name
            )
