"""Where the rows of a part of a data set lie.

A part is looked for in this order: the files that a study names, the folder that it names for the
data set, the data set's sub-folder of the study's folder, the Hub. In a folder the publisher's own
file names come first, then ``<configuration>/<split>``, ``<split>.<language>``,
``<language>/<split>`` and ``<split>``, with one of the known extensions or as Parquet shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from alignaudit.core.task import CODE, LANGUAGE, DataSet, Part
from alignaudit.errors import DataError, SetupError
from alignaudit.experiment.tasks.columns import used_columns
from alignaudit.experiment.tasks.examples import PackedRows, Rows, TableRows
from alignaudit.experiment.tasks.hub import copy_sha256, files_sha256, hub_table, parquet_table
from alignaudit.experiment.tasks.row_files import EXTENSIONS, file_rows

__all__ = ["ENGLISH", "Location", "Place", "locate"]

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data of a study lies.

    Attributes
    ----------
    hub
        Folder with copies of Hub repositories as ``owner/name``; empty: the network.
    folder
        Root with one sub-folder per data set, by the data set's name; empty: none.
    folders
        Folder by data set.
    files
        File name by data set and split; may contain ``{language}`` (the data set's word, or our
        code), ``{code}`` (our code) and the wildcard ``*``. Relative names begin at the data set's
        folder.
    carve
        By data set, the split that training and development are both cut from.
    revisions
        Revision by data set, instead of the record's.
    network
        Whether what lies nowhere else may be read from the Hub.
    """

    hub: str = ""
    folder: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    carve: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    network: bool = True

    def folder_of(self, name: str) -> Path | None:
        """Return the folder of a data set; None where it is read from the Hub."""
        if name in self.folders:
            return Path(self.folders[name])
        folder = Path(self.folder) / name
        return folder if self.folder and folder.is_dir() else None


@dataclass(frozen=True, slots=True)
class Location:
    """The rows of one part in one language, found but not read.

    Attributes
    ----------
    data_set
        The record of the data set.
    configuration, split, row_prefix
        As in ``core.task.Part``, with the data set's word for the language filled in.
    language
        Our code of the language.
    files
        Local files in order; empty where the rows come from the Hub.
    copies
        Folder of copies of Hub repositories; empty: the network.
    revision
        Revision on the Hub; empty: the newest.
    specific
        Whether the names of the files say the language, so that all of their rows are in it.
    """

    data_set: DataSet
    configuration: str
    split: str
    row_prefix: str
    language: str
    files: tuple[Path, ...] = ()
    copies: str = ""
    revision: str = ""
    specific: bool = False

    @property
    def _table(self) -> str:
        configuration = f", configuration {self.configuration}" if self.configuration else ""
        return f"{self.data_set.name}{configuration}, split {self.split}"

    @property
    def where(self) -> str:
        """Return data set, configuration and split in words; the language where they do not say it."""
        word = self.data_set.languages.get(self.language, self.language)
        if self.language == ENGLISH or word in f"{self.configuration}{self.split}":
            return self._table
        return f"{self._table}, language {self.language}"

    @property
    def key(self) -> tuple[object, ...]:
        """Return what two locations have in common that hold the same rows."""
        return (self.data_set.name, self.files) if self.files else (self._table, self.copies, self.revision)

    @property
    def at_hand(self) -> bool:
        """Return whether the rows can be had without the network."""
        return bool(self.files or self.copies)

    def rows(self) -> Rows:
        """Return the rows, all those of other prefixes included.

        Raises
        ------
        DataError, SetupError
            If they cannot be read.
        """
        if not self.files:
            return TableRows(
                hub_table(
                    self.data_set.repository,
                    self.configuration,
                    self.split,
                    revision=self.revision,
                    copies=self.copies,
                    where=self.where,
                )
            )
        if all(file.suffix == ".parquet" for file in self.files):
            return TableRows(parquet_table(self.files, self.where))
        rows = (row for file in self.files for row in file_rows(file, self.data_set))
        return PackedRows(rows, used_columns(self.data_set))

    def fingerprint(self) -> str:
        """Return text that changes when the rows may: contents of local files, or names on the Hub."""
        prefix = f"/{self.row_prefix}" if self.row_prefix else ""
        if self.files:
            return f"files:{files_sha256(self.files)}{prefix}"
        name = f"{self.data_set.repository}@{self.revision}/{self.configuration}/{self.split}{prefix}"
        if not self.copies:
            return name
        return f"{name}:{copy_sha256(self.copies, self.data_set.repository, self.configuration, self.where)}"


