"""Standard errors by cluster against closed forms, statsmodels, the jackknife and naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure.cluster import (
    clustered_covariance,
    clustered_difference,
    clustered_mean,
    clustered_means,
    covariance_of_means,
)

# All numbers are sums of a few thousand float64 products of size one, so 1e-12 leaves room for rounding.
EXACT = {"rel": 1e-12, "abs": 1e-14}


def items(m=3, n=60, clusters=11, seed=0):
    """Values [m, n] with an effect of the cluster, in clusters of unequal sizes."""
    generator = stream(seed, "test_cluster", m, n, clusters)
    labels = generator.integers(0, clusters, n)
    labels[:clusters] = np.arange(clusters)
    effects = generator.standard_normal((m, clusters))
    return effects[:, labels] + generator.standard_normal((m, n)), labels


def naive_error(values, labels):
    mean = sum(values) / len(values)
    groups = set(labels)
    total = sum(sum(v - mean for v, g in zip(values, labels, strict=True) if g == h) ** 2 for h in groups)
    return math.sqrt(len(groups) / (len(groups) - 1) * total) / len(values)


def test_items_as_clusters_give_the_standard_error_of_independent_items():
    (values, *_), _ = items()
    found = clustered_mean(values, np.arange(60))
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(60), **EXACT)
    assert found.design_effect == pytest.approx(1, **EXACT)
    assert found.effective_items == pytest.approx(60, **EXACT)
    assert math.isnan(found.intraclass_correlation)


@pytest.mark.parametrize("seed", range(3))
def test_statsmodels_gives_the_same_error(seed):
    """Its correction G / (G - 1) * (n - 1) / (n - k) is ours for a single mean, k = 1."""
    values, labels = items(seed=seed)
    ours = clustered_means(values, labels)
    for row, value, error in zip(values, ours.means, ours.standard_errors, strict=True):
        fit = sm.OLS(row, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": labels})
        assert value == pytest.approx(fit.params[0], **EXACT)
        assert error == pytest.approx(fit.bse[0], **EXACT)


@pytest.mark.parametrize(("clusters", "size"), [(2, 5), (7, 3), (20, 1), (12, 40)])
def test_leaving_out_one_cluster_gives_the_same_error_where_clusters_are_equal(clusters, size):
    labels = np.repeat(np.arange(clusters), size)
    values = items(1, clusters * size, clusters)[0][0]
    left_out = np.array([values[labels != cluster].mean() for cluster in range(clusters)])
    jackknife = math.sqrt((clusters - 1) / clusters * np.sum((left_out - left_out.mean()) ** 2))
    # The leave-one-out means differ by about 1 / n of their size, which costs three digits.
    assert clustered_mean(values, labels).standard_error == pytest.approx(jackknife, rel=1e-10)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 100), st.sampled_from("abcde")), min_size=2, max_size=30).filter(
        lambda pairs: len({label for _, label in pairs}) > 1
    )
)
def test_the_error_is_that_of_the_definition(pairs):
    values, labels = zip(*pairs, strict=True)
    # Values reach 100, so sums of their deviations are known to about 1e-12.
    assert clustered_mean(values, labels).standard_error == pytest.approx(
        naive_error(values, labels), rel=1e-9, abs=1e-11
    )


def test_rows_are_taken_one_by_one():
    values, labels = items()
    together = clustered_means(values, labels)
    for row, alone in enumerate(clustered_mean(one, labels) for one in values):
        assert together.means[row] == alone.mean
        assert together.standard_errors[row] == alone.standard_error
        assert together.design_effects[row] == alone.design_effect
        assert together.effective_items[row] == alone.effective_items
        assert together.intraclass_correlations[row] == alone.intraclass_correlation
    assert (together.n, together.clusters) == (60, 11)


def test_order_and_names_of_the_clusters_do_not_matter():
    values, labels = items()
    order = stream(1, "order").permutation(60)
    names = [f"document {label}" for label in labels[order]]
    shuffled, plain = clustered_means(values[:, order], names), clustered_means(values, labels)
    np.testing.assert_allclose(shuffled.standard_errors, plain.standard_errors, rtol=1e-12)
    np.testing.assert_allclose(shuffled.intraclass_correlations, plain.intraclass_correlations, rtol=1e-12)


def test_repeating_every_item_in_its_cluster_adds_nothing():
    """Copies are no evidence: error and effective number stay, the design effect grows."""
    (values, *_), _ = items()
    once = clustered_mean(values, np.arange(60))
    twice = clustered_mean(np.tile(values, 2), np.tile(np.arange(60), 2))
    assert twice.standard_error == pytest.approx(once.standard_error, **EXACT)
    assert twice.intraclass_correlation == pytest.approx(1, **EXACT)
    # Independent items would divide by 119 where these 60 divide by 59.
    assert twice.effective_items == pytest.approx(60 * 118 / 119, rel=1e-12)


# --------------------------------------------------------------------------- intraclass correlation


def test_the_intraclass_correlation_is_that_of_the_analysis_of_variance():
    values, labels = items(seed=4)
    sizes = np.bincount(labels)
    size = (60 - np.sum(sizes**2) / 60) / 10
    for row, found in zip(values, clustered_means(values, labels).intraclass_correlations, strict=True):
        groups = [row[labels == cluster] for cluster in range(11)]
        ratio = stats.f_oneway(*groups).statistic  # MSB / MSW
        assert found == pytest.approx((ratio - 1) / (ratio - 1 + size), rel=1e-10)


def test_the_intraclass_correlation_by_hand():
    """Clusters (1, 3) and (5, 7): MSB = 16, MSW = 2, n0 = 2, so 14 / 18."""
    found = clustered_mean([1.0, 3.0, 5.0, 7.0], [0, 0, 1, 1])
    assert found.intraclass_correlation == pytest.approx(14 / 18, **EXACT)
    assert found.standard_error == pytest.approx(2, **EXACT)  # the clusters' means 2 and 6
    assert found.design_effect == pytest.approx(4 / (20 / 12), **EXACT)


def test_clusters_that_cancel_make_it_negative():
    found = clustered_mean([-1.0, 1.0, -1.0, 1.0], [0, 0, 1, 1])
    assert found.intraclass_correlation == -1
    assert found.standard_error == 0
    assert found.effective_items == math.inf


def test_values_that_do_not_vary_have_no_design_effect():
    found = clustered_mean([0.1] * 7, [0, 0, 0, 1, 1, 2, 2])
    assert (found.mean, found.standard_error) == (0.1, 0.0)
    assert math.isnan(found.design_effect)
    assert math.isnan(found.effective_items)
    assert math.isnan(found.intraclass_correlation)


# --------------------------------------------------------------------------- covariances


def test_covariances_give_the_error_of_every_difference():
    values, labels = items()
    matrix = clustered_covariance(values, labels)
    errors = clustered_means(values, labels).standard_errors
    np.testing.assert_allclose(np.diag(matrix), errors**2, rtol=1e-12)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        difference = clustered_difference(values[i], values[j], labels)
        assert difference.mean == pytest.approx(values[i].mean() - values[j].mean(), rel=1e-10)
        assert difference.standard_error**2 == pytest.approx(
            matrix[i, i] + matrix[j, j] - 2 * matrix[i, j], rel=1e-10
        )


def test_two_sets_with_the_same_items_covary_as_in_the_matrix():
    values, labels = items()
    order = stream(2, "order").permutation(60)
    found = covariance_of_means(values[0], labels, values[1][order], labels[order])
    assert found == pytest.approx(clustered_covariance(values, labels)[0, 1], **EXACT)


def test_two_sets_covary_by_the_clusters_they_share():
    x, y = [1.0, 2.0, 6.0], [0.0, 4.0, 4.0, 8.0]
    # Means 3 and 4; "b" has sums -1 and 0 + 4, "c" has 3 and 0: sqrt(3/2 * 3/2) (-1 * 4 + 3 * 0) / (3 * 4).
    found = covariance_of_means(x, ["a", "b", "c"], y, ["z", "b", "c", "b"])
    assert found == pytest.approx(-0.5, **EXACT)
    assert covariance_of_means(x, ["a", "b", "c"], y, ["u", "v", "w", "u"]) == 0


# --------------------------------------------------------------------------- input


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bool])
def test_tensors_give_what_arrays_give(dtype):
    values, labels = items()
    tensor = torch.tensor(values > 0.5) if dtype == torch.bool else torch.tensor(values, dtype=dtype)
    clusters = torch.tensor(labels)
    array = tensor.numpy()
    # Both are widened to float64 first, so the numbers are the same to the last bit.
    ours, theirs = clustered_means(array, labels), clustered_means(tensor, clusters)
    np.testing.assert_array_equal(ours.standard_errors, theirs.standard_errors)
    np.testing.assert_array_equal(ours.intraclass_correlations, theirs.intraclass_correlations)
    assert clustered_mean(tensor[0], clusters) == clustered_mean(array[0], labels)
    assert clustered_difference(tensor[0], tensor[1], clusters) == clustered_difference(
        array[0], array[1], labels
    )
    np.testing.assert_array_equal(clustered_covariance(tensor, clusters), clustered_covariance(array, labels))
    assert covariance_of_means(tensor[0], clusters, tensor[1], clusters) == covariance_of_means(
        array[0], labels, array[1], labels
    )


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([1.0, 2.0], [0, 0], "All items lie in one cluster"),
        ([1.0, 2.0, 3.0], [0, 1], "2 labels for 3 items"),
        ([1.0, 2.0], [0.0, 1.0], "integers or strings of shape"),
        ([1.0, 2.0], [[0], [1]], "integers or strings of shape"),
        ([1.0, 2.0], np.array(["a", None], dtype=object), "neither all integers nor all strings"),
        ([1.0, math.nan], [0, 1], "NaN or infinity"),
        ([[1.0, 2.0]], [0, 1], r"Values must have shape \[items\]"),
    ],
)
def test_what_cannot_be_clustered_is_refused(values, clusters, message):
    with pytest.raises(DataError, match=message):
        clustered_mean(values, clusters)


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="x has 2 items and y has 3"):
        clustered_difference([1.0, 2.0], [1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(DataError, match="integers and those of the other strings"):
        covariance_of_means([1.0, 2.0], [0, 1], [1.0, 2.0], ["0", "1"])
