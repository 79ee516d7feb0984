"""Carry-save logic recognised by what it computes: bits whose weighted sum is an affine function of the bits behind them.

A 3:2 compressor's bits `s = a ^ b ^ c` and `m = maj(a, b, c)` fulfil `s + 2m = a + b + c`. So where words are added, the
operands' bits are followed through bitwise logic (and registers behind it); those that share source bits are taken
together, and if their weighted sum is affine in the source bits, for every combination of these, it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from hwgen.prove._netlist import Bit, Cell, Netlist

__all__ = ["Local", "Source", "local_function", "rewritten"]

#: A bit, and the registers between it and where it is read.
Source = tuple[Bit, int]
_MAX_SOURCES = 6
_MAX_GROUP = 10
_LOGIC: dict[str, Callable[..., int]] = {
    "$and": lambda a, b: a & b,
    "$or": lambda a, b: a | b,
    "$xor": lambda a, b: a ^ b,
    "$xnor": lambda a, b: 1 - (a ^ b),
    "$not": lambda a: 1 - a,
}


@dataclass(frozen=True)
class Local:
    """A bit as a function of source bits: `table[k]` is its value where source j is bit j of k.

    `bit` is the bit itself, which stands for itself if the function does not help; `sources` are empty then.
    """

    bit: Bit
    sources: tuple[Source, ...] = ()
    table: tuple[int, ...] = ()

    def at(self, values: dict[Source, int]) -> int:
        """Return the value for given values of the sources."""
        return self.table[sum(values[source] << j for j, source in enumerate(self.sources))]


def local_function(netlist: Netlist, bit: Bit, cuts: set[Bit], clocked: Callable[[Cell], bool]) -> Local:
    """Return a bit as a function of the bits that bitwise logic makes it from; itself if there are none or too many.

    Args:
        netlist: the circuit.
        bit: the bit.
        cuts: bits behind which nothing is looked at.
        clocked: whether a register is one that delays by a cycle.
    """
    start, delay = netlist.root(bit), 0
    while start in netlist.drivers and start not in cuts and netlist.drivers[start][0].type == "$dff":
        cell, _, position = netlist.drivers[start]
        if not clocked(cell):
            return Local(bit)
        start, delay = netlist.root(cell.port("D")[position]), delay + 1
    found = _expand(netlist, start, cuts)
    if found is None or found == ((start,), (0, 1)):
        return Local(bit)
    sources, table = found
    return Local(bit, tuple((source, delay) for source in sources), table)


def _expand(netlist: Netlist, bit: Bit, cuts: set[Bit]) -> tuple[tuple[Bit, ...], tuple[int, ...]] | None:
    bit = netlist.root(bit)
    if bit <= 1:
        return (), (bit,)
    if bit == 2:
        return None
    if bit in cuts or bit not in netlist.drivers or netlist.drivers[bit][0].type not in _LOGIC:
        return (bit,), (0, 1)
    cell, _, position = netlist.drivers[bit]
    operands = []
    for name in "AB":
        if name in cell.ports:
            bits = cell.port(name)
            if position >= len(bits):  # extended operands are left to the general rules
                return None
            operand = _expand(netlist, bits[position], cuts)
            if operand is None:
                return None
            operands.append(operand)
    sources = tuple(sorted({source for names, _ in operands for source in names}))
    if len(sources) > _MAX_SOURCES:
        return None
    table = []
    for k in range(1 << len(sources)):
        value = {source: k >> j & 1 for j, source in enumerate(sources)}
        inputs = (values[sum(value[s] << j for j, s in enumerate(names))] for names, values in operands)
        table.append(_LOGIC[cell.type](*inputs))
    return sources, tuple(table)


def _groups(bits: Sequence[tuple[int, Local]]) -> list[list[tuple[int, Local]]]:
    """Return the bits in groups that share sources."""
    groups: list[tuple[set[Source], list[tuple[int, Local]]]] = []
    for weight, local in bits:
        members, items = set(local.sources), [(weight, local)]
        rest = []
        for sources, others in groups:
            if members.isdisjoint(sources):
                rest.append((sources, others))
            else:
                members |= sources
                items = others + items
        groups = [*rest, (members, items)]
    return [items for _, items in groups]


def _affine(bits: Sequence[tuple[int, Local]], width: int) -> tuple[int, dict[Source, int]] | None:
    """Return constant and coefficients of the weighted sum of `bits` modulo `2^width`, if it is affine in the sources."""
    sources = sorted({source for _, local in bits for source in local.sources})
    if len(sources) > _MAX_GROUP:
        return None

    def total(values: Sequence[int]) -> int:
        at = dict(zip(sources, values, strict=True))
        return sum(weight * local.at(at) for weight, local in bits)

    origin = total([0] * len(sources))
    units = [total([int(k == j) for k in range(len(sources))]) - origin for j in range(len(sources))]
    for values in product((0, 1), repeat=len(sources)):
        affine = origin + sum(unit for unit, value in zip(units, values, strict=True) if value)
        if (total(values) - affine) % (1 << width):
            return None
    return origin, dict(zip(sources, units, strict=True))


def rewritten(bits: Sequence[tuple[int, Local]], width: int) -> tuple[int, list[tuple[int, Source]]]:
    """Return a weighted sum of bits, modulo `2^width`, as a constant and weighted sources."""
    offset = 0
    result = [(weight, (local.bit, 0)) for weight, local in bits if not local.sources]
    for group in _groups([(weight, local) for weight, local in bits if local.sources]):
        found = _affine(group, width)
        if found is None:
            result += [(weight, (local.bit, 0)) for weight, local in group]
        else:
            offset += found[0]
            result += [(weight, source) for source, weight in found[1].items()]
    return offset, result
