"""Where the real data and the reference values of the alignment measures lie, if they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("ALIGNAUDIT_REAL_DATA") or CHECKOUT.parent / "shared" / "real")


def _folder(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(f"{path.name}: folder not found; set ALIGNAUDIT_REAL_DATA to the real data")
    return path


@pytest.fixture(scope="session")
def tatoeba_folder() -> Path:
    """The Tatoeba test sets, two text files a language."""
    return _folder(REAL / "tatoeba")


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """Values that other implementations gave."""
    return _folder(REAL.parent / "reference")
