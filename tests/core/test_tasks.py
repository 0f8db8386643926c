"""The tables of data sets and tasks, against XTREME's own lists and published sizes."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from alignaudit.core.data_sets import DATA_SETS, data_set
from alignaudit.core.language import XTREME_TATOEBA, find_language
from alignaudit.core.task import CODE, LANGUAGE, Part, Task
from alignaudit.core.tasks import TASKS, target_tasks, task
from alignaudit.core.tasks_english import TRAINED_ON
from alignaudit.core.tasks_multilingual import TESTED_ON
from alignaudit.errors import StudyError

CHECKOUT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("ALIGNAUDIT_REAL_DATA") or CHECKOUT.parent / "shared" / "real")

NINE = "anli_plus mnli qqp squad_v2 squad hellaswag ccg cosmosqa commonsenseqa".split()

# XTREME_TASK2LANGS of evaluate.py, google-research/xtreme at 838c13b: how many languages a task has.
LANGUAGE_COUNTS = {
    "pawsx": 7,
    "xnli": 15,
    "panx": 40,
    "udpos": 33,
    "bucc2018": 4,
    "tatoeba": 36,
    "xquad": 11,
    "mlqa": 7,
    "tydiqa": 9,
}
# XTREME_GROUP2TASK of the same file.
GROUPS = {
    "classification": {"pawsx", "xnli"},
    "tagging": {"udpos", "panx"},
    "qa": {"xquad", "mlqa", "tydiqa"},
    "retrieval": {"bucc2018", "tatoeba"},
}
# METRIC_FUNCTION of the same file; its mean of exact match and F1 is ours to compute.
METRICS = {
    "pawsx": "accuracy",
    "xnli": "accuracy",
    "panx": "f1",
    "udpos": "f1",
    "bucc2018": "f1",
    "tatoeba": "accuracy",
    "xquad": "em_f1",
    "mlqa": "em_f1",
    "tydiqa": "em_f1",
}


def parts(record: Task) -> tuple[Part, ...]:
    return (*record.train, *record.dev, *((record.test,) if record.test else ()))


def expanded(text: str, word: str) -> str:
    return text.replace(LANGUAGE, word)


@pytest.fixture(scope="session")
def published_sizes() -> dict[tuple[str, str], int]:
    """Sizes of google/xtreme's configurations by (configuration, split)."""
    path = REAL.parent / "reference" / "xtreme_sizes.csv"
    if not path.is_file():
        pytest.skip("xtreme_sizes.csv not found; set ALIGNAUDIT_REAL_DATA to the real data")
    with path.open(encoding="utf-8") as file:
        return {(row["hf_config"], row["split"]): int(row["num_examples"]) for row in csv.DictReader(file)}


# -------------------------------------------------------------------------------- XTREME's design


def test_xtreme_has_its_nine_tasks_with_its_languages():
    assert {found.name: len(found.languages) for found in target_tasks("xtreme")} == LANGUAGE_COUNTS


def test_xtreme_covers_forty_languages():
    assert len({code for found in target_tasks("xtreme") for code in found.languages}) == 40


def test_groups_and_metrics_are_xtreme_s():
    groups: dict[str, set[str]] = {}
    for found in target_tasks("xtreme"):
        groups.setdefault(found.group, set()).add(found.name)
    assert groups == GROUPS
    assert {found.name: found.metric for found in target_tasks("xtreme")} == METRICS


def test_tatoeba_has_the_languages_of_the_retrieval_measures():
    assert {find_language(code).code for code in TASKS["tatoeba"].languages} == set(XTREME_TATOEBA)


def test_english_is_tested_where_xtreme_counts_it():
    without = {found.name for found in target_tasks("xtreme") if "en" not in found.languages}
    assert without == GROUPS["retrieval"]


def test_xtreme_r_adds_five_languages_and_xcopa():
    added = set(TASKS["tatoeba_r"].languages) - set(TASKS["tatoeba"].languages)
    assert (added, len(TASKS["tatoeba_r"].languages)) == ({"az", "lt", "pl", "uk", "ro"}, 41)
    assert len(TASKS["xcopa"].languages) == 11
    assert {"xcopa", "tatoeba_r"} <= {found.name for found in target_tasks("xtreme-r")}


def test_the_nine_intermediate_tasks_are_only_trained_on():
    assert {name for name in TASKS if TASKS[name].group == "intermediate"} == {*NINE, "anli"}
    assert all(TASKS[name].test is None and TASKS[name].train and TASKS[name].dev for name in NINE)


def test_targets_train_on_what_xtreme_trains_on():
    trained = {found.name: {part.data for part in found.train} for found in target_tasks("xtreme")}
    own = {name: {name} for name in ("pawsx", "udpos", "panx", "tydiqa")}
    nothing = {"bucc2018": set(), "tatoeba": set()}
    assert trained == {"xnli": {"mnli"}, "xquad": {"squad"}, "mlqa": {"squad"}} | own | nothing


