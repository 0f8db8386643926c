"""Published hyper-parameters as presets, each number with the place it was read.

``xtreme`` is what google-research/xtreme sets for XLM-R-large, ``jiant`` what the code of
Phang et al. (2020) sets. A study that names one writes down only what it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from alignaudit.errors import StudyError, did_you_mean

__all__ = ["RECIPES", "Recipe", "recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyper-parameters of one task in one published pipeline. The optimizer is AdamW.

    Attributes
    ----------
    name
        Of the pipeline.
    task
        Name of the task.
    learning_rate
        Peak; linear decay to 0 after the warm-up.
    batch_size
        Examples per update: per device and step, times accumulated steps.
    epochs
        Passes over the training examples.
    max_length
        Tokens per text.
    stride
        Span tasks: tokens by which the windows of a long context advance; else 0.
    warmup_share
        Share of the updates spent warming up.
    warmup_updates
        Their number, where the pipeline fixes it; 0 where it fixes the share.
    weight_decay
        Not applied to biases and layer norms.
    epsilon
        Of AdamW.
    clip_norm
        Largest Euclidean norm of the gradient.
    origin
        Where each number was read, by its name; ``ours`` where there is no source.
    """

    name: str
    task: str
    learning_rate: float
    batch_size: int
    epochs: float
    max_length: int
    stride: int
    warmup_share: float
    warmup_updates: int
    weight_decay: float
    epsilon: float
    clip_norm: float
    origin: Mapping[str, str]


_XTREME = "google-research/xtreme at 838c13b"
_JIANT = "nyu-mll/jiant at daa5a258"
_SHARED = ("warmup_share", "warmup_updates", "weight_decay", "epsilon", "clip_norm")
_SCRIPT = ("learning_rate", "batch_size", "epochs", "max_length")


def _origin(repository: str, places: Mapping[str, str]) -> Mapping[str, str]:
    """Return the place of each number, with repository and commit unless it is ours."""
    return MappingProxyType(
        {
            number: place if place.startswith("ours") else f"{repository}, {place}"
            for number, place in places.items()
        }
    )


def _xtreme() -> tuple[Recipe, ...]:
    """Return XTREME's settings for XLM-R-large; an update is 2 or 4 examples times 16 or 8 steps."""

    def origin(script: str, program: str, **others: str) -> Mapping[str, str]:
        places = dict.fromkeys(_SCRIPT, f"scripts/{script}.sh")
        places |= dict.fromkeys(_SHARED, f"third_party/{program} (default)")
        return _origin(_XTREME, {**places, "stride": "ours: no windows", **others})

    xnli = Recipe(
        name="xtreme",
        task="xnli",
        learning_rate=3e-5,
        batch_size=32,
        epochs=5,
        max_length=128,
        stride=0,
        warmup_share=0.0,
        warmup_updates=0,
        weight_decay=0.0,
        epsilon=1e-8,
        clip_norm=1.0,
        origin=origin("train_xnli", "run_classify.py"),
    )
    pawsx = replace(xnli, task="pawsx", learning_rate=2e-5, origin=origin("train_pawsx", "run_classify.py"))
    udpos = replace(pawsx, task="udpos", epochs=10, origin=origin("train_udpos", "run_tag.py"))
    panx = replace(udpos, task="panx", origin=origin("train_panx", "run_tag.py"))
    answering = dict.fromkeys(("stride", "warmup_updates", "weight_decay"), "scripts/train_qa.sh")
    squad_share = "ours: 500 updates as a share of 3 epochs over 87,599 examples by 32"
    xquad = replace(
        xnli,
        task="xquad",
        epochs=3,
        max_length=384,
        stride=128,
        warmup_share=0.06,
        warmup_updates=500,
        weight_decay=1e-4,
        origin=origin("train_qa", "run_squad.py", **answering, warmup_share=squad_share),
    )
    tydiqa_share = "ours: 3 epochs over the English rows by 32 have fewer than 500 updates"
    tydiqa = replace(
        xquad,
        task="tydiqa",
        warmup_share=0.99,
        origin=origin("train_qa", "run_squad.py", **answering, warmup_share=tydiqa_share),
    )
    copa = replace(xnli, origin=origin("train_xcopa", "run_xcopa.py, TrainingArguments"))
    return (
        xnli,
        pawsx,
        udpos,
        panx,
        xquad,
        replace(xquad, task="mlqa"),
        tydiqa,
        replace(copa, task="social_i_qa"),
        replace(copa, task="xcopa"),
    )


