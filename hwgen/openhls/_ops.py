"""The flat program: a list of integer operations without control flow, memory or undefined results.

Every operation has a width and means a two's complement integer of that width. Operations are numbered in order of
evaluation; equal operations are one. :func:`evaluate` runs a program on Python integers: the plainest of the stations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COMPARISONS", "Op", "Program", "apply", "evaluate", "wrap"]

COMPARISONS = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation.

    Attributes:
        kind: `const` (data: value), `input` (data: name and element), `add sub mul udiv sdiv urem srem and or xor shl
            lshr ashr`, `icmp` (data: predicate), `select` (condition, then, else), `zext sext trunc`, `rom` (index;
            data: the entries), `mux` (index, values).
        width: bits of the result.
        args: numbers of the operands.
        data: see `kind`.
    """

    kind: str
    width: int
    args: tuple[int, ...] = ()
    data: Any = None


@dataclass
class Program:
    """Operations in order of evaluation, and the results.

    Attributes:
        ops: the operations.
        outputs: number of the operation of each result, by (port, element).
    """

    ops: list[Op] = field(default_factory=list)
    outputs: dict[tuple[str, int], int] = field(default_factory=dict)

    def live(self) -> list[int]:
        """Return the numbers of the operations that a result depends on, in order."""
        needed = set(self.outputs.values())
        for number in range(len(self.ops) - 1, -1, -1):
            if number in needed:
                needed.update(self.ops[number].args)
        return sorted(needed)


def wrap(value: int, width: int) -> int:
    """Return `value` modulo 2^width as a two's complement integer."""
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _unsigned(value: int, width: int) -> int:
    return value & ((1 << width) - 1)


def _quotient(a: int, b: int) -> int:
    """C's division: towards zero."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def _compare(predicate: str, a: int, b: int, width: int) -> bool:
    if predicate[0] == "u":
        a, b = _unsigned(a, width), _unsigned(b, width)
    order = predicate.lstrip("us") if predicate not in ("eq", "ne") else predicate
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[order]


def apply(op: Op, args: Sequence[int], widths: Sequence[int]) -> int:
    """Return the value of `op` on operands of these values and widths.

    Where C or LLVM leaves the result undefined (a shift by the width or more, a division by 0, an index beyond the
    table) it is 0, the sign, all ones or the last entry, as in the hardware.
    """
    w, kind = op.width, op.kind
    match kind:
        case "const":
            return int(op.data)
        case "add":
            return wrap(args[0] + args[1], w)
        case "sub":
            return wrap(args[0] - args[1], w)
        case "mul":
            return wrap(args[0] * args[1], w)
        case "and":
            return args[0] & args[1]
        case "or":
            return args[0] | args[1]
        case "xor":
            return args[0] ^ args[1]
        case "select":
            return args[1] if args[0] else args[2]
        case "icmp":
            return -int(_compare(op.data, args[0], args[1], widths[0]))
        case "sext":
            return args[0]
        case "trunc":
            return wrap(args[0], w)
        case "zext":
            return _unsigned(args[0], widths[0])
        case "rom":
            return int(op.data[min(_unsigned(args[0], widths[0]), len(op.data) - 1)])
        case "mux":
            return args[1 + min(_unsigned(args[0], widths[0]), len(args) - 2)]
    if kind in ("shl", "lshr", "ashr"):
        amount = _unsigned(args[1], w)
        if kind == "ashr":
            return args[0] >> min(amount, w)
        if amount >= w:
            return 0
        return wrap(args[0] << amount if kind == "shl" else _unsigned(args[0], w) >> amount, w)
    a, b = (args[0], args[1]) if kind[0] == "s" else (_unsigned(args[0], w), _unsigned(args[1], w))
    assert kind in ("udiv", "sdiv", "urem", "srem"), kind
    if b == 0:
        return wrap(-1, w) if kind.endswith("div") else wrap(a, w)
    return wrap(_quotient(a, b) if kind.endswith("div") else a - b * _quotient(a, b), w)


def evaluate(program: Program, inputs: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Run `program`; `inputs` are integers by (port, element), results as well."""
    values: dict[int, int] = {}
    for number in program.live():
        op = program.ops[number]
        if op.kind == "input":
            values[number] = wrap(inputs[op.data], op.width)
        else:
            args = op.args
            values[number] = apply(op, [values[a] for a in args], [program.ops[a].width for a in args])
    return {key: values[number] for key, number in program.outputs.items()}
