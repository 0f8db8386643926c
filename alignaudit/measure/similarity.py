"""Similarities of two sides, made tile by tile on demand: fast ones, and exact ones where it matters."""

from __future__ import annotations

import math
from typing import Protocol

import array_api_compat

from alignaudit.measure.arrays import Array, namespace, row_blocks

__all__ = ["Cosines", "Similarity"]

_MANY = 8192  # rows from which the matrix library is fastest with tall tiles


class Similarity(Protocol):
    """Similarities of n rows with m >= n columns, made on demand; column i is row i's translation.

    Attributes
    ----------
    shape
        (n, m).
    tolerance
        Bound of the difference between a cell of :meth:`tile` and of :meth:`exact`; may be 0.
    tile_shape
        Rows and columns of a tile.
    """

    shape: tuple[int, int]
    tolerance: float
    tile_shape: tuple[int, int]

    def tile(self, rows: Array | slice, columns: Array | slice, *, exact: bool = False) -> Array:
        """Return a new float32 array [rows, columns], which the caller may overwrite."""
        ...

    def exact(self, rows: Array, columns: Array) -> Array:
        """Return the exact similarity of each row with the column beside it, float32.

        Both are indices of one shape, or of two whose first axes are equal and whose others broadcast.
        """
        ...

    def translations(self) -> Array:
        """Return the exact similarity of each row with its translation, float32, shape [n]."""
        ...


class Cosines:
    """Cosines of unit rows: products of float32; exact ones are summed in float64 and rounded once.

    Parameters
    ----------
    left, right
        Shapes [n, d] and [m, d], float32, of one library. With rows that are not of unit length
        these are inner products.
    length
        Largest product of the lengths of two rows, which scales the tolerance.
    """

    def __init__(self, left: Array, right: Array, length: float = 1.0) -> None:
        self.left, self.right = left, right
        self._translations: Array | None = None
        self.shape = (int(left.shape[0]), int(right.shape[0]))
        # A sum of d products errs by about sqrt(d) 2^-25, roundings being independent; this is 8 times that.
        self.tolerance = length * math.sqrt(left.shape[1]) * 2.0**-22
        self.on_host = str(array_api_compat.device(left)) == "cpu"
        few = self.shape[0] < _MANY
        self.tile_shape = ((2048, 1024) if few else (4096, 768)) if self.on_host else (8192, 8192)

    def tile(self, rows: Array | slice, columns: Array | slice, *, exact: bool = False) -> Array:
        """Return the cosines [rows, columns], float32."""
        xp = namespace(self.left)
        left, right = self.left[rows, :], self.right[columns, :]
        if not exact:
            return xp.matmul(left, right.T)
        return xp.astype(xp.matmul(xp.astype(left, xp.float64), xp.astype(right, xp.float64).T), xp.float32)

    def exact(self, rows: Array, columns: Array) -> Array:
        """Return the cosine of each row with the column beside it, summed in float64; shapes broadcast."""
        xp = namespace(self.left)
        shape = xp.broadcast_arrays(rows, columns)[0].shape
        result = xp.empty(shape, dtype=xp.float32, device=array_api_compat.device(self.left))
        width = math.prod(shape[1:]) * int(self.left.shape[1])
        for part in row_blocks(shape[0], width, on_host=self.on_host):
            left = xp.astype(self.left[rows[part, ...]], xp.float64)
            right = xp.astype(self.right[columns[part, ...]], xp.float64)
            result[part, ...] = xp.astype(xp.vecdot(left, right), xp.float32)
        return result

    def translations(self) -> Array:
        """Return the cosine of each row with its translation, summed in float64; shape [n]."""
        xp = namespace(self.left)
        if self._translations is None:
            index = xp.arange(self.shape[0], device=array_api_compat.device(self.left))
            self._translations = self.exact(index, index)
        return self._translations
