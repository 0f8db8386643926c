"""Heads: first weights from streams of their own, options by the batch, logits of hidden tokens only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import make_encoder, sentence, task_data
from transformers import BertConfig, DistilBertConfig, XLMRobertaConfig

from alignaudit.core.example import ChoiceExample
from alignaudit.core.rng import stream, stream_seed
from alignaudit.errors import UsageError
from alignaudit.experiment.batch import Batch, Masking, collate, mask_tokens
from alignaudit.experiment.heads import HeadSpec, make_head
from alignaudit.experiment.model import MultiTaskModel
from alignaudit.experiment.tasks.encoding import encode

FORMATS = ("classification", "multiple_choice", "span", "tagging", "mlm")
CPU = torch.device("cpu")


def make_model(tokenizer, forms=FORMATS, **more) -> MultiTaskModel:
    heads = {form: HeadSpec(form, 3) for form in forms}
    return MultiTaskModel(make_encoder(tokenizer), heads, "mean", 0.0, 7, **more).eval()


def masked_batch(tokenizer, examples: int = 6) -> Batch:
    encoded = encode(task_data("mlm").train, "mlm", tokenizer, 48, training=True)
    masking = Masking(0.25, tokenizer.mask_token_id, len(tokenizer), tuple(tokenizer.all_special_ids))
    hidden = mask_tokens(encoded, np.arange(examples), masking, stream(2, "masks"))
    return collate(hidden, range(examples), tokenizer.pad_token_id, CPU)


@pytest.mark.parametrize("form", FORMATS)
def test_first_weights_are_normal_draws_of_the_heads_own_stream(tokenizer, form):
    generator = torch.Generator().manual_seed(stream_seed(7, "head_init", form))
    for name, parameter in make_model(tokenizer).heads[form].named_parameters():
        if parameter.dim() == 2:
            drawn = torch.empty(parameter.shape).normal_(0.0, 0.02, generator=generator)
            assert torch.equal(parameter, drawn)
        else:
            assert torch.equal(parameter, torch.full_like(parameter, float(name == "norm.weight")))


# ------------------------------------------------------------------ initial weights


def test_initial_weights_replace_one_head_and_no_other(tokenizer):
    plain = make_model(tokenizer).state_dict()
    draw = torch.Generator().manual_seed(1)
    given = {
        name: torch.empty(value.shape).normal_(generator=draw)
        for name, value in make_model(tokenizer).heads["mlm"].state_dict().items()
    }
    found = make_model(tokenizer, initial_heads={"mlm": given}).state_dict()
    assert list(found) == list(plain)
    for name, value in found.items():
        head = name.startswith("heads.mlm.")
        assert torch.equal(value, given[name.removeprefix("heads.mlm.")] if head else plain[name])
    before = given["bias"].clone()
    found["heads.mlm.bias"].zero_()
    assert torch.equal(given["bias"], before)  # copied, not shared


def test_initial_weights_must_fit(tokenizer):
    whole = make_model(tokenizer).heads["mlm"].state_dict()
    with pytest.raises(UsageError, match="task mlm_xx: initial weights are given, but it has no head"):
        make_model(tokenizer, initial_heads={"mlm_xx": whole})
    half = {name: value for name, value in whole.items() if name != "bias"}
    with pytest.raises(UsageError, match="task mlm: the initial weights do not fit"):
        make_model(tokenizer, initial_heads={"mlm": half})
    with pytest.raises(UsageError, match="do not fit"):
        make_model(tokenizer, initial_heads={"mlm": {**whole, "bias": whole["bias"][:-1]}})


# ------------------------------------------------------------------ masked tokens


@pytest.mark.parametrize(
    ("config", "epsilon", "activation"),
    [
        (XLMRobertaConfig(layer_norm_eps=1e-5), 1e-5, torch.nn.functional.gelu),
        (XLMRobertaConfig(layer_norm_eps=1e-3, hidden_act="relu"), 1e-3, torch.nn.functional.gelu),
        (BertConfig(), 1e-12, torch.nn.functional.gelu),
        (BertConfig(hidden_act="relu"), 1e-12, torch.relu),
        (DistilBertConfig(activation="relu"), 1e-12, torch.relu),
    ],
)
def test_epsilon_and_activation_are_those_of_the_architectures_head(config, epsilon, activation):
    head = make_head(HeadSpec("mlm", 0), config, "first", 0.0)
    points = torch.linspace(-3, 3, 31)
    assert head.norm.eps == epsilon
    assert torch.equal(head.activation(points), activation(points))


def test_only_hidden_tokens_get_logits(tokenizer, monkeypatch):
    """A row as wide as the vocabulary is a megabyte for XLM-R: none is made or kept for other tokens."""
    model, batch, shapes = make_model(tokenizer), masked_batch(tokenizer), []
    linear = torch.nn.functional.linear

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() > 1 and tensor.shape[-1] == len(tokenizer):
            shapes.append(tuple(tensor.shape))
        return tensor

    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: note(linear(*given)))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.loss_sum("mlm", batch).backward()
    hidden = len(batch.labels)
    assert 6 <= hidden < batch.tokens / 2
    embeddings = (16, len(tokenizer))  # transposed for the product, not copied
    assert shapes.count((hidden, len(tokenizer))) >= 2  # logits and their softmax
    assert set(shapes) <= {(hidden, len(tokenizer)), embeddings}


# ------------------------------------------------------------------ multiple choice


def choices(options: int, count: int = 5) -> list[ChoiceExample]:
    draw = stream(4, "choices")
    texts = [tuple(sentence(draw) for _ in range(4)) for _ in range(count)]
    return [ChoiceExample("the cat", "what ?", four[:options], options - 1) for four in texts]


def test_a_head_trained_on_four_options_scores_two(tokenizer):
    """An option's score does not depend on how many others stand beside it."""
    model, logits = make_model(tokenizer, ("multiple_choice",)), {}
    for options in (4, 2):
        encoded = encode(choices(options), "multiple_choice", tokenizer, 48, training=False)
        batch = collate(encoded, range(5), tokenizer.pad_token_id, CPU)
        assert batch.group == options
        logits[options] = model("multiple_choice", batch).detach()
        assert logits[options].shape == (5, options)
        loss = torch.logsumexp(logits[options], 1) - logits[options][:, options - 1]
        assert model.loss_sum("multiple_choice", batch).item() == pytest.approx(loss.sum().item(), rel=1e-6)
    # The padding differs, so that sums run in another order: a few units in the last place of float32.
    torch.testing.assert_close(logits[2], logits[4][:, :2], rtol=1e-4, atol=1e-6)
    assert logits[4].std() > 1e-4
