"""GPTQ (Frantar et al. 2023, arXiv:2210.17323) for a KAN layer, and the float update that precedes it."""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.quant._calibrate import best_steps
from pymodel.quant._functions import round_half_up
from pymodel.quant.ptq._problem import Problem, branch_quantizers, set_levels, weights_of

__all__ = ["corrected", "gptq", "gptq_levels", "least_squares_update", "quadratic", "weighted_steps"]

#: Share of the mean diagonal that is added to the Hessian, as in the paper.
DAMPING = 0.01
_BLOCK = 128
#: Dampings of the float update that are tried on rows set aside; none of them may be better than no update.
_RIDGES = (0.01, 0.1, 1.0)
_HELD_OUT = 4
#: Multiples of the steps that are tried.
_FACTORS = (1.0, 0.8, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8)


def _damped(hessian: Tensor, damping: float) -> tuple[Tensor, Tensor]:
    """Return a regular copy of `hessian` (K, K), and which columns no row ever reaches."""
    h = hessian.clone()
    diagonal = h.diagonal()
    dead = diagonal <= 0
    mean = diagonal[~dead].mean() if bool((~dead).any()) else diagonal.new_ones(())
    diagonal += damping * mean
    diagonal[dead] = mean
    return h, dead


def _inverse_factor(h: Tensor) -> Tensor:
    """Return the upper Cholesky factor of `h^-1` (K, K); in float64 where float32 does not do."""
    upper: Tensor
    lower, bad = torch.linalg.cholesky_ex(h)
    if not int(bad):
        upper, bad = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not int(bad) and bool(torch.isfinite(upper).all()):
            return upper
    lower = torch.linalg.cholesky(h.double())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    return upper.to(h)


@torch.no_grad()
def gptq_levels(
    weight: Tensor, hessian: Tensor, step: Tensor, high: Tensor, damping: float = DAMPING, block: int = _BLOCK
) -> Tensor:
    """Return levels (N, K) of `weight`, rounded one column after the other, each error passed on to the columns to come.

    With U the upper Cholesky factor of `H^-1`, rounding column q to `w_q` changes those to its right by
    `-(w - w_q) / U[q, q] * U[q, q:]` (the paper's algorithm 1, OBS' equation 2). Columns go in the order of falling `H[q, q]`
    (`act-order`): a feature that is seldom active comes last and corrects the others. Columns that no row reaches
    are rounded to the nearest.

    Args:
        weight: (N, K).
        hessian: (K, K), positive semi-definite; a factor does not matter.
        step: broadcasts over `weight`, positive.
        high: (K,) or (N, K), the largest levels; 0 where there is no edge, whose column passes on all it got.
        damping: of the Hessian's diagonal, as a share of its mean.
        block: columns whose updates are applied together to the rest; the result does not depend on it.
    """
    h, dead = _damped(hessian, damping)
    order = torch.argsort(torch.where(dead, -1.0, hessian.diagonal()), descending=True, stable=True)
    h = h[order][:, order]
    w = weight[:, order].clone()
    steps, highs = step.expand_as(weight)[:, order], high.expand_as(weight)[:, order]
    upper = _inverse_factor(h)
    levels = torch.empty_like(w)
    width = w.shape[1]
    for start in range(0, width, block):
        end = min(start + block, width)
        errors = torch.empty_like(w[:, start:end])
        for q in range(start, end):
            level = torch.maximum(torch.minimum(round_half_up(w[:, q] / steps[:, q]), highs[:, q]), -highs[:, q])
            levels[:, q] = level
            error = (w[:, q] - level * steps[:, q]) / upper[q, q]
            w[:, q:end] -= error.unsqueeze(1) * upper[q, q:end]
            errors[:, q - start] = error
        w[:, end:] -= errors @ upper[start:end, end:]
    result = torch.empty_like(levels)
    result[:, order] = levels
    return result


