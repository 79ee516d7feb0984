"""A flat program to the text of an XLS function; every value gets the bits that its interval needs, and no more.

A value with the fact `(low, high, zeros)` is held as `value >> zeros` in `fact.width` bits; constant shifts, extensions
and truncations therefore cost nothing. Ports are packed: `in_data` and the result hold one slot per element, element 0
of the first port in the least significant bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hwgen.openhls._builder import Builder
from hwgen.openhls._interface import Interface, Port
from hwgen.openhls._narrow import Fact
from hwgen.openhls._ops import Op

__all__ = ["Emitter", "Slots", "slots", "xls_package"]


@dataclass(frozen=True)
class Slots:
    """How the elements of some ports are packed into one vector.

    Attributes:
        count: elements.
        width: bits of each, the same for all: those of the widest.
        signed: whether a slot is two's complement; then an unsigned port among them gets one bit more.
    """

    count: int
    width: int
    signed: bool

    @property
    def bits(self) -> int:
        """Width of the vector."""
        return self.count * self.width


def slots(ports: Sequence[Port]) -> Slots:
    """Return how `ports` share one vector."""
    is_signed = any(p.signed for p in ports)
    width = max(p.width + int(is_signed and not p.signed) for p in ports)
    return Slots(sum(p.count for p in ports), width, is_signed)


@dataclass
class Emitter:
    """Writes the body of an XLS function, one node per line.

    Attributes:
        builder: the flat program.
        lines: the nodes so far.
        names: the XLS name of every operation that was written.
    """

    builder: Builder
    lines: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    first_id: int = 10
    _shared: dict[tuple[str, ...], str] = field(default_factory=dict)

    def node(self, kind: str, operation: str, width: int, operands: str, *, of: str = "") -> str:
        """Write a node and return its name; equal nodes are written once."""
        t = of or f"bits[{width}]"
        key = (operation, t, operands)
        name = self._shared.get(key)
        if name is None:
            number = self.first_id + len(self.lines)
            name = self._shared[key] = f"{kind}{number}"
            self.lines.append(f"  {name}: {t} = {operation}({operands}, id={number})")
        return name

    def literal(self, value: int, width: int) -> str:
        """Return the name of a constant, given modulo 2^width."""
        return self.node("c", "literal", width, f"value={value & ((1 << width) - 1)}")

    def cut(self, name: str, width: int, start: int, out: int, *, is_signed: bool) -> str:
        """Return `out` bits of `name` (of `width` bits, extended without end) from bit `start` on; below 0 are zeros."""
        if start < 0:
            if out <= -start:
                return self.literal(0, out)
            rest = self.cut(name, width, 0, out + start, is_signed=is_signed)
            return self.node("s", "concat", out, f"{rest}, {self.literal(0, -start)}")
        if start >= width:
            if not is_signed:
                return self.literal(0, out)
            start = width - 1
        take = min(out, width - start)
        if (start, take) != (0, width):
            name = self.node("b", "bit_slice", take, f"{name}, start={start}, width={take}")
        if take < out:
            name = self.node("e", "sign_ext" if is_signed else "zero_ext", out, f"{name}, new_bit_count={out}")
        return name

    def get(self, number: int, width: int, zeros: int = 0) -> str:
        """Return `width` bits of `value >> zeros` of an operation."""
        fact = self.builder.facts[number]
        if fact.constant is not None:
            return self.literal(fact.constant >> zeros, width)
        return self.cut(self.names[number], fact.width, zeros - fact.zeros, width, is_signed=fact.is_signed)

    def write(self, number: int) -> None:
        """Write one operation; its operands, if not constant, have been written. Inputs are entered in `names`."""
        op, fact = self.builder.program.ops[number], self.builder.facts[number]
        if op.kind == "input" or fact.constant is not None:
            return
        self.names[number] = _WRITERS.get(op.kind, _division)(self, op, fact)

    def pattern(self, number: int) -> tuple[str, int]:
        """Return an operation as an unsigned integer, and its width."""
        fact = self.builder.facts[number]
        width = fact.width + fact.zeros if fact.low >= 0 else self.builder.width(number)
        return self.get(number, width), width

    def signed_pattern(self, number: int) -> tuple[str, int]:
        """Return an operation as a two's complement integer, and its width."""
        fact = self.builder.facts[number]
        width = fact.width + fact.zeros + int(fact.low >= 0)
        return self.get(number, width), width


