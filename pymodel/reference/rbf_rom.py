"""Gaussian radial basis functions as a ROM; the twin of `hls/kan4ml/rbf_rom.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["rbf_rom"]


@kernel()
def rbf_rom(code: IntArray, rom: IntArray, starts: IntArray, per_input: int, value: IntArray, start: IntArray) -> None:
    """Code `c_i` to the K values `G[c_i][0 … K-1]` that may differ from 0 and the index of the first centre.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        rom: (T*C, K) values G.
        starts: (T*C,) first centre of each code.
        per_input: C where each input has a table of its own (T = I), 0 where they share one (T = 1).
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    for i in range(code.shape[0]):
        c = i * per_input + code[i]
        start[i] = starts[c]
        for j in range(rom.shape[1]):
            value[i, j] = rom[c, j]
