"""The tables of one output: one per input at first, later one per group of inputs.

An :class:`Edge` is what one or more inputs add to an output: a function of the bits of their indices. The constant part
and the common factor `2^zeros` are taken out, so that what is left in hardware is unsigned and as narrow as its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.tables._coders import Index
from pymodel.ir import EdgeTable, IntArray

__all__ = ["Edge", "make_edge", "merged", "output_edges"]


@dataclass(frozen=True, eq=False)
class Edge:
    """A table that is not constant: the integers it adds are `(entries << zeros) + low`.

    Attributes:
        indices: what it reads; the first index is in the low bits of the selector.
        entries: (2^select_width,) integers; those that are never read repeat others.
        zeros: common trailing zeros taken out of the entries.
        low: the constant taken out of the entries.
    """

    indices: tuple[Index, ...]
    entries: IntArray
    zeros: int
    low: int

    @property
    def select_width(self) -> int:
        """Bits that select an entry."""
        return sum(index.width for index in self.indices)

    @property
    def span(self) -> int:
        """The largest value less the smallest."""
        return int(np.ptp(self.entries)) << self.zeros

    @property
    def features(self) -> tuple[int, ...]:
        """Numbers of the inputs."""
        return tuple(index.feature for index in self.indices)


def make_edge(indices: tuple[Index, ...], values: IntArray, low: int = 0) -> tuple[Edge | None, int]:
    """Return the table that adds `values + low`, and the constant `min(values)` taken out of it.

    The table is None if it is constant.
    """
    least = int(values.min())
    entries = values - least
    used = int(np.bitwise_or.reduce(entries))
    if not used:
        return None, least
    zeros = (used & -used).bit_length() - 1
    return Edge(indices, entries >> zeros, zeros, low + least), least


def output_edges(node: EdgeTable, indices: Sequence[Index], output: int) -> tuple[list[Edge], int]:
    """Return the tables of one output, one per input, and the constant that is added to their sum.

    The constant holds the bias, the rounding constant, and the minima of all tables.
    """
    edges, constant = [], int(node.bias[output]) + node.half
    for index in indices:
        values = node.tables[index.feature, index.read_codes, output]
        if not values.any():
            continue
        edge, low = make_edge((index,), values)
        constant += low
        if edge is not None:
            edges.append(edge)
    return edges, constant


def merged(edges: Sequence[Edge]) -> Edge:
    """Return one table that adds what `edges`, which read different inputs, add together.

    Its constant `low` is the sum of theirs: as the inputs are independent, the sum of minima is the minimum of sums.
    """
    if len(edges) == 1:
        return edges[0]
    indices = tuple(index for edge in edges for index in edge.indices)
    assert len({index.feature for index in indices}) == len(indices), "an input is merged with itself"
    values = np.zeros(1, dtype=np.int64)
    for edge in edges:
        # The selector of a later edge is above those of earlier ones.
        values = ((edge.entries << edge.zeros)[:, None] + values[None, :]).reshape(-1)
    result, least = make_edge(indices, values, sum(edge.low for edge in edges))
    assert result is not None
    assert least == 0
    return result
