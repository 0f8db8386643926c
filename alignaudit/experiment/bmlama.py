"""Reader of BMLAMA files: one factual question a row, the same candidate answers in every language.

A file is named after its language, ``en.tsv``, and has four columns: a prompt with ``<mask>`` where
the answer belongs, the answer, the candidates, and the subject. Answers and candidates are lists
joined by a comma and a space. Row i of every language asks the same, and candidate c of a row is
the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alignaudit.errors import DataError, did_you_mean
from alignaudit.experiment.text_file import read_lines

__all__ = ["MASK", "BmlamaLanguage", "BmlamaRow", "is_bmlama_folder", "read_bmlama", "read_bmlama_folder"]

MASK = "<mask>"
_HEADER = "Prompt Ans Candidate Ans Subject"
_SEPARATOR = ", "


@dataclass(frozen=True, slots=True)
class BmlamaRow:
    """One question.

    Attributes
    ----------
    prompt
        Text with one ``<mask>`` where the answer belongs.
    answers
        The right answers; BMLAMA has one a row.
    candidates
        What the answer is to be chosen from, in an order that all languages share.
    subject
        What the question is about.
    """

    prompt: str
    answers: tuple[str, ...]
    candidates: tuple[str, ...]
    subject: str

    @property
    def answer_positions(self) -> tuple[int, ...]:
        """Return where the right answers stand among the candidates; empty where none does."""
        return tuple(place for place, candidate in enumerate(self.candidates) if candidate in self.answers)


@dataclass(frozen=True, slots=True)
class BmlamaLanguage:
    """All questions in one language.

    Attributes
    ----------
    language
        Code, from the file's name.
    rows
        The questions, in the order of the file.
    """

    language: str
    rows: tuple[BmlamaRow, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return the number of candidates of every row; shape [rows]."""
        return np.array([len(row.candidates) for row in self.rows], dtype=np.int64)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Return which candidate positions each row has; shape [rows, largest number of candidates]."""
        counts = self.counts
        mask: NDArray[np.bool_] = np.arange(counts.max()) < counts[:, None]
        return mask

    @property
    def missing_answers(self) -> int:
        """Return the number of rows with a right answer that is not among the candidates.

        The published Hebrew files have such rows. Rankings of candidates do not need the answer, so
        the rows stay; an accuracy must leave them out.
        """
        return sum(not set(row.answers) <= set(row.candidates) for row in self.rows)


def is_bmlama_folder(folder: Path) -> bool:
    """Return whether a folder holds questions in BMLAMA's format: a TSV file with its header."""
    for path in sorted(folder.glob("*.tsv"))[:1]:
        with path.open("rb") as file:
            header = file.readline().decode("utf-8-sig", errors="replace")
        return " ".join(header.split()) == _HEADER
    return False


def read_bmlama(path: Path) -> BmlamaLanguage:
    """Return the questions of one language.

    Parameters
    ----------
    path
        A UTF-8 file with tabs between its columns and a header. The header may also have the name
        of its third column cut in two, as the published Chinese file does. Lines may end in a
        carriage return; blank lines are allowed at the end only.

    Returns
    -------
    BmlamaLanguage
        Its code is the file's name without ``.tsv``.

    Raises
    ------
    DataError
        Where the file or its header is absent, or a row has not four columns, an empty one, a blank
        candidate, or not exactly one ``<mask>``.

    References
    ----------
    Qi, Fernandez and Bisazza (2023), Cross-lingual consistency of factual knowledge in multilingual
    language models, section 4, for the data.
    """
    header, *lines = read_lines(path)
    if " ".join(header.split()) != _HEADER:
        raise DataError(
            f'the header is "{header[:80]}".',
            where=f"{path}, line 1",
            hint="Expected the columns Prompt, Ans, Candidate Ans, Subject, with tabs between them.",
        )
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError("no rows.", where=str(path))
    return BmlamaLanguage(path.stem, tuple(_row(line, path, number) for number, line in enumerate(lines, 2)))


def read_bmlama_folder(folder: Path, languages: Sequence[str] | None = None) -> tuple[BmlamaLanguage, ...]:
    """Return several languages whose rows and candidates correspond.

    Parameters
    ----------
    folder
        Holds one ``<code>.tsv`` a language.
    languages
        Codes, in the order wanted; all files, sorted, if not given.

    Returns
    -------
    tuple of BmlamaLanguage
        All with as many rows, and with as many candidates in every row.

    Raises
    ------
    DataError
        As :func:`read_bmlama`; where the folder or a language is absent; and where a language does
        not correspond to the first, naming the line.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder.", where=str(folder))
    known = sorted(path.stem for path in folder.glob("*.tsv"))
    for language in languages or ():
        if language not in known:
            raise DataError(
                f'no language "{language}".', where=str(folder), hint=did_you_mean(language, known)
            )
    if not known:
        raise DataError("no BMLAMA files.", where=str(folder), hint="Expected <code>.tsv, as in en.tsv.")
    read = tuple(read_bmlama(folder / f"{language}.tsv") for language in languages or known)
    for other in read[1:]:
        _check_correspondence(folder, read[0], other)
    return read


def _row(line: str, path: Path, number: int) -> BmlamaRow:
    where = f"{path}, line {number}"
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) != 4:
        raise DataError(f"{len(columns)} columns instead of 4.", where=where, hint="Columns end at a tab.")
    prompt, answers, candidates, subject = columns
    row = BmlamaRow(prompt, tuple(answers.split(_SEPARATOR)), tuple(candidates.split(_SEPARATOR)), subject)
    if not all(part.strip() for part in (prompt, subject, *row.answers, *row.candidates)):
        raise DataError("an empty column or candidate.", where=where)
    if prompt.count(MASK) != 1:
        raise DataError(f"the prompt has {prompt.count(MASK)} {MASK} instead of one.", where=where)
    return row


def _check_correspondence(folder: Path, first: BmlamaLanguage, other: BmlamaLanguage) -> None:
    if len(first.rows) != len(other.rows):
        raise DataError(
            f"{len(other.rows)} rows, but {first.language}.tsv has {len(first.rows)}.",
            where=str(folder / f"{other.language}.tsv"),
            hint="Row i must ask the same in every language.",
        )
    different = np.flatnonzero(first.counts != other.counts)
    if len(different):
        row = int(different[0])
        raise DataError(
            f"{other.counts[row]} candidates in this row, {first.counts[row]} in {first.language}.tsv; "
            f"rows that differ so: {len(different)}.",
            where=f"{folder / f'{other.language}.tsv'}, line {row + 2}",
            hint="Candidate c must be the same answer in every language.",
        )
