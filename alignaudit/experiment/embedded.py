"""The embedded encoder: a byte-pair tokenizer and a small XLM-R pretrained on the synthetic world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig

from alignaudit.core.example import TextExample
from alignaudit.core.rng import stream, stream_seed
from alignaudit.core.study import EmbeddedEncoder
from alignaudit.experiment.batch import Masking
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.model import MultiTaskModel, build_encoder
from alignaudit.experiment.schedule import BatchPlan, Steps, build_plan
from alignaudit.experiment.tasks.encoding import encode
from alignaudit.experiment.train import Keeper, TrainingPlan, TrainingState, train

__all__ = ["embedded_config", "pretrain", "train_tokenizer"]

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MAX_LENGTH = 96


def train_tokenizer(lines: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-pair tokenizer with XLM-R's special tokens; the same lines give the same bytes.

    Byte-pair encoding rather than XLM-R's unigram model, whose trainer is not deterministic.

    Parameters
    ----------
    lines
        Training text.
    vocabulary
        Largest number of pieces, special tokens included.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        lines,
        trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIALS), show_progress=False),
    )
    ends = [("<s>", SPECIALS.index("<s>")), ("</s>", SPECIALS.index("</s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def embedded_config(recipe: EmbeddedEncoder, vocabulary: int) -> XLMRobertaConfig:
    """Return the architecture of the embedded encoder (XLM-R, small, without dropout)."""
    return XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.attention_heads,
        intermediate_size=4 * recipe.hidden_size,
        max_position_embeddings=MAX_LENGTH + 4,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def pretrain(
    corpora: Mapping[str, tuple[str, ...]],
    recipe: EmbeddedEncoder,
    seed: int,
    *,
    keeper: Keeper | None = None,
    device: torch.device | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[MultiTaskModel, PreTrainedTokenizerFast, TrainingState]:
    """Pretrain the embedded encoder by masked language modelling on monolingual corpora.

    Parameters
    ----------
    corpora
        Lines per language; no parallel text.
    recipe
        Architecture and optimisation.
    seed
        Of weights, data order and masks.
    keeper, device, progress
        As for :func:`alignaudit.experiment.train.train`.

    Returns
    -------
    tuple
        The model (its encoder is what studies use), the tokenizer, and the final training state.

    References
    ----------
    Conneau et al. (2020), "Unsupervised Cross-lingual Representation Learning at Scale".
    """
    lines = [line for language in corpora for line in corpora[language]]
    tokenizer = train_tokenizer(lines, recipe.vocabulary)
    encoded = encode([TextExample(line) for line in lines], "mlm", tokenizer, MAX_LENGTH, training=True)
    place = device or torch.device("cpu")
    encoder = build_encoder(embedded_config(recipe, len(tokenizer)), stream_seed(seed, "pretraining"))
    model = MultiTaskModel(encoder, {"mlm": HeadSpec("mlm", 0)}, "mean", 0.0, seed).to(place)
    batches = build_plan(
        {"mlm": len(encoded)},
        {"mlm": recipe.updates},
        {"mlm": recipe.batch_size},
        {"mlm": stream(seed, "pretraining", "data_order")},
    )
    masking = Masking(
        recipe.mask_share, SPECIALS.index("<mask>"), len(tokenizer), tuple(range(len(SPECIALS)))
    )
    plan = TrainingPlan(
        batches, _in_order(batches), recipe.optimisation, "global", "carry", seed, seed, masking
    )
    state = train(
        model,
        {"mlm": encoded},
        plan,
        pad_id=SPECIALS.index("<pad>"),
        device=place,
        keeper=keeper,
        progress=progress,
    )
    return model, tokenizer, state


def _in_order(plan: BatchPlan) -> Steps:
    count = len(plan.batches[0])
    return Steps(np.zeros(count, dtype=np.int64), np.arange(count), (0,))
