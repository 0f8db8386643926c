"""Parts are found where they lie; rows stay there; what is missing is said with what to do."""

from __future__ import annotations

import json
import pickle
from functools import partial

import datasets
import numpy as np
import pytest

from alignaudit.core.example import TextExample
from alignaudit.core.task import DataSet, Part
from alignaudit.errors import DataError, SetupError
from alignaudit.experiment.tasks.examples import Examples, PackedRows, TableRows
from alignaudit.experiment.tasks.hub import copy_sha256, hub_table
from alignaudit.experiment.tasks.rows import Place, locate

MANY = DataSet(
    name="many",
    repository="owner/many",
    revision="c0ffee",
    reader="pair",
    columns={"text": "premise", "label": "label"},
    languages={"en": "English", "de": "German", "zh": "Chinese"},
    files={"test": ("own-{language}.json", "{code}_*-test.jsonl")},
)
PART = Part("many", "test", "many.{language}")
ONE = DataSet("one", "owner/one", "", "text", {"text": "text"})
TRAIN = Part("one", "train")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def touched(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"premise": name, "text": name, "label": 0}) + "\n")
    return folder


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with_bars = datasets.utils.are_progress_bars_disabled()
    datasets.utils.disable_progress_bars()
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    if not with_bars:
        datasets.utils.enable_progress_bars()


def card(folder, configurations):
    lines = ["---", "configs:"]
    for name, splits in configurations.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += [
            line for split, path in splits.items() for line in (f"  - split: {split}", f"    path: {path}")
        ]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


# ------------------------------------------------------------------------------ folders


@pytest.mark.parametrize(
    "names",
    [
        ["own-German.json", "de_x-test.jsonl"],
        ["own-de.json"],
        ["de_a-test.jsonl", "many.German/test.parquet"],
        ["many.German/test.parquet", "test.German.jsonl"],
        ["many.German/test-00000-of-00002.parquet", "many.German/test.jsonl"],
        ["many.de/test.csv", "test.de.jsonl"],
        ["test.German.jsonl", "German/test.jsonl"],
        ["test.de.tsv"],
        ["de/test.json", "test.jsonl"],
    ],
)
def test_a_folder_is_searched_in_order(tmp_path, names):
    """The first of the names wins, whatever lies beside it."""
    touched(tmp_path / "many", *names, "test.zh.jsonl", "test.parquet")
    found = locate(PART, MANY, Place(folder=str(tmp_path)), "de")
    assert [str(file.relative_to(tmp_path / "many")) for file in found.files] == names[:1]
    assert found.specific


def test_shards_and_wildcards_are_read_in_order(tmp_path):
    touched(tmp_path / "many", "de_b-test.jsonl", "de_a-test.jsonl")
    found = locate(PART, MANY, Place(folder=str(tmp_path)), "de")
    assert [row["premise"] for row in found.rows().many([0, 1])] == ["de_a-test.jsonl", "de_b-test.jsonl"]
    for shard in range(3):
        parquet(tmp_path / "one" / f"train-0000{shard}-of-00003.parquet", [{"text": str(shard)}])
    found = locate(TRAIN, ONE, Place(folder=str(tmp_path)))
    assert found.rows().column("text") == ["0", "1", "2"]


def test_only_english_may_go_without_its_name(tmp_path):
    touched(tmp_path / "many", "test.jsonl")
    place = Place(folder=str(tmp_path))
    assert locate(PART, MANY, place, "en").files[0].name == "test.jsonl"
    with pytest.raises(
        DataError, match=r"many\.German, split test, in .*many: no file found\. Looked for: own-German"
    ):
        locate(PART, MANY, place, "de")
    shared = Part("many", "test", "all", row_prefix="{language}-")
    assert not locate(shared, MANY, place, "de").specific


