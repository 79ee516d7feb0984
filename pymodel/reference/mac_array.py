"""MAC arrays of both branches; the twin of `hls/kan4ml/mac_array.h`.

The header runs over alive edges; here the loops over outputs are innermost, on weights whose outputs lie side by side,
so that they become vector instructions. Integer sums do not depend on their order, so the results are the same.
"""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["base_mac", "spline_mac"]


@kernel()
def spline_mac(value: IntArray, start: IntArray, inputs: IntArray, weights: IntArray, acc: IntArray) -> None:
    """`acc[o] = sum_i sum_j B_i[j] * W[i][start_i + j][o]`. Exact.

    Args:
        value: (I, K) windows B_i.
        start: (I,) window starts.
        inputs: (A,) the inputs that have an alive edge; the others are skipped.
        weights: (I, n_basis, N) weights W, 0 on pruned edges.
        acc: (N,) sums, written.
    """
    n_out, window = acc.shape[0], value.shape[1]
    acc[:] = 0
    for a in range(inputs.shape[0]):
        i = inputs[a]
        j = 0
        while j + 4 <= window:  # four rows in one pass over the sums: a cubic window
            b0, b1, b2, b3 = value[i, j], value[i, j + 1], value[i, j + 2], value[i, j + 3]
            row = start[i] + j
            w0, w1, w2, w3 = weights[i, row], weights[i, row + 1], weights[i, row + 2], weights[i, row + 3]
            for o in range(n_out):
                acc[o] += b0 * w0[o] + b1 * w1[o] + b2 * w2[o] + b3 * w3[o]
            j += 4
        while j < window:
            b, w = value[i, j], weights[i, start[i] + j]
            for o in range(n_out):
                acc[o] += b * w[o]
            j += 1


@kernel()
def base_mac(value: IntArray, inputs: IntArray, weights: IntArray, acc: IntArray) -> None:
    """`acc[o] = sum_i S_i * w[i][o]`. Exact.

    Args:
        value: (I,) activations S_i.
        inputs: (A,) the inputs that have an alive edge; the others are skipped.
        weights: (I, N) weights w, 0 on pruned edges.
        acc: (N,) sums, written.
    """
    acc[:] = 0
    for a in range(inputs.shape[0]):
        i = inputs[a]
        s, w = value[i], weights[i]
        for o in range(acc.shape[0]):
            acc[o] += s * w[o]
