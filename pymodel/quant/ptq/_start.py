"""Where QAT starts: codes that were found by what the next layer makes of them, and the float weights or GPTQ's."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from pymodel.layers import KAN
from pymodel.quant._layers import QuantKANLinear
from pymodel.quant._model import QuantKAN, quantize_model
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._product import QuantProductLinear
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer
from pymodel.quant.ptq._apply import post_training
from pymodel.quant.ptq._problem import branch_quantizers
from pymodel.settings import QuantizeSettings

__all__ = ["start_from_float", "start_from_gptq"]


@torch.no_grad()
def _take_codes(layer: QuantKANLinear, done: QuantKANLinear) -> None:
    """Let codes stand for what they do in `done`, those of a norm and of factors too, and take its biases."""
    assert done.bias is not None
    layer.bias = nn.Parameter(done.bias.clone())
    if isinstance(layer, QuantNormLinear):
        assert isinstance(done, QuantNormLinear)
        layer.normal.set_range(float(done.normal.low), float(done.normal.step))
        layer.settled.fill_(True)
    if isinstance(layer, QuantProductLinear):
        assert isinstance(done, QuantProductLinear)
        layer.subnodes.exponent.copy_(done.subnodes.exponent)
        layer.node_bias.copy_(done.node_bias)
        layer.settled.fill_(True)
    coder = done.quantizer
    if isinstance(layer.quantizer, ActivationQuantizer):
        layer.quantizer.set_range(float(coder.low), float(coder.step))
    elif isinstance(coder, InputQuantizer):
        layer.quantizer.low.copy_(coder.low)
        layer.quantizer.step.copy_(coder.step)


@torch.no_grad()
def start_from_gptq(model: KAN, settings: QuantizeSettings, x: Tensor, ready: QuantKAN | None = None) -> QuantKAN:
    """Return a model for QAT by `settings.method` whose weights, bias and codes are those of GPTQ with the same bits.

    The weights lie on GPTQ's lattice; quantizers with a plain step take it over, the others calibrate themselves on such
    weights. A coder of two bits whose range was found by the error of its inputs can be so far off that training does not
    recover (KAGN, whose functions saturate); GPTQ's is found by the error of the outputs.

    Args:
        model: the float model; used in eval mode.
        settings: of the QAT.
        x: prepared features (rows, I) to calibrate on.
        ready: what `post_training` made of the model by GPTQ; computed if it is not given.
    """
    ready = ready or post_training(model, dataclasses.replace(settings, method="gptq", coder="output"), x)
    quantized = quantize_model(model, settings)
    for layer, done in zip(quantized.kan_layers(), ready.kan_layers(), strict=True):
        layer.base_weight.copy_(done.base_weight)
        layer.spline_weight.copy_(done.spline_weight)
        pairs = zip(branch_quantizers(layer), branch_quantizers(done), layer.masked_weights(), strict=True)
        for quantizer, settled, weight in pairs:
            quantizer.start_at(settled.step, weight)
        _take_codes(layer, done)
    quantized.calibrated = True
    return quantized


@torch.no_grad()
def start_from_float(model: KAN, settings: QuantizeSettings, x: Tensor, ready: QuantKAN | None = None) -> QuantKAN:
    """Return a model for QAT by `settings.method` with the float weights, and codes found by the error of the outputs.

    Training then moves every weight from where the float network has it: with two bits and a large rate that is better
    than GPTQ's lattice, on which all weights lie in the middle of a level. Each layer's weights are rounded to nearest
    while the next codes are searched; the bias takes the mean error.

    Args:
        model: the float model; used in eval mode.
        settings: of the QAT.
        x: prepared features (rows, I) to calibrate on.
        ready: what `post_training` made of the model by MSE, with the coder `output`; computed if it is not given.
    """
    ready = ready or post_training(model, dataclasses.replace(settings, method="mse", coder="output"), x)
    quantized = quantize_model(model, settings)
    for layer, done in zip(quantized.kan_layers(), ready.kan_layers(), strict=True):
        layer.calibrate_weights()
        _take_codes(layer, done)  # after calibration, which lets a norm's range go
    quantized.calibrated = True
    return quantized