def locate(part: Part, data_set: DataSet, place: Place, language: str = ENGLISH) -> Location:
    """Return where the rows of a part are for one language.

    A part that does not mention a language is in English; in another language it can only come from
    files that have the language in their names.

    Raises
    ------
    DataError
        If the rows are in none of the places; it says what was looked for.
    SetupError
        If the data set is not on the Hub and no folder is named for it.
    """
    word = data_set.languages.get(language, language)
    found = Location(
        data_set,
        part.configuration.replace(LANGUAGE, word),
        part.split.replace(LANGUAGE, word),
        part.row_prefix.replace(LANGUAGE, word),
        language,
        copies=place.hub,
        revision=place.revisions.get(data_set.name, data_set.revision),
    )
    local = _local_files(part, found, place)
    if local is not None:
        files, specific = local
        return replace(found, files=files, copies="", revision="", specific=specific)
    _on_the_hub(part, found, place.network)
    return found


def _on_the_hub(part: Part, found: Location, network: bool) -> None:
    data_set, name = found.data_set, found.data_set.name
    if not data_set.repository:
        reason = data_set.absent or "it is not on the Hub"
        raise SetupError(f"{reason}.", where=found.where, hint=f"Set data.folders.{name} to its folder.")
    if not network and not found.copies:
        raise DataError(
            "the study's folder has no sub-folder of this name, and its source is not the Hub.",
            where=found.where,
            hint=f"Set data.folders.{name} or data.files.{name}.",
        )
    if found.language != ENGLISH and LANGUAGE not in f"{part.configuration}{part.split}{part.row_prefix}":
        raise DataError(
            f'there is no "{found.language}" on the Hub.',
            where=found.where,
            hint=f"Set data.files.{name}.{part.split} to its files, such as {part.split}.{LANGUAGE}.jsonl.",
        )
    if data_set.languages and found.language not in data_set.languages:
        known = ", ".join(data_set.languages)
        raise DataError(f'no language "{found.language}".', where=found.where, hint=f"Known: {known}.")


# --------------------------------------------------------------------------- files


def _local_files(part: Part, found: Location, place: Place) -> tuple[tuple[Path, ...], bool] | None:
    """Return the files of a part and whether their names say the language; None: it is on the Hub."""
    name = found.data_set.name
    folder = place.folder_of(name)
    named = place.files.get(name, {})
    pattern = named.get(part.split) or named.get(found.split)
    if pattern:
        patterns = [pattern]
    elif folder is not None:
        patterns = _folder_patterns(part, found)
    else:
        return None
    base = folder or Path()
    tried: list[str] = []
    for pattern in patterns:
        if not _of_the_language(pattern, part, found.language):
            continue
        for wanted in _filled_in(pattern, found):
            tried.append(wanted)
            if files := _matches(base, wanted):
                return files, LANGUAGE in pattern or CODE in pattern
    looked = ", ".join(dict.fromkeys(_grouped(tried))) or f"names with {LANGUAGE}, for this is not in English"
    raise DataError(f"no file found. Looked for: {looked}.", where=f"{found.where}, in {base}")


def _folder_patterns(part: Part, found: Location) -> list[str]:
    own = (*found.data_set.files.get(part.split, ()), *found.data_set.files.get(found.split, ()))
    stems = [f"{part.configuration}/{part.split}"] if part.configuration else []
    stems += [f"{part.split}.{LANGUAGE}", f"{LANGUAGE}/{part.split}", part.split]
    general = [
        name
        for stem in stems
        for extension in EXTENSIONS
        for name in (f"{stem}.{extension}", *([f"{stem}-*.parquet"] if extension == "parquet" else []))
    ]
    return [*dict.fromkeys(own), *general]


def _of_the_language(pattern: str, part: Part, language: str) -> bool:
    """Return whether files of this name can be in the language: English may go without its name."""
    return language == ENGLISH or bool(part.row_prefix) or LANGUAGE in pattern or CODE in pattern


def _filled_in(pattern: str, found: Location) -> list[str]:
    """Return a pattern with the data set's word for the language, and with our code."""
    word = found.data_set.languages.get(found.language, found.language)
    return list(
        dict.fromkeys(
            pattern.replace(LANGUAGE, name).replace(CODE, found.language) for name in (word, found.language)
        )
    )


def _matches(base: Path, pattern: str) -> tuple[Path, ...]:
    whole = base / pattern
    if "*" not in pattern:
        return (whole,) if whole.is_file() else ()
    anchor = Path(whole.anchor)
    relative = whole.relative_to(anchor) if whole.anchor else whole
    return tuple(sorted(path for path in anchor.glob(str(relative)) if path.is_file()))


def _grouped(names: Iterable[str]) -> Iterator[str]:
    """Yield names, with the known extensions written as one."""
    for name in names:
        stem, _, extension = name.rpartition(".")
        yield f"{stem}.({'|'.join(EXTENSIONS)})" if extension in EXTENSIONS and "*" not in name else name