def test_files_come_before_folders_and_these_before_the_root(tmp_path):
    touched(tmp_path / "root" / "many", "test.en.jsonl")
    touched(tmp_path / "own", "test.en.jsonl", "x.English.jsonl", "y.jsonl")
    place = Place(folder=str(tmp_path / "root"))
    assert locate(PART, MANY, place).files[0].parent.name == "many"
    place = Place(folder=str(tmp_path / "root"), folders={"many": str(tmp_path / "own")})
    assert locate(PART, MANY, place).files[0] == tmp_path / "own" / "test.en.jsonl"
    named = Place(folders=place.folders, files={"many": {"test": "x.{language}.jsonl"}})
    assert locate(PART, MANY, named).files[0].name == "x.English.jsonl"
    anywhere = Place(files={"many": {"test": str(tmp_path / "*" / "y.jsonl")}})
    assert locate(PART, MANY, anywhere).files == (tmp_path / "own" / "y.jsonl",)
    with pytest.raises(DataError, match=r"no file found\. Looked for: names with \{language\}"):
        locate(PART, MANY, anywhere, "de")


def test_what_was_looked_for_is_listed(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(DataError) as caught:
        locate(TRAIN, ONE, Place(folder=str(tmp_path)))
    assert caught.value.where == f"one, split train, in {tmp_path / 'one'}"
    assert "train.en.(parquet|jsonl|json|csv|tsv|conllu|txt)" in caught.value.what
    assert "train-*.parquet" in caught.value.what


def test_a_data_set_without_a_folder_is_on_the_hub(tmp_path):
    found = locate(PART, MANY, Place(folder=str(tmp_path), revisions={"many": "beef"}), "zh")
    assert (found.configuration, found.split, found.revision) == ("many.Chinese", "test", "beef")
    assert found.fingerprint() == "owner/many@beef/many.Chinese/test"
    assert not found.at_hand
    with pytest.raises(DataError, match=r'no language "sw"\. Known: en, de, zh'):
        locate(PART, MANY, Place(), "sw")
    with pytest.raises(DataError, match=r'there is no "de" on the Hub\. Set data\.files\.one\.train'):
        locate(TRAIN, ONE, Place(), "de")
    absent = DataSet("ccg", "", "", "supertags", {}, absent="it is licensed")
    with pytest.raises(SetupError, match=r"it is licensed\. Set data\.folders\.ccg"):
        locate(Part("ccg", "train"), absent, Place())
    with pytest.raises(DataError, match="its source is not the Hub"):
        locate(PART, MANY, Place(folder=str(tmp_path), network=False), "zh")


def test_translations_are_files_with_the_language_in_their_names(tmp_path):
    touched(tmp_path / "one", "train.jsonl", "train.de.jsonl", "fr/train.csv")
    place = Place(folder=str(tmp_path))
    assert locate(TRAIN, ONE, place, "de").files[0].name == "train.de.jsonl"
    assert locate(TRAIN, ONE, place, "fr").files[0].name == "train.csv"
    with pytest.raises(DataError, match="no file found"):
        locate(TRAIN, ONE, place, "es")


def test_fingerprints_follow_contents_and_names_but_not_places(tmp_path):
    prints = []
    for folder in ("a", "b"):
        touched(tmp_path / folder / "one", "train.jsonl")
        prints.append(locate(TRAIN, ONE, Place(folder=str(tmp_path / folder))).fingerprint())
    assert prints[0] == prints[1]
    (tmp_path / "b" / "one" / "train.jsonl").write_text('{"text": "else"}\n')
    assert locate(TRAIN, ONE, Place(folder=str(tmp_path / "b"))).fingerprint() != prints[0]


# ------------------------------------------------------------------------------ copies of the Hub


def test_a_copy_is_read_by_name_with_its_configurations(tmp_path):
    folder = tmp_path / "owner" / "many"
    parquet(folder / "de" / "test-00000-of-00001.parquet", [{"premise": "ja", "label": 1}])
    parquet(folder / "en" / "test-00000-of-00001.parquet", [{"premise": "yes", "label": 0}])
    card(folder, {"many.German": {"test": "de/test-*"}, "many.English": {"test": "en/test-*"}})
    place = Place(hub=str(tmp_path))
    assert locate(PART, MANY, place, "de").rows().many([0]) == [{"premise": "ja", "label": 1}]
    assert locate(PART, MANY, place, "en").rows().column("premise") == ["yes"]
    with pytest.raises(
        DataError, match=r'no configuration "many\.Chinese"\. Did you mean "many\.German"|Known'
    ):
        locate(PART, MANY, place, "zh").rows()
    touched(folder, "many.Chinese/test.parquet")
    with pytest.raises(DataError, match=r'no configuration "many\.Chinese"'):
        locate(PART, MANY, place, "zh").rows()
    with pytest.raises(DataError, match=r'owner/many has no split "train"\. Known: test'):
        locate(Part("many", "train", "many.{language}"), MANY, place).rows()
    with pytest.raises(DataError, match='owner/many has no configuration ""'):
        hub_table("owner/many", "", "test", copies=str(tmp_path))


def test_without_a_card_a_configuration_is_a_folder(tmp_path):
    """datasets itself would take the files of all languages for any configuration."""
    folder = tmp_path / "owner" / "many"
    parquet(folder / "many.German" / "test.parquet", [{"premise": "ja", "label": 1}])
    parquet(folder / "many.English" / "test.parquet", [{"premise": "yes", "label": 0}])
    place = Place(hub=str(tmp_path))
    assert locate(PART, MANY, place, "de").rows().column("premise") == ["ja"]
    with pytest.raises(DataError, match=r'no configuration "many\.Chinese"'):
        locate(PART, MANY, place, "zh").rows()


def test_plain_split_files_of_a_copy(tmp_path):
    parquet(tmp_path / "owner" / "one" / "train.parquet", [{"text": "a"}, {"text": "b"}])
    parquet(tmp_path / "owner" / "one" / "test.parquet", [{"text": "c"}])
    assert locate(TRAIN, ONE, Place(hub=str(tmp_path))).rows().column("text") == ["a", "b"]


@pytest.mark.parametrize("extension", ["parquet", "jsonl"])
def test_a_changed_copy_is_read_again(tmp_path, extension):
    """datasets keeps the rows of a local repository by the names of its files alone."""
    folder = tmp_path / "owner" / "one"
    file = folder / "data" / f"train.{extension}"

    def write(text):
        if extension == "parquet":
            parquet(file, [{"text": text}])
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"text": text}))

    write("old")
    card(folder, {"default": {"train": f"data/train.{extension}"}})
    before = locate(TRAIN, ONE, Place(hub=str(tmp_path)))
    assert before.rows().column("text") == ["old"]
    first = before.fingerprint()
    write("newer")
    assert locate(TRAIN, ONE, Place(hub=str(tmp_path))).rows().column("text") == ["newer"]
    assert locate(TRAIN, ONE, Place(hub=str(tmp_path))).fingerprint() != first


