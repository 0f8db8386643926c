"""Natural language inference: labels against a brute-force semantics of the English text.

The oracle reads the English sentences with its own parser. A noun phrase or modifier denotes the set
of the particular things it is true of, written out; one description implies another if each of its
sets is contained in the other's.
"""

from __future__ import annotations

from collections import Counter

import pytest

from alignaudit.world.concept import ADJECTIVES, CLASSES, MEMBERS, NAMES, NOUNS, TIMES, VERBS
from alignaudit.world.world import World

OPPOSITES = ("enter exit", "love hate", "push pull", "open close", "lift lower")
OPPOSITES += ("accept refuse", "help harm", "arrive depart")
OPPOSITE = {a: b for pair in OPPOSITES for a, b in (pair.split(), pair.split()[::-1])}
PLURALS = {f"{noun}s": noun for noun in NOUNS if noun not in NAMES}
NOUN_WORDS = {*NOUNS, *PLURALS}
LEAVES = {name: {NOUNS[noun] for noun in MEMBERS[index]} for index, name in enumerate(CLASSES)}


def lemma(word):
    fits = [verb.word for verb in VERBS for end in ("", "s", "es", "ed", "d") if verb.word + end == word]
    fits += ["carry"] * (word in {"carries", "carried"})
    return fits[0] if fits else None


def things(words):
    """Denotation of a noun phrase: definiteness, nouns, adjectives and counts, each a set."""
    noun = next(word for word in words if word in NOUN_WORDS)
    singular = PLURALS.get(noun, noun)
    adjectives = {word for word in words if word in ADJECTIVES}
    counts = {int(word) for word in words if word.isdigit()}
    if not counts:
        counts = set(range(2, 10)) if noun in PLURALS else {1}
    return [
        {"the" in words or noun in NAMES},
        LEAVES.get(singular, {singular}),
        adjectives or {None, *ADJECTIVES},
        counts,
    ]


def parse(sentence):
    """Return (negated, verb, tense, sets) of an English sentence."""
    words = sentence.split()[:-1]
    time = {words.pop()} if words[-1] in TIMES else {None, *TIMES}
    head, place = words, None
    if "in" in words:
        head, place = words[: words.index("in")], words[words.index("in") + 1 :]
    at = next(index for index, word in enumerate(head) if lemma(word) and word not in NOUN_WORDS)
    verb, before = head[at], [word for word in head[:at] if word not in {"do", "does", "did", "will", "not"}]
    past = "did" in head or verb.endswith("ed")
    tense = "future" if "will" in head else "past" if past else "present"
    sets = [time, *things(before)]
    sets += things(head[at + 1 :]) if head[at + 1 :] else []
    return "not" in head, lemma(verb), tense, sets, things(place) if place else None


def implies(one, other):
    """Whether every event that fits ``one`` fits ``other``, polarity aside."""
    if (one[1], one[2], len(one[3])) != (other[1], other[2], len(other[3])):
        return False
    pairs = list(zip(one[3], other[3], strict=True))
    if other[4] is not None:
        if one[4] is None:
            return False
        pairs += zip(one[4], other[4], strict=True)
    return all(a <= b for a, b in pairs)


def judge(premise, hypothesis):
    p, h = parse(premise), parse(hypothesis)
    opposite = (h[0], OPPOSITE.get(h[1]), *h[2:])
    if (not p[0] and not h[0] and implies(p, h)) or (p[0] and h[0] and implies(h, p)):
        return "entailment"
    if (not p[0] and h[0] and implies(p, h)) or (p[0] and not h[0] and implies(h, p)):
        return "contradiction"
    return "contradiction" if not p[0] and not h[0] and implies(p, opposite) else "neutral"


@pytest.mark.parametrize(
    ("premise", "hypothesis", "label"),
    [
        ("a big dog chased 3 cakes in the swamp .", "an animal chased cakes .", "entailment"),
        ("a dog did not enter the school .", "a dog did not enter the school today .", "entailment"),
        ("a dog did not enter the school today .", "a dog did not enter the school .", "neutral"),
        ("anna opens a school late .", "anna closes a school .", "contradiction"),
        ("anna opens a school late .", "hugo opens a school .", "neutral"),
        ("anna will not open a school .", "anna will open a school early .", "contradiction"),
    ],
)
def test_oracle_judges_plain_cases(premise, hypothesis, label):
    assert judge(premise, hypothesis) == label


@pytest.mark.parametrize("seed", [1, 5])
def test_labels_are_right(seed):
    data = World(seed).task("nli", train=1500, dev=150, test=150)
    wrong = [
        (example, judge(example.text, example.text_pair))
        for example in (*data.train, *data.dev, *data.test["en"])
        if data.labels[example.label] != judge(example.text, example.text_pair)
    ]
    assert wrong == []


def test_labels_are_balanced_whatever_the_size():
    data = World(1).task("nli", train=301, dev=20, test=30)
    assert Counter(example.label for example in data.train) == {0: 101, 1: 100, 2: 100}
    assert Counter(example.label for example in data.dev) == {0: 7, 1: 7, 2: 6}
    assert Counter(example.label for example in data.test["tv"]) == {0: 10, 1: 10, 2: 10}


def test_labels_are_the_same_in_every_language():
    data = World(1).task("nli", train=3, dev=3, test=60)
    assert {tuple(example.label for example in examples) for examples in data.test.values()} == {
        tuple(example.label for example in data.test["en"])
    }


@pytest.mark.parametrize("side", ["text", "text_pair"])
def test_negation_on_one_side_tells_nothing(side):
    # A quarter of each class is negated; 2,000 a class have a standard error of 0.0097.
    data = World(1).task("nli", train=6000, dev=3, test=3)
    for label in range(3):
        texts = [getattr(example, side) for example in data.train if example.label == label]
        assert len(texts) == 2000
        assert abs(sum(" not " in text for text in texts) / 2000 - 0.25) < 4 * 0.0097
