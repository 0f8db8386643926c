"""The schedule contrast in closed form: a crossed mixed model of run and language differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import FitError
from alignaudit.infer.interval import Interval
from alignaudit.infer.student import student_test

__all__ = ["PairedContrast", "Population", "balanced_paired_contrast"]

Population = Literal["these_languages", "languages_like_these"]


@dataclass(frozen=True, slots=True)
class PairedContrast:
    """Mean difference of two arms over paired runs and languages.

    Attributes
    ----------
    estimate, standard_error
        In the unit of the differences.
    df, df_method
        Degrees of freedom and where they come from.
    statistic, p_value
        t and its two-sided p; NaN where the runs do not vary at all.
    interval
        Two-sided t interval.
    components
        Variances of the differences by ``run`` (pair of runs), ``language`` and ``residual``,
        squared unit; negative moment estimates stand as 0 and are named in ``truncated``.
    truncated
        Components whose moment estimate was negative.
    population
        What the interval speaks about.
    n_pairs, n_languages
        P and L.
    """

    estimate: float
    standard_error: float
    df: float
    df_method: str
    statistic: float
    p_value: float
    interval: Interval
    components: Mapping[str, float]
    truncated: tuple[str, ...]
    population: Population
    n_pairs: int
    n_languages: int


@dataclass(frozen=True, slots=True)
class _Strata:
    """Mean squares of a complete P × L layout."""

    pair: float
    language: float
    residual: float
    df_pair: int
    df_language: int

    @property
    def df_residual(self) -> int:
        return self.df_pair * self.df_language


def balanced_paired_contrast(
    differences: NDArray[np.float64], *, population: Population = "these_languages", conf_level: float = 0.95
) -> PairedContrast:
    """Estimate and test the mean of crossed paired differences of a complete layout, in closed form.

    The model is ``d_pl = mu + a_p + b_l + e_pl`` with the run pair p and the language l. For
    *these languages* the b_l are fixed and ``Var = MS_p / (P L)`` with P − 1 degrees of freedom:
    the exact paired t test on the pair means. For *languages like these* they are a random sample
    and ``Var = (MS_p + MS_l − MS_e) / (P L)``, never below MS / (P L) of the stratum with the fewer
    degrees of freedom: that stratum keeps its own whatever its variance is estimated as, and the
    other one adds what it has above the residual mean square.
    ``df = Var² / (MS² / df + (Var − MS)² / df')`` in the same units. On complete data
    :func:`alignaudit.infer.crossed.crossed_paired_contrast` gives the same, from the mixed model.

    Parameters
    ----------
    differences
        Shape [P, L], arm minus reference arm, complete, P at least 2.
    population
        ``these_languages`` or ``languages_like_these`` (the latter needs L at least 2).
    conf_level
        Nominal coverage of the interval.

    Returns
    -------
    PairedContrast
        On complete balanced data with all components positive, estimate, standard error and
        components are those of REML.

    Raises
    ------
    FitError
        If the layout is not complete or too small.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2, 110-114, eq. 17, with strata as the mean squares;
    Searle, Casella & McCulloch (1992), Variance Components, chapter 4 (two-way crossed layout).

    Examples
    --------
    >>> d = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    >>> contrast = balanced_paired_contrast(d)
    >>> contrast.estimate, contrast.df, round(contrast.standard_error, 4)
    (2.5, 2.0, 0.5774)
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.shape[0] < 2 or d.shape[1] < 1 or not np.isfinite(d).all():
        raise FitError("the paired contrast needs a complete layout of at least two pairs of runs.")
    if population == "languages_like_these" and d.shape[1] < 2:
        raise FitError("languages like these cannot be inferred from a single language.")
    strata = _mean_squares(d)
    variance, df, df_method = _variance_of_mean(strata, d.size, population)
    noise_floor = (1e-12 * float(np.abs(d).max())) ** 2
    standard_error = float(np.sqrt(variance)) if variance > noise_floor else 0.0
    estimate = float(d.mean())
    test = student_test(estimate, standard_error, df, conf_level=conf_level)
    over = f"{d.shape[0]} pairs of runs" + (
        "" if population == "these_languages" else f" and {d.shape[1]} languages"
    )
    interval = Interval(test.conf_low, test.conf_high, conf_level, "t interval", over, d.shape[0], df)
    components, truncated = _components(strata, d.shape)
    return PairedContrast(
        estimate, standard_error, df, df_method, test.statistic, test.p_value, interval,
        components, truncated, population, d.shape[0], d.shape[1],
    )  # fmt: skip


def _mean_squares(d: NDArray[np.float64]) -> _Strata:
    n_pairs, n_languages = d.shape
    by_pair = d.mean(axis=1, keepdims=True) - d.mean()
    by_language = d.mean(axis=0, keepdims=True) - d.mean()
    rest = d - d.mean() - by_pair - by_language
    df_pair, df_language = n_pairs - 1, n_languages - 1
    return _Strata(
        pair=float(n_languages * (by_pair**2).sum() / df_pair),
        language=float(n_pairs * (by_language**2).sum() / df_language) if df_language else 0.0,
        residual=float((rest**2).sum() / (df_pair * df_language)) if df_language else 0.0,
        df_pair=df_pair,
        df_language=df_language,
    )


def _variance_of_mean(s: _Strata, cells: int, population: Population) -> tuple[float, float, str]:
    """Variance of the grand mean, its degrees of freedom, and their name."""
    paired = s.pair / cells, float(s.df_pair), "paired t (pairs - 1)"
    if population == "these_languages":
        return paired
    combined = s.pair + s.language - s.residual
    strata = sorted([(s.df_pair, s.pair), (s.df_language, s.language)], key=lambda stratum: stratum[0])
    (own_df, own), (other_df, _) = strata
    variance = max(own, combined)
    df = variance**2 / (own**2 / own_df + (variance - own) ** 2 / other_df) if variance > 0 else own_df
    return variance / cells, float(df), "strata of runs and languages"


def _components(s: _Strata, shape: tuple[int, ...]) -> tuple[dict[str, float], tuple[str, ...]]:
    n_pairs, n_languages = shape
    if n_languages < 2:
        return {"run": s.pair}, ()
    moments = {
        "run": (s.pair - s.residual) / n_languages,
        "language": (s.language - s.residual) / n_pairs,
        "residual": s.residual,
    }
    truncated = tuple(name for name, value in moments.items() if value < 0)
    return {name: max(0.0, value) for name, value in moments.items()}, truncated
