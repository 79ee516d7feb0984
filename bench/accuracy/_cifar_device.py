"""The convolutional networks on one device, without a synchronisation: float training, and QAT as the product computes it.

`QuantKAN.forward` turns steps into Python numbers, which costs a synchronisation each; here the same formulas run in float64
on the device, so that a step can be captured as a CUDA graph. What is trained is the product's own module, and accuracy is
always measured on what the product makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from _graph import _fixed_tables, _Tables, _tables, _up
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import PoolKind
from pymodel.layers import KAN, NO_BASE, ConvLayer, pool_real
from pymodel.quant import MULTIPLIER_BITS, Codes, QuantKAN, QuantKANLinear, replace
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._quantizers import InputQuantizer
from pymodel.quant._tables import CodeTables

__all__ = ["device_forward", "float_forward"]

_Forward = Callable[[Tensor], Tensor]


def _image_layer(layer: ConvLayer, x: Tensor, dtype: torch.dtype, training: bool) -> Tensor:
    """Return what `layer` computes for rows (B, H*W*C), its sums as an image, channels last, until the pool is done."""
    g, norm = layer.geometry, layer.norm
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.momentum is not None
    maps = layer._pixel_features(x)
    image = maps.reshape(-1, g.height, g.width, g.channels * maps.shape[-1]).permute(0, 3, 1, 2)
    weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1)
    kernel = weight.view(-1, g.kernel_height, g.kernel_width, image.shape[1]).permute(0, 3, 1, 2)
    y = functional.conv2d(image.to(dtype), kernel.to(dtype), padding=(g.padding_top, g.padding_left)).float()
    if layer.bias is not None:  # a running mean must see it, though the norm takes it out again
        y = y + layer.bias.view(1, -1, 1, 1)
    y = functional.batch_norm(
        y, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, norm.momentum, norm.eps
    )
    if layer.pool is not None:
        assert layer.pool_op is PoolKind.MAX
        y = functional.max_pool2d(y, (layer.pool.kernel_height, layer.pool.kernel_width))
    return y.permute(0, 2, 3, 1).flatten(1)


def float_forward(model: KAN, dtype: torch.dtype = torch.float32) -> _Forward:
    """Return a function that computes what a float network does in training, its convolutions in `dtype`."""

    def forward(x: Tensor) -> Tensor:
        for layer in model.kan_layers():
            x = _image_layer(layer, x, dtype, model.training) if isinstance(layer, ConvLayer) else layer(x)
        return x

    return forward


def _sums(
    layer: QuantKANLinear, u: Tensor, here: Codes, after: tuple[Tensor, Tensor] | None, fixed: _Tables | None
) -> Tensor:
    """Return a layer's outputs before a pool, as `QuantKANLinear.forward` does."""
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    step, low = here
    table, slopes, base_lsb, basis_lsb = fixed or _tables(layer, step.detach(), low.detach())
    out = step.new_ones((), dtype=torch.float64) if after is None else after[0].detach().double()
    factors = [
        lsb * quantizer.step.detach().double().view(-1) / out
        for lsb, quantizer in ((basis_lsb, layer.spline_quantizer), (base_lsb, layer.base_quantizer))
    ]
    if layer.functions.activation == NO_BASE:
        factors[1] = torch.zeros_like(factors[1])
    largest = torch.cat(factors).max()
    shift = torch.floor(math.log2(2.0**MULTIPLIER_BITS - 0.5) - torch.log2(largest)).clamp(0, 62)
    scale = torch.exp2(shift)
    ratios = [torch.where(f > 0, _up(f * scale) / scale / f, 1.0).to(u.dtype).view(-1, 1) for f in factors]
    base, spline = layer.masked_weights()
    base = layer.base_quantizer(base) * ratios[1]
    spline = layer.spline_quantizer(spline) * ratios[0].unsqueeze(-1)
    u = layer.quantizer.shaped(u, step)
    tables = CodeTables(table, table, slopes, math.nan, math.nan)
    y = layer._linear(u, here, torch.cat((base.unsqueeze(-1), spline), dim=-1), tables)
    if after is None:
        return y if layer.bias is None else y + layer.bias
    unit = (out / scale).to(u.dtype)
    if layer.bias is not None:
        y = y + replace(layer.bias, _up(layer.bias.detach() / unit) * unit)
    offset = _up(-after[1].detach().double() / out * scale)
    hard = ((_up(y.detach() / unit).double() + offset) / scale).to(u.dtype)
    return replace((y - after[1]) / after[0], hard)


def device_forward(model: QuantKAN) -> _Forward:
    """Return a function that computes what `model(x)` does; convolutions pool by the maximum or not at all."""
    layers = list(model.kan_layers())
    first = layers[0].quantizer
    assert isinstance(first, InputQuantizer)
    tables = _fixed_tables(layers[0])

    def forward(x: Tensor) -> Tensor:
        u = first.codes(x).to(layers[0].base_weight.dtype)
        codes = [layer.quantizer.scaled(layer.n_inputs) for layer in layers]
        for layer, here, after in zip(layers, codes, [*codes[1:], None], strict=True):
            y = _sums(layer, u, Codes(*here), after, tables if layer is layers[0] else None)
            u = y
            if isinstance(layer, QuantKANConv):
                u = y.view(len(x), -1)
                if layer.pool is not None:
                    assert layer.pool_op is PoolKind.MAX
                    u = pool_real(u, layer.pool, layer.pool_op)
        return u

    return forward
