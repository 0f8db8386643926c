"""Repositories of the Hugging Face Hub, from the network or from copies in a folder.

Everything that ``datasets`` may raise is turned into one plain sentence with what to do about it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from alignaudit.core.store import file_sha256
from alignaudit.errors import AlignAuditError, DataError, SetupError, did_you_mean

if TYPE_CHECKING:
    import datasets

__all__ = ["copy_sha256", "files_sha256", "hub_table", "parquet_table"]


def hub_table(
    repository: str, configuration: str, split: str, *, revision: str = "", copies: str = "", where: str = ""
) -> datasets.Dataset:
    """Return one split of a repository as a memory-mapped table.

    Parameters
    ----------
    repository
        ``owner/name``.
    configuration, split
        Names in the repository; an empty configuration means the only one.
    revision
        Commit, branch or tag; empty means the newest. Copies have no revision.
    copies
        Folder that holds copies of repositories as ``owner/name``; empty means the network and what
        ``datasets`` keeps of it.
    where
        The rows in words, for messages.

    Raises
    ------
    SetupError
        If the Hub cannot be reached, which includes the offline mode of ``datasets``.
    DataError
        If repository, revision, configuration or split do not exist, or the files are damaged.
    """
    with _quiet(), _in_plain_words(repository, configuration, split, where):
        if not copies:
            return _library().load_dataset(
                repository, configuration or None, split=split, revision=revision or None
            )
        folder = _copy(copies, repository)
        found = _copy_files(folder, configuration)
        if split not in found:
            raise ValueError(f'Unknown split "{split}". Should be one of {list(found)}.')
        if all(file.suffix == ".parquet" for file in found[split]):
            return parquet_table(found[split], where)
        # datasets does not notice that a file of a copy has changed: its cache is kept by content.
        content = copy_sha256(copies, repository, configuration, where)
        return _library().load_dataset(
            str(folder), split=split, cache_dir=_cache(content), **_configuration(folder, configuration)
        )


def parquet_table(files: tuple[Path, ...], where: str = "") -> datasets.Dataset:
    """Return the rows of Parquet files, one after the other, as a memory-mapped table.

    Raises
    ------
    DataError
        If a file cannot be read.
    """
    with _quiet(), _in_plain_words(", ".join(map(str, files)), "", "", where):
        return _library().Dataset.from_parquet(
            [str(file) for file in files], cache_dir=_cache(files_sha256(files))
        )


def files_sha256(files: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and contents of files, in their order.

    A file is read again only when its size or the time of its last change differs.

    Raises
    ------
    DataError
        If a file is not there.
    """
    digest = hashlib.sha256()
    for path in files:
        if not path.is_file():
            raise DataError("there is no such file.", where=str(path))
        digest.update(f"{path.name}:{_sha256(path)}\n".encode())
    return digest.hexdigest()


def copy_sha256(copies: str, repository: str, configuration: str, where: str = "") -> str:
    """Return the SHA-256 of the names and contents of a configuration's files in a copy of a repository.

    Raises
    ------
    DataError
        If there is no copy, or it has no such configuration.
    """
    folder = _copy(copies, repository)
    with _quiet(), _in_plain_words(repository, configuration, "", where):
        found = _copy_files(folder, configuration)
    digest = hashlib.sha256()
    for split in sorted(found):
        for path in found[split]:
            digest.update(f"{split}:{os.path.relpath(path, folder)}:{_sha256(path)}\n".encode())
    return digest.hexdigest()


def _library() -> ModuleType:
    """Return ``datasets``, which takes seconds to import and is needed for tables only."""
    import datasets

    return datasets


@contextmanager
def _quiet() -> Iterator[None]:
    """Run without progress bars of ``datasets``."""
    shown = _library().utils.are_progress_bars_disabled()
    _library().utils.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            _library().utils.enable_progress_bars()


def _copy(copies: str, repository: str) -> Path:
    folder = Path(copies) / repository
    if not folder.is_dir():
        raise DataError(
            f"there is no copy of the repository {repository}.",
            where=str(folder),
            hint=f"hf download --repo-type dataset {repository} --revision COMMIT --local-dir {folder}",
        )
    return folder.resolve()


