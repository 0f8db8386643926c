"""Degrees of freedom by strata: each population that was sampled counts with as many as it has members.

A contrast of fixed effects is a weighted sum of the observations, and its variance is a sum of parts:
one for each random term, one for the residuals. A part that rests on ten runs is known with some nine
degrees of freedom, whatever the likelihood says about it; in particular it stays so where its variance
is estimated as zero. That is where other approximations fail in designs with few runs: Satterthwaite's
drops the part and takes the residuals' degrees of freedom instead, Kenward and Roger's keeps too many
variances at once and becomes conservative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alignaudit.infer.mixed.criterion import factorise, slopes
from alignaudit.infer.mixed.curvature import spans
from alignaudit.infer.mixed.model import GaussianModel
from alignaudit.infer.mixed.roots import directions
from alignaudit.infer.mixed.signed import with_fixed_groups, with_signed_variance

__all__ = ["strata_df", "strata_source", "strata_tests"]

Floats = NDArray[np.float64]
SATURATED = 1e3
"""Standardised root of a term that is as good as fixed."""


@dataclass(frozen=True, slots=True)
class _Grouping:
    """All random terms of one grouping; symbols: groups l, their columns k, fixed columns p."""

    index: NDArray[np.intp]
    groups: int
    names: tuple[str, ...]
    inverse: Floats  # [l, k, k]: pseudo-inverse of Z'Z of each group
    constant: Floats  # [l, k, d]: coefficients of the d fixed combinations that lie in the span of Z
    inside: Floats  # [p, d]: these combinations
    places: NDArray[np.intp]  # [l, k]: rows of the effects among all
    parameters: tuple[slice, ...]  # of the covariances' entries
    terms: tuple[int, ...]  # of the design


@dataclass(frozen=True, slots=True)
class _Stratum:
    """One part of a contrast's variance."""

    df: float
    part: float
    share: float  # what of the residual's part lies in its span; below 0 if it does not contain the contrast
    grouping: _Grouping


def strata_tests(model: GaussianModel, contrasts: Floats) -> tuple[Floats, Floats]:
    """Return the variances of single contrasts and their degrees of freedom, by strata.

    With f = sum of f_s over the strata s, ``df = f² / sum (f_s² / df_s)``. A grouping's part f_s is
    what its variances contribute to the variance of the contrast, and df_s the number of its groups
    less the number of fixed effects, and of groups of coarser groupings, that are constant within
    them. A grouping *contains* a contrast that could not be estimated if its effects were fixed, as
    the runs contain the schedule that each was trained by. The containing grouping with the fewest
    degrees of freedom takes in the parts of all groupings nested in it, and what the residuals
    contribute within its span. The rest of the residuals' part has the residual degrees of freedom.
    Where the variance of that grouping is estimated as zero, it may go below zero for this test. Where
    that of a coarser one is (as of the seeds that runs are paired by), its groups are taken as fixed:
    pooling the runs over seeds whenever that makes their variance smaller would favour rejection.

    Parameters
    ----------
    model
        A fit.
    contrasts
        Shape [r, p], over the orthonormal basis of the fixed columns.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape [r] each
        Squared unit of the response; degrees of freedom. In balanced nested and split-plot designs
        those of the exact t test.

    References
    ----------
    Satterthwaite (1946), Biometrics Bulletin 2, 110-114, eq. 17, with strata as the mean squares;
    Schluchter & Elashoff (1990), J. Statistical Computation and Simulation 37, 69-87 (between and
    within degrees of freedom).
    """
    strata = _Strata(model)
    used = {id(model): strata}
    variances, dfs = [], []
    for contrast in contrasts:
        source, moved = strata.source(contrast[None])
        own = used.setdefault(id(source), strata if source is model else _Strata(source))
        row = moved[0]
        variances.append(source.residual_variance * float(row @ source.facts.covariance @ row))
        dfs.append(own.df(row))
    return np.array(variances), np.array(dfs)


def strata_df(model: GaussianModel, contrasts: Floats) -> Floats:
    """Return the degrees of freedom of single contrasts, shape [r], the model's variances taken as they are.

    Parameters
    ----------
    model, contrasts
        As in :func:`strata_tests`.
    """
    strata = _Strata(model)
    return np.array([strata.df(contrast) for contrast in contrasts])


