"""The costly measures of the primary layer and the change since a reference, against definitions."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize_scalar

from alignaudit.core.contracts import DIRECTIONS
from alignaudit.core.example import ParallelText
from alignaudit.core.metrics import METRICS
from alignaudit.core.rng import stream
from alignaudit.experiment.cell import Pairs
from alignaudit.experiment.primary import primary_rows, reference_rows
from alignaudit.measure.procrustes import draw_folds

PRIMARY, REFERENCE = (
    {name for name, metric in METRICS.items() if metric.where == where} for where in ("primary", "reference")
)
RAW = {"mean_cosine_foreign", "mean_cosine_english"}


def pairs_of(n: int, documents: tuple[str, ...] = ()) -> Pairs:
    sides = [tuple(f"{side}{i}" for i in range(n)) for side in "fe"]
    return Pairs.of(ParallelText("xx", *sides, documents))


def by_key(rows) -> dict[tuple[str, str], dict]:
    listed = list(rows)
    found = {(row["metric"], row["direction"]): row for row in listed}
    assert len(found) == len(listed), "a metric stands there twice"
    return found


def primary(x, y, *, language: str = "xx", repeats: int = 99, documents: tuple[str, ...] = ()):
    return by_key(primary_rows(x, y, pairs_of(len(x), documents), language, repeats))


def values(found, direction: str = DIRECTIONS[0]) -> dict[str, float]:
    return {name: row["value"] for (name, its), row in found.items() if its == direction}


def related(n: int, d: int, seed: int, noise: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = draw.standard_normal((n, d)) + 0.5
    return y + noise * draw.standard_normal((n, d)), y


def unit(side) -> np.ndarray:
    return side / np.sqrt((side**2).sum(axis=1, keepdims=True))


def naive_hsic(k, other) -> float:
    """Unbiased HSIC of two kernels (Song et al. 2012, equation 5)."""
    n = len(k)
    k, other = (matrix - np.diag(np.diag(matrix)) for matrix in (k, other))
    ones = np.ones(n)
    totals = (ones @ k @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
    return (np.trace(k @ other) + totals - 2 / (n - 2) * (ones @ k @ other @ ones)) / (n * (n - 3))


def naive_cka(k, other) -> float:
    return naive_hsic(k, other) / math.sqrt(naive_hsic(k, k) * naive_hsic(other, other))


# ------------------------------------------------------------------ primary


@pytest.mark.parametrize("n", [4, 12])
def test_every_declared_metric_is_there_once_per_direction(n):
    x, y = related(n, 3, 0)
    found = primary(x, y)
    assert set(found) == {(name, direction) for name in PRIMARY for direction in DIRECTIONS}
    assert {row["metric"] for row in found.values() if not row["centred"]} == RAW
    for (name, direction), row in found.items():
        assert not math.isnan(row["value"])
        assert row["note"] == ("The jackknife needs five items." if n == 4 and name[:7] == "cka_rbf" else "")
        if METRICS[name].about == "pair":
            assert row["value"] == found[name, DIRECTIONS[direction == DIRECTIONS[0]]]["value"]


def test_gaussian_cka_equals_its_definition():
    x, y = related(9, 3, 1)
    kernels = []
    for side in (x, y):
        squares = np.array([[float((a - b) @ (a - b)) for b in side] for a in side])
        kernels.append(np.exp(-squares / (2 * 0.5**2 * np.median(squares))))
    assert values(primary(x, y))["cka_rbf_debiased"] == pytest.approx(naive_cka(*kernels), rel=1e-9)


def test_the_null_is_that_of_all_pairings():
    """All 720 pairings of six items are the distribution that z and p speak of."""
    x, y = related(6, 2, 2)
    k, other = x @ x.T, y @ y.T
    every = [naive_cka(k, other[np.ix_(order, order)]) for order in permutations(range(6))]
    value = every[0]
    found = values(primary(x, y, repeats=4999))
    assert found["cka_null_z"] == pytest.approx((value - np.mean(every)) / np.std(every), rel=1e-9)
    share = np.mean(np.array(every) >= value - 1e-12)
    # 4,999 draws: five standard errors of a share.
    assert found["cka_null_p"] == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 4999))


def test_pairs_that_do_not_belong_together_are_not_told_from_chance():
    x, y = related(60, 5, 3)
    orders = [np.random.default_rng(seed).permutation(60) for seed in range(20)]
    apart, together = [values(primary(x, y[order])) for order in orders], values(primary(x, y))
    # Mean 0 and deviation 1 by construction: four standard errors of a mean of twenty.
    assert abs(np.mean([found["cka_null_z"] for found in apart])) < 4 / math.sqrt(20)
    assert sum(found["cka_null_p"] > 0.05 for found in apart) >= 16
    assert together["cka_null_z"] > 10
    assert together["cka_null_p"] == 1 / 100


def test_shape_of_each_side_equals_its_definition():
    x, y = related(7, 3, 5)
    found = values(primary(x, y))
    for side, vectors in (("foreign", x), ("english", y)):
        n, rows = 7, unit(vectors)
        cosine = [float(rows[i] @ rows[j]) for i in range(n) for j in range(n) if i != j]
        assert found[f"mean_cosine_{side}"] == pytest.approx(np.mean(cosine), rel=1e-9)
        above = below = 0.0
        for a, b, c, d in permutations(range(n), 4):
            first, second = vectors[a] - vectors[b], vectors[c] - vectors[d]
            above += float(first @ first) * float(second @ second)
            below += float(first @ second) ** 2
        assert found[f"effective_dimension_{side}"] == pytest.approx(above / below, rel=1e-9)
    assert found["mean_cosine_foreign"] != found["mean_cosine_english"]


def naive_rotation(queries, candidates, fold) -> tuple[list[float], list[float]]:
    """Accuracy of each query with the rotation fitted on the other half, and without it."""
    turned, plain = np.empty(len(queries)), np.empty(len(queries))
    for half in (0, 1):
        held, kept = np.flatnonzero(fold == half), np.flatnonzero(fold != half)
        left, right = (side - side[kept].mean(axis=0) for side in (queries, candidates))
        rotation, _ = orthogonal_procrustes(left[kept], right[kept])
        for result, source in ((turned, left @ rotation), (plain, left)):
            cosines = unit(source[held]) @ unit(right[held]).T
            result[held] = cosines.argmax(axis=1) == np.arange(len(held))
    return turned.tolist(), plain.tolist()


@pytest.mark.parametrize("documents", [(), tuple(f"d{i // 4}" for i in range(40))])
def test_rotation_is_fitted_on_the_other_half_and_documents_stay_whole(documents):
    y = np.random.default_rng(6).standard_normal((40, 4))
    mixed, _ = np.linalg.qr(np.random.default_rng(7).standard_normal((4, 4)))
    x = y @ mixed + 0.4 * np.random.default_rng(8).standard_normal((40, 4)) + 3
    found = primary(x, y, documents=documents)
    fold = draw_folds(40, 2, stream(0, "folds", "xx"), groups=documents or None)
    for direction, sides in zip(DIRECTIONS, ((x, y), (y, x)), strict=True):
        turned, plain = naive_rotation(*sides, fold)
        assert found["procrustes_accuracy", direction]["value"] == pytest.approx(np.mean(turned))
        assert found["half_accuracy", direction]["value"] == pytest.approx(np.mean(plain))
        assert np.mean(turned) > np.mean(plain) + 0.2
        error = found["procrustes_accuracy", direction]["standard_error"]
        independent = np.std(turned, ddof=1) / math.sqrt(40)
        assert (error == pytest.approx(independent)) == (not documents)
    assert found["procrustes_accuracy", DIRECTIONS[0]]["centred"]


def test_the_draws_are_of_the_language_and_of_nothing_else():
    x, y = related(30, 3, 9)[0], related(30, 3, 10)[1]
    assert primary(x, y) == primary(x, y)
    other = primary(x, y, language="yy")
    drawn = {name for (name, _), row in primary(x, y).items() if row != other[name, row["direction"]]}
    assert drawn <= {"cka_null_p", "procrustes_accuracy", "half_accuracy"}
    assert drawn >= {"cka_null_p", "procrustes_accuracy"}


def test_a_side_that_does_not_vary_says_so_where_that_matters():
    y = related(8, 3, 10)[1]
    found = primary(np.ones((8, 3)), y)
    for (name, _), row in found.items():
        assert math.isnan(row["value"]) == bool(row["note"]), name
    missing = {name for (name, _), row in found.items() if row["note"]}
    assert missing == {"cka_rbf_debiased", "cka_null_z", "cka_null_p", "effective_dimension_foreign"}
    assert found["mean_cosine_foreign", DIRECTIONS[0]]["value"] == pytest.approx(1.0)


# ------------------------------------------------------------------ reference


def test_a_reference_that_is_the_encoder_itself_has_not_moved():
    x, y = related(15, 4, 11)
    found = by_key(reference_rows(x, y, pairs_of(15), x, y))
    assert set(found) == {(name, direction) for name in REFERENCE for direction in DIRECTIONS}
    for direction in DIRECTIONS:
        assert found["cka_reference", direction]["value"] == pytest.approx(1.0, abs=1e-12)
        assert found["drift", direction]["value"] == 0.0
        assert found["neighbour_overlap", direction]["value"] == pytest.approx(1.0, abs=1e-12)
    assert {row["centred"] for row in found.values()} == {True}
    assert {row["note"] for row in found.values()} == {""}


def temperature(cosines) -> float:
    def cost(log_sharpness: float) -> float:
        logits = math.exp(log_sharpness) * cosines
        return -float(np.mean(np.diag(logits) - np.log(np.exp(logits).sum(axis=1))))

    return math.exp(-minimize_scalar(cost, bounds=(-3, 7), method="bounded", options={"xatol": 1e-12}).x)


def naive_change(before, after, k: int) -> tuple[list[float], list[float]]:
    """KL divergence and share of kept neighbours of every query, from the cosines of both encoders."""
    old, new = (cosines / temperature(cosines) for cosines in (before, after))
    drift, overlap = [], []
    for i in range(len(before)):
        p, q = (np.exp(row) / np.exp(row).sum() for row in (old[i], new[i]))
        drift.append(float((p * np.log(p / q)).sum()))
        nearest = [set(np.argsort(-table[i])[:k]) for table in (before, after)]
        overlap.append(len(nearest[0] & nearest[1]) / k)
    return drift, overlap


@pytest.mark.parametrize("n", [6, 16])
def test_change_since_a_reference_of_another_width_equals_its_definition(n):
    """Ten neighbours, or all but one where there are fewer. Rows are float32, so 1e-6 is their rounding."""
    x, y = related(n, 4, 12, noise=1.2)
    x_before, y_before = related(n, 3, 13, noise=1.2)
    found = by_key(reference_rows(x, y, pairs_of(n), x_before, y_before))
    kernels = [side @ side.T for side in (x, x_before)]
    assert found["cka_reference", DIRECTIONS[1]]["value"] == pytest.approx(naive_cka(*kernels), rel=1e-9)
    after, before = (
        unit(left - left.mean(axis=0)) @ unit(right - right.mean(axis=0)).T
        for left, right in ((x, y), (x_before, y_before))
    )
    for direction, tables in zip(DIRECTIONS, ((before, after), (before.T, after.T)), strict=True):
        drift, overlap = naive_change(*tables, k=min(10, n - 1))
        for name, items in (("drift", drift), ("neighbour_overlap", overlap)):
            row = found[name, direction]
            assert row["value"] == pytest.approx(np.mean(items), rel=1e-5)
            assert row["standard_error"] == pytest.approx(np.std(items, ddof=1) / math.sqrt(n), rel=1e-4)
        assert np.mean(drift) > 0.01


def test_change_in_documents_is_clustered():
    x, y = related(16, 4, 14)
    x_before, y_before = related(16, 4, 15)
    documents = tuple(f"d{i % 4}" for i in range(16))
    plain, clustered = (
        by_key(reference_rows(x, y, pairs_of(16, names), x_before, y_before)) for names in ((), documents)
    )
    same = Counter(
        plain[key]["standard_error"] == pytest.approx(row["standard_error"]) for key, row in clustered.items()
    )
    assert same == {False: 6}
    for key, row in clustered.items():
        assert row["value"] == pytest.approx(plain[key]["value"], rel=1e-12)
