"""What a condition says about values: facts of a select's arms where the condition holds, or does not.

ap_types saturates in several steps (compare, choose, mask), so the compared value and the chosen one are seldom the
same operation. A comparison therefore narrows both its operands and what they are copies of, and an arm is looked at
again with these facts, a few operations deep.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.openhls._narrow import Fact, fact_of
from hwgen.openhls._ops import Op

__all__ = ["assume", "fact_under"]

_OPPOSITE = {
    "eq": "ne", "ne": "eq", "slt": "sge", "sge": "slt", "sgt": "sle", "sle": "sgt",
    "ult": "uge", "uge": "ult", "ugt": "ule", "ule": "ugt",
}  # fmt: skip
_SWAPPED = str.maketrans("lg", "gl")
#: Operations that an arm is looked at again through, and that an assumption is carried back through.
_DEPTH = 6
_PARTS = 4


class Known(dict[int, Fact]):
    """Facts of operations under a condition.

    Attributes:
        fields: for operations whose lowest bits were compared as a signed integer: how many bits, and its fact.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[int, tuple[int, Fact]] = {}


def assume(ops: Sequence[Op], facts: Sequence[Fact], condition: int, *, truth: bool) -> Known:
    """Return narrower facts of operations, given that `condition` is true (or false)."""
    known = Known()
    _assume(ops, facts, condition, truth, known, _PARTS)
    return known


def _assume(ops: Sequence[Op], facts: Sequence[Fact], condition: int, truth: bool, known: Known, parts: int) -> None:
    op = ops[condition]
    if op.width != 1 or not parts:
        return
    if op.kind == "xor" and any(facts[a].constant == -1 for a in op.args):
        other = next(a for a in op.args if facts[a].constant is None)
        _assume(ops, facts, other, not truth, known, parts)
    elif (op.kind == "and" and truth) or (op.kind == "or" and not truth):
        for a in op.args:
            _assume(ops, facts, a, truth, known, parts - 1)
    elif op.kind == "icmp":
        a, b = op.args
        predicate: str = op.data if truth else _OPPOSITE[op.data]
        swapped = predicate if predicate in ("eq", "ne") else predicate.translate(_SWAPPED)
        for this, other, p in ((a, b, predicate), (b, a, swapped)):
            now = known.get(this, facts[this])
            narrow = _bounded(p, now, known.get(other, facts[other]), op_width=ops[this].width)
            if narrow != now:
                _carry_back(ops, facts, this, narrow, known)
        if predicate == "eq" and facts[b].constant == 0 and ops[a].kind == "and":
            _clear(ops, facts, a, known)


def _clear(ops: Sequence[Op], facts: Sequence[Fact], masked: int, known: Known) -> None:
    """Note what `value & mask == 0` says of the value: `v & ~15 == 0 ? v & 255 : 15` is how LLVM clips a code."""
    value, mask = ops[masked].args
    if facts[mask].constant is None:
        value, mask = mask, value
    bits = facts[mask].constant
    if bits is None:
        return
    low = (bits & -bits).bit_length() - 1  # the lowest bit of the mask
    fact = facts[value]
    # The mask must hold every bit from there on that the value can have; of a negative value it then holds one, too.
    top = (1 << max(fact.high, 0).bit_length()) - 1
    every = bits > 0 and (top >> low) & ~(bits >> low) == 0 and fact.low >= -(1 << (bits.bit_length() - 1))
    if -bits == 1 << low or every:
        _carry_back(ops, facts, value, _aligned(0, (1 << low) - 1, known.get(value, fact)), known)


