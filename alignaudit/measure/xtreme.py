"""XTREME's scores: means over languages, groups and tasks as its own evaluation takes them.

Every language of a task counts alike, English included where the task has it, and so does every task
of a group and of the benchmark. BUCC and Tatoeba pair each language with English and so have no
English of their own. The evaluation rounds for display only; nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from alignaudit.errors import DataError

__all__ = ["GROUPS", "LANGUAGES", "XtremeScores", "task_mean", "transfer_gap", "xtreme_scores"]

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("pawsx", "xnli"),
        "tagging": ("udpos", "panx"),
        "qa": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("bucc2018", "tatoeba"),
    }
)
"""Tasks of each group: ``XTREME_GROUP2TASK`` in evaluate.py of google-research/xtreme, commit 838c13b."""

LANGUAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        task: tuple(codes.split())
        for task, codes in {
            "pawsx": "de en es fr ja ko zh",
            "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
            "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl"
            " tr ur vi yo zh",
            "panx": "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt"
            " ru sw ta te th tl tr ur vi yo zh",
            "xquad": "ar de el en es hi ru th tr vi zh",
            "mlqa": "ar de en es hi vi zh",
            "tydiqa": "ar bn en fi id ko ru sw te",
            "bucc2018": "de fr ru zh",
            "tatoeba": "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw"
            " ta te th tl tr ur vi zh",
        }.items()
    }
)
"""Languages of each task: ``XTREME_TASK2LANGS`` in the same file."""


@dataclass(frozen=True, slots=True)
class XtremeScores:
    """A model's scores on XTREME; None wherever a language that belongs to the mean is missing.

    Attributes
    ----------
    tasks
        Mean over all languages by task, in [0, 1].
    groups
        Mean over the tasks by group, in [0, 1].
    overall
        Mean over the nine tasks, in [0, 1].
    gaps
        Transfer gap of the tasks that have English, in [-1, 1], see :func:`transfer_gap`.
    missing
        Languages without a score, by task; empty where all are there.
    unused
        Languages with a score that XTREME does not have, by task, in alphabetical order.
    """

    tasks: Mapping[str, float | None]
    groups: Mapping[str, float | None]
    overall: float | None
    gaps: Mapping[str, float | None]
    missing: Mapping[str, tuple[str, ...]]
    unused: Mapping[str, tuple[str, ...]]

    @property
    def reason(self) -> str:
        """Return why there is no overall score, in words; empty where there is one."""
        lacking = [
            f"{task} ({'all languages' if len(codes) == len(LANGUAGES[task]) else ', '.join(codes)})"
            for task, codes in self.missing.items()
        ]
        return f"Without a score: {', '.join(lacking)}." if lacking else ""


def xtreme_scores(values: Mapping[str, Mapping[str, float]]) -> XtremeScores:
    """Return the means that XTREME reports, from the score of every task and language.

    Parameters
    ----------
    values
        Score in [0, 1] by task and language, as in :data:`LANGUAGES`: accuracy (PAWS-X, XNLI,
        Tatoeba), F1 of spans (UDPOS, PAN-X), of pairs (BUCC), or the mean of exact match and F1
        (XQuAD, MLQA, TyDi QA). XTREME takes the latter two means in the other order, languages
        first, which gives the same. Other tasks and languages may be there; they do not count.

    Returns
    -------
    XtremeScores
        Means, gaps, and what was missing for them.

    Raises
    ------
    DataError
        Where a score is not in [0, 1].

    References
    ----------
    Hu et al. (2020), XTREME; ``evaluate`` in evaluate.py of google-research/xtreme, commit 838c13b,
    which stops where a language of a task is missing.

    Examples
    --------
    >>> values = {task: dict.fromkeys(codes, 0.5) for task, codes in LANGUAGES.items()}
    >>> xtreme_scores(values).overall
    0.5
    >>> del values["mlqa"]["hi"], values["bucc2018"]
    >>> scores = xtreme_scores(values)
    >>> scores.overall, scores.tasks["mlqa"], scores.groups["tagging"]
    (None, None, 0.5)
    >>> scores.reason
    'Without a score: mlqa (hi), bucc2018 (all languages).'
    """
    given = {task: values.get(task, {}) for task in LANGUAGES}
    for task, row in given.items():
        _check_shares(row, LANGUAGES[task], task)
    tasks = {task: task_mean(given[task], codes) for task, codes in LANGUAGES.items()}
    missing = {
        task: tuple(code for code in codes if code not in given[task]) for task, codes in LANGUAGES.items()
    }
    unused = {task: tuple(sorted(set(row) - set(LANGUAGES.get(task, ())))) for task, row in values.items()}
    return XtremeScores(
        tasks=tasks,
        groups={group: _mean([tasks[task] for task in members]) for group, members in GROUPS.items()},
        overall=_mean(list(tasks.values())),
        gaps={task: transfer_gap(given[task], codes) for task, codes in LANGUAGES.items() if "en" in codes},
        missing={task: codes for task, codes in missing.items() if codes},
        unused={task: codes for task, codes in unused.items() if codes},
    )


def task_mean(values: Mapping[str, float], languages: Sequence[str]) -> float | None:
    """Return the mean of a task's scores over its languages, each counting alike.

    Parameters
    ----------
    values
        Score in [0, 1] by language; other languages than the task's do not count.
    languages
        The task's languages.

    Returns
    -------
    float or None
        In [0, 1]; None where a language has no score, or there is no language.

    Raises
    ------
    DataError
        Where a score is not in [0, 1].

    Examples
    --------
    >>> task_mean({"en": 1.0, "de": 0.5, "sw": 0.0}, ["en", "de"])
    0.75
    """
    _check_shares(values, languages)
    return _mean([values.get(language) for language in languages])


def transfer_gap(
    values: Mapping[str, float], languages: Sequence[str], *, source: str = "en"
) -> float | None:
    """Return what a task loses in transfer: its score in the source language minus the mean of the others.

    Parameters
    ----------
    values
        Score in [0, 1] by language; other languages than the task's do not count.
    languages
        The task's languages.
    source
        The language that the task was trained in.

    Returns
    -------
    float or None
        In [-1, 1], 0 where transfer loses nothing; None where a language has no score, the source is
        not among the languages, or is the only one.

    Raises
    ------
    DataError
        Where a score is not in [0, 1].

    References
    ----------
    Hu et al. (2020), XTREME, the cross-lingual transfer gap. Its evaluation script does not
    compute it.

    Examples
    --------
    >>> transfer_gap({"en": 1.0, "de": 0.5, "sw": 0.0}, ["de", "en", "sw"])
    0.75
    """
    _check_shares(values, languages)
    others = _mean([values.get(language) for language in languages if language != source])
    if others is None or source not in languages or source not in values:
        return None
    return values[source] - others


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there and len(there) == len(values) else None


def _check_shares(values: Mapping[str, float], languages: Sequence[str], task: str = "") -> None:
    for language in languages:
        value = values.get(language, 0.0)
        if not 0 <= value <= 1:
            raise DataError(
                f"The score {value:g} is not in [0, 1].",
                where=f"{task} {language}".strip(),
                hint="Give shares, not per cent.",
            )
