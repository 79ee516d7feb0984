"""A circuit ordered for simulation: groups of equal cells that numpy evaluates at once, 64 vectors to a word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.synth._primitives import OPEN, Carry, Circuit, Function
from pymodel.errors import ToolError

__all__ = ["Schedule", "Step", "Words", "schedule"]

#: (nets, words): bit v of word w is the value of lane 64*w + v.
Words = npt.NDArray[np.uint64]
_Index = npt.NDArray[np.intp]
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class _Functions:
    """Functions of equal arity: inputs (arity, n), truth-table masks (2^arity, n, 1), outputs (n,)."""

    inputs: _Index
    masks: Words
    outputs: _Index

    def values(self, state: Words) -> Words:
        """Return the outputs (n, words) for the nets in `state`: multiplexers, the last input nearest to the output."""
        inputs = [state[nets] for nets in self.inputs]

        def reduced(arity: int, base: int) -> Words:
            if arity == 0:
                leaf: Words = self.masks[base]
                return leaf
            low, high = reduced(arity - 1, base), reduced(arity - 1, base + (1 << (arity - 1)))
            chosen: Words = low ^ (inputs[arity - 1] & (low ^ high))
            return chosen

        found = reduced(len(inputs), 0)
        return np.broadcast_to(found, (self.outputs.size, state.shape[1]))


@dataclass(frozen=True)
class _Carries:
    """Carry cells: start (2, n), selects, data, sums and carries (4, n)."""

    start: _Index
    selects: _Index
    data: _Index
    sums: _Index
    carries: _Index

    @property
    def outputs(self) -> _Index:
        return np.concatenate([self.sums.ravel(), self.carries.ravel()])

    def values(self, state: Words) -> Words:
        """Return sums and carries (8n, words), in the order of :attr:`outputs`."""
        carry = state[self.start[0]] | state[self.start[1]]
        sums, carries = [], []
        for i in range(4):
            select = state[self.selects[i]]
            sums.append(select ^ carry)
            data = state[self.data[i]]
            carry = data ^ (select & (carry ^ data))
            carries.append(carry)
        return np.concatenate([*sums, *carries])


Group = _Functions | _Carries


@dataclass(frozen=True)
class Step:
    """One unit of time: the LUTs that may change all read what was there before; then carries and MUXF follow in order."""

    luts: tuple[Group, ...]
    followers: tuple[Group, ...]


@dataclass(frozen=True)
class Schedule:
    """The combinational cells of a circuit in two orders.

    Attributes:
        settle: groups in an order in which every cell follows its sources.
        steps: the same cells by unit delays; step 0 has no LUTs.
    """

    settle: tuple[Group, ...]
    steps: tuple[Step, ...]


def _sources(cell: Function | Carry) -> tuple[int, ...]:
    return cell.inputs if isinstance(cell, Function) else (*cell.start, *cell.selects, *cell.data)


def _sinks(cell: Function | Carry) -> tuple[int, ...]:
    found = (cell.output,) if isinstance(cell, Function) else (*cell.sums, *cell.carries)
    return tuple(net for net in found if net != OPEN)


def _groups(cells: Iterable[Function | Carry]) -> list[Group]:
    by_arity: dict[int, list[Function]] = defaultdict(list)
    carries: list[Carry] = []
    for cell in cells:
        if isinstance(cell, Function):
            by_arity[len(cell.inputs)].append(cell)
        else:
            carries.append(cell)
    groups: list[Group] = []
    for arity, functions in sorted(by_arity.items()):
        init = np.array([function.init for function in functions], dtype=np.uint64)
        bits = (init >> np.arange(1 << arity, dtype=np.uint64)[:, None]) & np.uint64(1)
        groups.append(
            _Functions(
                inputs=np.array([function.inputs for function in functions], dtype=np.intp).T,
                masks=(bits * _ONES)[:, :, None],
                outputs=np.array([function.output for function in functions], dtype=np.intp),
            )
        )
    if carries:
        fields = ("start", "selects", "data", "sums", "carries")
        groups.append(_Carries(*(np.array([getattr(c, name) for c in carries], dtype=np.intp).T for name in fields)))
    return groups


def _topological(cells: Sequence[Function | Carry]) -> list[int]:
    """Return the indices of all cells, each behind its sources.

    Raises:
        ToolError: if there is a combinational loop.
    """
    driver = {net: index for index, cell in enumerate(cells) for net in _sinks(cell)}
    waiting = [0] * len(cells)
    followers: list[list[int]] = [[] for _ in cells]
    for index, cell in enumerate(cells):
        for source in {driver[net] for net in _sources(cell) if net in driver}:
            waiting[index] += 1
            followers[source].append(index)
    order = [index for index, count in enumerate(waiting) if count == 0]
    for index in order:
        for follower in followers[index]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                order.append(follower)
    if len(order) != len(cells):
        raise ToolError("the netlist has a combinational loop; correct the RTL or generate it again")
    return order


def schedule(circuit: Circuit) -> Schedule:
    """Order the combinational cells of a circuit.

    A LUT takes one unit of time, carry cells and MUXF none: their delays are a fraction of a LUT's and its routing's.

    Raises:
        ToolError: if there is a combinational loop.
    """
    cells: list[Function | Carry] = [*circuit.functions, *circuit.carries]
    rank: dict[int, int] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    ranked: dict[int, list[Function | Carry]] = defaultdict(list)
    luts: dict[int, list[Function | Carry]] = defaultdict(list)
    followers: dict[int, dict[int, list[Function | Carry]]] = defaultdict(lambda: defaultdict(list))
    for index in _topological(cells):
        cell = cells[index]
        sources = _sources(cell)
        unit = isinstance(cell, Function) and cell.unit
        mine = 1 + max((rank.get(net, -1) for net in sources), default=-1)
        begin = unit + min((first.get(net, 0) for net in sources), default=0)
        end = unit + max((last.get(net, 0) for net in sources), default=0)
        for net in _sinks(cell):
            rank[net], first[net], last[net] = mine, begin, end
        ranked[mine].append(cell)
        for time in range(begin, end + 1):
            if unit:
                luts[time].append(cell)
            else:
                followers[time][mine].append(cell)
    depth = max([0, *last.values()])
    return Schedule(
        settle=tuple(group for number in sorted(ranked) for group in _groups(ranked[number])),
        steps=tuple(
            Step(
                luts=tuple(_groups(luts[time])),
                followers=tuple(
                    group for number in sorted(followers[time]) for group in _groups(followers[time][number])
                ),
            )
            for time in range(depth + 1)
        ),
    )
