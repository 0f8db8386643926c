"""Named random streams: one integer seed spawns every source of randomness of a run.

A stream is identified by a seed and a path of names (``"data_order", "nli"``). Two streams with
different names are independent, and the same name always gives the same numbers, in any process,
whatever else was drawn before. No global generator is ever read or set.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["STREAMS", "stream", "stream_seed"]

STREAMS: tuple[str, ...] = (
    "head_init",
    "data_order",
    "mixing_order",
    "dropout",
)
"""The streams of a training run that a study may override one by one."""


def _sequence(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    path = "\x1f".join(str(name) for name in names).encode()
    words = np.frombuffer(hashlib.sha256(path).digest(), dtype="<u4")
    return np.random.SeedSequence(entropy=seed, spawn_key=tuple(int(word) for word in words))


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named stream.

    Parameters
    ----------
    seed
        Non-negative integer of the run (or world, or study).
    *names
        Path of the stream, for example ``"data_order", "nli"``.

    Returns
    -------
    numpy.random.Generator
        A PCG64 generator that depends on ``seed`` and ``names`` only.

    References
    ----------
    O'Neill (2014), PCG; the spawning follows ``numpy.random.SeedSequence`` with the SHA-256 of
    the path as spawn key.

    Examples
    --------
    >>> int(stream(1, "data_order").integers(1000)) == int(stream(1, "data_order").integers(1000))
    True
    >>> float(stream(1, "a").random()) == float(stream(1, "b").random())
    False
    """
    return np.random.Generator(np.random.PCG64(_sequence(seed, names)))


def stream_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer for libraries that want a seed instead of a generator.

    Parameters
    ----------
    seed
        Non-negative integer of the run.
    *names
        Path of the stream.

    Returns
    -------
    int
        In ``[0, 2**63)``; a function of ``seed`` and ``names`` only.
    """
    high, low = _sequence(seed, names).generate_state(2, dtype=np.uint32)
    return ((int(high) << 32) | int(low)) & (2**63 - 1)
