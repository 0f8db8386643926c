"""The pretrained language-model head: logits of transformers' own model, and nothing rather than half."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_encoder
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from alignaudit.errors import SetupError
from alignaudit.experiment.batch import Batch
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.mlm_head import pretrained_mlm_head
from alignaudit.experiment.model import MultiTaskModel, load_encoder, save_encoder

VOCABULARY = 50
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 60,
}
XLMR = (XLMRobertaForMaskedLM, XLMRobertaConfig, {**SIZES, "layer_norm_eps": 1e-2, "pad_token_id": 1})
BERT = (BertForMaskedLM, BertConfig, {**SIZES, "layer_norm_eps": 1e-2, "hidden_act": "relu"})
DISTILBERT = (
    DistilBertForMaskedLM,
    DistilBertConfig,
    {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
)
KINDS = pytest.mark.parametrize("kind", [XLMR, BERT, DISTILBERT], ids=["xlm-roberta", "bert", "distilbert"])


def save(kind, folder, **more) -> torch.nn.Module:
    """Write a tiny masked language model with every weight drawn, biases and norms too."""
    model_class, config_class, sizes = kind
    model = model_class(config_class(vocab_size=VOCABULARY, **sizes, **more)).eval()
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, 0.3, generator=draw))
    model.save_pretrained(folder)
    return model


def make_batch() -> Batch:
    """Two texts of different lengths, three hidden tokens."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(5, VOCABULARY, (2, 12), generator=draw)
    mask = torch.ones_like(ids)
    ids[1, 8:], mask[1, 8:] = 1, 0
    rows, places = torch.tensor([0, 0, 1]), torch.tensor([3, 11, 5])
    return Batch(ids, mask, torch.tensor([7, 8, 9]), rows, places, 1)


def assert_same_logits(folder) -> None:
    """Ours at the hidden tokens are transformers' at the same places."""
    head = pretrained_mlm_head(str(folder))
    assert head is not None
    assert {value.dtype for value in head.values()} == {torch.float32}
    model = MultiTaskModel(
        load_encoder(str(folder), dropout=0.0),
        {"mlm": HeadSpec("mlm", 0)},
        "mean",
        0.0,
        0,
        initial_heads={"mlm": head},
    ).eval()
    whole = AutoModelForMaskedLM.from_pretrained(folder).eval()
    batch = make_batch()
    with torch.no_grad():
        ours = model("mlm", batch)
        theirs = whole(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    # The same operations on fewer rows: only the order of a product's sums may differ (float32).
    torch.testing.assert_close(ours, theirs[batch.rows, batch.positions], rtol=1e-5, atol=1e-5)
    assert ours.std() > 0.1


@KINDS
def test_logits_are_those_of_the_masked_language_model(tmp_path, kind):
    save(kind, tmp_path)
    assert_same_logits(tmp_path)


@KINDS
def test_a_sharded_checkpoint_gives_the_same_head(tmp_path, kind):
    model = save(kind, tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="3KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    whole, parts = (pretrained_mlm_head(str(tmp_path / name)) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def rewrite(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def test_norms_named_gamma_and_beta_are_read(tmp_path):
    """As in the published BERT checkpoints, converted from TensorFlow."""
    save(BERT, tmp_path)

    def rename(name: str) -> str:
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    rewrite(tmp_path, lambda tensors: {rename(name): value for name, value in tensors.items()})
    assert "cls.predictions.transform.LayerNorm.gamma" in load_file(tmp_path / "model.safetensors")
    assert_same_logits(tmp_path)


@pytest.mark.parametrize("kind", [XLMR, BERT], ids=["xlm-roberta", "bert"])
def test_a_bias_stored_under_the_decoders_name_only_is_read(tmp_path, kind):
    save(kind, tmp_path)
    old, new = {
        XLMR[0]: ("lm_head.bias", "lm_head.decoder.bias"),
        BERT[0]: ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    }[kind[0]]

    def only_decoder(tensors):
        tensors[new] = tensors.pop(old)
        return tensors

    rewrite(tmp_path, only_decoder)
    assert_same_logits(tmp_path)


def test_half_precision_weights_become_float32(tmp_path):
    save(XLMR, tmp_path)
    rewrite(tmp_path, lambda tensors: {name: value.half() for name, value in tensors.items()})
    head = pretrained_mlm_head(str(tmp_path))
    stored = load_file(tmp_path / "model.safetensors")["lm_head.dense.weight"]
    assert head["dense.weight"].dtype == torch.float32
    assert torch.equal(head["dense.weight"], stored.float())


# ------------------------------------------------------------------ nothing


def test_an_encoder_saved_alone_has_none(tokenizer, tmp_path):
    save_encoder(make_encoder(tokenizer), tokenizer, tmp_path)
    assert pretrained_mlm_head(str(tmp_path)) is None


@pytest.mark.parametrize(
    "lacking", ["lm_head.dense.weight", "lm_head.dense.bias", "lm_head.layer_norm.weight", "lm_head.bias"]
)
def test_half_a_head_is_none(tmp_path, lacking):
    save(XLMR, tmp_path)
    rewrite(tmp_path, lambda tensors: {name: value for name, value in tensors.items() if name != lacking})
    assert pretrained_mlm_head(str(tmp_path)) is None


@KINDS
def test_a_decoder_of_its_own_is_none(tmp_path, kind):
    save(kind, tmp_path, tie_word_embeddings=False)
    assert pretrained_mlm_head(str(tmp_path)) is None


def test_a_decoder_that_need_not_stay_the_embeddings_is_none(tmp_path):
    """Equal when saved, but told to be trained apart."""
    save(XLMR, tmp_path, tie_word_embeddings=False)

    def equal(tensors):
        embeddings = tensors["roberta.embeddings.word_embeddings.weight"]
        return {**tensors, "lm_head.decoder.weight": embeddings.clone()}

    rewrite(tmp_path, equal)
    assert pretrained_mlm_head(str(tmp_path)) is None


@pytest.mark.parametrize("same", [True, False])
def test_a_stored_decoder_counts_as_tied_only_where_it_is_the_embeddings(tmp_path, same):
    save(XLMR, tmp_path)

    def add(tensors):
        embeddings = tensors["roberta.embeddings.word_embeddings.weight"]
        return {**tensors, "lm_head.decoder.weight": embeddings.clone() if same else embeddings + 1}

    rewrite(tmp_path, add)
    if same:
        assert_same_logits(tmp_path)
    else:
        assert pretrained_mlm_head(str(tmp_path)) is None


def test_a_head_of_another_kind_is_none(tmp_path):
    kind = (ElectraForMaskedLM, ElectraConfig, {**SIZES, "embedding_size": 16})
    save(kind, tmp_path)
    assert pretrained_mlm_head(str(tmp_path)) is None


# ------------------------------------------------------------------ errors


def test_a_folder_without_weights_is_said(tmp_path):
    save(XLMR, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SetupError, match="cannot be loaded"):
        pretrained_mlm_head(str(tmp_path))


def test_a_damaged_file_is_said(tmp_path):
    save(XLMR, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(SetupError, match="cannot be loaded"):
        pretrained_mlm_head(str(tmp_path))


@pytest.mark.parametrize("content", ["no json", json.dumps({"metadata": {}})])
def test_a_damaged_index_is_said(tmp_path, content):
    save(XLMR, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(SetupError, match="cannot be loaded"):
        pretrained_mlm_head(str(tmp_path))
