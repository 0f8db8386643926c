from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alignaudit.analysis.compare import compare_tables
from alignaudit.analysis.plan import load_plan
from alignaudit.errors import IncompleteDesignError

BOTH = ["sequential", "concurrent"]
FIELDS = [
    "estimand", "title", "metric", "unit", "stage", "layer", "pooling", "centred", "contrast", "estimate",
    "conf_low", "conf_high", "conf_level", "df", "df_method", "statistic", "p_value", "p_adjusted",
    "sign_flip_p_value", "sign_flip_min_p", "equivalence_bound", "equivalence_p_value", "detectable_effect",
    "n_runs", "n_pairs", "n_languages", "population", "over", "method", "variance_components", "verdict",
    "rule", "status", "arm_values",
]  # fmt: skip


def compare(tables, schedules=BOTH, plan=None, **more):
    return compare_tables(tables, study="invented", schedules=schedules, plan=plan or load_plan(), **more)


def row(comparison, name):
    return next(entry for entry in comparison.estimands if entry.estimand == name)


def without(tables, name, **where):
    frame = tables[name]
    hit = np.logical_and.reduce([frame[column] == value for column, value in where.items()])
    return {**tables, name: frame[~hit]}


def test_a_planted_effect_is_found_and_named(study_tables):
    found = compare(study_tables(retention={"concurrent": 0.1}))
    assert row(found, "R1").verdict == "favours concurrent"
    assert row(found, "transfer").verdict == "favours concurrent"
    assert row(found, "R1").conf_low < 0.1 < row(found, "R1").conf_high
    assert {effect.estimate > 0 for effect in found.language_effects} == {True}
    assert found.status == "planned"


def test_retention_is_scipys_paired_t_over_run_means(study_tables):
    tables = study_tables()
    frame = tables["alignment"].query("stage == 'intermediate' and layer == 2 and metric == 'accuracy'")
    means = frame.groupby(["arm", "checkpoint", "seed"])["value"].mean()
    expected = stats.ttest_rel(means["concurrent"], means["sequential"])
    found = row(compare(tables), "R1")
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.df, found.n_pairs, found.n_runs) == (5, 6, 12)


def test_the_same_arm_under_two_names_favours_nothing(study_tables):
    tables = study_tables()
    copied = {}
    for name, frame in tables.items():
        if "arm" not in frame:
            continue
        own = frame[frame["arm"].isin(["sequential", "pretrained"])]
        twin = own[own["arm"] == "sequential"].assign(arm="concurrent")
        twin["run"] = twin["run"].str.replace("sequential", "concurrent")
        copied[name] = type(frame)({c: [*own[c], *twin[c]] for c in frame.columns})
    found = compare(copied)
    means = [entry for entry in found.estimands if entry.estimand != "R2"]
    assert {entry.estimate for entry in means} == {0.0}
    assert {entry.verdict for entry in found.estimands} == {"inconclusive"}


def test_an_unstable_arm_has_the_larger_spread(study_tables):
    found = row(compare(study_tables(seeds=12, spread={"concurrent": 8.0})), "R2")
    assert found.contrast == "log_sd_ratio_concurrent_to_sequential"
    assert found.conf_low < np.log(8) < found.conf_high
    assert found.verdict == "favours sequential"


def test_equivalence_comes_before_significance(study_tables):
    tables = study_tables(retention={"concurrent": 0.004}, run_sd=1e-4, cell_sd=1e-4)
    found = row(compare(tables), "R1")
    assert found.p_adjusted < 0.05
    assert found.verdict == "equivalent"


def test_json_is_the_same_for_shuffled_rows_and_twice(study_tables):
    tables = study_tables()
    shuffled = {name: frame.sample(frac=1, random_state=3) for name, frame in tables.items()}
    text = compare(tables).to_json()
    assert text == compare(tables).to_json() == compare(shuffled).to_json()


def test_json_holds_the_contract(study_tables):
    found = json.loads(compare(study_tables()).to_json())
    assert list(found) == [
        "schema_version", "study", "plan", "plan_sha256", "status", "schedules", "design", "estimands",
        "language_effects", "arms", "warnings",
    ]  # fmt: skip
    assert list(found["estimands"][0]) == FIELDS
    assert [entry["estimand"] for entry in found["estimands"][:4]] == ["R1", "R2", "R3", "transfer"]
    assert found["estimands"][1]["sign_flip_p_value"] is None
    assert len({(e["estimand"], e["contrast"]) for e in found["estimands"]}) == len(found["estimands"])
    assert set(found["arms"][0]["estimands"]["R1"]) == {"mean", "sd"}


