from __future__ import annotations

import numpy as np
import pytest

from alignaudit.analysis.align import depth, kept, retention, tail, transfer
from alignaudit.analysis.collect import build_grid
from alignaudit.errors import DataError, UsageError

CHOICE = {"stage": "intermediate", "layer": 2, "pooling": "mean", "centred": True}
BOTH = ["sequential", "concurrent"]


def test_pairs_are_checkpoint_and_seed(study_tables):
    grid = build_grid(study_tables(), "invented", BOTH)
    assert grid.pairs == (("c1", 1), ("c1", 2), ("c1", 3), ("c2", 1), ("c2", 2), ("c2", 3))
    assert grid.missing == ()


def test_retention_cell_by_hand(study_tables):
    tables = study_tables()
    frame = tables["alignment"]
    frame = frame[(frame["layer"] == 2) & (frame["metric"] == "accuracy") & (frame["language"] == "gv")]

    def mean(run, stage):
        return frame[(frame["run"] == run) & (frame["stage"] == stage)]["value"].mean()

    expected = mean("c2-concurrent-s3", "intermediate") - mean("c2-pretrained", "pretrained")
    cells = retention(tables, build_grid(tables, "invented", BOTH), metric="accuracy", **CHOICE)
    assert cells.units == ("dv", "fv", "gv", "rv")
    assert cells.of("concurrent")[5, 2] == pytest.approx(expected, abs=1e-15)


def test_both_directions_are_averaged_and_both_are_needed(study_tables):
    tables = study_tables()
    frame = tables["alignment"]
    forward = frame["direction"] == "foreign_to_english"
    after = frame["stage"] == "intermediate"
    frame.loc[forward & after, "value"] += 0.1
    grid = build_grid(tables, "invented", BOTH)
    shifted = retention(tables, grid, metric="accuracy", **CHOICE)
    plain = retention(study_tables(), grid, metric="accuracy", **CHOICE)
    assert shifted.values == pytest.approx(plain.values + 0.05)
    one = frame[~(forward & after & (frame["run"] == "c1-concurrent-s2") & (frame["language"] == "fv"))]
    cells = retention({**tables, "alignment": one}, grid, metric="accuracy", **CHOICE)
    assert cells.missing == ["concurrent from c1 with seed 2: fv"]


def test_an_untrained_arm_retains_exactly_what_there_was(study_tables):
    tables = study_tables(arms={"none": "none", "concurrent": "concurrent"})
    grid = build_grid(tables, "invented", ["none", "concurrent"])
    cells = retention(tables, grid, metric="accuracy", **CHOICE)
    assert (cells.of("none") == 0).all()


def test_tail_against_a_loop(study_tables):
    tables = study_tables(items=40, languages=("a", "b", "c", "d", "e"))
    grid = build_grid(tables, "invented", BOTH)
    cells, chosen = tail(tables, grid, share=0.4, **CHOICE)
    items = tables["items"]
    items = items[items["stage"] == "intermediate"]
    names, total = set(), 0.0
    for choose in (0, 1):
        half = items[items["item"] % 2 == choose]
        order = half.groupby("language")["foreign_to_english_correct"].mean().sort_values(kind="stable")
        worst = list(order.index[:2])
        names |= set(worst)
        other = items[(items["item"] % 2 != choose) & items["language"].isin(worst)]
        run = other[other["run"] == "c1-sequential-s2"]
        total += run.groupby("language")["foreign_to_english_correct"].mean().mean() / 2
    assert chosen == tuple(sorted(names))
    assert cells.of("sequential")[1, 0] == pytest.approx(total)


def test_transfer_leaves_english_out(study_tables):
    tables = study_tables()
    cells = transfer(tables, build_grid(tables, "invented", BOTH))["pos"]
    assert cells.units == ("dv", "fv", "gv", "rv")
    assert np.isfinite(cells.values).all()


def test_kept_is_the_score_at_the_last_update(study_tables):
    tables = study_tables(run_sd=0.0)
    cells = kept(tables, build_grid(tables, "invented", BOTH))
    assert cells.units == ("nli", "qa")
    assert cells.values == pytest.approx(0.6)


def test_depth_is_the_highest_layer(study_tables):
    assert depth(study_tables()) == 3
    assert depth({}) == 0


def test_unknown_schedules_and_single_ones_are_refused(study_tables):
    tables = study_tables()
    with pytest.raises(UsageError, match='Did you mean "sequential"'):
        build_grid(tables, "invented", ["sequental", "concurrent"])
    with pytest.raises(UsageError, match="at least two"):
        build_grid(tables, "invented", ["sequential"])
    with pytest.raises(UsageError, match="No run"):
        build_grid(tables, "another", BOTH)


def test_two_runs_of_one_cell_are_refused(study_tables):
    tables = study_tables()
    runs = tables["runs"]
    runs.loc[0, ["checkpoint", "seed"]] = runs.loc[1, ["checkpoint", "seed"]].to_list()
    with pytest.raises(DataError, match="share"):
        build_grid(tables, "invented", BOTH)
