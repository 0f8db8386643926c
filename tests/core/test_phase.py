"""How a phase is written: recipes that fill it, what overrides them, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from alignaudit.core.decode import decode
from alignaudit.core.phase import Optimisation, Phase, Schedule
from alignaudit.core.recipes import RECIPES
from alignaudit.core.study import Study
from alignaudit.errors import StudyError


def read(text: str) -> Phase:
    return decode(Phase, tomllib.loads(text), where="phase")


def refused(text: str) -> str:
    with pytest.raises(StudyError) as caught:
        read(text)
    assert caught.value.where == "phase"
    return caught.value.what


# ------------------------------------------------------------------------------ recipes fill a phase


def test_a_recipe_writes_out_the_numbers_of_its_pipeline():
    """jiant's numbers, as its scripts have them (see core.recipes), not read from the table."""
    phase = read('recipe = "jiant"\n[tasks]\nmnli = {}\nsquad = {}\n')
    mnli, squad = phase.tasks["mnli"], phase.tasks["squad"]
    assert (mnli.epochs, mnli.batch_size, mnli.max_length, mnli.stride) == (3, 32, 256, 0)
    assert (squad.epochs, squad.batch_size, squad.max_length, squad.stride) == (3, 32, 384, 128)
    assert mnli.updates is squad.updates is mnli.optimisation is squad.optimisation is None
    curve = phase.optimisation
    assert (curve.learning_rate, curve.warmup_share, curve.warmup_updates) == (1e-5, 0.1, None)
    assert (curve.weight_decay, curve.epsilon, curve.clip_norm) == (0.01, 1e-8, 1.0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fills_a_phase_of_one_task(name):
    for task, found in RECIPES[name].items():
        phase = read(f'recipe = "{name}"\n[tasks]\n{task} = {{}}\n')
        for key in ("epochs", "batch_size", "max_length", "stride"):
            assert getattr(phase.tasks[task], key) == getattr(found, key), (task, key)
        for key in ("learning_rate", "weight_decay", "epsilon", "clip_norm"):
            assert getattr(phase.optimisation, key) == getattr(found, key), (task, key)
        warmup = phase.optimisation.warmup_updates or phase.optimisation.warmup_share
        assert warmup == (found.warmup_updates or found.warmup_share)


def test_what_a_study_writes_wins_over_the_recipe():
    phase = read(
        """
        recipe = "jiant"
        [optimisation]
        weight_decay = 0.5
        betas = [0.9, 0.98]
        [tasks]
        mnli = { batch_size = 4, epochs = 0.5 }
        squad = { updates = 9, stride = 64 }
        """
    )
    mnli, squad = phase.tasks["mnli"], phase.tasks["squad"]
    assert (mnli.batch_size, mnli.epochs, mnli.max_length) == (4, 0.5, 256)
    assert (squad.updates, squad.epochs, squad.stride, squad.max_length) == (9, None, 64, 384)
    assert phase.optimisation == Optimisation(learning_rate=1e-5, weight_decay=0.5, betas=(0.9, 0.98))


def test_a_mixture_takes_the_place_of_the_recipes_epochs():
    phase = read('recipe = "jiant"\n[mixture]\nupdates = 50\n[tasks]\nmnli = {}\nqqp = { epochs = 2.0 }\n')
    assert phase.tasks["mnli"].epochs is phase.tasks["mnli"].updates is None
    assert phase.tasks["qqp"].epochs == 2


def test_a_warm_up_that_is_written_replaces_the_recipes_number_of_updates():
    by_number = read('recipe = "xtreme"\n[tasks]\nxquad = {}\n').optimisation
    assert by_number.warmup_updates == 500
    by_share = read(
        'recipe = "xtreme"\n[optimisation]\nwarmup_share = 0.2\n[tasks]\nxquad = {}\n'
    ).optimisation
    assert (by_share.warmup_updates, by_share.warmup_share) == (None, 0.2)
    again = read('recipe = "jiant"\n[optimisation]\nwarmup_updates = 7\n[tasks]\nmnli = {}\n').optimisation
    assert again.warmup_updates == 7


def test_tasks_that_the_recipe_trains_otherwise_have_an_optimisation_of_their_own():
    """XTREME: 3e-5 for XNLI, 2e-5 for PAWS-X and tagging; 500 updates of warm-up and decay for QA."""
    phase = read('recipe = "xtreme"\n[tasks]\nxnli = {}\npawsx = {}\nudpos = {}\nxquad = {}\n')
    assert phase.tasks["xnli"].optimisation is None
    assert phase.optimisation_of("xnli") == phase.optimisation
    rates = {name: phase.optimisation_of(name).learning_rate for name in phase.tasks}
    assert rates == {"xnli": 3e-5, "pawsx": 2e-5, "udpos": 2e-5, "xquad": 3e-5}
    questions = phase.optimisation_of("xquad")
    assert (questions.warmup_updates, questions.weight_decay) == (500, 1e-4)
    assert (phase.optimisation.warmup_updates, phase.optimisation.weight_decay) == (None, 0.0)


def test_an_optimisation_written_for_the_phase_holds_for_every_task():
    phase = read(
        'recipe = "xtreme"\n[optimisation]\nlearning_rate = 1e-4\n'
        "[tasks]\nxnli = {}\npawsx = {}\nxquad = {}\n"
    )
    assert phase.tasks["pawsx"].optimisation is None
    assert {phase.optimisation_of(name).learning_rate for name in phase.tasks} == {1e-4}
    assert phase.optimisation_of("xquad").warmup_updates == 500


@pytest.mark.parametrize("task", ["xnli", "pawsx"])
def test_an_optimisation_written_for_one_task_starts_from_the_recipe(task):
    """Whether the recipe trains it as the first task (XNLI is the first) or not."""
    own = "{ optimisation = { clip_norm = 2.0 } }"
    first, second = (own, "{}") if task == "xnli" else ("{}", own)
    phase = read(
        f"""
        recipe = "xtreme"
        [optimisation]
        epsilon = 1e-6
        [tasks]
        xnli = {first}
        pawsx = {second}
        """
    )
    found = phase.optimisation_of(task)
    rate = {"xnli": 3e-5, "pawsx": 2e-5}[task]
    assert found == Optimisation(
        learning_rate=rate, warmup_share=0.0, weight_decay=0.0, epsilon=1e-6, clip_norm=2.0
    )


def test_a_task_of_a_phase_without_recipe_may_have_its_own_optimisation():
    phase = read(
        """
        optimisation = { learning_rate = 1e-3 }
        [tasks]
        a = { updates = 1, batch_size = 2 }
        b = { updates = 1, batch_size = 2, optimisation = { learning_rate = 5e-3 } }
        """
    )
    assert phase.optimisation_of("a").learning_rate == 1e-3
    assert phase.optimisation_of("b") == Optimisation(learning_rate=5e-3)


@pytest.mark.parametrize(
    "text",
    [
        'recipe = "xtreme"\n[tasks]\nxnli = {}\npawsx = {}\nxquad = {}\n',
        'recipe = "jiant"\n[mixture]\nupdates = 50\n[tasks]\nmnli = {}\nccg = { updates = 3 }\n',
        'recipe = "xtreme"\n[optimisation]\nwarmup_share = 0.3\n[tasks]\nxquad = {}\n',
    ],
)
def test_a_phase_written_out_is_read_as_itself(text):
    phase = read(text)
    assert Phase.model_validate(phase.model_dump()) == phase
    assert Phase.model_validate(phase.model_dump(mode="json"), strict=False) == phase


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tasks]\nmnli = 3\nqqp = {}\n", "tasks.mnli: Input should be a valid dictionary"),
        ("tasks = [1, 2]\n", "tasks: Input should be a valid dictionary"),
        ("optimisation = 3\n[tasks]\nmnli = {}\n", "optimisation: Input should be a valid dictionary"),
        (
            "[tasks]\nmnli = {}\nqqp = { optimisation = 4 }\n",
            "tasks.qqp.optimisation: Input should be a valid dictionary",
        ),
        ("[tasks]\n", "tasks: Dictionary should have at least 1 item"),
        ("[tasks]\nmnli = { epochs = 1.0, updates = 3 }\n", "give `updates` or `epochs`, not both"),
        ("[tasks]\nmnli = { batchsize = 3 }\n", 'unknown key. Did you mean "batch_size"?'),
        ("patience = 1\n[tasks]\nmnli = {}\n", '`patience` needs selection "english-dev"'),
        ("selection = 'english'\n[tasks]\nmnli = {}\n", "selection: Input should be 'last', 'english-dev'"),
        ("evaluations = 0\n[tasks]\nmnli = {}\n", "evaluations: Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_named_beside_a_recipe_too(text, words):
    assert words in refused(f'recipe = "jiant"\n{text}')


def test_an_unknown_recipe_and_a_task_that_it_does_not_train_are_named():
    with pytest.raises(StudyError, match=r'no recipe "jient"\. Did you mean "jiant"\?'):
        read('recipe = "jient"\n[tasks]\nmnli = {}\n')
    with pytest.raises(StudyError, match=r'"xtreme" does not train the task "xnly".*"xnli"'):
        read('recipe = "xtreme"\n[tasks]\nxnly = {}\n')


def test_every_task_needs_an_amount():
    text = "optimisation = { learning_rate = 1e-3 }\n[tasks]\na = { batch_size = 2 }\n"
    assert "tasks.a needs `updates` or `epochs`, or the phase a `mixture`" in refused(text)
    assert read(f"mixture = {{ updates = 5 }}\n{text}").mixture is not None


def test_languages_are_named_once():
    settings = 'a = { batch_size = 2, updates = 1, test_languages = ["de", "de"] }'
    assert "the languages must differ" in refused(
        f"optimisation = {{ learning_rate = 1e-3 }}\n[tasks]\n{settings}\n"
    )


@pytest.mark.parametrize("kind", ["sequential", "interleaved"])
def test_a_block_belongs_to_interleaved(kind):
    values = {"kind": kind} | ({"block": 3} if kind == "sequential" else {})
    with pytest.raises(StudyError, match="`block` is needed for kind `interleaved`"):
        decode(Schedule, values, where="schedule")


STUDY = """
name = "trial"
seeds = [1]
data = { source = "hub" }
encoder = { checkpoints = ["one"] }
schedules = { none = { kind = "none" } }
[intermediate]
recipe = "xtreme"
[intermediate.tasks]
xnli = {}
[target]
recipe = "xtreme"
[target.tasks]
xnli = {}
pawsx = {}
"""


def study(**intermediate: Any) -> Study:
    values = tomllib.loads(STUDY)
    values["intermediate"] |= intermediate
    return decode(Study, values, where="study")


def test_intermediate_tasks_share_one_optimisation():
    """In the target phase every task is trained alone, so there PAWS-X keeps its own learning rate."""
    assert study().target.optimisation_of("pawsx").learning_rate == 2e-5
    both = {"xnli": {}, "pawsx": {}}
    with pytest.raises(StudyError, match=r"intermediate\.tasks\.pawsx: .* \[intermediate\.optim"):
        study(tasks=both)
    same = study(tasks=both, optimisation={"learning_rate": 2e-5})
    assert same.intermediate.optimisation.learning_rate == 2e-5


@pytest.mark.parametrize("settings", [{"selection": "english-dev"}, {"selection": "target-languages"}])
def test_intermediate_arms_are_compared_after_their_last_update(settings):
    with pytest.raises(StudyError, match="intermediate: arms are compared after"):
        study(**settings)
