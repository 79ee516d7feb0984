"""Other HLS tools beside open HLS: Vitis HLS and Bambu, used where they are installed.

An adapter writes the script or the wrapper, runs the tool on the unchanged C++ of an hls4ml project, reads its report,
and puts the tool's RTL behind the ports of our streams, so that the one co-simulation drives it. The command lines and
file formats follow the tools' documentation; docs/openhls.md says what of them was run.
"""

from __future__ import annotations

from hwgen.adapters._bambu import bambu_command, bambu_shim, parse_bambu_log, parse_bambu_results
from hwgen.adapters._generate import TOOLS, AdapterDesign, generate
from hwgen.adapters._report import HlsReport
from hwgen.adapters._tool import find_bambu, find_vitis
from hwgen.adapters._vitis import VitisPort, parse_csynth, parse_ports, vitis_command, vitis_tcl

__all__ = [
    "TOOLS",
    "AdapterDesign",
    "HlsReport",
    "VitisPort",
    "bambu_command",
    "bambu_shim",
    "find_bambu",
    "find_vitis",
    "generate",
    "parse_bambu_log",
    "parse_bambu_results",
    "parse_csynth",
    "parse_ports",
    "vitis_command",
    "vitis_tcl",
]
