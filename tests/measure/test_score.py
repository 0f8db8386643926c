from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.errors import DataError
from alignaudit.measure.score import (
    accuracy,
    normalised_answer,
    span_exact_match_f1,
    tagging_accuracy,
    tagging_f1,
    tagging_spans,
)

BIO = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-ORG"]
BIOES = ["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B", "S-B"]
UNIVERSAL = ["NOUN", "VERB", "ADJ", "SYM", "SCONJ", "CCONJ", "INTJ", "DET", "X", "_"]


def tagged(tags, seed=7):
    random = np.random.RandomState(seed)
    references = [
        [tags[i] for i in random.randint(len(tags), size=random.randint(1, 13))] for _ in range(200)
    ]
    predictions = [
        [tag if random.rand() < 0.7 else tags[random.randint(len(tags))] for tag in sentence]
        for sentence in references
    ]
    return predictions, references


def test_accuracy_is_the_share_of_equal_labels():
    assert accuracy(["a", "b", "b"], ["a", "b", "a"]) == 2 / 3


def test_labels_that_do_not_pair_are_refused():
    with pytest.raises(DataError, match=r"\[2\] and references \[3\]"):
        accuracy([0, 1], [0, 1, 1])


def test_no_label_is_refused():
    with pytest.raises(DataError, match="equally long lists"):
        accuracy([], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Quick, brown fox.", "quick brown fox"),
        ("an apple a day", "apple day"),
        ("Anathema theatre", "anathema theatre"),  # articles only as words
        ("U.S.A.", "usa"),
        ("the-end", "theend"),  # punctuation goes first
        ("„Ein“ Straße", "„ein“ straße"),  # only ASCII punctuation, lower case without folding
        ("a", ""),
    ],
)
def test_answers_are_normalised_as_in_squad(text, expected):
    assert normalised_answer(text) == expected


def test_the_best_reference_counts():
    found = span_exact_match_f1({"q": "in the old town"}, {"q": ["town", "old town", "harbour"]})
    assert found == (0, pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1)))


def test_repeated_tokens_count_as_often_as_both_have_them():
    assert span_exact_match_f1({"q": "ha ha ha"}, {"q": ["ha ha"]})[1] == pytest.approx(
        2 * (2 / 3) / (2 / 3 + 1)
    )


def test_a_question_without_prediction_counts_zero():
    assert span_exact_match_f1({"a": "x"}, {"a": ["x"], "b": ["y"]}) == (0.5, 0.5)


def test_an_answer_of_articles_only_matches_without_overlap():
    """SQuAD 1.1 gives exact match 1 and F1 0 where both sides normalise to nothing."""
    assert span_exact_match_f1({"q": "the"}, {"q": ["a"]}) == (1, 0)


def test_a_prediction_without_question_is_refused():
    with pytest.raises(DataError, match='unknown question "z"'):
        span_exact_match_f1({"z": "x"}, {"a": ["x"]})


def test_a_question_without_reference_is_refused():
    with pytest.raises(DataError, match='question "a": There is no reference answer'):
        span_exact_match_f1({}, {"a": []})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_exact_match_never_exceeds_one_and_copies_reach_it(answers):
    references = {str(i): [answer] for i, answer in enumerate(answers)}
    predictions = {key: answer for key, (answer,) in references.items()}
    assert span_exact_match_f1(predictions, references)[0] == 1


def test_words_count_alike_whatever_their_sentence():
    assert tagging_accuracy([["A"], ["B", "B", "B"]], [["B"], ["B", "B", "A"]]) == 0.5


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", 0, 1), ("LOC", 3, 3)]),
        (["O", "I-PER", "I-PER"], [("PER", 1, 2)]),  # a span may begin with I
        (["B-PER", "B-PER"], [("PER", 0, 0), ("PER", 1, 1)]),
        (["B-PER", "I-LOC", "I-LOC"], [("PER", 0, 0), ("LOC", 1, 2)]),
        (["S-PER", "B-LOC", "I-LOC", "E-LOC"], [("PER", 0, 0), ("LOC", 1, 3)]),
        (["NOUN", "NOUN", "VERB"], [("NOUN", 0, 1), ("VERB", 2, 2)]),
        (["SCONJ", "SCONJ", "SYM"], [("SCONJ", 0, 0), ("SCONJ", 1, 1), ("SYM", 2, 2)]),
        (["O", "OTHER", "NOUN"], [("NOUN", 2, 2)]),
        (["B-A-B", "I-A-B"], [("A-B", 0, 1)]),
        ([], []),
    ],
)
def test_spans(tags, expected):
    assert tagging_spans(tags) == expected


@pytest.mark.parametrize(
    ("tags", "f1", "spans_expected", "spans_found"),
    [
        (BIO, 0.6886493341788206, 789, 788),
        (BIOES, 0.7654802535348612, 1015, 1036),
        (UNIVERSAL, 0.6937051119560625, 1182, 1185),
    ],
)
def test_f1_is_that_of_seqeval(tags, f1, spans_expected, spans_found):
    """Values given by seqeval 0.0.12 on the same sentences."""
    predictions, references = tagged(tags)
    assert sum(len(tagging_spans(sentence)) for sentence in references) == spans_expected
    assert sum(len(tagging_spans(sentence)) for sentence in predictions) == spans_found
    assert tagging_f1(predictions, references) == pytest.approx(f1, rel=1e-12)


def test_two_kinds_of_conjunction_are_two_types():
    """seqeval from 1.0 on gives 1.0 here: it reads both tags as CONJ, known to be wrong."""
    assert tagging_f1([["CCONJ", "NOUN"]], [["SCONJ", "NOUN"]]) == 0.5


def test_a_span_does_not_run_across_sentences():
    assert tagging_f1([["NOUN"], ["NOUN"]], [["NOUN"], ["VERB"]]) == 0.5


def test_no_span_at_all_gives_zero():
    assert tagging_f1([["O", "O"]], [["O", "O"]]) == 0


def test_words_that_do_not_pair_are_refused_with_their_sentence():
    with pytest.raises(DataError, match="sentence 1: 2 predicted and 1 reference tags"):
        tagging_f1([["O"], ["O", "O"]], [["O"], ["O"]])


def test_sentences_that_do_not_pair_are_refused():
    with pytest.raises(DataError, match="1 predicted and 2 reference sentences"):
        tagging_accuracy([["O"]], [["O"], ["O"]])


def test_an_empty_tag_is_refused():
    with pytest.raises(DataError, match="A tag is empty"):
        tagging_f1([[""]], [["O"]])
