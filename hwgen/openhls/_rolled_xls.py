"""A rolled kernel as XLS text: a proc that takes one beat per iteration, and the functions that compute addresses.

The proc receives `last` and one beat (stream elements, words of the memories, the iteration's number where it is used),
keeps the state, and sends the outputs in the iteration that is the last one; the state is then at its first values again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.openhls._builder import Builder
from hwgen.openhls._narrow import Fact
from hwgen.openhls._rolled import Rolled
from hwgen.openhls._rolled_machine import STATE
from hwgen.openhls._translate import Emitter, slots

__all__ = ["BEAT", "SAMPLE", "Packed", "address_package", "inputs_of", "proc_package"]

#: Names of the proc's channels.
BEAT, SAMPLE = "beat", "sample"
_CHANNEL = "kind=streaming, flow_control=ready_valid, strictness=proven_mutually_exclusive"

Key = tuple[str, int]


@dataclass(frozen=True)
class Packed:
    """Pseudo-inputs side by side in one vector, the first in the least significant bits."""

    keys: tuple[Key, ...]
    facts: tuple[Fact, ...]

    @property
    def bits(self) -> int:
        """Width of the vector, at least 1."""
        return max(1, sum(f.width for f in self.facts))

    def places(self) -> dict[Key, tuple[int, int]]:
        """Return first bit and width of every pseudo-input."""
        result, at = {}, 0
        for key, fact in zip(self.keys, self.facts, strict=True):
            result[key] = at, fact.width
            at += fact.width
        return result


def _numbers(builder: Builder) -> dict[Key, int]:
    return {op.data: n for n, op in enumerate(builder.program.ops) if op.kind == "input"}


def _live(builder: Builder, wanted: Sequence[int]) -> list[int]:
    ops, needed = builder.program.ops, set(wanted)
    for number in range(len(ops) - 1, -1, -1):
        if number in needed:
            needed.update(ops[number].args)
    return sorted(needed)


def inputs_of(builder: Builder, wanted: Sequence[int], without: str = "") -> Packed:
    """Return the inputs that some operations depend on, those called `without` excepted."""
    keys = [op.data for n in _live(builder, wanted) if (op := builder.program.ops[n]).kind == "input"]
    keys = sorted(k for k in keys if not without or k[0] != without)
    numbers = _numbers(builder)
    return Packed(tuple(keys), tuple(builder.facts[numbers[k]] for k in keys))


def _write(e: Emitter, wanted: Sequence[int], names: dict[Key, str]) -> None:
    numbers = _numbers(e.builder)
    for key, name in names.items():
        e.names[numbers[key]] = name
    for number in _live(e.builder, wanted):
        e.write(number)


def _cut_all(e: Emitter, vector: str, packed: Packed) -> dict[Key, str]:
    places = packed.places()
    return {key: e.cut(vector, packed.bits, at, width, is_signed=False) for key, (at, width) in places.items()}


def address_package(builder: Builder, indices: Sequence[int], widths: Sequence[int], packed: Packed, name: str) -> str:
    """Return an XLS package with the function `name(in_data) -> addresses`, the first address in the lowest bits.

    Args:
        builder: the flat program.
        indices: operations that compute word numbers.
        widths: bits of each address.
        packed: the inputs of the function.
        name: of package and function.
    """
    e = Emitter(builder)
    _write(e, indices, _cut_all(e, "in_data", packed))
    parts = [e.get(number, width) for number, width in zip(indices, widths, strict=True)]
    last, total = e.first_id + len(e.lines), sum(widths)
    body = "\n".join(e.lines)
    return (
        f"package {name}\n\ntop fn {name}(in_data: bits[{packed.bits}] id=1) -> bits[{total}] {{\n{body}\n"
        f"  ret out{last}: bits[{total}] = concat({', '.join(reversed(parts))}, id={last})\n}}\n"
    )


def proc_package(rolled: Rolled, name: str) -> tuple[str, Packed, int]:
    """Return an XLS package with the proc `name`, the layout of its beats (above bit 0, `last`), and its output's bits."""
    b = rolled.builder
    outs = slots(rolled.interface.outputs)
    results = [b.program.outputs[p.name, k] for p in rolled.interface.outputs for k in range(p.count)]
    following = [s.following for s in rolled.states]
    sends = [] if rolled.sends is None else [rolled.sends]
    packed = inputs_of(b, [*results, *following, *sends], STATE)
    e = Emitter(b, first_id=1000)
    names = _cut_all(e, "in_data", packed)
    names |= {(STATE, s.number): f"s{s.number}" for s in rolled.states}
    _write(e, [*results, *following, *sends], names)
    states = [e.get(s.following, s.fact.width, s.fact.zeros) for s in rolled.states]
    parts = []
    for port in rolled.interface.outputs:
        for element in range(port.count):
            narrow = e.get(b.program.outputs[port.name, element], port.width)
            parts.append(e.cut(narrow, port.width, 0, outs.width, is_signed=port.signed))
    sample = e.node("y", "concat", outs.bits, ", ".join(reversed(parts)))
    go = [e.get(number, 1) for number in sends]
    last = e.first_id + len(e.lines)
    types = [f"bits[{s.fact.width}]" for s in rolled.states] + [f"bits[{outs.bits}]"] + ["bits[1]" for _ in go]
    result = f"({', '.join(types)})"
    parameters = ", ".join(
        [f"in_data: bits[{packed.bits}] id=1"]
        + [f"s{s.number}: bits[{s.fact.width}] id={2 + k}" for k, s in enumerate(rolled.states)]
    )
    body = "\n".join(e.lines)
    function = (
        f"fn {name}_body({parameters}) -> {result} {{\n{body}\n"
        f"  ret out{last}: {result} = tuple({', '.join([*states, sample, *go])}, id={last})\n}}\n"
    )
    proc = _proc(rolled, name, packed.bits, outs.bits, result, last + 1)
    channels = (
        f"chan {BEAT}(bits[{packed.bits + 1}], id=0, ops=receive_only, {_CHANNEL})\n"
        f"chan {SAMPLE}(bits[{outs.bits}], id=1, ops=send_only, {_CHANNEL})\n"
    )
    return f"package {name}\n\n{channels}\n{function}\n{proc}", packed, outs.bits


