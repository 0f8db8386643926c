"""Where a study's text comes from, behind one door: the embedded world, folders, or the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from alignaudit.core.example import ParallelText, TaskData, TextExample
from alignaudit.core.language import languages
from alignaudit.core.phase import TaskSettings
from alignaudit.core.store import file_sha256
from alignaudit.core.study import Data
from alignaudit.core.tasks import task as find_task
from alignaudit.errors import DataError, StudyError, did_you_mean
from alignaudit.experiment.lexicon import Lexicons, lexicon_file, read_lexicons
from alignaudit.experiment.mining import mining_files, mining_languages
from alignaudit.experiment.parallel import parallel_files, parallel_languages, read_parallel
from alignaudit.experiment.tasks.load import load_task, task_fingerprint, train_size
from alignaudit.experiment.tasks.parallel_rows import hub_languages, hub_parallel, hub_parallel_fingerprint
from alignaudit.experiment.tasks.problems import Problem, find_problems
from alignaudit.experiment.tasks.rows import Place
from alignaudit.world.language import LANGUAGES
from alignaudit.world.world import World

__all__ = ["Source", "TaskSource", "WorldSource", "mining_fingerprint", "open_source", "place_of"]

WORLD_TASKS = ("mlm", "nli", "pos", "qa", "role")
BUCC = "bucc2018"


class Source(Protocol):
    """Text of a study: tasks, parallel text, and fingerprints of both for stage identities."""

    def task(self, name: str, settings: TaskSettings) -> TaskData:
        """Return the data of a task."""
        ...

    def task_fingerprint(self, name: str, settings: TaskSettings) -> str:
        """Return a hash that changes when the task's data may."""
        ...

    def train_size(self, name: str, settings: TaskSettings) -> int | None:
        """Return the number of training examples, or None where it cannot be known here."""
        ...

    def problems(self, name: str, settings: TaskSettings) -> list[Problem]:
        """Return what is wrong with the data of a task; every row is read."""
        ...

    def is_trained(self, name: str) -> bool:
        """Return whether there is anything to train the task on."""
        ...

    def is_tested(self, name: str) -> bool:
        """Return whether the task has test sets."""
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

    def lexicons(self, languages: tuple[str, ...]) -> Lexicons:
        """Return English words of each foreign word, by language."""
        ...

    def lexicon_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash that changes when the lexicons may."""
        ...

    def mining_folder(self) -> Path | None:
        """Return the folder of BUCC's mining sets; None where there is none."""
        ...

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of every language, for reports."""
        ...


def open_source(data: Data) -> Source:
    """Return the source that a study's ``[data]`` table names.

    Raises
    ------
    DataError
        If a folder does not exist.
    """
    if data.source == "world":
        return WorldSource(data)
    places = {"folder": data.folder, "hub": data.hub, "lexicons": data.lexicons}
    places |= {f"folders.{name}": folder for name, folder in data.folders.items()}
    for setting, folder in places.items():
        if folder is not None and not Path(folder).is_dir():
            raise DataError(
                "there is no such folder.", where=folder, hint=f'Set it with --set data.{setting}="PATH".'
            )
    return TaskSource(data)


def place_of(data: Data) -> Place:
    """Return where the data sets of a study lie."""
    return Place(
        hub=data.hub or "",
        folder=data.folder or "",
        folders=data.folders,
        files=data.files,
        carve=data.carve,
        revisions=data.revisions,
        network=data.source == "hub",
    )


@dataclass(frozen=True, slots=True)
class WorldSource:
    """The embedded synthetic world."""

    data: Data

    def _world(self) -> World:
        return _world(self.data.world_seed)

    def _fingerprint(self, *parts: object) -> str:
        text = repr((_world_fingerprint(self.data.world_seed), parts))
        return hashlib.sha256(text.encode()).hexdigest()

    def _sizes(self) -> tuple[int, int, int]:
        data = self.data
        # the study was refused if one of them were missing
        return data.train_examples or 0, data.dev_examples or 0, data.test_examples or 0

    def task(self, name: str, settings: TaskSettings) -> TaskData:
        """Return the data of a task of the world."""
        _check_world_task(name, settings)
        train, dev, test = self._sizes()
        if name == "mlm":
            return self._mlm(settings, train, dev)
        return self._world().task(name, train=train, dev=dev, test=test)

    def _mlm(self, settings: TaskSettings, train: int, dev: int) -> TaskData:
        """Return running text: as much of each language, documents in turn; English for development."""
        each = -(-train // len(settings.train_languages))
        corpora = [self._world().corpus(code, each) for code in settings.train_languages]
        texts = [TextExample(text) for documents in zip(*corpora, strict=True) for text in documents]
        english = self._world().corpus("en", each + dev)[-dev:]
        return TaskData("mlm", "mlm", (), "accuracy", texts[:train], [TextExample(text) for text in english])

    def task_fingerprint(self, name: str, settings: TaskSettings) -> str:
        """Return a hash of the world's definition, the sizes and the task's name."""
        _check_world_task(name, settings)
        parts: tuple[object, ...] = ("task", name, *self._sizes())
        return self._fingerprint(*parts, *(settings.train_languages if name == "mlm" else ()))

    def train_size(self, name: str, settings: TaskSettings) -> int | None:
        """Return the number of training examples."""
        _check_world_task(name, settings)
        return min(self._sizes()[0], settings.train_examples or self._sizes()[0])

    def problems(self, name: str, settings: TaskSettings) -> list[Problem]:
        """Return nothing: the world's data are right, but for a task that it has not."""
        try:
            _check_world_task(name, settings)
        except StudyError as error:
            return [Problem("error", error.where, error.what, error.hint)]
        return []

    def is_trained(self, name: str) -> bool:
        """Return True: every task of the world has training data."""
        return True

    def is_tested(self, name: str) -> bool:
        """Return whether the task has test sets."""
        return name != "mlm" and bool(self._world().task(name, train=1, dev=1, test=1).test)

    def parallel_languages(self) -> tuple[str, ...]:
        """Return the world's foreign languages."""
        return tuple(language.code for language in self._world().languages[1:])

    def parallel(self, languages: tuple[str, ...]) -> Iterator[ParallelText]:
        """Yield the world's test pairs: the same English sentences for every language."""
        for language in languages:
            yield self._world().parallel(language, pairs=self.data.parallel_pairs or 0)

    def parallel_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the world's definition and the languages."""
        return self._fingerprint("parallel", languages, self.data.parallel_pairs)

    def lexicons(self, languages: tuple[str, ...]) -> Lexicons:
        """Return the English words of every word form of the world's languages."""
        return {language: self._world().dictionary(language) for language in languages}

    def lexicon_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the words."""
        return hashlib.sha256(repr(self.lexicons(languages)).encode()).hexdigest()

    def mining_folder(self) -> Path | None:
        """Return None: the world has no mining sets."""
        return None

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of the world's languages."""
        return {
            language.code: {"name": language.name, "script": language.script, "family": language.word_order}
            for language in self._world().languages
        }


