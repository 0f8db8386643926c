"""Masks and padded batches against naive ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import task_data

from alignaudit.core.rng import stream
from alignaudit.experiment.batch import Masking, collate, mask_for_evaluation, mask_tokens, micro_batches
from alignaudit.experiment.tasks.encoding import encode

CPU = torch.device("cpu")
FORMATS = ("classification", "multiple_choice", "span", "tagging")


def test_masks_hide_the_stated_share_and_never_special_tokens(tokenizer):
    data = task_data("mlm", 400)
    encoded = encode(data.train, "mlm", tokenizer, 32, training=True)
    masking = Masking(0.25, 4, len(tokenizer), (0, 1, 2, 3, 4))
    masked = mask_tokens(encoded, np.arange(len(encoded)), masking, stream(0, "masks"))
    free = [int((ids > 4).sum()) for ids in encoded.sequences]
    hidden = sum(len(labels) for labels in masked.labels)
    # At least one per text raises the share above 25 %: for n tokens by (1 - .25)^n / n.
    expected = sum(0.25 * n + 0.75**n for n in free)
    assert hidden == pytest.approx(expected, abs=5 * (sum(free) * 0.25 * 0.75) ** 0.5)
    fates = np.zeros(3)
    for ids, new, labels, positions in zip(
        encoded.sequences, masked.sequences, masked.labels, masked.positions, strict=True
    ):
        assert len(labels) >= 1
        assert (ids[positions] == labels).all()
        assert (labels > 4).all()
        untouched = [place for place in range(len(ids)) if place not in positions]
        assert (ids[untouched] == new[untouched]).all()
        found = new[positions]
        fates += [(found == 4).sum(), ((found != 4) & (found != labels)).sum(), (found == labels).sum()]
    # A random token equals the hidden one in 1 of 83 draws, far below the five standard errors.
    assert fates / hidden == pytest.approx([0.8, 0.1, 0.1], abs=5 * (0.16 / hidden) ** 0.5)


@pytest.mark.parametrize("specials", [(0, 1, 2, 3, 87), (87, 3, 40, 0, 1, 2), (84, 85, 86, 87)])
def test_random_tokens_are_all_those_that_are_not_special(tokenizer, specials):
    """As in XLM-R, whose mask is the last token of the vocabulary."""
    assert len(tokenizer) == 88
    encoded = encode(task_data("mlm", 400).train, "mlm", tokenizer, 32, training=True)
    masking = Masking(0.9, specials[-1], 88, specials)
    swapped = np.zeros(88, dtype=int)
    for number in range(12):
        masked = mask_tokens(encoded, np.arange(400), masking, stream(number, "swapped"))
        for new, labels, positions in zip(masked.sequences, masked.labels, masked.positions, strict=True):
            found = new[positions]
            swapped += np.bincount(found[(found != specials[-1]) & (found != labels)], minlength=88)
    usual = np.setdiff1d(np.arange(88), specials)
    assert swapped[list(specials)].sum() == 0
    expected = swapped.sum() / len(usual)
    assert expected > 30
    # A frequent token is less often *another* token, so counts fall below even shares by some per cent.
    assert (np.abs(swapped[usual] - expected) < 0.15 * expected + 5 * expected**0.5).all()


def test_a_text_without_usual_tokens_stays_as_it_is(tokenizer):
    encoded = encode(task_data("mlm", 3).train, "mlm", tokenizer, 32, training=True)
    masking = Masking(0.25, 4, 88, tuple(range(88)))
    masked = mask_tokens(encoded, np.arange(3), masking, stream(0, "none"))
    assert (masked.sequences.values == encoded.sequences.values).all()
    assert masked.labels.lengths.tolist() == [0, 0, 0]


def test_masks_leave_the_encoding_alone(tokenizer):
    encoded = encode(task_data("mlm", 9).train, "mlm", tokenizer, 32, training=True)
    before = encoded.sequences.values.copy()
    mask_tokens(encoded, np.arange(9), Masking(0.5, 4, 88, (0, 1, 2, 3, 4)), stream(0, "x"))
    assert (encoded.sequences.values == before).all()


def test_masks_for_evaluation_do_not_depend_on_the_batch(tokenizer):
    encoded = encode(task_data("mlm", 12).train, "mlm", tokenizer, 32, training=False)
    masking = Masking(0.25, 4, 88, (0, 1, 2, 3, 4))
    together = mask_for_evaluation(encoded, np.arange(12), masking)
    some = mask_for_evaluation(encoded, np.array([7, 2]), masking)
    for place, row in enumerate((7, 2)):
        alone = mask_tokens(encoded, np.array([row]), masking, stream(0, "mlm_evaluation", row))
        for name in ("sequences", "labels", "positions"):
            expected = getattr(alone, name)[0].tolist()
            assert getattr(together, name)[row].tolist() == getattr(some, name)[place].tolist() == expected


def flat(lists):
    return [value for part in lists for value in part]


@pytest.mark.parametrize("form", FORMATS)
def test_batches_are_padded_as_by_hand(tokenizer, form):
    encoded = encode(task_data(form).train, form, tokenizer, 30, training=True, stride=3)
    rows = stream(0, "rows", form).permutation(len(encoded))[:9]
    batch = collate(encoded, rows, 1, CPU)
    texts = [encoded.sequences[int(row) * encoded.group + n] for row in rows for n in range(encoded.group)]
    longest = max(len(text) for text in texts)
    assert batch.input_ids.tolist() == [text.tolist() + [1] * (longest - len(text)) for text in texts]
    assert batch.attention_mask.tolist() == [[1] * len(t) + [0] * (longest - len(t)) for t in texts]
    assert batch.tokens == sum(len(text) for text in texts)
    labels = [encoded.labels[int(row)].tolist() for row in rows]
    assert batch.labels.tolist() == (labels if form == "span" else flat(labels))
    by_word = form == "tagging"
    places = [[number] * len(part) for number, part in enumerate(labels)]
    assert batch.rows.tolist() == (flat(places) if by_word else [])
    positions = [encoded.positions[int(row)].tolist() for row in rows]
    assert batch.positions.tolist() == (flat(positions) if by_word else [])
    for tensor in (batch.input_ids, batch.attention_mask, batch.labels, batch.rows, batch.positions):
        assert tensor.dtype == torch.int64


def test_micro_batches_are_the_rows_by_length(tokenizer):
    encoded = encode(task_data("multiple_choice", 40).train, "multiple_choice", tokenizer, 40, training=True)
    rows = stream(0, "rows").permutation(40)[:17]
    parts = micro_batches(encoded, rows, 4)
    assert [len(part) for part in parts] == [5, 4, 4, 4]
    ranked = np.concatenate(parts).tolist()
    assert sorted(ranked) == sorted(rows.tolist())
    longest = [max(len(encoded.sequences[row * 3 + n]) for n in range(3)) for row in ranked]
    assert longest == sorted(longest)
    assert len(micro_batches(encoded, rows[:2], 4)) == 2
