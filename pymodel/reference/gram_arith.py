"""Gram polynomials as arithmetic; the twin of `hls/kan4ml/gram_arith.h`."""

from __future__ import annotations

import numpy as np

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["gram_arith"]


@kernel()
def gram_arith(
    code: IntArray,
    functions: IntArray,
    beta: IntArray,
    n_codes: int,
    fraction: int,
    factor_shift: int,
    silu_offset: int,
    silu_shift: int,
    value: IntArray,
) -> None:
    """`t = tanh[c_i]`, `P_0 = 2^F`, `P_1 = t`, then the recurrence, then SiLU from a table.

    `P_n = ((t*P_(n-1) + 2^(F-1)) >> F) - ((beta[n]*P_(n-2) + half) >> B)`,
    `value[n] = silu[clip((P_n + o) >> s, 0, M - 1)]`.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        functions: (C + M, 1) tanh of every code, then SiLU of every index.
        beta: (degree + 1,) factors of the recurrence; the first two are not read.
        n_codes: C.
        fraction: F.
        factor_shift: B; `half = 2^(B-1)`, or 0 where B = 0.
        silu_offset: o.
        silu_shift: s.
        value: (I, degree + 1) values of every input, written.
    """
    n_silu = functions.shape[0] - n_codes
    half = (1 << factor_shift) >> 1
    p = np.empty(beta.shape[0], dtype=np.int64)
    for i in range(code.shape[0]):
        t = functions[code[i], 0]
        p[0] = 1 << fraction
        p[1] = t
        for n in range(2, p.shape[0]):
            first = (t * p[n - 1] + (1 << (fraction - 1))) >> fraction
            second = (beta[n] * p[n - 2] + half) >> factor_shift
            p[n] = first - second
        for n in range(p.shape[0]):
            index = min(max((p[n] + silu_offset) >> silu_shift, 0), n_silu - 1)
            value[i, n] = functions[n_codes + index, 0]
