from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure import arrays
from alignaudit.measure.arrays import centred
from alignaudit.measure.geometry import isotropy, language_gap

# Sums of a few thousand float64 products of numbers near 1, taken in another order.
ROUNDING = 1e-11


def cloud(n, d, seed=0, offset=2.0):
    draw = stream(seed, "test_geometry", n, d)
    return draw.standard_normal((n, d)) * np.linspace(0.3, 2, d) + offset * draw.standard_normal(d)


def sides(n, d, seed=0):
    draw = stream(seed, "test_geometry sides", n, d)
    x = cloud(n, d, seed)
    return x, 0.8 * x + draw.standard_normal((n, d)) + draw.standard_normal(d)


def total_variance(x):
    return float(np.trace(np.atleast_2d(np.cov(x, rowvar=False))))


def brute_gap(x, y):
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2)) / ((total_variance(x) + total_variance(y)) / 2)


def jackknife(measure, *columns):
    n = len(columns[0])
    without = np.array([measure(*(np.delete(side, i, axis=0) for side in columns)) for i in range(n)])
    return math.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))


def brute_cosine(x):
    cosines = [
        float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) if np.any(a) and np.any(b) else 0.0
        for a, b in itertools.combinations(x, 2)
    ]
    return float(np.mean(cosines))


# ------------------------------------------------------------------------------- language gap


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 20), d=st.integers(1, 8))
def test_the_gap_and_its_error_equal_the_definition(seed, n, d):
    x, y = sides(n, d, seed)
    found = language_gap(x, y)
    np.testing.assert_allclose(found.value, brute_gap(x, y), rtol=ROUNDING)
    # The jackknife subtracts values that agree in their first digits.
    np.testing.assert_allclose(found.standard_error, jackknife(brute_gap, x, y), rtol=1e-8, atol=1e-12)
    noise = total_variance(x - y) / n / ((total_variance(x) + total_variance(y)) / 2)
    np.testing.assert_allclose(found.corrected, found.value - noise, rtol=0, atol=1e-11 * (1 + noise))


def test_a_known_shift_gives_a_known_gap():
    x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    assert language_gap(x, x + np.array([3.0, 4.0])).value == pytest.approx(25 / (10 / 3), rel=1e-15)
    assert (
        language_gap(x, x + np.array([3.0, 4.0])).corrected == language_gap(x, x + np.array([3.0, 4.0])).value
    )


def test_a_shared_rotation_shift_and_scale_change_nothing():
    x, y = sides(40, 6)
    rotation = np.linalg.qr(cloud(6, 6, 3))[0]
    moved = [7 * side @ rotation + 11 for side in (x, y)]
    assert language_gap(*moved).value == pytest.approx(language_gap(x, y).value, rel=1e-10)


def test_centred_sides_have_no_gap():
    x, y = sides(40, 6)
    assert language_gap(centred(x), centred(y)).value < 1e-28  # squares of float64 rounding


def test_the_corrected_gap_does_not_depend_on_the_number_of_pairs():
    draw = stream(1, "corrected gap")
    shift = np.full(5, 0.1)  # the true gap is 5 * 0.1^2 over a total variance of 5 * 1.25
    truth, plain, corrected = 5 * 0.01 / (5 * 1.25), [], []
    for _ in range(2000):
        shared = draw.standard_normal((10, 5))
        x, y = (shared + 0.5 * draw.standard_normal((10, 5)) + place for place in (0, shift))
        found = language_gap(x, y)
        plain.append(found.value)
        corrected.append(found.corrected)
    error = np.std(corrected) / math.sqrt(2000)
    assert abs(np.mean(corrected) - truth) < 5 * error
    assert np.mean(plain) > truth + 20 * error


def test_a_gap_without_spread_says_why_it_is_not_a_number():
    found = language_gap(np.ones((4, 2)), np.zeros((4, 2)))
    assert math.isnan(found.value)
    assert found.reason == "Neither side varies."
    lone = np.array([[0.0], [0.0], [0.0], [1.0]])
    assert language_gap(lone, lone).reason == "Neither side varies without pair 3."
    assert math.isnan(language_gap(lone, lone).standard_error)
    assert language_gap(lone[2:], lone[2:]).reason == "The jackknife needs three pairs."


