"""``alignaudit measure``: the alignment of any encoder on any folder of parallel text."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alignaudit.cli.console import Console, StageProgress, text_table
from alignaudit.cli.options import pairs_argument, perturbation_argument, positive_integer

if TYPE_CHECKING:
    import pandas as pd

    from alignaudit.experiment.standalone import Measurement

__all__ = ["add_options", "run"]

_SHOWN_BY_DEFAULT = ("primary", "xtreme", "mteb", "laser-xsim")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("encoder", help="folder, Hub name, or package:<import name>/<folder>")
    parser.add_argument(
        "--data",
        required=True,
        metavar="FOLDER",
        help="parallel text (Tatoeba, NTREX, XQuAD, pairs, TSV), mining sets (BUCC), questions (BMLAMA)",
    )
    parser.add_argument("--languages", nargs="+", metavar="CODE", help="ISO 639-3 or 639-1 (default: all)")
    parser.add_argument(
        "--preset",
        nargs="+",
        metavar="NAME",
        help="primary, xtreme, jiant, mteb, laser-xsim, last, all: measures what they read (default: all)",
    )
    parser.add_argument(
        "--limit", type=pairs_argument, metavar="N", help="use only the first N pairs of each language"
    )
    parser.add_argument(
        "--perturb",
        nargs="+",
        type=perturbation_argument,
        default=[],
        metavar="NAME=RATE,…",
        help="also measure with perturbed foreign sentences, for example typos=0.05,0.1",
    )
    parser.add_argument(
        "--lexicon", metavar="FOLDER", help="bilingual lexicons, for --perturb code_switching=RATE only"
    )
    parser.add_argument(
        "--reference", metavar="ENCODER", help="also measure how far the encoder has moved from this one"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--batch-size", type=positive_integer, default=64, metavar="N", help="sentences per forward pass"
    )
    parser.add_argument(
        "--max-length", type=positive_integer, default=128, metavar="N", help="tokens per sentence"
    )
    parser.add_argument(
        "--out", metavar="FILE.csv", help="also write every row to a CSV file (perturbed rows beside it)"
    )
    parser.add_argument("--items", metavar="FILE.csv", help="also write every sentence pair to a CSV file")
    parser.add_argument(
        "--keep-embeddings", metavar="FOLDER", help="also keep the sentence vectors, as safetensors"
    )
    parser.add_argument(
        "--precision", choices=("float32", "float16"), default="float32", help="of those vectors"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Carry out the command and return the exit code."""
    from pathlib import Path

    from alignaudit.core.decode import decode
    from alignaudit.core.store import atomic_text
    from alignaudit.core.study import Measures
    from alignaudit.experiment.run import quiet_libraries
    from alignaudit.experiment.standalone import measure, measured_languages

    quiet_libraries()
    settings = decode(
        Measures,
        {
            "batch_size": arguments.batch_size,
            "max_length": arguments.max_length,
            "perturbations": _severities(arguments.perturb),
        },
        where="options",
    )
    codes = measured_languages(arguments.data, arguments.languages)
    with StageProgress(console, len(codes)) as bar:
        found = measure(
            arguments.encoder,
            arguments.data,
            languages=arguments.languages,
            presets=arguments.preset or ("all",),
            settings=settings,
            device=arguments.device,
            limit=arguments.limit,
            reference=arguments.reference,
            keep_embeddings=arguments.keep_embeddings,
            precision=arguments.precision,
            lexicon=arguments.lexicon,
            progress=bar.finish,
        )
    console.say(_time_split(found.seconds))
    rows = next((frame for frame in (found.mining, found.consistency) if len(frame)), found.alignment)
    for path, frame, noisy in (
        (arguments.out, rows, found.perturbed),
        (arguments.items, found.items, found.perturbed_items),
    ):
        if path:
            atomic_text(Path(path), frame.to_csv(index=False, lineterminator="\n"))
        if path and len(noisy):
            beside = Path(path).with_stem(f"{Path(path).stem}-perturbed")
            atomic_text(beside, noisy.to_csv(index=False, lineterminator="\n"))
    shown = arguments.preset or list(_SHOWN_BY_DEFAULT)
    if arguments.json:
        console.give_json(_json(found, shown, arguments.encoder))
    else:
        console.give("\n\n".join(_tables(found, shown, arguments.encoder)))
    console.say("Next: alignaudit run-seeds, to see what training does to these numbers")
    return 0


