"""The engine `openhls`: the top function of an hls4ml project becomes RTL, and is checked against the reference."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hwgen.openhls._check import self_check
from hwgen.openhls._clang import Source
from hwgen.openhls._interface import Direction, Interface
from hwgen.openhls._kernel import Kernel, PortSpec, lower_kernel
from hwgen.openhls._layers import build_layers, check_type
from hwgen.openhls._pipeline import counted, make_pipeline
from hwgen.openhls._rolled_engine import generate_stream, is_rolled
from hwgen.openhls._rolled_project import is_plain_chain
from hwgen.openhls._verilog import OpenHlsDesign, Pipeline, Shown, write_rtl
from hwgen.tables._vectors import default_vectors
from pymodel.errors import DataError, ModelError
from pymodel.ir import IntArray, KanIR
from pymodel.reference import Reference

__all__ = ["generate", "project_source"]


def project_source(project: Path) -> tuple[Source, str]:
    """Return the C++ of an hls4ml project and the name of its top function.

    Raises:
        ModelError: if the folder holds no project.
    """
    bridges = sorted(project.glob("*_bridge.cpp"))
    if len(bridges) != 1:
        raise ModelError(f"{project} is no hls4ml project (one file *_bridge.cpp was expected); build the model again")
    name = bridges[0].name.removesuffix("_bridge.cpp")
    firmware = project / "firmware"
    return Source(firmware / f"{name}.cpp", (firmware / "ap_types", firmware)), name


def generate(
    ir: KanIR,
    folder: Path,
    *,
    project: Path,
    part: str,
    clock_ns: float,
    stages: int = 0,
    one_pipeline: bool = False,
    vectors: IntArray | None = None,
    prefix: str = "kan",
) -> OpenHlsDesign:
    """Make RTL of the C++ of an hls4ml project, and check it against the reference before writing it.

    Where the top function only calls KAN kernels, one after the other, each layer becomes a pipeline of its own and all
    nodes of the IR are signals. Any other top function is inlined in one pipeline. A project with rolled layers becomes an engine with stream ports (docs/openhls_rolled.md).

    Args:
        ir: the program that the project implements; it gives names, lengths and types of the ports.
        folder: where to write.
        project: the hls4ml project; its files are compiled as they are.
        part: the FPGA, for `vivado.tcl`.
        clock_ns: the clock period, for `constraints.xdc`: XLS has no delays of FPGAs, so it does not aim at it.
        stages: pipeline stages of each pipeline; 0 chooses them by the depth of the logic.
        one_pipeline: inline the whole top function in one pipeline in any case.
        vectors: (rows, inputs) of the self-check and the Verilog bench; corners and 256 random rows if None.
        prefix: of all module and file names.

    Raises:
        MismatchError: if the optimised code or XLS's function differs from the reference.
        Refused: if the C++ is outside the subset.
        ModelError: if the C++ and the IR do not have the same ports.
        DataError: if there are no vectors.
    """
    X = default_vectors(ir.input.out_type, ir.input.n_out) if vectors is None else np.asarray(vectors)
    if not X.size:
        raise DataError("open HLS needs at least one test vector, and none came; pass rows of input integers")
    if is_rolled(project):
        return generate_stream(ir, folder, project=project, stages=stages, vectors=X)
    with tempfile.TemporaryDirectory(prefix="kan4ml-openhls-") as name:
        values = Reference(ir).run(X)
        seconds: dict[str, float] = {}
        build = _in_layers if not one_pipeline and is_plain_chain(project) else _in_one
        kernels, pipelines, shown = build(ir, project, Path(name), values, prefix, stages, seconds)
    inputs, outputs = kernels[0].interface.inputs, kernels[-1].interface.outputs
    latency, files = write_rtl(
        folder,
        Interface(project_source(project)[1], (*inputs, *outputs)),
        pipelines,
        prefix=prefix,
        model=ir.name,
        shown=shown,
        part=part,
        clock_ns=clock_ns,
        X=X,
        Y=values[ir.output],
    )
    counts = Counter[str]()
    for kernel in kernels:
        counts.update(counted(kernel))
    return OpenHlsDesign(
        folder=folder,
        top=f"{prefix}_top",
        axis_top=f"{prefix}_axis",
        testbenches=(f"{prefix}_tb", f"{prefix}_axis_tb"),
        latency=latency,
        stages=sum(p.stages for p in pipelines),
        operations=counts["operations"],
        multiplications=counts["multiplications"],
        roms=counts["roms"],
        rom_bits=counts["rom_bits"],
        files=files,
        seconds=seconds,
    )


_Built = tuple[list[Kernel], list[Pipeline], Shown]


def _in_layers(
    ir: KanIR,
    project: Path,
    work: Path,
    values: Mapping[str, IntArray],
    prefix: str,
    stages: int,
    clock: dict[str, float],
) -> _Built:
    """Make one pipeline per layer; every node is a signal."""
    built = build_layers(ir, project, work, values, prefix=prefix, stages=stages, clock=clock)
    shown = Shown(ir.input.name, tuple(layer.name for layer in built))
    return [layer.kernel for layer in built], [layer.pipeline for layer in built], shown


def _in_one(
    ir: KanIR,
    project: Path,
    work: Path,
    values: Mapping[str, IntArray],
    prefix: str,
    stages: int,
    clock: dict[str, float],
) -> _Built:
    """Make one pipeline of the whole top function; input and output are signals."""
    out = ir.node(ir.output)
    specs = (PortSpec("x", ir.input.n_out, Direction.IN), PortSpec("y", out.n_out, Direction.OUT))
    source, top = project_source(project)
    kernel = lower_kernel(source, top, work, specs)
    x, y = kernel.interface.ports
    check_type("input", (x.width, x.signed), ir.input.out_type)
    check_type("output", (y.width, y.signed), out.out_type)
    started = time.monotonic()
    pipeline = make_pipeline(kernel, work, f"{prefix}_core0", stages)
    scheduled = time.monotonic()
    self_check(kernel, pipeline.package, work, values[ir.input.name], {"numba reference": values[ir.output]})
    clock.update({**kernel.seconds, "xls": scheduled - started, "self_check": time.monotonic() - scheduled})
    hidden = tuple(node.name for node in ir.nodes if node.name not in (ir.input.name, ir.output))
    return [kernel], [pipeline], Shown(ir.input.name, (ir.output,), hidden)