def test_a_gap_refuses_sides_that_do_not_match():
    with pytest.raises(DataError, match="dimensions"):
        language_gap(np.ones((4, 2)), np.ones((4, 3)))
    with pytest.raises(DataError, match="rows"):
        language_gap(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match="too few"):
        language_gap(np.ones((1, 2)), np.ones((1, 2)))


# ------------------------------------------------------------------------------- isotropy


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 14), d=st.integers(1, 16), zeros=st.integers(0, 2))
def test_mean_cosines_equal_those_of_all_pairs(seed, n, d, zeros):
    x = cloud(n, d, seed)
    x[:zeros] = 0
    found = isotropy(x)
    assert found.mean_cosine == pytest.approx(brute_cosine(x), abs=1e-13)
    assert found.standard_error == pytest.approx(jackknife(brute_cosine, x), abs=1e-12)
    flat = x - x.mean(axis=0)
    assert found.centred_mean_cosine == pytest.approx(brute_cosine(flat), abs=1e-12)
    assert found.centred_standard_error == pytest.approx(jackknife(brute_cosine, flat), abs=1e-11)
    own = [np.mean([brute_cosine(x[[i, j]]) for j in range(n) if j != i]) for i in range(n)]
    np.testing.assert_allclose(found.sentence_cosine, own, rtol=0, atol=1e-13)


def test_the_largest_contribution_is_that_of_the_rogue_coordinate():
    x = cloud(50, 8, offset=0)
    x[:, 5] += 20
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    parts = np.mean([unit[i] * unit[j] for i, j in itertools.combinations(range(50), 2)], axis=0)
    found = isotropy(x)
    assert found.rogue_coordinate == 5
    assert found.largest_contribution == pytest.approx(parts[5], abs=1e-13)
    assert found.largest_contribution / found.mean_cosine > 0.95
    assert abs(found.centred_mean_cosine) < 0.1


@pytest.mark.parametrize(("n", "d"), [(6, 10), (10, 6), (300, 20)])
def test_the_effective_dimension_is_the_participation_ratio_of_the_eigenvalues(n, d):
    x = cloud(n, d)
    eigenvalues = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    ratio = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    found = isotropy(x)
    assert found.effective_dimension == pytest.approx(ratio, rel=ROUNDING)
    variances = x.var(axis=0)
    assert found.largest_variance_coordinate == variances.argmax()
    assert found.largest_variance_share == pytest.approx(variances.max() / variances.sum(), rel=ROUNDING)


def published_isoscore(x):
    """The six steps of Rudman et al. (2022), one after the other."""
    d = x.shape[1]
    _, basis = np.linalg.eigh(np.cov(x, rowvar=False))
    diagonal = np.diag(np.cov(x @ basis, rowvar=False))
    scaled = math.sqrt(d) * diagonal / np.linalg.norm(diagonal)
    defect = np.linalg.norm(scaled - 1) / math.sqrt(2 * (d - math.sqrt(d)))
    share = (d - defect**2 * (d - math.sqrt(d))) ** 2 / d**2
    return (d * share - 1) / (d - 1)


@pytest.mark.parametrize(("n", "d"), [(200, 2), (60, 7), (500, 30)])
def test_isoscore_equals_its_published_steps(n, d):
    x = cloud(n, d)
    assert isotropy(x).isoscore == pytest.approx(published_isoscore(x), abs=1e-12)


def test_isoscore_runs_from_a_line_to_a_ball():
    line = np.outer(np.arange(5.0), [1.0, 2.0, 3.0])
    assert isotropy(line).isoscore == pytest.approx(0, abs=1e-14)
    ball = np.concatenate([np.eye(3), -np.eye(3)])
    assert isotropy(ball).isoscore == pytest.approx(1, abs=1e-14)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 7), d=st.integers(1, 9))
def test_the_corrected_dimension_equals_the_mean_over_quadruples(seed, n, d):
    x = cloud(n, d, seed)
    over = under = 0.0
    for a, b, e, f in itertools.permutations(range(n), 4):
        first, second = x[a] - x[b], x[e] - x[f]
        over += float(first @ first) * float(second @ second)
        under += float(first @ second) ** 2
    assert isotropy(x).corrected_effective_dimension == pytest.approx(over / under, rel=1e-9)


