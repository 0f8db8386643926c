"""Sentence vectors of every layer of an encoder, in one pass; every distinct sentence once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import ParallelText
from alignaudit.core.specification import Pooling
from alignaudit.core.study import Measures
from alignaudit.experiment.heads import pool
from alignaudit.measure.arrays import Array

__all__ = ["SentenceEncoder", "as_array", "block_count", "sentence_vectors"]


class SentenceEncoder:
    """An encoder that turns sentences into vectors, and keeps those that will be asked for again.

    Parameters
    ----------
    encoder, tokenizer
        Any Hugging Face encoder and its tokenizer.
    poolings
        How token vectors become sentence vectors.
    max_length, batch_size, device
        As for :func:`sentence_vectors`.
    texts
        All that will be asked for: :meth:`shared` keeps the vectors of an English sentence until
        the last text that has it.
    layers
        Layers to keep, 0 being the embeddings; all by default.

    Attributes
    ----------
    seconds
        Wall time spent in the encoder so far.
    encoded
        Number of sentences that went through it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        poolings: Sequence[Pooling] = ("mean",),
        max_length: int = 128,
        batch_size: int = 64,
        device: torch.device | None = None,
        texts: Sequence[ParallelText] = (),
        layers: Sequence[int] | None = None,
    ) -> None:
        self._encode: dict[str, Any] = {
            "encoder": encoder,
            "tokenizer": tokenizer,
            "poolings": poolings,
            "max_length": max_length,
            "batch_size": batch_size,
            "device": device,
            "layers": layers,
        }
        self._expected = Counter(sentence for text in texts for sentence in text.english)
        self._kept: dict[str, dict[Pooling, torch.Tensor]] = {}
        self._last: tuple[tuple[str, ...], dict[Pooling, torch.Tensor]] = ((), {})
        self.seconds = 0.0
        self.encoded = 0

    @classmethod
    def of(
        cls,
        encoder: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        settings: Measures,
        *,
        device: torch.device | None,
        texts: Sequence[ParallelText] = (),
        layers: Sequence[int] | None = None,
    ) -> SentenceEncoder:
        """Return one with the poolings, lengths and batch size of a study's settings."""
        return cls(
            encoder,
            tokenizer,
            poolings=settings.poolings,
            max_length=settings.max_length,
            batch_size=settings.batch_size,
            device=device,
            texts=texts,
            layers=layers,
        )

    def vectors(self, sentences: Sequence[str]) -> dict[Pooling, torch.Tensor]:
        """Return the vectors of sentences, each distinct one encoded once.

        Parameters
        ----------
        sentences
            n texts.

        Returns
        -------
        dict
            Per pooling a tensor ``[layers, n, d]``, float32, on the device.
        """
        distinct = list(dict.fromkeys(sentences))
        start = time.perf_counter()
        found = sentence_vectors(sentences=distinct, **self._encode)
        self.seconds += time.perf_counter() - start
        self.encoded += len(distinct)
        if len(distinct) == len(sentences):
            return found
        place = {sentence: index for index, sentence in enumerate(distinct)}
        order = torch.tensor([place[sentence] for sentence in sentences])
        return {pooling: vectors[:, order.to(vectors.device)] for pooling, vectors in found.items()}

    def shared(self, sentences: tuple[str, ...]) -> dict[Pooling, torch.Tensor]:
        """Return as :meth:`vectors`, keeping what will be asked for again."""
        if sentences == self._last[0]:
            self._forget(sentences)
            return self._last[1]
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._kept]
        fresh = self.vectors(new) if new else {}
        place = {sentence: index for index, sentence in enumerate(new)}
        poolings: Sequence[Pooling] = self._encode["poolings"]
        result = {}
        for pooling in poolings:
            columns = [
                fresh[pooling][:, place[sentence]] if sentence in place else self._kept[sentence][pooling]
                for sentence in sentences
            ]
            result[pooling] = torch.stack(columns, dim=1)
        self._forget(sentences)
        for sentence, column in place.items():
            if self._expected[sentence] > 0:
                self._kept[sentence] = {
                    pooling: vectors[:, column].clone() for pooling, vectors in fresh.items()
                }
        self._last = (sentences, result)
        return result

    def _forget(self, sentences: tuple[str, ...]) -> None:
        """Note that sentences were asked for, and drop those that will not be asked for again."""
        self._expected.subtract(sentences)
        for sentence in set(sentences):
            if self._expected[sentence] <= 0:
                self._kept.pop(sentence, None)


def block_count(encoder: nn.Module) -> int:
    """Return the number of blocks of an encoder; its layer 0 is the embeddings."""
    return int(encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]


def as_array(vectors: torch.Tensor) -> Array:
    """Return vectors as the measures take them fastest: NumPy on the CPU, the tensor elsewhere.

    Parameters
    ----------
    vectors
        Any shape.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The same numbers, not copied.
    """
    return vectors.numpy() if vectors.device.type == "cpu" else vectors


def sentence_vectors(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[str],
    *,
    poolings: Sequence[Pooling] = ("mean",),
    max_length: int = 128,
    batch_size: int = 64,
    device: torch.device | None = None,
    layers: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[Pooling, torch.Tensor]:
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
        How token vectors become sentence vectors, see :func:`alignaudit.experiment.heads.pool`.
    max_length
        Tokens per text, special ones included.
    batch_size, device
        For the forward passes.
    layers
        Layers to return, 0 being the embeddings; all L + 1 by default.
    progress
        Called with the number of sentences encoded so far.

    Returns
    -------
    dict
        Per pooling a tensor ``[layers, n, d]``, float32, on the device.
    """
    place = device or torch.device("cpu")
    length = min(max_length, tokenizer.model_max_length)
    encoded = tokenizer(list(sentences), truncation=True, max_length=length, return_special_tokens_mask=True)
    tokens, special = encoded["input_ids"], encoded["special_tokens_mask"]
    ranked = sorted(range(len(sentences)), key=lambda index: (len(tokens[index]), index))
    vectors: dict[Pooling, torch.Tensor] = {}
    pad_id = int(tokenizer.pad_token_id or 0)
    encoder.eval()
    with torch.inference_mode():
        for start in range(0, len(ranked), batch_size):
            part = ranked[start : start + batch_size]
            ids, mask = _padded([tokens[index] for index in part], pad_id, place)
            specials, _ = _padded([special[index] for index in part], 1, place)
            states = encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
            kept = [states[layer] for layer in layers] if layers is not None else states
            for pooling in poolings:
                pooled = torch.stack([pool(layer, mask, pooling, specials) for layer in kept]).float()
                if pooling not in vectors:
                    shape = (pooled.shape[0], len(sentences), pooled.shape[2])
                    vectors[pooling] = torch.empty(shape, device=place)
                vectors[pooling][:, torch.tensor(part, device=place)] = pooled
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
