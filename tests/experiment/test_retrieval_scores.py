"""XTREME's retrieval tasks: rows of the scores table against a search by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_study import run_all, small_study, stages_of, stay_offline, write_study_files
from tiny import WORDS

from alignaudit.core.assemble import assemble_tables
from alignaudit.core.rng import stream
from alignaudit.core.study import EmbeddedEncoder, Measures
from alignaudit.experiment.alignment import measure_encoder
from alignaudit.experiment.embedded import embedded_config
from alignaudit.experiment.mine import mine_encoder
from alignaudit.experiment.model import build_encoder, load_encoder, load_tokenizer
from alignaudit.experiment.parallel import read_parallel
from alignaudit.experiment.retrieval_scores import bucc_scores, tatoeba_scores
from alignaudit.experiment.stages import draw_plan

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    stay_offline(monkeypatch, tmp_path / "cache")


@pytest.fixture(scope="module")
def files(tmp_path_factory, tokenizer) -> Path:
    return write_study_files(tmp_path_factory.mktemp("files"), tokenizer)


def accuracy_by_hand(encoder, tokenizer, folder: Path, language: str, layer: int) -> float:
    """Share of English sentences whose nearest foreign sentence by raw cosine is their own.

    One sentence at a time, so without padding; the mean is over all tokens, special ones included.
    """
    text = read_parallel(folder, language)

    def vectors(sentences) -> np.ndarray:
        found = []
        with torch.inference_mode():
            for sentence in sentences:
                tokens = tokenizer(sentence, return_tensors="pt")
                assert tokens["input_ids"][0, 0] == tokenizer.cls_token_id
                states = encoder(tokens["input_ids"], output_hidden_states=True).hidden_states[layer]
                found.append(states[0].mean(dim=0).double().numpy())
        return np.stack(found)

    foreign, english = vectors(text.foreign), vectors(text.english)
    right = 0
    for row, query in enumerate(english):
        cosines = [query @ other / np.sqrt((query @ query) * (other @ other)) for other in foreign]
        right += int(np.argmax(cosines)) == row
    return right / len(english)


@pytest.mark.parametrize(("depth", "layer"), [(2, 2), (3, 2), (4, 3)])
def test_tatoeba_is_the_accuracy_of_a_search_by_hand(files, tokenizer, depth, layer):
    """Layer ⌈14/24 × depth⌉: 1.17, 1.75 and 2.33 rounded up."""
    recipe = EmbeddedEncoder(hidden_size=16, layers=depth, attention_heads=2)
    encoder = build_encoder(embedded_config(recipe, len(tokenizer)), 3)
    texts = [read_parallel(files / "tatoeba", language) for language in ("deu", "fra")]
    settings = Measures(neighbours=2, pool=4, permutations=19, poolings=("first", "mean"))
    tables = measure_encoder(encoder, tokenizer, texts, settings, device=CPU)
    rows = tatoeba_scores(tables.alignment, depth)
    expected = {
        language: accuracy_by_hand(encoder, tokenizer, files / "tatoeba", language, layer)
        for language in ("deu", "fra")
    }
    assert {row["language"]: row["value"] for row in rows} == expected
    assert len(rows) == 2
    assert 0 < min(expected.values()) < max(expected.values()) < 1
    protocols = tables.alignment.query("metric == 'accuracy_first' and language == 'deu'")
    assert protocols["value"].nunique() > 4  # layers, poolings, directions and centring do matter
    for row in rows:
        assert row | {"language": "", "value": 0} == {
            "task": "tatoeba",
            "role": "target",
            "update": 0,
            "split": "test",
            "language": "",
            "metric": "accuracy",
            "value": 0,
            "n": 24,
        }


def write_mining(folder: Path) -> Path:
    """Two splits of German sentences that are English ones turned, among others."""
    folder.mkdir()
    for split, count in (("sample", 16), ("training", 20)):
        draw = stream(0, "mining", split)
        english = [" ".join(draw.choice(WORDS, size=4, replace=False)) for _ in range(count)]
        foreign = [
            " ".join([*text.split()[1:], text.split()[0]])
            if row % 2
            else " ".join(draw.choice(WORDS, size=5, replace=False))
            for row, text in enumerate(english)
        ]
        for side, lines in (("de", foreign), ("en", english)):
            text = "".join(f"{side}-{row}\t{line}\n" for row, line in enumerate(lines))
            (folder / f"de-en.{split}.{side}").write_text(text)
        gold = "".join(f"de-{row}\ten-{row}\n" for row in range(1, count, 2))
        (folder / f"de-en.{split}.gold").write_text(gold)
    return folder


def test_bucc_is_the_ratio_row_of_the_miner(tokenizer, encoder, tmp_path):
    """Mining itself is held against a search by hand in test_mine."""
    folder = write_mining(tmp_path / "bucc")
    settings = Measures(poolings=("max",), neighbours=3)
    rows = bucc_scores(encoder, tokenizer, folder, settings, 2, CPU)
    found, _ = mine_encoder(
        encoder, tokenizer, folder, ["de"], Measures(poolings=("mean",), neighbours=3), (1, 2), CPU
    )
    wanted = found[(found["margin"] == "ratio") & (found["layer"] == 2)]
    assert len(wanted) == 1
    assert [(row["metric"], row["value"]) for row in rows] == [
        ("f1", wanted["f1"].item()),
        ("f1_oracle", wanted["oracle_f1"].item()),
    ]
    assert {(row["task"], row["language"], row["n"], row["role"]) for row in rows} == {
        ("bucc2018", "de", 10, "target")
    }
    assert found["f1"].nunique() > 1


# ------------------------------------------------------------------------------ a study that asks for them


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A study with both retrieval tasks, carried out."""
    root = tmp_path_factory.mktemp("finished")
    study = small_study(
        files,
        'measure.retrieval=["tatoeba", "bucc2018"]',
        f'data.folders.bucc2018="{write_mining(root / "bucc")}"',
        intermediate={"mnli": {"updates": 2}},
        target={"udpos": {"updates": 2, "test_languages": ["en"]}},
    )
    return study, draw_plan(study), run_all(study, root)


