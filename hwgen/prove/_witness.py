"""Counterexamples: the circuit is run on samples, cycle by cycle, and compared with the program.

Nothing is proven here. A difference that the proof met is confirmed, so that it can be reported with the input integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.prove._cells import ARITHMETIC, arithmetic, evaluate, read_memory
from hwgen.prove._errors import NotProvenError
from hwgen.prove._functions import Fn, Variables, constant
from hwgen.prove._netlist import Bit, Cell, Netlist, output_port
from hwgen.prove._program import run_program
from pymodel.ir import IntArray, KanIR
from sim.signals import SignalMap

__all__ = ["Counterexample", "find", "run_circuit"]

_ROWS = 1024
_MAX_CYCLES = 4


@dataclass(frozen=True)
class Counterexample:
    """Input integers, and an output integer that the circuit gets wrong.

    Attributes:
        inputs: of the sample.
        output: number of the output.
        got, wanted: the circuit's integer, the program's.
    """

    inputs: tuple[int, ...]
    output: int
    got: int
    wanted: int


class _Run:
    """The circuit over many streams of samples at once: one variable, the number of the stream."""

    def __init__(self, netlist: Netlist, samples: Sequence[dict[Bit, npt.NDArray[np.uint8]]]) -> None:
        self.netlist = netlist
        self.samples = samples
        self.variables = Variables()
        self.variables.new(_size(samples))
        self.known: dict[tuple[Bit, int], Fn] = {}

    def function(self, bit: Bit, cycle: int) -> Fn:
        bit = self.netlist.root(bit)
        if bit <= 2:
            return constant(bit)
        if bit in self.netlist.inputs:
            values = self.samples[cycle].get(bit)
            if values is None:
                return constant(0)  # rst, in_valid
            return Fn((0,), values)
        return self.known.get((bit, cycle), constant(2))

    def bits(self, targets: Sequence[Bit], cycle: int) -> list[Fn]:
        """Return bits at the end of `cycle`."""
        stack = [((bit, cycle), False) for bit in self.netlist.roots(tuple(targets))]
        started: set[tuple[Bit, int]] = set()
        while stack:
            (bit, when), done = stack.pop()
            if (bit, when) in self.known or bit not in self.netlist.drivers:
                continue
            cell, _, position = self.netlist.drivers[bit]
            if cell.type == "$dff":
                source = self.netlist.root(cell.port("D")[position])
                if when == 0:
                    self.known[bit, when] = constant(2)
                elif done or not self._open(source, when - 1):
                    self.known[bit, when] = self.function(source, when - 1)
                else:
                    stack += [((bit, when), True), ((source, when - 1), False)]
                continue
            if done:
                self._evaluate(cell, when)
                continue
            if (bit, when) in started:
                raise NotProvenError("a combinational loop")
            started.add((bit, when))
            stack.append(((bit, when), True))
            output = output_port(cell)
            for name, bits in cell.ports.items():
                if name not in (output, "CLK"):
                    stack += [((root, when), False) for root in self.netlist.roots(bits) if self._open(root, when)]
        return [self.function(bit, cycle) for bit in targets]

    def _open(self, bit: Bit, when: int) -> bool:
        return bit in self.netlist.drivers and (bit, when) not in self.known

    def _evaluate(self, cell: Cell, when: int) -> None:
        output = output_port(cell)
        ports = {
            name: [self.function(bit, when) for bit in bits]
            for name, bits in cell.ports.items()
            if name not in (output, "CLK")
        }
        if cell.type == "$memrd_v2":
            results = read_memory(cell, ports, self.netlist, self.variables)
        elif cell.type in ARITHMETIC:
            results = arithmetic(cell, ports, self.variables)
        else:
            results = evaluate(cell, ports, self.variables)
        self.known.update(((bit, when), f) for bit, f in zip(cell.port(output), results, strict=True))


def _size(samples: Sequence[dict[Bit, npt.NDArray[np.uint8]]]) -> int:
    return int(next(iter(samples[0].values())).shape[0])


def _rows(ir: KanIR, witness: Mapping[tuple[str, int], int], n: int, rng: np.random.Generator) -> IntArray:
    """Return rows of input integers: random ones, those of the witness (if it is of inputs) set in half of them."""
    t = ir.input.out_type
    X = rng.integers(t.min_int, t.max_int, size=(n, ir.input.size), endpoint=True, dtype=np.int64)
    X[: n // 8] = np.where(rng.random((n // 8, ir.input.size)) < 0.5, t.min_int, t.max_int)
    for (node, number), value in witness.items():
        if node == ir.input.name:
            X[::2, number] = value
    return X


def _towards(ir: KanIR, witness: Mapping[tuple[str, int], int], rng: np.random.Generator) -> IntArray:
    """Return rows at which hidden integers come near those of the witness: the best of many, varied a few times."""
    hidden = [(node, number, value) for (node, number), value in witness.items() if node != ir.input.name]
    X = _rows(ir, witness, _ROWS, rng)
    t = ir.input.out_type
    for _ in range(6 if hidden else 0):
        values = run_program(ir, X)
        distance = sum(np.abs(values[node][:, number] - value) for node, number, value in hidden)
        best = X[np.argsort(distance, kind="stable")[: _ROWS // 16]]
        fresh = np.repeat(best, 15, axis=0)
        change = rng.random(fresh.shape) < 2 / fresh.shape[1]
        fresh = np.where(change, rng.integers(t.min_int, t.max_int, size=fresh.shape, endpoint=True), fresh)
        X = np.concatenate([best, fresh])
    return X


def run_circuit(
    netlist: Netlist, signals: SignalMap, X: IntArray, *others: IntArray
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Return the output integers (rows, outputs) for rows of input integers, and which of them are defined.

    Args:
        netlist: the circuit.
        signals: its ports and latency.
        X: the samples.
        others: samples of the cycles around, so that delays that are wrong show; `X` itself if none.
    """
    width, count = signals.input.width, signals.input.count
    cycles = signals.latency + _MAX_CYCLES
    port = netlist.ports["in_data"].bits
    rows = [X if cycle == _MAX_CYCLES or not others else others[cycle % len(others)] for cycle in range(cycles + 1)]
    samples = [
        {port[i * width + j]: (row[:, i] >> j & 1).astype(np.uint8) for i in range(count) for j in range(width)}
        for row in rows
    ]
    functions = _Run(netlist, samples).bits(netlist.ports["out_data"].bits, cycles)
    width = signals.output.width
    got = np.zeros((X.shape[0], signals.output.count), dtype=np.int64)
    defined = np.ones(got.shape, dtype=bool)
    for position, f in enumerate(functions):
        output, j = divmod(position, width)
        weight = -(1 << j) if signals.output.signed and j == width - 1 else 1 << j
        got[:, output] += f.values.astype(np.int64) * weight
        if f.unknown is not None:
            defined[:, output] &= ~f.unknown
    return got, defined


def find(
    netlist: Netlist, ir: KanIR, signals: SignalMap, witness: Mapping[tuple[str, int], int]
) -> Counterexample | None:
    """Return input integers at which `out_data` differs from the program, if some are found.

    The samples of every cycle are different, so that delays that are wrong show as well.
    """
    rng = np.random.default_rng(0)
    X = _towards(ir, witness, rng)
    wanted = run_program(ir, X)[ir.output]
    try:
        got, defined = run_circuit(netlist, signals, X, *(rng.permutation(X) for _ in range(signals.latency)))
    except NotProvenError:
        return None
    wrong = np.argwhere((got != wanted) & defined)
    if not wrong.size:
        return None
    row, output = (int(k) for k in wrong[0])
    return Counterexample(tuple(X[row].tolist()), output, int(got[row, output]), int(wanted[row, output]))
