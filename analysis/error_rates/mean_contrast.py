"""Type I error of tests of the schedule's mean effect: recompute the table beside this script.

    python analysis/error_rates/mean_contrast.py [replicates: models] [cheap tests] [bootstraps]

A true null hypothesis is simulated: K paired seeds, two schedules, L languages; standard deviations 8
between languages, 0.5 between seeds, 0.8 between runs, 1.5 residual. The schedule's effect varies
between languages with standard deviation 0 or 1 around a mean of 0. In the last kind of design, seed and
language also interact (standard deviation 1), which no model knows.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from alignaudit.core import rng as streams
from alignaudit.infer.mixed.contrast import contrasts
from alignaudit.infer.mixed.design import build_design
from alignaudit.infer.mixed.model import GaussianModel, fit_gaussian
from alignaudit.infer.paired import balanced_paired_contrast
from alignaudit.infer.permutation import sign_flip_test

FULL = "score ~ schedule + (1 + schedule | language) + (1 | seed) + (1 | seed:schedule)"
NAIVE = "score ~ schedule + (1 | language)"
METHODS = ("strata", "kenward-roger", "satterthwaite", "wald")
CONTRAST = np.array([[0.0, 1.0]])
DESIGNS = [
    (seeds, languages, slope, unmodelled)
    for seeds, languages in [*product((5, 10), (7, 36, 112)), (3, 36), (20, 36)]
    for slope, unmodelled in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
]


def draw(generator: np.random.Generator, seeds: int, languages: int, slope: float, unmodelled: float):
    """Return scores [2 schedules, seeds, languages] without a mean effect of the schedule."""
    normal = generator.standard_normal
    scores = 8.0 * normal((1, 1, languages)) + 0.5 * normal((1, seeds, 1)) + 0.8 * normal((2, seeds, 1))
    scores = scores + 1.5 * normal((2, seeds, languages)) + unmodelled * normal((1, seeds, languages))
    scores[1] += slope * normal((1, languages))
    return scores


def template(formula: str, seeds: int, languages: int) -> GaussianModel:
    """Fit the model once, for its set-up."""
    arms, runs, places = np.indices((2, seeds, languages)).reshape(3, -1)
    frame = pd.DataFrame(
        {
            "schedule": np.array(["sequential", "concurrent"])[arms],
            "seed": runs.astype(str),
            "language": places.astype(str),
            "score": draw(np.random.default_rng(0), seeds, languages, 1.0, 0.0).ravel(),
        }
    )
    return fit_gaussian(build_design(formula, frame), reml=True)


def cheap(scores: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield p-values of the tests that need no model."""
    difference = scores[1] - scores[0]
    languages, runs = difference.mean(axis=0), difference.mean(axis=1)
    yield "t test over cells, unpaired", stats.ttest_ind(scores[1].ravel(), scores[0].ravel()).pvalue
    yield "t test over cells, paired", stats.ttest_rel(scores[1].ravel(), scores[0].ravel()).pvalue
    yield "least squares with language dummies", ols(scores)
    yield "t test over language means", stats.ttest_1samp(languages, 0).pvalue
    yield "Wilcoxon over language means", stats.wilcoxon(languages).pvalue
    yield "paired t test over run means", stats.ttest_1samp(runs, 0).pvalue
    yield "exact sign flips over run means", sign_flip_test(runs).p_value
    like = balanced_paired_contrast(difference, population="languages_like_these")
    yield "strata in closed form, languages like these", like.p_value


def ols(scores: np.ndarray) -> float:
    """Return the p-value of the schedule in least squares with a dummy for each language."""
    centred = scores - scores.mean(axis=(0, 1), keepdims=True)
    effect = centred[1].mean() - centred[0].mean()
    rest = centred - centred.mean(axis=(1, 2), keepdims=True)
    df = scores.size - scores.shape[2] - 1
    error = np.sqrt((rest**2).sum() / df * 4 / scores.size)
    return float(2 * stats.t.sf(abs(effect / error), df))


def modelled(full: GaussianModel, naive: GaussianModel, scores: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yield p-values of the mixed models."""
    fitted = full.refit(scores.ravel())
    for method in METHODS:
        found = contrasts(fitted, CONTRAST, ["effect"], df=method)
        p_value = 2 * stats.t.sf(abs(found.estimates[0] / found.std_errors[0]), found.df[0])
        yield f"crossed mixed model, {method}", float(p_value)
    found = contrasts(naive.refit(scores.ravel()), CONTRAST, ["effect"], df="satterthwaite")
    p_value = 2 * stats.t.sf(abs(found.estimates[0] / found.std_errors[0]), found.df[0])
    yield "mixed model with (1 | language) only, satterthwaite", float(p_value)


def resampled(
    scores: np.ndarray, generator: np.random.Generator, draws: int = 499
) -> Iterator[tuple[str, bool]]:
    """Yield whether zero lies outside percentile intervals of two bootstraps."""
    difference = scores[1] - scores[0]
    runs, languages = difference.shape
    whole = difference.mean(axis=1)[generator.integers(runs, size=(draws, runs))].mean(axis=1)
    yield "percentile bootstrap of whole runs", _outside(whole)
    drawn = generator.integers(runs, size=(draws, runs, languages))
    apart = np.take_along_axis(difference[None], drawn, axis=1).mean(axis=(1, 2))
    yield "percentile bootstrap of runs, drawn for each language apart", _outside(apart)


def _outside(draws: np.ndarray) -> bool:
    low, high = np.quantile(draws, [0.025, 0.975])
    return bool(low > 0 or high < 0)


def rejections(
    design: tuple[int, int, float, float], models: int, cheap_tests: int, bootstraps: int
) -> dict[str, list[bool]]:
    """Return, by test, whether each replicate was called significant at .05."""
    seeds, languages, _, _ = design
    full, naive = template(FULL, seeds, languages), template(NAIVE, seeds, languages)
    generator = streams.stream(0, "error_rates", *(str(number) for number in design))
    resampler = streams.stream(0, "error_rates", "resampling", *(str(number) for number in design))
    found: dict[str, list[bool]] = {}
    for replicate in range(max(models, cheap_tests, bootstraps)):
        scores = draw(generator, *design)
        results = list(cheap(scores)) if replicate < cheap_tests else []
        if replicate < models:
            results += list(modelled(full, naive, scores))
        for name, p_value in results:
            found.setdefault(name, []).append(p_value < 0.05)
        for name, outside in resampled(scores, resampler) if replicate < bootstraps else ():
            found.setdefault(name, []).append(outside)
    return found


def main(models: int = 2000, cheap_tests: int = 4000, bootstraps: int = 2000) -> None:
    header = [
        "test",
        "seeds",
        "languages",
        "slope_sd",
        "unmodelled_sd",
        "replicates",
        "rate",
        "standard_error",
    ]
    path = Path(__file__).with_name("mean_contrast.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        for design in DESIGNS:
            for test, hits in rejections(design, models, cheap_tests, bootstraps).items():
                rate = float(np.mean(hits))
                error = (rate * (1 - rate) / len(hits)) ** 0.5
                table.writerow([test, *design, len(hits), f"{rate:.4f}", f"{error:.4f}"])
            file.flush()
            print(design, file=sys.stderr)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
