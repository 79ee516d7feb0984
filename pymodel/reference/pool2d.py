"""Maximum and average over a window; the twin of `hls/kan4ml/pool2d.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import IntArray, Pool, PoolKind
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK
from pymodel.reference.rescale import round_saturate
from pymodel.reference.window2d import facts_of, window2d

__all__ = ["Pool2dTables", "average_pool2d", "max_pool2d"]


@dataclass(frozen=True)
class Pool2dTables:
    """The numbers of a pool, laid out for :func:`max_pool2d` and :func:`average_pool2d`."""

    node: Pool
    facts: IntArray

    @classmethod
    def pack(cls, node: Pool) -> Pool2dTables:
        """Return the numbers of `node`."""
        return cls(node, facts_of(node.geometry))

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, OH*OW*C) of contiguous inputs `X` (rows, H*W*C)."""
        node = self.node
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        if node.op is PoolKind.MAX:
            max_pool2d(X, Y, self.facts)
        else:
            out = node.out_type
            average_pool2d(X, Y, self.facts, node.mult, node.half, node.shift, out.min_int, out.max_int)
        return Y


@kernel(parallel=True)
def max_pool2d(X: IntArray, Y: IntArray, facts: IntArray) -> None:
    """`Y[w][c] = max over taps t in the image of X[pixel(w, t)][c]`; every window has one.

    Args:
        X: (rows, H*W*C) inputs.
        Y: (rows, OH*OW*C) outputs, written.
        facts: of the geometry.
    """
    rows, channels = X.shape[0], facts[2]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        pixel = np.empty(facts[3] * facts[4], dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for w in range(facts[11] * facts[12]):
                window2d(facts, w, pixel)
                for c in range(channels):
                    first = True
                    largest = 0
                    for t in range(pixel.shape[0]):
                        if pixel[t] >= 0:
                            x = X[row, pixel[t] * channels + c]
                            largest = x if first else max(largest, x)
                            first = False
                    Y[row, w * channels + c] = largest


@kernel(parallel=True)
def average_pool2d(
    X: IntArray, Y: IntArray, facts: IntArray, mult: int, half: int, shift: int, low: int, high: int
) -> None:
    """`Y[w][c] = sat((m * sum over taps t of X[pixel(w, t)][c] + half) >> n)`; there is no padding.

    Args:
        X: (rows, H*W*C) inputs.
        Y: (rows, OH*OW*C) outputs, written.
        facts: of the geometry.
        mult: m.
        half: `2^(n-1)`, or 0 where n = 0.
        shift: n, 0 … 62.
        low: the smallest output.
        high: the largest output.
    """
    rows, channels = X.shape[0], facts[2]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        pixel = np.empty(facts[3] * facts[4], dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for w in range(facts[11] * facts[12]):
                window2d(facts, w, pixel)
                for c in range(channels):
                    total = 0
                    for t in range(pixel.shape[0]):
                        total += X[row, pixel[t] * channels + c]
                    Y[row, w * channels + c] = round_saturate(total * mult, half, shift, low, high)
