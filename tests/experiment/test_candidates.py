from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM, XLMRobertaForMaskedLM

from alignaudit.core.study import EmbeddedEncoder
from alignaudit.errors import DataError, SetupError
from alignaudit.experiment.bmlama import BmlamaRow
from alignaudit.experiment.candidates import candidate_scores
from alignaudit.experiment.embedded import embedded_config
from alignaudit.measure.consistency import rank_consistency

ROWS = (
    BmlamaRow("the <mask> likes the dog", ("big",), ("big", "cat", "old blue river"), "dog"),
    BmlamaRow("in the house <mask>", ("walks eats",), ("walks eats", "man"), "house"),
    BmlamaRow("<mask> sees the old man near the red tree", ("small",), ("small",), "man"),
    BmlamaRow("the <mask> likes the dog", ("zq",), ("big old dog", "zq", "dog", "cat"), "dog"),
)
# Float32 layers add up in another order where a batch is padded differently.
SINGLE = 2e-5


@pytest.fixture(scope="module")
def model(tokenizer):
    config = embedded_config(EmbeddedEncoder(hidden_size=16, layers=2, attention_heads=2), len(tokenizer))
    config.hidden_dropout_prob = 0.1
    config.initializer_range = 0.5  # so that scores differ by whole nats
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return XLMRobertaForMaskedLM(config).train()


def naive_score(model, tokenizer, prompt, pieces):
    """Fill the masks from left to right, one text at a time."""
    ids = tokenizer(prompt)["input_ids"]
    place = ids.index(tokenizer.mask_token_id)
    ids = ids[:place] + [tokenizer.mask_token_id] * len(pieces) + ids[place + 1 :]
    logs = []
    for piece in pieces:
        with torch.no_grad():
            logits = model.eval()(input_ids=torch.tensor([ids])).logits[0]
        first = ids.index(tokenizer.mask_token_id)
        logs.append(float(logits[first].double().softmax(dim=-1)[piece].log()))
        ids[first] = piece
    return np.mean(logs)


def test_scores_equal_the_definition(model, tokenizer):
    found = candidate_scores(model, tokenizer, ROWS, batch_size=3)
    assert found.scores.dtype == np.float64
    assert found.scores.shape == found.present.shape == (4, 4)
    assert found.present.sum(axis=1).tolist() == [3, 2, 1, 4]
    assert np.isnan(found.scores[~found.present]).all()
    for number, row in enumerate(ROWS):
        for place, candidate in enumerate(row.candidates):
            pieces = tokenizer(candidate, add_special_tokens=False)["input_ids"]
            expected = naive_score(model, tokenizer, row.prompt, pieces)
            assert found.scores[number, place] == pytest.approx(expected, abs=SINGLE), candidate
    assert np.nanstd(found.scores) > 100 * SINGLE


def test_scores_repeat_exactly_and_hardly_depend_on_the_batch(model, tokenizer):
    first, again = (candidate_scores(model, tokenizer, ROWS, batch_size=4) for _ in range(2))
    np.testing.assert_array_equal(first.scores, again.scores)
    other = candidate_scores(model, tokenizer, ROWS, batch_size=1)
    np.testing.assert_allclose(other.scores, first.scores, rtol=0, atol=SINGLE)


def test_no_gradient_is_kept(model, tokenizer):
    candidate_scores(model, tokenizer, ROWS)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_candidates_of_one_length_share_a_forward_pass(model, tokenizer):
    row = BmlamaRow("the <mask> likes", ("big",), ("big", "cat", "dog", "red tree", "red river"), "x")
    done = []
    candidate_scores(model, tokenizer, [row], batch_size=1, progress=done.append)
    # One text with one mask, one with two, one with "red" and a mask; not three and twice two.
    assert done == [1, 2, 3]


def test_candidates_that_are_equal_score_equal(model, tokenizer):
    row = BmlamaRow("the <mask> likes", ("big",), ("big", "old dog", "big", "old dog"), "x")
    scores = candidate_scores(model, tokenizer, [row]).scores[0]
    assert scores[0] == scores[2]
    assert scores[1] == scores[3]


def test_the_blank_piece_is_dropped_on_request_and_never_the_only_one(model, tokenizer):
    row = BmlamaRow("the<mask>likes", ("zq",), ("zq", "cat", " "), "x")
    blank, *rest = tokenizer("zq", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(blank) == "▁"
    kept, dropped = (
        candidate_scores(model, tokenizer, [row], drop_blank_piece=drop) for drop in (False, True)
    )
    expected = [naive_score(model, tokenizer, row.prompt, pieces) for pieces in ([blank, *rest], rest)]
    assert [kept.scores[0, 0], dropped.scores[0, 0]] == pytest.approx(expected, abs=SINGLE)
    assert expected[0] != pytest.approx(expected[1], abs=1e-2)
    np.testing.assert_allclose(dropped.scores[0, 1:], kept.scores[0, 1:], rtol=0, atol=SINGLE)


class Wrapped(nn.Module):
    """A model that shows its logits only."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, **inputs):
        return self.inner(**inputs)


def test_a_head_on_single_tokens_gives_what_the_whole_model_gives(model, tokenizer):
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(6)
        bert = BertForMaskedLM(config)
    for one in (model, bert):
        part, whole = (candidate_scores(each, tokenizer, ROWS) for each in (one, Wrapped(one)))
        np.testing.assert_allclose(part.scores, whole.scores, rtol=0, atol=SINGLE)


def test_scores_go_into_rank_consistency(model, tokenizer):
    found = candidate_scores(model, tokenizer, ROWS)
    assert rank_consistency(found.scores, found.scores, present=found.present).value == pytest.approx(1)


def test_what_cannot_be_scored_is_refused(model, tokenizer):
    with pytest.raises(DataError, match="no rows"):
        candidate_scores(model, tokenizer, [])
    long = BmlamaRow("the dog " * 60 + "<mask>", ("cat",), ("cat",), "x")
    with pytest.raises(DataError, match="tokens; the model takes 96") as raised:
        candidate_scores(model, tokenizer, [ROWS[0], long])
    assert raised.value.where == "row 1"
    with pytest.raises(DataError, match="0 mask tokens"):
        candidate_scores(model, tokenizer, [BmlamaRow("the cat", ("cat",), ("cat",), "x")])
    with pytest.raises(DataError, match="no pieces"):
        candidate_scores(model, tokenizer, [BmlamaRow("the <mask>", ("",), ("",), "x")])


def test_a_tokenizer_without_a_mask_is_refused(model, tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "mask_token_id", None, raising=False)
    with pytest.raises(SetupError, match="mask token"):
        candidate_scores(model, tokenizer, ROWS)
