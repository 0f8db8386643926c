"""Mining against naive search, XTREME's pairs on the same arrays, and thresholds worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError, UsageError
from alignaudit.measure.mining import (
    MiningCandidates,
    best_threshold,
    mine,
    mining_result,
    mining_score,
)
from alignaudit.measure.retrieval import normalise

RETRIEVALS = ["forward", "backward", "intersection", "max"]
KINDS = ["ratio", "distance", "absolute"]


def sides(n, m, d=6, seed=0):
    generator = stream(seed, "test_mining", n, m)
    meaning = generator.standard_normal((max(n, m), d)) + 0.7
    x, y = (meaning[:count] + generator.standard_normal((count, d)) for count in (n, m))
    return normalise(x, centred=False), normalise(y, centred=False)


def candidates(scores, right):
    """Candidates (i, i) where right, else (i, i + 1); gold pairs are the right ones."""
    count = len(scores)
    columns = np.arange(count) + ~np.array(right, dtype=bool)
    return MiningCandidates(np.arange(count), columns, np.array(scores, float), (count, count + 1))


def gold_of(right, missed=0):
    """The right pairs of :func:`candidates`, and more that are no candidates."""
    found = [[i, i] for i in np.flatnonzero(right)]
    return np.array(found + [[i, len(right)] for i in range(missed)], dtype=np.int64).reshape(-1, 2)


# --------------------------------------------------------------------------- mining


def naive(x, y, k, kind, retrieval):
    """Every margin one by one; pairs as (score, row, column), best first."""
    cosines = x.astype(float) @ y.astype(float).T
    x_means = [np.mean(sorted(row)[-k:]) for row in cosines]
    y_means = [np.mean(sorted(column)[-k:]) for column in cosines.T]

    def margin(i, j):
        a, b = cosines[i, j], (x_means[i] + y_means[j]) / 2
        return {"ratio": a / b, "distance": a - b, "absolute": a}[kind]

    near_x = [sorted(range(len(y)), key=lambda j: -row[j])[:k] for row in cosines]
    near_y = [sorted(range(len(x)), key=lambda i: -column[i])[:k] for column in cosines.T]
    forward = [max((margin(i, j), i, j) for j in near) for i, near in enumerate(near_x)]
    backward = [max((margin(i, j), i, j) for i in near) for j, near in enumerate(near_y)]
    if retrieval in ("forward", "backward"):
        return sorted(forward if retrieval == "forward" else backward, reverse=True)
    if retrieval == "intersection":
        return sorted(set(forward) & set(backward), reverse=True)
    kept = []
    for score, i, j in sorted(set(forward) | set(backward), reverse=True):
        if all(i != other_i and j != other_j for _, other_i, other_j in kept):
            kept.append((score, i, j))
    return kept


@pytest.mark.parametrize("retrieval", RETRIEVALS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 4), (25, 60, 4), (60, 25, 2), (9, 7, 2), (3, 5, 3)])
def test_pairs_and_scores_equal_the_definition(n, m, k, kind, retrieval):
    x, y = sides(n, m)
    found = mine(x, y, k, kind, retrieval)
    scores, rows, columns = zip(*naive(x, y, k, kind, retrieval), strict=True)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.columns, columns)
    # Cosines are float32, good to 6e-8; ratios divide them by means of .3 and more.
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-6)


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_every_sentence_is_used_as_often_as_its_retrieval_says(retrieval):
    found = mine(*sides(50, 80), retrieval=retrieval)
    assert (np.diff(found.scores) <= 0).all()
    assert (len(set(found.rows)) == len(found.rows)) == (retrieval != "backward")
    assert (len(set(found.columns)) == len(found.columns)) == (retrieval != "forward")


def test_with_one_neighbour_pairs_that_choose_each_other_have_margin_one():
    """Each is the other's neighbourhood, so a / b = 1; equal margins come in the order of x."""
    x, y = sides(30, 40)
    found = mine(x, y, 1, "ratio", "intersection")
    np.testing.assert_array_equal(found.scores, 1)
    nearest_y, nearest_x = (x @ y.T).argmax(axis=1), (x @ y.T).argmax(axis=0)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(nearest_x[nearest_y] == np.arange(30)))


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_tensors_give_what_arrays_give(retrieval):
    """The same products, rounded to float32 at the end, by another library: 1e-6 as above."""
    x, y = sides(40, 55)
    array = mine(x, y, retrieval=retrieval)
    tensor = mine(torch.tensor(x), torch.tensor(y), retrieval=retrieval)
    np.testing.assert_array_equal(tensor.rows, array.rows)
    np.testing.assert_array_equal(tensor.columns, array.columns)
    np.testing.assert_allclose(tensor.scores, array.scores, rtol=0, atol=1e-6)
    gold = np.stack([np.arange(40), np.arange(40)], axis=1)
    assert best_threshold(array, torch.tensor(gold)) == best_threshold(array, gold)
    assert mining_score(array, torch.tensor(gold), 1.0) == mining_score(array, gold, 1.0)


