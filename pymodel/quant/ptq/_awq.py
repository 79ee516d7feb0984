"""AWQ (Lin et al. 2024, arXiv:2306.00978): salient weights get a larger scale, which their features give back.

The paper scales the weights of an input channel by s and the activations by 1/s, in the layer before. In a KAN layer what a
weight is multiplied with is a basis value, and those are a table: `W[o,i,b] * s_b` and `B_b / s_b` give the same product, and
a ROM of scaled values costs what the plain one does. Inputs share a table, or have one each with one LSB for all, so the
scale belongs to a basis function b, not to an input; it is a power of two, which keeps the division exact. Salient is the
basis function that is active most: `s_b = mean|B_b|^alpha`, normalised, and alpha is searched for least output error
(equations 4 and 5). Rounding is to nearest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.quant._functions import round_half_up
from pymodel.quant.ptq._gptq import weighted_steps
from pymodel.quant.ptq._problem import Problem, set_levels, weights_of

__all__ = ["awq", "awq_scales"]

_ALPHAS = 11


def awq_scales(activity: Tensor, alpha: float) -> tuple[float, ...]:
    """Return `activity^alpha / sqrt(max * min)` of that, each rounded to a power of two (0: no scaling).

    Args:
        activity: (n_basis,), mean magnitude of every basis function; those that are never active count as the least
            active one.
        alpha: 0 … 1.
    """
    a = activity.double()
    positive = a[a > 0]
    if not positive.numel():
        return (1.0,) * len(a)
    s = a.clamp_min(float(positive.min())) ** alpha
    s = s / (s.max() * s.min()).sqrt()
    return tuple((2.0 ** round_half_up(torch.log2(s))).tolist())


@torch.no_grad()
def _error(problem: Problem, weight: Tensor, levels: Tensor) -> float:
    total = weight.new_zeros(())
    flat = (levels * problem.steps().unsqueeze(1)).flatten(1)
    mean = weight.new_zeros(len(weight))
    for b, y in problem.blocks():
        mean += (problem.products(b, flat) - y).sum(dim=0) / problem.count
    for b, y in problem.blocks():
        total += (problem.products(b, flat) - y - mean).square().sum()
    return float(total)


@torch.no_grad()
def awq(problem: Problem) -> None:
    """Round the layer's weights with the scales that give the least output error."""
    layer = problem.layer
    weight = weights_of(layer)
    layer.basis_scales = None
    activity = weight.new_zeros(problem.groups, problem.width)
    for b, _ in problem.blocks():
        activity += b.abs().sum(dim=0) / problem.count
    by_function = activity.view(-1, problem.n_features)[:, 1:].mean(dim=0)
    best: tuple[float, tuple[float, ...]] | None = None
    tried = {awq_scales(by_function, k / (_ALPHAS - 1)): None for k in range(_ALPHAS)}
    for scales in tried:
        error = _error(problem, weight, _round(problem, weight, scales))
        if best is None or error < best[0]:
            best = error, scales
    assert best is not None
    set_levels(layer, _round(problem, weight, best[1]))


def _round(problem: Problem, weight: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Scale the ROM, settle the steps and return the levels (N, I, F), rounded to nearest."""
    layer = problem.layer
    layer.basis_scales = None if all(s == 1.0 for s in scales) else scales
    scaled = weight * weight.new_tensor([1.0, *scales])
    weighted_steps(problem, scaled, problem.power())
    high = problem.highs()
    return torch.maximum(torch.minimum(round_half_up(scaled / problem.steps().unsqueeze(1)), high), -high)
