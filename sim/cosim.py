"""RTL co-simulation: any engine's Verilog, compared with the reference on every vector and every visible IR node."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pymodel.errors import DataError, ToolError
from pymodel.ir import IntArray
from sim.bench._job import Options, write_job
from sim.equivalence import Border, FirstMismatch
from sim.signals import SIGNALS_FILE, SignalMap, load_signals
from sim.verilator import build_simulator, find_tools, run_bench

__all__ = ["AxisResult", "CosimResult", "NodeCheck", "cosim"]

_AXIS_ROWS = 2048


@dataclass(frozen=True)
class NodeCheck:
    """One IR node compared at one signal.

    Attributes:
        node: name in the IR.
        signal: Verilog signal, or the port `out_data` / `m_axis_tdata`.
        stage: rising edges after the one that captured the sample.
        vectors: vectors that were seen and compared.
        missing: vectors that never appeared.
        mismatches: vectors that differ or are missing.
        first: lowest differing vector and element.
    """

    node: str
    signal: str
    stage: int
    vectors: int
    missing: int
    mismatches: int
    first: FirstMismatch | None


@dataclass(frozen=True)
class AxisResult:
    """The run through the AXI4-Stream wrapper.

    Attributes:
        vectors: beats sent after the reset.
        mismatches: vectors that differ or are missing.
        ii: largest distance of two output beats while neither side stalled; None if too few were seen.
        cycles: simulated.
        check: the comparison of `m_axis_tdata`.
        errors: broken protocol rules, lost, repeated or reordered beats; empty if all is well.
    """

    vectors: int
    mismatches: int
    ii: int | None
    cycles: int
    check: NodeCheck
    errors: tuple[str, ...]


@dataclass(frozen=True)
class CosimResult:
    """What the co-simulation measured.

    Attributes:
        engine: name of the RTL generator.
        vectors: rows compared.
        latency: measured, in cycles (see `signals.json`); None if no output ever came.
        ii: measured initiation interval; None if no output ever came.
        cycles: simulated on the engine's own ports.
        checks: one entry per visible node in pipeline order, the output port last.
        collapsed: nodes that exist in no signal of this engine.
        bad_vectors: vectors that differ or are missing at any node, ascending.
        errors: broken rules of the engine's ports (latency, interval, lost or extra outputs); empty if all is well.
        outputs: integers (rows, n_out) seen at `out_data`; 0 for a vector that never came out.
        axis: the AXI4-Stream run, or None if it was not asked for or there is no wrapper.
        seconds: `build` and `simulate`.
        reused: whether an earlier compiled simulator was used.
        stream: the engine takes several beats per sample: all of this was measured at its AXI4-Stream wrapper, and
            `axis` is None.
    """

    engine: str
    vectors: int
    latency: int | None
    ii: int | None
    cycles: int
    checks: tuple[NodeCheck, ...]
    collapsed: tuple[str, ...]
    bad_vectors: tuple[int, ...]
    errors: tuple[str, ...]
    outputs: IntArray
    axis: AxisResult | None
    seconds: Mapping[str, float]
    reused: bool
    stream: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """All broken rules, those of the AXI4-Stream run included."""
        axis = () if self.axis is None else tuple(f"AXI4-Stream: {error}" for error in self.axis.errors)
        return self.errors + axis

    @property
    def nodes(self) -> dict[str, int]:
        """Vectors that differ or are missing, per node (the worse of its signal and the port)."""
        counts: dict[str, int] = {}
        for check in self.checks:
            counts[check.node] = max(counts.get(check.node, 0), check.mismatches)
        return counts

    @property
    def mismatches(self) -> int:
        """Vectors that differ or are missing, plus those of the AXI4-Stream run, plus one for each broken rule."""
        axis = 0 if self.axis is None else self.axis.mismatches
        return len(self.bad_vectors) + axis + len(self.problems)

    @property
    def first(self) -> FirstMismatch | None:
        """The first difference: the earliest node in the pipeline, there the lowest vector and element."""
        checks = [*self.checks, *([] if self.axis is None else [self.axis.check])]
        return next((check.first for check in checks if check.first is not None), None)

    @property
    def equal(self) -> bool:
        """True if every vector was compared and neither an integer nor a rule of the ports differs."""
        return self.mismatches == 0

    def border(self, name: str) -> Border:
        """Return the result as the border of two stations; broken port rules count as mismatches."""
        return Border(name, self.vectors, self.mismatches, self.nodes, self.first, self.problems)


def cosim(
    rtl_dir: Path,
    X: IntArray,
    expected: Mapping[str, IntArray],
    *,
    seed: int = 0,
    node_checks: bool = True,
    axis: bool = True,
    axis_rows: int = _AXIS_ROWS,
    work_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
    timeout: float = 3600.0,
) -> CosimResult:
    """Simulate the RTL in `rtl_dir` and compare it with `expected`.

    The engine gets every vector with random bubbles and bursts, and a reset while samples are in flight (those are
    dropped, and must be). Latency and initiation interval are measured. Then the AXI4-Stream wrapper gets up to
    `axis_rows` of the vectors, with stalls on both sides. An engine that takes several beats per sample gets every vector through
    its wrapper, and nothing else; its latency counts from the first beat offered to the output, its interval is that of
    samples while nothing stalls.

    Args:
        rtl_dir: Verilog and `signals.json`; only read.
        X: input integers (rows, n_in).
        expected: integers (rows, n_out) of every IR node by name.
        seed: of bubbles, stalls and the initial values of registers.
        node_checks: compare the IR nodes inside the engine, too, not only its output.
        axis: also run the AXI4-Stream wrapper, if there is one.
        axis_rows: vectors for it, evenly spaced over `X` if those are more.
        work_dir: keeps the compiled simulator, which is used again as long as nothing changed; None uses a temporary
            folder.
        progress: called with a sentence when a step starts.
        timeout: seconds for each step.

    Raises:
        DataError: if `signals.json` is malformed or does not fit `X` and `expected`.
        ToolError: if Verilator or cocotb is missing, rejects the design, crashes, or runs out of time.
    """
    signals = load_signals(rtl_dir)
    _check_arguments(signals, X, expected, node_checks=node_checks)
    if work_dir is None:
        with tempfile.TemporaryDirectory(prefix="kan4ml-cosim-") as temporary:
            return cosim(
                rtl_dir,
                X,
                expected,
                seed=seed,
                node_checks=node_checks,
                axis=axis,
                axis_rows=axis_rows,
                work_dir=Path(temporary),
                progress=progress,
                timeout=timeout,
            )
    tell = progress or (lambda _: None)
    tools = find_tools()
    stream_only = signals.beats > 1
    with_axis = stream_only or (axis and signals.axis_top is not None)
    tell("compiling the RTL")
    started = time.monotonic()
    builds = work_dir.resolve() / "verilator"
    simulator = build_simulator(tools, rtl_dir, signals, builds, axis=with_axis, timeout=timeout)
    built = time.monotonic()
    tell(f"simulating {X.shape[0]} vectors")
    with tempfile.TemporaryDirectory(prefix="job-", dir=simulator.sources.parent) as folder:
        job = Path(folder)
        wrapped = X.shape[0] if stream_only else min(axis_rows, X.shape[0]) if with_axis else 0
        options = Options(seed, node_checks, wrapped)
        write_job(job, (rtl_dir / SIGNALS_FILE).read_bytes(), options, X, expected)
        log = run_bench(tools, simulator, job, seed=seed, timeout=timeout)
        stream = _answer(job, "axis", log) if with_axis else None
        core = stream if stream_only and stream is not None else _answer(job, "core", log)
        outputs = np.load(job / "outputs.npy", allow_pickle=False)
    if stream_only:
        stream = None  # it was the whole test
    seconds = {"build": built - started, "simulate": time.monotonic() - built}
    return _result(signals, X.shape[0], core, stream, outputs, seconds, reused=simulator.reused)


def _check_arguments(signals: SignalMap, X: IntArray, expected: Mapping[str, IntArray], *, node_checks: bool) -> None:
    shape = signals.input
    if X.ndim != 2 or X.shape[0] == 0 or X.shape[1] != shape.count or X.dtype.kind != "i":
        raise DataError(
            f"the RTL takes rows of {shape.count} integers, but the vectors have shape {X.shape} and type {X.dtype}; "
            "pass the input integers of the model it was generated from"
        )
    low, high = shape.range
    if X.min() < low or X.max() > high:
        raise DataError(
            f"the RTL takes inputs from {low} to {high}, but the vectors reach from {X.min()} to {X.max()}; "
            "pass the input integers of the model it was generated from"
        )
    shapes = {node.node: node.shape for node in signals.nodes} if node_checks else {}
    for name, port in {**shapes, signals.output_node: signals.output}.items():
        if name not in expected:
            raise DataError(f"{SIGNALS_FILE} has a node {name!r} that the model lacks; generate the RTL again")
        if expected[name].shape != (X.shape[0], port.count):
            raise DataError(
                f"{SIGNALS_FILE} gives node {name!r} {port.count} integers, but the model has {expected[name].shape[1:]} "
                f"for {X.shape[0]} vectors; generate the RTL again"
            )
    unknown = [name for name in expected if name not in shapes and name not in signals.collapsed]
    if node_checks and unknown:
        raise DataError(
            f"{SIGNALS_FILE} says nothing of node {unknown[0]!r}, so it cannot be compared; generate the RTL again"
        )


def _answer(job: Path, part: str, log: str) -> dict[str, Any]:
    path = job / f"{part}.json"
    if not path.is_file():
        tail = os.linesep.join(log.strip().splitlines()[-12:])
        raise ToolError(f"the RTL simulation ended without a result of its {part} part; its log ends with:\n{tail}")
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return answer


def _check(entry: Mapping[str, Any], rows: IntArray | None = None) -> NodeCheck:
    first = None
    if entry["first"] is not None:
        vector, element, got, wanted = entry["first"]
        first = FirstMismatch(entry["node"], vector if rows is None else int(rows[vector]), element, got, wanted)
    keys = ("node", "signal", "stage", "vectors", "missing", "mismatches")
    return NodeCheck(**{key: entry[key] for key in keys}, first=first)


def _result(
    signals: SignalMap,
    vectors: int,
    core: Mapping[str, Any],
    stream: Mapping[str, Any] | None,
    outputs: IntArray,
    seconds: Mapping[str, float],
    *,
    reused: bool,
) -> CosimResult:
    axis = None
    if stream is not None:
        rows = np.array(stream["rows"], dtype=np.int64)
        check = _check(stream["checks"][0], rows)
        axis = AxisResult(len(rows), check.mismatches, stream["ii"], stream["cycles"], check, tuple(stream["errors"]))
    bad = sorted({row for entry in core["checks"] for row in entry["bad_vectors"]})
    return CosimResult(
        engine=signals.engine,
        vectors=vectors,
        latency=core["latency"],
        ii=core["ii"],
        cycles=core["cycles"],
        checks=tuple(_check(entry) for entry in core["checks"]),
        collapsed=signals.collapsed,
        bad_vectors=tuple(bad),
        errors=tuple(core["errors"]),
        outputs=outputs,
        axis=axis,
        seconds=seconds,
        reused=reused,
        stream=signals.beats > 1,
    )
