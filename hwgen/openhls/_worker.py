"""The other end of :mod:`hwgen.openhls._job`: `python -m hwgen.openhls._worker FOLDER` answers `FOLDER/job.json`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.openhls._errors import Refused
from hwgen.openhls._job import JOB_FILE, REFUSED_FILE

__all__: list[str] = []


def _do_elaborate(folder: Path, job: Mapping[str, Any]) -> None:
    from hwgen.openhls._constructors import global_bytes, run_constructors
    from hwgen.openhls._optimise import clean, optimise

    text = clean((folder / "unit.ll").read_text(encoding="utf-8"))
    text = run_constructors(text, job["shown"])
    text = optimise(text, job["symbol"], job["shown"])
    (folder / "optimised.ll").write_text(text, encoding="utf-8")
    (folder / "globals.json").write_text(json.dumps(global_bytes(text)), encoding="utf-8")


def _do_jit(folder: Path, job: Mapping[str, Any]) -> None:
    from hwgen.openhls._jit import read_call, run_jit

    text = (folder / "optimised.ll").read_text(encoding="utf-8")
    answer = run_jit(text, job["symbol"], read_call(job["call"]), np.load(folder / "X.npy"))
    np.save(folder / "Y.npy", answer)


def _do_library(folder: Path, job: Mapping[str, Any]) -> None:
    from hwgen.openhls._jit import read_call, run_library

    answer = run_library(Path(job["library"]), "kan4ml_top", read_call(job["call"]), np.load(folder / "X.npy"))
    np.save(folder / "Y.npy", answer)


def _do_schedule(folder: Path, job: Mapping[str, Any]) -> None:
    from hwgen.openhls._xls import optimised, pipeline_verilog, suggested_stages

    package = optimised((folder / "package.ir").read_text(encoding="utf-8"))
    (folder / "optimised.ir").write_text(package, encoding="utf-8")
    stages = job["stages"] or suggested_stages(package)
    (folder / "stages.txt").write_text(str(stages), encoding="utf-8")
    verilog = pipeline_verilog(package, job["module"], stages)
    (folder / "core.v").write_text(verilog, encoding="utf-8")


def _do_interpret(folder: Path, job: Mapping[str, Any]) -> None:
    from hwgen.openhls._xls import run_function

    options = {key: value for key, value in job.items() if key != "action"}
    package = (folder / "function.ir").read_text(encoding="utf-8")
    np.save(folder / "Y.npy", run_function(package, np.load(folder / "X.npy"), **options))


_ACTIONS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    "elaborate": _do_elaborate,
    "jit": _do_jit,
    "library": _do_library,
    "schedule": _do_schedule,
    "interpret": _do_interpret,
}


def main() -> None:
    """Do one job."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
    try:
        _ACTIONS[job["action"]](folder, job)
    except Refused as error:
        text = json.dumps([error.construct, error.function, error.remedy])
        (folder / REFUSED_FILE).write_text(text, encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # JIT objects that are destroyed late may crash


if __name__ == "__main__":
    main()
