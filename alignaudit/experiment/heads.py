"""The heads of tasks: what turns an encoder's token vectors into logits, and their first weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from transformers import PretrainedConfig

from alignaudit.core.example import Format
from alignaudit.core.specification import Pooling
from alignaudit.experiment.batch import Batch

__all__ = [
    "HeadSpec",
    "MaskedTokenHead",
    "PooledHead",
    "SpanHead",
    "TokenHead",
    "initialise",
    "make_head",
    "pool",
]

_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu_pytorch_tanh": partial(nn.GELU, approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}
_EXACT_GELU = ("camembert", "roberta", "xlm-roberta", "xlm-roberta-xl")  # whatever their hidden_act


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """What a task needs of a head: its format and its number of classes or tags."""

    format: Format
    classes: int


def pool(
    hidden: torch.Tensor,
    attention_mask: torch.Tensor,
    pooling: Pooling,
    special_tokens_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return one vector per text.

    Parameters
    ----------
    hidden
        Shape ``[texts, tokens, d]``.
    attention_mask
        Shape ``[texts, tokens]``, 1 for tokens that are not padding (special ones included).
    pooling
        ``first`` token; ``mean`` or ``max`` over all tokens that are not padding; or
        ``mean_without_special``, over those that are not special either (over all where a text
        has no other).
    special_tokens_mask
        Shape ``[texts, tokens]``, 1 for special tokens; needed for ``mean_without_special`` only.

    Returns
    -------
    torch.Tensor
        Shape ``[texts, d]``.
    """
    if pooling == "first":
        return hidden[:, 0]
    kept = attention_mask
    if pooling == "mean_without_special":
        assert special_tokens_mask is not None
        words = attention_mask * (1 - special_tokens_mask)
        kept = torch.where(words.any(dim=1, keepdim=True), words, attention_mask)
    if pooling == "max":
        return hidden.masked_fill(kept.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
    mask = kept.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1)


class PooledHead(nn.Module):
    """Pool, dense, tanh, project: for classification (classes) and multiple choice (one score)."""

    def __init__(self, hidden_size: int, outputs: int, pooling: Pooling, dropout: float) -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.project = nn.Linear(hidden_size, outputs)

    def forward(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return logits ``[examples, classes or options]``."""
        pooled = self.dropout(pool(hidden, batch.attention_mask, self.pooling))
        logits: torch.Tensor = self.project(self.dropout(torch.tanh(self.dense(pooled))))
        return logits.view(-1, batch.group) if batch.group > 1 else logits


class SpanHead(nn.Module):
    """Start and end logits of every token; padding cannot be chosen."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.project = nn.Linear(hidden_size, 2)

    def forward(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return logits ``[examples, 2, tokens]``."""
        logits: torch.Tensor = self.project(hidden).transpose(1, 2)
        return logits.masked_fill(batch.attention_mask.unsqueeze(1) == 0, float("-inf"))


class TokenHead(nn.Module):
    """Tag logits of the labelled tokens."""

    def __init__(self, hidden_size: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(hidden_size, classes)

    def forward(self, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return logits ``[words, tags]``."""
        logits: torch.Tensor = self.project(self.dropout(hidden[batch.rows, batch.positions]))
        return logits


class MaskedTokenHead(nn.Module):
    """Vocabulary logits of the hidden tokens, with the decoder tied to the word embeddings.

    Activation and layer-norm epsilon are those of the head that the architecture is pretrained with,
    so that its weights can be put in here (:mod:`alignaudit.experiment.mlm_head`).
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        size = int(config.hidden_size)
        self.dense = nn.Linear(size, size)
        self.activation = _activation(config)
        self.norm = nn.LayerNorm(size, eps=float(getattr(config, "layer_norm_eps", 1e-12)))
        self.bias = nn.Parameter(torch.zeros(int(config.vocab_size)))

    def forward(self, hidden: torch.Tensor, batch: Batch, embeddings: torch.Tensor) -> torch.Tensor:
        """Return logits ``[hidden tokens, vocabulary]``."""
        states = self.norm(self.activation(self.dense(hidden[batch.rows, batch.positions])))
        return nn.functional.linear(states, embeddings, self.bias)


def _activation(config: PretrainedConfig) -> nn.Module:
    name = getattr(config, "hidden_act", None) or getattr(config, "activation", None)
    if not isinstance(name, str) or config.model_type in _EXACT_GELU:
        name = "gelu"
    return _ACTIVATIONS.get(name, nn.GELU)()


def make_head(spec: HeadSpec, config: PretrainedConfig, pooling: Pooling, dropout: float) -> nn.Module:
    """Return the head that a task needs on an encoder, before its weights are drawn.

    Parameters
    ----------
    spec
        Format and number of classes; multiple choice has one score per option, however many.
    config
        Of the encoder.
    pooling, dropout
        Of the pooled and token heads.
    """
    size = int(config.hidden_size)
    if spec.format == "classification":
        return PooledHead(size, spec.classes, pooling, dropout)
    if spec.format == "multiple_choice":
        return PooledHead(size, 1, pooling, dropout)
    if spec.format == "span":
        return SpanHead(size)
    if spec.format == "tagging":
        return TokenHead(size, spec.classes, dropout)
    return MaskedTokenHead(config)


def initialise(module: nn.Module, seed: int) -> None:
    """Weights N(0, 0.02²), biases 0, norms 1 (Devlin et al. 2019), from a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.empty(parameter.shape).normal_(0.0, 0.02, generator=generator))
            elif "norm" in name and name.endswith("weight"):
                parameter.fill_(1.0)
            else:
                parameter.zero_()
