"""Basis units from functions: correctly rounded ROMs, and the constants of the integer programs.

A ROM holds, at every code, exact values rounded once. The constants of arithmetic are chosen so that the program stays
within about one LSB of the exact values; what it then computes is its own definition (`pymodel.ir`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.errors import ModelError
from pymodel.ir import Basis, BasisKind, BasisRom, BSplineArith, GramArith, Implementation, IntArray, RbfArith
from pymodel.layers import (
    AfterPReLU,
    BSplineFunctions,
    Functions,
    GramFunctions,
    KnotFunctions,
    RbfFunctions,
    activate,
    cell_matrix,
)
from pymodel.quant._exact import DIGITS, exact_activation, exact_functions, round_values
from pymodel.quant._functions import round_exact, round_float, round_half_up

__all__ = ["basis_exponent", "make_unit", "rom_from_dense", "round_dense", "unit_lsb"]

_Reals = npt.NDArray[np.float64]
#: Positions have so many bits beyond those of the values.
_POSITION_GUARD = 3
#: Entries of a SiLU table.
MAX_SILU = 1 << 12


def basis_exponent(largest: float, bits: int) -> int:
    """Return the smallest e for which `largest`, rounded to an LSB of `2^e`, fits in `bits` unsigned bits.

    Args:
        largest: the largest basis value, positive.
        bits: of the basis values.
    """
    exponent = math.frexp(largest)[1] - bits
    while round_float(math.ldexp(largest, -exponent)) > (1 << bits) - 1:
        exponent += 1
    return exponent


def unit_lsb(functions: Functions, largest: float, bits: int) -> float:
    """Return the LSB of basis values up to `largest` in magnitude: a power of two; one of `bits` is the sign, if any."""
    return 2.0 ** basis_exponent(largest, bits - int(functions.signed)) if largest > 0 else 1.0


def round_dense(
    functions: Functions, points: _Reals, bits: int, scales: tuple[float, ...] | None = None
) -> tuple[IntArray, float]:
    """Return the correctly rounded basis integers (T*C, n_basis) at `points` (ties up), and their LSB.

    Args:
        functions: of a layer.
        points: (C,).
        bits: of the result; signed where basis values can be negative.
        scales: what each basis function is divided by, powers of two; None divides by nothing.
    """
    _, values = exact_functions(functions, points)
    if scales is not None:
        with mpmath.workdps(DIGITS):
            values = [
                [v / Fraction(s) if isinstance(v, Fraction) else v / s for v, s in zip(row, scales, strict=True)]
                for row in values
            ]
    largest = max(abs(value) for row in values for value in row)
    lsb = unit_lsb(functions, float(largest), bits)
    limit = (1 << (bits - int(functions.signed))) - 1
    if largest > 0 and max(round_values([largest], lsb)) > limit:  # float(largest) was rounded down
        lsb *= 2.0
    return np.array([round_values(row, lsb) for row in values], dtype=np.int64), lsb


def _window_starts(dense: IntArray, guess: IntArray, window: int) -> IntArray:
    """Return the first basis index of each code's window: the guess, moved where it would miss a value."""
    n_basis = dense.shape[1]
    start = np.clip(guess, 0, n_basis - window)
    for c, row in enumerate(dense):
        used = np.flatnonzero(row)
        if used.size:
            start[c] = min(max(start[c], used[-1] - window + 1), used[0])
    return start


def rom_from_dense(functions: Functions, points: _Reals, dense: IntArray, lsb: float) -> BasisRom:
    """Return the ROM with the basis integers `dense` (T*C, n_basis), its window as small as the family allows.

    A B-spline has a window of `k + 1`; Gaussians one that holds what did not round to 0; polynomials have them all.
    """
    if isinstance(functions, AfterPReLU):
        points = np.where(points >= 0, points, functions.slope * points)
        functions = functions.inner
    n_basis = dense.shape[1]
    order, scale = 0, 1.0
    if isinstance(functions, BSplineFunctions):
        order, window = functions.order, functions.order + 1
        guess = np.floor((points - functions.low) / functions.step)
    elif isinstance(functions, KnotFunctions):
        order, window = functions.order, functions.order + 1
        cells = [np.searchsorted(grid, points, side="right") - 1 - order for grid in functions.grids]
        guess = np.concatenate(cells).astype(np.float64)
    elif isinstance(functions, RbfFunctions):
        scale = functions.width
        spans = [used[-1] - used[0] + 1 for row in dense if (used := np.flatnonzero(row)).size]
        window = max(1, *spans) if spans else 1
        guess = np.floor((points - functions.low) / functions.spacing) - (window - 1) // 2
    else:
        order, window = n_basis - 1, n_basis
        guess = np.zeros(points.size)
    start = _window_starts(dense, np.clip(guess, 0, n_basis - window).astype(np.int64), window)
    values = np.take_along_axis(dense, start[:, None] + np.arange(window), axis=1)
    assert int(np.abs(values).sum()) == int(np.abs(dense).sum())
    return BasisRom(
        kind=functions.kind,
        values=values,
        start=start,
        n_basis=n_basis,
        lsb=lsb,
        order=order,
        knots=functions.knots,
        n_tables=functions.n_tables,
        scale=scale,
    )


