"""Exact text of sentences, tables in every format, and the methods paragraphs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd
import pytest

from alignaudit.core.contracts import CONTRACTS
from alignaudit.report.methods import methods
from alignaudit.report.sentence import effect, estimand_sentence, number, p_text, signed
from alignaudit.report.source import ReportInput
from alignaudit.report.summary import controls_table, estimands_table, languages_table
from alignaudit.report.table import Field, Table, plain

ENTRY: dict[str, Any] = {
    "estimand": "R1", "title": "Retention", "metric": "accuracy", "unit": "fraction",
    "contrast": "concurrent_minus_sequential", "estimate": 0.011, "conf_low": 0.0042, "conf_high": 0.0178,
    "conf_level": 0.95, "df": 9.3, "df_method": "Satterthwaite", "statistic": 3.65, "p_value": 0.005,
    "n_runs": 20, "n_pairs": 10, "n_languages": 35, "over": "runs and languages",
    "method": "linear mixed model", "equivalence_bound": 0.01,
}  # fmt: skip


def test_sentence_of_a_difference() -> None:
    assert estimand_sentence(ENTRY) == (
        "Retention: concurrent − sequential = +1.10 points (95 % CI [+0.42, +1.78], t(9.3) = 3.65, "
        "p = .005). 95 % interval; linear mixed model; over runs and languages; 10 paired seeds, 20 runs and "
        "35 languages; 9.3 degrees of freedom (Satterthwaite)."
    )


def test_sentence_of_a_ratio_is_not_scaled() -> None:
    ratio = ENTRY | {
        "title": "Stability", "unit": "log ratio", "contrast": "log_sd_ratio_concurrent_to_sequential",
        "estimate": math.log(2), "conf_low": 0.0, "conf_high": math.log(4), "p_value": 1e-9,
    }  # fmt: skip
    text = estimand_sentence(ratio)
    assert text.startswith(
        "Stability: log SD ratio, concurrent to sequential = +0.69 log ratio (95 % CI [0.00, +1.39], "
        "t(9.3) = 3.65, p <.001)."
    )
    assert text.endswith("As a ratio of standard deviations: 2.00 [1.00, 4.00].")


def test_sentence_without_an_estimate() -> None:
    nothing = ENTRY | {"estimate": None, "conf_low": None, "conf_high": None, "p_value": None}
    assert estimand_sentence(nothing) == "Retention: no estimate (concurrent − sequential)."
    assert effect(nothing).interval == "no data"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0041, ".004"), (0.0009, "<.001"), (0.25, ".250"), (1.0, "1.000"), (None, "not computed"),
     (math.nan, "not computed"), (0.9996, "1.000")],
)  # fmt: skip
def test_p_values(value: float | None, text: str) -> None:
    assert p_text(value) == text


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert (number(-2.5, 0), number(-0.001, 1), signed(0.0, 1), signed(2, 1)) == ("−3", "0.0", "0.0", "+2.0")


@pytest.fixture
def table() -> Table:
    frame = pd.DataFrame({"name": ["a|b_c", "<d>"], "value": [-1.25, math.nan], "hidden": [1, 2]})
    fields = (Field("name", "Name"), Field("value", "Value", lambda v: number(v, 1), numeric=True))
    return Table("tiny", "A 5 % title", frame, fields, ("A note.",))


def test_table_as_text(table: Table) -> None:
    assert table.to_text() == (
        "A 5 % title\n\nName     Value\n-----  -------\na|b_c     −1.3\n<d>    no data\n\nA note.\n"
    )


def test_table_as_markdown(table: Table) -> None:
    assert table.to_markdown() == (
        "**A 5 % title**\n\n| Name | Value |\n| :--- | ---: |\n"
        "| a\\|b_c | −1.3 |\n| <d> | no data |\n\nA note.\n"
    )


def test_table_as_csv_holds_raw_values(table: Table) -> None:
    assert table.to_csv() == "name,value,hidden\na|b_c,-1.25,1\n<d>,,2\n"


def test_table_as_latex(table: Table) -> None:
    assert table.to_latex() == "\n".join(
        [
            r"\begin{table}[t]", r"\centering\small", r"\caption{A 5 \% title}", r"\label{tab:tiny}",
            r"\begin{tabular}{lr}", r"\toprule", r"Name & Value \\", r"\midrule", r"a|b\_c & $-$1.3 \\",
            r"$<$d$>$ & no data \\", r"\bottomrule", r"\end{tabular}", r"\par\smallskip\footnotesize A note.",
            r"\end{table}", "",
        ]
    )  # fmt: skip


def test_table_as_html(table: Table) -> None:
    assert table.to_html(limit=1) == (
        '<div class="scroll" tabindex="0" role="group" aria-label="A 5 % title"><table>'
        '<caption>A 5 % title</caption><thead><tr><th scope="col">Name</th>'
        '<th scope="col" class="number">Value</th></tr></thead>\n<tbody>'
        '<tr><th scope="row"><bdi>a|b_c</bdi></th><td class="number">−1.3</td></tr></tbody></table></div>'
        '<p class="note">A note.</p><p class="note">First 1 of 2 rows; the CSV file holds all of them.</p>'
    )
    assert "&lt;d&gt;" in table.to_html()


def test_empty_cells_are_named() -> None:
    assert (plain(None), plain(math.nan), plain(2.0), plain("x")) == ("no data", "no data", "2", "x")


def test_estimands_table_shows_points_and_p_values(nine: ReportInput) -> None:
    first = estimands_table(nine).cells()[0]
    assert first == [
        "R1", "Retention of alignment", "+3.12 points", "[+1.18, +5.06]", "6.3", ".007", ".022", ".063",
        ".910", "2.78", "favours concurrent",
    ]  # fmt: skip


def test_languages_table_names_the_missing_one(nine: ReportInput) -> None:
    last = languages_table(nine).cells()[-1]
    assert last[0] == "Turran"
    assert last[4:6] == ["no data", "no data"]
    assert last[-2] == "–"


def test_languages_table_shows_what_each_borrows_from_the_others(nine: ReportInput) -> None:
    # the first language's estimate is 5.5 points, its prediction .9 of that with 1.8 points on either side
    assert languages_table(nine).cells()[0][-2] == "+5.0 [+3.2, +6.8]"


def test_a_card_says_what_could_have_been_found_and_about_which_languages(nine: ReportInput) -> None:
    first = effect(nine.headline[0])
    assert first.reach == "A true difference of 2.78 points would be found with power .8."
    assert first.population in ("About these languages.", "About languages like these.")


def test_controls_table_averages_directions(nine: ReportInput) -> None:
    frame = nine.table("controls")
    chance = frame[frame["control"] == "chance"]["value"]
    row = controls_table(nine).frame.set_index("control").loc["chance"]
    assert row["mean"] == pytest.approx(100 * chance.mean())


def test_methods_say_what_was_done(nine: ReportInput) -> None:
    training, measurement, inference, software = methods(nine)
    assert training.startswith(
        "The encoder tiny-roberta was trained in 20 runs: none (5), sequential (5), interleaved (5) and "
        "concurrent (5), from 1 pretrained checkpoint and 5 seeds (0–4). Task orders drawn: 3 "
        "(nli → qa → span; qa → span → nli; span → nli → qa). In all 5 checkpoint × seed groups the arms saw "
        "the same multiset of mini-batches (equal hashes); only their order differed."
    )
    assert "in 9 languages and 5 layers as accuracy and cka debiased, on 400 sentence pairs" in measurement
    assert "The unit of inference is the training run." in inference
    assert (
        software == "Software: alignaudit 0.1.0, torch 2.13.0 and statsmodels 0.15.0. Device: CPU, 2 cores."
    )


def test_methods_confess_unequal_batches(nine: ReportInput) -> None:
    runs = nine.table("runs").copy()
    runs.loc[runs["run"] == "c1-concurrent-s2", "plan_hash"] = "ff"
    text = methods(dataclasses.replace(nine, tables={**nine.tables, "runs": runs}))[0]
    assert "In 1 of 5 checkpoint × seed groups the arms did not see the same multiset" in text


def test_methods_confess_unequal_settings(nine: ReportInput) -> None:
    runs = nine.table("runs").copy()
    runs.loc[runs["arm"] == "sequential", "optimizer_state"] = "reset"
    text = methods(dataclasses.replace(nine, tables={**nine.tables, "runs": runs}))[0]
    assert "(equal hashes), but not under the same settings." in text
    assert "only their order differed" not in text


def test_methods_of_nothing_are_empty() -> None:
    empty = {name: pd.DataFrame(columns=contract.names) for name, contract in CONTRACTS.items()}
    assert methods(ReportInput({}, empty, {})) == []
