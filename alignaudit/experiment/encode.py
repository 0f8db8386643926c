"""Sentence vectors of every layer of an encoder, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.experiment.model import Pooling, pool

__all__ = ["sentence_vectors"]


def sentence_vectors(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[str],
    *,
    poolings: Sequence[Pooling] = ("mean",),
    max_length: int = 128,
    batch_size: int = 64,
    device: torch.device | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[Pooling, NDArray[np.float32]]:
    """Return one vector per sentence, layer and pooling.

    Sentences are ordered by (number of tokens, place) and batched by a fixed size, so that the
    composition of batches, and with it the last bit of every vector, depends on the input alone.

    Parameters
    ----------
    encoder, tokenizer
        Any Hugging Face encoder and its tokenizer.
    sentences
        n texts.
    poolings
        How token vectors become sentence vectors; special tokens take part (as in XTREME).
    max_length
        Tokens per text, special ones included.
    batch_size, device
        For the forward passes.
    progress
        Called with the number of sentences encoded so far.

    Returns
    -------
    dict
        Per pooling shape ``[L + 1, n, d]``, float32; layer 0 are the embeddings.
    """
    place = device or torch.device("cpu")
    length = min(max_length, tokenizer.model_max_length)
    encoded = tokenizer(list(sentences), truncation=True, max_length=length)["input_ids"]
    ranked = sorted(range(len(sentences)), key=lambda index: (len(encoded[index]), index))
    vectors: dict[Pooling, NDArray[np.float32]] = {}
    pad_id = int(tokenizer.pad_token_id or 0)
    encoder.eval()
    with torch.inference_mode():
        for start in range(0, len(ranked), batch_size):
            part = ranked[start : start + batch_size]
            ids, mask = _padded([encoded[index] for index in part], pad_id, place)
            states = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
            for pooling in poolings:
                pooled = torch.stack([pool(layer, mask, pooling) for layer in states]).float().cpu().numpy()
                if pooling not in vectors:
                    shape = (pooled.shape[0], len(sentences), pooled.shape[2])
                    vectors[pooling] = np.empty(shape, dtype=np.float32)
                vectors[pooling][:, part] = pooled
            if progress:
                progress(start + len(part))
    return vectors


def _padded(
    texts: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(text) for text in texts)
    ids = torch.full((len(texts), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(texts), longest), dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text, dtype=torch.long)
        mask[row, : len(text)] = 1
    return ids.to(device), mask.to(device)
