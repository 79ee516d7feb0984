"""Narrowing: for every operation, the interval of its values and how many low bits are always 0.

`ap_types` computes in 32 and 64 bits and masks by shifting left and right again; what such code needs is known from the
intervals of its inputs. The facts are about mathematical integers: an operation whose exact result fits its width keeps
the exact interval, every other one is said to reach everything that its width and its low zero bits allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.openhls._ops import Op

__all__ = ["Fact", "fact_of", "full", "input_fact", "low_zeros", "single"]


@dataclass(frozen=True, slots=True)
class Fact:
    """All values lie in `low ... high` and are multiples of `2^zeros`; both ends are such multiples."""

    low: int
    high: int
    zeros: int = 0

    @property
    def width(self) -> int:
        """Bits that hold `value >> zeros`, at least 1."""
        return max(1, max(bits(self.low >> self.zeros), bits(self.high >> self.zeros)) + int(self.low < 0))

    @property
    def is_signed(self) -> bool:
        """Whether these bits are two's complement."""
        return self.low < 0

    @property
    def constant(self) -> int | None:
        """The value, if there is but one."""
        return self.low if self.low == self.high else None


def bits(value: int) -> int:
    """Return the bits of a magnitude: those of `value`, or of `~value` where it is negative."""
    return (value if value >= 0 else ~value).bit_length()


def low_zeros(value: int, width: int) -> int:
    """Return the number of low zero bits of `value`; of 0, the width."""
    return min((value & -value).bit_length() - 1, width) if value else width


def single(value: int, width: int) -> Fact:
    """Return the fact of a constant."""
    return Fact(value, value, low_zeros(value, width))


def full(width: int, zeros: int = 0) -> Fact:
    """Return what is known of `width` bits of which the lowest `zeros` are 0."""
    if zeros >= width:
        return Fact(0, 0, width)
    return Fact(-(1 << (width - 1)), (1 << (width - 1)) - (1 << zeros), zeros)


def input_fact(width: int, *, is_signed: bool) -> Fact:
    """Return the fact of a port of `width` bits."""
    return full(width) if is_signed else Fact(0, (1 << width) - 1)


def _made(low: int, high: int, zeros: int, width: int) -> Fact:
    """Return the fact of exact values `low ... high`, or of their residues where they do not fit."""
    if low == high:
        value = low & ((1 << width) - 1)
        return single(value - (1 << width) if value >> (width - 1) else value, width)
    zeros = min(zeros, width)
    low, high = -(-low >> zeros) << zeros, high >> zeros << zeros
    if low < -(1 << (width - 1)) or high > (1 << (width - 1)) - 1:
        return full(width, zeros)
    return Fact(low, high, zeros) if low < high else single(low, width)


def _union(a: Fact, b: Fact, width: int) -> Fact:
    return _made(min(a.low, b.low), max(a.high, b.high), min(a.zeros, b.zeros), width)


def fact_of(op: Op, facts: Sequence[Fact], widths: Sequence[int]) -> Fact:
    """Return the fact of `op`, which is not an input, from the facts and widths of its operands."""
    w = op.width
    match op.kind:
        case "const":
            return single(op.data, w)
        case "add":
            a, b = facts
            return _made(a.low + b.low, a.high + b.high, min(a.zeros, b.zeros), w)
        case "sub":
            a, b = facts
            return _made(a.low - b.high, a.high - b.low, min(a.zeros, b.zeros), w)
        case "mul":
            a, b = facts
            ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            return _made(min(ends), max(ends), a.zeros + b.zeros, w)
        case "and" | "or" | "xor":
            return _bitwise(op, facts)
        case "shl" | "lshr" | "ashr":
            return _shift(op, facts)
        case "icmp":
            return _comparison(op.data, facts[0], facts[1])
        case "sext":
            return facts[0]
        case "zext":
            return _unsigned(facts[0], widths[0])
        case "trunc":
            return _made(facts[0].low, facts[0].high, facts[0].zeros, w)
        case "select":
            return _union(facts[1], facts[2], w)
        case "rom":
            index = facts[0]
            entries = op.data[index.low : index.high + 1] if index.low >= 0 else op.data
            entries = entries or op.data
            zeros = min(low_zeros(value, w) for value in entries)
            return _made(min(entries), max(entries), zeros, w)
        case "mux":
            result = facts[1]
            for other in facts[2:]:
                result = _union(result, other, w)
            return result
    return _division(op, facts)


