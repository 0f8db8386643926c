from __future__ import annotations

import pytest

from alignaudit.core.layout import RunFolder, find_run_folder
from alignaudit.errors import StudyError, UsageError

STUDY = """
name = "trial"
seeds = [1]
[data]
source = "folder"
folder = "texts"
[encoder]
checkpoints = ["embedded:1"]
[intermediate]
optimisation = { learning_rate = 1e-3 }
tasks = { nli = { updates = 1, batch_size = 1 } }
[target]
optimisation = { learning_rate = 1e-3 }
tasks = { pos = { updates = 1, batch_size = 1 } }
[schedules]
none = { kind = "none" }
"""


@pytest.fixture
def runs(tmp_path):
    """A runs root below which the study `trial` was run."""
    (tmp_path / "runs" / "trial").mkdir(parents=True)
    (tmp_path / "runs" / "trial" / "plan.json").write_text("{}")
    return tmp_path / "runs"


def test_the_files_of_a_study_lie_as_documented(tmp_path):
    folder = RunFolder(tmp_path, "trial")
    places = {
        folder.store: "store",
        folder.plan: "trial/plan.json",
        folder.journal: "trial/journal.jsonl",
        folder.tables: "trial/tables",
        folder.comparison(["a", "b"]): "trial/comparison/a-vs-b",
        folder.report(["a", "b"]): "trial/report/a-vs-b",
    }
    assert all(path == tmp_path / place for path, place in places.items())


def test_nothing_means_the_quickstart(runs):
    assert find_run_folder(None, runs) == RunFolder(runs, "quickstart")


def test_a_study_is_found_by_its_name(runs):
    assert find_run_folder("trial", runs) == RunFolder(runs, "trial")


def test_a_study_is_found_by_its_own_folder_wherever_the_root_is(runs, tmp_path, monkeypatch):
    assert find_run_folder(runs / "trial", tmp_path / "elsewhere") == RunFolder(runs.resolve(), "trial")
    monkeypatch.chdir(runs / "trial")
    assert find_run_folder(".", tmp_path / "elsewhere") == RunFolder(runs.resolve(), "trial")


def test_a_study_is_found_by_its_file_and_the_folder_of_it(tmp_path, runs):
    (tmp_path / "declared").mkdir()
    (tmp_path / "declared" / "study.toml").write_text(STUDY)
    for path in (tmp_path / "declared", tmp_path / "declared" / "study.toml"):
        assert find_run_folder(path, runs) == RunFolder(runs, "trial")


def test_an_unknown_name_is_a_usage_error_with_the_nearest(runs):
    with pytest.raises(UsageError) as caught:
        find_run_folder("trail", runs)
    assert caught.value.hint == 'Did you mean "trial"?'


def test_an_empty_root_says_what_to_do_first(tmp_path):
    with pytest.raises(UsageError) as caught:
        find_run_folder("trial", tmp_path)
    assert "run-seeds" in caught.value.hint


def test_an_invalid_study_file_is_a_study_error(tmp_path):
    (tmp_path / "study.toml").write_text("nmae = 1")
    with pytest.raises(StudyError):
        find_run_folder(tmp_path, tmp_path)
