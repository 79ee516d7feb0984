"""Basis and base tables: in float64 while training, and correctly rounded from exact arithmetic when freezing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.ir import IntArray
from pymodel.layers import feature_table, uniform_knots
from pymodel.quant._functions import round_exact, round_half_up

__all__ = ["CodeTables", "Geometry", "basis_exponent", "code_tables", "exact_basis", "exact_silu"]

_DIGITS = 50
_Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """The uniform grid of a layer: `grid` cells on [low, high], and the spline order k."""

    low: float
    high: float
    grid: int
    order: int

    @property
    def step(self) -> float:
        """Length of a cell."""
        return (self.high - self.low) / self.grid

    @property
    def knots(self) -> _Reals:
        """The G + 2k + 1 knots in float64."""
        return uniform_knots(self.low, self.high, self.grid, self.order)


@dataclass(frozen=True)
class CodeTables:
    """What a layer reads by code, as tensors.

    Attributes:
        exact: (C, F) float, `[SiLU, B_0 …]` at the representatives.
        rounded: (C, F), the same rounded to the tables' LSBs.
        slopes: (C, F), the derivatives by the real input.
        base_lsb, basis_lsb: real values of the LSBs.
    """

    exact: Tensor
    rounded: Tensor
    slopes: Tensor
    base_lsb: float
    basis_lsb: float


def basis_exponent(largest: float, bits: int) -> int:
    """Return the smallest e for which `largest`, rounded to an LSB of `2^e`, fits in `bits` unsigned bits.

    Args:
        largest: the largest basis value, positive.
        bits: of the basis values.
    """
    exponent = math.frexp(largest)[1] - bits
    exact = Fraction(largest)
    while round_exact(exact / Fraction(2) ** exponent) > (1 << bits) - 1:
        exponent += 1
    return exponent


@torch.no_grad()
def code_tables(
    geometry: Geometry, low: float, step: float, n_codes: int, bits: int, like: Tensor, *, fixed: bool = False
) -> CodeTables:
    """Return the tables of the codes `0 … n_codes - 1`, which stand for `low + code * step`.

    Args:
        geometry: of the grid.
        low: representative of code 0.
        step: between two codes.
        n_codes: C.
        bits: of the basis values (unsigned) and of the base table (signed).
        like: dtype and device of the result.
        fixed: low and step never change, so the tables may cost the time of :func:`freeze`'s. Their points are round
            numbers, where ties are common; those that move while training are not.
    """
    points = low + step * torch.arange(n_codes, dtype=torch.float64)
    exact, slopes = feature_table(points, geometry.low, geometry.step, geometry.grid, geometry.order)
    if fixed:
        at = points.numpy()
        basis, basis_lsb = round_basis(exact_basis(geometry.knots, geometry.order, at), bits)
        base, base_lsb = exact_silu(at, bits)
        integers = torch.from_numpy(np.column_stack((base, basis))).double()
    else:
        largest = float(exact[:, 1:].max())
        basis_lsb = 2.0 ** basis_exponent(largest, bits) if largest > 0 else 1.0
        base_lsb = base_table_lsb(exact[:, 0].numpy(), bits)
    lsb = torch.full((exact.shape[1],), basis_lsb, dtype=torch.float64)
    lsb[0] = base_lsb
    if not fixed:
        integers = round_half_up(exact / lsb)
    return CodeTables(exact.to(like), (integers * lsb).to(like), slopes.to(like), base_lsb, basis_lsb)


def base_table_lsb(values: _Reals, bits: int) -> float:
    """Return the LSB with which the largest of `values` in magnitude takes the largest of `bits` signed bits."""
    largest = float(np.abs(values).max())
    return largest / ((1 << (bits - 1)) - 1) if largest > 0 else 1.0


def exact_basis(knots: _Reals, order: int, points: _Reals) -> list[list[Fraction]]:
    """Return the B-splines on `knots` at `points`, exactly: (C, n_basis) rationals.

    The recursion of Cox and de Boor on the float64 knots and points as they are; half-open intervals, as scipy's.

    Args:
        knots: strictly increasing, (n_basis + order + 1,).
        order: k.
        points: (C,).
    """
    t = [Fraction(float(knot)) for knot in knots]
    n_basis = len(t) - order - 1
    rows = []
    for point in points:
        x = Fraction(float(point))
        row = [Fraction(0)] * n_basis
        cell = next((j for j in range(len(t) - 1) if t[j] <= x < t[j + 1]), None)
        if cell is not None:
            local = {cell: Fraction(1)}
            for k in range(1, order + 1):
                new: dict[int, Fraction] = {}
                for j in range(max(0, cell - k), min(cell, len(t) - k - 2) + 1):
                    left = local.get(j, Fraction(0)) * (x - t[j]) / (t[j + k] - t[j])
                    right = local.get(j + 1, Fraction(0)) * (t[j + k + 1] - x) / (t[j + k + 1] - t[j + 1])
                    new[j] = left + right
                local = new
            for j, value in local.items():
                row[j] = value
        rows.append(row)
    return rows


def round_basis(values: list[list[Fraction]], bits: int) -> tuple[IntArray, float]:
    """Return the integers (C, n_basis) of exact basis values, correctly rounded (ties up), and their LSB.

    Args:
        values: exact basis values.
        bits: of the result, unsigned.
    """
    largest = max(max(row) for row in values)
    exponent = basis_exponent(float(largest), bits) if largest > 0 else 0
    if round_exact(largest / Fraction(2) ** exponent) > (1 << bits) - 1:  # float(largest) was rounded down
        exponent += 1
    scale = Fraction(2) ** -exponent
    integers = [[round_exact(value * scale) for value in row] for row in values]
    return np.array(integers, dtype=np.int64), 2.0**exponent


def exact_silu(points: _Reals, bits: int) -> tuple[IntArray, float]:
    """Return SiLU at `points` (C,) as integers, correctly rounded (ties up) from 50 digits, and their LSB.

    Args:
        points: real inputs.
        bits: of the result, signed.
    """
    with mpmath.workdps(_DIGITS):
        values = [mpmath.mpf(float(x)) / (1 + mpmath.exp(-mpmath.mpf(float(x)))) for x in points]
        lsb = base_table_lsb(np.array([float(v) for v in values]), bits)
        integers = [int(mpmath.floor(v / mpmath.mpf(lsb) + mpmath.mpf("0.5"))) for v in values]
    return np.array(integers, dtype=np.int64), lsb
