"""The layers of a plain chain, each a kernel and a pipeline of its own, so that every layer's output is a signal.

A layer's addresses then depend on its own inputs only, whatever LLVM would have made of several layers at once, and
the self-check compares every layer on what the reference gives it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hwgen.openhls._check import self_check
from hwgen.openhls._clang import Compiled, Source, compile_functions
from hwgen.openhls._interface import Direction
from hwgen.openhls._kernel import Kernel, PortSpec, elaborate_compiled, find_interface, flatten_kernel
from hwgen.openhls._pipeline import make_pipeline
from hwgen.openhls._rolled_project import LayerCall, layer_calls, layer_unit, project_source
from hwgen.openhls._verilog import Pipeline
from pymodel.errors import ModelError
from pymodel.ir import FixedPoint, IntArray, KanIR, Node

__all__ = ["BuiltLayer", "build_layers", "check_type", "compile_layers", "ir_calls", "lower_layer"]


@dataclass(frozen=True)
class BuiltLayer:
    """A layer's kernel and its pipeline."""

    name: str
    kernel: Kernel
    pipeline: Pipeline


def check_type(what: str, port: tuple[int, bool], t: FixedPoint) -> None:
    """Check that a port of the C++, its width and sign, is what the IR says.

    Raises:
        ModelError: if it is not.
    """
    if port != (t.width, t.signed):
        raise ModelError(
            f"the {what} of the C++ has {port[0]} bits ({'signed' if port[1] else 'unsigned'}), that of the IR {t.width} "
            f"({'signed' if t.signed else 'unsigned'}); build the model again"
        )


def ir_calls(project: Path, ir: KanIR) -> list[tuple[LayerCall, Node]]:
    """Return the kernel calls of a project with their layers of the IR.

    Raises:
        ModelError: if these are not the same layers.
        Refused: if the project is not one chain of KAN layers.
    """
    calls = layer_calls(project)
    nodes = ir.nodes[1:]
    if [call.layer for call in calls] != [node.name for node in ir.nodes[1:]]:
        raise ModelError(
            f"the C++ has the layers {', '.join(c.layer for c in calls)}, the IR {', '.join(n.name for n in ir.nodes[1:])}; "
            "build the model again"
        )
    return list(zip(calls, nodes, strict=True))


def compile_layers(
    project: Path, calls: Sequence[tuple[LayerCall, Node]], folder: Path
) -> tuple[Source, dict[str, Compiled]]:
    """Compile the functions of some layers, all at once; return them by the layers' names.

    Args:
        project: the hls4ml project.
        calls: the layers.
        folder: for their C++; keep it as long as the result is used.
    """
    unit = folder / "layers.cpp"
    unit.write_text(layer_unit([(call, node.n_in, node.n_out) for call, node in calls]), encoding="utf-8")
    source = project_source(project, unit)
    compiled = compile_functions(source, [call.top for call, _ in calls])
    return source, {call.layer: found for (call, _), found in zip(calls, compiled, strict=True)}


def lower_layer(compiled: Compiled, source: Source, node: Node, in_type: FixedPoint, folder: Path) -> Kernel:
    """Return a parallel layer as a kernel.

    Args:
        compiled: its function.
        source: where that comes from.
        node: the layer in the IR.
        in_type: of its inputs.
        folder: of its own, for the files of the jobs.

    Raises:
        Refused: if the C++ is outside the subset.
        ModelError: if the C++ and the IR do not have the same ports.
    """
    specs = (PortSpec("x", node.n_in, Direction.IN), PortSpec("y", node.n_out, Direction.OUT))
    interface = find_interface(compiled, specs, source)
    kernel = flatten_kernel(elaborate_compiled(compiled, interface, source, folder))
    x, y = kernel.interface.ports
    check_type("input", (x.width, x.signed), in_type)
    check_type("output", (y.width, y.signed), node.out_type)
    return kernel


def build_layers(
    ir: KanIR,
    project: Path,
    folder: Path,
    values: Mapping[str, IntArray],
    *,
    prefix: str,
    stages: int,
    clock: dict[str, float],
) -> list[BuiltLayer]:
    """Make the pipelines of all layers, and compare each with the reference.

    Args:
        ir: the program that the project implements.
        project: the hls4ml project, a plain chain of parallel layers.
        folder: for the files of the jobs.
        values: the integers of every node on the vectors of the self-check, from the reference: (rows, n).
        prefix: of the modules.
        stages: of each layer; 0 chooses them by the depth of the logic.
        clock: seconds are added here, by step; layers are built two at a time.

    Raises:
        Refused: if the C++ is outside the subset.
        MismatchError: if a station differs from the reference; the message names the first, and the layer.
        ModelError: if the C++ and the IR do not have the same ports.
    """
    started = time.monotonic()
    calls = ir_calls(project, ir)
    source, compiled = compile_layers(project, calls, folder)
    clock["clang"] = time.monotonic() - started

    def build(number: int) -> tuple[BuiltLayer, dict[str, float]]:
        call, node = calls[number]
        work = folder / f"layer{number}"
        work.mkdir()
        kernel = lower_layer(compiled[call.layer], source, node, ir.in_type(node), work)
        begun = time.monotonic()
        pipeline = make_pipeline(kernel, work, f"{prefix}_core{number}", stages)
        scheduled = time.monotonic()
        expected = {"numba reference": values[node.name]}
        self_check(kernel, pipeline.package, work, values[node.inputs[0]], expected, f"layer {node.name}: ")
        seconds = {"xls": scheduled - begun, "self_check": time.monotonic() - scheduled}
        return BuiltLayer(node.name, kernel, pipeline), {**kernel.seconds, **seconds}

    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(build, range(len(calls))))
    for _, seconds in built:
        for step, value in seconds.items():
            clock[step] = clock.get(step, 0.0) + value
    return [layer for layer, _ in built]
