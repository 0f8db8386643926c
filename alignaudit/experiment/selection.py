"""Which evaluated state of a target task is kept, and when training has gone on for long enough.

The rule is fixed in the study: the last state; the one with the best English development score; or,
only where asked for, the one with the best mean score on the target languages, which is no longer
zero-shot and is flagged as such wherever results are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors.torch import load_file, save_file

from alignaudit.core.phase import Selection
from alignaudit.core.store import atomic_folder, check_folder
from alignaudit.errors import DamagedRecordError
from alignaudit.experiment.model import MultiTaskModel

__all__ = ["StateKeeper", "best_evaluation", "long_enough", "selection_score"]

Rows = Sequence[Mapping[str, Any]]
ENGLISH = "en"
FILE = "model.safetensors"


def selection_score(rows: Rows, rule: Selection) -> float:
    """Return what a rule looks at in the rows of one evaluation.

    Parameters
    ----------
    rows
        Rows of the scores table with their first metric only; splits ``dev`` and ``test_path``.
    rule
        ``english-dev``: the development score; ``target-languages``: the mean over the test
        languages without English; ``last``: the update.

    Returns
    -------
    float
        Higher is better.
    """
    if rule == "last":
        return float(rows[0]["update"])
    if rule == "english-dev":
        return fmean(float(row["value"]) for row in rows if row["split"] == "dev")
    return fmean(
        float(row["value"]) for row in rows if row["split"] == "test_path" and row["language"] != ENGLISH
    )


def best_evaluation(evaluations: Sequence[Rows], rule: Selection) -> int:
    """Return the place of the evaluation that a rule keeps; of equal ones the first.

    Examples
    --------
    >>> def rows(update, value):
    ...     return [{"update": update, "split": "dev", "language": "en", "value": value}]
    >>> best_evaluation([rows(10, 0.5), rows(20, 0.7), rows(30, 0.7)], "english-dev")
    1
    >>> best_evaluation([rows(10, 0.5), rows(20, 0.7), rows(30, 0.7)], "last")
    2
    """
    scores = [selection_score(rows, rule) for rows in evaluations]
    return scores.index(max(scores))


def long_enough(evaluations: Sequence[Rows], rule: Selection, patience: int) -> bool:
    """Return whether the last ``patience`` evaluations brought no improvement; False if it is 0."""
    return bool(patience) and len(evaluations) - 1 - best_evaluation(evaluations, rule) >= patience


class StateKeeper:
    """Keeps the parameters of the best evaluation so far in a folder of their own.

    One folder per improvement, named after the update: a run that is resumed from before an
    improvement makes the same improvement again.

    Parameters
    ----------
    folder
        ``work/<key>`` of the store.
    rule
        With ``last``, nothing needs to be kept.
    """

    def __init__(self, folder: Path, rule: Selection) -> None:
        self.folder = folder
        self.rule = rule

    def _place(self, update: int) -> Path:
        return self.folder / f"selected-{update:09d}"

    def offer(self, model: MultiTaskModel, evaluations: Sequence[Rows]) -> None:
        """Keep the model if its evaluation, the last of ``evaluations``, is the best."""
        if self.rule == "last" or best_evaluation(evaluations, self.rule) != len(evaluations) - 1:
            return
        tensors = {name: value.detach().cpu().contiguous() for name, value in model.named_parameters()}
        place = self._place(int(evaluations[-1][0]["update"]))
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_folder(place, lambda private: save_file(tensors, private / FILE), replace=True)

    def restore(self, model: MultiTaskModel, evaluations: Sequence[Rows]) -> int:
        """Put the parameters of the kept evaluation into the model; return its place.

        Raises
        ------
        DamagedRecordError
            If the kept file is not what it was.
        """
        best = best_evaluation(evaluations, self.rule)
        if best != len(evaluations) - 1:
            place = self._place(int(evaluations[best][0]["update"]))
            try:
                check_folder(place)
            except DamagedRecordError as error:
                hint = f"Delete {self.folder} and run the same command: the stage is trained again."
                raise DamagedRecordError(error.what, where=error.where, hint=hint) from error
            model.load_state_dict(load_file(place / FILE), strict=False)
        return best