def test_holm_is_over_the_planned_family(study_tables):
    found = compare(study_tables(retention={"concurrent": 0.02}))
    planned = [entry for entry in found.estimands if entry.status == "planned"]
    p = sorted(entry.p_value for entry in planned)
    assert [entry.estimand for entry in planned] == ["R1", "R2", "R3", "transfer"]
    assert min(entry.p_adjusted for entry in planned) == pytest.approx(min(1, 4 * p[0]))


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("runs", {"run": "c1-concurrent-s1"}, "no such run"),
        ("alignment", {"run": "c1-concurrent-s1", "language": "fv"}, "c1 with seed 1: fv"),
        ("alignment", {"run": "c2-pretrained"}, "all of 4"),
        ("scores", {"run": "c1-sequential-s2", "stage": "target:pos"}, "transfer"),
    ],
)
def test_missing_cells_are_refused_with_exit_code_four(study_tables, name, where, words):
    with pytest.raises(IncompleteDesignError, match=words) as refused:
        compare(without(study_tables(), name, **where))
    assert refused.value.exit_code == 4
    assert "--allow-missing" in str(refused.value)


def test_unfinished_runs_are_missing(study_tables):
    tables = study_tables()
    tables["runs"].loc[0, "stages_done"] = 2
    with pytest.raises(IncompleteDesignError, match="2 of 3 stages"):
        compare(tables)


def test_missing_cells_that_are_allowed_go_to_the_mixed_model(study_tables):
    tables = study_tables(retention={"concurrent": 0.1})
    gap = without(tables, "alignment", run="c1-concurrent-s1", language="fv", stage="intermediate")
    found = compare(gap, allow_missing=True)
    retained = row(found, "R1")
    assert (retained.df, retained.n_pairs) == (pytest.approx(5, abs=0.05), 6)
    assert retained.over == "6 pairs of runs (5 complete)"
    assert retained.estimate == pytest.approx(row(compare(tables), "R1").estimate, abs=0.005)
    assert any("fv" in entry for entry in found.design["missing"])


def test_a_pair_without_one_arm_is_left_out_and_named(study_tables):
    tables = without(study_tables(), "alignment", run="c2-sequential-s3")
    found = compare(tables, allow_missing=True)
    assert (row(found, "R1").n_pairs, row(found, "R1").df) == (5, pytest.approx(4))
    assert any("pair c2 with seed 3 is left out" in warning for warning in found.warnings)


@pytest.mark.parametrize("allow_missing", [False, True])
def test_one_pair_is_not_a_comparison(study_tables, allow_missing):
    with pytest.raises(IncompleteDesignError):
        compare(study_tables(checkpoints=1, seeds=1), allow_missing=allow_missing)


def test_a_layer_that_was_not_measured_is_refused(study_tables):
    plan = load_plan()
    other = plan.model_copy(update={"alignment": plan.alignment.model_copy(update={"layer": 9})})
    with pytest.raises(IncompleteDesignError, match="layer 9"):
        compare(study_tables(), plan=other)


def test_other_schedules_or_settings_are_exploratory(study_tables):
    arms = {"none": "none", "sequential": "sequential", "concurrent": "concurrent"}
    three = compare(study_tables(arms=arms), schedules=list(arms))
    assert three.status == "exploratory"
    assert any("the plan compares" in warning for warning in three.warnings)
    assert any("by design" in warning for warning in three.warnings)
    assert {e.contrast for e in three.estimands if e.estimand == "R1"} == {
        "sequential_minus_none", "concurrent_minus_none", "concurrent_minus_sequential",
    }  # fmt: skip
    changed = compare(study_tables(), plan=load_plan().model_copy(update={"alpha": 0.1}))
    assert changed.status == "exploratory"
    assert {entry.status for entry in changed.estimands} == {"exploratory"}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("plan_hash", "other", "not comparisons of order only"),
        ("learning_rate_policy", "restart", "mix learning-rate policy"),
        ("optimizer_state", "reset", "mix optimizer state"),
        ("device", "cuda", "different devices"),
    ],
)
def test_what_rides_along_with_order_is_said(study_tables, column, value, words):
    tables = study_tables()
    tables["runs"].loc[0, column] = value
    assert any(words in warning for warning in compare(tables).warnings)
    assert not any(words in warning for warning in compare(study_tables()).warnings)


def test_few_pairs_and_few_checkpoints_are_said(study_tables):
    few = compare(study_tables(checkpoints=1, seeds=5)).warnings
    assert any("cannot go below p = 0.0625" in warning for warning in few)
    assert any("one pretrained checkpoint" in warning for warning in few)
    many = compare(study_tables(checkpoints=3, seeds=2)).warnings
    assert many == ()


