"""HAWQ-V2 (Dong et al. 2020, arXiv:1911.03852): more bits where the loss is curved, within a budget.

A branch of a layer (its base or its spline weights) has the sensitivity `mean trace of the Hessian * |Q(W) - W|^2` (the
paper's equation 11); the trace is Hutchinson's estimate. The bits that minimise the sum within the budget are found
greedily, which is exact where the gains of a branch's bits fall, as they do (a bit takes three quarters of its error).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.quant._layers import QuantKANLinear
from pymodel.quant._model import QuantKAN
from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant.ptq._problem import branch_quantizers
from pymodel.quant.ptq._unrounded import float_sums, nodes_of

__all__ = ["Sensitivity", "allocate_bits", "hutchinson_trace", "sensitivities", "set_bits"]

#: Bits that a branch may get.
BITS = (2, 3, 4, 5, 6, 8)
_PROBES = 16
#: At most this many rows, and this many values of the widest layer, go into the loss; but 16 rows at least.
_ROWS, _LEAST_ROWS, _MAX_VALUES = 256, 16, 1 << 22
_STEP = 1e-4


def hutchinson_trace(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], probes: int, generator: torch.Generator
) -> list[float]:
    """Return the trace of every parameter's block of the Hessian: the mean of `v' H v`, v of random signs (equation 7).

    `H v` is the central difference of two gradients, so the layers need only be differentiable once.

    Args:
        loss: of the parameters as they are, float64.
        parameters: leaves that require gradients.
        probes: how many v.
        generator: of the signs.
    """
    start = [p.detach().clone() for p in parameters]
    totals = [0.0] * len(parameters)

    def gradients(signs: Sequence[Tensor], by: float) -> tuple[Tensor, ...]:
        with torch.no_grad():
            for p, s, v in zip(parameters, start, signs, strict=True):
                p.copy_(s + by * v)
        with torch.enable_grad():
            return torch.autograd.grad(loss(), list(parameters))

    for _ in range(probes):
        signs = [(torch.randint(0, 2, p.shape, generator=generator) * 2.0 - 1.0).to(p) for p in parameters]
        ahead, behind = gradients(signs, _STEP), gradients(signs, -_STEP)
        for k, (a, b, v) in enumerate(zip(ahead, behind, signs, strict=True)):
            totals[k] += float(((a - b) * v).sum()) / (2 * _STEP)
    with torch.no_grad():
        for p, s in zip(parameters, start, strict=True):
            p.copy_(s)
    return [total / probes for total in totals]


def _outputs(layers: Sequence[QuantKANLinear], x: Tensor) -> Tensor:
    """Return what the layers compute without any rounding."""
    for layer in layers:
        x = nodes_of(layer, float_sums(layer, x))
    return x


@dataclass(frozen=True)
class Sensitivity:
    """Of one branch of one layer.

    Attributes:
        layer: index.
        branch: `base` or `spline`.
        trace: mean of the Hessian's diagonal.
        weights: how many there are.
        errors: `|Q(W) - W|^2` by bits.
    """

    layer: int
    branch: str
    trace: float
    weights: int
    errors: dict[int, float]

    def cost(self, bits: int) -> float:
        """Return the loss that `bits` bits are expected to cost."""
        return max(self.trace, 0.0) * self.errors[bits]


def divergence(model: QuantKAN, x: Tensor) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """Return the loss of :func:`sensitivities` and the weights it depends on: copies in float64, base before spline."""
    layers = [copy.deepcopy(layer).double() for layer in model.kan_layers()]
    widest = max(layer.n_inputs for layer in layers)
    rows = x[:: -(-len(x) // min(_ROWS, max(_LEAST_ROWS, _MAX_VALUES // widest)))].double()
    with torch.no_grad():
        wanted = _outputs(layers, rows)
    own = torch.softmax(wanted, dim=1)

    def loss() -> Tensor:
        y = _outputs(layers, rows)
        if y.shape[1] == 1:
            return (y - wanted).square().mean() / 2
        return functional.cross_entropy(y, own)

    return loss, [p for layer in layers for p in (layer.base_weight, layer.spline_weight)]


def sensitivities(model: QuantKAN, x: Tensor) -> list[Sensitivity]:
    """Return the sensitivity of every branch of a model whose weights are still the float ones.

    The loss is the divergence from the network's own outputs (several: of the softmax; one: squared), whose gradient is
    0 there and whose Hessian needs no labels.

    Args:
        model: before its weights are rounded.
        x: prepared features (rows, I).
    """
    loss, parameters = divergence(model, x)
    traces = hutchinson_trace(loss, parameters, _PROBES, torch.Generator().manual_seed(0))
    result = []
    for index, layer in enumerate(model.kan_layers()):
        for branch, weight, trace in zip(("base", "spline"), layer.masked_weights(), traces[2 * index :], strict=False):
            quantizer = branch_quantizers(layer)[branch == "spline"]
            channels = layer.out_features if quantizer.log_step.dim() else None
            errors = {bits: _error(weight.detach(), bits, channels) for bits in BITS}
            result.append(Sensitivity(index, branch, trace / weight.numel(), weight.numel(), errors))
    return result


def _error(weight: Tensor, bits: int, channels: int | None) -> float:
    trial = TensorQuantizer(bits, channels=channels).to(weight.device)
    trial.calibrate(weight)
    with torch.no_grad():
        return float((trial(weight) - weight).square().sum())


def allocate_bits(branches: Sequence[Sensitivity], budget: float) -> list[int]:
    """Return the bits of every branch: least summed cost with at most `budget` bits for all weights together.

    Every branch starts with the fewest bits (which may exceed a smaller budget); the step that lowers the cost most per
    bit is taken as long as one fits.

    Args:
        branches: their sensitivities.
        budget: bits.
    """
    bits = [BITS[0]] * len(branches)
    spent = sum(b.weights * BITS[0] for b in branches)
    while True:
        best: tuple[float, int, int] | None = None
        for k, branch in enumerate(branches):
            for more in (b for b in BITS if b > bits[k]):
                price = branch.weights * (more - bits[k])
                gain = branch.cost(bits[k]) - branch.cost(more)
                if spent + price <= budget and gain > 0 and (best is None or gain / price > best[0]):
                    best = gain / price, k, more
        if best is None:
            return bits
        _, k, more = best
        spent += branches[k].weights * (more - bits[k])
        bits[k] = more


def set_bits(model: QuantKAN, x: Tensor) -> list[int]:
    """Give the branches the bits that the budget of `model.settings` allows; return them, base before spline."""
    branches = sensitivities(model, x)
    asked = {"base": model.settings.base_weights, "spline": model.settings.spline_weights}
    bits = allocate_bits(branches, sum(b.weights * asked[b.branch] for b in branches))
    for k, layer in enumerate(model.kan_layers()):
        channels = layer.out_features if branch_quantizers(layer)[0].log_step.dim() else None
        device = layer.base_weight.device
        layer.base_quantizer = TensorQuantizer(bits[2 * k], channels=channels).to(device)
        layer.spline_quantizer = TensorQuantizer(bits[2 * k + 1], channels=channels).to(device)
    return bits
