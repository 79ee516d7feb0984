"""Tighter bounds of one operation, on demand: where intervals cannot prove that an index lies in its table.

The basis values and weights that one code selects depend on each other: intervals of the products say less than the
largest sum over all codes. So what depends on a single operation of few values is enumerated, and a linear form is
bounded by the sum, over such sources, of the extremes of everything that one source contributes.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.openhls._assume import assume
from hwgen.openhls._linear import Form
from hwgen.openhls._narrow import Fact
from hwgen.openhls._ops import Op, apply

__all__ = ["Tight"]

_DOMAIN = 256
_DEPTH = 24


class Tight:
    """Bounds of operations of one program.

    Args:
        ops: the operations.
        facts: their intervals.
        forms: the linear forms of those that are sums.
    """

    def __init__(self, ops: Sequence[Op], facts: Sequence[Fact], forms: dict[int, Form]) -> None:
        self._ops = ops
        self._facts = facts
        self._forms = forms
        self._tables: dict[int, tuple[int, list[int]] | None] = {}

    def bounds(self, number: int, depth: int = _DEPTH) -> tuple[int, int]:
        """Return the least and the largest value that operation `number` may have."""
        fact, op = self._facts[number], self._ops[number]
        if fact.constant is not None or not depth:
            return fact.low, fact.high
        table = self._table(number)
        if table is not None:
            return min(table[1]), max(table[1])
        form = self._forms.get(number)
        if form is not None and form.exact and len(form.terms) > 1:
            low, high = self._form(form)
        else:
            low, high = self._through(op, depth - 1) or (fact.low, fact.high)
        return max(low, fact.low), min(high, fact.high)

    def _through(self, op: Op, depth: int) -> tuple[int, int] | None:
        if op.kind in ("sext", "zext", "trunc"):
            low, high = self.bounds(op.args[0], depth)
            fits = low >= 0 if op.kind == "zext" else -(1 << (op.width - 1)) <= low and high < 1 << (op.width - 1)
            return (low, high) if fits else None
        if op.kind in ("lshr", "ashr"):
            low, high = self.bounds(op.args[0], depth)
            n = self._facts[op.args[1]].constant
            return (low >> n, high >> n) if n is not None and 0 <= n < op.width and low >= 0 else None
        if op.kind == "and":
            value, mask = op.args
            if self._facts[mask].constant is None:
                value, mask = mask, value
            low, high = self.bounds(value, depth)
            m = self._facts[mask].constant
            if m is None or m < 0 or m & (m + 1):
                return None
            return (low, high) if low >= 0 and high <= m else self._field(value, m.bit_length())
        if op.kind == "select":
            ends: list[int] = []
            for arm, truth in ((op.args[1], True), (op.args[2], False)):
                low, high = self.bounds(arm, depth)
                known = assume(self._ops, self._facts, op.args[0], truth=truth).get(arm)
                if known is not None and max(low, known.low) <= min(high, known.high):
                    low, high = max(low, known.low), min(high, known.high)
                ends += [low, high]
            return min(ends), max(ends)
        return None

    def _field(self, value: int, size: int) -> tuple[int, int] | None:
        """Return the bounds of the lowest `size` bits of a sum, or of a sum shifted right.

        LLVM drops what lies above such a field, so that the sum is right modulo a power of two only: its factors are
        taken as the smallest integers that equal them modulo that power.
        """
        op, shift = self._ops[value], 0
        if op.kind in ("lshr", "ashr"):
            n = self._facts[op.args[1]].constant
            if n is None or not 0 <= n < op.width:
                return None
            value, shift = op.args[0], n
        form, modulus = self._forms.get(value), 1 << (size + shift)
        if form is None or size + shift > self._ops[value].width:
            return None
        half = modulus >> 1
        terms = {leaf: (factor + half) % modulus - half for leaf, factor in form.terms.items()}
        low, high = self._form(Form(form.constant % modulus, terms, 0, 0, exact=False))
        base = low // modulus * modulus  # the constant may be off by a multiple
        return ((low - base) >> shift, (high - base) >> shift) if high - base < modulus else None

    def _form(self, form: Form) -> tuple[int, int]:
        low = high = form.constant
        groups: dict[int, list[int]] = {}
        for leaf, factor in form.terms.items():
            table = self._table(leaf)
            if table is None:
                ends = (factor * self._facts[leaf].low, factor * self._facts[leaf].high)
                low, high = low + min(ends), high + max(ends)
            elif table[0] in groups:
                groups[table[0]] = [x + factor * y for x, y in zip(groups[table[0]], table[1], strict=True)]
            else:
                groups[table[0]] = [factor * y for y in table[1]]
        return low + sum(map(min, groups.values())), high + sum(map(max, groups.values()))

    def _table(self, number: int) -> tuple[int, list[int]] | None:
        """Return the source of an operation and its values for every value of the source, if there is but one."""
        if number not in self._tables:
            self._tables[number] = self._made(number)
        return self._tables[number]

    def _made(self, number: int) -> tuple[int, list[int]] | None:
        op, fact = self._ops[number], self._facts[number]
        moving = [a for a in op.args if self._facts[a].constant is None]
        tables = [self._table(a) for a in moving]
        if moving and all(t is not None for t in tables):
            found = [t for t in tables if t is not None]
            if all(t[0] == found[0][0] for t in found):
                values = dict(zip(moving, (t[1] for t in found), strict=True))
                widths = [self._ops[a].width for a in op.args]
                rows = range(len(found[0][1]))
                columns = [values.get(a) or [self._facts[a].low] * len(rows) for a in op.args]
                return found[0][0], [apply(op, [column[r] for column in columns], widths) for r in rows]
        if ((fact.high - fact.low) >> fact.zeros) < _DOMAIN:
            return number, list(range(fact.low, fact.high + 1, 1 << fact.zeros))
        return None
