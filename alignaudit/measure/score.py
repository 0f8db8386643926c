"""Scores of downstream tasks, as XTREME's own evaluation defines them. All are shares in [0, 1]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from alignaudit.errors import DataError
from alignaudit.measure.answers import AnswerScheme, normalised_answer

__all__ = [
    "accuracy",
    "span_exact_match_f1",
    "tagging_accuracy",
    "tagging_f1",
    "tagging_spans",
]


def accuracy(predictions: npt.ArrayLike, references: npt.ArrayLike) -> float:
    """Return the share of items whose prediction equals its reference.

    Parameters
    ----------
    predictions, references
        Shape [n], labels of any kind.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        Where the lengths differ or there is no item.

    Examples
    --------
    >>> accuracy([0, 2, 1, 1], [0, 2, 2, 1])
    0.75
    """
    left, right = np.asarray(predictions), np.asarray(references)
    if left.shape != right.shape or left.ndim != 1 or not left.size:
        raise DataError(
            f"Predictions {list(left.shape)} and references {list(right.shape)} must be equally long lists."
        )
    return float(np.mean(left == right))


def span_exact_match_f1(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    scheme: AnswerScheme = "squad",
    language: str = "en",
    unanswerable: bool = False,
) -> tuple[float, float]:
    """Return exact match and token F1 of extracted answers, as SQuAD and MLQA define them.

    Each question counts with its best reference answer; a question without prediction counts 0.

    Parameters
    ----------
    predictions
        Answer by question identifier; an empty answer says that there is none.
    references
        Accepted answers by question identifier; at least one unless ``unanswerable``.
    scheme, language
        How answers are compared, see :func:`alignaudit.measure.answers.normalised_answer`.
    unanswerable
        Whether questions may be without an answer, as in SQuAD 2.0. There, only an answer that is
        empty once normalised is right, for exact match and F1 alike; accepted answers of articles
        and punctuation only do not count. Without this, as in SQuAD 1.1, two answers that are empty
        once normalised match exactly with an F1 of 0.

    Returns
    -------
    exact_match : float
        In [0, 1].
    f1 : float
        In [0, 1].

    Raises
    ------
    DataError
        Where there is no question, a question has no reference though it must, a prediction has no
        question, or the scheme has no rules for the language.
    UsageError
        Where the scheme is unknown.

    References
    ----------
    Rajpurkar et al. (2016), SQuAD, section 6.1; Rajpurkar, Jia and Liang (2018), SQuAD 2.0 (its
    script averages over the questions that have a prediction); Lewis et al. (2020), MLQA. XTREME
    scores XQuAD and TyDi QA by ``squad``, MLQA by ``mlqa``.

    Examples
    --------
    >>> span_exact_match_f1({"q1": "the red house"}, {"q1": ["red house", "house"], "q2": ["no"]})
    (0.5, 0.5)
    >>> span_exact_match_f1({"q1": "", "q2": "x"}, {"q1": [], "q2": []}, unanswerable=True)
    (0.5, 0.5)
    """
    _check_questions(predictions, references, unanswerable)
    exact = overlap = 0.0
    for identifier, answers in references.items():
        accepted = [normalised_answer(answer, scheme, language) for answer in answers]
        if unanswerable:
            accepted = [answer for answer in accepted if answer] or [""]
        if identifier not in predictions:
            continue
        given = normalised_answer(predictions[identifier], scheme, language)
        exact += given in accepted
        if unanswerable and not given:
            overlap += given in accepted
        else:
            overlap += max(_token_f1(given, answer) for answer in accepted)
    return exact / len(references), overlap / len(references)


def tagging_accuracy(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Return the share of words with the right tag, over all sentences.

    Parameters
    ----------
    predictions, references
        One sequence of tags per sentence.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        Where sentences or words do not pair, or there is no word.

    Examples
    --------
    >>> tagging_accuracy([["O", "B-PER"]], [["O", "O"]])
    0.5
    """
    _check_tags(predictions, references)
    return accuracy(
        [tag for tags in predictions for tag in tags], [tag for tags in references for tag in tags]
    )


