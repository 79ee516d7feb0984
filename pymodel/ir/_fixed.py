"""Fixed-point types and the exact arithmetic of the contract's shifts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.errors import DataError, IRError

__all__ = ["EXACT_BOUND", "FixedPoint", "IntArray", "Overflow", "Rounding", "signed_width", "unsigned_width"]

IntArray = npt.NDArray[np.int64]

#: Every sum, product and coder keeps the sum of the absolute values of its terms below this: float64 is exact there.
EXACT_BOUND = 1 << 53


class Rounding(IntEnum):
    """Rounding of a conversion to fixed point, as `ap_fixed` names it."""

    TRN = 0
    """Truncation towards minus infinity."""
    RND = 1
    """Round to nearest, ties towards plus infinity: `floor(x + 1/2)`."""


class Overflow(IntEnum):
    """Overflow behaviour of a conversion to fixed point, as `ap_fixed` names it."""

    WRAP = 0
    SAT = 1


def signed_width(low: int, high: int) -> int:
    """Return the bits of the narrowest two's-complement integer that holds every value in `[low, high]` (>= 1)."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


def unsigned_width(high: int) -> int:
    """Return the bits of the narrowest unsigned integer that holds `0 … high` (>= 1)."""
    return max(1, high.bit_length())


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point type; maps one to one to `ap_fixed<W, I, Q, O>` or `ap_ufixed<W, I, Q, O>`.

    Attributes:
        width: total bits W, 1 … 53.
        integer: integer bits I, sign bit included when signed; may be negative or exceed `width`.
        signed: two's complement if true.
        rounding: how a real number is rounded to the grid of LSBs.
        overflow: what happens outside the range.

    Raises:
        IRError: if `width` is out of range.
    """

    width: int
    integer: int
    signed: bool
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 53:
            raise IRError(f"a fixed-point width must be 1 … 53 bits, not {self.width}; narrow the type")
        if abs(self.integer) > 64:
            raise IRError(f"a fixed-point type must have -64 … 64 integer bits, not {self.integer}; rescale the data")

    @property
    def frac(self) -> int:
        """Fractional bits: one LSB is `2**-frac`."""
        return self.width - self.integer

    @property
    def lsb(self) -> float:
        """The value of one LSB."""
        return float(2.0**-self.frac)

    @property
    def min_int(self) -> int:
        """The smallest integer (in LSBs)."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max_int(self) -> int:
        """The largest integer (in LSBs)."""
        return (1 << (self.width - int(self.signed))) - 1

    def quantize(self, values: npt.ArrayLike) -> IntArray:
        """Convert real `values` (any shape) to integers in LSBs, with this type's rounding and overflow.

        Args:
            values: finite reals, any shape.

        Returns:
            int64 integers of the same shape, in `[min_int, max_int]`.

        Raises:
            DataError: if a value is NaN or infinite (ap_types would turn NaN into the maximum).
        """
        real = np.asarray(values, dtype=np.float64)
        if not np.isfinite(real).all():
            raise DataError("expected finite input values, found NaN or infinity; clean the data before quantizing it")
        if self.overflow is Overflow.WRAP:
            real = np.fmod(real, 2.0**self.integer)  # exact, and the same integer modulo 2^width
        with np.errstate(over="ignore"):  # infinity saturates as the number itself would
            scaled = np.ldexp(real, self.frac)
        rounded = np.floor(scaled)
        if self.rounding is Rounding.RND:
            # Not floor(x + 0.5): in float64 that sum rounds 0.49999999999999994 up to 1.
            with np.errstate(invalid="ignore"):  # infinity stays what it is
                rounded += scaled - rounded >= 0.5
        if self.overflow is Overflow.SAT:
            return np.clip(rounded, self.min_int, self.max_int).astype(np.int64)
        span = float(1 << self.width)
        wrapped = np.mod(rounded, span).astype(np.int64)
        return np.where(wrapped > self.max_int, wrapped - (1 << self.width), wrapped).astype(np.int64)

    def to_real(self, integers: IntArray) -> npt.NDArray[np.float64]:
        """Return the exact real values of `integers` (float64, same shape)."""
        return np.ldexp(integers.astype(np.float64), -self.frac)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "width": self.width,
            "integer": self.integer,
            "signed": self.signed,
            "rounding": self.rounding.name,
            "overflow": self.overflow.name,
        }
