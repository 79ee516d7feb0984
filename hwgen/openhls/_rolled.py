"""A function with one loop that stays a loop: the loop's body as a flat program, its state, its memories.

    state = first values
    for r in 0 … trip - 1:  state, outputs = body(r, beat r of the input, words of the memories, state)

The outputs are those of the last iteration. The intervals of the state are found by descent: from "anything" the body
gives an interval for the next state, which with the first value bounds every state there is, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.openhls._access import GlobalBytes, Value
from hwgen.openhls._builder import Builder
from hwgen.openhls._errors import Refused
from hwgen.openhls._ifconvert import Edge, Region
from hwgen.openhls._interface import Interface, Port
from hwgen.openhls._llvm import Function, Instruction
from hwgen.openhls._memory import Memory
from hwgen.openhls._narrow import Fact, full, single
from hwgen.openhls._rolled_loop import Counter, LoopBlocks, counters, find_loop, inputs_of
from hwgen.openhls._rolled_machine import ROUND, STATE, LoopMachine, Table

__all__ = ["Rolled", "State", "roll"]

_DESCENTS = 4


@dataclass(frozen=True)
class State:
    """What an iteration hands to the next: pseudo-input `("state ", number)`.

    Attributes:
        number: of the loop variable.
        fact: of all its values.
        first: value in iteration 0.
        following: operation of the next value.
    """

    number: int
    fact: Fact
    first: int
    following: int


@dataclass(frozen=True)
class Rolled:
    """A rolled kernel.

    Attributes:
        builder: the flat program of an iteration; results by (port, element), as after the last iteration.
        interface: the ports, one of them an input.
        trip: iterations.
        beat: elements of the input that an iteration takes.
        states: what iterations hand on.
        tables: the memories.
        sends: operation of width 1: whether an iteration gives outputs; None: the last one does.
        samples: how many iterations do; together they are the outputs of a sample.
    """

    builder: Builder
    interface: Interface
    trip: int
    beat: int
    states: tuple[State, ...]
    tables: tuple[Table, ...]
    sends: int | None = None
    samples: int = 1

    @property
    def source(self) -> Port:
        """The input."""
        return self.interface.inputs[0]


@dataclass
class _Pass:
    machine: LoopMachine
    phis: list[Instruction]
    first: dict[int, int | None]
    following: dict[int, int]
    go: int


class _Roller:
    def __init__(self, function: Function, interface: Interface, globals_: Mapping[str, GlobalBytes]) -> None:
        self.function, self.interface, self.globals = function, interface, globals_
        blocks = find_loop(function, interface.top)
        if blocks is None:
            raise Refused("a function without a rolled loop", interface.top, "build it as a pipeline")
        self.blocks: LoopBlocks = blocks

    def run(self, trip: int | None, counts: Mapping[int, Counter], facts: Mapping[int, Fact]) -> _Pass:
        """Evaluate everything once, with `counts` and `facts` of the loop variables as far as they are known."""
        b = Builder()
        machine = LoopMachine(b, self.interface, self.globals, trip=trip)
        region = Region(self.function, machine, machine.parameters(self.function))
        incoming = region.run(self.blocks.before, Memory())
        memory = self._only(incoming, machine).memory
        phis = [i for i in self.function.blocks[self.blocks.header].instructions if i.opcode == "phi"]
        first: dict[int, int | None] = {}
        preset: dict[str, Value] = {}
        if trip is not None:
            machine.round = b.input((ROUND, 0), 64, Fact(0, max(trip - 1, 0)))
        for k, phi in enumerate(phis):
            ways = dict(zip(phi.labels, phi.operands, strict=True))
            width = phi.type.bits
            if phi.type.kind != "int":
                raise machine.refused("a pointer that a rolled loop moves", "index arrays with the iteration's number")
            first[k] = b.value(region.integer(ways[incoming[0].source], width))
            assert phi.name is not None
            if k in counts and machine.round is not None:
                step = b.op("mul", 64, machine.round, b.constant(counts[k].step, 64))
                value = b.op("add", 64, step, b.constant(counts[k].start, 64))
                preset[phi.name] = b.resize(value, width, is_signed=True)
            else:
                preset[phi.name] = b.input((STATE, k), width, facts.get(k, full(width)))
        machine.in_loop = True
        edges = region.run(self.blocks.body, memory, preset)
        machine.in_loop = False
        back = [e for e in edges if e.target == self.blocks.header]
        leaving = [e for e in edges if e.target != self.blocks.header]
        if not leaving:
            raise machine.refused("a loop without end", "give it a constant trip count")
        go = b.constant(0, 1)
        following: dict[int, int] = {}
        for edge in back:
            go = b.either(go, edge.condition)
            for k, phi in enumerate(phis):
                ways = dict(zip(phi.labels, phi.operands, strict=True))
                value = region.integer(ways[edge.source], phi.type.bits)
                following[k] = b.select(edge.condition, value, following[k]) if k in following else value
        if trip is not None:
            self._finish(region, machine, leaving)
        return _Pass(machine, phis, first, following, go)

    def _only(self, edges: list[Edge], machine: LoopMachine) -> Edge:
        if len(edges) != 1 or machine.builder.value(edges[0].condition) == 0:
            raise machine.refused("a rolled loop that is entered from several places", "enter it unconditionally")
        return edges[0]

    def _finish(self, region: Region, machine: LoopMachine, leaving: list[Edge]) -> None:
        """Evaluate what follows the loop."""
        if any(edge.target != leaving[0].target for edge in leaving):
            raise machine.refused("a rolled loop that is left for several places", "leave it at its end only")
        preset: dict[str, Value] = {}
        for instruction in self.function.blocks[leaving[0].target].instructions:
            if instruction.opcode == "phi" and instruction.name is not None:
                ways = dict(zip(instruction.labels, instruction.operands, strict=True))
                merged = region.integer(ways[leaving[0].source], instruction.type.bits)
                for edge in leaving[1:]:
                    value = region.integer(ways[edge.source], instruction.type.bits)
                    merged = machine.builder.select(edge.condition, value, merged)
                preset[instruction.name] = merged
        ends = region.run(self.blocks.after, leaving[0].memory.copy(), preset)
        machine.memory = self._only(ends, machine).memory
        self.interface = machine.results(region.returned)


def roll(function: Function, interface: Interface, globals_: Mapping[str, GlobalBytes]) -> Rolled:
    """Return the rolled kernel of a function with one loop.

    Args:
        function: its LLVM code, with a loop that was not unrolled.
        interface: its ports, in the order of its parameters.
        globals_: bytes of every global.

    Raises:
        Refused: for what cannot become hardware; the message names the construct and the remedy.
    """
    roller = _Roller(function, interface, globals_)
    probe = roller.run(None, {}, {})
    trip, counts = counters(probe.machine.builder, probe.go, probe.following, probe.first, interface.top)
    for k in range(len(probe.phis)):
        if probe.first[k] is None:
            raise probe.machine.refused(
                "a loop variable whose first value is not a constant", "start sums with constants"
            )
    facts: dict[int, Fact] = {}
    for _ in range(_DESCENTS):
        found = roller.run(trip, counts, facts)
        better = {}
        for k in range(len(found.phis)):
            if k not in counts:
                better[k] = _bounds(found, k)
        if better == facts:
            break
        facts = better
    builder, machine = found.machine.builder, found.machine
    program = builder.program
    wanted = set(program.outputs.values())
    states: dict[int, State] = {}
    while True:  # only the state that an output depends on, directly or in a later iteration
        needed = {element for number in wanted for name, element in inputs_of(builder, number) if name == STATE}
        if needed <= set(states):
            break
        for k in sorted(needed - set(states)):
            first = found.first[k]
            assert first is not None
            fact = builder.facts[_input_number(builder, (STATE, k))]
            states[k] = State(k, fact, first, found.following[k])
            wanted.add(found.following[k])
    ordered = tuple(states[k] for k in sorted(states))
    return Rolled(builder, roller.interface, trip, machine.beat, ordered, tuple(machine.tables.values()))


def _bounds(found: _Pass, k: int) -> Fact:
    """Return the interval of a state: its first value, and all that follow."""
    b = found.machine.builder
    number = found.following[k]
    first = found.first[k]
    assert first is not None
    width = found.phis[k].type.bits
    after, start = b.facts[number], single(first, width)
    zeros = min(after.zeros, start.zeros)
    return Fact(min(after.low, first), max(after.high, first), zeros)


def _input_number(builder: Builder, key: tuple[str, int]) -> int:
    return next(n for n, op in enumerate(builder.program.ops) if op.kind == "input" and op.data == key)
