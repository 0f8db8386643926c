"""Whether two encodings are the same, for tests."""

from __future__ import annotations

import numpy as np


def same(one, other) -> bool:
    """Whether two encodings are equal, bit for bit."""
    ragged = ("sequences", "labels", "positions", "characters")
    pairs = [(getattr(one, name), getattr(other, name)) for name in ragged]
    return (
        (one.format, one.group, one.dropped) == (other.format, other.group, other.dropped)
        and np.array_equal(one.owners, other.owners)
        and all(np.array_equal(a.values, b.values) and np.array_equal(a.ends, b.ends) for a, b in pairs)
        and all(a.values.dtype == b.values.dtype == np.int32 for a, b in pairs)
    )
