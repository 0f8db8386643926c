"""The printed form of a fit: what was fitted, on what, by which method, then the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from alignaudit.infer.mixed.optimise import Certificate

__all__ = ["describe_fit", "plain_records", "text_table", "without_p"]

LIKELIHOODS = {
    "reml": "restricted maximum likelihood (REML)",
    "ml": "maximum likelihood (ML)",
    "laplace": "maximum likelihood, Laplace approximation",
}


def describe_fit(
    *,
    kind: str,
    method: str,
    formula: str,
    n: int,
    groups: Mapping[str, int],
    loglik: float,
    certificate: Certificate,
    notes: Sequence[str],
    variances: pd.DataFrame,
    fixed: pd.DataFrame,
    df_words: str,
    more: Sequence[str] = (),
) -> str:
    """Return a fit as text.

    Parameters
    ----------
    kind, method, formula, n, groups, loglik, certificate, notes
        As of the fit; ``method`` is ``reml``, ``ml`` or ``laplace``.
    variances
        As ``variance_components``.
    fixed
        As ``tidy`` returns it.
    df_words
        Where its degrees of freedom come from.
    more
        Further lines below the random effects.
    """
    counts = ", ".join(f"{name} {count}" for name, count in groups.items())
    lines = [
        f"{kind} by {LIKELIHOODS[method]}",
        f"Formula: {formula}",
        f"Data: {n} rows; groups: {counts}",
        f"Log-likelihood {loglik:.4f}; {certificate}",
        *[f"Note: {note}" for note in notes],
        "",
        "Random effects",
        *_variance_lines(variances),
        *more,
        "",
        f"Fixed effects ({df_words})",
        *_fixed_lines(without_p(fixed, certificate)),
    ]
    return "\n".join(lines)


def _variance_lines(variances: pd.DataFrame) -> list[str]:
    own = variances[variances["with_term"] == ""]
    rows = [("group", "term", "sd", "correlations")]
    for group, term, deviation in zip(own["group"], own["term"], own["sdcor"], strict=True):
        mine = (variances["group"] == group) & (variances["with_term"] == term)
        pairs = variances[mine & (term != "")]
        shown = [f"{first} {value:+.3f}" for first, value in zip(pairs["term"], pairs["sdcor"], strict=True)]
        rows.append((group, term, f"{deviation:.4g}", ", ".join(shown)))
    return text_table(rows)


def _fixed_lines(fixed: pd.DataFrame) -> list[str]:
    z = bool(np.isinf(fixed["df"]).all())
    rows = [("term", "estimate", "std. error", "df", "z" if z else "t", "p", "interval")]
    numbers = fixed.drop(columns="term").to_numpy(dtype=float)
    errors = fixed["std_error"].to_numpy(dtype=float)
    form = ".4f" if np.nanmin(errors) >= 5e-4 and np.nanmax(errors) < 1e6 else ".4g"
    for term, (estimate, error, df, statistic, p, low, high) in zip(fixed["term"], numbers, strict=True):
        p_value = "none" if np.isnan(p) else "<.0001" if p < 1e-4 else f"{p:.4f}"
        rows.append(
            (
                str(term), f"{estimate:{form}}", f"{error:{form}}", f"{df:.1f}", f"{statistic:.2f}", p_value,
                f"[{low:{form}}, {high:{form}}]",
            )
        )  # fmt: skip
    return text_table(rows)


def without_p(fixed: pd.DataFrame, certificate: Certificate) -> pd.DataFrame:
    """Return a table of effects, without p-values where the fit is not certified.

    Parameters
    ----------
    fixed
        With a column ``p_value``.
    certificate
        Of the fit.
    """
    return fixed if certificate.passed else fixed.assign(p_value=np.nan)


def plain_records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return the rows of a table as dictionaries for JSON, numbers that are not finite as None.

    Parameters
    ----------
    frame
        Any table.

    Examples
    --------
    >>> plain_records(pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", "y"]}))
    [{'a': 1.0, 'b': 'x'}, {'a': None, 'b': 'y'}]
    """
    return [
        {str(k): None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text as aligned lines.

    Parameters
    ----------
    rows
        Cells, the header first; all rows of the same length.

    Returns
    -------
    list of str

    Examples
    --------
    >>> text_table([("a", "bb"), ("ccc", "d")])
    ['  a    bb', '  ccc  d']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
