"""Knots of a checkpoint: uniform ones become a range, others stay what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from pymodel.errors import ModelError
from pymodel.importers._source import Layer
from pymodel.layers import MAX_ORDER, PyKANLinear

__all__ = ["check_increasing", "is_even", "knot_layer", "round_number", "uniform_range"]

#: float32 knots are off the uniform grid by a few units in the last place of the largest one.
_ULPS: Final = 8.0
_EPS: Final = 2.0**-23
#: Share of a cell that a knot may be off the uniform grid in whose place the grid of round numbers is taken.
_CELL: Final = 2.0**-19


def _tolerance(values: Tensor) -> float:
    return _ULPS * _EPS * float(values.abs().max())


def round_number(value: float, tolerance: float) -> float:
    """Return the number of fewest digits within `tolerance` of `value`: 1.0 for 0.99999994."""
    if abs(value) <= tolerance:
        return 0.0
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


def is_even(knots: Tensor, order: int, ends: tuple[float, float]) -> bool:
    """Return whether the uniform grid on `ends` is so near to `knots` (I, G + 2k + 1) that only last digits change.

    A grid whose cells are small against its numbers is not: there, the rounding of a knot is a part of the cell.
    """
    low, high = ends
    size = knots.shape[1] - 1 - 2 * order
    uniform = low + (high - low) / size * torch.arange(-order, size + order + 1, dtype=torch.float64)
    return float((knots.double() - uniform).abs().max()) <= _CELL * (high - low) / size


@torch.no_grad()
def knot_layer(
    layer: Layer, grid: Tensor, n_basis: int, n_sum: int, arities: Sequence[int], activation: str
) -> PyKANLinear:
    """Return a layer with the knots `grid` (I, G + 2k + 1) as they are, its weights still to be set.

    Args:
        layer: that the knots belong to.
        grid: non-decreasing rows.
        n_basis: G + k.
        n_sum: nodes that add.
        arities: factors of each node that multiplies.
        activation: of the base branch.

    Raises:
        ModelError: if the knots decrease, or G or k is out of range.
    """
    label = layer.label("grid")
    order = int(grid.shape[1]) - 1 - n_basis
    size = n_basis - order
    if not 1 <= order <= MAX_ORDER or size < 1:
        raise ModelError(
            f"{label!r} has {grid.shape[1]} knots for {n_basis} basis functions, which gives no spline order of "
            f"1 … {MAX_ORDER}; check that the state_dict belongs to one model"
        )
    if bool((grid[:, 1:] < grid[:, :-1]).any()):
        raise ModelError(f"{label!r} has knots that decrease; check that the state_dict belongs to one model")
    low, high = uniform_range(grid, order) or (float(grid[:, order].min()), float(grid[:, order + size].max()))
    if not low < high:  # of features that are all constant
        low, high = low - 0.5, high + 0.5
    result = PyKANLinear(
        int(grid.shape[0]), n_sum, arities, grid=size, order=order, range=(low, high), activation=activation
    )
    result.grid.copy_(grid)
    return result