@dataclass(frozen=True, slots=True)
class TaskSource:
    """Published data sets, in folders or on the Hub, behind the records of ``core.tasks``."""

    data: Data

    def _limits(self, settings: TaskSettings) -> dict[str, Any]:
        limits = [size for size in (self.data.train_examples, settings.train_examples) if size is not None]
        return {
            "train_languages": settings.train_languages,
            "test_languages": settings.test_languages,
            "train_examples": min(limits, default=None),
            "dev_examples": self.data.dev_examples,
            "test_examples": self.data.test_examples,
        }

    def task(self, name: str, settings: TaskSettings) -> TaskData:
        """Return the data of a task; examples are made when they are asked for."""
        return load_task(find_task(name), place_of(self.data), **self._limits(settings))

    def task_fingerprint(self, name: str, settings: TaskSettings) -> str:
        """Return a hash of the task's files, or of the names and revisions of its repositories."""
        return task_fingerprint(find_task(name), place_of(self.data), **self._limits(settings))

    def train_size(self, name: str, settings: TaskSettings) -> int | None:
        """Return the number of training examples: counted, or as published where they are out of reach."""
        return train_size(find_task(name), place_of(self.data), **self._limits(settings))

    def problems(self, name: str, settings: TaskSettings) -> list[Problem]:
        """Return what is wrong with the data of a task; every row is read."""
        try:
            return find_problems(find_task(name), place_of(self.data), **self._limits(settings))
        except StudyError as error:
            return [Problem("error", error.where or f"task {name}", error.what, error.hint)]

    def is_trained(self, name: str) -> bool:
        """Return whether there is anything to train the task on."""
        return bool(find_task(name).train)

    def is_tested(self, name: str) -> bool:
        """Return whether the task has test sets."""
        return find_task(name).test is not None

    def _parallel_folder(self) -> Path | None:
        """Return the folder of the parallel text; None where it is read from the Hub."""
        name = self.data.parallel
        if name in self.data.folders:
            return Path(self.data.folders[name])
        if self.data.folder and (self.data.source == "folder" or (Path(self.data.folder) / name).is_dir()):
            return Path(self.data.folder) / name
        return None

    def parallel_languages(self) -> tuple[str, ...]:
        """Return the languages of the parallel text."""
        folder = self._parallel_folder()
        return hub_languages(self.data.parallel) if folder is None else parallel_languages(folder)

    def parallel(self, languages: tuple[str, ...]) -> Iterator[ParallelText]:
        """Yield the pairs of each language, at most ``parallel_pairs`` of them."""
        folder, limit = self._parallel_folder(), self.data.parallel_pairs
        for language in languages:
            if folder is None:
                yield hub_parallel(self.data.parallel, language, place_of(self.data), limit)
            else:
                yield read_parallel(folder, language, limit)

    def parallel_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the languages' files, that of their documents included."""
        folder = self._parallel_folder()
        limit = (self.data.parallel_pairs,)
        if folder is None:
            names = [
                hub_parallel_fingerprint(self.data.parallel, language, place_of(self.data))
                for language in languages
            ]
            return hashlib.sha256(repr((limit, names)).encode()).hexdigest()
        files = [path for language in languages for path in parallel_files(folder, language)]
        return _files_hash(files, limit)

    def _lexicon_folder(self) -> Path:
        if self.data.lexicons is None:
            raise StudyError("no lexicons are named.", where="data.lexicons", hint="Name their folder there.")
        return Path(self.data.lexicons)

    def lexicons(self, languages: tuple[str, ...]) -> Lexicons:
        """Return the lexicons of the folder that the study names."""
        return read_lexicons(self._lexicon_folder(), languages)

    def lexicon_fingerprint(self, languages: tuple[str, ...]) -> str:
        """Return a hash of the lexicons' files."""
        return _files_hash([lexicon_file(self._lexicon_folder(), language) for language in languages], ())

    def mining_folder(self) -> Path | None:
        """Return the folder of BUCC's mining sets; None where there is none."""
        if BUCC in self.data.folders:
            return Path(self.data.folders[BUCC])
        places = [Path(self.data.folder) / name for name in (BUCC, "bucc")] if self.data.folder else []
        return next((place for place in places if place.is_dir()), None)

    def describe_languages(self) -> dict[str, dict[str, str]]:
        """Return name, script and family of every language known by an ISO code."""
        known = languages()
        found = {code: known[code] for code in known}
        found |= {language.short: language for language in known.values() if language.short}
        return {
            code: {"name": language.name, "script": language.script, "family": language.family}
            for code, language in found.items()
        }