def _position(low: Fraction, step: Fraction, n_codes: int, fraction: int) -> tuple[int, int, int]:
    """Return m, b, s with `(c*m + b) >> s` the position `(low + c*step) * 2^fraction` of code c, rounded to an integer.

    Args:
        low: position of code 0, in cells.
        step: between two codes, in cells.
        n_codes: C.
        fraction: F.
    """
    shift = max(1, (n_codes - 1).bit_length()) + 1
    mult = round_exact(step * 2 ** (fraction + shift))
    offset = round_exact(low * 2 ** (fraction + shift)) + (1 << (shift - 1))
    if mult % (1 << shift) == 0:  # codes are aligned with the grid: no rounding, no shift
        return mult >> shift, offset >> shift, 0
    return mult, offset, shift


def _uniform(
    low: float, step: float, first: float, spacing: float, n_codes: int, bits: int
) -> tuple[IntArray, int, int]:
    """Return position (1, 2), its shift and F for codes at `low + c*step` on a grid that starts at `first`.

    F is smaller where the codes are aligned with the grid, so that the low bits would always be 0.
    """
    fraction = bits + _POSITION_GUARD
    start = (Fraction(low) - Fraction(first)) / Fraction(spacing)
    pitch = Fraction(step) / Fraction(spacing)
    mult, offset, shift = _position(start, pitch, n_codes, fraction)
    while shift == 0 and fraction > 1 and mult % 2 == 0 and offset % 2 == 0:
        mult, offset, fraction = mult // 2, offset // 2, fraction - 1
    return np.array([[mult, offset]], dtype=np.int64), shift, fraction


def _bspline(functions: BSplineFunctions, low: float, step: float, n_codes: int, bits: int, lsb: float) -> BSplineArith:
    order = functions.order
    guard = 3 + order
    position, shift, fraction = _uniform(low, step, functions.low, functions.step, n_codes, bits)
    unit = Fraction(lsb) / 2**guard
    coefficients = [[round_exact(value / unit) for value in row] for row in cell_matrix(order)]
    return BSplineArith(
        n_codes=n_codes,
        n_basis=functions.n_basis,
        lsb=lsb,
        order=order,
        knots=functions.knots,
        position=position,
        position_shift=shift,
        fraction=fraction,
        coefficients=np.array(coefficients, dtype=np.int64),
        guard=guard,
    )


@cache
def _half_gaussian(ratio: float, segment_bits: int, n_segments: int, unit: float) -> IntArray:
    """Return the samples of `exp(-(ratio*d)^2)` at `d = n * 2^-segment_bits`, and a 0 behind them, in `unit`s."""
    with mpmath.workdps(DIGITS):
        points = [mpmath.mpf(n) / 2**segment_bits * mpmath.mpf(ratio) for n in range(n_segments)]
        return np.array([*round_values([mpmath.exp(-(p**2)) for p in points], unit), 0], dtype=np.int64)


def _rbf(functions: RbfFunctions, low: float, step: float, n_codes: int, bits: int, lsb: float) -> RbfArith:
    guard = 3
    ratio = functions.spacing / functions.width
    position, shift, fraction = _uniform(low, step, functions.low, functions.spacing, n_codes, bits)
    # Linear interpolation of exp(-(r d)^2) on segments of 2^-q errs by at most r^2 2^(-2q) / 4; keep it below LSB / 8.
    wanted = max(0, math.ceil(math.log2(max(2.0 * ratio * ratio / lsb, 1.0)) / 2))
    segment_bits = min(wanted, fraction)
    # Samples end where the Gaussian is below half a unit of theirs, 2^-guard LSBs.
    reach = math.sqrt(max(0.0, -math.log(lsb / 2.0 ** (guard + 1)))) / ratio
    n_segments = max(1, math.ceil(reach * 2.0**segment_bits))
    # Values that round to 1 LSB at least are this far away at most.
    near = math.floor(math.sqrt(max(0.0, -math.log(lsb / 2.0))) / ratio)
    return RbfArith(
        n_codes=n_codes,
        n_basis=functions.n_basis,
        lsb=lsb,
        knots=functions.knots,
        scale=functions.width,
        width=min(2 * near + 2, functions.n_basis),
        reach=near,
        position=position,
        position_shift=shift,
        fraction=fraction,
        remainder=fraction - segment_bits,
        samples=_half_gaussian(ratio, segment_bits, n_segments, lsb / 2.0**guard),
        guard=guard,
    )


