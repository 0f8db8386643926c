"""The page: one self-contained HTML file, no network, no eval, readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup, escape

from alignaudit.report.export import VEGA_LITE, static_svg
from alignaudit.report.figure.base import Figure
from alignaudit.report.figure.catalogue import Gallery
from alignaudit.report.methods import methods
from alignaudit.report.sentence import Effect, effect, estimand_sentence, number, p_text
from alignaudit.report.source import ReportInput
from alignaudit.report.summary import tables
from alignaudit.report.table import Field, Table, plain
from alignaudit.report.theme import Style, arm_styles

__all__ = ["interval_bar", "page", "script_json"]

_START = """
const specs = JSON.parse(document.getElementById("specs").textContent);
for (const [name, spec] of Object.entries(specs)) {
  const figure = document.getElementById("figure-" + name);
  const link = figure.querySelector("a.own");
  link.href = "data:image/svg+xml;charset=utf-8," +
    encodeURIComponent(new XMLSerializer().serializeToString(figure.querySelector(".static svg")));
  link.hidden = false;
  vegaEmbed(figure.querySelector(".live"), spec, {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: {theme: "report"}
  }).then(() => figure.classList.add("drawn")).catch(() => figure.classList.add("undrawn"));
}
"""


@dataclass(frozen=True, slots=True)
class _Shown:
    """One figure as the template needs it."""

    figure: Figure
    number: int
    svg: Markup
    table: Markup


def script_json(value: Any) -> Markup:
    r"""Return JSON that no text inside can break out of a script element with.

    Examples
    --------
    >>> print(script_json({"x": "</script>"}))
    {"x": "\u003c/script\u003e"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def interval_bar(one: Effect, colour: str) -> Markup:
    """Return an interval as a small drawing against zero and the smallest effect of interest.

    Parameters
    ----------
    one
        Estimate and limits in shown units.
    colour
        Of the favoured arm, or ink.

    Returns
    -------
    Markup
        SVG of 300 × 44 units; without an estimate, the words ``no data``.
    """
    if not all(map(math.isfinite, (one.estimate, one.low, one.high))):
        return Markup('<p class="nodata">no data</p>')
    bound = abs(one.bound) if math.isfinite(one.bound) else 0.0
    reach = 1.15 * max(abs(one.low), abs(one.high), abs(one.estimate), bound, 1e-9)
    low, high, mid, left, right = (
        f"{150 + 146 * x / reach:.1f}" for x in (one.low, one.high, one.estimate, -bound, bound)
    )
    band = (
        f'<rect class="band" x="{left}" y="4" width="{292 * bound / reach:.1f}" height="24"/>'
        f'<text x="{right}" y="41" text-anchor="middle">+{number(bound, 2)}</text>'
        f'<text x="{left}" y="41" text-anchor="middle">−{number(bound, 2)}</text>'
        if bound
        else ""
    )
    words = f"{one.measured}, {one.level} interval {one.interval}"
    return Markup(
        f'<svg class="bar" viewBox="0 0 300 44" role="img" aria-label="{escape(words)}">{band}'
        f'<line class="zero" x1="150" x2="150" y1="2" y2="30"/>'
        f'<line x1="{low}" x2="{high}" y1="16" y2="16" stroke="{colour}" stroke-width="3.5" '
        'stroke-linecap="round"/>'
        f'<circle cx="{mid}" cy="16" r="6" fill="{colour}"/>'
        f'<text x="150" y="41" text-anchor="middle">0</text></svg>'
    )


def page(
    source: ReportInput,
    gallery: Gallery,
    specs: Mapping[str, Mapping[str, Any]],
    *,
    formats: Sequence[str] = (),
) -> str:
    """Return the whole page.

    Parameters
    ----------
    source
        What the report is made from.
    gallery
        Figures drawn with the screen preset.
    specs
        Their fitted specifications by name.
    formats
        File formats that lie beside the page, for the links.

    Returns
    -------
    str
        HTML; equal input gives equal bytes.
    """
    shown = [
        _shown(figure, place, specs[figure.name]) for place, figure in enumerate(gallery.figures, start=1)
    ]
    bundle = _bundle()
    lean = {name: {k: v for k, v in spec.items() if k != "$schema"} for name, spec in specs.items()}
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = files("alignaudit.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        study=source.study,
        title=str(source.study.get("title") or source.study.get("name") or "Schedule comparison"),
        question=str(source.study.get("question") or _question(source)),
        comparison=source.comparison,
        cards=_cards(source),
        sentences=[estimand_sentence(entry) for entry in source.headline],
        status=_status(source),
        figures=shown,
        formats=list(formats),
        omitted=gallery.omitted,
        tables=[(table, Markup(table.to_html(limit=200))) for table in tables(source)],
        methods=methods(source),
        provenance=source.provenance,
        facts=_facts(source),
        specs=script_json(lean),
        bundle=Markup(bundle),
        start=Markup(_START),
        hashes=" ".join(f"'sha256-{_digest(script)}'" for script in (bundle, _START)),
    )


@cache
def _bundle() -> str:
    text = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
    return text.replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _shown(figure: Figure, place: int, spec: Mapping[str, Any]) -> _Shown:
    drawing = static_svg(figure, spec)
    fields = tuple(
        Field(str(name), str(name).replace("_", " "), plain, figure.data[name].dtype.kind in "if")
        for name in figure.data.columns
    )
    table = Table(figure.name, f"Data behind figure {place}", figure.data.replace("", "–"), fields)
    return _Shown(figure, place, Markup(drawing), Markup(table.to_html(limit=200)))


def _question(source: ReportInput) -> str:
    arms = " or ".join(source.schedules or source.arms())
    return f"Does the order of intermediate-task fine-tuning ({arms}) change multilingual alignment?"


def _cards(source: ReportInput) -> list[dict[str, Any]]:
    styles = arm_styles(source.kinds())
    cards = []
    for entry in source.headline:
        one, verdict = effect(entry), str(entry.get("verdict") or "no verdict")
        arm = verdict.removeprefix("favours ")
        style = styles.get(arm) if verdict.startswith("favours ") else None
        colour = style.colour if isinstance(style, Style) else "#4a5560"
        ps = [
            (label, p_text(entry.get(key)))
            for label, key in (
                ("p", "p_value"),
                ("p, Holm", "p_adjusted"),
                ("p, sign flip", "sign_flip_p_value"),
                ("p, equivalence", "equivalence_p_value"),
            )
            if entry.get(key) is not None
        ]
        cards.append(
            {
                "effect": one,
                "entry": entry,
                "verdict": verdict,
                "colour": colour,
                "tone": "arm" if style else verdict if verdict == "equivalent" else "open",
                "bar": interval_bar(one, colour),
                "ps": ps,
                "arms": [
                    (str(a), number(100 * v, one.digits) if one.unit == "points" else f"{v:.3g}")
                    for a, v in (entry.get("arm_values") or {}).items()
                    if isinstance(v, (int, float))
                ],
                "status": str(entry.get("status") or source.comparison.get("status") or "unstated"),
            }
        )
    return cards


def _status(source: ReportInput) -> dict[str, Any]:
    """Return the grid of seeds × arms with the stages done in each run."""
    runs = source.table("runs")
    columns = sorted({(str(c), s) for c, s in zip(runs["checkpoint"], runs["seed"].tolist(), strict=True)})
    several = len({checkpoint for checkpoint, _ in columns}) > 1
    keys = zip(runs["arm"], runs["checkpoint"], runs["seed"], strict=True)
    stages = zip(runs["stages_done"].tolist(), runs["stages_planned"].tolist(), strict=True)
    cells = dict(zip(keys, stages, strict=True))
    rows = [(arm, [cells.get((arm, *column)) for column in columns]) for arm in source.arms()]
    done, planned = int(runs["stages_done"].sum()), int(runs["stages_planned"].sum())
    return {
        "columns": [f"{checkpoint} {seed}" if several else str(seed) for checkpoint, seed in columns],
        "rows": [row for row in rows if any(cell is not None for cell in row[1])],
        "runs": len(runs),
        "finished": int((runs["stages_done"] >= runs["stages_planned"]).sum()),
        "done": done,
        "planned": planned,
        "absent": sum(cell is None for _, line in rows for cell in line),
    }


def _facts(source: ReportInput) -> list[tuple[str, str]]:
    """Return the reproducibility card: only what is on record."""
    given, comparison = source.provenance, source.comparison
    git, wall = given.get("git"), given.get("wall_s")
    runs = source.table("runs")
    if isinstance(git, Mapping):
        git = f"{git.get('commit', 'unknown')}{' with local changes' if git.get('dirty') else ''}"
    versions = given.get("versions") or {}
    seconds = float(wall) if isinstance(wall, (int, float)) else float(runs["wall_s"].sum())
    plans = sorted({str(h)[:12] for h in runs["plan_hash"]} - {""})
    facts = [
        ("Study", source.study.get("name") or comparison.get("study")),
        ("Study hash", given.get("study_sha256") or source.study.get("sha256")),
        ("Analysis plan", comparison.get("plan")),
        ("Analysis plan hash", comparison.get("plan_sha256")),
        ("Batch plan hashes", ", ".join(plans)),
        ("Code", git),
        ("Device", given.get("device") or ", ".join(sorted(set(runs["device"].astype(str))))),
        (
            "Wall time",
            f"{seconds / 60:.1f} min over all runs" if seconds >= 60 else f"{seconds:.0f} s over all runs",
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in dict(versions).items())),
        ("Written", given.get("created")),
        *((f"File {name}", digest) for name, digest in dict(given.get("files") or {}).items()),
    ]
    return [(name, str(value)) for name, value in facts if value]
