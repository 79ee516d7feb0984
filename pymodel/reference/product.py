"""Multiplication nodes; the twin of `hls/kan4ml/product.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import IntArray, Product
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK
from pymodel.reference.rescale import round_saturate

__all__ = ["ProductTables", "product"]


@dataclass(frozen=True)
class ProductTables:
    """The constants of a product node, laid out for :func:`product`."""

    node: Product

    @classmethod
    def pack(cls, node: Product) -> ProductTables:
        """Return the tables of `node`."""
        return cls(node)

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, N) of contiguous inputs `X` (rows, I)."""
        node = self.node
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        limits = (node.out_type.min_int, node.out_type.max_int)
        product(X, Y, node.first, node.arity, node.mult, node.bias, node.half, node.shift, *limits)
        return Y


@kernel(parallel=True)
def product(
    X: IntArray,
    Y: IntArray,
    first: IntArray,
    arity: IntArray,
    mult: IntArray,
    bias: IntArray,
    half: int,
    shift: int,
    low: int,
    high: int,
) -> None:
    """`Y[o] = sat((X[first[o]] * … * X[first[o] + arity[o] - 1] * mult[o] + bias[o] + half) >> n)`, for every row.

    Args:
        X: (rows, I) inputs.
        Y: (rows, N) outputs, written.
        first: (N,) the first factor of each output.
        arity: (N,) its factors.
        mult: (N,) multipliers.
        bias: (N,) in units of `2^-n` output LSBs.
        half: `2^(n-1)`, or 0 where n = 0.
        shift: n, 0 … 62.
        low: the smallest output.
        high: the largest output.
    """
    rows = X.shape[0]
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            for o in range(Y.shape[1]):
                value = X[row, first[o]]
                for j in range(1, arity[o]):
                    value *= X[row, first[o] + j]
                Y[row, o] = round_saturate(value * mult[o] + bias[o], half, shift, low, high)
