"""The float B-spline KAN with efficient-kan's formula, initialisation and behaviour outside the grid, but fast.

`y_o = sum_i base_weight[o,i] * SiLU(x_i) + sum_(i,b) spline_weight[o,i,b] * B_b(x_i)`

It differs from efficient-kan (Blealtan, 2024) in three ways. There is no `spline_scaler`: it multiplies the spline
weights and adds nothing that they cannot express. The grid is uniform, shared by all inputs, and never moves. And the
bases are evaluated where they are not zero, in one pass, followed by one matrix product for both branches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pymodel.errors import ModelError
from pymodel.layers._activations import activate
from pymodel.layers._bspline import features, input_gradient, support, uniform_knots
from pymodel.layers._functions import BSplineFunctions
from pymodel.layers._kan import KAN, KANLayer, check_range

__all__ = ["MAX_ORDER", "EfficientKAN", "EfficientKANLinear"]

#: The largest spline order; beyond it the float32 polynomials of a cell lose their precision.
MAX_ORDER = 7


class _SplineLinear(torch.autograd.Function):
    """The layer's formula as one matrix product, with gradients for the input and both weights; once differentiable."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        base_weight: Tensor,
        spline_weight: Tensor,
        mask: Tensor | None,
        geometry: tuple[float, float, int, int],
    ) -> Tensor:
        """Return (B, N) for `x` (B, I); `mask` is (N, I, 1) or None, `geometry` is (low, step, G, k)."""
        low, step, grid, order = geometry
        columns, position = support(x, low, step, grid, order)
        phi = features(x, columns, position, order, grid + order + 1)
        weight = torch.cat((base_weight.unsqueeze(-1), spline_weight), dim=-1)
        if mask is not None:
            weight *= mask
        weight = weight.flatten(1)
        ctx.step, ctx.order, ctx.n_features, ctx.mask = step, order, grid + order + 1, mask
        ctx.save_for_backward(phi, weight, *((x, columns, position) if ctx.needs_input_grad[0] else ()))
        return phi @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        """Return the gradients for `x`, `base_weight` and `spline_weight`."""
        phi, weight, *rest = ctx.saved_tensors
        grad = grad.to(phi.dtype)  # bfloat16 behind a product under autocast
        by_x = by_base = by_spline = None
        if rest:
            x, columns, position = rest
            by_x = input_gradient(grad, weight, x, columns, position, ctx.step, ctx.order)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            by_weight = (grad.T @ phi).unflatten(1, (-1, ctx.n_features))
            if ctx.mask is not None:
                by_weight *= ctx.mask
            by_base, by_spline = by_weight[..., 0], by_weight[..., 1:]
        return by_x, by_base, by_spline, None, None