def test_every_measured_stage_gives_scores_of_the_retrieval_tasks(finished):
    _, plan, store = finished
    scores = assemble_tables(plan, store)["scores"]
    retrieval = scores[scores["task"].isin(["tatoeba", "bucc2018"])]
    cells = {
        ("c1", "pretrained"),
        ("c1-none-s1", "intermediate"),
        ("c1-none-s1", "target:udpos"),
        ("c1-sequential-s1", "intermediate"),
        ("c1-sequential-s1", "target:udpos"),
    }
    assert set(zip(retrieval["run"], retrieval["stage"], strict=True)) == cells
    for _, cell in retrieval.groupby(["run", "stage"]):
        assert sorted(zip(cell["task"], cell["language"], cell["metric"], strict=True)) == [
            ("bucc2018", "de", "f1"),
            ("bucc2018", "de", "f1_oracle"),
            ("tatoeba", "deu", "accuracy"),
            ("tatoeba", "fra", "accuracy"),
        ]


def test_scores_are_those_of_the_checkpoint_that_was_trained(finished, files):
    """The encoder of the finished target stage, read from the store and searched by hand."""
    _, plan, store = finished
    scores = assemble_tables(plan, store)["scores"]
    stage = stages_of(plan, "target")[-1]
    folder = str(store.folder(stage.key) / "encoder")
    encoder, tokenizer = load_encoder(folder), load_tokenizer(folder)
    rows = scores[
        (scores["run"] == stage.label.partition(":")[0])
        & (scores["stage"] == "target:udpos")
        & (scores["task"] == "tatoeba")
    ]
    for language in ("deu", "fra"):
        expected = accuracy_by_hand(encoder, tokenizer, files / "tatoeba", language, 2)
        row = rows[rows["language"] == language]
        assert row["value"].tolist() == [expected]


def test_the_untrained_control_has_no_scores(finished):
    _, plan, store = finished
    (untrained,) = stages_of(plan, "untrained")
    assert not (store.folder(untrained.key) / "scores.parquet").exists()


def test_without_retrieval_there_are_no_such_rows(files):
    study = small_study(files, 'schedules={none={kind="none"}}')
    plan = draw_plan(study)
    assert {entry.role for entry in plan.yields if entry.stage == "pretrained"} == {"alignment"}
    assert not any(stage.config.get("retrieval") for stage in plan.stages)
