"""Pure functions of quantization: rounding, and dyadic approximation of real factors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

__all__ = ["MAX_SHIFT", "MULTIPLIER_BITS", "dyadic", "round_exact", "round_half_up", "shift_for"]

#: Multipliers of a rescale have at most this many bits, unless a factor is larger than that by itself.
MULTIPLIER_BITS = 8
#: The largest shift of a rescale.
MAX_SHIFT = 62


def round_half_up(x: Tensor) -> Tensor:
    """Return `floor(x + 1/2)`: ties go up, as the contract's shifts do (`torch.round` sends ties to even)."""
    return torch.floor(x + 0.5)


def round_exact(value: Fraction) -> int:
    """Return `floor(value + 1/2)` of an exact number."""
    return math.floor(value + Fraction(1, 2))


def round_float(value: float) -> int:
    """Return `floor(value + 1/2)` of a float, as exactly as :func:`round_exact`.

    The fraction is exact, or rounded where that does not take it across 1/2.
    """
    whole = math.floor(value)
    return whole + (value - whole >= 0.5)


def shift_for(largest: float, bits: int) -> int:
    """Return the largest shift n, 0 … 62, for which `round(largest * 2^n)` has at most `bits` bits (0 if none has).

    Args:
        largest: the largest factor in magnitude, non-negative.
        bits: of the multipliers.
    """
    if largest == 0.0:
        return 0
    limit = math.ldexp(1.0, bits) - 0.5
    shift = math.floor(math.log2(limit) - math.log2(largest))
    shift += math.ldexp(largest, shift + 1) < limit  # powers of two change no bit of a factor
    shift -= math.ldexp(largest, shift) >= limit
    return min(max(shift, 0), MAX_SHIFT)


def dyadic(factors: Sequence[float], bits: int = MULTIPLIER_BITS) -> tuple[list[int], int]:
    """Return multipliers m and a common shift n with `factor ~ m / 2^n`, each correctly rounded (ties up).

    Args:
        factors: finite reals.
        bits: the multipliers' bits, sign excluded; exceeded only where a factor is at least `2^bits`.
    """
    shift = shift_for(max(abs(f) for f in factors), bits)
    return [round_float(math.ldexp(f, shift)) for f in factors], shift
