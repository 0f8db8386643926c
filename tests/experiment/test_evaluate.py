"""The measurement of an encoder against its measures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tiny import WORDS

from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.core.rng import stream
from alignaudit.core.study import Measures
from alignaudit.experiment.alignment import chance_rows, measure_encoder, ngram_rows
from alignaudit.experiment.embedded import train_tokenizer
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.model import load_encoder, load_tokenizer, save_encoder
from alignaudit.experiment.parallel import sentence_key
from alignaudit.measure.baseline import character_ngram_accuracy
from alignaudit.measure.cka import debiased_cka
from alignaudit.measure.retrieval import normalise, retrieve

DIRECTIONS = ("foreign_to_english", "english_to_foreign")
CELLS = {(direction, centred) for direction in DIRECTIONS for centred in (False, True)}
SENTENCES = [" ".join(WORDS[i : i + 1 + i % 5]) for i in range(14)]


TEXT = ParallelText("xx", tuple(SENTENCES[::-1]), tuple(SENTENCES))


def last_layer(tokenizer, encoder, sentences) -> np.ndarray:
    return sentence_vectors(encoder, tokenizer, sentences)["mean"][2].numpy()


def test_measurement_equals_the_measures_on_the_vectors(tokenizer, encoder):
    found = measure_encoder(encoder, tokenizer, [TEXT], Measures())
    x, y = (last_layer(tokenizer, encoder, side) for side in (TEXT.foreign, TEXT.english))
    rows = found.alignment.query("layer == 2").set_index(["metric", "direction", "centred"])["value"]
    for centred in (False, True):
        direct = retrieve(normalise(x, centred=centred), normalise(y, centred=centred))
        correct = direct.foreign_to_english.correct.mean()
        assert rows["accuracy", "foreign_to_english", centred] == pytest.approx(correct, abs=0)
        assert rows["margin", "english_to_foreign", centred] == pytest.approx(direct.margin.mean(), rel=1e-6)
    assert rows["cka_debiased", "foreign_to_english", True] == pytest.approx(
        debiased_cka(x, y).value, rel=1e-6
    )
    assert found.shuffled.empty


def test_items_are_the_retrieval_of_each_pair(tokenizer, encoder):
    found = measure_encoder(encoder, tokenizer, [TEXT], Measures()).items
    assert len(found) == 3 * 2 * len(SENTENCES)
    x, y = (last_layer(tokenizer, encoder, side) for side in (TEXT.foreign, TEXT.english))
    for centred in (False, True):
        rows = found[(found["layer"] == 2) & (found["centred"] == centred)]
        assert rows["item"].tolist() == list(range(len(SENTENCES)))
        assert rows["english"].tolist() == [sentence_key(sentence) for sentence in SENTENCES]
        direct = retrieve(normalise(x, centred=centred), normalise(y, centred=centred))
        cosines = normalise(x, centred=centred) @ normalise(y, centred=centred).T
        for direction, table in (("foreign_to_english", cosines), ("english_to_foreign", cosines.T)):
            ranking = getattr(direct, direction)
            assert rows[f"{direction}_prediction"].tolist() == table.argmax(axis=1).tolist()
            assert rows[f"{direction}_correct"].tolist() == ranking.correct.tolist()
            assert rows[f"{direction}_rank"].tolist() == ranking.rank.tolist()
        np.testing.assert_allclose(rows["margin"], direct.margin, rtol=1e-6)


def test_shuffled_pairs_are_the_same_vectors_in_another_order(tokenizer, encoder):
    settings = Measures(pool=5)
    found = measure_encoder(encoder, tokenizer, [TEXT], settings, shuffle_seed=3)
    here = METRICS.__getitem__
    assert len(found.shuffled) == sum(here(name).where == "cell" for name in found.alignment["metric"])
    order = stream(3, "shuffled_pairs", "xx", 2).permutation(len(SENTENCES))
    x, y = (last_layer(tokenizer, encoder, side) for side in (TEXT.foreign, TEXT.english))
    direct = retrieve(normalise(x, centred=True), normalise(y[order], centred=True))
    rows = found.shuffled.query("layer == 2 and centred").set_index(["metric", "direction"])["value"]
    for direction in ("foreign_to_english", "english_to_foreign"):
        assert rows["reciprocal_rank", direction] == pytest.approx(
            (1 / getattr(direct, direction).rank).mean(), rel=1e-12
        )
    value = debiased_cka(x, y[order]).value
    assert rows["cka_debiased", "foreign_to_english"] == pytest.approx(value, rel=1e-6)
    assert abs(value) < 0.9 < abs(debiased_cka(x, x).value)


def test_a_repeated_sentence_is_right_in_any_order(tokenizer, encoder):
    """In the shuffled control, too, another place with the text that stands at the pair's own is right."""
    english = tuple(SENTENCES[i] for i in (2, 2, 2, 7, 7, 4, 5, 5))
    text = ParallelText("xx", tuple(SENTENCES[:8]), english)
    found = measure_encoder(encoder, tokenizer, [text], Measures(), shuffle_seed=1)
    x, y = (last_layer(tokenizer, encoder, side) for side in (text.foreign, english))
    orders = {"alignment": np.arange(8), "shuffled": stream(1, "shuffled_pairs", "xx", 2).permutation(8)}
    for name, order in orders.items():
        cosines = normalise(x, centred=True) @ normalise(y[order], centred=True).T
        texts = [english[place] for place in order]
        right = [texts[int(row.argmax())] == texts[i] for i, row in enumerate(cosines)]
        rows = getattr(found, name).query("direction == 'foreign_to_english' and layer == 2 and centred")
        value = rows[rows["metric"] == "accuracy_text"]["value"].tolist()
        assert value == pytest.approx([np.mean(right)], rel=1e-12)
        assert 0 < np.mean(right) < 1


