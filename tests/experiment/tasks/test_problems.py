"""Whatever is wrong with the data of a task is said before training, all of it at once."""

from __future__ import annotations

import json
from dataclasses import replace

import datasets
import pytest

from alignaudit.core.task import DataSet, Part, Task
from alignaudit.core.tasks import TASKS
from alignaudit.experiment.tasks.problems import Problem, find_problems
from alignaudit.experiment.tasks.rows import Place

SPAN = {"identifier": "id", "question": "question", "context": "context", "answers": "answers"}
SETS = {
    "nli": DataSet(
        "nli",
        "owner/nli",
        "",
        "pair",
        {"text": "premise", "text_pair": "hypothesis", "label": "label"},
        labels=("yes", "no"),
        unlabelled=(-1,),
        languages={"en": "en", "de": "de"},
        sizes={("", "train"): 3, ("", "dev"): 1, ("en", "test"): 1, ("de", "test"): 1},
    ),
    "qa": DataSet("qa", "owner/qa", "c0ffee", "squad", SPAN),
    "tags": DataSet("tags", "", "", "supertags", {}, absent="it is licensed"),
}
NLI = Task(
    "nli",
    "NLI",
    "classification",
    "classification",
    "accuracy",
    (Part("nli", "train"),),
    (Part("nli", "dev"),),
    Part("nli", "test", "{language}"),
    labels=("yes", "no"),
    languages=("en", "de"),
)
QA = Task("qa", "QA", "qa", "span", "em_f1", (Part("qa", "train"),), (Part("qa", "dev"),))
CCG = Task(
    "tags", "Tags", "intermediate", "tagging", "accuracy", (Part("tags", "train"),), (Part("tags", "dev"),)
)


def nli(premise, label=0, hypothesis="h"):
    return {"premise": premise, "hypothesis": hypothesis, "label": label}


SOUND = {
    "train": [nli("a"), nli("b", 1), nli("c")],
    "dev": [nli("d")],
    "test.en": [nli("e")],
    "test.de": [nli("f", "no")],
}


def write(root, name, **files):
    (root / name).mkdir(exist_ok=True)
    for file, rows in files.items():
        path = root / name / f"{file.replace('_', '.')}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Place(folder=str(root))


def found(task, place, **limits):
    return find_problems(task, place, data_sets=SETS, **limits)


def of_nli(tmp_path, place=None, limits=None, **files):
    written = write(tmp_path, "nli", **{**SOUND, **files})
    return found(NLI, place or written, **(limits or {}))


def test_sound_data_has_no_problem(tmp_path):
    assert of_nli(tmp_path) == []


def only(problems, severity, where, *words):
    (problem,) = problems
    assert (problem.severity, problem.where) == (severity, where), problem
    for word in words:
        assert word in f"{problem.what} {problem.hint}", problem


def test_missing_columns_are_named_with_the_known_ones(tmp_path):
    problems = of_nli(tmp_path, dev=[{"premise": "d", "gold": 0}])
    only(problems, "error", "nli, split dev", "missing columns: hypothesis, label.", "Found: premise, gold.")


def test_an_empty_split(tmp_path):
    problems = of_nli(tmp_path, dev=[])
    assert [(p.severity, p.what) for p in problems] == [
        ("error", "0 rows, but 1 are published."),
        ("error", "no rows."),
    ]


def test_unknown_labels_are_counted(tmp_path):
    rows = [nli("a", 7), nli("b", 8), nli("c")]
    problems = of_nli(tmp_path, train=rows)
    only(
        problems,
        "error",
        "nli, split train",
        "2 rows are wrong alike; first row 1: unknown label 7.",
        "Known: yes",
    )


def test_other_mistakes_are_kinds_of_their_own(tmp_path):
    problems = of_nli(tmp_path, train=[nli("a", 7), nli(None), nli("c")])
    assert [problem.what for problem in problems] == [
        "Row 1: unknown label 7.",
        'Row 2: column "premise" is empty.',
    ]


def test_rows_without_a_label_and_empty_texts_are_warned_of(tmp_path):
    problems = of_nli(tmp_path, train=[nli("a", -1), nli(" "), nli("c")])
    assert [(p.severity, p.what) for p in problems] == [
        ("warning", "rows without a label, which are left out: 1."),
        ("warning", "Row 2 has an empty text."),
    ]


@pytest.mark.parametrize(
    ("place", "limits", "severity"),
    [
        ({}, {}, "error"),
        ({}, {"train_examples": 2}, "warning"),
        ({"files": {"nli": {"train": "train.jsonl"}}}, {}, "warning"),
    ],
)
def test_sizes_that_are_not_the_published_ones(tmp_path, place, limits, severity):
    place = Place(folder=str(tmp_path), **place)
    problems = of_nli(tmp_path, place, limits, train=[nli("a"), nli("b")])
    only(problems, severity, "nli, split train", "2 rows, but 3 are published.")


def test_a_carved_split_is_a_part(tmp_path):
    rows = [nli(f"p{index}") for index in range(40)]
    place = Place(folder=str(tmp_path), carve={"nli": "train"})
    problems = of_nli(tmp_path, place, train=rows)
    only(problems, "warning", "nli, split train", "40 rows, but 3 are published.")


def test_missing_languages(tmp_path):
    write(tmp_path, "nli", **SOUND)
    (tmp_path / "nli" / "test.de.jsonl").unlink()
    (problem,) = found(NLI, Place(folder=str(tmp_path)))
    assert problem.severity == "error"
    assert problem.where.startswith("nli, configuration de, split test, in ")
    assert "no file found. Looked for: de/test.(" in problem.what
    (problem,) = found(NLI, Place(folder=str(tmp_path)), test_languages=("en", "fr"))
    assert "is not tested in" in problem.what


