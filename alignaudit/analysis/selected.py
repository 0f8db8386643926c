"""What the choice of target checkpoints is worth: the last one, English development, and the oracle."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean

import pandas as pd

from alignaudit.analysis.align import ENGLISH, PREFERRED

__all__ = ["SelectionRow", "selection_csv", "selection_rows", "selection_text"]


@dataclass(frozen=True, slots=True)
class SelectionRow:
    """Zero-shot scores of one target task in one arm, by which evaluated state is taken.

    Attributes
    ----------
    arm, task, metric
        What was scored.
    last, english_dev, oracle
        Mean over runs and target languages, in percent: of the last state; of the one with the best
        English development score; and, for each language, of its own best state. The oracle looks at
        the test data: it is an upper bound, not a result.
    runs, languages, evaluations
        Number of runs, of target languages without English, and of evaluated states per run.
    """

    arm: str
    task: str
    metric: str
    last: float
    english_dev: float
    oracle: float
    runs: int
    languages: int
    evaluations: int


def selection_rows(scores: pd.DataFrame, schedules: Sequence[str]) -> tuple[SelectionRow, ...]:
    """Return what each way of choosing target checkpoints gives, by task and arm.

    Parameters
    ----------
    scores
        The scores table; only target stages that were evaluated more than once count.
    schedules
        Arms, in the order wanted.

    Returns
    -------
    tuple of SelectionRow
        Empty where every target task was evaluated at its end only.

    References
    ----------
    Keung et al. (2020), "Don't use English dev: on the zero-shot cross-lingual evaluation of
    contextual embeddings", EMNLP, for the oracle beside the English development score.
    """
    own = scores[(scores["stage"] == "target:" + scores["task"]) & scores["split"].isin(("dev", "test_path"))]
    return tuple(
        row
        for arm in schedules
        for task, part in own[own["arm"] == arm].groupby("task", sort=True)
        for row in _row(arm, str(task), part)
    )


def _row(arm: str, task: str, rows: pd.DataFrame) -> Iterator[SelectionRow]:
    names = sorted({str(name) for name in rows["metric"]})
    metric = next((name for name in PREFERRED if name in names), names[0])
    rows = rows[rows["metric"] == metric]
    found = [one for _, run in rows.groupby("run", sort=True) for one in _run(run)]
    if found:
        last, dev, oracle = (100 * fmean(one[place] for one in found) for place in range(3))
        languages = rows.loc[_foreign(rows), "language"].nunique()
        updates = int(rows.loc[_foreign(rows)].groupby("run")["update"].nunique().max())
        yield SelectionRow(arm, task, metric, last, dev, oracle, len(found), languages, updates)


def _foreign(rows: pd.DataFrame) -> pd.Series:
    return (rows["split"] == "test_path") & ~rows["language"].isin(ENGLISH)


def _run(rows: pd.DataFrame) -> Iterator[tuple[float, float, float]]:
    """Mean over languages of the last, the selected and each language's best state of a run."""
    path = rows[_foreign(rows)].pivot(index="update", columns="language", values="value").sort_index()
    if len(path) < 2:
        return
    dev = rows[rows["split"] == "dev"].set_index("update")["value"].reindex(path.index)
    yield (
        float(path.iloc[-1].mean()),
        float(path.iloc[int(dev.to_numpy().argmax())].mean()),
        float(path.max().mean()),
    )


def selection_csv(rows: Sequence[SelectionRow]) -> str:
    """Return the rows as CSV, unrounded."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(SelectionRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def selection_text(rows: Sequence[SelectionRow], study: Mapping[str, object]) -> str:
    """Return the rows as a plain table, with what the study itself keeps."""
    header = ("arm", "task", "metric", "last", "English dev", "oracle", "runs", "languages", "states")
    cells = [
        (
            row.arm, row.task, row.metric, f"{row.last:.2f}", f"{row.english_dev:.2f}", f"{row.oracle:.2f}",
            str(row.runs), str(row.languages), str(row.evaluations),
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in (header, *cells)) for column in range(len(header))]
    table = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *cells)
    ]
    target = study.get("target")
    kept = target.get("selection", "last") if isinstance(target, Mapping) else "last"
    return "\n".join(
        [
            f"Target checkpoints, zero-shot percent by which state is taken; this study keeps: {kept}.",
            "",
            *table,
        ]
    )
