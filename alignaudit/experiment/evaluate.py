"""Task scores of a model: predictions of one head, scored as the task's metric says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from alignaudit.core.example import Example, Format, SpanExample, TagExample, TaskData
from alignaudit.errors import DataError, StudyError, UsageError
from alignaudit.experiment.batch import Masking, collate, mask_for_evaluation
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.tasks.ragged import Encoded
from alignaudit.measure.answers import AnswerScheme
from alignaudit.measure.score import accuracy, span_exact_match_f1, tagging_accuracy, tagging_f1

__all__ = ["LONGEST_ANSWER", "METRICS", "best_span", "score_task"]

METRICS: Mapping[Format, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("accuracy",),
        "multiple_choice": ("accuracy",),
        "span": ("em_f1", "exact_match", "f1"),
        "tagging": ("f1", "accuracy"),
        "mlm": ("accuracy",),
    }
)
"""What :func:`score_task` gives for each format; tags whose metric is accuracy have no F1 of spans."""

LONGEST_ANSWER = 30
"""Tokens of the longest answer, as in the SQuAD scripts of XTREME (Hu et al. 2020)."""

CUT = "[cut]"

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def score_task(
    model: MultiTaskModel,
    task: TaskData,
    encoded: Encoded,
    examples: Sequence[Example],
    *,
    pad_id: int,
    device: torch.device,
    language: str = "en",
    masking: Masking | None = None,
    batch_size: int = 64,
) -> dict[str, float]:
    """Return the scores of a model on some examples of a task.

    A question's answer is the span with the largest sum of start and end logit over all windows of
    its context. It starts where the window gives its first token the most context, and has at most
    :data:`LONGEST_ANSWER` tokens. Where questions may be without answer, the first token's sum,
    the smallest of all windows, stands for "none". Tagged words without a token count as wrong.
    Masked language modelling hides the same tokens at every call.

    Parameters
    ----------
    model
        Has a head for ``task.name``; left in evaluation mode.
    task
        Gives labels, metric, and how answers are compared.
    encoded, examples
        The same examples, as token numbers (``training=False``) and as records.
    pad_id, device, batch_size
        For the forward passes; texts are ordered by length.
    language
        Language of the examples, for the comparison of answers.
    masking
        How tokens are hidden; for format ``mlm`` only, and needed there.

    Returns
    -------
    dict
        Score in [0, 1] by metric, the task's own metric first; see :data:`METRICS`. ``em_f1`` is
        the mean of exact match and F1.

    Raises
    ------
    StudyError
        If the metric does not fit the format.
    DataError
        If ``encoded`` and ``examples`` are not the same examples.

    References
    ----------
    Devlin et al. (2019), BERT, sections 4.2 and 4.3, with the program for SQuAD published with it.
    """
    if task.metric not in METRICS[encoded.format]:
        raise StudyError(
            f"metric {task.metric} does not fit format {encoded.format}.",
            where=f"task {task.name}",
            hint=f"It has {', '.join(METRICS[encoded.format])}.",
        )
    if len(encoded.owners) and int(encoded.owners[-1]) >= len(examples):
        raise DataError("there are fewer examples than were encoded.", where=f"task {task.name}")
    model.eval()
    run = _Run(model, task, encoded, pad_id, device, batch_size)
    with torch.inference_mode():
        if encoded.format == "span":
            questions = cast(Sequence[SpanExample], examples)
            scores = _score_spans(*_row_spans(run), encoded.owners, questions, task, language)
        elif encoded.format == "tagging":
            scores = _score_tags(_row_choices(run), encoded, cast(Sequence[TagExample], examples), task)
        elif encoded.format == "mlm":
            scores = {"accuracy": _masked_accuracy(run, masking)}
        else:
            scores = {"accuracy": accuracy(np.concatenate(_row_choices(run)), encoded.labels.values)}
    return {task.metric: scores[task.metric]} | scores


def best_span(logits: Floats, starts: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return the start and end with the largest sum of logits; of equals the first.

    Parameters
    ----------
    logits
        Shape ``[2, tokens]``: start and end.
    starts
        First and last token at which the span may start; ``None`` for all.

    Returns
    -------
    start, end : int
        The end is at most ``LONGEST_ANSWER - 1`` tokens after the start.
    """
    first, last = starts or (0, logits.shape[1] - 1)
    ends = np.concatenate([logits[1], np.full(LONGEST_ANSWER - 1, -np.inf)])
    band = sliding_window_view(ends, LONGEST_ANSWER)[first : last + 1]
    total = logits[0, first : last + 1, None] + band
    start, length = divmod(int(total.argmax()), LONGEST_ANSWER)
    return first + start, first + start + length


