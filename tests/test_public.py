from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import alignaudit

CHECKOUT = Path(__file__).resolve().parents[1]
DOORS = [
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


def test_the_public_names_are_the_doors():
    assert alignaudit.__all__ == DOORS == sorted(alignaudit.__all__)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_can_be_called_and_says_what_it_takes(name):
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'nonsense'"):
        getattr(alignaudit, name)(nonsense=1)


def test_doors_stay_doors_beside_packages_of_the_same_name():
    # `alignaudit.measure` and `alignaudit.report` are packages too, which imports bind to the same names
    program = """
import alignaudit
doors = [alignaudit.report, alignaudit.report, alignaudit.run_seeds, alignaudit.measure, alignaudit.compare]
from alignaudit import measure, report, run_seeds
import alignaudit.measure.cka, alignaudit.report.study
for door in (*doors, measure, report, run_seeds, alignaudit.measure, alignaudit.report):
    try:
        door(nonsense=1)
    except TypeError as error:
        assert "nonsense" in str(error), error
assert alignaudit.measure.cka.__name__ == "alignaudit.measure.cka"
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import alignaudit, sys; sys.exit(', '.join({'torch', 'numpy', 'pandas'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_dir_lists_the_doors_before_they_are_used():
    assert set(DOORS) <= set(dir(alignaudit))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = alignaudit.nothing


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    assert alignaudit.__version__ == project["version"]
