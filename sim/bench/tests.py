"""The cocotb tests: an engine on its own ports, then through its AXI4-Stream wrapper.

Inputs change at falling edges, and everything is sampled after they have settled (read-only phase): what is seen there
is what the next rising edge captures. One such sampling point is one cycle.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from sim.bench._axis import AxisMonitor, AxisSink, AxisSource, Pace, check_axis, paces
from sim.bench._bits import pack
from sim.bench._checker import check_core
from sim.bench._driver import CoreDriver, stream_schedule
from sim.bench._job import Job, read_job
from sim.bench._monitor import CoreMonitor

__all__ = ["JOB_VARIABLE", "axis", "core"]

#: Environment variable with the folder of the job.
JOB_VARIABLE = "KAN4ML_BENCH_JOB"
_RESET_CYCLES = 4


def _job() -> Job:
    return read_job(Path(os.environ[JOB_VARIABLE]))


def _check_widths(job: Job, dut: Any) -> list[str]:
    """Compare the widths of the node signals with `signals.json`: a truncated signal would be compared in part."""
    return [
        f"signal {node.signal} of node {node.node} has {int(bits)} bits, signals.json states {node.shape.bits}"
        for index, node in enumerate(job.signals.nodes)
        if (bits := int(str(getattr(dut, f"bits_{index}").value), 2)) != node.shape.bits
    ]


@cocotb.test()  # type: ignore[untyped-decorator]
async def core(dut: Any) -> None:
    """Drive every vector with bubbles and a reset; compare ports and nodes."""
    job = _job()
    signals = job.signals
    if signals.beats > 1:
        return
    rng = np.random.default_rng(job.options.seed)
    driver = CoreDriver(dut, pack(job.X, signals.input.width))
    monitor = CoreMonitor(dut, signals.nodes if job.options.node_checks else ())
    edge, settled = FallingEdge(dut.clk), ReadOnly()
    Clock(dut.clk, 2, unit="step").start()

    async def cycle(valid: bool, reset: bool, row: int, record: bool = True) -> bool:
        await edge
        driver.drive(valid, reset, row)
        await settled
        return monitor.sample() if record else False

    for _ in range(_RESET_CYCLES):
        await cycle(valid=False, reset=True, row=0, record=False)
    await cycle(valid=True, reset=False, row=0)
    offered, latency = monitor.cycle, None
    for _ in range(4 * signals.latency + 64):
        if await cycle(valid=False, reset=False, row=0):
            latency = monitor.cycle - offered
            break
    if latency is not None:
        schedule = stream_schedule(job.X.shape[0], latency, rng)
        for valid, reset, row in zip(
            schedule.valid.tolist(), schedule.reset.tolist(), schedule.row.tolist(), strict=True
        ):
            await cycle(valid, reset, row)
    result = check_core(job, monitor, np.array(driver.offered, dtype=np.int64), latency)
    result["errors"] += _check_widths(job, dut)
    job.answer("core", result)


@cocotb.test()  # type: ignore[untyped-decorator]
async def axis(dut: Any) -> None:
    """Send vectors through the wrapper with stalls on both sides and a reset; compare the beats."""
    job = _job()
    if not job.options.axis_rows:
        return
    signals = job.signals
    rng = np.random.default_rng(job.options.seed + 1)
    rows = np.linspace(0, job.X.shape[0] - 1, job.options.axis_rows).astype(np.int64)
    beats = signals.beats
    words = pack(job.X[rows].reshape(len(rows) * beats, -1), signals.beat.padded_width)
    sink = AxisSink(dut)
    edge, settled = FallingEdge(dut.aclk), ReadOnly()
    dut.s_tdata.value = words[0]
    Clock(dut.aclk, 2, unit="step").start()

    async def hold_reset(source: AxisSource, monitor: AxisMonitor) -> None:
        for index in range(_RESET_CYCLES):
            await edge
            dut.aresetn.value = 0
            source.withdraw()
            sink.drive(index % 2 == 0)
            await settled
            monitor.reset(first=index == 0)

    async def cycle(source: AxisSource, monitor: AxisMonitor, pace: Pace) -> bool:
        await edge
        dut.aresetn.value = 1
        source.idle()
        source.drive(pace.offer)
        sink.drive(pace.ready)
        await settled
        source.sample()
        return monitor.sample()

    stall = 4 * signals.latency + 64
    source, before = AxisSource(dut, words, beats), AxisMonitor(dut)
    await hold_reset(source, before)
    for pace in itertools.islice(paces(signals.latency + 8, stall, rng), 4 * stall):
        await cycle(source, before, pace)
    # Fill the pipeline and the FIFO, so that the reset finds samples everywhere.
    for _ in range(stall):
        await cycle(source, before, Pace(offer=True, ready=False))
    n_before = source.accepted // beats
    source, after = AxisSource(dut, words, beats), AxisMonitor(dut)
    await hold_reset(source, before)
    full_speed = 4 * signals.latency + 64
    quiet = 0
    for pace in paces(full_speed, stall, rng):
        moved = source.accepted
        taken = await cycle(source, after, pace)
        quiet = 0 if taken or source.accepted != moved else quiet + 1
        if quiet > 4 * stall or (source.done and len(after.words) >= len(rows)):
            break
    for _ in range(stall):
        await cycle(source, after, Pace(offer=False, ready=True))
    job.answer("axis", check_axis(job, rows, before, n_before, after, full_speed))
