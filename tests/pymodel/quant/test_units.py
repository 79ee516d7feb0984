"""Basis units from functions: ROMs correctly rounded at every code, arithmetic close to them, exact in every station."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf

from pymodel.errors import ModelError
from pymodel.ir import BasisRom, BSplineArith, GramArith, Implementation, RbfArith
from pymodel.layers import BSplineFunctions, Functions, GramFunctions, RbfFunctions, gram_factor
from pymodel.quant._exact import exact_functions
from pymodel.quant._units import make_unit

ROM, ARITH = Implementation.ROM, Implementation.ARITH

#: (low, step, codes): aligned with the grids below, on and beside knots, far outside, one code, many.
CODERS = [(-2.0, 0.25, 17), (-2.0, 0.125, 33), (-1.8828125, 0.25, 16), (-2.75020766, 0.59956550598, 16)]
CODERS += [(-9.1, 0.07, 256), (-0.4, 0.9, 2), (30.0, 1.0, 4), (0.1, 1.0, 1)]
SPLINES = [BSplineFunctions(-2.0, 2.0, grid, order) for grid, order in ((5, 1), (4, 2), (4, 3), (1, 3), (7, 4), (3, 5))]
GAUSSIANS = [
    RbfFunctions(-2.0, 2.0, 8, 4 / 7),
    RbfFunctions(-2.0, 2.0, 2, 4.0),
    RbfFunctions(-1.0, 1.0, 9, 0.1),
    RbfFunctions(-1.0, 1.0, 5, 1.5, "gelu"),
]
GRAMS = [
    GramFunctions((0.0, 0.0)),
    GramFunctions((0.0, 0.0, 0.2, -3.1), "silu", "silu"),
    GramFunctions((0.0, 0.0, 2.25 * 0.05, 33.33 * -0.02, 137.8 * 0.01, 0.3)),
]
EVERY = [*SPLINES, *GAUSSIANS, *GRAMS]


def points_of(coder: tuple[float, float, int]) -> np.ndarray:
    low, step, n_codes = coder
    return low + step * np.arange(n_codes)


def other_formula(functions: Functions, x: float) -> list[mpf]:
    """Gaussians and polynomials in 80 digits, written another way than the code under test."""
    z = mpf(x)
    if functions.before == "silu":
        z = z * (1 + mpmath.tanh(z / 2)) / 2
    if isinstance(functions, RbfFunctions):
        return [1 / mpmath.exp((z - mpf(float(g))) ** 2 / mpf(functions.width) ** 2) for g in functions.knots]
    assert isinstance(functions, GramFunctions)
    e = mpmath.exp(-2 * z)
    t = (1 - e) / (1 + e)
    p = [mpf(1), t]
    while len(p) < functions.n_basis:
        p.append(t * p[-1] - mpf(functions.factors[len(p)]) * p[-2])
    return [v * (1 + mpmath.tanh(v / 2)) / 2 for v in p]


@pytest.mark.parametrize("coder", CODERS, ids=str)
@pytest.mark.parametrize("functions", [*GAUSSIANS, *GRAMS], ids=str)
@pytest.mark.parametrize("bits", [3, 8])
def test_roms_are_within_half_an_lsb_of_mpmath(
    functions: Functions, coder: tuple[float, float, int], bits: int
) -> None:
    unit = make_unit(functions, *coder, bits, ROM)
    assert isinstance(unit, BasisRom)
    limit = 1 << (bits - int(functions.signed))
    assert -limit <= unit.values.min()
    assert unit.values.max() < limit
    with mpmath.workdps(80):
        for x, row in zip(points_of(coder), unit.dense(), strict=True):
            for value, true in zip(row, other_formula(functions, float(x)), strict=True):
                assert abs(int(value) * mpf(unit.lsb) - true) <= mpf(unit.lsb) / 2
    # Float layers compute the same functions.
    real, _ = functions.table(torch.from_numpy(points_of(coder)))
    assert np.abs(unit.dense() * unit.lsb - real[:, 1:].numpy()).max() <= unit.lsb / 2 + 1e-12


def test_a_gaussian_window_holds_what_does_not_round_to_zero_and_no_more() -> None:
    for bits, most in ((5, 4), (7, 5), (9, 5), (11, 6), (13, 7)):  # 1.0 takes a bit: LSBs of 2^-4 … 2^-12
        unit = make_unit(GAUSSIANS[0], -2 / 7 - 2.0, 0.01, 500, bits, ROM)  # some codes on a centre
        assert unit.window == most  # the facts about fast-kan's default grid
        used = [np.flatnonzero(row) for row in unit.dense()]
        assert max(u[-1] - u[0] + 1 for u in used if u.size) == unit.window


#: LSBs by which arithmetic may differ from the exact value, as measured over all coders here.
TOLERANCE = {BSplineArith: 1.0, RbfArith: 1.0, GramArith: 2.5}


@pytest.mark.parametrize("coder", CODERS, ids=str)
@pytest.mark.parametrize("functions", EVERY, ids=str)
@pytest.mark.parametrize("bits", [4, 8])
def test_arithmetic_stays_close_to_the_functions(
    functions: Functions, coder: tuple[float, float, int], bits: int
) -> None:
    unit = make_unit(functions, *coder, bits, ARITH)
    _, exact = exact_functions(functions, points_of(coder))
    reals = np.array([[float(v) for v in row] for row in exact])
    assert np.abs(unit.dense() * unit.lsb - reals).max() <= TOLERANCE[type(unit)] * unit.lsb  # type: ignore[index]
    low, high = (0, 1 << bits) if not functions.signed else (-(1 << (bits - 1)), 1 << (bits - 1))
    assert low <= unit.values.min()
    assert unit.values.max() <= high


def test_aligned_codes_make_small_positions() -> None:
    """Four codes per cell: two bits of position, no rounding; a free step needs them all."""
    spline = BSplineFunctions(-2.0, 2.0, 4, 3)
    aligned, free = (make_unit(spline, -2.0, step, 16, 6, ARITH) for step in (0.25, 0.26))
    assert isinstance(aligned, BSplineArith)
    assert isinstance(free, BSplineArith)
    assert (aligned.fraction, aligned.position_shift, aligned.position.tolist()) == (2, 0, [[1, 0]])
    assert (free.fraction, free.position_shift) == (9, 5)
    assert aligned.inside
    assert not make_unit(spline, -2.5, 0.25, 16, 6, ARITH).inside  # type: ignore[attr-defined]


def test_training_arithmetic_is_the_frozen_one_but_for_ties() -> None:
    for functions in EVERY:
        for coder in CODERS:
            exact, quick = (make_unit(functions, *coder, 6, ARITH, exact=e) for e in (True, False))
            assert np.array_equal(exact.dense(), quick.dense()), (functions, coder)


def test_gram_factors_are_those_of_the_library() -> None:
    assert [round(gram_factor(n), 2) for n in range(2, 7)] == [2.25, 33.33, 137.81, 362.88, 756.25]


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ModelError, match=r"one of silu, .*, not 'mish'"):
        exact_functions(BSplineFunctions(-1.0, 1.0, 3, 3, "mish"), np.zeros(1))


def test_far_outside_everything_is_zero() -> None:
    for functions in (*SPLINES, *GAUSSIANS):
        for implementation in (ROM, ARITH):
            for low in (-1e6, 1e6):
                unit = make_unit(functions, low, 1.0, 3, 6, implementation)
                if functions.before == "identity" or low > 0:
                    assert not unit.values.any(), (functions, implementation)
    assert math.isfinite(make_unit(GRAMS[1], 1e6, 1.0, 2, 6, ARITH).lsb)
