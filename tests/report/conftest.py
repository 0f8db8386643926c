"""The synthetic study lives beside the tests; importlib mode needs it as a fixture."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignaudit.report.build import ReportFiles, write_report
from alignaudit.report.source import ReportInput


@pytest.fixture(scope="session")
def synthetic() -> Callable[..., ReportInput]:
    place = Path(__file__).with_name("synthetic.py")
    specification = importlib.util.spec_from_file_location("synthetic_report", place)
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.synthetic


@pytest.fixture(scope="session")
def nine(synthetic: Callable[..., ReportInput]) -> ReportInput:
    """Nine languages, five seeds, with the gaps that synthetic.py states."""
    return synthetic()


@pytest.fixture(scope="session")
def many(synthetic: Callable[..., ReportInput]) -> ReportInput:
    """36 languages, two checkpoints."""
    return synthetic(languages=36, seeds=2, checkpoints=2, layers=7)


@pytest.fixture(scope="session")
def written(nine: ReportInput, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return write_report(nine, tmp_path_factory.mktemp("reports") / "nine", formats=("svg", "pdf"))
