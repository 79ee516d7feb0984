"""torch-conv-kan's 2-D convolutions as plain torch modules with their state_dict keys, written from their formulas.

Bases are evaluated per pixel and then convolved, so a padded pixel contributes 0, not the basis of 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.pymodel.importers.peers import RadialBasisFunction, bases, gram


class _Conv(nn.Module):
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel_size: int,
        groups: int = 1,
        padding: int = 0,
        stride: int = 1,
        dilation: int = 1,
        norm_layer: type[nn.Module] = nn.InstanceNorm2d,
        normed: int | None = None,
    ) -> None:
        super().__init__()
        self.inputdim, self.outdim, self.kernel_size, self.groups = input_dim, output_dim, kernel_size, groups
        self.padding, self.stride, self.dilation, self.ndim = padding, stride, dilation, 2
        self.conv = {"stride": stride, "padding": padding, "dilation": dilation}
        n_in, n_out = input_dim // groups, output_dim // groups
        self.base_conv = nn.ModuleList(
            nn.Conv2d(n_in, n_out, kernel_size, bias=False, **self.conv) for _ in range(groups)
        )
        self.layer_norm = nn.ModuleList(norm_layer(normed or n_out) for _ in range(groups))

    def part(self, x: Tensor, group: int) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, self.inputdim // self.groups, dim=1)
        return torch.cat([self.part(part, g) for g, part in enumerate(parts)], dim=1)


class KAGNConv2DLayer(_Conv):
    """SiLU(norm(conv of SiLU(gram) + conv of SiLU)); basis channels are degree-major."""

    def __init__(self, input_dim: int, output_dim: int, kernel_size: int, degree: int = 3, **arguments: Any) -> None:
        super().__init__(input_dim, output_dim, kernel_size, **arguments)
        self.degree, self.base_activation = degree, nn.SiLU()
        n_in, n_out = input_dim // self.groups, output_dim // self.groups
        shape = (self.groups, n_out, n_in * (degree + 1), kernel_size, kernel_size)
        self.poly_weights = nn.Parameter(0.3 * torch.randn(shape))
        self.beta_weights = nn.Parameter(0.05 * torch.randn(degree + 1))

    def part(self, x: Tensor, group: int) -> Tensor:
        base = self.base_conv[group](self.base_activation(x))
        values = gram(torch.tanh(x), self.beta_weights).movedim(-1, 1).flatten(1, 2)
        y = functional.conv2d(self.base_activation(values), self.poly_weights[group], **self.conv)
        return self.base_activation(self.layer_norm[group](y + base))


class KAGNConv2DLayerV2(nn.Module):
    """The same with single convolutions `base_conv` and `poly_conv` and one norm over all channels."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel_size: int,
        degree: int = 3,
        groups: int = 1,
        norm_layer: type[nn.Module] = nn.InstanceNorm2d,
    ) -> None:
        super().__init__()
        self.degree, self.groups, self.base_activation = degree, groups, nn.SiLU()
        self.stride, self.padding, self.dilation = 1, 0, 1
        self.base_conv = nn.Conv2d(input_dim, output_dim, kernel_size, groups=groups, bias=False)
        self.layer_norm = norm_layer(output_dim)
        self.poly_conv = nn.Conv2d(input_dim * (degree + 1), output_dim, kernel_size, groups=groups, bias=False)
        self.beta_weights = nn.Parameter(0.05 * torch.randn(degree + 1))

    def forward(self, x: Tensor) -> Tensor:
        base = self.base_conv(self.base_activation(x))
        values = gram(torch.tanh(x), self.beta_weights).movedim(-1, 1).flatten(1, 2)
        return self.base_activation(self.layer_norm(self.poly_conv(self.base_activation(values)) + base))


class KANConv2DLayer(_Conv):
    """PReLU(norm(conv of B-splines + conv of the base)); basis channels are channel-major; the grid is no buffer."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel_size: int,
        spline_order: int = 3,
        grid_size: int = 5,
        base_activation: type[nn.Module] = nn.GELU,
        grid_range: tuple[float, float] = (-1.0, 1.0),
        **arguments: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, kernel_size, **arguments)
        self.spline_order, self.grid_size, self.grid_range = spline_order, grid_size, list(grid_range)
        self.base_activation = base_activation()
        n_in, n_out = input_dim // self.groups, output_dim // self.groups
        n_basis = grid_size + spline_order
        self.spline_conv = nn.ModuleList(
            nn.Conv2d(n_basis * n_in, n_out, kernel_size, bias=False, **self.conv) for _ in range(self.groups)
        )
        self.prelus = nn.ModuleList(nn.PReLU() for _ in range(self.groups))
        h = (grid_range[1] - grid_range[0]) / grid_size
        ends = grid_range[0] - h * spline_order, grid_range[1] + h * spline_order
        self.grid = torch.linspace(*ends, grid_size + 2 * spline_order + 1)

    def part(self, x: Tensor, group: int) -> Tensor:
        base = self.base_conv[group](self.base_activation(x))
        flat = bases(x.reshape(-1, 1), self.grid.to(x.dtype).unsqueeze(0), self.spline_order)
        values = flat.reshape(*x.shape, -1).movedim(-1, 2).flatten(1, 2)
        return self.prelus[group](self.layer_norm[group](base + self.spline_conv[group](values)))


class FastKANConv2DLayer(_Conv):
    """conv of Gaussians of the normalised input + conv of the base; channel-major; nothing at the end."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        kernel_size: int,
        grid_size: int = 8,
        base_activation: type[nn.Module] = nn.SiLU,
        grid_range: tuple[float, float] = (-2.0, 2.0),
        **arguments: Any,
    ) -> None:
        groups = arguments.get("groups", 1)
        super().__init__(input_dim, output_dim, kernel_size, normed=input_dim // groups, **arguments)
        self.grid_size, self.grid_range, self.base_activation = grid_size, list(grid_range), base_activation()
        n_in, n_out = input_dim // groups, output_dim // groups
        self.spline_conv = nn.ModuleList(
            nn.Conv2d(grid_size * n_in, n_out, kernel_size, bias=False, **self.conv) for _ in range(groups)
        )
        self.rbf = RadialBasisFunction(*grid_range, grid_size)

    def part(self, x: Tensor, group: int) -> Tensor:
        base = self.base_conv[group](self.base_activation(x))
        values = self.rbf(self.layer_norm[group](x)).movedim(-1, 2).flatten(1, 2)
        return base + self.spline_conv[group](values)