def test_only_mlqa_strips_the_articles_of_its_languages():
    rules = {found.name: found.answers for found in TASKS.values() if found.format == "span"}
    assert {name for name, rule in rules.items() if rule == "mlqa"} == {"mlqa"}
    assert set(rules.values()) == {"squad", "mlqa"}


# ------------------------------------------------------------------------------------ whole tables


@pytest.mark.parametrize("records", [(*TRAINED_ON, *TESTED_ON)], ids=["tasks"])
def test_no_name_is_given_twice(records):
    assert len({record.name for record in records}) == len(records) == len(TASKS)


def test_names_are_the_keys():
    assert all(name == record.name for name, record in TASKS.items())
    assert all(name == record.name for name, record in DATA_SETS.items())


@pytest.mark.parametrize("record", TASKS.values(), ids=TASKS.keys())
def test_every_part_names_a_known_data_set_and_split(record):
    for part in parts(record):
        published = data_set(part.data)
        words = [published.languages.get(code, "") for code in record.languages or ("en",)]
        assert part.data in DATA_SETS
        for word in words:
            known = {split for configuration, split in published.sizes}
            split = expanded(part.split, word)
            assert split in (known or published.files)


@pytest.mark.parametrize("record", TASKS.values(), ids=TASKS.keys())
def test_every_language_has_a_word_and_its_configuration_a_size(record):
    if record.test is None:
        return
    published = data_set(record.test.data)
    unpublished = {"az", "lt", "pl", "uk", "ro"} if record.name == "tatoeba_r" else set()
    for code in record.languages:
        word = published.languages[code]
        configuration = expanded(record.test.configuration, word)
        sized = (configuration, expanded(record.test.split, word)) in published.sizes
        assert LANGUAGE not in configuration
        assert sized == (code not in unpublished)


@pytest.mark.parametrize("record", TASKS.values(), ids=TASKS.keys())
def test_english_training_and_development_parts_have_a_size(record):
    for part in (*record.train, *record.dev):
        published = data_set(part.data)
        if published.sizes:
            word = published.languages.get("en", "")
            assert (expanded(part.configuration, word), expanded(part.split, word)) in published.sizes


@pytest.mark.parametrize("record", TASKS.values(), ids=TASKS.keys())
def test_labels_of_a_task_are_those_of_its_data_sets(record):
    if record.format not in ("classification", "tagging") or record.name == "ccg":
        assert record.labels == ()
        return
    assert record.labels
    for part in parts(record):
        published = data_set(part.data)
        assert set(published.labels) == set(record.labels)
        assert set(published.aliases.values()) <= set(published.labels)


@pytest.mark.parametrize("published", DATA_SETS.values(), ids=DATA_SETS.keys())
def test_a_data_set_is_on_the_hub_at_a_commit_or_says_why_not(published):
    assert bool(published.repository) != bool(published.absent)
    if published.repository:
        assert published.repository.count("/") == 1
        assert len(published.revision) == 40
        assert set(published.revision) <= set("0123456789abcdef")
    assert all(getattr(published, name) for name in ("licence", "citation", "source", "reader"))


@pytest.mark.parametrize("published", DATA_SETS.values(), ids=DATA_SETS.keys())
def test_file_names_use_only_known_placeholders(published):
    for names in published.files.values():
        for name in names:
            assert "{" not in name.replace(LANGUAGE, "").replace(CODE, "")
            assert "{" not in name or published.languages


def test_columns_of_files_answer_the_same_questions():
    for published in DATA_SETS.values():
        if published.file_columns:
            assert set(published.file_columns) == set(published.columns)


def test_records_are_frozen():
    with pytest.raises(AttributeError):
        TASKS["xnli"].name = "other"
    with pytest.raises(TypeError):
        TASKS["other"] = TASKS["xnli"]
    assert {field.name for field in fields(Task)} >= {"train", "dev", "test"}


# ------------------------------------------------------------------------------------------- sizes

# google/xtreme read PAWS-X's files with quotation marks as quoting, and so lost these rows. XTREME itself
# splits lines at tabs (utils_preprocess.py), as google-research-datasets/paws-x does.
LOST = {
    ("PAWS-X.de", "train"): 21,
    ("PAWS-X.en", "train"): 226,
    ("PAWS-X.es", "validation"): 39,
    ("PAWS-X.fr", "train"): 2,
    ("PAWS-X.fr", "validation"): 12,
    ("PAWS-X.ko", "train"): 237,
    ("PAWS-X.ko", "test"): 1,
}


