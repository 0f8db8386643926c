from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alignaudit.core.contracts import CONTRACTS, SCHEMA_VERSION, SCORES, Column, Contract
from alignaudit.core.tables import content_hash, read_table, validate, write_table
from alignaudit.errors import DamagedRecordError, DataError

TINY = Contract(
    "tiny",
    "thing",
    ("word", "number"),
    (
        Column("word", "string", "a word", levels=("a", "b")),
        Column("number", "int64", "a number"),
        Column("flag", "bool", "yes or no"),
        Column("value", "float64", "a value", nullable=True),
        Column("sure", "float64", "a value that is always there"),
    ),
)


def tiny(**columns) -> pd.DataFrame:
    good = {
        "word": ["b", "a", "a"],
        "number": [1, 2, 1],
        "flag": [True, False, True],
        "value": [0.5, np.nan, -0.0],
        "sure": [1.0, 2.0, 3.0],
    }
    return pd.DataFrame(good | columns)


def scores(rows: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": "c1-sequential-s1",
            "arm": "sequential",
            "checkpoint": "embedded:1",
            "seed": 1,
            "stage": "intermediate",
            "task": "nli",
            "role": "intermediate",
            "update": range(rows),
            "split": "dev",
            "language": "en",
            "metric": "accuracy",
            "value": np.linspace(0, 1, rows),
            "n": 300,
        }
    )


# -------------------------------------------------------------------------------------- contracts


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS.keys())
def test_a_contract_is_whole(contract):
    assert len(set(contract.names)) == len(contract.names)
    assert set(contract.key) <= set(contract.names)
    assert all(column.meaning for column in contract.columns)
    assert not any(column.nullable for column in contract.columns if column.name in contract.key)


def test_the_columns_are_those_of_the_design():
    noise = {"perturbed", "perturbed_items"}
    assert set(CONTRACTS) == {"runs", "alignment", "items", "scores", "controls"} | noise
    assert {"run", "stage", "language", "layer", "pooling", "metric", "value", "standard_error", "n"} <= set(
        CONTRACTS["alignment"].names
    )
    assert {"arm", "schedule", "order", "plan_hash", "checkpoint", "wall_s", "tokens", "device"} <= set(
        CONTRACTS["runs"].names
    )


# ------------------------------------------------------------------------------------- validation


def test_a_valid_frame_is_typed_ordered_and_sorted_by_its_key():
    frame = validate(tiny()[["sure", "value", "flag", "number", "word"]], TINY)
    assert list(frame.columns) == TINY.names
    assert list(frame["word"]) == ["a", "a", "b"]
    assert list(frame["number"]) == [1, 2, 1]
    assert list(frame.index) == [0, 1, 2]
    assert [str(dtype) for dtype in frame.dtypes] == ["str", "int64", "bool", "float64", "float64"]


def test_validation_changes_nothing_that_is_valid():
    once = validate(tiny(), TINY)
    pd.testing.assert_frame_equal(validate(once, TINY), once)


def test_an_empty_frame_is_valid():
    assert validate(pd.DataFrame(columns=TINY.names), TINY).shape == (0, 5)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (tiny().drop(columns="flag"), "columns missing: ['flag']"),
        (tiny(other=1), "unknown: ['other']"),
        (tiny(word=["a", "b", "c"]), "unknown words ['c']"),
        (tiny(word=["a", "b", None]), "empty cells"),
        (tiny(word=[1, 2, 3]), "expected string"),
        (tiny(number=[1.5, 2.0, 3.0]), "expected int64"),
        (tiny(number=[1.0, np.nan, 3.0]), "empty cells"),
        (tiny(number=["1", "2", "3"]), "expected int64"),
        (tiny(number=[2**64, 2, 3]), "expected int64"),
        (tiny(flag=["yes", "no", "no"]), "expected bool"),
        (tiny(flag=[0, 1, 1]), "expected bool"),
        (tiny(value=["0.5", "0.5", "0.5"]), "expected float64"),
        (tiny(value=[True, False, True]), "expected float64"),
        (tiny(sure=[1.0, np.nan, 2.0]), "empty cells"),
        (tiny(number=[1, 1, 1]), "1 rows repeat a key"),
    ],
)
def test_a_broken_contract_is_one_error(frame, words):
    with pytest.raises(DataError) as caught:
        validate(frame, TINY)
    assert words in caught.value.what
    assert "table tiny" in caught.value.where


