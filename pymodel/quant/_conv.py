"""QAT of convolutional KAN layers: table rows once per pixel, then a convolution of them; a pool of codes.

Everything but the product is the dense layer's over the inputs of a window: weights, quantizers, rescale, rounding.
"""

from __future__ import annotations

from dataclasses import replace as changed
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from pymodel.ir import EdgeTable, IntArray, KanConv, KanLinear, Pool, PoolKind, SplineBranch
from pymodel.layers import ConvLayer, convolve, pool_real
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._ste import by_code, codes_of, replace, rows_of
from pymodel.quant._tables import CodeTables

__all__ = ["AVERAGE_SHIFT", "QuantKANConv", "average_constants"]

#: An average over a number of pixels that is no power of two multiplies by `round(2^18 / pixels)`.
AVERAGE_SHIFT = 18


def average_constants(pixels: int) -> tuple[int, int]:
    """Return multiplier and shift of an average over `pixels` integers."""
    if pixels & (pixels - 1) == 0:
        return 1, pixels.bit_length() - 1
    return ((2 << AVERAGE_SHIFT) + pixels) // (2 * pixels), AVERAGE_SHIFT


class _TableRows(torch.autograd.Function):
    """The table's rows at the codes of `u`; going back, the tables' derivatives stand in for their steps."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        step: Tensor,
        low: Tensor,  # noqa: ARG004 - only its gradient matters: the table was computed from it
        table: Tensor,
        slopes: Tensor,
    ) -> Tensor:
        ctx.n_codes = table.shape[-2]
        codes = codes_of(u, ctx.n_codes)
        ctx.save_for_backward(u, codes, step, slopes)
        return rows_of(codes, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, codes, step, slopes = ctx.saved_tensors
        by_u, by_step, by_low = by_code(ctx.n_codes, u, codes, (rows_of(codes, slopes) * grad).sum(dim=-1), step)
        return by_u, by_step, by_low, None, None


class QuantKANConv(QuantKANLinear):
    """A convolutional layer for QAT; `in_features` are those of a window and group.

    Args:
        source: the float layer.
        quantizer: of the inputs.
        **parts: as :class:`QuantKANLinear`.

    Attributes:
        geometry: which pixels a window reads.
        pool, pool_op: geometry and kind of the pool that follows, or None.
        out_codes: codes of the next layer, which an average rounds to; None for the last layer.
    """

    lsq_in_one: ClassVar[bool] = False

    def __init__(self, source: ConvLayer, quantizer: Any, **parts: Any) -> None:
        super().__init__(source, quantizer, **parts)
        self.geometry, self.pool, self.pool_op = source.geometry, source.pool, source.pool_op
        self.out_codes: int | None = None

    @property
    def n_inputs(self) -> int:
        """Integers of an image, H*W*C."""
        return self.geometry.n_in

    @property
    def n_nodes(self) -> int:
        """Outputs of :meth:`forward`."""
        g = self.geometry if self.pool is None else self.pool
        return g.n_windows * self.out_features

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per channel, (N,), for scores of all outputs (n_nodes,): their root of the sum of squares."""
        return scores.view(-1, self.out_features).square().sum(dim=0).sqrt()

    # --- the product ------------------------------------------------------------------------------------------------

    def _rows(self, u: Tensor, here: Codes, tables: CodeTables) -> Tensor:
        rows: Tensor = _TableRows.apply(  # type: ignore[no-untyped-call]
            u, here.step, here.low, tables.rounded, tables.slopes
        )
        return rows

    def _linear(self, u: Tensor, here: Codes, weight: Tensor, tables: CodeTables) -> Tensor:
        return convolve(self._rows(u, here, tables), weight, self.geometry)

    def _edge_sum(self, u: Tensor, here: Codes, entries: Tensor, weight: Tensor) -> Tensor:
        """Return the sums of quantized table entries (I, C, N); the gradient for `u` is that of the smooth functions."""
        n_codes = entries.shape[1]
        hot = functional.one_hot(codes_of(u, n_codes), n_codes).to(entries)
        y = convolve(hot, entries.permute(2, 0, 1), self.geometry)
        if not (u.requires_grad or here.step.requires_grad):
            return y
        smooth = convolve(self._rows(u, here, self.tables()), weight, self.geometry)
        return y + (smooth - smooth.detach())

    def forward(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return the outputs, (B, OH*OW*N), as :class:`QuantKANLinear`, for images (B, H*W*C) in units of codes."""
        return self.pooled(super().forward(u, here, after).view(u.shape[0], -1), after)

    def pooled(self, y: Tensor, after: Codes | None) -> Tensor:
        """Return the pool of outputs (B, OH*OW*N), real or in units of the next codes, as hardware computes it."""
        if self.pool is None:
            return y
        if self.pool_op is PoolKind.MAX or after is None or self.out_codes is None:
            return pool_real(y, self.pool, self.pool_op)
        # Hardware averages codes: round and saturate first, as the rescale does.
        with torch.no_grad():
            codes = codes_of(y, self.out_codes).double()
            mult, shift = average_constants(self.pool.n_taps)
            total = pool_real(codes, self.pool, PoolKind.AVERAGE).mul_(self.pool.n_taps).round_() * mult
            hard = torch.floor((total + (1 << shift >> 1)) * 2.0**-shift)
        return replace(pool_real(y.clamp(0, self.out_codes - 1), self.pool, PoolKind.AVERAGE), hard.to(y))

    @torch.no_grad()
    def histogram(self, u: Tensor) -> Tensor:
        """Return how often the channel of each input of a window has code c, over all pixels, (I, C) int64.

        Groups read different channels; theirs are added up.
        """
        n_codes, g = self.quantizer.n_codes, self.geometry
        codes = codes_of(u, n_codes).view(-1, g.groups, g.group_channels)
        flat = codes + torch.arange(g.group_channels, device=codes.device) * n_codes
        counts = torch.bincount(flat.flatten(), minlength=g.group_channels * n_codes).view(-1, n_codes)
        return counts.repeat(g.n_taps, 1)

    # --- freezing ---------------------------------------------------------------------------------------------------

    def conv_node(self, dense: KanLinear | EdgeTable) -> KanConv:
        """Return the convolution whose groups are parts of `dense`, which has all N outputs over a window's inputs."""
        n = self.out_features // self.geometry.groups
        parts = [slice(k * n, (k + 1) * n) for k in range(self.geometry.groups)]
        layers = tuple(_outputs(dense, part) for part in parts)
        return KanConv(
            name=dense.name,
            inputs=dense.inputs,
            out_type=dense.out_type,
            value_lsb=dense.value_lsb,
            value_offset=dense.value_offset,
            geometry=self.geometry,
            layers=layers,  # type: ignore[arg-type] # all of the form of `dense`
        )

    def pool_node(self, name: str, conv: KanConv) -> Pool:
        """Return the pool of the outputs of `conv`, called `name`."""
        assert self.pool is not None
        mult, shift = (1, 0) if self.pool_op is PoolKind.MAX else average_constants(self.pool.n_taps)
        return Pool(
            name=name,
            inputs=(conv.name,),
            out_type=conv.out_type,
            value_lsb=conv.value_lsb,
            value_offset=conv.value_offset,
            geometry=self.pool,
            op=self.pool_op,
            mult=mult,
            shift=shift,
        )


def _outputs(node: KanLinear | EdgeTable, part: slice) -> KanLinear | EdgeTable:
    """Return the layer with some of its outputs."""

    def cut(array: IntArray) -> IntArray:
        return np.ascontiguousarray(array[part])

    if isinstance(node, EdgeTable):
        return changed(node, tables=np.ascontiguousarray(node.tables[:, :, part]), bias=cut(node.bias))
    spline, r = node.spline, node.rescale
    base = None if node.base is None else changed(node.base, weights=cut(node.base.weights))
    return changed(
        node,
        spline=SplineBranch(spline.coder, spline.basis, cut(spline.weights)),
        base=base,
        rescale=changed(r, spline_mult=cut(r.spline_mult), base_mult=cut(r.base_mult), bias=cut(r.bias)),
    )
