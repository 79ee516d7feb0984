"""Integer LayerNorm; the twin of `hls/kan4ml/layer_norm.h`. The formulas stand in `pymodel/ir/_norm.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from pymodel.ir import AffineCoder, IntArray, Norm
from pymodel.reference._kernel import kernel
from pymodel.reference._pack import BLOCK
from pymodel.reference.coder import coder
from pymodel.reference.rescale import round_saturate

__all__ = ["LayerNormTables", "layer_norm", "normalise"]


@dataclass(frozen=True)
class LayerNormTables:
    """The constants of a norm node, laid out for :func:`layer_norm`.

    Attributes:
        node: the node.
        coder: of the inputs that pass; one code where none do.
    """

    node: Norm
    coder: AffineCoder

    @classmethod
    def pack(cls, node: Norm) -> LayerNormTables:
        """Return the tables of `node`."""
        nothing = np.zeros(1, dtype=np.int64)
        return cls(node, node.passed or AffineCoder(nothing, nothing, 0, 1, 0.0, 1.0))

    def run(self, X: IntArray) -> IntArray:
        """Return the outputs (rows, I or 2 I) of contiguous inputs `X` (rows, I)."""
        node = self.node
        Y = np.empty((X.shape[0], node.n_out), dtype=np.int64)
        layer_norm(
            X,
            Y,
            node.epsilon,
            node.table,
            node.table_bits,
            node.table_fraction,
            node.fraction,
            node.gamma,
            node.beta,
            node.half,
            node.shift,
            node.out_type.min_int,
            node.out_type.max_int,
            node.passed is not None,
            self.coder.mult,
            self.coder.offset,
            self.coder.shift,
            self.coder.n_codes,
        )
        return Y


@kernel()
def normalise(
    X: IntArray, epsilon: int, table: IntArray, table_bits: int, table_fraction: int, fraction: int, t: IntArray
) -> None:
    """`t_i`: deviation from the mean over the standard deviation, with `fraction` bits behind the point.

    Args:
        X: (I,) inputs.
        epsilon: added to I^2 times the variance.
        table: (3 * 2^(B-2),) reciprocal square roots.
        table_bits: B.
        table_fraction: r.
        fraction: of t.
        t: (I,) written.
    """
    n = X.shape[0]
    total = 0
    squares = 0
    for i in range(n):
        total += X[i]
        squares += X[i] * X[i]
    variance = n * squares - total * total + epsilon
    length = 0
    rest = variance
    while rest > 0:
        rest >>= 1
        length += 1
    exponent = -2 * ((table_bits - length) // 2)
    u = variance >> exponent if exponent >= 0 else variance << -exponent
    root = table[u - (1 << (table_bits - 2))]
    down = table_fraction + table_bits // 2 + exponent // 2 - fraction
    for i in range(n):
        t[i] = ((n * X[i] - total) * root + (1 << (down - 1))) >> down


@kernel(parallel=True)
def layer_norm(
    X: IntArray,
    Y: IntArray,
    epsilon: int,
    table: IntArray,
    table_bits: int,
    table_fraction: int,
    fraction: int,
    gamma: IntArray,
    beta: IntArray,
    half: int,
    shift: int,
    low: int,
    high: int,
    passes: bool,
    coder_mult: IntArray,
    coder_offset: IntArray,
    coder_shift: int,
    coder_codes: int,
) -> None:
    """`Y_i = sat((t_i*gamma_i + beta_i + half) >> n)` for every row; the inputs' codes behind them where `passes`.

    `X` is (rows, I), `Y` is (rows, I or 2 I) and written; the rest as in the kernels that are called.
    """
    rows, n_in = X.shape
    for block in numba.prange((rows + BLOCK - 1) // BLOCK):
        t = np.empty(n_in, dtype=np.int64)
        for row in range(block * BLOCK, min(rows, (block + 1) * BLOCK)):
            normalise(X[row], epsilon, table, table_bits, table_fraction, fraction, t)
            for i in range(n_in):
                Y[row, i] = round_saturate(t[i] * gamma[i] + beta[i], half, shift, low, high)
            if passes:
                coder(X[row], coder_mult, coder_offset, coder_shift, coder_codes, Y[row, n_in:])