def test_a_wrong_column_is_named():
    with pytest.raises(DataError) as caught:
        validate(tiny(number=["x", "y", "z"]), TINY)
    assert caught.value.where == "table tiny, column number"


# ------------------------------------------------------------------------------------------- hash

FLOATS = arrays(np.float64, st.integers(1, 6), elements=st.floats(width=64))


@given(values=FLOATS, place=st.integers(0, 5))
def test_the_hash_sees_every_bit_of_a_number(values, place):
    place %= len(values)
    other = values.copy()
    other[place] = np.nextafter(other[place], np.inf) if other[place] < np.finfo(float).max else 0.0
    assert content_hash(pd.DataFrame({"x": other})) != content_hash(pd.DataFrame({"x": values}))
    assert content_hash(pd.DataFrame({"x": values.copy()})) == content_hash(pd.DataFrame({"x": values}))


@pytest.mark.parametrize(
    "other",
    [
        pd.DataFrame({"x": ["a", "b"], "y": [1, 3]}),
        pd.DataFrame({"x": ["a", "c"], "y": [1, 2]}),
        pd.DataFrame({"z": ["a", "b"], "y": [1, 2]}),
        pd.DataFrame({"y": [1, 2], "x": ["a", "b"]}),
        pd.DataFrame({"x": ["b", "a"], "y": [2, 1]}),
        pd.DataFrame({"x": ["ab", ""], "y": [1, 2]}),
        pd.DataFrame({"x": ["a", "b"], "y": [True, False]}),
    ],
)
def test_the_hash_sees_words_names_and_order(other):
    assert content_hash(other) != content_hash(pd.DataFrame({"x": ["a", "b"], "y": [1, 2]}))


# ------------------------------------------------------------------------------------------ files


def test_a_table_comes_back_as_it_was_written(tmp_path):
    write_table(tmp_path / "tiny.parquet", tiny(), TINY)
    pd.testing.assert_frame_equal(read_table(tmp_path / "tiny.parquet", TINY), validate(tiny(), TINY))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS.keys())
def test_an_empty_table_comes_back(tmp_path, contract):
    write_table(tmp_path / "empty.parquet", pd.DataFrame(columns=contract.names), contract)
    frame = read_table(tmp_path / "empty.parquet", contract)
    assert list(frame.columns) == contract.names
    assert len(frame) == 0


