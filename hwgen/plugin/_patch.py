"""The constants of a convolution as one dense layer over the patch of a window: all groups, one shift.

Input `tap * channels + channel` of a patch is what `hls/kan4ml/kan_conv2d.h` calls so. Groups become edges that do not
exist.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymodel.errors import ModelError
from pymodel.ir import EdgeTable, IntArray, KanConv, KanLinear, NodeBounds, signed_width

__all__ = ["Patch", "patch_of"]


@dataclass(frozen=True)
class Patch:
    """A convolution's dense layer.

    Groups may have shifts of their own. With the largest one, n, for all, multipliers (or tables) and bias of a group
    that has m are `2^(n-m)` times as large, which changes no output: `(a*2^d) >> (m+d) = a >> m`.

    Attributes:
        weights: (N, I, n_basis) spline weights; (N, I, 0) in edge-table form.
        base_weights: (N, I), or None where there is no base branch.
        tables: (I, C, N) edge integers; (I, 0, N) in the other form.
        spline_mult, base_mult, bias: (N,).
        shift: n, of all outputs.
        lifted: the largest n - m.
    """

    weights: IntArray
    base_weights: IntArray | None
    tables: IntArray
    spline_mult: IntArray
    base_mult: IntArray
    bias: IntArray
    shift: int
    lifted: int

    @property
    def alive(self) -> IntArray:
        """(edges, 2) outputs and inputs of the edges that are not pruned, output major."""
        alive = (self.weights != 0).any(axis=2) | (self.tables != 0).any(axis=1).T
        if self.base_weights is not None:
            alive |= self.base_weights != 0
        return np.argwhere(alive).astype(np.int64)

    def widths(self, name: str, bounds: NodeBounds) -> tuple[int, int]:
        """Return the bits of the accumulator of splines or tables, and those of the rescaled sum.

        Raises:
            ModelError: if the groups' shifts differ so much that one of them has more than 62.
        """
        tables = self.tables.size > 0
        half = 1 << (self.shift - 1) if self.shift else 0
        extra = half if self.lifted else 0
        spline, total = bounds.spline, bounds.total
        scale = self.lifted if tables else 0
        acc = signed_width(spline.low << scale, spline.high << scale)
        sums = signed_width((total.low << self.lifted) - extra, (total.high << self.lifted) + extra)
        if max(acc, sums) > 62:
            raise ModelError(
                f"layer {name} has groups whose shifts differ by {self.lifted}, so that a common sum needs "
                f"{max(acc, sums)} bits, more than 62; freeze the groups with one scale"
            )
        return acc, sums


def _spread(node: KanConv, parts: list[IntArray], *, outputs_first: bool) -> IntArray:
    """Return (N, I, …) from (N/groups, I/groups, …) of every group, or (I, …, N) from (I/groups, …, N/groups)."""
    g = node.geometry
    groups, n_out = g.groups, node.out_channels // g.groups
    if outputs_first:
        rest = parts[0].shape[2:]
        full = np.zeros((groups, n_out, g.n_taps, groups, g.group_channels, *rest), dtype=np.int64)
        for index, part in enumerate(parts):
            full[index, :, :, index] = part.reshape(n_out, g.n_taps, g.group_channels, *rest)
        return full.reshape(node.out_channels, g.n_taps * g.channels, *rest)
    codes = parts[0].shape[1]
    tables = np.zeros((g.n_taps, groups, g.group_channels, codes, groups, n_out), dtype=np.int64)
    for index, part in enumerate(parts):
        tables[:, index, :, :, index] = part.reshape(g.n_taps, g.group_channels, codes, n_out)
    return tables.reshape(g.n_taps * g.channels, codes, node.out_channels)


def _lifted_bias(bias: IntArray, mine: int, shift: int) -> IntArray:
    """Return the bias for `shift`; without a shift of its own a group rounds nothing, so the common half is taken off."""
    half = 1 << (shift - 1) if shift and not mine else 0
    return (bias << (shift - mine)) - half


def patch_of(node: KanConv) -> Patch:
    """Return the dense layer of `node`."""
    n_in = node.geometry.n_taps * node.geometry.channels
    tables = [layer for layer in node.layers if isinstance(layer, EdgeTable)]
    if tables:
        shift = max(layer.shift for layer in tables)
        none = np.zeros(node.out_channels, dtype=np.int64)
        return Patch(
            weights=np.zeros((node.out_channels, n_in, 0), dtype=np.int64),
            base_weights=None,
            tables=_spread(node, [layer.tables << (shift - layer.shift) for layer in tables], outputs_first=False),
            spline_mult=none,
            base_mult=none,
            bias=np.concatenate([_lifted_bias(layer.bias, layer.shift, shift) for layer in tables]),
            shift=shift,
            lifted=shift - min(layer.shift for layer in tables),
        )
    layers = [layer for layer in node.layers if isinstance(layer, KanLinear)]
    rescales = [layer.rescale for layer in layers]
    shift = max(rescale.shift for rescale in rescales)
    bases = [layer.base.weights for layer in layers if layer.base is not None]
    return Patch(
        weights=_spread(node, [layer.spline.weights for layer in layers], outputs_first=True),
        base_weights=_spread(node, bases, outputs_first=True) if bases else None,
        tables=np.zeros((n_in, 0, node.out_channels), dtype=np.int64),
        spline_mult=np.concatenate([r.spline_mult << (shift - r.shift) for r in rescales]),
        base_mult=np.concatenate([r.base_mult << (shift - r.shift) for r in rescales]),
        bias=np.concatenate([_lifted_bias(r.bias, r.shift, shift) for r in rescales]),
        shift=shift,
        lifted=shift - min(r.shift for r in rescales),
    )