def _jiant_target() -> tuple[Recipe, ...]:
    """Return what jiant's scripts for XTREME set; an update is 4 examples times 8 or 4 steps."""
    scripts = "jiant/scripts/benchmarks/xtreme"
    places = {
        "learning_rate": f"{scripts}/subscripts/e_run_models.sh",
        "batch_size": f"{scripts}/subscripts/d_write_configs.sh",
        "epochs": f"{scripts}/subscripts/d_write_configs.sh",
        "max_length": f"{scripts}/subscripts/c_tokenize_and_cache.sh",
        "stride": "ours: no windows",
        "warmup_share": f"{scripts}/xtreme_runconfig_writer.py (default)",
        "warmup_updates": "ours: the share is fixed",
        "weight_decay": "jiant/shared/model_setup.py",
        "epsilon": "jiant/shared/model_setup.py (default)",
        "clip_norm": "jiant/proj/main/runscript.py (default)",
    }
    xnli = Recipe(
        name="jiant",
        task="xnli",
        learning_rate=1e-5,
        batch_size=32,
        epochs=2,
        max_length=256,
        stride=0,
        warmup_share=0.1,
        warmup_updates=0,
        weight_decay=0.01,
        epsilon=1e-8,
        clip_norm=1.0,
        origin=_origin(_JIANT, places),
    )
    windows = {**places, "stride": "jiant/tasks/lib/templates/squad_style/core.py (default)"}
    xquad = replace(
        xnli, task="xquad", batch_size=16, max_length=384, stride=128, origin=_origin(_JIANT, windows)
    )
    return (
        xnli,
        replace(xnli, task="pawsx", epochs=5),
        replace(xnli, task="udpos", epochs=10),
        replace(xnli, task="panx", epochs=10),
        xquad,
        replace(xquad, task="mlqa"),
        replace(xquad, task="tydiqa"),
    )


def _jiant_intermediate() -> tuple[Recipe, ...]:
    """Return what the command of jiant's X-STILTs guide sets, with the defaults of its program."""
    program = "jiant/proj/simple/runscript.py (default)"
    places = dict.fromkeys(_SCRIPT, program) | {
        "batch_size": f"{program}; the guide's example of a command has 4",
        "stride": "ours: no windows",
        "warmup_share": "jiant/proj/main/scripts/configurator.py (default)",
        "warmup_updates": "ours: the share is fixed",
        "weight_decay": "jiant/shared/model_setup.py",
        "epsilon": "jiant/shared/model_setup.py (default)",
        "clip_norm": program,
    }
    first, *others = "mnli anli anli_plus qqp hellaswag ccg cosmosqa commonsenseqa".split()
    mnli = Recipe(
        name="jiant",
        task=first,
        learning_rate=1e-5,
        batch_size=32,
        epochs=3,
        max_length=256,
        stride=0,
        warmup_share=0.1,
        warmup_updates=0,
        weight_decay=0.01,
        epsilon=1e-8,
        clip_norm=1.0,
        origin=_origin(_JIANT, places),
    )
    windows = {
        **places,
        "max_length": "jiant/scripts/benchmarks/xtreme/subscripts/c_tokenize_and_cache.sh (SQuAD v1.1)",
        "stride": "jiant/tasks/lib/templates/squad_style/core.py (default)",
    }
    squad = replace(mnli, task="squad", max_length=384, stride=128, origin=_origin(_JIANT, windows))
    mlm_places = {**places, "epochs": "ours", "batch_size": "ours", "max_length": "ours"}
    mlm = replace(mnli, task="mlm", epochs=1, origin=_origin(_JIANT, mlm_places))
    return (mnli, *(replace(mnli, task=name) for name in others), squad, replace(squad, task="squad_v2"), mlm)


def _by_name(recipes: tuple[Recipe, ...]) -> Mapping[str, Mapping[str, Recipe]]:
    names = dict.fromkeys(record.name for record in recipes)
    return MappingProxyType(
        {
            name: MappingProxyType({record.task: record for record in recipes if record.name == name})
            for name in names
        }
    )


RECIPES: Mapping[str, Mapping[str, Recipe]] = _by_name((*_xtreme(), *_jiant_target(), *_jiant_intermediate()))
"""Every recipe by the name of its pipeline and by task."""


def recipe(name: str, task: str) -> Recipe:
    """Return the recipe of a pipeline for a task.

    Parameters
    ----------
    name
        ``xtreme`` or ``jiant``.
    task
        Name of the task.

    Raises
    ------
    StudyError
        If there is no such pipeline, or it does not train the task.

    Examples
    --------
    >>> recipe("jiant", "mlqa").batch_size
    16
    """
    if name not in RECIPES:
        raise StudyError(f'there is no recipe "{name}".', hint=did_you_mean(name, RECIPES))
    tasks = RECIPES[name]
    if task not in tasks:
        raise StudyError(
            f'the recipe "{name}" does not train the task "{task}".', hint=did_you_mean(task, tasks)
        )
    return tasks[task]