@settings(max_examples=30)
@given(value=FLOATS)
def test_any_numbers_come_back_bit_for_bit(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    frame = tiny().iloc[[0] * len(value)].assign(number=range(len(value)), value=value, sure=0.5)
    write_table(path, frame, TINY)
    back = read_table(path, TINY)["value"].to_numpy()
    numbers = ~np.isnan(value)
    assert back[numbers].tobytes() == value[numbers].tobytes()
    assert np.isnan(back[~numbers]).all()


def test_a_negative_nan_is_an_empty_cell_like_any_other(tmp_path):
    frame = tiny(value=np.array([-np.nan, np.nan, 1.0]))
    assert np.signbit(frame["value"][0])
    write_table(tmp_path / "tiny.parquet", frame, TINY)
    assert read_table(tmp_path / "tiny.parquet", TINY)["value"].isna().sum() == 2


def test_the_twin_holds_the_same_numbers(tmp_path):
    write_table(tmp_path / "tiny.parquet", tiny(), TINY, twin=True)
    twin = pd.read_csv(tmp_path / "tiny.csv")
    pd.testing.assert_frame_equal(twin, validate(tiny(), TINY))
    assert b"\r" not in (tmp_path / "tiny.csv").read_bytes()


def test_the_metadata_says_what_the_table_is(tmp_path):
    write_table(tmp_path / "scores.parquet", scores(), SCORES)
    metadata = json.loads(pq.read_schema(tmp_path / "scores.parquet").metadata[b"alignaudit"])
    assert metadata["contract"] == "scores"
    assert metadata["schema_version"] == SCHEMA_VERSION
    assert metadata["columns"]["value"] == {"meaning": "score as a fraction", "unit": "0–1"}
    assert set(metadata["columns"]) == set(SCORES.names)


def tampered(path, **changes) -> None:
    """Write the table again with other metadata, as a careless tool might."""
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[b"alignaudit"]) | changes
    kept = {name: value for name, value in metadata.items() if value is not None}
    pq.write_table(table.replace_schema_metadata({b"alignaudit": json.dumps(kept).encode()}), path)


@pytest.mark.parametrize(
    "changes",
    [
        {"contract": "runs"},
        {"schema_version": SCHEMA_VERSION + 1},
        {"content_sha256": "0" * 64},
        {"contract": None},
        {"schema_version": None},
        {"content_sha256": None},
    ],
)
def test_other_metadata_is_found(tmp_path, changes):
    path = tmp_path / "scores.parquet"
    write_table(path, scores(), SCORES)
    tampered(path)
    read_table(path, SCORES)  # writing it again alone does no harm
    tampered(path, **changes)
    with pytest.raises(DamagedRecordError):
        read_table(path, SCORES)


def rewritten(path, change) -> None:
    table = pq.read_table(path)
    frame = change(table.to_pandas())
    new = type(table).from_pandas(frame, preserve_index=False)
    pq.write_table(new.replace_schema_metadata(table.schema.metadata), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(value=frame["value"] + 1e-15),
        lambda frame: frame.assign(n=frame["n"] + 1),
        lambda frame: frame.assign(language="de"),
        lambda frame: frame.iloc[1:],
        lambda frame: frame.drop(columns="metric"),
        lambda frame: frame.rename(columns={"metric": "metrik"}),
        lambda frame: frame.assign(split="train"),
        lambda frame: pd.concat([frame, frame]),
    ],
)
def test_other_content_is_found(tmp_path, change):
    path = tmp_path / "scores.parquet"
    write_table(path, scores(), SCORES)
    rewritten(path, change)
    with pytest.raises(DamagedRecordError) as caught:
        read_table(path, SCORES)
    assert caught.value.where == str(path)


def damaged_or_same(path, content, original) -> None:
    path.write_bytes(content)
    try:
        frame = read_table(path, SCORES)
    except DamagedRecordError:
        return
    assert frame.equals(original)


def test_a_flipped_bit_never_changes_a_number_silently(tmp_path):
    path = tmp_path / "scores.parquet"
    write_table(path, scores(), SCORES)
    sound, original = path.read_bytes(), read_table(path, SCORES)
    for place in range(0, len(sound), len(sound) // 100):
        content = bytearray(sound)
        content[place] ^= 1 << (place % 8)
        damaged_or_same(path, bytes(content), original)


def test_a_truncated_table_is_found(tmp_path):
    path = tmp_path / "scores.parquet"
    write_table(path, scores(), SCORES)
    sound = path.read_bytes()
    for size in (0, 3, 4, len(sound) // 2, len(sound) - 8, len(sound) - 1):
        path.write_bytes(sound[:size])
        with pytest.raises(DamagedRecordError):
            read_table(path, SCORES)


def test_a_missing_table_is_found(tmp_path):
    with pytest.raises(DamagedRecordError):
        read_table(tmp_path / "none.parquet", SCORES)
