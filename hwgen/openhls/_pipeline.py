"""A kernel as a pipeline: its flat program through XLS's optimiser, scheduler and Verilog writer."""

from __future__ import annotations

from pathlib import Path

from hwgen.openhls._job import schedule
from hwgen.openhls._kernel import Kernel
from hwgen.openhls._translate import slots, xls_package
from hwgen.openhls._verilog import Pipeline

__all__ = ["counted", "make_pipeline"]


def make_pipeline(kernel: Kernel, folder: Path, name: str, stages: int = 0) -> Pipeline:
    """Translate, optimise and schedule a kernel; `stages` 0 lets the depth of the logic decide."""
    package = xls_package(kernel.flat.builder, kernel.interface, name)
    optimised, verilog, used = schedule(folder, package, name, stages)
    ins, outs = slots(kernel.interface.inputs), slots(kernel.interface.outputs)
    return Pipeline(name, optimised, verilog, used, ins, outs)


def counted(kernel: Kernel) -> dict[str, int]:
    """Return the counts of a kernel that :class:`.OpenHlsDesign` reports."""
    ops, facts = kernel.flat.builder.program.ops, kernel.flat.builder.facts
    live = kernel.flat.builder.program.live()
    roms = {(ops[n].data, facts[n].width) for n in live if ops[n].kind == "rom"}
    return {
        "operations": len(live),
        "multiplications": sum(ops[n].kind == "mul" for n in live),
        "roms": sum(ops[n].kind == "rom" for n in live),
        "rom_bits": sum(len(entries) * width for entries, width in roms),
    }
