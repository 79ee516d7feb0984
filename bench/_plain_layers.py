"""The four libraries' layers in plain torch, as their own code computes them: what `layer_speed.py` measures against.

Written from the formulas (efficient-kan 7b6ce1c, fast-kan 17b6540, pykan 0.2.8, torch-conv-kan 7a0e83c), without the norms
that some put in front or behind, which ours leaves out as well. Weights have the shapes that each library gives them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PlainEfficient", "PlainFast", "PlainFastConv", "PlainGram", "PlainGramConv", "PlainPy", "PlainSplineConv"]


def _cox_de_boor(x: Tensor, grid: Tensor, order: int) -> Tensor:
    """Basis values (…, K - 1 - order) of `x` (…, 1) on knots that broadcast against it, as the libraries write them."""
    b = ((x >= grid[..., :-1]) & (x < grid[..., 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - grid[..., : -(k + 1)]) / (grid[..., k:-1] - grid[..., : -(k + 1)]) * b[..., :-1]
        right = (grid[..., k + 1 :] - x) / (grid[..., k + 1 :] - grid[..., 1:-k]) * b[..., 1:]
        b = left + right
    return b


class PlainEfficient(nn.Module):
    """efficient-kan's `KANLinear`."""

    grid: Tensor

    def __init__(self, grid: Tensor, base: Tensor, spline: Tensor) -> None:
        super().__init__()
        self.register_buffer("grid", grid.expand(base.shape[1], -1).contiguous())
        self.base_weight, self.spline_weight = nn.Parameter(base), nn.Parameter(spline)
        self.spline_scaler = nn.Parameter(torch.ones_like(base))

    def forward(self, x: Tensor) -> Tensor:
        order = self.grid.shape[1] - 1 - self.spline_weight.shape[-1]
        weight = self.spline_weight * self.spline_scaler.unsqueeze(-1)
        bases = _cox_de_boor(x.unsqueeze(-1), self.grid, order).contiguous()
        spline = functional.linear(bases.flatten(1), weight.flatten(1))
        return functional.linear(functional.silu(x), self.base_weight) + spline