def _aligned(low: int, high: int, fact: Fact) -> Fact:
    """Return `fact` limited to `low ... high`; unchanged if nothing is left (the arm is never taken)."""
    step = 1 << fact.zeros
    low, high = -(-max(low, fact.low) // step) * step, min(high, fact.high) // step * step
    return fact if low > high else Fact(low, high, fact.zeros)


def _bounded(predicate: str, fact: Fact, other: Fact, op_width: int) -> Fact:
    """Return the fact of a value for which `value predicate other` holds."""
    if predicate[0] == "u":
        if predicate in ("ult", "ule") and other.low >= 0:  # a small unsigned value is not negative
            return _aligned(0, other.high - (predicate == "ult"), fact)
        if fact.low < 0 or other.low < 0:
            return fact
        predicate = "s" + predicate[1:]
    far = 1 << op_width
    match predicate:
        case "slt":
            return _aligned(-far, other.high - 1, fact)
        case "sle":
            return _aligned(-far, other.high, fact)
        case "sgt":
            return _aligned(other.low + 1, far, fact)
        case "sge":
            return _aligned(other.low, far, fact)
        case "eq":
            return _aligned(other.low, other.high, fact)
    if other.constant is not None and fact.low < fact.high:  # not equal: an end may go
        if other.constant == fact.low:
            return _aligned(fact.low + 1, far, fact)
        if other.constant == fact.high:
            return _aligned(-far, fact.high - 1, fact)
    return fact


def _carry_back(ops: Sequence[Op], facts: Sequence[Fact], number: int, fact: Fact, known: Known) -> None:
    """Note a fact of an operation, and of those that it repeats, shifts or moves by a constant without wrapping."""
    for _ in range(_DEPTH):
        known[number] = fact
        op = ops[number]
        if not op.args:
            return
        source = op.args[0]
        before = facts[source]
        low, high = fact.low, fact.high
        if op.kind in ("sext", "zext", "trunc"):
            if before != facts[number]:
                return
        elif op.kind == "add" and any(facts[a].constant is not None for a in op.args):
            source = next((a for a in op.args if facts[a].constant is None), source)
            before = facts[source]
            c = next(facts[a].low for a in op.args if facts[a].constant is not None)
            if (before.low + c, before.high + c) != (facts[number].low, facts[number].high):
                return
            low, high = low - c, high - c
        elif op.kind in ("shl", "ashr") and (n := facts[op.args[1]].constant) is not None and 0 <= n < op.width:
            if op.kind == "shl":
                if (before.low << n, before.high << n) != (facts[number].low, facts[number].high):
                    return
                low, high = low >> n, high >> n
            else:
                _note_field(ops, facts, source, op.width - n, fact, known)
                low, high = low << n, (high << n) + (1 << n) - 1
        else:
            return
        number, fact = source, _aligned(low, high, known.get(source, before))


def _note_field(ops: Sequence[Op], facts: Sequence[Fact], shifted: int, size: int, fact: Fact, known: Known) -> None:
    """Note the compared value where it is `x << n >> n`: the lowest `size` bits of `x`, sign-extended."""
    op = ops[shifted]
    if op.kind != "shl" or facts[op.args[1]].constant != op.width - size:
        return
    number = op.args[0]
    for _ in range(_DEPTH):
        known.fields[number] = size, fact
        op = ops[number]
        if op.kind not in ("sext", "zext", "trunc") or ops[op.args[0]].width < size:
            return
        number = op.args[0]


def fact_under(ops: Sequence[Op], facts: Sequence[Fact], number: int, known: Known, depth: int = _DEPTH) -> Fact:
    """Return the fact of operation `number`, given the facts `known` of some operations before it."""
    first = min((*known, *known.fields), default=number + 1)
    memo: dict[int, Fact] = {}

    def look(n: int, left: int) -> Fact:
        if n in known:
            return known[n]
        if left == 0 or n < first or not ops[n].args:
            return facts[n]
        if n not in memo and ops[n].kind == "and" and any(a in known.fields for a in ops[n].args):
            value, mask = ops[n].args if ops[n].args[0] in known.fields else ops[n].args[::-1]
            (size, field), m = known.fields[value], facts[mask].constant
            if m is not None and 0 <= field.low <= field.high <= m < 1 << size and m & (m + 1) == 0:
                return _both(Fact(field.low, field.high, 0), facts[n])
        if n not in memo:
            op = ops[n]
            new = [look(a, left - 1) for a in op.args]
            if all(x == facts[a] for x, a in zip(new, op.args, strict=True)):
                memo[n] = facts[n]
            else:
                found = fact_of(op, new, [ops[a].width for a in op.args])
                memo[n] = _both(found, facts[n])
        return memo[n]

    return look(number, depth)


def _both(a: Fact, b: Fact) -> Fact:
    """Return what two facts of one operation say together."""
    zeros = max(a.zeros, b.zeros)
    low, high = max(a.low, b.low), min(a.high, b.high)
    step = 1 << zeros
    low, high = -(-low // step) * step, high // step * step
    return b if low > high else Fact(low, high, zeros)
