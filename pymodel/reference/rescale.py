"""Rescale: one rounding, then saturation; the twin of `hls/kan4ml/rescale.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["rescale", "round_saturate"]


@kernel()
def round_saturate(total: int, half: int, shift: int, low: int, high: int) -> int:
    """`Y = sat((total + half) >> n)`; `>>` floors, so ties go up.

    Args:
        total: the sum to round.
        half: `2^(n-1)`, or 0 where n = 0.
        shift: n, 0 … 62.
        low: the smallest output.
        high: the largest output.
    """
    return min(max((total + half) >> shift, low), high)


@kernel()
def rescale(
    spline: IntArray,
    base: IntArray,
    spline_mult: IntArray,
    base_mult: IntArray,
    bias: IntArray,
    half: int,
    shift: int,
    low: int,
    high: int,
    y: IntArray,
) -> None:
    """`Y[o] = sat((acc_s[o]*ms[o] + acc_b[o]*mb[o] + bias[o] + half) >> n)`.

    Args:
        spline: (>= N,) sums of the spline branch.
        base: (>= N,) sums of the base branch; zeros where it is absent.
        spline_mult: (N,) multipliers ms.
        base_mult: (N,) multipliers mb.
        bias: (N,) in units of `2^-n` output LSBs.
        half: `2^(n-1)`, or 0 where n = 0.
        shift: n, 0 … 62.
        low: the smallest output.
        high: the largest output.
        y: (N,) outputs, written.
    """
    for o in range(y.shape[0]):
        total = spline[o] * spline_mult[o] + base[o] * base_mult[o] + bias[o]
        y[o] = round_saturate(total, half, shift, low, high)
