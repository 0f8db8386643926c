from __future__ import annotations

import math
from statistics import fmean, stdev

import pandas as pd
import pytest

from alignaudit.analysis.align import transfer
from alignaudit.analysis.collect import build_grid
from alignaudit.analysis.xtreme import TASKS, arm_scores, run_scores
from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.language import find_language
from alignaudit.core.tables import validate
from alignaudit.errors import DataError
from alignaudit.measure.xtreme import LANGUAGES

METRICS = {
    "xnli": "accuracy", "pawsx": "accuracy", "udpos": "f1", "panx": "f1", "xquad": "em_f1", "mlqa": "em_f1",
    "tydiqa": "em_f1", "bucc2018": "f1", "tatoeba": "accuracy",
}  # fmt: skip
RETRIEVAL = ("bucc2018", "tatoeba")
KINDS = {"none": "none", "sequential": "sequential", "concurrent": "concurrent"}


def run_row(arm: str, seed: int, checkpoint: str = "c1", study: str = "invented") -> dict[str, object]:
    return {
        "run": f"{checkpoint}-{arm}-s{seed}", "study": study, "arm": arm, "schedule": KINDS[arm],
        "checkpoint": checkpoint, "seed": seed, "order": "", "plan_hash": "",
        "learning_rate_policy": "global", "optimizer_state": "carry", "temporal_segregation": None,
        "switch_rate": None, "last_task": "", "updates": 1, "tokens": 1, "wall_s": 1.0, "device": "cpu",
        "stages_done": 1, "stages_planned": 1,
    }  # fmt: skip


def score_row(run: dict[str, object], task: str, language: str, value: float | None, **other: object):
    stage = "intermediate" if task in RETRIEVAL else f"target:{task}"
    owner = {name: run[name] for name in ("run", "arm", "checkpoint", "seed")}
    return {
        **owner, "stage": stage, "task": task, "role": "target", "update": 10, "split": "test",
        "language": language, "metric": METRICS[task], "value": value, "n": 5, **other,
    }  # fmt: skip


def tables(runs: list[dict[str, object]], scores: list[dict[str, object]]) -> dict[str, pd.DataFrame]:
    rows = {"runs": runs, "scores": scores}
    return {
        name: validate(pd.DataFrame(found, columns=CONTRACTS[name].names), CONTRACTS[name])
        for name, found in rows.items()
    }


def complete(run: dict[str, object], shift: float = 0.0) -> list[dict[str, object]]:
    """Scores of all nine tasks in all languages: 0.1 to 0.9 by task plus a shift; Tatoeba's by long codes."""
    return [
        score_row(run, task, find_language(code).code if task == "tatoeba" else code, number / 10 + shift)
        for number, task in enumerate(METRICS, start=1)
        for code in LANGUAGES[task]
    ]


def test_every_language_of_xtreme_is_known_by_the_code_that_xtreme_writes():
    codes = {code for found in LANGUAGES.values() for code in found}
    assert len(codes) == 40
    assert [code for code in codes if find_language(code).short != code] == []


def test_the_nine_tasks_and_their_metrics():
    assert tuple(METRICS) == TASKS


def test_a_complete_run_by_hand():
    run = run_row("sequential", 1)
    (found,) = run_scores(tables([run], complete(run)), "invented", ["sequential"])
    assert found.scores.tasks == pytest.approx({task: n / 10 for n, task in enumerate(METRICS, start=1)})
    # 0.1 … 0.9 have the mean 0.5; groups: (0.1+0.2)/2, (0.3+0.4)/2, (0.5+0.6+0.7)/3, (0.8+0.9)/2
    assert found.scores.overall == pytest.approx(0.5)
    assert found.scores.groups == pytest.approx(
        {"classification": 0.15, "tagging": 0.35, "qa": 0.6, "retrieval": 0.85}
    )
    assert found.values["tatoeba"].keys() == set(LANGUAGES["tatoeba"])
    (arm,) = arm_scores([found])
    assert arm.overall is not None
    assert (arm.overall.mean, arm.overall.runs) == (pytest.approx(0.5), 1)
    assert math.isnan(arm.overall.sd)
    assert arm.missing == {}
    assert arm.incomplete == ()


def test_mean_and_standard_deviation_between_runs():
    runs = [run_row("sequential", seed) for seed in (1, 2, 3)]
    shifts = (0.0, 0.03, 0.09)
    scores = [row for run, shift in zip(runs, shifts, strict=True) for row in complete(run, shift)]
    (arm,) = arm_scores(run_scores(tables(runs, scores), "invented", ["sequential"]))
    for summary, base in ((arm.overall, 0.5), (arm.tasks["panx"], 0.4), (arm.groups["qa"], 0.6)):
        assert summary is not None
        assert summary.mean == pytest.approx(base + 0.04)
        # deviations -0.04, -0.01, 0.05: sqrt(0.0042 / 2)
        assert summary.sd == pytest.approx(math.sqrt(0.0021))
        assert summary.runs == 3


