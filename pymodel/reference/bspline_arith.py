"""Basis unit as arithmetic: B-splines by Horner's rule; the twin of `hls/kan4ml/bspline_arith.h`."""

from __future__ import annotations

import numpy as np

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel
from pymodel.reference.basis_window import basis_window

__all__ = ["bspline_arith"]


@kernel()
def bspline_arith(
    code: IntArray,
    coefficients: IntArray,
    position: IntArray,
    position_shift: int,
    fraction: int,
    guard: int,
    n_basis: int,
    value: IntArray,
    start: IntArray,
) -> None:
    """`T = (c_i*m + b) >> s`, cell `q = T >> F`, `f = T mod 2^F`, then k + 1 polynomials of `f`.

    `h = A[k][j]`, `h = ((h*f + 2^(F-1)) >> F) + A[p][j]` for p = k-1 … 0, `local[j] = max(0, (h + half) >> g)`.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        coefficients: (K, K) coefficients A, by power and function.
        position: (2*T,) m, b of each grid; T = 1 or I.
        position_shift: s.
        fraction: F.
        guard: g; `half = 2^(g-1)`, or 0 where g = 0.
        n_basis: number of basis functions.
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    window = coefficients.shape[0]
    per_input = position.shape[0] > 2
    half = (1 << guard) >> 1
    local = np.empty(window, dtype=np.int64)
    for i in range(code.shape[0]):
        t = 2 * i if per_input else 0
        place = (position[t] * code[i] + position[t + 1]) >> position_shift
        cell = place >> fraction
        f = place - (cell << fraction)
        for j in range(window):
            h = coefficients[window - 1, j]
            for n in range(1, window):
                h = ((h * f + (1 << (fraction - 1))) >> fraction) + coefficients[window - 1 - n, j]
            local[j] = max(0, (h + half) >> guard)
        start[i] = basis_window(cell, local, n_basis, value[i])