def _copy_files(folder: Path, configuration: str) -> dict[str, tuple[Path, ...]]:
    """Return the files of a configuration of a copy by split.

    Cards of repositories with many languages are long, so that all configurations are kept of the
    first builder that is made of a card; which files match their patterns is looked up anew.
    """
    key = folder, _changed(folder)
    config: Any = _CONFIGURATIONS.get(key, {}).get(configuration)
    if hasattr(getattr(config, "data_files", None), "resolve"):
        found = config.data_files.resolve(str(folder / (config.data_dir or "")))
    else:
        builder = _library().load_dataset_builder(str(folder), **_configuration(folder, configuration))
        _CONFIGURATIONS[key] = dict(builder.builder_configs)
        found = builder.config.data_files or {}
    return {str(split): tuple(map(Path, names)) for split, names in found.items()}


_CONFIGURATIONS: dict[tuple[Path, int], dict[str, Any]] = {}


def _changed(folder: Path) -> int:
    """Return when the card of a copy was last changed; 0 without a card."""
    card = folder / "README.md"
    return card.stat().st_mtime_ns if card.is_file() else 0


def _configuration(folder: Path, configuration: str) -> dict[str, str]:
    """Return how a configuration of a copy is asked for: by name, or as the folder that it is called after.

    Without a card that lists configurations, ``datasets`` takes any name for all files together.
    """
    if not configuration:
        return {}
    known = _configurations(folder, _changed(folder))
    if configuration in known:
        return {"name": configuration}
    if known == ("default",) and (folder / configuration).is_dir():
        return {"data_dir": configuration}
    raise ValueError(f"BuilderConfig '{configuration}' not found. Available: {list(known)}")


@lru_cache(maxsize=256)
def _configurations(folder: Path, changed: int) -> tuple[str, ...]:
    """Return the configurations of a copy; its card, which may be long, is read again when it has changed."""
    return tuple(_library().get_dataset_config_names(str(folder)))


def _cache(content: str) -> str:
    """Return the folder in which ``datasets`` keeps rows of files with this content."""
    return str(Path(_library().config.HF_DATASETS_CACHE) / "copies" / content[:32])


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _sha256_of(path: Path, changed: int, size: int) -> str:
    return file_sha256(path)


@contextmanager
def _in_plain_words(repository: str, configuration: str, split: str, where: str) -> Iterator[None]:
    try:
        yield
    except AlignAuditError:
        raise
    except ConnectionError as error:
        raise _unreachable(repository, where) from error
    except (RuntimeError, ValueError, OSError, _library().exceptions.DatasetsError) as error:
        raise _refused(error, repository, configuration, split, where) from error


def _unreachable(repository: str, where: str) -> SetupError:
    offline = _library().config.HF_HUB_OFFLINE
    what = "offline mode is on (HF_HUB_OFFLINE)" if offline else "the Hugging Face Hub cannot be reached"
    return SetupError(
        f"{what}, and {repository} is not in the cache.",
        where=where,
        hint=(
            "Set data.folders.<data set> to a folder with its files, or data.hub to a folder of copies "
            f"(hf download --repo-type dataset {repository} --revision COMMIT --local-dir HUB/{repository})."
        ),
    )


def _refused(
    error: Exception, repository: str, configuration: str, split: str, where: str
) -> AlignAuditError:
    message = str(error)
    known = re.findall(r"'([^']+)'", message.partition("[")[2].partition("]")[0])
    if "scripts are no longer supported" in message:
        what = f"{repository} is a script, and datasets no longer runs scripts."
        return DataError(what, where=where, hint="Get its files and set data.folders.<data set>.")
    if "BuilderConfig" in message or "Config name is missing" in message:
        what = f'{repository} has no configuration "{configuration}".'
        return DataError(what, where=where, hint=did_you_mean(configuration, known))
    if "Unknown split" in message or "Bad split" in message:
        what = f'{repository} has no split "{split}".'
        return DataError(what, where=where, hint=did_you_mean(split, known))
    if isinstance(error, _library().exceptions.DatasetNotFoundError):
        hint = "Check its name and revision; if it is gated, ask for access and run: hf auth login"
        return DataError(f"the Hub has no {repository} that we may read.", where=where, hint=hint)
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == 28:
        return SetupError(f"{repository} cannot be stored: {message}.", where=where, hint="Set HF_HOME.")
    first = message.strip().split("\n")[0][:300]
    cause = f" ({str(error.__cause__).strip().splitlines()[0][:200]})" if str(error.__cause__ or "") else ""
    return DataError(f"{repository} cannot be read: {first}{cause}.", where=where)
