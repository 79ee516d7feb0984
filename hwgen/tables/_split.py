"""Splitting a table that has one bit too many for the LUTs of an adder: a smaller table, and carries.

An adder's LUT has five inputs left for a table. Of a table with more, some bits are dropped: the small table holds the
least entry of each set that differs in these bits only, and what an entry is above that, 0 ... R, is the sum of R tables
of one bit, each on the carry input of some adder.  Where neighbouring entries differ by one at most, a table of six bits
costs one LUT beside those of the adder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hwgen.tables._edges import Edge
from hwgen.tables.netlist import Slice
from pymodel.ir import IntArray

__all__ = ["Part", "Split", "selector_of", "split"]

#: Carries that a split may need.
MAX_CARRIES = 3


@dataclass(frozen=True, eq=False)
class Part:
    """A table: entries (2^bits,), selected by slices of index signals."""

    selector: tuple[Slice, ...]
    entries: IntArray

    @property
    def select_width(self) -> int:
        """Bits that select an entry."""
        return sum(piece.width for piece in self.selector)


@dataclass(frozen=True, eq=False)
class Split:
    """`entries of the edge = base + sum of carries`; the carries are 0 or 1."""

    base: Part
    carries: tuple[Part, ...]


def selector_of(edge: Edge) -> tuple[Slice, ...]:
    """Return the whole indices that an edge reads."""
    return tuple(Slice(f"c{index.feature}", 0, index.width) for index in edge.indices)


def _bits_of(selector: tuple[Slice, ...]) -> list[tuple[str, int]]:
    return [(piece.source, piece.low + k) for piece in selector for k in range(piece.width)]


def _joined(single: list[tuple[str, int]]) -> tuple[Slice, ...]:
    """Return slices for single bits, adjacent ones of a wire together."""
    pieces: list[Slice] = []
    for source, bit in single:
        last = pieces[-1] if pieces else None
        if last is not None and last.source == source and last.low + last.width == bit:
            pieces[-1] = Slice(source, last.low, last.width + 1)
        else:
            pieces.append(Slice(source, bit, 1))
    return tuple(pieces)


def reduced(part: Part) -> Part:
    """Return the table without the selector bits that it does not depend on."""
    keep = [
        bit for bit in range(part.select_width) if (np.diff(part.entries.reshape(-1, 2, 1 << bit), axis=1) != 0).any()
    ]
    if len(keep) in (0, part.select_width):
        return part
    single = _bits_of(part.selector)
    positions = np.zeros(1 << len(keep), dtype=np.int64)
    for rank, bit in enumerate(keep):
        positions |= ((np.arange(positions.size) >> rank) & 1) << bit
    return Part(_joined([single[bit] for bit in keep]), part.entries[positions])


def split(edge: Edge, select_width: int) -> Split | None:
    """Return the table of an edge as one of `select_width` bits and the fewest carries, or None if it takes too many."""
    dropped = edge.select_width - select_width
    if not 1 <= dropped <= 2:
        return None
    cube = edge.entries.reshape((2,) * edge.select_width)  # axis 0 is the highest bit
    best: tuple[int, tuple[int, ...]] | None = None
    for axes in combinations(range(edge.select_width - 1, -1, -1), dropped):
        spread = int((cube.max(axis=axes) - cube.min(axis=axes)).max())
        if best is None or spread < best[0]:
            best = spread, axes
    assert best is not None
    carries, axes = best
    if carries > MAX_CARRIES:
        return None
    least = cube.min(axis=axes, keepdims=True)
    rest = (cube - least).reshape(-1)
    whole = selector_of(edge)
    gone = {edge.select_width - 1 - axis for axis in axes}
    single = [bit for position, bit in enumerate(_bits_of(whole)) if position not in gone]
    base = Part(_joined(single), np.ascontiguousarray(least.reshape(-1)))
    return Split(base, tuple(reduced(Part(whole, (rest >= j).astype(np.int64))) for j in range(1, carries + 1)))
