"""Mining with an encoder: F1 against a search by hand, and equal sentences as one."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import WORDS
from torch import nn

from alignaudit.core.study import Measures
from alignaudit.experiment.encode import sentence_vectors
from alignaudit.experiment.mine import mine_encoder

CPU = torch.device("cpu")
K = 3


def sentences(seed: int, count: int) -> list[str]:
    """Different sentences of three to six words."""
    draw, found = np.random.default_rng(seed), {}
    while len(found) < count:
        found[" ".join(draw.choice(WORDS, size=int(draw.integers(3, 7))))] = None
    return list(found)


def write_split(folder: Path, split: str, foreign: list[str], english: list[str], gold) -> None:
    for side, texts, prefix in (("de", foreign, "de"), ("en", english, "en")):
        lines = [f"{prefix}-{i:03}\t{text}" for i, text in enumerate(texts)]
        (folder / f"de-en.{split}.{side}").write_text("\n".join(lines) + "\n")
    lines = [f"de-{left:03}\ten-{right:03}" for left, right in gold]
    (folder / f"de-en.{split}.gold").write_text("\n".join(lines) + "\n")


@pytest.fixture
def bucc(tmp_path) -> tuple[Path, dict]:
    """Foreign sentences that are English ones with a word turned, among others; with their gold pairs."""
    splits = {}
    for split, seed, count in (("sample", 1, 24), ("training", 2, 30)):
        english = sentences(seed, count)
        others = sentences(seed + 10, count)
        foreign = [
            " ".join([*text.split()[1:], text.split()[0]]) if i % 2 else others[i]
            for i, text in enumerate(english)
        ]
        gold = [(i, i) for i in range(1, count, 2)]
        splits[split] = (foreign, english, gold)
        write_split(tmp_path, split, foreign, english, gold)
    return tmp_path, splits


# ------------------------------------------------------------------ naive mining


def unit_rows(vectors, centred: bool) -> np.ndarray:
    wide = vectors.numpy().astype(np.float64)
    wide = wide - wide.mean(axis=0) if centred else wide
    return (wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))).astype(np.float32).astype(np.float64)


def naive_candidates(x, y, kind: str) -> list[tuple[float, int, int]]:
    """Pairs that either side proposes by margin, the best first, each sentence in one of them at most."""
    cosines = x @ y.T

    def near(row) -> list[int]:
        return sorted(range(len(row)), key=lambda j: -row[j])[:K]

    own = [np.mean([row[j] for j in near(row)]) for row in cosines]
    other = [np.mean([column[i] for i in near(column)]) for column in cosines.T]

    def margin(i: int, j: int) -> float:
        mean = (own[i] + other[j]) / 2
        return cosines[i, j] / mean if kind == "ratio" else cosines[i, j] - mean

    proposed = [max((margin(i, j), i, j) for j in near(row)) for i, row in enumerate(cosines)]
    proposed += [max((margin(i, j), i, j) for i in near(column)) for j, column in enumerate(cosines.T)]
    kept: list[tuple[float, int, int]] = []
    for score, i, j in sorted(proposed, reverse=True):
        if all(i != left and j != right for _, left, right in kept):
            kept.append((score, i, j))
    return kept


def naive_score(candidates, gold, threshold: float) -> tuple[float, float, float]:
    """F1, precision and recall of what is not below the threshold."""
    extracted = {(i, j) for score, i, j in candidates if score >= threshold}
    right = len(extracted & set(gold))
    precision, recall = (right / len(extracted) if extracted else 0.0), right / len(gold)
    return 2 * right / (len(extracted) + len(gold)), precision, recall


def naive_threshold(candidates, gold) -> float:
    """Halfway below the candidate after which F1 is best."""
    scores = [score for score, _, _ in candidates]
    cuts = [(a + b) / 2 for a, b in pairwise(scores)] + scores[-1:]
    return max(cuts, key=lambda cut: naive_score(candidates, gold, cut)[0])


def naive_row(encoder, tokenizer, splits, pooling: str, layer: int, kind: str) -> dict[str, float]:
    found = []
    for foreign, english, _ in splits.values():
        sides = [
            sentence_vectors(encoder, tokenizer, side, poolings=(pooling,))[pooling][layer]
            for side in (foreign, english)
        ]
        found.append(naive_candidates(*(unit_rows(side, kind == "distance") for side in sides), kind))
    gold = [split[2] for split in splits.values()]
    threshold = naive_threshold(found[0], gold[0])
    f1, precision, recall = naive_score(found[1], gold[1], threshold)
    oracle = naive_score(found[1], gold[1], naive_threshold(found[1], gold[1]))[0]
    return {
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "threshold": threshold,
        "oracle_f1": oracle,
        "gold": len(gold[1]),
    }


def mined(encoder, tokenizer, folder: Path, *, layers=(1, 2), poolings=("mean", "max"), progress=None):
    settings = Measures(poolings=poolings, neighbours=K)
    return mine_encoder(encoder, tokenizer, folder, ["de"], settings, layers, CPU, progress)


def test_f1_is_that_of_a_search_by_hand(tokenizer, encoder, bucc):
    folder, splits = bucc
    done: list[str] = []
    rows, seconds = mined(encoder, tokenizer, folder, progress=done.append)
    assert done == ["de"]
    assert set(seconds) == {"encoder", "measures"}
    assert min(seconds.values()) > 0
    keys = ["layer", "pooling", "centred", "margin"]
    assert rows[keys].to_numpy().tolist() == [
        [layer, pooling, centred, margin]
        for pooling in ("mean", "max")
        for layer in (1, 2)
        for centred, margin in ((False, "ratio"), (True, "distance"))
    ]
    assert set(rows["language"]) == {"de"}
    for row in rows.to_dict("records"):
        expected = naive_row(encoder, tokenizer, splits, row["pooling"], row["layer"], row["margin"])
        for name, value in expected.items():
            # Thresholds are margins of float32 vectors, whose last bits depend on the batches.
            assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-6), (name, row)
        assert row["note"] == ""
    assert rows["f1"].nunique() > 1
    assert 0.2 < rows["f1"].min() < rows["f1"].max() < 1
    assert (rows["oracle_f1"] > rows["f1"] - 1e-12).all()


def test_equal_sentences_are_one_and_gold_pairs_follow(tokenizer, encoder, bucc, tmp_path):
    """Copies at the end of either side, with gold pairs of their own, change nothing."""
    folder, splits = bucc
    plain, _ = mined(encoder, tokenizer, folder)
    copied = tmp_path / "copied"
    copied.mkdir()
    for split, (foreign, english, gold) in splits.items():
        n = len(foreign)
        more = [(n, 1), (3, n), (n, n + 1)]  # equal to the pairs (1, 1), (3, 3) and (1, 1)
        write_split(copied, split, [*foreign, foreign[1]], [*english, english[3], english[1]], [*gold, *more])
    rows, _ = mined(encoder, tokenizer, copied)
    for name in plain.columns:
        if plain[name].dtype == float:
            assert rows[name].to_numpy() == pytest.approx(plain[name].to_numpy(), rel=1e-5)
        else:
            assert rows[name].tolist() == plain[name].tolist()


class Lookup(nn.Module):
    """An encoder without context, in which ``the`` and ``a`` point away from each other."""

    def __init__(self, tokenizer):
        super().__init__()
        table = np.random.default_rng(5).standard_normal((len(tokenizer), 4)) * 0.1
        for word, sign in (("the", 9.0), ("a", -9.0)):
            table[tokenizer(word, add_special_tokens=False)["input_ids"], 0] = sign
        self.table = nn.Parameter(torch.from_numpy(table.astype(np.float32)), requires_grad=False)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        return SimpleNamespace(hidden_states=(self.table[input_ids],))


def test_a_refused_ratio_says_why_and_the_distance_goes_on(tokenizer, tmp_path):
    words = [" ".join(three) for three in zip(WORDS[3:], WORDS[4:], WORDS[5:], strict=False)]
    for split in ("sample", "training"):
        foreign, english = ([f"{first} {text}" for text in words[:12]] for first in ("the", "a"))
        write_split(tmp_path, split, foreign, english, [(i, i) for i in range(4)])
    rows, _ = mined(Lookup(tokenizer), tokenizer, tmp_path, layers=(0,), poolings=("mean",))
    ratio, distance = rows.to_dict("records")
    assert (ratio["margin"], ratio["centred"]) == ("ratio", False)
    assert ratio["note"] == "The ratio margin needs positive neighbourhood means."
    assert all(math.isnan(ratio[name]) for name in ("f1", "precision", "recall", "threshold", "oracle_f1"))
    assert ratio["gold"] == distance["gold"] == 4
    assert distance["note"] == ""
    assert distance["f1"] > 0
