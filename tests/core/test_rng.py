from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.core.rng import STREAMS, stream, stream_seed

SEEDS = st.integers(0, 2**63)
PATHS = st.lists(st.text("abcé語_", min_size=1, max_size=8), max_size=3)


@given(seed=SEEDS, path=PATHS, between=st.integers(0, 5))
def test_a_stream_does_not_depend_on_what_was_drawn_before(seed, path, between):
    first = stream(seed, *path).random(4)
    for other in range(between):
        stream(seed, "other", other).random(7)
    assert np.array_equal(stream(seed, *path).random(4), first)


def test_streams_of_one_seed_differ_by_name_and_by_depth():
    paths = [(name,) for name in STREAMS] + [("a", "b"), ("ab",), ("b", "a"), ("a",), ("a", 1), ("a", 11), ()]
    assert len({stream_seed(1, *path) for path in paths}) == len(paths)
    assert len({tuple(stream(1, *path).random(3)) for path in paths}) == len(paths)


def test_seeds_differ():
    assert len({stream_seed(seed, "data_order") for seed in range(200)}) == 200


def test_equal_in_any_process():
    program = (
        "from alignaudit.core.rng import stream, stream_seed;"
        "print(stream_seed(3, 'dropout', 7), stream(3, 'dropout', 7).random().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(stream_seed(3, "dropout", 7)), stream(3, "dropout", 7).random().hex()]


def test_the_construction_is_the_documented_one():
    # PCG64 on a SeedSequence whose spawn key is the SHA-256 of the path; "a" hashed by hand with sha256sum
    digest = bytes.fromhex("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
    key = tuple(int.from_bytes(digest[place : place + 4], "little") for place in range(0, 32, 4))
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=key)))
    assert np.array_equal(stream(5, "a").integers(1 << 62, size=8), expected.integers(1 << 62, size=8))


def test_the_global_generator_is_left_alone():
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    stream(1, "a").normal(size=100)
    stream_seed(1, "a")
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert np.array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]


@given(seed=SEEDS, path=PATHS)
def test_a_stream_seed_is_63_bits(seed, path):
    assert 0 <= stream_seed(seed, *path) < 2**63


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="non-negative"):
        stream(-1, "a")


def test_independent_streams_are_uncorrelated():
    x, y = stream(1, "data_order").normal(size=20_000), stream(1, "dropout").normal(size=20_000)
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(20_000)
