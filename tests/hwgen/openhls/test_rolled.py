"""Rolled loops: what the analysis finds in small LLVM loops, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.openhls._access import GlobalBytes
from hwgen.openhls._builder import Builder
from hwgen.openhls._errors import Refused
from hwgen.openhls._interface import Direction, Interface, Port
from hwgen.openhls._llvm import parse_function
from hwgen.openhls._narrow import Fact
from hwgen.openhls._rolled import Rolled, roll
from hwgen.openhls._rolled_run import run_rolled, used_words
from hwgen.openhls._rolled_verilog import memory_hex
from pymodel.ir import IntArray

RNG = np.random.default_rng(4)
TABLE = RNG.integers(-128, 128, 8 * 16 + 4).astype(np.int8)

#: The sum of TABLE[4 + 16 * i + (x[i] & 15)] and of x, over 8 inputs.
LOOP = """
define void @top(ptr %x, ptr %y) {
entry:
  br label %loop

loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %s = phi i32 [ 7, %entry ], [ %sum, %loop ]
  %p = getelementptr i8, ptr %x, i64 %i
  %v = load i8, ptr %p
  %code = and i8 %v, 15
  %wide = zext i8 %code to i64
  %base = getelementptr [16 x i8], ptr @table, i64 %i
  %at = getelementptr i8, ptr %base, i64 %wide
  %entry4 = getelementptr i8, ptr %at, i64 4
  %e = load i8, ptr %entry4
  %e32 = sext i8 %e to i32
  %v32 = sext i8 %v to i32
  %part = add i32 %e32, %v32
  %grown = add i32 %s, %part
  %high = shl i32 %grown, 16
  %sum = ashr i32 %high, 16
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, 8
  br i1 %done, label %exit, label %loop

exit:
  %out = trunc i32 %sum to i16
  store i16 %out, ptr %y
  ret void
}
"""


def rolled(text: str, count: int = 8) -> Rolled:
    interface = Interface(
        "top",
        (
            Port("x", count, 8, 8, signed=True, stride=1, direction=Direction.UNKNOWN),
            Port("y", 1, 16, 16, signed=True, stride=2, direction=Direction.UNKNOWN),
        ),
    )
    return roll(parse_function(text, "top", "top"), interface, {"table": GlobalBytes(TABLE.tobytes(), constant=True)})


def expected(X: IntArray) -> IntArray:
    entries = TABLE.astype(np.int64)[4 + 16 * np.arange(8) + (X & 15)]
    return np.asarray((7 + (entries + X).sum(axis=1) + 2**15) % 2**16 - 2**15, dtype=np.int64)


def test_a_loop_becomes_state_stream_and_memory() -> None:
    found = rolled(LOOP)
    assert (found.trip, found.beat) == (8, 1)
    (state,) = found.states
    assert (state.first, state.fact.low, state.fact.high) == (7, -(2**15), 2**15 - 1)
    (table,) = found.tables
    assert (table.unit, table.words, table.level) == (1, 128, 0)
    X = RNG.integers(-128, 128, (500, 8))
    np.testing.assert_array_equal(run_rolled(found, X)[:, 0], expected(X))
    assert used_words(found) == [128]
    stored = [int(line, 16) for line in memory_hex(table).split()]
    assert stored == (TABLE[4:].astype(np.int64) & 0xFF).tolist()


def test_two_elements_a_beat() -> None:
    text = LOOP.replace("getelementptr i8, ptr %x, i64 %i", "getelementptr i16, ptr %x, i64 %i")
    text = text.replace(
        "%v32 = sext i8 %v to i32",
        "%p2 = getelementptr i8, ptr %p, i64 1\n  %o = load i8, ptr %p2\n  %v32 = sext i8 %o to i32",
    )
    found = rolled(text, count=16)
    assert (found.trip, found.beat) == (8, 2)
    X = RNG.integers(-128, 128, (100, 16))
    entries = TABLE.astype(np.int64)[4 + 16 * np.arange(8) + (X[:, ::2] & 15)]
    np.testing.assert_array_equal(run_rolled(found, X)[:, 0], 7 + (entries + X[:, 1::2]).sum(axis=1))


def test_an_address_from_a_memory_is_a_second_level() -> None:
    text = LOOP.replace("%wide = zext i8 %code to i64", "%q = getelementptr i8, ptr @table, i64 %i\n  %m = load i8, ptr %q\n"
                        "  %c2 = xor i8 %code, %m\n  %c3 = and i8 %c2, 15\n  %wide = zext i8 %c3 to i64")  # fmt: skip
    found = rolled(text)
    assert [table.level for table in found.tables] == [0, 1]
    X = RNG.integers(-128, 128, (100, 8))
    code = (X ^ TABLE.astype(np.int64)[:8]) & 15
    entries = TABLE.astype(np.int64)[4 + 16 * np.arange(8) + code]
    np.testing.assert_array_equal(run_rolled(found, X)[:, 0], 7 + (entries + X).sum(axis=1))


def test_a_disjoint_or_in_an_address_costs_no_words() -> None:
    text = LOOP.replace(
        "%base = getelementptr [16 x i8], ptr @table, i64 %i", "%i16 = shl i64 %i, 4\n  %flat = or i64 %i16, %wide"
    )
    text = text.replace("getelementptr i8, ptr %base, i64 %wide", "getelementptr i8, ptr @table, i64 %flat")
    found = rolled(text)
    assert [table.words for table in found.tables] == [128]
    X = RNG.integers(-128, 128, (100, 8))
    np.testing.assert_array_equal(run_rolled(found, X)[:, 0], expected(X))


FIRST = ("entry:\n", "entry:\n  %v0 = load i8, ptr %x\n  %first = sext i8 %v0 to i32\n")
UNUSED = ("entry:\n", "entry:\n  %unused = alloca i16\n")
AGAIN = "  %again = icmp eq i32 %sum, 99\n  br i1 %again, label %outer, label %exit"
NESTED = (
    ("entry:\n  br label %loop", "entry:\n  br label %outer\n\nouter:\n  br label %loop"),
    ("%entry ]", "%outer ]"),
    ("br i1 %done, label %exit, label %loop", f"br i1 %done, label %tail, label %loop\n\ntail:\n{AGAIN}"),
)  # fmt: skip
REVERSED = "%k = sub i64 7, %i\n  %p = getelementptr i8, ptr %x, i64 %k"
BY_STATE = "%s64 = sext i32 %s to i64\n  %s3 = and i64 %s64, 7\n  %p2 = getelementptr i8, ptr %x, i64 %s3\n  %v = load i8, ptr %p2"
MIXED = "%s1 = and i32 %s, 15\n  %s64 = zext i32 %s1 to i64\n  %mixed = add i64 %wide, %s64\n  %at = getelementptr i8, ptr %base, i64 %mixed"
AT = "%at = getelementptr i8, ptr %base, i64 %wide"
ADDRESS = "%p = getelementptr i8, ptr %x, i64 %i"
STORE = "store i16 %out, ptr %y"
NEXT = "%next = add i64 %i, 1"
DONE = "icmp eq i64 %next, 8"
#: What is changed in LOOP, and what the refusal says.
REFUSED: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "no loop": ((("br i1 %done, label %exit, label %loop", "br label %exit"),), "without a rolled loop"),
    "nested": (NESTED, "2 loops that stay loops"),
    "trip count from data": (((DONE, "icmp sgt i32 %sum, 8"),), "trip count depends on data"),
    "endless": (((DONE, "icmp eq i64 %next, -1"),), "more than 65536 iterations"),
    "geometric": (((NEXT, "%next = mul i64 %i, 3"), ("[ 0, %entry ]", "[ 1, %entry ]"), (DONE, "icmp eq i64 %next, 81")),
                  "does not count evenly"),
    "too few elements": (((DONE, "icmp eq i64 %next, 4"),), "reads 1 of the 8 elements of 'x' in each of its 4"),
    "same element": (((ADDRESS, "%p = getelementptr i8, ptr %x, i64 3"),), "read outside the loop's order"),
    "reversed": (((ADDRESS, REVERSED),), "does not read one after the other"),
    "data-dependent": ((("%v = load i8, ptr %p", BY_STATE),), "does not read one after the other"),
    "output in the loop": (((NEXT, "store i16 1, ptr %y\n  %next = add i64 %i, 1"),), "a store within a loop"),
    "table and state": (((AT, MIXED),), "on what earlier iterations computed"),
    "beyond the table": ((("ptr %at, i64 4", "ptr %at, i64 5"),), "may reach byte 132 of 132"),
    "before the table": ((("ptr %at, i64 4", "ptr %at, i64 -1"),), "may reach byte -1 of 132"),
    "input before the loop": (((("[ 7, %entry ]", "[ %first, %entry ]")), FIRST), "read outside the loop's order"),
    "output not written": (((STORE, "store i16 %out, ptr %unused"), UNUSED), "without outputs"),
    "output half written": (((STORE, "%o8 = trunc i16 %out to i8\n  store i8 %o8, ptr %y"),), "not written"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(changes: tuple[tuple[str, str], ...], message: str) -> None:
    text = LOOP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(Refused, match=message):
        rolled(text)


def test_what_a_cleared_mask_says_holds_for_every_value() -> None:
    """`v & mask == 0 ? v & keep : 0`, the clip of a code as LLVM writes it, for masks with holes and negative values."""
    tight = 0
    for _ in range(300):
        low = int(RNG.integers(-70, 60))
        high = int(RNG.integers(low + 1, 130))
        mask, keep = (int(RNG.choice([m, int(RNG.integers(1, 256))])) for m in (240, 255))
        b = Builder()
        v = b.input(("v", 0), 16, Fact(low, high))
        clear = b.compare("eq", b.op("and", 16, v, b.constant(mask, 16)), b.constant(0, 16))
        chosen = b.select(clear, b.op("and", 16, v, b.constant(keep, 16)), b.constant(0, 16))
        fact = b.facts[chosen]
        values = [v & keep if v & mask == 0 else 0 for v in range(low, high + 1)]
        assert fact.low <= min(values) <= max(values) <= fact.high, (low, high, mask, keep)
        tight += mask == 240 and keep == 255 and high > 15 and fact.high == 15
    assert tight > 5
