"""Simulate a mapped netlist: every LUT, carry bit and flip-flop that synthesis left, cycle by cycle, many streams at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwgen.synth._primitives import FALSE, TRUE, Circuit, read_circuit
from hwgen.synth._schedule import Schedule, Words, schedule
from pymodel.errors import DataError, ToolError
from pymodel.ir import IntArray
from sim.signals import PortShape, SignalMap

__all__ = ["MappedNetlist", "NetlistRun", "Simulator"]

_Bits = npt.NDArray[np.uint8]
_PORTS = {"rst", "in_valid", "in_data"}
_SRL_LENGTH = 32
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
#: Streams that run beside each other: enough to keep numpy busy, few enough that a level's nets stay in the cache.
_LANES = 1024


@dataclass(frozen=True)
class NetlistRun:
    """What came out of a simulation.

    Attributes:
        outputs: (rows, outputs) integers.
        cycles: clock cycles per stream, reset, bubbles and drain included.
        problems: rules of the ports that were broken, each a sentence.
    """

    outputs: IntArray
    cycles: int
    problems: tuple[str, ...]


def pack_bits(bits: _Bits) -> Words:
    """Return bits (nets, lanes) as words (nets, lanes / 64); lanes must be a multiple of 64."""
    return np.ascontiguousarray(np.packbits(bits, axis=1, bitorder="little")).view(np.uint64)


def unpack_bits(words: Words) -> _Bits:
    """Return words (nets, n) as bits (nets, 64 n)."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")


def port_bits(values: IntArray, shape: PortShape) -> _Bits:
    """Return integers (rows, count) as the bits (count * width, rows) of a packed port."""
    bits = (values.T[:, None, :] >> np.arange(shape.width)[None, :, None]) & 1
    return np.asarray(bits.reshape(shape.bits, values.shape[0]), dtype=np.uint8)


def port_values(bits: _Bits, shape: PortShape) -> IntArray:
    """Return the integers (rows, count) that the bits (count * width, rows) of a packed port mean."""
    weights = np.int64(1) << np.arange(shape.width, dtype=np.int64)
    if shape.signed:
        weights[-1] = -weights[-1]
    found = np.tensordot(bits.reshape(shape.count, shape.width, -1).astype(np.int64), weights, axes=(1, 0))
    return np.ascontiguousarray(found.T)


class Simulator:
    """The state of `lanes` independent copies of a netlist.

    Flip-flops without an initial value, and nets that nothing drives, start at random.
    """

    def __init__(self, circuit: Circuit, order: Schedule, lanes: int, seed: int) -> None:
        assert lanes % 64 == 0, lanes
        rng = np.random.default_rng(seed)
        self._circuit, self._order = circuit, order
        words = lanes // 64
        self.state: Words = rng.integers(0, 1 << 64, (circuit.n_nets, words), dtype=np.uint64)
        self.state[FALSE], self.state[TRUE] = 0, _ALL
        registers, delays = circuit.registers, circuit.delays
        self._data = np.array([r.data for r in registers], dtype=np.intp)
        self._enable = np.array([r.enable for r in registers], dtype=np.intp)
        self._control = np.array([r.control for r in registers], dtype=np.intp)
        self._output = np.array([r.output for r in registers], dtype=np.intp)
        self._forced = self._mask([r.forced == 1 for r in registers])
        self._data_flip = self._mask([r.inverts_data for r in registers])
        self._control_flip = self._mask([r.inverts_control for r in registers])
        self._async = np.array([r.is_async for r in registers], dtype=bool)
        for r in registers:
            if r.initial is not None:
                self.state[r.output] = _ALL * np.uint64(r.initial)
        self._shift_data = np.array([d.data for d in delays], dtype=np.intp)
        self._shift_enable = np.array([d.enable for d in delays], dtype=np.intp)
        taps = [(line, tap, net) for line, d in enumerate(delays) for net, tap in d.outputs]
        self._taps = np.array(taps, dtype=np.intp).reshape(-1, 3).T
        initial = np.array([[d.initial >> tap & 1 for tap in range(_SRL_LENGTH)] for d in delays], dtype=np.uint64)
        self._shift: Words = np.repeat(initial.reshape(-1, _SRL_LENGTH, 1) * _ALL, words, axis=2)
        self._show_taps()

    @staticmethod
    def _mask(flags: list[bool]) -> Words:
        return (np.array(flags, dtype=np.uint64) * _ALL).reshape(-1, 1)

    def _show_taps(self) -> None:
        line, tap, net = self._taps
        self.state[net] = self._shift[line, tap]

    def drive(self, port: str, words: Words) -> None:
        """Set an input port to words (bits, lanes / 64)."""
        self.state[list(self._circuit.inputs[port])] = words

    def read(self, port: str) -> Words:
        """Return the words (bits, lanes / 64) of an output port."""
        return self.state[list(self._circuit.outputs[port])]

    def _forces(self) -> Words:
        return self.state[self._control] ^ self._control_flip

    def settle(self) -> None:
        """Let the combinational logic follow registers and inputs, without regard to time."""
        if self._async.any():
            force = np.where(self._async[:, None], self._forces(), np.uint64(0))
            self.state[self._output] = (self.state[self._output] & ~force) | (force & self._forced)
        for group in self._order.settle:
            self.state[group.outputs] = group.values(self.state)

    def edge(self) -> tuple[npt.NDArray[np.intp], Words]:
        """Clock every register and delay line once; return which nets they drive, and their new words."""
        state = self.state
        old = state[self._output]
        new = old ^ (state[self._enable] & (old ^ state[self._data] ^ self._data_flip))
        force = self._forces()
        new = (new & ~force) | (force & self._forced)
        if self._shift.size:
            moved = np.concatenate([state[self._shift_data][:, None], self._shift[:, :-1]], axis=1)
            enable = state[self._shift_enable][:, None]
            self._shift ^= enable & (self._shift ^ moved)
        line, tap, net = self._taps
        return np.concatenate([self._output, net]), np.concatenate([new, self._shift[line, tap]])


