"""A fine-tuning phase made ready to run: model, encoded data, and the order of its batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignaudit.core.example import Example, TaskData
from alignaudit.core.phase import Optimisation, Schedule, TaskSettings
from alignaudit.core.plan import Stage
from alignaudit.core.rng import stream
from alignaudit.core.study import Data
from alignaudit.errors import DataError
from alignaudit.experiment.batch import Masking
from alignaudit.experiment.context import Context, encoder_source
from alignaudit.experiment.data import open_source
from alignaudit.experiment.heads import HeadSpec
from alignaudit.experiment.mlm_head import pretrained_mlm_head
from alignaudit.experiment.model import MultiTaskModel, load_encoder, load_tokenizer
from alignaudit.experiment.schedule import BatchPlan, Descriptors, Steps, build_plan, describe, realise
from alignaudit.experiment.tasks.cache import cached, encoding_key
from alignaudit.experiment.tasks.encoding import Encoded, encode
from alignaudit.experiment.train import TrainingPlan

__all__ = ["EncodedTask", "PreparedPhase", "prepare"]

ENCODED_FOLDER = "encoded"


@dataclass(frozen=True, slots=True)
class EncodedTask:
    """The data of a task, and how they become token numbers: once, for all seeds and workers.

    Attributes
    ----------
    data
        Examples.
    settings
        Lengths, stride and caps.
    fingerprint
        Hash of the data.
    tokenizer, context
        What encodes, and where encodings are kept.
    """

    data: TaskData
    settings: TaskSettings
    fingerprint: str
    tokenizer: PreTrainedTokenizerBase
    context: Context

    def train(self) -> Encoded:
        """Return the training examples as token numbers."""
        examples = self.data.train[: self.settings.train_examples]
        return self._encoded("train", "en", examples, training=True)

    def dev(self) -> Encoded:
        """Return the English development examples as token numbers."""
        return self._encoded("dev", "en", self.data.dev, training=False)

    def test(self, language: str) -> Encoded:
        """Return the test examples of a language as token numbers."""
        return self._encoded("test", language, self.data.test[language], training=False)

    def encode_all(self, *, tested: bool) -> None:
        """Encode development and test sets too, so that what is wrong with them shows before training."""
        if len(self.data.dev):
            self.dev()
        for language in self.data.test if tested else ():
            self.test(language)

    def _encoded(self, part: str, language: str, examples: Sequence[Example], *, training: bool) -> Encoded:
        settings = self.settings
        key = encoding_key(
            f"{self.data.name}:{self.fingerprint}:{part}:{language}:{settings.train_examples}",
            self.tokenizer,
            self.data.format,
            settings.max_length,
            settings.stride,
            training=training,
        )
        return cached(
            self.context.store.root / ENCODED_FOLDER,
            key,
            lambda: encode(
                examples,
                self.data.format,
                self.tokenizer,
                settings.max_length,
                training=training,
                stride=settings.stride,
            ),
            self.context.stop,
        )


@dataclass(frozen=True, slots=True)
class PreparedPhase:
    """A fine-tuning phase ready to run.

    Attributes
    ----------
    model
        Encoder and heads, on the device.
    tokenizer
        The encoder's.
    tasks
        Data by task.
    train
        Encoded training examples by task.
    plan
        Order of batches and optimisation.
    descriptors
        What that order looks like in numbers.
    mlm_head
        Where the head of masked language modelling comes from: ``pretrained``, ``fresh``, or empty.
    """

    model: MultiTaskModel
    tokenizer: PreTrainedTokenizerBase
    tasks: Mapping[str, EncodedTask]
    train: Mapping[str, Encoded]
    plan: TrainingPlan
    descriptors: Descriptors
    mlm_head: str


def prepare(stage: Stage, context: Context) -> PreparedPhase:
    """Return the phase of a stage: data encoded, model drawn, batches in the order of its schedule.

    Raises
    ------
    DataError, SetupError, DamagedRecordError
        If data, encoder or a parent's files cannot be read.
    """
    config = stage.config
    _check_data(config, context.data)
    source = encoder_source(stage, context)
    tokenizer = load_tokenizer(source)
    tasks = {
        name: EncodedTask(
            _task_data(context.data.model_dump_json(), name, json.dumps(values)),
            TaskSettings.model_validate(values, strict=False),
            config["data"][name],
            tokenizer,
            context,
        )
        for name, values in config["tasks"].items()
    }
    train_sets = {name: task.train() for name, task in tasks.items()}
    for task in tasks.values():
        task.encode_all(tested=stage.kind == "target")
    seeds = config["seeds"]
    model, mlm_head = _model(config, source, tasks, context.device)
    batches = build_plan(
        {name: len(encoded) for name, encoded in train_sets.items()},
        {name: int(task.settings.updates or 0) for name, task in tasks.items()},
        {name: task.settings.batch_size for name, task in tasks.items()},
        {name: stream(seeds["data_order"], "data_order", name) for name in tasks},
    )
    order = config.get("order", list(tasks))
    schedule = Schedule.model_validate(config.get("schedule", {"kind": "sequential"}))
    steps: Steps = realise(batches, schedule, order, stream(seeds["mixing_order"], "mixing_order"))
    plan = _training_plan(config, batches, steps, _masking(tasks, tokenizer))
    descriptors = describe(batches, steps, order)
    return PreparedPhase(model, tokenizer, tasks, train_sets, plan, descriptors, mlm_head)


def _check_data(config: Mapping[str, Any], data: Data) -> None:
    """Refuse data that changed since the study was planned: they would stand under the wrong name."""
    source = open_source(data)
    for name, values in config["tasks"].items():
        settings = TaskSettings.model_validate(values, strict=False)
        if source.task_fingerprint(name, settings) != config["data"][name]:
            raise DataError(
                "its data are not those that the study was planned with.",
                where=f"task {name}",
                hint="Run the same command again: it plans with the data that are there now.",
            )


@lru_cache(maxsize=16)
def _task_data(data: str, name: str, settings: str) -> TaskData:
    """Return a task's data, once per process; the arguments are JSON, which can be a key."""
    return open_source(Data.model_validate_json(data)).task(name, TaskSettings.model_validate_json(settings))


