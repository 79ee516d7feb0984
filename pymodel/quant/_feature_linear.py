"""A layer's product for weights that are quantized elsewhere: by a step per output, or by another method than LSQ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pymodel.quant._ste import by_code, codes_of, rows_of

__all__ = ["feature_linear"]


class _FeatureLinear(torch.autograd.Function):
    """Codes, table rows, one matrix product; going back, the tables' derivatives stand in for their steps."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        low: Tensor,  # noqa: ARG004 - only its gradient matters: the table was computed from it
        weight: Tensor,
        table: Tensor,
        slopes: Tensor,
    ) -> Tensor:
        ctx.n_codes = table.shape[-2]
        codes = codes_of(u, ctx.n_codes)
        phi = rows_of(codes, table)
        ctx.by_input = any(ctx.needs_input_grad[:3])
        ctx.save_for_backward(phi, weight, *((u, codes, step, slopes) if ctx.by_input else ()))
        return phi.flatten(1) @ weight.flatten(1).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        phi, weight, *rest = ctx.saved_tensors
        by_u = by_step = by_low = by_weight = None
        if ctx.by_input:
            u, codes, step, slopes = rest
            rows = rows_of(codes, slopes)
            by_input = (rows * (grad @ weight.flatten(1)).view(rows.shape)).sum(dim=-1)
            by_u, by_step, by_low = by_code(ctx.n_codes, u, codes, by_input, step)
        if ctx.needs_input_grad[3]:
            by_weight = (grad.T @ phi.flatten(1)).view(weight.shape)
        return by_u, by_step, by_low, by_weight, None, None


def feature_linear(u: Tensor, step: Tensor, low: Tensor, weight: Tensor, table: Tensor, slopes: Tensor) -> Tensor:
    """Return `sum_(i,f) table[c_i, f] * weight[o, i, f]`, (B, N), for the codes `c` of `u`.

    Args:
        u: (B, I), inputs in units of codes; the code is `clip(floor(u + 1/2), 0, C - 1)`.
        step: scalar; a code stands for the real input `low + c * step`.
        low: scalar.
        weight: (N, I, F), quantized `[base, spline …]` weights.
        table: (C, F) or (I, C, F), quantized `[S, B_0 …]` of every code.
        slopes: as `table`, derivatives by the real input.
    """
    result: Tensor = _FeatureLinear.apply(u, step, low, weight, table, slopes)  # type: ignore[no-untyped-call]
    return result
