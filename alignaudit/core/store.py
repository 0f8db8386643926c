"""The content-addressed store: a finished stage is one immutable folder, committed by one rename.

Layout below the root::

    stages/<key>/            finished: manifest.json, record.json and the stage's own files
    work/<key>/step-<n>/     training state of an unfinished stage, each with a manifest
    damaged/<key>-<n>/       a finished stage that no longer is what its manifest says
    locks/<key>              held by the process that works on the stage

A folder appears under its final name only when every byte of it is written and synced, so a
process that dies leaves nothing that looks finished. Formats: JSON, Parquet, safetensors. No pickle.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from alignaudit.errors import DamagedRecordError, InterruptedRunError, SetupError

__all__ = ["Store", "atomic_folder", "atomic_text", "check_folder", "file_sha256"]

MANIFEST = "manifest.json"
RECORD = "record.json"
_FULL = ("No space left on device", "Disk quota exceeded")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(error: OSError, where: Path) -> SetupError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full." if full else f"cannot be written: {error.strerror or error}."
    hint = "Free some space and run the same command again." if full else "Check the folder's permissions."
    return SetupError(what, where=str(where), hint=f"{hint} Nothing half-written was kept.")


def atomic_text(path: Path, text: str) -> None:
    """Write a text file so that readers see the old content or the new, never a part.

    Raises
    ------
    SetupError
        If the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise _disk_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_folder(final: Path, write: Callable[[Path], None], *, replace: bool = False) -> None:
    """Fill a folder under a private name, add a manifest, and give it its final name in one rename.

    Parameters
    ----------
    final
        The folder that shall appear.
    write
        Called with the private folder; writes the files.
    replace
        Whether an existing folder gives way. Otherwise it is kept: the content is the same by key.

    Raises
    ------
    SetupError
        If the disk is full or the folder cannot be written; the private folder is removed.
    """
    private = final.with_name(f".{final.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        private.mkdir(parents=True)
        write(private)
        _write_manifest(private)
        if replace and final.exists():
            _exchange(private, final)
        else:
            os.rename(private, final)
        _sync(final.parent)
    except OSError as error:
        shutil.rmtree(private, ignore_errors=True)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and (final / MANIFEST).exists():
            return
        raise _disk_error(error, final) from error
    except BaseException as error:
        shutil.rmtree(private, ignore_errors=True)
        if any(words in str(error) for words in _FULL):  # libraries written in Rust do not raise OSError
            raise _disk_error(OSError(errno.ENOSPC, "No space left on device"), final) from error
        raise


def _exchange(private: Path, final: Path) -> None:
    """Put a folder in another's place; the other comes back if that fails."""
    old = final.with_name(f".{final.name}.tmp-old-{uuid.uuid4().hex[:8]}")
    with suppress(FileNotFoundError):  # another process was quicker
        os.rename(final, old)
    try:
        os.rename(private, final)
    except BaseException:
        with suppress(OSError):  # another process filled the place
            os.rename(old, final)
        raise
    finally:
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)


def _write_manifest(folder: Path) -> None:
    entries = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _sync(path)
            entries[path.relative_to(folder).as_posix()] = {
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            }
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": entries}, indent=1, sort_keys=True), encoding="utf-8")
    _sync(manifest)
    _sync(folder)


def check_folder(folder: Path, only: Collection[str] | None = None) -> None:
    """Check the files of a committed folder (all, or only the named ones) against its manifest.

    Raises
    ------
    DamagedRecordError
        If the manifest is absent or unreadable, or a file is missing, truncated or altered.
    """
    try:
        raw = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        entries = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in raw.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRecordError(f"its manifest cannot be read: {error!r}.", where=str(folder)) from error
    for name in sorted(entries if only is None else only):
        path = folder / name
        if name not in entries:
            raise DamagedRecordError("the manifest does not name this file.", where=str(path))
        size, digest = entries[name]
        if not path.is_file():
            raise DamagedRecordError("a file of the manifest is missing.", where=str(path))
        if path.stat().st_size != size:
            raise DamagedRecordError(
                f"truncated or grown: {path.stat().st_size} bytes instead of {size}.", where=str(path)
            )
        if file_sha256(path) != digest:
            raise DamagedRecordError("its bytes do not have the recorded SHA-256.", where=str(path))


def _locked(file: IO[str]) -> bool:
    """Try to lock an open file; True as well where locks are not known."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class Store:
    """Finished and unfinished stages below one root folder."""

    root: Path

    def folder(self, key: str) -> Path:
        """Return the folder that holds the finished stage, existing or not."""
        return self.root / "stages" / key

    def work(self, key: str) -> Path:
        """Return the folder for the training state of an unfinished stage."""
        return self.root / "work" / key

    def has(self, key: str) -> bool:
        """Return whether the stage is finished (its folder carries a manifest)."""
        return (self.folder(key) / MANIFEST).is_file()

    def record(self, key: str) -> dict[str, Any]:
        """Return the record of a finished stage.

        Raises
        ------
        DamagedRecordError
            If it cannot be read.
        """
        path = self.folder(key) / RECORD
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DamagedRecordError(
                f"cannot be read: {error}.",
                where=str(path),
                hint="`alignaudit run-seeds` makes the stage again.",
            ) from error

    def commit(self, key: str, record: Mapping[str, Any], write: Callable[[Path], None]) -> None:
        """Make a finished stage appear in one step, and drop its training state.

        Raises
        ------
        SetupError
            If the disk is full; nothing half-written remains.
        """

        def write_all(folder: Path) -> None:
            write(folder)
            text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
            (folder / RECORD).write_text(text, encoding="utf-8")

        if self.folder(key).exists() and not self.has(key):  # its manifest was lost
            with suppress(FileNotFoundError):  # another process was quicker
                self.set_aside(key)
        atomic_folder(self.folder(key), write_all)
        shutil.rmtree(self.work(key), ignore_errors=True)

    @contextmanager
    def alone(self, key: str, stop: Callable[[], bool] | None = None) -> Iterator[None]:
        """Return a context that holds the stage for this process; another that wants it waits.

        The lock goes with the process, however it ends. Where the file system knows no locks, two
        processes may do the same work, and the first commit stands.

        Raises
        ------
        InterruptedRunError
            If ``stop`` says so while waiting.
        """
        path = self.root / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            while not _locked(file):
                if stop is not None and stop():
                    raise InterruptedRunError("stopped while another process ran this stage.", where=key)
                time.sleep(0.5)
            yield

    def verify(self, key: str, only: Collection[str] | None = None) -> None:
        """Check a finished stage (all of it, or only the named files) against its manifest.

        Raises
        ------
        DamagedRecordError
            See :func:`check_folder`.
        """
        check_folder(self.folder(key), only)

    def set_aside(self, key: str) -> Path:
        """Move a damaged stage out of the way and return where it went."""
        target = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(self.folder(key), target)
        return target

    def sweep(self) -> int:
        """Remove private folders that dead processes left behind over an hour ago; return how many."""
        found = [
            path for area in ("stages", "work", "encoded") for path in (self.root / area).glob("**/.*.tmp-*")
        ]
        leftovers = [path for path in found if time.time() - path.stat().st_mtime > 3600]
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
        return len(leftovers)
