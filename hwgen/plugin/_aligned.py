"""Finding B-spline ROMs whose codes are aligned with the grid: the cells share one small, mirrored ROM.

Only integers are looked at. The small ROM is used where it gives every row of the large one, so nothing can change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymodel.ir import BasisKind, BasisRom, IntArray

__all__ = ["AlignedRom", "find_aligned"]


@dataclass(frozen=True)
class AlignedRom:
    """The constants of `bspline_rom_aligned`.

    Attributes:
        rows: (rows, K) values of one cell.
        offset: of the codes.
        phase_bits: m; a cell has 2^m codes.
        mirror: 0 (none), 1 (at the knots) or 2 (between the phases).
        inside: whether every code lies in a cell of which all basis functions exist.
        place_range: smallest and largest `code + offset`.
    """

    rows: IntArray
    offset: int
    phase_bits: int
    mirror: int
    inside: bool
    place_range: tuple[int, int]


def _dense(rows: IntArray, cell: IntArray, phase: IntArray, n_basis: int) -> IntArray:
    """Return (C, n_basis): the window of each code's cell in place, cut off at the ends of the basis."""
    window = rows.shape[1]
    wide = np.zeros((cell.size, n_basis + 2 * window), dtype=np.int64)
    columns = np.clip(cell, -window, n_basis)[:, None] + window + np.arange(window)
    np.put_along_axis(wide, columns, rows[phase], axis=1)
    return wide[:, window : window + n_basis]


def _fold(rows: IntArray) -> tuple[IntArray, int]:
    """Return the half of `rows` (2^m, K) that gives the other half by mirroring, and how; or all of them and 0."""
    n = rows.shape[0]
    if n >= 2:
        if np.array_equal(rows[n // 2 + 1 :], rows[1 : n // 2][::-1, ::-1]):
            return rows[: n // 2 + 1], 1
        if np.array_equal(rows[n // 2 :], rows[: n // 2][::-1, ::-1]):
            return rows[: n // 2], 2
    return rows, 0


def find_aligned(basis: BasisRom) -> AlignedRom | None:
    """Return the small ROM that gives the same basis values at every code, or None if there is none worth having.

    The length of a cell is read off the starts: where they grow by 1, a cell begins.
    """
    if basis.kind is not BasisKind.BSPLINE or basis.n_tables != 1:
        return None
    steps = np.flatnonzero(np.diff(basis.start)) + 1
    if steps.size < 2:
        return None
    # Rounding to 0 may move the first or last window by one; the others begin at multiples of a cell's length.
    length = int(np.median(np.diff(steps)))
    if length < 1 or length & (length - 1):
        return None
    phase_bits = length.bit_length() - 1
    codes, dense = np.arange(basis.n_codes), basis.dense()
    for at in steps[:3].tolist():
        offset = int(basis.start[at]) * length - at
        place = codes + offset
        cell, phase = place >> phase_bits, place & (length - 1)
        whole = (cell >= 0) & (cell <= basis.n_basis - basis.window)
        if np.unique(phase[whole]).size < length:
            continue
        rows = np.zeros((length, basis.window), dtype=np.int64)
        columns = cell[whole][:, None] + np.arange(basis.window)
        rows[phase[whole]] = np.take_along_axis(dense[whole], columns, axis=1)
        if not np.array_equal(_dense(rows, cell, phase, basis.n_basis), dense):
            continue
        kept, mirror = _fold(rows)
        if kept.shape[0] >= basis.n_codes:
            return None
        return AlignedRom(kept, offset, phase_bits, mirror, bool(whole.all()), (int(place[0]), int(place[-1])))
    return None