def _proc(rolled: Rolled, name: str, beat: int, sample: int, result: str, first: int) -> str:
    """Return the proc around the function `NAME_body`."""
    ids = iter(range(first, 1 << 30))
    lines: list[str] = []

    def node(label: str, kind: str, text: str) -> str:
        lines.append(f"  {label}: {kind} = {text}, id={next(ids)})")
        return label

    node("begin", "token", "literal(value=token")
    node("received", f"(token, bits[{beat + 1}])", f"receive(begin, channel={BEAT}")
    node("after", "token", "tuple_index(received, index=0")
    node("word", f"bits[{beat + 1}]", "tuple_index(received, index=1")
    node("last", "bits[1]", "bit_slice(word, start=0, width=1")
    node("in_data", f"bits[{beat}]", f"bit_slice(word, start=1, width={beat}")
    states = ", ".join(["in_data", *(f"s{s.number}" for s in rolled.states)])
    node("called", result, f"invoke({states}, to_apply={name}_body")
    init, parameters = [], []
    for k, s in enumerate(rolled.states):
        width = s.fact.width
        first_value = (s.first >> s.fact.zeros) & ((1 << width) - 1)
        parameters.append(f"s{s.number}: bits[{width}]")
        init.append(str(first_value))
        node(f"f{k}", f"bits[{width}]", f"literal(value={first_value}")
        node(f"n{k}", f"bits[{width}]", f"tuple_index(called, index={k}")
        node(f"c{k}", f"bits[{width}]", f"sel(last, cases=[n{k}, f{k}]")
    node("outputs", f"bits[{sample}]", f"tuple_index(called, index={len(rolled.states)}")
    go = "last"
    if rolled.sends is not None:
        go = node("go", "bits[1]", f"tuple_index(called, index={len(rolled.states) + 1}")
    node("sent", "token", f"send(after, outputs, predicate={go}, channel={SAMPLE}")
    for k, s in enumerate(rolled.states):
        node(f"keep{k}", "()", f"next_value(param=s{s.number}, value=c{k}")
    head = ", ".join([*parameters, f"init={{{', '.join(init)}}}"])
    return f"top proc {name}({head}) {{\n" + "\n".join(lines) + "\n}\n"
