"""What drives the size of table RTL, read off the edge tables without generating or synthesising anything."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from pymodel.ir import EdgeTable, FixedPoint, IntArray, KanIR, expand, to_edge_tables, unsigned_width

__all__ = ["Features", "features_of"]

#: Inputs of a LUT; those of a LUT whose last input is an adder's other operand.
_LUT_BITS, _ABSORBED_BITS = 6, 5


@dataclass(frozen=True)
class Features:
    """Sizes of a program, summed over its layers.

    Tables have their minimum and common trailing zeros removed, and inputs of at most three bits share a table with
    others of the same output, as the generator does it. Equal tables of one input count once.

    Attributes:
        inputs: bits of all inputs that something reads.
        small_tables: output bits of tables of at most five selector bits, which an adder's LUTs can absorb.
        full_tables: output bits of tables of six.
        wide_tables: output bits of wider ones, each times the LUT6 that it needs (`2^(bits - 6)`).
        wide_outputs: output bits of wider ones, which have registers of their own.
        adders: bits of all sums of two terms, narrow terms first.
        delays: bits of terms that wait for a level of their adder tree, and of outputs that wait for others.
        outputs: bits of all output integers.
        clipped: bits of outputs whose sum can leave their type's range.
    """

    inputs: int = 0
    small_tables: int = 0
    full_tables: int = 0
    wide_tables: int = 0
    wide_outputs: int = 0
    adders: int = 0
    delays: int = 0
    outputs: int = 0
    clipped: int = 0

    def __add__(self, other: Features) -> Features:
        """Return the sum, element by element."""
        return Features(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, ...]:
        """Return the features in the order of :meth:`names`."""
        return tuple(asdict(self).values())

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the features."""
        return tuple(field.name for field in fields(cls))


def _terms(
    node: EdgeTable, output: int, bits: int, seen: set[tuple[int, bytes]]
) -> tuple[list[tuple[int, int, bool]], int]:
    """Return (span, selector bits, is new) of each table of an output, and the least sum of all edges."""
    alive = np.flatnonzero(node.alive[output])
    entries = node.tables[alive, :, output]
    low = entries.min(axis=1) if alive.size else np.zeros(0, dtype=np.int64)
    entries = entries - low[:, None]
    spans = entries.max(axis=1) if alive.size else low
    least = int(low.sum() + node.bias[output] + node.half)
    together = max(1, _LUT_BITS // bits) if bits <= _LUT_BITS // 2 else 1
    order = np.argsort(spans, kind="stable")
    order = order[spans[order] > 0]
    terms = []
    for begin in range(0, order.size, together):
        group = order[begin : begin + together]
        new = True
        if group.size == 1:
            key = (int(alive[group[0]]), _normal(entries[group[0]]))
            new = key not in seen
            seen.add(key)
        terms.append((int(spans[group].sum()), bits * group.size, new))
    return terms, least


def _normal(entries: IntArray) -> bytes:
    used = int(np.bitwise_or.reduce(entries))
    return np.asarray(entries // (used & -used)).tobytes()


def _tree(spans: Sequence[int]) -> tuple[int, int, int, int]:
    """Return (adder bits, delay bits, levels, total span) of the adder tree over at least one term."""
    adders = delays = levels = 0
    left = list(spans)
    while len(left) > 1:
        heapq.heapify(left)
        ordered = [heapq.heappop(left) for _ in range(len(left))]
        left = [a + b for a, b in zip(ordered[::2], ordered[1::2], strict=False)]
        adders += sum(map(unsigned_width, left))
        if len(ordered) % 2:
            left.append(ordered[-1])
            delays += unsigned_width(ordered[-1])
        levels += 1
    return adders, delays, levels, left[0]


def _layer(node: EdgeTable, in_type: FixedPoint, *, first: bool) -> Features:
    bits = max(1, (node.coder.n_codes - 1).bit_length())
    out_type, seen = node.out_type, set[tuple[int, bytes]]()
    small = full = wide = own = adders = delays = clipped = 0
    waits = []
    for output in range(node.n_out):
        terms, least = _terms(node, output, bits, seen)
        for span, select, new in terms:
            width = unsigned_width(span) if new else 0
            if select <= _ABSORBED_BITS:
                small += width
            elif select <= _LUT_BITS:
                full += width
            else:
                wide += width << (select - _LUT_BITS)
                own += width
        if not terms:
            continue
        sums, idle, levels, span = _tree([span for span, _, _ in terms])
        adders, delays = adders + sums, delays + idle
        waits.append(levels)
        low, high = least >> node.shift, (least + span) >> node.shift
        clipped += out_type.width * ((low < out_type.min_int) + (high > out_type.max_int))
    delays += sum(out_type.width * (max(waits) - levels) for levels in waits)
    used = int(node.alive.any(axis=0).sum())
    return Features(
        inputs=used * in_type.width if first else 0,
        small_tables=small,
        full_tables=full,
        wide_tables=wide,
        wide_outputs=own,
        adders=adders,
        delays=delays,
        outputs=len(waits) * out_type.width,
        clipped=clipped,
    )


def features_of(ir: KanIR) -> Features:
    """Return the features of a program.

    Raises:
        IRError: if a layer has no edge-table form.
    """
    total = Features()
    tables = to_edge_tables(expand(ir, tables=True))
    for node in tables.layers:
        assert isinstance(node, EdgeTable)
        total += _layer(node, tables.in_type(node), first=node.inputs[0] == tables.input.name)
    return total
