"""From an hls4ml project with rolled layers to Verilog with stream ports: C++ -> LLVM -> flat program -> XLS -> wrapper.

A parallel layer in such a chain is a loop of one iteration, which takes all inputs as one beat.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwgen.openhls._access import GlobalBytes
from hwgen.openhls._clang import compile_functions
from hwgen.openhls._errors import Refused
from hwgen.openhls._ifconvert import Flat, flatten
from hwgen.openhls._interface import Direction, Interface
from hwgen.openhls._jit import Call, CallPort
from hwgen.openhls._job import elaborate, run_optimised
from hwgen.openhls._layers import ir_calls
from hwgen.openhls._llvm import parse_function
from hwgen.openhls._rolled import Rolled, roll
from hwgen.openhls._rolled_codegen import generate_verilog
from hwgen.openhls._rolled_project import LayerCall, is_plain_chain, layer_unit, project_name, project_source
from hwgen.openhls._rolled_run import run_rolled, used_words
from hwgen.openhls._rolled_verilog import (
    Layer,
    axis_verilog,
    chain_verilog,
    layer_verilog,
    levels_of,
    memory_hex,
    primitives,
    stored_bits,
)
from hwgen.openhls._rolled_xls import address_package, proc_package
from hwgen.openhls._stream import roll_stream, stream_source, stream_unit
from hwgen.tables._vectors import default_vectors
from pymodel._version import __version__
from pymodel.errors import MismatchError, ModelError
from pymodel.ir import IntArray, KanIR, Node
from pymodel.reference import Reference
from sim.signals import SIGNALS_FILE

__all__ = ["MemoryUse", "RolledDesign", "generate_rolled", "kernel_of"]

_TOP = "kan_rolled"
_PREFIX = "kan_rolled"
#: Rows of the self-check; those that the flat program runs, too, if operations times iterations are few enough.
_CHECKED, _EVALUATED, _MAX_EVALUATED = 64, 4, 1_000_000


@dataclass(frozen=True)
class MemoryUse:
    """One memory of a design.

    Attributes:
        layer: name in the IR.
        array: the C++ array, as LLVM calls it.
        words: words allocated.
        used: words that some iteration with some input reads.
        bits: width of a word.
    """

    layer: str
    array: str
    words: int
    used: int
    bits: int


@dataclass(frozen=True)
class RolledDesign:
    """What was written.

    Attributes:
        top: name of the top module.
        beats: input beats of a sample.
        layers: the rolled kernels, by name in the IR.
        memories: every memory.
        seconds: by step.
    """

    top: str
    beats: int
    layers: Mapping[str, Rolled]
    memories: tuple[MemoryUse, ...]
    seconds: Mapping[str, float]


def kernel_of(
    project: Path,
    call: LayerCall,
    node: Node,
    clock: dict[str, float],
    check: tuple[IntArray, IntArray] | None = None,
) -> Rolled:
    """Compile one layer of a project, roll it if it is a loop, and compare it with what the layer must give.

    Args:
        project: the hls4ml project.
        call: the layer's kernel call.
        node: the layer in the IR, for the lengths of the ports.
        clock: seconds are added here, by step.
        check: integers at the layer's input (rows, n_in) and output (rows, n_out), from the reference.

    Raises:
        Refused: if the C++ is outside the subset.
        ToolError: if clang rejects it.
        MismatchError: if the optimised C++ or the flat program differs from `check`; the message names the first.
    """
    with tempfile.TemporaryDirectory(prefix="kan4ml-rolled-") as name:
        folder = Path(name)
        unit = folder / f"{call.layer}.cpp"
        source, tops = project_source(project, unit), [call.top]
        if call.is_stream:
            text, *tops = stream_unit(call, node)
            source = stream_source(source, node)
        else:
            text = layer_unit([(call, node.n_in, node.n_out)])
        unit.write_text(text, encoding="utf-8")
        start = time.monotonic()
        compiled, *body = compile_functions(source, tops)
        clock["clang"] = clock.get("clang", 0.0) + time.monotonic() - start
        start = time.monotonic()
        text, found = elaborate(folder, compiled.text, compiled.symbol, call.top)
        clock["llvm"] = clock.get("llvm", 0.0) + time.monotonic() - start
        x, y = compiled.interface.ports
        interface = Interface(
            call.top,
            (
                replace(x, name="x", count=node.n_in, direction=Direction.IN),
                replace(y, name="y", count=node.n_out, direction=Direction.OUT),
            ),
        )
        if check is not None:
            start = time.monotonic()
            _compare(
                "optimised LLVM (JIT)", call, run_optimised(folder, compiled.symbol, _call(interface), check[0]), check
            )
            clock["self-check"] = clock.get("self-check", 0.0) + time.monotonic() - start
        start = time.monotonic()
        streamed = roll_stream(body[0], source, node, folder) if body else None
        clock["llvm"] += time.monotonic() - start
    start = time.monotonic()
    contents = {
        key: GlobalBytes(None if entry["content"] is None else bytes.fromhex(entry["content"]), bool(entry["constant"]))
        for key, entry in found.items()
    }
    function = parse_function(text, compiled.symbol, call.top)
    if streamed is not None:
        rolled = streamed
    elif call.is_rolled:
        rolled = roll(function, interface, contents)
    else:
        rolled = _once(flatten(function, interface, contents))
    clock["translate"] = clock.get("translate", 0.0) + time.monotonic() - start
    if check is not None and len(rolled.builder.program.ops) * rolled.trip <= _MAX_EVALUATED:
        start = time.monotonic()
        few = check[0][:_EVALUATED], check[1][:_EVALUATED]
        _compare("flat program", call, run_rolled(rolled, few[0]), few)
        clock["self-check"] += time.monotonic() - start
    return rolled


def _once(flat: Flat) -> Rolled:
    """Return a parallel layer as a loop of one iteration."""
    return Rolled(flat.builder, flat.interface, 1, flat.interface.inputs[0].count, (), ())


def _call(interface: Interface) -> Call:
    """Return how a layer's function is called: two addresses."""
    ports = tuple(
        CallPort(p.count, p.width, p.signed, p.stride, p.direction is Direction.OUT, 0) for p in interface.ports
    )
    return Call(ports, 0)


