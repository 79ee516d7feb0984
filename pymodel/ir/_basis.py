"""Basis units of the KAN IR: code to the basis values that may differ from 0, and the index of the first one.

A unit has a kind (the family of functions) and an implementation. As a ROM its values are read from a table; as
arithmetic (`_arith.py`) they are computed by an integer program with stated roundings, which is a definition of its own
and not an approximation that a station may improve on.

Shapes use `C` for the number of codes, `K` for the window, `T` for the number of tables (1, or I: one per input).
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir._common import ByValue, integers
from pymodel.ir._fixed import EXACT_BOUND, IntArray

__all__ = ["Basis", "BasisKind", "BasisRom", "Implementation", "Reals", "check_exact", "reals"]

Reals = npt.NDArray[np.float64]


class BasisKind(IntEnum):
    """The family of a basis unit; the name appears in `ir.json`."""

    BSPLINE = 1
    """B-splines of one order on any knots: `K = k + 1`."""
    RBF = 2
    """Gaussians `exp(-((x - g_j) / h)^2)`."""
    GRAM = 3
    """`SiLU(P_n(tanh x))`, `P_n` Gram polynomials: `P_n = t P_(n-1) - beta_n P_(n-2)`; the window is the whole basis."""


class Implementation(IntEnum):
    """How a basis unit gets its values; the name appears in `ir.json`."""

    ROM = 1
    ARITH = 2


def reals(value: npt.ArrayLike, what: str) -> Reals:
    """Return a read-only float64 copy of `value`; IRError if an entry is not finite."""
    array = np.array(value, dtype=np.float64)
    if not np.isfinite(array).all():
        raise IRError(f"{what} must be finite; lower the model again")
    array.setflags(write=False)
    return array


def check_exact(what: str, *arrays: IntArray) -> tuple[int, int]:
    """Return the interval that holds all entries of `arrays`, and 0.

    Raises:
        IRError: if it reaches 2^53 in magnitude.
    """
    low, high = min(0, *(int(a.min()) for a in arrays)), max(0, *(int(a.max()) for a in arrays))
    if max(-low, high) >= EXACT_BOUND:
        raise IRError(
            f"{what} of a basis unit reaches {max(-low, high)}, and the contract's bound is 2^53; use fewer bits"
        )
    return low, high


class Basis(ByValue, ABC):
    """A basis unit of any kind.

    Attributes:
        kind: the family of functions.
        implementation: ROM or arithmetic.
        n_tables: T, 1 or the number of inputs (a grid per input).
        n_codes: C, the codes per table.
        n_basis: basis functions per input.
        lsb: real value of one LSB of `values` (documentation that the constants are tested against).
        knots: real numbers that define the functions (documentation, likewise).
        values: (T*C, K) basis integers `B[c][j]`; those of input i start at row `i*C`, or at 0 if there is one table. For
            arithmetic they are what the integer program gives: derived, for interval analysis and for tables.
        start: (T*C,) first basis index; `start[c] + K <= n_basis`.
        ranges: intervals `(low, high)` of the program's inner quantities over all codes, by name (arithmetic only).
    """

    implementation: ClassVar[Implementation]
    #: Names and types of the scalars, and names of the int64 arrays, that describe a unit in a file.
    FACTS: ClassVar[Mapping[str, type]]
    ARRAYS: ClassVar[tuple[str, ...]]

    kind: BasisKind
    n_tables: int
    n_codes: int
    n_basis: int
    lsb: float
    knots: Reals
    values: IntArray
    start: IntArray
    ranges: Mapping[str, tuple[int, int]]

    @property
    def window(self) -> int:
        """K, the basis values per code."""
        return int(self.values.shape[1])

    def rows(self, i: int) -> tuple[IntArray, IntArray]:
        """Return the values (C, K) and starts (C,) that input number `i` reads."""
        first = i * self.n_codes if self.n_tables > 1 else 0
        here = slice(first, first + self.n_codes)
        return self.values[here], self.start[here]

    def dense(self) -> IntArray:
        """Return (T*C, n_basis): each row with its window in place and zeros elsewhere. For tables; not a station."""
        result = np.zeros((self.values.shape[0], self.n_basis), dtype=np.int64)
        for j in range(self.window):
            result[np.arange(self.start.size), self.start + j] = self.values[:, j]
        return result

    def facts(self) -> dict[str, str | int | float]:
        """Return the scalars that describe the unit in a file, `kind` and `implementation` excluded."""
        return {name: getattr(self, name) for name in self.FACTS}

    def arrays(self) -> dict[str, IntArray]:
        """Return the int64 arrays that describe the unit in a file."""
        return {name: getattr(self, name) for name in self.ARRAYS}


@dataclass(frozen=True, eq=False)
class BasisRom(Basis):
    """A basis unit as a ROM: code to `K` basis values and the index of the first one.

    Attributes:
        kind: the family of functions.
        values: (T*C, K) basis integers.
        start: (T*C,) first basis index.
        n_basis: basis functions per input.
        lsb: real value of one LSB of `values`.
        order: spline order or degree; 0 for RBF.
        knots: documentation of the functions, likewise: B-spline knots (T * (n_basis + k + 1),), RBF centres
            (T * n_basis,), or Gram recurrence factors `beta_n` (degree + 1,).
        n_tables: T.
        scale: h of an RBF; 1 otherwise.
    """

    implementation: ClassVar[Implementation] = Implementation.ROM
    FACTS: ClassVar[Mapping[str, type]] = {"n_basis": int, "lsb": float, "order": int, "n_tables": int, "scale": float}
    ARRAYS: ClassVar[tuple[str, ...]] = ("values", "start")

    kind: BasisKind
    values: IntArray
    start: IntArray
    n_basis: int
    lsb: float
    order: int
    knots: Reals
    n_tables: int = 1
    scale: float = 1.0
    ranges: Mapping[str, tuple[int, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", integers(self.values, "a basis ROM", 2))
        object.__setattr__(self, "start", integers(self.start, "a basis ROM's start", 1))
        object.__setattr__(self, "knots", reals(self.knots, "a basis ROM's knots"))
        if self.start.shape[0] != self.values.shape[0]:
            raise IRError(f"a basis ROM needs one start per code, not {self.start.shape[0]} for {self.values.shape[0]}")
        if self.n_tables < 1 or self.values.shape[0] % self.n_tables:
            raise IRError(
                f"a basis ROM of {self.values.shape[0]} rows is not {self.n_tables} tables one after the other; lower the "
                "model again"
            )
        if self.n_basis < self.window or self.start.min() < 0 or self.start.max() > self.n_basis - self.window:
            raise IRError(
                f"a basis window of {self.window} at starts {self.start.min()} … {self.start.max()} does not lie within "
                f"{self.n_basis} basis functions; lower the model again"
            )
        if self.kind is BasisKind.GRAM and self.window != self.n_basis:
            raise IRError(
                f"a Gram basis of {self.n_basis} needs them all in its window, not {self.window}; lower again"
            )
        if not (0 < self.lsb < np.inf and 0 < self.scale < np.inf):
            raise IRError("a basis ROM's knots must be finite and its lsb positive; lower the model again")

    @property
    def n_codes(self) -> int:  # type: ignore[override]
        """C, the codes per table."""
        return int(self.values.shape[0]) // self.n_tables
