"""Whether fixed effects separate successes from failures, so that they have no finite estimates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from alignaudit.infer.mixed.families import Counts

__all__ = ["separated"]

Floats = NDArray[np.float64]


def separated(data: Counts, fixed: Floats, names: Sequence[str]) -> tuple[str, ...]:
    """Return the fixed effects along which the likelihood rises for ever, if there are any.

    Parameters
    ----------
    data
        Successes and trials.
    fixed
        Shape [n, p].
    names
        Of its columns.

    Returns
    -------
    tuple of str
        Empty where the fixed effects have finite estimates for every covariance of the random effects.

    References
    ----------
    Albert & Anderson (1984), Biometrika 71, 1-10; Konis (2007), PhD thesis, Oxford (the linear programme).
    """
    kind = np.where(data.successes == data.trials, 1.0, np.where(data.successes == 0, -1.0, 0.0))
    counted = data.trials > 0
    scale = np.abs(fixed).max(axis=0)
    rows = np.unique(np.column_stack([kind[counted], fixed[counted] / scale]), axis=0)
    sign, X = rows[:, 0], rows[:, 1:]
    pure, mixed = X[sign != 0] * sign[sign != 0, None], X[sign == 0]
    if not len(pure):
        return ()
    found = optimize.linprog(
        -pure.sum(axis=0), A_ub=-pure, b_ub=np.zeros(len(pure)), A_eq=mixed if len(mixed) else None,
        b_eq=np.zeros(len(mixed)) if len(mixed) else None, bounds=(-1, 1), method="highs",
    )  # fmt: skip
    if not found.success or -found.fun < 1e-7:
        return ()
    return tuple(name for name, value in zip(names, found.x, strict=True) if abs(value) > 1e-7)
