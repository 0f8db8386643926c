"""Specifications: which of all measured numbers a protocol reads.

One and the same encoder has very different "Tatoeba accuracies" by layer, pooling, direction,
centring and scoring. All of them are measured in one pass; a specification names some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["POOLINGS", "PRESETS", "Pooling", "Specification", "primary_layer"]

Pooling = Literal["mean", "mean_without_special", "first", "max"]
POOLINGS: tuple[Pooling, ...] = ("mean", "mean_without_special", "first", "max")
"""How token vectors become one: means with and without special tokens, the first token, maxima."""


def primary_layer(depth: int) -> int:
    """Return ``ceil(14/24 × depth)``, the depth at which XTREME reads a 24-block encoder.

    Parameters
    ----------
    depth
        Number of blocks, at least 1; layer 0 is the embeddings.

    References
    ----------
    Hu et al. (2020), XTREME, ICML: layer 14 of XLM-R-large for sentence retrieval.

    Examples
    --------
    >>> [primary_layer(depth) for depth in (3, 6, 12, 24)]
    [2, 4, 7, 14]
    """
    return -(-14 * depth // 24)


@dataclass(frozen=True, slots=True)
class Specification:
    """A protocol's choice of layer, pooling, directions, centring and metrics.

    Attributes
    ----------
    name
        As given to ``--preset``.
    layer
        ``primary`` (see :func:`primary_layer`), ``last``, or ``all``.
    poolings
        Poolings read, of :data:`POOLINGS`.
    directions
        Directions read; of symmetric metrics too, which stand under both.
    centred
        Whether each language's mean is subtracted; ``None`` for both variants.
    metrics
        Names of :data:`alignaudit.core.metrics.METRICS`; empty for all.
    source
        Where the protocol is described.
    """

    name: str
    layer: Literal["primary", "last", "all"]
    poolings: tuple[Pooling, ...]
    directions: tuple[str, ...]
    centred: bool | None
    metrics: tuple[str, ...]
    source: str

    def layers(self, depth: int) -> tuple[int, ...]:
        """Return the layers read from an encoder with ``depth`` blocks, 0 being the embeddings."""
        if self.layer == "all":
            return tuple(range(depth + 1))
        return (primary_layer(depth) if self.layer == "primary" else depth,)


_BOTH = ("foreign_to_english", "english_to_foreign")

PRESETS: Mapping[str, Specification] = {
    preset.name: preset
    for preset in (
        Specification(
            "primary",
            "primary",
            ("mean",),
            _BOTH,
            True,
            ("accuracy", "accuracy_pool", "xsim_distance", "margin", "cka_debiased"),
            "ours: block 14 of 24, mean with special tokens, centred, both directions",
        ),
        Specification(
            "xtreme",
            "primary",
            ("mean",),
            ("english_to_foreign",),
            False,
            ("accuracy_first",),
            "Hu et al. 2020: block 14 of 24, mean with special tokens, English queries, raw cosine",
        ),
        Specification(
            "jiant",
            "primary",
            ("mean",),
            ("english_to_foreign",),
            False,
            ("accuracy_first",),
            "jiant 2: layer 14 of 24, mean with special tokens, English queries, raw cosine",
        ),
        Specification(
            "mteb",
            "last",
            ("mean",),
            ("foreign_to_english",),
            False,
            ("hub_f1", "accuracy_first"),
            "Muennighoff et al. 2023: last block, mean with special tokens, foreign queries, raw cosine, F1",
        ),
        Specification(
            "laser-xsim",
            "last",
            ("mean",),
            _BOTH,
            False,
            ("xsim_ratio",),
            "Artetxe and Schwenk 2019: error rate by the ratio margin, k = 4, on raw vectors",
        ),
        Specification("last", "last", ("mean",), _BOTH, None, (), "the last block, mean with special tokens"),
        Specification("all", "all", POOLINGS, _BOTH, None, (), "every layer, pooling, direction and variant"),
    )
}
"""Named protocols for ``alignaudit measure --preset``, in the order in which they are shown."""
