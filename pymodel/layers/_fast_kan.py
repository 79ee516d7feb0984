"""The float KAN with Gaussian radial basis functions, after fast-kan.

Li 2024, "Kolmogorov-Arnold Networks are Radial Basis Function Networks", arXiv:2405.06721:
`y_o = sum_i base_weight[o,i] * act(x_i) + sum_(i,j) spline_weight[o,i,j] * exp(-((z_i - g_j)/h)^2) + bias[o]`, z = LN(x)
or (the default here) z = x. fast-kan normalises by default; in hardware, a LayerNorm costs a norm node with two
multipliers per input (`pymodel.ir.Norm`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.layers._activations import ACTIVATIONS, activate
from pymodel.layers._basis_maps import rbf_map
from pymodel.layers._functions import RbfFunctions
from pymodel.layers._kan import KAN, KANLayer, check_range, check_sizes

__all__ = ["FastKAN", "FastKANLinear"]


class FastKANLinear(KANLayer):
    """A float KAN layer: Gaussians on a grid plus a base branch.

    Args:
        in_features, out_features: I and N.
        grid: number of centres, at least 2; equidistant, the first and last at the ends of `range`.
        range: [low, high].
        width: h of the Gaussians; the distance of two centres by default.
        activation: of the base branch, which sees the raw input.
        layernorm: normalise the inputs of the Gaussians over the layer's inputs (at least 2), as fast-kan does.

    Attributes:
        layernorm: `nn.LayerNorm` or None.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid: int = 8,
        range: tuple[float, float] = (-2.0, 2.0),  # noqa: A002 - the name of the setting
        width: float | None = None,
        activation: str = "silu",
        layernorm: bool = False,
    ) -> None:
        low, high = map(float, range)
        check_sizes(in_features, out_features, grid - 1)
        check_range(low, high)
        if activation not in ACTIVATIONS:
            activate(activation, torch.zeros(1))
        h = (high - low) / (grid - 1) if width is None else float(width)
        if not (math.isfinite(h) and h > 0.0):
            raise ModelError(f"the width of a Gaussian must be positive and finite, not {width}; change the model")
        if layernorm and in_features < 2:
            raise ModelError("a LayerNorm over one input would give a constant; leave layernorm out")
        super().__init__(in_features, out_features, grid, low, high)
        self.bias = nn.Parameter(torch.empty(out_features))
        self._add_mask()
        self.grid_size, self.width, self.activation = grid, h, activation
        self.layernorm = nn.LayerNorm(in_features) if layernorm else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise as fast-kan does: spline weights normal with deviation 0.1, the base like `nn.Linear`."""
        nn.init.trunc_normal_(self.spline_weight, mean=0.0, std=0.1)
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        assert isinstance(self.bias, nn.Parameter)
        bound = 1.0 / math.sqrt(self.in_features)
        nn.init.uniform_(self.bias, -bound, bound)

    @property
    def functions(self) -> RbfFunctions:
        """The functions of the edges, without their weights."""
        return RbfFunctions(self.low, self.high, self.grid_size, self.width, self.activation)

    def edge_features(self, x: Tensor) -> Tensor:
        """Return `[act(x_i), G_0(z_i), …]` of every input, (B, I, 1 + n_centres), for inputs (B, I)."""
        functions = self.functions
        z = x if self.layernorm is None else self.layernorm(x.to(self.layernorm.weight)).to(x)
        return torch.cat((activate(self.activation, x).unsqueeze(-1), functions.basis(z)), dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, N) for inputs (…, I)."""
        flat = x.reshape(-1, self.in_features)
        z = flat if self.layernorm is None else self.layernorm(flat)
        functions = self.functions
        basis = rbf_map(z, functions.centres(z), functions.width)
        y = self._sum(flat, basis.flatten(1), self.activation, self._spline_weights().flatten(1))
        return y.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return (
            f"{self.in_features}, {self.out_features}, grid={self.grid_size}, range=({self.low:g}, {self.high:g}), "
            f"width={self.width:g}, activation={self.activation}"
        )


class FastKAN(KAN):
    """A chain of :class:`FastKANLinear` layers.

    Args:
        widths: features, hidden nodes, outputs.
        grid, range, activation, layernorm: of every layer.

    Raises:
        ModelError: if there are fewer than two widths or an argument is out of range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        grid: int = 8,
        range: tuple[float, float] = (-2.0, 2.0),  # noqa: A002 - the name of the setting
        activation: str = "silu",
        layernorm: bool = False,
    ) -> None:
        make = FastKANLinear
        layers = [
            make(n_in, n_out, grid=grid, range=range, activation=activation, layernorm=layernorm)
            for n_in, n_out in self.pairs(widths)
        ]
        super().__init__(widths, layers)
