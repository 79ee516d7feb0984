"""Uniform B-splines with local support: of the `G + k` basis functions only `k + 1` are not zero at a given x.

Within a grid cell every basis function is a polynomial of degree k in the position `f` (0 <= f < 1) within the cell
(de Boor, "A Practical Guide to Splines", 1978; the matrix form is Qin, "General matrix representations for
B-splines", 2000). So the non-zero values are one small matrix applied to the powers of `f`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["cell_matrix", "feature_map", "feature_table", "features", "input_gradient", "support", "uniform_knots"]


def uniform_knots(low: float, high: float, grid: int, order: int) -> npt.NDArray[np.float64]:
    """Return the `grid + 2*order + 1` knots: `grid` equal steps on [low, high], and `order` more on each side."""
    return low + (high - low) / grid * np.arange(-order, grid + order + 1, dtype=np.float64)


@cache
def cell_matrix(order: int) -> tuple[tuple[Fraction, ...], ...]:
    """Return M with `value_j(f) = sum_p M[p][j] * f**p`, the j-th non-zero B-spline of a cell, j = 0 … order.

    The recursion of Cox and de Boor for uniform knots, as polynomials:
    `N_j^k = ((f + k - j) * N_(j-1)^(k-1) + (1 - f + j) * N_j^(k-1)) / k`.
    """
    rows: list[list[Fraction]] = [[Fraction(1)]]  # rows[j][p], of degree 0
    for k in range(1, order + 1):
        new = [[Fraction(0)] * (k + 1) for _ in range(k + 1)]
        for j in range(k + 1):
            for source, constant, slope in ((j - 1, k - j, 1), (j, j + 1, -1)):
                if 0 <= source < k:
                    for p, value in enumerate(rows[source]):
                        new[j][p] += value * constant / k
                        new[j][p + 1] += value * slope / k
        rows = new
    return tuple(tuple(row[p] for row in rows) for p in range(order + 1))


@cache
def _coefficients(order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return `cell_matrix` and the matrix of its derivative by f, as (order + 1, order + 1, 1) tensors."""
    exact = cell_matrix(order)
    slopes = [[p * value for value in exact[p]] for p in range(1, order + 1)]
    both = [[[float(v) for v in row] for row in rows] for rows in (exact, slopes)]
    values, derivative = (torch.tensor(rows, dtype=dtype, device=device).unsqueeze(-1) for rows in both)
    return values, derivative


def _horner(coefficients: Tensor, position: Tensor) -> Tensor:
    """Return (B, k + 1, I) polynomials of `position` (B, I); `coefficients[p]` (k + 1, 1) belongs to the power p."""
    f = position.unsqueeze(1)
    value = coefficients[-1]
    for p in range(len(coefficients) - 2, -1, -1):
        value = torch.addcmul(coefficients[p], value, f)
    return value.expand(f.shape[0], -1, f.shape[2])


def support(x: Tensor, low: float, step: float, grid: int, order: int) -> tuple[Tensor, Tensor]:
    """Return where `x` lies in the grid, and where its basis values go in a row of features.

    Args:
        x: (B, I), floating point. A NaN counts as outside of the grid.
        low: start of the grid.
        step: length of its cells.
        grid: G, the number of cells.
        order: k.

    Returns:
        The columns (B, (k + 1) * I), int64, of the values in a row of `I * F + 1` features, F = G + k + 1, and the
        position f (B, I) in the cell, 0 <= f < 1. Basis b of input i has the column `i*F + 1 + b`. A function that does
        not exist (near the ends of the grid) gets the column of a SiLU, its own or the next input's, or the last one.
    """
    n_features = grid + order + 1
    u = ((x - low) * (1.0 / step)).nan_to_num_(nan=-order - 1.0).clamp_(-order - 1.0, grid + order)
    cell = u.floor()
    local, offset = _offsets(x.shape[1], n_features, order, x.device)
    columns = (cell.int().unsqueeze(1) + local).clamp_(0, n_features).add_(offset)
    return columns.long().flatten(1), u.sub_(cell)


@cache
def _offsets(n_in: int, n_features: int, order: int, device: torch.device) -> tuple[Tensor, Tensor]:
    local = torch.arange(1, order + 2, dtype=torch.int32, device=device).unsqueeze(-1)
    return local, torch.arange(n_in, dtype=torch.int32, device=device) * n_features


