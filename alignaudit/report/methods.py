"""The methods paragraph: only what was really done, taken from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alignaudit.report.sentence import effect, listing, number
from alignaudit.report.source import ReportInput

__all__ = ["methods"]


def methods(source: ReportInput) -> list[str]:
    """Return the methods section as paragraphs of plain text.

    Returns
    -------
    list of str
        Training, measurement, inference, software; a sentence whose facts are not on record is left out.
    """
    parts = [_training(source), _measurement(source), _inference(source), _software(source)]
    return [" ".join(part) for part in parts if part]


def _training(source: ReportInput) -> list[str]:
    runs, study = source.table("runs"), source.study
    if runs.empty:
        return []
    counts = runs["arm"].value_counts()
    arms = [f"{arm} ({counts[arm]})" for arm in source.arms() if arm in counts]
    seeds, checkpoints = sorted({int(s) for s in runs["seed"]}), sorted(set(runs["checkpoint"]))
    encoder = _encoder(study.get("encoder"))
    subject = f"The encoder {encoder} was" if encoder else "One encoder was"
    text = [
        f"{subject} trained in {_count(len(runs), 'run')}: {listing(arms)}, from "
        f"{_count(len(checkpoints), 'pretrained checkpoint')} and {_count(len(seeds), 'seed')} "
        f"({_ranges(seeds)})."
    ]
    trained = runs[runs["schedule"] != "none"]
    text += _orders(trained)
    text += _parity(trained)
    policy = listing(sorted(set(trained["learning_rate_policy"])))
    state = listing(sorted(set(trained["optimizer_state"])))
    if policy:
        text.append(f"Learning-rate policy: {policy}; optimizer state at task boundaries: {state}.")
    for phase in ("intermediate", "target"):
        tasks = _tasks(study.get(phase))
        if tasks:
            text.append(f"{phase.capitalize()} tasks: {listing(tasks)}.")
    return text


def _orders(trained: Any) -> list[str]:
    orders = sorted({str(order) for order in trained["order"]} - {""})
    if not orders:
        return []
    shown = "; ".join(order.replace(">", " → ") for order in orders[:6])
    return [f"Task orders drawn: {len(orders)} ({shown}{' …' if len(orders) > 6 else ''})."]


def _parity(trained: Any) -> list[str]:
    """Return whether arms of one checkpoint and seed saw the same multiset of mini-batches."""
    groups = trained[trained["plan_hash"] != ""].groupby(["checkpoint", "seed"])["plan_hash"]
    pairs = groups.agg(["nunique", "size"])
    pairs = pairs[pairs["size"] > 1]
    if pairs.empty:
        return []
    settings = trained[["learning_rate_policy", "optimizer_state"]].drop_duplicates()
    tail = "; only their order differed" if len(settings) == 1 else ", but not under the same settings"
    unequal = int((pairs["nunique"] > 1).sum())
    if unequal:
        return [
            f"In {unequal} of {len(pairs)} checkpoint × seed groups the arms did not see the same multiset "
            "of mini-batches, so arms there differ in more than order."
        ]
    return [
        f"In all {len(pairs)} checkpoint × seed groups the arms saw the same multiset of mini-batches "
        f"(equal hashes){tail}."
    ]


_FIRST_METRICS = ("accuracy", "cka_debiased", "margin")


def _metrics(names: list[str]) -> str:
    """Return the metrics in words: all where they are few, else the main ones and how many more."""
    shown = names
    if len(names) > len(_FIRST_METRICS) + 1:
        shown = [name for name in _FIRST_METRICS if name in names]
        shown.append(f"{len(names) - len(shown)} further metrics")
    return listing([name.replace("_", " ") for name in shown])


def _measurement(source: ReportInput) -> list[str]:
    frame = source.table("alignment")
    if frame.empty:
        return []
    primary, sizes = source.primary(), frame["n"].astype(int)
    languages, layers = frame["language"].nunique(), sorted(int(x) for x in frame["layer"].unique())
    metrics = _metrics([str(metric) for metric in sorted(frame["metric"].unique())])
    pool = f"{sizes.min():,}" if sizes.min() == sizes.max() else f"{sizes.min():,} to {sizes.max():,}"
    return [
        f"Alignment with English was measured in {_count(languages, 'language')} and "
        f"{_count(len(layers), 'layer')} as {metrics}, on {pool} sentence pairs per language.",
        f"The primary cell is {primary.words}, as the mean of both retrieval directions, after the "
        f"{primary.stage} stage.",
    ]


def _inference(source: ReportInput) -> list[str]:
    result = source.comparison
    if not source.estimands:
        return []
    arms = listing(source.schedules) or "the arms"
    text = [
        f"The comparison of {arms} follows the plan {result.get('plan', 'unnamed')} and is "
        f"{result.get('status', 'of unstated status')}. The unit of inference is the training run."
    ]
    for entry in source.headline:
        one = effect(entry)
        components = ", ".join(
            f"{str(key).replace('_', ' ')} {value:.3g}"
            for key, value in (entry.get("variance_components") or {}).items()
            if isinstance(value, (int, float))
        )
        population = {
            "these_languages": "conclusions hold for these languages",
            "languages_like_these": "conclusions extend to languages like these",
            "these_tasks": "conclusions hold for these tasks",
            "tasks_like_these": "conclusions extend to tasks like these",
        }.get(str(entry.get("population")), "")
        bound = (
            ""
            if one.bound != one.bound
            else (f"smallest effect of interest ±{number(one.bound, 2)} {one.unit}".rstrip())
        )
        facts = [population, bound, f"variance components: {components}" if components else ""]
        tail = "; ".join(fact for fact in facts if fact)
        text.append(f"{one.name or one.title}: {one.facts.rstrip('.')}{'; ' + tail if tail else ''}.")
    text.append(
        "P-values of the planned family are adjusted by Holm, those per language by Benjamini and Hochberg."
    )
    return text


def _software(source: ReportInput) -> list[str]:
    versions = source.provenance.get("versions") or {}
    device = source.provenance.get("device")
    text = []
    if isinstance(versions, Mapping) and versions:
        text.append(f"Software: {listing([f'{name} {version}' for name, version in versions.items()])}.")
    if device:
        text.append(f"Device: {device}.")
    return text


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _ranges(seeds: Sequence[int]) -> str:
    whole = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}–{seeds[-1]}" if whole else ", ".join(map(str, seeds))


def _encoder(value: Any) -> str:
    """Return the encoder's name, or its checkpoints' names."""
    if isinstance(value, Mapping):
        names = [str(name) for name in value.get("checkpoints") or []]
        return str(value.get("name") or listing(names))
    return str(value or "")


def _tasks(phase: Any) -> list[str]:
    """Return the tasks of a phase, each with its updates and batch size where they are on record."""
    tasks = phase.get("tasks") if isinstance(phase, Mapping) else phase
    if not isinstance(tasks, Mapping):
        return [str(task) for task in tasks or []]
    words = []
    for name, settings in tasks.items():
        given = settings if isinstance(settings, Mapping) else {}
        size = [
            f"{given[key]} {unit}"
            for key, unit in (("updates", "updates"), ("batch_size", "examples each"))
            if given.get(key)
        ]
        words.append(f"{name} ({' of '.join(size)})" if size else str(name))
    return words
