"""The proof: Verilog files and a program in, `proven`, `refuted` or `not proven` out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.prove._circuit import Circuit
from hwgen.prove._compare import Comparison
from hwgen.prove._domain import Domain, Element
from hwgen.prove._errors import DifferenceError, NotProvenError
from hwgen.prove._functions import Fn, Variables
from hwgen.prove._netlist import Bit, Netlist, parse_rtlil
from hwgen.prove._source import check_source
from hwgen.prove._valid import check_valid
from hwgen.prove._witness import Counterexample, find
from hwgen.prove._yosys import read_design
from pymodel.errors import DataError
from pymodel.ir import EdgeTable, KanIR, KanLinear, load_ir
from sim.signals import NodeSignal, PortShape, SignalMap, load_signals, verilog_files

__all__ = ["LayerProof", "Proof", "prove", "prove_folder", "prove_netlist"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LayerProof:
    """A node whose integers were proven.

    Attributes:
        node: its name.
        outputs: number of its integers.
        stage: as in `signals.json`.
        how: number of outputs proven in each way.
        edges: edges of the program that were compared.
        seconds: wall time.
    """

    node: str
    outputs: int
    stage: int
    how: dict[str, int]
    edges: int
    seconds: float


@dataclass(frozen=True)
class Proof:
    """What came of it.

    Attributes:
        status: `proven` (for every input), `refuted` (a counterexample was found), `not proven` (neither).
        layers: nodes that were proven, in order.
        latency: proven latency in cycles.
        reason: why it is not proven.
        counterexample: input integers, if refuted.
        seconds: wall time, Yosys included.
        cells: word-level cells of the netlist.
        different: a part of the circuit was shown to differ from the program for some integers of its layer's inputs, even
            if none of the network's inputs was found to lead there.
    """

    status: str
    layers: tuple[LayerProof, ...]
    latency: int
    reason: str
    counterexample: Counterexample | None
    seconds: float
    cells: int
    different: bool = False

    @property
    def proven(self) -> bool:
        """True if the circuit equals the program for every input."""
        return self.status == "proven"

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it."""
        return asdict(self)


def prove_folder(folder: Path, *, engine: str = "tables", progress: Progress | None = None) -> Proof:
    """Prove the table RTL of a build, `folder/rtl/<engine>`, against its program, `folder/ir`.

    Raises:
        DataError: if there is no such RTL or program.
        Kan4mlError: for other user errors.
    """
    rtl = folder / "rtl" / engine
    if not rtl.is_dir():
        raise DataError(f"{rtl} is missing; `kan4ml prove` needs a folder that `kan4ml build` or `kan4ml tables` wrote")
    return prove(load_ir(folder / "ir"), rtl, progress=progress)


def prove(ir: KanIR, rtl_dir: Path, *, progress: Progress | None = None) -> Proof:
    """Prove that the Verilog in `rtl_dir` computes `ir` for every input, with the stages and latency of its `signals.json`.

    Raises:
        DataError: if `signals.json` or a file is missing or malformed.
        ToolError: if Yosys is missing.
    """
    started = time.monotonic()
    tell = progress or (lambda _: None)
    signals = load_signals(rtl_dir)
    for node in ir.nodes[1:]:
        if not isinstance(node, KanLinear | EdgeTable):
            reason = f"{node.name} is a {type(node).__name__}, and proofs cover dense KAN layers only"
            return Proof("not proven", (), signals.latency, reason, None, time.monotonic() - started, 0)
    try:
        for path in verilog_files(rtl_dir, signals):
            if path.suffix in (".v", ".sv"):
                check_source(path.read_text(encoding="utf-8", errors="replace"), path.name)
        tell("reading the Verilog")
        netlist = parse_rtlil(read_design(rtl_dir, signals), signals.top)
    except NotProvenError as error:
        return Proof("not proven", (), signals.latency, str(error), None, time.monotonic() - started, 0)
    return prove_netlist(ir, netlist, signals, progress=tell, started=started)


