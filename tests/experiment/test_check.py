"""What is said about a study before anything is trained: one fault at a time, one problem each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_files import ROWS, write_lines
from small_study import context_of, small_study, stay_offline, write_study_files, write_tatoeba

from alignaudit.core.study import Study
from alignaudit.errors import DataError, SetupError
from alignaudit.experiment import check as check_module
from alignaudit.experiment.check import check_study, raise_first
from alignaudit.experiment.measure_stage import planned_lexicons
from alignaudit.experiment.run import prepare_run
from alignaudit.experiment.stages import draw_plan
from alignaudit.experiment.tasks.problems import Problem

PUBLISHED = "are published."


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch):
    """Neither a model nor an encoder is made while a study is checked."""

    def refuse(*args: Any, **more: Any) -> None:
        raise AssertionError("a model was made")

    for place in ("model.MultiTaskModel.__init__", "model.load_pretrained", "train.train"):
        monkeypatch.setattr(f"alignaudit.experiment.{place}", refuse)


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer) -> Path:
    return write_study_files(tmp_path_factory.mktemp("files"), tokenizer)


@pytest.fixture
def rewritten(files, tmp_path) -> Callable[..., str]:
    """Write a data set as JSON lines with one split changed; return the override that names the folder."""

    def write(name: str, split: str, change: Callable[[list[dict]], list[dict]]) -> str:
        folder = write_lines(tmp_path, name)
        (path,) = folder.rglob(f"{split}.jsonl")
        rows = change([json.loads(line) for line in path.read_text("utf-8").splitlines()])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f'data.folders.{name}="{folder}"'

    return write


def only(study: Study, severity: str) -> Problem:
    """The one problem of a severity."""
    found = [problem for problem in check_study(study).problems if problem.severity == severity]
    assert len(found) == 1, found
    return found[0]


def test_a_right_study_has_no_error(files):
    found = check_study(small_study(files))
    assert {problem.severity for problem in found.problems} == {"warning"}
    assert sum(PUBLISHED in problem.what for problem in found.problems) == 3 * 2 + 4
    assert found.errors == ()
    assert found.plan is not None
    assert len(found.plan.runs) == 3
    raise_first(found)
    assert prepare_run(small_study(files)).stages == found.plan.stages


# ------------------------------------------------------------------------------ lexicons


def lexicon_settings(folder: Path) -> tuple[str, str]:
    return f'data.lexicons="{folder}"', "measure.perturbations={code_switching=[0.5]}"


def write_lexicons(folder: Path) -> Path:
    folder.mkdir()
    (folder / "deu.tsv").write_text("haus\thouse\n")
    (folder / "fr-en.txt").write_text("maison house\n")
    return folder


def test_switching_words_needs_lexicons(files):
    problem = only(small_study(files, lexicon_settings(files)[1]), "error")
    assert problem.what == "code-switching needs a lexicon."
    assert "data.lexicons" in problem.hint


def test_lexicons_are_read(files, tmp_path):
    folder = write_lexicons(tmp_path / "words")
    study = small_study(files, *lexicon_settings(folder))
    assert check_study(study).errors == ()
    (folder / "fr-en.txt").write_text("maison\n")
    assert only(study, "error").where == f"{folder / 'fr-en.txt'}, line 1"
    (folder / "fr-en.txt").unlink()
    problem = only(study, "error")
    assert (problem.where, problem.what) == (str(folder), 'no lexicon of "fra".')


def test_a_folder_of_lexicons_that_is_not_there_names_its_setting(files, tmp_path):
    problem = only(small_study(files, *lexicon_settings(tmp_path / "absent")), "error")
    assert problem.hint == 'Set it with --set data.lexicons="PATH".'


def test_other_words_are_other_measurements_and_the_place_does_not_matter(files, tmp_path):
    folder, moved = write_lexicons(tmp_path / "words"), write_lexicons(tmp_path / "moved")
    plans = [draw_plan(small_study(files, *lexicon_settings(place))) for place in (folder, moved)]
    assert plans[0].stages == plans[1].stages
    (folder / "deu.tsv").write_text("haus\thome\n")
    other = draw_plan(small_study(files, *lexicon_settings(folder)))
    before = {stage.key for stage in plans[0].stages}
    changed = {stage.kind for stage in other.stages if stage.key not in before}
    assert changed == {"measure", "untrained"}
    stage = next(stage for stage in plans[0].stages if stage.kind == "measure")
    with pytest.raises(DataError, match="the lexicons are not what the study was planned with"):
        planned_lexicons(stage.config, context_of(small_study(files, *lexicon_settings(folder)), tmp_path))


# ------------------------------------------------------------------------------ data


def test_wrong_columns(files, rewritten):
    override = rewritten(
        "mnli", "train", lambda rows: [{"premise": row["premise"], "gold": row["label"]} for row in rows]
    )
    problem = only(small_study(files, override), "error")
    assert problem.where == "mnli, configuration mnli, split train"
    assert problem.what == "missing columns: hypothesis, label."
    assert "premise, gold" in problem.hint


def test_an_empty_split(files, rewritten):
    problem = only(small_study(files, rewritten("squad", "validation", lambda rows: [])), "error")
    assert problem.where == "squad, split validation"
    assert "no rows" in problem.what


def test_an_unknown_label(files, rewritten):
    def change(rows):
        return [rows[0], rows[1] | {"label": "maybe"}, *rows[2:], rows[0] | {"label": "perhaps"}]

    problem = only(small_study(files, rewritten("mnli", "train", change)), "error")
    assert problem.where == "mnli, configuration mnli, split train"
    assert 'first row 2: unknown label "maybe"' in problem.what
    assert problem.what.startswith("2 rows are wrong alike")
    assert problem.hint == "Known: entailment, neutral, contradiction."


def test_an_answer_that_is_not_in_its_context(files, rewritten):
    def change(rows):
        moved = {"text": ["Denver"], "answer_start": [1]}
        return [rows[0] | {"answers": moved}, *rows[1:]]

    problem = only(small_study(files, rewritten("squad", "train", change)), "error")
    assert problem.where == "squad, split train"
    assert problem.what == 'Row 1: question 56be0: the answer "Denver" does not stand at its offset.'


def test_a_size_that_differs_from_the_published(files):
    """An error where the study takes the whole part, a warning where it is capped or its file is named."""
    whole = small_study(files)
    whole = whole.model_copy(update={"data": whole.data.model_copy(update={"dev_examples": None})})
    found = check_study(whole)
    assert [(problem.where, problem.what) for problem in found.errors] == [
        ("mnli, configuration mnli, split validation_matched", "4 rows, but 9,815 are published."),
        ("squad, split validation", "4 rows, but 10,570 are published."),
        ("hellaswag, split validation", "2 rows, but 10,042 are published."),
        ("udpos, configuration udpos.English, split validation", "4 rows, but 3,974 are published."),
    ]
    assert "Complete the files" in found.errors[0].hint
    with pytest.raises(
        DataError, match=r"4 rows, but 9,815 are published\. \(3 more: see `alignaudit check`"
    ):
        prepare_run(whole)


def test_a_revision_that_is_not_pinned(files):
    network = small_study(files, 'data.revisions={mnli=""}')
    network = network.model_copy(update={"data": network.data.model_copy(update={"hub": None})})
    warning = only(network, "warning")
    assert (warning.where, "no revision is pinned" in warning.what) == ("mnli", True)
    assert warning.hint == "Set data.revisions.mnli to a commit of nyu-mll/glue."
    assert not any(problem.severity == "warning" for problem in check_study(_network(files)).problems)


def _network(files: Path) -> Study:
    study = small_study(files)
    return study.model_copy(update={"data": study.data.model_copy(update={"hub": None})})


def test_what_the_hub_alone_has_is_unchecked_and_tried_once(files):
    found = check_study(_network(files))
    assert {problem.severity for problem in found.problems} == {"unchecked"}
    named = " ".join(problem.where for problem in found.problems)
    for name in ("mnli", "squad", "hellaswag", "udpos"):
        assert name in named
    assert all(problem.hint for problem in found.problems)
    assert found.plan is not None
    with pytest.raises(SetupError, match="not in the cache"):
        raise_first(found)


def test_a_missing_folder(files):
    found = check_study(small_study(files, "data.folders.squad=nowhere"))
    assert found.problems == (
        Problem(
            "error", "nowhere", "there is no such folder.", 'Set it with --set data.folders.squad="PATH".'
        ),
    )
    assert found.plan is None


def test_a_folder_without_the_file(files, rewritten, tmp_path):
    override = rewritten("hellaswag", "train", lambda rows: rows)
    (tmp_path / "hellaswag" / "validation.jsonl").unlink()
    problem = only(small_study(files, override), "error")
    assert problem.where == f"hellaswag, split validation, in {tmp_path / 'hellaswag'}"
    assert "no file found. Looked for: hellaswag_val." in problem.what


# ------------------------------------------------------------------------------ tasks in their places


def test_a_retrieval_task_among_the_target_tasks(files):
    problem = only(small_study(files, target={"tatoeba": {}}), "error")
    assert problem.where == "task tatoeba"
    assert problem.what == "is scored from the encoder, without training."
    assert problem.hint == 'List it in measure.retrieval: ["tatoeba"].'


def test_fewer_examples_than_a_batch(files):
    problem = only(small_study(files, intermediate={"hellaswag": {"batch_size": 3}}), "error")
    assert problem.where == "task hellaswag"
    assert problem.what == "2 training examples, but a batch takes 3."
    assert "batch_size" in problem.hint


def test_a_target_task_without_test_sets(files):
    problem = only(small_study(files, target={"anli": {}}), "error")
    assert (problem.where, problem.what) == (
        "task anli",
        "has no test sets, so it cannot be a target task.",
    )


def test_a_task_that_does_not_exist(files):
    problem = only(small_study(files, target={"udpso": {}}), "error")
    assert 'no task "udpso"' in problem.what
    assert 'Did you mean "udpos"?' in problem.hint


def test_a_language_that_is_not_tested(files):
    problem = only(small_study(files, target={"udpos": {"test_languages": ["en", "sw"]}}), "error")
    assert 'task udpos is not tested in "sw"' in problem.what


# ------------------------------------------------------------------------------ the rest of a study


def test_parallel_text_that_is_too_short(files, tmp_path):
    folder = write_tatoeba(tmp_path / "short", pairs=3)
    problem = only(small_study(files, f'data.folders.tatoeba="{folder}"'), "error")
    assert "tatoeba.deu-eng.deu" in problem.where
    assert "3 sentence pairs; at least 4 are needed" in problem.what


def test_mining_sets_that_are_nowhere_and_damaged_ones(files, tmp_path):
    problem = only(small_study(files, 'measure.retrieval=["bucc2018"]'), "unchecked")
    assert problem.where == "measure.retrieval: bucc2018"
    assert "data.folders.bucc2018" in problem.hint
    for split in ("sample", "training"):
        for side in ("de", "en"):
            (tmp_path / f"de-en.{split}.{side}").write_text(f"{side}-1\tthe cat\n")
        (tmp_path / f"de-en.{split}.gold").write_text("de-1\ten-2\n")
    study = small_study(files, 'measure.retrieval=["bucc2018"]', f'data.folders.bucc2018="{tmp_path}"')
    problem = only(study, "error")
    assert problem.what == '"en-2" is not in de-en.sample.en.'


def test_an_encoder_that_is_not_there(files, tmp_path):
    """A folder without a configuration is wrong; a name of the Hub is only out of reach."""
    folder = tmp_path / "empty"
    folder.mkdir()
    study = small_study(files, f'encoder.checkpoints=["{folder}"]')
    assert only(study, "error").where == f"checkpoint {folder}"
    problem = only(small_study(files, 'encoder.checkpoints=["somebody/encoder"]'), "unchecked")
    assert problem.where == "checkpoint somebody/encoder"


def test_an_encoder_without_weights(files, tmp_path):
    folder = shutil.copytree(files / "encoder", tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    problem = only(small_study(files, f'encoder.checkpoints=["{folder}"]'), "error")
    assert (problem.where, problem.what) == (
        f"checkpoint {folder}",
        "its model.safetensors cannot be found.",
    )


def test_an_unknown_perturbation_ends_the_check(files):
    found = check_study(small_study(files, "measure.perturbations={typpos=[0.1]}"))
    assert len(found.problems) == 1
    assert "typpos" in found.problems[0].what
    assert found.plan is None


def test_faults_of_several_tasks_are_all_said(files, rewritten):
    overrides = [
        rewritten("squad", "validation", lambda rows: []),
        rewritten("mnli", "train", lambda rows: [row | {"label": 7} for row in rows]),
    ]
    found = check_study(small_study(files, *overrides, target={"anli": {}}))
    assert {problem.where for problem in found.errors} == {
        "mnli, configuration mnli, split train",
        "squad, split validation",
        "task anli",
    }
    severities = [problem.severity for problem in found.problems]
    assert severities == sorted(severities)  # errors before warnings


def test_what_is_being_checked_is_told(files):
    told: list[str] = []
    check_study(small_study(files), tell=told.append)
    assert told == [
        *(f"task {name}" for name in ("mnli", "squad", "hellaswag", "udpos")),
        "parallel text",
        "encoders",
    ]


def test_a_plan_that_was_drawn_is_not_drawn_again(files, monkeypatch):
    plan = check_study(small_study(files)).plan
    monkeypatch.setattr(check_module, "draw_plan", lambda *args, **more: pytest.fail("drawn again"))
    assert check_study(small_study(files), plan=plan).plan is plan


def test_the_rows_that_faults_are_planted_in_are_as_expected():
    assert [row["label"] for row in ROWS["mnli"]["mnli", "train"]] == [1, 0, 2, 1]
    assert ROWS["squad"]["plain_text", "train"][0]["answers"] == {"text": ["Denver"], "answer_start": [0]}
