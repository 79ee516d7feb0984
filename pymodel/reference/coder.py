"""Affine coder; the twin of `hls/kan4ml/coder.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["coder"]


@kernel()
def coder(X: IntArray, mult: IntArray, offset: IntArray, shift: int, n_codes: int, code: IntArray) -> None:
    """`c_i = clip((X_i * m_i + b_i) >> s, 0, C - 1)`; `>>` floors, so ties of the rounding go up.

    Args:
        X: (I,) inputs.
        mult: (1,) or (I,) multipliers m.
        offset: (1,) or (I,) offsets b, rounding constant included.
        shift: s, 0 … 62.
        n_codes: C.
        code: (I,) codes, written.
    """
    per_input = mult.shape[0] > 1
    for i in range(X.shape[0]):
        k = i if per_input else 0
        floored = (X[i] * mult[k] + offset[k]) >> shift
        code[i] = min(max(floored, 0), n_codes - 1)
