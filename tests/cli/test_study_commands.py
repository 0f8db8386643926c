"""`plan`, `run-seeds`, `compare`, `report` and `show` where nothing has been trained."""

from __future__ import annotations

import json

import pytest

# ------------------------------------------------------------------------------------------- plan


def test_plan_gives_one_object_and_writes_nothing(cli, study):
    said = cli("plan", study, "--json")
    cost = json.loads(said.out)
    assert said.code == 0
    assert cost["schema_version"] == 2
    assert cost["unreached"] == []
    assert cost["runs"] == 2
    assert cost["done"] == 0
    # measured before training, the untrained control and the baselines; then per run the target phase and
    # the measurement after it, and for `sequential` the intermediate phase and the measurement after that
    assert cost["to_run"] == cost["stages"] == len(cost["lines"]) == 3 + 2 + 4
    assert {tuple(line) for line in cost["lines"]} == {
        ("stage", "done", "updates", "tokens", "expected_s", "gpu_s")
    }
    assert cost["updates"] == 6 + 2 * 5 == sum(line["updates"] for line in cost["lines"])
    kinds = {one["kind"]: one["stages"] for one in cost["kinds"]}
    assert kinds == {"measure": 4, "untrained": 1, "baselines": 1, "intermediate": 1, "target": 2}
    for name in ("updates", "tokens"):
        assert cost[name] == sum(one[name] for one in cost["kinds"])
    assert not (study.parent / "runs").exists()
    assert said.err.splitlines()[-1] == f"Next: alignaudit run-seeds {study}"


def test_plan_is_the_dry_run_and_lists_every_stage(cli, study):
    first = cli("plan", study, "--schedules", "none")
    assert first == cli("run-seeds", study, "--dry-run", "--schedules", "none")
    stages, kinds = (part.splitlines() for part in first.out.split("\n\n"))
    assert len(stages) == 5
    assert all(line.startswith("to do") for line in stages)
    assert "sequential" not in first.out
    assert [line.split()[0] for line in kinds] == [
        "kind",
        "measure",
        "untrained",
        "baselines",
        "target",
        "all",
    ]
    assert not (study.parent / "runs").exists()


def test_quiet_gives_only_data(cli, study):
    said = cli("plan", study, "--quiet")
    assert said.out
    assert said.err == ""


def test_seeds_multiply_the_runs(cli, study):
    assert json.loads(cli("plan", study, "--json", "--seeds", "1-3").out)["runs"] == 6


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("intermediat.tasks=1", 'intermediat: unknown key. Did you mean "intermediate"?'),
        ("encoder.drop_out=0", 'encoder.drop_out: unknown key. Did you mean "dropout"?'),
        ("target.tasks.udpos.updats=3", 'target.tasks.udpos.updats: unknown key. Did you mean "updates"?'),
        ("schedules.new.kind=sequental", "schedules.new.kind: Input should be 'none', 'sequential'"),
        ("target.tasks.udpso={updates = 1, batch_size = 1}", 'Did you mean "udpos"?'),
        ("data.train_examples=3", "task anli: 3 training examples, but a batch takes 4."),
        ('measure.languages=["itta"]', 'Did you mean "ita"?'),
        ("data.folder=nowhere", "nowhere: there is no such folder."),
        ("data.parallel=nowhere", "nowhere: there is no such folder."),
        ("no equals sign", "--set: "),
    ],
)
def test_an_invalid_study_is_exit_code_3(cli, study, setting, words):
    said = cli("run-seeds", study, f"--set={setting}")
    assert (said.code, said.out) == (3, "")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert not (study.parent / "runs").exists()


def test_a_checkpoint_that_does_not_exist_is_exit_code_6(cli, study):
    said = cli("run-seeds", study, '--set=encoder.checkpoints=["package:no_such_package/model"]')
    assert (said.code, said.out) == (6, "")
    assert "no_such_package" in said.err
    assert not (study.parent / "runs").exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("", "error: anli, split dev: no rows."),
        # all rows have one premise, which goes to one side: SHA-256 of "a" is 0 modulo 5, that of "p" is not
        (
            '{"premise": "a", "hypothesis": "h", "label": "neutral"}',
            "the train side that is cut from it is empty",
        ),
        (
            '{"premise": "p", "hypothesis": "h", "label": "neutral"}',
            "the dev side that is cut from it is empty",
        ),
    ],
)
def test_a_task_without_training_data_is_exit_code_3(cli, study, row, words):
    for path in (study.parent / "texts" / "anli").iterdir():
        path.write_text(f"{row}\n")
    said = cli("run-seeds", study)
    assert (said.code, said.out) == (3, "")
    assert words in said.err
    assert said.err.count("\n") == 1


def test_a_language_with_3_sentences_is_exit_code_3(cli, study):
    for name in ("ita", "eng"):
        (study.parent / "texts" / "tatoeba" / f"tatoeba.ita-eng.{name}").write_text("a\nb\nc\n")
    said = cli("run-seeds", study)
    assert said.code == 3
    assert "3 sentence pairs; at least 4 are needed." in said.err


def test_an_unknown_schedule_is_exit_code_3(cli, study):
    said = cli("plan", study, "--schedules", "sequental")
    assert said.code == 3
    assert 'Did you mean "sequential"?' in said.err


@pytest.mark.parametrize("command", ["plan", "run-seeds"])
def test_a_missing_study_file_is_exit_code_3(cli, command):
    said = cli(command, "nowhere.toml")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("error: nowhere.toml: there is no such file.")


def test_a_study_file_is_named_with_its_key(cli, here):
    (here / "study.toml").write_text('nmae = "x"\n')
    said = cli("plan", "study.toml")
    assert said.code == 3
    assert said.err.startswith("error: study.toml: ")
    assert 'nmae: unknown key. Did you mean "name"?' in said.err


# -------------------------------------------------------------------------------- nothing was run


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["compare"], 4),
        (["compare", "--schedules", "sequential", "concurrent", "--json"], 4),
        (["compare", "--allow-missing"], 4),
        (["report"], 4),
        (["show", "c1-sequential-s1"], 4),
        (["compare", "unknown"], 2),
        (["report", "unknown"], 2),
        (["show", "c1-sequential-s1", "unknown"], 2),
        (["compare", "--plan", "nowhere.toml"], 3),
    ],
)
def test_a_study_that_was_not_run_is_refused(cli, here, words, code):
    said = cli(*words)
    assert (said.code, said.out) == (code, "")
    assert said.err.count("\n") == 1
    assert list(here.iterdir()) == []


def test_the_refusal_says_what_to_run_first(cli):
    assert "Run `alignaudit run-seeds` first." in cli("compare").err
