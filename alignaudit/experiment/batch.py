"""Mini-batches as tensors: what is drawn, how it is cut into micro-batches, how it is padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alignaudit.experiment.tasks.encoding import Encoded

__all__ = ["Batch", "Masking", "collate", "mask_tokens", "micro_batches"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors of some examples.

    Attributes
    ----------
    input_ids, attention_mask
        Shape ``[texts, tokens]``.
    labels
        Shape ``[examples]`` (class, option), ``[examples, 2]`` (span), or ``[words]`` (tokens).
    rows, positions
        Shape ``[words]``: text and token of each labelled word; empty for the other formats.
    group
        Texts per example.
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
    """How masked language modelling hides tokens (Devlin et al. 2019, section 3.1)."""

    share: float
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]


def mask_tokens(encoded: Encoded, examples: Integers, masking: Masking, draw: np.random.Generator) -> Encoded:
    """Return the examples with tokens hidden: 80 % masked, 10 % random, 10 % kept.

    The draw covers the batch in its given order, before it is cut into micro-batches, so that the
    masks do not depend on the micro-batch layout. A text always has at least one hidden token.

    Returns
    -------
    Encoded
        Only ``examples``, renumbered from 0; labels are the hidden tokens, positions where they are.
    """
    sequences, labels, positions = [], [], []
    specials = np.array(masking.special_ids)
    for index in examples:
        ids = encoded.sequences[int(index)].copy()
        free = np.flatnonzero(~np.isin(ids, specials))
        scores = draw.random(len(free))
        hidden = free[scores < max(masking.share, scores.min(initial=1.0) + 1e-12)]
        labels.append(ids[hidden])
        positions.append(hidden)
        fate = draw.random(len(hidden))
        ids[hidden[fate < 0.8]] = masking.mask_id
        swapped = hidden[fate >= 0.9]
        ids[swapped] = draw.integers(len(specials), masking.vocabulary, len(swapped))
        sequences.append(ids)
    return Encoded("mlm", sequences, 1, labels, positions)


def micro_batches(encoded: Encoded, examples: Integers, parts: int) -> list[Integers]:
    """Return the examples cut into at most ``parts`` lists of similar length, shortest first.

    The gradient of the whole batch is the sum over the parts of the gradients of *summed* losses,
    divided once by the batch's number of targets: the cut changes padding, not the gradient.
    """
    lengths = [
        max(len(encoded.sequences[int(index) * encoded.group + text]) for text in range(encoded.group))
        for index in examples
    ]
    ranked = examples[np.argsort(lengths, kind="stable")]
    return [part for part in np.array_split(ranked, parts) if len(part)]


def collate(encoded: Encoded, examples: Sequence[int] | Integers, pad_id: int, device: torch.device) -> Batch:
    """Return examples as one padded batch on a device."""
    texts = [
        encoded.sequences[int(index) * encoded.group + text]
        for index in examples
        for text in range(encoded.group)
    ]
    longest = max(len(text) for text in texts)
    ids = np.full((len(texts), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(texts), longest), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    labels = [encoded.labels[int(index)] for index in examples]
    by_token = encoded.format in ("tagging", "mlm")
    positions = [encoded.positions[int(index)] for index in examples] if by_token else []
    rows = [np.full(len(part), row, dtype=np.int64) for row, part in enumerate(positions)]
    target = np.stack(labels) if encoded.format == "span" else np.concatenate(labels)

    def tensor(array: Integers) -> torch.Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    empty = np.empty(0, dtype=np.int64)
    return Batch(
        tensor(ids),
        tensor(mask),
        tensor(target),
        tensor(np.concatenate(rows) if by_token else empty),
        tensor(np.concatenate(positions) if by_token else empty),
        encoded.group,
    )
