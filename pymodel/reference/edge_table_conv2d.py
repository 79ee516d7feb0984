"""A convolutional KAN layer in edge-table form; the twin of `hls/kan4ml/edge_table_conv2d.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import EdgeTable, IntArray, KanConv
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK, outputs_last
from pymodel.reference.coder import coder
from pymodel.reference.rescale import round_saturate
from pymodel.reference.window2d import facts_of, window2d

__all__ = ["EdgeTableConv2dTables", "edge_table_conv2d"]


@dataclass(frozen=True)
class EdgeTableConv2dTables:
    """The constants of a layer, laid out for :func:`edge_table_conv2d`.

    Attributes:
        node: the layer.
        facts: of its geometry.
        tables: (groups, I, C, P) edge integers, outputs last; P is N/groups rounded up, with zeros.
        bias: (groups, N/groups) in the units of the tables.
        halves, shifts: (groups,) of the rescales.
    """

    node: KanConv
    facts: IntArray
    tables: IntArray
    bias: IntArray
    halves: IntArray
    shifts: IntArray

    @classmethod
    def pack(cls, node: KanConv) -> EdgeTableConv2dTables:
        """Return the tables of `node`, whose layers are `EdgeTable`."""
        layers = [layer for layer in node.layers if isinstance(layer, EdgeTable)]
        return cls(
            node=node,
            facts=facts_of(node.geometry),
            tables=np.stack([outputs_last(np.moveaxis(layer.tables, 2, 0)) for layer in layers]),
            bias=np.stack([layer.bias for layer in layers]),
            halves=np.array([layer.half for layer in layers], dtype=np.int64),
            shifts=np.array([layer.shift for layer in layers], dtype=np.int64),
        )

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, OH*OW*N) of contiguous inputs `X` (rows, H*W*C)."""
        node, (code,) = self.node, self.node.coders
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        edge_table_conv2d(
            X,
            Y,
            self.facts,
            code.mult,
            code.offset,
            code.shift,
            code.n_codes,
            self.tables,
            self.bias,
            self.halves,
            self.shifts,
            node.out_type.min_int,
            node.out_type.max_int,
        )
        return Y


@kernel(parallel=True)
def edge_table_conv2d(
    X: IntArray,
    Y: IntArray,
    facts: IntArray,
    mult: IntArray,
    offset: IntArray,
    coder_shift: int,
    n_codes: int,
    tables: IntArray,
    bias: IntArray,
    halves: IntArray,
    shifts: IntArray,
    low: int,
    high: int,
) -> None:
    """`Y[w][o] = sat((sum over taps t in the image, channels c, of E[t][c][code][o] + bias[o] + half) >> n)`.

    Args:
        X: (rows, H*W*C) inputs.
        Y: (rows, OH*OW*N) outputs, written.
        facts: of the geometry.
        mult: (1,) or (C,) multipliers of the coder, one per channel of a pixel.
        offset: (1,) or (C,) offsets of the coder.
        coder_shift: shift of the coder.
        n_codes: codes.
        tables: (groups, taps*C/groups, codes, >= N/groups) edge integers E.
        bias: (groups, N/groups) in the units of the tables.
        halves: (groups,) `2^(n-1)`, or 0 where n = 0.
        shifts: (groups,) n, 0 … 62.
        low: the smallest output.
        high: the largest output.
    """
    rows, channels, groups = X.shape[0], facts[2], facts[13]
    pixels, taps, windows = facts[0] * facts[1], facts[3] * facts[4], facts[11] * facts[12]
    per_group, n_out = channels // groups, bias.shape[1]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        code = np.empty((pixels, channels), dtype=np.int64)
        pixel = np.empty(taps, dtype=np.int64)
        acc = np.empty(tables.shape[3], dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for p in range(pixels):
                coder(X[row, p * channels : (p + 1) * channels], mult, offset, coder_shift, n_codes, code[p])
            for w in range(windows):
                window2d(facts, w, pixel)
                for g in range(groups):
                    acc[:] = 0
                    for t in range(taps):
                        if pixel[t] >= 0:
                            for c in range(per_group):
                                entries = tables[g, t * per_group + c, code[pixel[t], g * per_group + c]]
                                for o in range(acc.shape[0]):
                                    acc[o] += entries[o]
                    first = (w * groups + g) * n_out
                    for o in range(n_out):
                        Y[row, first + o] = round_saturate(acc[o] + bias[g, o], halves[g], shifts[g], low, high)
