"""The driver of all PTQ methods: layer after layer, each on the inputs that the quantized ones before it give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from pymodel.errors import ConfigError
from pymodel.layers import KAN
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._model import QuantKAN, quantize_model
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._quantizers import InputQuantizer, TensorQuantizer
from pymodel.quant.ptq._adaround import adaround
from pymodel.quant.ptq._awq import awq
from pymodel.quant.ptq._brecq import BLOCK_LAYERS, Block
from pymodel.quant.ptq._coder import clipped_share, set_input_range, set_normal_range
from pymodel.quant.ptq._gptq import gptq
from pymodel.quant.ptq._hawq import set_bits
from pymodel.quant.ptq._problem import Problem, branch_quantizers, set_levels, weights_of
from pymodel.quant.ptq._settle import settle_sums
from pymodel.quant.ptq._unrounded import float_sums, in_blocks, nodes_of, quantized_outputs
from pymodel.settings import QuantizeSettings

__all__ = ["post_training"]


def _uniform(step: Callable[[TensorQuantizer, Tensor], None]) -> Callable[[Problem], None]:
    """Return a method that rounds to nearest with the steps that `step` sets."""

    def method(problem: Problem) -> None:
        weight = weights_of(problem.layer)
        base, spline = branch_quantizers(problem.layer)
        step(base, weight[..., 0])
        step(spline, weight[..., 1:])
        parts = (base.integers(weight[..., 0]).unsqueeze(-1), spline.integers(weight[..., 1:]))
        set_levels(problem.layer, torch.cat(parts, dim=-1).to(weight.dtype))

    return method


def _cover(quantizer: TensorQuantizer, weight: Tensor, share: float = 0.0) -> None:
    """Let the largest level be the largest magnitude, or the `1 - share` quantile of the magnitudes."""
    rows = weight.abs().flatten(1) if quantizer.log_step.dim() else weight.abs().reshape(1, -1)
    count = rows.shape[1]
    rank = max(1, count - int(share * count))
    extent = rows.double().kthvalue(rank, dim=1).values
    extent = torch.where(extent > 0, extent, rows.double().amax(dim=1))
    steps = torch.where(extent > 0, extent, 1.0) / quantizer.high
    quantizer.set_step(steps if quantizer.log_step.dim() else steps[0])


_ROUNDING: Final = MappingProxyType[str, Callable[[Problem], object]](
    {
        "minmax": _uniform(_cover),
        "percentile": _uniform(
            lambda quantizer, weight: _cover(quantizer, weight, 2.0 * clipped_share(2 * quantizer.high + 1))
        ),
        "mse": _uniform(lambda quantizer, weight: quantizer.calibrate(weight)),
        "gptq": gptq,
        "adaround": adaround,
        "awq": awq,
        "hawq_v2": gptq,
    }
)


@torch.no_grad()
def post_training(model: KAN, settings: QuantizeSettings, x: Tensor) -> QuantKAN:
    """Return `model` with quantized weights and calibrated codes, ready for :func:`~pymodel.quant.freeze` or for QAT.

    Layer after layer: the codes of its inputs are settled, and those of its norm; its weights are rounded on the inputs
    that the quantized layers before it give; its bias takes the mean error of its sums (and where those are multiplied,
    their integers' unit is chosen and the nodes' biases take the mean error of the products); its outputs decide on the
    next codes.

    Args:
        model: the float model; used in eval mode.
        settings: a method of post-training and the bits.
        x: prepared features (rows, I) to calibrate on, a few thousand of them.

    Raises:
        ConfigError: if the method is one of training.
        ModelError: if a weight or an activation is not finite.
    """
    if not settings.post_training:
        raise ConfigError(f"the method {settings.method} trains; give it to quantize_model, or use a method of PTQ")
    source = copy.deepcopy(model).eval()
    quantized = quantize_model(source, settings)
    layers, floats = list(quantized.kan_layers()), list(source.kan_layers())
    first = layers[0].quantizer
    assert isinstance(first, InputQuantizer)
    if settings.coder != "minmax":
        first.fit(x)
    if settings.method == "hawq_v2":
        set_bits(quantized, x)
    u, wanted = quantized._first(x), x.to(layers[0].base_weight)  # noqa: SLF001 - a part of the same package
    unrounded = [copy.deepcopy(layer) for layer in layers]
    assert settings.coder is not None
    block: Block | None = None
    for index, (layer, plain) in enumerate(zip(layers, unrounded, strict=True)):
        if isinstance(layer, QuantNormLinear):
            set_normal_range(settings.coder, layer, plain, u, wanted)
        problem = Problem.of(layer, plain, u, wanted)
        wanted = in_blocks(layer, partial(_float_rows, plain, wanted), len(wanted))
        ends = index + 1 == len(layers) or (index + 1) % BLOCK_LAYERS == 0
        if settings.method == "brecq":
            block = block or Block(floats[min(len(layers), (index // BLOCK_LAYERS + 1) * BLOCK_LAYERS) :])
            block.add(problem)
            if ends:
                settle_sums(problem, wanted)
                block.learn(wanted)
                u = _again(block)
                problem = replace(problem, u=u, here=Codes(*layer.quantizer.scaled(1)))
                block = None
        else:
            _ROUNDING[settings.method](problem)
        settle_sums(problem, wanted)
        if index + 1 < len(layers):
            following = layers[index + 1]
            set_input_range(settings.coder, following, quantized_outputs(layer, u, problem.here, None), wanted)
            u = quantized_outputs(layer, u, problem.here, Codes(*following.quantizer.scaled(1)))
    quantized.calibrated = True
    return quantized


def _float_rows(layer: QuantKANLinear, x: Tensor, rows: slice) -> Tensor:
    return nodes_of(layer, float_sums(layer, x[rows]))


def _again(block: Block) -> Tensor:
    """Return the inputs of a block's last layer, now that the rounding before it and its codes have changed."""
    u = block.problems[0].u
    here = block.problems[0].here
    for problem, following in zip(block.problems, block.problems[1:], strict=False):
        after = Codes(*following.layer.quantizer.scaled(1))
        u = quantized_outputs(problem.layer, u, here, after)
        here = after
    return u