def _severities(asked: Sequence[tuple[str, tuple[float, ...]]]) -> dict[str, list[float]]:
    """Return the different severities of each perturbation, also where one is named twice."""
    found: dict[str, list[float]] = {}
    for name, rates in asked:
        known = found.setdefault(name, [])
        known += [rate for rate in dict.fromkeys(rates) if rate not in known]
    return found


def _time_split(seconds: dict[str, float]) -> str:
    whole = sum(seconds.values())
    share = seconds["measures"] / whole if whole else 0.0
    return f"Encoder {seconds['encoder']:.1f} s, measures {seconds['measures']:.1f} s ({100 * share:.0f} %)"


def _json(found: Measurement, presets: list[str], encoder: str) -> dict[str, Any]:
    shown = presets if len(found.alignment) else []
    return {
        "schema_version": 2,
        "encoder": encoder,
        "rows": _records(found.alignment),
        "presets": {name: _records(found.preset(name)) for name in shown},
        "perturbed": _records(found.perturbed),
        "mining": _records(found.mining),
        "consistency": _records(found.consistency),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict(orient="records")
    ]


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tables(found: Measurement, presets: list[str], encoder: str) -> list[str]:
    """Return a table per preset, one row per language."""
    from alignaudit.core.metrics import METRICS
    from alignaudit.core.specification import PRESETS

    if len(found.mining):
        return [_mining_table(found.mining, encoder)]
    if len(found.consistency):
        return [_consistency_table(found.consistency, encoder)]
    tables = []
    for name in presets:
        chosen, rows = PRESETS[name], found.preset(name)
        layer = int(rows["layer"].max())
        shown = rows[(rows["layer"] == layer) & (rows["pooling"] == chosen.poolings[0])]
        where = f"{encoder}, layer {layer} of {found.depth}"
        title = f"{name}: {chosen.source}\n{where}; shares in %, f→e = foreign to English"
        tables.append(f"{title}\n\n{_by_language(shown)}")
    moved = found.alignment[[METRICS[name].where == "reference" for name in found.alignment["metric"]]]
    if len(moved):
        layer = int(moved["layer"].max())
        title = f"change since the reference, layer {layer} of {found.depth}, centred; drift in nats"
        tables.append(f"{title}\n\n{_by_language(moved)}")
    if len(found.perturbed):
        tables.append(_perturbed_table(found.perturbed))
    return tables


def _by_language(rows: pd.DataFrame) -> str:
    """Return one line per language, one column per metric, direction and variant, and their means."""
    records: list[dict[str, Any]] = [
        {**row, "heading": _heading(row)} for row in _records(rows) if _heading(row)
    ]
    columns = {record["heading"]: record for record in records}
    by_language: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        by_language.setdefault(record["language"], {})[record["heading"]] = record
    lines = []
    for language, cells in by_language.items():
        pairs = str(next(iter(cells.values()))["n"])
        lines.append([language, pairs, *(_cell(cells[name]) if name in cells else "" for name in columns)])
    if len(by_language) > 1:
        means = []
        for name, record in columns.items():
            values = [cells[name]["value"] for cells in by_language.values() if name in cells]
            known = [value for value in values if value is not None]
            complete = len(known) == len(by_language)
            means.append(_cell({**record, "value": sum(known) / len(known) if complete else None}))
        lines.append(["mean", "", *means])
    return text_table(["language", "pairs", *columns], lines)


