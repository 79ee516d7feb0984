"""The product of an LSQ layer, and the rescale that follows: one node each of the autograd graph.

Nothing that can be computed again quickly is kept for the backward pass: the quantized weights follow from the weights, which
are there anyway. Steps come as logarithms and as numbers: what a small layer costs is calls, not arithmetic.
"""

from __future__ import annotations

import math
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pymodel.quant._functions import round_half_up

__all__ = ["LsqBranch", "LsqFacts", "emit", "lsq_facts", "lsq_linear", "scaled_step"]


class _ScaledStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_step: Tensor, factor: float, least: float) -> Tensor:
        step = log_step.exp().clamp_min(least)
        ctx.factor, ctx.least = factor, least
        ctx.save_for_backward(step)
        return step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (step,) = ctx.saved_tensors
        return grad * ctx.factor * step, None, None


def scaled_step(log_step: Tensor, factor: float, least: float) -> Tensor:
    """Return `exp(log_step)`, at least `least`, whose gradient is multiplied by `factor`."""
    step: Tensor = _ScaledStep.apply(log_step, factor, least)  # type: ignore[no-untyped-call]
    return step


class LsqFacts(NamedTuple):
    """The numbers of both branches.

    Attributes:
        columns: (3, F): step, highest level, and what the rescale's dyadic multiplier makes of 1, for every column of the
            weights `[base, spline …]`.
        base, spline: what the gradients by the branch's step are multiplied with, to be those by its logarithm: LSQ's
            gradient scale times the step.
    """

    columns: Tensor
    base: float
    spline: float


class LsqBranch(NamedTuple):
    """The numbers of one branch.

    Attributes:
        step: of its weights.
        high: their highest level.
        ratio: what the rescale's dyadic multiplier makes of 1.
        size: how many weights there are.
    """

    step: float
    high: int
    ratio: float
    size: int


def lsq_facts(base: LsqBranch, spline: LsqBranch, branch: Tensor, like: Tensor, least: float = 0.0) -> LsqFacts:
    """Return the numbers of both branches for :func:`lsq_linear`.

    Args:
        base: the base branch.
        spline: the other one.
        branch: (F,), 0 for the base weights' column and 1 for the others.
        like: dtype and device of the columns.
        least: steps of at most this do not learn.
    """
    columns = like.new_tensor([[b.step, float(b.high), b.ratio] for b in (base, spline)]).T[:, branch].contiguous()
    factors = [b.step / math.sqrt(b.size * b.high) if b.step > least else 0.0 for b in (base, spline)]
    return LsqFacts(columns, factors[0], factors[1])


