"""Readers of mining sets, in which the translations are to be found among many other sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from alignaudit.core.example import MiningText
from alignaudit.errors import DataError, did_you_mean
from alignaudit.experiment.parallel import read_columns

__all__ = [
    "MINING_SPLITS",
    "distinct_sentences",
    "gold_rows",
    "is_mining_folder",
    "mining_files",
    "mining_languages",
    "read_mining",
]

MINING_SPLITS: Mapping[str, tuple[str, ...]] = {
    "dev": ("dev", "sample"),
    "test": ("test", "training"),
    "sample": ("sample",),
    "training": ("training",),
}
"""Splits of a mining set and the names that their files may bear: XTREME renames BUCC's files."""

FILE = re.compile(r"(?P<code>[a-z]{2,3})-en\.(?P<split>dev|sample|test|training)\.(?P=code)")


def mining_languages(folder: Path) -> tuple[str, ...]:
    """Return the language codes of a folder of mining sets, sorted.

    The layout is BUCC's: ``<code>-en.<split>.<code>``, ``<code>-en.<split>.en`` and
    ``<code>-en.<split>.gold``, in the folder itself or in a sub-folder ``<code>-en``.

    Raises
    ------
    DataError
        If the folder is absent or holds no such file.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder.", where=str(folder))
    names = [path.name for pattern in ("*-en.*.*", "*-en/*-en.*.*") for path in folder.glob(pattern)]
    found = {match["code"] for match in map(FILE.fullmatch, names) if match}
    if not found:
        raise DataError(
            "no mining set found.",
            where=str(folder),
            hint="Expected <code>-en.<split>.<code>, .en, .gold; <split> is dev, sample, test or training.",
        )
    return tuple(sorted(found))


def is_mining_folder(folder: Path) -> bool:
    """Return whether a folder holds mining sets (files of gold pairs) rather than parallel text."""
    return any(folder.glob("*-en.*.gold")) or any(folder.glob("*-en/*-en.*.gold"))


def mining_files(folder: Path, language: str, split: str) -> tuple[Path, Path, Path]:
    """Return the foreign, the English and the gold file of a split.

    Parameters
    ----------
    folder, language
        See :func:`mining_languages`.
    split
        A key of :data:`MINING_SPLITS`. As in XTREME, ``dev`` is also BUCC's sample, and ``test``
        BUCC's training set where there is no file of the name ``test``.

    Raises
    ------
    DataError
        If the split is unknown, or the language or one of the three files is not there.
    """
    if split not in MINING_SPLITS:
        raise DataError(f'no split "{split}".', where=str(folder), hint=did_you_mean(split, MINING_SPLITS))
    known = mining_languages(folder)
    if language not in known:
        raise DataError(f'no language "{language}".', where=str(folder), hint=did_you_mean(language, known))
    stems = [
        place / f"{language}-en.{name}"
        for name in MINING_SPLITS[split]
        for place in (folder, folder / f"{language}-en")
    ]
    stem = next((stem for stem in stems if stem.with_name(f"{stem.name}.{language}").is_file()), stems[0])
    foreign, english, gold = (stem.with_name(f"{stem.name}.{side}") for side in (language, "en", "gold"))
    for file in (foreign, english):
        if not file.is_file():
            raise DataError("there is no such file.", where=str(file))
    if not gold.is_file():
        raise DataError(
            "there is no such file, and without gold pairs nothing can be scored.",
            where=str(gold),
            hint="BUCC publishes gold pairs for sample and training; XTREME deletes those of its test.",
        )
    return foreign, english, gold


def read_mining(folder: Path, language: str, split: str) -> MiningText:
    """Return the sentences of one language and English, and the pairs to be found among them.

    Parameters
    ----------
    folder, language, split
        See :func:`mining_files`.

    Raises
    ------
    DataError
        As :func:`mining_files`; also if a line has not two columns or a blank one, a name or a
        gold pair stands there twice, or a gold pair names an unknown sentence.
    """
    foreign_file, english_file, gold_file = mining_files(folder, language, split)
    foreign, english = _sentences(foreign_file), _sentences(english_file)
    gold: dict[tuple[str, str], int] = {}
    for number, pair in enumerate(read_columns(gold_file), 1):
        where = f"{gold_file}, line {number}"
        for name, known, file in zip(pair, (foreign, english), (foreign_file, english_file), strict=True):
            if name not in known:
                raise DataError(f'"{name}" is not in {file.name}.', where=where)
        if gold.setdefault(pair, number) != number:
            raise DataError(f"the same pair as in line {gold[pair]}.", where=where)
    return MiningText(
        language,
        tuple(foreign),
        tuple(foreign.values()),
        tuple(english),
        tuple(english.values()),
        tuple(gold),
    )


def _sentences(path: Path) -> dict[str, str]:
    sentences: dict[str, str] = {}
    for number, (name, text) in enumerate(read_columns(path), 1):
        if name in sentences:
            first = list(sentences).index(name) + 1
            raise DataError(f'"{name}" is also the name of line {first}.', where=f"{path}, line {number}")
        sentences[name] = text
    return sentences


def distinct_sentences(text: MiningText) -> MiningText:
    """Return a mining set in which every sentence stands once on its side, under its first name.

    Equal sentences would compete for one partner; a gold pair that names a repeated sentence names
    its first place instead, and pairs that become equal are one.
    """
    sides = []
    for names, sentences in ((text.foreign_ids, text.foreign), (text.english_ids, text.english)):
        first: dict[str, str] = {}
        alias = {
            name: first.setdefault(sentence, name) for name, sentence in zip(names, sentences, strict=True)
        }
        sides.append((first, alias))
    (foreign, foreign_alias), (english, english_alias) = sides
    return MiningText(
        text.language,
        tuple(foreign.values()),
        tuple(foreign),
        tuple(english.values()),
        tuple(english),
        tuple(dict.fromkeys((foreign_alias[left], english_alias[right]) for left, right in text.gold)),
    )


def gold_rows(text: MiningText) -> npt.NDArray[np.int64]:
    """Return the gold pairs of a mining set as places of their sentences.

    Returns
    -------
    numpy.ndarray
        Shape [g, 2], int64: index into ``text.foreign`` and into ``text.english``.
    """
    foreign = {name: row for row, name in enumerate(text.foreign_ids)}
    english = {name: row for row, name in enumerate(text.english_ids)}
    rows = [(foreign[left], english[right]) for left, right in text.gold]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
