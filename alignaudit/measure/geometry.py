"""The shape of sentence vectors: how far two languages lie apart, how evenly one fills its space.

Variance, effective dimension and IsoScore are the same before and after centring. The mean cosine
and what a coordinate adds to it are not, so both variants are given. The language gap exists only
before each side is centred on its own mean: afterwards it is zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import array_api_compat
import numpy as np

from alignaudit.errors import DataError
from alignaudit.measure.arrays import (
    Array,
    FloatArray,
    centred,
    matrix,
    namespace,
    paired,
    row_blocks,
    to_numpy,
)

__all__ = ["Isotropy", "LanguageGap", "isotropy", "language_gap"]


@dataclass(frozen=True, slots=True)
class LanguageGap:
    """How far the mean vectors of two languages lie apart, against the spread within them.

    Attributes
    ----------
    value
        Squared distance of the means over the mean of the two total variances, without unit; 0
        where the means coincide. NaN where neither side varies.
    corrected
        ``value`` less what the sampling of n pairs adds to it; may be negative.
    standard_error
        Delete-one jackknife standard error of ``value``; NaN for two pairs.
    n
        Number of pairs.
    reason
        Why a number is NaN; empty otherwise.
    """

    value: float
    corrected: float
    standard_error: float
    n: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Isotropy:
    """How evenly the sentence vectors of one side fill their space.

    Attributes
    ----------
    n
        Number of sentences.
    mean_cosine
        Mean cosine over all pairs of different sentences; 0 for even directions.
    standard_error
        Delete-one jackknife standard error of ``mean_cosine``; NaN for two sentences.
    sentence_cosine
        Shape [n], in cosines: mean cosine of each sentence with the others.
    largest_contribution
        Largest share of one coordinate in ``mean_cosine``, in cosines.
    rogue_coordinate
        That coordinate.
    centred_mean_cosine, centred_standard_error
        As above after the mean vector is taken off; about -1 / (n - 1) for even directions.
    largest_variance_share
        Share of the total variance that lies in one coordinate, in [1/d, 1].
    largest_variance_coordinate
        That coordinate; -1 where nothing varies.
    effective_dimension
        Participation ratio of the covariance S, (tr S)^2 / tr S^2, from 1 to the smaller of d and
        n - 1. It grows with n: compare it between test sets of equal size only.
    corrected_effective_dimension
        The same ratio with unbiased estimates of both its terms, for test sets of any size.
    isoscore
        IsoScore, from 0 (a line) to 1 (a ball); the rescaled ``effective_dimension``. NaN for one
        coordinate.
    reason
        Why a number is NaN; empty otherwise.
    """

    n: int
    mean_cosine: float
    standard_error: float
    sentence_cosine: FloatArray
    largest_contribution: float
    rogue_coordinate: int
    centred_mean_cosine: float
    centred_standard_error: float
    largest_variance_share: float
    largest_variance_coordinate: int
    effective_dimension: float
    corrected_effective_dimension: float
    isoscore: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Cosines:
    """Mean cosines of different sentences, from the sums of unit rows."""

    mean: float
    standard_error: float
    sentences: FloatArray  # [n]
    contributions: FloatArray  # [d], sums to the mean


def language_gap(x: Array, y: Array) -> LanguageGap:
    """Return the distance between the means of two languages, in units of their spread.

    Total variances take n - 1: they then estimate the variance of the text without bias at any n,
    and the gap of a language with 200 test sentences compares with that of one with 1,000. What
    remains is the noise of the means themselves, about ``(2 - 2 r) / n`` for sides of equal spread
    that correlate by r; ``corrected`` takes it off.

    Parameters
    ----------
    x, y
        Shapes [n, d], n >= 2, **not** centred; row ``i`` of x translates row ``i`` of y.

    Returns
    -------
    LanguageGap
        Invariant to a rotation, a shift and a scale that both sides share.

    Raises
    ------
    DataError
        Where the sides do not pair, differ in dimension, hold NaN or infinity, or have one row.

    References
    ----------
    Efron and Stein (1981), The jackknife estimate of variance, for the standard error.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [0.0, -1.0], [2.0, 0.0]])
    >>> language_gap(x, x).value
    0.0
    >>> round(language_gap(x, x + [2.0, 0.0]).value, 12)
    1.714285714286
    """
    left, right = paired(x, y, minimum=2)
    if left.shape[1] != right.shape[1]:
        raise DataError(f"x has {left.shape[1]} dimensions and y has {right.shape[1]}.")
    n = left.shape[0]
    spread = (_squares(centred(left)) + _squares(centred(right))) / 2  # [n]
    total = float(spread.sum()) / (n - 1)
    if total == 0:
        return LanguageGap(math.nan, math.nan, math.nan, n, "Neither side varies.")
    difference, along, noise = _differences(left, right)
    value = difference / total
    corrected = (difference - float(noise.sum()) / (n * (n - 1))) / total
    if n == 2:
        return LanguageGap(value, corrected, math.nan, n, "The jackknife needs three pairs.")
    without = difference - 2 * along / (n - 1) + noise / (n - 1) ** 2
    totals = ((n - 1) * total - n / (n - 1) * spread) / (n - 2)
    if totals.min() <= 1e-12 * total:
        reason = f"Neither side varies without pair {int(totals.argmin())}."
        return LanguageGap(value, corrected, math.nan, n, reason)
    return LanguageGap(value, corrected, _jackknife_error(without / totals), n)


def isotropy(x: Array) -> Isotropy:
    """Return how evenly the sentences of one side fill their space.

    Mean cosines come in closed form from the sum of the unit rows, so no pair is sampled. A zero
    row has cosine 0 with every other.

    Parameters
    ----------
    x
        Shape [n, d], n >= 2, not centred: both variants are computed.

    Returns
    -------
    Isotropy
        Raw and centred mean cosine, the coordinates that stand out, and the effective dimension.

    Raises
    ------
    DataError
        Where x is not a finite matrix of at least two rows.

    References
    ----------
    Ethayarajh (2019), How contextual are contextualized word representations?, for the mean cosine;
    Timkey and van Schijndel (2021), All bark and no bite: rogue dimensions in transformer language
    models obscure representational quality, for the contribution of a coordinate; Rudman, Gillman,
    Rayne and Eickhoff (2022), IsoScore: measuring the uniformity of embedding space utilization,
    whose steps reduce to ``(effective dimension - 1) / (d - 1)``; Song, Smola, Gretton, Bedo and
    Borgwardt (2012), equation 5, for the unbiased tr S^2.

    Examples
    --------
    >>> found = isotropy(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    >>> round(found.mean_cosine, 12), round(found.isoscore, 12)
    (-0.333333333333, 1.0)
    """
    rows = matrix(x, "x")
    n, d = rows.shape
    if n < 2:
        raise DataError("One sentence has no other to be compared with.")
    flat = centred(rows)
    raw, after = _cosines(rows), _cosines(flat)
    squares, per_coordinate, gram = _squares(flat), _coordinate_squares(flat), _gram_square(flat)
    total = float(squares.sum())
    reasons = [] if n > 2 else ["The jackknife needs three sentences."]
    if total == 0:
        reasons.append("Nothing varies.")
        plain = corrected = largest = math.nan
    else:
        plain, largest = total**2 / gram, float(per_coordinate.max()) / total
        corrected, reason = _corrected_dimension(squares, gram)
        reasons += [reason] if reason else []
    if d == 1:
        reasons.append("IsoScore needs two coordinates.")
    return Isotropy(
        n=n,
        mean_cosine=raw.mean,
        standard_error=raw.standard_error,
        sentence_cosine=raw.sentences,
        largest_contribution=float(raw.contributions.max()),
        rogue_coordinate=int(raw.contributions.argmax()),
        centred_mean_cosine=after.mean,
        centred_standard_error=after.standard_error,
        largest_variance_share=largest,
        largest_variance_coordinate=int(per_coordinate.argmax()) if total > 0 else -1,
        effective_dimension=plain,
        corrected_effective_dimension=corrected,
        isoscore=(plain - 1) / (d - 1) if d > 1 else math.nan,
        reason=" ".join(reasons),
    )


def _blocks(array: Array) -> Iterator[slice]:
    return row_blocks(*array.shape, on_host=str(array_api_compat.device(array)) == "cpu")


def _double_blocks(array: Array) -> Iterator[tuple[slice, Array]]:
    xp = namespace(array)
    for rows in _blocks(array):
        yield rows, xp.astype(array[rows, :], xp.float64)


def _squares(array: Array) -> FloatArray:
    """Return the squared length of every row; shape [n]."""
    xp = namespace(array)
    return np.concatenate([to_numpy(xp.vecdot(block, block)) for _, block in _double_blocks(array)])


def _coordinate_squares(array: Array) -> FloatArray:
    """Return the sum of squares of every coordinate; shape [d]."""
    xp = namespace(array)
    sums: FloatArray = np.sum(
        [to_numpy(xp.sum(block**2, axis=0)) for _, block in _double_blocks(array)], axis=0
    )
    return sums


def _gram_square(array: Array) -> float:
    """Return the squared Frobenius norm of X X', from whichever of X X' and X' X is smaller."""
    xp = namespace(array)
    n, d = array.shape
    if n < d:
        whole = xp.astype(array, xp.float64)
        product = whole @ whole.T
    else:
        product = sum(block.T @ block for _, block in _double_blocks(array))
    return float(xp.sum(product**2))


def _differences(x: Array, y: Array) -> tuple[float, FloatArray, FloatArray]:
    """Return |m|^2, and for every pair m'e and |e|^2, with m the mean difference and e the rest."""
    xp = namespace(x, y)
    blocks = list(_blocks(x))

    def difference(rows: slice) -> Array:
        return xp.astype(x[rows, :], xp.float64) - xp.astype(y[rows, :], xp.float64)

    mean = sum(xp.sum(difference(rows), axis=0) for rows in blocks) / x.shape[0]
    along, noise = [], []
    for rows in blocks:
        rest = difference(rows) - mean
        along.append(to_numpy(rest @ mean))
        noise.append(to_numpy(xp.vecdot(rest, rest)))
    return float(xp.vecdot(mean, mean)), np.concatenate(along), np.concatenate(noise)


def _unit_blocks(array: Array) -> Iterator[Array]:
    xp = namespace(array)
    for _, block in _double_blocks(array):
        lengths = xp.sqrt(xp.vecdot(block, block))[:, None]
        yield block / xp.where(lengths > 0, lengths, xp.ones_like(lengths))


def _cosines(array: Array) -> _Cosines:
    xp = namespace(array)
    n = array.shape[0]
    total = sum(xp.sum(block, axis=0) for block in _unit_blocks(array))
    own = np.sum([to_numpy(xp.sum(block**2, axis=0)) for block in _unit_blocks(array)], axis=0)
    contributions = (to_numpy(total) ** 2 - own) / (n * (n - 1))
    sentences = np.concatenate(
        [to_numpy(block @ total - xp.vecdot(block, block)) / (n - 1) for block in _unit_blocks(array)]
    )
    mean = float(contributions.sum())
    error = _jackknife_error((n * mean - 2 * sentences) / (n - 2)) if n > 2 else math.nan
    return _Cosines(mean, error, sentences, contributions)


def _jackknife_error(without: FloatArray) -> float:
    deviations = without - without.mean()
    return math.sqrt((len(without) - 1) / len(without) * float(deviations @ deviations))


def _corrected_dimension(squares: FloatArray, gram: float) -> tuple[float, str]:
    """Return the ratio of the unbiased (tr S)^2 and tr S^2, and why it is NaN if it is.

    Both are means over all quadruples of different sentences: of
    ``|x_1 - x_2|^2 |x_3 - x_4|^2 / 4`` and of ``((x_1 - x_2)'(x_3 - x_4))^2 / 4``.
    """
    n = len(squares)
    if n < 4:
        return math.nan, "The corrected effective dimension needs four sentences."
    total, fourth = float(squares.sum()), float(squares @ squares)
    distances = 2 * n * fourth + 2 * total**2 + 4 * gram
    row_sums = n * squares + total
    trace_square = (4 * n**2 * total**2 - 4 * float(row_sums @ row_sums) + 2 * distances) / (
        4 * n * (n - 1) * (n - 2) * (n - 3)
    )
    square_trace = (gram - n / (n - 2) * fourth + total**2 / ((n - 1) * (n - 2))) / (n * (n - 3))
    if square_trace <= 1e-12 * gram / n**2:
        return math.nan, "The unbiased tr S^2 is not positive."
    return trace_square / square_trace, ""