def test_faiss_finds_the_same_pairs():
    x, y = sides(60, 60)
    ours, theirs = mine(x, y), mine(x, y, backend="faiss")
    np.testing.assert_array_equal(ours.rows, theirs.rows)
    np.testing.assert_array_equal(ours.columns, theirs.columns)


def test_a_ratio_with_negative_neighbourhoods_is_refused():
    x, y = sides(20, 20)
    with pytest.raises(DataError, match="positive neighbourhood means"):
        mine(x, -y, 20)
    assert len(mine(x, -y, 20, "distance").rows)


def test_unknown_names_are_refused():
    x, y = sides(5, 5)
    with pytest.raises(UsageError, match='Unknown retrieval "both"'):
        mine(x, y, retrieval="both")
    with pytest.raises(UsageError, match='Unknown margin "cosine"'):
        mine(x, y, kind="cosine")
    with pytest.raises(DataError, match=r"Row 0 has length 2"):
        mine(2 * np.eye(3), np.eye(3))


# --------------------------------------------------------------------------- against XTREME

CASES = [
    "plain_300x64",
    "anisotropic_300x64",
    "hubs_300x64",
    "tiny_k_equals_n_4x8",
    "more_targets_100_vs_400",
]


@pytest.fixture(scope="module")
def xtreme(reference_folder):
    values = json.loads((reference_folder / "alignment" / "retrieval.json").read_text())
    return {case: value["xtreme_mine_bitext_mine_mode_ratio_k4"] for case, value in values.items()}


@pytest.fixture(scope="module")
def rows(reference_folder):
    with np.load(reference_folder / "alignment" / "retrieval_inputs.npz") as arrays:
        return {name: normalise(arrays[name], centred=False) for name in arrays.files}


def diagonal(n):
    return np.stack([np.arange(n), np.arange(n)], axis=1)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("ours", "theirs"), [("intersection", "intersect"), ("max", "max")])
def test_xtreme_mines_the_same_pairs(case, ours, theirs, xtreme, rows):
    x, y = rows[f"{case}__x"], rows[f"{case}__y"]
    found = mine(x, y, retrieval=ours)
    score = mining_score(found, diagonal(len(x)), -math.inf)
    expected = xtreme[case][theirs]
    assert (score.extracted, score.correct) == (expected["pairs"], expected["correct"])
    assert (score.precision, score.recall) == (expected["precision"], expected["recall"])
    pairs = {(row, column): s for row, column, s in zip(found.rows, found.columns, found.scores, strict=True)}
    for value, source, target in expected["first3"]:
        assert pairs[int(source[1:]), int(target[1:])] == pytest.approx(value, rel=2e-5)


@pytest.mark.parametrize(("ours", "theirs"), [("forward", "fwd"), ("backward", "bwd")])
@pytest.mark.parametrize("case", CASES)
def test_single_directions_work_where_xtreme_crashes(case, ours, theirs, xtreme, rows):
    """The margin needs the neighbourhood means of both sides; XTREME computes those of one only."""
    assert xtreme[case][theirs].startswith("ERROR UnboundLocalError")
    x, y = rows[f"{case}__x"], rows[f"{case}__y"]
    found = mine(x, y, retrieval=ours)
    mutual = mine(x, y, retrieval="intersection")
    chosen = set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
    assert len(chosen) == (len(x) if ours == "forward" else len(y))
    assert chosen >= set(zip(mutual.rows.tolist(), mutual.columns.tolist(), strict=True))


def test_negative_neighbourhoods_are_refused_where_xtreme_finds_nothing_right(xtreme, rows):
    case = "language_offset_300x64"
    x, y = rows[f"{case}__x"], rows[f"{case}__y"]
    assert xtreme[case]["max"]["correct"] == 0
    with pytest.raises(DataError, match="positive neighbourhood means"):
        mine(x, y)
    assert mining_score(mine(x, y, kind="distance"), diagonal(300), -math.inf).correct > 100


def test_equal_targets_are_told_apart_by_order_only(xtreme, rows):
    """20 targets are there twice: XTREME's choice among equals is faiss's, ours the lower row."""
    x, y = rows["ties_duplicates_40x16__x"], rows["ties_duplicates_40x16__y"]
    found = mine(x, y, retrieval="intersection")
    theirs = xtreme["ties_duplicates_40x16"]["intersect"]
    assert len(found.rows) == theirs["pairs"]
    assert found.columns.max() < 20
    assert [source for _, source, _ in theirs["first3"]] == [f"s{row}" for row in sorted(found.rows)[:3]]


# --------------------------------------------------------------------------- thresholds


def test_the_threshold_by_hand():
    """F1 after each of six candidates with five gold pairs: 2/6, 2/7, 4/8, 6/9, 6/10, 6/11."""
    right = [True, False, True, True, False, False]
    found = candidates([0.9, 0.8, 0.7, 0.6, 0.4, 0.1], right)
    best = best_threshold(found, gold_of(right, missed=2))
    assert best.threshold == pytest.approx(0.5, abs=1e-15)
    assert (best.correct, best.extracted, best.gold) == (3, 4, 5)
    assert (best.precision, best.recall, best.f1) == (3 / 4, 3 / 5, 6 / 9)


