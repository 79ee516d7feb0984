"""QAT as one CUDA graph per step: the product's quantizers and products, with its scalars kept on the device.

`QuantKAN.forward` turns steps into Python numbers (multipliers, tables, biases), which costs a synchronisation each. Here the
same formulas run in float64 on the device, so that a whole step (forward, backward, clipping, AdamW) is captured once and
replayed. What is trained is the product's own module; accuracy is always measured on its frozen integers.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pymodel.layers import NO_BASE, normalised
from pymodel.quant import MULTIPLIER_BITS, QuantKAN, QuantKANLinear, replace
from pymodel.quant._feature_linear import feature_linear
from pymodel.quant._layers import Codes
from pymodel.quant._norm import QuantNormedLinear, QuantNormLinear
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer

__all__ = ["device_forward", "replayed"]


_Tables = tuple[Tensor, Tensor, Tensor, Tensor]


def _up(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5)


@torch.no_grad()
def _fixed_tables(layer: QuantKANLinear) -> _Tables:
    known = layer.tables()
    lsbs = layer.base_weight.new_tensor([known.base_lsb, known.basis_lsb], dtype=torch.float64)
    return known.rounded, known.slopes, lsbs[0], lsbs[1]


@torch.no_grad()
def _tables(
    layer: QuantKANLinear, step: Tensor, low: Tensor, coder: InputQuantizer | ActivationQuantizer | None = None
) -> _Tables:
    """Return rounded table, slopes, and the LSBs of base and basis, as `pymodel.quant._tables.code_tables` has them.

    They are those of the layer's inputs, unless there is another `coder`.
    """
    quantizer, bits = coder or layer.quantizer, layer.basis_bits
    like = layer.base_weight
    codes = torch.arange(quantizer.n_codes, dtype=torch.float64, device=like.device)
    exact, slopes = layer.functions.table(low.double() + step.double() * codes)
    largest = exact[:, 1:].abs().max()
    limit = 2.0 ** (bits - int(layer.functions.signed)) - 0.5
    basis_lsb = torch.exp2(torch.ceil(torch.log2(largest / limit)))
    base_lsb = exact[:, 0].abs().max() / (2.0 ** (bits - 1) - 1)
    base_lsb = torch.where(base_lsb > 0, base_lsb, 1.0)
    lsb = torch.cat((base_lsb.view(1), basis_lsb.expand(exact.shape[1] - 1)))
    return (_up(exact / lsb) * lsb).to(like.dtype), slopes.to(like.dtype), base_lsb, basis_lsb


def _extra(largest: Tensor, bits: int) -> Tensor:
    """Return the largest shift with which a factor keeps `bits` bits, as `pymodel.quant._functions.shift_for` has it."""
    return torch.floor(math.log2(2.0**bits - 0.5) - torch.log2(largest)).clamp(0, 62)


def _normal_codes(layer: QuantNormLinear, u: Tensor, here: Codes, after: Codes) -> Tensor:
    """Return the normalised inputs in units of their codes, as `QuantNormLinear.normal_codes` has them."""
    soft = (layer._soft(u, here) - after.low) / after.step
    with torch.no_grad():
        step, low = after.step.double(), after.low.double()
        gamma, beta = layer.gamma.double() / step, layer.beta.double()
        extra = _extra(gamma.abs().max(), max(MULTIPLIER_BITS, layer.normal.bits + 3))
        one = torch.exp2(layer.fraction + extra)
        epsilon = _up(layer.in_features**2 * layer.epsilon / here.step.double().square()).clamp(1.0, 2.0**40)
        X = _up(u).clamp(0, layer.quantizer.n_codes - 1).long()
        table, bits = layer.root_table, layer.table_bits
        t = normalised(X, epsilon.long(), table, bits, layer.table_fraction, layer.fraction)
        total = t.double() * _up(gamma * torch.exp2(extra)) + _up((beta - low) / step * one) + one / 2
        hard = torch.floor(total / one)
    return replace(soft, hard.to(soft))


def _layer(
    layer: QuantKANLinear,
    u: Tensor,
    here: Codes,
    after: Codes | None,
    fixed: _Tables | None,
) -> Tensor:
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    step, low = here
    table, slopes, base_lsb, basis_lsb = fixed or _tables(layer, step.detach(), low.detach())
    normal = layer.normal.scaled(layer.in_features) if isinstance(layer, QuantNormLinear) else None
    fine = None
    if normal is not None:
        fine = _tables(layer, normal[0].detach(), normal[1].detach(), layer.normal)
        basis_lsb = fine[3]
    out = step.new_ones((), dtype=torch.float64) if after is None else after[0].detach().double()
    factors = [
        (lsb * quantizer.step.detach().double().view(-1) / out)
        for lsb, quantizer in ((basis_lsb, layer.spline_quantizer), (base_lsb, layer.base_quantizer))
    ]
    if layer.functions.activation == NO_BASE:
        factors[1] = torch.zeros_like(factors[1])
    largest = torch.cat(factors).max()
    scale = torch.exp2(_extra(largest, MULTIPLIER_BITS))
    ratios = [torch.where(f > 0, _up(f * scale) / scale / f, 1.0).to(u.dtype).view(-1, 1) for f in factors]
    base, spline = layer.masked_weights()
    base = layer.base_quantizer(base) * ratios[1]
    spline = layer.spline_quantizer(spline) * ratios[0].unsqueeze(-1)
    u = layer.quantizer.shaped(u, step)
    if normal is None or fine is None:
        y = feature_linear(u, step, low, torch.cat((base.unsqueeze(-1), spline), dim=-1), table, slopes)
    else:
        assert isinstance(layer, QuantNormLinear)
        z = layer.normal.shaped(_normal_codes(layer, u, here, Codes(*normal)), normal[0])
        y = feature_linear(u, step, low, base.unsqueeze(-1), table[:, :1], slopes[:, :1])
        y = y + feature_linear(z, *normal, spline, fine[0][:, 1:], fine[1][:, 1:])
    if after is None:
        return y if layer.bias is None else y + layer.bias
    unit = (out / scale).to(u.dtype)
    if layer.bias is not None:
        y = y + replace(layer.bias, _up(layer.bias.detach() / unit) * unit)
    offset = _up(-after[1].detach().double() / out * scale)
    hard = ((_up(y.detach() / unit).double() + offset) / scale).to(u.dtype)
    return replace((y - after[1]) / after[0], hard)


def device_forward(model: QuantKAN) -> Callable[[Tensor], Tensor]:
    """Return a function that computes what `model(x)` does, without a synchronisation (but for rare rounding ties)."""
    layers = list(model.kan_layers())
    first = layers[0].quantizer
    assert isinstance(first, InputQuantizer)
    assert not any(isinstance(layer, QuantNormedLinear) for layer in layers), "a norm for both branches is not written"

    tables = _fixed_tables(layers[0])

    def forward(x: Tensor) -> Tensor:
        u = first.codes(x).to(layers[0].base_weight.dtype)
        codes = [Codes(*layer.quantizer.scaled(layer.in_features)) for layer in layers]
        for layer, here, after in zip(layers, codes, [*codes[1:], None], strict=True):
            u = _layer(layer, u, here, after, tables if layer is layers[0] else None)
        return u

    return forward


def replayed(
    step: Callable[[], None], modules: list[nn.Module], optimizer: torch.optim.Optimizer, stream: torch.cuda.Stream
) -> Callable[[], None]:
    """Return `step` as a CUDA graph; the warm-up leaves modules and optimizer as they were.

    Every graph is captured on the `stream` it will be replayed on: cuBLAS has one workspace per stream, which graphs that
    run at the same time must not share.
    """
    saved = [{k: v.clone() for k, v in m.state_dict().items()} for m in modules]
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    gc.collect()
    gc.disable()  # collecting an older graph would end the capture
    try:
        with torch.cuda.graph(graph, stream=stream):
            step()
    finally:
        gc.enable()
    torch.cuda.synchronize()
    with torch.no_grad():
        for module, state in zip(modules, saved, strict=True):
            module.load_state_dict(state)
        for state in optimizer.state.values():
            values: dict[str, Any] = state
            for tensor in values.values():
                tensor.zero_()
    return graph.replay
