"""Adjusted p-values by the name of the method: those written here, and further ones from statsmodels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from alignaudit.errors import UsageError, did_you_mean
from alignaudit.infer.multiplicity import benjamini_hochberg, bonferroni, holm

__all__ = ["ADJUSTMENTS", "adjust"]

Floats = NDArray[np.float64]


def _none(p_values: Sequence[float]) -> Floats:
    return np.array(p_values, dtype=np.float64)


OURS: Mapping[str, Callable[[Sequence[float]], Floats]] = {
    "none": _none,
    "holm": holm,
    "bonferroni": bonferroni,
    "benjamini-hochberg": benjamini_hochberg,
}
THEIRS: Mapping[str, str] = {
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "benjamini-yekutieli": "fdr_by",
}
ADJUSTMENTS: tuple[str, ...] = (*OURS, *THEIRS)
"""Names that :func:`adjust` knows."""


def adjust(p_values: Sequence[float], method: str) -> Floats:
    """Return p-values adjusted by the method of that name.

    Parameters
    ----------
    p_values
        m p-values in any order. A NaN (a planned test that was not possible) counts in m as a p of 1
        and stays NaN.
    method
        One of ``ADJUSTMENTS``: ``holm``, ``bonferroni``, ``hochberg`` and ``hommel`` bound the
        family-wise error rate (the last two for independent or positively dependent tests),
        ``benjamini-hochberg`` and, under any dependence, ``benjamini-yekutieli`` the false discovery
        rate.

    Returns
    -------
    numpy.ndarray of float64, shape [m]

    Raises
    ------
    UsageError
        If the method is unknown.

    References
    ----------
    Hochberg (1988), Biometrika 75, 800-802; Hommel (1988), Biometrika 75, 383-386; Benjamini &
    Yekutieli (2001), Annals of Statistics 29, 1165-1188; Seabold & Perktold (2010), statsmodels, which
    computes these three.

    Examples
    --------
    >>> adjust([0.01, 0.04], "bonferroni").tolist()
    [0.02, 0.08]
    >>> adjust([0.01, 0.04], "hochberg").tolist()
    [0.02, 0.04]
    """
    if method in OURS:
        return OURS[method](p_values)
    if method not in THEIRS:
        raise UsageError(f'there is no adjustment "{method}".', hint=did_you_mean(method, ADJUSTMENTS))
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = multipletests(np.nan_to_num(values, nan=1.0), method=THEIRS[method])[1]
    return np.where(np.isnan(values), np.nan, adjusted)
