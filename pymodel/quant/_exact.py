"""Basis functions and activations to 50 digits or as rationals, and correctly rounded to integers.

Every table of the chain comes from here, once; the stations share tables, not code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

import mpmath
import numpy as np
import numpy.typing as npt

from pymodel.errors import ModelError
from pymodel.layers import (
    AfterPReLU,
    BSplineFunctions,
    Functions,
    GramFunctions,
    KnotFunctions,
    RbfFunctions,
    prelu_slope,
)
from pymodel.quant._functions import round_exact

__all__ = ["DIGITS", "exact_activation", "exact_basis", "exact_functions", "round_values"]

DIGITS: Final = 50
_Reals = npt.NDArray[np.float64]
#: An mpf, or a Fraction.
Number = Any


def _silu(x: Number) -> Number:
    return x / (1 + mpmath.exp(-x))


_ACTIVATIONS: Final = MappingProxyType[str, Callable[[Number], Number]](
    {
        "silu": _silu,
        "gelu": lambda x: x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2,
        "relu": lambda x: max(x, mpmath.mpf(0)),
        "tanh": mpmath.tanh,
        "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
        "identity": lambda x: x,
        "zero": lambda _: mpmath.mpf(0),
    }
)


def exact_activation(name: str, x: Number) -> Number:
    """Return the activation called `name` of an mpf in the working precision.

    Raises:
        ModelError: if there is none of that name.
    """
    slope = prelu_slope(name)
    if slope is not None:
        return x if x >= 0 else mpmath.mpf(slope) * x
    if name not in _ACTIVATIONS:
        raise ModelError(f"an activation must be one of {', '.join(_ACTIVATIONS)}, not {name!r}; choose one of these")
    return _ACTIVATIONS[name](x)


def exact_basis(knots: _Reals, order: int, points: Iterable[float | Fraction]) -> list[list[Fraction]]:
    """Return the B-splines on `knots` at `points`, exactly: (C, n_basis) rationals.

    The recursion of Cox and de Boor on the float64 knots and points as they are; half-open intervals, as scipy's. Where
    knots coincide so that a denominator is 0, the function is 0, as pykan has it.

    Args:
        knots: non-decreasing, (n_basis + order + 1,).
        order: k.
        points: (C,).
    """
    t = [Fraction(float(knot)) for knot in knots]
    n_basis = len(t) - order - 1
    rows = []
    for point in points:
        x = point if isinstance(point, Fraction) else Fraction(float(point))
        row = [Fraction(0)] * n_basis
        cell = next((j for j in range(len(t) - 1) if t[j] <= x < t[j + 1]), None)
        if cell is not None:
            local = {cell: Fraction(1)}
            for k in range(1, order + 1):
                new: dict[int, Fraction] = {}
                for j in range(max(0, cell - k), min(cell, len(t) - k - 2) + 1):
                    if t[j + k] == t[j] or t[j + k + 1] == t[j + 1]:
                        new[j] = Fraction(0)
                        continue
                    left = local.get(j, Fraction(0)) * (x - t[j]) / (t[j + k] - t[j])
                    right = local.get(j + 1, Fraction(0)) * (t[j + k + 1] - x) / (t[j + k + 1] - t[j + 1])
                    new[j] = left + right
                local = new
            for j, value in local.items():
                row[j] = value
        rows.append(row)
    return rows


def _gaussians(functions: RbfFunctions, z: Number) -> list[Number]:
    return [mpmath.exp(-(((z - mpmath.mpf(float(g))) / mpmath.mpf(functions.width)) ** 2)) for g in functions.knots]


def _gram(functions: GramFunctions, z: Number) -> list[Number]:
    t = mpmath.tanh(z)
    values = [mpmath.mpf(1), t]
    for factor in functions.factors[2:]:
        values.append(t * values[-1] - mpmath.mpf(factor) * values[-2])
    return [_silu(value) for value in values]


def _mpf(point: float | Fraction) -> Number:
    if isinstance(point, Fraction):
        return mpmath.mpf(point.numerator) / mpmath.mpf(point.denominator)
    return mpmath.mpf(float(point))


def _past(functions: AfterPReLU, point: float | Fraction) -> Fraction:
    x = Fraction(point) if isinstance(point, Fraction) else Fraction(float(point))
    return x if x >= 0 else Fraction(functions.slope) * x


def exact_functions(
    functions: Functions, points: Iterable[float | Fraction]
) -> tuple[list[Number], list[list[Number]]]:
    """Return the base activation (C,) and the basis values (T*C, n_basis) at `points`: rationals, or mpf of 50 digits.

    Args:
        functions: of a layer.
        points: (C,), the inputs as float64 numbers, or rationals.
    """
    if isinstance(functions, AfterPReLU):
        return exact_functions(functions.inner, [_past(functions, x) for x in points])
    points = list(points)
    with mpmath.workdps(DIGITS):
        inputs = [exact_activation(functions.before, _mpf(x)) for x in points]
        base = [exact_activation(functions.activation, z) for z in inputs]
        if isinstance(functions, BSplineFunctions):
            return base, list(exact_basis(functions.knots, functions.order, points))
        if isinstance(functions, KnotFunctions):
            grids = [np.array(grid) for grid in functions.grids]
            return base, [row for grid in grids for row in exact_basis(grid, functions.order, points)]
        if isinstance(functions, RbfFunctions):
            return base, [_gaussians(functions, z) for z in inputs]
        assert isinstance(functions, GramFunctions)
        return base, [_gram(functions, z) for z in inputs]


def round_values(values: Sequence[Number], lsb: float) -> list[int]:
    """Return `floor(v / lsb + 1/2)` of rationals or 50-digit numbers."""
    if all(isinstance(v, Fraction) for v in values):
        return [round_exact(v / Fraction(lsb)) for v in values]
    with mpmath.workdps(DIGITS):
        return [int(mpmath.floor(v / mpmath.mpf(lsb) + mpmath.mpf("0.5"))) for v in values]