def prove_netlist(
    ir: KanIR, netlist: Netlist, signals: SignalMap, *, progress: Progress, started: float | None = None
) -> Proof:
    """Prove a netlist that was read."""
    started = time.monotonic() if started is None else started
    layers: list[LayerProof] = []
    status, reason, counterexample, different = "proven", "", None, False
    try:
        _Run(ir, netlist, signals, progress).run(layers)
    except NotProvenError as error:
        status, reason = "not proven", str(error)
        progress("looking for a counterexample")
        different = isinstance(error, DifferenceError)
        witness = error.witness if isinstance(error, DifferenceError) else {}
        if "out_data" in netlist.ports and "in_data" in netlist.ports and _ports_fit(netlist, signals):
            counterexample = find(netlist, ir, signals, witness)
        if counterexample is not None:
            status = "refuted"
    seconds = time.monotonic() - started
    return Proof(status, tuple(layers), signals.latency, reason, counterexample, seconds, len(netlist.cells), different)


def _ports(signals: SignalMap) -> dict[str, tuple[str, int]]:
    return {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "in_valid": ("input", 1),
        "in_data": ("input", signals.input.bits),
        "out_valid": ("output", 1),
        "out_data": ("output", signals.output.bits),
    }


def _ports_fit(netlist: Netlist, signals: SignalMap) -> bool:
    return {n: (p.direction, len(p.bits)) for n, p in netlist.ports.items()} == _ports(signals)