def test_the_corrected_dimension_holds_at_any_n():
    draw = stream(2, "dimension")
    scales = np.linspace(0.5, 1.5, 60)
    truth = (scales**2).sum() ** 2 / (scales**4).sum()
    for n in (40, 400):
        found = [isotropy(draw.standard_normal((n, 60)) * scales) for _ in range(60)]
        corrected = np.array([one.corrected_effective_dimension for one in found])
        # A ratio of unbiased estimates is biased by its variance: 1 % here.
        tolerance = 5 * corrected.std() / math.sqrt(60) + 0.01 * truth
        assert abs(corrected.mean() - truth) < tolerance
    small = isotropy(draw.standard_normal((40, 60)) * scales)
    assert small.effective_dimension < 0.6 * truth


def test_centring_leaves_the_variance_measures_and_takes_the_mean_cosine():
    x = cloud(60, 9)
    raw, flat = isotropy(x), isotropy(centred(x))
    for name in (
        "effective_dimension",
        "corrected_effective_dimension",
        "isoscore",
        "largest_variance_share",
    ):
        assert getattr(raw, name) == pytest.approx(getattr(flat, name), rel=1e-10), name
    assert flat.mean_cosine == pytest.approx(raw.centred_mean_cosine, abs=1e-13)
    assert raw.mean_cosine > 0.5 > flat.mean_cosine


def test_what_is_not_a_number_has_a_reason():
    flat = isotropy(np.ones((5, 3)))
    assert flat.reason == "Nothing varies."
    assert flat.mean_cosine == pytest.approx(1, abs=1e-15)
    assert flat.centred_mean_cosine == 0
    assert flat.largest_variance_coordinate == -1
    assert all(math.isnan(value) for value in (flat.effective_dimension, flat.isoscore))
    assert "two coordinates" in isotropy(np.arange(5.0)[:, None]).reason
    two = isotropy(np.eye(2))
    assert (
        two.reason
        == "The jackknife needs three sentences. The corrected effective dimension needs four sentences."
    )
    assert math.isnan(two.standard_error)
    simplex = isotropy(np.eye(4))  # differences of four corners are orthogonal or share a corner
    assert simplex.reason == "The unbiased tr S^2 is not positive."
    assert math.isnan(simplex.corrected_effective_dimension)
    assert simplex.effective_dimension == pytest.approx(3, rel=1e-14)
    with pytest.raises(DataError, match="no other"):
        isotropy(np.ones((1, 3)))


# ------------------------------------------------------------------------------- both


@pytest.mark.parametrize("cells", [1, 50, 1000])
def test_blocks_of_any_size_give_the_same(cells, monkeypatch):
    x, y = sides(60, 9)
    whole, gap = isotropy(x), language_gap(x, y)
    monkeypatch.setattr(arrays, "_BLOCK_CELLS", cells)
    parts, part = isotropy(x), language_gap(x, y)
    for name in ("mean_cosine", "effective_dimension", "corrected_effective_dimension", "standard_error"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-10), name
    assert part.value == pytest.approx(gap.value, rel=1e-10)
    assert part.standard_error == pytest.approx(gap.standard_error, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_give_what_arrays_give(dtype):
    x, y = (torch.tensor(side, dtype=dtype) for side in sides(60, 9))
    for measure, one in ((isotropy, (x,)), (language_gap, (x, y))):
        tensor, array = measure(*one), measure(*(side.numpy() for side in one))
        for name in array.__slots__:
            ours, theirs = getattr(tensor, name), getattr(array, name)
            if isinstance(theirs, str):
                assert ours == theirs
            else:
                # The same float64 sums by another library.
                np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12, err_msg=name)
                assert isinstance(ours, type(theirs))


def test_a_large_common_offset_does_not_hurt_in_single_precision():
    x, y = sides(200, 16)
    exact = language_gap(x, y), isotropy(x)
    high = [(side + 1000).astype(np.float32) for side in (x, y)]
    # Rounding 1000 to float32 moves each number by up to 3e-5.
    assert language_gap(*high).value == pytest.approx(exact[0].value, rel=1e-4)
    assert isotropy(high[0]).effective_dimension == pytest.approx(exact[1].effective_dimension, rel=1e-4)