_Writer = Callable[[Emitter, Op, Fact], str]


def _plain(xls: str) -> _Writer:
    def write(e: Emitter, op: Op, r: Fact) -> str:
        a, b = (e.get(n, r.width, r.zeros) for n in op.args)
        return e.node("v", xls, r.width, f"{a}, {b}")

    return write


def _mul(e: Emitter, op: Op, r: Fact) -> str:
    facts = [e.builder.facts[n] for n in op.args]
    is_signed = any(f.is_signed for f in facts)
    names = []
    for number, f in zip(op.args, facts, strict=True):
        width = min(f.width + int(is_signed and not f.is_signed), r.width)
        names.append(e.get(number, width, f.zeros))
    assert r.zeros == sum(f.zeros for f in facts), (op, r, facts)
    return e.node("v", "smul" if is_signed else "umul", r.width, f"{names[0]}, {names[1]}")


def _shl(e: Emitter, op: Op, r: Fact) -> str:
    a, amount = op.args
    n = e.builder.facts[amount]
    if n.constant is not None and 0 <= n.constant < op.width:
        return e.get(a, r.width, r.zeros - n.constant)
    name, width = e.pattern(amount)
    least = n.low if n.low >= 0 and r.zeros == e.builder.facts[a].zeros + n.low else 0
    if least:
        name = e.node("v", "sub", width, f"{name}, {e.literal(least, width)}")
    return e.node("v", "shll", r.width, f"{e.get(a, r.width, r.zeros - least)}, {name}")


def _lshr(e: Emitter, op: Op, r: Fact) -> str:
    a, amount = op.args
    n = e.builder.facts[amount].constant
    name, width = e.pattern(a)
    if n is None or not 0 <= n < op.width:
        name = e.node("v", "shrl", width, f"{name}, {e.pattern(amount)[0]}")
        n = 0
    return e.cut(name, width, r.zeros + n, r.width, is_signed=False)


def _ashr(e: Emitter, op: Op, r: Fact) -> str:
    a, amount = op.args
    n = e.builder.facts[amount].constant
    if n is not None and 0 <= n < op.width:
        return e.get(a, r.width, r.zeros + n)
    name, width = e.signed_pattern(a)
    name = e.node("v", "shra", width, f"{name}, {e.pattern(amount)[0]}")
    return e.cut(name, width, r.zeros, r.width, is_signed=True)


def _icmp(e: Emitter, op: Op, _: Fact) -> str:
    facts = [e.builder.facts[n] for n in op.args]
    zeros = min(f.zeros for f in facts)
    is_signed = any(f.is_signed for f in facts)
    width = max(f.width + f.zeros - zeros + int(is_signed and not f.is_signed) for f in facts)
    a, b = (e.get(n, width, zeros) for n in op.args)
    predicate: str = op.data
    if predicate not in ("eq", "ne") and not is_signed:
        predicate = "u" + predicate[1:]
    return e.node("v", predicate, 1, f"{a}, {b}")


def _zext(e: Emitter, op: Op, r: Fact) -> str:
    name, width = e.pattern(op.args[0])
    return e.cut(name, width, r.zeros, r.width, is_signed=False)


def _same(e: Emitter, op: Op, r: Fact) -> str:
    return e.get(op.args[0], r.width, r.zeros)


def _select(e: Emitter, op: Op, r: Fact) -> str:
    c, yes, no = op.args
    cases = f"{e.get(no, r.width, r.zeros)}, {e.get(yes, r.width, r.zeros)}"
    return e.node("v", "sel", r.width, f"{e.get(c, 1)}, cases=[{cases}]")


