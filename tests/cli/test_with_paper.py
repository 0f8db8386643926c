"""`compare --with-paper` on the tables of an invented study: nothing is trained."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from alignaudit.core.contracts import SCORES
from alignaudit.core.plan import StudyPlan, write_plan
from alignaudit.core.tables import validate

SETTINGS = {"name": "invented", "data": {"source": "hub", "train_examples": 7}, "target": {"tasks": {}}}
XNLI = {"en": 0.9, "de": 0.8, "sw": 0.4}


def invented_tables() -> dict[str, pd.DataFrame]:
    """The synthetic study, and XNLI in three languages: 0.70 on average in c1, 0.71 in c2."""
    place = Path(__file__).parents[1] / "analysis" / "synthetic.py"
    specification = importlib.util.spec_from_file_location("synthetic_study_of_the_paper", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    tables = module.study_tables()
    scores = [
        {
            "run": run.run, "arm": run.arm, "checkpoint": run.checkpoint, "seed": run.seed,
            "stage": "target:xnli", "task": "xnli", "role": "target", "update": 80, "split": "test",
            "language": language, "metric": "accuracy", "n": 50,
            "value": value + (0.01 if run.checkpoint == "c2" else 0.0),
        }
        for run in tables["runs"].itertuples()
        for language, value in XNLI.items()
    ]  # fmt: skip
    return {**tables, "scores": validate(pd.concat([tables["scores"], pd.DataFrame(scores)]), SCORES)}


@pytest.fixture
def finished(here, monkeypatch) -> Path:
    """A study that counts as run: its plan on disk, its tables in place of the store's."""
    monkeypatch.setattr("alignaudit.analysis.study.assemble_tables", lambda plan, store: invented_tables())
    write_plan(here / "runs" / "invented" / "plan.json", StudyPlan(SETTINGS, "", (), (), (), 0))
    return here / "runs" / "invented" / "comparison" / "sequential-vs-concurrent"


def test_the_table_follows_the_comparison(cli, finished):
    plain = cli("compare", "invented")
    assert (plain.code, plain.err.count("error")) == (0, 0)
    assert not (finished / "with_paper.csv").exists()
    said = cli("compare", "invented", "--with-paper")
    assert said.code == 0
    assert said.err == plain.err
    assert said.out.startswith(plain.out + "\nBeside published XTREME scores, in percent: ")
    lines = said.out.removeprefix(plain.out).splitlines()
    # six runs of each arm: three with 70, three with 71; the deviation is sqrt(6 · 0.25 / 5)
    assert [" ".join(line.split()) for line in lines[3:8]] == [
        "task metric system score runs languages split status",
        "xnli accuracy sequential 70.50 ± 0.55 6 3 of 15 test measured",
        "xnli accuracy concurrent 70.50 ± 0.55 6 3 of 15 test measured",
        "xnli accuracy xlmr_large 79.2 – 15 of 15 xtreme_test verified",
        "xnli accuracy xstilts_best_per_task 80.4 – 15 of 15 xtreme_test verified",
    ]
    assert "- Fewer languages: xnli 3 of 15 (de, en, sw). " in said.out
    assert "- Other checkpoint: published systems start from XLM-R-large, ours from c1, c2." in lines
    assert "- Capped examples: at most 7 training examples per task." in lines


def test_the_file_lies_beside_the_comparison(cli, finished):
    cli("compare", "invented", "--with-paper")
    assert {path.name for path in finished.iterdir()} == {"comparison.json", "with_paper.csv"}
    rows = list(csv.DictReader((finished / "with_paper.csv").read_text("utf-8").splitlines()))
    assert [row["system"] for row in rows[:2]] == ["sequential", "concurrent"]
    assert float(rows[0]["value"]) == pytest.approx(70.5)


def test_json_has_the_table_under_its_own_key(cli, finished):
    plain = json.loads(cli("compare", "invented", "--json").out)
    said = json.loads(cli("compare", "invented", "--json", "--with-paper").out)
    paper = said.pop("with_paper")
    assert said == plain
    assert "with_paper" not in json.loads((finished / "comparison.json").read_text("utf-8"))
    assert set(paper) == {"rows", "summaries", "notes"}
    assert paper["rows"][0]["value"] == pytest.approx(70.5)
    assert paper["rows"][0]["sd"] == pytest.approx(0.3**0.5)


def test_arms_are_those_that_were_asked_for(cli, finished):
    said = cli("compare", "invented", "--with-paper", "--schedules", "concurrent", "sequential")
    ours = [line.split()[2] for line in said.out.splitlines() if line.endswith("measured")]
    assert ours == ["concurrent", "sequential"]
    assert (finished.parent / "concurrent-vs-sequential" / "with_paper.csv").exists()


def test_a_study_that_was_not_run_is_refused(cli, here):
    said = cli("compare", "--with-paper")
    assert (said.code, said.out) == (4, "")
    assert list(here.iterdir()) == []
