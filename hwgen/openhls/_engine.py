"""The engine `openhls`: the top function of an hls4ml project becomes RTL, and is checked against the reference."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from hwgen.openhls._check import self_check
from hwgen.openhls._clang import Source
from hwgen.openhls._interface import Direction
from hwgen.openhls._job import schedule
from hwgen.openhls._kernel import Kernel, PortSpec, lower_kernel
from hwgen.openhls._rolled_engine import generate_stream, is_rolled
from hwgen.openhls._translate import xls_package
from hwgen.openhls._verilog import OpenHlsDesign, Pipeline, write_rtl
from hwgen.tables._vectors import default_vectors
from pymodel.errors import DataError, ModelError
from pymodel.ir import FixedPoint, IntArray, KanIR
from pymodel.reference import Reference

__all__ = ["generate", "make_pipeline", "project_source"]


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


def make_pipeline(kernel: Kernel, folder: Path, name: str, stages: int = 0) -> Pipeline:
    """Translate, optimise and schedule a kernel; `stages` 0 lets the depth of the logic decide."""
    package = xls_package(kernel.flat.builder, kernel.interface, name)
    optimised, verilog, used = schedule(folder, package, name, stages)
    return Pipeline(name, optimised, verilog, used)


def _check_type(what: str, port: tuple[int, bool], t: FixedPoint) -> None:
    if port != (t.width, t.signed):
        raise ModelError(
            f"the {what} of the C++ has {port[0]} bits ({'signed' if port[1] else 'unsigned'}), that of the IR {t.width} "
            f"({'signed' if t.signed else 'unsigned'}); build the model again"
        )


def counted(kernel: Kernel) -> dict[str, int]:
    """Return the counts of a kernel that :class:`OpenHlsDesign` reports."""
    ops, facts = kernel.flat.builder.program.ops, kernel.flat.builder.facts
    live = kernel.flat.builder.program.live()
    roms = {(ops[n].data, facts[n].width) for n in live if ops[n].kind == "rom"}
    return {
        "operations": len(live),
        "multiplications": sum(ops[n].kind == "mul" for n in live),
        "roms": sum(ops[n].kind == "rom" for n in live),
        "rom_bits": sum(len(entries) * width for entries, width in roms),
    }


def generate(
    ir: KanIR,
    folder: Path,
    *,
    project: Path,
    part: str,
    clock_ns: float,
    stages: int = 0,
    vectors: IntArray | None = None,
    prefix: str = "kan",
) -> OpenHlsDesign:
    """Make RTL of the C++ of an hls4ml project, and check it against the reference before writing it.

    A project with rolled layers becomes an engine with stream ports (docs/openhls_rolled.md).

    Args:
        ir: the program that the project implements; it gives names, lengths and types of the ports.
        folder: where to write.
        project: the hls4ml project; its files are compiled as they are.
        part: the FPGA, for `vivado.tcl`.
        clock_ns: the clock period, for `constraints.xdc`: XLS has no delays of FPGAs, so it does not aim at it.
        stages: pipeline stages; 0 chooses them by the depth of the logic.
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
    source, top = project_source(project)
    out = ir.node(ir.output)
    specs = (
        PortSpec("x", ir.input.n_out, Direction.IN),
        PortSpec("y", out.n_out, Direction.OUT),
    )
    with tempfile.TemporaryDirectory(prefix="kan4ml-openhls-") as name:
        work = Path(name)
        kernel = lower_kernel(source, top, work, specs)
        _check_type("input", (kernel.interface.ports[0].width, kernel.interface.ports[0].signed), ir.input.out_type)
        _check_type("output", (kernel.interface.ports[1].width, kernel.interface.ports[1].signed), out.out_type)
        started = time.monotonic()
        pipeline = make_pipeline(kernel, work, f"{prefix}_core", stages)
        scheduled = time.monotonic()
        Y = Reference(ir).run(X)[ir.output]
        self_check(kernel, pipeline.package, work, X, {"numba reference": Y})
        seconds = {**kernel.seconds, "xls": scheduled - started, "self_check": time.monotonic() - scheduled}
    latency, files = write_rtl(
        folder,
        kernel.interface,
        pipeline,
        prefix=prefix,
        model=ir.name,
        nodes=tuple(node.name for node in ir.nodes),
        output=ir.output,
        part=part,
        clock_ns=clock_ns,
        X=X,
        Y=Y,
    )
    return OpenHlsDesign(
        folder=folder,
        top=f"{prefix}_top",
        axis_top=f"{prefix}_axis",
        testbenches=(f"{prefix}_tb", f"{prefix}_axis_tb"),
        latency=latency,
        stages=pipeline.stages,
        files=files,
        seconds=seconds,
        **counted(kernel),
    )
