"""Task scores of a model: predictions of one head, scored as the task's metric says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from alignaudit.core.example import Example, SpanExample, TagExample, TaskData
from alignaudit.errors import StudyError
from alignaudit.experiment.batch import Batch, collate
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.tasks.encoding import Encoded
from alignaudit.measure.score import accuracy, span_exact_match_f1, tagging_accuracy, tagging_f1

__all__ = ["best_span", "score_task"]

LONGEST_ANSWER = 30  # tokens, as in the SQuAD scripts of XTREME (Hu et al. 2020)
CUT = "[cut]"


def score_task(
    model: MultiTaskModel,
    task: TaskData,
    encoded: Encoded,
    examples: Sequence[Example],
    *,
    pad_id: int,
    device: torch.device,
    batch_size: int = 64,
) -> float:
    """Return the score of a model on some examples of a task.

    Parameters
    ----------
    model
        Has a head for ``task.name``; left in evaluation mode.
    task
        Gives labels and metric.
    encoded, examples
        The same examples, as token numbers (``training=False``) and as records.
    pad_id, device, batch_size
        For the forward passes; texts are ordered by length.

    Returns
    -------
    float
        In [0, 1]: accuracy, tagging F1 or accuracy, or the mean of exact match and F1, as
        ``task.metric`` says.

    Raises
    ------
    StudyError
        If the metric does not fit the format.
    """
    model.eval()
    predictions: dict[int, NDArray[np.float64]] = {}
    with torch.inference_mode():
        for part, batch in _batches(encoded, pad_id, device, batch_size):
            logits = model(task.name, batch).double().cpu().numpy()
            predictions |= dict(zip(part, _per_example(encoded, part, logits), strict=True))
    ordered = [predictions[index] for index in range(len(encoded))]
    if encoded.format == "span" and task.metric == "em_f1":
        return _score_spans(ordered, encoded, cast(Sequence[SpanExample], examples))
    if encoded.format == "tagging" and task.metric in ("accuracy", "f1"):
        return _score_tags(ordered, encoded, cast(Sequence[TagExample], examples), task)
    if encoded.format in ("classification", "multiple_choice") and task.metric == "accuracy":
        chosen = [int(scores.argmax()) for scores in ordered]
        return accuracy(chosen, [int(label[0]) for label in encoded.labels])
    raise StudyError(f"metric {task.metric} does not fit format {encoded.format}.", where=f"task {task.name}")


def _batches(
    encoded: Encoded, pad_id: int, device: torch.device, batch_size: int
) -> Iterator[tuple[list[int], Batch]]:
    lengths = [len(encoded.sequences[index * encoded.group]) for index in range(len(encoded))]
    ranked = np.argsort(lengths, kind="stable")
    for start in range(0, len(ranked), batch_size):
        part = [int(index) for index in ranked[start : start + batch_size]]
        yield part, collate(encoded, part, pad_id, device)


def _per_example(
    encoded: Encoded, part: Sequence[int], logits: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    if encoded.format != "tagging":
        return list(logits)
    counts = [len(encoded.labels[index]) for index in part]
    return np.split(logits, np.cumsum(counts)[:-1])


def _score_spans(
    logits: Sequence[NDArray[np.float64]], encoded: Encoded, examples: Sequence[SpanExample]
) -> float:
    answers = {}
    for index, example in enumerate(examples):
        first, last = encoded.positions[index]
        start, end = best_span(logits[index][:, first : last + 1])
        offsets = encoded.characters[index]
        answers[example.identifier] = example.context[
            offsets[first + start, 0] : offsets[first + end, 1]
        ].strip()
    exact, f1 = span_exact_match_f1(answers, {item.identifier: item.answers for item in examples})
    return (exact + f1) / 2


def best_span(logits: NDArray[np.float64]) -> tuple[int, int]:
    """Return the start and end with the largest sum of logits, end at most 29 tokens after start.

    Parameters
    ----------
    logits
        Shape ``[2, tokens]``: start and end.
    """
    tokens = logits.shape[1]
    total = logits[0][:, None] + logits[1][None, :]
    offset = np.arange(tokens)[None, :] - np.arange(tokens)[:, None]
    total[(offset < 0) | (offset >= LONGEST_ANSWER)] = -np.inf
    start, end = np.unravel_index(int(total.argmax()), total.shape)
    return int(start), int(end)


def _score_tags(
    logits: Sequence[NDArray[np.float64]], encoded: Encoded, examples: Sequence[TagExample], task: TaskData
) -> float:
    predicted, expected = [], []
    for index, example in enumerate(examples):
        chosen = logits[index].argmax(-1)
        cut = encoded.positions[index] < 0
        words = zip(chosen, cut, strict=True)
        predicted.append([CUT if missing else task.labels[int(tag)] for tag, missing in words])
        expected.append([task.labels[tag] for tag in example.tags])
    score = tagging_f1 if task.metric == "f1" else tagging_accuracy
    return score(predicted, expected)
