"""The alignment metrics by the names they have in tables: meaning, unit, and what one value is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the alignment table.

    Attributes
    ----------
    name
        As in the column ``metric``.
    meaning
        In words.
    unit
        Of the value: ``share`` (0 to 1), ``cosine``, or empty.
    about
        ``direction``: one value for each; ``pair``: symmetric, and stands under both directions.
    better
        Whether more alignment means ``more`` or ``less`` of it, or ``neither``.
    where
        ``cell``: at every layer and pooling; ``primary``: at the primary layer and pooling only;
        ``reference``: there too, where a reference encoder is given.
    """

    name: str
    meaning: str
    unit: str
    about: Literal["direction", "pair"]
    better: Literal["more", "less", "neither"] = "more"
    where: Literal["cell", "primary", "reference"] = "cell"


_DECLARED = (
    Metric("accuracy", "retrieval accuracy by cosine; a tie of t counts 1/t", "share", "direction"),
    Metric("accuracy_first", "the same, of equal candidates the first counts (XTREME)", "share", "direction"),
    Metric(
        "accuracy_text",
        "the same; another sentence with the translation's text is right",
        "share",
        "direction",
    ),
    Metric("accuracy_pool", "expected accuracy among `pool` candidates", "share", "direction"),
    Metric("accuracy_pool_corrected", "the same, chance at 0 and 1 kept", "", "direction"),
    Metric("auc", "share of wrong candidates less similar than the translation", "share", "direction"),
    Metric("reciprocal_rank", "mean reciprocal rank of the translation", "share", "direction"),
    Metric("hub_f1", "F1 of mteb: a hit counts 2/(1 + times its candidate was chosen)", "share", "direction"),
    Metric("xsim_distance", "error rate by the margin cosine - neighbourhood", "share", "direction", "less"),
    Metric("xsim_ratio", "error rate by the margin cosine / neighbourhood", "share", "direction", "less"),
    Metric("xsim_absolute", "error rate by the cosine itself", "share", "direction", "less"),
    Metric(
        "hub_top_share", "queries that fall on the 1 % most chosen candidates", "share", "direction", "less"
    ),
    Metric("hub_skewness", "skewness of how often a candidate is a neighbour", "", "direction", "less"),
    Metric("hub_orphan_share", "candidates that are nobody's neighbour", "share", "direction", "less"),
    Metric("margin", "cosine of a pair less the mean of its neighbourhoods", "cosine", "pair"),
    Metric("margin_positive", "pairs with a positive margin", "share", "pair"),
    Metric("mutual_precision", "mutual nearest neighbours that are translations", "share", "pair"),
    Metric("mutual_recall", "translations that are mutual nearest neighbours", "share", "pair"),
    Metric("cka_debiased", "debiased linear CKA", "", "pair"),
    Metric("cka_biased", "biased linear CKA, for comparison with publications only", "", "pair", "neither"),
    Metric("language_gap", "squared distance of the two means over the mean variance", "", "pair", "less"),
    Metric(
        "mean_cosine_foreign", "mean cosine of two foreign sentences", "cosine", "pair", "neither", "primary"
    ),
    Metric(
        "mean_cosine_english", "mean cosine of two English sentences", "cosine", "pair", "neither", "primary"
    ),
    Metric(
        "effective_dimension_foreign",
        "participation ratio of the foreign side, corrected for n",
        "",
        "pair",
        "neither",
        "primary",
    ),
    Metric(
        "effective_dimension_english",
        "participation ratio of the English side, corrected for n",
        "",
        "pair",
        "neither",
        "primary",
    ),
    Metric(
        "cka_rbf_debiased",
        "debiased CKA, Gaussian kernel of half the median distance",
        "",
        "pair",
        "more",
        "primary",
    ),
    Metric(
        "cka_null_z",
        "debiased CKA in standard deviations of randomly paired sentences",
        "",
        "pair",
        "more",
        "primary",
    ),
    Metric(
        "cka_null_p", "share of random pairings with at least that CKA", "share", "pair", "less", "primary"
    ),
    Metric(
        "procrustes_accuracy",
        "accuracy after a rotation fitted on the other half, among half of the pairs",
        "share",
        "direction",
        "more",
        "primary",
    ),
    Metric(
        "half_accuracy",
        "accuracy among the same half without the rotation",
        "share",
        "direction",
        "more",
        "primary",
    ),
    Metric(
        "cka_reference",
        "debiased CKA of the foreign side with the reference encoder's",
        "",
        "pair",
        "neither",
        "reference",
    ),
    Metric(
        "drift",
        "KL divergence, in nats, from the reference's alignment distribution, each at its own temperature",
        "nat",
        "direction",
        "neither",
        "reference",
    ),
    Metric(
        "neighbour_overlap",
        "share of the 10 nearest candidates kept since the reference",
        "share",
        "direction",
        "neither",
        "reference",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _DECLARED}
"""Every metric by name, in the order in which they are shown."""
