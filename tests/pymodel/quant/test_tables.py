"""Every table entry is correctly rounded: within half an LSB of the exact value, at every code."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from pymodel.layers import ACTIVATIONS, BSplineFunctions, uniform_knots
from pymodel.quant._exact import exact_basis, round_values
from pymodel.quant._tables import base_table, code_tables
from pymodel.quant._units import basis_exponent, round_dense

#: (low, step, codes): aligned with the grid or not, within the grid and far beyond, one bit and many.
CODERS = [(-2.0, 0.25, 17), (-1.8828125, 0.25, 16), (-2.7502076625823975, 0.5995655059814453, 16), (-9.1, 0.07, 256)]
GEOMETRY = BSplineFunctions(-2.0, 2.0, 5, 3)
CODERS += [(-0.4, 0.9, 2), (30.0, 1.0, 4), (-40.0, 0.31, 256)]


def divided_difference(knots: list[mpmath.mpf], order: int, x: mpmath.mpf) -> mpmath.mpf:
    """A B-spline by the divided difference of truncated powers: another formula than the one under test."""
    total = mpmath.mpf(0)
    for i, t in enumerate(knots):
        if t > x:
            product = mpmath.mpf(1)
            for j, other in enumerate(knots):
                if j != i:
                    product *= t - other
            total += (t - x) ** order / product
    return (knots[-1] - knots[0]) * total


@pytest.mark.parametrize("order", range(1, 8))
@pytest.mark.parametrize("coder", CODERS, ids=str)
def test_basis_is_within_half_an_lsb_of_mpmath_and_scipy(order: int, coder: tuple[float, float, int]) -> None:
    low, step, n_codes = coder
    grid, bits = 5, 6
    knots = uniform_knots(-2.0, 2.0, grid, order)
    points = low + step * np.arange(n_codes)
    integers, lsb = round_dense(BSplineFunctions(-2.0, 2.0, grid, order), points, bits)
    assert integers.shape == (n_codes, grid + order)
    assert integers.min() >= 0
    assert integers.max() < 1 << bits
    with mpmath.workdps(60):
        exact = [mpmath.mpf(float(t)) for t in knots]
        for x, row in zip(points, integers, strict=True):
            for b, value in enumerate(row):
                true = divided_difference(exact[b : b + order + 2], order, mpmath.mpf(float(x)))
                assert abs(int(value) * mpmath.mpf(lsb) - true) <= mpmath.mpf(lsb) / 2 + mpmath.mpf(10) ** -50
    for b in range(grid + order):
        spline = BSpline.basis_element(knots[b : b + order + 2], extrapolate=False)
        assert np.abs(integers[:, b] * lsb - np.nan_to_num(spline(points))).max() <= lsb / 2 + 1e-14


@pytest.mark.parametrize("bits", [2, 4, 6, 8, 12, 16])
def test_basis_lsb_is_the_smallest_power_of_two_that_fits(bits: int) -> None:
    for largest in (1.0, 2 / 3, 0.75, 0.5, np.nextafter(0.5, 0), 0.0123):
        exponent = basis_exponent(largest, bits)
        assert largest / 2.0**exponent + 0.5 < 1 << bits
        assert largest / 2.0 ** (exponent - 1) + 0.5 >= 1 << bits


def test_basis_ties_go_up() -> None:
    # Order 1 at the middle between a knot and 1/8 of a cell: 1/16 is a tie for an LSB of 1/8.
    assert round_values([Fraction(1, 16), Fraction(3, 16), Fraction(3, 4), Fraction(-1, 16)], 0.125) == [1, 2, 6, 0]


def test_half_open_intervals_as_scipy() -> None:
    knots = uniform_knots(0.0, 4.0, 4, 1)
    at_knots = exact_basis(knots, 1, knots)
    for b in range(5):
        expected = [1 if j == b + 1 else 0 for j in range(7)]
        assert [row[b] for row in at_knots] == expected


@pytest.mark.parametrize("bits", [2, 4, 6, 8, 12, 16])
@pytest.mark.parametrize("coder", CODERS, ids=str)
def test_silu_is_within_half_an_lsb_of_mpmath(bits: int, coder: tuple[float, float, int]) -> None:
    low, step, n_codes = coder
    points = low + step * np.arange(n_codes)
    integers, lsb = base_table(GEOMETRY, points, bits)
    assert np.abs(integers).max() == (1 << (bits - 1)) - 1
    with mpmath.workdps(80):
        for x, value in zip(points, integers, strict=True):
            z = mpmath.mpf(float(x))
            true = z * (1 + mpmath.tanh(z / 2)) / 2  # another formula than the one under test
            assert abs(int(value) * mpmath.mpf(lsb) - true) <= mpmath.mpf(lsb) / 2


def test_silu_that_is_zero_everywhere() -> None:
    integers, lsb = base_table(GEOMETRY, np.zeros(2), 6)
    assert integers.tolist() == [0, 0]
    assert lsb == 1.0


@pytest.mark.parametrize("coder", CODERS, ids=str)
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_training_tables_equal_the_frozen_ones(order: int, coder: tuple[float, float, int]) -> None:
    low, step, n_codes = coder
    geometry = BSplineFunctions(-2.0, 2.0, 5, order)
    like = torch.zeros((), dtype=torch.float64)
    tables = code_tables(geometry, low, step, n_codes, 6, like)
    points = low + step * np.arange(n_codes)
    integers, lsb = round_dense(geometry, points, 6)
    if integers.any():
        assert tables.basis_lsb == lsb
    # float64 may decide a tie differently; a tie is the only place where the two may differ
    trained = tables.rounded[:, 1:].numpy() / tables.basis_lsb
    ties = np.abs(tables.exact[:, 1:].numpy() / lsb % 1.0 - 0.5) < 1e-9
    assert np.array_equal(trained[~ties], integers[~ties])
    fixed = code_tables(geometry, low, step, n_codes, 6, like, fixed=True)
    assert np.array_equal(fixed.rounded[:, 1:].numpy() / fixed.basis_lsb, integers)
    silu, silu_lsb = base_table(geometry, points, 6)
    assert np.array_equal(fixed.rounded[:, 0].numpy(), silu * silu_lsb)
    assert tables.base_lsb == pytest.approx(silu_lsb, rel=1e-14)
    np.testing.assert_allclose(tables.rounded[:, 0].numpy() / silu_lsb, silu, atol=1e-9)


#: By name: another formula than the one under test.
OTHER = {
    "silu": lambda z: z * (1 + mpmath.tanh(z / 2)) / 2,
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "relu": lambda z: (z + abs(z)) / 2,
    "tanh": lambda z: 1 - 2 / (mpmath.exp(2 * z) + 1),
    "sigmoid": lambda z: (1 + mpmath.tanh(z / 2)) / 2,
    "identity": lambda z: z,
    "zero": lambda z: z * 0,
}


@pytest.mark.parametrize("coder", CODERS, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_within_half_an_lsb_of_mpmath_and_torch(
    activation: str, coder: tuple[float, float, int]
) -> None:
    low, step, n_codes = coder
    points = low + step * np.arange(n_codes)
    integers, lsb = base_table(BSplineFunctions(-2.0, 2.0, 5, 3, activation), points, 8)
    with mpmath.workdps(80):
        for x, value in zip(points, integers, strict=True):
            true = OTHER[activation](mpmath.mpf(float(x)))
            assert abs(int(value) * mpmath.mpf(lsb) - true) <= mpmath.mpf(lsb) / 2 * (1 + mpmath.mpf(10) ** -40)
    real = ACTIVATIONS[activation](torch.from_numpy(points)).numpy()
    assert np.abs(integers * lsb - real).max() <= lsb / 2 + 1e-13
