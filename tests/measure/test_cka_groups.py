"""The jackknife that leaves out groups, such as the sentences of a document."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure.cka import centred_gram, cka_from_grams, debiased_cka
from alignaudit.measure.cka_jackknife import grouped, jackknife_error


def song_hsic(k, l):  # noqa: E741
    """Song et al. (2012), equation 5, term by term on Gram matrices."""
    n = len(k)
    k, l, ones = k - np.diag(np.diag(k)), l - np.diag(np.diag(l)), np.ones(n)  # noqa: E741
    means = (ones @ k @ ones) * (ones @ l @ ones) / ((n - 1) * (n - 2))
    return np.trace(k @ l) + means - 2 / (n - 2) * ones @ k @ l @ ones


def brute_cka(k, l):  # noqa: E741
    return song_hsic(k, l) / math.sqrt(song_hsic(k, k) * song_hsic(l, l))


def related(n, d_x, d_y, seed=0):
    generator = stream(seed, "test_cka_groups", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    y = x @ generator.standard_normal((d_x, d_y)) / math.sqrt(d_x) + generator.standard_normal((n, d_y))
    return x, y


def brute_without(k, l, labels):  # noqa: E741
    kept = [labels != label for label in np.unique(labels)]
    return [brute_cka(k[mask][:, mask], l[mask][:, mask]) for mask in kept]


def uneven(n, count, seed=0):
    """Labels of groups of unequal size, not in order; each of the first n is there."""
    generator = stream(seed, "labels")
    labels = np.concatenate([np.arange(count), (generator.random(n - count) ** 2 * count).astype(int)])
    return generator.permutation(labels) * 7 - 3


SHAPES = [(20, 3, 2), (24, 60, 30), (60, 6, 9), (60, 100, 4), (200, 16, 16)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [2, 7, 15])
def test_jackknife_equals_leaving_out_each_group(shape, count):
    x, y = related(*shape)
    labels = uneven(shape[0], count)
    found = debiased_cka(x, y, groups=labels)
    if found.reason:
        assert shape[0] - np.unique(labels, return_counts=True)[1].max() < 4
        return
    brute = brute_without(x @ x.T, y @ y.T, labels)
    np.testing.assert_allclose(found.jackknife, brute, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.groups, np.unique(labels))
    spread = np.array(brute) - np.mean(brute)
    assert found.standard_error == pytest.approx(math.sqrt((count - 1) / count * spread @ spread), rel=1e-9)
    assert abs(spread[found.most_influential_item]) == pytest.approx(np.abs(spread).max(), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(14, 30), d=st.integers(2, 25), labels=st.data())
def test_jackknife_equals_leaving_out_each_group_at_random(seed, n, d, labels):
    x, y = related(n, d, d, seed)
    groups = np.array(labels.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    found = debiased_cka(x, y, groups=groups)
    if found.reason:
        sizes = np.bincount(groups)
        assert len(np.unique(groups)) < 2 or n - sizes.max() < 4 or "cannot be told" in found.reason
        return
    # A denominator near zero magnifies rounding: with few items left |CKA| may be large.
    np.testing.assert_allclose(
        found.jackknife, brute_without(x @ x.T, y @ y.T, groups), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_of_one_item_are_the_jackknife_of_items(shape):
    x, y = related(*shape)
    labels = stream(1, "order").permutation(shape[0])
    by_group, by_item = debiased_cka(x, y, groups=labels), debiased_cka(x, y)
    np.testing.assert_allclose(by_group.jackknife[labels], by_item.jackknife, rtol=0, atol=1e-12)
    assert by_group.standard_error == pytest.approx(by_item.standard_error, rel=1e-9)
    assert labels[by_item.most_influential_item] == by_group.groups[by_group.most_influential_item]
    assert by_group.value == by_item.value


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_grams_and_tensors_give_the_same(kernel):
    x, y = related(90, 12, 7)
    labels = uneven(90, 11)
    expected = debiased_cka(x, y, kernel=kernel, groups=labels)
    grams = cka_from_grams(centred_gram(x, kernel=kernel), centred_gram(y, kernel=kernel), groups=labels)
    tensors = debiased_cka(torch.from_numpy(x), torch.from_numpy(y), kernel=kernel, groups=labels)
    for found in (grams, tensors):
        np.testing.assert_allclose(found.jackknife, expected.jackknife, rtol=0, atol=1e-12)
        assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)


def test_float32_is_close_to_float64():
    x, y = related(300, 100, 100)
    labels = uneven(300, 30)
    double = debiased_cka(
        x.astype(np.float32).astype(float), y.astype(np.float32).astype(float), groups=labels
    )
    single = debiased_cka(x.astype(np.float32), y.astype(np.float32), groups=labels)
    np.testing.assert_allclose(single.jackknife, double.jackknife, rtol=0, atol=1e-7)
    assert single.standard_error == pytest.approx(double.standard_error, rel=1e-5)


def test_words_are_labels():
    x, y = related(12, 3, 3)
    words = np.array(["b", "a", "c"] * 4)
    found = debiased_cka(x, y, groups=words)
    assert found.groups.tolist() == ["a", "b", "c"]
    codes = debiased_cka(x, y, groups=[1, 0, 2] * 4)
    np.testing.assert_array_equal(found.jackknife, codes.jackknife)


def test_standard_error_by_group_is_that_of_repeated_sampling_when_groups_are_unequal():
    """Documents of 2 or 20 sentences with a topic in common; items alone, or size weights, fall short."""
    weights = stream(0, "weights").standard_normal((6, 6)) / 2.5
    values, by_group, by_item, by_size = [], [], [], []
    for seed in range(120):
        generator = stream(seed, "documents")
        sizes = generator.permutation(np.repeat([2, 20], [30, 10]))
        labels = np.repeat(np.arange(40), sizes)
        n = len(labels)
        x = 1.2 * generator.standard_normal((40, 6))[labels] + 0.6 * generator.standard_normal((n, 6))
        noise = 1.2 * generator.standard_normal((40, 6))[labels] + 0.6 * generator.standard_normal((n, 6))
        found = debiased_cka(x, x @ weights + noise, groups=labels)
        values.append(found.value)
        by_group.append(found.standard_error)
        by_item.append(debiased_cka(x, x @ weights + noise).standard_error)
        ratio = n / sizes  # Busing, Meijer and van der Leeden (1999)
        centre = 40 * found.value - (1 - 1 / ratio) @ found.jackknife
        pseudo = ratio * found.value - (ratio - 1) * found.jackknife
        by_size.append(math.sqrt(np.mean((pseudo - centre) ** 2 / (ratio - 1))))
    truth = np.std(values, ddof=1)  # itself known to 6.5 % from 120 samples
    assert 0.95 * truth < np.mean(by_group) < 1.3 * truth  # a jackknife over few groups errs upwards
    assert np.mean(by_size) < 0.8 * truth
    assert np.mean(by_item) < 0.5 * truth


def test_groups_that_leave_too_few_items_are_named():
    x, y = related(8, 3, 3)
    found = debiased_cka(x, y, groups=["long"] * 5 + ["short"] * 3)
    assert found.reason == "Without group long fewer than four items are left."
    assert found.groups[found.most_influential_item] == "long"
    assert math.isnan(found.standard_error)
    assert not math.isnan(found.value)


def test_one_group_has_no_standard_error():
    found = debiased_cka(*related(8, 3, 3), groups=np.zeros(8, int))
    assert found.reason == "The jackknife needs two groups."
    assert np.isnan(found.jackknife).tolist() == [True]


def test_a_group_that_carries_all_variation_is_named():
    x = np.zeros((12, 1))
    x[2], x[7] = 1.0, -1.0
    labels = np.arange(12) // 2
    labels[7] = labels[2]
    found = debiased_cka(x, related(12, 3, 3)[1], groups=labels)
    assert found.reason.endswith("without group 1.")
    assert not math.isnan(found.value)


@pytest.mark.parametrize("labels", [[0, 1], np.zeros((6, 1))])
def test_labels_must_be_one_per_item(labels):
    with pytest.raises(DataError, match=r"Groups must have shape \[6\]"):
        debiased_cka(*related(6, 2, 2), groups=labels)


def test_grouped_keeps_every_item_once():
    groups = grouped(["b", "a", "b"], 3)
    assert groups.labels.tolist() == ["a", "b"]
    assert [items.tolist() for items in groups.members] == [[1], [0, 2]]
    assert groups.sizes.tolist() == [1, 2]
    assert groups.sums(np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]


def test_error_of_a_mean_is_the_usual_one():
    values = stream(0, "mean").standard_normal(50)
    without = (values.sum() - values) / 49
    assert jackknife_error(without) == pytest.approx(values.std(ddof=1) / math.sqrt(50), rel=1e-12)