@dataclass(frozen=True, slots=True)
class _Run:
    """A model over all rows of one set."""

    model: MultiTaskModel
    task: TaskData
    encoded: Encoded
    pad_id: int
    device: torch.device
    batch_size: int

    def parts(self, size: int) -> Iterator[Integers]:
        """Rows of similar length together."""
        ranked = np.argsort(self.encoded.lengths, kind="stable")
        for start in range(0, len(ranked), size):
            yield ranked[start : start + size]

    def logits(self, encoded: Encoded, rows: Integers) -> torch.Tensor:
        """Logits of some rows of an encoding, on the device."""
        logits: torch.Tensor = self.model(self.task.name, collate(encoded, rows, self.pad_id, self.device))
        return logits

    def outputs(self) -> Iterator[tuple[Integers, Floats]]:
        """Rows and their logits in double precision."""
        for rows in self.parts(self.batch_size):
            yield rows, self.logits(self.encoded, rows).double().cpu().numpy()


def _row_choices(run: _Run) -> list[Integers]:
    """Per row the chosen class or option, or the tags of its words."""
    chosen: list[Integers] = [np.empty(0, dtype=np.int64)] * len(run.encoded)
    for rows, logits in run.outputs():
        ends = np.cumsum(run.encoded.labels.lengths_of(rows))
        for row, part in zip(rows, np.split(logits.argmax(-1), ends[:-1]), strict=True):
            chosen[int(row)] = part
    return chosen


def _row_spans(run: _Run) -> tuple[Floats, Integers]:
    """Per row the sums of logits of its best span and of its first token; that span's characters."""
    encoded = run.encoded
    sums = np.full((len(encoded), 2), -np.inf)
    characters = np.zeros((len(encoded), 2), dtype=np.int64)
    for rows, logits in run.outputs():
        sums[rows, 1] = logits[:, :, 0].sum(axis=1)
        for row, each in zip(rows.tolist(), logits, strict=True):
            first, last, start_first, start_last = encoded.positions[row].tolist()
            if start_first > start_last:
                continue
            inside = each[:, first : last + 1]
            start, end = best_span(inside, (start_first - first, start_last - first))
            sums[row, 0] = inside[0, start] + inside[1, end]
            offsets = encoded.characters[row]
            characters[row] = offsets[first + start, 0], offsets[first + end, 1]
    return sums, characters


def _score_spans(
    sums: Floats,
    characters: Integers,
    owners: Integers,
    examples: Sequence[SpanExample],
    task: TaskData,
    language: str,
) -> dict[str, float]:
    bounds = np.searchsorted(owners, np.arange(len(examples) + 1))
    answers: dict[str, str] = {}
    accepted: dict[str, Sequence[str]] = {}
    for index, example in enumerate(examples):
        rows = slice(bounds[index], bounds[index + 1])
        best = int(sums[rows, 0].argmax())
        start, end = characters[rows][best]
        none = task.unanswerable and sums[rows, 1].min() > sums[rows, 0][best]
        answers[example.identifier] = "" if none else example.context[start:end].strip()
        accepted[example.identifier] = example.answers
    exact, f1 = span_exact_match_f1(
        answers,
        accepted,
        scheme=cast(AnswerScheme, task.answers),
        language=language,
        unanswerable=task.unanswerable,
    )
    return {"em_f1": (exact + f1) / 2, "exact_match": exact, "f1": f1}


def _score_tags(
    chosen: Sequence[Integers], encoded: Encoded, examples: Sequence[TagExample], task: TaskData
) -> dict[str, float]:
    bounds = np.searchsorted(encoded.owners, np.arange(len(examples) + 1))
    predicted, expected = [], []
    for index, example in enumerate(examples):
        tags = []
        for row in range(bounds[index], bounds[index + 1]):
            words = zip(chosen[row].tolist(), encoded.positions[row].tolist(), strict=True)
            tags += [task.labels[tag] if token >= 0 else CUT for tag, token in words]
        predicted.append(tags)
        expected.append([task.labels[tag] for tag in example.tags])
    found = {"accuracy": tagging_accuracy(predicted, expected)}
    return {"f1": tagging_f1(predicted, expected)} | found if task.metric == "f1" else found


def _masked_accuracy(run: _Run, masking: Masking | None) -> float:
    if masking is None:
        raise UsageError("masked language modelling is scored with a masking.", where=f"task {run.task.name}")
    guesses, hidden = [], []
    for rows in run.parts(max(1, run.batch_size // 4)):  # logits of the whole vocabulary are large
        masked = mask_for_evaluation(run.encoded, rows, masking)
        guesses.append(run.logits(masked, np.arange(len(rows))).argmax(-1).cpu().numpy())
        hidden.append(masked.labels.values)
    return accuracy(np.concatenate(guesses), np.concatenate(hidden))
