"""Loads and stores of a rolled loop: the input is a stream, constant arrays indexed by the loop are memories.

The pseudo-input `("", 0)` is r, the number of the iteration. A constant array at an address that depends on r becomes a
memory outside XLS: all loads whose addresses differ by a constant share one word of it, `Memory` below. A constant array
at an address that depends on the data alone stays a ROM of the flat program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwgen.openhls._access import GlobalBytes, Machine
from hwgen.openhls._builder import Builder
from hwgen.openhls._interface import Direction, Interface
from hwgen.openhls._llvm import signed
from hwgen.openhls._memory import Address, Choice, Linear, Target
from hwgen.openhls._narrow import Fact, full, low_zeros

__all__ = ["ROUND", "STATE", "TABLE", "Field", "LoopMachine", "Table"]

#: Names of pseudo-inputs of the flat program, which no port can have: the iteration, the state, words of memories.
ROUND, STATE, TABLE = "", "state ", "table "
#: Words of one memory.
MAX_WORDS = 1 << 20


@dataclass(frozen=True)
class Field:
    """One entry of every word of a memory.

    Attributes:
        offset: bytes from the start of the array to word 0's entry.
        size: bytes.
        fact: of all its entries.
        values: its entries, word by word.
    """

    offset: int
    size: int
    fact: Fact
    values: tuple[int, ...]


@dataclass
class Table:
    """A constant array that is read at an address which depends on the iteration: one memory.

    Attributes:
        name: of the array, in LLVM.
        unit: bytes from one word to the next in the array.
        words: words of the memory.
        index: operation that computes the word's number.
        level: 0 if the address depends on no other memory, else one more than the highest of those.
        fields: what a word holds, by (offset, size).
    """

    name: str
    unit: int
    words: int
    index: int
    level: int
    fields: dict[tuple[int, int], Field] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """Width of a word."""
        return sum(f.fact.width for f in self.fields.values())


class LoopMachine(Machine):
    """Memory and ports of a kernel with one loop.

    Attributes:
        beat: elements of the input that an iteration takes; 0 while unknown.
        streamed: name of the input, or "" while unknown.
        tables: the memories, by array and the terms of the address.
        in_loop: whether the loop's body is being evaluated.
    """

    def __init__(
        self, builder: Builder, interface: Interface, globals_: Mapping[str, GlobalBytes], *, trip: int | None
    ) -> None:
        super().__init__(builder, interface, globals_)
        self.trip = trip
        self.beat = 0
        self.streamed = ""
        self.tables: dict[tuple[str, tuple[tuple[int, int], ...]], Table] = {}
        self.in_loop = False
        self.round: int | None = None
        self._unknown = 0

    def load(self, address: Address | Choice, width: int) -> int:
        """Return the integer of `width` bits at `address`."""
        if isinstance(address, Choice):
            return super().load(address, width)
        if self.trip is None and address.offset.terms:  # nothing is known of the iterations yet: any value
            self._unknown += 1
            return self.builder.input((TABLE, -self._unknown), width, full(width))
        kind = address.target.kind
        if kind == "port" and self._ports[address.target.name].direction is not Direction.OUT:
            return self._load_stream(address, width)
        if kind == "global" and self._loop_dependent(address.offset):
            return self._load_table(address, width)
        return super().load(address, width)

    def store(self, address: Address | Choice, number: int) -> None:
        """Put an integer at `address`; outputs are written after the loop."""
        outside = isinstance(address, Choice) or address.target.kind != "local"
        if self.in_loop and outside:
            raise self.refused("a store within a loop that stays a loop", "write outputs after the loop")
        if self.in_loop:
            raise self.refused(
                "a local array that a rolled loop writes at an index from data", "index it with constants"
            )
        super().store(address, number)

    def depends(self, number: int) -> set[str]:
        """Return the names of all inputs that an operation depends on."""
        ops, names, seen, stack = self.builder.program.ops, set(), {number}, [number]
        while stack:
            op = ops[stack.pop()]
            if op.kind == "input":
                names.add(op.data[0])
            for arg in op.args:
                if arg not in seen:
                    seen.add(arg)
                    stack.append(arg)
        return names

    def _loop_dependent(self, offset: Linear) -> bool:
        return any({ROUND, TABLE} & self.depends(number) for number, _ in offset.terms)

    def _load_stream(self, address: Address, width: int) -> int:
        port = self._ports[address.target.name]
        if port.direction is not Direction.IN and port.name in self._written:
            raise self.refused(f"the output {port.name!r}, which is read", "read inputs only")
        if not self.in_loop or not address.offset.terms:
            raise self.refused(
                f"an element of the input {port.name!r} that is read outside the loop's order",
                "let iteration r read the elements r*P to r*P + P - 1 and no others",
            )
        terms = dict(address.offset.terms)
        scale = terms.pop(self.round, 0) if self.round is not None else 0
        beat, rest = divmod(scale, port.stride)
        element, inside = divmod(address.offset.constant, port.stride)
        if terms or rest or inside or beat < 1 or not 0 <= element < beat or -(-width // 8) != port.stride:
            raise self.refused(
                f"the input {port.name!r}, which a rolled loop does not read one after the other",
                "let iteration r read the elements r*P to r*P + P - 1",
            )
        assert self.trip is not None
        if self.streamed not in ("", port.name):
            raise self.refused(
                f"a rolled loop over the two inputs {self.streamed!r} and {port.name!r}", "pass one array"
            )
        if beat * self.trip != port.count or self.beat not in (0, beat):
            raise self.refused(
                f"a rolled loop that reads {beat} of the {port.count} elements of {port.name!r} in each of its "
                f"{self.trip} iterations",
                "let every iteration read as many elements, and all of them be read",
            )
        self.beat, self.streamed = beat, port.name
        self._read.add(port.name)
        number = self._input(port, element)
        return number if width == port.bits else self.builder.op("trunc", width, number)

    def _load_table(self, address: Address, width: int) -> int:
        b, name = self.builder, address.target.name
        found = self.globals.get(name)
        if found is None or found.content is None or not found.constant:
            raise self.refused(
                f"the array {name!r}, which is not constant and is indexed by a rolled loop", "make it a constant table"
            )
        terms = address.offset.terms
        names = set().union(*(self.depends(number) for number, _ in terms))
        if STATE in names:
            raise self.refused(
                f"the array {name!r} at an address that depends on the iteration and on what earlier iterations computed",
                "index it with the iteration and the input only",
            )
        key = (name, terms)
        table = self.tables.get(key)
        if table is None:
            table = self.tables[key] = self._new_table(name, terms)
        size = -(-width // 8)
        entry = table.fields.get((address.offset.constant, size))
        if entry is None:
            entry = self._new_field(table, found.content, address.offset, size)
            table.fields[address.offset.constant, size] = entry
        place = list(self.tables).index(key), list(table.fields).index((address.offset.constant, size))
        number = b.input((TABLE, place[0] << 20 | place[1]), 8 * size, entry.fact)
        return number if width == 8 * size else b.op("trunc", width, number)

    def _new_table(self, name: str, terms: tuple[tuple[int, int], ...]) -> Table:
        b = self.builder
        facts = b.facts
        unit, low, high = 0, 0, 0
        for number, scale in terms:
            unit = math.gcd(unit, scale << facts[number].zeros)
            ends = (scale * facts[number].low, scale * facts[number].high)
            low, high = low + min(ends), high + max(ends)
        words = (high - low) // unit + 1
        if words > MAX_WORDS:
            raise self.refused(f"a memory of {words} words ({name})", f"use at most {MAX_WORDS}")
        index = b.constant(-low // unit, 64)
        for number, scale in terms:
            zeros = facts[number].zeros
            wide = b.resize(number, max(64, b.width(number)), is_signed=True)
            shifted = b.op("ashr", b.width(wide), wide, b.constant(zeros, b.width(wide)))
            shifted = b.resize(shifted, 64, is_signed=True)
            factor = (scale << zeros) // unit
            index = b.op("add", 64, index, b.op("mul", 64, shifted, b.constant(factor, 64)))
        return Table(name, unit, words, index, self._level(index))

    def _level(self, number: int) -> int:
        """Return one more than the highest level of the memories that an operation depends on, or 0."""
        tables = list(self.tables.values())
        ops, seen, stack, level = self.builder.program.ops, {number}, [number], 0
        while stack:
            op = ops[stack.pop()]
            if op.kind == "input" and op.data[0] == TABLE:
                level = max(level, 1 + tables[op.data[1] >> 20].level)
            stack += [a for a in op.args if a not in seen]
            seen.update(op.args)
        return level

    def _new_field(self, table: Table, content: bytes, offset: Linear, size: int) -> Field:
        low = 0
        for number, scale in offset.terms:
            fact = self.builder.facts[number]
            low += min(scale * fact.low, scale * fact.high)
        first = offset.constant + low
        last = first + (table.words - 1) * table.unit
        if first < 0 or last + size > len(content):
            raise self.refused(
                f"an index into {table.name!r} that may reach byte {last if first >= 0 else first} of {len(content)}",
                "correct it, or limit it to the array before using it",
            )
        values = tuple(
            signed(int.from_bytes(content[at : at + size], "little"), 8 * size)
            for at in range(first, last + 1, table.unit)
        )
        zeros = min(low_zeros(value, 8 * size) for value in set(values))
        return Field(offset.constant, size, Fact(min(values), max(values), zeros), values)

    def results(self, returned: int | None) -> Interface:
        """Enter the outputs of the kernel in the flat program; return the interface with every direction decided.

        Raises:
            Refused: if an output is not written on every path.
        """
        if returned is not None:
            raise self.refused("a returned value of a function with a rolled loop", "write to an output array")
        interface = self.interface.directed(frozenset(self._written))
        b = self.builder
        for port in interface.outputs:
            for element in range(port.count):
                number = self.memory.read(b, Target("port", port.name), element * port.stride, port.stride)
                if number is None:
                    raise self.refused(
                        f"the output {port.name}[{element}], which is not written", "write every element"
                    )
                if b.width(number) > port.width:
                    number = b.op("trunc", port.width, number)
                b.program.outputs[port.name, element] = b.resize(number, port.width, is_signed=port.signed)
        interface.check()
        if not self.streamed:
            raise self.refused("a rolled loop that reads no input", "let iteration r read x[r*P] to x[r*P + P - 1]")
        if len(interface.inputs) != 1:
            raise self.refused("a function with a rolled loop and several inputs", "pass one array")
        return interface
