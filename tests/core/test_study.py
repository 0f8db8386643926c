from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.core.study import Study, canonical_json, load_study, study_hash
from alignaudit.errors import StudyError

STUDY = """
name = "trial"
title = "A trial"
seeds = [1, 2]
orders = 4
streams = { dropout = 7 }

[data]
source = "folder"
folder = "texts"

[encoder]
checkpoints = ["one", "two"]

[intermediate]
mixture = { updates = 20 }
[intermediate.optimisation]
learning_rate = 1e-3
[intermediate.tasks]
mnli = { updates = 10, batch_size = 4, train_examples = 50 }
squad = { epochs = 2.0, batch_size = 4 }

[target]
selection = "english-dev"
patience = 1
[target.optimisation]
learning_rate = 1e-3
[target.tasks]
udpos = { updates = 10, batch_size = 4 }
xquad = { epochs = 1.0, batch_size = 4, optimisation = { learning_rate = 1e-4 } }

[schedules.none]
kind = "none"
[schedules.mixed]
kind = "interleaved"
block = 5
order = ["squad", "mnli"]
learning_rate_policy = "restart"
optimizer_state = "reset"

[measure]
languages = ["ita", "deu"]
"""


@pytest.fixture
def study_file(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def refused(study_file: Path, *overrides: str) -> str:
    with pytest.raises(StudyError) as caught:
        load_study(study_file, overrides)
    assert caught.value.where == str(study_file)
    return caught.value.what


# ------------------------------------------------------------------------------------------ hash


def full_values() -> dict[str, Any]:
    """Every setting spelt out, defaults too, as decoding returns them."""
    return Study.model_validate(tuples(tomllib.loads(STUDY))).model_dump()


def tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    return [path]


# They can be set in no other way: an arm of kind `none` has no block; a task's amount is said once; the
# intermediate phase has one optimisation and keeps its last state.
FIXED = {
    ("schedules", "none", "block"),
    ("intermediate", "tasks", "mnli", "epochs"),
    ("intermediate", "tasks", "squad", "updates"),
    ("target", "tasks", "udpos", "epochs"),
    ("target", "tasks", "xquad", "updates"),
    ("intermediate", "tasks", "mnli", "optimisation"),
    ("intermediate", "tasks", "squad", "optimisation"),
    ("intermediate", "selection"),
    ("intermediate", "patience"),
}
LEAVES = [leaf for leaf in leaves(full_values()) if leaf not in FIXED]
PLACES = {("data", name) for name in ("folder", "hub", "folders", "files", "lexicons")}
WORDS = (
    *("concurrent", "global", "restart", "carry", "reset", "first", "mean", "all", "williams"),
    *("hub", "xtreme", "jiant", "english-dev", "target-languages"),
)
TABLES: tuple[dict[str, Any], ...] = (
    {"typos": (0.1,)},
    {"anli": "dev"},
    {"anli": {"dev": "dev.jsonl"}},
    {"learning_rate": 0.5},
    {"updates": 30},
)


def candidates(value: Any) -> list[Any]:
    """Values of which at least one is another valid setting."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 0.5 + 0.01, value + 1]
    if isinstance(value, dict):
        return list(TABLES)
    if isinstance(value, tuple):
        halved = tuple(item * 0.5 for item in value if isinstance(item, float))
        return [value[::-1], value[:1], ("mean", "max"), ("bucc2018",), halved]
    return [*WORDS, 5, ("mnli", "squad"), *TABLES]


def with_leaf(path: tuple[str, ...], value: Any) -> Study:
    values = full_values()
    here = values
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    if path[-1] == "kind":
        values["schedules"][path[1]]["block"] = None
    return Study.model_validate(values)


def changed(path: tuple[str, ...]) -> Study:
    before = full_values()
    for key in path:
        before = before[key]
    for option in candidates(before):
        if option == before:
            continue
        try:
            return with_leaf(path, option)
        except (ValueError, StudyError):
            continue
    raise AssertionError(f"no other valid value of {path} was thought of")


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_the_hash_changes_with_every_setting_but_the_place_of_the_data(path):
    same = study_hash(changed(path)) == study_hash(Study.model_validate(full_values()))
    assert same == (path in PLACES)


def test_the_leaves_reach_every_corner():
    far = {
        ("seeds",),
        ("streams", "dropout"),
        ("encoder", "embedded", "optimisation", "betas"),
        ("intermediate", "mixture", "temperature"),
        ("target", "tasks", "xquad", "optimisation", "warmup_updates"),
    }
    assert far | PLACES <= set(LEAVES)
    assert len(LEAVES) > 130


@pytest.mark.parametrize("path", sorted(FIXED), ids=".".join)
def test_what_is_not_tried_above_cannot_be_set(path):
    with pytest.raises(AssertionError, match="no other valid value"):
        changed(path)


def test_defaults_spelt_out_do_not_change_the_hash(study_file):
    spelt = load_study(study_file, ["measure.neighbours=4", "encoder.dropout=0.1"])
    assert study_hash(spelt) == study_hash(load_study(study_file))


def test_the_hash_is_sha256_of_canonical_json(study_file):
    study = load_study(study_file)
    values = study.model_dump(mode="json")
    for _, name in PLACES:
        del values["data"][name]
    assert study_hash(study) == hashlib.sha256(canonical_json(values).encode()).hexdigest()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_canonical_json_refuses_what_json_cannot_hold(value):
    with pytest.raises(StudyError):
        canonical_json({"value": value})


# ---------------------------------------------------------------------------------------- reading


def test_a_relative_folder_is_below_the_study_file(study_file, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert load_study(study_file).data.folder == str(study_file.parent / "texts")
    assert load_study(study_file.parent).data.folder == str(study_file.parent / "texts")


def test_every_place_is_below_the_study_file_and_named_files_below_the_folder(study_file):
    settings = [
        "data.hub=copies",
        "data.lexicons=../words",
        'data.folders={anli="../anli", squad="/squad"}',
        'data.files.udpos={test="ud/{language}_*.conllu", train="/train.conllu"}',
    ]
    base, data = study_file.parent, load_study(study_file, settings).data
    assert data.hub == str(base / "copies")
    assert data.lexicons == str(base.parent / "words")
    assert data.folders == {"anli": str(base.parent / "anli"), "squad": "/squad"}
    test = str(base / "texts" / "ud" / "{language}_*.conllu")
    assert data.files == {"udpos": {"test": test, "train": "/train.conllu"}}
    nowhere = load_study(study_file, ['data={source="hub", files={anli={dev="dev.jsonl"}}}']).data
    assert nowhere.files == {"anli": {"dev": str(base / "dev.jsonl")}}
    assert (nowhere.folder, nowhere.hub) == (None, None)


def test_an_absolute_folder_stays(study_file):
    assert load_study(study_file, ['data.folder="/texts"']).data.folder == "/texts"


def test_the_quickstart_is_a_study_of_all_three_arms():
    study = load_study()
    assert set(study.schedules) == {"none", "sequential", "concurrent"}
    assert len(study.seeds) >= 2
    assert study.data.source == "world"


def test_overrides_reach_the_quickstart():
    assert load_study(overrides=["seeds=[9]"]).seeds == (9,)


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("override", "start"),
    [
        ("seeds=[1, 1]", "seeds: seeds must be different"),
        ("seeds=[-1]", "seeds: seeds must be different non-negative"),
        ("seeds=[]", "seeds: "),
        ("name=Not a Name", "name: "),
        ("streams={dropuot = 1}", 'top level: unknown stream "dropuot". Did you mean "dropout"?'),
        ("schedules.mixed.block=0", "schedules.mixed.block: "),
        ("schedules.none.block=2", "schedules.none: `block` is needed for kind `interleaved`"),
        ("schedules.new.kind=interleaved", "schedules.new: `block` is needed for kind `interleaved`"),
        ("schedules.new.kind=sequental", "schedules.new.kind: Input should be 'none', 'sequential'"),
        ('schedules.mixed.order=["mnli"]', "top level: schedules.mixed.order must name each"),
        ('schedules.mixed.order=["mnli", "mnli"]', "top level: schedules.mixed.order must name each"),
        ("schedules={}", "schedules: "),
        ("data.source=world", "data: source `world` reads no files"),
        ('data={source="folder"}', "data: `folder` is needed for source `folder`"),
        ('data={source="world"}', "data: source `world` needs `train_examples`"),
        ("intermediate.selection=english-dev", "top level: intermediate: arms are compared after"),
        (
            "intermediate.tasks.mnli.optimisation={learning_rate=1.0}",
            "top level: intermediate.tasks.mnli: all tasks of the phase share one optimisation",
        ),
        ("intermediate.tasks.mnli.epochs=1.0", "intermediate.tasks.mnli: give `updates` or `epochs`"),
        (
            "intermediate={recipe='jiant', tasks=3, optimisation={learning_rate=1.0}}",
            "intermediate.tasks: Input should be a valid dictionary",
        ),
        (
            "intermediate={recipe='jiant', tasks={mnli=3}, optimisation={learning_rate=1.0}}",
            "intermediate.tasks.mnli: Input should be",
        ),
        ('measure={retrieval=["tatoeba"], poolings=["max"]}', "measure: `retrieval` of tatoeba reads"),
        ("encoder.checkpoints=[]", "encoder.checkpoints: "),
        ("encoder.dropout=1.0", "encoder.dropout: "),
        ("encoder.drop_out=0.1", 'encoder.drop_out: unknown key. Did you mean "dropout"?'),
        ("intermediate.tasks={}", "intermediate.tasks: "),
        ("intermediate.tasks.mnli.updates=0", "intermediate.tasks.mnli.updates: "),
        ("target.optimisation.learning_rate=0", "target.optimisation.learning_rate: "),
        ("measure.neighbours=0", "measure.neighbours: "),
    ],
)
def test_an_invalid_setting_is_one_clear_error(study_file, override, start):
    what = refused(study_file, override)
    assert what.startswith(start)
    assert "; " not in what
    assert len(what) < 200


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("xtrem", 'no recipe "xtrem". Did you mean "xtreme"?'),
        ("xtreme", 'the recipe "xtreme" does not train the task "mnli"'),
    ],
)
def test_a_recipe_that_does_not_fit_is_one_clear_error(study_file, recipe, words):
    with pytest.raises(StudyError) as caught:
        load_study(study_file, [f"intermediate.recipe={recipe}"])
    assert words in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(StudyError, match="no such file"):
            load_study(path)


@pytest.mark.parametrize(
    "setting", ['measure.languages=["dv", "dv"]', 'encoder.checkpoints=["embedded:1", "embedded:1"]']
)
def test_names_that_repeat_are_refused_before_anything_runs(setting):
    with pytest.raises(StudyError, match="the names must differ"):
        load_study(None, [setting])