class MappedNetlist:
    """A mapped netlist that can be simulated.

    Args:
        circuit: its cells.

    Raises:
        ToolError: if it has a combinational loop.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.order = schedule(circuit)

    @classmethod
    def read(cls, path: Path, top: str) -> MappedNetlist:
        """Read a file written by Yosys's `write_json` after `synth_xilinx -flatten`.

        Raises:
            ToolError: if the file does not contain `top`, or it has cells that cannot be simulated.
        """
        return cls(read_circuit(path, top))

    def check_ports(self, signals: SignalMap) -> None:
        """Check that the ports are those of every engine (docs/design.md, section 3).

        Raises:
            ToolError: if they are not.
        """
        inputs, outputs = self.circuit.inputs, self.circuit.outputs
        widths = {
            **{name: len(inputs.get(name, ())) for name in ("clk", "rst", "in_valid", "in_data")},
            **{name: len(outputs.get(name, ())) for name in ("out_valid", "out_data")},
        }
        expected = {
            **dict.fromkeys(("clk", "rst", "in_valid", "out_valid"), 1),
            "in_data": signals.input.bits,
            "out_data": signals.output.bits,
        }
        if widths != expected or len(inputs) + len(outputs) != len(expected):
            raise ToolError(
                f"the mapped netlist of {signals.top} has ports of {widths} bits where signals.json means {expected}; "
                "generate the RTL again"
            )

    def simulator(self, lanes: int, seed: int) -> Simulator:
        """Return `lanes` (a multiple of 64) copies, not yet reset."""
        return Simulator(self.circuit, self.order, lanes, seed)

    def simulate(self, X: IntArray, signals: SignalMap, *, seed: int = 0) -> NetlistRun:
        """Reset the netlist, stream the rows of `X` into it with bubbles between them, and collect what comes out.

        The rows are dealt to up to 1,024 streams; each has its own places for bubbles, filled with random data.

        Args:
            X: (rows, inputs) input integers.
            signals: ports and latency.
            seed: of bubbles, and of registers that reset does not reach.

        Raises:
            DataError: if the shape or range of `X` is not that of the input.
            ToolError: if the ports do not fit to `signals`.
        """
        self.check_ports(signals)
        low, high = signals.input.range
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != signals.input.count or X.dtype.kind not in "iu":
            raise DataError(
                f"the netlist takes integers of shape (rows, {signals.input.count}), not {X.dtype} of shape {X.shape}; "
                "pass input integers"
            )
        if not X.size or X.min() < low or X.max() > high:
            raise DataError(f"the netlist takes rows of integers from {low} to {high}; pass input integers")
        return self._stream(X.astype(np.int64), signals, np.random.default_rng(seed), seed)

    def _stream(self, X: IntArray, signals: SignalMap, rng: np.random.Generator, seed: int) -> NetlistRun:
        rows, latency = X.shape[0], signals.latency
        lanes = min(_LANES, -(-rows // 64) * 64)
        per_lane = -(-rows // lanes)
        slots = per_lane + max(1, per_lane // 8)
        # row[t, lane] of each slot, -1 for a bubble; every stream has its rows in order, at places of its own.
        place = np.sort(np.argsort(rng.random((lanes, slots)), axis=1)[:, :per_lane], axis=1)
        row = np.full((slots, lanes), -1, dtype=np.int64)
        dealt = np.arange(lanes * per_lane).reshape(lanes, per_lane)
        row[place, np.arange(lanes)[:, None]] = np.where(dealt < rows, dealt, -1)
        valid = row >= 0
        low, high = signals.input.range
        simulator = self.simulator(lanes, seed)
        outputs = np.zeros((rows, signals.output.count), dtype=np.int64)
        wrong_valid = 0
        resets = 2
        cycles = resets + slots + latency
        for t in range(cycles):
            slot = t - resets
            data = rng.integers(low, high, (lanes, signals.input.count), endpoint=True)
            now = valid[slot] if 0 <= slot < slots else np.zeros(lanes, dtype=bool)
            if now.any():
                data[now] = X[row[slot][now]]
            simulator.drive("in_data", pack_bits(port_bits(data, signals.input)))
            simulator.drive("in_valid", pack_bits(now[None].astype(np.uint8)))
            simulator.drive("rst", np.full((1, lanes // 64), _ALL if t < resets else 0, dtype=np.uint64))
            simulator.settle()
            done = slot - latency
            due = valid[done] if 0 <= done < slots else np.zeros(lanes, dtype=bool)
            if slot >= 0:
                wrong_valid += int((unpack_bits(simulator.read("out_valid"))[0].astype(bool) != due).sum())
            if due.any():
                outputs[row[done][due]] = port_values(unpack_bits(simulator.read("out_data")), signals.output)[due]
            nets, words = simulator.edge()
            simulator.state[nets] = words
        problem = f"out_valid is not in_valid {latency} cycles later in {wrong_valid:,} places"
        return NetlistRun(outputs, cycles, (problem,) if wrong_valid else ())
