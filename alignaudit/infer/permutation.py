"""Permutation tests over runs, paired and unpaired: exact, and they say which p they can reach at best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError

__all__ = ["ASSIGNMENT_LIMIT", "EXACT_LIMIT", "Permutation", "SignFlip", "permutation_test", "sign_flip_test"]

EXACT_LIMIT = 20
"""Up to this many pairs all sign patterns are enumerated (about a million)."""

ASSIGNMENT_LIMIT = 200_000
"""Up to this many label assignments all are enumerated (two arms of ten runs have 184,756)."""

SLACK = 1e-12
"""Statistics closer than this share of the summed absolute values count as tied."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Result of a sign-flip test.

    Attributes
    ----------
    statistic
        Mean difference, in the unit of the differences.
    p_value
        Two-sided; the observed pattern is counted.
    min_p
        Smallest p-value that this number of pairs (or of draws) can give. It is that of the count
        alone: ties and differences of zero can only raise what particular data reach.
    patterns
        Number of sign patterns looked at, the observed one included.
    exact
        Whether these were all.
    n_pairs
        Number of pairs of runs.
    """

    statistic: float
    p_value: float
    min_p: float
    patterns: int
    exact: bool
    n_pairs: int

    def reaches(self, alpha: float) -> bool:
        """Return whether any data of this size could give ``p <= alpha``."""
        return self.min_p <= _level(alpha)

    def reach(self, alpha: float) -> str:
        """Return a sentence on whether ``p <= alpha`` is possible, and what it takes if not.

        Examples
        --------
        >>> print(sign_flip_test(np.array([1.0, 2.0, 3.0, 4.0, 5.0])).reach(0.05))
        With 5 pairs of runs the smallest possible two-sided p is 0.0625, so p <= 0.05 cannot be \
reached however large the difference; it takes 6 pairs of runs.
        """
        needed = _smallest(lambda pairs: 2.0 / 2**pairs, alpha)
        return _sentence(self, f"{self.n_pairs} pairs of runs", f"{needed} pairs of runs", alpha)


@dataclass(frozen=True, slots=True)
class Permutation:
    """Result of a permutation test of two unpaired arms.

    Attributes
    ----------
    statistic
        Mean of the second arm minus mean of the first, in the unit of the values.
    p_value
        Two-sided; the observed assignment is counted.
    min_p
        Smallest p-value that these numbers of runs (or of draws) can give: ``2 / C(2n, n)`` for
        equal arms, where every assignment has a mirror image, and ``1 / C(n + m, n)`` for unequal
        ones. It is that of the count alone: tied values can only raise what particular data reach.
    patterns
        Number of label assignments looked at, the observed one included.
    exact
        Whether these were all.
    n_first, n_second
        Runs of each arm.
    """

    statistic: float
    p_value: float
    min_p: float
    patterns: int
    exact: bool
    n_first: int
    n_second: int

    def reaches(self, alpha: float) -> bool:
        """Return whether any data of this size could give ``p <= alpha``."""
        return self.min_p <= _level(alpha)

    def reach(self, alpha: float) -> str:
        """Return a sentence on whether ``p <= alpha`` is possible, and what it takes if not.

        Examples
        --------
        >>> print(permutation_test(np.arange(3.0), np.arange(3.0) + 9).reach(0.05))
        With 3 and 3 runs the smallest possible two-sided p is 0.1, so p <= 0.05 cannot be reached \
however large the difference; it takes 4 runs per arm.
        """
        needed = _smallest(lambda runs: 2.0 / math.comb(2 * runs, runs), alpha)
        return _sentence(self, f"{self.n_first} and {self.n_second} runs", f"{needed} runs per arm", alpha)


def sign_flip_test(
    differences: Floats, *, rng: np.random.Generator | None = None, draws: int = 99_999
) -> SignFlip:
    """Test that paired differences are symmetric about zero, by flipping their signs.

    Parameters
    ----------
    differences
        Shape [P], one per pair of runs; the run is the unit that is flipped.
    rng
        A stream of ``core.rng``; only needed for more than ``EXACT_LIMIT`` pairs.
    draws
        Number of Monte-Carlo sign patterns.

    Returns
    -------
    SignFlip
        Two-sided p: exact ``#{|T*| >= |T|} / 2**P``, or ``(1 + #) / (draws + 1)``.

    Raises
    ------
    FitError
        If there are no pairs, values are not finite, or a stream is needed and not given.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21; Phipson & Smyth (2010), Statistical
    Applications in Genetics and Molecular Biology 9(1), 39 (why one is added).

    Examples
    --------
    >>> sign_flip_test(np.array([1.0, 2.0, 3.0, 4.0, 5.0])).p_value
    0.0625
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise FitError("the sign-flip test needs one finite difference per pair of runs.")
    threshold = abs(float(values.sum())) - SLACK * float(np.abs(values).sum())
    if len(values) <= EXACT_LIMIT:
        batches, exact = iter([_all_sums(values)]), True
    else:
        batches, exact = _drawn_sums(values, *_random(rng, draws, f"more than {EXACT_LIMIT} pairs")), False
    hits, patterns = _count(batches, threshold, exact)
    min_p = min(1.0, (2.0 if exact else 1.0) / patterns)
    return SignFlip(float(values.mean()), hits / patterns, min_p, patterns, exact, len(values))


