"""Estimated marginal means, their contrasts, and tests of whole factors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from alignaudit.errors import FitError, UsageError, did_you_mean
from alignaudit.infer.adjust import ADJUSTMENTS, adjust
from alignaudit.infer.equivalence import two_one_sided_tests
from alignaudit.infer.mixed.contrast import Contrasts, contrasts, tidy_table
from alignaudit.infer.mixed.design import MixedDesign
from alignaudit.infer.mixed.fit import MixedFit
from alignaudit.infer.mixed.terms import predictors

__all__ = ["ContrastTable", "MarginalMeans", "marginal_means"]

Floats = NDArray[np.float64]
Kind = Literal["pairwise", "reference", "consecutive"]
KINDS: tuple[Kind, ...] = ("pairwise", "reference", "consecutive")


@dataclass(frozen=True, slots=True)
class ContrastTable:
    """Differences of marginal means.

    Attributes
    ----------
    found
        Estimates, standard errors and degrees of freedom.
    adjustment
        ``tukey``, or a method of :func:`alignaudit.infer.adjust.adjust`.
    family
        Number of means that a Tukey family compares, and number of contrasts otherwise.
    """

    found: Contrasts
    adjustment: str
    family: int

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the contrasts with tests of zero and intervals.

        Parameters
        ----------
        conf_level
            Nominal coverage; simultaneous for Tukey and Bonferroni, of each interval alone otherwise.

        Returns
        -------
        pandas.DataFrame
            Columns ``contrast, estimate, std_error, df, statistic, p_value, conf_low, conf_high``;
            the p-value is the adjusted one.
        """
        level = conf_level if self.adjustment != "bonferroni" else 1 - (1 - conf_level) / self.family
        table = tidy_table(self.found, conf_level=level, label="contrast")
        if self.adjustment != "tukey" or self.family < 3:
            raw = table["p_value"].to_numpy()
            return table.assign(
                p_value=raw if self.adjustment == "tukey" else adjust(raw.tolist(), self.adjustment)
            )
        df = self.found.df
        spread = np.abs(table["statistic"].to_numpy()) * math.sqrt(2)
        p_value = np.array([_range_tail(s, self.family, d) for s, d in zip(spread, df, strict=True)])
        half = self.found.std_errors * np.array(
            [
                _range_quantile(conf_level, self.family, float(f"{d:.9g}")) for d in df
            ]  # equal but for rounding
        )
        return table.assign(
            p_value=p_value, conf_low=self.found.estimates - half, conf_high=self.found.estimates + half
        )

    def equivalence(self, bound: float, *, alpha: float = 0.05) -> pd.DataFrame:
        """Test by two one-sided tests that differences are smaller than a bound.

        Parameters
        ----------
        bound
            Smallest difference of interest, above 0, the unit of the response.
        alpha
            Level of each one-sided test.

        Returns
        -------
        pandas.DataFrame
            Columns ``contrast, estimate, bound, p_value, conf_low, conf_high, equivalent``; the
            interval has level ``1 - 2 alpha``.

        Raises
        ------
        UsageError
            If the bound is not above zero.

        References
        ----------
        Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, 657-680.
        """
        if not bound > 0:
            raise UsageError(f"an equivalence bound must be above zero, and {bound} is not.")
        rows = []
        for name, estimate, error, df in self._each():
            test = two_one_sided_tests(estimate, error, df, bound=bound, alpha=alpha)
            rows.append((name, estimate, bound, test.p_value, test.conf_low, test.conf_high, test.equivalent))
        columns = ["contrast", "estimate", "bound", "p_value", "conf_low", "conf_high", "equivalent"]
        return pd.DataFrame(rows, columns=columns)

    def noninferiority(self, margin: float) -> pd.DataFrame:
        """Test that differences are not below minus a margin.

        Parameters
        ----------
        margin
            Largest loss that does not matter, above 0, the unit of the response.

        Returns
        -------
        pandas.DataFrame
            Columns ``contrast, estimate, margin, statistic, p_value``.

        Raises
        ------
        UsageError
            If the margin is not above zero.

        References
        ----------
        Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, 657-680 (the lower test).
        """
        if not margin > 0:
            raise UsageError(f"a margin must be above zero, and {margin} is not.")
        rows = []
        for name, estimate, error, df in self._each():
            statistic = (estimate + margin) / error
            rows.append((name, estimate, margin, statistic, float(stats.t.sf(statistic, df))))
        return pd.DataFrame(rows, columns=["contrast", "estimate", "margin", "statistic", "p_value"])

    def _each(self) -> zip[tuple[str, float, float, float]]:
        found = self.found
        numbers = (found.estimates.tolist(), found.std_errors.tolist(), found.df.tolist())
        return zip(found.names, *numbers, strict=True)