def test_the_best_cut_may_come_after_the_last_candidate():
    """The published optimisers read the score after the last one here and fail."""
    right = [True, False, True]
    best = best_threshold(candidates([3, 2, 1], right), gold_of(right))
    assert (best.threshold, best.extracted, best.f1) == (1.0, 3, 0.8)
    alone = best_threshold(candidates([3], [True]), gold_of([True]))
    assert (alone.threshold, alone.f1) == (3.0, 1.0)


def test_a_cut_does_not_split_equal_scores():
    """Cut inside the three equal scores, F1 would be 4/4; but a threshold takes all three or none."""
    right = [True, True, False, False, False]
    found = candidates([2, 1, 1, 1, 0], right)
    best = best_threshold(found, gold_of(right))
    assert (best.threshold, best.extracted, best.f1) == (1.5, 1, 2 / 3)
    assert best_threshold(found, gold_of(right, missed=1)).extracted == 4  # 4/7 beats 2/4


def test_a_cut_between_neighbouring_numbers_separates_them():
    """Halfway between two adjacent numbers lies one of the two."""
    upper = np.nextafter(1.0, 2.0)
    for low, high in ((1.0, upper), (upper, np.nextafter(upper, 2.0))):
        found = candidates([high, low], [True, False])
        best = best_threshold(found, gold_of([True, False]))
        assert mining_score(found, gold_of([True, False]), best.threshold) == best
        assert best.extracted == 1


def test_where_nothing_is_right_nothing_is_extracted():
    found = candidates([2, 1], [False, False])
    best = best_threshold(found, [[0, 0]])
    assert (best.threshold, best.extracted, best.precision, best.f1) == (math.inf, 0, 0.0, 0.0)
    none = MiningCandidates(*(np.zeros(0, dtype=t) for t in (np.int64, np.int64, float)), (2, 2))
    assert best_threshold(none, [[0, 0]]) == best


PROPOSALS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=14).filter(
    lambda proposals: any(right for _, right in proposals)
)


@settings(max_examples=100, deadline=None)
@given(PROPOSALS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_threshold_is_better(proposals, missed, random):
    random.shuffle(proposals)
    scores, right = zip(*proposals, strict=True)
    found, gold = candidates(scores, right), gold_of(right, min(missed, len(right)))
    best = best_threshold(found, gold)
    assert best == mining_score(found, gold, best.threshold)
    others = [mining_score(found, gold, threshold / 2) for threshold in range(-9, 10)]
    assert best.f1 == max(other.f1 for other in others)
    assert best.extracted == min(other.extracted for other in others if other.f1 == best.f1)


@settings(max_examples=50, deadline=None)
@given(PROPOSALS, PROPOSALS)
def test_the_oracle_is_never_worse_than_the_tuned_threshold(development, test):
    sets = []
    for proposals in (development, test):
        scores, right = zip(*proposals, strict=True)
        sets += [candidates(scores, right), gold_of(right)]
    result = mining_result(*sets)
    assert result.development == best_threshold(sets[0], sets[1])
    assert result.test == mining_score(sets[2], sets[3], result.development.threshold)
    assert result.oracle == best_threshold(sets[2], sets[3])
    assert result.oracle.f1 >= result.test.f1


def test_the_development_threshold_is_applied_to_the_test_set():
    """Development separates at 0.5; on the test set that lets one wrong pair in, the oracle does not."""
    development = candidates([0.8, 0.6, 0.4], [True, True, False])
    test = candidates([0.9, 0.6, 0.3], [True, False, False])
    result = mining_result(development, gold_of([1, 1, 0]), test, gold_of([1, 0, 0]))
    assert result.development.threshold == pytest.approx(0.5, abs=1e-15)
    assert (result.test.threshold, result.test.f1) == (result.development.threshold, 2 / 3)
    assert (result.oracle.threshold, result.oracle.f1) == (0.75, 1.0)


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        (np.zeros((0, 2), dtype=np.int64), r"integers of shape \[pairs, 2\]"),
        ([0, 1], r"integers of shape \[pairs, 2\]"),
        ([[0.0, 1.0]], r"integers of shape \[pairs, 2\]"),
        ([[0, 0], [0, 4]], r"Pair 1 is \[0, 4\], but there are 3 and 4 sentences"),
        ([[3, 0]], r"Pair 0 is \[3, 0\]"),
        ([[-1, 0]], r"Pair 0 is \[-1, 0\]"),
        ([[1, 1], [1, 1]], "there twice"),
    ],
)
def test_bad_gold_is_refused(gold, message):
    found = candidates([3, 2, 1], [True, True, False])
    with pytest.raises(DataError, match=message):
        best_threshold(found, gold)
    with pytest.raises(DataError, match=message):
        mining_score(found, gold, 0.0)


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="not a number"):
        mining_score(candidates([1], [True]), [[0, 0]], math.nan)
