"""Sentence vectors on disk: what is read back is what was measured, and a reference is what was taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import WORDS, make_encoder

from alignaudit.core.example import ParallelText
from alignaudit.core.study import Measures
from alignaudit.errors import SetupError
from alignaudit.experiment import embeddings
from alignaudit.experiment.alignment import measure_encoder
from alignaudit.experiment.embeddings import (
    EmbeddingFolder,
    EncoderReference,
    PrimaryVectors,
    StoredReference,
)
from alignaudit.experiment.encode import SentenceEncoder, sentence_vectors

ENGLISH = tuple(" ".join(WORDS[i : i + 2 + i % 4]) for i in range(8))
TEXTS = [ParallelText("deu", ENGLISH[::-1], ENGLISH), ParallelText("fra", ENGLISH[2:], ENGLISH[:6])]
POOLINGS = ("mean", "max")
SETTINGS = Measures(poolings=POOLINGS, permutations=19)


def random_vectors(seed: int, n: int = 5) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {pooling: torch.randn(3, n, 4, generator=draw) for pooling in POOLINGS}


# ------------------------------------------------------------------ kept vectors


def test_kept_vectors_are_those_of_the_sentences(tmp_path, tokenizer, encoder):
    folder = tmp_path / "made" / "on the way"
    measure_encoder(encoder, tokenizer, TEXTS, SETTINGS, recorder=EmbeddingFolder(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["deu.safetensors", "fra.safetensors"]
    for text in TEXTS:
        kept = load_file(folder / f"{text.language}.safetensors")
        assert set(kept) == {f"{side}.{pooling}" for side in ("foreign", "english") for pooling in POOLINGS}
        for name, sentences in (("foreign", text.foreign), ("english", text.english)):
            expected = sentence_vectors(encoder, tokenizer, sentences, poolings=POOLINGS)
            for pooling in POOLINGS:
                found = kept[f"{name}.{pooling}"]
                assert found.dtype == torch.float32
                assert found.shape == (3, len(sentences), 16)
                # Which sentences make a batch together moves the last bits of two blocks.
                torch.testing.assert_close(found, expected[pooling], rtol=1e-5, atol=2e-6)


def test_float32_is_exact_and_float16_is_rounded(tmp_path):
    foreign, english = random_vectors(1), random_vectors(2)
    for precision in ("float32", "float16"):
        EmbeddingFolder(tmp_path / precision, precision).keep(TEXTS[0], foreign, english)
        kept = load_file(tmp_path / precision / "deu.safetensors")
        for pooling in POOLINGS:
            for side, vectors in (("foreign", foreign), ("english", english)):
                found = kept[f"{side}.{pooling}"]
                if precision == "float32":
                    assert torch.equal(found, vectors[pooling])
                else:
                    assert found.dtype == torch.float16
                    rounded = vectors[pooling].numpy().astype(np.float16)
                    np.testing.assert_array_equal(found.numpy(), rounded)


def test_a_view_is_kept_as_what_it_shows(tmp_path):
    """Vectors of repeated sentences are views or not as it happens; a file cannot hold a stride."""
    whole = random_vectors(1, n=10)
    part = {pooling: vectors[:, ::2] for pooling, vectors in whole.items()}
    EmbeddingFolder(tmp_path).keep(TEXTS[0], part, part)
    kept = load_file(tmp_path / "deu.safetensors")
    assert torch.equal(kept["foreign.max"], part["max"])


@pytest.mark.parametrize("before", [False, True])
def test_a_failed_write_leaves_nothing_half_written(tmp_path, monkeypatch, before):
    """The file that was there stays; a new one does not appear, and neither does its beginning."""
    folder = EmbeddingFolder(tmp_path)
    if before:
        folder.keep(TEXTS[0], random_vectors(1), random_vectors(2))
    whole = embeddings.save_file

    def torn(tensors, path):
        whole(tensors, path)
        path.write_bytes(path.read_bytes()[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embeddings, "save_file", torn)
    with pytest.raises(SetupError, match=r"deu\.safetensors: cannot be written: .*No space left"):
        folder.keep(TEXTS[0], random_vectors(3), random_vectors(4))
    assert [path.name for path in tmp_path.iterdir()] == ["deu.safetensors"] * before
    if before:
        kept = load_file(tmp_path / "deu.safetensors")
        assert torch.equal(kept["foreign.mean"], random_vectors(1)["mean"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="file/folder: cannot be written"):
        EmbeddingFolder(tmp_path / "file" / "folder")


# ------------------------------------------------------------------ references


def test_a_stored_reference_gives_what_was_taken(tmp_path):
    taken, path = PrimaryVectors(1, "max"), tmp_path / "reference.safetensors"
    given = {text.language: (random_vectors(i), random_vectors(i + 9)) for i, text in enumerate(TEXTS)}
    for text in TEXTS:
        foreign, english = given[text.language]
        taken.keep(text, foreign, english)
        expected = foreign["max"][1].clone()
        foreign["max"] += 1  # whoever gave the vectors may use their memory again
        given[text.language] = ({"max": expected}, {"max": english["max"][1]})
    taken.save(path)
    stored = StoredReference(path, torch.device("cpu"))
    for text in reversed(TEXTS):
        foreign, english = given[text.language]
        for found, vectors in zip(stored.vectors(text), (foreign, english), strict=True):
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, vectors["max"].numpy())


def test_the_recorder_takes_the_layer_that_is_measured(tmp_path, tokenizer, encoder):
    taken = PrimaryVectors(2, "mean")
    measure_encoder(encoder, tokenizer, TEXTS, SETTINGS, recorder=taken)
    taken.save(tmp_path / "taken")
    foreign, english = StoredReference(tmp_path / "taken", torch.device("cpu")).vectors(TEXTS[1])
    for found, sentences in ((foreign, TEXTS[1].foreign), (english, TEXTS[1].english)):
        expected = sentence_vectors(encoder, tokenizer, sentences)["mean"][2]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_another_encoder_as_reference_encodes_shared_english_once(tokenizer, encoder):
    source = SentenceEncoder(encoder, tokenizer, poolings=("max",), texts=TEXTS, layers=(1,))
    reference = EncoderReference(source, "max")
    for text in TEXTS:
        for found, sentences in zip(reference.vectors(text), (text.foreign, text.english), strict=True):
            expected = sentence_vectors(encoder, tokenizer, sentences, poolings=("max",))["max"][1]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)
    assert source.encoded == len(ENGLISH) + sum(len(text.foreign) for text in TEXTS)


@pytest.mark.parametrize("stored", [False, True])
def test_both_references_give_the_same_rows_and_only_at_the_primary_layer(
    tmp_path, tokenizer, encoder, stored
):
    if stored:
        taken = PrimaryVectors(2, "mean")
        measure_encoder(encoder, tokenizer, TEXTS, SETTINGS, recorder=taken)
        taken.save(tmp_path / "taken")
        reference = StoredReference(tmp_path / "taken", torch.device("cpu"))
    else:
        source = SentenceEncoder(encoder, tokenizer, texts=TEXTS, layers=(2,))
        reference = EncoderReference(source, "mean")
    after = make_encoder(tokenizer)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    same, moved = (
        measure_encoder(one, tokenizer, TEXTS, SETTINGS, reference=reference).alignment
        for one in (encoder, after)
    )
    without = measure_encoder(encoder, tokenizer, TEXTS, SETTINGS).alignment
    names = {"cka_reference", "drift", "neighbour_overlap"}
    assert not names & set(without["metric"])
    assert names == set(same["metric"]) - set(without["metric"])
    for frame in (same, moved):
        rows = frame[frame["metric"].isin(names)]
        assert set(rows["layer"]) == {2}
        assert set(rows["pooling"]) == {"mean"}
        assert len(rows) == len(TEXTS) * 2 * 3
    # Float32 vectors whose last bits the batches move: squares of 1e-6 and less.
    assert same[same["metric"] == "cka_reference"]["value"].to_numpy() == pytest.approx(1.0, abs=1e-6)
    assert same[same["metric"] == "drift"]["value"].to_numpy() == pytest.approx(0.0, abs=1e-6)
    assert same[same["metric"] == "neighbour_overlap"]["value"].to_numpy() == pytest.approx(1.0)
    assert (moved[moved["metric"] == "cka_reference"]["value"] < 0.99).all()
    # The pairs of fra are no pairs: both encoders are at infinite temperature, so nothing drifts there.
    assert (moved.query("metric == 'drift' and language == 'deu'")["value"] > 0.01).all()
