"""Every task from its true layout on the Hub, from plain files, and from the real files of its publisher."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import datasets
import pytest

from alignaudit.core.data_sets import DATA_SETS
from alignaudit.core.example import ChoiceExample, PairExample, SpanExample, TagExample, TextExample
from alignaudit.core.task import DataSet, Part
from alignaudit.core.tasks import TASKS
from alignaudit.errors import DataError, SetupError, StudyError
from alignaudit.experiment.tasks.load import load_task, quotas, task_fingerprint, train_size
from alignaudit.experiment.tasks.rows import Place
from alignaudit.experiment.tasks.shelf import UNKNOWN_LABEL, dev_places


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def nli(premise, hypothesis, label):
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


def question(identifier, text, context, *answers):
    found = {"text": list(answers), "answer_start": [context.index(answer) for answer in answers]}
    return {"id": identifier, "question": text, "context": context, "answers": found}


def titled(title, **row):
    return {**row, "title": title}


def csqa(label):
    choices = {"label": ["A", "B", "C"], "text": ["bank", "river", "库"]}
    return {"id": "1", "question": "Where is money?", "choices": choices, "answerKey": label}


def xnli(language, label, text):
    return {"language": language, "sentence1": text, "sentence2": "h", "gold_label": label}


def swag(label):
    return {
        "ind": 4,
        "ctx": "A man sits. he",
        "ctx_a": "A man sits.",
        "endings": list("abcd"),
        "label": label,
    }


def cosmos(label):
    options = {f"answer{index}": f"option {index}" for index in range(4)}
    return {"id": "x", "context": "We ran.", "question": "Why?", **options, "label": label}


def copa(premise, asked, label):
    return {"premise": premise, "choice1": "a", "choice2": "b", "question": asked, "idx": 0, "label": label}


def belebele(answer):
    options = {f"mc_answer{index}": f"m{index}" for index in (1, 2, 3, 4)}
    return {"flores_passage": "P", "question": "q", **options, "correct_answer_num": answer}


SPAN = question("56be", "Who won?", "Denver (24–10) won. Denver!", "Denver")
IMPOSSIBLE = question("5ad3", "Who lost?", "Denver won.")
TYDI = [question("english-1-0", "q", "c d", "d"), question("arabic-2-1", "س", "أ ب", "ب")]
PAWS = {"id": 1, "sentence1": 'He said "x', "sentence2": "b"}

# Rows of every data set as the Hub has them, by (configuration, split).
HUB = {
    "anli": {
        ("plain_text", f"{split}_r{number}"): [
            {"uid": "u", **nli(f"{split}{number}", "h", number - 1), "reason": ""}
        ]
        for number in (1, 2, 3)
        for split in ("train", "dev")
    },
    "mnli": {
        ("mnli", "train"): [{**nli("mnli", "h", 2), "idx": 0}, {**nli("two", "h", 0), "idx": 1}],
        ("mnli", "validation_matched"): [{**nli("dev", "h", 1), "idx": 0}],
    },
    "snli": {("plain_text", "train"): [nli("snli", "h", 0), nli("no label", "h", -1), nli("last", "h", 1)]},
    "qqp": {
        ("qqp", split): [{"question1": "a", "question2": "", "label": label, "idx": 3}]
        for split, label in (("train", 1), ("validation", 0))
    },
    "squad": {("plain_text", split): [titled("Football", **SPAN)] for split in ("train", "validation")},
    "squad_v2": {
        ("squad_v2", split): [titled("T", **SPAN), titled("T", **IMPOSSIBLE)]
        for split in ("train", "validation")
    },
    "hellaswag": {
        ("default", "train"): [swag("3"), swag("0")],
        ("default", "validation"): [swag(""), swag("1")],
    },
    "cosmosqa": {("default", "train"): [cosmos(2)], ("default", "validation"): [cosmos(0), cosmos(-1)]},
    "commonsenseqa": {("default", "train"): [csqa("C")], ("default", "validation"): [csqa(""), csqa("A")]},
    "wikipedia": {
        (f"20231101.{code}", "train"): [{"id": "1", "text": f"text {code}"}] for code in ("en", "de")
    },
    "xnli": {
        ("XNLI", split): [
            xnli(code, label, f"{split} {code}")
            for code in TASKS["xnli"].languages
            for label in ("neutral", "contradiction")
        ]
        for split in ("validation", "test")
    },
    "pawsx": {
        (code, split): [{**PAWS, "label": 1}, {**PAWS, "label": 0}]
        for code in TASKS["pawsx"].languages
        for split in ("train", "validation", "test")
    },
    "udpos": {
        (f"udpos.{word}", split): [{"tokens": ["不", word], "pos_tags": [1, 11]}]
        for word in DATA_SETS["udpos"].languages.values()
        for split in ("train", "validation", "test")
    },
    "panx": {
        (f"PAN-X.{code}", split): [{"tokens": ["Ada", "x"], "ner_tags": [1, 0], "langs": [code, code]}]
        for code in TASKS["panx"].languages
        for split in ("train", "validation", "test")
    },
    "xquad": {(f"xquad.{code}", "validation"): [SPAN] for code in TASKS["xquad"].languages},
    "mlqa": {(f"MLQA.{code}.{code}", "test"): [titled("T", **SPAN)] for code in TASKS["mlqa"].languages},
    "tydiqa": {
        ("tydiqa", split): [
            *TYDI,
            *(
                question(f"{word}-9", "q", "c", "c")
                for word in list(DATA_SETS["tydiqa"].languages.values())[2:]
            ),
        ]
        for split in ("train", "validation")
    },
    "copa": {("copa", "train"): [copa("P", "cause", 1)], ("copa", "validation"): [copa("P", "effect", 0)]},
    "xcopa": {(code, "test"): [copa("前提", "cause", 0)] for code in TASKS["xcopa"].languages},
    "belebele": {(word, "test"): [belebele("4")] for word in DATA_SETS["belebele"].languages.values()},
    "social_i_qa": {
        ("default", split): [
            {"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z", "label": "3"}
        ]
        for split in ("train", "validation")
    },
}


def write_hub(root, names):
    """Repositories as they are on the Hub: Parquet shards and a card that lists configurations."""
    shown = datasets.utils.are_progress_bars_disabled()
    datasets.utils.disable_progress_bars()
    for name in names:
        folder = root / DATA_SETS[name].repository
        cards = folder / "README.md"
        lines = cards.read_text().splitlines()[:-1] if cards.is_file() else ["---", "configs:"]
        for configuration in dict.fromkeys(key[0] for key in HUB[name]):
            lines += [f"- config_name: {configuration}", "  data_files:"]
            for split, rows in ((key[1], rows) for key, rows in HUB[name].items() if key[0] == configuration):
                path = folder / configuration / f"{split}-00000-of-00001.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                datasets.Dataset.from_list(rows).to_parquet(str(path))
                lines += [f"  - split: {split}", f"    path: {configuration}/{split}-*"]
        cards.write_text("\n".join([*lines, "---"]))
    if not shown:
        datasets.utils.enable_progress_bars()
    return Place(hub=str(root))


def write_folder(root, names):
    """The same rows as JSON lines, in folders by configuration where the task has one."""
    for name in names:
        for (configuration, split), rows in HUB[name].items():
            inner = "" if configuration in ("plain_text", "default", "squad_v2") else configuration
            path = root / name / inner / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Place(folder=str(root))


def data_sets_of(task):
    parts = [*task.train, *task.dev, *([task.test] if task.test else [])]
    return list(dict.fromkeys(part.data for part in parts))


FROM_ROWS = [name for name, task in TASKS.items() if task.format != "retrieval" and name != "ccg"]


@pytest.mark.parametrize("name", FROM_ROWS)
def test_a_folder_gives_the_same_examples_as_the_hubs_layout(tmp_path, name):
    task = TASKS[name]
    assert set(data_sets_of(task)) <= set(HUB)
    tested = task.languages[:6]
    by_name = load_task(task, write_hub(tmp_path / "hub", data_sets_of(task)), test_languages=tested)
    place = write_folder(tmp_path / "folder", data_sets_of(task))
    folder = load_task(task, place, test_languages=tested)
    assert list(by_name.train) == list(folder.train)
    assert list(by_name.dev) == list(folder.dev)
    assert {key: list(found) for key, found in by_name.test.items()} == {
        key: list(found) for key, found in folder.test.items()
    }
    assert len(by_name.train) > 0
    assert tuple(by_name.test) == tested
    assert set(load_task(task, place).test) == set(task.languages)
    assert (by_name.labels, by_name.metric, by_name.format) == (task.labels, task.metric, task.format)


def loaded(tmp_path, name, **limits):
    return load_task(TASKS[name], write_hub(tmp_path / name, data_sets_of(TASKS[name])), **limits)


def test_three_inference_sets_are_one_task(tmp_path):
    task = loaded(tmp_path, "anli_plus")
    found = [(example.text, example.label) for example in task.train]
    assert found == [
        ("train1", 0),
        ("train2", 1),
        ("train3", 2),
        ("mnli", 2),
        ("two", 0),
        ("snli", 0),
        ("last", 1),
    ]
    assert task.train.unlabelled == 1
    assert [example.text for example in task.dev] == ["dev1", "dev2", "dev3"]


def test_examples_of_each_kind(tmp_path):
    assert loaded(tmp_path, "qqp").train[0] == PairExample("a", "", 1)
    assert list(loaded(tmp_path, "hellaswag").dev) == [ChoiceExample("A man sits. he", "", tuple("abcd"), 1)]
    money = ChoiceExample("", "Where is money?", ("bank", "river", "库"), 2)
    assert list(loaded(tmp_path, "commonsenseqa").train) == [money]
    assert [example.label for example in loaded(tmp_path, "cosmosqa").dev] == [0]
    assert loaded(tmp_path, "panx", test_languages=("sw",)).test["sw"][0] == TagExample(("Ada", "x"), (1, 0))
    assert loaded(tmp_path, "udpos", test_languages=("zh",)).test["zh"][0] == TagExample(
        ("不", "Chinese"), (1, 11)
    )
    cause = ChoiceExample("前提", "What was the cause?", ("a", "b"), 0)
    assert loaded(tmp_path, "xcopa", test_languages=("qu",)).test["qu"][0] == cause
    assert loaded(tmp_path, "belebele", test_languages=("zh",)).test["zh"][0].label == 3
    assert loaded(tmp_path, "pawsx", test_languages=("de",)).train[0] == PairExample('He said "x', "b", 1)


def test_span_tasks_say_how_answers_are_compared(tmp_path):
    second = loaded(tmp_path, "squad_v2")
    assert second.unanswerable
    assert [example.answers for example in second.train] == [("Denver",), ()]
    assert second.train[0] == SpanExample("56be", "Who won?", SPAN["context"], ("Denver",), (0,))
    first = loaded(tmp_path, "mlqa")
    assert (first.unanswerable, first.answers) == (False, "mlqa")


def test_languages_of_one_split_are_told_apart(tmp_path):
    task = loaded(tmp_path, "tydiqa")
    assert [example.identifier for example in task.train] == ["english-1-0"]
    assert [example.identifier for example in task.test["ar"]] == ["arabic-2-1"]
    task = loaded(tmp_path, "xnli", test_languages=("ur", "el"))
    assert {key: [e.text for e in found] for key, found in task.test.items()} == {
        "ur": ["test ur"] * 2,
        "el": ["test el"] * 2,
    }
    assert [example.text for example in task.dev] == ["validation en"] * 2


def test_caps_take_the_first_and_divide_languages_evenly(tmp_path):
    task = loaded(tmp_path, "anli_plus", train_examples=4, dev_examples=2)
    assert [example.text for example in task.train] == ["train1", "train2", "train3", "mnli"]
    assert len(task.dev) == 2
    task = loaded(tmp_path, "pawsx", train_languages=("de", "en"), train_examples=3, test_examples=1)
    assert [example.label for example in task.train] == [1, 0, 1]
    assert {len(found) for found in task.test.values()} == {1}
    task = loaded(tmp_path, "mlm", train_languages=("de", "en"))
    assert list(task.train) == [TextExample("text de"), TextExample("text en")]
    assert quotas(5, 3) == [2, 2, 1]


def test_unknown_languages_are_refused(tmp_path):
    place = write_hub(tmp_path, ["mnli", "xnli"])
    with pytest.raises(StudyError, match='task xnli is not tested in "ko"'):
        load_task(TASKS["xnli"], place, test_languages=("ko",))
    with pytest.raises(
        DataError,
        match=r'mnli, configuration mnli, split train, language de: there is no "de" on the Hub',
    ):
        load_task(TASKS["xnli"], place, train_languages=("en", "de"))


def test_translated_training_data_are_files_by_language(tmp_path):
    folder = tmp_path / "translated"
    folder.mkdir()
    row = {"premise": "ja", "hypothesis": "h", "label": "neutral"}
    (folder / "train.de.jsonl").write_text(json.dumps(row))
    (folder / "train.en.jsonl").write_text(json.dumps({**row, "premise": "yes"}))
    (folder / "validation_matched.jsonl").write_text(json.dumps({**row, "label": 0}))
    place = Place(folders={"mnli": str(folder)})
    task = load_task(TASKS["mnli"], place, train_languages=("de", "en"))
    assert [example.text for example in task.train] == ["ja", "yes"]
    with pytest.raises(DataError, match=r"split train, language fr, in .* no file found"):
        load_task(TASKS["mnli"], place, train_languages=("fr",))


def test_retrieval_is_measured_from_the_encoder():
    for function in (load_task, task_fingerprint, train_size):
        with pytest.raises(StudyError, match="task tatoeba has no examples"):
            function(TASKS["tatoeba"], Place())


# ------------------------------------------------------------------------------ publishers' own files


def test_publishers_own_files(tmp_path):
    """Names and columns as the publishers distribute them, not as the Hub has them."""

    def mnli(label):
        return json.dumps({"sentence1": "p", "sentence2": "h", "gold_label": label}) + "\n"

    for name, files in {
        "mnli": {
            "multinli_1.0_train.jsonl": mnli("contradiction") + mnli("-"),
            "multinli_1.0_dev_matched.jsonl": mnli("neutral"),
        },
        "xnli": {
            f"xnli.{split}.tsv": "language\tgold_label\tsentence1\tsentence2\n"
            'en\tneutral\tone "quote\th\nde\tcontradictory\tzwei\th\n'
            for split in ("dev", "test")
        },
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    task = load_task(TASKS["xnli"], Place(folder=str(tmp_path)), test_languages=("de",))
    assert list(task.train) == [PairExample("p", "h", 2)]
    assert list(task.dev) == [PairExample('one "quote', "h", 1)]
    assert list(task.test["de"]) == [PairExample("zwei", "h", 2)]


def test_wikiann_as_xtreme_unpacks_it(tmp_path):
    for code in ("en", "sw"):
        (tmp_path / "panx" / code).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (tmp_path / "panx" / code / split).write_text(f"{code}:Ada\tB-PER\n{code}:.\tO\n\n")
    task = load_task(TASKS["panx"], Place(folder=str(tmp_path)), test_languages=("sw",))
    assert list(task.test["sw"]) == list(task.train) == [TagExample(("Ada", "."), (1, 0))]


def ccg(folder, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in texts.items():
        (folder / f"ccg.{split}").write_text(text)
    return Place(folders={"ccg": str(folder)})


def test_supertags_are_collected_and_unknown_ones_are_wrong(tmp_path):
    """A tag that training lacks has the last label, which no training example has."""
    place = ccg(tmp_path, train="He|PRP|NP ran|VBD|S\\NP\n.|.|.\n", dev="He|PRP|NP go|VB|(S\\NP)/PP\n")
    task = load_task(TASKS["ccg"], place, train_examples=1)
    assert task.labels == (".", "NP", "S\\NP", UNKNOWN_LABEL)
    assert list(task.train) == [TagExample(("He", "ran"), (1, 2))]
    assert list(task.dev) == [TagExample(("He", "go"), (1, 3))]


def test_a_data_set_that_is_not_on_the_hub_says_where_it_is():
    with pytest.raises(SetupError, match=r"Linguistic Data Consortium.*Set data\.folders\.ccg"):
        load_task(TASKS["ccg"], Place())


# ------------------------------------------------------------------------------ one split for two


def test_whole_groups_go_to_one_side_by_their_hash(tmp_path):
    rows = [
        cosmos(index % 4) | {"context": f"context {index % 23}", "question": str(index)}
        for index in range(200)
    ]
    path = tmp_path / "cosmosqa" / "valid.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = Place(
        folder=str(tmp_path),
        files={"cosmosqa": {"validation": "valid.jsonl"}},
        carve={"cosmosqa": "validation"},
    )
    task = load_task(TASKS["cosmosqa"], place)

    def rank(text):
        return hashlib.sha256(text.encode()).hexdigest()

    order = sorted(range(200), key=lambda place: rank(f"{rows[place]['context']}\x1f{place}"))
    dev = [place for place in order if int(rank(rows[place]["context"])[:8], 16) % 5 == 0]
    assert [int(example.question) for example in task.dev] == dev
    assert [int(example.question) for example in task.train] == [place for place in order if place not in dev]
    assert 0 < len(dev) < 100
    capped = load_task(TASKS["cosmosqa"], place, train_examples=10, dev_examples=5)
    assert list(capped.train) == list(task.train)[:10]
    assert list(capped.dev) == list(task.dev)[:5]
    assert train_size(TASKS["cosmosqa"], place) == len(task.train)


def test_no_group_is_divided():
    groups = [f"g{index % 37}" for index in range(1000)]
    train, dev = dev_places(groups)
    assert sorted([*train.tolist(), *dev.tolist()]) == list(range(1000))
    assert {groups[place] for place in train}.isdisjoint({groups[place] for place in dev})


def test_several_parts_of_a_carved_set_become_one(tmp_path):
    rows = [nli(f"p{index}", "h", index % 3) for index in range(60)]
    (tmp_path / "anli").mkdir()
    (tmp_path / "anli" / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    place = Place(folder=str(tmp_path), carve={"anli": "dev"})
    task = load_task(TASKS["anli"], place)
    assert sorted(int(e.text[1:]) for e in [*task.train, *task.dev]) == list(range(60))


# ------------------------------------------------------------------------------ sizes, identities


def test_sizes_are_counted_or_published(tmp_path):
    size = DATA_SETS["anli"].sizes
    published = sum(size["", f"train_r{number}"] for number in (1, 2, 3))
    snli, mnli = DATA_SETS["snli"].sizes["", "train"], DATA_SETS["mnli"].sizes["mnli", "train"]
    assert train_size(TASKS["anli_plus"], Place()) == published + snli + mnli
    assert train_size(TASKS["anli_plus"], Place(), train_examples=1000) == 1000
    assert train_size(TASKS["ccg"], Place()) is None
    assert train_size(TASKS["tydiqa"], Place()) is None
    assert train_size(TASKS["mnli"], Place(), train_languages=("de",)) is None
    assert train_size(TASKS["anli_plus"], write_hub(tmp_path, ["anli", "mnli", "snli"])) == 7
    assert train_size(TASKS["tydiqa"], write_hub(tmp_path, ["tydiqa"])) == 1


def test_fingerprints_follow_what_examples_are_made_of(tmp_path):
    task, place = TASKS["xnli"], write_folder(tmp_path / "a", ["mnli", "xnli"])
    first = task_fingerprint(task, place)
    assert task_fingerprint(task, write_folder(tmp_path / "b", ["mnli", "xnli"])) == first
    assert task_fingerprint(task, write_hub(tmp_path / "hub", ["mnli", "xnli"])) != first
    others = [
        task_fingerprint(task, place, train_examples=1),
        task_fingerprint(task, place, test_languages=("de",)),
        task_fingerprint(task, Place(folder=place.folder, carve={"mnli": "train"})),
        task_fingerprint(replace(task, labels=task.labels[::-1]), place),
        task_fingerprint(task, Place()),
        task_fingerprint(task, Place(revisions={"mnli": "beef"})),
    ]
    assert len({first, *others}) == 7
    (tmp_path / "a" / "mnli" / "mnli" / "train.jsonl").write_text(json.dumps(nli("x", "h", 0)))
    assert task_fingerprint(task, place) != first


def test_the_hub_is_not_needed_for_identities(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    assert task_fingerprint(TASKS["squad"], Place()) == task_fingerprint(TASKS["squad"], Place())
    assert train_size(TASKS["squad"], Place()) == 87_599


def test_offline_tasks_say_what_to_do(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SetupError, match=r"^squad, split train: offline mode is on"):
        load_task(TASKS["squad"], Place())


def test_empty_splits_and_missing_columns_are_said_before_any_example(tmp_path):
    place = write_folder(tmp_path, ["mnli", "xnli"])
    (tmp_path / "mnli" / "mnli" / "train.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"^mnli, configuration mnli, split train: no rows\.$"):
        load_task(TASKS["xnli"], place)
    (tmp_path / "mnli" / "mnli" / "train.jsonl").write_text('{"premise": "p", "gold": 1}\n')
    with pytest.raises(DataError, match=r"missing columns: hypothesis, label\. Found: premise, gold"):
        load_task(TASKS["xnli"], place)
    place = write_folder(tmp_path, ["mnli"])
    (tmp_path / "xnli" / "XNLI" / "test.jsonl").write_text(json.dumps(xnli("de", "neutral", "x")))
    with pytest.raises(DataError, match='no rows, which begin with "ar" and have a label'):
        load_task(TASKS["xnli"], place)


def test_a_shared_split_needs_a_column_that_says_the_language(tmp_path):
    place = write_folder(tmp_path, ["mnli", "xnli"])
    rows = [{key: value for key, value in xnli("en", "neutral", "x").items() if key != "language"}]
    (tmp_path / "xnli" / "XNLI" / "test.jsonl").write_text(json.dumps(rows[0]))
    with pytest.raises(DataError, match='split test: no column "language" that says the language'):
        load_task(TASKS["xnli"], place, test_languages=("en",))
    (tmp_path / "xnli" / "test.de.jsonl").write_text(json.dumps(rows[0]))
    named = Place(folder=place.folder, files={"xnli": {"test": "test.{language}.jsonl"}})
    assert len(load_task(TASKS["xnli"], named, test_languages=("de",)).test["de"]) == 1


def test_records_of_ones_own(tmp_path):
    mine = DataSet("mine", "", "", "pair", {"text": "s", "label": "y"}, labels=("no", "yes"))
    task = replace(
        TASKS["mnli"],
        name="mine",
        train=(Part("mine", "train"),),
        dev=(Part("mine", "dev"),),
        labels=("yes", "no"),
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.csv").write_text("s,y\na,1\n")
    (tmp_path / "mine" / "dev.tsv").write_text("s\ty\nb\t0\n")
    found = load_task(task, Place(folder=str(tmp_path)), data_sets={"mine": mine})
    assert [list(found.train), list(found.dev)] == [[PairExample("a", "", 0)], [PairExample("b", "", 1)]]
    with pytest.raises(StudyError, match='there is no data set "mine"'):
        load_task(task, Place(folder=str(tmp_path)))


# ------------------------------------------------------------------------------ real files


def real_place(folder) -> Place:
    return Place(
        folder=str(folder),
        folders={"udpos": str(folder / "ud"), "squad": str(folder / "xquad")},
        files={
            "anli": {"dev": "dev_r*.jsonl"},
            "copa": {"train": str(folder / "xcopa" / "test.it.jsonl")},
            "squad": {"validation": "xquad.en.json"},
            "udpos": {"validation": "en_ewt-ud-dev.conllu"},
        },
        carve={
            "anli": "dev",
            "copa": "train",
            "cosmosqa": "validation",
            "squad": "validation",
            "udpos": "validation",
        },
    )


def test_the_real_files_are_read_whole(real_data):
    """Sizes as their publishers state them (see data/README.md); every example is made."""
    place = real_place(real_data)
    sizes = {"anli": 3198, "cosmosqa": 2985}
    for name, size in sizes.items():
        task = load_task(TASKS[name], place)
        assert len(list(task.train)) + len(list(task.dev)) == size
        assert train_size(TASKS[name], place) == len(task.train)
    task = load_task(TASKS["xquad"], place, test_languages=tuple("en de es ru zh hi".split()))
    assert len(list(task.train)) + len(list(task.dev)) == 1190
    assert {language: len(list(found)) for language, found in task.test.items()} == dict.fromkeys(
        task.test, 1190
    )
    task = load_task(TASKS["udpos"], place, test_languages=("en", "de", "tr", "zh"))
    assert len(list(task.train)) + len(list(task.dev)) == 2001
    assert {language: len(list(found)) for language, found in task.test.items()} == {
        "en": 2077,
        "de": 1000,
        "tr": 1000,
        "zh": 1000,
    }
    task = load_task(TASKS["xcopa"], place, test_languages=("et", "id", "it", "sw", "zh"))
    assert {language: len(list(found)) for language, found in task.test.items()} == dict.fromkeys(
        task.test, 500
    )
    assert {e.question for e in task.test["zh"]} == {"What was the cause?", "What was the effect?"}