def _padded(e: Emitter, index: int, count: int) -> tuple[str, int]:
    """Return an index and the length that a table must have so that every index lies in it."""
    name, width = e.pattern(index)
    size = max(1, (count - 1).bit_length())
    if width > size:
        name, width = e.cut(name, width, 0, size, is_signed=False), size
    return name, 1 << width


def _rom(e: Emitter, op: Op, r: Fact) -> str:
    name, length = _padded(e, op.args[0], len(op.data))
    mask = (1 << r.width) - 1
    entries = [(value >> r.zeros) & mask for value in op.data[:length]]
    entries += entries[-1:] * (length - len(entries))
    array = e.node("t", "literal", 0, f"value=[{', '.join(map(str, entries))}]", of=f"bits[{r.width}][{length}]")
    return e.node("v", "array_index", r.width, f"{array}, indices=[{name}]")


def _mux(e: Emitter, op: Op, r: Fact) -> str:
    name, length = _padded(e, op.args[0], len(op.args) - 1)
    values = [e.get(n, r.width, r.zeros) for n in op.args[1 : 1 + length]]
    if len(values) == length:
        return e.node("v", "sel", r.width, f"{name}, cases=[{', '.join(values)}]")
    return e.node("v", "sel", r.width, f"{name}, cases=[{', '.join(values)}], default={values[-1]}")


def _division(e: Emitter, op: Op, r: Fact) -> str:
    is_signed = op.kind[0] == "s"
    view = e.signed_pattern if is_signed else e.pattern
    b = e.builder
    divisor = b.facts[op.args[1]].constant
    assert divisor is not None
    if not is_signed:
        divisor &= (1 << op.width) - 1
    name, width = view(op.args[0])
    wide = max(width, divisor.bit_length() + 1) + int(is_signed)
    name = e.cut(name, width, 0, wide, is_signed=is_signed)
    operation = f"{op.kind[0]}{'div' if op.kind.endswith('div') else 'mod'}"
    name = e.node("v", operation, wide, f"{name}, {e.literal(divisor, wide)}")
    return e.cut(name, wide, r.zeros, r.width, is_signed=is_signed)


_WRITERS: dict[str, _Writer] = {
    "add": _plain("add"),
    "sub": _plain("sub"),
    "and": _plain("and"),
    "or": _plain("or"),
    "xor": _plain("xor"),
    "mul": _mul,
    "shl": _shl,
    "lshr": _lshr,
    "ashr": _ashr,
    "icmp": _icmp,
    "zext": _zext,
    "sext": _same,
    "trunc": _same,
    "select": _select,
    "rom": _rom,
    "mux": _mux,
}


def xls_package(builder: Builder, interface: Interface, name: str) -> str:
    """Return the text of an XLS package with the function `name(in_data) -> out_data`.

    Args:
        builder: the flat program.
        interface: its ports, every direction decided.
        name: of package and function, a plain identifier.
    """
    ins, outs = slots(interface.inputs), slots(interface.outputs)
    e = Emitter(builder)
    numbers = {op.data: n for n, op in enumerate(builder.program.ops) if op.kind == "input"}
    place = 0
    for port in interface.inputs:
        for element in range(port.count):
            number = numbers.get((port.name, element))
            if number is not None:
                e.names[number] = e.cut("in_data", ins.bits, place, port.width, is_signed=False)
            place += ins.width
    for number in builder.program.live():
        e.write(number)
    results = []
    for port in interface.outputs:
        for element in range(port.count):
            narrow = e.get(builder.program.outputs[port.name, element], port.width)
            results.append(e.cut(narrow, port.width, 0, outs.width, is_signed=port.signed))
    last = e.first_id + len(e.lines)
    body = "\n".join(e.lines)
    return (
        f"package {name}\n\ntop fn {name}(in_data: bits[{ins.bits}] id=1) -> bits[{outs.bits}] {{\n{body}\n"
        f"  ret out{last}: bits[{outs.bits}] = concat({', '.join(reversed(results))}, id={last})\n}}\n"
    )
