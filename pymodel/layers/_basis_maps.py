"""Gaussians and Gram polynomials for training: one node of the autograd graph each, which keeps what it puts out.

What else the backward pass needs is computed again: it costs less than to store and to load it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["gram_map", "rbf_map"]


class _RbfMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, centres: Tensor, width: float) -> Tensor:
        u = (x.unsqueeze(-1) - centres).div_(width)
        value = u.mul_(u).neg_().exp_()
        ctx.width = width
        ctx.save_for_backward(x, centres, value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        x, centres, value = ctx.saved_tensors
        slope = (x.unsqueeze(-1) - centres).mul_(value).mul_(grad)
        return slope.sum(dim=-1).mul_(-2.0 / ctx.width**2), None, None


def rbf_map(x: Tensor, centres: Tensor, width: float) -> Tensor:
    """Return `exp(-((x - g_j) / h)^2)`, (…, n_centres), of `x` (…), once differentiable by `x`."""
    value: Tensor = _RbfMap.apply(x, centres, width)  # type: ignore[no-untyped-call]
    return value


def _polynomials(t: Tensor, factors: list[float], degree: int) -> list[Tensor]:
    values = [torch.ones_like(t), t]
    for n in range(2, degree + 1):
        values.append(torch.mul(t, values[-1]).sub_(values[-2], alpha=factors[n]))
    return values


def _stacked(t: Tensor, values: list[Tensor]) -> Tensor:
    """Return (…, n, C) of n tensors like `t` (…, C)."""
    rows = t.new_empty(*t.shape[:-1], len(values), t.shape[-1])
    for n, value in enumerate(values):
        rows[..., n, :] = value
    return rows


class _GramMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, factors: Tensor, degree: int) -> Tensor:
        t = torch.tanh(z)
        numbers = factors.tolist()
        rows = _stacked(t, _polynomials(t, numbers, degree))
        ctx.degree, ctx.numbers = degree, numbers
        ctx.save_for_backward(t)
        return functional.silu(rows, inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (t,) = ctx.saved_tensors
        degree, numbers = ctx.degree, ctx.numbers
        values = _polynomials(t, numbers, degree)
        by_value: list[Tensor] = [
            torch.ops.aten.silu_backward(grad[..., n, :], values[n]) for n in range(1, degree + 1)
        ]
        by_value.insert(0, by_value[0])  # that of the constant is not needed
        by_t = torch.zeros_like(t)
        by_factors = []
        for n in range(degree, 1, -1):
            upper = by_value[n]
            by_t.addcmul_(upper, values[n - 1])
            by_value[n - 1].addcmul_(upper, t)
            if n > 2:
                by_value[n - 2].sub_(upper, alpha=numbers[n])
            if ctx.needs_input_grad[1]:
                by_factors.append(-(upper * values[n - 2]).sum())
        by_t += by_value[1]
        by_z = by_t.mul_(1.0 - t * t)
        if not ctx.needs_input_grad[1]:
            return by_z, None, None
        zero = t.new_zeros(())
        return by_z, torch.stack([zero, zero, *reversed(by_factors)]), None


def gram_map(z: Tensor, factors: Tensor, degree: int) -> Tensor:
    """Return `SiLU(P_n(tanh z))`, degree-major, (…, degree + 1, C), of `z` (…, C); once differentiable by both.

    Args:
        z: inputs.
        factors: (2 + number of recurrence steps,), what `P_(n-2)` is multiplied with in the recurrence for `P_n`; two zeros
            first.
        degree: the largest n.
    """
    value: Tensor = _GramMap.apply(z, factors, degree)  # type: ignore[no-untyped-call]
    return value
