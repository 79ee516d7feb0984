"""Basis unit as a ROM; the twin of `hls/kan4ml/bspline_rom.h`."""

from __future__ import annotations

import numpy as np

from pymodel.ir import IntArray
from pymodel.reference._kernel import kernel
from pymodel.reference.basis_window import basis_window

__all__ = ["bspline_rom", "bspline_rom_aligned"]


@kernel()
def bspline_rom(
    code: IntArray, rom: IntArray, starts: IntArray, per_input: int, value: IntArray, start: IntArray
) -> None:
    """Code `c_i` to the K basis values `B[c_i][0 … K-1]` and the index `start[c_i]` of the first one.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        rom: (T*C, K) basis values B.
        starts: (T*C,) first basis index of each code.
        per_input: C where each input has a table of its own (T = I), 0 where they share one (T = 1).
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    for i in range(code.shape[0]):
        c = i * per_input + code[i]
        start[i] = starts[c]
        for j in range(rom.shape[1]):
            value[i, j] = rom[c, j]


@kernel()
def bspline_rom_aligned(
    code: IntArray,
    rom: IntArray,
    offset: int,
    phase_bits: int,
    mirror: int,
    n_basis: int,
    value: IntArray,
    start: IntArray,
) -> None:
    """The same for codes that are aligned with a uniform grid, whose cells share the rows of one small ROM.

    `T = c_i + offset`, cell `q = T >> m`, phase `p = T mod 2^m`; a phase beyond the ROM is a mirror image.

    Args:
        code: (I,) codes, each in 0 … C - 1.
        rom: (rows, K) values of one cell.
        offset: of the codes.
        phase_bits: m.
        mirror: 0 (the ROM holds all phases), 1 (mirrored at the knots) or 2 (mirrored between the phases).
        n_basis: number of basis functions.
        value: (I, K) window of every input, written.
        start: (I,) start of every window, written.
    """
    n_rows, window = rom.shape
    n_phases = 1 << phase_bits
    local = np.empty(window, dtype=np.int64)
    for i in range(code.shape[0]):
        place = code[i] + offset
        phase = place & (n_phases - 1)
        if mirror != 0 and phase >= n_rows:
            row = (n_phases if mirror == 1 else n_phases - 1) - phase
            for j in range(window):
                local[j] = rom[row, window - 1 - j]
        else:
            for j in range(window):
                local[j] = rom[phase, j]
        start[i] = basis_window(place >> phase_bits, local, n_basis, value[i])
