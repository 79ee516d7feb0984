"""A flat word-level netlist, read from Yosys's RTLIL text, with exactly one driver for every bit.

RTLIL keeps the direction of every assignment, and two constants assigned to one wire as two assignments; Yosys's JSON
merges both, so that some conflicts could not be seen in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hwgen.prove._errors import NotProvenError

__all__ = ["Bit", "Cell", "Memory", "Netlist", "Port", "output_port", "parse_rtlil"]

#: A bit is a wire's number (below), or a constant: 0, 1, or unknown (also undriven, high impedance, don't care).
Bit = int
ZERO, ONE, UNKNOWN = 0, 1, 2
_FIRST_WIRE = 3
_CONSTANT = re.compile(r"(\d+)'(s?)([01xzm-]*)")
_INTEGER = re.compile(r"-?\d+")
_TOKEN = re.compile(r"[{}]|\[\d+(?::\d+)?\]|[^\s{}]+")


@dataclass
class Cell:
    """A cell: type, name, integer (or text) parameters, ports as bits (LSB first), where it is written in the Verilog."""

    type: str
    name: str
    src: str
    parameters: dict[str, int | str] = field(default_factory=dict)
    ports: dict[str, tuple[Bit, ...]] = field(default_factory=dict)

    def integer(self, parameter: str) -> int:
        """Return a parameter that must be an integer."""
        value = self.parameters.get(parameter)
        if not isinstance(value, int):
            raise NotProvenError(f"parameter {parameter} of {self.where} is not an integer")
        return value

    def port(self, name: str) -> tuple[Bit, ...]:
        """Return the bits of a port."""
        try:
            return self.ports[name]
        except KeyError:
            raise NotProvenError(f"{self.where} has no port {name}") from None

    @property
    def where(self) -> str:
        """Type, file and line, for messages."""
        return f"cell {self.type} at {self.src or self.name}"


@dataclass(frozen=True)
class Memory:
    """A memory: bits of a word, words, first address."""

    width: int
    size: int
    offset: int


@dataclass(frozen=True)
class Port:
    """A port of the top module."""

    direction: str
    bits: tuple[Bit, ...]


#: Output ports of the cells that this checker knows; a cell of another type is refused where it is read.
_OUTPUTS: Mapping[str, str] = {
    "$dff": "Q", "$memrd_v2": "DATA", "$scopeinfo": "", "$meminit": "",
    **dict.fromkeys(
        ("$not", "$pos", "$neg", "$and", "$or", "$xor", "$xnor", "$reduce_and", "$reduce_or", "$reduce_xor",
         "$reduce_xnor", "$reduce_bool", "$logic_not", "$logic_and", "$logic_or", "$eq", "$ne", "$lt", "$le", "$ge", "$gt",
         "$add", "$sub", "$mul", "$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx", "$mux", "$pmux"),
        "Y",
    ),
}  # fmt: skip
#: Outputs of cells that are refused, so that what they drive names them.
_REFUSED_OUTPUTS = ("Q", "Y", "DATA", "RD_DATA", "X", "CO", "O")


@dataclass
class Netlist:
    """The flat top module.

    Attributes:
        ports: by name.
        wires: bits of every wire by its RTLIL name without the backslash (hierarchy separated by dots), LSB first.
        alias: the bit that a bit is assigned from.
        drivers: the cell and the port position that drive a bit.
        memories: by identifier.
        contents: the `$meminit` cells of a memory.
    """

    ports: dict[str, Port]
    wires: dict[str, tuple[Bit, ...]]
    alias: dict[Bit, Bit]
    drivers: dict[Bit, tuple[Cell, str, int]]
    memories: dict[str, Memory]
    contents: dict[str, list[Cell]]
    cells: list[Cell]
    names: dict[Bit, str]
    inputs: frozenset[Bit]

    def root(self, bit: Bit) -> Bit:
        """Follow assignments to the bit that a cell, a port, or nothing drives, or to a constant."""
        seen = 0
        while bit in self.alias:
            bit = self.alias[bit]
            seen += 1
            if seen > len(self.alias):
                raise NotProvenError(f"the assignments of {self.names[bit]} go in a circle")
        return bit

    def roots(self, bits: tuple[Bit, ...]) -> tuple[Bit, ...]:
        """Return :meth:`root` of each bit."""
        return tuple(self.root(bit) for bit in bits)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.wires: dict[str, tuple[Bit, ...]] = {}
        self.names: dict[Bit, str] = {}
        self.directions: dict[str, str] = {}
        self.cells: list[Cell] = []
        self.memories: dict[str, Memory] = {}
        self.assignments: list[tuple[tuple[Bit, ...], tuple[Bit, ...], str]] = []
        self.next = _FIRST_WIRE

    def bits(self, text: str) -> tuple[Bit, ...]:
        """Parse a signal: LSB first."""
        tokens = _TOKEN.findall(text)
        position = 0
        groups: list[tuple[Bit, ...]] = []
        nested = False
        while position < len(tokens):
            token = tokens[position]
            position += 1
            if token in ("{", "}"):
                nested = True
                continue
            if token.startswith("["):
                high, _, low = token[1:-1].partition(":")
                groups[-1] = groups[-1][int(low or high) : int(high) + 1]
                continue
            groups.append(self._atom(token))
        if len(groups) != 1 and not nested:
            raise NotProvenError(f"the netlist has a signal that this checker cannot read: {text[:80]}")
        return tuple(bit for group in reversed(groups) for bit in group)

    def _atom(self, token: str) -> tuple[Bit, ...]:
        if token in self.wires:
            return self.wires[token]
        constant = _CONSTANT.fullmatch(token)
        if constant:
            digits = constant[3]
            width = int(constant[1])
            fill = digits[0] if digits and digits[0] in "xz-m" else "0"
            digits = digits.rjust(width, fill)
            return tuple({"0": ZERO, "1": ONE}.get(digit, UNKNOWN) for digit in reversed(digits))
        if _INTEGER.fullmatch(token):
            return tuple(int(token) >> j & 1 for j in range(32))
        raise NotProvenError(f"the netlist has a signal that this checker cannot read: {token[:80]}")

    def parameter(self, text: str) -> int | str:
        """Parse a parameter: an integer, or text where it is neither a number nor fully defined."""
        words = text.split()
        if words[0] in ("signed", "real") and len(words) > 1:
            words = words[1:]
        if _INTEGER.fullmatch(words[0]):
            return int(words[0])
        constant = _CONSTANT.fullmatch(words[0])
        if constant and set(constant[3]) <= {"0", "1"}:
            return int(constant[3] or "0", 2)
        return " ".join(words)

    def read(self) -> str:
        """Read the text; return the name of its only module."""
        module = ""
        src = ""
        cell: Cell | None = None
        initialised = False
        for line in self.text.splitlines():
            word, _, rest = line.strip().partition(" ")
            if word in ("", "#", "autoidx"):
                continue
            if word == "attribute":
                name, _, value = rest.partition(" ")
                if name == "\\src":
                    src = value.strip('"')
                elif name == "\\init":
                    initialised = True
                continue
            if word == "parameter" and cell is not None:
                rest = rest.removeprefix("signed ").removeprefix("real ")
                name, _, value = rest.partition(" ")
                cell.parameters[name[1:]] = self.parameter(value)
            elif word == "connect":
                if cell is not None:
                    name, _, value = rest.partition(" ")
                    cell.ports[name[1:]] = self.bits(value)
                else:
                    self._assignment(rest, src)
            elif word == "end":
                if cell is not None:
                    self.cells.append(cell)
                    cell = None
                elif not module:
                    raise NotProvenError("the netlist ends a block that did not begin")
            elif word == "cell":
                kind, _, name = rest.partition(" ")
                cell = Cell(kind, name, src)
            elif word == "wire":
                self._wire(rest, initialised, src)
            elif word == "memory":
                self._memory(rest)
            elif word == "module":
                if module:
                    raise NotProvenError(f"the hierarchy is not flat: module {rest[1:]} is left beside {module}")
                module = rest[1:]
            else:
                raise NotProvenError(f"the netlist holds a {word!r} (at {src}), which is not modelled")
            src, initialised = ("" if cell is None else src), False
        return module

    def _assignment(self, rest: str, src: str) -> None:
        tokens = self._split(rest)
        left, right = self.bits(tokens[0]), self.bits(tokens[1])
        if len(left) != len(right):
            raise NotProvenError(f"an assignment joins {len(left)} and {len(right)} bits: {rest[:80]}")
        self.assignments.append((left, right, src))

    @staticmethod
    def _split(rest: str) -> tuple[str, str]:
        """Split `LEFT RIGHT`, each a token, a slice, or a concatenation in braces."""
        tokens = list(_TOKEN.finditer(rest))
        depth, end = 0, 0
        for index, token in enumerate(tokens):
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            following = tokens[index + 1][0] if index + 1 < len(tokens) else ""
            if depth == 0 and not following.startswith("["):
                end = token.end()
                break
        return rest[:end], rest[end:]

    def _wire(self, rest: str, initialised: bool, src: str) -> None:
        words = rest.split()
        name = words[-1]
        width = int(words[words.index("width") + 1]) if "width" in words[:-1] else 1
        if initialised:
            raise NotProvenError(f"{name[1:]} at {src} has an initial value, which is not modelled")
        for direction in ("input", "output", "inout"):
            if direction in words[:-1]:
                self.directions[name] = direction
        bits = tuple(range(self.next, self.next + width))
        self.next += width
        self.wires[name] = bits
        for j, bit in enumerate(bits):
            self.names[bit] = name[1:] if width == 1 else f"{name[1:]}[{j}]"

    def _memory(self, rest: str) -> None:
        words = rest.split()
        keys = dict(zip(words[:-1:2], words[1:-1:2], strict=True))
        self.memories[words[-1]] = Memory(int(keys.get("width", 1)), int(keys["size"]), int(keys.get("offset", 0)))


def output_port(cell: Cell) -> str:
    """Return the name of the output of a cell that drives something.

    Raises:
        NotProvenError: if the cell is not modelled.
    """
    port = _OUTPUTS.get(cell.type)
    if not port:
        raise NotProvenError(f"{cell.where} is not modelled")
    return port


def _outputs(cell: Cell) -> Iterator[tuple[str, tuple[Bit, ...]]]:
    known = _OUTPUTS.get(cell.type)
    if known is None:
        yield from ((port, cell.ports[port]) for port in _REFUSED_OUTPUTS if port in cell.ports)
    elif known:
        yield known, cell.port(known)


def parse_rtlil(text: str, top: str) -> Netlist:
    """Return the netlist of a design that consists of the flat module `top`.

    Raises:
        NotProvenError: if the text has parts that are not modelled, or a bit has two drivers.
    """
    reader = _Reader(text)
    module = reader.read()
    if module != top:
        raise NotProvenError(f"the netlist is of {module!r}, not of {top}")
    ports: dict[str, Port] = {}
    claims: dict[Bit, str] = {}

    def claim(bit: Bit, by: str) -> None:
        if bit < _FIRST_WIRE:
            raise NotProvenError(f"{by} drives a constant")
        if bit in claims:
            raise NotProvenError(f"{reader.names[bit]} has two drivers: {claims[bit]} and {by}")
        claims[bit] = by

    for name, direction in reader.directions.items():
        ports[name[1:]] = Port(direction, reader.wires[name])
        if direction != "output":
            for bit in reader.wires[name]:
                claim(bit, f"{direction} port {name[1:]}")
    alias: dict[Bit, Bit] = {}
    for left, right, src in reader.assignments:
        for target, source in zip(left, right, strict=True):
            claim(target, f"an assignment{f' at {src}' if src else ''}")
            alias[target] = source
    drivers: dict[Bit, tuple[Cell, str, int]] = {}
    contents: dict[str, list[Cell]] = {}
    for cell in reader.cells:
        if cell.type.startswith("$memwr"):
            raise NotProvenError(f"{cell.where} writes a memory, which is not modelled")
        if cell.type.startswith("$meminit"):
            contents.setdefault(_memory_name(cell), []).append(cell)
        for port, bits in _outputs(cell):
            for position, bit in enumerate(bits):
                claim(bit, cell.where)
                drivers[bit] = (cell, port, position)
    return Netlist(
        ports=ports,
        wires={name[1:]: bits for name, bits in reader.wires.items()},
        alias=alias,
        drivers=drivers,
        memories={_unquoted(name): memory for name, memory in reader.memories.items()},
        contents=contents,
        cells=reader.cells,
        names=reader.names,
        inputs=frozenset(bit for port in ports.values() if port.direction != "output" for bit in port.bits),
    )


def _unquoted(text: str) -> str:
    return text.strip('"').replace("\\\\", "\\")


def _memory_name(cell: Cell) -> str:
    return _unquoted(str(cell.parameters.get("MEMID", "")))
