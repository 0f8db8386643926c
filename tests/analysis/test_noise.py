from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from alignaudit.analysis.collect import build_grid
from alignaudit.analysis.compare import compare_tables
from alignaudit.analysis.noise import noise, perturbations
from alignaudit.analysis.plan import AnalysisPlan, load_plan
from alignaudit.errors import DataError, IncompleteDesignError, StudyError

CHOICE = {"stage": "intermediate", "layer": 2, "pooling": "mean", "centred": True}
BOTH = ["sequential", "concurrent"]
PLANTED = {"pretrained": -0.1, "sequential": -0.15, "concurrent": -0.05}


def found(tables, arms=BOTH, perturbation="typos"):
    return noise(tables, build_grid(tables, "invented", arms), perturbation=perturbation, **CHOICE)


def curve(tables, run, language):
    """Return (rates, accuracies) of one run and language, read row by row."""
    points = {}
    for name in ("alignment", "perturbed"):
        for row in tables[name].to_dict("records"):
            wanted = (run, language, 2, "accuracy", "intermediate")
            if tuple(row[key] for key in ("run", "language", "layer", "metric", "stage")) == wanted:
                points.setdefault(row.get("character_error_rate", 0.0), []).append(row["value"])
    rates = sorted(points)
    return np.array(rates), np.array([np.mean(points[rate]) for rate in rates])


def compared(tables, plan=None, arms=BOTH, **more):
    return compare_tables(tables, study="invented", schedules=arms, plan=plan or load_plan(), **more)


def row_of(comparison, name):
    return next(row for row in comparison.estimands if row.estimand == name)


def test_every_slope_is_that_of_a_fitted_line(study_tables):
    tables = study_tables(noise=PLANTED)
    cells = found(tables).slope
    assert cells.units == ("dv", "fv", "gv", "rv")
    for arm in BOTH:
        for pair, (checkpoint, seed) in enumerate(cells.pairs):
            for place, language in enumerate(cells.units):
                rates, accuracies = curve(tables, f"{checkpoint}-{arm}-s{seed}", language)
                assert len(rates) == 3
                line = np.polyfit(rates, accuracies, 1)
                assert cells.of(arm)[pair, place] == pytest.approx(0.1 * line[0], rel=1e-12)


def test_the_share_kept_is_the_area_under_the_mean_curve(study_tables):
    tables = study_tables(noise=PLANTED)
    measured = found(tables)
    curves = [curve(tables, "c2-concurrent-s1", language) for language in measured.slope.units]
    rates, accuracies = (np.mean([one[k] for one in curves], axis=0) for k in (0, 1))
    expected = trapezoid(accuracies, rates) / rates[-1] / accuracies[0]
    assert measured.kept.of("concurrent")[3, 0] == pytest.approx(expected, rel=1e-12)
    assert measured.severities == (0.05, 0.1)
    assert measured.upper == pytest.approx(rates[-1], rel=1e-12)


def test_the_contrast_is_the_interaction_of_noise_and_schedule(study_tables):
    """Where all languages have the same error rates: the coefficient in a regression on all cells."""
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    tables["perturbed"] = table.assign(character_error_rate=0.95 * table["severity"])
    estimate = row_of(compared(tables), "R4").estimate
    clean = tables["alignment"].assign(character_error_rate=0.0)
    clean = clean[(clean["layer"] == 2) & (clean["metric"] == "accuracy")]
    cells = pd.concat([clean, tables["perturbed"]])
    cells = cells[cells["stage"] == "intermediate"]
    rate, later = cells["character_error_rate"] / 0.1, (cells["arm"] == "concurrent").astype(float)
    design = np.column_stack([np.ones(len(cells)), later, rate, later * rate])
    interaction = np.linalg.lstsq(design, cells["value"].to_numpy(), rcond=None)[0][3]
    assert estimate == pytest.approx(interaction, rel=1e-10)
    assert estimate == pytest.approx(PLANTED["concurrent"] - PLANTED["sequential"], abs=0.01)


def test_r4_belongs_to_the_planned_family(study_tables):
    comparison = compared(study_tables(noise=PLANTED))
    row = row_of(comparison, "R4")
    assert [e.estimand for e in comparison.estimands][:5] == ["R1", "R2", "R3", "R4", "transfer"]
    assert (row.status, row.verdict, row.unit, row.n_languages) == (
        "planned", "favours concurrent", "fraction", 4,
    )  # fmt: skip
    assert row.equivalence_bound == AnalysisPlan().smallest_effects.R4
    assert "typos at 0.05, 0.1" in row.title
    assert "of 5 tests" in row.rule
    kept = row_of(comparison, "R4:kept")
    assert (kept.status, kept.n_languages, kept.population) == ("exploratory", 4, "these_languages")
    assert row_of(comparison, "R4:languages_like_these").estimate == pytest.approx(row.estimate)


def test_without_perturbed_text_there_is_no_r4(study_tables):
    tables = study_tables()
    assert perturbations(tables) == ()
    comparison = compared(tables)
    assert not [e for e in comparison.estimands if e.estimand.startswith("R4")]
    assert not any("R4" in warning for warning in comparison.warnings)
    assert found(tables).slope.units == ()


