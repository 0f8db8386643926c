"""From the sums of two sides to their CKA, its jackknife, and the reason where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from alignaudit.measure.arrays import FloatArray
from alignaudit.measure.cka_jackknife import (
    Groups,
    HsicSums,
    jackknife_error,
    sums_of_all,
    sums_without_groups,
    sums_without_items,
)
from alignaudit.measure.cka_sides import MINIMUM_ITEMS
from alignaudit.measure.gram import AnySide, Side

__all__ = ["DebiasedCka", "biased", "cancels", "compared", "floor", "why_flat"]

_CANCELLED = 0.1


@dataclass(frozen=True, slots=True)
class DebiasedCka:
    """A debiased CKA and what it rests on.

    Attributes
    ----------
    value
        Debiased CKA, without unit: 1 for equal geometry, about 0 for unrelated sets; may be
        negative. NaN where a side does not vary.
    standard_error
        Jackknife standard error, in the unit of ``value``; NaN where it was not asked for or where
        some item, or group, cannot be left out.
    n
        Number of items.
    most_influential_item
        Place in ``jackknife`` (a row, or with groups a place in ``groups``) of what moves the value
        farthest from the mean of ``jackknife`` when it is left out; the place of what cannot be left
        out where there is such; -1 where there is no jackknife.
    jackknife
        Shape [n]: the value without item ``i``; or shape [G]: without group ``g``. Shape [0] where
        it was not asked for.
    reason
        Why ``value`` or a requested ``standard_error`` is NaN; empty otherwise.
    groups
        Shape [G]: the sorted labels of the groups. Shape [0] where items were left out singly.
    biased
        The biased CKA of the same sums, in [0, 1], for comparison with publications only; NaN where
        a side does not vary at all, which is a reason that ``value`` has too.
    """

    value: float
    standard_error: float
    n: int
    most_influential_item: int
    jackknife: FloatArray
    reason: str = ""
    groups: npt.NDArray[np.generic] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    biased: float = math.nan


def biased(x: Side, y: Side) -> float:
    """Return the biased CKA.

    Parameters
    ----------
    x, y
        Two sides of n items, of one kind.

    Returns
    -------
    float
        In [0, 1]; NaN where a side does not vary.
    """
    return _biased(x, y, sums_of_all(x, y), sums_of_all(x, x), sums_of_all(y, y))


def compared(x: Side, y: Side, *, standard_error: bool, groups: Groups | None) -> tuple[DebiasedCka, bool]:
    """Return the debiased CKA, and whether digits cancelled in it that float32 cannot spare.

    Parameters
    ----------
    x, y
        Two sides of n items, of one kind.
    standard_error
        Whether to compute the jackknife as well.
    groups
        What the jackknife leaves out, if not single items.

    Returns
    -------
    tuple
        The result, and whether to repeat it in float64.
    """
    pairs = ((x, y), (x, x), (y, y))
    rows = tuple(a.rows(b) for a, b in pairs) if standard_error else None
    sums = [sums_of_all(a, b, rows[i] if rows else None) for i, (a, b) in enumerate(pairs)]
    xy, xx, yy = sums
    cancelled = cancels(x, xx) or cancels(y, yy)
    reason = " ".join(filter(None, (why_flat("x", x, xx), why_flat("y", y, yy))))
    value = math.nan if reason else float(xy.hsic) / (math.sqrt(xx.hsic) * math.sqrt(yy.hsic))
    found = DebiasedCka(
        value, math.nan, len(x.diagonal), -1, np.empty(0), reason, biased=_biased(x, y, *sums)
    )
    if reason or not rows:
        return found, cancelled
    if groups is not None:
        found = replace(found, groups=groups.labels)
    place, reason = _cannot_leave_out(found.n, groups)
    if reason:
        missing = np.full(found.n if groups is None else len(groups.labels), np.nan)
        return replace(found, most_influential_item=place, jackknife=missing, reason=reason), cancelled
    without = _sums_without(x, y, rows, groups)
    cancelled = cancelled or cancels(x, xx, without[1]) or cancels(y, yy, without[2])
    return _with_jackknife(found, without, floor(x, xx), floor(y, yy)), cancelled


def floor(side: AnySide, own: HsicSums) -> float:
    """Return what the HSIC of a side with itself must exceed to be told from zero.

    Parameters
    ----------
    side
        Features or a Gram matrix.
    own
        Its sums with itself.

    Returns
    -------
    float
        In the unit of ``own.hsic``: a share of all squared products, for their precision.
    """
    share = 1e-6 if side.is_single else 1e-12
    return share * float(own.products + own.between)


def why_flat(name: str, side: AnySide, own: HsicSums) -> str:
    """Return why a side has no CKA; empty where it has one.

    Parameters
    ----------
    name
        What to call the side.
    side
        Features or a Gram matrix.
    own
        Its sums with itself.

    Returns
    -------
    str
        One sentence.
    """
    if side.reason:
        return f"{name}: {side.reason}"
    if own.hsic > floor(side, own):
        return ""
    return f"The unbiased HSIC of {name} with itself is not positive, or too small to be told from zero."


def cancels(side: AnySide, own: HsicSums, without: HsicSums | None = None) -> bool:
    """Return whether a side's HSIC with itself is small beside the sums that it is the difference of.

    Parameters
    ----------
    side
        Features or a Gram matrix; with features the diagonal belongs to the sums.
    own
        Its sums with itself.
    without
        Those without each item or group.

    Returns
    -------
    bool
        True where more than one digit is lost.
    """
    size = float(own.products + side.subtracts_diagonal * own.between)
    least = own.hsic if without is None else without.hsic.min()
    return bool(least < _CANCELLED * size)


def _cannot_leave_out(n: int, groups: Groups | None) -> tuple[int, str]:
    if groups is None:
        return -1, "The jackknife needs five items." if n == MINIMUM_ITEMS else ""
    if len(groups.labels) < 2:
        return 0, "The jackknife needs two groups."
    left, largest = n - groups.sizes.max(), int(groups.sizes.argmax())
    if left < MINIMUM_ITEMS:
        return largest, f"Without group {groups.labels[largest]} fewer than four items are left."
    return -1, ""


def _sums_without(
    x: Side, y: Side, rows: tuple[FloatArray, ...], groups: Groups | None
) -> tuple[HsicSums, HsicSums, HsicSums]:
    if groups is not None:
        return sums_without_groups(x, y, rows, groups)
    xy, xx, yy = rows
    return sums_without_items(x, y, xy), sums_without_items(x, x, xx), sums_without_items(y, y, yy)


def _with_jackknife(
    found: DebiasedCka, without: tuple[HsicSums, HsicSums, HsicSums], floor_x: float, floor_y: float
) -> DebiasedCka:
    xy, xx, yy = (sums.hsic for sums in without)
    usable = (xx > floor_x) & (yy > floor_y)
    scale_x, scale_y = (np.sqrt(np.where(usable, own, np.nan)) for own in (xx, yy))
    jackknife = xy / (scale_x * scale_y)
    if usable.all():
        place = int(np.argmax(np.abs(jackknife - jackknife.mean())))
        error = jackknife_error(jackknife)
        return replace(found, standard_error=error, most_influential_item=place, jackknife=jackknife)
    place = int(np.argmin(usable))
    what = f"group {found.groups[place]}" if found.groups.size else f"item {place}"
    reason = f"A side does not vary, or cannot be told from one that does not, without {what}."
    return replace(found, most_influential_item=place, jackknife=jackknife, reason=reason)


def _biased(x: Side, y: Side, *sums: HsicSums) -> float:
    pairs = ((x, y), (x, x), (y, y))
    xy, xx, yy = (
        float(each.products + a.diagonal @ b.diagonal) for each, (a, b) in zip(sums, pairs, strict=True)
    )
    return xy / (math.sqrt(xx) * math.sqrt(yy)) if min(xx, yy) > 0 else math.nan
