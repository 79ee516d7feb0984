"""Batch normalisation re-estimated: from rows instead of running averages, and once more behind quantized weights.

Running averages look back on weights that have changed since; statistics of the final weights over many rows describe the network
that is quantized. Behind quantized weights and codes, sums have another mean and variance than the statistics say (Sun et al. 2019,
NeurIPS, "Hybrid 8-bit floating point": re-tuned after quantization; Nagel et al. 2022, arXiv:2203.11086: re-estimated). Here
normalisation is folded into the weights before anything is quantized, so its statistics are re-estimated in folded form.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pymodel.layers import KAN, KANLayer
from pymodel.quant import ActivationQuantizer, Codes, QuantKAN, QuantKANLinear, TensorQuantizer, quantize_model
from pymodel.quant._conv import QuantKANConv
from pymodel.quant.ptq._coder import set_input_range

__all__ = ["reestimate", "reestimate_folded"]

_ROWS = 128


def _norm_of(layer: KANLayer) -> nn.BatchNorm1d | None:
    norm = getattr(layer, "norm", None)
    return norm if isinstance(norm, nn.BatchNorm1d) else None


class _Moments:
    """Mean and variance of the rows that pass, in float64."""

    def __init__(self, channels: int) -> None:
        self.count, self.sum, self.square = 0, torch.zeros(channels).double(), torch.zeros(channels).double()

    def add(self, y: Tensor) -> None:
        """Take rows (rows, channels)."""
        values = y.detach().double().cpu()
        self.count += len(values)
        self.sum += values.sum(dim=0)
        self.square += values.square().sum(dim=0)

    def get(self) -> tuple[Tensor, Tensor]:
        """Return mean and (biased) variance."""
        mean = self.sum / self.count
        return mean, (self.square / self.count - mean.square()).clamp_min(0.0)


@torch.no_grad()
def reestimate(model: KAN, x: Tensor) -> bool:
    """Set the running mean and variance of every batch normalisation to those of its inputs over the rows `x`.

    One after the other, each behind those that are set already, in eval mode: the statistics are exactly those of what it will
    normalise, with the unbiased variance as in training.

    Args:
        model: a float network; changed in place.
        x: prepared features (rows, I), at least 2.

    Returns:
        Whether there was anything to re-estimate.
    """
    norms = [norm for layer in model.kan_layers() if (norm := _norm_of(layer)) is not None]
    was_training = model.training
    model.eval()
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        moments = _Moments(norm.num_features)
        handle = norm.register_forward_pre_hook(lambda _, inputs, m=moments: m.add(inputs[0]))
        try:
            for block in _blocks(x):
                model(block)
        finally:
            handle.remove()
        mean, var = moments.get()
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var * moments.count / max(1, moments.count - 1))
    model.train(was_training)
    return bool(norms)


def _blocks(x: Tensor) -> Iterator[Tensor]:
    """Yield blocks of at least two rows: a layer takes a single row for inference without a batch."""
    blocks = list(torch.split(x, _ROWS))
    if len(blocks) > 1 and len(blocks[-1]) == 1:
        blocks[-2:] = [torch.cat(blocks[-2:])]
    yield from blocks


@torch.no_grad()
def reestimate_folded(quantized: QuantKAN, model: KAN, x: Tensor) -> bool:
    """Re-estimate, in a quantized network, the normalisations that were folded into it, over the rows `x`.

    A folded sum is `y = a*s + c` with `a = gamma / sqrt(v_running + eps)`, and its weights are rounded. With mean m and variance
    v of y over the rows, normalising s anew gives `|gamma| * (y - m) / sqrt(v + a^2 eps) + beta`: every output's step and bias
    are multiplied and shifted, no level changes, and hardware has both already (multiplier and bias per output). Then the
    codes of the next layer are settled again.

    Args:
        quantized: by a post-training method; changed in place. Steps become steps per output.
        model: the float network it was made from.
        x: prepared features (rows, I).

    Returns:
        Whether there was anything to re-estimate.
    """
    u, wanted = quantized._first(x), x  # noqa: SLF001 - its input codes
    layers, floats = list(quantized.kan_layers()), list(model.kan_layers())
    plain = list(quantize_model(model, quantized.settings).kan_layers())
    changed = False
    for index, (layer, source) in enumerate(zip(layers, floats, strict=True)):
        here = Codes(*layer.quantizer.scaled(1))
        norm = _norm_of(source)
        wanted = torch.cat([source(block) for block in _blocks(wanted)])
        if norm is not None:
            _normalise_again(layer, norm, u, here)
        changed = changed or norm is not None
        if index + 1 < len(layers):
            following = layers[index + 1].quantizer
            assert isinstance(following, ActivationQuantizer)
            if changed:
                outputs = torch.cat([layer(block, here, None) for block in torch.split(u, _ROWS)])
                unrounded = plain[index + 1]
                set_input_range(quantized.settings.coder or "mse", unrounded, outputs, wanted)
                following.load_state_dict(unrounded.quantizer.state_dict())
            after = Codes(*following.scaled(1))
            u = torch.cat([layer(block, here, after) for block in torch.split(u, _ROWS)])
    return changed


def _normalise_again(layer: QuantKANLinear, norm: nn.BatchNorm1d, u: Tensor, here: Codes) -> None:
    assert norm.running_var is not None
    moments = _Moments(layer.out_features)
    pool = None
    if isinstance(layer, QuantKANConv):  # the norm is before the pool
        pool, layer.pool = layer.pool, None
    for block in torch.split(u, _ROWS):
        moments.add(layer(block, here, None).view(-1, layer.out_features))
    if isinstance(layer, QuantKANConv):
        layer.pool = pool
    mean, var = moments.get()
    gamma, beta = norm.weight.double().cpu(), norm.bias.double().cpu()
    slope = gamma.square() / (norm.running_var.double().cpu() + norm.eps)  # a^2
    ratio = gamma.abs() / torch.sqrt(var + slope * norm.eps)
    ratio = torch.where(torch.isfinite(ratio) & (ratio > 0), ratio, 1.0)
    like = layer.base_weight
    by_output = ratio.to(like)
    for quantizer, weight in ((layer.base_quantizer, layer.base_weight), (layer.spline_quantizer, layer.spline_weight)):
        assert type(quantizer) is TensorQuantizer, "post-training methods have plain steps"
        step = quantizer.step.detach().double().expand(layer.out_features).cpu() * ratio
        quantizer.log_step = nn.Parameter(torch.zeros(layer.out_features).to(like))
        quantizer.set_step(step)
        weight.mul_(by_output.view(-1, *([1] * (weight.dim() - 1))))
    bias = torch.zeros(layer.out_features).double() if layer.bias is None else layer.bias.detach().double().cpu()
    layer.bias = nn.Parameter((ratio * (bias - mean) + beta).to(like))