def test_a_copy_may_lie_anywhere(tmp_path):
    for root in ("a", "b"):
        parquet(tmp_path / root / "owner" / "one" / "train.parquet", [{"text": "x"}])
    assert copy_sha256(str(tmp_path / "a"), "owner/one", "") == copy_sha256(
        str(tmp_path / "b"), "owner/one", ""
    )


def test_a_copy_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(
        DataError, match=r"no copy of the repository owner/one.* hf download --repo-type dataset"
    ):
        locate(TRAIN, ONE, Place(hub=str(tmp_path))).rows()


def test_a_script_is_refused_plainly(tmp_path):
    (tmp_path / "owner" / "one").mkdir(parents=True)
    (tmp_path / "owner" / "one" / "one.py").write_text("x = 1\n")
    with pytest.raises(DataError, match=r"owner/one is a script, and datasets no longer runs scripts"):
        locate(TRAIN, ONE, Place(hub=str(tmp_path))).rows()


def test_damaged_parquet_is_named(tmp_path):
    touched(tmp_path / "one", "train.parquet")
    with pytest.raises(DataError, match=r"^one, split train: .*train\.parquet cannot be read"):
        locate(TRAIN, ONE, Place(folder=str(tmp_path))).rows()


# ------------------------------------------------------------------------------ the network


def test_offline_mode_is_said(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = (
        r"^many, configuration many\.English, split test: offline mode is on .*, and owner/many is not in"
    )
    with pytest.raises(SetupError, match=message) as caught:
        locate(PART, MANY, Place()).rows()
    assert "data.folders" in caught.value.hint
    assert "hf download" in caught.value.hint


def raising(error):
    def load(*args, **kwargs):
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConnectionError("no route"), SetupError, "the Hugging Face Hub cannot be reached"),
        (
            datasets.exceptions.DatasetNotFoundError("gone"),
            DataError,
            "the Hub has no owner/many that we may read",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Revision 'x' doesn't exist for dataset"),
            DataError,
            "Check its name and revision",
        ),
        (PermissionError("read-only"), SetupError, r"cannot be stored: read-only\. Set HF_HOME"),
        (OSError(28, "No space left on device"), SetupError, "cannot be stored"),
        (datasets.exceptions.NonMatchingSplitsSizesError("[...]"), DataError, "owner/many cannot be read"),
    ],
)
def test_what_the_hub_answers_is_said_plainly(monkeypatch, error, kind, message):
    monkeypatch.setattr(datasets, "load_dataset", raising(error))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(kind, match=message):
        locate(PART, MANY, Place()).rows()


