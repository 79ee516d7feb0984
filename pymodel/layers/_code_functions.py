"""The functions of a layer and their derivatives at its codes, in closed form and in numpy.

A layer that trains quantized needs them anew in every step, at a few dozen points: there the time is that of calls, of which
numpy's cost a fifth of torch's, and an autograd graph costs more than all numbers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from pymodel.layers._activations import activate
from pymodel.layers._bspline import cell_matrix

__all__ = ["activation_pair", "gram_pair", "rbf_pair", "spline_pair"]

Reals = npt.NDArray[np.float64]
Pair = tuple[Reals, Reals]


def _sigmoid(x: Reals) -> Reals:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


def activation_pair(name: str, x: Reals) -> Pair:
    """Return the activation called `name` at `x`, any shape, and its derivative."""
    if name == "silu":
        s = _sigmoid(x)
        return x * s, s * (1.0 + x * (1.0 - s))
    if name == "identity":
        return x, np.ones_like(x)
    with torch.enable_grad():
        point = torch.from_numpy(x).requires_grad_()
        value = activate(name, point)
        if not value.requires_grad:  # a constant
            return value.numpy(), np.zeros_like(x)
        (slope,) = torch.autograd.grad(value.sum(), point)
    return value.detach().numpy(), slope.numpy()


@cache
def _cells(order: int) -> Pair:
    """Return `cell_matrix` and that of the derivatives by the position, each (order + 1, order + 1): powers, functions."""
    exact = [[float(value) for value in row] for row in cell_matrix(order)]
    slopes = [[p * value for value in exact[p]] for p in range(1, order + 1)]
    return np.array(exact), np.array([*slopes, [0.0] * (order + 1)])


def spline_pair(x: Reals, low: float, step: float, grid: int, order: int) -> Pair:
    """Return the uniform B-splines at `x` (C,) and their derivatives, each (C, G + k).

    Args:
        x: points; outside of the grid and its extensions all functions are 0.
        low: start of the grid.
        step: length of its cells.
        grid: G.
        order: k.
    """
    u = np.clip((x - low) * (1.0 / step), -order - 1.0, grid + order)
    cell = np.floor(u)
    powers = (u - cell)[:, None] ** np.arange(order + 1)
    # Functions that do not exist get columns beyond both ends, which are cut off.
    columns = cell.astype(np.int64)[:, None] + np.arange(order + 1, 2 * order + 2)
    result = []
    for matrix, factor in zip(_cells(order), (1.0, 1.0 / step), strict=True):
        wide = np.zeros((len(x), grid + 3 * order + 2))
        np.put_along_axis(wide, columns, (powers @ matrix) * factor, axis=1)
        result.append(wide[:, order + 1 : grid + 2 * order + 1])
    return result[0], result[1]


def rbf_pair(z: Reals, centres: Reals, width: float) -> Pair:
    """Return the Gaussians at `z` (C,) and their derivatives, each (C, centres)."""
    u = (z[:, None] - centres) / width
    value = np.exp(-(u * u))
    return value, value * u * (-2.0 / width)


def gram_pair(z: Reals, factors: tuple[float, ...]) -> Pair:
    """Return `SiLU(P_n(tanh z))` at `z` (C,) and their derivatives, each (C, degree + 1); `P_n` by `factors`."""
    t = np.tanh(z)
    values, slopes = [np.ones_like(t), t], [np.zeros_like(t), np.ones_like(t)]
    for factor in factors[2:]:
        slopes.append(values[-1] + t * slopes[-1] - factor * slopes[-2])
        values.append(t * values[-1] - factor * values[-2])
    count = len(factors)
    value, by_value = activation_pair("silu", np.stack(values[:count], axis=1))
    return value, by_value * np.stack(slopes[:count], axis=1) * (1.0 - t * t)[:, None]
