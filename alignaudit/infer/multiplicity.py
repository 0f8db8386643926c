"""Adjusted p-values for families of tests: Holm, Bonferroni and Benjamini–Hochberg."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["benjamini_hochberg", "bonferroni", "holm"]


def bonferroni(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values times their number, at most 1, the simplest bound of the family-wise error rate.

    Parameters
    ----------
    p_values
        m p-values in any order; NaN counts in m and stays NaN.

    Returns
    -------
    numpy.ndarray of float64, shape [m]

    References
    ----------
    Dunn (1961), J. American Statistical Association 56, 52-64.

    Examples
    --------
    >>> bonferroni([0.01, 0.5, 0.03]).round(2).tolist()
    [0.03, 1.0, 0.09]
    """
    return np.minimum(1.0, len(p_values) * np.asarray(p_values, dtype=np.float64))


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted for the family-wise error rate.

    Parameters
    ----------
    p_values
        m p-values in any order. A NaN (a planned test that was not possible) counts in m as a p
        of 1, so that an impossible test never makes the others easier, and stays NaN.

    Returns
    -------
    numpy.ndarray of float64, shape [m]
        ``max over j <= i of min(1, (m - j + 1) p_(j))``, in the order given.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values, order = _ranked(p_values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return _restored(adjusted, order, p_values)


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Return p-values adjusted for the false discovery rate.

    Parameters
    ----------
    p_values
        m p-values in any order; NaN as in :func:`holm`.

    Returns
    -------
    numpy.ndarray of float64, shape [m]
        ``min over j >= i of min(1, m p_(j) / j)``, in the order given.

    References
    ----------
    Benjamini & Hochberg (1995), J. Royal Statistical Society B 57, 289-300.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values, order = _ranked(p_values)
    factors = len(values) / np.arange(1, len(values) + 1)
    adjusted = np.minimum.accumulate((factors * values[order])[::-1])[::-1]
    return _restored(np.minimum(1.0, adjusted), order, p_values)


def _ranked(p_values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    values = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    return values, np.argsort(values, kind="stable")


def _restored(
    adjusted: NDArray[np.float64], order: NDArray[np.intp], p_values: Sequence[float]
) -> NDArray[np.float64]:
    result = np.empty_like(adjusted)
    result[order] = adjusted
    result[np.isnan(np.asarray(p_values, dtype=np.float64))] = np.nan
    return result