def _compare(station: str, call: LayerCall, got: IntArray, check: tuple[IntArray, IntArray]) -> None:
    wrong = np.argwhere(got != check[1])
    if wrong.size:
        row, element = (int(v) for v in wrong[0])
        raise MismatchError(
            f"open HLS: {station} of layer {call.layer} differs from the numba reference, first in vector {row}, output "
            f"{element}: {got[row, element]} instead of {check[1][row, element]}"
        )


def _check_types(kernel: Rolled, ir: KanIR, node: Node) -> None:
    """Check that the C++ has the ports that the IR says."""
    source, result = kernel.source, kernel.interface.outputs[0]
    for what, port, kind in (("input", source, ir.in_type(node)), ("output", result, node.out_type)):
        if (port.width, port.signed) != (kind.width, kind.signed):
            raise ModelError(
                f"the {what} of layer {node.name} has {port.width} bits in the C++ and {kind.width} in the IR (signed: "
                f"{port.signed}, {kind.signed}); build the model again"
            )


def generate_rolled(
    project: Path, ir: KanIR, out: Path, *, stages: int = 4, vectors: IntArray | None = None
) -> RolledDesign:
    """Write the Verilog of a project with rolled KAN layers, with memories and `signals.json`.

    Ports of the top module: `clk`, `rst`, `in_valid`, `in_ready`, `in_data` (one beat: the P elements of an iteration
    of the first layer, the first in the least significant bits; one element if that layer is parallel), `out_valid`,
    `out_ready`, `out_data` (a sample). Its AXI4-Stream wrapper is `kan_rolled_axis`.

    Args:
        project: folder of the hls4ml project; its files are used as they are now.
        ir: the program it was converted from.
        out: folder for the files; it is made if it does not exist.
        stages: pipeline stages of a rolled layer's arithmetic; those of a parallel one depend on its depth.
        vectors: (rows, inputs) of the self-check before anything is written; corners and random rows if None.

    Raises:
        Refused: if the C++ is outside the subset, or the top function does more than call KAN layers.
        MismatchError: if a station before the Verilog differs from the reference.
        ModelError: if the C++ and the IR do not have the same ports.
        ToolError: if a tool is missing or fails.
    """
    clock: dict[str, float] = {}
    calls = ir_calls(project, ir)
    if not is_plain_chain(project):
        raise Refused(
            "a top function with rolled layers that does more than call KAN layers",
            project_name(project),
            "keep what is added within a layer's kernel, or build all layers in parallel",
        )
    if not calls[0][0].is_rolled and ir.input.n_out == 1:
        raise Refused(
            "a chain with rolled layers whose first layer is parallel and has one input",
            project_name(project),
            "build all layers in parallel",
        )
    X = default_vectors(ir.input.out_type, ir.input.n_out)[:_CHECKED] if vectors is None else vectors
    values = Reference(ir).run(X)
    rolled: dict[str, Rolled] = {}
    for call, node in calls:
        check = values[node.inputs[0]], values[node.name]
        rolled[call.layer] = kernel_of(project, call, node, clock, check)
        _check_types(rolled[call.layer], ir, node)
    start = time.monotonic()
    layers: list[Layer] = []
    texts: dict[str, str] = {}
    jobs: list[tuple[str, str, str, int]] = []
    for at, (name, kernel) in enumerate(rolled.items()):
        module = f"{_PREFIX}_{name}"
        package, packed, _ = proc_package(kernel, f"{module}_proc")
        layer = Layer(module, kernel, packed, levels_of(kernel))
        jobs.append(("proc", f"{module}_proc", package, stages if kernel.trip > 1 else 0))
        for number, level in enumerate(layer.levels):
            address = f"{module}_address_{number}"
            indices = [kernel.tables[k].index for k in level.numbers]
            text = address_package(kernel.builder, indices, level.widths, level.inputs, address)
            jobs.append(("function", address, text, 0))
            for k in level.numbers:
                texts[f"{module}_rom{k}.hex"] = memory_hex(kernel.tables[k])
        if at and kernel.beat * kernel.trip != layers[-1].result.count:
            raise Refused("layers whose sizes differ", module, "convert the model again")
        layers.append(layer)
    with ThreadPoolExecutor(2) as pool:
        verilog = list(pool.map(lambda job: generate_verilog(*job), jobs))
    clock["xls"] = time.monotonic() - start
    head = f"// Generated by kan4ml {__version__} (open HLS, rolled loops).\n`default_nettype none\n"
    tail = "`default_nettype wire\n"
    body = "\n".join([primitives(_PREFIX), *(layer_verilog(layer, _PREFIX) for layer in layers)])
    chain = chain_verilog(_TOP, layers, _PREFIX) + "\n" + axis_verilog(_TOP, layers[0].beat, layers[-1].result)
    texts[f"{_TOP}.v"] = f"{head}{body}\n{chain}{tail}"
    texts[f"{_TOP}_xls.v"] = "\n".join(verilog)
    texts[SIGNALS_FILE] = _signals(ir, layers, sorted(texts))
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    start = time.monotonic()
    memories = tuple(
        MemoryUse(layer, table.name, table.words, used, stored_bits(table))
        for layer, kernel in rolled.items()
        for table, used in zip(kernel.tables, used_words(kernel), strict=True)
        if stored_bits(table)
    )
    clock["reachable words"] = time.monotonic() - start
    return RolledDesign(_TOP, layers[0].beats, rolled, memories, clock)


def _signals(ir: KanIR, layers: list[Layer], files: list[str]) -> str:
    first, result = layers[0], layers[-1].result
    latency = sum(layer.rolled.trip + 2 * len(layer.levels) + 16 for layer in layers)
    document = {
        "schema": 1,
        "engine": "openhls",
        "top": _TOP,
        "axis_top": f"{_TOP}_axis",
        "latency": latency,
        "beats": first.beats,
        "input": {"count": first.beat.count * first.beats, "width": first.beat.width, "signed": first.beat.signed},
        "output": {
            "count": result.count,
            "width": result.width,
            "signed": result.signed,
            "node": ir.output,
        },
        "nodes": {node.name: {"collapsed": True} for node in ir.nodes if node.name != ir.output},
        "files": files,
    }
    document["nodes"][ir.output] = {"collapsed": True}  # type: ignore[index]
    return json.dumps(document, indent=1) + "\n"