def _heading(row: dict[str, Any]) -> str:
    """Return a column's heading, or nothing for metrics that the table leaves out."""
    from alignaudit.core.metrics import METRICS

    words = _WORDS.get(row["metric"], "")
    if METRICS[row["metric"]].about == "pair":
        return words if row["direction"] == "foreign_to_english" and row["centred"] else ""
    arrow = "f→e" if row["direction"] == "foreign_to_english" else "e→f"
    return f"{words} {arrow}{'' if row['centred'] else ' raw'}" if words else ""


_WORDS = {
    "accuracy": "accuracy",
    "accuracy_first": "first",
    "accuracy_pool": "pool",
    "hub_f1": "F1",
    "xsim_distance": "xSIM",
    "xsim_ratio": "xSIM ratio",
    "margin": "margin",
    "cka_debiased": "CKA",
    "cka_reference": "CKA to reference",
    "drift": "drift",
    "neighbour_overlap": "overlap",
}


def _cell(row: dict[str, Any]) -> str:
    from alignaudit.core.metrics import METRICS

    value = row["value"]
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if METRICS[row["metric"]].unit == "share" else f"{value:.3f}"


def _perturbed_table(frame: pd.DataFrame) -> str:
    rows = frame[(frame["metric"] == "accuracy") & frame["centred"]]
    lines, notes = [], []
    for key, part in rows.groupby(["language", "perturbation", "severity"], sort=False):
        forward, backward = (
            100 * float(part.loc[part["direction"] == d, "value"].iloc[0])
            for d in ("foreign_to_english", "english_to_foreign")
        )
        first = part.iloc[0]
        reach = [f"{100 * first['character_error_rate']:.1f}", f"{100 * first['changed_share']:.0f}"]
        lines.append([str(key[0]), str(key[1]), f"{key[2]:g}", *reach, f"{forward:.1f}", f"{backward:.1f}"])
        if first["reach_note"]:
            notes.append(str(first["reach_note"]))
    headings = ["language", "perturbation", "severity", "CER %", "changed %", "accuracy f→e", "accuracy e→f"]
    table = f"perturbed foreign sentences, centred\n\n{text_table(headings, lines)}"
    return "\n".join([table, *dict.fromkeys(notes)])


def _mining_table(frame: pd.DataFrame, encoder: str) -> str:
    rows = frame[frame["layer"] == frame["layer"].max()]
    lines = [
        [
            str(row["language"]),
            str(row["pooling"]),
            f"{row['margin']}{', centred' if row['centred'] else ', raw'}",
            *(
                "–" if math.isnan(row[name]) else f"{100 * row[name]:.1f}"
                for name in ("f1", "precision", "recall", "oracle_f1")
            ),
            str(row["gold"]),
        ]
        for row in rows.to_dict(orient="records")
    ]
    title = f"{encoder}, layer {int(rows['layer'].max())}: mining, threshold tuned on dev, in %"
    headings = ["language", "pooling", "margin", "F1", "precision", "recall", "oracle F1", "gold pairs"]
    notes = [str(note) for note in dict.fromkeys(rows["note"]) if note]
    return "\n".join([title, "", text_table(headings, lines), *notes])


def _consistency_table(frame: pd.DataFrame, encoder: str) -> str:
    lines = [
        [
            str(row["language"]),
            str(row["other_language"]),
            f"{row['rankc']:.3f}",
            f"{row['rankc_corrected']:.3f} ± {row['corrected_standard_error']:.3f}",
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['other_accuracy']:.1f}",
            str(row["n"]),
        ]
        for row in frame.to_dict(orient="records")
    ]
    headings = [
        "language",
        "with",
        "RankC",
        "chance-corrected ± SE",
        "accuracy %",
        "of the other %",
        "questions",
    ]
    title = f"{encoder}: consistency of knowledge between languages (RankC, softmax weights)"
    return f"{title}\n\n{text_table(headings, lines)}"
