"""One encoder with a head per task; loading and saving both without pickle."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from alignaudit.core.rng import stream_seed
from alignaudit.core.specification import Pooling
from alignaudit.errors import DataError, SetupError, UsageError
from alignaudit.experiment.batch import Batch
from alignaudit.experiment.heads import HeadSpec, MaskedTokenHead, initialise, make_head

__all__ = [
    "MultiTaskModel",
    "build_encoder",
    "checkpoint_path",
    "load_config",
    "load_encoder",
    "load_pretrained",
    "load_tokenizer",
    "loading_error",
    "save_encoder",
]

_DROPOUT_NAMES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


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
    initial_heads
        Per task the weights that its head starts from in place of drawn ones, such as
        :func:`alignaudit.experiment.mlm_head.pretrained_mlm_head`; no other head is changed by them.

    Raises
    ------
    UsageError
        If initial weights are for no task here, or do not fit its head.
    """

    def __init__(
        self,
        encoder: nn.Module,
        heads: Mapping[str, HeadSpec],
        pooling: Pooling,
        dropout: float,
        seed: int,
        *,
        initial_heads: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        self.heads = nn.ModuleDict(
            {name: make_head(spec, config, pooling, dropout) for name, spec in heads.items()}
        )
        for name, head in self.heads.items():
            initialise(head, stream_seed(seed, "head_init", name))
        for name, weights in (initial_heads or {}).items():
            self._start_from(name, weights)

    def _start_from(self, task: str, weights: Mapping[str, torch.Tensor]) -> None:
        if task not in self.heads:
            raise UsageError("initial weights are given, but it has no head.", where=f"task {task}")
        try:
            self.heads[task].load_state_dict(weights)
        except RuntimeError as error:
            raise UsageError(
                "the initial weights do not fit its head.",
                where=f"task {task}",
                hint="Names and shapes must be those of the head.",
            ) from error

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


def loading_error(name: str, error: Exception) -> SetupError:
    """Return the error to raise where a checkpoint cannot be read for the reason given."""
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
        raise loading_error(name, error) from error


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
        raise loading_error(name, error) from error
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
        raise loading_error(name, error) from error
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


def save_encoder(
    encoder: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    mlm_head: nn.Module | None = None,
) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer, loadable by name of the folder.

    A head of masked language modelling is written beside, under the names of XLM-R's, so that
    :func:`alignaudit.experiment.mlm_head.pretrained_mlm_head` finds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    for name, value in mlm_head.state_dict().items() if mlm_head else ():
        tensors[f"lm_head.{name.replace('norm', 'layer_norm')}"] = value.detach().cpu().contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
