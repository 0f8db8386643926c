"""The only place that prints: data to stdout, talk to stderr, progress in the form the stream can show."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Console", "StageProgress", "duration", "text_table"]

PLAIN_EVERY_S = 30.0


def duration(seconds: float) -> str:
    """Return a time in the largest two units that matter.

    Examples
    --------
    >>> duration(4.2), duration(75), duration(7300), duration(200_000)
    ('4 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a plain table: first column left, the others right, two blanks between.

    Examples
    --------
    >>> print(text_table(["a", "n"], [["x", "10"], ["yy", "7"]]))
    a    n
    x   10
    yy   7
    """
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


class Console:
    """What a command says and gives.

    Parameters
    ----------
    quiet
        Say nothing but errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.talk = RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Write a line of talk to stderr."""
        if not self.quiet:
            self.talk.print(text, markup=False)

    def error(self, text: str) -> None:
        """Write an error to stderr."""
        self.talk.print(f"error: {text}", markup=False, style="bold red" if self.talk.is_terminal else None)

    def trace(self) -> None:
        """Write the traceback of the error that is being handled to stderr."""
        self.talk.print(traceback.format_exc(), markup=False)

    def give(self, text: str) -> None:
        """Write data to stdout."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def give_json(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object to stdout; values that are not numbers must have become None."""
        self.give(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


class StageProgress:
    """Shows stages as they start, move and finish: bars on a terminal, plain lines otherwise."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.spoke: dict[str, float] = {}
        self.bars: dict[str, Any] = {}
        self.rich: Progress | None = None
        if console.talk.is_terminal and not console.quiet:
            self.rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console.talk,
                transient=True,
            )

    def __enter__(self) -> StageProgress:
        if self.rich:
            self.rich.start()
            self.bars[""] = self.rich.add_task("all stages", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.rich:
            self.rich.stop()

    def start(self, label: str) -> None:
        """Note that a stage was started."""
        self.spoke[label] = time.monotonic()
        if self.rich:
            self.bars[label] = self.rich.add_task(f"  {label}", total=None)

    def move(self, label: str, done: int, total: int) -> None:
        """Note how far a stage has come; plain output says so every half minute."""
        if self.rich and label in self.bars:
            self.rich.update(self.bars[label], completed=done, total=total)
        elif time.monotonic() - self.spoke.get(label, 0.0) >= PLAIN_EVERY_S:
            self.spoke[label] = time.monotonic()
            self.console.say(f"  {label}: {done} of {total}")

    def finish(self, label: str) -> None:
        """Note that a stage is finished."""
        self.done += 1
        elapsed = duration(time.monotonic() - self.started)
        if self.rich:
            bar = self.bars.pop(label, None)
            if bar is not None:
                self.rich.remove_task(bar)
            self.rich.update(self.bars[""], completed=self.done)
        else:
            self.console.say(f"[{self.done}/{self.total}] {label} ({elapsed})")
