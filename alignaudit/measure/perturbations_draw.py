"""What every perturbation of one sentence shares: its result, and how many of its places it draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Edited", "drawn_places", "randomly_rounded"]


@dataclass(frozen=True, slots=True)
class Edited:
    """One sentence after a perturbation.

    Attributes
    ----------
    text
        The sentence as it now reads; the very same string where nothing changed.
    places
        How many of its units the perturbation could have changed.
    units
        How many units it has: grapheme clusters or words, by the perturbation.
    """

    text: str
    places: int
    units: int


def randomly_rounded(number: float, generator: np.random.Generator) -> int:
    """Return one of the two whole numbers around a number, with that number as expectation.

    Parameters
    ----------
    number
        At least 0.
    generator
        Gives one draw, whatever the number.

    Returns
    -------
    int
        The floor of ``number``, or one more with the probability of its fraction.

    Examples
    --------
    >>> from alignaudit.core import rng
    >>> randomly_rounded(3.0, rng.stream(1, "example"))
    3
    """
    return int(number + generator.random())


def drawn_places(places: Sequence[int], share: float, generator: np.random.Generator) -> list[int]:
    """Return a random subset of places, whose expected size is a share of them.

    Parameters
    ----------
    places
        m different numbers.
    share
        In [0, 1].
    generator
        Source of the draws.

    Returns
    -------
    list of int
        ``share * m`` of the places, randomly rounded, in ascending order.
    """
    wanted = randomly_rounded(share * len(places), generator)
    return sorted(generator.permutation(np.array(places, dtype=np.int64))[:wanted].tolist())
