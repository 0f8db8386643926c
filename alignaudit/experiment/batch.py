"""Mini-batches as tensors: what is drawn, how it is cut into micro-batches, how it is padded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alignaudit.core.rng import stream
from alignaudit.experiment.tasks.ragged import Encoded, Ragged

__all__ = ["Batch", "Masking", "collate", "mask_for_evaluation", "mask_tokens", "micro_batches"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors of some examples.

    Attributes
    ----------
    input_ids, attention_mask
        Shape ``[texts, tokens]``.
    labels
        Shape ``[rows]`` (class, option), ``[rows, 2]`` (span), or ``[words]`` (tokens).
    rows, positions
        Shape ``[words]``: text and token of each labelled word; empty for the other formats.
    group
        Texts per row.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor
    positions: torch.Tensor
    group: int

    @property
    def tokens(self) -> int:
        """Return the number of tokens that are not padding."""
        return int(self.attention_mask.sum())


@dataclass(frozen=True, slots=True)
class Masking:
    """How masked language modelling hides tokens (Devlin et al. 2019, section 3.1).

    Attributes
    ----------
    share
        Share of the tokens that are hidden.
    mask_id
        Token that stands for a hidden one.
    vocabulary
        Number of tokens; ids run from 0.
    special_ids
        Tokens that are never hidden and never put in another's place, in any order; they may lie
        anywhere in the vocabulary.
    """

    share: float
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]


def mask_tokens(encoded: Encoded, rows: Integers, masking: Masking, draw: np.random.Generator) -> Encoded:
    """Return rows with tokens hidden: 80 % masked, 10 % random, 10 % kept.

    The draw covers the batch in its given order, before it is cut into micro-batches, so that the
    masks do not depend on the micro-batch layout. A text always has at least one hidden token.

    Returns
    -------
    Encoded
        Only ``rows``, renumbered from 0; labels are the hidden tokens, positions where they are.
    """
    return _masked(encoded, rows, masking, (draw for _ in rows))


def mask_for_evaluation(encoded: Encoded, rows: Integers, masking: Masking) -> Encoded:
    """Return rows with tokens hidden as :func:`mask_tokens` does, the same ones at every call.

    Row ``i`` of ``encoded`` is masked by the stream ``mlm_evaluation, i`` of seed 0, whatever other
    rows are asked for.
    """
    return _masked(encoded, rows, masking, (stream(0, "mlm_evaluation", int(row)) for row in rows))


def _masked(
    encoded: Encoded, rows: Integers, masking: Masking, draws: Iterable[np.random.Generator]
) -> Encoded:
    specials = np.array(sorted(set(masking.special_ids)), dtype=np.int64)
    count = masking.vocabulary - int((specials < masking.vocabulary).sum())
    chosen = np.asarray(rows, dtype=np.int64)
    values = encoded.sequences.gather(chosen)
    ends = np.cumsum(encoded.sequences.lengths_of(chosen))
    usual = ~np.isin(values, specials)
    labels, positions = [], []
    for ids, free_here, draw in zip(Ragged(values, ends), np.split(usual, ends[:-1]), draws, strict=True):
        free = np.flatnonzero(free_here)
        scores = draw.random(len(free))
        hidden = free[scores < max(masking.share, scores.min(initial=1.0) + 1e-12)]
        labels.append(ids[hidden])
        positions.append(hidden)
        fate = draw.random(len(hidden))
        ids[hidden[fate < 0.8]] = masking.mask_id
        swapped = hidden[fate >= 0.9]
        ids[swapped] = _usual_ids(specials, draw.integers(count, size=len(swapped)))
    return Encoded(
        "mlm",
        Ragged(values, ends),
        1,
        Ragged.of(labels),
        Ragged.of(positions),
        Ragged.empty(len(labels)),
        np.arange(len(labels)),
    )


def _usual_ids(specials: Integers, ranks: Integers) -> Integers:
    """Token ids by their rank among those that are not special; ``specials`` rise."""
    return ranks + np.searchsorted(specials - np.arange(len(specials)), ranks, side="right")


def micro_batches(encoded: Encoded, rows: Integers, parts: int) -> list[Integers]:
    """Return the rows cut into at most ``parts`` lists of similar length, shortest first.

    The gradient of the whole batch is the sum over the parts of the gradients of *summed* losses,
    divided once by the batch's number of targets: the cut changes padding, not the gradient.
    """
    ranked = rows[np.argsort(encoded.lengths_of(rows), kind="stable")]
    return [part for part in np.array_split(ranked, parts) if len(part)]


def collate(encoded: Encoded, rows: Sequence[int] | Integers, pad_id: int, device: torch.device) -> Batch:
    """Return rows as one padded batch on a device."""
    chosen = np.asarray(rows, dtype=np.int64)
    texts = encoded.texts_of(chosen).ravel()
    lengths = encoded.sequences.lengths_of(texts)
    inside = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(inside.shape, pad_id, dtype=np.int64)
    ids[inside] = encoded.sequences.gather(texts)
    target = encoded.labels.gather(chosen)
    if encoded.format == "span":
        target = target.reshape(-1, 2)
    places, positions = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    if encoded.format in ("tagging", "mlm"):
        places = np.repeat(np.arange(len(chosen)), encoded.positions.lengths_of(chosen))
        positions = encoded.positions.gather(chosen).astype(np.int64)

    def tensor(array: Integers) -> torch.Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return Batch(
        tensor(ids),
        tensor(inside.astype(np.int64)),
        tensor(target.astype(np.int64)),
        tensor(places),
        tensor(positions),
        encoded.group,
    )