def test_an_arm_that_is_not_trained_has_the_slope_of_the_pretrained_encoder(study_tables):
    tables = study_tables(arms={"none": "none", "concurrent": "concurrent"}, noise=PLANTED)
    cells = found(tables, ["none", "concurrent"]).slope
    assert cells.of("none").mean() == pytest.approx(-0.1, abs=0.005)
    assert (cells.of("none")[0] == cells.of("none")[2]).all()  # the same checkpoint


def test_a_language_that_is_not_reached_is_left_out_and_named(study_tables):
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    table.loc[table["language"] == "gv", ["character_error_rate", "reach_note"]] = [0.0, "Nothing changes."]
    measured = found(tables)
    assert (measured.slope.units, measured.unreached) == (("dv", "fv", "rv"), ("gv",))
    comparison = compared(tables)
    assert row_of(comparison, "R4").n_languages == 3
    assert "R4 with typos leaves out gv, which it does not change." in comparison.warnings


def test_a_severity_that_reaches_little_still_counts_where_another_reaches(study_tables):
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    table.loc[(table["language"] == "gv") & (table["severity"] == 0.05), "reach_note"] = "Few change."
    assert found(tables).slope.units == ("dv", "fv", "gv", "rv")


def test_runs_that_saw_other_text_are_refused(study_tables):
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    table.loc[(table["language"] == "fv") & (table["run"] == "c1-concurrent-s2"), "character_error_rate"] += (
        0.01
    )
    with pytest.raises(DataError, match=r'different text in "fv" at severity 0\.05'):
        found(tables)


@pytest.mark.parametrize("lost", ["severity", "direction", "clean"])
def test_a_missing_cell_is_missing_not_guessed(study_tables, lost):
    tables = study_tables(noise=PLANTED)
    name = "alignment" if lost == "clean" else "perturbed"
    table = tables[name]
    gone = (table["run"] == "c1-concurrent-s2") & (table["language"] == "fv")
    if lost == "severity":
        gone &= table["severity"] == 0.05
    if lost == "direction":
        gone &= (table["severity"] == 0.1) & (table["direction"] == "foreign_to_english")
    tables[name] = table[~gone]
    assert found(tables).slope.missing == ["concurrent from c1 with seed 2: fv"]
    with pytest.raises(IncompleteDesignError, match="R4 of concurrent from c1 with seed 2: fv"):
        compared(tables)
    assert row_of(compared(tables, allow_missing=True), "R4").n_pairs == 6


def test_other_perturbations_stand_beside(study_tables):
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    tables["perturbed"] = pd.concat([table, table.assign(perturbation="token_dropout")])
    assert perturbations(tables) == ("token_dropout", "typos")
    comparison = compared(tables)
    assert row_of(comparison, "R4:token_dropout").status == "exploratory"
    assert row_of(comparison, "R4:kept_token_dropout").estimate == row_of(comparison, "R4:kept").estimate
    other = compared(tables, plan=AnalysisPlan(perturbation="token_dropout"))
    assert row_of(other, "R4").title.endswith("(token dropout at 0.05, 0.1)")
    assert row_of(other, "R4:typos").estimate == row_of(comparison, "R4").estimate


def test_a_planned_perturbation_that_was_not_measured_is_named(study_tables):
    comparison = compared(study_tables(noise=PLANTED), plan=AnalysisPlan(perturbation="token_dropout"))
    assert row_of(comparison, "R4:typos").status == "exploratory"
    words = (
        "Left out of the planned family, R4: the study measures no token_dropout at the primary alignment."
    )
    assert words in comparison.warnings


def test_one_severity_is_enough_for_a_line(study_tables):
    tables = study_tables(noise=PLANTED)
    table = tables["perturbed"]
    tables["perturbed"] = table[table["severity"] == 0.1]
    rates, accuracies = curve(tables, "c1-sequential-s1", "dv")
    slope = 0.1 * (accuracies[1] - accuracies[0]) / rates[1]
    assert found(tables).slope.of("sequential")[0, 0] == pytest.approx(slope, rel=1e-12)


def test_nothing_right_on_clean_text_has_no_share_and_stops_nothing(study_tables):
    tables = study_tables(noise=PLANTED)
    for name in ("alignment", "perturbed"):
        table = tables[name]
        none = (table["run"] == "c1-concurrent-s1") & (table["stage"] == "intermediate")
        table.loc[none & (table["metric"] == "accuracy"), "value"] = 0.0
    assert found(tables).kept.missing == ["concurrent from c1 with seed 1: all of 1"]
    names = [row.estimand for row in compared(tables).estimands]
    assert "R4" in names
    assert "R4:kept" not in names


def test_an_unknown_perturbation_of_a_plan_is_refused(tmp_path):
    (tmp_path / "plan.toml").write_text('perturbation = "typo"\n', encoding="utf-8")
    with pytest.raises(StudyError, match=r'no perturbation "typo"\. Did you mean "typos"\?'):
        load_plan(tmp_path / "plan.toml")
