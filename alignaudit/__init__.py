"""Ask whether the order of intermediate-task fine-tuning changes multilingual alignment.

The public names are loaded when they are first used, so that ``import alignaudit`` is quick and the
analysis runs where torch is not installed.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignaudit.analysis.study import compare
    from alignaudit.core.study import load_study
    from alignaudit.experiment.run import measure, run_seeds
    from alignaudit.report.study import report

__all__ = ["compare", "load_study", "measure", "report", "run_seeds"]
__version__ = version("alignaudit")

_HOMES = {
    "compare": "alignaudit.analysis.study",
    "load_study": "alignaudit.core.study",
    "measure": "alignaudit.experiment.run",
    "report": "alignaudit.report.study",
    "run_seeds": "alignaudit.experiment.run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