def test_the_hub_is_asked_for_the_pinned_revision_without_bars(monkeypatch):
    asked = []

    def load(*args, **kwargs):
        asked.append((args, kwargs, datasets.utils.are_progress_bars_disabled()))
        return datasets.Dataset.from_list([{"premise": "x", "label": 0}])

    shown = datasets.utils.are_progress_bars_disabled()
    monkeypatch.setattr(datasets, "load_dataset", load)
    locate(PART, MANY, Place(), "de").rows()
    locate(TRAIN, ONE, Place()).rows()
    assert asked == [
        (("owner/many", "many.German"), {"split": "test", "revision": "c0ffee"}, True),
        (("owner/one", None), {"split": "train", "revision": None}, True),
    ]
    assert datasets.utils.are_progress_bars_disabled() == shown


# ------------------------------------------------------------------------------ lazy examples


class CountedRows:
    names = ("text",)

    def __init__(self, name, size):
        self.name, self.size, self.read = name, size, 0

    def __len__(self):
        return self.size

    def many(self, indices):
        self.read += len(indices)
        return [{"text": f"{self.name}{index}"} for index in indices]

    def column(self, name):
        raise AssertionError


def make(row, number):
    return TextExample(f"{row['text']}/{number}")


def examples(name, size, rows=None):
    rows = rows or CountedRows(name, size)
    return Examples([(rows, make)], np.zeros(size, np.int16), np.arange(size))


def test_examples_are_made_when_they_are_asked_for():
    rows = CountedRows("a", 10**6)
    found = examples("a", 10**6, rows)[:500_000]
    assert (len(found), rows.read) == (500_000, 0)
    assert found[3] == TextExample("a3/4")
    assert found[-1] == TextExample("a499999/500000")
    assert rows.read == 2
    with pytest.raises(IndexError):
        found[500_000]


def test_joined_and_taken_examples_keep_their_rows_and_order():
    found = Examples.joined([examples("a", 1500), examples("b", 2), examples("c", 1100)])
    naive = [f"{name}{i}/{i + 1}" for name, size in (("a", 1500), ("b", 2), ("c", 1100)) for i in range(size)]
    assert [example.text for example in found] == naive
    assert [found[place].text for place in (1499, 1500, 1501, 1502, -1)] == [*naive[1499:1503], naive[-1]]
    places = np.random.default_rng(0).permutation(len(naive))
    taken = found.taken(places)
    assert [example.text for example in taken] == [naive[place] for place in places]
    assert taken[7].text == naive[places[7]]
    assert [example.text for example in taken[10:2000:7]] == [naive[place] for place in places[10:2000:7]]
    assert list(Examples.joined([])) == []


def test_packed_and_mapped_rows_are_the_same():
    rows = [{"text": "é\u2028", "n": 1, "deep": {"x": [1, 2]}}, {"text": "", "n": 2, "deep": {"x": []}}] * 3
    packed = PackedRows(iter(rows), {"text", "n", "deep"})
    table = TableRows(datasets.Dataset.from_list(rows))
    assert packed.many(range(6)) == table.many(range(6)) == rows
    assert packed.many([4, 1]) == table.many([4, 1]) == [rows[4], rows[1]]
    assert packed.column("n") == table.column("n") == [1, 2] * 3
    assert packed.names == table.names == ("text", "n", "deep")
    assert PackedRows(iter(rows), {"n"}).many([0]) == [{"n": 1}]


def test_examples_travel_to_other_processes():
    rows = PackedRows(iter([{"text": "a"}]), {"text"})
    found = Examples([(rows, partial(make))], np.zeros(1, np.int16), np.arange(1))
    assert list(pickle.loads(pickle.dumps(found))) == [TextExample("a/1")]