def permutation_test(
    first: Floats, second: Floats, *, rng: np.random.Generator | None = None, draws: int = 99_999
) -> Permutation:
    """Test that two unpaired arms are exchangeable, by reassigning their labels.

    Parameters
    ----------
    first, second
        Shapes [n] and [m], one value per run, same unit; the run is what is relabelled, so pass
        means over languages and items.
    rng
        A stream of ``core.rng``; only needed for more than ``ASSIGNMENT_LIMIT`` assignments.
    draws
        Number of Monte-Carlo assignments.

    Returns
    -------
    Permutation
        Two-sided p of ``mean(second) - mean(first)``: exact ``#{|T*| >= |T|} / C(n + m, n)``, or
        ``(1 + #) / (draws + 1)``.

    Raises
    ------
    FitError
        If an arm is empty, values are not finite, or a stream is needed and not given.

    References
    ----------
    Pitman (1937), Supplement to the J. Royal Statistical Society 4, 119-130; Phipson & Smyth
    (2010), Statistical Applications in Genetics and Molecular Biology 9(1), 39.

    Examples
    --------
    >>> test = permutation_test(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 6.0, 7.0, 8.0]))
    >>> test.statistic, round(test.p_value * 70)
    (4.0, 2)
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if x.ndim != 1 or y.ndim != 1 or not len(x) or not len(y) or not np.isfinite([*x, *y]).all():
        raise FitError("the permutation test needs one finite value per run and at least one run per arm.")
    # With the pooled mean taken out, |T| is proportional to the absolute sum of either arm.
    pooled = np.concatenate([x, y] if len(x) <= len(y) else [y, x])
    smaller, assignments = min(len(x), len(y)), math.comb(len(pooled), len(x))
    values = pooled - pooled.mean()
    threshold = abs(float(values[:smaller].sum())) - SLACK * float(np.abs(pooled).sum())
    if assignments <= ASSIGNMENT_LIMIT:
        batches, exact = iter([_subset_sums(values, smaller)]), True
    else:
        wanted = f"more than {ASSIGNMENT_LIMIT:,} assignments"
        batches, exact = _relabelled_sums(values, smaller, *_random(rng, draws, wanted)), False
    hits, patterns = _count(batches, threshold, exact)
    mirrored = exact and len(x) == len(y)
    min_p = (2.0 if mirrored else 1.0) / patterns
    statistic = float(y.mean() - x.mean())
    return Permutation(statistic, hits / patterns, min_p, patterns, exact, len(x), len(y))


def _random(rng: np.random.Generator | None, draws: int, wanted: str) -> tuple[np.random.Generator, int]:
    if rng is None:
        raise FitError(f"{wanted} need a random stream.", hint="Pass rng=core.rng.stream(seed, name).")
    if draws < 1:
        raise FitError(f"{draws} draws are none.", hint="Take 99,999.")
    return rng, draws


def _count(batches: Iterator[Floats], threshold: float, exact: bool) -> tuple[int, int]:
    """Return how many patterns are at least as extreme and how many there are; a drawn test adds one."""
    hits = patterns = 0 if exact else 1
    for sums in batches:
        hits += int((np.abs(sums) >= threshold).sum())
        patterns += len(sums)
    return hits, patterns


def _all_sums(values: Floats) -> Floats:
    """Return the sums under every sign pattern, shape [2**P]; the first is the observed one."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _subset_sums(values: Floats, size: int) -> Floats:
    """Return the sums of every subset of one size, shape [C(n, size)]."""
    sums = [np.zeros(1)] + [np.zeros(0)] * size
    for value in values:
        for k in range(size, 0, -1):
            sums[k] = np.concatenate([sums[k], sums[k - 1] + value])
    return sums[size]


def _batches(draws: int, batch: int = 4096) -> Iterator[int]:
    return (min(batch, draws - start) for start in range(0, draws, batch))


def _drawn_sums(values: Floats, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
    for size in _batches(draws):
        yield (2.0 * rng.integers(0, 2, size=(size, len(values))) - 1.0) @ values


def _relabelled_sums(values: Floats, size: int, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
    for rows in _batches(draws):
        yield rng.permuted(np.tile(values, (rows, 1)), axis=1)[:, :size].sum(axis=1)


def _level(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise FitError(f"{alpha} is no significance level.", hint="State one between 0 and 1.")
    return alpha


def _smallest(min_p: Callable[[int], float], alpha: float) -> int:
    """Return the smallest number of runs whose exact test reaches a level."""
    level = _level(alpha)
    return next(runs for runs in itertools.count(1) if min_p(runs) <= level)


def _sentence(result: SignFlip | Permutation, size: str, needed: str, alpha: float) -> str:
    if not result.exact:
        size, needed = f"{size} and {result.patterns - 1:,} draws", f"{math.ceil(1 / alpha) - 1:,} draws"
    start = f"With {size} the smallest possible two-sided p is {result.min_p:.4g}, so p <= {alpha:g} "
    if result.reaches(alpha):
        return start + "can be reached."
    return start + f"cannot be reached however large the difference; it takes {needed}."
