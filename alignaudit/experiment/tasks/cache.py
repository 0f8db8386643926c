"""Encoded examples in files: made once, keyed by content, and read as memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import Format
from alignaudit.core.store import Store, atomic_folder, check_folder
from alignaudit.core.study import canonical_json
from alignaudit.errors import DamagedRecordError
from alignaudit.experiment.tasks.encoding import VERSION
from alignaudit.experiment.tasks.ragged import Encoded, Ragged

__all__ = ["cached", "encoding_key", "read_encoded", "write_encoded"]

HEADER = "encoded.json"
RAGGED = ("sequences", "labels", "positions", "characters")


def encoding_key(
    data: str,
    tokenizer: PreTrainedTokenizerBase,
    form: Format,
    max_length: int,
    stride: int,
    *,
    training: bool,
) -> str:
    """Return the key of an encoding: equal where, and only where, the token numbers must be equal.

    Parameters
    ----------
    data
        Fingerprint of the examples: which they are and in what order.
    tokenizer
        Its vocabulary, rules, special tokens and largest length enter; what earlier calls set
        (truncation, padding) does not.
    form, max_length, stride, training
        As for :func:`alignaudit.experiment.tasks.encoding.encode`.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits; the versions of the encoding and of the tokenizers library
        enter too.
    """
    values = {
        "data": data,
        "tokenizer": _rules_hash(tokenizer, len(tokenizer)),
        "special_ids": sorted(int(special) for special in tokenizer.all_special_ids),
        "truncation_side": tokenizer.truncation_side,
        "format": form,
        "max_length": min(max_length, int(tokenizer.model_max_length)),
        "stride": stride,
        "training": training,
        "version": VERSION,
        "tokenizers": tokenizers.__version__,
    }
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()


@lru_cache(maxsize=8)
def _rules_hash(tokenizer: PreTrainedTokenizerBase, size: int) -> str:
    """Hash of a tokenizer's file, made once per object and size: a large vocabulary takes a second."""
    rules: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {name: value for name, value in rules.items() if name not in ("truncation", "padding")}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()


def cached(
    folder: Path, key: str, make: Callable[[], Encoded], stop: Callable[[], bool] | None = None
) -> Encoded:
    """Return the encoding of a key from its folder; it is made where there is none, or a damaged one.

    Several processes may ask at once: one makes the encoding and the others wait for it.

    Parameters
    ----------
    folder
        Holds a folder per key, and locks.
    key
        See :func:`encoding_key`.
    make
        Gives the encoding.
    stop
        Asked while waiting for another process.

    Returns
    -------
    Encoded
        Its arrays are memory-mapped and cannot be written to.

    Raises
    ------
    SetupError
        If the disk is full or the folder cannot be written.
    InterruptedRunError
        If ``stop`` says so while waiting.
    """
    place = folder / key
    with suppress(DamagedRecordError):
        return read_encoded(place)
    with Store(folder).alone(key, stop):
        with suppress(DamagedRecordError):
            return read_encoded(place)
        encoded = make()
        write_encoded(place, encoded)
        with suppress(DamagedRecordError):
            return read_encoded(place)
    return encoded


def write_encoded(folder: Path, encoded: Encoded) -> None:
    """Write an encoding as ``.npy`` files, in one step; what was there gives way.

    Raises
    ------
    SetupError
        If the disk is full or the folder cannot be written.
    """
    header = {"format": encoded.format, "group": encoded.group, "dropped": encoded.dropped}

    def write(private: Path) -> None:
        for name, array in _arrays(encoded).items():
            np.save(private / f"{name}.npy", array, allow_pickle=False)
        (private / HEADER).write_text(canonical_json(header), encoding="utf-8")

    atomic_folder(folder, write, replace=True)


def read_encoded(folder: Path) -> Encoded:
    """Return the encoding of a folder, memory-mapped.

    Raises
    ------
    DamagedRecordError
        If it is not there, or a file is not what the folder's manifest says.
    """
    check_folder(folder)
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        parts = {name: Ragged(_mapped(folder, name), _mapped(folder, f"{name}.ends")) for name in RAGGED}
        owners = _mapped(folder, "owners")
    except (OSError, ValueError) as error:
        raise DamagedRecordError(f"cannot be read: {error}.", where=str(folder)) from error
    return Encoded(
        header["format"],
        parts["sequences"],
        header["group"],
        parts["labels"],
        parts["positions"],
        parts["characters"],
        owners,
        header["dropped"],
    )


def _arrays(encoded: Encoded) -> Mapping[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"owners": encoded.owners}
    for name in RAGGED:
        ragged: Ragged = getattr(encoded, name)
        arrays[name] = ragged.values
        arrays[f"{name}.ends"] = ragged.ends
    return arrays


def _mapped(folder: Path, name: str) -> NDArray[Any]:
    """Map the array of a file; as a plain view, for a memmap's own class makes slices slow."""
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
