"""Relative dynamic energy of a mapped netlist: toggles per inference under unit delays, glitches included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from hwgen.synth._mapped import MappedNetlist, Simulator, pack_bits, port_bits
from hwgen.synth._primitives import OPEN, Circuit
from pymodel.errors import DataError
from pymodel.ir import IntArray
from sim.signals import SignalMap

__all__ = ["Activity", "measure_activity"]

_Counts = npt.NDArray[np.int64]
_LANES = 256


@dataclass(frozen=True)
class Activity:
    """Switched load per inference in arbitrary units: only ratios between netlists of one flow mean anything.

    A net that toggles charges its driver and every pin that it feeds: weight 1 + fan-out. The clock toggles twice a
    cycle at every flip-flop and shift register. A LUT takes one unit of time, carry cells and MUXF none, registers and
    inputs change together; wires are alike, whatever their length. What lies behind the output ports is not counted.

    Attributes:
        logic: toggles of all driven nets, weighted.
        clock: the clock's share.
        inputs: toggles of the input ports times the pins that they feed: part of the energy of a unit inside a design,
            not of a whole one, whose inputs are driven by somebody else.
        toggles: the same toggles, each counting 1.
        glitch_fraction: share of `logic` beyond one toggle per net whose settled value changed.
        inferences: vectors that were counted.
    """

    label: ClassVar[str] = "estimate (unit-delay toggles of the mapped netlist, weighted by fan-out)"

    logic: float
    clock: float
    inputs: float
    toggles: float
    glitch_fraction: float
    inferences: int

    @property
    def energy(self) -> float:
        """Logic and clock together."""
        return self.logic + self.clock


def _pins(circuit: Circuit) -> Iterator[int]:
    """Yield the net on every input pin of a cell."""
    for function in circuit.functions:
        yield from function.inputs
    for carry in circuit.carries:
        yield from (*carry.start, *carry.selects, *carry.data)
    for register in circuit.registers:
        yield from (register.data, register.enable, register.control)
    for delay in circuit.delays:
        yield from (delay.data, delay.enable)


def _weights(circuit: Circuit) -> _Counts:
    """Return 1 + fan-out of every net."""
    weights = 1 + np.bincount(np.fromiter(_pins(circuit), dtype=np.intp), minlength=circuit.n_nets)
    weights[OPEN] = 0
    return weights


def _count(toggles: _Counts, simulator: Simulator, nets: npt.NDArray[np.intp], words: npt.NDArray[np.uint64]) -> None:
    np.add.at(toggles, nets, np.bitwise_count(simulator.state[nets] ^ words).sum(axis=1, dtype=np.int64))
    simulator.state[nets] = words


def _cycle(netlist: MappedNetlist, simulator: Simulator, data: npt.NDArray[np.uint64], toggles: _Counts) -> None:
    """Clock the registers, apply the next inputs, and count every change until all is quiet."""
    nets, words = simulator.edge()
    _count(toggles, simulator, nets, words)
    _count(toggles, simulator, np.array(netlist.circuit.inputs["in_data"], dtype=np.intp), data)
    for step in netlist.order.steps:
        changes = [(group.outputs, group.values(simulator.state)) for group in step.luts]
        for outputs, values in changes:
            _count(toggles, simulator, outputs, values)
        for group in step.followers:
            _count(toggles, simulator, group.outputs, group.values(simulator.state))


def measure_activity(netlist: MappedNetlist, signals: SignalMap, X: IntArray) -> Activity:
    """Stream real data through a netlist, one vector per cycle in the order given, and count its toggles.

    Args:
        netlist: as synthesised.
        signals: ports and latency.
        X: (rows, inputs) input integers; they are cut into up to 256 streams, each warmed up with the rows before it.

    Raises:
        DataError: if there are fewer than 64 rows, or they do not fit to the input.
        ToolError: if the netlist's ports do not fit to `signals`.
    """
    netlist.check_ports(signals)
    low, high = signals.input.range
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[0] < 64 or X.shape[1] != signals.input.count or X.min() < low or X.max() > high:
        raise DataError(
            f"activity needs at least 64 rows of {signals.input.count} integers from {low} to {high}, not shape "
            f"{X.shape}; pass the input integers of real data"
        )
    lanes = min(_LANES, X.shape[0] // 64 * 64)
    length = X.shape[0] // lanes
    simulator = netlist.simulator(lanes, seed=0)
    ones = np.full((1, lanes // 64), 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)
    simulator.drive("rst", np.zeros_like(ones))
    simulator.drive("in_valid", ones)
    toggles, quiet = np.zeros(netlist.circuit.n_nets, dtype=np.int64), np.zeros(netlist.circuit.n_nets, dtype=np.int64)
    warm = signals.latency + 1
    first = np.arange(lanes) * length
    for t in range(-warm, length):
        data = pack_bits(port_bits(X[(first + t) % X.shape[0]].astype(np.int64), signals.input))
        if t == -warm:
            simulator.drive("in_data", data)
            simulator.settle()
            continue
        if t == 0:
            toggles[:] = quiet[:] = 0
        before = simulator.state.copy()
        _cycle(netlist, simulator, data, toggles)
        quiet += np.bitwise_count(before ^ simulator.state).sum(axis=1, dtype=np.int64)
    weights = _weights(netlist.circuit)
    ports = list(netlist.circuit.inputs["in_data"])
    driven = _driven(netlist.circuit)
    count = lanes * length
    logic, settled = int((toggles * weights)[driven].sum()), int((quiet * weights)[driven].sum())
    return Activity(
        logic=logic / count,
        clock=2.0 * (len(netlist.circuit.registers) + len(netlist.circuit.delays)),
        inputs=int((toggles * (weights - 1))[ports].sum()) / count,
        toggles=int(toggles[driven].sum()) / count,
        glitch_fraction=1 - settled / logic if logic else 0.0,
        inferences=count,
    )


def _driven(circuit: Circuit) -> npt.NDArray[np.bool_]:
    """Return which nets cells drive: inputs and constants are left out."""
    driven = np.ones(circuit.n_nets, dtype=bool)
    driven[: OPEN + 1] = False
    driven[[net for nets in circuit.inputs.values() for net in nets]] = False
    return driven
