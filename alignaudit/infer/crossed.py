"""The crossed mixed model of arms × pairs × languages by statsmodels, for layouts with missing cells.

Model and restricted likelihood are those of statsmodels. Its own optimiser works on square roots of
variances, where zero is a stationary point; here its criterion and gradient are optimised over the
variances themselves, with bounds, and the standard error of the contrast is the
generalised-least-squares one at the optimum.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

from alignaudit.errors import FitError
from alignaudit.infer.paired import Population

__all__ = ["MixedContrast", "crossed_mixed_model"]

Floats = NDArray[np.float64]
FLOOR = 1e-8
"""Ratio to the residual variance that stands for zero, which statsmodels cannot evaluate."""

STARTS = (1.0, 0.1)
"""Ratios to start from; the second only where the first ends on the boundary. The better end is kept."""

TIGHT = {"ftol": 1e-14, "gtol": 1e-7, "maxiter": 500}
"""Stopping rule of the optimiser."""


@dataclass(frozen=True, slots=True)
class MixedContrast:
    """A contrast of two arms from the crossed mixed model.

    Attributes
    ----------
    estimate, standard_error
        In the unit of the values; the standard error is the generalised-least-squares one.
    components
        REML variances of *values* (not of differences) by ``language``, ``pair``,
        ``pair:language``, ``run``, ``language:arm`` and ``residual``, as far as identified.
    converged
        Whether the optimiser said so.
    boundary
        Whether a component was estimated as zero.
    log_likelihood
        Restricted log-likelihood, at the scale of the values.
    messages
        Warnings of statsmodels, each once.
    n_cells
        Cells used.
    """

    estimate: float
    standard_error: float
    components: Mapping[str, float]
    converged: bool
    boundary: bool
    log_likelihood: float
    messages: tuple[str, ...]
    n_cells: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """Standardised response y [n], fixed design X [n, k], contrast [k], random designs [n, q_c]."""

    y: Floats
    X: Floats
    contrast: Floats
    designs: Mapping[str, Floats]
    unit: float


@dataclass(frozen=True, slots=True)
class _Fit:
    ratios: Mapping[str, float]
    scale: float
    log_likelihood: float
    converged: bool


def crossed_mixed_model(
    values: Floats, *, contrast: tuple[int, int] = (0, 1), population: Population = "these_languages"
) -> MixedContrast:
    """Fit the crossed mixed model by REML and return the contrast of two arms.

    Random effects: pair (checkpoint and seed), pair × language, run (arm × pair) and, for
    *languages like these*, language and language × arm. For *these languages* the arm × language
    means are fixed effects and the contrast is their average over languages.

    Parameters
    ----------
    values
        Shape [A, P, L]: arms × pairs × languages; NaN where a cell is missing. A and P at least 2.
    contrast
        Indices (reference, arm): the result is arm minus reference.
    population
        As in ``crossed_paired_contrast``.

    Returns
    -------
    MixedContrast
        Unit of the values; equals the closed form on complete data inside the parameter space.

    Raises
    ------
    FitError
        If statsmodels fails, the data do not vary, or a fixed mean has no data at all.

    References
    ----------
    Baayen, Davidson & Bates (2008), J. Memory and Language 59, 390-412; Seabold & Perktold (2010),
    statsmodels (MixedLM with variance components).
    """
    layout = _layout(np.asarray(values, dtype=np.float64), contrast, population)
    messages: list[str] = []
    fit = _fit(layout, messages)
    precision = np.linalg.inv(_covariance(layout, fit))
    information = layout.X.T @ precision @ layout.X
    weights = np.linalg.solve(information, layout.contrast)
    estimate = float(weights @ (layout.X.T @ (precision @ layout.y)))
    variance = float(layout.contrast @ weights) * fit.scale
    components = {name: ratio * fit.scale * layout.unit**2 for name, ratio in fit.ratios.items()}
    free = len(layout.y) - layout.X.shape[1]
    return MixedContrast(
        estimate=estimate * layout.unit,
        standard_error=math.sqrt(variance) * layout.unit,
        components={**components, "residual": fit.scale * layout.unit**2},
        converged=fit.converged,
        boundary=any(ratio == 0 for ratio in fit.ratios.values()),
        log_likelihood=fit.log_likelihood - free * math.log(layout.unit),
        messages=tuple(dict.fromkeys(messages)),
        n_cells=len(layout.y),
    )


def _layout(values: Floats, contrast: tuple[int, int], population: Population) -> _Layout:
    if values.ndim != 3 or values.shape[0] < 2 or values.shape[1] < 2:
        raise FitError("the mixed model needs at least two arms and two pairs of runs.")
    arm, pair, language = np.nonzero(np.isfinite(values))
    y = values[arm, pair, language]
    fixed_languages = population == "these_languages"
    X = _indicators(arm, language) if fixed_languages else _indicators(arm)
    levels = np.unique(np.stack([arm, language if fixed_languages else 0 * arm]), axis=1)
    counts = [int((levels[0] == index).sum()) for index in range(values.shape[0])]
    if min(counts) < (values.shape[2] if fixed_languages else 1):
        raise FitError("an arm has no value at all in some language.", hint="Leave that language out.")
    signs = np.where(levels[0] == contrast[1], 1.0, 0.0) - np.where(levels[0] == contrast[0], 1.0, 0.0)
    designs = {"pair": _indicators(pair), "run": _indicators(arm, pair)}
    if values.shape[2] > 1:
        designs["pair:language"] = _indicators(pair, language)
        if not fixed_languages:
            designs |= {"language": _indicators(language), "language:arm": _indicators(language, arm)}
    else:
        del designs["run"]  # the residual, where there is one value per run
    unit = float(np.std(y - X @ np.linalg.lstsq(X, y, rcond=None)[0]))
    if not unit > 1e-12 * float(np.abs(y).max(initial=0.0)):
        raise FitError("the values do not vary, so no mixed model can be fitted.")
    return _Layout(y / unit, X, signs / counts[contrast[0]], designs, unit)


def _indicators(*factors: NDArray[np.intp]) -> Floats:
    """Return the indicator matrix [n, levels] of the crossed factors, levels in sorted order."""
    _, index = np.unique(np.stack(factors), axis=1, return_inverse=True)
    return np.asarray(np.eye(int(index.max()) + 1)[index.ravel()], dtype=np.float64)


def _fit(layout: _Layout, messages: list[str]) -> _Fit:
    """Maximise statsmodels' restricted likelihood over ratios to the residual variance."""
    names = list(layout.designs)
    columns = [[[str(index) for index in range(z.shape[1])]] for z in layout.designs.values()]
    specification = VCSpec(names, columns, [[z] for z in layout.designs.values()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = MixedLM(layout.y, layout.X, np.ones(len(layout.y)), exog_vc=specification, use_sqrt=False)
            model.cov_pen, model._freepat, model._cov_sing = None, None, 0  # what its `fit` would set
            best = _maximum(model, STARTS[0], len(names))
            if np.any(best.x <= 2 * FLOOR):
                best = min(best, _maximum(model, STARTS[1], len(names)), key=lambda run: float(run.fun))
            none = np.zeros((0, 0))
            mean, _ = model.get_fe_params(none, best.x)
            scale = float(model.get_scale(mean, none, best.x))
        except (ValueError, np.linalg.LinAlgError, FloatingPointError) as error:
            raise FitError(f"statsmodels could not fit the mixed model: {error}") from error
    messages.extend(str(warning.message) for warning in caught)
    if not (np.isfinite(best.fun) and np.isfinite(best.x).all() and scale > 0):
        raise FitError("statsmodels returned a mixed model without a finite optimum.")
    ratios = {
        name: float(ratio) if ratio > 2 * FLOOR else 0.0 for name, ratio in zip(names, best.x, strict=True)
    }
    return _Fit(ratios, scale, -float(best.fun), bool(best.success))


def _maximum(model: Any, start: float, size: int) -> Any:
    """Return the result of L-BFGS-B from one start, over variances, where zero is not stationary."""

    def criterion(ratios: Floats) -> tuple[float, Floats]:
        return -float(model.loglike(ratios)), -np.asarray(model.score(ratios), dtype=np.float64)

    bounds = [(FLOOR, None)] * size
    return optimize.minimize(
        criterion, np.full(size, start), jac=True, method="L-BFGS-B", bounds=bounds, options=TIGHT
    )


def _covariance(layout: _Layout, fit: _Fit) -> Floats:
    """Covariance of y in units of the residual variance, shape [n, n]."""
    total = np.eye(len(layout.y))
    for name, ratio in fit.ratios.items():
        if ratio > 0:
            total += ratio * (layout.designs[name] @ layout.designs[name].T)
    return total
