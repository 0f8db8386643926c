"""Figures show the tables' numbers, all of them, and nothing that a specification computed."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from alignaudit.core.contracts import CONTRACTS
from alignaudit.report.figure.base import Figure, common_languages, missing_sentence
from alignaudit.report.figure.catalogue import FIGURES, draw_all
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import PRESETS

COMPUTING = {
    "transform", "aggregate", "bin", "timeUnit", "impute", "stack", "calculate", "density", "regression",
}  # fmt: skip


@pytest.fixture(scope="module")
def figures(nine: ReportInput, many: ReportInput) -> dict[tuple[str, str], Figure]:
    return {
        (size, figure.name): figure
        for size, source in (("nine", nine), ("many", many))
        for figure in draw_all(source, PRESETS["screen"]).figures
    }


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def plotted(figure: Figure) -> list[dict[str, Any]]:
    return [row for rows in figure.spec()["datasets"].values() for row in rows if row]


def as_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records", double_precision=12))


EVERY = [(size, name) for size in ("nine", "many") for name in FIGURES]


def test_every_figure_is_drawn(figures: dict[tuple[str, str], Figure]) -> None:
    assert sorted(figures) == sorted(EVERY)


@pytest.mark.parametrize("key", EVERY)
def test_specifications_compute_nothing(figures: dict[tuple[str, str], Figure], key: tuple[str, str]) -> None:
    spec = {k: v for k, v in figures[key].spec().items() if k not in {"datasets", "config"}}
    assert not [found for node in walk(spec) for found in COMPUTING & set(node)]


@pytest.mark.parametrize("key", EVERY)
def test_csv_holds_what_is_plotted(figures: dict[tuple[str, str], Figure], key: tuple[str, str]) -> None:
    figure = figures[key]
    table = {json.dumps(row, sort_keys=True) for row in as_rows(figure.data)}
    drawn = {json.dumps(row, sort_keys=True) for row in plotted(figure) if "gap" not in row}
    assert drawn <= table
    full = {json.dumps(row, sort_keys=True) for row in as_rows(figure.data[~figure.data["missing"]])}
    assert full <= drawn


@pytest.mark.parametrize("key", EVERY)
def test_null_only_where_marked_missing(figures: dict[tuple[str, str], Figure], key: tuple[str, str]) -> None:
    measure = "estimate" if key[1] == "forest" else "value"
    for row in plotted(figures[key]):
        if "gap" not in row:
            assert (row[measure] is None) == row["missing"]


@pytest.mark.parametrize("name", ["forest", "retention", "cka", "transfer", "seed-spread", "forgetting"])
def test_missing_cells_have_a_mark(figures: dict[tuple[str, str], Figure], name: str) -> None:
    figure = figures["nine", name]
    assert figure.data["missing"].any()
    rings = [
        node
        for node in walk(figure.spec())
        if isinstance(node.get("mark"), dict) and node["mark"].get("filled") is False
    ]
    assert rings


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("forest", "1 of 9 languages has no data."),
        ("retention", "14 of 135 run × language cells"),  # one run × 9 languages + 5 runs × 1 language
        ("seed-spread", "1 of 15 runs has no data"),
        ("cka", "70 of 675 run × language × layer cells"),  # 14 cells × 5 layers
        # typos in 9 languages, lower-casing in 6; 16 runs: one has no data, 5 lack their last language
        ("noise", "64 of 624 run × language × severity cells"),
        ("transfer", "25 of 400"),  # 2 tasks × 10 languages of one run + 5 runs of `none` on one cell
        ("forgetting", "13 of 585"),  # 13 updates of one run and task; 15 runs × 3 tasks × 13 updates
    ],
)
def test_captions_count_missing_cells(figures: dict[tuple[str, str], Figure], name: str, words: str) -> None:
    assert words in figures["nine", name].caption


def test_captions_say_so_when_nothing_is_missing(synthetic: Callable[..., ReportInput]) -> None:
    whole = draw_all(synthetic(gaps=False), PRESETS["screen"]).figures
    captions = {figure.name: figure.caption for figure in whole}
    assert "No language is missing." in captions["forest"]
    assert "All 135 run × language cells have data." in captions["retention"]


def test_arms_have_their_colour_shape_and_dash(figures: dict[tuple[str, str], Figure]) -> None:
    found: dict[str, set[Any]] = {"color": set(), "shape": set(), "strokeDash": set()}
    for node in walk(figures["nine", "layers"].spec()):
        for channel, seen in found.items():
            scale = node.get(channel, {}).get("scale", {}) if isinstance(node.get(channel), dict) else {}
            for arm, value in zip(scale.get("domain", []), scale.get("range", []), strict=True):
                seen.add((arm, json.dumps(value)))
    assert {("sequential", '"#003F6B"'), ("concurrent", '"#D55E00"')} <= found["color"]
    assert {("sequential", '"circle"'), ("concurrent", '"square"')} <= found["shape"]
    assert {("sequential", "[1, 0]"), ("concurrent", "[6, 3]")} <= found["strokeDash"]


def test_forest_shows_the_comparison_in_points(nine: ReportInput, figures: dict[Any, Figure]) -> None:
    data = figures["nine", "forest"].data
    rows = {e["language"]: e for e in nine.comparison["language_effects"]}
    languages = data[data["role"] == "language"]
    for row in languages[~languages["missing"]].itertuples():
        assert row.estimate == pytest.approx(100 * rows[row.language]["estimate"], abs=1e-6)
        assert row.conf_low == pytest.approx(100 * rows[row.language]["conf_low"], abs=1e-6)
    known = languages["estimate"].dropna().tolist()
    assert known == sorted(known, reverse=True)
    assert data.iloc[-1]["label"] == "All languages"
    assert data.iloc[-1]["estimate"] == pytest.approx(3.12)


def test_retention_is_the_mean_of_runs_and_directions(nine: ReportInput, figures: dict[Any, Figure]) -> None:
    values = [
        row.value
        for row in nine.table("alignment").itertuples()
        if (row.arm, row.stage, row.language, row.layer) == ("sequential", "intermediate", "cyr", 3)
        and row.metric == "accuracy"
    ]
    assert len(values) == 10  # five runs, two directions
    data = figures["nine", "retention"].data
    cell = data[(data["series"] == "sequential") & (data["language"] == "cyr")].iloc[0]
    assert cell["value"] == pytest.approx(100 * math.fsum(values) / 10, abs=1e-6)


def test_spread_is_the_sample_deviation_of_run_means(nine: ReportInput, figures: dict[Any, Figure]) -> None:
    data = figures["nine", "seed-spread"].data
    points = data[(data["role"] == "run") & (data["arm"] == "concurrent") & ~data["missing"]][
        "value"
    ].tolist()
    assert len(points) == 4
    mean = data[(data["role"] == "mean") & (data["arm"] == "concurrent")].iloc[0]
    assert mean["sd"] == pytest.approx(statistics.stdev(points), abs=1e-5)
    assert f"{statistics.stdev(points):.2f} (concurrent)" in figures["nine", "seed-spread"].title


def test_noise_shows_means_at_realised_rates(nine: ReportInput, figures: dict[Any, Figure]) -> None:
    figure = figures["nine", "noise"]
    data = figure.data[figure.data["perturbation"] == "typos"]
    assert sorted(set(data["character_error_rate"])) == pytest.approx([0, 4.75, 9.5])
    for series, stage in (("pretrained", "pretrained"), ("interleaved", "intermediate")):
        rows = nine.table("alignment").query("layer == 3 and metric == 'accuracy' and language != 'tur'")
        clean = 100 * rows[(rows["arm"] == series) & (rows["stage"] == stage)]["value"].mean()
        own = data[data["series"] == series].sort_values("severity")["value"]
        assert own.tolist() == pytest.approx([clean, clean * (1 - 2.5 * 0.0475), clean * (1 - 2.5 * 0.095)])
    assert "Lower casing leaves" in figure.caption
    assert "as they were: not in the means." in figure.caption
    assert "edits per 100 characters, accuracy goes from" in figure.title


def test_means_compare_runs_over_the_same_languages() -> None:
    frame = pd.DataFrame(
        {
            "run": ["a", "a", "b", "b", "c", "c"],
            "language": ["easy", "hard"] * 3,
            "value": [0.9, 0.1, 0.9, math.nan, math.nan, math.nan],
        }
    )
    common, words = common_languages(frame, "run")  # c has no data at all and does not count
    assert common == ("easy",)
    assert words == "Means over languages take the 1 of 2 that every run has."


def test_forgetting_compares_best_with_last(nine: ReportInput, figures: dict[Any, Figure]) -> None:
    scores = nine.table("scores")
    chosen = scores[
        (scores["run"] == "c1-sequential-s1") & (scores["task"] == "nli") & (scores["split"] == "dev")
    ].sort_values("update")
    data = figures["nine", "forgetting"].data
    fall = data[(data["run"] == "c1-sequential-s1") & (data["task"] == "nli")]["fall"].unique()
    assert fall == pytest.approx([100 * (max(chosen["value"]) - chosen["value"].iloc[-1])], abs=1e-5)


def test_panels_stay_below_five_thousand_rows(many: ReportInput, figures: dict[Any, Figure]) -> None:
    assert max(len(figure.data) for figure in figures.values()) < 5000


def test_absent_tables_are_named_not_drawn(nine: ReportInput) -> None:
    empty = {name: CONTRACTS[name] for name in ("scores", "controls")}
    tables = {name: frame for name, frame in nine.tables.items() if name not in empty}
    gallery = draw_all(dataclasses.replace(nine, tables=tables), PRESETS["screen"])
    assert [figure.name for figure in gallery.figures] == [
        "forest",
        "seed-spread",
        "retention",
        "layers",
        "cka",
        "noise",
    ]
    assert gallery.omitted == (
        "Figure transfer is not drawn: no target task was scored on its test sets.",
        "Figure forgetting is not drawn: no intermediate task was scored during the phase.",
    )


def test_names_of_languages_stay_apart(nine: ReportInput) -> None:
    twins = {"wes": {"name": "Same"}, "nor": {"name": "Same"}}
    source = dataclasses.replace(nine, languages=twins)
    assert source.labels(["wes", "nor", "xyz"]) == ["Same (wes)", "Same (nor)", "xyz"]


def test_missing_sentence() -> None:
    assert missing_sentence(1, 1200, "cells") == "1 of 1,200 cells has no data; means are over the others."
    assert missing_sentence(0, 1200, "cells") == "All 1,200 cells have data."
