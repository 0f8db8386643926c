from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from alignaudit.analysis.plan import AnalysisPlan, load_plan
from alignaudit.core.specification import primary_layer
from alignaudit.errors import StudyError

SOURCE = Path(__file__).parents[2] / "analysis" / "plans" / "primary.toml"


def test_the_shipped_plan_is_the_file_in_the_analysis_folder():
    shipped = files("alignaudit.resources").joinpath("plans", "primary.toml").read_bytes()
    assert shipped == SOURCE.read_bytes()
    assert load_plan(SOURCE).sha256 == load_plan().sha256


def test_the_file_states_the_defaults():
    assert load_plan().model_dump() == AnalysisPlan().model_dump()


def test_names_of_where_a_plan_comes_from():
    assert (load_plan().source, load_plan(SOURCE).source) == ("built-in", "primary.toml")
    assert AnalysisPlan().source == "in memory"


@pytest.mark.parametrize(("depth", "layer"), [(1, 1), (3, 2), (6, 4), (12, 7), (24, 14)])
def test_primary_layer(depth, layer):
    assert primary_layer(depth) == layer
    assert load_plan().layer(depth) == layer


def test_changed_settings_are_no_longer_as_stated():
    plan = load_plan()
    assert plan.as_stated
    assert not plan.model_copy(update={"alpha": 0.1}).as_stated
    assert not AnalysisPlan().as_stated


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("popluation = 'these_languages'", 'Did you mean "population"'),
        ("[smallest_effects]\nR1 = -0.1", "smallest_effects.R1"),
        ("alpha = 'small'", "alpha"),
        ("schedules = ['sequential']", "at least two"),
        ("[alignment]\nlayer = 'last'", "alignment.layer"),
    ],
)
def test_wrong_plans_are_refused_with_the_key(tmp_path, text, message):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_plan(path)
