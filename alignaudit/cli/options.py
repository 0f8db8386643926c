"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse

__all__ = [
    "add_study_options",
    "pairs_argument",
    "perturbation_argument",
    "positive_integer",
    "seeds_argument",
]


def seeds_argument(text: str) -> tuple[int, ...]:
    """Return the seeds of a list such as ``1-3,42``.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not such a list.

    Examples
    --------
    >>> seeds_argument("1-3,42")
    (1, 2, 3, 42)
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise argparse.ArgumentTypeError(f'"{text}" is not a list of seeds such as 1-3,42') from None
    if not seeds:
        raise argparse.ArgumentTypeError(f'"{text}" names no seed')
    return tuple(dict.fromkeys(seeds))


def pairs_argument(text: str) -> int:
    """Return a number of sentence pairs; debiased CKA needs 4.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not a whole number of at least 4.
    """
    if not text.isdecimal() or int(text) < 4:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number of at least 4')
    return int(text)


def perturbation_argument(text: str) -> tuple[str, tuple[float, ...]]:
    """Return the name and the severities of a perturbation written as ``name=rate,rate``.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is written otherwise, or a severity is not above 0 and at most 1.

    Examples
    --------
    >>> perturbation_argument("typos=0.05,0.1")
    ('typos', (0.05, 0.1))
    """
    name, _, rates = text.partition("=")
    try:
        severities = tuple(float(rate) for rate in rates.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'"{text}" is not NAME=RATE,…, like typos=0.05,0.1') from error
    if not all(0 < severity <= 1 for severity in severities):
        raise argparse.ArgumentTypeError(f'"{text}": a severity is above 0 and at most 1')
    return name, severities


def positive_integer(text: str) -> int:
    """Return a whole number of at least 1.

    Raises
    ------
    argparse.ArgumentTypeError
        If the text is not one.

    Examples
    --------
    >>> positive_integer("2")
    2
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number of at least 1')
    return int(text)


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Declare what every command on a finished study takes."""
    parser.add_argument(
        "study", nargs="?", help="name, study file, or folder of a study that was run (default: quickstart)"
    )
    parser.add_argument(
        "--schedules",
        nargs="*",
        metavar="ARM",
        help="arms to compare; without names all of the study (default: those of the analysis plan)",
    )
    parser.add_argument("--plan", metavar="FILE", help="analysis plan (default: the built-in primary plan)")
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="runs root (default: runs)")
    parser.add_argument("--allow-missing", action="store_true", help="use the runs there are")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
