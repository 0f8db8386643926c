"""Ask whether the order of intermediate-task fine-tuning changes multilingual alignment.

The public names are loaded when they are first used, so that ``import alignaudit`` is quick and the
analysis runs where torch is not installed. Two of them, ``measure`` and ``report``, share their names
with sub-packages; those sub-packages are made callable, so that either meaning works in any order.
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
    from alignaudit.experiment.run import run_seeds
    from alignaudit.experiment.standalone import measure
    from alignaudit.infer.mixed.bootstrap import bootstrap_test
    from alignaudit.infer.mixed.fit import fit_mixed
    from alignaudit.infer.mixed.likelihood import likelihood_ratio_test
    from alignaudit.infer.mixed.marginal import marginal_means
    from alignaudit.infer.mixed.profile import profile_intervals
    from alignaudit.infer.mixed.terms import joint_tests
    from alignaudit.report.study import report

__all__ = [
    "bootstrap_test",
    "compare",
    "fit_mixed",
    "joint_tests",
    "likelihood_ratio_test",
    "load_study",
    "marginal_means",
    "measure",
    "profile_intervals",
    "report",
    "run_seeds",
]
__version__ = version("alignaudit")

_HOMES = {
    "bootstrap_test": "alignaudit.infer.mixed.bootstrap",
    "compare": "alignaudit.analysis.study",
    "fit_mixed": "alignaudit.infer.mixed.fit",
    "joint_tests": "alignaudit.infer.mixed.terms",
    "likelihood_ratio_test": "alignaudit.infer.mixed.likelihood",
    "load_study": "alignaudit.core.study",
    "marginal_means": "alignaudit.infer.mixed.marginal",
    "measure": "alignaudit.experiment.standalone",
    "profile_intervals": "alignaudit.infer.mixed.profile",
    "report": "alignaudit.report.study",
    "run_seeds": "alignaudit.experiment.run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Door(ModuleType):
    """A sub-package that can be called like the public function of the same name."""

    def __call__(self, *args: Any, **named: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_HOMES[name]), name)(*args, **named)


class _Package(ModuleType):
    """The package itself: importing a sub-package named like a public function binds it as a door."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Door
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