def own_size(configuration: str, split: str) -> int:
    if configuration == "SQuAD":
        return DATA_SETS["squad"].sizes["", split]
    if configuration.startswith("XQuAD."):
        return DATA_SETS["xquad"].sizes[configuration.lower(), split]
    if configuration.startswith("PAWS-X."):
        return DATA_SETS["pawsx"].sizes[configuration.removeprefix("PAWS-X."), split]
    copies = (published for published in DATA_SETS.values() if published.repository == "google/xtreme")
    for published in (*copies, DATA_SETS["bucc2018"]):
        if (configuration, split) in published.sizes:
            return published.sizes[configuration, split]
    raise KeyError(configuration)


def test_sizes_are_the_published_ones_row_by_row(published_sizes):
    ours = {key: own_size(*key) for key in published_sizes}
    assert {key: ours[key] - size for key, size in published_sizes.items() if ours[key] != size} == LOST


def test_no_size_of_an_xtreme_copy_is_of_our_own_making(published_sizes):
    sized = [name for name in DATA_SETS if DATA_SETS[name].repository == "google/xtreme"]
    assert sized == ["xnli", "udpos", "panx", "mlqa", "tydiqa", "tatoeba"]
    for name in sized:
        assert {key: published_sizes[key] for key in DATA_SETS[name].sizes} == DATA_SETS[name].sizes


def test_tatoeba_sizes_are_those_of_the_files():
    folder = REAL / "tatoeba"
    if not folder.is_dir():
        pytest.skip("tatoeba: folder not found; set ALIGNAUDIT_REAL_DATA to the real data")
    published = DATA_SETS["tatoeba"]
    for word in published.languages.values():
        foreign, english = (folder / expanded(name, word) for name in published.files["validation"])
        lines = foreign.read_bytes().count(b"\n")
        assert lines == english.read_bytes().count(b"\n") > 0
        assert published.sizes.get((f"tatoeba.{word}", "validation"), lines) == lines


# -------------------------------------------------------------------------- the publishers' files


def real_file(name: str, split: str, code: str = "en") -> Path:
    """The first file of a data set's own names that is among the real data."""
    published = DATA_SETS[name]
    folder = REAL / ("ud" if name == "udpos" else name)
    if not folder.is_dir():
        pytest.skip(f"{name}: folder not found; set ALIGNAUDIT_REAL_DATA to the real data")
    patterns = [
        expanded(pattern, published.languages.get(code, "")).replace(CODE, code)
        for pattern in published.files[split]
    ]
    return next(path for pattern in patterns for path in sorted(folder.glob(pattern)))


def test_real_files_bear_the_publishers_names_and_sizes():
    for number, rows in ((1, 1_000), (2, 1_000), (3, 1_200)):
        text = real_file("anli", f"dev_r{number}").read_text("utf-8")
        found = [json.loads(line) for line in text.split("\n") if line]
        # The copy at hand lacks two rows of round 3; its README counts 3,198 in all.
        assert rows - 2 <= len(found) <= rows
        assert {row["label"] for row in found} == set(DATA_SETS["anli"].labels)
    with real_file("cosmosqa", "validation").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = DATA_SETS["cosmosqa"].columns
    assert len(rows) == DATA_SETS["cosmosqa"].sizes["", "validation"]
    assert set(columns["options"].split()) <= set(rows[0])
    assert {row[columns["label"]] for row in rows} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("code", ["en", "de", "tr", "zh"])
def test_treebanks_are_found_by_our_code(code):
    assert real_file("udpos", "test", code).name.startswith(f"{code}_")


@pytest.mark.parametrize("code", ["et", "id", "it", "sw", "zh"])
def test_xcopa_s_files_have_its_size_and_columns(code):
    text = real_file("xcopa", "test", code).read_text("utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    published = DATA_SETS["xcopa"]
    assert len(rows) == published.sizes[code, "test"]
    assert {row["question"] for row in rows} == set(TASKS["xcopa"].question_words)
    assert {row[published.columns["label"]] for row in rows} == {0, 1}


@pytest.mark.parametrize("code", ["en", "de", "es", "ru", "zh", "hi"])
def test_xquad_s_files_have_its_size(code):
    content = json.loads(real_file("xquad", "validation", code).read_text("utf-8"))
    questions = sum(len(p["qas"]) for article in content["data"] for p in article["paragraphs"])
    assert questions == DATA_SETS["xquad"].sizes[f"xquad.{code}", "validation"]


# ---------------------------------------------------------------------------------------- look-ups


def test_unknown_names_are_refused_with_the_nearest_known_one():
    with pytest.raises(StudyError, match='there is no task "hellaswg"') as caught:
        task("hellaswg")
    assert "hellaswag" in caught.value.hint
    with pytest.raises(StudyError, match='there is no data set "xquadd"'):
        data_set("xquadd")
    with pytest.raises(StudyError, match='there is no benchmark "extreme"') as caught:
        target_tasks("extreme")
    assert "xtreme" in caught.value.hint


def test_known_names_are_found():
    assert task("panx") is TASKS["panx"]
    assert data_set("panx") is DATA_SETS["panx"]
