"""Long tables of a small invented study, valid by the contracts, with effects planted on purpose.

``study_tables`` draws alignment, items and scores for every run of ``checkpoints × seeds × arms``.
The value of a run in a language is ``base + language + retention effect of its arm + run + cell``
noise; ``spread`` multiplies the run noise of an arm; ``tail`` shifts the per-item accuracy of the
first quarter of languages, which are the worst. With ``noise``, accuracy changes by so much with ten
points of character error rate in an arm, at two severities of typos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from alignaudit.core.contracts import CONTRACTS
from alignaudit.core.tables import validate

LANGUAGES = ("dv", "fv", "gv", "rv")
TASKS = ("nli", "qa")
SEVERITIES = (0.05, 0.1)


def study_tables(
    *,
    arms: Mapping[str, str] | None = None,
    checkpoints: int = 2,
    seeds: int = 3,
    languages: Sequence[str] = LANGUAGES,
    items: int = 8,
    retention: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    run_sd: float = 0.01,
    cell_sd: float = 0.005,
    noise: Mapping[str, float] | None = None,
    seed: int = 7,
) -> dict[str, pd.DataFrame]:
    """Return the tables ``runs, alignment, items, scores, controls`` by name."""
    kinds = dict(arms or {"sequential": "sequential", "concurrent": "concurrent"})
    effects, spreads = dict(retention or {}), dict(spread or {})
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in CONTRACTS}
    level = {name: 0.3 + 0.1 * index for index, name in enumerate(languages)}
    for c in range(1, checkpoints + 1):
        start = {"run": f"c{c}-pretrained", "arm": "pretrained", "checkpoint": f"c{c}", "seed": -1}
        before = {name: level[name] + 0.01 * rng.normal() for name in languages}
        _measured(rows, start, "pretrained", before, items, rng)
        for s in range(1, seeds + 1):
            for arm, kind in kinds.items():
                run = {"run": f"c{c}-{arm}-s{s}", "arm": arm, "checkpoint": f"c{c}", "seed": s}
                rows["runs"].append(_run(run, kind))
                shift = effects.get(arm, 0.0) + spreads.get(arm, 1.0) * run_sd * rng.normal()
                after = {name: before[name] + shift + cell_sd * rng.normal() for name in languages}
                if kind != "none":
                    _measured(rows, run, "intermediate", after, items, rng)
                    rows["scores"] += _kept(run, shift)
                _measured(rows, run, "target:pos", after, 0, rng)
                rows["scores"] += _transferred(run, after)
    if noise is not None:
        rows["perturbed"] = _perturbed(rows["alignment"], noise, np.random.default_rng(seed + 1))
    frames = {name: pd.DataFrame(rows[name], columns=CONTRACTS[name].names) for name in CONTRACTS}
    return {name: validate(frame, CONTRACTS[name]) for name, frame in frames.items()}


def _run(run: Mapping[str, object], kind: str) -> dict[str, object]:
    idle = kind == "none"
    return {
        **run,
        "study": "invented",
        "schedule": kind,
        "order": "" if idle else ">".join(TASKS),
        "plan_hash": "" if idle else f"{run['checkpoint']}-{run['seed']}",
        "learning_rate_policy": "global",
        "optimizer_state": "carry",
        "temporal_segregation": None if idle else 1.0,
        "switch_rate": None if idle else 0.1,
        "last_task": "" if idle else TASKS[-1],
        "updates": 0 if idle else 100,
        "tokens": 0 if idle else 1000,
        "wall_s": 1.0,
        "device": "cpu",
        "stages_done": 3,
        "stages_planned": 3,
    }


def _measured(
    rows: dict[str, list[dict[str, object]]],
    run: Mapping[str, object],
    stage: str,
    values: Mapping[str, float],
    items: int,
    rng: np.random.Generator,
) -> None:
    """Add alignment in layers 1 to 3 and all metrics, and items of the primary layer."""
    cell = {**run, "stage": stage, "pooling": "mean", "centred": True}
    for language, value in values.items():
        for layer in (1, 2, 3):
            for direction in ("foreign_to_english", "english_to_foreign"):
                for metric, factor in (("accuracy", 1.0), ("margin", 0.5), ("cka_debiased", 0.8)):
                    rows["alignment"].append(
                        {**cell, "language": language, "layer": layer, "direction": direction,
                         "metric": metric, "value": factor * value, "standard_error": 0.01, "n": 100,
                         "note": ""}
                    )  # fmt: skip
        for item in range(items):
            right = float(rng.random() < value)
            rows["items"].append(
                {**cell, "language": language, "layer": 2, "item": item, "margin": value,
                 "foreign_to_english_correct": right, "english_to_foreign_correct": right,
                 "foreign_to_english_rank": 1.0, "english_to_foreign_rank": 1.0, "english": item,
                 "foreign_to_english_prediction": item, "english_to_foreign_prediction": item}
            )  # fmt: skip


def _perturbed(
    alignment: Sequence[Mapping[str, object]], noise: Mapping[str, float], rng: np.random.Generator
) -> list[dict[str, object]]:
    """Typos in the primary layer: a line of the arm's slope, with noise, at a language's error rates."""
    languages = sorted({str(row["language"]) for row in alignment})
    rows = []
    for row in alignment:
        if (row["layer"], row["metric"]) != (2, "accuracy") or str(row["stage"]).startswith("target:"):
            continue
        for severity in SEVERITIES:
            rate = severity * (0.9 + 0.05 * languages.index(str(row["language"])))
            fall = noise.get(str(row["arm"]), -0.1) * rate / 0.1 + 0.002 * rng.normal()
            own = {"perturbation": "typos", "severity": severity, "value": float(row["value"]) + fall}
            reach = {"character_error_rate": rate, "changed_share": 0.9, "reach_note": ""}
            rows.append({**row, **own, **reach})
    return rows


def _kept(run: Mapping[str, object], shift: float) -> list[dict[str, object]]:
    return [
        {**run, "stage": "intermediate", "task": task, "role": "intermediate", "update": update,
         "split": "dev", "language": "en", "metric": "accuracy", "n": 50,
         "value": 0.5 + update / 1000 + shift}
        for task in TASKS
        for update in (50, 100)
    ]  # fmt: skip


def _transferred(run: Mapping[str, object], after: Mapping[str, float]) -> list[dict[str, object]]:
    return [
        {**run, "stage": "target:pos", "task": "pos", "role": "target", "update": 80, "split": "test",
         "language": language, "metric": "f1", "value": value, "n": 50}
        for language, value in {"en": 0.9, **after}.items()
    ]  # fmt: skip
