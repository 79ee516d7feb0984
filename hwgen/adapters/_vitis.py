"""Vitis HLS: its Tcl script, its command line, and its report `csynth.xml` (AMD UG1399)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from hwgen.adapters._report import HlsReport, read_xml
from pymodel.errors import ConfigError, ToolError

__all__ = ["PROJECT", "SOLUTION", "VitisPort", "parse_csynth", "parse_ports", "vitis_command", "vitis_tcl"]

#: Vitis' folders below the one in which it runs.
PROJECT, SOLUTION = "hls", "solution1"
_PART = re.compile(r"[A-Za-z0-9-]+")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class VitisPort:
    """A port of the RTL: name, protocol (`ap_ctrl_hs`, `ap_vld`, …), `in` or `out`, width in bits."""

    name: str
    protocol: str
    direction: str
    bits: int


def vitis_tcl(top: str, *, part: str, clock_ns: float, export: bool = False) -> str:
    """Return the script that synthesizes `../firmware/TOP.cpp`.

    The pipeline style `flp` empties a pipeline without new inputs; the wrapper gives one sample at a time.

    Args:
        top: the top function, also the name of its file.
        part: the FPGA.
        clock_ns: target clock period.
        export: also pack an IP for Vivado's catalogue.

    Raises:
        ConfigError: if a name could be more than a word of Tcl.
    """
    if not _IDENTIFIER.fullmatch(top) or not _PART.fullmatch(part):
        raise ConfigError(f"a function and a part were expected, not {top!r} and {part!r}; correct the project")
    lines = [
        f"open_project -reset {PROJECT}",
        f"set_top {top}",
        f'add_files ../firmware/{top}.cpp -cflags "-std=c++0x -I../firmware"',
        f"open_solution -reset {SOLUTION} -flow_target vivado",
        f"set_part {part}",
        f"create_clock -period {clock_ns:g} -name default",
        "config_compile -name_max_length 80 -pipeline_style flp",
        "csynth_design",
        *(["export_design -format ip_catalog"] if export else []),
        "exit",
    ]
    return "\n".join(lines) + "\n"


def vitis_command(program: str, script: str) -> list[str]:
    """Return the command line that runs a script: `vitis-run` wants a mode, `vitis_hls` a file."""
    if program.endswith("vitis-run"):
        return [program, "--mode", "hls", "--tcl", script]
    return [program, "-f", script]


def _number(root: ET.Element, path: str) -> float | None:
    """Return a number; None where Vitis has none (`undef`, `?`) or the entry is missing."""
    text = (root.findtext(path) or "").strip()
    try:
        return float(text)
    except ValueError:
        return None


def _integer(root: ET.Element, path: str) -> int | None:
    value = _number(root, path)
    return None if value is None else int(value)


def parse_csynth(path: Path) -> HlsReport:
    """Read `TOP_csynth.xml`.

    Raises:
        ToolError: if it is missing or malformed.
    """
    root = read_xml(path, "Vitis HLS")
    if root.find("AreaEstimates/Resources") is None:
        raise ToolError(f"{path.name} holds no AreaEstimates, so Vitis HLS did not finish; look at vitis_hls.log")
    latency, area = "PerformanceEstimates/SummaryOfOverallLatency", "AreaEstimates/Resources"
    dsp = _integer(root, f"{area}/DSP")
    return HlsReport(
        tool="vitis",
        target_ns=_number(root, "UserAssignments/TargetClockPeriod"),
        estimated_ns=_number(root, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
        latency_min=_integer(root, f"{latency}/Best-caseLatency"),
        latency_max=_integer(root, f"{latency}/Worst-caseLatency"),
        interval_min=_integer(root, f"{latency}/Interval-min"),
        interval_max=_integer(root, f"{latency}/Interval-max"),
        lut=_integer(root, f"{area}/LUT"),
        ff=_integer(root, f"{area}/FF"),
        dsp=_integer(root, f"{area}/DSP48E") if dsp is None else dsp,
        bram=_integer(root, f"{area}/BRAM_18K"),
        uram=_integer(root, f"{area}/URAM"),
    )


def parse_ports(path: Path) -> list[VitisPort]:
    """Read the RTL's ports from `TOP_csynth.xml`.

    Raises:
        ToolError: if there are none or one is malformed.
    """
    ports = []
    for port in read_xml(path, "Vitis HLS").iterfind("InterfaceSummary/RtlPorts"):
        name, bits = (port.findtext("name") or "").strip(), (port.findtext("Bits") or "").strip()
        direction = (port.findtext("Dir") or "").strip()
        if not _IDENTIFIER.fullmatch(name) or not bits.isdecimal() or direction not in ("in", "out"):
            raise ToolError(f"{path.name} has a port {name!r} that cannot be read; use a supported version of Vitis")
        ports.append(VitisPort(name, (port.findtext("IOProtocol") or "").strip(), direction, int(bits)))
    if not ports:
        raise ToolError(f"{path.name} lists no ports, so Vitis HLS did not finish; look at vitis_hls.log")
    return ports
