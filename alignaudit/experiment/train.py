"""The training loop. Batch, task, learning rate and dropout are functions of (seed, update).

The state of a run is therefore its parameters, their two Adam moments and the number of updates
done, nothing else; a run stopped anywhere and resumed gives the same bits on the same machine
(CPU, one thread). The loop knows tasks, batches and updates, not studies or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from alignaudit.core.phase import Optimisation, OptimizerState, Policy
from alignaudit.core.rng import stream, stream_seed
from alignaudit.errors import FitError
from alignaudit.experiment.batch import Masking, collate, mask_tokens, micro_batches
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.schedule import BatchPlan, Steps
from alignaudit.experiment.tasks.encoding import Encoded

__all__ = ["Keeper", "TrainingPlan", "TrainingState", "learning_rate", "train"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything a phase of training is a function of, apart from model and data."""

    batches: BatchPlan
    steps: Steps
    optimisation: Optimisation
    policy: Policy
    optimizer_state: OptimizerState
    dropout_seed: int
    masking_seed: int
    masking: Masking | None = None


@dataclass(slots=True)
class TrainingState:
    """How far a phase has come, apart from parameters and moments.

    Attributes
    ----------
    update
        Updates done.
    tokens
        Tokens seen that are not padding.
    losses
        Per task the loss of its last update (mean over targets, nats).
    evaluations
        Whatever the evaluation callback returned so far, in order.
    """

    update: int
    tokens: int
    losses: dict[str, float]
    evaluations: list[Any]


class Keeper(Protocol):
    """Keeps the state of an unfinished phase (see ``experiment.checkpoint``)."""

    def load(self, model: MultiTaskModel, optimizer: torch.optim.Optimizer) -> TrainingState | None:
        """Restore the newest sound state into model and optimizer, or return None."""
        ...

    def offer(self, model: MultiTaskModel, optimizer: torch.optim.Optimizer, state: TrainingState) -> None:
        """Keep the state if it is time to; called after every update."""
        ...


def learning_rate(update: int, steps: Steps, total: int, optimisation: Optimisation, policy: Policy) -> float:
    """Return the learning rate of one update.

    Parameters
    ----------
    update
        From 0.
    steps
        Gives the stages of the schedule, for policy ``restart``.
    total
        Updates of the phase.
    optimisation
        Peak, warm-up, flat part and end.
    policy
        ``global``: one curve over the phase; ``restart``: one per stage; ``constant``: warm-up of
        the phase, then the peak.

    Returns
    -------
    float
        In ``(0, peak]`` while ``end_share > 0``; may be 0 at the very end otherwise.
    """
    start, stop = 0, total
    if policy == "restart":
        start = max(begin for begin in steps.starts if begin <= update)
        stop = min((begin for begin in (*steps.starts, total) if begin > update), default=total)
    length = stop - start
    warmup = optimisation.warmup_updates
    if warmup is None:
        warmup = round(optimisation.warmup_share * length)
    at = update - start
    peak = optimisation.learning_rate
    if at < warmup:
        return peak * (at + 1) / warmup
    if policy == "constant":
        return peak
    hold = max(warmup, round(optimisation.flat_share * length))
    if at < hold:
        return peak
    remaining = (length - at) / max(length - hold, 1)
    return peak * (optimisation.end_share + (1 - optimisation.end_share) * remaining)


