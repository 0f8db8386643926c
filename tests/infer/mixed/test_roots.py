"""Square roots of covariances and products with block-diagonal matrices, written out in full here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, sparse

from alignaudit.infer.mixed.algebra import block_rows, dense, lower_times_rows, sum_of_blocks, times_lower
from alignaudit.infer.mixed.products import Block
from alignaudit.infer.mixed.roots import (
    directions,
    pack,
    root_curvature,
    root_jacobian,
    semidefinite_root,
    unpack,
    vech_places,
)

WIDTHS = [1, 2, 3]
BLOCKS = (Block(0, 2, 1, slice(0, 2)), Block(1, 3, 2, slice(2, 8)), Block(2, 1, 3, slice(8, 11)))


def lower(width: int, seed: int = 1) -> np.ndarray:
    return np.tril(np.random.default_rng(seed).normal(size=(width, width)))


def whole(roots) -> np.ndarray:
    """Return T of all terms, shape [r, r]."""
    return linalg.block_diag(
        *[np.kron(np.eye(b.groups), root) for b, root in zip(BLOCKS, roots, strict=True)]
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_directions_span_symmetric_matrices(width):
    symmetric = lower(width) + lower(width).T
    rebuilt = np.einsum("i,iab->ab", symmetric[vech_places(width)], directions(width))
    np.testing.assert_array_equal(rebuilt, symmetric)


def test_unpacking_reverses_packing():
    roots = [lower(block.width) for block in BLOCKS]
    for ours, given in zip(unpack(pack(roots), BLOCKS), roots, strict=True):
        np.testing.assert_array_equal(ours, given)


@pytest.mark.parametrize("width", WIDTHS)
def test_jacobian_of_a_root(width):
    """Central differences of a quadratic function are exact."""
    root, places = lower(width), vech_places(width)

    def vech(theta):
        T = np.zeros((width, width))
        T[places] = theta
        return (T @ T.T)[places]

    theta = root[places]
    expected = [(vech(theta + e) - vech(theta - e)) / 2 for e in np.eye(len(theta))]
    np.testing.assert_allclose(root_jacobian(root), np.transpose(expected), atol=1e-12)


@pytest.mark.parametrize("width", WIDTHS)
def test_curvature_of_a_root(width):
    """Second differences of a quadratic function are exact."""
    places, D = vech_places(width), lower(width, 2) + lower(width, 2).T

    def trace(theta):
        T = np.zeros((width, width))
        T[places] = theta
        return np.trace(D @ T @ T.T)

    units = np.eye(len(places[0]))
    expected = [[(trace(a + b) - trace(a - b)) / 2 for a in units] for b in units]
    np.testing.assert_allclose(root_curvature(D), expected, atol=1e-12)


@pytest.mark.parametrize("width", WIDTHS)
def test_root_of_a_positive_definite_matrix(width):
    covariance = lower(width) @ lower(width).T + np.eye(width)
    np.testing.assert_allclose(semidefinite_root(covariance), np.linalg.cholesky(covariance), rtol=1e-12)


@pytest.mark.parametrize(
    "factor",
    [np.array([[1.0], [2.0], [-1.0]]), np.array([[0.0, 0.0], [1.0, 0.5], [2.0, -1.0]]), np.zeros((3, 1))],
    ids=["rank 1", "first zero", "zero"],
)
def test_root_of_a_singular_matrix(factor):
    covariance = factor @ factor.T
    root = semidefinite_root(covariance)
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-14)
    np.testing.assert_array_equal(root, np.tril(root))


def test_products_with_the_roots_of_several_terms():
    roots, matrix = [lower(block.width) for block in BLOCKS], np.random.default_rng(3).normal(size=(11, 4))
    np.testing.assert_allclose(lower_times_rows(BLOCKS, roots, matrix), whole(roots).T @ matrix, atol=1e-13)
    np.testing.assert_allclose(times_lower(BLOCKS, roots, matrix), whole(roots) @ matrix, atol=1e-13)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_block_diagonal_rows(width, form):
    rng = np.random.default_rng(4)
    blocks, matrix = rng.normal(size=(3, width, width)), rng.normal(size=(3 * width, 5))
    ours = block_rows(blocks, form(matrix))
    assert sparse.issparse(ours) == (form is sparse.csr_matrix)
    np.testing.assert_allclose(dense(ours), linalg.block_diag(*blocks) @ matrix, atol=1e-13)


def test_sum_of_diagonal_blocks():
    matrix = np.random.default_rng(5).normal(size=(6, 6))
    expected = matrix[0:2, 0:2] + matrix[2:4, 2:4] + matrix[4:6, 4:6]
    np.testing.assert_allclose(sum_of_blocks(BLOCKS[1], matrix), expected, atol=1e-14)
