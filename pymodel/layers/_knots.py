"""B-splines on any knots, one grid per input, with local support: pykan's functions, its update of grids included.

Behaviour on degenerate grids is pykan's: a function one of whose two denominators is 0 is 0, at every level of the
recursion of Cox and de Boor.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["extend_grid", "fit_curves", "interpolated_grid", "knot_basis", "knot_slopes", "sample_grid"]

#: Inputs whose curves are fitted at once.
_FIT_INPUTS = 32


def knot_basis(x: Tensor, grid: Tensor, order: int) -> Tensor:
    """Return the B-splines of degree `order` at `x`; differentiable once by `x`.

    Args:
        x: (B, I). Outside of a grid, and for a NaN, all functions are 0.
        grid: (I, L + 1) non-decreasing knots, of the dtype of `x`.
        order: k, at least 0.

    Returns:
        (B, I, L - k).
    """
    last = grid.shape[1] - 1
    n_basis = last - order
    cell = torch.searchsorted(grid.contiguous(), x.detach().T.contiguous(), right=True) - 1
    inside = (cell >= 0) & (cell < last)
    cell = cell.clamp(0, last - 1)
    # Knots beyond the ends belong to functions that do not exist; they only have to be finite.
    beyond = torch.arange(1, order + 1, dtype=grid.dtype, device=grid.device)
    padded = torch.cat((grid[:, :1] - beyond.flip(0), grid, grid[:, -1:] + beyond), dim=1)
    window = cell.unsqueeze(-1) + torch.arange(2 * order + 2, device=grid.device)
    knots = padded.gather(1, window.flatten(1)).view(window.shape).unbind(-1)  # t_(m-k) … t_(m+k+1), each (I, B)
    place = x.T
    values = [torch.ones_like(place)]
    for p in range(1, order + 1):
        new = []
        for j in range(p + 1):
            left, right = knots[order - p + j], knots[order + j + 1]
            rise, fall = knots[order + j] - left, right - knots[order - p + j + 1]
            value = torch.zeros_like(place)
            if j > 0:
                value = value + (place - left) / torch.where(rise > 0, rise, 1.0) * values[j - 1]
            if j < p:
                value = value + (right - place) / torch.where(fall > 0, fall, 1.0) * values[j]
            new.append(torch.where((rise > 0) & (fall > 0), value, 0.0))
        values = new
    local = torch.stack(values, dim=-1)
    columns = cell.unsqueeze(-1) + torch.arange(-order, 1, device=grid.device)
    exists = inside.unsqueeze(-1) & (columns >= 0) & (columns < n_basis)
    columns = torch.where(exists, columns, n_basis)
    row = local.new_zeros(*local.shape[:2], n_basis + 1)
    return row.scatter(2, columns, local)[..., :n_basis].transpose(0, 1)


def knot_slopes(x: Tensor, grid: Tensor, order: int) -> Tensor:
    """Return the derivatives of :func:`knot_basis`, (B, I, L - k).

    `B'_i = k * (B_i^(k-1) / (t_(i+k) - t_i) - B_(i+1)^(k-1) / (t_(i+k+1) - t_(i+1)))`, a term of width 0 left out.
    """
    lower = knot_basis(x, grid, order - 1)
    width = grid[:, order:] - grid[:, :-order]
    scaled = torch.where(width > 0, lower / torch.where(width > 0, width, 1.0), 0.0)
    return order * (scaled[..., :-1] - scaled[..., 1:])


def extend_grid(grid: Tensor, order: int) -> Tensor:
    """Return (I, G + 2k + 1): `grid` (I, G + 1) with k more knots on each side, at the mean distance of its own."""
    step = (grid[:, -1:] - grid[:, :1]) / (grid.shape[1] - 1)
    beyond = step * torch.arange(1, order + 1, dtype=grid.dtype, device=grid.device)
    return torch.cat((grid[:, :1] - beyond.flip(1), grid, grid[:, -1:] + beyond), dim=1)


def sample_grid(x: Tensor, n_cells: int, uniform: float) -> Tensor:
    """Return (I, G + 1) knots between the extremes of `x`: `uniform` parts equidistant, the rest quantiles.

    Args:
        x: (B, I) samples.
        n_cells: G.
        uniform: pykan's `grid_eps`.
    """
    ordered = x.sort(dim=0).values
    rows = [int(x.shape[0] / n_cells * i) for i in range(n_cells)] + [-1]
    adaptive = ordered[rows].T
    step = (adaptive[:, -1:] - adaptive[:, :1]) / n_cells
    even = adaptive[:, :1] + step * torch.arange(n_cells + 1, dtype=x.dtype, device=x.device)
    return uniform * even + (1.0 - uniform) * adaptive


def interpolated_grid(grid: Tensor, n_cells: int) -> Tensor:
    """Return (I, n_cells + 1) knots: `grid` (I, G + 1) as a piecewise linear function of its index, at equal steps."""
    place = torch.linspace(0.0, grid.shape[1] - 1, n_cells + 1, dtype=torch.float64, device=grid.device)
    left = place.floor().clamp(max=grid.shape[1] - 2)
    share = (place - left).to(grid.dtype)
    first = left.long()
    return grid[:, first] * (1 - share) + grid[:, first + 1] * share


@torch.no_grad()
def fit_curves(x: Tensor, y: Tensor, grid: Tensor, order: int) -> Tensor:
    """Return the coefficients (N, I, n_basis) of the splines on `grid` closest to curves (least squares, least norm).

    Args:
        x: (B, I) points.
        y: (B, I, N) values of the curves.
        grid: (I, L + 1).
        order: k.
    """
    parts = []
    for some in torch.split(torch.arange(x.shape[1], device=x.device), _FIT_INPUTS):
        design = knot_basis(x[:, some].double(), grid[some].double(), order).transpose(0, 1)
        values = y[:, some].double().transpose(0, 1)
        parts.append(torch.linalg.lstsq(design.cpu(), values.cpu(), driver="gelsd").solution)
    return torch.cat(parts).permute(2, 0, 1).to(grid)