def test_english_counts_and_its_gap_stands_beside():
    run = run_row("sequential", 1)
    scores = [score_row(run, "xnli", code, value) for code, value in (("en", 0.9), ("de", 0.6), ("sw", 0.3))]
    (found,) = run_scores(tables([run], scores), "invented", ["sequential"])
    assert found.scores.overall is None
    assert found.scores.tasks["xnli"] is None
    (arm,) = arm_scores([found])
    assert arm.tasks["xnli"].mean == pytest.approx(0.6)
    assert arm.gaps["xnli"].mean == pytest.approx(0.45)
    assert arm.languages == {"xnli": ("de", "en", "sw")}
    assert arm.overall is None
    assert arm.groups == {}
    assert arm.missing["xnli"] == tuple("ar bg el es fr hi ru th tr ur vi zh".split())
    assert arm.missing["bucc2018"] == ("de", "fr", "ru", "zh")
    assert "mlqa (all languages)" in found.scores.reason


def test_only_the_task_s_own_metric_stage_split_and_last_update_count():
    run = run_row("sequential", 1)
    scores = [
        score_row(run, "xquad", "en", 0.5),
        score_row(run, "xquad", "en", 0.9, metric="f1"),
        score_row(run, "xquad", "en", 0.1, metric="exact_match"),
        score_row(run, "xquad", "en", 0.8, update=5),
        score_row(run, "xquad", "en", 0.7, split="dev"),
        score_row(run, "xquad", "en", 0.7, stage="target:mlqa"),
        score_row(run, "xquad", "de", None),
        score_row(run, "udpos", "en", 0.4),
        score_row(run, "udpos", "en", 0.99, metric="accuracy"),
        score_row(run, "tatoeba", "deu", 0.3),
        score_row(run, "tatoeba", "deu", 0.6, stage="target:xnli"),
        score_row(run, "tatoeba", "deu", 0.6, stage="pretrained"),
        score_row(run, "tatoeba", "deu", 0.6, metric="accuracy_first"),
        score_row(run, "xnli", "en", 0.7, role="intermediate"),
        {**score_row(run, "pawsx", "en", 0.7), "task": "belebele", "stage": "target:belebele"},
        score_row(run, "mlqa", "en", 0.7, update=5),
        score_row(run, "mlqa", "en", None),
    ]
    (found,) = run_scores(tables([run], scores), "invented", ["sequential"])
    assert found.values == {"xquad": {"en": 0.5}, "udpos": {"en": 0.4}, "tatoeba": {"de": 0.3}}


def test_languages_that_xtreme_does_not_have_do_not_count():
    run = run_row("sequential", 1)
    scores = [
        score_row(run, "udpos", code, value) for code, value in (("en", 0.8), ("dv", 0.1), ("aze", 0.2))
    ]
    (found,) = run_scores(tables([run], scores), "invented", ["sequential"])
    assert found.values["udpos"] == {"en": 0.8, "dv": 0.1, "az": 0.2}
    (arm,) = arm_scores([found])
    assert arm.languages == {"udpos": ("en",)}
    assert arm.tasks["udpos"].mean == pytest.approx(0.8)


def test_arms_share_languages_and_runs_that_lack_one_are_named():
    runs = [run_row(arm, seed) for arm in ("sequential", "concurrent") for seed in (1, 2)]
    scores = [
        score_row(run, "xnli", code, value)
        for run, values in zip(
            runs,
            ({"en": 0.9, "de": 0.7}, {"en": 0.8, "de": 0.6}, {"en": 0.5}, {"en": 0.6, "de": 0.4}),
            strict=True,
        )
        for code, value in values.items()
    ]
    sequential, concurrent = arm_scores(
        run_scores(tables(runs, scores), "invented", ["sequential", "concurrent"])
    )
    assert (sequential.arm, sequential.tasks["xnli"].runs) == ("sequential", 2)
    assert sequential.tasks["xnli"].mean == pytest.approx(fmean([0.8, 0.7]))
    assert sequential.tasks["xnli"].sd == pytest.approx(stdev([0.8, 0.7]))
    assert concurrent.tasks["xnli"].runs == 1
    assert concurrent.tasks["xnli"].mean == pytest.approx(0.5)
    assert concurrent.incomplete == ("run c1-concurrent-s1 has no score of xnli in de",)
    assert sequential.incomplete == ()


