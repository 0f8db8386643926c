"""The page: self-contained, safe against its data, complete, and alive in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from alignaudit.core.contracts import CONTRACTS
from alignaudit.report.build import ReportFiles
from alignaudit.report.export import fitted
from alignaudit.report.figure.catalogue import FIGURES, Gallery, draw_all
from alignaudit.report.html import interval_bar, page, script_json
from alignaudit.report.sentence import effect
from alignaudit.report.source import ReportInput
from alignaudit.report.theme import PRESETS

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append((self.tags[-1][1], data))


@pytest.fixture(scope="module")
def text(written: ReportFiles) -> str:
    return written.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements(text: str) -> Elements:
    return Elements(text)


def small(source: ReportInput) -> str:
    figure = FIGURES["forest"](source, PRESETS["screen"])
    return page(source, Gallery((figure,), ()), {"forest": fitted(figure.spec())})


def test_nothing_is_loaded_from_elsewhere(elements: Elements) -> None:
    places = [
        value or ""
        for _, attributes in elements.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data"}
    ]
    assert places
    assert not [place for place in places if re.match(r"(?:[a-z]+:)?//", place)]
    assert "@import" not in "".join(str(tag) for tag in elements.tags)


def test_only_the_two_known_scripts_may_run(elements: Elements) -> None:
    policy = next(a["content"] for t, a in elements.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    script_source = policy.split("script-src ")[1].split(";")[0]
    running = [code for attributes, code in elements.scripts if "type" not in attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(c.encode()).digest()).decode()}'" for c in running]
    assert len(running) == 2
    assert script_source.split() == hashes


def test_structure_is_accessible(elements: Elements) -> None:
    tags = [tag for tag, _ in elements.tags]
    assert ("html", {"lang": "en"}) in elements.tags
    assert tags.count("h1") == tags.count("main") == tags.count("header") == tags.count("footer") == 1
    assert ("a", {"class": "skip", "href": "#main"}) in elements.tags
    names = [a["id"] for _, a in elements.tags if "id" in a]
    assert len(names) == len(set(names))
    assert all(a.get("scope") in {"row", "col"} for tag, a in elements.tags if tag == "th")
    assert all(
        a.get("aria-label") for _, a in elements.tags if a.get("role") == "img" and a.get("class") == "live"
    )
    for _, attributes in elements.tags:
        for target in (attributes.get("aria-labelledby") or "").split():
            assert target in names


def test_every_number_of_a_card_is_shown(text: str) -> None:
    for words in ("Favours concurrent", "+3.12 points", "[+1.18, +5.06]", "Holm", ".022", "Inconclusive",
                  "Equivalent", "The 90 % interval lies inside ±1.0 point."):  # fmt: skip
        assert words in text
    assert text.count('<li class="card">') == 4


def test_warnings_and_status_are_shown(text: str) -> None:
    assert "Run c1-concurrent-s4 is missing; its pair was left out." in text
    assert "19 of 20 runs finished" in text
    assert '<td class="part">2/4</td>' in text


def test_exploratory_rows_have_no_card(nine: ReportInput) -> None:
    extra = {**nine.estimands[0], "estimand": "R1:margin", "title": "Something beside"}
    comparison = {**nine.comparison, "estimands": [*nine.estimands, extra]}
    shown = small(dataclasses.replace(nine, comparison=comparison))
    assert shown.count('<li class="card">') == 4
    assert "Something beside" in shown


def test_names_cannot_break_out(nine: ReportInput) -> None:
    evil = "x</script><b id=pwn>&\u2028"
    named = {**nine.languages, "wes": {"name": evil, "script": "Latn", "family": evil}}
    study = {**nine.study, "title": evil, "description": evil}
    shown = small(dataclasses.replace(nine, languages=named, study=study))
    found = Elements(shown)
    assert not [tag for tag, attributes in found.tags if attributes.get("id") == "pwn"]
    specs = next(code for attributes, code in found.scripts if attributes.get("type") == "application/json")
    labels = {row.get("label") for rows in json.loads(specs)["forest"]["datasets"].values() for row in rows}
    assert evil in labels


def test_json_in_scripts_is_escaped() -> None:
    text = str(script_json({"a": "</script>&\u2028\u2029"}))
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == {"a": "</script>&\u2028\u2029"}


def test_interval_bar_is_to_scale() -> None:
    one = effect(
        {"estimate": 1.0, "conf_low": -1.0, "conf_high": 3.0, "equivalence_bound": 2.0, "conf_level": 0.9}
    )
    bar = str(interval_bar(one, "#000000"))
    scale = 146 / (1.15 * 3.0)
    assert f'x1="{150 - scale:.1f}" x2="{150 + 3 * scale:.1f}"' in bar
    assert f'<circle cx="{150 + scale:.1f}"' in bar
    assert f'x="{150 - 2 * scale:.1f}" y="4" width="{4 * scale:.1f}"' in bar
    assert "no data" in str(interval_bar(effect({}), "#000000"))


def test_an_empty_study_still_makes_a_page() -> None:
    empty = {name: pd.DataFrame(columns=contract.names) for name, contract in CONTRACTS.items()}
    source = ReportInput({}, empty, {})
    gallery = draw_all(source, PRESETS["screen"])
    assert gallery.figures == ()
    shown = page(source, gallery, {})
    assert "No figure could be drawn." in shown
    assert all(sentence in shown for sentence in gallery.omitted)


@pytest.fixture
def browse(tmp_path: Path):
    if BROWSER is None:
        pytest.skip("no Chromium is installed")

    def dump(file: Path) -> str:
        command = [
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=8000", file.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        return done.stdout.decode()

    return dump


def test_every_figure_is_drawn_by_the_browser(written: ReportFiles, browse) -> None:
    dom = browse(written.html)
    figures = re.findall(r'<figure id="figure-[^"]+"[^>]*class="([^"]*)"', dom)
    assert figures == ["drawn"] * len(written.figures)


def test_every_figure_stays_without_scripts(written: ReportFiles, browse, tmp_path: Path) -> None:
    text = written.html.read_text(encoding="utf-8")
    locked = tmp_path / "locked.html"
    locked.write_text(re.sub(r"script-src [^;]*;", "script-src 'none';", text, count=1), encoding="utf-8")
    found = Elements(browse(locked))
    assert not [a for tag, a in found.tags if tag == "figure" and a.get("class")]
    drawings = [a for tag, a in found.tags if tag == "svg" and "marks" in (a.get("class") or "")]
    assert len(drawings) == len(written.figures)


def test_a_phone_scrolls_down_only(written: ReportFiles, browse, tmp_path: Path) -> None:
    text = written.html.read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(re.sub(r"script-src [^;]*;", "script-src 'unsafe-inline';", text))
    probe = "[innerWidth, root.scrollWidth - root.clientWidth].join(' ')"
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<iframe src="report.html" width="320" height="900" style="border:0"></iframe><script>'
        "addEventListener('message', event => document.title = event.data)</script>"
    )
    with (tmp_path / "report.html").open("a", encoding="utf-8") as page_file:
        page_file.write(
            f"<script>const root = document.documentElement; parent.postMessage({probe}, '*')</script>"
        )
    assert "<title>320 0</title>" in browse(frame)
