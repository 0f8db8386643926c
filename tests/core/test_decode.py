from __future__ import annotations

import copy

import pytest
from pydantic import Field

from alignaudit.core.decode import Strict, apply_overrides, decode, read_toml
from alignaudit.errors import StudyError


class Leaf(Strict):
    rate: float
    names: tuple[str, ...] = ()


class Branch(Strict):
    leaf: Leaf
    leaves: dict[str, Leaf] = Field({})
    maybe: Leaf | None = None


GOOD = {"leaf": {"rate": 0.5}}


def message(values) -> str:
    with pytest.raises(StudyError) as caught:
        decode(Branch, values, where="study.toml")
    assert caught.value.where == "study.toml"
    return caught.value.what


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({**GOOD, "leef": 1}, 'leef: unknown key. Did you mean "leaf"?'),
        ({"leaf": {"rate": 0.5, "raet": 1}}, 'leaf.raet: unknown key. Did you mean "rate"?'),
        (
            {**GOOD, "leaves": {"a": {"rate": 1.0, "nmes": 2}}},
            'leaves.a.nmes: unknown key. Did you mean "names"?',
        ),
        ({**GOOD, "maybe": {"rate": 1.0, "rte": 2}}, 'maybe.rte: unknown key. Did you mean "rate"?'),
        ({"leaf": {"rate": 0.5, "zzz": 1}}, "leaf.zzz: unknown key. Known: names, rate."),
        ({"leaf": {}}, "leaf.rate: this key is missing."),
        ({"leaf": {"rate": "0.5"}}, "leaf.rate: Input should be a valid number (got '0.5')"),
    ],
)
def test_a_wrong_key_is_named_by_its_path(values, text):
    assert message(values) == text


def test_all_wrong_keys_stand_in_one_error():
    text = message({"leaf": {"raet": 1}, "leavs": {}})
    assert [part.split(":")[0] for part in text.split("; ")] == ["leaf.rate", "leaf.raet", "leavs"]


def test_toml_arrays_become_tuples():
    assert decode(Leaf, {"rate": 1, "names": ["a", "b"]}, where="") == Leaf(rate=1.0, names=("a", "b"))


def test_a_model_cannot_be_changed():
    leaf = decode(Leaf, {"rate": 1.0}, where="")
    with pytest.raises(ValueError, match="frozen"):
        leaf.rate = 2.0


@pytest.mark.parametrize(
    ("override", "result"),
    [
        ("a.b=2", {"a": {"b": 2, "c": 1}}),
        ("a.d=2e-5", {"a": {"b": 1, "c": 1, "d": 2e-5}}),
        ("new.deep.key=[1, 2]", {"a": {"b": 1, "c": 1}, "new": {"deep": {"key": [1, 2]}}}),
        ("word=some text", {"a": {"b": 1, "c": 1}, "word": "some text"}),
        ('word="x=y"', {"a": {"b": 1, "c": 1}, "word": "x=y"}),
        ("flag=true", {"a": {"b": 1, "c": 1}, "flag": True}),
    ],
)
def test_an_override_sets_one_key(override, result):
    values = {"a": {"b": 1, "c": 1}}
    untouched = copy.deepcopy(values)
    assert apply_overrides(values, [override]) == result
    assert values == untouched


def test_the_last_override_of_a_key_counts():
    assert apply_overrides({}, ["a=1", "a=2"]) == {"a": 2}


@pytest.mark.parametrize("override", ["a", "=1", " =1", "a.b.c=1"])
def test_an_override_that_cannot_be_applied_is_refused(override):
    with pytest.raises(StudyError):
        apply_overrides({"a": {"b": 1}}, [override])


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_not_toml_is_refused_with_its_place(tmp_path, content):
    (tmp_path / "study.toml").write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_toml(tmp_path / "study.toml")
    assert caught.value.where == str(tmp_path / "study.toml")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(StudyError):
            read_toml(path)
