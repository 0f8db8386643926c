"""Readers name the file and line of what they cannot read; splits keep documents whole."""

from __future__ import annotations

import csv
import json

import pytest

from alignaudit.errors import DataError
from alignaudit.experiment.files import (
    FOLDER_TASKS,
    read_conllu,
    read_lines,
)


def test_unusual_line_separators_do_not_split_a_line(tmp_path):
    """U+2028 and form feeds occur inside sentences; only line feeds end a line."""
    path = tmp_path / "x.txt"
    path.write_bytes("a\u2028b\x0cc\r\nd\n".encode())
    assert read_lines(path) == ["a\u2028b\x0cc", "d"]


CONLLU = """\
# newdoc id = first
# text = Don't go.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_\t_\t_\t_\t_
2\tn't\tnot\tPART\t_\t_\t_\t_\t_\t_
2.1\tempty\t_\t_\t_\t_\t_\t_\t_\t_
3\tgo\tgo\tVERB\t_\t_\t_\t_\t_\tSpaceAfter=No
4\t.\t.\tPUNCT\t_\t_\t_\t_\t_\t_

# newdoc id = second
1\tYes\tyes\tINTJ\t_\t_\t_\t_\t_\t_
"""


def test_conllu_words_tags_spaces_and_documents(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    (first, one), (second, two) = read_conllu(path)
    assert (first, second) == ("first", "second")
    assert one.words == ("Do", "n't", "go", ".")
    assert one.space_after == (True, True, False, True)
    assert two.words == ("Yes",)


def test_conllu_errors_name_the_line(tmp_path):
    path = tmp_path / "x.conllu"
    path.write_text(CONLLU.replace("VERB", "WERB"), encoding="utf-8")
    with pytest.raises(DataError, match=r'line 7: unknown tag "WERB"'):
        read_conllu(path)


def cosmos(folder, rows):
    (folder / "cosmosqa").mkdir(parents=True, exist_ok=True)
    with (folder / "cosmosqa" / "valid.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label"])
        writer.writerows(rows)


def test_cosmos_contexts_stand_on_one_side_only(tmp_path):
    cosmos(tmp_path, [[i, f"context {i % 20}", "why", "a", "b", "c", "d", i % 4] for i in range(100)])
    task = FOLDER_TASKS["cosmosqa"].read(tmp_path, 1000, 1000, 1000)
    assert len(task.train) + len(task.dev) == 100
    assert {e.context for e in task.train}.isdisjoint({e.context for e in task.dev})
    again = FOLDER_TASKS["cosmosqa"].read(tmp_path, 10, 5, 0)
    assert list(again.train) == list(task.train[:10])


def test_a_bad_label_is_named(tmp_path):
    cosmos(tmp_path, [[0, "c", "q", "a", "b", "c", "d", "two"]])
    with pytest.raises(DataError, match=r"valid\.csv, line 2: not a Cosmos QA row"):
        FOLDER_TASKS["cosmosqa"].read(tmp_path, 1, 1, 1)


def test_an_answer_that_is_not_in_its_context_is_named(tmp_path):
    (tmp_path / "xquad").mkdir()
    answer = {"text": "red", "answer_start": 3}
    question = {"id": "q7", "question": "?", "answers": [answer]}
    article = {"title": "t", "paragraphs": [{"context": "the red one", "qas": [question]}]}
    (tmp_path / "xquad" / "xquad.en.json").write_text(json.dumps({"data": [article]}))
    with pytest.raises(DataError, match=r"question q7: an answer does not stand at its offset"):
        FOLDER_TASKS["xquad"].read(tmp_path, 1, 1, 1)


def test_the_real_files_are_read_whole(real_data):
    """Sizes as their publishers state them (see data/README.md)."""
    sizes = {name: task.read(real_data, 10**6, 10**6, 10**6) for name, task in FOLDER_TASKS.items()}
    assert len(sizes["anli"].train) + len(sizes["anli"].dev) == 3198
    assert len(sizes["cosmosqa"].train) + len(sizes["cosmosqa"].dev) == 2985
    assert len(sizes["xquad"].train) + len(sizes["xquad"].dev) == 1190
    assert {language: len(s) for language, s in sizes["udpos"].test.items() if language != "en"} == {
        "de": 1000,
        "tr": 1000,
        "zh": 1000,
    }
