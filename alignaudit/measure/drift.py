"""How far an encoder's alignment moved between two checkpoints, in distributions and in neighbours.

A query's cosines with all candidates become a distribution, ``p(j | i) = softmax_j(cos_ij / T)``.
The temperature is fitted to the true pairs, because cosines have no scale of their own: an encoder
that spreads the same order over a wider range of cosines has not moved its alignment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import array_api_compat
import numpy as np

from alignaudit.errors import DataError, UsageError
from alignaudit.measure.arrays import Array, FloatArray, namespace, row_blocks, to_numpy, unit_rows

__all__ = [
    "AlignmentDrift",
    "Limit",
    "NeighbourOverlap",
    "Temperature",
    "alignment_drift",
    "fit_temperature",
    "neighbour_overlap",
]

Limit: TypeAlias = Literal["", "lowest", "infinite"]

_CACHED_CELLS = 1 << 22
_STEPS = 100
_FLAT = 1e-12  # a slope, in cosines, that rounding alone can make


@dataclass(frozen=True, slots=True)
class Temperature:
    """The temperature under which the true pairs are likeliest.

    Attributes
    ----------
    value
        T, in cosines; infinity where the pairs are no closer than the mean of all candidates.
    log_likelihood
        Mean log probability of the true pair at T, in nats; ``-ln(candidates)`` is blind guessing.
    limit
        Empty where the likelihood has its maximum inside. ``lowest``: it still rises at the lowest
        temperature allowed, as it does for ever where every pair comes first. ``infinite``: it
        falls from T = infinity on.
    """

    value: float
    log_likelihood: float
    limit: Limit


@dataclass(frozen=True, slots=True)
class AlignmentDrift:
    """Divergence of the alignment distributions of two encoders.

    Attributes
    ----------
    common
        Shape [n], in nats: KL(before || after) of each query, both at the temperature of before.
    fitted
        Shape [n], in nats: the same, each encoder at its own fitted temperature.
    before, after
        The fitted temperatures.
    """

    common: FloatArray
    fitted: FloatArray
    before: Temperature
    after: Temperature

    @property
    def common_mean(self) -> float:
        """Return the mean of ``common`` over queries, in nats."""
        return float(self.common.mean())

    @property
    def fitted_mean(self) -> float:
        """Return the mean of ``fitted`` over queries, in nats."""
        return float(self.fitted.mean())


@dataclass(frozen=True, slots=True)
class NeighbourOverlap:
    """What two encoders' lists of the k nearest candidates have in common.

    Attributes
    ----------
    items
        Shape [n], in [0, 1]: share of each query's k neighbours that both lists hold. Candidates
        that tie for the last places hold them in equal parts, independently in both lists.
    chance
        Expected share for unrelated lists: k over the number of candidates.
    k
        Length of the lists.
    """

    items: FloatArray
    chance: float
    k: int

    @property
    def value(self) -> float:
        """Return the mean share, in [0, 1]."""
        return float(self.items.mean())

    @property
    def corrected(self) -> float:
        """Return the mean share on a scale where chance is 0 and equal lists are 1."""
        return (self.value - self.chance) / (1 - self.chance)


class _Cosines:
    """The cosines of queries with candidates, in blocks of rows that are kept where they are few."""

    def __init__(self, queries: Array, candidates: Array, names: tuple[str, str]) -> None:
        self.queries, self.candidates = (
            unit_rows(side, name) for side, name in zip((queries, candidates), names, strict=True)
        )
        self.xp = namespace(self.queries, self.candidates)
        self.n, self.m = self.queries.shape[0], self.candidates.shape[0]
        left, right = self.queries.shape[1], self.candidates.shape[1]
        if left != right:
            raise DataError(f"{names[0]} has {left} dimensions and {names[1]} {right}.")
        if self.m < self.n:
            raise DataError(
                f"{self.n} rows have only {self.m} candidates in {names[1]}.",
                where=names[0],
                hint="Candidate i must be the translation of query i.",
            )
        self.kept: list[tuple[slice, Array]] | None = None

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield rows and their cosines, float64 [rows, m]."""
        if self.kept is not None:
            yield from self.kept
            return
        wide = self.xp.astype(self.candidates, self.xp.float64).T
        kept = []
        on_host = str(array_api_compat.device(self.queries)) == "cpu"
        for rows in row_blocks(self.n, self.m, on_host=on_host):
            block = self.xp.astype(self.queries[rows, :], self.xp.float64) @ wide
            if self.n * self.m <= _CACHED_CELLS:
                kept.append((rows, block))
            yield rows, block
        self.kept = kept or None

    def log_probabilities(self, block: Array, sharpness: float) -> Array:
        logits = sharpness * (block - self.xp.max(block, axis=1, keepdims=True))
        return logits - self.xp.log(self.xp.sum(self.xp.exp(logits), axis=1, keepdims=True))


