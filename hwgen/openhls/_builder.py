"""Builds a flat program operation by operation: folds constants, shares equal operations, knows every interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwgen.openhls._narrow import Fact, fact_of, refined
from hwgen.openhls._ops import Op, Program, apply, wrap

__all__ = ["Builder"]

_COMMUTATIVE = frozenset(("add", "mul", "and", "or", "xor"))


class Builder:
    """A program in the making.

    Attributes:
        program: what was built so far.
        facts: the interval of every operation.
    """

    def __init__(self) -> None:
        self.program = Program()
        self.facts: list[Fact] = []
        self._known: dict[tuple[Any, ...], int] = {}

    def input(self, key: tuple[str, int], width: int, fact: Fact) -> int:
        """Return the number of an input of `width` bits whose values obey `fact`."""
        return self._add(Op("input", width, (), key), fact)

    def constant(self, value: int, width: int) -> int:
        """Return the number of a constant, wrapped to `width` bits."""
        op = Op("const", width, (), wrap(value, width))
        return self._add(op, fact_of(op, (), ()))

    def value(self, number: int) -> int | None:
        """Return the value of an operation that can have but one."""
        return self.facts[number].constant

    def width(self, number: int) -> int:
        """Return the width of an operation."""
        return self.program.ops[number].width

    def op(self, kind: str, width: int, *args: int, data: Any = None) -> int:
        """Return the number of an operation; see :class:`Op`."""
        ops = self.program.ops
        if kind in _COMMUTATIVE and args[0] > args[1]:
            args = (args[1], args[0])
        if (same := self._identity(kind, width, args)) is not None:
            return same
        op = Op(kind, width, tuple(args), data)
        widths = [ops[a].width for a in args]
        facts = [self.facts[a] for a in args]
        if args and all(f.constant is not None for f in facts):
            return self.constant(apply(op, [f.low for f in facts], widths), width)
        condition = None
        if kind == "select" and ops[args[0]].kind == "icmp":
            a, b = ops[args[0]].args
            condition = ops[args[0]], (self.facts[a], self.facts[b])
            for arm, truth in ((1, True), (2, False)):
                facts[arm] = self._assuming(args[0], args[arm], truth=truth)
        fact = fact_of(op, facts, widths, condition)
        if fact.constant is not None:
            return self.constant(fact.low, width)
        return self._add(op, fact)

    def _assuming(self, condition: int, number: int, *, truth: bool, depth: int = 4) -> Fact:
        """Return the fact of an operation where a comparison is true (or false); it may be computed from what is compared.

        LLVM writes the clip of a code as `v & ~15 == 0 ? v & 255 : 15`: there, the bits of the mask are known to be 0.
        """
        ops, facts = self.program.ops, self.facts
        op, test = ops[number], ops[condition]
        if number in test.args:
            return refined(test, (facts[test.args[0]], facts[test.args[1]]), number, facts[number], truth=truth)
        if op.kind == "and" and test.data == ("eq" if truth else "ne") and facts[test.args[1]].constant == 0:
            masked = ops[test.args[0]]
            shared = [a for a in op.args if a in masked.args and facts[a].constant is None]
            if masked.kind == "and" and shared:
                keep, clear = (facts[b.args[1 - b.args.index(shared[0])]].constant for b in (op, masked))
                if keep is not None and clear is not None and keep >= 0:
                    high = min(facts[number].high, keep & ~clear)
                    return Fact(0, high >> facts[number].zeros << facts[number].zeros, facts[number].zeros)
        if not depth or op.kind not in ("trunc", "zext", "sext", "and", "add", "sub", "ashr", "shl"):
            return facts[number]
        found = [self._assuming(condition, a, truth=truth, depth=depth - 1) for a in op.args]
        if all(new == facts[a] for new, a in zip(found, op.args, strict=True)):
            return facts[number]
        fact = fact_of(op, found, [ops[a].width for a in op.args])
        return fact if facts[number].low <= fact.low and fact.high <= facts[number].high else facts[number]

    def _identity(self, kind: str, width: int, args: Sequence[int]) -> int | None:
        """Return the operand that an operation merely repeats, if it does."""
        if kind == "select":
            chosen = self.value(args[0])
            if chosen is not None:
                return args[1] if chosen else args[2]
            return args[1] if args[1] == args[2] else None
        if kind in ("add", "or", "xor"):
            zero = next((a for a in args if self.value(a) == 0), None)
            return None if zero is None else args[1] if args[0] == zero else args[0]
        if kind in ("shl", "lshr", "ashr", "sub") and self.value(args[1]) == 0:
            return args[0]
        if kind == "mul":
            one = next((a for a in args if self.value(a) == 1), None)
            return None if one is None else args[1] if args[0] == one else args[0]
        if kind in ("zext", "sext", "trunc") and self.width(args[0]) == width:
            return args[0]
        return None

    def _add(self, op: Op, fact: Fact) -> int:
        key = (op.kind, op.width, op.args, op.data)
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = len(self.program.ops)
            self.program.ops.append(op)
            self.facts.append(fact)
        return number

    # What other operations are made of.

    def compare(self, predicate: str, a: int, b: int) -> int:
        """Return the number of a comparison."""
        return self.op("icmp", 1, a, b, data=predicate)

    def select(self, condition: int, yes: int, no: int) -> int:
        """Return `condition ? yes : no`."""
        return self.op("select", self.width(yes), condition, yes, no)

    def both(self, a: int, b: int) -> int:
        """Return the conjunction of two conditions."""
        if self.value(a) == -1:
            return b
        return a if self.value(b) == -1 else self.op("and", 1, a, b)

    def either(self, a: int, b: int) -> int:
        """Return the disjunction of two conditions."""
        return self.op("or", 1, a, b)

    def negation(self, a: int) -> int:
        """Return the negation of a condition."""
        return self.op("xor", 1, a, self.constant(-1, 1))

    def resize(self, a: int, width: int, *, is_signed: bool) -> int:
        """Return `a` extended or cut to `width` bits."""
        old = self.width(a)
        return a if old == width else self.op("trunc" if width < old else "sext" if is_signed else "zext", width, a)
