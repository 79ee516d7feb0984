"""The convolutional networks on one device, without a synchronisation: float training, and QAT with batch normalisation.

`QuantKAN.forward` turns steps into Python numbers, which costs a synchronisation each; here nothing leaves the device, so that
a step can be captured as a CUDA graph. What is trained are the product's own weights and quantizers, and accuracy is always
measured on the integers that the product makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from _graph import _fixed_tables, _tables
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import PoolKind
from pymodel.layers import KAN, ConvLayer
from pymodel.quant import Codes, LiveNorms, QuantKAN
from pymodel.quant._tables import CodeTables

__all__ = ["DeviceNorms", "float_forward"]

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


class DeviceNorms(LiveNorms):
    """:class:`pymodel.quant.LiveNorms` whose tables never leave the device."""

    def __init__(self, quantized: QuantKAN, model: KAN) -> None:
        super().__init__(quantized, model)
        self.known = _fixed_tables(next(quantized.kan_layers()))

    def tables(self, index: int) -> CodeTables:
        """Return the tables that layer number `index` reads, without their LSBs."""
        layer = list(self.quantized.kan_layers())[index]
        step, low = layer.quantizer.step.detach(), layer.quantizer.low.detach()
        table, slopes, _, _ = self.known if index == 0 else _tables(layer, step, low)
        return CodeTables(table, table, slopes, math.nan, math.nan)

    def plain(self, index: int, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return the outputs of the last layer."""
        assert after is None
        bias = list(self.quantized.kan_layers())[index].bias
        y = self.sums(index, u, here)
        return y if bias is None else y + bias
