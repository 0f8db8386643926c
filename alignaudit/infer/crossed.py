"""The schedule contrast by the crossed mixed model of paired differences, complete or with missing cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import FitError
from alignaudit.infer.interval import Interval
from alignaudit.infer.mixed.contrast import contrasts
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.effects import group_effects
from alignaudit.infer.mixed.model import GaussianModel, fit_gaussian
from alignaudit.infer.paired import PairedContrast, Population, balanced_paired_contrast
from alignaudit.infer.student import student_test

__all__ = ["crossed_paired_contrast", "language_predictions"]

Floats = NDArray[np.float64]
FORMULAE: Mapping[Population, str] = {
    "these_languages": "difference ~ 0 + language + (1 | run)",
    "languages_like_these": "difference ~ 1 + (1 | run) + (1 | language)",
}
"""Models of the differences; a run is here a pair of runs. Languages are fixed, or a random sample."""

NOISE = 1e-9
"""Spread of the differences around runs and languages, relative to their own, that counts as none."""


def crossed_paired_contrast(
    differences: Floats, *, population: Population = "these_languages", conf_level: float = 0.95
) -> PairedContrast:
    """Estimate and test the mean of crossed paired differences by restricted maximum likelihood.

    The differences within pairs of runs and languages, ``d_pl = mu + a_p + b_l + e_pl``, are free of
    all that the two runs of a pair share. For *these languages* the b_l are fixed and the estimate is
    the mean of the languages' own; for *languages like these* they are a random sample. Degrees of
    freedom are by strata (:func:`alignaudit.infer.mixed.strata.strata_tests`).

    Parameters
    ----------
    differences
        Shape [P, L], arm minus reference arm, pairs of runs × languages; NaN where a cell is missing
        in either arm. At least two pairs must have values.
    population
        ``these_languages`` or ``languages_like_these`` (the latter needs L at least 2).
    conf_level
        Nominal coverage of the interval.

    Returns
    -------
    PairedContrast
        On complete data that of :func:`alignaudit.infer.paired.balanced_paired_contrast`.

    Raises
    ------
    FitError
        If fewer than two pairs have values, a language has none, or the model cannot be fitted.

    References
    ----------
    Baayen, Davidson & Bates (2008), J. Memory and Language 59, 390-412 (crossed random effects).

    Examples
    --------
    >>> d = np.array([[1.0, 2.0], [2.0, 3.5], [3.0, np.nan]])
    >>> contrast = crossed_paired_contrast(d)
    >>> round(contrast.estimate, 2), round(contrast.df, 1)
    (2.61, 2.0)
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or np.isinf(d).any():
        raise FitError("paired differences must be finite or missing, pairs of runs × languages.")
    d = d[np.isfinite(d).any(axis=1)]
    if d.shape[0] < 2 or not np.isfinite(d).any(axis=0).all():
        raise FitError(
            "the mixed model needs two pairs of runs, and every language in one.",
            hint="Leave out languages without values, or train more seeds.",
        )
    if population == "languages_like_these" and d.shape[1] < 2:
        raise FitError("languages like these cannot be inferred from a single language.")
    if d.shape[1] == 1 or _without_noise(d):
        return balanced_paired_contrast(d, population=population, conf_level=conf_level)
    model = _model(d, population)
    weights = np.full((1, model.products.p), 1 / model.products.p)
    found = contrasts(model, weights, ["mean"], df="strata")
    estimate, error, df = float(found.estimates[0]), float(found.std_errors[0]), float(found.df[0])
    test = student_test(estimate, error, df, conf_level=conf_level)
    over = f"{d.shape[0]} pairs of runs"
    if population == "languages_like_these":
        over += f" and {d.shape[1]} languages"
    interval = Interval(test.conf_low, test.conf_high, conf_level, "t interval", over, d.shape[0], df)
    components = _components(model)
    df_method = _df_words(population, complete=bool(np.isfinite(d).all()))
    return PairedContrast(
        estimate=estimate, standard_error=error, df=df, df_method=df_method, statistic=test.statistic,
        p_value=test.p_value, interval=interval, components=components,
        truncated=tuple(name for name, value in components.items() if value == 0), population=population,
        n_pairs=d.shape[0], n_languages=d.shape[1],
    )  # fmt: skip


def language_predictions(differences: Floats, *, conf_level: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Predict each language's own effect, shrunken towards the mean of all.

    Parameters
    ----------
    differences
        Shape [P, L], as in :func:`crossed_paired_contrast`; L at least 2.
    conf_level
        Nominal coverage of the prediction intervals, the variances taken as known.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape [L] each
        Predictions and the bounds of their intervals, the unit of the differences; NaN where nothing
        is left of the differences beyond runs and languages.

    Raises
    ------
    FitError
        If there are fewer than two languages, or the model cannot be fitted.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447 (best linear unbiased prediction and its error).
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or d.shape[1] < 2 or not np.isfinite(d).any(axis=0).all():
        raise FitError("shrunken effects need at least two languages, each with values.")
    if _without_noise(d):
        nothing = np.full(d.shape[1], np.nan)
        return nothing, nothing, nothing
    found = group_effects(_model(d, "languages_like_these"), "language", np.ones(1), np.ones(1))
    half = float(stats.norm.ppf(0.5 + conf_level / 2)) * found.std_errors
    order = np.argsort([int(level) for level in found.levels])
    estimates, half = found.estimates[order], half[order]
    return estimates, estimates - half, estimates + half


def _model(d: Floats, population: Population) -> GaussianModel:
    run, language = np.nonzero(np.isfinite(d))
    frame = pd.DataFrame(
        {
            "difference": d[run, language],
            "run": pd.Categorical(run),
            "language": pd.Categorical(language),
        }
    )
    return fit_gaussian(build_design(FORMULAE[population], frame), reml=True)


def _without_noise(d: Floats) -> bool:
    """Return whether runs and languages explain every difference, so that no residual variance is left."""
    if not np.isfinite(d).all():
        return False
    rest = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0, keepdims=True) + d.mean()
    return bool(np.abs(rest).max() <= NOISE * np.abs(d).max())


def _components(model: GaussianModel) -> dict[str, float]:
    """Return the variances of the differences by what they are between."""
    by_group = {
        term.group: float(covariance[0, 0])
        for term, covariance in zip(model.design.terms, model.covariances(), strict=True)
    }
    names = [name for name in ("run", "language") if name in by_group]
    return {name: by_group[name] for name in names} | {"residual": model.residual_variance}


def _df_words(population: Population, *, complete: bool) -> str:
    if population == "languages_like_these":
        return "strata of runs and languages"
    return "paired t (pairs - 1)" if complete else "strata of runs"
