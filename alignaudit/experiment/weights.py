"""The identity of an external encoder: a hash over the files that decide what it computes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from transformers.utils import cached_file

from alignaudit.core.store import file_sha256
from alignaudit.errors import SetupError
from alignaudit.experiment.model import checkpoint_path

__all__ = ["weights_fingerprint"]

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)


def weights_fingerprint(name: str) -> str:
    """Return a SHA-256 over an encoder's configuration, weights and tokenizer files.

    Parameters
    ----------
    name
        Folder, Hub name, or ``package:`` name.

    Raises
    ------
    SetupError
        If configuration or weights cannot be found.
    """
    path = checkpoint_path(name)
    if _locate(path, "config.json") is None:
        raise _missing("config.json", name)
    needed = ("config.json", *_weight_files(path, name))
    digest = hashlib.sha256()
    for file in (*needed, *_TOKENIZER_FILES):
        local = _locate(path, file)
        if local is None and file in needed:
            raise _missing(file, name)
        if local is not None:
            digest.update(f"{file}:{file_sha256(local)}".encode())
    return f"weights:{digest.hexdigest()}"


def _missing(file: str, name: str) -> SetupError:
    return SetupError(
        f"its {file} cannot be found.",
        where=f"checkpoint {name}",
        hint="Give a folder that holds it, or a Hub name while online or with the files cached.",
    )


def _weight_files(path: str, name: str) -> list[str]:
    """Names of the safetensors files: one, or the shards of an index. Pickled weights do not count."""
    index = _locate(path, "model.safetensors.index.json")
    if index is None:
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SetupError("its weight index cannot be read.", where=f"checkpoint {name}") from error


def _locate(path: str, file: str) -> Path | None:
    if Path(path).is_dir():
        local = Path(path) / file
        return local if local.is_file() else None
    try:
        found = cached_file(path, file, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError):
        return None
    return Path(found) if found else None
