"""Meanings: keys, the split of all meanings, and that no split leaks into another."""

from __future__ import annotations

from itertools import combinations, islice

import numpy as np
import pytest

from alignaudit.world.meaning import COLUMNS, SPLIT_SHARES, SPLITS, clauses_of, in_split, keys, rows_of
from alignaudit.world.world import World

SIZES = {
    "tense": 3,
    "negated": 2,
    "verb": 29,
    "noun": 59,
    "adjective": 13,
    "number": 10,
    "definite": 2,
    "time": 5,
}


@pytest.fixture(scope="module")
def rows():
    clauses = [clause for split in SPLITS for clause in islice(World(3).sampler.clauses(split, "x"), 1500)]
    return rows_of(clauses)


def test_clauses_and_rows_are_inverse(rows):
    assert np.array_equal(rows_of(clauses_of(rows)), rows)


def test_key_is_the_row_read_in_mixed_radix(rows):
    for row, key in zip(rows[:300].tolist(), keys(rows[:300]).tolist(), strict=True):
        expected, weight = 0, 1
        for name, value in zip(COLUMNS, row, strict=True):
            part = name.split("_")[-1]
            digit = value + (part in {"noun", "adjective", "time"})
            assert 0 <= digit < SIZES[part]
            expected += digit * weight
            weight *= SIZES[part]
        assert key == expected


def test_hash_is_splitmix():
    # The first output of SplitMix64 seeded with 0 is 0xE220A8397B1DCDAF, a share of 0.883.
    zero = np.array([[-1 if name.endswith(("noun", "adjective", "time")) else 0 for name in COLUMNS]])
    assert keys(zero).tolist() == [0]
    assert sum(SPLIT_SHARES[:3]) < 0xE220A8397B1DCDAF / 2**64
    assert [bool(in_split(zero, split)[0]) for split in SPLITS] == [False, False, False, True]


def test_every_meaning_has_one_split(rows):
    assert np.array_equal(sum(in_split(rows, split).astype(int) for split in SPLITS), np.ones(len(rows), int))


def test_splits_have_their_shares():
    numbers = np.arange(40_000)
    rows = np.zeros((40_000, 16), dtype=np.int64)
    for column, size in ((2, 29), (3, 58), (13, 10), (15, 4), (14, 2)):
        rows[:, column] = numbers % size
        numbers = numbers // size
    for split, share in zip(SPLITS, SPLIT_SHARES, strict=True):
        assert abs(in_split(rows, split).mean() - share) < 5 * np.sqrt(share * (1 - share) / len(rows))


def sentences(text: str) -> set[str]:
    return {part.strip() for part in text.split(" .") if part.strip()}


def english_by_split(world: World) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {split: set() for split in SPLITS}
    for line in world.corpus("en", 3000):
        found["corpus"] |= sentences(line)
    for line in world.parallel("rv", 400).english:
        found["test"] |= sentences(line)
    for name in ("nli", "qa", "role", "pos"):
        data = world.task(name, 600, 200, 200)
        for split, examples in (("train", data.train), ("dev", data.dev), ("test", data.test["en"])):
            for example in examples:
                if name == "nli":
                    found[split] |= sentences(example.text) | sentences(example.text_pair)
                else:
                    text = example.context if name == "qa" else " ".join(example.words)
                    found[split] |= sentences(text)
    return found


def test_no_english_sentence_is_in_two_splits():
    found = english_by_split(World(1))
    assert min(map(len, found.values())) > 500
    for one, other in combinations(SPLITS, 2):
        assert not found[one] & found[other], (one, other)


@pytest.mark.parametrize("code", ["dv", "wv", "gv"])
def test_no_foreign_test_sentence_is_in_the_corpus(code):
    world = World(1)
    corpus = set().union(*(sentences(line) for line in world.corpus(code, 3000)))
    tagged = {" ".join(example.words[:-1]) for example in world.task("pos", 1, 1, 300).test[code]}
    parallel = set().union(*map(sentences, world.parallel(code, 400).foreign))
    assert not corpus & (tagged | parallel)


@pytest.mark.parametrize("code", ["en", "fv", "tv", "av"])
def test_different_meanings_are_said_differently(code):
    world = World(2)
    clauses = set(islice(world.sampler.clauses("corpus", "x"), 8000))
    assert len({world.grammars[code].sentence(clause) for clause in clauses}) == len(clauses)
