"""What a reader must know before believing a comparison: conditions of the design, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alignaudit.analysis.collect import Grid
from alignaudit.analysis.plan import AnalysisPlan

__all__ = ["design_warnings", "status_reasons", "study_warnings"]

ENOUGH_PAIRS = 6
"""Smallest number of pairs whose exact two-sided sign-flip test can reach .05."""


SEEN_IN_DEVELOPMENT = {
    "tydiqa": "The English development rows of tydiqa are its English test rows",
    "xquad": "The development data of xquad, SQuAD v1.1's, hold the questions that XQuAD translates",
}
"""Tasks whose English development data are not apart from their test data: Clark et al. (2020) publish two
splits of TyDiQA's gold passages; Artetxe et al. (2020) took XQuAD from SQuAD's development set."""


def status_reasons(plan: AnalysisPlan, arms: tuple[str, ...]) -> list[str]:
    """Return why a comparison is exploratory; empty if it is the planned one.

    Parameters
    ----------
    plan
        The analysis plan, as read from its file.
    arms
        The compared schedules.
    """
    reasons = []
    if set(arms) != set(plan.schedules):
        stated = ", ".join(plan.schedules)
        reasons.append(f"Exploratory: the plan compares {stated}, not {', '.join(arms)}.")
    if not plan.as_stated:
        reasons.append("Exploratory: the settings are not those of a plan file.")
    return reasons


def design_warnings(grid: Grid) -> list[str]:
    """Return sentences on what else differs between the arms, and on what the inference rests.

    Parameters
    ----------
    grid
        The compared runs.
    """
    return [*_order_only(grid), *_riding_along(grid), *_size(grid)]


def study_warnings(study: Mapping[str, Any]) -> list[str]:
    """Return sentences on settings of the study that limit what its results can claim.

    Parameters
    ----------
    study
        The resolved study of the plan.
    """
    target = study.get("target", {})
    rule, warnings = target.get("selection"), []
    if rule == "target-languages":
        warnings.append(
            "Target checkpoints were chosen by their scores on the target languages' test data: the transfer "
            "is not zero-shot."
        )
    if rule == "english-dev":
        warnings += [
            f"{SEEN_IN_DEVELOPMENT[task]}: its checkpoints were chosen on items of the test."
            for task in target.get("tasks", {})
            if task in SEEN_IN_DEVELOPMENT
        ]
    if target.get("patience"):
        warnings.append(
            "Target tasks were stopped early, so that runs may differ in their target updates too."
        )
    return warnings


def _order_only(grid: Grid) -> list[str]:
    idle = [arm for arm in grid.arms if grid.kinds[arm] == "none"]
    warnings = [
        f"Arm {arm} has no intermediate phase, so its batches differ from the other arms' by design."
        for arm in idle
    ]
    trained = grid.runs[~grid.runs["arm"].isin(idle)]
    hashes = trained.groupby(["checkpoint", "seed"])["plan_hash"].nunique()
    if different := int((hashes > 1).sum()):
        warnings.append(
            f"In {different} of {len(hashes)} pairs the arms trained on different mini-batches (plan hashes "
            "differ): these are not comparisons of order only."
        )
    return warnings


def _riding_along(grid: Grid) -> list[str]:
    trained = grid.runs[grid.runs["schedule"] != "none"]
    warnings = []
    for column, words in (
        ("learning_rate_policy", "learning-rate policy"),
        ("optimizer_state", "optimizer state at task boundaries"),
    ):
        levels = sorted({str(level) for level in trained[column]})
        if len(levels) > 1:
            warnings.append(
                f"The compared runs mix {words} ({', '.join(levels)}): order is not all that differs."
            )
    devices = sorted({str(level) for level in grid.runs["device"]})
    if len(devices) > 1:
        warnings.append(f"The compared runs were trained on different devices ({', '.join(devices)}).")
    return warnings


def _size(grid: Grid) -> list[str]:
    warnings = []
    pairs, checkpoints = len(grid.pairs), sorted({checkpoint for checkpoint, _ in grid.pairs})
    if pairs < ENOUGH_PAIRS:
        warnings.append(
            f"With {pairs} pairs of runs the exact sign-flip test cannot go below p = {2 / 2**pairs:.4g}; "
            f"{ENOUGH_PAIRS} pairs are needed to reach .05."
        )
    if len(checkpoints) <= 2:
        number = "one pretrained checkpoint" if len(checkpoints) == 1 else "two pretrained checkpoints"
        warnings.append(
            f"All runs start from {number} ({', '.join(checkpoints)}): every conclusion is conditional upon "
            "that; another checkpoint may give another effect."
        )
    return warnings
