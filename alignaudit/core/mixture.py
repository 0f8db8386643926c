"""How many updates each task of a phase gets. They are fixed before the batch plan is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping

from alignaudit.core.phase import Mixture, Phase, TaskSettings
from alignaudit.errors import DataError

__all__ = ["mixed_updates", "task_updates"]


def task_updates(phase: Phase, sizes: Mapping[str, int | None]) -> dict[str, int]:
    """Return the optimizer updates of every task of a phase.

    Parameters
    ----------
    phase
        Says updates, epochs or a mixture.
    sizes
        Training examples by task; None where the number is not known.

    Returns
    -------
    dict of str to int
        By task, in the phase's order: its ``updates``; or ceil(epochs × examples / batch size); or
        its share of the mixture.

    Raises
    ------
    DataError
        If a number of examples is needed and not known.
    """
    for name, settings in phase.tasks.items():
        if settings.updates is None and sizes[name] is None:
            raise DataError(
                "the number of training examples is not known.",
                where=f"task {name}",
                hint="Give the task `updates`, or make its data reachable.",
            )
    known = {name: int(sizes[name] or 0) for name in phase.tasks}
    mixed = [name for name, one in phase.tasks.items() if one.updates is None and one.epochs is None]
    shares = mixed_updates({name: known[name] for name in mixed}, phase.mixture) if phase.mixture else {}
    return {
        name: shares.get(name) or settings.updates or _in_epochs(settings, known[name])
        for name, settings in phase.tasks.items()
    }


def _in_epochs(settings: TaskSettings, size: int) -> int:
    passes = float(settings.epochs or 0)
    return math.ceil(passes * size / settings.batch_size - 1e-9)  # 3 × (1/3) of a pass is one pass


def mixed_updates(sizes: Mapping[str, int], mixture: Mixture) -> dict[str, int]:
    """Return a mixture's updates divided among tasks, by largest remainders.

    Parameters
    ----------
    sizes
        Training examples by task, at least 1 each.
    mixture
        Updates in all, cap and temperature.

    Returns
    -------
    dict of str to int
        By task; they add up to ``mixture.updates``. Equal remainders go to the task named first.

    Raises
    ------
    DataError
        If a task would get no update.

    References
    ----------
    Raffel et al. (2020), "Exploring the limits of transfer learning with a unified text-to-text
    transformer", JMLR 21, section 3.5.2.

    Examples
    --------
    >>> from alignaudit.core.phase import Mixture
    >>> mixed_updates({"mnli": 400, "squad": 100}, Mixture(updates=10))
    {'mnli': 8, 'squad': 2}
    >>> mixed_updates({"mnli": 400, "squad": 100}, Mixture(updates=10, cap=100))
    {'mnli': 5, 'squad': 5}
    >>> mixed_updates({"mnli": 400, "squad": 100}, Mixture(updates=9, temperature=2.0))
    {'mnli': 6, 'squad': 3}
    """
    capped = {name: min(size, mixture.cap or size) for name, size in sizes.items()}
    weights = {name: size ** (1 / mixture.temperature) for name, size in capped.items()}
    total = sum(weights.values())
    exact = {name: mixture.updates * weight / total for name, weight in weights.items()}
    updates = {name: math.floor(share + 1e-9) for name, share in exact.items()}
    left = mixture.updates - sum(updates.values())
    ranked = sorted(exact, key=lambda name: updates[name] - exact[name])
    for name in ranked[:left]:
        updates[name] += 1
    empty = [name for name, count in updates.items() if count == 0]
    if empty:
        raise DataError(
            f"its share of {mixture.updates} updates is less than one.",
            where=f"task {empty[0]}",
            hint="Raise mixture.updates or mixture.temperature.",
        )
    return updates
