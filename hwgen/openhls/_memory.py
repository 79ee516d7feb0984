"""Memory while a function is flattened: which value lies at which byte of which object, and linear addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hwgen.openhls._builder import Builder

__all__ = ["Address", "Cell", "Choice", "Linear", "Memory", "Target", "linear", "offset_by"]


class Target(NamedTuple):
    """An object in memory: `kind` is `port`, `global` or `local`."""

    kind: str
    name: str


@dataclass(frozen=True)
class Linear:
    """`constant + sum(scale * value)` over operations of the flat program, without overflow."""

    constant: int
    terms: tuple[tuple[int, int], ...] = ()

    def plus(self, other: Linear, scale: int = 1) -> Linear:
        """Return `self + scale * other`."""
        terms = dict(self.terms)
        for number, factor in other.terms:
            terms[number] = terms.get(number, 0) + scale * factor
        return Linear(self.constant + scale * other.constant, tuple((n, f) for n, f in terms.items() if f))

    def plus_constant(self, value: int) -> Linear:
        """Return `self + value`."""
        return Linear(self.constant + value, self.terms)


@dataclass(frozen=True)
class Address:
    """A byte of an object."""

    target: Target
    offset: Linear


@dataclass(frozen=True)
class Choice:
    """One of two addresses, by a condition."""

    condition: int
    yes: Address | Choice
    no: Address | Choice


def offset_by(address: Address | Choice, offset: Linear) -> Address | Choice:
    """Return the address `offset` bytes further."""
    if isinstance(address, Choice):
        return Choice(address.condition, offset_by(address.yes, offset), offset_by(address.no, offset))
    return Address(address.target, address.offset.plus(offset))


def linear(builder: Builder, number: int) -> Linear:
    """Return operation `number` as a linear form, split as far as the intervals prove that nothing wraps."""
    op, fact, ops = builder.program.ops[number], builder.facts[number], builder.program.ops
    if fact.constant is not None:
        return Linear(fact.constant)
    if op.kind == "sext" or (op.kind == "zext" and builder.facts[op.args[0]].low >= 0):
        return linear(builder, op.args[0])
    if op.kind in ("add", "mul", "shl", "or", "sub"):
        a, b = (builder.facts[n] for n in op.args)
        limit = 1 << (op.width - 1)
        if op.kind == "add" and -limit <= a.low + b.low and a.high + b.high < limit:
            return linear(builder, op.args[0]).plus(linear(builder, op.args[1]))
        if op.kind == "sub" and -limit <= a.low - b.high and a.high - b.low < limit:
            return linear(builder, op.args[0]).plus(linear(builder, op.args[1]), -1)
        for this, other in ((0, 1), (1, 0)):
            x, y = builder.facts[op.args[this]], builder.facts[op.args[other]]
            if op.kind == "or" and y.low >= 0 and y.high < 1 << x.zeros:  # no common bit: a sum
                return linear(builder, op.args[this]).plus(linear(builder, op.args[other]))
            factor = y.constant
            if factor is None:
                continue
            if op.kind == "shl" and this == 0 and 0 <= factor < op.width:
                factor = 1 << factor
            elif op.kind != "mul":
                continue
            if -limit <= min(x.low * factor, x.high * factor) and max(x.low * factor, x.high * factor) < limit:
                return Linear(0).plus(linear(builder, op.args[this]), factor)
    if ops[number].width < 64 and op.kind == "trunc" and builder.facts[op.args[0]] == fact:
        return linear(builder, op.args[0])
    return Linear(0, ((number, 1),))


class Cell(NamedTuple):
    """A value in memory; `size` bytes, as many as its width needs."""

    number: int
    size: int


class Memory:
    """The bytes that are known: a map from offset to cell, per object. Cells never overlap."""

    def __init__(self, cells: Mapping[Target, Mapping[int, Cell]] | None = None) -> None:
        self.cells: dict[Target, dict[int, Cell]] = {t: dict(c) for t, c in (cells or {}).items()}

    def copy(self) -> Memory:
        """Return an independent copy."""
        return Memory(self.cells)

    def read(self, builder: Builder, target: Target, offset: int, size: int) -> int | None:
        """Return the integer of `size` bytes at `offset`; None if a byte of it was never written."""
        cells = self.cells.get(target, {})
        cell = cells.get(offset)
        if cell is not None and cell.size == size:
            return cell.number
        result: int | None = None
        for k in range(size):
            found = self._byte(builder, cells, offset + k)
            if found is None:
                return None
            if size == 1:
                return found
            wide = builder.op("zext", 8 * size, found)
            placed = builder.op("shl", 8 * size, wide, builder.constant(8 * k, 8 * size))
            result = placed if result is None else builder.op("or", 8 * size, result, placed)
        return result

    def write(self, builder: Builder, target: Target, offset: int, number: int) -> None:
        """Put a value, whose width is a whole number of bytes, at `offset`."""
        size = builder.width(number) // 8
        cells = self.cells.setdefault(target, {})
        covered = set(range(offset, offset + size))
        for start in [s for s in range(offset - 15, offset + size) if s in cells]:
            cell = cells[start]
            if start + cell.size <= offset:
                continue
            if not covered.issuperset(range(start, start + cell.size)):
                for k in range(cell.size):  # what is left of it, byte by byte
                    if start + k not in covered:
                        cells[start + k] = Cell(_byte_of(builder, cell.number, k), 1)
                if start in covered:
                    del cells[start]
            else:
                del cells[start]
        cells[offset] = Cell(number, size)

    @staticmethod
    def _byte(builder: Builder, cells: Mapping[int, Cell], offset: int) -> int | None:
        for start in range(offset, offset - 16, -1):
            cell = cells.get(start)
            if cell is not None:
                return _byte_of(builder, cell.number, offset - start) if offset < start + cell.size else None
        return None


def _byte_of(builder: Builder, number: int, index: int) -> int:
    width = builder.width(number)
    if width == 8:
        return number
    shifted = builder.op("lshr", width, number, builder.constant(8 * index, width))
    return builder.op("trunc", 8, shifted)
