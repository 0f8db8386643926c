"""One encoder with a head per task; loading and saving both without pickle."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from alignaudit.core.example import Format
from alignaudit.core.rng import stream_seed
from alignaudit.core.specification import Pooling
from alignaudit.errors import DataError, SetupError
from alignaudit.experiment.batch import Batch

__all__ = [
    "HeadSpec",
    "MaskedTokenHead",
    "MultiTaskModel",
    "PooledHead",
    "SpanHead",
    "TokenHead",
    "build_encoder",
    "checkpoint_path",
    "load_config",
    "load_encoder",
    "load_pretrained",
    "load_tokenizer",
    "pool",
    "save_encoder",
]

_DROPOUT_NAMES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


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
    """Vocabulary logits of the hidden tokens, with the decoder tied to the word embeddings."""

    def __init__(self, hidden_size: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: torch.Tensor, batch: Batch, embeddings: torch.Tensor) -> torch.Tensor:
        """Return logits ``[hidden tokens, vocabulary]``."""
        states = self.norm(nn.functional.gelu(self.dense(hidden[batch.rows, batch.positions])))
        return nn.functional.linear(states, embeddings, self.bias)


class MultiTaskModel(nn.Module):
    """One encoder shared by a head per task.

    Parameters
    ----------
    encoder
        Any Hugging Face encoder that returns ``last_hidden_state``.
    heads
        Per task what its head must be.
    pooling, dropout
        Of the pooled and token heads.
    seed
        Seed of the stream ``head_init``: each head is drawn from its own stream, so that a task
        gets the same first head whatever other tasks the study holds.
    """

    def __init__(
        self, encoder: nn.Module, heads: Mapping[str, HeadSpec], pooling: Pooling, dropout: float, seed: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        self.heads = nn.ModuleDict(
            {name: _make_head(spec, config, pooling, dropout) for name, spec in heads.items()}
        )
        for name, head in self.heads.items():
            _initialise(head, stream_seed(seed, "head_init", name))

    def forward(self, task: str, batch: Batch) -> torch.Tensor:
        """Return the logits of one task for a batch (shapes: see the heads)."""
        hidden = self.encoder(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).last_hidden_state
        head = self.heads[task]
        if isinstance(head, MaskedTokenHead):
            embeddings = self.encoder.get_input_embeddings().weight  # type: ignore[operator]
            logits: torch.Tensor = head(hidden, batch, embeddings)
        else:
            logits = head(hidden, batch)
        return logits

    def loss_sum(self, task: str, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy summed over the batch's targets (a span counts start and end half)."""
        logits = self(task, batch)
        if logits.dim() == 3:
            flat = logits.reshape(-1, logits.shape[-1])
            return nn.functional.cross_entropy(flat, batch.labels.reshape(-1), reduction="sum") / 2
        return nn.functional.cross_entropy(logits, batch.labels, reduction="sum")


def _make_head(spec: HeadSpec, config: PretrainedConfig, pooling: Pooling, dropout: float) -> nn.Module:
    size = int(config.hidden_size)
    if spec.format == "classification":
        return PooledHead(size, spec.classes, pooling, dropout)
    if spec.format == "multiple_choice":
        return PooledHead(size, 1, pooling, dropout)
    if spec.format == "span":
        return SpanHead(size)
    if spec.format == "tagging":
        return TokenHead(size, spec.classes, dropout)
    return MaskedTokenHead(size, int(config.vocab_size))


def _initialise(module: nn.Module, seed: int) -> None:
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


def checkpoint_path(name: str) -> str:
    """Return what transformers can load for a checkpoint name of a study.

    ``package:<import name>/<folder>`` becomes the folder inside the installed package; a folder or
    a Hub name stays what it is.

    Raises
    ------
    SetupError
        If the package is not installed or has no such folder.
    """
    if not name.startswith("package:"):
        return name
    package, _, inside = name.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SetupError(
            f'the package "{package}" is not installed.',
            where=f"checkpoint {name}",
            hint="Install it with pip.",
        )
    folder = Path(spec.origin).parent / inside
    if not folder.is_dir():
        raise SetupError(f"the package has no folder {inside}.", where=f"checkpoint {name}")
    return str(folder)