def _levels(base: Tensor, spline: Tensor, mask: Tensor | None, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights (N, I, F) in units of their steps, and rounded to levels."""
    scaled = torch.cat((base.unsqueeze(-1), spline), dim=-1)
    if mask is not None:
        scaled *= mask.unsqueeze(-1)
    scaled /= columns[0]
    return scaled, round_half_up(scaled).clamp_(-columns[1], columns[1])


class _LsqLinear(torch.autograd.Function):
    """Codes, table rows, quantized weights, one matrix product.

    Going back, the tables' derivatives stand in for their steps, and both branches' weights get LSQ gradients.
    """

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        low: Tensor,  # noqa: ARG004 - only its gradient matters: the table was computed from it
        base: Tensor,
        spline: Tensor,
        base_log: Tensor,  # noqa: ARG004 - likewise
        spline_log: Tensor,  # noqa: ARG004
        mask: Tensor | None,
        facts: LsqFacts,
        table: Tensor,
        slopes: Tensor,
    ) -> Tensor:
        ctx.facts, ctx.n_codes = facts, table.shape[0]
        ctx.loops = _loops(u, base, spline, table)
        ctx.by_input = any(ctx.needs_input_grad[:3])
        if ctx.loops is not None:
            codes, phi = _looped_rows(ctx.loops, u, table)
            weight = _looped_weight(ctx.loops, base, spline, mask, facts.columns)
            rest = (u, codes, step, slopes) if ctx.by_input else ()
            ctx.save_for_backward(phi, base, spline, mask, facts.columns, *rest)
            return phi @ weight.T
        codes = round_half_up(u).clamp_(0, ctx.n_codes - 1).int()
        phi = functional.embedding(codes, table).flatten(1)
        columns = facts.columns
        _, levels = _levels(base, spline, mask, columns)
        weight = (levels * (columns[0] * columns[2])).flatten(1)
        ctx.save_for_backward(phi, base, spline, mask, columns, *((u, codes, step, slopes) if ctx.by_input else ()))
        return phi @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        phi, base, spline, mask, columns, *rest = ctx.saved_tensors
        facts: LsqFacts = ctx.facts
        if ctx.loops is not None and grad.dtype == torch.float32:
            return _looped_backward(ctx, grad)
        scaled, levels = _levels(base, spline, mask, columns)
        by_u = by_step = by_low = None
        if ctx.by_input:
            u, codes, step, slopes = rest
            weight = (levels * (columns[0] * columns[2])).flatten(1)
            rows = functional.embedding(codes, slopes)
            by_input = rows.mul_((grad @ weight).view(rows.shape)).sum(dim=-1)
            if ctx.needs_input_grad[1]:
                by_step = torch.dot(by_input.flatten(), codes.to(by_input.dtype).flatten())
                by_low = by_input.sum()
            by_u = by_input.mul_(step).mul_((u >= -0.5) & (u < ctx.n_codes - 0.5))
        by_level = (grad.T @ phi).view(scaled.shape).mul_(columns[2])
        inside = scaled.abs() < columns[1] + 0.5
        per_step = levels.sub_(scaled.mul_(inside)).mul_(by_level).view(-1, len(columns[0])).sum(dim=0)
        by_weight = by_level.mul_(inside)
        if mask is not None:
            by_weight *= mask.unsqueeze(-1)
        by_base_log, by_spline_log = per_step[0] * facts.base, per_step[1:].sum() * facts.spline
        return (
            *(by_u, by_step, by_low, by_weight[..., 0], by_weight[..., 1:], by_base_log, by_spline_log),
            *(None, None, None, None),
        )


def _loops(*tensors: Tensor) -> ModuleType | None:
    """Return the compiled loops, if these float32 tensors of the CPU can go through them."""
    good = all(t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors)
    return _load_loops() if good and not torch.is_autocast_enabled("cpu") else None


@cache
def _load_loops() -> ModuleType | None:
    try:
        return import_module("pymodel.quant._lsq_loops")
    except ImportError:  # where networks are only trained, numba need not be installed
        return None


_ALL_KEPT = np.zeros(0, dtype=np.bool_)


def _edges(base: Tensor, spline: Tensor, mask: Tensor | None) -> tuple[Any, Any, Any]:
    """Return weights and mask with one row per edge, as arrays."""
    kept = _ALL_KEPT if mask is None else mask.view(-1).numpy()
    return base.detach().view(-1).numpy(), spline.detach().view(-1, spline.shape[-1]).numpy(), kept


def _looped_rows(loops: ModuleType, u: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    codes = torch.empty(u.shape, dtype=torch.int32)
    phi = u.new_empty(u.shape[0], u.shape[1] * table.shape[1])
    rows = phi.view(-1, table.shape[1]).numpy()
    loops.table_rows(u.detach().view(-1).numpy(), table.numpy(), codes.view(-1).numpy(), rows)
    return codes, phi


def _looped_weight(loops: ModuleType, base: Tensor, spline: Tensor, mask: Tensor | None, columns: Tensor) -> Tensor:
    weight = base.new_empty(base.shape[0], base.shape[1] * columns.shape[1])
    factor = (columns[0] * columns[2]).numpy()
    loops.quantized(*_edges(base, spline, mask), columns.numpy(), factor, weight.view(-1, columns.shape[1]).numpy())
    return weight


def _looped_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    phi, base, spline, mask, columns, *rest = ctx.saved_tensors
    facts: LsqFacts = ctx.facts
    width = columns.shape[1]
    by_u = by_step = by_low = None
    if ctx.by_input:
        u, codes, step, slopes = rest
        weight = _looped_weight(ctx.loops, base, spline, mask, columns)
        by_rows = (grad @ weight).view(-1, width)
        by_u = torch.empty_like(u)
        sums = ctx.loops.input_gradients(
            u.detach().view(-1).numpy(),
            codes.view(-1).numpy(),
            by_rows.numpy(),
            slopes.numpy(),
            float(step),
            by_u.view(-1).numpy(),
        )
        if ctx.needs_input_grad[1]:
            by_step, by_low = step.new_tensor(sums[0]), step.new_tensor(sums[1])
    by_weight = (grad.T @ phi).view(-1, width)
    by_base, by_spline = torch.empty_like(base), torch.empty_like(spline)
    edges = _edges(base, spline, mask)
    by_base_step, by_spline_step = ctx.loops.weight_gradients(
        by_weight.numpy(), *edges, columns.numpy(), by_base.view(-1).numpy(), by_spline.view(-1, width - 1).numpy()
    )
    by_logs = base.new_tensor(by_base_step * facts.base), base.new_tensor(by_spline_step * facts.spline)
    return by_u, by_step, by_low, by_base, by_spline, *by_logs, None, None, None, None


def lsq_linear(
    u: Tensor,
    step: Tensor,
    low: Tensor,
    weights: tuple[Tensor, Tensor],
    logs: tuple[Tensor, Tensor],
    mask: Tensor | None,
    facts: LsqFacts,
    tables: tuple[Tensor, Tensor],
) -> Tensor:
    """Return `sum_f table[c, f] * q(weight)[o, i, f]` over inputs i and features f, (B, N), for codes `c` of `u`.

    Args:
        u: (B, I), inputs in units of codes; the code is `clip(floor(u + 1/2), 0, C - 1)`.
        step: scalar; a code stands for the real input `low + c * step`.
        low: scalar.
        weights: base (N, I) and spline weights (N, I, n_basis), which are quantized here.
        logs: logarithms of their steps, scalars.
        mask: (N, I); edges where it is False have weight 0 and learn nothing; None keeps all.
        facts: the numbers of both.
        tables: (C, 1 + n_basis) each: quantized `[S, B_0 …]` of every code, and derivatives by the real input.
    """
    result: Tensor = _LsqLinear.apply(u, step, low, *weights, *logs, mask, facts, *tables)  # type: ignore[no-untyped-call]
    return result


class _Emit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, step: Tensor, low: Tensor, unit: float, shift: int, bias: float) -> Tensor:
        ctx.save_for_backward(y, step, low)
        return y.div(unit).add_(0.5).floor_().add_(bias).mul_(2.0**-shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, step, low = ctx.saved_tensors
        by_y = grad / step
        by_step = by_low = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            by_low = -by_y.sum()
            by_step = torch.dot(by_y.flatten(), (low - y).flatten()) / step
        return by_y, by_step, by_low, None, None, None


def emit(y: Tensor, step: Tensor, low: Tensor, unit: float, shift: int, bias: int) -> Tensor:
    """Return `(round(y / unit) + bias) * 2^-shift` exactly, with the gradient of `(y - low) / step`.

    Float rounding must not decide a tie between two codes, so the integer that the rescale will shift is restored.

    Args:
        y: any shape, multiples of `unit` but for float rounding.
        step: scalar; of the codes that come out.
        low: scalar; what code 0 stands for.
        unit: real value of one unit of the rescale's sum.
        shift: of the rescale.
        bias: `-low / step` in units of `2^-shift` codes, rounded.
    """
    result: Tensor = _Emit.apply(y, step, low, unit, shift, float(bias))  # type: ignore[no-untyped-call]
    return result
