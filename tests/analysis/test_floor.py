"""Languages and tails at the level of an untrained encoder are said to be so."""

from __future__ import annotations

import pandas as pd

from alignaudit.analysis.collect import build_grid
from alignaudit.analysis.floor import floor_notes
from alignaudit.core.contracts import CONTRACTS, DIRECTIONS
from alignaudit.core.tables import validate

CELL = {"metric": "accuracy", "layer": 2, "pooling": "mean", "centred": True}


def with_untrained(tables, value: dict[str, float]):
    rows = [
        {"control": "untrained", "checkpoint": checkpoint, "language": language, "direction": direction,
         **CELL, "value": level, "standard_error": 0.0, "n": 8, "note": ""}
        for checkpoint in ("c1", "c2")
        for language, level in value.items()
        for direction in DIRECTIONS
    ]  # fmt: skip
    return {**tables, "controls": validate(pd.DataFrame(rows), CONTRACTS["controls"])}


def test_nothing_is_said_without_the_control(study_tables):
    tables = study_tables()
    grid = build_grid(tables, "invented", ["sequential", "concurrent"])
    assert floor_notes(tables, grid, **CELL) == []


def test_languages_at_the_floor_are_named(study_tables):
    """The invented study starts near .3, .4, .5, .6; only dv and gv have a higher untrained value."""
    tables = with_untrained(study_tables(), {"dv": 0.9, "fv": 0.0, "gv": 0.9, "rv": 0.0})
    grid = build_grid(tables, "invented", ["sequential", "concurrent"])
    (note,) = floor_notes(tables, grid, **CELL)
    assert note.startswith("In 2 of 4 languages (dv, gv) the pretrained encoder aligns no better")


def test_a_tail_at_the_floor_is_named(study_tables):
    tables = with_untrained(study_tables(), dict.fromkeys(("dv", "fv", "gv", "rv"), 0.1))
    grid = build_grid(tables, "invented", ["sequential", "concurrent"])
    low = floor_notes(tables, grid, **CELL, tail_languages=["dv"], tail_value=0.09)
    high = floor_notes(tables, grid, **CELL, tail_languages=["dv"], tail_value=0.11)
    assert len(low) == 1
    assert "(dv) where the arms stand at 9.0 points, not above the untrained control (10.0)" in low[0]
    assert high == []