def mining_fingerprint(folder: Path) -> str:
    """Return a hash of all files of a folder of mining sets."""
    files = [
        file
        for language in mining_languages(folder)
        for split in ("dev", "test")
        for file in mining_files(folder, language, split)
    ]
    return _files_hash(files, ())


def _check_world_task(name: str, settings: TaskSettings) -> None:
    if name not in WORLD_TASKS:
        raise StudyError(
            f'there is no data for a task "{name}".', where="tasks", hint=did_you_mean(name, WORLD_TASKS)
        )
    known = [language.code for language in LANGUAGES]
    for language in settings.train_languages:
        if language not in known:
            raise StudyError(
                f'the world has no language "{language}".',
                where=f"tasks.{name}.train_languages",
                hint=did_you_mean(language, known),
            )
    if settings.test_languages or (name != "mlm" and settings.train_languages != ("en",)):
        raise StudyError("the world's tasks are trained in English and tested in all.", where=f"tasks.{name}")


@cache
def _world(seed: int) -> World:
    """Return the world of a seed; it is immutable, and its lexicons and fingerprint take time."""
    return World(seed)


@cache
def _world_fingerprint(seed: int) -> str:
    return _world(seed).fingerprint()


def _files_hash(files: list[Path], sizes: tuple[int | None, ...]) -> str:
    digest = hashlib.sha256(repr(sizes).encode())
    for path in files:
        if not path.is_file():
            raise DataError(
                "there is no such file.", where=str(path), hint="See data/README.md for the layout."
            )
        digest.update(f"{path.name}:{file_sha256(path)}".encode())
    return digest.hexdigest()
