"""An interval that knows its level, method, what it varies over, n and degrees of freedom."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Interval"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of one quantity, with everything a caption has to say about them.

    Attributes
    ----------
    low, high
        Bounds, in the unit of the estimate; NaN where no error could be estimated.
    level
        Nominal coverage, for example 0.95.
    method
        How it was computed, in words.
    over
        What the interval varies over, in words.
    n
        Number of independent units that it rests on.
    df
        Degrees of freedom of the reference distribution; NaN where it has none.
    """

    low: float
    high: float
    level: float
    method: str
    over: str
    n: int
    df: float

    def __str__(self) -> str:
        """Return the interval as it stands in captions.

        Examples
        --------
        >>> print(Interval(-0.5, 1.0, 0.95, "t interval", "6 pairs of runs", 6, 5.0))
        95 % interval [-0.5, 1] (t interval with 5 df, over 6 pairs of runs)
        >>> print(Interval(-0.5, 1.0, 0.95, "BCa bootstrap", "6 runs", 6, math.nan))
        95 % interval [-0.5, 1] (BCa bootstrap, over 6 runs)
        """
        freedom = f" with {self.df:.4g} df" if math.isfinite(self.df) else ""
        return (
            f"{100 * self.level:g} % interval [{self.low:.4g}, {self.high:.4g}] "
            f"({self.method}{freedom}, over {self.over})"
        )