def _model(
    config: Mapping[str, Any], source: str, tasks: Mapping[str, EncodedTask], device: str
) -> tuple[MultiTaskModel, str]:
    heads = {name: HeadSpec(task.data.format, len(task.data.labels)) for name, task in tasks.items()}
    masked = [name for name, task in tasks.items() if task.data.format == "mlm"]
    weights = pretrained_mlm_head(source) if masked else None
    model = MultiTaskModel(
        load_encoder(source, dropout=config["dropout"]),
        heads,
        config["head_pooling"],
        config["dropout"],
        config["seeds"]["head_init"],
        initial_heads=dict.fromkeys(masked, weights) if weights else {},
    )
    return model.to(device), ("pretrained" if weights else "fresh") if masked else ""


def _masking(tasks: Mapping[str, EncodedTask], tokenizer: PreTrainedTokenizerBase) -> Masking | None:
    for task in tasks.values():
        if task.data.format == "mlm":
            return Masking(
                task.settings.mask_share,
                int(tokenizer.mask_token_id),
                len(tokenizer),
                tuple(sorted(tokenizer.all_special_ids)),
            )
    return None


def _training_plan(
    config: Mapping[str, Any], batches: BatchPlan, steps: Steps, masking: Masking | None
) -> TrainingPlan:
    seeds = config["seeds"]
    return TrainingPlan(
        batches,
        steps,
        Optimisation.model_validate(config["optimisation"], strict=False),
        config["learning_rate_policy"],
        config["optimizer_state"],
        seeds["dropout"],
        seeds["data_order"],
        masking,
    )
