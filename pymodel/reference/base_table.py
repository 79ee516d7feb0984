"""Activation table of the base branch; the twin of `hls/kan4ml/base_table.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["base_table"]


@kernel()
def base_table(code: IntArray, table: IntArray, value: IntArray) -> None:
    """Code `c_i` to the activation `S[c_i]`.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        table: (C,) activation table S.
        value: (I,) activations, written.
    """
    for i in range(code.shape[0]):
        value[i] = table[code[i]]