def test_tables_without_items_and_scores_leave_the_family_smaller(study_tables):
    tables = {name: frame for name, frame in study_tables().items() if name in ("runs", "alignment")}
    found = compare(tables)
    assert [e.estimand for e in found.estimands if e.status == "planned"] == ["R1", "R2"]
    assert sum("Left out of the planned family" in warning for warning in found.warnings) == 2


PRINTED = """\
Comparison of sequential, concurrent in study "invented": planned, plan built-in.
Design: 4 pairs of runs (2 checkpoints, 2 seeds), 4 languages, no cell missing.
R1: retention: accuracy of alignment after stage intermediate minus before training; crossed mixed model of paired differences, by restricted maximum likelihood.
R2: stability: between-run standard deviation of the mean alignment over languages; jackknife of the log ratio of paired standard deviations, checkpoint means removed.
R3: tail: accuracy in the worst 25% of languages, chosen by other runs on one half of the items and evaluated on the other (dv); crossed mixed model of paired differences, by restricted maximum likelihood.
transfer: zero-shot transfer: test score of pos, mean over languages other than English; crossed mixed model of paired differences, by restricted maximum likelihood.

estimand  contrast                               estimate  interval                 df   p       Holm p  detectable  verdict
R1        concurrent_minus_sequential            +0.1100   [+0.0994, +0.1207] 95 %  3.0  <.0001  0.0002  0.0142      favours concurrent
R2        log_sd_ratio_concurrent_to_sequential  +0.3962   [-4.7397, +5.5321] 95 %  2.0  0.7715  0.7715  6.7484      inconclusive
R3        concurrent_minus_sequential            +0.3750   [+0.0937, +0.6563] 95 %  3.0  0.0240  0.0480  0.3762      favours concurrent
transfer  concurrent_minus_sequential            +0.1100   [+0.0994, +0.1207] 95 %  3.0  <.0001  0.0002  0.0142      favours concurrent
Detectable: the smallest true difference that such a test finds with power .8.

Beside them, exploratory:
estimand                       contrast                     estimate  interval                 df   p       Holm p  detectable  verdict
R1:languages_like_these        concurrent_minus_sequential  +0.1100   [+0.0999, +0.1201] 95 %  3.8  <.0001  <.0001  0.0137      favours concurrent
transfer:languages_like_these  concurrent_minus_sequential  +0.1100   [+0.0999, +0.1201] 95 %  3.8  <.0001  <.0001  0.0137      favours concurrent
R1:margin                      concurrent_minus_sequential  +0.0550   [+0.0497, +0.0603] 95 %  3.0  <.0001  0.0002  0.0071      favours concurrent
R1:cka_debiased                concurrent_minus_sequential  +0.0880   [+0.0795, +0.0965] 95 %  3.0  <.0001  0.0002  0.0114      favours concurrent
R1:target:pos                  concurrent_minus_sequential  +0.1100   [+0.0994, +0.1207] 95 %  3.0  <.0001  0.0002  0.0142      favours concurrent
forgetting                     concurrent_minus_sequential  +0.1096   [+0.0946, +0.1245] 95 %  3.0  0.0002  0.0002  0.0199      favours concurrent

Warnings:
- With 4 pairs of runs the exact sign-flip test cannot go below p = 0.125; 6 pairs are needed to reach .05.
- All runs start from two pretrained checkpoints (c1, c2): every conclusion is conditional upon that; another checkpoint may give another effect."""  # noqa: E501


def test_printed_text(study_tables):
    tables = study_tables(seeds=2, retention={"concurrent": 0.1})
    assert str(compare(tables)) == PRINTED


def test_populations_are_named_after_what_was_sampled(study_tables):
    found = compare(study_tables())
    assert row(found, "R1").population == "these_languages"
    assert row(found, "R1:languages_like_these").population == "languages_like_these"
    assert row(found, "forgetting").population == "these_tasks"
    tables = study_tables()
    second = tables["scores"][tables["scores"]["stage"] == "target:pos"].assign(
        task="ner", stage="target:ner"
    )
    second["value"] = 0.9 * second["value"] + 0.03 * (second["arm"] == "concurrent")
    tables["scores"] = pd.concat([tables["scores"], second], ignore_index=True)
    like = row(compare(tables), "transfer:tasks_like_these")
    assert like.population == "tasks_like_these"
    assert like.over == "6 pairs of runs and 2 tasks"
    # the mean over the two tasks of the mean over languages and pairs, by hand
    own = tables["scores"][tables["scores"]["stage"].isin(["target:pos", "target:ner"])]
    own = own[(own["split"] == "test") & ~own["language"].isin(["en", "eng"])]
    means = own.groupby("arm")["value"].mean()
    assert like.estimate == pytest.approx(means["concurrent"] - means["sequential"])