@dataclass(frozen=True, slots=True)
class MarginalMeans:
    """Means of the response at combinations of factors, every other factor averaged with equal weight.

    Attributes
    ----------
    grid
        One row per mean: its factor levels.
    rows
        Shape [means, p]: coefficients of the fixed effects.
    fit
        The model.
    df, force
        As in :meth:`alignaudit.infer.mixed.fit.MixedFit.tidy`.
    """

    grid: pd.DataFrame
    rows: Floats
    fit: MixedFit = field(repr=False)
    df: str
    force: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Return a name for each mean: its levels, joined by colons."""
        return tuple(":".join(map(str, row)) for row in self.grid.itertuples(index=False))

    def tidy(self, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the means with intervals.

        Parameters
        ----------
        conf_level
            Nominal coverage of each interval.

        Returns
        -------
        pandas.DataFrame
            A column for each factor, then ``estimate, std_error, df, conf_low, conf_high``.
        """
        found = self._contrasts(self.rows, self.names)
        table = tidy_table(found, conf_level=conf_level)
        kept = table[["estimate", "std_error", "df", "conf_low", "conf_high"]]
        return pd.concat([self.grid.reset_index(drop=True), kept], axis=1)

    def contrasts(self, kind: str = "pairwise", *, adjustment: str = "tukey") -> ContrastTable:
        """Return differences of the means, later level minus earlier.

        Parameters
        ----------
        kind
            ``pairwise``: all pairs; ``reference``: each minus the first; ``consecutive``: each minus
            the one before.
        adjustment
            Of the p-values: ``tukey`` (all pairs), or a method of :func:`alignaudit.infer.adjust.adjust`.

        Returns
        -------
        ContrastTable
            Names say the direction: ``concurrent_minus_sequential``.

        Raises
        ------
        UsageError
            If the kind or adjustment is unknown, or Tukey is asked for other contrasts than pairs.

        References
        ----------
        Searle, Speed & Milliken (1980), American Statistician 34, 216-221; Tukey (1953) and Kramer
        (1956) for the studentised range.
        """
        pairs = _pairs(kind, len(self.rows))
        _check_adjustment(adjustment, (*ADJUSTMENTS, "tukey"))
        if adjustment == "tukey" and kind != "pairwise":
            raise UsageError("Tukey's adjustment is for all pairs.", hint='Choose adjustment="holm".')
        names = self.names
        labels = [f"{names[second]}_minus_{names[first]}" for first, second in pairs]
        rows = np.array([self.rows[second] - self.rows[first] for first, second in pairs])
        family = len(self.rows) if adjustment == "tukey" else len(pairs)
        return ContrastTable(self._contrasts(rows, labels), adjustment, family)

    def interactions(self, *, adjustment: str = "holm") -> ContrastTable:
        """Return differences of differences between the first two factors of the grid.

        Parameters
        ----------
        adjustment
            As in :meth:`contrasts`, without ``tukey``.

        Returns
        -------
        ContrastTable

        Raises
        ------
        UsageError
            If the grid has not exactly two factors, or the adjustment is unknown.
        """
        _check_adjustment(adjustment, ADJUSTMENTS)
        if self.grid.shape[1] != 2:
            raise UsageError("interaction contrasts need marginal means of exactly two factors.")
        first, second = (list(dict.fromkeys(self.grid[name])) for name in self.grid)
        place = {key: row for row, key in enumerate(self.grid.itertuples(index=False, name=None))}
        rows, names = [], []
        for a, b in itertools.combinations(first, 2):
            for c, d in itertools.combinations(second, 2):
                corners = [self.rows[place[key]] for key in ((b, d), (a, d), (b, c), (a, c))]
                rows.append(corners[0] - corners[1] - corners[2] + corners[3])
                names.append(f"({b}_minus_{a}):({d}_minus_{c})")
        found = self._contrasts(np.array(rows), names)
        return ContrastTable(found, adjustment, len(names))

    def _contrasts(self, rows: Floats, names: Sequence[str]) -> Contrasts:
        return contrasts(self.fit.model, rows, names, df=self.df, force=self.force)


