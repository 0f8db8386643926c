"""Where and with what something was computed: versions, device, code state."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["PACKAGES", "code_state", "environment", "package_versions"]

PACKAGES = (
    "alignaudit",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "numpy",
    "scipy",
    "statsmodels",
    "pandas",
    "altair",
    "vl-convert-python",
    "faiss-cpu",
)


def package_versions() -> dict[str, str]:
    """Return the installed version of each package we build on, without importing any."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_state() -> str:
    """Return the commit of the checkout the code runs from, with ``+changes``; empty if none."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{commit}+changes" if changes else commit


def environment() -> dict[str, object]:
    """Return Python, platform, package versions and code state as one record."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "packages": package_versions(),
        "code": code_state(),
    }
