"""The monitor of an engine: records, cycle by cycle, what is on its ports and on the signals of its IR nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pymodel.ir import IntArray
from sim.signals import NodeSignal

__all__ = ["CoreMonitor", "NodeTrace"]


class NodeTrace:
    """Raw values of one signal in the cycles in which a sample is in its pipeline stage."""

    def __init__(self, handle: Any, signal: NodeSignal) -> None:
        self.handle = handle
        self.signal = signal
        self.cycles: list[int] = []
        self.words: list[str] = []


class CoreMonitor:
    """Records at the sampling point just before each rising edge; values are kept as the simulator gave them.

    A node of stage s is read s + 1 cycles after its sample was offered, since the edge between captured it.
    """

    def __init__(self, dut: Any, nodes: tuple[NodeSignal, ...]) -> None:
        self._in_valid, self._rst, self._out_valid, self._out_data = dut.in_valid, dut.rst, dut.out_valid, dut.out_data
        self.traces = [NodeTrace(getattr(dut, f"node_{index}"), node) for index, node in enumerate(nodes)]
        self._depth = max((node.stage + 1 for node in nodes), default=1)
        self._history = 0
        self._cycle = 0
        self._accepted: list[int] = []
        self._resets: list[int] = []
        self._output_cycles: list[int] = []
        self.output_words: list[str] = []

    @property
    def cycle(self) -> int:
        """Number of cycles recorded."""
        return self._cycle

    @property
    def accepted(self) -> IntArray:
        """Cycles with `in_valid` (a reset in the same cycle drops the sample)."""
        return np.array(self._accepted, dtype=np.int64)

    @property
    def resets(self) -> IntArray:
        """Cycles with `rst`."""
        return np.array(self._resets, dtype=np.int64)

    @property
    def output_cycles(self) -> IntArray:
        """Cycles with `out_valid`; `output_words` has the data of each."""
        return np.array(self._output_cycles, dtype=np.int64)

    def sample(self) -> bool:
        """Record one cycle; return whether `out_valid` was high."""
        cycle, history = self._cycle, self._history
        self._cycle += 1
        for trace in self.traces:
            if history >> trace.signal.stage & 1:
                trace.cycles.append(cycle)
                trace.words.append(str(trace.handle.value))
        valid = str(self._in_valid.value) == "1"
        if valid:
            self._accepted.append(cycle)
        if str(self._rst.value) == "1":
            self._resets.append(cycle)
            self._history = 0
        else:
            self._history = (history << 1 | valid) & ((1 << self._depth) - 1)
        if str(self._out_valid.value) != "1":
            return False
        self._output_cycles.append(cycle)
        self.output_words.append(str(self._out_data.value))
        return True
