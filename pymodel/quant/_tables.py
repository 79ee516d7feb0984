"""Tables of a layer by code: in float64 while training, and correctly rounded from exact arithmetic when freezing."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.ir import Implementation, IntArray
from pymodel.layers import Functions
from pymodel.quant._exact import DIGITS, exact_activation, round_values
from pymodel.quant._units import make_unit, round_dense, unit_lsb

__all__ = ["CodeTables", "base_table", "base_table_lsb", "code_tables"]

_Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CodeTables:
    """What a layer reads by code, as tensors: (C, F), or (I, C, F) where each input has functions of its own.

    Attributes:
        exact: (C, F) float, `[act, B_0 …]` at the representatives.
        rounded: (C, F), the same as the hardware has it: rounded to the tables' LSBs, or by integer arithmetic.
        slopes: (C, F), the derivatives by the real input.
        base_lsb, basis_lsb: real values of the LSBs.
    """

    exact: Tensor
    rounded: Tensor
    slopes: Tensor
    base_lsb: float
    basis_lsb: float


@torch.no_grad()
def code_tables(
    functions: Functions,
    low: float,
    step: float,
    n_codes: int,
    bits: int,
    like: Tensor,
    *,
    fixed: bool = False,
    implementation: Implementation = Implementation.ROM,
    scales: tuple[float, ...] | None = None,
) -> CodeTables:
    """Return the tables of the codes `0 … n_codes - 1`, which stand for `low + code * step`.

    Args:
        functions: of the layer.
        low: representative of code 0.
        step: between two codes.
        n_codes: C.
        bits: of the basis values and of the base table (signed).
        like: dtype and device of the result.
        fixed: low and step never change, so the tables may cost the time of :func:`freeze`'s. Their points are round
            numbers, where ties are common; those that move while training are not.
        implementation: of the basis unit.
        scales: what each basis function is divided by, powers of two (ROM only); None divides by nothing.
    """
    points = low + step * np.arange(n_codes, dtype=np.float64)
    exact, slopes = functions.code_table(points)
    if scales is not None:
        divisor = np.array([1.0, *scales])
        exact, slopes = exact / divisor, slopes / divisor
    if implementation is Implementation.ARITH:
        unit = make_unit(functions, low, step, n_codes, bits, implementation, exact=fixed)
        basis, basis_lsb = unit.dense().astype(np.float64), unit.lsb
    elif fixed:
        rounded, basis_lsb = round_dense(functions, points, bits, scales)
        basis = rounded.astype(np.float64)
    else:
        basis_lsb = unit_lsb(functions, float(np.abs(exact[..., 1:]).max()), bits)
        basis = np.floor(exact[..., 1:] / basis_lsb + 0.5)
    if fixed:
        integers, base_lsb = base_table(functions, points, bits)
        base = integers.astype(np.float64)
    else:
        base_lsb = base_table_lsb(exact[..., 0], bits)
        base = np.floor(exact[..., 0] / base_lsb + 0.5)
    values = np.empty_like(exact)
    values[..., 0] = base * base_lsb  # one table, or one per input
    values[..., 1:] = basis.reshape(*exact.shape[:-1], -1) * basis_lsb
    # One tensor for all three: one transfer to a GPU.
    whole = torch.from_numpy(np.stack((exact, values, slopes))).to(like)
    return CodeTables(whole[0], whole[1], whole[2], base_lsb, basis_lsb)


def base_table_lsb(values: _Reals, bits: int) -> float:
    """Return the LSB with which the largest of `values` in magnitude takes the largest of `bits` signed bits."""
    largest = float(np.abs(values).max())
    return largest / ((1 << (bits - 1)) - 1) if largest > 0 else 1.0


def base_table(functions: Functions, points: _Reals, bits: int) -> tuple[IntArray, float]:
    """Return the base activation at `points` (C,) as integers, correctly rounded (ties up) from 50 digits, and their LSB.

    Args:
        functions: of the layer.
        points: real inputs.
        bits: of the result, signed.
    """
    with mpmath.workdps(DIGITS):
        inputs = [exact_activation(functions.before, mpmath.mpf(float(x))) for x in points]
        values = [exact_activation(functions.activation, z) for z in inputs]
        lsb = base_table_lsb(np.array([float(v) for v in values]), bits)
        integers = round_values(values, lsb)
    return np.array(integers, dtype=np.int64), lsb