def marginal_means(
    fit: MixedFit,
    factors: str | Sequence[str],
    *,
    df: str = "strata",
    at: Mapping[str, Any] | None = None,
    force: bool = False,
) -> MarginalMeans:
    """Estimate the means of the response at the levels of some factors.

    Parameters
    ----------
    fit
        A linear mixed model.
    factors
        Factors of its fixed part; other factors are averaged with equal weight, numeric columns stand
        at their mean.
    df
        Degrees of freedom, as in ``fit.tidy``.
    at
        Values of numeric columns other than their means.
    force
        Go on although the fit is not certified.

    Returns
    -------
    MarginalMeans

    Raises
    ------
    UsageError
        If a factor, or a column of ``at``, does not stand in the fixed part.
    FitError
        If a mean cannot be estimated because its combination of levels has no data.

    References
    ----------
    Searle, Speed & Milliken (1980), American Statistician 34, 216-221; Lenth (2016),
    J. Statistical Software 69(1) (the reference grid).

    Examples
    --------
    >>> from alignaudit.infer.mixed.fit import fit_mixed
    >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3, 2, 4], "arm": list("uvuvuv"), "g": list("aabbcc")})
    >>> means = marginal_means(fit_mixed("y ~ arm + (1 | g)", frame), "arm")
    >>> means.tidy()["estimate"].round(3).tolist()
    [2.333, 3.0]
    """
    design = fit.model.design
    wanted = [factors] if isinstance(factors, str) else list(factors)
    columns = predictors(design)
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"a factor is named twice in {', '.join(wanted)}.")
    known = [name for name, values in columns.items() if isinstance(values, list)]
    for name in wanted:
        if name not in known:
            raise UsageError(f'"{name}" is not a factor of the fixed part.', hint=did_you_mean(name, known))
    numeric = {name: [value] for name, value in columns.items() if not isinstance(value, list)}
    for name, value in (at or {}).items():
        if name not in numeric:
            raise UsageError(f'"{name}" is no number of the fixed part.', hint=did_you_mean(name, numeric))
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UsageError(f'the value {value!r} of "{name}" is no finite number.')
        numeric[name] = [float(value)]
    levels = {name: columns[name] for name in [*wanted, *(n for n in known if n not in wanted)]}
    grid = _grid({**levels, **numeric}, design.frame)
    rows = _estimable_rows(design, grid)
    keys = list(itertools.product(*[levels[name] for name in wanted]))
    averaged = rows.reshape(len(keys), -1, rows.shape[1]).mean(axis=1)
    return MarginalMeans(pd.DataFrame(keys, columns=wanted), averaged, fit, df, force)


def _grid(values: Mapping[str, list[Any]], frame: pd.DataFrame) -> pd.DataFrame:
    """Return all combinations, the first column varying slowest, factors as in the frame."""
    grid = pd.DataFrame(list(itertools.product(*values.values())), columns=list(values))
    dtypes = {name: frame[name].dtype for name in grid if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    return grid.astype(dtypes)


def _estimable_rows(design: MixedDesign, grid: pd.DataFrame) -> Floats:
    if design.dropped_columns:
        seen = np.asarray(design.specification.get_model_matrix(design.frame), dtype=np.float64)
        asked = np.asarray(design.specification.get_model_matrix(grid), dtype=np.float64)
        norms = np.linalg.norm(seen, axis=0)
        norms[norms == 0] = 1.0  # the column of an empty cell
        _, sizes, directions = np.linalg.svd(seen / norms, full_matrices=True)
        rank = int((sizes > 1e-9 * sizes[0]).sum())
        rows = asked / norms
        outside = np.linalg.norm(rows @ directions[rank:].T, axis=1)
        if (outside > 1e-8 * np.linalg.norm(rows, axis=1)).any():
            raise FitError("a marginal mean cannot be estimated: some combinations of levels have no data.")
    return design.fixed_rows(grid)


def _pairs(kind: str, means: int) -> list[tuple[int, int]]:
    if kind == "pairwise":
        return list(itertools.combinations(range(means), 2))
    if kind == "reference":
        return [(0, second) for second in range(1, means)]
    if kind == "consecutive":
        return list(itertools.pairwise(range(means)))
    raise UsageError(f'there are no "{kind}" contrasts.', hint=did_you_mean(kind, KINDS))


@lru_cache(maxsize=4096)
def _range_tail(spread: float, means: int, df: float) -> float:
    return float(stats.studentized_range.sf(spread, means, df))


@lru_cache(maxsize=4096)
def _range_quantile(level: float, means: int, df: float) -> float:
    return float(stats.studentized_range.ppf(level, means, df)) / math.sqrt(2)


def _check_adjustment(adjustment: str, known: Sequence[str]) -> None:
    if adjustment not in known:
        raise UsageError(
            f'there is no adjustment "{adjustment}" for these contrasts.',
            hint=did_you_mean(adjustment, known),
        )