def fit_temperature(queries: Array, candidates: Array, *, lowest: float = 1e-3) -> Temperature:
    """Return the temperature that makes the true pairs likeliest.

    The log-likelihood is concave in 1/T, so its slope has at most one zero; Newton steps inside a
    shrinking bracket find it.

    Parameters
    ----------
    queries, candidates
        Shapes [n, d] and [m, d], m >= n, rows as :func:`alignaudit.measure.retrieval.normalise`
        returns them; candidate ``i`` is the translation of query ``i``.
    lowest
        Lowest temperature allowed, above 0. Where every pair comes first the likelihood rises for
        ever as T falls, and the answer is this one.

    Returns
    -------
    Temperature
        The maximum, its log-likelihood, and whether it lies at an end of the range.

    Raises
    ------
    DataError
        Where the sides do not pair or a row is neither of unit length nor zero.
    UsageError
        Where ``lowest`` is not a positive number.

    Examples
    --------
    >>> sides = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> fit_temperature(sides, sides, lowest=0.1).limit
    'lowest'
    >>> fit_temperature(sides, sides[::-1]).value
    inf
    """
    _check_lowest(lowest)
    return _fit(_Cosines(queries, candidates, ("queries", "candidates")), lowest)


def alignment_drift(
    queries_before: Array,
    candidates_before: Array,
    queries_after: Array,
    candidates_after: Array,
    *,
    lowest: float = 1e-3,
) -> AlignmentDrift:
    """Return how far the distribution over candidates moved, for every query.

    Parameters
    ----------
    queries_before, candidates_before
        Shapes [n, d] and [m, d], m >= n, from the reference encoder; rows as
        :func:`alignaudit.measure.retrieval.normalise` returns them, candidate ``i`` the translation
        of query ``i``.
    queries_after, candidates_after
        The same sentences from the other encoder, shapes [n, e] and [m, e].
    lowest
        Lowest temperature allowed, as in :func:`fit_temperature`.

    Returns
    -------
    AlignmentDrift
        Divergences of each query at the common and at the fitted temperatures; exactly 0 for equal
        encoders. Memory holds blocks of rows, and all cosines only where they are few.

    Raises
    ------
    DataError
        Where sides do not pair, before and after hold different numbers of sentences, or a row is
        neither of unit length nor zero.
    UsageError
        Where ``lowest`` is not a positive number.

    References
    ----------
    Kullback and Leibler (1951), On information and sufficiency, for the divergence; Guo, Pleiss,
    Sun and Weinberger (2017), On calibration of modern neural networks, section 4.2, for one
    temperature fitted by maximum likelihood.

    Examples
    --------
    >>> sides = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> alignment_drift(sides, sides, sides, sides).fitted.tolist()
    [0.0, 0.0]
    """
    _check_lowest(lowest)
    before = _Cosines(queries_before, candidates_before, ("queries_before", "candidates_before"))
    after = _Cosines(queries_after, candidates_after, ("queries_after", "candidates_after"))
    _check_same_sentences(before, after)
    first, second = _fit(before, lowest), _fit(after, lowest)
    common, fitted = np.empty(before.n), np.empty(before.n)
    for (rows, old), (_, new) in zip(before.blocks(), after.blocks(), strict=True):
        reference = before.log_probabilities(old, 1 / first.value)
        weights = before.xp.exp(reference)
        for result, temperature in ((common, first), (fitted, second)):
            change = reference - after.log_probabilities(new, 1 / temperature.value)
            # Rounding alone can make a divergence negative.
            result[rows] = np.maximum(to_numpy(before.xp.sum(weights * change, axis=1)), 0.0)
    return AlignmentDrift(common, fitted, first, second)


