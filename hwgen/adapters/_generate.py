"""One call for both tools: run on an hls4ml project, read the report, and put the RTL behind the common ports."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hwgen.adapters._bambu import TOP, bambu_command, bambu_shim, parse_bambu_log, parse_bambu_results
from hwgen.adapters._report import HlsReport
from hwgen.adapters._tool import find_bambu, find_vitis
from hwgen.adapters._vitis import PROJECT, SOLUTION, parse_csynth, parse_ports, vitis_command, vitis_tcl
from hwgen.adapters._wrapper import bambu_core, vitis_core, wrapper_verilog
from hwgen.openhls._engine import project_source
from hwgen.openhls._rolled_verilog import axis_verilog
from hwgen.openhls._translate import Slots
from pymodel.errors import ConfigError, ModelError, ToolError
from pymodel.ir import KanIR
from sim.process import run_tool, tool_environment

__all__ = ["TOOLS", "AdapterDesign", "generate"]

#: Names of the tools, and of the engines in `signals.json`.
TOOLS = ("vitis", "bambu")
#: Cycles of a sample if the tool does not say; only the bench's patience depends on it.
_PATIENCE = 4096


@dataclass(frozen=True)
class AdapterDesign:
    """What a tool made.

    Attributes:
        folder: RTL, wrapper and `signals.json`.
        top: the wrapper; its AXI4-Stream form is `TOP_axis`.
        command: the command line, as it was run.
        report: the tool's own estimates.
        files: Verilog and memory files, relative to `folder`.
    """

    folder: Path
    top: str
    command: tuple[str, ...]
    report: HlsReport
    files: tuple[str, ...]


def generate(
    ir: KanIR,
    folder: Path,
    *,
    tool: str,
    project: Path,
    part: str,
    clock_ns: float,
    device: str = "",
    timeout: float | None = None,
) -> AdapterDesign:
    """Run a tool on the C++ of an hls4ml project and write its RTL with the ports of a stream (`sim.cosim` drives it).

    The tool works in `<project>/kan4ml_<tool>`, which is emptied first and stays, with the log.

    Args:
        ir: the program that the project implements; it gives lengths and types of the ports.
        folder: where to write; created if absent.
        tool: `vitis` or `bambu`.
        project: the hls4ml project (`io_parallel`, at least two inputs).
        part: the FPGA (Vitis).
        clock_ns: target clock period.
        device: the FPGA in Bambu's own words; empty lets it choose.
        timeout: seconds; None waits as long as it takes.

    Raises:
        ConfigError: for an unknown tool, or a model of one input or (Bambu) of more than 64 output bits.
        ModelError: if `project` is no hls4ml project.
        ToolError: if the tool is missing or fails, or its report or ports are not as documented.
    """
    if tool not in TOOLS:
        raise ConfigError(f"an adapter is for {' or '.join(TOOLS)}, not {tool!r}; choose one")
    out = ir.node(ir.output)
    source = Slots(ir.input.n_out, ir.input.out_type.width, ir.input.out_type.signed)
    result = Slots(out.n_out, out.out_type.width, out.out_type.signed)
    if source.count < 2:
        raise ConfigError(
            f"the stream around {tool}'s RTL takes an element per beat and needs two inputs or more, but the model has one; "
            "build it with engine='openhls'"
        )
    name = project_source(project)[1]
    if not (project / "firmware" / f"{name}.cpp").is_file():
        raise ModelError(f"{project} lacks firmware/{name}.cpp; build the model again")
    make = _vitis if tool == "vitis" else _bambu
    work = project / f"kan4ml_{tool}"
    command, report, core, texts = make(name, work, source, result, part, clock_ns, device, timeout)
    top = f"kan4ml_{tool}"
    stem = f"{top}_stream"
    beat = Slots(1, source.width, source.signed)
    texts[f"{stem}.v"] = wrapper_verilog(stem, core, source, result)
    texts[f"{stem}_axis.v"] = axis_verilog(stem, beat, result)
    run = _PATIENCE if report.latency_max is None else report.latency_max
    shape = {"count": source.count, "width": source.width, "signed": source.signed}
    signals = {
        "schema": 1,
        "engine": tool,
        "top": stem,
        "axis_top": f"{stem}_axis",
        "latency": min(source.count + run + 4, 1 << 16),
        "beats": source.count,
        "input": shape,
        "output": {"node": ir.output, "count": result.count, "width": result.width, "signed": result.signed},
        "nodes": {node.name: {"collapsed": True} for node in ir.nodes},
        "files": sorted(texts),
    }
    files = tuple(sorted(texts))
    texts["signals.json"] = json.dumps(signals, indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    return AdapterDesign(folder, stem, tuple(command), report, files)


_Made = tuple[list[str], HlsReport, str, dict[str, str]]


def _run(command: list[str], work: Path, what: str, log: str, timeout: float | None) -> str:
    text = run_tool(
        command, what=what, cwd=work, env=tool_environment(), timeout=timeout, remedy=f"look at {work.name}"
    )
    (work / log).write_text(text, encoding="utf-8")
    return text


def _fresh(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()


def _vitis(
    name: str, work: Path, source: Slots, result: Slots, part: str, clock_ns: float, device: str, timeout: float | None
) -> _Made:
    del device
    command = vitis_command(find_vitis(), "run.tcl")
    script = vitis_tcl(name, part=part, clock_ns=clock_ns)
    _fresh(work)
    (work / "run.tcl").write_text(script, encoding="utf-8")
    _run(command, work, "Vitis HLS", "run.log", timeout)
    solution = work / PROJECT / SOLUTION / "syn"
    xml = solution / "report" / f"{name}_csynth.xml"
    core = vitis_core(name, parse_ports(xml), source, result)
    return command, parse_csynth(xml), core, _texts(solution / "verilog", "Vitis HLS")


def _bambu(
    name: str, work: Path, source: Slots, result: Slots, part: str, clock_ns: float, device: str, timeout: float | None
) -> _Made:
    del part  # Bambu has names of its own
    shim = bambu_shim(name, source, result)
    command = bambu_command(find_bambu(), f"{TOP}.cpp", clock_ns=clock_ns, device=device)
    _fresh(work)
    (work / f"{TOP}.cpp").write_text(shim, encoding="utf-8")
    report = replace(parse_bambu_log(_run(command, work, "Bambu", "bambu.log", timeout)), target_ns=clock_ns)
    for xml in sorted(work.glob("bambu_results_*.xml")):
        report = parse_bambu_results(xml, report)
    texts = _texts(work, "Bambu")
    return command, report, bambu_core("\n".join(texts.values()), source, result), texts


def _texts(folder: Path, tool: str) -> dict[str, str]:
    """Return a tool's Verilog and memory files under names that `signals.json` may hold.

    Raises:
        ToolError: if there is no Verilog.
    """
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.v"))}
    if not texts:
        raise ToolError(f"{tool} wrote no Verilog into {folder.name}; look at its log")
    for path in sorted([*folder.glob("*.dat"), *folder.glob("*.mem")]):
        texts[f"{path.stem}.mem"] = path.read_text(encoding="utf-8")
    return {name: _portable(text) if name.endswith(".v") else text for name, text in texts.items()}


def _portable(verilog: str) -> str:
    """Rename Vitis' memory files (`./NAME.dat`), and drop the date that Bambu writes."""
    verilog = re.sub(r'"(?:\./)?([A-Za-z0-9_]+)\.dat"', r'"\1.mem"', verilog)
    return re.sub(r"(?m)^(// .*) - Date \S+", r"\1", verilog)