def features(x: Tensor, columns: Tensor, position: Tensor, order: int, n_features: int) -> Tensor:
    """Return `[SiLU(x_i), B_0(x_i) … B_(G+k-1)(x_i)]` for all inputs side by side, (B, I * F); no gradient.

    Args:
        x: (B, I).
        columns: from :func:`support`.
        position: from :func:`support`.
        order: k.
        n_features: F = G + k + 1.
    """
    row = x.new_zeros(x.shape[0], x.shape[1] * n_features + 1)
    local = _horner(_coefficients(order, x.dtype, x.device)[0], position)
    row.scatter_(1, columns, local.reshape(columns.shape))
    row[:, :-1:n_features] = functional.silu(x)
    return row[:, :-1]


def input_gradient(
    grad: Tensor, weight: Tensor, x: Tensor, columns: Tensor, position: Tensor, step: float, order: int
) -> Tensor:
    """Return the gradient (B, I) by `x` of `features(x) @ weight.T`.

    Args:
        grad: (B, N), the gradient by the outputs.
        weight: (N, I * F).
        x: (B, I).
        columns: from :func:`support`.
        position: from :func:`support`.
        step: length of a grid cell.
        order: k.
    """
    n_features = weight.shape[1] // x.shape[1]
    row = grad.new_empty(x.shape[0], weight.shape[1] + 1)
    torch.mm(grad, weight, out=row[:, :-1])
    sigmoid = torch.sigmoid(x)
    by_base = row[:, :-1:n_features] * sigmoid.mul(1.0 + x * (1.0 - sigmoid))
    row[:, ::n_features] = 0.0  # where the functions that do not exist point to
    slopes = _horner(_coefficients(order, x.dtype, x.device)[1], position)
    by_basis = row.gather(1, columns).view(slopes.shape).mul_(slopes).sum(dim=1)
    return by_base.add_(by_basis, alpha=1.0 / step)


def feature_table(points: Tensor, low: float, step: float, grid: int, order: int) -> tuple[Tensor, Tensor]:
    """Return `[SiLU, B_0 … B_(G+k-1)]` and their derivatives at `points` (C,), each (C, G + k + 1); no gradient.

    Args:
        points: (C,), floating point.
        low: start of the grid.
        step: length of its cells.
        grid: G.
        order: k.
    """
    x = points.detach().unsqueeze(-1)
    n_features = grid + order + 1
    columns, position = support(x, low, step, grid, order)
    slopes = x.new_zeros(x.shape[0], n_features + 1)
    local = _horner(_coefficients(order, x.dtype, x.device)[1], position)
    slopes.scatter_(1, columns, local.reshape(columns.shape) * (1.0 / step))
    sigmoid = torch.sigmoid(x)
    slopes[:, :1] = sigmoid * (1.0 + x * (1.0 - sigmoid))
    return features(x, columns, position, order, n_features), slopes[:, :-1]


class _FeatureMap(torch.autograd.Function):
    """`features` with a gradient for the inputs; once differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: tuple[float, float, int, int]) -> Tensor:
        low, step, grid, order = geometry
        columns, position = support(x, low, step, grid, order)
        ctx.step, ctx.order = step, order
        ctx.save_for_backward(x, columns, position)
        return features(x, columns, position, order, grid + order + 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, columns, position = ctx.saved_tensors
        n_features = grad.shape[1] // x.shape[1]
        row = functional.pad(grad, (0, 1))
        sigmoid = torch.sigmoid(x)
        by_base = row[:, :-1:n_features] * sigmoid.mul(1.0 + x * (1.0 - sigmoid))
        row[:, ::n_features] = 0.0  # where the functions that do not exist point to
        slopes = _horner(_coefficients(ctx.order, x.dtype, x.device)[1], position)
        by_basis = row.gather(1, columns).view(slopes.shape).mul_(slopes).sum(dim=1)
        return by_base.add_(by_basis, alpha=1.0 / ctx.step), None


def feature_map(x: Tensor, low: float, step: float, grid: int, order: int) -> Tensor:
    """Return `[SiLU(x), B_0(x) … B_(G+k-1)(x)]`, (B, I, G + k + 1), of inputs (B, I), with a gradient.

    Args:
        x: (B, I), floating point.
        low: start of the grid.
        step: length of its cells.
        grid: G.
        order: k.
    """
    rows: Tensor = _FeatureMap.apply(x, (low, step, grid, order))  # type: ignore[no-untyped-call]
    return rows.view(*x.shape, grid + order + 1)