def neighbour_overlap(
    queries_before: Array,
    candidates_before: Array,
    queries_after: Array,
    candidates_after: Array,
    *,
    k: int = 10,
    within: bool = False,
) -> NeighbourOverlap:
    """Return the share of each query's k nearest candidates that stayed.

    Cosines are rounded to float32 before they are compared, so equal sentences tie wherever they
    stand. An encoder whose vectors all coincide has no order of neighbours and is at chance.

    Parameters
    ----------
    queries_before, candidates_before
        Shapes [n, d] and [m, d], m >= n, from the reference encoder; rows as
        :func:`alignaudit.measure.retrieval.normalise` returns them.
    queries_after, candidates_after
        The same sentences from the other encoder, shapes [n, e] and [m, e].
    k
        Number of neighbours, below the number of candidates.
    within
        Whether candidate ``i`` is query ``i`` itself, one language among itself; it is then left
        out.

    Returns
    -------
    NeighbourOverlap
        Share of each query, their mean, and the mean corrected for chance.

    Raises
    ------
    DataError
        Where sides do not pair, before and after hold different numbers of sentences, or a row is
        neither of unit length nor zero.
    UsageError
        Where k is below 1 or leaves no candidate out.

    Examples
    --------
    >>> sides = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> neighbour_overlap(sides, sides, sides, sides, k=1).corrected
    1.0
    """
    before = _Cosines(queries_before, candidates_before, ("queries_before", "candidates_before"))
    after = _Cosines(queries_after, candidates_after, ("queries_after", "candidates_after"))
    _check_same_sentences(before, after)
    pool = before.m - within
    if not 1 <= k < pool:
        raise UsageError(f"k must be from 1 to {pool - 1}, not {k}.", hint=f"There are {pool} candidates.")
    items = np.empty(before.n)
    for (rows, old), (_, new) in zip(before.blocks(), after.blocks(), strict=True):
        shares = [_membership(block, rows.start, k, within) for block in (old, new)]
        items[rows] = to_numpy(before.xp.vecdot(*shares)) / k
    return NeighbourOverlap(items, k / pool, k)


def _check_lowest(lowest: float) -> None:
    if not (math.isfinite(lowest) and lowest > 0):
        raise UsageError(f"The lowest temperature must be a positive number, not {lowest}.")


def _check_same_sentences(before: _Cosines, after: _Cosines) -> None:
    namespace(before.queries, after.queries)
    if (before.n, before.m) != (after.n, after.m):
        raise DataError(
            f"{before.n} queries and {before.m} candidates before, {after.n} and {after.m} after.",
            hint="Both encoders must embed the same sentences.",
        )


def _fit(cosines: _Cosines, lowest: float) -> Temperature:
    """Climb the log-likelihood over the sharpness 1/T, from 0 to 1/lowest."""
    low, high = 0.0, 1 / lowest
    value, slope, _ = _likelihood(cosines, low)
    if slope <= _FLAT:
        return Temperature(math.inf, value, "infinite")
    value, slope, _ = _likelihood(cosines, high)
    if slope >= -_FLAT:
        return Temperature(lowest, value, "lowest")
    sharpness = min(10.0, high / 2)
    for _ in range(_STEPS):
        value, slope, curvature = _likelihood(cosines, sharpness)
        low, high = (sharpness, high) if slope > 0 else (low, sharpness)
        step = slope / curvature if curvature > 0 else math.inf
        if abs(step) <= 1e-9 * sharpness or high - low <= 1e-12 * high:
            break
        guess = sharpness + step
        sharpness = guess if low < guess < high else (low + high) / 2
    return Temperature(1 / sharpness, value, "")


def _likelihood(cosines: _Cosines, sharpness: float) -> tuple[float, float, float]:
    """Return the mean log-likelihood of the pairs, its slope, and minus its second derivative."""
    xp = cosines.xp
    sums = np.zeros(3)
    for rows, block in cosines.blocks():
        gold = np.arange(rows.start, rows.stop)
        places = (np.arange(len(gold)), gold)
        logs = cosines.log_probabilities(block, sharpness)
        weights = xp.exp(logs)
        mean = xp.sum(weights * block, axis=1, keepdims=True)
        spread = xp.sum(weights * (block - mean) ** 2)
        sums += float(xp.sum(logs[places])), float(xp.sum(block[places] - mean[:, 0])), float(spread)
    value, slope, curvature = (sums / cosines.n).tolist()
    return value, slope, curvature


def _membership(block: Array, start: int, k: int, within: bool) -> Array:
    """Return each candidate's part in the list of the k nearest: 1, 0, or its share of tied places."""
    xp = namespace(block)
    scores = xp.astype(xp.astype(block, xp.float32), xp.float64)
    if within:
        rows = np.arange(scores.shape[0])
        scores[rows, rows + start] = -np.inf
    last = xp.sort(scores, axis=1, descending=True)[:, k - 1 : k]
    above, level = (xp.astype(part, xp.float64) for part in (scores > last, scores == last))
    free = k - xp.sum(above, axis=1, keepdims=True)
    return above + level * (free / xp.sum(level, axis=1, keepdims=True))
