"""Straight-through functions: what the hardware computes going forward, useful gradients going back."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pymodel.quant._functions import round_half_up

__all__ = [
    "by_code",
    "codes_of",
    "edge_linear",
    "fake_quantize",
    "replace",
    "rows_of",
    "scale_gradient",
]


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """Return `x`, whose gradient is multiplied by `factor` (Esser et al. 2020, appendix A)."""
    result: Tensor = _ScaleGradient.apply(x, factor)  # type: ignore[no-untyped-call]
    return result


class _Replace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, soft: Tensor, hard: Tensor) -> Tensor:  # noqa: ARG004 - the order is the meaning
        return hard.view_as(hard)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grad, None


def replace(soft: Tensor, hard: Tensor) -> Tensor:
    """Return `hard` exactly, with the gradient of `soft`."""
    result: Tensor = _Replace.apply(soft, hard)  # type: ignore[no-untyped-call]
    return result


class _FakeQuantize(torch.autograd.Function):
    """LSQ (Esser et al. 2020, equations 1 to 3) for a signed tensor."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        scaled = w / step
        integers = round_half_up(scaled).clamp_(low, high)
        ctx.limits, ctx.shape = (low, high), step.shape
        ctx.save_for_backward(scaled, integers)
        return integers * step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        scaled, integers = ctx.saved_tensors
        low, high = ctx.limits
        inside = (scaled > low - 0.5) & (scaled < high + 0.5)
        by_w = grad * inside
        if ctx.shape:  # a step per output
            by_step = (grad * integers - by_w * scaled).flatten(1).sum(dim=1).view(ctx.shape)
        else:
            by_step = torch.dot(grad.flatten(), integers.flatten()) - torch.dot(by_w.flatten(), scaled.flatten())
        return by_w, by_step.reshape(ctx.shape), None, None


def fake_quantize(w: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Return `step * clip(floor(w / step + 1/2), low, high)` with LSQ gradients for `w` and `step`.

    Args:
        w: any shape.
        step: a scalar, or (N, 1 …) of as many dimensions as `w` (N, …).
        low: the lowest level.
        high: the highest.
    """
    factor = 1.0 / math.sqrt(max(1, w.numel() // max(1, step.numel())) * max(1, high))
    result: Tensor = _FakeQuantize.apply(w, scale_gradient(step, factor), low, high)  # type: ignore[no-untyped-call]
    return result


def codes_of(u: Tensor, n_codes: int) -> Tensor:
    """Return the codes (int64) of inputs in units of codes."""
    return round_half_up(u).clamp_(0, n_codes - 1).long()


def by_code(n_codes: int, u: Tensor, codes: Tensor, by_input: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the gradient by the representative `low + code * step` into those by `u`, `step` and `low`."""
    inside = (u >= -0.5) & (u < n_codes - 0.5)
    by_step = torch.dot(by_input.flatten(), codes.to(by_input.dtype).flatten()).reshape(())
    return by_input * inside * step, by_step, by_input.sum().reshape(())


def rows_of(codes: Tensor, table: Tensor) -> Tensor:
    """Return the table's rows at `codes` (B, I), as (B, I, F): a table (C, F) for all inputs, or (I, C, F)."""
    if table.dim() == 2:
        return functional.embedding(codes, table)
    n_in, n_codes, _ = table.shape
    return functional.embedding(codes + torch.arange(n_in, device=codes.device) * n_codes, table.flatten(0, 1))


#: Up to this many codes a sum over edge tables is a product with a one-hot matrix; beyond, a gather.
_ONE_HOT_CODES = 16


class _EdgeLinear(torch.autograd.Function):
    """Sum over edge tables, read at the codes of the inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        low: Tensor,  # noqa: ARG004
        tables: Tensor,
        weight: Tensor,
        slopes: Tensor,
    ) -> Tensor:
        n_in, ctx.n_codes, n_out = tables.shape
        codes = codes_of(u, ctx.n_codes)
        rows = codes + torch.arange(n_in, device=codes.device) * ctx.n_codes
        ctx.by_input = any(ctx.needs_input_grad[:3])
        ctx.shape = tables.shape
        flat = tables.reshape(n_in * ctx.n_codes, n_out)
        if ctx.n_codes <= _ONE_HOT_CODES:
            one_hot = u.new_zeros(u.shape[0], n_in * ctx.n_codes).scatter_(1, rows, 1.0)
            ctx.save_for_backward(one_hot, *((u, codes, step, weight, slopes) if ctx.by_input else ()))
            return one_hot @ flat
        ctx.save_for_backward(rows, *((u, codes, step, weight, slopes) if ctx.by_input else ()))
        return functional.embedding_bag(rows, flat, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        where, *rest = ctx.saved_tensors
        by_u = by_step = by_low = None
        if ctx.by_input:
            u, codes, step, weight, slopes = rest
            rows = rows_of(codes, slopes)
            by_input = (rows * (grad @ weight.flatten(1)).view(rows.shape)).sum(dim=-1)
            by_u, by_step, by_low = by_code(ctx.n_codes, u, codes, by_input, step)
        n_in, n_codes, n_out = ctx.shape
        if n_codes <= _ONE_HOT_CODES:
            by_tables = where.T @ grad
        else:
            by_tables = grad.new_zeros(n_in * n_codes, n_out)
            for i in range(n_in):  # index_add_ on all inputs at once would need a copy of grad per input
                by_tables.index_add_(0, where[:, i], grad)
        return by_u, by_step, by_low, by_tables.view(ctx.shape), None, None


def edge_linear(u: Tensor, step: Tensor, low: Tensor, tables: Tensor, weight: Tensor, slopes: Tensor) -> Tensor:
    """Return `sum_i tables[i, c_i, o]`, (B, N), for the codes `c` of `u`.

    Args:
        u: (B, I), inputs in units of codes.
        step: scalar; a code stands for the real input `low + c * step`.
        low: scalar.
        tables: (I, C, N), quantized edge functions.
        weight: (N, I, F), the weights behind the tables; with `slopes` they give the gradient by the input.
        slopes: (C, F), derivatives of the features by the real input.
    """
    result: Tensor = _EdgeLinear.apply(u, step, low, tables, weight, slopes)  # type: ignore[no-untyped-call]
    return result
