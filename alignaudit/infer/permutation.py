"""Sign-flip test over paired runs: exact, and it says which p-value it can reach at best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError

__all__ = ["EXACT_LIMIT", "SignFlip", "sign_flip_test"]

EXACT_LIMIT = 20
"""Up to this many pairs all sign patterns are enumerated (about a million)."""


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
        Smallest p-value that this number of pairs (or of draws) can give.
    patterns
        Number of sign patterns looked at, the observed one included.
    exact
        Whether these were all.
    """

    statistic: float
    p_value: float
    min_p: float
    patterns: int
    exact: bool


def sign_flip_test(
    differences: NDArray[np.float64], *, rng: np.random.Generator | None = None, draws: int = 99_999
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
    observed = abs(float(values.sum()))
    slack = 1e-12 * float(np.abs(values).sum())
    if len(values) <= EXACT_LIMIT:
        sums = _all_sums(values)
        hits, patterns, exact = int((np.abs(sums) >= observed - slack).sum()), len(sums), True
        min_p = 2.0 / patterns
    elif rng is None:
        raise FitError(f"more than {EXACT_LIMIT} pairs need a random stream for the sign-flip test.")
    else:
        hits, patterns, exact = 1 + _drawn_hits(values, observed - slack, rng, draws), draws + 1, False
        min_p = 1.0 / patterns
    return SignFlip(float(values.mean()), hits / patterns, min(1.0, min_p), patterns, exact)


def _all_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums under every sign pattern, shape [2**P]; the first is the observed one."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_hits(
    values: NDArray[np.float64], threshold: float, rng: np.random.Generator, draws: int, batch: int = 4096
) -> int:
    hits = 0
    for start in range(0, draws, batch):
        signs = 2.0 * rng.integers(0, 2, size=(min(batch, draws - start), len(values))) - 1.0
        hits += int((np.abs(signs @ values) >= threshold).sum())
    return hits
