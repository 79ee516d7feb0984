"""AdaRound (Nagel et al. 2020, arXiv:2004.10568): round up or down, whichever is better for the layer's output."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant.ptq._gptq import corrected, quadratic, weighted_steps
from pymodel.quant.ptq._problem import Problem, branch_quantizers, set_levels, weights_of

__all__ = ["RoundingWeights", "adaround", "learn_rounding", "rectified_sigmoid", "rounding_penalty"]

#: Stretch of the rectified sigmoid.
ZETA, GAMMA = 1.1, -0.1
#: The penalty's exponent falls from the first to the second; nothing is penalised before a fifth of the steps.
BETAS = (20.0, 2.0)
_WARMUP = 0.2
_STEPS = 1000
_ROWS = 256
_RATE = 0.05
#: The penalty if every weight were undecided, relative to the error of rounding to nearest.
_PENALTY = 300.0


def rectified_sigmoid(v: Tensor) -> Tensor:
    """Return `h(V) = clip(sigmoid(V) * (zeta - gamma) + gamma, 0, 1)` (equation 23)."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def rounding_penalty(h: Tensor, beta: float) -> Tensor:
    """Return `sum 1 - |2 h - 1|^beta` (equation 24), 0 where every h is 0 or 1."""
    return (1.0 - (2.0 * h - 1.0).abs() ** beta).sum()


class RoundingWeights(TensorQuantizer):
    """Weights `step * clip(floor(w / step) + h(V), -L, L)`: the step is settled, V is learned.

    Args:
        source: the quantizer whose step and levels it takes over.
        weight: what is rounded; V starts where `h(V)` is the weight's own fraction. Zeros (removed edges) stay zeros.

    Attributes:
        v: parameter of the weight's shape.
    """

    floor: Tensor
    kept: Tensor

    def __init__(self, source: TensorQuantizer, weight: Tensor) -> None:
        step = source.log_step.detach()
        super().__init__(source.bits, channels=step.numel() if step.dim() else None)
        self.log_step = nn.Parameter(step.clone(), requires_grad=False)
        scaled = (weight / self.step_for(weight)).clamp(self.low, self.high)
        floor = torch.floor(scaled)
        self.register_buffer("floor", floor)
        self.register_buffer("kept", weight != 0)
        share = ((scaled - floor - GAMMA) / (ZETA - GAMMA)).clamp(1e-4, 1 - 1e-4)
        self.v = nn.Parameter(torch.logit(share))

    def soft(self) -> Tensor:
        """Return the levels, not yet decided."""
        return (self.floor + rectified_sigmoid(self.v)).clamp(self.low, self.high) * self.kept

    def forward(self, w: Tensor) -> Tensor:
        """Return the soft weights; `w` only gives the shape."""
        return self.soft() * self.step_for(w)

    @torch.no_grad()
    def reopen(self) -> None:
        """Soften the decisions to `h(V)` of 0.15 and 0.85, where gradients can still change them."""
        edge = torch.logit(torch.tensor((0.85 - GAMMA) / (ZETA - GAMMA)))
        self.v.copy_(torch.where(rectified_sigmoid(self.v) >= 0.5, edge, -edge))

    @torch.no_grad()
    def levels(self) -> Tensor:
        """Return the decided levels: up where `h(V) >= 1/2`."""
        return (self.floor + (rectified_sigmoid(self.v) >= 0.5)).clamp(self.low, self.high) * self.kept


def learn_rounding(
    quantizers: list[RoundingWeights],
    error: Callable[[Tensor], Tensor],
    rows: int,
    *,
    extra: list[nn.Parameter] | None = None,
    steps: int = _STEPS,
    rate: float = _RATE,
    batch: int = _ROWS,
) -> None:
    """Learn V of `quantizers`: least `error` of random rows plus the penalty, with Adam.

    The error is divided by what rounding to nearest gives, and the penalty by the number of weights, so that one penalty
    serves layers of all sizes and scales.

    Args:
        quantizers: whose V is learned.
        error: of the rows with the given indices, a scalar with gradient.
        rows: B, how many rows there are.
        extra: parameters that learn along (BRECQ's steps of the codes), at a tenth of the rate.
        steps: of Adam.
        rate: its learning rate.
        batch: rows of a step.
    """
    generator = torch.Generator().manual_seed(0)
    device = quantizers[0].v.device
    groups: list[dict[str, object]] = [{"params": [q.v for q in quantizers], "lr": rate}]
    if extra:
        groups.append({"params": extra, "lr": rate / 10})
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=rate / 20)
    saved = [q.v.detach().clone() for q in quantizers]
    with torch.no_grad():  # decided as they are: rounding to nearest
        for q in quantizers:
            q.v.copy_(torch.where(rectified_sigmoid(q.v) >= 0.5, 20.0, -20.0))
        scale = float(error(torch.arange(min(rows, 4 * batch), device=device)))
        for q, v in zip(quantizers, saved, strict=True):
            q.v.copy_(v)
    count = sum(q.v.numel() for q in quantizers)
    for step in range(steps):
        picked = torch.randint(0, rows, (min(rows, batch),), generator=generator).to(device)
        loss = error(picked) / max(scale, 1e-30)
        done = (step / steps - _WARMUP) / (1.0 - _WARMUP)
        if done > 0:
            beta = BETAS[1] + (BETAS[0] - BETAS[1]) * (1.0 - done)
            penalty = sum(rounding_penalty(rectified_sigmoid(q.v), beta) for q in quantizers)
            loss = loss + penalty * (_PENALTY * min(1.0, 4 * done) / count)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def start_rounding(problem: Problem) -> tuple[RoundingWeights, RoundingWeights, Tensor]:
    """Return rounding quantizers for a layer's updated weights, after settling its steps, and those weights (N, I, F)."""
    layer = problem.layer
    shape = (layer.out_features, layer.in_features, problem.n_features)
    weight = corrected(problem, weights_of(layer).flatten(1)).view(shape) * layer.mask.unsqueeze(-1)
    weighted_steps(problem, weight, problem.power())
    base, spline = branch_quantizers(layer)
    return RoundingWeights(base, weight[..., 0]), RoundingWeights(spline, weight[..., 1:]), weight


def finish_rounding(problem: Problem, base: RoundingWeights, spline: RoundingWeights) -> None:
    """Store the decided levels in the layer."""
    levels = torch.cat((base.levels().unsqueeze(-1), spline.levels()), dim=-1)
    set_levels(problem.layer, levels)


def adaround(problem: Problem) -> tuple[RoundingWeights, RoundingWeights]:
    """Round the layer's weights: `argmin |W b - Q(W) b|^2 + penalty` (equation 25), on the inputs it will get.

    The layer is linear in its weights, so the error over all rows is a quadratic form in them, with the Hessian and the
    cross moments of :class:`Problem`: no step sees a sample of the rows only. It is the error of centred outputs: a bias
    takes the mean.

    Returns:
        The quantizers of base and spline weights with the V that was learned.
    """
    base, spline, weight = start_rounding(problem)
    _, _, hessian, _ = problem.moments()
    with torch.enable_grad():

        def error(rows: Tensor) -> Tensor:  # noqa: ARG001 - of all rows
            rounded = torch.cat((base(base.floor).unsqueeze(-1), spline(spline.floor)), dim=-1)
            return quadratic(problem, (rounded - weight).flatten(1), hessian)

        learn_rounding([base, spline], error, problem.count)
    finish_rounding(problem, base, spline)
    return base, spline
