"""One cell of the grid against loops: every declared metric, its standard error, and its reason."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.experiment.cell import Pairs, cell_rows
from alignaudit.measure.cka import debiased_cka
from alignaudit.measure.retrieval import normalise

CELL = {name for name, metric in METRICS.items() if metric.where == "cell"}
POOLED = {"accuracy_pool", "accuracy_pool_corrected"}
CENTRED_ONLY, RAW_ONLY = {"cka_debiased", "cka_biased"}, {"language_gap"}
NO_ERROR = {"hub_top_share", "hub_skewness", "hub_orphan_share", "mutual_precision", "cka_biased"}
NEIGHBOURS, POOL = 4, 5


def pairs_of(n: int, foreign=None, english=None, documents=()) -> Pairs:
    texts = [tuple(f"{side}{i}" for i in range(n)) for side in "fe"]
    return Pairs.of(ParallelText("xx", foreign or texts[0], english or texts[1], documents))


def measured(x, y, pairs, *, pool: int = POOL, **more) -> dict[tuple[str, str, bool], dict]:
    rows, _ = cell_rows(x, y, pairs, neighbours=NEIGHBOURS, pool=pool, **more)
    found = {(row["metric"], row["direction"], row["centred"]): row for row in rows}
    assert len(found) == len(rows), "a metric stands there twice"
    return found


@pytest.fixture(scope="module")
def example():
    """Ten pairs near one another, with equal vectors on either side, of equal texts and of others."""
    draw = np.random.default_rng(105)
    y = draw.standard_normal((10, 4)) + 1.5
    x = y + 0.7 * draw.standard_normal((10, 4))
    y[3], y[8] = y[0], y[7]
    x[4], x[6] = x[1], x[5]
    foreign = tuple("f1" if i == 4 else f"f{i}" for i in range(10))
    english = tuple("e0" if i == 3 else f"e{i}" for i in range(10))
    return x.astype(np.float32), y.astype(np.float32), pairs_of(10, foreign, english), (foreign, english)


# ------------------------------------------------------------------ naive recomputation


def cosines(x, y, centred: bool) -> np.ndarray:
    """Cosines [foreign, English], made in float64 and rounded to float32."""
    sides = []
    for side in (x, y):
        rows = side.astype(np.float64)
        rows = rows - rows.mean(axis=0) if centred else rows
        sides.append([(row / math.sqrt((row**2).sum())).astype(np.float32) for row in rows])
    table = [[np.float32(a.astype(float) @ b.astype(float)) for b in sides[1]] for a in sides[0]]
    return np.array(table, dtype=np.float32)


def nearest(row) -> list[int]:
    """Candidates from the nearest to the farthest; of equal ones the first comes first."""
    return sorted(range(len(row)), key=lambda j: (-row[j], j))


def naive_items(table, texts, pool: int) -> dict[str, list[float]]:
    """Per-item values of one direction, queries in rows."""
    n = len(table)
    found = {name: [] for name in METRICS}
    chosen = [nearest(row)[0] for row in table]
    for i, row in enumerate(table):
        best = [j for j in range(n) if row[j] == max(row)]
        wrong = [j for j in range(n) if j != i]
        found["accuracy"].append(1 / len(best) if i in best else 0.0)
        found["accuracy_first"].append(float(best[0] == i))
        found["accuracy_text"].append(sum(texts[j] == texts[i] for j in best) / len(best))
        scores = [1.0 if row[j] < row[i] else 0.5 if row[j] == row[i] else 0.0 for j in wrong]
        found["auc"].append(sum(scores) / len(wrong))
        found["reciprocal_rank"].append(1 / (1 + sum(1 - score for score in scores)))
        drawn = [(*others, i) for others in combinations(wrong, pool - 1)]
        hits = [[j for j in names if row[j] == max(row[list(names)])] for names in drawn]
        found["accuracy_pool"].append(sum((i in hit) / len(hit) for hit in hits) / len(hits))
        precision = (chosen[i] == i) / max(chosen.count(i), 1)
        recall = float(chosen[i] == i)
        both = precision + recall
        found["hub_f1"].append(2 * precision * recall / both if both else 0.0)
        found["xsim_absolute"].append(float(chosen[i] != i))
    found["accuracy_pool_corrected"] = [(a - 1 / pool) / (1 - 1 / pool) for a in found["accuracy_pool"]]
    return {name: values for name, values in found.items() if values}


def naive_margins(table) -> dict[str, list[float]]:
    """Errors by margin of one direction: the best margin among the k nearest."""
    n = len(table)
    own = [np.mean([float(row[j]) for j in nearest(row)[:NEIGHBOURS]]) for row in table]
    other = [np.mean([float(column[j]) for j in nearest(column)[:NEIGHBOURS]]) for column in table.T]
    errors = {"xsim_distance": [], "xsim_ratio": []}
    for i in range(n):
        around = nearest(table[i])[:NEIGHBOURS]
        mean = {j: (own[i] + other[j]) / 2 for j in around}
        by_distance = max(around, key=lambda j: float(table[i, j]) - mean[j])
        by_ratio = max(around, key=lambda j: float(table[i, j]) / mean[j])
        errors["xsim_distance"].append(float(by_distance != i))
        errors["xsim_ratio"].append(float(by_ratio != i))
    errors["margin"] = [float(table[i, i]) - (own[i] + other[i]) / 2 for i in range(n)]
    return errors


def naive_hsic(k, other) -> float:
    """Unbiased HSIC of two Gram matrices (Song et al. 2012, equation 5), term by term."""
    n = len(k)
    k, other = (matrix - np.diag(np.diag(matrix)) for matrix in (k, other))
    products = sum(k[i, j] * other[i, j] for i in range(n) for j in range(n))
    totals = k.sum() * other.sum() / ((n - 1) * (n - 2))
    between = sum(k[i, j] * other[i, m] for i in range(n) for j in range(n) for m in range(n))
    return (products + totals - 2 / (n - 2) * between) / (n * (n - 3))


def naive_cka(x, y) -> tuple[float, float]:
    """Debiased and biased linear CKA."""
    k, other = (np.array([[float(a @ b) for b in s] for a in s]) for s in (x - x.mean(0), y - y.mean(0)))
    debiased = naive_hsic(k, other) / math.sqrt(naive_hsic(k, k) * naive_hsic(other, other))
    return debiased, (k * other).sum() / math.sqrt((k * k).sum() * (other * other).sum())


def test_every_metric_is_there_once_per_direction_and_variant(example):
    x, y, pairs, _ = example
    found = measured(x, y, pairs)
    variants = {name: (True,) if name in CENTRED_ONLY else (False, True) for name in CELL}
    variants |= dict.fromkeys(RAW_ONLY, (False,))
    expected = {(name, d, c) for name in CELL for d in DIRECTIONS for c in variants[name]}
    assert set(found) == expected
    for row in found.values():
        assert list(row) == ["direction", "centred", "metric", "value", "standard_error", "note"]
        assert (type(row["value"]), type(row["standard_error"])) == (float, float)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_per_item_metrics_equal_loops(example, direction, centred):
    """Ties included; sums of ten float64 numbers differ in their last bits only."""
    x, y, pairs, texts = example
    found = measured(x, y, pairs)
    forward = direction == "foreign_to_english"
    table = cosines(x, y, centred)
    table = table if forward else table.T
    items = naive_items(table, texts[1] if forward else texts[0], POOL) | naive_margins(table)
    items["margin_positive"] = [float(margin > 0) for margin in items["margin"]]
    for name, values in items.items():
        row = found[name, direction, centred]
        if name == "xsim_ratio" and math.isnan(row["value"]):
            assert centred
            continue
        assert row["value"] == pytest.approx(sum(values) / len(values), rel=1e-12, abs=1e-15), name
        error = np.std(values, ddof=1) / math.sqrt(len(values))
        assert row["standard_error"] == pytest.approx(error, rel=1e-9, abs=1e-12), name
        assert row["note"] == ""
    assert set(items) >= {name for name in CELL if METRICS[name].about == "direction"} - NO_ERROR


def test_the_example_tells_the_accuracies_apart(example):
    """Otherwise the comparison above could not see one taken for another."""
    found = measured(*example[:3])
    names = {name for name in CELL if METRICS[name].about == "direction"} - NO_ERROR
    values = {name: [found[name, direction, False]["value"] for direction in DIRECTIONS] for name in names}
    assert len(set(map(tuple, values.values()))) == len(values)


@pytest.mark.parametrize("centred", [False, True])
def test_hubs_and_mutual_neighbours_equal_loops(example, centred):
    x, y, pairs, _ = example
    found, table = measured(x, y, pairs), cosines(x, y, centred)
    for direction, one in zip(DIRECTIONS, (table, table.T), strict=True):
        degree = [sum(j in nearest(row)[:NEIGHBOURS] for row in one) for j in range(10)]
        top = max(sum(nearest(row)[0] == j for row in one) for j in range(10))
        deviation = [value - NEIGHBOURS for value in degree]  # their mean is k
        spread = math.sqrt(sum(value**2 for value in deviation) / 10)
        expected = {
            "hub_top_share": top / 10,  # one of ten candidates is more than 1 %
            "hub_orphan_share": degree.count(0) / 10,
            "hub_skewness": sum(value**3 for value in deviation) / 10 / spread**3,
        }
        for name, value in expected.items():
            assert found[name, direction, centred]["value"] == pytest.approx(value, abs=1e-12)
    forward, backward = ([nearest(row)[0] for row in one] for one in (table, table.T))
    mutual = [i for i in range(10) if backward[forward[i]] == i]
    right = [i for i in mutual if forward[i] == i]
    for direction in DIRECTIONS:
        assert found["mutual_precision", direction, centred]["value"] == len(right) / len(mutual)
        assert found["mutual_recall", direction, centred]["value"] == pytest.approx(len(right) / 10)


def test_symmetric_metrics_equal_their_definitions_and_stand_under_both_directions(example):
    x, y, pairs, _ = example
    found = measured(x, y, pairs)
    for name, _, centred in found:
        if METRICS[name].about == "pair":
            one, other = (found[name, direction, centred] for direction in DIRECTIONS)
            assert {**one, "direction": ""} == pytest.approx({**other, "direction": ""}, nan_ok=True)
    wide = [side.astype(np.float64) for side in (x, y)]
    debiased, biased = naive_cka(*wide)
    distance = sum((wide[0].mean(axis=0) - wide[1].mean(axis=0)) ** 2)
    spread = sum(side.var(axis=0, ddof=1).sum() for side in wide) / 2
    # CKA of float32 vectors has float32 products in it.
    assert found["cka_debiased", DIRECTIONS[0], True]["value"] == pytest.approx(debiased, abs=1e-5)
    assert found["cka_biased", DIRECTIONS[0], True]["value"] == pytest.approx(biased, abs=1e-5)
    assert found["language_gap", DIRECTIONS[0], False]["value"] == pytest.approx(distance / spread, rel=1e-6)
    assert abs(debiased - biased) > 0.01


def test_the_retrieval_of_each_variant_comes_with_the_rows(example):
    x, y, pairs, _ = example
    rows, found = cell_rows(x, y, pairs, neighbours=NEIGHBOURS, pool=POOL, centrings=(True,))
    assert list(found) == [True]
    assert {row["centred"] for row in rows if row["metric"] not in RAW_ONLY} == {True}
    value = next(row["value"] for row in rows if row["metric"] == "accuracy")
    assert value == found[True].foreign_to_english.correct.mean()


def test_tensors_give_what_arrays_give(example):
    """Cosines are exact in both; float32 products of the CKA may be summed in another order."""
    x, y, pairs, _ = example
    arrays, tensors = measured(x, y, pairs), measured(torch.from_numpy(x), torch.from_numpy(y), pairs)
    assert set(arrays) == set(tensors)
    for key, row in arrays.items():
        assert tensors[key] == pytest.approx(row, abs=1e-5, nan_ok=True)


# ------------------------------------------------------------------ documents


@pytest.fixture(scope="module")
def documents_example():
    """Eight documents of five pairs: aligned in every other one, so correctness clusters."""
    draw = np.random.default_rng(3)
    y = draw.standard_normal((40, 8))
    document = np.repeat(np.arange(8), 5)
    x = np.where((document % 2 == 0)[:, None], y, draw.standard_normal((40, 8)))
    return x, y, tuple(f"d{number}" for number in document)


def naive_clustered_error(values, documents) -> float:
    mean, names = sum(values) / len(values), sorted(set(documents))
    sums = [sum(v - mean for v, d in zip(values, documents, strict=True) if d == name) for name in names]
    return math.sqrt(len(names) / (len(names) - 1) * sum(s**2 for s in sums)) / len(values)


def test_documents_change_standard_errors_and_nothing_else(documents_example):
    x, y, documents = documents_example
    plain, clustered = (measured(x, y, pairs_of(40, documents=names)) for names in ((), documents))
    assert set(plain) == set(clustered)
    table = cosines(x, y, centred=True)
    items = naive_items(table, list(range(40)), 2) | naive_margins(table)
    for (name, direction, centred), row in clustered.items():
        other = plain[name, direction, centred]
        assert row["value"] == pytest.approx(other["value"], rel=1e-12, nan_ok=True)
        if (direction, centred) == (DIRECTIONS[0], True) and name in items and row["note"] == "":
            if name in POOLED:
                continue
            expected = naive_clustered_error(items[name], documents)
            assert row["standard_error"] == pytest.approx(expected, rel=1e-9)
            if name.startswith("accuracy"):
                # Five alike per document: up to sqrt(5) times; chance keeps it from being all of it.
                assert row["standard_error"] > 1.3 * other["standard_error"]
    sides, key = (x, y), ("cka_debiased", DIRECTIONS[0], True)
    by_document = debiased_cka(*sides, groups=documents).standard_error
    assert clustered[key]["standard_error"] == pytest.approx(by_document, rel=1e-12)
    assert plain[key]["standard_error"] == pytest.approx(debiased_cka(*sides).standard_error, rel=1e-12)
    assert by_document != pytest.approx(debiased_cka(*sides).standard_error, rel=0.05)


@pytest.mark.parametrize("documents", [(), ("d",) * 6])
def test_one_document_or_none_known_leaves_pairs_independent(documents):
    assert pairs_of(6, documents=documents).documents is None


def test_equal_texts_and_documents_have_equal_numbers():
    pairs = pairs_of(4, ("a", "b", "a", "c"), ("x", "x", "y", "x"), ("d", "e", "d", "d"))
    assert pairs.n == 4
    assert pairs.foreign_texts.tolist() == [0, 1, 0, 2]
    assert pairs.english_texts.tolist() == [0, 0, 1, 0]
    assert pairs.documents is not None
    assert pairs.documents.tolist() == [0, 1, 0, 0]


# ------------------------------------------------------------------ what cannot be had


def test_a_refused_ratio_says_why():
    y = np.abs(np.random.default_rng(1).standard_normal((6, 3)))
    found = measured(-y, y, pairs_of(6))
    for direction in DIRECTIONS:
        row = found["xsim_ratio", direction, False]
        assert math.isnan(row["value"])
        assert math.isnan(row["standard_error"])
        assert row["note"] == "The ratio margin needs positive neighbourhood means."
        assert found["xsim_distance", direction, False]["note"] == ""


@pytest.mark.parametrize(("n", "there"), [(POOL - 1, False), (POOL, True), (POOL + 1, True)])
def test_pools_larger_than_the_test_set_are_left_out(n, there):
    draw = np.random.default_rng(n)
    found = measured(draw.standard_normal((n, 3)), draw.standard_normal((n, 3)), pairs_of(n))
    assert ({name for name, _, _ in found} >= POOLED) == there
    assert {name for name, _, _ in found} == (CELL if there else CELL - POOLED)
    if n == POOL:
        pooled, plain = (found[name, DIRECTIONS[0], True] for name in ("accuracy_pool", "accuracy"))
        assert pooled["value"] == pytest.approx(plain["value"], rel=1e-12)


@st.composite
def sides(draw, n: int, d: int) -> np.ndarray:
    """Normal vectors, or such with rows that coincide: all of them, two kinds, or zeros."""
    rows = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal((n, d))
    kind = draw(st.sampled_from(["normal", "constant", "two", "zero", "one differs"]))
    if kind == "constant":
        rows[:] = rows[0]
    elif kind == "two":
        rows = rows[np.arange(n) % 2]
    elif kind == "zero":
        rows[:] = 0
    elif kind == "one differs":
        rows[1:] = rows[1]
    return rows.astype(draw(st.sampled_from([np.float32, np.float64])))


@st.composite
def cells(draw):
    n, d = draw(st.integers(4, 12)), draw(st.integers(1, 4))
    documents = tuple(draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n)))
    texts = tuple(draw(st.lists(st.sampled_from("uvwxyz"), min_size=n, max_size=n)))
    known = draw(st.booleans())
    pairs = pairs_of(n, texts, texts[::-1], documents if known else ())
    return draw(sides(n, d)), draw(sides(n, d)), pairs


@settings(max_examples=150, deadline=None)
@given(cells())
def test_what_is_missing_always_says_why(cell):
    x, y, pairs = cell
    found = measured(x, y, pairs)
    assert {name for name, _, _ in found} == (CELL if pairs.n >= POOL else CELL - POOLED)
    for (name, _, _), row in found.items():
        missing = math.isnan(row["value"])
        no_error = math.isnan(row["standard_error"])
        assert bool(row["note"]) == (missing or (no_error and name not in NO_ERROR)), row
        assert row["note"] == "" or row["note"].endswith(".")
        assert not math.isinf(row["value"])
        if METRICS[name].unit == "share" and not missing:
            assert 0 <= row["value"] <= 1


def test_unit_rows_are_those_of_the_measure(example):
    """The oracle's cosines are of the very rows that the measure takes."""
    x, y, _, _ = example
    left, right = (normalise(side, centred=True).astype(np.float64) for side in (x, y))
    np.testing.assert_array_equal((left @ right.T).astype(np.float32), cosines(x, y, centred=True))
