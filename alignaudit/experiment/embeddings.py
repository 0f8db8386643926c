"""Sentence vectors on disk, and the reference that others are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from alignaudit.core.example import ParallelText
from alignaudit.core.specification import Pooling
from alignaudit.errors import SetupError
from alignaudit.experiment.encode import SentenceEncoder, as_array
from alignaudit.measure.arrays import Array

__all__ = [
    "REFERENCE_FILE",
    "EmbeddingFolder",
    "EncoderReference",
    "PrimaryVectors",
    "StoredReference",
]

REFERENCE_FILE = "reference.safetensors"
Vectors = dict[Pooling, torch.Tensor]


class EmbeddingFolder:
    """Keeps every vector of every language, one safetensors file per language.

    A file holds ``foreign.<pooling>`` and ``english.<pooling>``, each ``[layers, n, d]``.

    Parameters
    ----------
    folder
        Made if it is not there.
    precision
        Of the numbers on disk.

    Raises
    ------
    SetupError
        If the folder cannot be made, or, in :meth:`keep`, a file cannot be written.
    """

    def __init__(self, folder: Path, precision: Literal["float16", "float32"] = "float32") -> None:
        self.folder = folder
        self.dtype = torch.float16 if precision == "float16" else torch.float32
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritten(folder, error) from error

    def keep(self, text: ParallelText, foreign: Vectors, english: Vectors) -> None:
        """Write the vectors of one language; the file appears when it is whole."""
        sides = {"foreign": foreign, "english": english}
        tensors = {
            f"{side}.{pooling}": one.to("cpu", self.dtype).contiguous()
            for side, vectors in sides.items()
            for pooling, one in vectors.items()
        }
        final = self.folder / f"{text.language}.safetensors"
        private = final.with_suffix(".part")
        try:
            save_file(tensors, private)
            private.replace(final)
        except (OSError, SafetensorError) as error:
            raise _unwritten(final, error) from error
        finally:
            private.unlink(missing_ok=True)


def _unwritten(path: Path, error: Exception) -> SetupError:
    return SetupError(
        f"cannot be written: {error}.", where=str(path), hint="Give another folder, or free some space."
    )


class PrimaryVectors:
    """Collects the vectors of one layer and pooling, to be the reference of later measurements.

    Parameters
    ----------
    layer, pooling
        Which of the recorded vectors; all layers must have been recorded.
    """

    def __init__(self, layer: int, pooling: Pooling) -> None:
        self.layer, self.pooling = layer, pooling
        self._tensors: dict[str, torch.Tensor] = {}

    def keep(self, text: ParallelText, foreign: Vectors, english: Vectors) -> None:
        """Take the vectors of one language."""
        for side, vectors in (("foreign", foreign), ("english", english)):
            self._tensors[f"{side}.{text.language}"] = vectors[self.pooling][self.layer].cpu().clone()

    def save(self, path: Path) -> None:
        """Write the vectors collected so far as one safetensors file."""
        save_file(self._tensors, path)


class StoredReference:
    """Reads what :class:`PrimaryVectors` wrote, a language at a time.

    Parameters
    ----------
    path
        The file.
    device
        Where the vectors are wanted.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device
        self.seconds = 0.0

    def vectors(self, text: ParallelText) -> tuple[Array, Array]:
        """Return the vectors of a text's foreign and English side, [n, d] each."""
        with safe_open(self.path, framework="pt") as file:
            foreign, english = (file.get_tensor(f"{side}.{text.language}") for side in ("foreign", "english"))
        return as_array(foreign.to(self.device)), as_array(english.to(self.device))


class EncoderReference:
    """Encodes the same sentences with another encoder.

    Parameters
    ----------
    source
        The other encoder, with one pooling and one layer.
    pooling
        That pooling.
    """

    def __init__(self, source: SentenceEncoder, pooling: Pooling) -> None:
        self.source, self.pooling = source, pooling

    @property
    def seconds(self) -> float:
        """Return the wall time spent in the other encoder so far."""
        return self.source.seconds

    def vectors(self, text: ParallelText) -> tuple[Array, Array]:
        """Return the vectors of a text's foreign and English side, [n, d] each."""
        foreign, english = self.source.vectors(text.foreign), self.source.shared(text.english)
        return as_array(foreign[self.pooling][0]), as_array(english[self.pooling][0])
