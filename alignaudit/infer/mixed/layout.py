"""Where the random effects of a generalised model stand, and how its Gram matrix follows from weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.products import Block

__all__ = ["Entries", "Layout", "layout"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Entries:
    """Some entries of G = Z'WZ, each linear in the weights.

    Attributes
    ----------
    rows, columns
        Shape [entries], within the part of G that they belong to, in the order of rows.
    of_weights
        Shape [entries, n], sparse: gives the entries from the weights.
    """

    rows: Places
    columns: Places
    of_weights: Any


@dataclass(frozen=True, slots=True)
class Layout:
    """What of the random effects does not depend on the weights.

    Attributes
    ----------
    first
        The widest term, eliminated group by group.
    rest
        The other terms, r effects in all.
    random
        Shape [n, q], sparse: columns of all effects, the eliminated term's first, each of root mean
        square 1.
    scales
        Root mean square of each column in the data, by block.
    index, values
        Shapes [n] and [n, k]: group and columns of the eliminated term.
    places, loads
        Shape [n, s]: the effects of the other terms that each row has, and their columns.
    saturated
        Whether the eliminated term has one effect for every row.
    entries
        Of Z1'WZ1, Z1'WZ2 and Z2'WZ2.
    """

    first: Block
    rest: tuple[Block, ...]
    random: Any
    scales: tuple[Floats, ...]
    index: Places
    values: Floats
    places: Places
    loads: Floats
    saturated: bool
    entries: tuple[Entries, Entries, Entries]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Return all terms, the eliminated one first."""
        return (self.first, *self.rest)

    @property
    def r(self) -> int:
        """Return the number of effects that are not eliminated."""
        return sum(block.size for block in self.rest)


def layout(design: MixedDesign) -> Layout:
    """Return the layout of a design's random effects, the widest term first.

    Parameters
    ----------
    design
        The model.

    Returns
    -------
    Layout
        Terms but the first in the order of the design.
    """
    widest = int(np.argmax([term.size for term in design.terms]))
    order = [widest, *(t for t in range(len(design.terms)) if t != widest)]
    scales = tuple(np.sqrt(np.mean(design.terms[t].values ** 2, axis=0)) for t in order)
    blocks, places, loads, start = [], [], [], 0
    for number, t in enumerate(order):
        term = design.terms[t]
        k, begin = len(term.columns), 0 if number == 0 else start
        blocks.append(Block(t, len(term.levels), k, slice(begin, begin + term.size)))
        start = 0 if number == 0 else begin + term.size
        places.append(begin + term.index[:, None] * k + np.arange(k))
        loads.append(term.values / scales[number])
    first, values = blocks[0], loads[0]
    all_places = np.hstack([places[0], *(place + first.size for place in places[1:])])
    all_loads = np.hstack(loads)
    n, width = all_places.shape
    size = first.size + start
    random = sparse.csr_matrix(
        (all_loads.ravel(), all_places.ravel(), np.arange(0, n * width + 1, width)), shape=(n, size)
    )
    return Layout(
        first=first, rest=tuple(blocks[1:]), random=random, scales=scales, index=design.terms[widest].index,
        values=values, places=all_places[:, first.width :] - first.size, loads=all_loads[:, first.width :],
        saturated=first.width == 1 and first.groups == n,
        entries=_all_entries(all_places, all_loads, first, size),
    )  # fmt: skip


def _all_entries(places: Places, loads: Floats, first: Block, size: int) -> tuple[Entries, Entries, Entries]:
    """Return the maps from weights to the lower triangles of Z1'WZ1 and Z2'WZ2, and to Z1'WZ2."""
    k, width = first.width, places.shape[1]
    own = [(a, b) for a in range(k) for b in range(a + 1)]
    crossed = [(a, b) for a in range(k) for b in range(k, width)]
    others = [(a, b) for a in range(k, width) for b in range(k, a + 1)]
    shift = np.array([0] * k + [first.size] * (width - k), dtype=np.intp)
    own_entries, crossed_entries, other_entries = (
        _entries(places - shift, loads, pairs, size) for pairs in (own, crossed, others)
    )
    return own_entries, crossed_entries, other_entries


def _entries(places: Places, loads: Floats, pairs: Sequence[tuple[int, int]], size: int) -> Entries:
    n = len(places)
    if not pairs:
        none = np.zeros(0, dtype=np.intp)
        return Entries(none, none, sparse.csr_matrix((0, n)))
    keys = np.concatenate([places[:, a] * size + places[:, b] for a, b in pairs])
    data = np.concatenate([loads[:, a] * loads[:, b] for a, b in pairs])
    present, inverse = np.unique(keys, return_inverse=True)
    rows = np.tile(np.arange(n), len(pairs))
    of_weights = sparse.csr_matrix((data, (inverse, rows)), shape=(len(present), n))
    return Entries(present // size, present % size, of_weights)
