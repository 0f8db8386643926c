"""The presets of hyper-parameters, against the tables of the two pipelines' scripts."""

from __future__ import annotations

from dataclasses import fields

import pytest

from alignaudit.core.recipes import RECIPES, Recipe, recipe
from alignaudit.core.tasks import TASKS, target_tasks
from alignaudit.errors import StudyError

# nyu-mll/jiant at daa5a258, jiant/scripts/benchmarks/xtreme/subscripts: batch (per step × accumulated steps),
# epochs, length. d_write_configs.sh for the first two, c_tokenize_and_cache.sh for the last.
JIANT = {
    "xnli": (4 * 8, 2, 256),
    "pawsx": (4 * 8, 5, 256),
    "udpos": (4 * 8, 10, 256),
    "panx": (4 * 8, 10, 256),
    "xquad": (4 * 4, 2, 384),
    "mlqa": (4 * 4, 2, 384),
    "tydiqa": (4 * 4, 2, 384),
}
# google-research/xtreme at 838c13b, scripts/train_*.sh for xlm-roberta-large: learning rate, batch, epochs,
# length, weight decay, warm-up updates.
XTREME = {
    "xnli": (3e-5, 2 * 16, 5, 128, 0.0, 0),
    "pawsx": (2e-5, 2 * 16, 5, 128, 0.0, 0),
    "udpos": (2e-5, 2 * 16, 10, 128, 0.0, 0),
    "panx": (2e-5, 2 * 16, 10, 128, 0.0, 0),
    "xquad": (3e-5, 4 * 8, 3, 384, 1e-4, 500),
    "mlqa": (3e-5, 4 * 8, 3, 384, 1e-4, 500),
    "tydiqa": (3e-5, 4 * 8, 3, 384, 1e-4, 500),
    "xcopa": (3e-5, 2 * 16, 5, 128, 0.0, 0),
    "social_i_qa": (3e-5, 2 * 16, 5, 128, 0.0, 0),
}
ALL = [record for tasks in RECIPES.values() for record in tasks.values()]
NUMBERS = {field.name for field in fields(Recipe)} - {"name", "task", "origin"}


@pytest.mark.parametrize("name", JIANT)
def test_jiant_s_target_tasks(name):
    found = recipe("jiant", name)
    assert (found.batch_size, found.epochs, found.max_length) == JIANT[name]
    assert (found.learning_rate, found.weight_decay, found.epsilon) == (1e-5, 0.01, 1e-8)
    assert (found.warmup_share, found.warmup_updates, found.clip_norm) == (0.1, 0, 1.0)


@pytest.mark.parametrize("name", XTREME)
def test_xtreme_s_tasks(name):
    found = recipe("xtreme", name)
    ours = (found.learning_rate, found.batch_size, found.epochs, found.max_length)
    assert (*ours, found.weight_decay, found.warmup_updates) == XTREME[name]
    assert (found.epsilon, found.clip_norm) == (1e-8, 1.0)


def test_every_intermediate_task_has_jiant_s_defaults():
    intermediate = [name for name in TASKS if TASKS[name].group == "intermediate"]
    for name in intermediate:
        found = recipe("jiant", name)
        assert (found.learning_rate, found.batch_size, found.epochs) == (1e-5, 32, 3)
        assert found.max_length == (384 if TASKS[name].format == "span" else 256)
    assert len(intermediate) == 10


@pytest.mark.parametrize("pipeline", ["xtreme", "jiant"])
def test_every_trained_target_of_xtreme_has_a_recipe(pipeline):
    trained = {found.name for found in target_tasks("xtreme") if found.train}
    assert trained <= set(RECIPES[pipeline])


@pytest.mark.parametrize("record", ALL, ids=lambda record: f"{record.name}-{record.task}")
def test_every_number_says_where_it_was_read(record):
    assert set(record.origin) == NUMBERS
    commits = {"xtreme": "google-research/xtreme at 838c13b, ", "jiant": "nyu-mll/jiant at daa5a258, "}
    assert all(place.startswith(("ours", commits[record.name])) for place in record.origin.values())


@pytest.mark.parametrize("record", ALL, ids=lambda record: f"{record.name}-{record.task}")
def test_windows_belong_to_span_tasks_and_fit(record):
    assert (record.stride == 128) == (TASKS[record.task].format == "span")
    assert 0 <= record.stride < record.max_length
    assert 0 <= record.warmup_share < 1


def test_the_share_of_xtreme_s_warm_up_is_its_500_updates():
    found = recipe("xtreme", "xquad")
    updates = 3 * 87_599 / 32
    # The share is written with two digits, hence half a unit of the second: 0.0609 against 0.06.
    assert found.warmup_share == pytest.approx(500 / updates, abs=0.005)


def test_records_stand_under_their_names():
    for name, tasks in RECIPES.items():
        assert all((record.name, record.task) == (name, key) for key, record in tasks.items())
        assert set(tasks) <= set(TASKS)


def test_unknown_names_are_refused_with_the_nearest_known_one():
    with pytest.raises(StudyError, match='there is no recipe "jian"') as caught:
        recipe("jian", "xnli")
    assert "jiant" in caught.value.hint
    with pytest.raises(StudyError, match='the recipe "xtreme" does not train the task "mnli"'):
        recipe("xtreme", "mnli")