def _gram(functions: GramFunctions, points: _Reals, bits: int, lsb: float, exact: bool) -> GramArith:
    fraction = bits + _POSITION_GUARD
    if exact:
        tanh = _rounded(lambda x: mpmath.tanh(exact_activation(functions.before, x)), points, 2.0**-fraction)
    else:
        tanh = _near(torch.tanh(activate(functions.before, torch.from_numpy(points))), 2.0**-fraction)
    factors = np.array([round_exact(Fraction(f) * 2**fraction) for f in functions.factors], dtype=np.int64)

    def unit(silu: IntArray, offset: int, silu_shift: int) -> GramArith:
        return GramArith(
            n_codes=int(points.size),
            lsb=lsb,
            knots=functions.knots,
            tanh=tanh,
            fraction=fraction,
            factors=factors,
            factor_shift=fraction,
            silu=silu,
            silu_offset=offset,
            silu_shift=silu_shift,
        )

    # Where the polynomials go decides what the SiLU table must cover: run the recurrence with a table of one entry.
    first, last = unit(np.zeros(1, dtype=np.int64), 0, 0).polynomials
    silu_shift = max(0, fraction - bits)
    while ((last - first) >> silu_shift) + 2 > MAX_SILU:
        silu_shift += 1
    half = (1 << silu_shift) >> 1
    offset = max(0, half - first)
    n_silu = ((last + offset) >> silu_shift) + 1
    centres = ((np.arange(n_silu, dtype=np.float64) * 2.0**silu_shift) - offset + half) / 2.0**fraction
    if exact:
        return unit(_rounded(lambda x: exact_activation("silu", x), centres, lsb), offset, silu_shift)
    return unit(_near(activate("silu", torch.from_numpy(centres)), lsb), offset, silu_shift)


def _rounded(function: Callable[[Any], Any], points: _Reals, lsb: float) -> IntArray:
    """Return a function of mpf at float64 `points`, correctly rounded (ties up)."""
    with mpmath.workdps(DIGITS):
        return np.array(round_values([function(mpmath.mpf(float(x))) for x in points], lsb), dtype=np.int64)


def _near(values: Tensor, lsb: float) -> IntArray:
    """Return float64 `values` rounded to integers: for training, where the points move at every step."""
    return np.asarray(round_half_up(values / lsb).long().numpy(), dtype=np.int64)


def make_unit(
    functions: Functions,
    low: float,
    step: float,
    n_codes: int,
    bits: int,
    implementation: Implementation,
    *,
    exact: bool = True,
    scales: tuple[float, ...] | None = None,
) -> Basis:
    """Return the basis unit of `functions` for codes that stand for `low + c*step`.

    Args:
        functions: of a layer.
        low: representative of code 0.
        step: between two codes, positive.
        n_codes: C.
        bits: of the basis values; signed where they can be negative.
        implementation: ROM or arithmetic.
        exact: round tables from 50 digits; without, arithmetic's tables come from float64, for training.
        scales: what each basis function is divided by (ROM only).
    """
    points = low + step * np.arange(n_codes, dtype=np.float64)
    if implementation is Implementation.ROM:
        dense, lsb = round_dense(functions, points, bits, scales)
        return rom_from_dense(functions, points, dense, lsb)
    lsb = 1.0 if isinstance(functions, KnotFunctions | AfterPReLU) else unit_lsb(functions, _peak(functions), bits)
    match functions:
        case BSplineFunctions():
            return _bspline(functions, low, step, n_codes, bits, lsb)
        case RbfFunctions():
            return _rbf(functions, low, step, n_codes, bits, lsb)
        case AfterPReLU():
            raise ModelError("a basis unit in arithmetic has no PReLU before it; quantize with the implementation rom")
        case KnotFunctions():
            raise ModelError(
                "a basis unit in arithmetic needs a uniform grid, but the grids follow the data; quantize with the "
                "implementation rom"
            )
        case GramFunctions():
            return _gram(functions, points, bits, lsb, exact)
        case _:  # pragma: no cover - a new family must be added above
            raise AssertionError(functions)


def _peak(functions: Functions) -> float:
    """Return the largest value that the basis can have anywhere, so that arithmetic has one LSB for all codes."""
    if functions.kind is BasisKind.RBF:
        return 1.0
    if isinstance(functions, BSplineFunctions):
        order = functions.order
        centre = Fraction(1, 2) if order % 2 == 0 else Fraction(0)
        matrix = cell_matrix(order)
        return float(max(sum(row[j] * centre**p for p, row in enumerate(matrix)) for j in range(order + 1)))
    assert isinstance(functions, GramFunctions)
    t = np.linspace(-1.0, 1.0, 513)
    values = [np.ones_like(t), t]
    for factor in functions.factors[2:]:
        values.append(t * values[-1] - factor * values[-2])
    return float(activate("silu", torch.from_numpy(np.stack(values))).abs().max())
