"""One table object; text, Markdown, HTML, CSV and LaTeX (booktabs) are views of it."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

__all__ = ["Field", "Table", "plain"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "<": r"$<$",
    ">": r"$>$",
}


def plain(value: Any) -> str:
    """Return a cell as words; empty cells are ``no data``."""
    if value is None or (isinstance(value, float) and value != value):
        return "no data"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Field:
    """One column: the frame's column, its heading, how a cell is written, and whether it is a number."""

    key: str
    heading: str
    write: Callable[[Any], str] = plain
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A frame of raw values and the way to write them; the first field heads each row.

    Attributes
    ----------
    name
        Of the files that it is written to.
    title
        Caption.
    frame
        Raw values, unrounded; what the CSV holds.
    fields
        Columns that are shown.
    notes
        Sentences under the table.
    """

    name: str
    title: str
    frame: pd.DataFrame
    fields: tuple[Field, ...]
    notes: tuple[str, ...] = field(default=())

    def cells(self) -> list[list[str]]:
        """Return the written cells, row by row."""
        return [
            [f.write(value) for f, value in zip(self.fields, row, strict=True)]
            for row in self.frame[[f.key for f in self.fields]].astype(object).itertuples(index=False)
        ]

    def to_csv(self) -> str:
        """Return the raw values as CSV, every column of the frame."""
        return self.frame.to_csv(index=False, lineterminator="\n")

    def to_text(self) -> str:
        """Return aligned plain text for a terminal."""
        rows = [[f.heading for f in self.fields], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(w) if f.numeric else cell.ljust(w)
                for cell, w, f in zip(row, widths, self.fields, strict=True)
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join([self.title, "", *lines, *(["", *self.notes] if self.notes else [])]) + "\n"

    def to_markdown(self) -> str:
        """Return a pipe table; pipes inside cells are escaped."""
        head, bar = [f.heading for f in self.fields], "\\|"
        rule = ["---:" if f.numeric else ":---" for f in self.fields]
        lines = [
            "| " + " | ".join(cell.replace("|", bar) for cell in row) + " |" for row in [head, *self.cells()]
        ]
        lines.insert(1, "| " + " | ".join(rule) + " |")
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.title}**", "", *lines, *notes]) + "\n"

    def to_html(self, *, limit: int | None = None) -> str:
        """Return an accessible table: caption, scoped headings, isolated text direction.

        Parameters
        ----------
        limit
            Rows shown at most; a note says how many there are.
        """
        rows = self.cells()
        shown = rows if limit is None else rows[:limit]
        head = "".join(f'<th scope="col"{_kind(f)}>{html.escape(f.heading)}</th>' for f in self.fields)
        body = "\n".join("<tr>" + self._html_row(row) + "</tr>" for row in shown)
        notes = list(self.notes)
        if len(shown) < len(rows):
            notes.append(f"First {len(shown)} of {len(rows):,} rows; the CSV file holds all of them.")
        after = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
        return (
            f'<div class="scroll" tabindex="0" role="group" aria-label="{html.escape(self.title)}">'
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>{after}"
        )

    def _html_row(self, row: list[str]) -> str:
        first, *others = row
        rest = zip(others, self.fields[1:], strict=True)
        cells = "".join(
            f"<td{_kind(f, cell)}>{html.escape(cell) if f.numeric else _isolated(cell)}</td>"
            for cell, f in rest
        )
        return f'<th scope="row">{_isolated(first)}</th>{cells}'

    def to_latex(self) -> str:
        """Return a booktabs table with its caption, label and notes; the paper loads ``booktabs``."""
        spec = "".join("r" if f.numeric else "l" for f in self.fields)
        lines = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in self.cells()]
        notes = [rf"\par\smallskip\footnotesize {_latex(note)}" for note in self.notes]
        return "\n".join(
            [
                r"\begin{table}[t]",
                r"\centering\small",
                rf"\caption{{{_latex(self.title)}}}",
                rf"\label{{tab:{self.name}}}",
                rf"\begin{{tabular}}{{{spec}}}",
                r"\toprule",
                " & ".join(_latex(f.heading) for f in self.fields) + r" \\",
                r"\midrule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}",
                *notes,
                r"\end{table}",
                "",
            ]
        )


def _isolated(cell: str) -> str:
    return f"<bdi>{html.escape(cell)}</bdi>"


def _kind(column: Field, cell: str = "") -> str:
    return ' class="number"' if column.numeric else ' class="long"' if len(cell) > 28 else ""


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
