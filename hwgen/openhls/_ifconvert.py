"""If-conversion: a function without loops becomes a flat program; branches become selects, memory becomes values.

Every block is evaluated; a block's condition only decides which values and which stores survive where paths meet. That
is exact, because no operation here can trap: what C++ leaves undefined has some value (see :func:`._ops.apply`), and a
path that is not taken has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwgen.openhls._access import GlobalBytes, Machine, Value
from hwgen.openhls._builder import Builder
from hwgen.openhls._calls import call
from hwgen.openhls._errors import Refused
from hwgen.openhls._interface import Interface
from hwgen.openhls._llvm import Block, Constant, Function, Instruction, Local, Operand, address_steps, signed
from hwgen.openhls._memory import Address, Choice, Linear, Memory, Target, linear, offset_by

__all__ = ["Edge", "Flat", "Region", "flatten", "order_of"]


@dataclass(frozen=True)
class Flat:
    """A straight-line kernel.

    Attributes:
        builder: the flat program with its intervals; results by (port, element).
        interface: the ports, every direction decided.
    """

    builder: Builder
    interface: Interface


@dataclass
class Edge:
    """A way out of a region: from one block to another, under a condition (an operation of width 1)."""

    source: str
    target: str
    condition: int
    memory: Memory


def order_of(function: Function, shown: str = "") -> list[str]:
    """Return the blocks in an order in which every one comes after all that lead to it.

    Raises:
        Refused: if there is a loop.
    """
    heap = any(i.text in ("malloc", "_Znam", "_Znwm") for b in function.blocks.values() for i in b.instructions)
    state: dict[str, int] = {}
    order: list[str] = []
    stack: list[tuple[str, int]] = [(next(iter(function.blocks)), 0)]
    while stack:
        label, at = stack.pop()
        following = successors(function.blocks[label])
        if at == 0:
            state[label] = 1
        if at < len(following):
            stack.append((label, at + 1))
            seen = state.get(following[at])
            if seen == 1:
                if heap:
                    raise Refused(
                        "memory from the heap, or arithmetic of more than 64 bits",
                        shown or function.name,
                        "use arrays of constant length, and keep every result within 64 bits",
                    )
                raise Refused(
                    "a loop that stays a loop (its trip count depends on data, or is too large to unroll)",
                    shown or function.name,
                    "give it a constant trip count",
                )
            if seen is None:
                stack.append((following[at], 0))
            continue
        state[label] = 2
        order.append(label)
    return order[::-1]


def successors(block: Block) -> tuple[str, ...]:
    """Return the labels that a block's terminator may jump to."""
    return block.instructions[-1].labels if block.instructions else ()


