"""The streamed CKA against the one from centred features, in float64; and where it must stand back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alignaudit.core.rng import stream
from alignaudit.errors import DataError
from alignaudit.measure import cka_stream
from alignaudit.measure.cka import debiased_cka, linear_cka
from alignaudit.measure.cka_stream import streamed_cka

# As in test_cka_precision: float32 products of d terms err by sqrt(d) 2^-25, independently of each other.
SINGLE = 2e-7


def related(n, d_x, d_y):
    generator = stream(0, "test_cka_stream", n, d_x, d_y)
    x = generator.standard_normal((n, d_x))
    y = x @ generator.standard_normal((d_x, d_y)) / math.sqrt(d_x) + generator.standard_normal((n, d_y))
    return x.astype(np.float32), y.astype(np.float32)


def check(x, y, tolerance=SINGLE):
    found = streamed_cka(x, y)
    double = debiased_cka(x.astype(np.float64), y.astype(np.float64), standard_error=False)
    assert found.value == pytest.approx(double.value, abs=tolerance)
    assert found.biased == pytest.approx(double.biased, abs=tolerance)
    return found


@pytest.mark.parametrize("shape", [(9, 2, 3), (300, 16, 24), (3000, 40, 1), (1500, 200, 200)])
@pytest.mark.parametrize("offset", [0, 1, 1e3])
def test_it_is_that_of_float64(shape, offset):
    x, y = related(*shape)
    x = x + np.float32(offset) * np.linspace(0.5, 1.5, x.shape[1], dtype=np.float32)
    found = check(x, y)
    assert debiased_cka(x, y, standard_error=False).value == found.value
    assert linear_cka(x, y) == found.biased
    assert (found.n, found.most_influential_item, found.jackknife.shape) == (len(x), -1, (0,))
    assert math.isnan(found.standard_error)


@pytest.mark.parametrize(("part", "block"), [(40, 1600), (4000, 4001), (1, 1)])
def test_blocks_of_any_size_give_the_same(monkeypatch, part, block):
    monkeypatch.setattr(cka_stream, "_PART_CELLS", part)
    monkeypatch.setattr(cka_stream, "_BLOCK_CELLS", block)
    check(*related(330, 16, 24))


def test_views_and_their_order_are_no_obstacle():
    x, y = related(300, 16, 24)
    expected = streamed_cka(x, y).value
    assert streamed_cka(np.asfortranarray(x), y[:, ::-1]).value == pytest.approx(expected, abs=SINGLE)
    assert streamed_cka(y, x).value == pytest.approx(expected, abs=SINGLE)
    assert streamed_cka(x, x).value == pytest.approx(1.0, abs=SINGLE)


def test_a_centre_beside_the_mean_is_accounted_for(monkeypatch):
    """The rows that the centre is taken from are not like the others: skewed, and farther off."""
    monkeypatch.setattr(cka_stream, "_CENTRE_ROWS", 100)
    x, y = related(400, 6, 5)
    x, y = x + np.abs(x) * 0.3, y + np.abs(y[:, ::-1]) * 0.2
    x[::4] += 0.25
    y[::4] -= 0.25
    check(x, y)


def test_a_mean_too_far_from_the_centre_is_left_to_the_others(monkeypatch):
    monkeypatch.setattr(cka_stream, "_CENTRE_ROWS", 100)
    x, y = related(400, 6, 5)
    x[::4] += 40
    assert streamed_cka(x, y) is None
    assert streamed_cka(y, x) is None


@pytest.mark.parametrize("scale", [1e-30, 1e-4, 1e4, 1e25])
def test_a_scale_far_from_one_is_left_to_the_others(scale):
    x, y = related(40, 3, 4)
    assert streamed_cka(x * np.float32(scale), y) is None
    assert streamed_cka(x, y * np.float32(scale)) is None
    assert streamed_cka(x * np.float32(10), y / np.float32(10)) is not None


@pytest.mark.parametrize("size", [10, 100, 1000, 10000])
def test_one_far_row_costs_no_digits(size):
    x, y = related(300, 8, 8)
    x[5] += size
    y[5] += size
    double = debiased_cka(x.astype(np.float64), y.astype(np.float64))
    found = debiased_cka(x, y, standard_error=False)
    assert found.value == pytest.approx(double.value, abs=2e-6)
    assert (streamed_cka(x, y) is None) == (size >= 100)


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, 1 / 3, 0])
def test_a_flat_side_is_left_to_the_others(value):
    flat = np.full((57, 3), value, dtype=np.float32)
    assert streamed_cka(flat, related(57, 3, 3)[1]) is None
    flat[4] += 1
    assert streamed_cka(related(57, 3, 3)[1], flat) is None


def test_what_is_not_finite_is_refused_as_ever():
    for value in (np.nan, np.inf, -np.inf):
        x, y = related(300, 8, 8)
        y[200, 3] = value
        assert streamed_cka(x, y) is None
        for call in (lambda: debiased_cka(x, y, standard_error=False), lambda: linear_cka(x, y)):  # noqa: B023
            with pytest.raises(DataError, match="Row 200 holds NaN or infinity"):
                call()


def test_only_matrices_of_float32_with_fewer_columns_than_rows_are_taken():
    x, y = related(40, 6, 6)
    others = [
        (x.tolist(), y),
        (torch.from_numpy(x), torch.from_numpy(y)),
        (x.astype(np.float64), y),
        (x, y.astype(np.float16)),
        (x[:30], y),
        (x[:3], y[:3]),
        (x[:11], y[:11]),  # 12 columns
        (x[:, 0], y),
        (x[:, :0], y),
    ]
    assert [streamed_cka(*sides) for sides in others] == [None] * len(others)
