"""A tiny encoder and tiny data of every task format, for tests that train for real."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedTokenizerFast

from alignaudit.core.example import (
    ChoiceExample,
    PairExample,
    SpanExample,
    TagExample,
    TaskData,
    TextExample,
)
from alignaudit.core.rng import stream
from alignaudit.core.study import EmbeddedEncoder
from alignaudit.experiment.embedded import embedded_config, train_tokenizer
from alignaudit.experiment.model import build_encoder

WORDS = "the a cat dog house red big sees likes in on near old man tree blue river walks eats small".split()


def sentence(draw, low: int = 3, high: int = 12) -> str:
    return " ".join(draw.choice(WORDS, size=int(draw.integers(low, high))))


def make_tokenizer() -> PreTrainedTokenizerFast:
    draw = stream(0, "tokenizer lines")
    return train_tokenizer([sentence(draw) for _ in range(300)], 120)


def make_encoder(tokenizer, dropout: float = 0.0) -> nn.Module:
    recipe = EmbeddedEncoder(hidden_size=16, layers=2, attention_heads=2)
    return build_encoder(embedded_config(recipe, len(tokenizer)), 3, dropout=dropout)


def task_data(form: str, count: int = 24) -> TaskData:
    """Data of one format, named like it."""
    draw = stream(1, "task data", form)
    makers = {
        "classification": lambda i: PairExample(sentence(draw), sentence(draw), int(draw.integers(3))),
        "multiple_choice": lambda i: ChoiceExample(
            sentence(draw), "what ?", (sentence(draw), sentence(draw), sentence(draw)), int(draw.integers(3))
        ),
        "span": lambda i: span_example(draw, i),
        "tagging": lambda i: tag_example(draw),
        "mlm": lambda i: TextExample(sentence(draw)),
    }
    examples = [makers[form](index) for index in range(count)]
    labels = ("x", "y", "z") if form in ("classification", "tagging") else ()
    metric = "em_f1" if form == "span" else "accuracy"
    return TaskData(form, form, labels, metric, examples, examples[:8], {"en": examples[:8]})


def span_example(draw, index: int) -> SpanExample:
    words = sentence(draw, 6, 14).split()
    first = int(draw.integers(len(words) - 1))
    answer = " ".join(words[first : first + 2])
    start = len(" ".join(words[:first])) + (1 if first else 0)
    return SpanExample(f"q{index}", "where is it", " ".join(words), (answer,), (start,))


def tag_example(draw) -> TagExample:
    words = tuple(sentence(draw).split())
    return TagExample(words, tuple(WORDS.index(word) % 3 for word in words))
