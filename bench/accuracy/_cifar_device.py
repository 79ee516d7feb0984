"""The convolutional networks on one device, without a synchronisation: float training, and QAT with batch normalisation.

`QuantKAN.forward` turns steps into Python numbers, which costs a synchronisation each; here nothing leaves the device, so that
a step can be captured as a CUDA graph. What is trained are the product's own weights and quantizers, and accuracy is always
measured on the integers that the product makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from _graph import _fixed_tables, _Tables, _tables
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import PoolKind
from pymodel.layers import KAN, ConvLayer
from pymodel.quant import Codes, QuantKAN, QuantKANLinear
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._quantizers import InputQuantizer
from pymodel.quant._tables import CodeTables

__all__ = ["LiveNorms", "float_forward"]

#: Of every batch normalisation.
EPSILON = 1e-5

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


def _real_sums(layer: QuantKANLinear, u: Tensor, here: Codes, fixed: _Tables | None) -> Tensor:
    """Return the sums (B, N), or (B * windows, N), of quantized weights, bias excluded, as real numbers."""
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    step, low = here
    table, slopes, _, _ = fixed or _tables(layer, step.detach(), low.detach())
    base, spline = layer.masked_weights()
    weight = torch.cat((layer.base_quantizer(base).unsqueeze(-1), layer.spline_quantizer(spline)), dim=-1)
    u = layer.quantizer.shaped(u, step)
    return layer._linear(u, here, weight, CodeTables(table, table, slopes, math.nan, math.nan))


class LiveNorms(nn.Module):
    """QAT with the float network's batch normalisations in place, which fold into steps and biases at the end.

    A norm behind quantized sums is a factor and an offset per channel. Weights have a step per output, so the factor goes
    into the steps, the offset into the bias, and no level changes: `fold` loses nothing, and while training the norm keeps
    the sums where the next codes expect them, however coarse the weights are (Krishnamoorthi 2018, arXiv:1806.08342, 3.2.2).

    Args:
        quantized: of LSQ, with a step per output; not calibrated.
        model: the float network it was made of.

    Attributes:
        gamma, beta: parameters (N,) of every convolution's norm.
    """

    def __init__(self, quantized: QuantKAN, model: KAN) -> None:
        super().__init__()
        self.quantized = quantized
        norms = [layer.norm for layer in model.kan_layers() if isinstance(layer, ConvLayer)]
        self.gamma = nn.ParameterList(nn.Parameter(norm.weight.detach().abs()) for norm in norms if norm is not None)
        self.beta = nn.ParameterList(nn.Parameter(norm.bias.detach().clone()) for norm in norms if norm is not None)
        self.layers = list(quantized.kan_layers())
        assert all(isinstance(layer, QuantKANConv) for layer in self.layers[:-1])
        assert len(self.gamma) == len(self.layers) - 1
        self.fixed = _fixed_tables(self.layers[0])

    def _first(self, x: Tensor) -> Tensor:
        first = self.layers[0].quantizer
        assert isinstance(first, InputQuantizer)
        return first.codes(x).to(self.layers[0].base_weight.dtype)

    def _normed(self, index: int, u: Tensor, here: Codes) -> Tensor:
        """Return the outputs (B, n_nodes) of a convolution, real, normalised over the batch and pooled."""
        layer = self.layers[index]
        assert isinstance(layer, QuantKANConv)
        g = layer.geometry
        y = _real_sums(layer, u, here, self.fixed if index == 0 else None)
        y = y.view(-1, g.out_height, g.out_width, layer.out_features).permute(0, 3, 1, 2)
        y = functional.batch_norm(y, None, None, self.gamma[index], self.beta[index], training=True, eps=EPSILON)
        if layer.pool is not None:
            assert layer.pool_op is PoolKind.MAX
            y = functional.max_pool2d(y, (layer.pool.kernel_height, layer.pool.kernel_width))
        return y.permute(0, 2, 3, 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores of features (B, 3072)."""
        u = self._first(x)
        codes = [Codes(*layer.quantizer.scaled(layer.n_inputs)) for layer in self.layers]
        for index, after in enumerate(codes[1:]):
            u = (self._normed(index, u, codes[index]) - after.low) / after.step
        head = self.layers[-1]
        y = _real_sums(head, u, codes[-1], None)
        return y if head.bias is None else y + head.bias

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set steps and ranges of least squared error, layer by layer, from features `x` (rows, 3072)."""
        u = self._first(x)
        for index, layer in enumerate(self.layers):
            layer.calibrate_weights()
            if index + 1 < len(self.layers):
                y = self._normed(index, u, Codes(*layer.quantizer.scaled(1)))
                following = self.layers[index + 1].quantizer
                following.calibrate(y)
                step, low = following.scaled(1)
                u = (y - low) / step
        self.quantized.calibrated = True

    @torch.no_grad()
    def fold(self, x: Tensor, rows: int = 256) -> QuantKAN:
        """Estimate mean and variance of every channel on features `x` (all of them at once), fold, and return the network."""
        u = self._first(x)
        for index, layer in enumerate(self.layers[:-1]):
            assert layer.base_quantizer is not None
            assert layer.spline_quantizer is not None
            here, after = (Codes(*part.quantizer.scaled(1)) for part in self.layers[index : index + 2])
            total, square, count = (torch.zeros((), dtype=torch.float64, device=x.device) for _ in range(3))
            for block in u.split(rows):
                y = _real_sums(layer, block, here, self.fixed if index == 0 else None).double()
                total, square, count = total + y.sum(dim=0), square + y.square().sum(dim=0), count + len(y)
            mean = total / count
            sigma = (square / count - mean.square() + EPSILON).sqrt()
            gamma = self.gamma[index].double()
            factor = gamma / sigma
            size = factor.abs().clamp_min(1e-12)
            signed = torch.where(factor < 0, -size, size).to(layer.base_weight)
            layer.base_weight.mul_(signed[:, None])
            layer.spline_weight.mul_(signed[:, None, None])
            for quantizer in (layer.base_quantizer, layer.spline_quantizer):
                quantizer.log_step.add_(size.log())
            bias = (self.beta[index].double() - mean * factor).to(layer.base_weight)
            layer.bias = nn.Parameter(bias)
            u = torch.cat([layer(block, here, after) for block in u.split(rows)])
        return self.quantized
