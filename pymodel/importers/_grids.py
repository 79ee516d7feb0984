"""Knots of a checkpoint: uniform ones become a range, others stay what they are."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from pymodel.errors import ModelError

__all__ = ["check_increasing", "round_number", "uniform_range"]

#: float32 knots are off the uniform grid by a few units in the last place of the largest one.
_ULPS: Final = 8.0
_EPS: Final = 2.0**-23


def _tolerance(values: Tensor) -> float:
    return _ULPS * _EPS * float(values.abs().max())


def round_number(value: float, tolerance: float) -> float:
    """Return the number of fewest digits within `tolerance` of `value`: 1.0 for 0.99999994."""
    for digits in range(1, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= tolerance:
            return short
    return value


def check_increasing(label: str, knots: Tensor) -> None:
    """Check that every row of `knots` (I, K) increases strictly.

    Raises:
        ModelError: otherwise; the library then divides by zero.
    """
    flat = knots[:, 1:] <= knots[:, :-1]
    if bool(flat.any()):
        row, column = (int(i) for i in flat.nonzero()[0])
        raise ModelError(
            f"{label!r} has knots that do not increase (input {row}, knots {column} and {column + 1}), where the library "
            "computes NaN; update its grid on data in which that feature varies"
        )


def uniform_range(knots: Tensor, order: int) -> tuple[float, float] | None:
    """Return the range [low, high] if all rows of `knots` (I, G + 2k + 1) are one uniform grid but for float32 rounding.

    Args:
        knots: float32.
        order: k; so many knots at each end lie outside the range.

    Returns:
        The range in round numbers, or None if the knots are not uniform.
    """
    t = knots.double()
    grid = t.shape[1] - 1 - 2 * order
    tolerance = _tolerance(t)
    low, high = (round_number(float(t[0, column]), tolerance) for column in (order, order + grid))
    uniform = low + (high - low) / grid * torch.arange(-order, grid + order + 1, dtype=torch.float64)
    return (low, high) if float((t - uniform).abs().max()) <= tolerance else None
