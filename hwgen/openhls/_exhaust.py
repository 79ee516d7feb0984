"""Exact bounds of what depends on few bits: every value of its sources is tried.

An address computed from one code, or from one input, is a function on a small domain, however LLVM has rewritten it.
Sources are inputs and, where too much comes together, operations of few values; taking such an operation as free can
only add values that never occur.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from hwgen.openhls._narrow import Fact
from hwgen.openhls._ops import Op, apply
from pymodel.ir import IntArray

__all__ = ["Exhaust", "columns"]

#: Combinations of source values that are tried; values that an operation may have to count as a source.
_MAX_POINTS = 1 << 16
_MAX_SOURCE = 1 << 13
#: Integers of all columns that are kept for one set of sources.
_MAX_KEPT = 1 << 24
_WORD = 64

_Sources = frozenset[int] | None


class Exhaust:
    """Tables of operations of one program over all values of their sources.

    Args:
        ops: the operations.
        facts: their intervals.
    """

    def __init__(self, ops: Sequence[Op], facts: Sequence[Fact]) -> None:
        self._ops = ops
        self._facts = facts
        self._known: dict[int, _Sources] = {}
        self._grid: tuple[int, ...] = ()
        self._columns: dict[int, IntArray] = {}

    def bounds(self, constant: int, terms: Sequence[tuple[int, int]], condition: int) -> tuple[int, int] | None:
        """Return the least and the largest value of `constant + sum(scale * operation)` where `condition` holds.

        Args:
            constant: a summand.
            terms: (operation, scale); the sum does not wrap.
            condition: an operation of width 1; of its conjuncts, those are used that few bits decide.

        Returns:
            None if the sum depends on too much; (0, 0), as good as anything, if the condition never holds.
        """
        sources = self._joined(number for number, _ in terms)
        if not sources:
            return None
        parts = []
        for part in self._conjuncts(condition):
            found = self._sources(part)
            if found is not None and self._points(sources | found) <= _MAX_POINTS:
                sources |= found
                parts.append(part)
        self._start(tuple(sorted(sources)))
        total = np.full(self._points(sources), constant, dtype=np.int64)
        for number, scale in terms:
            total += scale * self._column(number)
        holds = np.ones(total.size, dtype=bool)
        for part in parts:
            holds &= self._column(part) != 0
        total = total[holds]
        return (int(total.min()), int(total.max())) if total.size else (0, 0)

    def _conjuncts(self, condition: int) -> Iterable[int]:
        stack = [condition]
        while stack:
            number = stack.pop()
            op = self._ops[number]
            if op.kind == "and" and op.width == 1:
                stack += op.args
            elif self._facts[number].constant is None:
                yield number

    def _values(self, number: int) -> int:
        """Return how many values an operation may have."""
        fact = self._facts[number]
        return ((fact.high - fact.low) >> fact.zeros) + 1

    def _points(self, sources: frozenset[int]) -> int:
        product = 1
        for number in sources:
            product *= self._values(number)
        return product

    def _joined(self, numbers: Iterable[int]) -> _Sources:
        result: frozenset[int] = frozenset()
        for number in numbers:
            found = self._sources(number)
            if found is None:
                return None
            result |= found
        return result if self._points(result) <= _MAX_POINTS else None

    def _sources(self, number: int) -> _Sources:
        """Return what operation `number` is computed from, or None if that is too much."""
        stack = [number]
        while stack:
            top = stack[-1]
            missing = [a for a in self._ops[top].args if a not in self._known]
            if top not in self._known and missing and self._facts[top].constant is None:
                stack += missing
                continue
            stack.pop()
            if top not in self._known:
                self._known[top] = self._found(top)
        return self._known[number]

    def _found(self, number: int) -> _Sources:
        op, fact = self._ops[number], self._facts[number]
        if fact.constant is not None:
            return frozenset()
        if op.args and _fits(op, fact):
            joined = self._joined(op.args)
            if joined is not None:
                return joined
        limit = _MAX_POINTS if op.kind == "input" else _MAX_SOURCE
        return frozenset((number,)) if self._values(number) <= limit else None

    def _start(self, grid: tuple[int, ...]) -> None:
        if grid != self._grid or len(self._columns) * self._points(frozenset(grid)) > _MAX_KEPT:
            self._grid, self._columns = grid, {}
            axes = [
                np.arange(self._facts[n].low, self._facts[n].high + 1, 1 << self._facts[n].zeros, dtype=np.int64)
                for n in grid
            ]
            for number, values in zip(grid, np.meshgrid(*axes, indexing="ij"), strict=True):
                self._columns[number] = values.reshape(-1)

    def _column(self, number: int) -> IntArray:
        """Return the values of an operation at every point of the grid, which holds all its sources."""
        needed, stack = {number}, [number]
        while stack:
            top = stack.pop()
            if top in self._columns or self._facts[top].constant is not None:
                continue
            for a in self._ops[top].args:
                if a not in needed:
                    needed.add(a)
                    stack.append(a)
        size = self._points(frozenset(self._grid))
        for n in sorted(needed):
            if n in self._columns:
                continue
            constant = self._facts[n].constant
            if constant is not None:
                self._columns[n] = np.broadcast_to(np.array(constant, dtype=np.int64), (size,))
            elif all(a in self._columns for a in self._ops[n].args) and self._ops[n].args:
                op = self._ops[n]
                self._columns[n] = columns(
                    op, [self._columns[a] for a in op.args], [self._ops[a].width for a in op.args]
                )
        return self._columns[number]


def _fits(op: Op, fact: Fact) -> bool:
    """Return whether the values of an operation can be computed in words of 64 bits."""
    if op.width <= _WORD:
        return True
    return op.kind not in ("lshr", "udiv", "urem", "sdiv", "srem") and fact.low >= -(1 << 63) and fact.high < 1 << 63


def columns(op: Op, args: Sequence[IntArray], widths: Sequence[int]) -> IntArray:
    """Return :func:`._ops.apply` of an operation, element by element.

    Wider operations than 64 bits must have results that fit an int64, see :func:`_fits`.
    """
    kind, w = op.kind, op.width
    result: IntArray
    match kind:
        case "select":
            result = np.where(args[0] != 0, args[1], args[2])
        case "sext":
            result = args[0]
        case "trunc":
            result = _wrapped(args[0], w)
        case "zext":
            result = _low_bits(args[0], widths[0]).view(np.int64)
        case "icmp":
            result = -_compared(op.data, args[0], args[1]).astype(np.int64)
        case "rom":
            table = np.array(op.data, dtype=np.int64)
            result = table[np.minimum(_low_bits(args[0], widths[0]), table.size - 1).astype(np.int64)]
        case "mux":
            place = np.minimum(_low_bits(args[0], widths[0]), len(args) - 2).astype(np.int64)
            result = np.stack(args[1:])[place, np.arange(place.size)]
        case "shl" | "lshr" | "ashr":
            result = _shifted(kind, args[0], _low_bits(args[1], min(w, _WORD)), w)
        case _ if kind in _ARITHMETIC:
            result = _wrapped(_ARITHMETIC[kind](args[0], args[1]), w)
        case _:
            points = zip(*(a.tolist() for a in args), strict=True)
            result = np.array([apply(op, point, widths) for point in points], dtype=np.int64)
    return result


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def _wrapped(values: IntArray, width: int) -> IntArray:
    if width >= _WORD:
        return values
    return (values << (_WORD - width)) >> (_WORD - width)


def _low_bits(values: IntArray, width: int) -> Any:
    """Return the lowest bits as uint64; of what is wider than 64 bits, and fits an int64, all of those."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    return bits if width >= _WORD else bits & np.uint64((1 << width) - 1)


def _compared(predicate: str, a: Any, b: Any) -> Any:
    if predicate[0] == "u":  # a sign-extended value orders as the unsigned one of its width does
        a, b, predicate = (
            np.ascontiguousarray(a).view(np.uint64),
            np.ascontiguousarray(b).view(np.uint64),
            predicate[1:],
        )
    return _COMPARISONS[predicate.removeprefix("s")](a, b)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _shifted(kind: str, values: Any, amount: Any, width: int) -> IntArray:
    places = np.minimum(amount, _WORD - 1)
    if kind == "ashr":
        arithmetic: IntArray = values >> places.astype(np.int64)
        return arithmetic
    bits = np.ascontiguousarray(values).view(np.uint64) if kind == "shl" else _low_bits(values, width)
    moved = bits << places if kind == "shl" else bits >> places
    moved = np.where(amount < min(width, _WORD), moved, np.uint64(0))
    return _wrapped(moved.view(np.int64), width)