def test_identical_items_in_train_and_test(tmp_path):
    """Labels do not matter; the same text with another pair is another item."""
    files = {
        "train": [nli("a"), nli("a"), nli("c")],
        "test.en": [nli("a", 1)],
        "test.de": [nli("a", hypothesis="i")],
    }
    problems = of_nli(tmp_path, **files)
    only(
        problems,
        "warning",
        "task nli",
        '1 of 1 items of the test data in "en" stand in the training data too.',
    )


def qa(identifier, context, *answers):
    return {
        "id": identifier,
        "question": "q" + identifier,
        "context": context,
        "answers": {"text": [text for text, _ in answers], "answer_start": [start for _, start in answers]},
    }


def test_answers_that_are_not_in_their_context_are_counted(tmp_path):
    rows = [qa("1", "a b", ("b", 2)), qa("2", "a b", ("b", 1)), qa("3", "a b", ("a", 0), ("x", 2))]
    problems = found(QA, write(tmp_path, "qa", train=rows, dev=[qa("4", "c", ("c", 0))]))
    words = '2 rows are wrong alike; first row 2: question 2: the answer "b" does not stand at its offset.'
    only(problems, "error", "qa, split train", words)


def test_identifiers_that_occur_twice_and_questions_without_answer(tmp_path):
    rows = [qa("1", "a", ("a", 0)), qa("1", "b", ("b", 0)), qa("2", "c")]
    place = write(tmp_path, "qa", train=[qa("9", "z", ("z", 0))], dev=rows)
    problems = found(QA, place)
    assert [(p.severity, p.where, p.what) for p in problems] == [
        ("error", "qa, split dev", 'Row 2: the identifier "1" occurs twice.'),
        ("error", "qa, split dev", "Row 3 has no answer."),
    ]
    place = write(tmp_path, "qa", train=[*rows[:1], rows[2]], dev=[qa("9", "z", ("z", 0))])
    only(found(QA, place), "warning", "qa, split train", "Row 2 has no answer.")
    write(tmp_path, "qa", train=[qa("9", "z", ("z", 0))], dev=rows)
    second = replace(QA, train=(Part("squad_v2", "train"),), dev=(), unanswerable=True)
    (tmp_path / "qa").rename(tmp_path / "squad_v2")
    write(tmp_path, "squad_v2", train=[qa("1", "a")])
    sets = {"squad_v2": replace(SETS["qa"], name="squad_v2")}
    assert find_problems(second, Place(folder=str(tmp_path)), data_sets=sets) == []


def test_collected_tags(tmp_path):
    (tmp_path / "tags").mkdir()
    for split, text in {"train": "a|x|NP b|x|N\n", "dev": "a|x|NP\nb|x|PP\nc|x|S\n"}.items():
        (tmp_path / "tags" / f"{split}.txt").write_text(text)
    problems = found(CCG, Place(folder=str(tmp_path)))
    words = "2 rows are wrong alike; first row 2 has a tag that the training data lacks."
    only(problems, "warning", "tags, split dev", words)
    problems = found(CCG, Place())
    assert {(p.severity, p.what) for p in problems} == {("unchecked", "it is licensed.")}
    assert len(problems) == 2


def test_a_damaged_file_is_one_problem_beside_others(tmp_path):
    write(tmp_path, "nli", **SOUND)
    (tmp_path / "nli" / "train.jsonl").write_text('{"premise"\n')
    problems = found(NLI, Place(folder=str(tmp_path)))
    only(problems, "error", f"{tmp_path / 'nli' / 'train.jsonl'}, line 1", "not JSON")


def test_the_network_is_tried_once(tmp_path, monkeypatch):
    tried = []

    def load(*args, **kwargs):
        tried.append(args)
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    problems = found(NLI, Place())
    assert len(tried) == 1
    assert {problem.severity for problem in problems} == {"warning", "unchecked"}
    unchecked = [problem for problem in problems if problem.severity == "unchecked"]
    assert "cannot be reached" in unchecked[0].what
    assert [p.what for p in unchecked[1:]] == [
        "not tried, for the Hub was out of reach for nli, split train."
    ] * 3
    assert problems[0] == Problem(
        "warning",
        "nli",
        "no revision is pinned: its rows may change.",
        "Set data.revisions.nli to a commit of owner/nli.",
    )


def test_pinned_revisions_and_retrieval_are_no_problem(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert {problem.severity for problem in found(QA, Place())} == {"unchecked"}
    assert find_problems(TASKS["tatoeba"], Place()) == []


def test_the_real_files_have_no_error_that_their_number_does_not_explain(real_data):
    place = Place(
        folder=str(real_data),
        folders={"udpos": str(real_data / "ud"), "squad": str(real_data / "xquad")},
        files={
            "anli": {"dev": "dev_r*.jsonl"},
            "squad": {"validation": "xquad.en.json"},
            "udpos": {"validation": "en_ewt-ud-dev.conllu", "test": "{code}_*-ud-test.conllu"},
        },
        carve={"anli": "dev", "cosmosqa": "validation", "squad": "validation", "udpos": "validation"},
    )
    for name in ("anli", "cosmosqa"):
        assert find_problems(TASKS[name], place) == []
    problems = find_problems(TASKS["xquad"], place, test_languages=("en", "de", "es", "ru", "zh", "hi"))
    assert [p.what for p in problems] == [
        "1,190 rows, but 10,570 are published.",
        '982 of 1,190 items of the test data in "en" stand in the training data too.',
        '208 of 1,190 items of the test data in "en" stand in the development data too.',
    ]
    problems = find_problems(TASKS["udpos"], place, test_languages=("en", "de", "tr", "zh"))
    assert {problem.severity for problem in problems} == {"warning"}