def least_squares_update(weight: Tensor, hessian: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Return the weights closest to the float outputs on quantized inputs: `W + (Y b' - W H) (H + ridge*mean)^-1`.

    GPTQ compares `W b` with `Q(W) b` on the same b. In a KAN b is the basis at a code's representative, and the float
    network had it elsewhere; so W itself is moved first, as far as the ridge lets it (Li et al. 2025, arXiv:2504.02692,
    call it asymmetric calibration; in one dimension it is a bias correction).

    Args:
        weight: (N, K).
        hessian: (K, K), `sum b b'`.
        cross: (N, K), `sum y b'`.
        ridge: damping as a share of the mean diagonal.
    """
    h, dead = _damped(hessian, ridge)
    residual = cross - weight @ hessian
    lower, bad = torch.linalg.cholesky_ex(h)
    if int(bad):
        lower, residual = torch.linalg.cholesky(h.double()), residual.double()
    update = torch.cholesky_solve(residual.T, lower).T.to(weight)
    return weight + torch.where(dead, 0.0, update)


@torch.no_grad()
def corrected(problem: Problem, weight: Tensor) -> Tensor:
    """Return the updated weights (N, K) with the ridge that is best on rows set aside; `weight` if none helps.

    Removed edges stay removed.
    """
    count, mask = problem.count, problem.layer.mask.repeat_interleave(problem.n_features, dim=1)
    held = torch.zeros(count, dtype=torch.bool, device=problem.target.device)
    held[::_HELD_OUT] = True
    if count < 4 * _HELD_OUT:
        return weight
    _, _, hessian, cross = problem.part(~held).moments()
    _, _, test_hessian, test_cross = problem.part(held).moments()

    def error(w: Tensor) -> float:  # of centred outputs, but for a constant
        return float(quadratic(problem, w, test_hessian) - 2.0 * (test_cross * w).sum())

    def updated(hessian: Tensor, cross: Tensor, ridge: float) -> Tensor:
        parts = zip(problem.grouped(weight), hessian, problem.grouped(cross), strict=True)
        return torch.cat([least_squares_update(*part, ridge) for part in parts]) * mask

    best, ridge = error(weight), None
    for candidate in _RIDGES:
        found = error(updated(hessian, cross, candidate))
        if found < best:
            best, ridge = found, candidate
    if ridge is None:
        return weight
    return updated(hessian + test_hessian, cross + test_cross, ridge)


def quadratic(problem: Problem, difference: Tensor, hessian: Tensor) -> Tensor:
    """Return `sum_o d_o' H d_o` of weights (N, K), each output with the Hessian of its group, (G, K, K)."""
    d = problem.grouped(difference)
    return ((d @ hessian) * d).sum()


@torch.no_grad()
def weighted_steps(problem: Problem, weight: Tensor, importance: Tensor) -> None:
    """Set both branches' steps to those of least squared error of `weight` (N, I, F), weighted by `importance` (G, I, F)."""
    base, spline = branch_quantizers(problem.layer)
    parts = (
        (base, weight[..., 0], importance[..., 0]),
        (spline, weight[..., 1:], importance[..., 1:]),
    )
    for quantizer, part, by in parts:
        by = (by + 1e-6 * by.mean() + 1e-30).flatten(1)
        if quantizer.log_step.dim():
            groups = zip(problem.grouped(part), by, strict=True)
            quantizer.set_step(torch.cat([best_steps(rows.flatten(1), quantizer.high, b) for rows, b in groups]))
        else:
            each = by.repeat_interleave(len(part) // len(by), dim=0)
            quantizer.set_step(best_steps(part.reshape(1, -1), quantizer.high, each.flatten())[0])


def _tried_levels(weight: Tensor, hessian: Tensor, step: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return GPTQ's levels (T, N, K) with every one of :data:`_FACTORS` times `step`, and the output errors (T, N)."""
    count = len(_FACTORS)
    factors = weight.new_tensor(_FACTORS).repeat_interleave(len(weight)).unsqueeze(1)
    targets, steps = weight.repeat(count, 1), step.repeat(count, 1) * factors
    levels = gptq_levels(targets, hessian, steps, high.repeat(count, 1))
    difference = levels * steps - targets
    errors = ((difference @ hessian) * difference).sum(dim=1)
    return levels.view(count, *weight.shape), errors.view(count, -1)


@torch.no_grad()
def gptq(problem: Problem) -> None:
    """Round the layer's weights: float update, steps weighted by the Hessian's diagonal, GPTQ with several multiples of them.

    The step of least squared error clips what GPTQ would pass on: with levels -1, 0, 1 the errors that gather in a
    column are often larger than any weight. So the step (of every output, if it has one) is the multiple with which
    GPTQ's result has the least output error; on MNIST it is about 1.8 at two bits, where the error falls to a 15th, and
    1.2 at four.
    """
    layer = problem.layer
    shape = (layer.out_features, layer.in_features, problem.n_features)
    weight = corrected(problem, weights_of(layer).flatten(1))
    _, _, hessian, _ = problem.moments()
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    weighted_steps(problem, weight.view(shape), diagonal.reshape(problem.groups, *shape[1:]))
    step = problem.steps().repeat(1, layer.in_features).expand_as(weight)
    high = problem.highs().repeat(layer.in_features) * layer.mask.repeat_interleave(problem.n_features, dim=1)
    parts = zip(problem.grouped(weight), hessian, problem.grouped(step), problem.grouped(high), strict=True)
    tried = [_tried_levels(*part) for part in parts]
    levels, errors = torch.cat([part[0] for part in tried], dim=1), torch.cat([part[1] for part in tried], dim=1)
    if not branch_quantizers(layer)[0].log_step.dim():  # one step for all outputs
        errors = errors.sum(dim=1, keepdim=True).expand_as(errors)
    best = errors.argmin(dim=0)
    factor = weight.new_tensor(_FACTORS)[best]
    for quantizer in branch_quantizers(layer):
        quantizer.set_step(quantizer.step * (factor if quantizer.log_step.dim() else factor[0]))
    chosen = levels[best, torch.arange(len(best), device=best.device)].view(shape)
    set_levels(layer, chosen)
