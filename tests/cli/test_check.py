"""`check`, and `plan` of the large study, on the command line and without a network."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from alignaudit.core.data_sets import DATA_SETS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    from small_study import stay_offline

    stay_offline(monkeypatch, tmp_path / "cache")


def test_a_study_that_is_right_is_exit_code_0(cli, study):
    """The files hold few of the published rows, so the test sets are capped; that is a warning."""
    said = cli("check", study, "--set=data.test_examples=30", *NAMED)
    assert said.code == 0
    lines = said.out.splitlines()
    assert all(line.startswith("warning: ") for line in lines[:-1])
    assert lines[-1].startswith("Study trial: 0 errors, ")
    assert lines[-1].endswith(" 0 not checked here. 2 runs in 9 stages.")
    assert "  task anli\n  task udpos\n  parallel text\n  encoders\n" in said.err
    assert said.err.splitlines()[-1] == f"Next: alignaudit plan {study}"
    assert not (study.parent / "runs").exists()


# The fixture's few rows, under names that say that they are not the published parts.
NAMED = (
    '--set=data.carve={anli="dev", udpos="validation"}',
    '--set=data.files={anli={dev="anli/dev_r*.jsonl"}, udpos={validation="ud/en_ewt-ud-dev.conllu", '
    'test="ud/{language}_*-ud-test.conllu"}}',
    '--set=target.tasks.udpos.test_languages=["en", "de", "tr", "zh"]',
)


def errors(said) -> list[str]:
    return [line for line in said.out.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("intermediate.tasks.anli.batch_size=90", "error: task anli: "),
        ("data.parallel=nowhere", "error: "),
        (
            "target.tasks={tatoeba={updates=1, batch_size=1}}",
            "error: task tatoeba: is scored from the encoder, without training. "
            'List it in measure.retrieval: ["tatoeba"].',
        ),
        (
            "target.tasks={anli={updates=1, batch_size=1}}",
            "error: task anli: has no test sets, so it cannot be a target task.",
        ),
        ("data.folder=nowhere", "nowhere: there is no such folder."),
    ],
)
def test_each_fault_is_one_line_and_exit_code_3(cli, study, setting, line):
    said = cli("check", study, *NAMED, f"--set={setting}")
    assert said.code == 3
    (found,) = errors(said)
    assert line in found
    assert said.out.splitlines()[-1].startswith("Study trial: 1 errors, ")
    assert said.err.splitlines()[-1] == "Put the errors right first."
    assert not (study.parent / "runs").exists()


def test_a_fault_in_the_rows_names_row_and_known_labels(cli, study):
    path = study.parent / "texts" / "anli" / "dev_r1.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace("neutral", "maybe")
    path.write_text("\n".join(lines))
    said = cli("check", study, *NAMED)
    assert (said.code, len(errors(said))) == (3, 1)
    assert errors(said)[0].endswith(
        'Row 5: unknown label "maybe". Known: entailment, neutral, contradiction.'
    )
    refused = cli("run-seeds", study, *NAMED)
    assert refused.code == 3
    assert 'unknown label "maybe"' in refused.err
    assert not (study.parent / "runs").exists()


def test_problems_are_one_json_object(cli, study):
    said = cli("check", study, *NAMED, "--set=intermediate.tasks.anli.batch_size=90", "--json")
    found = json.loads(said.out)
    assert said.code == 3
    assert found["study"] == "trial"
    assert (found["errors"], found["unchecked"]) == (1, 0)
    assert found["warnings"] == sum(one["severity"] == "warning" for one in found["problems"])
    assert [set(one) for one in found["problems"]] == [{"severity", "where", "what", "hint"}] * len(
        found["problems"]
    )
    assert found["problems"][0]["severity"] == "error"


def test_a_study_of_the_hub_is_unchecked_offline_and_exit_code_0(cli, study, tatoeba_folder):
    said = cli(
        "check",
        study,
        '--set=data={source="hub", parallel="tatoeba"}',
        f'--set=data.folders.tatoeba="{tatoeba_folder}"',
        "--set=target.tasks.udpos.updates=5",
    )
    assert (said.code, errors(said)) == (0, [])
    groups = [line for line in said.out.splitlines() if line.startswith("not checked: ")]
    assert [line.split()[2].rstrip(",") for line in groups] == ["anli", "udpos"]
    assert all("offline mode is on (HF_HUB_OFFLINE)" in line for line in groups)
    assert "(and 5 more of its parts)" in groups[0]  # three rounds of training and of development
    assert "data.hub" in groups[0]


@pytest.fixture
def tatoeba_folder(study) -> Path:
    return study.parent / "texts" / "tatoeba"


def test_the_embedded_study_is_right(cli):
    said = cli("check")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("Study quickstart: 0 errors, 0 warnings, 0 not checked here.")
    assert said.err.splitlines()[-1] == "Next: alignaudit plan"


def test_quiet_says_problems_only(cli, study):
    said = cli("check", study, *NAMED, "--quiet")
    assert (said.code, said.err) == (0, "")
    assert said.out


# ------------------------------------------------------------------------------ the large study

INTERMEDIATE = "anli_plus mnli qqp squad squad_v2 hellaswag ccg cosmosqa commonsenseqa".split()
TARGETS = "xnli pawsx udpos panx xquad mlqa tydiqa".split()


def test_the_large_study_is_validated_as_far_as_it_can_be_offline(cli):
    said = cli("check", EXPERIMENTS / "phang2020-order")
    assert said.code == 0
    *lines, last = said.out.splitlines()
    assert last.startswith("Study phang2020-order: 0 errors, 0 warnings, ")
    assert last.endswith(" 30 runs in 463 stages.")
    assert all(line.startswith("not checked: ") for line in lines)
    named = [line.removeprefix("not checked: ").partition(":")[0].partition(",")[0] for line in lines]
    sets = "anli mnli snli qqp squad squad_v2 hellaswag ccg cosmosqa commonsenseqa".split()
    sets += "xnli pawsx udpos panx xquad mlqa tydiqa tatoeba".split()
    assert named == [*sets, "measure.retrieval", "checkpoint FacebookAI/xlm-roberta-large"]
    assert "Linguistic Data Consortium" in lines[sets.index("ccg")]
    for name in (*INTERMEDIATE, *TARGETS):
        assert f"  task {name}\n" in said.err


def test_the_plan_of_the_large_study_is_what_the_design_says(cli):
    """One checkpoint, ten seeds, arms none, sequential and concurrent, seven target tasks.

    Stages: the checkpoint is measured, and so is its untrained control, and there are baselines: 3.
    Two arms train an intermediate phase and are measured after it: 10 × 2 × 2. Every run trains every
    target task and is measured after it: 10 × 3 × 7 × 2. Without sharing, every target task of every
    run would have before it an intermediate phase and its measurement, or for arm none that of the
    checkpoint: 10 × 7 × (2 × (2 + 2) + (1 + 2)) + 3.
    """
    said = cli("plan", EXPERIMENTS / "phang2020-order", "--json")
    assert said.code == 0
    cost = json.loads(said.out)
    stages = 3 + 10 * 2 * 2 + 10 * 3 * 7 * 2
    assert (cost["runs"], cost["stages"], cost["to_run"]) == (10 * 3, stages, stages)
    assert cost["saved"] == 10 * 7 * (2 * 4 + 3) + 3 - stages == 310
    kinds = {one["kind"]: one for one in cost["kinds"]}
    assert {name: one["stages"] for name, one in kinds.items()} == {
        "measure": 1 + 20 + 210,
        "untrained": 1,
        "baselines": 1,
        "intermediate": 20,
        "target": 210,
    }
    # Published training examples, passes and batch of jiant's recipe; TyDiQA's updates are written.
    passes = {
        "xnli": (392_702, 2, 32),
        "pawsx": (49_401, 5, 32),
        "udpos": (21_253, 10, 32),
        "panx": (20_000, 10, 32),
        "xquad": (87_599, 2, 16),
        "mlqa": (87_599, 2, 16),
    }
    updates = {name: math.ceil(n * epochs / batch) for name, (n, epochs, batch) in passes.items()}
    updates["tydiqa"] = 470
    assert kinds["target"]["updates"] == 30 * sum(updates.values())
    assert kinds["intermediate"]["updates"] == 20 * (27_500 + 2_500)
    assert cost["updates"] == kinds["target"]["updates"] + kinds["intermediate"]["updates"]
    # Texts are half of their longest: 256 tokens by 32, or 384 by 16.
    long = ("xquad", "mlqa", "tydiqa")
    trained = sum(count * (384 * 16 if name in long else 256 * 32) / 2 for name, count in updates.items())
    # Test sets of all languages, at each of four evaluations.
    tests = {"xnli": 15 * 5010, "pawsx": 7 * 2000, "xquad": 11 * 1190, "mlqa": 42_245, "tydiqa": 5_077}
    for name in ("udpos", "panx"):
        sizes = DATA_SETS[name].sizes
        tests[name] = sum(sizes[configuration, split] for configuration, split in sizes if split == "test")
    scored = 4 * sum(count * (384 if name in long else 256) / 2 for name, count in tests.items())
    # TyDiQA's rows of all languages are taken to be equally many, rounded.
    assert kinds["target"]["tokens"] == pytest.approx(30 * (trained + scored), rel=1e-5)
    # The mixture counts at most 65,536 examples of a task; both SQuADs have 384 tokens, the others 256,
    # to each option.
    counted = {name: 65_536 for name in INTERMEDIATE if name != "ccg"}
    counted |= {"hellaswag": 39_905, "cosmosqa": 25_262, "commonsenseqa": 9_741}
    options = {"hellaswag": 4, "cosmosqa": 4, "commonsenseqa": 5}
    each = {name: (384 if "squad" in name else 256) * options.get(name, 1) for name in counted}
    mean = sum(counted[name] * each[name] for name in counted) / sum(counted.values())
    mixed = 27_500 * mean * 32 / 2
    # Rounding to whole updates moves no more than one update of each task.
    assert kinds["intermediate"]["tokens"] / 20 == pytest.approx(mixed + 2_500 * 256 * 32 / 2, rel=1e-3)
    # 12 × 24 × 1,024² parameters, 6 operations each, 15e12 a second; 20 ms an update; 2 s a measurement.
    parameters = 12 * 24 * 1024**2
    operations = 6 * (30 * trained + kinds["intermediate"]["tokens"]) + 2 * 30 * scored
    seconds = operations * parameters / 1.5e13 + 0.02 * cost["updates"]
    measured = 36 * 2 * 1000 * 15
    seconds += 232 * (2 * parameters * measured / 1.5e13 + 2) + 2
    assert cost["gpu_hours"] == pytest.approx(seconds / 3600, rel=1e-3)
    unreached = " ".join(cost["unreached"])
    for words in ("CCGbank", "mining sets", "xlm-roberta-large"):
        assert words in unreached
    assert len(cost["lines"]) == stages