class EfficientKANLinear(KANLayer):
    """A float KAN layer: cubic (or other) B-splines plus a SiLU base branch.

    Args:
        in_features, out_features: I and N.
        grid: intervals G of the grid.
        order: spline order (polynomial degree) k, 1 … 7.
        range: [low, high] that the grid covers; outside it the bases run out, over k steps, and only the base is left.
        activation: of the base branch.
        scale_noise, scale_base, scale_spline: of the initialisation, as in efficient-kan.

    Attributes:
        base_weight: parameter (N, I).
        spline_weight: parameter (N, I, G + k).
        grid: buffer (G + 2k + 1,), the knots.
        mask: bool buffer (N, I); False removes an edge (its weights count as 0).

    Raises:
        ModelError: if an argument is out of range.
    """

    grid: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        grid: int = 5,
        order: int = 3,
        range: tuple[float, float] = (-1.0, 1.0),  # noqa: A002 - the name of the setting
        activation: str = "silu",
        scale_noise: float = 0.1,
        scale_base: float = 1.0,
        scale_spline: float = 1.0,
    ) -> None:
        low, high = map(float, range)
        if in_features < 1 or out_features < 1 or grid < 1 or not 1 <= order <= MAX_ORDER:
            raise ModelError(
                f"a KAN layer needs at least 1 input, output and grid interval and an order of 1 … {MAX_ORDER}, not "
                f"{in_features}, {out_features}, {grid} and {order}; change the model"
            )
        check_range(low, high)
        activate(activation, torch.zeros(1))
        super().__init__(in_features, out_features, grid + order, low, high)
        self.register_parameter("bias", None)
        self.grid_size, self.order, self.activation = grid, order, activation
        self.register_buffer("grid", torch.from_numpy(self.knots).to(self.base_weight.dtype))
        self._add_mask()
        self.reset_parameters(scale_noise, scale_base, scale_spline)

    @property
    def functions(self) -> BSplineFunctions:
        """The functions of the edges, without their weights."""
        return BSplineFunctions(self.low, self.high, self.grid_size, self.order, self.activation)

    @property
    def step(self) -> float:
        """Length of a grid interval."""
        return (self.high - self.low) / self.grid_size

    @property
    def knots(self) -> npt.NDArray[np.float64]:
        """The G + 2k + 1 knots in float64."""
        return uniform_knots(self.low, self.high, self.grid_size, self.order)

    @torch.no_grad()
    def reset_parameters(self, scale_noise: float = 0.1, scale_base: float = 1.0, scale_spline: float = 1.0) -> None:
        """Initialise as efficient-kan does.

        The base weights are Kaiming uniform with `a = sqrt(5) * scale_base`: a larger value gives smaller weights. The
        spline weights are `scale_spline` times the least squares fit of noise, uniform within
        `+-scale_noise / (2 G)`, at the G + 1 inner knots.
        """
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5) * scale_base)
        points = torch.from_numpy(self.knots[self.order : self.order + self.grid_size + 1]).unsqueeze(-1)
        columns, position = support(points, self.low, self.step, self.grid_size, self.order)
        design = features(points, columns, position, self.order, self.n_basis + 1)[:, 1:]
        shape = (self.grid_size + 1, self.out_features * self.in_features)
        noise = (torch.rand(shape, dtype=torch.float64) - 0.5) * (scale_noise / self.grid_size)
        fit = torch.linalg.lstsq(design, noise, driver="gelsd").solution
        weights = scale_spline * fit.T.reshape(self.out_features, self.in_features, self.n_basis)
        self.spline_weight.copy_(weights.to(self.spline_weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, N) for inputs (…, I)."""
        flat = x.reshape(-1, self.in_features)
        mask = self.mask.unsqueeze(-1) if self._pruned else None
        geometry = (self.low, self.step, self.grid_size, self.order)
        fused = self.activation == "silu"
        base_weight = self.base_weight if fused else torch.zeros_like(self.base_weight)
        y: Tensor = _SplineLinear.apply(  # type: ignore[no-untyped-call]
            flat, base_weight, self.spline_weight, mask, geometry
        )
        if not fused:
            weight = self.base_weight if mask is None else self.base_weight * self.mask
            y = y + nn.functional.linear(activate(self.activation, flat), weight)
        return y.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return (
            f"{self.in_features}, {self.out_features}, grid={self.grid_size}, order={self.order}, "
            f"range=({self.low:g}, {self.high:g})"
        )


class EfficientKAN(KAN):
    """A chain of :class:`EfficientKANLinear` layers.

    Args:
        widths: features, hidden nodes, outputs.
        grid, order, range, activation: of every layer.

    Raises:
        ModelError: if there are fewer than two widths or an argument is out of range.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        grid: int = 5,
        order: int = 3,
        range: tuple[float, float] = (-1.0, 1.0),  # noqa: A002 - the name of the setting
        activation: str = "silu",
    ) -> None:
        make = EfficientKANLinear
        layers = [
            make(n_in, n_out, grid=grid, order=order, range=range, activation=activation)
            for n_in, n_out in self.pairs(widths)
        ]
        super().__init__(widths, layers)
