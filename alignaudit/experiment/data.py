"""Where a study's text comes from, behind one door: the embedded world or a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from alignaudit.core.example import ParallelText, TaskData
from alignaudit.core.language import languages
from alignaudit.core.store import file_sha256
from alignaudit.core.study import Data
from alignaudit.errors import DataError, StudyError, did_you_mean
from alignaudit.experiment.files import FOLDER_TASKS
from alignaudit.experiment.parallel import parallel_files, parallel_languages, read_parallel
from alignaudit.world.world import World

__all__ = ["FolderSource", "Source", "WorldSource", "open_source"]

WORLD_TASKS = ("nli", "pos", "qa", "role")


class Source(Protocol):
    """Text of a study: tasks, parallel text, and fingerprints of both for stage identities."""

    def task(self, name: str) -> TaskData:
        """Return the data of a task."""
        ...

    def task_fingerprint(self, name: str) -> str:
        """Return a hash that changes when the task's data may."""
        ...

    def parallel_languages(self) -> tuple[str, ...]:
        """Return the codes of the languages with parallel text."""
        ...

    def parallel(self, languages: tuple[str, ...]) -> Iterator[ParallelText]:
        """Yield the parallel text of the given languages, in that order."""
        ...

    def parallel_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash that changes when the parallel text may."""
        ...

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of every language, for reports."""
        ...


def open_source(data: Data) -> Source:
    """Return the source that a study's ``[data]`` table names.

    Raises
    ------
    DataError
        If the folder does not exist.
    """
    if data.source == "world":
        return WorldSource(data)
    folder = Path(str(data.folder))
    if not folder.is_dir():
        raise DataError(
            "there is no such folder.", where=str(folder), hint='Set it with --set data.folder="PATH".'
        )
    return FolderSource(data, folder)


def _unknown_task(name: str, known: tuple[str, ...]) -> StudyError:
    return StudyError(f'there is no data for a task "{name}".', where="tasks", hint=did_you_mean(name, known))


def _check_task(task: TaskData) -> TaskData:
    if not task.train:
        raise DataError("no training data.", where=f"task {task.name}", hint="Check the task's files.")
    if not task.dev:
        raise DataError("no development data.", where=f"task {task.name}", hint="Check the task's files.")
    return task


@dataclass(frozen=True, slots=True)
class WorldSource:
    """The embedded synthetic world."""

    data: Data

    def _world(self) -> World:
        return _world(self.data.world_seed)

    def _fingerprint(self, *parts: object) -> str:
        text = repr((_world_fingerprint(self.data.world_seed), parts))
        return hashlib.sha256(text.encode()).hexdigest()

    def task(self, name: str) -> TaskData:
        """Return the data of a task of the world."""
        if name not in WORLD_TASKS:
            raise _unknown_task(name, WORLD_TASKS)
        data = self.data
        return _check_task(
            self._world().task(
                name, train=data.train_examples, dev=data.dev_examples, test=data.test_examples
            )
        )

    def task_fingerprint(self, name: str) -> str:
        """Return a hash of the world's definition, the sizes and the task's name."""
        if name not in WORLD_TASKS:
            raise _unknown_task(name, WORLD_TASKS)
        data = self.data
        return self._fingerprint("task", name, data.train_examples, data.dev_examples, data.test_examples)

    def parallel_languages(self) -> tuple[str, ...]:
        """Return the world's foreign languages."""
        return tuple(language.code for language in self._world().languages[1:])

    def parallel(self, languages: tuple[str, ...]) -> Iterator[ParallelText]:
        """Yield the world's test pairs: the same English sentences for every language."""
        world = self._world()
        for language in languages:
            yield world.parallel(language, pairs=self.data.parallel_pairs)

    def parallel_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the world's definition and the languages."""
        return self._fingerprint("parallel", languages, self.data.parallel_pairs)

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of the world's languages."""
        return {
            language.code: {"name": language.name, "script": language.script, "family": language.word_order}
            for language in self._world().languages
        }


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder with one sub-folder per data set, in the layouts of their publishers."""

    data: Data
    folder: Path

    def task(self, name: str) -> TaskData:
        """Return the data of a task, split by document or context."""
        if name not in FOLDER_TASKS:
            raise _unknown_task(name, tuple(FOLDER_TASKS))
        data = self.data
        return _check_task(
            FOLDER_TASKS[name].read(self.folder, data.train_examples, data.dev_examples, data.test_examples)
        )

    def task_fingerprint(self, name: str) -> str:
        """Return a hash of the task's files and the sizes."""
        if name not in FOLDER_TASKS:
            raise _unknown_task(name, tuple(FOLDER_TASKS))
        sizes = (self.data.train_examples, self.data.dev_examples, self.data.test_examples)
        return _files_hash([self.folder / file for file in FOLDER_TASKS[name].files], sizes)

    def parallel_languages(self) -> tuple[str, ...]:
        """Return the languages of the parallel text's sub-folder."""
        return parallel_languages(self.folder / self.data.parallel)

    def parallel(self, languages: tuple[str, ...]) -> Iterator[ParallelText]:
        """Yield the pairs of each language, at most ``parallel_pairs`` of them."""
        for language in languages:
            yield read_parallel(self.folder / self.data.parallel, language, self.data.parallel_pairs)

    def parallel_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the languages' files, that of their documents included."""
        folder = self.folder / self.data.parallel
        files = [path for language in languages for path in parallel_files(folder, language)]
        return _files_hash(files, (self.data.parallel_pairs,))

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of every language known by an ISO code."""
        known = languages()
        found = {code: known[code] for code in known}
        found |= {language.short: language for language in known.values() if language.short}
        return {
            code: {"name": language.name, "script": language.script, "family": language.family}
            for code, language in found.items()
        }


@cache
def _world(seed: int) -> World:
    """Return the world of a seed; it is immutable, and its lexicons and fingerprint take time."""
    return World(seed)


@cache
def _world_fingerprint(seed: int) -> str:
    return _world(seed).fingerprint()


def _files_hash(files: list[Path], sizes: tuple[int, ...]) -> str:
    digest = hashlib.sha256(repr(sizes).encode())
    for path in files:
        if not path.is_file():
            raise DataError(
                "there is no such file.", where=str(path), hint="See data/README.md for the layout."
            )
        digest.update(f"{path.name}:{file_sha256(path)}".encode())
    return digest.hexdigest()