class _Run:
    """One proof under way."""

    def __init__(self, ir: KanIR, netlist: Netlist, signals: SignalMap, progress: Progress) -> None:
        self.ir, self.netlist, self.signals, self.tell = ir, netlist, signals, progress
        self.domain = Domain(Variables())
        self.comparison = Comparison(ir, self.domain)
        self.places = {signal.node: signal for signal in signals.nodes}

    def run(self, layers: list[LayerProof]) -> None:
        """Prove everything; proven nodes are appended to `layers` as they come."""
        self._check_shapes()
        clock = self.netlist.ports["clk"].bits[0]
        self.circuit = Circuit(self.netlist, self.domain, clock)
        self.tell("valid pipeline")
        check_valid(self.netlist, self.signals.latency, clock)
        self._inputs()
        for node in self.ir.nodes:
            signal = self.places.get(node.name)
            if signal is None:
                continue
            self.tell(node.name)
            began = time.monotonic()
            bits = self._wire(signal)
            if node is self.ir.input:
                self._same(node.name, bits, signal.stage + 1, f"{signal.signal} is not {node.name}")
                how: Counter[str] = Counter({"registered": node.n_out})
                edges = 0
            else:
                how, edges = self._layer(node.name, bits, signal.stage + 1)
            seconds = time.monotonic() - began
            layers.append(LayerProof(node.name, node.n_out, signal.stage, dict(how), edges, seconds))
        self._outputs()

    def _check_shapes(self) -> None:
        """Check ports and `signals.json` against the program."""
        if self.signals.beats != 1:
            raise NotProvenError(f"the engine takes a sample in {self.signals.beats} beats, which is not modelled")
        if not _ports_fit(self.netlist, self.signals):
            found = {n: f"{p.direction} {len(p.bits)}" for n, p in self.netlist.ports.items()}
            raise NotProvenError(
                f"the ports of {self.signals.top} are not those of an engine for this program: {found}"
            )
        out = self.ir.node(self.ir.output)
        shapes = [
            ("in_data", self.signals.input, self.ir.input.n_out, self.ir.input.out_type),
            ("out_data", self.signals.output, out.n_out, out.out_type),
        ]
        names = {node.name for node in self.ir.nodes}
        for signal in self.signals.nodes:
            if signal.node not in names:
                raise NotProvenError(f"signals.json names {signal.node}, which the program does not have")
            node = self.ir.node(signal.node)
            shapes.append((signal.signal, signal.shape, node.n_out, node.out_type))
            if signal.offset:
                raise NotProvenError(f"{signal.signal} has an offset, which is not modelled")
        for name, shape, count, out_type in shapes:
            if shape != PortShape(count, out_type.width, out_type.signed):
                raise NotProvenError(f"the shape of {name} in signals.json, {shape}, is not that of the program")
        if self.signals.output_node != self.ir.output:
            raise NotProvenError(f"signals.json names {self.signals.output_node} as the output, not {self.ir.output}")
        known = set(self.places) | set(self.signals.collapsed)
        if names != known:
            raise NotProvenError(f"signals.json says nothing of {', '.join(sorted(names - known))}")

    def _wire(self, signal: NodeSignal) -> tuple[Bit, ...]:
        bits = self.netlist.wires.get(signal.signal)
        if bits is None or len(bits) != signal.shape.bits:
            raise NotProvenError(f"{self.signals.top} has no signal {signal.signal} of {signal.shape.bits} bits")
        return bits

    def _inputs(self) -> None:
        node, bits = self.ir.input, self.netlist.ports["in_data"].bits
        width = node.out_type.width
        elements = []
        for i in range(node.n_out):
            functions = []
            for bit in bits[i * width : (i + 1) * width]:
                f = Fn((self.domain.variables.new(),), np.array([0, 1], dtype=np.uint8), None, 0)
                self.circuit.cut(bit, f)
                functions.append(f)
            elements.append(Element((node.name, i), tuple(functions), node.out_type, None))
            self.domain.add(elements[-1])
        self.comparison.elements[node.name] = elements

    def _same(self, name: str, bits: tuple[Bit, ...], delay: int, message: str) -> None:
        """Check that bits are the integers of a proven node, `delay` cycles after the sample."""
        wanted = [f for element in self.comparison.elements[name] for f in element.bits]
        for k, (f, expected) in enumerate(zip(self.circuit.functions(bits), wanted, strict=True)):
            if f.unknown is not None or f.vars != expected.vars or (f.values != expected.values).any():
                raise NotProvenError(f"{message}: bit {k} differs")
            if f.delay is not None and f.delay != delay:
                raise NotProvenError(f"{message} after {delay} cycles: bit {k} is there after {f.delay}")

    def _layer(self, name: str, bits: tuple[Bit, ...], delay: int) -> tuple[Counter[str], int]:
        """Prove the integers of a layer, then cut the circuit there."""
        node = self.ir.node(name)
        width = node.out_type.width
        how: Counter[str] = Counter()
        reaches = []
        for output in range(node.n_out):
            part = bits[output * width : (output + 1) * width]
            try:
                outcome = self.comparison.check(name, output, self._in_time(part, delay))
            except DifferenceError as error:
                raise DifferenceError(f"output {output} of {name}: {error}", name, output, error.witness) from None
            except NotProvenError as error:
                raise NotProvenError(f"output {output} of {name}: {error}") from None
            how[outcome.how] += 1
            reaches.append(outcome.reach)
        edges = sum(len(self.comparison.layer(name).inputs(output)) for output in range(node.n_out))
        self._cut(name, bits, reaches, delay)
        return how, edges

    def _in_time(self, bits: tuple[Bit, ...], delay: int) -> list[Fn]:
        """Return the functions of bits, which must all be there after `delay` cycles."""
        functions = self.circuit.functions(bits)
        for f in functions:
            if f.delay not in (None, delay):
                raise NotProvenError(f"it is there after {f.delay} cycles instead of {delay}")
        return functions

    def _cut(self, name: str, bits: tuple[Bit, ...], reaches: list[Any], delay: int) -> None:
        node = self.ir.node(name)
        width = node.out_type.width
        elements = []
        for output in range(node.n_out):
            functions = []
            for bit in bits[output * width : (output + 1) * width]:
                root = self.netlist.root(bit)
                f = self.circuit.function(root)
                if f.const is None and root not in self.circuit.cuts:
                    f = Fn((self.domain.variables.new(),), np.array([0, 1], dtype=np.uint8), None, delay)
                    self.circuit.cut(root, f)
                functions.append(f)
            elements.append(Element((name, output), tuple(functions), node.out_type, reaches[output]))
            self.domain.add(elements[-1])
        self.comparison.elements[name] = elements

    def _outputs(self) -> None:
        bits = self.netlist.ports["out_data"].bits
        self.tell("out_data")
        if self.ir.output in self.comparison.elements:
            self._same(self.ir.output, bits, self.signals.latency, f"out_data is not {self.ir.output}")
        else:
            self._layer(self.ir.output, bits, self.signals.latency)
