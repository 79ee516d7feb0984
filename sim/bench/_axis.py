"""Driver, monitor and checker of the AXI4-Stream wrapper: both sides stall at random.

A sample is one beat, or several on the input side where the engine takes its inputs one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymodel.ir import IntArray
from sim.bench._bits import unpack
from sim.bench._checker import Comparison
from sim.bench._driver import bursts
from sim.bench._job import Job

__all__ = ["AxisMonitor", "AxisSink", "AxisSource", "Pace", "check_axis", "paces"]


@dataclass(frozen=True)
class Pace:
    """One cycle of the test: may the source present a new beat, is the sink ready."""

    offer: bool
    ready: bool


def paces(full_speed: int, stall: int, rng: np.random.Generator) -> Iterator[Pace]:
    """Yield paces for ever: `full_speed` cycles without any stall, then random mixtures.

    Among them: the sink stalls for `stall` cycles while the source pushes (the output FIFO fills up), only the source
    pauses, only the sink pauses in short bursts, both do, neither does.
    """
    for _ in range(full_speed):
        yield Pace(offer=True, ready=True)
    while True:
        kind, length = int(rng.integers(0, 5)), int(rng.integers(20, 80))
        offer = ready = np.ones(length, dtype=bool)
        if kind == 0:
            offer, ready = np.ones(stall, dtype=bool), np.zeros(stall, dtype=bool)
        if kind in (1, 3):
            offer = bursts(length, float(rng.uniform(1, 8)), float(rng.uniform(1, 8)), rng)
        if kind in (2, 3):
            ready = bursts(length, float(rng.uniform(1, 8)), float(rng.uniform(1, 8)), rng)
        for at in range(min(offer.size, ready.size)):
            yield Pace(bool(offer[at]), bool(ready[at]))


class AxisSource:
    """Presents beats in order; a beat stays until it is accepted, as the protocol demands.

    `tlast` is high on the last of the `beats` beats of a sample.
    """

    def __init__(self, dut: Any, words: Sequence[str], beats: int) -> None:
        self._dut = dut
        self._words = words
        self._beats = beats
        self.accepted = 0
        self._presented: int | None = None

    @property
    def done(self) -> bool:
        """True if every beat was accepted."""
        return self.accepted == len(self._words)

    def withdraw(self) -> None:
        """Drop `tvalid`: allowed in reset only."""
        self._presented = None
        self._dut.s_tvalid.value = 0
        self._dut.s_tlast.value = 0

    def drive(self, offer: bool) -> None:
        """Set the source side for the coming rising edge."""
        if self._presented is None and offer and not self.done:
            self._presented = self.accepted
            self._dut.s_tdata.value = self._words[self._presented]
            self._dut.s_tvalid.value = 1
            self._dut.s_tlast.value = int(self._presented % self._beats == self._beats - 1)

    def sample(self) -> None:
        """Take notice of a handshake, at the sampling point before the rising edge."""
        if self._presented is not None and str(self._dut.s_tready.value) == "1":
            self.accepted += 1
            self._presented = None

    def idle(self) -> None:
        """After an accepted beat: no beat is presented until :meth:`drive` does it again."""
        if self._presented is None:
            self._dut.s_tvalid.value = 0
            self._dut.s_tlast.value = 0


class AxisSink:
    """Drives `tready`."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self._ready: bool | None = None

    def drive(self, ready: bool) -> None:
        """Set the sink side for the coming rising edge."""
        if ready != self._ready:
            self._dut.m_tready.value = int(ready)
            self._ready = ready


