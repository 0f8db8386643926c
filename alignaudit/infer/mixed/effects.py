"""Conditional modes of the random effects: each group's shrunken effect, with the error of its prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import UsageError, did_you_mean
from alignaudit.infer.mixed.curvature import spans
from alignaudit.infer.mixed.design import RandomTerm
from alignaudit.infer.mixed.model import GaussianModel

__all__ = [
    "GroupEffects",
    "effect_rows",
    "effects_table",
    "group_effects",
    "reliability_table",
    "share_table",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupEffects:
    """The sum of a fixed contrast and a random one, in each group.

    Attributes
    ----------
    levels
        Names of the groups.
    estimates, std_errors
        Shape [groups], the unit of the response; the standard error is that of prediction, the
        variances taken as known.
    """

    levels: tuple[str, ...]
    estimates: Floats
    std_errors: Floats


def effects_table(model: GaussianModel, *, conf_level: float) -> pd.DataFrame:
    """Return the conditional modes with prediction intervals, one row per group and effect.

    Parameters
    ----------
    model
        A fit.
    conf_level
        Nominal coverage.

    Returns
    -------
    pandas.DataFrame
        Columns ``group, level, term, estimate, std_error, conf_low, conf_high``.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447 (prediction error variance); Bates et al. (2015),
    J. Statistical Software 67(1), section 5.3 (conditional modes).
    """
    frames = []
    for place, (term, modes) in enumerate(zip(model.design.terms, model.modes(), strict=True)):
        p = np.zeros(len(model.design.fixed_names))
        for column in range(len(term.columns)):
            errors = _errors(model, place, p, np.eye(len(term.columns))[column])
            frames.append(effect_rows(term, column, modes[:, column], errors, conf_level=conf_level))
    return pd.concat(frames, ignore_index=True)


def effect_rows(
    term: RandomTerm, column: int, estimates: Floats, errors: Floats, *, conf_level: float
) -> pd.DataFrame:
    """Return one effect of every group of a term as rows of a table, with normal intervals.

    Parameters
    ----------
    term, column
        The term, and which of its effects.
    estimates, errors
        Shape [groups] each, in one unit.
    conf_level
        Nominal coverage.

    Returns
    -------
    pandas.DataFrame
        Columns as of :func:`effects_table`.
    """
    half = float(stats.norm.ppf(0.5 + conf_level / 2)) * errors
    return pd.DataFrame(
        {
            "group": term.group, "level": term.levels, "term": term.columns[column], "estimate": estimates,
            "std_error": errors, "conf_low": estimates - half, "conf_high": estimates + half,
        }
    )  # fmt: skip


def group_effects(model: GaussianModel, group: str, fixed: Floats, random: Floats) -> GroupEffects:
    """Predict a fixed contrast plus a random one in each group, for example a language's own effect.

    Parameters
    ----------
    model
        A fit.
    group
        Name of the grouping; it must stand in one random term.
    fixed
        Shape [p]: contrast of the fixed effects.
    random
        Shape [k]: contrast of the group's random effects.

    Returns
    -------
    GroupEffects
        Shrunken towards the fixed contrast, the more the less its group tells.

    Raises
    ------
    UsageError
        If there is no random term of that grouping, or several.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447.
    """
    places = [place for place, term in enumerate(model.design.terms) if term.group == group]
    if len(places) != 1:
        known = [term.group for term in model.design.terms]
        raise UsageError(f'{len(places)} random terms group by "{group}".', hint=did_you_mean(group, known))
    term = model.design.terms[places[0]]
    estimates = float(fixed @ model.coefficients) + model.modes()[places[0]] @ random
    return GroupEffects(term.levels, estimates, _errors(model, places[0], fixed, random))


def _errors(model: GaussianModel, place: int, fixed: Floats, random: Floats) -> Floats:
    """Return standard errors of prediction of fixed'b + random'u in every group of a term, shape [groups].

    In units of the residual variance, with S the covariance of u, ``Var(u - u_hat) = S - S Z'PZ S``,
    ``Cov(b_hat, u - u_hat) = -C X'V⁻¹Z S`` and ``Var(b_hat) = C``.
    """
    blocks = model.products.blocks
    index = next(i for i, block in enumerate(blocks) if block.term == place)
    block, span = blocks[index], spans(blocks)[index]
    covariance = model.optimum.at.covariances[index]
    weights = covariance @ (random / model.rows.scales[place])
    basis = model.in_basis(fixed)[0]
    grouped = model.optimum.curved.gram[span, span].reshape(
        block.groups, block.width, block.groups, block.width
    )
    own = np.einsum("gagb->gab", grouped)
    carried = model.optimum.curved.carried[span].reshape(block.groups, block.width, -1)
    prior = float(weights @ (random / model.rows.scales[place]))
    variance = prior - np.einsum("a,gab,b->g", weights, own, weights)
    variance += float(basis @ model.facts.covariance @ basis)
    variance -= 2 * np.einsum("a,gap,p->g", weights, carried, model.facts.covariance @ basis)
    return np.sqrt(np.maximum(variance, 0.0) * model.residual_variance)


def share_table(model: GaussianModel) -> pd.DataFrame:
    """Return what each grouping and the residual contribute to the variance of an observation.

    Parameters
    ----------
    model
        A fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``group, variance, share``: variance is the mean over rows of z'S z, squared unit, and
        share its part of the total.

    References
    ----------
    Johnson (2014), Methods in Ecology and Evolution 5, 944-946 (random slopes: mean of z'S z).
    """
    parts: dict[str, float] = {}
    for term, covariance in zip(model.design.terms, model.covariances(), strict=True):
        moments = term.values.T @ term.values / model.design.n
        parts[term.group] = parts.get(term.group, 0.0) + float(np.sum(moments * covariance))
    parts["Residual"] = model.residual_variance * float(np.mean(1 / model.design.weights))
    variance = np.array(list(parts.values()))
    return pd.DataFrame({"group": list(parts), "variance": variance, "share": variance / variance.sum()})


def reliability_table(model: GaussianModel) -> pd.DataFrame:
    """Return how reliably the data tell the groups of each term apart.

    Parameters
    ----------
    model
        A fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``group, term, reliability``: one minus the mean prediction error variance of the
        conditional modes over their variance; between 0 and 1, NaN where that variance is zero.

    References
    ----------
    Henderson (1975), Biometrics 31, 423-447; VanRaden & Wiggans (1991), J. Dairy Science 74, 2737-2746.
    """
    table = effects_table(model, conf_level=0.95)
    errors = (table["std_error"] ** 2).groupby([table["group"], table["term"]], sort=False).mean()
    rows = []
    for term, covariance in zip(model.design.terms, model.covariances(), strict=True):
        for name, variance in zip(term.columns, np.diagonal(covariance), strict=True):
            error = float(errors[(term.group, name)])
            rows.append((term.group, name, 1 - error / variance if variance > 0 else float("nan")))
    return pd.DataFrame(rows, columns=["group", "term", "reliability"])