def _unsigned(fact: Fact, width: int) -> Fact:
    """Return the fact of the bit pattern, read as an unsigned integer of `width` bits, in any wider type."""
    if fact.low >= 0:
        return fact
    zeros = min(fact.zeros, width)
    if fact.high < 0:
        return Fact(fact.low + (1 << width), fact.high + (1 << width), zeros)
    return Fact(0, (1 << width) - (1 << zeros), zeros)


def _bitwise(op: Op, facts: Sequence[Fact]) -> Fact:
    a, b = facts
    w = op.width
    if op.kind == "xor" and (a.constant == -1 or b.constant == -1):
        x = b if a.constant == -1 else a
        return _made(~x.high, ~x.low, 0, w)
    size = max(bits(a.low), bits(a.high), bits(b.low), bits(b.high))
    if op.kind == "and":
        zeros = max(a.zeros, b.zeros)
        if a.low >= 0 or b.low >= 0:
            return _made(0, min(x.high for x in facts if x.low >= 0), zeros, w)
        return _made(-(1 << size), max(a.high, b.high, -1), zeros, w)
    zeros = min(a.zeros, b.zeros)
    if a.low >= 0 and b.low >= 0:
        low = max(a.low, b.low) if op.kind == "or" else 0
        return _made(low, (1 << size) - 1, zeros, w)
    if op.kind == "or" and (a.high < 0 or b.high < 0):
        return _made(max(x.low for x in facts if x.high < 0), -1, zeros, w)
    return _made(-(1 << size), (1 << size) - 1, zeros, w)


def _shift(op: Op, facts: Sequence[Fact]) -> Fact:
    a, amount = facts
    w = op.width
    if amount.low < 0 or amount.high >= w:  # some amounts have no defined result
        if op.kind == "ashr":
            return _made(min(a.low, a.low >> w), max(a.high, a.high >> w), 0, w)
        return full(w) if op.kind == "shl" or a.low < 0 else _made(0, a.high, 0, w)
    least, most = amount.low, amount.high
    if op.kind == "shl":
        ends = [x << n for x in (a.low, a.high) for n in (least, most)]
        return _made(min(ends), max(ends), a.zeros + least, w)
    x = _unsigned(a, w) if op.kind == "lshr" else a
    ends = [y >> n for y in (x.low, x.high) for n in (least, most)]
    return _made(min(ends), max(ends), max(0, x.zeros - most), w)


def _comparison(predicate: str, a: Fact, b: Fact) -> Fact:
    """Return 0 ... -1, or the outcome where the intervals decide; -1 is true, being one bit."""
    if predicate[0] == "u":
        if min(a.low, b.low) < 0:
            return Fact(-1, 0)
        predicate = "s" + predicate[1:]
    sure: bool | None = None
    match predicate:
        case "slt" | "sge":
            sure = True if a.high < b.low else False if a.low >= b.high else None
        case "sle" | "sgt":
            sure = True if a.high <= b.low else False if a.low > b.high else None
        case "eq" | "ne":
            apart = a.high < b.low or b.high < a.low
            sure = False if apart else True if a.constant is not None and a == b else None
    if sure is None:
        return Fact(-1, 0)
    return single(-int(sure != (predicate in ("sge", "sgt", "ne"))), 1)


def _division(op: Op, facts: Sequence[Fact]) -> Fact:
    a, b = facts
    w = op.width
    if op.kind[0] == "u":
        a, b = _unsigned(a, w), _unsigned(b, w)
    divisor = b.constant
    if divisor is None or divisor == 0:
        return full(w)
    if op.kind.endswith("div"):
        ends = [_towards_zero(x, divisor) for x in (a.low, a.high)]
        return _made(min(ends), max(ends), 0, w)
    most = abs(divisor) - 1
    return _made(max(-most, min(a.low, 0)), min(most, max(a.high, 0)), 0, w)


def _towards_zero(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q
