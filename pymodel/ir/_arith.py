"""Basis units as integer programs: stated roundings, and the interval of every inner quantity over all codes.

The formulas are those of the headers of the same names in `hls/kan4ml/`. Here they give the derived `values` and `start`
of a unit, for interval analysis and edge tables; the stations have implementations of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._basis import Basis, BasisKind, Implementation, Reals, check_exact, reals
from pymodel.ir._common import MAX_CODES, MAX_SHIFT, integers
from pymodel.ir._fixed import EXACT_BOUND, IntArray

__all__ = ["BSplineArith", "GramArith", "RbfArith"]

_Ranges = Mapping[str, tuple[int, int]]
#: Fractional bits of a position or polynomial.
_MAX_FRACTION = 30
_MAX_GUARD = 52


def _half(shift: int) -> int:
    return 1 << (shift - 1) if shift else 0


def _between(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise IRError(f"{what} of a basis unit must be {low} … {high}, not {value}; lower the model again")


def _bound(what: str, largest: int) -> None:
    """Raise IRError if `largest` reaches 2^53: the int64 arithmetic that follows would not be exact."""
    if largest >= EXACT_BOUND:
        raise IRError(f"{what} of a basis unit reaches {largest}, and the contract's bound is 2^53; use fewer bits")


def _put(unit: Basis, values: IntArray, start: IntArray, ranges: _Ranges) -> None:
    """Set the derived attributes of a frozen unit."""
    for array in (values, start):
        array.setflags(write=False)
    for name, value in (("values", values), ("start", start), ("ranges", dict(ranges))):
        object.__setattr__(unit, name, value)


def _check_common(unit: BSplineArith | RbfArith | GramArith) -> None:
    object.__setattr__(unit, "knots", reals(unit.knots, "a basis unit's knots"))
    _between("the number of codes", unit.n_codes, 1, MAX_CODES)
    if not 0 < unit.lsb < np.inf:
        raise IRError(f"a basis unit's lsb must be positive, not {unit.lsb}; lower the model again")


def _check_position(unit: BSplineArith | RbfArith) -> None:
    object.__setattr__(unit, "position", integers(unit.position, "a basis unit's position", 2))
    if unit.position.shape[1] != 2:
        raise IRError(f"a position needs a multiplier and an offset, not {unit.position.shape[1]} numbers; lower again")
    _between("the position's shift", unit.position_shift, 0, MAX_SHIFT)


def _positions(unit: BSplineArith | RbfArith) -> tuple[IntArray, tuple[int, int]]:
    """Return `(c*m + b) >> s` of all codes of all tables, (T*C,), and the interval of the sum and its product."""
    mult, offset = unit.position[:, :1], unit.position[:, 1:]
    largest = int(np.abs(mult).max()) * unit.n_codes + int(np.abs(offset).max())
    _bound("the position", largest)
    product = mult * np.arange(unit.n_codes, dtype=np.int64)
    total = product + offset
    interval = check_exact("the position", product, total)
    return (total >> unit.position_shift).reshape(-1), interval


@dataclass(frozen=True, eq=False)
class BSplineArith(Basis):
    """The non-zero B-splines of a uniform grid as polynomials of the position within a cell (`bspline_arith.h`).

    `T = (c*m + b) >> s`, cell `q = T >> F`, `f = T mod 2^F`; `h = A[k][j]`, then `h = ((h*f + 2^(F-1)) >> F) + A[p][j]` for
    `p = k-1 … 0`; `local[j] = max(0, (h + half) >> g)`. The window starts at `clip(q, 0, n_basis - K)`.

    Attributes:
        n_codes: C.
        n_basis: G + k.
        lsb: real value of one LSB of the values.
        order: k, 1 … 7.
        knots: (T * (n_basis + k + 1),) real knots, documentation.
        position: (T, 2) multiplier m and offset b of each grid; T is in units of `2^-F` of a cell.
        position_shift: s.
        fraction: F, 1 … 30.
        coefficients: (k + 1, k + 1) integers `A[p][j]`, in units of `2^-g` LSBs.
        guard: g.
    """

    implementation: ClassVar[Implementation] = Implementation.ARITH
    FACTS: ClassVar[Mapping[str, type]] = {
        "n_codes": int,
        "n_basis": int,
        "lsb": float,
        "order": int,
        "position_shift": int,
        "fraction": int,
        "guard": int,
    }
    ARRAYS: ClassVar[tuple[str, ...]] = ("position", "coefficients")
    kind: ClassVar[BasisKind] = BasisKind.BSPLINE  # type: ignore[misc]

    n_codes: int
    n_basis: int
    lsb: float
    order: int
    knots: Reals
    position: IntArray
    position_shift: int
    fraction: int
    coefficients: IntArray
    guard: int
    values: IntArray = field(init=False)
    start: IntArray = field(init=False)
    ranges: _Ranges = field(init=False)

    def __post_init__(self) -> None:
        _check_common(self)
        _check_position(self)
        object.__setattr__(self, "coefficients", integers(self.coefficients, "a B-spline's coefficients", 2))
        _between("the order", self.order, 1, 7)
        _between("the fraction", self.fraction, 1, _MAX_FRACTION)
        _between("the guard", self.guard, 0, _MAX_GUARD)
        window = self.order + 1
        if self.coefficients.shape != (window, window) or self.n_basis < window:
            raise IRError(
                f"a B-spline of order {self.order} needs {window} x {window} coefficients and as many basis functions at "
                f"least, not {self.coefficients.shape} and {self.n_basis}; lower the model again"
            )
        place, position = _positions(self)
        cell, f = place >> self.fraction, place & ((1 << self.fraction) - 1)
        h = np.broadcast_to(self.coefficients[-1], (place.size, window))
        half, half_f = _half(self.guard), 1 << (self.fraction - 1)
        sums, products = [np.array([half]), h], [np.array([half_f])]
        for row in self.coefficients[-2::-1]:
            _bound("a product", int(np.abs(h).max()) << self.fraction)
            products.append(h * f[:, None] + half_f)
            h = (products[-1] >> self.fraction) + row
            sums.append(h)
        local = np.maximum((h + half) >> self.guard, 0)
        last = self.n_basis - window
        start = np.clip(cell, 0, last)
        source = np.arange(window) + (start - cell)[:, None]
        inside = (source >= 0) & (source < window)
        values = np.where(inside, np.take_along_axis(local, np.clip(source, 0, window - 1), axis=1), 0)
        ranges = {
            "position": position,
            "product": check_exact("a product", *products),
            "sum": check_exact("a sum", *sums, h + half),
            "value": check_exact("a value", local),
        }
        _put(self, values, start, ranges)

    @property
    def n_tables(self) -> int:  # type: ignore[override]
        """T, the number of grids."""
        return int(self.position.shape[0])

    @property
    def inside(self) -> bool:
        """Whether every code lies in a cell of which all basis functions exist."""
        place, _ = _positions(self)
        return bool(np.array_equal(place >> self.fraction, self.start))


@dataclass(frozen=True, eq=False)
class RbfArith(Basis):
    """Gaussians as distance to each centre and linear interpolation of one half of the curve (`rbf_arith.h`).

    `T = (c*m + b) >> s`, `start = clip((T >> F) - L, 0, n_basis - K)`, `d = |T - (start + j)*2^F|`, `n = d >> R`,
    `r = d mod 2^R`, `value[j] = (G[n]*2^R + (G[n+1] - G[n])*r + half) >> (R + g)`, or 0 from the last sample on.

    Attributes:
        n_codes: C.
        n_basis: centres.
        lsb: real value of one LSB of the values.
        knots: (T * n_basis,) real centres, documentation.
        scale: h, likewise.
        window: K.
        reach: L, centres of the window below the position's cell.
        position: (T, 2) multiplier m and offset b; T is in units of `2^-F` of the centres' spacing.
        position_shift: s.
        fraction: F, 0 … 30.
        remainder: R, 0 … F.
        samples: (S + 1,) integers G, in units of `2^-g` LSBs.
        guard: g.
    """

    implementation: ClassVar[Implementation] = Implementation.ARITH
    FACTS: ClassVar[Mapping[str, type]] = {
        "n_codes": int,
        "n_basis": int,
        "lsb": float,
        "scale": float,
        "width": int,
        "reach": int,
        "position_shift": int,
        "fraction": int,
        "remainder": int,
        "guard": int,
    }
    ARRAYS: ClassVar[tuple[str, ...]] = ("position", "samples")
    kind: ClassVar[BasisKind] = BasisKind.RBF  # type: ignore[misc]

    n_codes: int
    n_basis: int
    lsb: float
    knots: Reals
    scale: float
    width: int
    reach: int
    position: IntArray
    position_shift: int
    fraction: int
    remainder: int
    samples: IntArray
    guard: int
    values: IntArray = field(init=False)
    start: IntArray = field(init=False)
    ranges: _Ranges = field(init=False)

    def __post_init__(self) -> None:
        _check_common(self)
        _check_position(self)
        object.__setattr__(self, "samples", integers(self.samples, "a Gaussian's samples", 1))
        _between("the window", self.width, 1, self.n_basis)
        _between("the reach", self.reach, 0, MAX_CODES)
        _between("the fraction", self.fraction, 0, _MAX_FRACTION)
        _between("the remainder", self.remainder, 0, self.fraction)
        _between("the guard", self.guard, 0, _MAX_GUARD)
        if self.samples.size < 2 or self.samples.min() < 0:
            raise IRError("a half Gaussian needs at least two samples, none below 0; lower the model again")
        place, position = _positions(self)
        start = np.clip((place >> self.fraction) - self.reach, 0, self.n_basis - self.width)
        _bound("a distance", (self.n_basis << self.fraction) + max(-position[0], position[1]))
        offset = place[:, None] - ((start[:, None] + np.arange(self.width)) << self.fraction)
        distance = np.abs(offset)
        n, r = distance >> self.remainder, distance & ((1 << self.remainder) - 1)
        n_segments = self.samples.size - 1
        near = np.minimum(n, n_segments - 1)
        down = self.remainder + self.guard
        _bound("a product", (int(self.samples.max()) << self.remainder) + (1 << down))
        first, rest = self.samples[near] << self.remainder, (self.samples[near + 1] - self.samples[near]) * r
        whole = np.where(n < n_segments, first + rest + _half(down), 0)
        values = whole >> down
        ranges = {
            "position": (min(position[0], int(offset.min())), max(position[1], int(distance.max()))),
            "product": check_exact("a product", first, rest, first + rest, whole, np.array([_half(down)])),
            "value": check_exact("a value", values),
        }
        _put(self, values, start, ranges)

    @property
    def n_tables(self) -> int:  # type: ignore[override]
        """T, the number of sets of centres."""
        return int(self.position.shape[0])


@dataclass(frozen=True, eq=False)
class GramArith(Basis):
    """Gram polynomials by their recurrence; tanh before and SiLU after are tables (`gram_arith.h`).

    `t = tanh[c]`, `P_0 = 2^F`, `P_1 = t`, `P_n = ((t*P_(n-1) + 2^(F-1)) >> F) - ((beta[n]*P_(n-2) + half) >> B)`, and
    `value[n] = silu[clip((P_n + o) >> s, 0, M-1)]`.

    Attributes:
        n_codes: C.
        lsb: real value of one LSB of the values.
        knots: (degree + 1,) real recurrence factors, documentation.
        tanh: (C,) in units of `2^-F`.
        fraction: F, 1 … 30.
        factors: (degree + 1,) integers beta; the first two are not read.
        factor_shift: B.
        silu: (M,) values.
        silu_offset: o, 0 … 2^31 - 1.
        silu_shift: s.
    """

    implementation: ClassVar[Implementation] = Implementation.ARITH
    FACTS: ClassVar[Mapping[str, type]] = {
        "n_codes": int,
        "lsb": float,
        "fraction": int,
        "factor_shift": int,
        "silu_offset": int,
        "silu_shift": int,
    }
    ARRAYS: ClassVar[tuple[str, ...]] = ("tanh", "factors", "silu")
    kind: ClassVar[BasisKind] = BasisKind.GRAM  # type: ignore[misc]
    n_tables: ClassVar[int] = 1  # type: ignore[misc]

    n_codes: int
    lsb: float
    knots: Reals
    tanh: IntArray
    fraction: int
    factors: IntArray
    factor_shift: int
    silu: IntArray
    silu_offset: int
    silu_shift: int
    values: IntArray = field(init=False)
    start: IntArray = field(init=False)
    ranges: _Ranges = field(init=False)

    def __post_init__(self) -> None:
        _check_common(self)
        for name in ("tanh", "factors", "silu"):
            object.__setattr__(self, name, integers(getattr(self, name), f"a Gram basis' {name}", 1))
        _between("the fraction", self.fraction, 1, _MAX_FRACTION)
        _between("the factors' shift", self.factor_shift, 0, _MAX_GUARD)
        _between("the SiLU's shift", self.silu_shift, 0, _MAX_GUARD)
        _between("the SiLU's offset", self.silu_offset, 0, (1 << 31) - 1)
        _between("the SiLU's entries", self.silu.size, 1, MAX_CODES)
        if self.tanh.shape != (self.n_codes,) or self.factors.size < 2:
            raise IRError(
                f"a Gram basis of {self.n_codes} codes needs as many tanh entries and a degree of 1 at least, not "
                f"{self.tanh.size} and {self.factors.size - 1}; lower the model again"
            )
        half_f, half_b = 1 << (self.fraction - 1), _half(self.factor_shift)
        p = [np.full(self.n_codes, 1 << self.fraction, dtype=np.int64), self.tanh]
        products, sums = [np.array([half_f, half_b])], list(p)
        for factor in self.factors[2:].tolist():
            largest = max(
                int(np.abs(self.tanh).max()) * int(np.abs(p[-1]).max()), abs(factor) * int(np.abs(p[-2]).max())
            )
            _bound("a product", largest)
            first, second = self.tanh * p[-1] + half_f, factor * p[-2] + half_b
            products += [first, second]
            parts = [first >> self.fraction, second >> self.factor_shift]
            p.append(parts[0] - parts[1])
            sums += [*parts, p[-1]]
        stacked = np.stack(p, axis=1)
        moved = stacked + self.silu_offset
        values = self.silu[np.clip(moved >> self.silu_shift, 0, self.silu.size - 1)]
        ranges = {
            "product": check_exact("a product", *products),
            "sum": check_exact("a polynomial", *sums, moved),
            "polynomial": (int(stacked.min()), int(stacked.max())),
            "value": check_exact("a value", self.silu),
        }
        _put(self, values, np.zeros(self.n_codes, dtype=np.int64), ranges)

    @property
    def n_basis(self) -> int:  # type: ignore[override]
        """Degree + 1."""
        return int(self.factors.size)

    @property
    def polynomials(self) -> tuple[int, int]:
        """The smallest and the largest `P_n` of all codes, in units of `2^-F`."""
        return self.ranges["polynomial"]
