"""Rows become examples by the words of the record; whatever does not fit is named with its row."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignaudit.core.example import ChoiceExample, PairExample, SpanExample, TagExample, TextExample
from alignaudit.core.task import DataSet, Task
from alignaudit.errors import DataError
from alignaudit.experiment.tasks.columns import REQUIRED, columns_of
from alignaudit.experiment.tasks.readers import (
    READERS,
    Reading,
    answer_offsets,
    group_of,
    read_example,
    tag_words,
)

NLI = ("entailment", "neutral", "contradiction")
PAIR = {"text": "premise", "text_pair": "hypothesis", "label": "label"}
CHOICE = {"context": "ctx", "question": "", "options": "endings", "label": "label", "first": "0"}
SQUAD = {"identifier": "id", "question": "question", "context": "context", "answers": "answers"}
TOKENS = {"words": "tokens", "tags": "ner_tags"}


def read(row, reader, columns, *, of_task=(), questions=None, unknown=None, **record):
    data_set = DataSet("tested", "", "", reader, columns, **record)
    task = Task("t", "T", "intermediate", "span", "f1", (), (), question_words=questions or {})
    reading = Reading.of("tested, split train", data_set, task, of_task, row=row, unknown=unknown)
    return read_example(row, 7, reading)


def pair(label, **record):
    row = {"premise": "p", "hypothesis": "h", "label": label}
    return read(row, "pair", PAIR, of_task=NLI, **record)


@pytest.mark.parametrize(
    ("label", "record"),
    [
        (2, {"labels": NLI}),
        ("2", {"labels": NLI}),
        (2.0, {"labels": NLI}),
        ("contradiction", {}),
        ("contradictory", {"aliases": {"contradictory": "contradiction"}}),
        ("c", {"labels": NLI, "aliases": {"c": "contradiction"}}),
        (0, {"labels": ("contradiction", "entailment")}),
    ],
)
def test_labels_are_codes_words_or_other_spellings(label, record):
    assert pair(label, **record) == PairExample("p", "h", 2)


@pytest.mark.parametrize("label", [3, -1, "3", 1.5, "maybe", ""])
def test_unknown_labels_are_named(label):
    with pytest.raises(DataError, match=r"^tested, split train, row 7: unknown label .* Known: entailment"):
        pair(label, labels=NLI)


def test_words_that_look_like_codes_follow_the_aliases():
    row = {"premise": "p", "hypothesis": "h", "label": "0"}
    record = {"labels": ("different", "paraphrase"), "aliases": {"0": "different", "1": "paraphrase"}}
    assert read(row, "pair", PAIR, of_task=record["labels"], **record).label == 0


def test_a_single_text_has_no_second_one():
    columns = {"text": "s", "label": "y"}
    assert read({"s": "x", "y": 0}, "pair", columns, of_task=("a",), labels=("a",)) == PairExample("x", "", 0)


def test_hellaswag_endings_and_labels_of_one_digit():
    row = {"ctx": "A man", "endings": ["a", "b", "c", "d"], "label": "3"}
    assert read(row, "choice", CHOICE) == ChoiceExample("A man", "", ("a", "b", "c", "d"), 3)


def test_options_in_several_columns_and_a_first_number():
    columns = {"context": "c", "question": "q", "options": "a1 a2 a3", "label": "y", "first": "1"}
    row = {"c": "text", "q": "why", "a1": "x", "a2": "y", "a3": "z", "y": "3"}
    assert read(row, "choice", columns) == ChoiceExample("text", "why", ("x", "y", "z"), 2)
    for wrong in ("0", "4", "two", 1.5):
        with pytest.raises(DataError, match=r"row 7: label .* is not a number from 1 to 3"):
            read({**row, "y": wrong}, "choice", columns)


KEYED = {
    "context": "",
    "question": "question",
    "options": "choices.text",
    "label": "key",
    "keys": "choices.label",
}


def test_labels_may_stand_for_options_of_a_nested_list():
    row = {"question": "q", "choices": {"label": ["A", "B", "C"], "text": ["x", "y", "z"]}, "key": "C"}
    assert read(row, "choice", KEYED) == ChoiceExample("", "q", ("x", "y", "z"), 2)
    with pytest.raises(DataError, match='label "F" is not one of A, B, C'):
        read({**row, "key": "F"}, "choice", KEYED)


def test_the_publisher_may_nest_otherwise_than_the_hub():
    own = {
        "question": "question.stem",
        "options": "question.choices.text",
        "label": "key",
        "keys": "question.choices.label",
    }
    choices = [{"label": "B", "text": "y"}, {"label": "A", "text": "x"}]
    row = {"question": {"stem": "q", "choices": choices}, "key": "A"}
    assert read(row, "choice", KEYED, file_columns=own) == ChoiceExample("", "q", ("y", "x"), 1)


def test_words_of_the_question_column_stand_for_questions():
    columns = {"context": "p", "question": "q", "options": "a b", "label": "y"}
    row = {"p": "It fell.", "q": "cause", "a": "x", "b": "y", "y": 1}
    questions = {"cause": "What was the cause?"}
    example = read(row, "choice", columns, questions=questions)
    assert example == ChoiceExample("It fell.", "What was the cause?", ("x", "y"), 1)
    with pytest.raises(DataError, match=r'unknown question "reason"\. Known: cause'):
        read({**row, "q": "reason"}, "choice", columns, questions=questions)


def test_answers_as_two_lists_or_as_a_list():
    row = {
        "id": "a1",
        "question": "q",
        "context": "à la 24–10",
        "answers": {"text": ["24–10"], "answer_start": [5]},
    }
    expected = SpanExample("a1", "q", "à la 24–10", ("24–10",), (5,))
    assert read(row, "squad", SQUAD) == expected
    assert read({**row, "answers": [{"text": "24–10", "answer_start": "5"}]}, "squad", SQUAD) == expected
    assert read({**row, "answers": {"text": [], "answer_start": []}}, "squad", SQUAD).answers == ()
    assert read({**row, "answers": []}, "squad", SQUAD).starts == ()


@pytest.mark.parametrize("start", [4, 6, -5, 10**6])
def test_an_answer_that_does_not_stand_at_its_offset_is_named(start):
    row = {
        "id": "a1",
        "question": "q",
        "context": "abc 24–10",
        "answers": {"text": ["10"], "answer_start": [start]},
    }
    with pytest.raises(DataError, match='row 7: question a1: the answer "10" does not stand at its offset'):
        read(row, "squad", SQUAD)


@given(st.text(max_size=20), st.integers(0, 19), st.integers(1, 5))
def test_a_cut_of_the_context_stands_at_its_offset(context, start, length):
    """Offsets count code points, whatever the script."""
    answer = context[start : start + length]
    assert answer_offsets(context, [answer], [start]) == [answer != ""]
    assert answer_offsets(context, [answer + "§"], [start]) == [
        f"{answer}§" == context[start : start + length + 1]
    ]


def test_tags_are_codes_or_words():
    labels = ("O", "B-PER", "I-PER")
    row = {"tokens": ["Ada", "Lovelace"], "ner_tags": [1, 2]}
    expected = TagExample(("Ada", "Lovelace"), (1, 2))
    data_set = DataSet("tested", "", "", "tokens", TOKENS, labels=labels)
    task = Task("t", "T", "tagging", "tagging", "f1", (), ())
    reading = Reading.of("tested", data_set, task, labels, row=row)
    assert read_example(row, 1, reading) == expected
    words = {"tokens": ["Ada", "Lovelace"], "ner_tags": ["B-PER", "I-PER"], "space_after": [True, False]}
    assert read_example(words, 1, reading) == TagExample(("Ada", "Lovelace"), (1, 2), (True, False))
    with pytest.raises(DataError, match=r"row 1: 2 words with 1 tags"):
        read_example({"tokens": ["a", "b"], "ner_tags": [0]}, 1, reading)
    with pytest.raises(DataError, match=r"row 1: 0 words"):
        read_example({"tokens": [], "ner_tags": []}, 1, reading)
    with pytest.raises(DataError, match=r"1 entries of space_after"):
        read_example({**words, "space_after": [True]}, 1, reading)


def test_supertags_in_one_text_and_unknown_ones():
    row = {"tokens": "He went .", "tags": "NP (S\\NP) ."}
    example = read(row, "supertags", {}, of_task=(".", "NP", "<unknown>"), unknown=2)
    assert example == TagExample(("He", "went", "."), (1, 2, 0))


def test_text_and_sentences():
    assert read({"text": "x"}, "text", {"text": "text"}) == TextExample("x")
    columns = {"foreign": "source_sentence", "english": "target_sentence"}
    row = {"source_sentence": "ja", "target_sentence": "yes"}
    assert read(row, "sentences", columns) == PairExample("ja", "yes", 0)


def test_missing_columns_are_named_beside_those_that_are_there():
    data_set = DataSet("tested", "", "", "pair", PAIR, file_columns={**PAIR, "text": "sentence1"})
    message = r"^here: missing columns: hypothesis, label\. Found: premise, gold\.$"
    with pytest.raises(DataError, match=message):
        columns_of({"premise": "p", "gold": 1}, data_set, "here")
    with pytest.raises(DataError, match=r"missing columns: <label>"):
        columns_of({"p": 1}, DataSet("tested", "", "", "pair", {"text": "p"}), "here")
    with pytest.raises(DataError, match=r'no reader "mining"'):
        columns_of({"p": 1}, DataSet("tested", "", "", "mining", {}), "here")


def test_the_publishers_columns_count_only_where_the_hubs_are_not():
    data_set = DataSet("tested", "", "", "pair", PAIR, file_columns={**PAIR, "text": "context"})
    row = {"premise": "p", "hypothesis": "h", "label": 0}
    assert columns_of({**row, "context": "c"}, data_set, "here") == PAIR
    del row["premise"]
    assert columns_of({**row, "context": "c"}, data_set, "here")["text"] == "context"


@pytest.mark.parametrize("value", [None, 3, ["p"]])
def test_what_is_no_text_is_named(value):
    with pytest.raises(DataError, match=r"row 7: .*(is empty|is not text)"):
        read({"premise": value, "hypothesis": "h", "label": 0}, "pair", PAIR, of_task=NLI)


def test_groups_are_what_must_not_be_divided():
    def group(row, reader, columns):
        return group_of(row, 1, Reading("here", reader, columns))

    assert group({"premise": "p", "hypothesis": "h"}, "pair", PAIR) == "p"
    assert group({"ctx": "c", "endings": []}, "choice", {"context": "ctx"}) == "c"
    assert group({"q": "why"}, "choice", {"question": "q"}) == "why"
    assert group({"context": "c", "title": "T"}, "squad", SQUAD) == "T"
    assert group({"context": "c"}, "squad", SQUAD) == "c"
    assert group({"tokens": ["a", "b"]}, "tokens", TOKENS) == "a b"
    assert group({"tokens": ["a", "b"], "document": "d"}, "tokens", TOKENS) == "d"


def test_a_row_of_another_kind_is_named_whatever_it_holds():
    for row in ({"tokens": ["a"], "ner_tags": 3}, {"tokens": 3, "ner_tags": ["a"]}):
        with pytest.raises(DataError, match=r'row 7: not a row that "tokens" reads'):
            read(row, "tokens", TOKENS, of_task=("a",))
    with pytest.raises(DataError, match=r"^here, row 4: 3 in text is not text"):
        group_of({"premise": 3}, 4, Reading("here", "pair", PAIR))


def test_tags_as_words():
    reading = Reading("here", "tokens", TOKENS, codes=("O", "PER"), aliases={"PER": "B-PER"})
    assert tag_words({"ner_tags": [1, 0]}, 1, reading) == ["B-PER", "O"]
    assert tag_words({"ner_tags": "PER O"}, 1, reading) == ["B-PER", "O"]


def test_every_reader_says_which_columns_it_needs():
    assert set(READERS) == set(REQUIRED)


def test_a_reading_travels_to_other_processes():
    data_set = DataSet("tested", "", "", "pair", PAIR, labels=NLI)
    task = Task("t", "T", "intermediate", "classification", "accuracy", (), ())
    row = {"premise": "p", "hypothesis": "h", "label": 0}
    reading = Reading.of("here", data_set, task, NLI, row=row)
    assert pickle.loads(pickle.dumps(reading)) == reading
