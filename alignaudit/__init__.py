"""Ask whether the order of intermediate-task fine-tuning changes multilingual alignment.

The public names are loaded when they are first used, so that ``import alignaudit`` is quick and the
analysis runs where torch is not installed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
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


class _Door(ModuleType):
    """A sub-package that can be called: ``measure`` and ``report`` are functions and packages at once."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_HOMES[name]), name)(*arguments, **options)


class _Package(ModuleType):
    """This package: whenever the import system binds a sub-package here, a door stays a door."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Door
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        function = getattr(import_module(_HOMES[name]), name)
        return globals().get(name, function)  # the import may have bound a sub-package of this name
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
