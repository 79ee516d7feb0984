"""A dense KAN layer in edge-table form; the twin of `hls/kan4ml/edge_table.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import EdgeTable, IntArray
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK, outputs_last
from pymodel.reference.coder import coder
from pymodel.reference.rescale import round_saturate

__all__ = ["EdgeTableTables", "edge_table"]


@dataclass(frozen=True)
class EdgeTableTables:
    """The constants of a layer, laid out for :func:`edge_table`.

    Attributes:
        node: the layer.
        inputs: (A,) inputs with at least one alive edge.
        tables: (I, C, P) edge integers, outputs last; P is N rounded up, with zeros.
    """

    node: EdgeTable
    inputs: IntArray
    tables: IntArray

    @classmethod
    def pack(cls, node: EdgeTable) -> EdgeTableTables:
        """Return the tables of `node`."""
        return cls(
            node=node,
            inputs=np.flatnonzero(node.alive.any(axis=0)).astype(np.int64),
            tables=outputs_last(np.moveaxis(node.tables, 2, 0)),
        )

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, N) of contiguous inputs `X` (rows, I)."""
        node = self.node
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        edge_table(
            X,
            Y,
            node.coder.mult,
            node.coder.offset,
            node.coder.shift,
            node.coder.n_codes,
            self.inputs,
            self.tables,
            node.bias,
            node.half,
            node.shift,
            node.out_type.min_int,
            node.out_type.max_int,
        )
        return Y


@kernel(parallel=True)
def edge_table(
    X: IntArray,
    Y: IntArray,
    mult: IntArray,
    offset: IntArray,
    coder_shift: int,
    n_codes: int,
    inputs: IntArray,
    tables: IntArray,
    bias: IntArray,
    half: int,
    shift: int,
    low: int,
    high: int,
) -> None:
    """`Y[o] = sat((sum_i E[i][c_i][o] + bias[o] + half) >> n)` for every row of `X`; blocks of rows run in parallel.

    Args:
        X: (rows, I) inputs.
        Y: (rows, N) outputs, written.
        mult: (1,) or (I,) multipliers of the coder.
        offset: (1,) or (I,) offsets of the coder.
        coder_shift: shift of the coder.
        n_codes: C.
        inputs: (A,) the inputs that have an alive edge; the others are skipped.
        tables: (I, C, >= N) edge integers E.
        bias: (N,) in the units of the tables.
        half: `2^(n-1)`, or 0 where n = 0.
        shift: n, 0 … 62.
        low: the smallest output.
        high: the largest output.
    """
    rows, n_in = X.shape
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        code = np.empty(n_in, dtype=np.int64)
        acc = np.empty(tables.shape[2], dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            coder(X[row], mult, offset, coder_shift, n_codes, code)
            acc[:] = 0
            for a in range(inputs.shape[0]):
                i = inputs[a]
                entries = tables[i, code[i]]
                for o in range(acc.shape[0]):
                    acc[o] += entries[o]
            for o in range(Y.shape[1]):
                Y[row, o] = round_saturate(acc[o] + bias[o], half, shift, low, high)
