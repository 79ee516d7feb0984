"""Runs a rolled kernel's flat program on many samples at once: the station between C++ and XLS.

Also finds which words of the memories can be reached at all; co-simulation cannot see a memory that is too large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwgen.openhls._ops import Op
from hwgen.openhls._rolled import Rolled
from hwgen.openhls._rolled_machine import ROUND, STATE, TABLE, Table
from pymodel.ir import IntArray

__all__ = ["run_rolled", "used_words"]

#: Values of an input element that are tried, if it has no more.
_MAX_VALUES = 1 << 12

_Bools = npt.NDArray[np.bool_]


def _wrap(values: IntArray, width: int) -> IntArray:
    if width >= 64:
        return values
    return (values << (64 - width)) >> (64 - width)


def _unsigned(values: IntArray, width: int) -> npt.NDArray[np.uint64]:
    bits = values.astype(np.uint64)
    return bits if width >= 64 else bits & np.uint64((1 << width) - 1)


def _compare(predicate: str, a: IntArray, b: IntArray, width: int) -> _Bools:
    x, y = (_unsigned(a, width), _unsigned(b, width)) if predicate[0] == "u" else (a, b)
    order = predicate if predicate in ("eq", "ne") else predicate[1:]
    result = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }[order](x, y)
    return np.asarray(result, dtype=bool)


def _shift(op: Op, a: IntArray, amount: IntArray) -> IntArray:
    """Return a shift as :func:`._ops.apply` defines it, amounts of the width and more included."""
    n = _unsigned(amount, op.width)
    inside = np.minimum(n, np.uint64(min(op.width, 64) - 1)).astype(np.int64)
    far = n >= np.uint64(op.width)
    if op.kind == "ashr":
        return a >> inside
    if op.kind == "shl":
        return np.where(far, 0, _wrap(a << inside, op.width))
    shifted = (_unsigned(a, op.width) >> inside.astype(np.uint64)).astype(np.int64)
    return np.where(far, 0, _wrap(shifted, op.width))


def _divide(op: Op, a: IntArray, b: IntArray) -> IntArray:
    if op.kind[0] == "u":
        x, y = _unsigned(a, op.width), _unsigned(b, op.width)
        wide = x // y if op.kind == "udiv" else x % y
        return _wrap(wide.astype(np.int64), op.width)
    quotient = np.abs(a) // np.abs(b)
    quotient = np.where((a < 0) == (b < 0), quotient, -quotient)
    return _wrap(quotient if op.kind == "sdiv" else a - b * quotient, op.width)


def _apply(op: Op, args: Sequence[IntArray], widths: Sequence[int]) -> IntArray:
    w, kind = op.width, op.kind
    match kind:
        case "add":
            return _wrap(args[0] + args[1], w)
        case "sub":
            return _wrap(args[0] - args[1], w)
        case "mul":
            return _wrap(args[0] * args[1], w)
        case "and":
            return args[0] & args[1]
        case "or":
            return args[0] | args[1]
        case "xor":
            return args[0] ^ args[1]
        case "select":
            return np.where(args[0] != 0, args[1], args[2])
        case "icmp":
            return -_compare(op.data, args[0], args[1], widths[0]).astype(np.int64)
        case "sext":
            return args[0]
        case "trunc":
            return _wrap(args[0], w)
        case "zext":
            return _unsigned(args[0], widths[0]).astype(np.int64)
        case "rom":
            index = np.minimum(_unsigned(args[0], widths[0]), np.uint64(len(op.data) - 1)).astype(np.int64)
            return np.asarray(op.data, dtype=np.int64)[index]
        case "mux":
            index = np.minimum(_unsigned(args[0], widths[0]), np.uint64(len(args) - 2)).astype(np.int64)
            return np.asarray(np.choose(index, np.stack(args[1:])), dtype=np.int64)
    return _shift(op, args[0], args[1]) if kind in ("shl", "lshr", "ashr") else _divide(op, args[0], args[1])


class _Runner:
    """Evaluates the operations that `wanted` depends on, iteration by iteration."""

    def __init__(self, rolled: Rolled, wanted: Sequence[int]) -> None:
        self.rolled = rolled
        self.ops = rolled.builder.program.ops
        self.entries = [
            [np.asarray(entry.values, dtype=np.int64) for entry in table.fields.values()] for table in rolled.tables
        ]
        self.live = self._live(wanted)
        self.used: list[_Bools] = [np.zeros(table.words, dtype=bool) for table in rolled.tables]

    def _live(self, wanted: Sequence[int]) -> list[int]:
        needed = set(wanted)
        for number in range(len(self.ops) - 1, -1, -1):
            if number in needed:
                op = self.ops[number]
                needed.update(op.args)
                if op.kind == "input" and op.data[0] == TABLE:  # its address comes before it
                    needed.add(self._table(op).index)
        return sorted(needed)

    def _table(self, op: Op) -> Table:
        number: int = op.data[1]
        return self.rolled.tables[number >> 20]

    def run(self, r: int, beat: IntArray, state: dict[int, IntArray]) -> dict[int, IntArray]:
        """Return the value of every live operation in iteration r; `beat` is (rows, P), a state (rows,)."""
        values: dict[int, IntArray] = {}
        rows = beat.shape[0]
        for number in self.live:
            op = self.ops[number]
            if op.kind == "const":
                values[number] = np.full(rows, op.data, dtype=np.int64)
            elif op.kind == "input":
                values[number] = self._input(op, r, beat, state, values)
            else:
                widths = [self.ops[a].width for a in op.args]
                values[number] = _apply(op, [values[a] for a in op.args], widths)
        return values

    def _input(
        self, op: Op, r: int, beat: IntArray, state: dict[int, IntArray], values: dict[int, IntArray]
    ) -> IntArray:
        name, element = op.data
        if name == ROUND:
            return np.full(beat.shape[0], r, dtype=np.int64)
        if name == STATE:
            return state[element]
        if name == TABLE:
            table, column = element >> 20, element & ((1 << 20) - 1)
            index = values[self.rolled.tables[table].index]
            self.used[table][index] = True
            return np.asarray(self.entries[table][column][index], dtype=np.int64)
        return beat[:, element]


def run_rolled(rolled: Rolled, X: IntArray) -> IntArray:
    """Return the outputs (rows, n_out) of the kernel for input integers `X` (rows, n_in)."""
    outputs = rolled.builder.program.outputs
    wanted = [outputs[p.name, k] for p in rolled.interface.outputs for k in range(p.count)]
    sends = [] if rolled.sends is None else [rolled.sends]
    runner = _Runner(rolled, [*wanted, *(s.following for s in rolled.states), *sends])
    samples: list[IntArray] = []
    state = {s.number: np.full(X.shape[0], s.first, dtype=np.int64) for s in rolled.states}
    for r in range(rolled.trip):
        values = runner.run(r, X[:, r * rolled.beat : (r + 1) * rolled.beat], state)
        state = {s.number: values[s.following] for s in rolled.states}
        if r == rolled.trip - 1 if rolled.sends is None else values[rolled.sends].any():
            samples.append(_outputs(rolled, wanted, values))
    return np.concatenate(samples, axis=1)


def _outputs(rolled: Rolled, wanted: Sequence[int], values: dict[int, IntArray]) -> IntArray:
    widths = [p.width for p in rolled.interface.outputs for _ in range(p.count)]
    kinds = [p.signed for p in rolled.interface.outputs for _ in range(p.count)]
    columns = [
        values[number] if is_signed else _unsigned(values[number], width).astype(np.int64)
        for number, width, is_signed in zip(wanted, widths, kinds, strict=True)
    ]
    return np.stack(columns, axis=1)


def used_words(rolled: Rolled) -> list[int]:
    """Return for every memory how many of its words some iteration reads for some input.

    All elements of a beat take each value of their type in turn (4,096 values of wider types). That finds every word,
    because an address depends on one element only; where it depended on several, it would find fewer.
    """
    port = rolled.source
    values = np.unique(np.linspace(port.low, port.high, min(1 << port.width, _MAX_VALUES)).astype(np.int64))
    beat = np.repeat(values[:, None], rolled.beat, axis=1)
    runner = _Runner(rolled, [table.index for table in rolled.tables])
    for r in range(rolled.trip):
        found = runner.run(r, beat, {})
        for number, table in enumerate(rolled.tables):
            runner.used[number][found[table.index]] = True
    return [int(mask.sum()) for mask in runner.used]