class AxisMonitor:
    """Records accepted beats on the output side and checks the handshake rules there."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self.words: list[str] = []
        self.cycles: list[int] = []
        self.cycle = 0
        self.violations: dict[str, int] = {}
        self._waiting: str | None = None

    def _violation(self, rule: str) -> None:
        self.violations.setdefault(rule, self.cycle)

    def reset(self, first: bool) -> None:
        """Record one cycle in reset; after the first edge of a reset `tvalid` must be low."""
        self.cycle += 1
        self._waiting = None
        if not first and str(self._dut.m_tvalid.value) == "1":
            self._violation("m_axis_tvalid is high in reset")

    def sample(self) -> bool:
        """Record one cycle; return whether a beat was taken."""
        self.cycle += 1
        valid = str(self._dut.m_tvalid.value) == "1"
        if self._waiting is not None and not valid:
            self._violation("m_axis_tvalid fell before the beat was taken")
        if not valid:
            self._waiting = None
            return False
        word = str(self._dut.m_tdata.value)
        if self._waiting is not None and word != self._waiting:
            self._violation("m_axis_tdata changed before the beat was taken")
        if str(self._dut.m_tlast.value) != "1":
            self._violation("m_axis_tlast is low on a beat")
        if str(self._dut.m_tready.value) != "1":
            self._waiting = word
            return False
        self._waiting = None
        self.words.append(word)
        self.cycles.append(self.cycle)
        return True


def _order_error(got: IntArray, expected: IntArray) -> str | None:
    """Say how the sequence of beats differs from the one expected: a repeated, lost or altered beat."""
    n = min(len(got), len(expected))
    wrong = (got[:n] != expected[:n]).any(axis=1)
    at = int(np.argmax(wrong)) if wrong.any() else n
    if at == len(got) == len(expected):
        return None
    if at == len(got):
        return f"{len(expected) - at} beats are lost: {len(expected)} went in, {at} came out"
    if at == len(expected):
        return f"{len(got) - at} beats came out that never went in"
    if at and (got[at] == got[at - 1]).all():
        kind = "repeats the one before"
    elif at + 1 < len(expected) and (got[at] == expected[at + 1]).all():
        kind = "is missing; the next one came in its place"
    else:
        kind = "differs"
    return f"beat {at} {kind}"


def check_axis(
    job: Job, rows: IntArray, before_reset: AxisMonitor, n_before: int, after: AxisMonitor, full_speed: int
) -> dict[str, Any]:
    """Compare the beats with the expected integers, in order and in number.

    Args:
        job: the question.
        rows: vectors sent after the reset, in order.
        before_reset: what came out before the reset of the vectors `rows[:n_before]`; the rest was dropped by it.
        n_before: beats accepted before the reset.
        after: what came out after the reset.
        full_speed: cycles without stalls at the beginning of `after`; its first beat is offered at once.
    """
    shape, node = job.signals.output, job.signals.output_node
    comparison = Comparison(node, "m_axis_tdata", job.signals.latency, job.expected[node][rows])
    errors = [f"{rule} (cycle {cycle})" for m in (before_reset, after) for rule, cycle in m.violations.items()]
    early = unpack(before_reset.words, shape.count, shape.padded_width, shape.signed)
    if len(early) > n_before:
        errors.append(f"before the reset, {n_before} beats went in and {len(early)} came out")
    expected = job.expected[node][rows]
    early = early[: min(len(early), n_before)]
    comparison.add(np.arange(len(early), dtype=np.int64), early)
    late = unpack(after.words, shape.count, shape.padded_width, shape.signed)
    order = _order_error(late, expected)
    if order is not None:
        errors.append(order)
    n = min(len(late), len(rows))
    comparison.add(np.arange(n, dtype=np.int64), late[:n])
    gaps = np.diff([cycle for cycle in after.cycles if cycle <= full_speed])
    if job.signals.beats > 1:
        job.answer_outputs(comparison.got)
    return {
        "latency": after.cycles[0] - 1 if after.cycles else None,  # the first beat was offered in cycle 1
        "ii": int(gaps.max()) if gaps.size else None,
        "cycles": before_reset.cycle + after.cycle,
        "rows": rows.tolist(),
        "checks": [comparison.answer()],
        "errors": errors,
    }