class PlainFast(nn.Module):
    """fast-kan's `FastKANLayer` without its LayerNorm."""

    grid: Tensor

    def __init__(self, grid: Tensor, base: Tensor, spline: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("grid", grid)
        self.width = float(grid[-1] - grid[0]) / (len(grid) - 1)
        self.spline_weight, self.base_weight = nn.Parameter(spline.flatten(1).contiguous()), nn.Parameter(base)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        rbf = torch.exp(-(((x[..., None] - self.grid) / self.width) ** 2))
        y = functional.linear(rbf.view(*rbf.shape[:-2], -1), self.spline_weight)
        return y + functional.linear(functional.silu(x), self.base_weight, self.bias)


class PlainPy(nn.Module):
    """pykan's layer: `KANLayer.forward`, then the affine steps of `MultKAN.forward`; no symbolic branch."""

    grid: Tensor
    mask: Tensor

    def __init__(self, grid: Tensor, base: Tensor, spline: Tensor, scale: Tensor) -> None:
        super().__init__()
        n_out, n_in = base.shape
        self.register_buffer("grid", grid.contiguous())
        self.register_buffer("mask", torch.ones(n_in, n_out))
        self.scale_base, self.scale_sp = nn.Parameter(base.T.contiguous()), nn.Parameter(scale.T.contiguous())
        self.coef = nn.Parameter(spline.transpose(0, 1).contiguous())
        for name, start in (("subnode_scale", 1.0), ("subnode_bias", 0.0), ("node_scale", 1.0), ("node_bias", 0.0)):
            setattr(self, name, nn.Parameter(torch.full((n_out,), start), requires_grad=False))

    def _bases(self, x: Tensor, order: int) -> Tensor:
        x, grid = x.unsqueeze(2), self.grid.unsqueeze(0)
        value = ((x >= grid[:, :, :-1]) * (x < grid[:, :, 1:])).to(x.dtype)
        for k in range(1, order + 1):
            value = (x - grid[:, :, : -(k + 1)]) / (grid[:, :, k:-1] - grid[:, :, : -(k + 1)]) * value[:, :, :-1] + (
                grid[:, :, k + 1 :] - x
            ) / (grid[:, :, k + 1 :] - grid[:, :, 1:-k]) * value[:, :, 1:]
            value = torch.nan_to_num(value)
        return value

    def forward(self, x: Tensor) -> Tensor:
        order = self.grid.shape[1] - 1 - self.coef.shape[-1]
        base = functional.silu(x)
        curves = torch.einsum("ijk,jlk->ijl", self._bases(x, order), self.coef)
        y = self.scale_base[None] * base[:, :, None] + self.scale_sp[None] * curves
        y = torch.sum(self.mask[None] * y, dim=1)
        return self.node_scale * (self.subnode_scale * y + self.subnode_bias) + self.node_bias


def _gram(t: Tensor, beta: Tensor, axis: int) -> Tensor:
    """Polynomials of `t` side by side along `axis`: stacked (dense) or concatenated (maps), degree-major."""
    values = [torch.ones_like(t), t]
    for m in range(2, beta.numel()):
        n = m - 1
        factor = ((m + n) * (m - n) * n**2) / (m**2 / (4.0 * n**2 - 1.0)) * beta[n]
        values.append(t * values[-1] - factor * values[-2])
    return torch.stack(values, dim=axis) if axis < 0 else torch.cat(values, dim=axis)


class PlainGram(nn.Module):
    """torch-conv-kan's `GRAMLayer` without its norm and last SiLU."""

    def __init__(self, beta: Tensor, base: Tensor, spline: Tensor) -> None:
        super().__init__()
        self.beta_weights, self.base_weights = nn.Parameter(beta), nn.Parameter(base)
        self.grams_basis_weights = nn.Parameter(spline.permute(1, 0, 2).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        basis = functional.silu(_gram(torch.tanh(x).contiguous(), self.beta_weights, -1))
        y = torch.einsum("bld,lod->bo", basis, self.grams_basis_weights)
        return y + functional.linear(functional.silu(x), self.base_weights)


class _PlainConv(nn.Module):
    """A base convolution, and one of the basis maps; `padding` keeps the size."""

    def __init__(self, base: Tensor, maps: Tensor) -> None:
        super().__init__()
        self.base, self.maps = nn.Parameter(base), nn.Parameter(maps)
        self.padding = base.shape[-1] // 2

    def _sum(self, x: Tensor, basis: Tensor) -> Tensor:
        y = functional.conv2d(basis, self.maps, padding=self.padding)
        return y + functional.conv2d(functional.silu(x), self.base, padding=self.padding)


class PlainSplineConv(_PlainConv):
    """torch-conv-kan's `KANConv2DLayer` with SiLU, without norm and PReLU: channel-major maps."""

    grid: Tensor

    def __init__(self, grid: Tensor, base: Tensor, spline: Tensor) -> None:
        super().__init__(base, spline.flatten(1, 2))  # (N, C, F, kh, kw)
        self.register_buffer("grid", grid)
        self.order = len(grid) - 1 - spline.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        grid = self.grid.view(1, 1, 1, 1, -1).expand(1, *x.shape[1:], -1).contiguous()
        bases = _cox_de_boor(x.unsqueeze(-1), grid, self.order)
        return self._sum(x, bases.moveaxis(-1, 2).flatten(1, 2))


class PlainFastConv(_PlainConv):
    """torch-conv-kan's `FastKANConv2DLayer` without its norm: channel-major maps."""

    grid: Tensor

    def __init__(self, grid: Tensor, base: Tensor, spline: Tensor) -> None:
        super().__init__(base, spline.flatten(1, 2))
        self.register_buffer("grid", grid)
        self.width = float(grid[-1] - grid[0]) / (len(grid) - 1)

    def forward(self, x: Tensor) -> Tensor:
        rbf = torch.exp(-(((x[..., None] - self.grid) / self.width) ** 2))
        return self._sum(x, rbf.moveaxis(-1, 2).flatten(1, 2))


class PlainGramConv(_PlainConv):
    """torch-conv-kan's `KAGNConv2DLayer` without norm and last SiLU: degree-major maps."""

    def __init__(self, beta: Tensor, base: Tensor, spline: Tensor) -> None:
        super().__init__(base, spline.transpose(1, 2).flatten(1, 2))
        self.beta_weights = nn.Parameter(beta)

    def forward(self, x: Tensor) -> Tensor:
        basis = functional.silu(_gram(torch.tanh(x), self.beta_weights, 1))
        return self._sum(x, basis)
