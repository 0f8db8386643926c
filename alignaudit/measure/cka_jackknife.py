"""What unbiased HSIC needs of two sides: over all items, without each item, without each group.

Equation 5 of Song et al. (2012) consists of three sums over Gram matrices ``K`` and ``L`` without
their diagonals: that of ``K_ij L_ij``, those of all ``K_ij`` and of all ``L_ij``, and that of the
products of their row sums. Each follows for what is left without an item from the row products
``sum_j K_ij L_ij`` and from ``K r`` and ``L q``, where ``q`` and ``r`` are the row sums; and for what
is left without a group from the sums of ``K`` and ``L`` over its columns and from the block of its
own. No Gram matrix is formed again, and the jackknife is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.arrays import Array, FloatArray, IntArray, namespace, row_blocks, to_numpy
from alignaudit.measure.gram import Side

__all__ = [
    "Groups",
    "HsicSums",
    "grouped",
    "jackknife_error",
    "sums_of_all",
    "sums_without_groups",
    "sums_without_items",
]

Sum: TypeAlias = Any  # a number, or an array with one for each set of items


@dataclass(frozen=True, slots=True)
class HsicSums:
    """The sums that unbiased HSIC consists of, for one set of items or for many at once.

    Attributes
    ----------
    items
        Numbers of items m, at least 4.
    products
        Sums over i != j of ``K_ij L_ij``.
    left, right
        Sums over i != j of ``K_ij`` and of ``L_ij``.
    between
        Sums over i of the product of the row sums of ``K`` and ``L`` without their diagonals.
    """

    items: Sum
    products: Sum
    left: Sum
    right: Sum
    between: Sum

    @property
    def hsic(self) -> FloatArray:
        """Return m (m - 3) times the unbiased HSIC (Song et al. 2012, equation 5)."""
        rest = self.items - 2
        means = self.left * self.right / ((rest + 1) * rest)
        return np.asarray(self.products + means - 2 * self.between / rest)

    def each(self) -> list[HsicSums]:
        """Return the sums of each set of items by themselves."""
        columns = np.broadcast_arrays(self.items, self.products, self.left, self.right, self.between)
        return [HsicSums(*(float(value) for value in row)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Groups:
    """Items by group.

    Attributes
    ----------
    labels
        Shape [G]: the distinct labels, sorted.
    codes
        Shape [n]: place of each item's label.
    members
        G arrays: the items of each group.
    """

    labels: npt.NDArray[np.generic]
    codes: IntArray
    members: list[IntArray]

    @property
    def sizes(self) -> FloatArray:
        """Return the number of items of each group, shape [G]."""
        return np.array([len(items) for items in self.members], dtype=np.float64)

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the sums of values of shape [n] over each group, shape [G]."""
        sums: FloatArray = np.bincount(self.codes, values, len(self.labels)).astype(np.float64)
        return sums


