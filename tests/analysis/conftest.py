"""The synthetic study lives beside the tests; importlib mode needs it as a fixture."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def study_tables() -> Callable[..., Any]:
    place = Path(__file__).with_name("synthetic.py")
    specification = importlib.util.spec_from_file_location("synthetic_study", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.study_tables
