"""Scores of candidate answers from a masked language model, for RankC.

As in the code of Qi, Fernandez and Bisazza (2023), a candidate of m pieces takes m masks, which are
filled from left to right: the score is the mean over pieces of the log probability of piece j where
the pieces before it stand and those after it are masked. Their code writes each piece into the text
and tokenizes it anew; here pieces are put in as ids, so that a candidate stays the pieces it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedTokenizerBase

from alignaudit.errors import DataError, SetupError
from alignaudit.experiment.bmlama import MASK, BmlamaRow

__all__ = ["CandidateScores", "candidate_scores"]


@dataclass(frozen=True, slots=True)
class CandidateScores:
    """What a model thinks of every candidate.

    Attributes
    ----------
    scores
        Shape [rows, candidates], float64, in nats: mean log probability of the candidate's pieces;
        NaN where a row has no such candidate.
    present
        Shape [rows, candidates], bool: where it has.
    """

    scores: NDArray[np.float64]
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Question:
    """One masked text: which token is asked for, and of which candidates it is a piece."""

    ids: tuple[int, ...]
    place: int
    wanted: list[tuple[int, int]]  # (candidate, piece)


def candidate_scores(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[BmlamaRow],
    *,
    drop_blank_piece: bool = False,
    batch_size: int = 64,
    device: torch.device | None = None,
    progress: Callable[[int], None] | None = None,
) -> CandidateScores:
    """Return the mean log probability of every candidate's pieces in its row's prompt.

    Candidates of a row that lead to the same masked text share its forward pass; ten candidates of
    one piece cost one. Texts are ordered by (number of tokens, place) and batched by a fixed size,
    so that the last bit of every score depends on the input alone.

    Parameters
    ----------
    model, tokenizer
        Any Hugging Face masked language model and its tokenizer. Where the model's head can be
        applied to single tokens, it is, and no logits of other tokens are made.
    rows
        Questions in one language.
    drop_blank_piece
        Whether a first piece that is only the mark of a word's beginning is left out where others
        follow. The published code does so for Chinese with XLM-R, whose prompts have no blank
        before the answer.
    batch_size, device
        For the forward passes.
    progress
        Called with the number of masked texts scored so far.

    Returns
    -------
    CandidateScores
        Larger is better; the published code keeps the negative.

    Raises
    ------
    DataError
        Where there are no rows, a candidate has no pieces, or a text is longer than the model
        allows.
    SetupError
        Where the tokenizer has no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise SetupError("the tokenizer has no mask token.", hint="Use a masked language model.")
    if not rows:
        raise DataError("there are no rows to score.")
    width = max(len(row.candidates) for row in rows)
    present = np.array([[place < len(row.candidates) for place in range(width)] for row in rows])
    questions: list[_Question] = []
    lengths = np.ones((len(rows), width))
    for number, row in enumerate(rows):
        pieces = [_pieces(tokenizer, candidate, drop_blank_piece, number) for candidate in row.candidates]
        lengths[number, : len(pieces)] = [len(part) for part in pieces]
        questions += _questions(tokenizer, row, pieces, number, width)
    sums = np.zeros(len(rows) * width)
    ranked = sorted(range(len(questions)), key=lambda index: (len(questions[index].ids), index))
    model.eval()
    for start in range(0, len(ranked), batch_size):
        batch = [questions[index] for index in ranked[start : start + batch_size]]
        logs = _log_probabilities(
            model, batch, int(tokenizer.pad_token_id or 0), device or torch.device("cpu")
        )
        for question, values in zip(batch, logs, strict=True):
            for (candidate, _), value in zip(question.wanted, values, strict=True):
                sums[candidate] += value
        if progress:
            progress(start + len(batch))
    scores = np.where(present, sums.reshape(lengths.shape) / lengths, np.nan)
    return CandidateScores(scores, present)


def _pieces(tokenizer: PreTrainedTokenizerBase, candidate: str, drop_blank: bool, number: int) -> list[int]:
    pieces = list(tokenizer(candidate, add_special_tokens=False)["input_ids"])
    if drop_blank and len(pieces) > 1 and not tokenizer.convert_ids_to_tokens(pieces[0]).strip("▁ "):
        del pieces[0]
    if not pieces:
        raise DataError(f'"{candidate}" has no pieces.', where=f"row {number}")
    return pieces


def _questions(
    tokenizer: PreTrainedTokenizerBase, row: BmlamaRow, pieces: list[list[int]], number: int, width: int
) -> list[_Question]:
    """Return the masked texts of a row, each once."""
    ids = list(tokenizer(row.prompt.replace(MASK, tokenizer.mask_token))["input_ids"])
    masks = [place for place, piece in enumerate(ids) if piece == tokenizer.mask_token_id]
    if len(masks) != 1:
        raise DataError(f"the prompt has {len(masks)} mask tokens.", where=f"row {number}")
    before, after = ids[: masks[0]], ids[masks[0] + 1 :]
    found: dict[tuple[int, ...], _Question] = {}
    for candidate, part in enumerate(pieces):
        for filled, piece in enumerate(part):
            masked = [tokenizer.mask_token_id] * (len(part) - filled)
            text = (*before, *part[:filled], *masked, *after)
            if len(text) > tokenizer.model_max_length:
                raise DataError(
                    f"{len(text)} tokens; the model takes {tokenizer.model_max_length}.",
                    where=f"row {number}",
                )
            question = found.setdefault(text, _Question(text, masks[0] + filled, []))
            question.wanted.append((number * width + candidate, piece))
    return list(found.values())


def _log_probabilities(
    model: nn.Module, batch: Sequence[_Question], pad_id: int, device: torch.device
) -> list[list[float]]:
    """Return, for every text, the log probabilities of its wanted pieces, summed up in float64."""
    longest = max(len(question.ids) for question in batch)
    ids = torch.full((len(batch), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(batch), longest), dtype=torch.long)
    for row, question in enumerate(batch):
        ids[row, : len(question.ids)] = torch.tensor(question.ids, dtype=torch.long)
        mask[row, : len(question.ids)] = 1
    places = torch.tensor([question.place for question in batch], device=device)
    wanted = [[piece for _, piece in question.wanted] for question in batch]
    with torch.inference_mode():
        logits = _logits(model, ids.to(device), mask.to(device), places)
        totals = torch.logsumexp(logits.double(), dim=-1).cpu()
        return [
            (logits[row, pieces].double().cpu() - totals[row]).tolist() for row, pieces in enumerate(wanted)
        ]


def _logits(model: nn.Module, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the vocabulary logits of one token of every text; shape [texts, vocabulary]."""
    every = torch.arange(len(ids), device=ids.device)
    head = getattr(model, "lm_head", None) or getattr(model, "cls", None)
    body = getattr(model, "base_model", model)
    if head is None or body is model:
        whole: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return whole[every, places]
    hidden = body(input_ids=ids, attention_mask=mask).last_hidden_state
    chosen: torch.Tensor = head(hidden[every, places])
    return chosen
