"""Retrieval with perturbed foreign sentences: what is perturbed, what stays clean, and what is said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import WORDS

from alignaudit.core.contracts import DIRECTIONS, PERTURBED, PERTURBED_ITEMS
from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.core.study import Measures
from alignaudit.core.tables import validate
from alignaudit.errors import StudyError
from alignaudit.experiment.alignment import measure_encoder
from alignaudit.experiment.cell import Pairs
from alignaudit.experiment.encode import SentenceEncoder, sentence_vectors
from alignaudit.experiment.perturbed import check_perturbations, measure_perturbed
from alignaudit.measure.perturb import perturb_language
from alignaudit.measure.perturbations_table import PERTURBATIONS

ENGLISH = tuple(" ".join(WORDS[i : i + 2 + i % 4]) for i in range(12))
FOREIGN = tuple(" ".join(WORDS[i + 3 : i + 5 + i % 3]) for i in range(12))
TEXT = ParallelText("deu", FOREIGN, ENGLISH)
KEY = {"language": "deu", "layer": 2, "pooling": "mean"}
WITHOUT_RETRIEVAL = {"cka_debiased", "cka_biased", "language_gap"}
OWNER = {"run": "r", "arm": "a", "checkpoint": "c", "seed": 1, "stage": "s"}


def settings_of(perturbations: dict[str, tuple[float, ...]], **more) -> Measures:
    return Measures(perturbations=perturbations, pool=5, **more)


def tables_of(tokenizer, encoder, perturbations, lexicon=None):
    source = SentenceEncoder(encoder, tokenizer)
    english = sentence_vectors(encoder, tokenizer, ENGLISH)["mean"][2].numpy()
    settings = settings_of(perturbations)
    found = measure_perturbed(TEXT, source, 2, english, Pairs.of(TEXT), KEY, settings, lexicon)
    return found, source.encoded


def cosines(x, y, centred: bool) -> np.ndarray:
    rows = []
    for side in (x, y):
        wide = side.astype(np.float64)
        wide = wide - wide.mean(axis=0) if centred else wide
        rows.append((wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))).astype(np.float32).astype(float))
    return (rows[0] @ rows[1].T).astype(np.float32)


def correct(table) -> np.ndarray:
    """1 where the translation is nearest, 1/t in a tie of t."""
    best = [[j for j in range(len(row)) if row[j] == max(row)] for row in table]
    return np.array([(i in found) / len(found) for i, found in enumerate(best)])


def column(frame: pd.DataFrame, metric: str, direction: str, centred: bool) -> pd.Series:
    rows = frame.query("metric == @metric and direction == @direction and centred == @centred")
    assert len(rows) == 1
    return rows.iloc[0]


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("name", "severity"), [("typos", 0.3), ("token_dropout", 0.4), ("code_switching", 0.5)]
)
def test_foreign_is_perturbed_and_english_is_clean(tokenizer, encoder, name, severity):
    lexicon = {word: word[::-1] for word in WORDS}
    found, encoded = tables_of(tokenizer, encoder, {name: (severity,)}, lexicon)
    noisy = perturb_language(FOREIGN, "deu", name, severity, 0, ids=range(12), lexicon=lexicon)
    assert set(noisy.sentences) != set(FOREIGN)
    assert encoded == len(set(noisy.sentences))
    x = sentence_vectors(encoder, tokenizer, noisy.sentences)["mean"][2].numpy()
    y = sentence_vectors(encoder, tokenizer, ENGLISH)["mean"][2].numpy()
    for centred in (False, True):
        table = cosines(x, y, centred)
        for direction, one in zip(DIRECTIONS, (table, table.T), strict=True):
            row = column(found.metrics, "accuracy", direction, centred)
            assert row["value"] == pytest.approx(correct(one).mean(), rel=1e-12)
            assert row["n"] == 12
            if centred:
                assert found.items[f"{direction}_correct"].to_numpy() == pytest.approx(correct(one))
    assert found.items["item"].tolist() == list(range(12))
    assert found.items["character_error_rate"].to_numpy() == pytest.approx(noisy.character_error_rate)
    changed = np.mean([a != b for a, b in zip(noisy.sentences, FOREIGN, strict=True)])
    for frame in (found.metrics, found.items):
        assert set(frame["perturbation"]) == {name}
        assert set(frame["severity"]) == {severity}
    assert found.metrics["changed_share"].to_numpy() == pytest.approx(changed)
    rate = noisy.character_error_rate.mean()
    assert found.metrics["character_error_rate"].to_numpy() == pytest.approx(rate)
    assert set(found.metrics["reach_note"]) == {""}


def test_a_perturbation_without_reach_gives_the_clean_numbers_and_says_so(tokenizer, encoder):
    settings = settings_of({"lower_casing": (1.0,), "mark_stripping": (0.5,)})
    found = measure_encoder(encoder, tokenizer, [TEXT], settings)
    keys = ["metric", "direction", "centred"]
    clean = found.alignment.query("layer == 2").set_index(keys)
    retrieval = {name for name, metric in METRICS.items() if metric.where == "cell"} - WITHOUT_RETRIEVAL
    for name, label in (("lower_casing", "Lower-casing"), ("mark_stripping", "Mark stripping")):
        rows = found.perturbed[found.perturbed["perturbation"] == name]
        assert set(rows["metric"]) == retrieval
        for row in rows.to_dict("records"):
            there = clean.loc[tuple(row[key] for key in keys)]
            for part in ("value", "standard_error", "note", "n"):
                assert row[part] == pytest.approx(there[part], abs=0, nan_ok=True)
        assert set(rows["character_error_rate"]) == set(rows["changed_share"]) == {0.0}
        (note,) = set(rows["reach_note"])
        assert note.startswith(f"{label} changes nothing in deu: 0 of its ")
    items = found.items.query("layer == 2 and centred").set_index("item")
    for direction in DIRECTIONS:
        mine = found.perturbed_items.query("perturbation == 'lower_casing'").set_index("item")
        assert (mine[f"{direction}_correct"] == items[f"{direction}_correct"]).all()


def test_it_is_measured_at_the_primary_layer_and_pooling_alone(tokenizer, encoder):
    """Block 14 of 24 is block 2 of 2 (the ceiling of 1.17)."""
    settings = settings_of({"typos": (0.2,)}, poolings=("first", "mean"))
    found = measure_encoder(encoder, tokenizer, [TEXT], settings)
    for frame in (found.perturbed, found.perturbed_items):
        assert set(frame["layer"]) == {2}
        assert set(frame["pooling"]) == {"first"}
    assert set(found.alignment["layer"]) == {0, 1, 2}


def test_languages_and_other_perturbations_do_not_change_the_text(tokenizer, encoder):
    other = ParallelText("fra", FOREIGN[::-1], ENGLISH)
    both = measure_encoder(
        encoder, tokenizer, [other, TEXT], settings_of({"token_dropout": (0.1,), "typos": (0.1, 0.2)})
    )
    alone = measure_encoder(encoder, tokenizer, [TEXT], settings_of({"typos": (0.2,)}))
    part = both.perturbed.query("language == 'deu' and perturbation == 'typos' and severity == 0.2")
    pd.testing.assert_frame_equal(part.reset_index(drop=True), alone.perturbed)


class ByLength:
    """Stands in for an encoder: texts of equal length (of three kinds) coincide."""

    def __init__(self):
        self.vectors_of = np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)

    def vectors(self, sentences):
        rows = np.array([self.vectors_of[len(sentence) % 3] for sentence in sentences])
        return {"mean": torch.from_numpy(rows)[None]}


def test_the_right_text_is_the_perturbed_one():
    """Two equal sentences are perturbed each in its own way, and are then no longer the same text."""
    foreign = (*FOREIGN[:6], *FOREIGN[:6])
    text = ParallelText("deu", foreign, ENGLISH)
    english = np.random.default_rng(4).standard_normal((12, 4)).astype(np.float32)
    found = measure_perturbed(
        text, ByLength(), 0, english, Pairs.of(text), KEY, settings_of({"typos": (0.3,)})
    )
    noisy = perturb_language(foreign, "deu", "typos", 0.3, 0, ids=range(12)).sentences
    assert len(set(noisy)) > len(set(foreign))
    table = cosines(ByLength().vectors(noisy)["mean"][0].numpy(), english, centred=False).T
    best = [[j for j in range(12) if row[j] == max(row)] for row in table]
    right = [sum(noisy[j] == noisy[i] for j in tied) / len(tied) for i, tied in enumerate(best)]
    assert 0 < sum(right) < 12
    row = column(found.metrics, "accuracy_text", "english_to_foreign", centred=False)
    assert row["value"] == pytest.approx(np.mean(right), rel=1e-12)


# ------------------------------------------------------------------ tables and refusals


def test_tables_keep_their_contracts_where_a_severity_is_named_twice(tokenizer, encoder):
    found, _ = tables_of(tokenizer, encoder, {"typos": (0.1, 0.2, 0.1), "lower_casing": (1.0,)})
    asked = [("typos", 0.1), ("typos", 0.2), ("lower_casing", 1.0)]
    for frame, contract in ((found.metrics, PERTURBED), (found.items, PERTURBED_ITEMS)):
        validate(frame.assign(**OWNER), contract)
        assert list(dict.fromkeys(zip(frame["perturbation"], frame["severity"], strict=True))) == asked


def test_a_perturbation_without_severities_is_not_measured(tokenizer, encoder):
    found = measure_encoder(encoder, tokenizer, [TEXT], settings_of({"typos": ()}))
    assert found.perturbed.empty
    assert found.perturbed_items.empty


def test_unknown_and_unusable_perturbations_are_named():
    check_perturbations(set(PERTURBATIONS) - {"code_switching"}, lexicons=False)
    with pytest.raises(StudyError, match=r'no perturbation "typo"\. Did you mean "typos"\?'):
        check_perturbations(["lower_casing", "typo"], lexicons=False)
    with pytest.raises(StudyError, match="code-switching needs a lexicon"):
        check_perturbations(["code_switching"], lexicons=False)
    check_perturbations(PERTURBATIONS, lexicons=True)
