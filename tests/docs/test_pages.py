"""Every Python block of the pages in docs/ runs as written and prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
ROUNDING = re.compile(r"(gradient|to gain|multiplier) -?\d\.\de[+-]\d+")
"""What a certificate says of the last digits, which differ between machines."""


def blocks(page: Path) -> list[tuple[str, int, str | None]]:
    """Return the Python blocks of a page, their lines, and what a text block right below says they print."""
    text = page.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    result = []
    for place, block in enumerate(found):
        if block["kind"] != "python":
            continue
        below = found[place + 1] if place + 1 < len(found) else None
        follows = below and below["kind"] == "text" and not text[block.end() : below.start()].strip()
        line = text[: block.start("body")].count("\n")
        result.append((block["body"], line, below["body"] if below and follows else None))
    return result


def printed(code: str, line: int, page: Path, names: dict[str, Any]) -> str:
    """Run a block and return what it printed; a traceback shows the line of the page."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile("\n" * line + code, str(page), "exec"), names)
    return out.getvalue()


def comparable(text: str) -> list[str]:
    return [ROUNDING.sub(r"\1 0", line).rstrip() for line in text.strip("\n").splitlines()]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if blocks(page)]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_page_prints_what_it_shows(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for code, line, shown in blocks(page):
        out = printed(code, line, page, names)
        if shown is not None:
            assert comparable(out) == comparable(shown), f"{page.name}, block in line {line}"


def test_there_are_pages_with_code() -> None:
    assert PAGES
