"""What a quantized layer computes before any rounding: its float features, the sums it rounds, and its nodes.

A layer that was just made of a float one holds its folded weights, batch normalisation and affine maps included, so its
sums are what the rounded ones are compared with, whatever follows them: a pool, a product, the next layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pymodel.layers import AfterPReLU, BSplineFunctions, Functions, convolve, pool_real
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._norm import QuantNormedLinear, QuantNormLinear
from pymodel.quant._product import QuantProductLinear, products

__all__ = [
    "features_at",
    "float_sums",
    "in_blocks",
    "nodes_of",
    "quantized_outputs",
    "quantized_sums",
    "row_blocks",
    "sums_of",
]

#: Feature values that are computed at once.
_BLOCK_VALUES = 1 << 25


class _Features(torch.autograd.Function):
    """Splines, which have no gradient of their own, at inputs of any shape; their derivatives going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, functions: Functions) -> Tensor:
        values, slopes = functions.table(x.detach().flatten())
        ctx.save_for_backward(slopes.reshape(*x.shape, -1))
        return values.reshape(*x.shape, -1).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return (grad * slopes).sum(dim=-1), None


def _values(functions: Functions, x: Tensor) -> Tensor:
    if x.requires_grad and isinstance(functions, BSplineFunctions | AfterPReLU):
        result: Tensor = _Features.apply(x, functions)  # type: ignore[no-untyped-call]
        return result
    return functions.features(x)


def features_at(layer: QuantKANLinear, x: Tensor) -> Tensor:
    """Return `[act, B_0, …]` at real inputs `x` (B, n), as (B, n, F), differentiable once by `x`.

    Args:
        layer: any layer.
        x: its inputs; of an image, all its integers.
    """
    if not isinstance(layer, QuantNormLinear):
        return _values(layer.functions, x)
    z = functional.layer_norm(x, (layer.in_features,), layer.gamma, layer.beta, layer.epsilon)
    if isinstance(layer, QuantNormedLinear):
        return _values(layer.functions, z)
    return torch.cat((_values(layer.functions, x)[..., :1], _values(layer.functions, z)[..., 1:]), dim=-1)


def float_sums(layer: QuantKANLinear, x: Tensor) -> Tensor:
    """Return the sums (B, N), or (B * windows, N), of float weights at real inputs; see :func:`features_at`."""
    return sums_of(layer, features_at(layer, x))


def sums_of(layer: QuantKANLinear, phi: Tensor) -> Tensor:
    """Return the sums of float weights for features (B, n_inputs, F)."""
    base, spline = layer.masked_weights()
    weight = torch.cat((base.unsqueeze(-1), spline), dim=-1)
    if isinstance(layer, QuantKANConv):
        y = convolve(phi, weight, layer.geometry)
    else:
        y = functional.linear(phi.flatten(1), weight.flatten(1))
    return y if layer.bias is None else y + layer.bias


def nodes_of(layer: QuantKANLinear, sums: Tensor) -> Tensor:
    """Return the nodes (B, n_nodes) of real sums: their pool, their products, or the sums themselves."""
    if isinstance(layer, QuantKANConv):
        rows = sums.view(-1, layer.geometry.n_windows * layer.out_features)
        return rows if layer.pool is None else pool_real(rows, layer.pool, layer.pool_op)
    if isinstance(layer, QuantProductLinear):
        return products(sums, layer.arity) * layer.node_scale + layer.node_bias
    return sums


def row_blocks(layer: QuantKANLinear, rows: int) -> Iterator[slice]:
    """Yield the rows in blocks whose features are few enough."""
    block = max(1, _BLOCK_VALUES // (layer.n_inputs * (layer.n_basis + 1)))
    for start in range(0, rows, block):
        yield slice(start, start + block)


def in_blocks(layer: QuantKANLinear, function: Callable[[slice], Tensor], rows: int) -> Tensor:
    """Return `function` of all rows, computed block by block."""
    return torch.cat([function(block) for block in row_blocks(layer, rows)])


def quantized_sums(layer: QuantKANLinear, u: Tensor, here: Codes) -> Tensor:
    """Return the real sums (B, N), or (B * windows, N), as the quantized layer has them before pool and products."""
    return QuantKANLinear.forward(layer, u, here, None)


def quantized_outputs(layer: QuantKANLinear, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
    """Return the outputs of the quantized layer for all rows, in units of the next codes or real."""
    return in_blocks(layer, lambda block: layer(u[block], here, after), len(u))
