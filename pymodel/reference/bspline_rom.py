"""Basis unit as a ROM; the twin of `hls/kan4ml/bspline_rom.h`."""

from __future__ import annotations

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel

__all__ = ["bspline_rom"]


@kernel()
def bspline_rom(code: IntArray, rom: IntArray, starts: IntArray, value: IntArray, start: IntArray) -> None:
    """Code `c_i` to the K basis values `B[c_i][0 … K-1]` and the index `start[c_i]` of the first one.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        rom: (C, K) basis values B.
        starts: (C,) first basis index of each code.
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    for i in range(code.shape[0]):
        c = code[i]
        start[i] = starts[c]
        for j in range(rom.shape[1]):
            value[i, j] = rom[c, j]
