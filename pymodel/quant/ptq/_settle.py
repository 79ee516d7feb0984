"""What is settled once a layer's weights are rounded: its bias, and where its sums are multiplied, their integers' unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pymodel.quant._product import QuantProductLinear, products
from pymodel.quant.ptq._problem import Problem
from pymodel.quant.ptq._unrounded import in_blocks, quantized_outputs, quantized_sums, row_blocks

__all__ = ["set_bias", "set_factors", "settle_sums"]

#: How many units are tried for a factor, each half of the one before.
_UNITS = 5


@torch.no_grad()
def set_bias(problem: Problem) -> None:
    """Set the layer's bias so that the mean error of its sums over all the data is 0 (Finkelstein et al. 2019)."""
    layer, count = problem.layer, len(problem.u)
    layer.bias = nn.Parameter(layer.base_weight.new_zeros(layer.out_features))
    total = layer.base_weight.new_zeros(layer.out_features)
    rows = 0
    for block in row_blocks(layer, count):
        sums = quantized_sums(layer, problem.u[block], problem.here)
        total += sums.sum(dim=0)
        rows += len(sums)
    layer.bias.copy_(problem.mean - total / rows)


@torch.no_grad()
def set_factors(problem: Problem, wanted: Tensor) -> None:
    """Choose the unit of a layer's factors that gives the least error of its nodes, whose biases take the mean.

    Args:
        problem: of a layer whose weights and bias are settled.
        wanted: (B, n_nodes), what its nodes are in the float network.
    """
    layer = problem.layer
    assert isinstance(layer, QuantProductLinear)
    sums = in_blocks(layer, lambda rows: quantized_sums(layer, problem.u[rows], problem.here), len(problem.u))
    factors = layer.subnodes
    factors.calibrate(sums)
    first = int(factors.exponent) + _UNITS // 2
    best, unit = float("inf"), first
    for exponent in range(first, first - _UNITS, -1):
        factors.exponent.fill_(exponent)
        real = products(factors(sums / factors.lsb) * factors.lsb, layer.arity) * layer.node_scale
        difference = real - wanted
        error = float((difference - difference.mean(dim=0)).square().sum())
        if error < best:
            best, unit = error, exponent
    factors.exponent.fill_(unit)
    layer.settled.fill_(True)
    layer.node_bias.add_((wanted - quantized_outputs(layer, problem.u, problem.here, None)).mean(dim=0))


def settle_sums(problem: Problem, wanted: Tensor) -> None:
    """Settle everything but weights and codes; `wanted` (B, n_nodes) are the layer's nodes in the float network."""
    set_bias(problem)
    if isinstance(problem.layer, QuantProductLinear):
        set_factors(problem, wanted)
