"""Work that may crash, in a process of its own: LLVM's JIT, static constructors, a user's C++, and XLS.

The other end is :mod:`hwgen.openhls._worker`; question and answer are files in one folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwgen.openhls._errors import Refused
from pymodel.errors import ToolError
from pymodel.ir import IntArray
from sim.process import log_tail, python_path, run_tool, tool_environment

if TYPE_CHECKING:
    from hwgen.openhls._jit import Call

__all__ = ["JOB_FILE", "REFUSED_FILE", "elaborate", "interpret", "run_csim_library", "run_optimised", "schedule"]

#: The question, and the answer if it was refused.
JOB_FILE = "job.json"
REFUSED_FILE = "refused.json"
_TIMEOUT = 1800.0


def _run(folder: Path, action: str, what: str, remedy: str, **options: Any) -> None:
    (folder / JOB_FILE).write_text(json.dumps({"action": action, **options}), encoding="utf-8")
    (folder / REFUSED_FILE).unlink(missing_ok=True)
    environment = tool_environment(PYTHONPATH=python_path())
    command = [sys.executable, "-m", "hwgen.openhls._worker", str(folder)]
    try:
        run_tool(command, what=what, cwd=folder, env=environment, timeout=_TIMEOUT, remedy=remedy)
    except ToolError as error:
        lines = log_tail(str(error)).splitlines()
        reason = next((line for line in reversed(lines) if line.strip()), "no message")
        raise ToolError(f"{what} ended without a result ({reason.strip()[:300]}); {remedy}") from None
    if (folder / REFUSED_FILE).is_file():
        raise Refused(*json.loads((folder / REFUSED_FILE).read_text(encoding="utf-8")))


def elaborate(folder: Path, text: str, symbol: str, shown: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Run constructors and optimise; return the optimised module and the bytes of its globals.

    Raises:
        Refused: for constructs that LLVM cannot remove.
        ToolError: if LLVM crashes.
    """
    (folder / "unit.ll").write_text(text, encoding="utf-8")
    remedy = "simplify the C++ around its static variables and loops"
    _run(folder, "elaborate", "LLVM", remedy, symbol=symbol, shown=shown)
    globals_: dict[str, dict[str, Any]] = json.loads((folder / "globals.json").read_text(encoding="utf-8"))
    return (folder / "optimised.ll").read_text(encoding="utf-8"), globals_


def run_optimised(folder: Path, symbol: str, call: Call, X: IntArray) -> IntArray:
    """Run the module that :func:`elaborate` left in `folder` on every row of `X`."""
    np.save(folder / "X.npy", X)
    _run(folder, "jit", "LLVM's JIT", "check the C++ for accesses outside its arrays", symbol=symbol, call=asdict(call))
    return _answer(folder)


def run_csim_library(folder: Path, library: Path, call: Call, X: IntArray) -> IntArray:
    """Run a compiled C++ simulation on every row of `X`."""
    np.save(folder / "X.npy", X)
    remedy = "check the C++ for accesses outside its arrays"
    _run(folder, "library", "the C++ simulation", remedy, library=str(library.resolve()), call=asdict(call))
    return _answer(folder)


def schedule(folder: Path, package: str, module: str, stages: int) -> tuple[str, str, int]:
    """Optimise an XLS package and make Verilog; return both texts and the number of stages (asked: 0, to suggest)."""
    (folder / "package.ir").write_text(package, encoding="utf-8")
    _run(folder, "schedule", "XLS", "make the kernel smaller or give it more stages", module=module, stages=stages)
    used = int((folder / "stages.txt").read_text(encoding="utf-8"))
    return (folder / "optimised.ir").read_text(encoding="utf-8"), (folder / "core.v").read_text(encoding="utf-8"), used


def interpret(folder: Path, package: str, X: IntArray, **options: Any) -> IntArray:
    """Run an XLS package; the options are those of :func:`._xls.run_function`."""
    (folder / "function.ir").write_text(package, encoding="utf-8")
    np.save(folder / "X.npy", X)
    _run(folder, "interpret", "XLS's interpreter", "make the kernel smaller", **options)
    return _answer(folder)


def _answer(folder: Path) -> IntArray:
    answer: IntArray = np.load(folder / "Y.npy", allow_pickle=False)
    return answer