def strata_source(model: GaussianModel, contrasts: Floats) -> tuple[GaussianModel, Floats]:
    """Return the fit whose variances a test of contrasts by strata uses.

    Parameters
    ----------
    model, contrasts
        As in :func:`strata_tests`.

    Returns
    -------
    tuple
        The model itself, or one without the bounds at zero that matter for the contrasts, and the
        contrasts over its own orthonormal basis, shape [r, p'].
    """
    return _Strata(model).source(contrasts)


class _Strata:
    """The strata of one model."""

    def __init__(self, model: GaussianModel) -> None:
        self.model = model
        self.groupings = _groupings(model)
        self._others: dict[int, GaussianModel] = {}

    @cached_property
    def residual_df(self) -> float:
        """Return the rows less the rank of fixed and random columns together."""
        return _residual_df(self.model)

    def source(self, contrasts: Floats) -> tuple[GaussianModel, Floats]:
        """Return the fit whose variances a test uses, and the contrasts over its basis."""
        for contrast in contrasts:
            strata = self.parts(contrast)
            owner = self.owner(strata)
            if owner is None:
                continue
            for stratum in strata:
                coarser = _above(owner.grouping, stratum.grouping) is not None
                if coarser and stratum.share < 0 and self._at_zero(stratum.grouping):
                    return self._with_fixed(stratum.grouping.terms[0], contrasts)
            if self._at_zero(owner.grouping):
                term = owner.grouping.terms[0]
                if term not in self._others:
                    self._others[term] = with_signed_variance(self.model, term)
                return self._others[term], contrasts
        return self.model, contrasts

    def _at_zero(self, grouping: _Grouping) -> bool:
        """Return whether a grouping has a single variance, and that is estimated as zero."""
        root = self.model.roots[grouping.terms[0]]
        return len(grouping.terms) == 1 and root.shape == (1, 1) and not root.any()

    def _with_fixed(self, term: int, contrasts: Floats) -> tuple[GaussianModel, Floats]:
        if term not in self._others:
            self._others[term] = with_fixed_groups(self.model, term)
        other = self._others[term]
        if other is self.model:
            return self.model, contrasts
        rows = contrasts @ self.model.rows.triangle
        padded = np.hstack([rows, np.zeros((len(rows), other.products.p - rows.shape[1]))])
        return _Strata(other).source(other.in_basis(padded))

    def parts(self, contrast: Floats) -> list[_Stratum]:
        """Return the part of each grouping in the variance of a contrast."""
        facts = self.model.facts
        moved = facts.covariance @ contrast
        rates = np.einsum("a,iab,b->i", moved, facts.first, moved) * facts.entries
        loads = self.model.optimum.curved.carried @ moved
        return [
            _stratum(grouping, self.groupings, rates, loads[grouping.places], contrast)
            for grouping in self.groupings
        ]

    @staticmethod
    def owner(strata: Sequence[_Stratum]) -> _Stratum | None:
        """Return the containing grouping with the fewest degrees of freedom."""
        owners = [stratum for stratum in strata if stratum.share >= 0]
        return min(owners, key=lambda stratum: stratum.df) if owners else None

    def df(self, contrast: Floats) -> float:
        """Return the degrees of freedom of a contrast."""
        facts = self.model.facts
        moved = facts.covariance @ contrast
        residual = float(moved @ facts.first[-1] @ moved)
        strata = self.parts(contrast)
        owner = self.owner(strata)
        if owner is not None:
            nested = [s for s in strata if s is not owner and _above(s.grouping, owner.grouping) is not None]
            share = min(owner.share, residual)
            total = owner.part + share + sum(stratum.part for stratum in nested)
            residual -= share
            rest = [s for s in strata if s is not owner and s not in nested]
            strata = [*rest, replace(owner, part=total)]
        parts = np.array([stratum.part for stratum in strata] + [residual])
        dfs = np.array([max(1.0, stratum.df) for stratum in strata] + [1.0])
        if residual > 1e-9 * parts.sum():
            dfs[-1] = self.residual_df
        return float(parts.sum() ** 2 / (parts**2 / dfs).sum())


