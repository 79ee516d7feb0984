"""What each cell computes: the semantics of Yosys's word-level cells on explicit functions.

Operands are extended to the cell's width by their sign if the cell is signed, else by zeros, as Verilog does. A bit that
may be unknown makes every result unknown that is computed from it; only a multiplexer and a memory pass over what they do not
select.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.prove._errors import NotProvenError
from hwgen.prove._functions import Fn, TooWideError, Variables, common_delay, constant, make, spread
from hwgen.prove._netlist import Cell, Netlist

__all__ = ["ARITHMETIC", "BITWISE", "COMPARISONS", "Ports", "arithmetic", "evaluate", "extended", "read_memory"]

Array = npt.NDArray[Any]
Ports = dict[str, list[Fn]]
_MAX_WIDTH = 62

BITWISE: dict[str, Callable[..., Array]] = {
    "$and": lambda a, b: a & b,
    "$or": lambda a, b: a | b,
    "$xor": lambda a, b: a ^ b,
    "$xnor": lambda a, b: 1 - (a ^ b),
    "$not": lambda a: 1 - a,
}
COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "$eq": lambda a, b: a == b,
    "$ne": lambda a, b: a != b,
    "$lt": lambda a, b: a < b,
    "$le": lambda a, b: a <= b,
    "$gt": lambda a, b: a > b,
    "$ge": lambda a, b: a >= b,
}
ARITHMETIC: dict[str, Callable[..., Array]] = {
    "$add": lambda a, b: a + b,
    "$sub": lambda a, b: a - b,
    "$mul": lambda a, b: a * b,
    "$neg": lambda a: -a,
    "$pos": lambda a: +a,
}
_REDUCTIONS: dict[str, Callable[[Array, int], Array]] = {
    "$reduce_and": lambda ones, n: ones == n,
    "$reduce_or": lambda ones, _: ones > 0,
    "$reduce_bool": lambda ones, _: ones > 0,
    "$reduce_xor": lambda ones, _: ones & 1,
    "$reduce_xnor": lambda ones, _: 1 - (ones & 1),
    "$logic_not": lambda ones, _: ones == 0,
}
_SHIFTS = ("$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx")


def extended(bits: Sequence[Fn], width: int, *, signed: bool) -> list[Fn]:
    """Return a word as `width` bits."""
    fill = bits[-1] if signed and bits else constant(0)
    return [*bits[:width], *[fill] * (width - len(bits))]


def is_signed(cell: Cell) -> bool:
    """Return whether a cell extends its operands by their sign.

    Raises:
        NotProvenError: if its operands disagree: Yosys does not write such cells.
    """
    flags = {cell.integer(name) for name in ("A_SIGNED", "B_SIGNED") if name in cell.parameters}
    if len(flags) != 1:
        raise NotProvenError(f"{cell.where} mixes signed and unsigned operands")
    return bool(flags.pop())


class _Word:
    """Several words over common variables."""

    def __init__(self, variables: Variables, words: Sequence[Sequence[Fn]]) -> None:
        flat = [f for word in words for f in word]
        self.delay = common_delay(flat)
        aligned, self.vars = variables.aligned(flat)
        self.words: list[list[Fn]] = []
        start = 0
        for word in words:
            self.words.append(aligned[start : start + len(word)])
            start += len(word)
        self.unknown: Array | None = None
        for f in aligned:
            if f.unknown is not None:
                here = self.unknown_of(f)
                self.unknown = here if self.unknown is None else self.unknown | here

    def values_of(self, f: Fn) -> Array:
        return spread(f.values, f.vars, self.vars)

    def unknown_of(self, f: Fn) -> Array:
        assert f.unknown is not None
        return spread(f.unknown, f.vars, self.vars)

    def integer(self, number: int, *, signed: bool) -> Array:
        """Return word `number` as integers."""
        word = self.words[number]
        if len(word) > _MAX_WIDTH:
            word, rest = word[:_MAX_WIDTH], word[_MAX_WIDTH:]
            if any(f.const != 0 for f in rest):
                raise TooWideError(f"a word of {len(word) + len(rest)} bits is too wide to be enumerated")
            signed = False
        total: Array = np.zeros((1,) * len(self.vars), dtype=np.int64)
        for j, f in enumerate(word):
            weight = -(1 << j) if signed and j == len(word) - 1 else 1 << j
            total = total + self.values_of(f).astype(np.int64) * weight
        return total

    def bits(self, integers: Array, width: int) -> list[Fn]:
        """Return integers as `width` bits."""
        return [make(self.vars, integers >> min(j, 63) & 1, self.unknown, self.delay) for j in range(width)]

    def bit(self, values: Array, unknown: Array | None) -> Fn:
        return make(self.vars, values, unknown, self.delay)


def evaluate(cell: Cell, ports: Ports, variables: Variables) -> list[Fn]:
    """Return the output bits of a combinational cell (arithmetic and memories have functions of their own).

    Raises:
        NotProvenError: if the cell is not modelled, or its operands belong to different cycles.
        TooWideError: if it cannot be enumerated.
    """
    kind = cell.type
    if kind in BITWISE:
        return _bitwise(cell, ports, variables)
    if kind in _REDUCTIONS:
        bits = ports["A"]
        reduce = _REDUCTIONS[kind]

        def count(*values: Array) -> Array:
            return reduce(sum((v.astype(np.int64) for v in values), np.int64(0)), len(bits))  # type: ignore[arg-type]

        return extended([variables.combine(bits, count)], cell.integer("Y_WIDTH"), signed=False)
    if kind in ("$logic_and", "$logic_or"):
        word = _Word(variables, [ports["A"], ports["B"]])
        a, b = word.integer(0, signed=False) != 0, word.integer(1, signed=False) != 0
        value = a & b if kind == "$logic_and" else a | b
        return extended([word.bit(value, word.unknown)], cell.integer("Y_WIDTH"), signed=False)
    if kind in COMPARISONS:
        signed = is_signed(cell)
        width = max(len(ports["A"]), len(ports["B"]))
        word = _Word(variables, [extended(ports[name], width, signed=signed) for name in "AB"])
        value = COMPARISONS[kind](word.integer(0, signed=signed), word.integer(1, signed=signed))
        return extended([word.bit(value, word.unknown)], cell.integer("Y_WIDTH"), signed=False)
    if kind == "$mux":
        return [_mux(variables, ports["S"][0], a, b) for a, b in zip(ports["A"], ports["B"], strict=True)]
    if kind == "$pmux":
        return _pmux(ports, variables)
    if kind in _SHIFTS:
        return _shift(cell, ports, variables)
    raise NotProvenError(f"{cell.where} is not modelled")


def _bitwise(cell: Cell, ports: Ports, variables: Variables) -> list[Fn]:
    width, signed = cell.integer("Y_WIDTH"), is_signed(cell)
    words = [extended(ports[name], width, signed=signed) for name in "AB" if name in ports]
    return [variables.combine(bits, BITWISE[cell.type]) for bits in zip(*words, strict=True)]


def _mux(variables: Variables, select: Fn, a: Fn, b: Fn) -> Fn:
    if a is b and select.unknown is None:
        return a
    if select.const is not None:
        return b if select.const else a
    word = _Word(variables, [[select, a, b]])
    s, low, high = word.words[0]
    chosen = word.values_of(s).astype(bool)
    values = np.where(chosen, word.values_of(high), word.values_of(low))
    if word.unknown is None:
        return word.bit(values, None)
    unknown = np.zeros((1,) * len(word.vars), dtype=bool)
    if low.unknown is not None:
        unknown = unknown | (~chosen & word.unknown_of(low))
    if high.unknown is not None:
        unknown = unknown | (chosen & word.unknown_of(high))
    if s.unknown is not None:
        unknown = unknown | word.unknown_of(s)
    return word.bit(values, unknown)


def _pmux(ports: Ports, variables: Variables) -> list[Fn]:
    """`A` if no select bit is set, word k of `B` if bit k alone is; several at once give an unknown result."""
    selects, width = ports["S"], len(ports["A"])
    result = []
    for j in range(width):
        choices = [ports["B"][k * width + j] for k in range(len(selects))]
        word = _Word(variables, [selects, choices, [ports["A"][j]]])
        s, b, (a,) = word.words
        count: Array = np.zeros((1,) * len(word.vars), dtype=np.int64)
        unknown: Array = np.zeros((1,) * len(word.vars), dtype=bool)
        values: Array = word.values_of(a)
        undefined: Array = unknown if a.unknown is None else word.unknown_of(a)
        for select, choice in zip(s, b, strict=True):
            chosen = word.values_of(select).astype(bool)
            count = count + chosen
            values = np.where(chosen, word.values_of(choice), values)
            undefined = np.where(chosen, False if choice.unknown is None else word.unknown_of(choice), undefined)
            if select.unknown is not None:
                unknown = unknown | word.unknown_of(select)
        result.append(word.bit(values, unknown | undefined | (count > 1)))
    return result


def _shift(cell: Cell, ports: Ports, variables: Variables) -> list[Fn]:
    """Bit j of the result is bit `j + amount` of A; beyond A: zero, the sign, or (`$shiftx`) unknown."""
    signed = bool(cell.integer("A_SIGNED"))
    width = cell.integer("Y_WIDTH")
    left = cell.type in ("$shl", "$sshl")
    data = extended(ports["A"], max(width, len(ports["A"])), signed=signed and cell.type != "$shiftx")
    amounts_signed = cell.type in ("$shift", "$shiftx") and bool(cell.integer("B_SIGNED"))
    fill = constant(0)
    if cell.type == "$shiftx":
        data, fill = list(ports["A"]), constant(2)
    elif cell.type == "$sshr" and signed:
        fill = data[-1]
    result = []
    for j in range(width):
        word = _Word(variables, [ports["B"], data, [fill]])
        amount = word.integer(0, signed=amounts_signed)
        source = j - amount if left else j + amount
        filler = word.words[2][0]
        values: Array = word.values_of(filler)
        unknown: Array = np.zeros((1,) * len(word.vars), dtype=bool)
        if filler.unknown is not None:
            unknown = unknown | word.unknown_of(filler)
        for k, f in enumerate(word.words[1]):
            here = source == k
            values = np.where(here, word.values_of(f), values)
            unknown = np.where(here, False if f.unknown is None else word.unknown_of(f), unknown)
        for f in word.words[0]:
            if f.unknown is not None:
                unknown = unknown | word.unknown_of(f)
        result.append(word.bit(values, unknown))
    return result


def arithmetic(cell: Cell, ports: Ports, variables: Variables) -> list[Fn]:
    """Return the output bits of an arithmetic cell by enumeration.

    Raises:
        TooWideError: if it has too many combinations.
    """
    width, signed = cell.integer("Y_WIDTH"), is_signed(cell)
    if width > _MAX_WIDTH:
        raise TooWideError(f"{cell.where} has {width} bits, too many to be enumerated")
    names = [name for name in "AB" if name in ports]
    word = _Word(variables, [extended(ports[name], width, signed=signed) for name in names])
    with np.errstate(over="ignore"):  # int64 wraps, which keeps the low 62 bits
        return word.bits(ARITHMETIC[cell.type](*(word.integer(k, signed=False) for k in range(len(names)))), width)


def read_memory(cell: Cell, ports: Ports, netlist: Netlist, variables: Variables) -> list[Fn]:
    """Return the data of an asynchronous read of a memory that is only initialised, never written.

    Raises:
        NotProvenError: if the port has a clock, an enable or a reset, or the memory is not constant.
    """
    name = str(cell.parameters.get("MEMID", "")).strip('"').replace("\\\\", "\\")
    memory = netlist.memories.get(name)
    plain = [f.const for f in (*ports["EN"], *ports["ARST"], *ports["SRST"])] == [1, 0, 0]
    if memory is None or cell.integer("CLK_ENABLE") or not plain or cell.integer("WIDTH") != memory.width:
        raise NotProvenError(f"{cell.where} is not a plain asynchronous read, which is all that is modelled")
    words = np.full((memory.size, memory.width), 2, dtype=np.uint8)
    for init in netlist.contents.get(name, []):
        address = sum((bit == 1) << j for j, bit in enumerate(init.port("ADDR")))
        data = np.array(init.port("DATA"), dtype=np.int64)
        enables = init.ports.get("EN", ())
        if (
            init.type != "$meminit"
            or len(netlist.contents[name]) > 1
            or any(bit > 1 for bit in init.port("ADDR"))
            or data.max() > 2
            or data.size % memory.width
            or enables
        ):
            raise NotProvenError(f"{init.where} fills a memory in a way that is not modelled")
        rows = data.reshape(-1, memory.width)
        first = address - memory.offset
        if first < 0 or first + rows.shape[0] > memory.size:
            raise NotProvenError(f"{init.where} fills a memory beyond its end")
        words[first : first + rows.shape[0]] = rows
    word = _Word(variables, [ports["ADDR"]])
    address_values = word.integer(0, signed=False) - memory.offset
    outside = (address_values < 0) | (address_values >= memory.size)
    index = np.where(outside, 0, address_values)
    result = []
    for j in range(memory.width):
        column = words[:, j]
        bits = column[index]
        unknown = outside | (bits == 2)
        if word.unknown is not None:
            unknown = unknown | word.unknown
        result.append(word.bit(np.where(bits == 2, 0, bits), unknown))
    return result