class Region:
    """Evaluates blocks of a function, in order, into the flat program of a machine.

    Attributes:
        values: what every local name stands for.
        returned: the value that `ret` gives, or None.
    """

    def __init__(self, function: Function, machine: Machine, values: dict[str, Value]) -> None:
        self.function = function
        self.machine = machine
        self.builder = machine.builder
        self.values = values
        self.returned: int | None = None

    def run(self, labels: Sequence[str], memory: Memory, preset: Mapping[str, Value] | None = None) -> list[Edge]:
        """Evaluate the blocks `labels` (the first is where control comes in) and return the edges that leave them.

        Args:
            labels: in an order in which all that leads to a block comes before it.
            memory: at the entry.
            preset: values of the first block's phis.
        """
        inside = set(labels)
        incoming: dict[str, list[Edge]] = {label: [] for label in labels}
        leaving: list[Edge] = []
        for position, label in enumerate(labels):
            if position == 0:
                condition, current = self.builder.constant(-1, 1), memory
                self.values.update(preset or {})
            else:
                edges = incoming[label]
                if not edges:
                    continue  # only reached where behaviour is undefined
                condition = edges[0].condition
                for edge in edges[1:]:
                    condition = self.builder.either(condition, edge.condition)
                current = self._merge(edges)
                self._phis(self.function.blocks[label], edges)
            self.machine.memory = current
            self.machine.condition = condition
            for instruction in self.function.blocks[label].instructions:
                if instruction.opcode == "phi":
                    continue
                if instruction.opcode in ("br", "switch", "ret", "unreachable"):
                    for edge in self._leave(label, instruction, condition):
                        if edge.target in inside and edge.target != labels[0]:
                            incoming[edge.target].append(edge)
                        else:
                            leaving.append(edge)
                    break
                self._execute(instruction)
        return leaving

    def operand(self, operand: Operand, width: int = 64) -> Value:
        """Return what an operand stands for."""
        if isinstance(operand, Local):
            value = self.values.get(operand.name)
            if value is None:
                raise self.machine.refused("an undefined value", "initialise every variable")
            return value
        if operand.symbol is not None:
            return Address(Target("global", operand.symbol), Linear(operand.value))
        return self.builder.constant(operand.value, width)

    def integer(self, operand: Operand, width: int) -> int:
        """Return the operation that an integer operand stands for."""
        value = self.operand(operand, width)
        if not isinstance(value, int):
            raise self.machine.refused("arithmetic with a pointer", "index arrays with integers")
        return value

    def address(self, operand: Operand) -> Address | Choice:
        """Return the address that a pointer operand stands for."""
        value = self.operand(operand)
        if isinstance(value, int):
            raise self.machine.refused("a pointer that is null or made from an integer", "use arrays")
        return value

    def _leave(self, label: str, instruction: Instruction, condition: int) -> list[Edge]:
        b = self.builder
        memory = self.machine.memory
        if instruction.opcode == "unreachable":
            return []
        if instruction.opcode == "ret":
            if instruction.operands:
                value = self.integer(instruction.operands[0], instruction.type.bits)
                self.returned = value if self.returned is None else b.select(condition, value, self.returned)
            return [Edge(label, "", condition, memory)]
        if instruction.opcode == "br" and not instruction.operands:
            return [Edge(label, instruction.labels[0], condition, memory)]
        if instruction.opcode == "br":
            chosen = self.integer(instruction.operands[0], 1)
            pairs = [(instruction.labels[0], chosen), (instruction.labels[1], b.negation(chosen))]
        else:
            width = instruction.types[0].bits
            value = self.integer(instruction.operands[0], width)
            cases = [b.compare("eq", value, self.integer(c, width)) for c in instruction.operands[1:]]
            none = b.constant(-1, 1)
            for case in cases:
                none = b.both(none, b.negation(case))
            pairs = list(zip(instruction.labels, [none, *cases], strict=True))
        merged: dict[str, int] = {}
        for target, way in pairs:
            merged[target] = b.either(merged[target], way) if target in merged else way
        edges = [Edge(label, target, b.both(condition, way), memory) for target, way in merged.items()]
        return [edge for edge in edges if b.value(edge.condition) != 0]

    def _phis(self, block: Block, edges: list[Edge]) -> None:
        found: dict[str, Value] = {}
        for instruction in block.instructions:
            if instruction.opcode != "phi":
                break
            ways = dict(zip(instruction.labels, instruction.operands, strict=True))
            assert instruction.name is not None
            merged: Value | None = None
            for edge in edges:
                value = self.operand(ways[edge.source], instruction.type.bits)
                merged = value if merged is None else self._choose(edge.condition, value, merged)
            assert merged is not None
            found[instruction.name] = merged
        self.values.update(found)

    def _choose(self, condition: int, yes: Value, no: Value) -> Value:
        if yes == no:
            return yes
        if isinstance(yes, int) and isinstance(no, int):
            return self.builder.select(condition, yes, no)
        if isinstance(yes, int) or isinstance(no, int):
            raise self.machine.refused("a pointer that may be null", "use arrays")
        return Choice(condition, yes, no)

    def joined(self, edges: list[Edge]) -> Memory:
        """Return the memory where the edges that leave a function meet."""
        return self._merge(edges)

    def _merge(self, edges: list[Edge]) -> Memory:
        """Return the memory where paths meet; bytes that a path did not write are undefined there."""
        if len(edges) == 1:
            return edges[0].memory.copy()
        result = edges[0].memory.copy()
        for edge in edges[1:]:
            result = self._merge_two(edge.condition, edge.memory, result)
        return result

    def _merge_two(self, condition: int, yes: Memory, no: Memory) -> Memory:
        b = self.builder
        result = Memory()
        for target in sorted({*yes.cells, *no.cells}):
            ours, theirs = yes.cells.get(target, {}), no.cells.get(target, {})
            cells = {offset: cell for offset, cell in ours.items() if theirs.get(offset) == cell}
            result.cells[target] = dict(cells)
            for offset, size in sorted(
                {(o, c.size) for m in (ours, theirs) for o, c in m.items() if cells.get(o) != c}, key=lambda x: -x[1]
            ):
                if result.read(b, target, offset, size) is not None:
                    continue
                first, second = yes.read(b, target, offset, size), no.read(b, target, offset, size)
                if first is not None and second is not None:
                    result.write(b, target, offset, b.select(condition, first, second))
                elif target.kind == "local":  # undefined on the other path: any value will do
                    known = second if first is None else first
                    if known is not None:
                        result.write(b, target, offset, known)
                else:
                    self.machine.partial.add(target.name)
        return result

    def _execute(self, instruction: Instruction) -> None:
        b, m = self.builder, self.machine
        opcode, width = instruction.opcode, instruction.type.bits
        if opcode == "store":
            if instruction.type.kind != "int":
                raise m.refused("a pointer in memory", "index arrays with integers")
            m.store(self.address(instruction.operands[1]), self.integer(instruction.operands[0], width))
            return
        name = instruction.name or ""
        if opcode == "load":
            if instruction.type.kind != "int":
                raise m.refused("a pointer in memory", "index arrays with integers")
            self.values[name] = m.load(self.address(instruction.operands[0]), width)
        elif opcode == "getelementptr":
            self.values[name] = self._element(instruction)
        elif opcode == "alloca":
            assert instruction.source_type is not None
            m.sizes[Target("local", name)] = instruction.source_type.size
            self.values[name] = Address(Target("local", name), Linear(0))
        elif opcode == "freeze":
            self.values[name] = self.operand(instruction.operands[0], width)
        elif opcode == "call":
            call(self, instruction)
        elif opcode in ("zext", "sext", "trunc"):
            self.values[name] = b.op(opcode, width, self.integer(instruction.operands[0], instruction.types[0].bits))
        elif opcode == "icmp":
            self._compare(instruction)
        elif opcode == "select":
            yes, no = (self.operand(o, width) for o in instruction.operands[1:])
            self.values[name] = self._choose(self.integer(instruction.operands[0], 1), yes, no)
        elif opcode in ("ptrtoint", "inttoptr", "bitcast"):
            raise m.refused("a pointer as an integer", "index arrays with integers")
        elif opcode == "extractvalue":
            raise m.refused("a pair of values", "write it with separate variables")
        else:
            x, y = (self.integer(o, width) for o in instruction.operands)
            if opcode.endswith(("div", "rem")) and b.value(y) is None:
                raise m.refused(
                    "a division by a variable", "multiply by a reciprocal from a table, or divide by a constant"
                )
            if opcode.endswith(("div", "rem")) and b.value(y) == 0:
                raise m.refused("a division by zero", "divide by another constant")
            self.values[name] = b.op(opcode, width, x, y)

    def _compare(self, instruction: Instruction) -> None:
        assert instruction.name is not None
        if instruction.types[0].kind != "int":
            raise self.machine.refused("a comparison of pointers", "compare indices")
        x, y = (self.integer(o, instruction.types[0].bits) for o in instruction.operands)
        self.values[instruction.name] = self.builder.compare(instruction.text, x, y)

    def _element(self, instruction: Instruction) -> Address | Choice:
        assert instruction.source_type is not None
        offset = Linear(0)
        indices = [
            Constant(signed(o.value, t.bits)) if isinstance(o, Constant) else o
            for o, t in zip(instruction.operands[1:], instruction.types, strict=True)
        ]
        odd = lambda: self.machine.refused("an address that is not understood", "index arrays with integers")  # noqa: E731
        widths = iter(instruction.types)
        for size, index in address_steps(instruction.source_type, list(indices), odd):
            width = next(widths).bits
            if index is None:
                offset = offset.plus(Linear(size))
            elif isinstance(index, Constant):
                offset = offset.plus(Linear(size * index.value))
            else:
                offset = offset.plus(linear(self.builder, self.integer(index, width)), size)
        return offset_by(self.address(instruction.operands[0]), offset)


def flatten(function: Function, interface: Interface, globals_: Mapping[str, GlobalBytes]) -> Flat:
    """Return the flat program of a function without loops.

    Args:
        function: its LLVM code.
        interface: its ports, in the order of its parameters.
        globals_: bytes of every global.

    Raises:
        Refused: for what cannot become hardware.
    """
    builder = Builder()
    machine = Machine(builder, interface, globals_)
    values = machine.parameters(function)
    region = Region(function, machine, values)
    edges = region.run(order_of(function, interface.top), Memory())
    if not edges:
        raise machine.refused("a function that never returns", "let every path return")
    return Flat(builder, machine.finish(region.joined(edges), region.returned))
