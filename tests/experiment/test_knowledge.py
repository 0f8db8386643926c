"""RankC of a masked language model on questions in BMLAMA's format."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import WORDS, make_encoder, make_tokenizer
from transformers import XLMRobertaForMaskedLM

from alignaudit.errors import SetupError
from alignaudit.experiment.bmlama import is_bmlama_folder, read_bmlama
from alignaudit.experiment.candidates import candidate_scores
from alignaudit.experiment.knowledge import load_masked_language_model, measure_knowledge
from alignaudit.experiment.model import save_encoder
from alignaudit.experiment.standalone import measure, measured_languages
from alignaudit.measure.consistency import rank_consistency

HEADER = "Prompt\tAns\tCandidate Ans\tSubject"


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    encoder = make_encoder(tokenizer)
    whole = XLMRobertaForMaskedLM(encoder.config).eval()
    folder = tmp_path_factory.mktemp("model")
    whole.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def questions(tmp_path):
    """Three languages; the second repeats the first, the third asks other words."""
    for code, shift in (("de", 0), ("en", 0), ("fr", 5)):
        lines = []
        for row in range(6):
            prompt = f"{WORDS[(row + shift) % len(WORDS)]} <mask>"
            candidates = ", ".join(WORDS[row : row + 1 + row % 4])
            lines.append(f"{prompt}\t{WORDS[row]}\t{candidates}\t{WORDS[row]}")
        (tmp_path / f"{code}.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path


def test_rows_are_the_consistency_of_the_candidates_scores(model, tokenizer, questions):
    table, seconds = measure_knowledge(str(model), questions, ("de", "en", "fr"))
    assert list(zip(table["language"], table["other_language"], strict=True)) == [
        ("de", "en"),
        ("de", "fr"),
        ("en", "fr"),
    ]
    whole = load_masked_language_model(str(model))
    sides = [
        candidate_scores(whole, tokenizer, read_bmlama(questions / f"{c}.tsv").rows) for c in ("de", "fr")
    ]
    expected = rank_consistency(sides[0].scores, sides[1].scores, present=sides[0].present)
    row = table.set_index(["language", "other_language"]).loc["de", "fr"]
    assert row["rankc"] == pytest.approx(expected.value, rel=1e-12)
    assert row["rankc_corrected"] == pytest.approx(expected.corrected, rel=1e-12)
    assert row["n"] == expected.informative == 4  # rows with 2 to 4 candidates
    equal = table.set_index(["language", "other_language"]).loc["de", "en"]
    assert equal["rankc_corrected"] == pytest.approx(1, abs=1e-12)
    first = np.where(sides[0].present, sides[0].scores, -np.inf).argmax(axis=1)
    assert row["accuracy"] == np.mean(first == 0)  # the answer is the first candidate in every row
    assert set(seconds) == {"encoder", "measures"}


def test_the_door_knows_the_format(model, questions):
    assert is_bmlama_folder(questions)
    assert measured_languages(questions, ["fr", "en"]) == ("fr", "en")
    found = measure(model, questions, languages=["fr", "en"], device="cpu")
    assert found.consistency[["language", "other_language"]].to_numpy().tolist() == [["fr", "en"]]
    assert found.alignment.empty


def test_pairs_of_sentences_in_columns_are_no_questions(tmp_path):
    (tmp_path / "fr.tsv").write_text("un\tone\n")
    assert not is_bmlama_folder(tmp_path)


def test_an_encoder_without_the_head_is_refused(tokenizer, questions, tmp_path):
    save_encoder(make_encoder(tokenizer), tokenizer, tmp_path / "encoder")
    with pytest.raises(SetupError, match="no head for masked language modelling"):
        measure_knowledge(str(tmp_path / "encoder"), questions, ("de", "en"))