def _loading_error(name: str, error: Exception) -> SetupError:
    first = str(error).strip().split("\n")[0]
    return SetupError(
        f"cannot be loaded: {first}",
        where=f"checkpoint {name}",
        hint="Give a folder with config.json, model.safetensors and a tokenizer, or a Hub name while online.",
    )


def load_config(name: str) -> PretrainedConfig:
    """Return the configuration of a checkpoint.

    Raises
    ------
    SetupError
        If it cannot be loaded.
    """
    try:
        return AutoConfig.from_pretrained(checkpoint_path(name))
    except (OSError, ValueError) as error:
        raise _loading_error(name, error) from error


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a checkpoint.

    Raises
    ------
    SetupError
        If it cannot be loaded, or knows special tokens only.
    DataError
        If it does not report character offsets.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(checkpoint_path(name))
    except (OSError, ValueError) as error:
        raise _loading_error(name, error) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise SetupError(
            "cannot be loaded: it has no tokenizer.",
            where=f"checkpoint {name}",
            hint="Put its tokenizer.json into the folder.",
        )
    if not tokenizer.is_fast:
        raise DataError("its tokenizer does not report character offsets.", where=f"checkpoint {name}")
    return tokenizer


def load_encoder(name: str, *, dropout: float | None = None) -> nn.Module:
    """Return a pretrained encoder with float32 weights, in evaluation mode.

    Parameters
    ----------
    name
        Folder, Hub name, or ``package:`` name.
    dropout
        Hidden and attention dropout to set; ``None`` keeps the checkpoint's own.

    Raises
    ------
    SetupError
        If it cannot be loaded, or any of its weights is missing.
    """
    config = load_config(name)
    _set_dropout(config, dropout)
    model, found = load_pretrained(AutoModel, name, config, **_no_pooler(config))
    missing = sorted(key for key in found if "pooler" not in key)  # never used here
    if missing:
        raise SetupError(
            f"cannot be loaded: {len(missing)} of its weights are missing, first {missing[0]}.",
            where=f"checkpoint {name}",
            hint="They would be filled at random; give a complete encoder.",
        )
    return model


def load_pretrained(
    kind: Any, name: str, config: PretrainedConfig, **more: Any
) -> tuple[nn.Module, set[str]]:
    """Return a model in float32, in evaluation mode, and the names of weights that its checkpoint lacks.

    ``kind`` is one of transformers' automatic classes; the lacking weights are random.

    Raises
    ------
    SetupError
        If it cannot be loaded.
    """
    try:
        model, found = kind.from_pretrained(
            checkpoint_path(name),
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,
            **more,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _loading_error(name, error) from error
    return model.eval(), set(found["missing_keys"])


def build_encoder(config: PretrainedConfig, seed: int, *, dropout: float | None = None) -> nn.Module:
    """Return an encoder with fresh random weights, drawn without touching the global generator's state.

    Parameters
    ----------
    config
        Architecture.
    seed
        Seed of the weights.
    dropout
        As for :func:`load_encoder`.
    """
    _set_dropout(config, dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder: nn.Module = AutoModel.from_config(config, **_no_pooler(config)).float().eval()
    return encoder


def _set_dropout(config: PretrainedConfig, dropout: float | None) -> None:
    if dropout is not None:
        for name in _DROPOUT_NAMES:
            if hasattr(config, name):
                setattr(config, name, dropout)


def _no_pooler(config: PretrainedConfig) -> dict[str, bool]:
    """BERT-like models carry a pooler that we never use; leave it out where the model allows."""
    return {"add_pooling_layer": False} if config.model_type in ("bert", "roberta", "xlm-roberta") else {}


def save_encoder(encoder: nn.Module, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer, loadable by name of the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