def train(
    model: MultiTaskModel,
    data: Mapping[str, Encoded],
    plan: TrainingPlan,
    *,
    pad_id: int,
    device: torch.device,
    keeper: Keeper | None = None,
    evaluate_at: Collection[int] = (),
    evaluate: Callable[[MultiTaskModel, int], Any] | None = None,
    after: Callable[[MultiTaskModel, list[Any]], bool] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> TrainingState:
    """Train a model in place through one phase and return the final state.

    Parameters
    ----------
    model
        On ``device``; changed in place.
    data
        Encoded training examples per task.
    plan
        Order of batches and optimisation.
    pad_id
        Padding token.
    device
        Where the batches go.
    keeper
        Keeps and restores unfinished states.
    evaluate_at, evaluate
        After which updates to call ``evaluate(model, update)``; its results are collected.
    after
        Called after each evaluation with the model and all results so far; True ends the phase.
    progress
        Called after every update with (updates done, updates in all, loss).

    Returns
    -------
    TrainingState

    Raises
    ------
    FitError
        If a loss is not finite.
    """
    optimizer = _make_optimizer(model, plan.optimisation)
    state = keeper.load(model, optimizer) if keeper else None
    state = state or TrainingState(0, 0, {}, [])
    total = len(plan.steps.task)
    evaluated = bool(state.evaluations) and state.update in evaluate_at
    ended = evaluated and after is not None and after(model, state.evaluations)
    while state.update < total and not ended:
        update = state.update
        if plan.optimizer_state == "reset" and update > 0 and update in plan.steps.starts:
            optimizer.state.clear()
        rate = learning_rate(update, plan.steps, total, plan.optimisation, plan.policy)
        for group in optimizer.param_groups:
            group["lr"] = rate
        task = plan.batches.tasks[int(plan.steps.task[update])]
        loss, tokens = _one_update(model, optimizer, data[task], task, plan, update, pad_id, device)
        if not math.isfinite(loss):
            raise FitError(
                f"the loss is {loss} at update {update + 1} of {total}.",
                where=f"task {task}",
                hint="Lower optimisation.learning_rate or clip_norm.",
            )
        state.update, state.tokens = update + 1, state.tokens + tokens
        state.losses[task] = loss
        if evaluate and state.update in evaluate_at:
            state.evaluations.append(evaluate(model, state.update))
            ended = after is not None and after(model, state.evaluations)
        if progress:
            progress(state.update, total, loss)
        if keeper:
            keeper.offer(model, optimizer, state)
    model.eval()
    return state


def _one_update(
    model: MultiTaskModel,
    optimizer: torch.optim.Optimizer,
    encoded: Encoded,
    task: str,
    plan: TrainingPlan,
    update: int,
    pad_id: int,
    device: torch.device,
) -> tuple[float, int]:
    """One optimizer update; return the loss per target and the number of tokens."""
    examples = plan.batches.batches[int(plan.steps.task[update])][int(plan.steps.batch[update])]
    if plan.masking is not None and encoded.format == "mlm":
        # the masks belong to the batch, not to when it comes: arms see the same hidden tokens
        draw = stream(plan.masking_seed, "masking", task, int(plan.steps.batch[update]))
        encoded = mask_tokens(encoded, examples, plan.masking, draw)
        examples = np.arange(len(examples))
    targets = len(examples)
    if encoded.format != "span":
        targets = max(int(encoded.labels.lengths_of(examples).sum()), 1)
    model.train()
    optimizer.zero_grad(set_to_none=True)
    loss, tokens = 0.0, 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream_seed(plan.dropout_seed, "dropout", update))
        for part in micro_batches(encoded, examples, plan.optimisation.micro_batches):
            batch = collate(encoded, part, pad_id, device)
            mean = model.loss_sum(task, batch) / targets
            mean.backward()  # type: ignore[no-untyped-call]
            loss += float(mean.detach())
            tokens += batch.tokens
    torch.nn.utils.clip_grad_norm_(model.parameters(), plan.optimisation.clip_norm)
    optimizer.step()
    return loss, tokens


def _make_optimizer(model: MultiTaskModel, optimisation: Optimisation) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); no decay on biases and norms, frozen parameters left out."""
    if optimisation.freeze_embeddings:
        for parameter in model.encoder.get_input_embeddings().parameters():  # type: ignore[operator]
            parameter.requires_grad_(False)
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in free if p.dim() > 1], "weight_decay": optimisation.weight_decay},
        {"params": [p for p in free if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=optimisation.learning_rate, betas=optimisation.betas, eps=optimisation.epsilon, fused=True
    )