def grouped(labels: npt.ArrayLike, items: int) -> Groups:
    """Return items by group.

    Parameters
    ----------
    labels
        Shape [n]: integers or words; equal ones form a group.
    items
        What n must be.

    Returns
    -------
    Groups
        In the order of the sorted labels.

    Raises
    ------
    DataError
        Where there is not one label per item.
    """
    array = np.asarray(labels)
    if array.shape != (items,):
        raise DataError(f"Groups must have shape [{items}], one label per item, not {list(array.shape)}.")
    distinct, codes = np.unique(array, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return Groups(distinct, codes, members)


def sums_of_all(x: Side, y: Side, rows: FloatArray | None = None) -> HsicSums:
    """Return the sums over all items.

    Parameters
    ----------
    x, y
        Two sides of n items, of one kind.
    rows
        Shape [n]: ``x.rows(y)`` where it is at hand.

    Returns
    -------
    HsicSums
        Numbers.
    """
    products = x.total(y) if rows is None else float(rows.sum())
    left, right = float(x.row_sums.sum()), float(y.row_sums.sum())
    return HsicSums(len(x.diagonal), products, left, right, float(x.row_sums @ y.row_sums))


def sums_without_items(x: Side, y: Side, rows: FloatArray) -> HsicSums:
    """Return the sums over all items but one, for each.

    Parameters
    ----------
    x, y
        Two sides of n items, of one kind.
    rows
        Shape [n]: ``x.rows(y)``.

    Returns
    -------
    HsicSums
        Arrays of shape [n].
    """
    q, r = x.row_sums, y.row_sums
    crossed = x.times(r)
    crossed = crossed + (crossed if x is y else y.times(q))
    return HsicSums(
        len(q) - 1,
        rows.sum() - 2 * rows,
        q.sum() - 2 * q,
        r.sum() - 2 * r,
        q @ r - q * r - crossed + rows,
    )


def sums_without_groups(
    x: Side, y: Side, rows: tuple[FloatArray, ...], groups: Groups
) -> tuple[HsicSums, HsicSums, HsicSums]:
    """Return the sums over all items but those of one group, for each, of (x, y), (x, x) and (y, y).

    Parameters
    ----------
    x, y
        Two sides of n items, of one kind.
    rows
        Three arrays of shape [n]: ``x.rows(y)``, ``x.rows(x)`` and ``y.rows(y)``.
    groups
        G groups of the n items.

    Returns
    -------
    tuple of HsicSums
        Arrays of shape [G].
    """
    inside = np.array([_products_inside(x.block(items), y.block(items)) for items in groups.members])
    products = [each.sum() - 2 * groups.sums(each) + own for each, own in zip(rows, inside.T, strict=True)]
    count = len(groups.labels)
    left, right, between = np.zeros(count), np.zeros(count), np.zeros((3, count))
    sums_x, sums_y = x.group_sums(groups.members), y.group_sums(groups.members)
    for block in row_blocks(len(groups.codes), count):
        q, r = (
            _row_sums_outside(side.row_sums[block], sums(block), groups.codes[block])
            for side, sums in ((x, sums_x), (y, sums_y))
        )
        left += q.sum(axis=0)
        right += r.sum(axis=0)
        between += [(q * r).sum(axis=0), (q * q).sum(axis=0), (r * r).sum(axis=0)]
    m = len(groups.codes) - groups.sizes
    return (
        HsicSums(m, products[0], left, right, between[0]),
        HsicSums(m, products[1], left, left, between[1]),
        HsicSums(m, products[2], right, right, between[2]),
    )


def jackknife_error(values: FloatArray) -> float:
    """Return the jackknife standard error from the values without each of G units.

    The variance is ``(G - 1) / G`` times the sum of squared deviations from the mean. Where units
    are groups of unequal size it remains the variance by cluster, whatever items of a group have in
    common; pseudo-values weighted by size (Busing, Meijer and van der Leeden 1999) would take the
    items as independent.

    Parameters
    ----------
    values
        Shape [G], G >= 2: the estimate without each unit.

    Returns
    -------
    float
        In the unit of the values.

    References
    ----------
    Efron and Stein (1981), The jackknife estimate of variance; MacKinnon, Nielsen and Webb (2023),
    Fast and reliable jackknife and bootstrap methods for cluster-robust inference, for groups.

    Examples
    --------
    >>> jackknife_error(np.array([1.0, 2.0, 3.0]))
    1.1547005383792515
    """
    deviations = values - values.mean()
    return math.sqrt((len(values) - 1) / len(values) * float(deviations @ deviations))


def _products_inside(k: Array, l: Array) -> tuple[float, float, float]:  # noqa: E741
    """Return the sums of ``K_ij L_ij``, ``K_ij^2`` and ``L_ij^2`` over blocks without diagonals."""
    xp = namespace(k)
    xy, xx, yy = (float(xp.sum(xp.vecdot(a, b), dtype=xp.float64)) for a, b in ((k, l), (k, k), (l, l)))
    return xy, xx, yy


def _row_sums_outside(row_sums: FloatArray, over_groups: Array, codes: IntArray) -> FloatArray:
    """Return the row sums of what is left without each group, [b, G]; zero where the row is not left."""
    outside: FloatArray = row_sums[:, None] - to_numpy(over_groups)
    outside[np.arange(len(codes)), codes] = 0.0
    return outside