def test_an_arm_without_a_task_has_no_mean_of_it():
    runs = [run_row("sequential", 1), run_row("concurrent", 1)]
    scores = [score_row(runs[0], "xnli", "en", 0.9)]
    _, concurrent = arm_scores(run_scores(tables(runs, scores), "invented", ["sequential", "concurrent"]))
    assert concurrent.tasks == {}
    assert concurrent.incomplete == ("run c1-concurrent-s1 has no score of xnli in all languages",)


def test_before_training_all_seeds_of_a_checkpoint_are_one():
    runs = [run_row("none", seed, checkpoint) for checkpoint in ("c1", "c2") for seed in (1, 2, 3)]
    scores = [
        score_row(
            run,
            task,
            "de",
            (0.2 if run["checkpoint"] == "c1" else 0.4) + (task == "xnli") * int(run["seed"]) / 10,
        )
        for run in runs
        for task in ("tatoeba", "xnli")
    ]
    (arm,) = arm_scores(run_scores(tables(runs, scores), "invented", ["none"]))
    assert arm.tasks["tatoeba"].runs == 2
    assert arm.tasks["tatoeba"].sd == pytest.approx(stdev([0.2, 0.4]))
    assert arm.tasks["xnli"].runs == 6


def test_order_of_rows_does_not_matter_and_order_of_arms_does():
    runs = [run_row(arm, seed) for arm in ("sequential", "concurrent") for seed in (1, 2)]
    scores = [score_row(run, "xnli", "en", number / 10) for number, run in enumerate(runs)]
    forwards = run_scores(tables(runs, scores), "invented", ["concurrent", "sequential"])
    shuffled = {name: frame.sample(frac=1, random_state=3) for name, frame in tables(runs, scores).items()}
    assert run_scores(shuffled, "invented", ["concurrent", "sequential"]) == forwards
    assert [run.run for run in forwards] == [
        "c1-concurrent-s1", "c1-concurrent-s2", "c1-sequential-s1", "c1-sequential-s2",
    ]  # fmt: skip


def test_other_studies_and_other_arms_are_left_aside():
    runs = [run_row("sequential", 1), run_row("concurrent", 1), run_row("sequential", 2, study="another")]
    scores = [score_row(run, "xnli", "en", 0.5) for run in runs]
    found = run_scores(tables(runs, scores), "invented", ["sequential"])
    assert [run.run for run in found] == ["c1-sequential-s1"]


def test_without_scores_nothing_is_made_up():
    run = run_row("sequential", 1)
    (found,) = run_scores(tables([run], []), "invented", ["sequential"])
    assert found.values == {}
    (arm,) = arm_scores([found])
    assert (arm.tasks, arm.overall, arm.languages) == ({}, None, {})
    assert set(arm.missing) == set(TASKS)
    assert arm_scores([]) == ()


def test_two_codes_of_one_language_are_refused():
    run = run_row("sequential", 1)
    scores = [score_row(run, "tatoeba", code, 0.5) for code in ("deu", "de")]
    with pytest.raises(DataError, match='c1-sequential-s1 has two scores of tatoeba in "de"'):
        run_scores(tables([run], scores), "invented", ["sequential"])


def test_per_cent_is_refused():
    run = run_row("sequential", 1)
    with pytest.raises(DataError, match="not in"):
        run_scores(tables([run], [score_row(run, "xnli", "en", 79.2)]), "invented", ["sequential"])


def test_transfer_prefers_the_metric_that_xtreme_scores_by():
    runs = [run_row(arm, 1) for arm in ("sequential", "concurrent")]
    scores = [
        score_row(run, task, "de", value, metric=metric)
        for run in runs
        for task, metric, value in (
            ("xquad", "exact_match", 0.1), ("xquad", "f1", 0.3), ("xquad", "em_f1", 0.2),
            ("udpos", "accuracy", 0.9), ("udpos", "f1", 0.8),
        )
    ]  # fmt: skip
    scores += [score_row(run, "tatoeba", "deu", 0.7) for run in runs]
    scores += [score_row(run, "tatoeba", "deu", 0.7, stage="target:xquad") for run in runs]
    found = transfer(
        frames := tables(runs, scores), build_grid(frames, "invented", ["sequential", "concurrent"])
    )
    assert {task: cells.values.tolist() for task, cells in found.items()} == {
        "xquad": [[[0.2]], [[0.2]]],
        "udpos": [[[0.8]], [[0.8]]],
    }
