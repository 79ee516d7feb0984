"""Gram polynomials as a ROM; the twin of `hls/kan4ml/gram_rom.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["gram_rom"]


@kernel()
def gram_rom(code: IntArray, rom: IntArray, per_input: int, value: IntArray) -> None:
    """Code `c_i` to all K = degree + 1 values `V[c_i][n]`, tanh before and SiLU after included.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        rom: (T*C, K) values V.
        per_input: C where each input has a table of its own (T = I), 0 where they share one (T = 1).
        value: (I, K) values of every input, written.
    """
    for i in range(code.shape[0]):
        c = i * per_input + code[i]
        for n in range(rom.shape[1]):
            value[i, n] = rom[c, n]
