"""The masked-language-model head that a checkpoint was pretrained with, as first weights of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

from alignaudit.experiment.model import checkpoint_path, load_config, loading_error

__all__ = ["pretrained_mlm_head"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Names of a head's weights in a checkpoint, and of the embeddings that its decoder shares."""

    dense: str
    norm: str
    biases: tuple[str, ...]  # the first one found is what the decoder adds
    decoder: str
    embeddings: str


_BERT = _Layout(
    "cls.predictions.transform.dense",
    "cls.predictions.transform.LayerNorm",
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
    "cls.predictions.decoder.weight",
    "bert.embeddings.word_embeddings.weight",
)
_ROBERTA = _Layout(
    "lm_head.dense",
    "lm_head.layer_norm",
    ("lm_head.decoder.bias", "lm_head.bias"),
    "lm_head.decoder.weight",
    "roberta.embeddings.word_embeddings.weight",
)
_DISTILBERT = _Layout(
    "vocab_transform",
    "vocab_layer_norm",
    ("vocab_projector.bias",),
    "vocab_projector.weight",
    "distilbert.embeddings.word_embeddings.weight",
)
_LAYOUTS: Mapping[str, _Layout] = {
    "bert": _BERT,
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "xlm-roberta-xl": _ROBERTA,
}


def pretrained_mlm_head(name: str) -> dict[str, torch.Tensor] | None:
    """Return the weights of a checkpoint's own masked-language-model head, or ``None``.

    Only the head's tensors are read, from ``model.safetensors`` or the parts that its index names.

    Parameters
    ----------
    name
        Folder, Hub name, or ``package:`` name.

    Returns
    -------
    dict of str to torch.Tensor, or None
        The complete state of a :class:`alignaudit.experiment.heads.MaskedTokenHead` in float32:
        ``dense.weight`` [d, d], ``dense.bias`` [d], ``norm.weight`` [d], ``norm.bias`` [d] and
        ``bias`` [vocabulary]. ``None`` where the checkpoint lacks any of them (an encoder saved
        alone), its decoder is not the matrix of word embeddings, or the architecture's head is of
        another kind.

    Raises
    ------
    SetupError
        If the checkpoint cannot be read.
    """
    config = load_config(name)
    layout = _LAYOUTS.get(config.model_type)
    if layout is None or not getattr(config, "tie_word_embeddings", True):
        return None
    try:
        files = _files_of_tensors(checkpoint_path(name))
        names = _names(layout, files)
        if names is None or not _is_tied(layout, files):
            return None
        return {ours: _read(theirs, files).float().clone() for ours, theirs in names.items()}
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise loading_error(name, error) from error


def _files_of_tensors(place: str) -> dict[str, str]:
    """Return for every tensor of a checkpoint the file that holds it; one whole file comes first."""
    try:
        whole = cached_file(place, SAFE_WEIGHTS_NAME)
    except OSError:
        index = cached_file(place, SAFE_WEIGHTS_INDEX_NAME)
        parts = json.loads(Path(index).read_text("utf-8"))["weight_map"]
        found = {part: cached_file(place, part) for part in sorted(set(parts.values()))}
        return {tensor: found[part] for tensor, part in parts.items()}
    with safe_open(whole, framework="pt") as content:
        return dict.fromkeys(content.keys(), whole)


def _names(layout: _Layout, files: Mapping[str, str]) -> dict[str, str] | None:
    """Return for each of our weights its name in the checkpoint; ``None`` where any is lacking.

    Checkpoints converted from TensorFlow call a norm's weight and bias gamma and beta.
    """
    candidates = {
        "dense.weight": (f"{layout.dense}.weight",),
        "dense.bias": (f"{layout.dense}.bias",),
        "norm.weight": (f"{layout.norm}.weight", f"{layout.norm}.gamma"),
        "norm.bias": (f"{layout.norm}.bias", f"{layout.norm}.beta"),
        "bias": layout.biases,
    }
    names = {ours: [one for one in theirs if one in files] for ours, theirs in candidates.items()}
    return {ours: found[0] for ours, found in names.items()} if all(names.values()) else None


def _is_tied(layout: _Layout, files: Mapping[str, str]) -> bool:
    """Return whether the decoder is the word embeddings: not stored a second time, or the same."""
    if layout.decoder not in files:
        return True
    if layout.embeddings not in files:
        return False
    return torch.equal(_read(layout.decoder, files), _read(layout.embeddings, files))


def _read(tensor: str, files: Mapping[str, str]) -> torch.Tensor:
    with safe_open(files[tensor], framework="pt") as content:
        value: torch.Tensor = content.get_tensor(tensor)
    return value
