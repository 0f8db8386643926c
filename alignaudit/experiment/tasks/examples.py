"""Rows that stay where they are, and examples that are made of them when they are asked for.

A million rows are never a million objects at once: Parquet files and Hub data sets stay memory-mapped,
other files are kept as one stretch of JSON, and an example exists only while it is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.example import Example
from alignaudit.experiment.tasks.readers import Row

if TYPE_CHECKING:
    import datasets

__all__ = ["Examples", "PackedRows", "Rows", "TableRows"]

BLOCK = 1000  # rows that are taken from a table at a time


class Rows(Protocol):
    """Rows that are read when they are asked for."""

    names: tuple[str, ...]

    def __len__(self) -> int: ...

    def many(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows at some places."""
        ...

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        ...


class TableRows:
    """Rows of a memory-mapped table."""

    def __init__(self, table: datasets.Dataset) -> None:
        self.table = table
        self.names: tuple[str, ...] = tuple(table.column_names)

    def __len__(self) -> int:
        return len(self.table)

    def many(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows at some places."""
        wanted = list(indices)
        whole = range(wanted[0], wanted[0] + len(wanted)) if wanted else range(0)
        in_a_row = wanted == list(whole)  # a slice is read faster than single places
        columns = self.table[whole.start : whole.stop] if in_a_row else self.table[wanted]
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        return list(self.table.select_columns([name])[:][name]) if name in self.names else []


class PackedRows:
    """Rows of files other than Parquet, kept as one stretch of JSON: as small as the file itself."""

    def __init__(self, rows: Iterable[Row], kept: Collection[str]) -> None:
        self.names: tuple[str, ...] = ()
        packed, ends = bytearray(), [0]
        for row in rows:
            self.names = self.names or tuple(row)
            packed += json.dumps({key: row[key] for key in row if key in kept}, ensure_ascii=False).encode()
            ends.append(len(packed))
        self.packed, self.ends = bytes(packed), np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def many(self, indices: Sequence[int]) -> list[Row]:
        """Return the rows at some places."""
        return [json.loads(self.packed[self.ends[i] : self.ends[i + 1]]) for i in indices]

    def column(self, name: str) -> list[Any]:
        """Return one column."""
        return [self.many([place])[0].get(name) for place in range(len(self))]


Source: TypeAlias = tuple[Rows, Callable[[Row, int], Example]]


class Examples(Sequence[Example]):
    """Examples that are made of their rows when they are asked for.

    Parameters
    ----------
    sources
        Rows, each with the function that makes an example of a row and its number from 1.
    source, row
        For each example the index of its source and of its row there; both have length n.
    unlabelled
        Rows that were left out because they have no label.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        source: NDArray[np.int16],
        row: NDArray[np.int64],
        unlabelled: int = 0,
    ) -> None:
        self.sources, self.source, self.row, self.unlabelled = tuple(sources), source, row, unlabelled

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """Return the examples of several, one after the other."""
        sources: list[Source] = []
        indices = [np.empty(0, np.int16)]
        for part in parts:
            indices.append((part.source + len(sources)).astype(np.int16))
            sources += part.sources
        return cls(
            sources,
            np.concatenate(indices),
            np.concatenate([np.empty(0, np.int64), *(part.row for part in parts)]),
            sum(part.unlabelled for part in parts),
        )

    def taken(self, places: NDArray[np.int64]) -> Examples:
        """Return the examples at some places, in that order."""
        return Examples(self.sources, self.source[places], self.row[places], self.unlabelled)

    def rows(self) -> Iterator[tuple[Row, int, Callable[[Row, int], Example]]]:
        """Yield each example's row, its number from 1, and the function that makes the example of it."""
        for start in range(0, len(self), BLOCK):
            source, row = self.source[start : start + BLOCK], self.row[start : start + BLOCK]
            bounds = [0, *(np.flatnonzero(np.diff(source)) + 1).tolist(), len(source)]
            for first, last in pairwise(bounds):
                rows, make = self.sources[source[first]]
                numbers = row[first:last].tolist()
                for number, found in zip(numbers, rows.many(numbers), strict=True):
                    yield found, number + 1, make

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Example | Examples:
        if isinstance(index, slice):
            return Examples(self.sources, self.source[index], self.row[index], self.unlabelled)
        rows, make = self.sources[self.source[index]]
        number = int(self.row[index])
        return make(rows.many([number])[0], number + 1)

    def __iter__(self) -> Iterator[Example]:
        for row, number, make in self.rows():
            yield make(row, number)
