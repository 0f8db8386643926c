"""Do two arms differ in the worst languages? R3, where these are chosen on other items than evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.interval import Interval
from alignaudit.infer.permutation import SignFlip, sign_flip_test
from alignaudit.infer.student import student_test

__all__ = ["TailContrast", "TailValues", "tail_contrast", "tail_values"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TailValues:
    """Mean accuracy in the worst languages.

    Attributes
    ----------
    values
        Shape [A, K], by arm and run, unit of the accuracies; NaN where a needed cell is missing.
    chosen
        Shape [2, L]: whether a language is among the worst by the first, by the second half; with
        ``leave_out`` for any run.
    """

    values: Floats
    chosen: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TailContrast:
    """Contrast of two arms in the worst languages.

    Attributes
    ----------
    estimate, standard_error
        Second minus first arm, unit of the accuracies.
    df
        Degrees of freedom: pairs − 1, or Welch's.
    statistic, p_value
        Two-sided t test of zero; NaN where runs do not vary.
    interval
        Two-sided t interval.
    sign_flip
        Sign-flip test of the same paired differences; None if unpaired.
    mean_first, mean_second
        Mean accuracy in the worst languages over the runs used.
    n_first, n_second
        Runs used.
    chosen
        As in :class:`TailValues`.
    """

    estimate: float
    standard_error: float
    df: float
    statistic: float
    p_value: float
    interval: Interval
    sign_flip: SignFlip | None
    mean_first: float
    mean_second: float
    n_first: int
    n_second: int
    chosen: NDArray[np.bool_]


def tail_values(accuracy: Floats, *, share: float = 0.25, leave_out: bool = False) -> TailValues:
    """Return each run's mean accuracy in the worst languages, chosen and evaluated on different items.

    The ``ceil(share L)`` languages with the lowest accuracy on one half of the items, averaged over
    all arms and runs there are, are evaluated on the other half; then the other way round; the two
    are averaged. Ties go to the language that comes first.

    Choosing on other items keeps luck with the items out of the result, choosing over all arms
    together favours none of them: among languages that are all alike, a tail chosen and evaluated
    on the same items lies below the true accuracy, most for the noisiest arm if it is chosen for
    each arm. What a *run* does to a language shows in both halves, though. That luck stays in: it
    lowers the level of both arms, and if one arm's runs vary more, it counts against that arm.
    With ``leave_out`` each run is evaluated on languages that the other runs chose, which takes it
    out as well.

    Parameters
    ----------
    accuracy
        Shape [A, K, L, 2]: arms × runs × languages × halves of the items; NaN where missing.
    share
        Share of languages, above 0 and at most 1.
    leave_out
        Whether run k of all arms takes no part in the choice of the languages it is evaluated on.

    Returns
    -------
    TailValues
        By arm and run, and which languages were chosen.

    Raises
    ------
    FitError
        If the array has another shape, holds infinite values, or a half has too few languages.

    References
    ----------
    Choosing and evaluating on different data: Chernozhukov et al. (2018), Econometrics Journal 21,
    C1-C68, definition 3.1 (cross-fitting).

    Examples
    --------
    >>> one = np.array([0.9, 0.2, 0.5, 0.6])
    >>> found = tail_values(np.stack([one, one + 0.1], axis=-1)[None, None])
    >>> found.values.round(3).tolist(), found.chosen[0].tolist()
    ([[0.25]], [False, True, False, False])
    """
    halves = _checked(accuracy)
    if not 0 < share <= 1:
        raise FitError(
            f"a share of {share} of the languages.", where="tail", hint="Give one above 0, up to 1."
        )
    size = math.ceil(share * halves.shape[2] - 1e-9)  # .07 of 100 languages are 7, whatever the rounding
    chosen = np.zeros((2, halves.shape[2]), dtype=np.bool_)
    runs = np.arange(halves.shape[1])
    values = np.zeros(halves.shape[:2])
    for half in (0, 1):
        for evaluated in runs[:, None] if leave_out else runs[None]:
            choosing = np.setdiff1d(runs, evaluated) if leave_out else runs
            worst = _worst(halves[:, choosing, :, half], size)
            chosen[half, worst] = True
            values[:, evaluated] += halves[:, evaluated][:, :, worst, 1 - half].mean(axis=2) / 2
    return TailValues(values, chosen)


def tail_contrast(
    accuracy: Floats,
    *,
    arms: tuple[int, int] = (0, 1),
    share: float = 0.25,
    leave_out: bool = False,
    paired: bool = True,
    conf_level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> TailContrast:
    """Contrast two arms in the worst languages, as :func:`tail_values` finds them.

    Parameters
    ----------
    accuracy
        Shape [A, K, L, 2], as in :func:`tail_values`; all arms take part in the choice. Run k of
        one arm and run k of another are a pair if ``paired``; else arms with fewer runs are filled
        up with NaN.
    arms
        Indices (first, second): the estimate is second minus first.
    share, leave_out
        As in :func:`tail_values`.
    paired
        Paired t test over pairs with both values and sign-flip test, or Welch's t test over runs.
    conf_level
        Nominal coverage.
    rng
        A stream of ``core.rng``; only needed for the sign-flip test of more than 20 pairs.

    Returns
    -------
    TailContrast
        About *these languages*. Measured where the arms differ in no language, nominal .05, 4,000
        studies each (``analysis/error_rates/variance_and_tail.csv``), p < .05 at 3, 5, 10, 20 runs
        per arm: paired .049, .050, .050, .049, unpaired .034, .044, .047, .049; no worse with heavy
        tails. Where what runs do to languages varies 3 times as much in the second arm: paired
        .085, .100, .084, .081, with ``leave_out`` .060, .067, .058, .066.

    Raises
    ------
    FitError
        As :func:`tail_values`; if fewer than two pairs, or two runs of either arm, have values; or
        if a stream is needed and not given.

    References
    ----------
    Student (1908), Biometrika 6, 1-25; Welch (1947), Biometrika 34, 28-35.

    Examples
    --------
    >>> accuracy = np.linspace(0.2, 0.8, 8) + np.zeros((2, 3, 1, 1))
    >>> accuracy = np.stack([accuracy[:, :, 0], accuracy[:, :, 0]], axis=-1)
    >>> accuracy[1] += np.array([0.01, 0.02, 0.03])[:, None, None]
    >>> contrast = tail_contrast(accuracy)
    >>> round(contrast.estimate, 3), contrast.df, round(contrast.p_value, 3), contrast.sign_flip.p_value
    (0.02, 2.0, 0.074, 0.25)
    """
    found = tail_values(accuracy, share=share, leave_out=leave_out)
    first, second = (found.values[arm] for arm in arms)
    if paired:
        both = np.isfinite(first) & np.isfinite(second)
        first, second = first[both], second[both]
    else:
        first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    if min(len(first), len(second)) < 2:
        raise FitError(
            f"{len(first)} and {len(second)} {'paired ' if paired else ''}runs with all worst languages.",
            where="tail",
            hint="At least two are needed in either arm.",
        )
    estimate = float(second.mean() - first.mean())
    error, df = _paired_error(second - first) if paired else _welch_error(first, second)
    test = student_test(estimate, error, df, conf_level=conf_level)
    over = f"{len(first)} pairs of runs" if paired else f"{len(first)} and {len(second)} runs"
    units = len(first) if paired else len(first) + len(second)
    method = "t interval" if paired else "Welch t interval"
    return TailContrast(
        estimate, error, df, test.statistic, test.p_value,
        Interval(test.conf_low, test.conf_high, conf_level, method, over, units, df),
        sign_flip_test(second - first, rng=rng) if paired else None,
        float(first.mean()), float(second.mean()), len(first), len(second), found.chosen,
    )  # fmt: skip


def _checked(accuracy: Floats) -> Floats:
    halves = np.asarray(accuracy, dtype=np.float64)
    if halves.ndim != 4 or halves.shape[3] != 2 or 0 in halves.shape or np.isinf(halves).any():
        raise FitError(
            f"accuracies of shape {halves.shape}, or infinite ones.",
            where="tail",
            hint="Give them by arm, run, language and half of the items, NaN where missing.",
        )
    return halves


def _worst(half: Floats, size: int) -> NDArray[np.intp]:
    """Return the languages with the lowest mean over the arms and runs that have them."""
    present = np.isfinite(half)
    counts = present.sum(axis=(0, 1))
    if (counts > 0).sum() < size:
        raise FitError(
            f"{int((counts > 0).sum())} languages have values, but {size} are to be chosen.", where="tail"
        )
    totals = np.where(present, half, 0.0).sum(axis=(0, 1))
    average = np.divide(totals, counts, out=np.full(len(counts), np.inf), where=counts > 0)
    return np.argsort(average, kind="stable")[:size]


def _paired_error(differences: Floats) -> tuple[float, float]:
    n = len(differences)
    return _above_noise(differences) * float(differences.std(ddof=1)) / math.sqrt(n), n - 1.0


def _welch_error(first: Floats, second: Floats) -> tuple[float, float]:
    """Return standard error and degrees of freedom (Welch 1947)."""
    parts = [_above_noise(arm) * float(arm.var(ddof=1)) / len(arm) for arm in (first, second)]
    spread = parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)
    return math.sqrt(sum(parts)), sum(parts) ** 2 / spread if spread > 0 else math.nan


def _above_noise(values: Floats) -> bool:
    """Whether values differ by more than rounding."""
    return bool(np.ptp(values) > 1e-12 * np.abs(values).max())