def _stratum(
    grouping: _Grouping, groupings: Sequence[_Grouping], rates: Floats, loads: Floats, contrast: Floats
) -> _Stratum:
    """Return one grouping's part of a contrast; ``loads`` are Z'a of its weights a, shape [l, k]."""
    part = sum(float(rates[span].sum()) for span in grouping.parameters)
    coefficients = np.einsum("gab,gb->ga", grouping.inverse, loads)
    axis = np.linalg.svd(coefficients, full_matrices=False)[2][0]
    contains = np.abs(grouping.inside.T @ contrast).max(initial=0.0) > 1e-6 * np.abs(contrast).max()
    share = float((loads * coefficients).sum()) if contains else -1.0
    return _Stratum(_free_groups(grouping, groupings, axis), part, share, grouping)


def _free_groups(grouping: _Grouping, groupings: Sequence[_Grouping], axis: Floats) -> float:
    """Return the groups less all that is constant within them along a direction of their effects."""
    columns = [np.einsum("gkd,k->gd", grouping.constant, axis)]
    used = {name for name, weight in zip(grouping.names, axis, strict=True) if abs(weight) > 1e-6}
    for other in groupings:
        above = _above(grouping, other)
        if above is not None and used <= set(other.names):
            columns.append(np.eye(other.groups)[above])
    return float(grouping.groups - np.linalg.matrix_rank(np.hstack(columns), tol=1e-6))


def _above(grouping: _Grouping, other: _Grouping) -> NDArray[np.intp] | None:
    """Return the group of a coarser grouping that each group lies in, or None if there is none."""
    if other.groups >= grouping.groups:
        return None
    above = np.zeros(grouping.groups, dtype=np.intp)
    above[grouping.index] = other.index
    return above if np.array_equal(above[grouping.index], other.index) else None


def _groupings(model: GaussianModel) -> list[_Grouping]:
    """Collect the random terms by grouping."""
    blocks = model.products.blocks
    ends = np.cumsum([len(directions(block.width)) for block in blocks])
    by_name: dict[str, list[int]] = {}
    for place, block in enumerate(blocks):
        by_name.setdefault(model.design.terms[block.term].group, []).append(place)
    return [_grouping(model, places, ends) for places in by_name.values()]


def _grouping(model: GaussianModel, members: Sequence[int], ends: NDArray[np.intp]) -> _Grouping:
    blocks, terms = model.products.blocks, model.design.terms
    index, groups = terms[blocks[members[0]].term].index, blocks[members[0]].groups
    values: list[Floats] = []
    places: list[NDArray[np.intp]] = []
    names: list[str] = []
    for member in members:
        block, span = blocks[member], spans(blocks)[member]
        values.append(
            terms[block.term].values / model.rows.scales[block.term] * model.rows.root_weights[:, None]
        )
        places.append(np.arange(span.start, span.stop).reshape(groups, block.width))
        names += terms[block.term].columns
    columns = np.hstack(values)
    inverse = np.asarray(
        np.linalg.pinv(_by_group(columns, columns, index, groups), rcond=1e-10, hermitian=True)
    )
    crossed = _by_group(columns, model.rows.basis, index, groups)
    solved = inverse @ crossed
    sizes, vectors = np.linalg.eigh(np.eye(crossed.shape[2]) - np.einsum("gap,gaq->pq", crossed, solved))
    inside = vectors[:, sizes < 1e-8]
    parameters = tuple(slice(int(ends[m]) - len(directions(blocks[m].width)), int(ends[m])) for m in members)
    return _Grouping(
        index,
        groups,
        tuple(names),
        inverse,
        solved @ inside,
        inside,
        np.hstack(places),
        parameters,
        tuple(blocks[member].term for member in members),
    )


def _by_group(left: Floats, right: Floats, index: NDArray[np.intp], groups: int) -> Floats:
    """Return the products of columns, summed over the rows of each group, shape [groups, left, right]."""
    sums = [[np.bincount(index, weights=a * b, minlength=groups) for b in right.T] for a in left.T]
    return np.moveaxis(np.array(sums), 2, 0)


def _residual_df(model: GaussianModel) -> float:
    """Return the rows less the rank of fixed and random columns together."""
    products = model.products
    roots = [SATURATED * np.eye(block.width) for block in products.blocks]
    parts = slopes(products, factorise(products, roots, reml=True)).information
    used = sum(float(np.trace(part)) for part in parts) * SATURATED**2
    return max(1.0, float(round(products.n - products.p - used)))