def tagging_f1(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Return the F1 of spans, micro-averaged over types, as XTREME scores PAN-X and UDPOS.

    A predicted span is right where a reference span has the same type, first and last word
    (:func:`tagging_spans`). Note that XTREME calls the UDPOS score accuracy; it is this F1.

    Parameters
    ----------
    predictions, references
        One sequence of tags per sentence.

    Returns
    -------
    float
        In [0, 1]; 0 where neither side has a span.

    Raises
    ------
    DataError
        Where sentences or words do not pair, or there is no word.

    References
    ----------
    Tjong Kim Sang and De Meulder (2003), CoNLL-2003, section 2.5, for the measure; Nakayama
    (2018), seqeval, for which spans there are.

    Examples
    --------
    >>> tagging_f1([["B-PER", "I-PER", "O"]], [["B-PER", "I-PER", "B-LOC"]])
    0.6666666666666666
    """
    _check_tags(predictions, references)
    right = found = wanted = 0
    for given, expected in zip(predictions, references, strict=True):
        spans, gold = set(tagging_spans(given)), set(tagging_spans(expected))
        right += len(spans & gold)
        found += len(spans)
        wanted += len(gold)
    return 2 * right / (found + wanted) if found + wanted else 0.0


def tagging_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return the spans of a tagged sentence, as seqeval finds them by default.

    A tag is read as a prefix, its first character, and a type, what follows its first hyphen. A
    type that changes ends a span and begins one, whatever the prefix, so ``I-PER`` after ``O`` or
    after ``I-LOC`` begins a span. A tag without hyphen is its own type: runs of equal part-of-speech
    tags are one span. Its first character is a prefix all the same, which matters for tags on S
    (``SYM``, ``SCONJ``: every word is a span of its own) and on O (never a span).

    Parameters
    ----------
    tags
        Tags of one sentence, in BIO, BIOES or without prefixes.

    Returns
    -------
    list of tuple
        (type, first word, last word), in order.

    References
    ----------
    Nakayama (2018), seqeval 0.0.12, the release of XTREME's time, default mode. Releases from 1.0
    on drop the first letter of a tag without hyphen and so take ``CCONJ`` and ``SCONJ`` for one type.
    Release 0.0.12 begins the type after the last hyphen; that gives the same for all tags of XTREME,
    none of which has two.

    Examples
    --------
    >>> tagging_spans(["B-PER", "I-PER", "I-LOC", "O"])
    [('PER', 0, 1), ('LOC', 2, 2)]
    >>> tagging_spans(["DET", "NOUN", "NOUN", "VERB"])
    [('DET', 0, 0), ('NOUN', 1, 2), ('VERB', 3, 3)]
    """
    return list(_spans(tags))


def _spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    before, kind_before, first = "O", "", 0
    for place, tag in enumerate([*tags, "O"]):
        prefix, kind = tag[:1], tag.partition("-")[2] if "-" in tag else tag
        changes = kind != kind_before
        ends = (
            before in {"E", "S"}
            or (before in {"B", "I"} and prefix in {"B", "S", "O"})
            or (before not in {"O", "."} and changes)
        )
        begins = (
            prefix in {"B", "S"}
            or (before in {"E", "S", "O"} and prefix in {"E", "I"})
            or (prefix not in {"O", "."} and changes)
        )
        if ends:
            yield kind_before, first, place - 1
        if begins:
            first = place
        before, kind_before = prefix, kind


def _check_questions(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]], unanswerable: bool
) -> None:
    unknown = sorted(set(predictions) - set(references))
    if unknown:
        raise DataError(f'Prediction for the unknown question "{unknown[0]}".')
    if not references:
        raise DataError("There is no question to score.")
    empty = sorted(identifier for identifier, answers in references.items() if not answers)
    if empty and not unanswerable:
        raise DataError(
            "There is no reference answer to compare with.",
            where=f'question "{empty[0]}"',
            hint="Only SQuAD 2.0 has questions without an answer.",
        )


def _token_f1(given: str, expected: str) -> float:
    left, right = given.split(), expected.split()
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right)) if shared else 0.0


def _check_tags(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(references):
        raise DataError(
            f"{len(predictions)} predicted and {len(references)} reference sentences do not pair."
        )
    for place, (given, expected) in enumerate(zip(predictions, references, strict=True)):
        if len(given) != len(expected):
            raise DataError(
                f"{len(given)} predicted and {len(expected)} reference tags do not pair.",
                where=f"sentence {place}",
            )
        if not all(given) or not all(expected):
            raise DataError("A tag is empty.", where=f"sentence {place}")
