"""The engine `openhls` for projects whose layers are rolled: the same call and result as for straight-line projects."""

from __future__ import annotations

from pathlib import Path

from hwgen.openhls._rolled_design import generate_rolled
from hwgen.openhls._rolled_project import layer_calls
from hwgen.openhls._verilog import OpenHlsDesign
from pymodel.ir import IntArray, KanIR
from sim.signals import load_signals

__all__ = ["generate_stream", "is_rolled"]

_STAGES = 4


def is_rolled(project: Path) -> bool:
    """Return whether a layer of the hls4ml project is a rolled loop or lies between streams, so that the whole project is built as a stream.

    Raises:
        ToolError: if the folder holds no project.
    """
    return any(call.is_rolled or call.is_stream for call in layer_calls(project, chain=False))


def generate_stream(
    ir: KanIR, folder: Path, *, project: Path, stages: int = 0, vectors: IntArray | None = None
) -> OpenHlsDesign:
    """Write the RTL of a project with rolled layers; see :func:`._rolled_design.generate_rolled`.

    Args:
        ir: the program that the project implements.
        folder: where to write.
        project: the hls4ml project.
        stages: pipeline stages of each layer's arithmetic; 0 takes four.
        vectors: of the self-check.
    """
    design = generate_rolled(project, ir, folder, stages=stages or _STAGES, vectors=vectors)
    signals = load_signals(folder)
    kernels = [kernel.builder.program.ops for kernel in design.layers.values()]
    return OpenHlsDesign(
        folder=folder,
        top=design.top,
        axis_top=f"{design.top}_axis",
        testbenches=("", ""),  # the co-simulation is the bench of a stream
        latency=signals.latency,
        stages=stages or _STAGES,
        operations=sum(map(len, kernels)),
        multiplications=sum(op.kind == "mul" for ops in kernels for op in ops),
        roms=len(design.memories),
        rom_bits=sum(use.words * use.bits for use in design.memories),
        files=tuple(name for name in signals.files if name.endswith(".v")),
        seconds=design.seconds,
    )
