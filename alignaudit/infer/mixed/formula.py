"""lme4's formula syntax: which part is fixed, which parts vary by group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alignaudit.errors import FitError

__all__ = ["Bar", "MixedFormula", "parse_formula"]

_BINOMIAL = re.compile(r"cbind\((?P<successes>.*),(?P<failures>[^,]*)\)")
_OFFSET = re.compile(r"offset\((?P<column>[^()]*)\)")
_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Bar:
    """One random term: the effects on the left of a bar vary by the groups on its right.

    Attributes
    ----------
    effects
        Model formula of the left side, for example ``1 + schedule``.
    factors
        Columns whose combinations are the groups, for example ``("seed", "schedule")``.
    correlated
        False for a double bar: every column of the left side has a variance, and no covariance.
    """

    effects: str
    factors: tuple[str, ...]
    correlated: bool = True

    @property
    def group(self) -> str:
        """Return the name of the grouping, for example ``seed:schedule``."""
        return ":".join(self.factors)

    def __str__(self) -> str:
        """Return the term as one would write it."""
        return f"({self.effects} {'|' if self.correlated else '||'} {self.group})"


@dataclass(frozen=True, slots=True)
class MixedFormula:
    """A parsed mixed-model formula.

    Attributes
    ----------
    response
        Expression of the response; for ``cbind`` that of the successes.
    failures
        Expression of the failures; None where the response is a single column.
    fixed
        Right-hand side without bars and offsets; ``1`` where nothing else stands there.
    bars
        Random terms, ``a/b`` written out as ``a`` and ``a:b``.
    offset
        Column of a term ``offset(column)``, or None.
    text
        The formula as it was given, with single spaces.
    """

    response: str
    failures: str | None
    fixed: str
    bars: tuple[Bar, ...]
    offset: str | None
    text: str


def parse_formula(formula: str) -> MixedFormula:
    """Split a mixed-model formula in lme4's syntax into its parts.

    Parameters
    ----------
    formula
        ``response ~ fixed + (effects | group) + ...``. Groups may be crossed (``a:b``) or nested
        (``a/b``, short for ``a`` and ``a:b``); ``||`` leaves out the covariances; the response may be
        ``cbind(successes, failures)``.

    Returns
    -------
    MixedFormula
        Its parts; nothing has been looked up in any data.

    Raises
    ------
    FitError
        If there is no response, no random term, or a bar that cannot be read.

    References
    ----------
    Bates, Mächler, Bolker & Walker (2015), J. Statistical Software 67(1), table 2.

    Examples
    --------
    >>> parsed = parse_formula("score ~ schedule + (1 + schedule | language) + (1 | seed/schedule)")
    >>> parsed.fixed, [str(bar) for bar in parsed.bars]
    ('schedule', ['(1 + schedule | language)', '(1 | seed)', '(1 | seed:schedule)'])
    """
    text = " ".join(formula.split())
    left, tilde, right = text.partition("~")
    if not tilde or not left.strip() or not right.strip():
        raise FitError(
            f'"{text}" is not a formula with a response.', hint="Write response ~ effects + (1 | group)."
        )
    outside, inside = _split_bars(right.strip(), text)
    offset = _OFFSET.search(outside)
    if offset:
        outside = outside[: offset.start()] + outside[offset.end() :]
    if "offset(" in outside:
        raise FitError(f'"{text}" has an offset that is not a single column.', hint="Compute it as a column.")
    bars = tuple(bar for part in inside for bar in _bars(part, text))
    if not bars:
        raise FitError(
            f'"{text}" has no random term.',
            hint="Add one, such as (1 | group), or fit an ordinary regression.",
        )
    if len(set(bars)) < len(bars):
        raise FitError(f'"{text}" names the same random term twice.')
    response, failures = _response(left.strip())
    column = offset["column"].strip() if offset else None
    return MixedFormula(response, failures, _tidy_sum(outside), bars, column, text)


def _split_bars(right: str, text: str) -> tuple[str, list[str]]:
    """Return the right-hand side without its bars, and what stands inside each pair of bar parentheses."""
    outside: list[str] = []
    inside: list[str] = []
    depth = start = 0
    for place, letter in enumerate(right):
        if letter == "(":
            depth += 1
            if depth == 1:
                outside.append(right[start:place])
                start = place
        elif letter == ")":
            depth -= 1
            if depth < 0:
                break
            if depth == 0:
                piece = right[start : place + 1]
                (inside if _has_bar(piece) else outside).append(piece[1:-1] if _has_bar(piece) else piece)
                start = place + 1
    if depth != 0:
        raise FitError(f'the parentheses of "{text}" do not match.')
    rest = "".join([*outside, right[start:]])
    if "|" in rest:
        raise FitError(f'a bar in "{text}" stands outside parentheses.', hint="Write (1 | group).")
    return rest, inside


def _has_bar(piece: str) -> bool:
    return "|" in piece


def _tidy_sum(outside: str) -> str:
    """Join what is left of a sum after terms were taken out of it."""
    terms = re.sub(r"\+(\s*\+)+", "+", outside)
    terms = terms.strip().strip("+").strip()
    return " ".join(terms.split()) or "1"


def _response(left: str) -> tuple[str, str | None]:
    binomial = _BINOMIAL.fullmatch(left)
    if binomial:
        return binomial["successes"].strip(), binomial["failures"].strip()
    return left, None


def _bars(inside: str, text: str) -> Iterator[Bar]:
    correlated = "||" not in inside
    effects, _, group = (part.strip() for part in inside.partition("|" if correlated else "||"))
    if not effects or not group or "|" in group:
        raise FitError(f'"({inside})" in "{text}" is not a random term.', hint="Write (effects | group).")
    for factors in _groupings(group, text):
        yield Bar(effects, factors, correlated)


def _groupings(group: str, text: str) -> list[tuple[str, ...]]:
    """Write out nesting: ``a/b/c`` groups by ``a``, by ``a:b`` and by ``a:b:c``."""
    levels = [tuple(name.strip() for name in level.split(":")) for level in group.split("/")]
    for name in (name for level in levels for name in level):
        if not _NAME.fullmatch(name):
            raise FitError(
                f'"{name}" in the group "{group}" of "{text}" is not the name of a column.',
                hint="Groups are columns joined by : or /.",
            )
    return [sum(levels[: depth + 1], ()) for depth in range(len(levels))]