def test_languages_come_one_by_one_and_shared_english_is_encoded_once(tokenizer, encoder):
    texts = [TEXT, ParallelText("yy", tuple(SENTENCES[3:11]), tuple(SENTENCES[:8]))]
    told: list[tuple[str, str]] = []

    class Recorder:
        def keep(self, text, foreign, english):
            told.append(("kept", text.language))
            assert foreign["mean"].shape == english["mean"].shape == (2, len(text.foreign), 16)

    found = measure_encoder(
        encoder,
        tokenizer,
        texts,
        Measures(permutations=19),
        layers=(0, 2),
        recorder=Recorder(),
        progress=lambda language: told.append(("done", language)),
    )
    assert told == [("kept", "xx"), ("done", "xx"), ("kept", "yy"), ("done", "yy")]
    assert found.encoded == 14 + 14 + 8
    assert set(found.alignment["layer"]) == {0, 2}
    assert found.alignment.groupby("language")["n"].unique().map(list).to_dict() == {"xx": [14], "yy": [8]}
    alone = measure_encoder(encoder, tokenizer, texts[:1], Measures(permutations=19), layers=(0, 2))
    mine = found.alignment.query("language == 'xx'").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone.alignment)
    assert min(found.seconds.values()) > 0


def test_identical_sides_are_perfectly_aligned(tokenizer, encoder):
    texts = [ParallelText("xx", tuple(SENTENCES), tuple(SENTENCES))]
    found = measure_encoder(encoder, tokenizer, texts, Measures()).alignment
    assert (found.query("metric == 'accuracy'")["value"] == 1.0).all()
    assert found.query("metric == 'cka_debiased'")["value"].to_numpy() == pytest.approx(1.0)


def test_chance_stands_under_both_directions_and_words_of_centred():
    texts = [ParallelText("xx", tuple(SENTENCES), tuple(SENTENCES))]
    rows = chance_rows(texts)
    assert {row["value"] for row in rows} == {1 / len(SENTENCES)}
    assert {(row["direction"], row["centred"]) for row in rows} == CELLS
    assert len(rows) == 4


@pytest.mark.parametrize("pool", [10, 200])
def test_the_n_gram_baseline_has_every_metric_of_retrieval(pool):
    """Two of three translations are the sentence itself; the third has none of its letters."""
    foreign = tuple("0123456789" if i % 3 == 0 else sentence for i, sentence in enumerate(SENTENCES))
    rows = ngram_rows([ParallelText("xx", foreign, tuple(SENTENCES))], pool)
    names = {name for name, metric in METRICS.items() if metric.where == "cell"}
    names -= {"cka_debiased", "cka_biased", "language_gap"}
    names -= {"accuracy_pool", "accuracy_pool_corrected"} if pool == 200 else set()
    assert {(row["metric"], row["direction"], row["centred"]) for row in rows} == {
        (name, *cell) for name in names for cell in CELLS
    }
    assert len(rows) == 4 * len(names)
    direct = character_ngram_accuracy(foreign, SENTENCES)
    for direction in DIRECTIONS:
        found = [row["value"] for row in rows if (row["metric"], row["direction"]) == ("accuracy", direction)]
        assert found == pytest.approx([getattr(direct, direction).correct.mean()] * 2, rel=1e-12)
        assert found[0] == 9 / 14
    assert {(row["layer"], row["pooling"], row["n"]) for row in rows} == {(-1, "none", 14)}


def test_saved_encoder_is_loaded_to_the_same_bits(tokenizer, encoder, tmp_path):
    save_encoder(encoder, tokenizer, tmp_path / "saved")
    loaded = load_encoder(str(tmp_path / "saved"))
    again = load_tokenizer(str(tmp_path / "saved"))
    assert again(SENTENCES)["input_ids"] == tokenizer(SENTENCES)["input_ids"]
    before = sentence_vectors(encoder, tokenizer, SENTENCES)["mean"]
    assert (sentence_vectors(loaded, again, SENTENCES)["mean"] == before).all()
    assert not list((tmp_path / "saved").glob("*.bin"))


def test_tokenizer_training_is_deterministic():
    first, second = (train_tokenizer(SENTENCES * 3, 60).backend_tokenizer.to_str() for _ in range(2))
    assert first == second
