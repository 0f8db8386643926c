"""Every format gives the rows that the Hub has; what cannot be read is named with file and line."""

from __future__ import annotations

import json

import pytest

from alignaudit.core.task import DataSet
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.row_files import file_lines, file_rows


def record(reader="pair", **columns) -> DataSet:
    return DataSet("tested", "", "", reader, columns)


PAIR = record(text="premise", text_pair="hypothesis", label="label")
TOKENS = record("tokens", words="tokens", tags="pos_tags")
ROWS = [
    {"premise": 'He said "no", twice', "hypothesis": "a\u2028b\x0cc", "label": "0"},
    {"premise": "你好，世界", "hypothesis": "", "label": "1"},
    {"premise": '"open', "hypothesis": "b", "label": "0"},
]


def written(path, text):
    path.write_bytes(text.encode())
    return path


def test_json_lines_json_csv_and_tsv_hold_the_same_rows(tmp_path):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    csv = 'premise,hypothesis,label\r\n"He said ""no"", twice",a\u2028b\x0cc,0\r\n'
    csv += '"你好，世界",,1\r\n"""open",b,0\r\n'
    tsv = 'premise\thypothesis\tlabel\nHe said "no", twice\ta\u2028b\x0cc\t0\n你好，世界\t\t1\n"open\tb\t0\n'
    texts = {"a.jsonl": lines, "b.json": json.dumps(ROWS), "c.csv": csv, "d.tsv": tsv, "e.json": lines}
    texts["f.json"] = json.dumps({"data": ROWS})
    for name, text in texts.items():
        assert list(file_rows(written(tmp_path / name, text), PAIR)) == ROWS, name


def test_a_byte_order_mark_and_blank_lines_are_no_rows(tmp_path):
    path = written(tmp_path / "x.jsonl", '\ufeff{"premise": "a"}\n\n{"premise": "b"}')
    assert list(file_rows(path, PAIR)) == [{"premise": "a"}, {"premise": "b"}]


def test_a_quoted_field_may_hold_line_ends(tmp_path):
    path = written(tmp_path / "x.csv", 'premise,label\n"two\nlines",0\nx,1\n')
    assert [row["premise"] for row in file_rows(path, PAIR)] == ["two\nlines", "x"]


def squad_json(*questions, title="Football"):
    paragraph = {"context": "Denver won 24–10.", "qas": list(questions)}
    article = {"title": title, "paragraphs": [paragraph]} if title else {"paragraphs": [paragraph]}
    return json.dumps({"version": "1.1", "data": [article]})


def test_squad_nesting_becomes_the_columns_of_the_hub(tmp_path):
    asked = {
        "id": "q1",
        "question": "Score?",
        "answers": [{"text": "24–10", "answer_start": 11}, {"text": "24", "answer_start": 11}],
    }
    impossible = {"id": "q2", "question": "Who lost?", "is_impossible": True, "answers": []}
    hidden = {"id": "q3", "question": "Unanswered?"}
    path = written(tmp_path / "x.json", squad_json(asked, impossible, hidden))
    rows = list(file_rows(path, record("squad")))
    assert rows[0] == {
        "id": "q1",
        "title": "Football",
        "context": "Denver won 24–10.",
        "question": "Score?",
        "answers": {"text": ["24–10", "24"], "answer_start": [11, 11]},
    }
    assert [row["answers"]["text"] for row in rows[1:]] == [[], []]


def test_articles_without_a_title_are_numbered(tmp_path):
    path = written(tmp_path / "x.json", squad_json({"id": "1", "question": "?", "answers": []}, title=""))
    assert next(file_rows(path, record("squad")))["title"] == "1"


CONLLU = """\
# newdoc id = first
# text = Don't go.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tDo\tdo\tAUX\t_\t_\t_\t_\t_\t_
2\tn't\tnot\tPART\t_\t_\t_\t_\t_\t_
2.1\tempty\t_\t_\t_\t_\t_\t_\t_\t_
3\tgo\tgo\tVERB\t_\t_\t_\t_\t_\tSpaceAfter=No
4\t.\t.\tPUNCT\t_\t_\t_\t_\t_\t_

# newdoc id = second
1\tYes\tyes\tINTJ\t_\t_\t_\t_\t_\t_
"""


