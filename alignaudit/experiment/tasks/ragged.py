"""Lists of arrays of unequal length as two flat arrays, and the encoded examples made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.core.example import Format

__all__ = ["Encoded", "Ragged"]

Integers = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Arrays of unequal length, one after the other.

    Attributes
    ----------
    values
        Shape ``[total]``, or ``[total, columns]``: the arrays in a row.
    ends
        Shape ``[n]``, int64: where in ``values`` each array ends; it begins where the one before ends.

    Examples
    --------
    >>> words = Ragged.of([np.array([5, 6]), np.array([], dtype=int), np.array([7])])
    >>> words[0].tolist(), words[1].tolist(), len(words), words.lengths.tolist()
    ([5, 6], [], 3, [2, 0, 1])
    """

    values: Integers
    ends: NDArray[np.int64]

    @staticmethod
    def of(arrays: Sequence[Integers], columns: int | None = None) -> Ragged:
        """Return a record of some arrays, stored as int32.

        Parameters
        ----------
        arrays
            Each of shape ``[length]`` or ``[length, columns]``.
        columns
            Number of columns; ``None`` for arrays of one dimension.
        """
        shape = (0,) if columns is None else (0, columns)
        parts = [np.empty(shape, dtype=np.int32), *(np.asarray(part).astype(np.int32) for part in arrays)]
        lengths = np.array([len(part) for part in arrays], dtype=np.int64)
        return Ragged(np.concatenate(parts), np.cumsum(lengths))

    @staticmethod
    def empty(count: int) -> Ragged:
        """Return ``count`` arrays of length 0."""
        return Ragged(np.empty(0, dtype=np.int32), np.zeros(count, dtype=np.int64))

    @staticmethod
    def joined(parts: Sequence[Ragged]) -> Ragged:
        """Return the arrays of all parts, in order; there must be a part."""
        shifts = np.cumsum([0, *(len(part.values) for part in parts[:-1])])
        ends = [part.ends + shift for part, shift in zip(parts, shifts, strict=True)]
        return Ragged(np.concatenate([part.values for part in parts]), np.concatenate(ends))

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.ends)

    def __getitem__(self, index: int) -> Integers:
        """Return one array, as a view."""
        place = index + len(self.ends) if index < 0 else index
        if not 0 <= place < len(self.ends):
            raise IndexError(index)
        return self.values[(self.ends[place - 1] if place else 0) : self.ends[place]]

    def __iter__(self) -> Iterator[Integers]:
        """Iterate over the arrays, as views."""
        start = 0
        for end in self.ends.tolist():
            yield self.values[start:end]
            start = end

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the length of every array, shape ``[n]``."""
        return np.diff(self.ends, prepend=0)

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the lengths of some arrays, in the shape of ``rows``."""
        return self.ends[rows] - self._starts(rows)

    def gather(self, rows: NDArray[np.int64]) -> Integers:
        """Return the values of some arrays one after the other, as a copy."""
        starts, lengths = self._starts(rows), self.lengths_of(rows)
        before = np.cumsum(lengths) - lengths
        return self.values[np.arange(lengths.sum()) + np.repeat(starts - before, lengths)]

    def _starts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(rows > 0, self.ends[rows - 1], 0)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples as token numbers and targets, one row per text window.

    An example gives one row, unless its context (span) or its sentence (tagging) is too long for
    one; then it gives several successive rows.

    Attributes
    ----------
    format
        Task format.
    sequences
        Token ids, one array per text; ``group`` successive texts belong to one row.
    group
        Texts per row: the number of options for multiple choice, else 1.
    labels
        Per row: ``[class]``, ``[right option]``, ``[start, end]`` token of the answer (``[0, 0]``,
        the first token, where the window holds none), the tags of its words, or nothing (MLM draws
        its own).
    positions
        Per row: for tagging the token that carries each word (when not training, -1 for a word
        without one); for span the first and last token of the context, and the first and last
        token at which an answer may start here (first > last: none); else empty.
    characters
        For span: per row the character offsets of each token in its text, shape ``[tokens, 2]``;
        else empty.
    owners
        Shape ``[rows]``, int64: index of the example that each row belongs to, never falling.
    dropped
        Training examples whose answer no window holds whole (span), or words without a token (tagging).
    """

    format: Format
    sequences: Ragged
    group: int
    labels: Ragged
    positions: Ragged
    characters: Ragged
    owners: NDArray[np.int64]
    dropped: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of each row's longest text, shape ``[rows]``."""
        return self.lengths_of(np.arange(len(self)))

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tokens of the longest text of some rows, shape ``[len(rows)]``."""
        return self.sequences.lengths_of(self.texts_of(rows)).max(axis=1, initial=0)

    def texts_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which texts belong to some rows, shape ``[len(rows), group]``."""
        return rows[:, None] * self.group + np.arange(self.group)

    @staticmethod
    def joined(parts: Sequence[Encoded]) -> Encoded:
        """Return the rows of all parts, in order; the parts must agree in format and group."""
        first = parts[0]
        return Encoded(
            first.format,
            Ragged.joined([part.sequences for part in parts]),
            first.group,
            Ragged.joined([part.labels for part in parts]),
            Ragged.joined([part.positions for part in parts]),
            Ragged.joined([part.characters for part in parts]),
            np.concatenate([part.owners for part in parts]),
            sum(part.dropped for part in parts),
        )
