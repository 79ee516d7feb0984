"""The checker of an engine: compares what the monitor recorded with the model, on integers, after the simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel.ir import IntArray
from sim.bench._bits import unpack
from sim.bench._job import Job
from sim.bench._model import Prediction, predict
from sim.bench._monitor import CoreMonitor, NodeTrace

__all__ = ["Comparison", "check_core"]


class Comparison:
    """Differences of one node, accumulated over batches; a vector that was never seen counts as different."""

    def __init__(self, node: str, signal: str, stage: int, expected: IntArray) -> None:
        self.node, self.signal, self.stage = node, signal, stage
        self._expected = expected
        self._bad: npt.NDArray[np.bool_] = np.zeros(expected.shape, dtype=bool)
        self._seen: npt.NDArray[np.bool_] = np.zeros(expected.shape[0], dtype=bool)
        self.got: IntArray = np.zeros_like(expected)

    def add(self, rows: IntArray, got: IntArray) -> None:
        """Compare the integers `got` (n, n_out) with those expected of the vectors `rows` (n,).

        A vector may occur several times: any wrong occurrence marks it, and its wrong value is the one kept.
        """
        different = got != self._expected[rows]
        np.logical_or.at(self._bad, rows, different)
        fresh = ~self._bad[rows].any(axis=1) | different.any(axis=1)
        self.got[rows[fresh]] = got[fresh]
        self._seen[rows] = True

    def answer(self) -> dict[str, Any]:
        """Return counts (of vectors) and the first difference as JSON."""
        wrong = self._bad.any(axis=1)
        first = None
        if wrong.any():
            row = int(np.argmax(wrong))
            element = int(np.argmax(self._bad[row]))
            first = [row, element, int(self.got[row, element]), int(self._expected[row, element])]
        return {
            "node": self.node,
            "signal": self.signal,
            "stage": self.stage,
            "vectors": int(self._seen.sum()),
            "missing": int((~self._seen).sum()),
            "mismatches": int((wrong | ~self._seen).sum()),
            "bad_vectors": np.flatnonzero(wrong | ~self._seen).tolist(),
            "first": first,
        }


def _check_node(job: Job, trace: NodeTrace, prediction: Prediction) -> dict[str, Any]:
    signal = trace.signal
    assert trace.cycles == prediction.cycles[: len(trace.cycles)].tolist(), "the monitor sampled in other cycles"
    comparison = Comparison(signal.node, signal.signal, signal.stage, job.expected[signal.node])
    values = unpack(trace.words, signal.shape.count, signal.shape.width, signal.shape.signed) + signal.offset
    comparison.add(prediction.rows[: len(trace.cycles)], values)
    return comparison.answer()


def _initiation_interval(monitor: CoreMonitor, prediction: Prediction) -> int | None:
    """Return the largest distance of two outputs whose samples were offered in adjacent cycles; None if unknown."""
    outputs = monitor.output_cycles
    n = min(outputs.size, prediction.cycles.size)
    adjacent = np.diff(prediction.cycles[:n]) == 1
    gaps = np.diff(outputs[:n])[adjacent]
    return int(gaps.max()) if gaps.size else None


def check_core(job: Job, monitor: CoreMonitor, offered: IntArray, latency: int | None) -> dict[str, Any]:
    """Compare ports and node signals with the model.

    Args:
        job: the question.
        monitor: what was recorded; the first sample was offered alone.
        offered: vector of every sample offered, in order.
        latency: measured on the first sample, or None if it never came out.
    """
    signals = job.signals
    accepted, resets = monitor.accepted, monitor.resets
    assert accepted.size == offered.size, "the monitor saw other samples than the driver offered"
    checks = [
        _check_node(job, trace, predict(accepted, offered, resets, trace.signal.stage + 1)) for trace in monitor.traces
    ]
    out = Comparison(signals.output_node, "out_data", signals.latency - 1, job.expected[signals.output_node])
    errors: list[str] = []
    ii = None
    if latency is None:
        errors.append("no output came within the time limit after the first sample")
    else:
        if latency != signals.latency:
            errors.append(f"the latency is {latency} cycles, signals.json states {signals.latency}")
        prediction = predict(accepted, offered, resets, latency)
        cycles, seen, predicted = np.intersect1d(
            monitor.output_cycles, prediction.cycles, assume_unique=True, return_indices=True
        )
        words = [monitor.output_words[at] for at in seen]
        values = unpack(words, signals.output.count, signals.output.width, signals.output.signed)
        out.add(prediction.rows[predicted], values)
        lost, extra = prediction.cycles.size - cycles.size, monitor.output_cycles.size - cycles.size
        if lost or extra:
            wrong = np.setxor1d(monitor.output_cycles, prediction.cycles, assume_unique=True)
            errors.append(
                f"the latency is not constant or samples are lost: {lost} outputs missing and {extra} unexpected "
                f"for {offered.size} samples, the first in cycle {int(wrong[0])}"
            )
        ii = _initiation_interval(monitor, prediction)
        if ii != 1:
            errors.append(f"the initiation interval is {ii}, expected 1")
    job.answer_outputs(out.got)
    return {
        "latency": latency,
        "ii": ii,
        "cycles": monitor.cycle,
        "samples": int(offered.size),
        "checks": [*checks, out.answer()],
        "errors": errors,
    }
