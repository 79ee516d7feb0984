"""Loads and stores while a function is flattened: ports, tables at data-dependent addresses, local arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hwgen.openhls._assume import assume, fact_under
from hwgen.openhls._builder import Builder
from hwgen.openhls._errors import Refused
from hwgen.openhls._interface import Direction, Interface, Port
from hwgen.openhls._llvm import Function, signed
from hwgen.openhls._memory import Address, Choice, Linear, Memory, Target
from hwgen.openhls._narrow import input_fact

__all__ = ["MAX_MUX", "MAX_ROM", "GlobalBytes", "Machine", "Value"]

#: Entries of a table at one data-dependent address; inputs of a multiplexer.
MAX_ROM = 1 << 16
MAX_MUX = 1 << 10

Value = int | Address | Choice


@dataclass(frozen=True)
class GlobalBytes:
    """A global variable: its initial bytes (None: they hold addresses, or are defined elsewhere), constant or not."""

    content: bytes | None
    constant: bool


class Machine:
    """Memory and ports of a kernel that is being flattened.

    Attributes:
        builder: the flat program.
        memory: as it is at the point that is being flattened.
        condition: under which this point is reached; an index need only lie in its array there.
        sizes: bytes of the local arrays.
        partial: ports that some path leaves unwritten in part.
    """

    def __init__(self, builder: Builder, interface: Interface, globals_: Mapping[str, GlobalBytes]) -> None:
        self.builder = builder
        self.interface = interface
        self.globals = globals_
        self.memory = Memory()
        self.condition = builder.constant(-1, 1)
        self.sizes: dict[Target, int] = {}
        self.partial: set[str] = set()
        self._ports = {port.name: port for port in interface.ports}
        self._read: set[str] = set()
        self._written: set[str] = set()

    def refused(self, construct: str, remedy: str) -> Refused:
        """Return the error for a construct of this kernel."""
        return Refused(construct, self.interface.top, remedy)

    def parameters(self, function: Function) -> dict[str, Value]:
        """Return what the parameters of `function` stand for."""
        ports = list(self.interface.ports)
        if self.interface.result and not function.sret:
            ports = ports[1:]
        if len(ports) != len(function.parameters):
            raise self.refused(
                f"an interface of {len(ports)} parameters for a function of {len(function.parameters)}",
                "give every parameter",
            )
        values: dict[str, Value] = {}
        for port, (name, kind) in zip(ports, function.parameters, strict=True):
            if kind.kind == "ptr":
                values[name] = Address(Target("port", port.name), Linear(0))
            elif kind.kind == "int":
                self._read.add(port.name)
                values[name] = self.builder.resize(self._input(port, 0), kind.bits, is_signed=port.signed)
            else:
                raise self.refused(f"the parameter {port.name!r} of a compound type", "pass integers or arrays")
        return values

    def _input(self, port: Port, element: int) -> int:
        """Return the integer of an input element, extended to its size in memory."""
        # One bit more than an unsigned port has: a value of the flat program is two's complement.
        width = port.width + int(not port.signed)
        narrow = self.builder.input((port.name, element), width, input_fact(port.width, is_signed=port.signed))
        return self.builder.resize(narrow, port.bits, is_signed=port.signed)

    def load(self, address: Address | Choice, width: int) -> int:
        """Return the integer of `width` bits at `address`."""
        if isinstance(address, Choice):
            return self.builder.select(address.condition, self.load(address.yes, width), self.load(address.no, width))
        size = -(-width // 8)
        offsets = self._offsets(address, size)
        if address.target.kind == "global":
            number = self._load_global(address, size, offsets)
        elif len(offsets) == 1:
            number = self._load_at(address.target, offsets[0], size)
        else:
            if len(offsets) > MAX_MUX:
                raise self.refused(
                    f"an index that chooses among {len(offsets)} values of {address.target.name!r}",
                    f"choose among at most {MAX_MUX}, or make it a constant table",
                )
            values = [self._load_at(address.target, offset, size) for offset in offsets]
            number = self.builder.op("mux", 8 * size, self._index(address, offsets), *values)
        return number if width == 8 * size else self.builder.op("trunc", width, number)

    def store(self, address: Address | Choice, number: int) -> None:
        """Put an integer at `address`."""
        if isinstance(address, Choice):
            raise self.refused("a store through a pointer chosen at run time", "index one array")
        b, target = self.builder, address.target
        size = -(-b.width(number) // 8)
        number = b.resize(number, 8 * size, is_signed=False)
        if target.kind == "global":
            raise self.refused(
                f"a static or global variable that is written ({target.name})", "keep no state between calls"
            )
        if target.kind == "port":
            port = self._ports[target.name]
            if port.direction is Direction.IN:
                raise self.refused(f"a write to the input {port.name!r}", "write to an output array")
            self._written.add(port.name)
        offsets = self._offsets(address, size)
        if len(offsets) == 1:
            self.memory.write(b, target, offsets[0], number)
            return
        if len(offsets) > MAX_MUX:
            raise self.refused(
                f"an index that chooses among {len(offsets)} places of {target.name!r}", f"use at most {MAX_MUX}"
            )
        index = self._index(address, offsets)
        for place, offset in enumerate(offsets):
            old = self.memory.read(b, target, offset, size)
            if old is None and target.kind == "port":
                raise self.refused(
                    f"an output {target.name!r} that is written at an index from data before every element has a value",
                    "write all elements first",
                )
            here = b.compare("eq", index, b.constant(place, b.width(index)))
            self.memory.write(b, target, offset, number if old is None else b.select(here, number, old))

    def _size(self, target: Target) -> int:
        if target.kind == "port":
            port = self._ports[target.name]
            return port.count * port.stride
        if target.kind == "local":
            return self.sizes[target]
        found = self.globals.get(target.name)
        if found is None or found.content is None:
            raise self.refused(
                f"the global {target.name!r}, whose bytes are not known", "define it here, with integers only"
            )
        return len(found.content)

    def _offsets(self, address: Address, size: int) -> list[int]:
        """Return the offsets that the address may have, ascending and evenly spaced.

        Raises:
            Refused: if one of them lies outside the object.
        """
        total = self._size(address.target)
        low, high, unit = self._range(address, tight=False)
        if low < 0 or high + size > total:
            found = self.builder.exact(address.offset.constant, address.offset.terms, self.condition)
            if found is not None:
                low, high = found
        if low < 0 or high + size > total:
            low, high, unit = self._range(address, tight=True)
        if low < 0 or high + size > total:
            what = f"an index into {address.target.name!r} that may reach byte {high if low >= 0 else low} of {total}"
            raise self.refused(what, "correct it, or limit it to the array before using it")
        offsets = [low] if not unit else range(low, high + 1, unit)
        if len(offsets) > MAX_ROM:
            raise self.refused(
                f"a table of {len(offsets)} entries ({address.target.name})", f"use at most {MAX_ROM} at one address"
            )
        return list(offsets)

    def _range(self, address: Address, *, tight: bool) -> tuple[int, int, int]:
        """Return the least and the largest offset of an address, and the distance between possible ones."""
        ops, facts = self.builder.program.ops, self.builder.facts
        low = high = address.offset.constant
        unit = 0
        known = assume(ops, facts, self.condition, truth=True)
        for number, scale in address.offset.terms:
            fact = fact_under(ops, facts, number, known) if known else facts[number]
            least, most = fact.low, fact.high
            if tight:
                found = self.builder.tight(number)
                least, most = max(least, found[0]), min(most, found[1])
            low, high = low + min(scale * least, scale * most), high + max(scale * least, scale * most)
            unit = math.gcd(unit, scale << facts[number].zeros)
        return low, high, unit

    def _index(self, address: Address, offsets: list[int]) -> int:
        """Return the operation that numbers the possible offsets from 0."""
        b = self.builder
        low, unit = offsets[0], offsets[1] - offsets[0]
        total = b.constant((address.offset.constant - low) // unit, 64)
        rest = (address.offset.constant - low) % unit
        for number, scale in address.offset.terms:
            zeros = b.facts[number].zeros
            wide = b.resize(number, max(64, b.width(number)), is_signed=True)
            shifted = b.op("ashr", b.width(wide), wide, b.constant(zeros, b.width(wide)))
            factor, part = divmod(scale << zeros, unit)
            assert part == 0
            shifted = b.resize(shifted, 64, is_signed=True)
            total = b.op("add", 64, total, b.op("mul", 64, shifted, b.constant(factor, 64)))
        assert rest == 0
        width = (len(offsets) - 1).bit_length() + 1  # one more bit, so that no index is negative
        return b.op("trunc", width, total)

    def _load_global(self, address: Address, size: int, offsets: list[int]) -> int:
        found = self.globals[address.target.name]
        content = found.content
        assert content is not None
        if not found.constant:
            raise self.refused(
                f"a static or global variable that is written ({address.target.name})", "keep no state between calls"
            )
        entries = tuple(signed(int.from_bytes(content[o : o + size], "little"), 8 * size) for o in offsets)
        if len(entries) == 1:
            return self.builder.constant(entries[0], 8 * size)
        return self.builder.op("rom", 8 * size, self._index(address, offsets), data=entries)

    def _load_at(self, target: Target, offset: int, size: int) -> int:
        found = self.memory.read(self.builder, target, offset, size)
        if found is not None:
            return found
        if target.kind == "local":
            return self._read_local(target, offset, size)
        port = self._ports[target.name]
        if port.direction is Direction.OUT or port.name in self._written:
            raise self.refused(
                f"the output {port.name!r}, which is read before it is written", "pass what is read as an input"
            )
        self._read.add(port.name)
        element, inside = divmod(offset, port.stride)
        if not inside and size == port.stride:
            return self._input(port, element)
        whole = Memory()
        for k in range(element, (offset + size - 1) // port.stride + 1):
            whole.write(self.builder, target, k * port.stride, self._input(port, k))
        number = whole.read(self.builder, target, offset, size)
        assert number is not None
        return number

    def _read_local(self, target: Target, offset: int, size: int) -> int:
        """Return what lies in a local array where some bytes were never written: those are 0, being undefined."""
        b = self.builder
        filled = Memory({target: self.memory.cells.get(target, {})})
        for k in range(offset, offset + size):
            if filled.read(b, target, k, 1) is None:
                filled.write(b, target, k, b.constant(0, 8))
        number = filled.read(b, target, offset, size)
        assert number is not None
        return number

    def cells(self, target: Target, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield (offset from `offset`, integer) of `size` bytes of an object, in the largest pieces that it holds."""
        at = offset
        while at < offset + size:
            cell = self.memory.cells.get(target, {}).get(at)
            step = cell.size if cell is not None else 1
            if cell is None and target.kind == "port":
                step = self._ports[target.name].stride
            if at + step > offset + size or at % step:
                step = 1
            yield at - offset, self.load(Address(target, Linear(at)), 8 * step)
            at += step

    def finish(self, memory: Memory, returned: int | None) -> Interface:
        """Make the outputs from the memory at the end; return the interface with every direction decided.

        Raises:
            Refused: if an output is not written on every path, or a port goes both ways.
        """
        interface = self.interface.directed(frozenset(self._written))
        b = self.builder
        for port in interface.outputs:
            if port.name in self._read:
                raise self.refused(
                    f"the array {port.name!r}, which is read and written", "read from one array and write to another"
                )
            for element in range(port.count):
                if port.scalar:
                    number = returned
                else:
                    number = memory.read(b, Target("port", port.name), element * port.stride, port.stride)
                if number is None:
                    some = " on some path" if port.name in self.partial else ""
                    raise self.refused(
                        f"the output {port.name}[{element}], which is not written{some}", "write every element"
                    )
                if b.width(number) > port.width:
                    number = b.op("trunc", port.width, number)
                b.program.outputs[port.name, element] = b.resize(number, port.width, is_signed=port.signed)
        for port in interface.inputs:
            for element in range(port.count):  # ports exist even where nothing reads them
                self._input(port, element)
        interface.check()
        return interface