def test_conllu_words_are_syntactic_words(tmp_path):
    first, second = file_rows(written(tmp_path / "x.conllu", CONLLU), TOKENS)
    assert first == {
        "tokens": ["Do", "n't", "go", "."],
        "pos_tags": ["AUX", "PART", "VERB", "PUNCT"],
        "space_after": [True, False, False, True],
        "document": "first",
    }
    assert (second["tokens"], second["document"]) == (["Yes"], "second")


def test_wikiann_lines_lose_the_language_that_all_words_have(tmp_path):
    text = "sw:Ziwa\tB-LOC\nsw::\tO\nsw:a\tb\n\n\nsw:Moja\tO\n"
    rows = list(file_rows(written(tmp_path / "dev", text), TOKENS))
    assert rows == [
        {"tokens": ["Ziwa", ":", "a"], "pos_tags": ["B-LOC", "O", "b"]},
        {"tokens": ["Moja"], "pos_tags": ["O"]},
    ]


def test_words_with_colons_of_their_own_stay_whole(tmp_path):
    rows = list(file_rows(written(tmp_path / "x.txt", "http://x\tO\nnote:well\tO\n"), TOKENS))
    assert rows[0]["tokens"] == ["http://x", "note:well"]
    rows = list(file_rows(written(tmp_path / "x.tsv", "en:a\tO\nb\tO\n"), TOKENS))
    assert rows[0]["tokens"] == ["en:a", "b"]


def test_supertag_lines_may_have_bars_in_words(tmp_path):
    path = written(tmp_path / "ccg.train", "He|PRP|NP a|b|NN|N .|.|.\n\nGo|VB|S[b]\\NP\n")
    rows = list(file_rows(path, record("supertags")))
    assert rows[0] == {"tokens": ["He", "a|b", "."], "tags": ["NP", "N", "."]}
    assert rows[1]["tags"] == ["S[b]\\NP"]


def test_plain_text_has_one_text_a_line(tmp_path):
    path = written(tmp_path / "x.txt", "eins\r\n\nzwei\n")
    assert list(file_rows(path, record("text"))) == [{"text": "eins"}, {"text": "zwei"}]


WRONG = [
    ("x.jsonl", '{"premise": 1}\n{"premise"\n', PAIR, r"x\.jsonl, line 2: not JSON"),
    ("x.jsonl", "[1]\n", PAIR, r"x\.jsonl, line 1: not a JSON object"),
    ("x.json", "{\n]", PAIR, r"x\.json, line 2: not JSON"),
    ("x.json", '{"data": 3}', PAIR, r"x\.json: neither a list of rows nor SQuAD"),
    ("x.json", '[{"premise": "a"}, 3]', PAIR, r"x\.json, item 2: not a JSON object"),
    ("x.json", '{"data": [{"paragraphs": [{"qas": []}]}]}', PAIR, r"article 1, paragraph 1: not in SQuAD"),
    ("x.json", '{"data": [{"paragraphs": 3}]}', PAIR, r"article 1: not in SQuAD"),
    ("x.csv", "premise,label\na,1\nb\n", PAIR, r"x\.csv, line 3: 1 columns instead of 2"),
    ("x.csv", 'premise,label\na,1\n"b,2\n', PAIR, r"x\.csv, line 3: not a table"),
    ("x.csv", "premise,premise\na,1\n", PAIR, r'line 1: column "premise" is there twice'),
    ("x.tsv", "premise\tlabel\na\t1\t2\n", PAIR, r"x\.tsv, line 2: 3 columns instead of 2"),
    ("x.txt", "premise label\n", PAIR, r"x\.txt: a text file has no columns"),
    ("x.conllu", "1\tYes\n", TOKENS, r"x\.conllu, line 1: 2 columns instead of 10"),
    ("x.conllu", "one" + "\t_" * 9 + "\n", TOKENS, r'line 1: "one" is not the number of a word'),
    ("x.txt", "a\tO\nb\n", TOKENS, r"x\.txt, line 2: 1 columns instead of a word, a tab and a tag"),
    ("ccg.dev", "a|b|c d|e\n", record("supertags"), r"ccg\.dev, line 1: not word\|tag\|supertag"),
]


@pytest.mark.parametrize(("name", "text", "data_set", "message"), WRONG)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, text, data_set, message):
    with pytest.raises(DataError, match=message):
        list(file_rows(written(tmp_path / name, text), data_set))


def test_a_line_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(DataError, match=r"x\.jsonl, line 2: not UTF-8"):
        list(file_rows(tmp_path / "x.jsonl", PAIR))
    with pytest.raises(DataError, match="no such file"):
        list(file_lines(tmp_path / "absent"))
