"""Builds a flat program operation by operation: folds constants, shares equal operations, knows every interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hwgen.openhls._assume import assume, fact_under
from hwgen.openhls._exhaust import Exhaust
from hwgen.openhls._linear import Form, form_of, limited
from hwgen.openhls._narrow import Fact, fact_of
from hwgen.openhls._ops import Op, Program, apply, wrap
from hwgen.openhls._tight import Tight

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
        self._forms: dict[int, Form] = {}
        self._tight = Tight(self.program.ops, self.facts, self._forms)
        self._exhaust = Exhaust(self.program.ops, self.facts)

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
        if kind == "select":
            for arm, truth in ((1, True), (2, False)):
                known = assume(ops, self.facts, args[0], truth=truth)
                if known:
                    facts[arm] = fact_under(ops, self.facts, args[arm], known)
        fact = fact_of(op, facts, widths)
        form = form_of(op, self._form, self.facts)
        if form is not None:
            fact = limited(fact, form)
        if fact.constant is not None:
            return self.constant(fact.low, width)
        number = self._add(op, fact)
        if form is not None:
            self._forms.setdefault(number, form)
        return number

    def _form(self, number: int) -> Form:
        """Return an operation as a linear form; a leaf if it is no sum."""
        found = self._forms.get(number)
        if found is None:
            fact = self.facts[number]
            if fact.constant is not None:
                found = Form(fact.low, {}, fact.low, fact.low, exact=True)
            else:
                found = Form(0, {number: 1}, fact.low, fact.high, exact=True)
            self._forms[number] = found
        return found

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

    def tight(self, number: int) -> tuple[int, int]:
        """Return bounds of an operation that take dependences between its parts into account; slower than `facts`."""
        return self._tight.bounds(number)

    def exact(self, constant: int, terms: Sequence[tuple[int, int]], condition: int) -> tuple[int, int] | None:
        """Return bounds of a sum where a condition holds by trying all values; see :meth:`.Exhaust.bounds`."""
        return self._exhaust.bounds(constant, terms, condition)

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
