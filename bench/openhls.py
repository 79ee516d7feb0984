"""Open HLS on random C++ programs, each compared integer by integer.

    python bench/openhls.py fuzz FIRST FILES    files of 60 random C++ programs: LLVM's JIT == XLS; file 0 also through g++ and Verilator

Results go to `bench/results/openhls_fuzz.json`: a part per call, `total` over all parts. `make fuzz` runs all 34 files.
Seconds are wall time of this machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _common import RESULTS, provenance, write_result  # noqa: E402

from hwgen.openhls._check import kernel_vectors, self_check  # noqa: E402
from hwgen.openhls._clang import Source  # noqa: E402
from hwgen.openhls._csim import ap_types_folder, compile_csim, run_csim_kernel  # noqa: E402
from hwgen.openhls._kernel import Kernel, PortSpec, lower_kernel  # noqa: E402
from hwgen.openhls._pipeline import make_pipeline  # noqa: E402
from hwgen.openhls._verilog import Pipeline, Shown, write_rtl  # noqa: E402
from pymodel.ir import IntArray  # noqa: E402
from sim.cosim import cosim  # noqa: E402
from tests.hwgen.openhls.programs import INPUTS, cpp_kernel  # noqa: E402

PROGRAMS = 60
VECTORS = 500
PART = "xcvu9p-flga2104-2L-e"


def fuzz(first: int, files: int) -> dict[str, Any]:
    seconds: Counter[str] = Counter()
    simulated = operations = 0
    for seed in range(first, first + files):
        with tempfile.TemporaryDirectory(prefix="kan4ml-fuzz-") as name:
            folder = Path(name)
            (folder / "fuzz.cpp").write_text(cpp_kernel(1000 + seed, PROGRAMS), encoding="utf-8")
            source = Source(folder / "fuzz.cpp", (ap_types_folder(),))
            kernel = lower_kernel(source, "top", folder, (PortSpec("x", INPUTS), PortSpec("y", PROGRAMS)))
            started = time.monotonic()
            pipeline = make_pipeline(kernel, folder, "fuzz_core", 3)
            middle = time.monotonic()
            X = kernel_vectors(kernel, VECTORS, seed)
            known = {}
            if seed == 0:
                known["csim"] = run_csim_kernel(compile_csim(source, "top", folder), kernel.call, X, folder)
            checked = self_check(kernel, pipeline.package, folder, X, known)  # raises where two stations differ
            seconds.update({**kernel.seconds, "xls": middle - started, "compare": time.monotonic() - middle})
            operations += len(kernel.flat.builder.program.live())
            if seed == 0:
                started = time.monotonic()
                _simulate(folder, kernel, pipeline, X, known["csim"])
                simulated = PROGRAMS
                seconds["verilator"] += time.monotonic() - started
        print(f"file {seed}: {PROGRAMS} programs, stations {checked.stations}", flush=True)
    return {
        "first_file": first,
        "programs": files * PROGRAMS,
        "operations": operations,
        "through_gcc_and_verilator": simulated,
        "seconds": {key: round(value, 1) for key, value in seconds.items()},
    }


def _simulate(folder: Path, kernel: Kernel, pipeline: Pipeline, X: IntArray, Y: IntArray) -> None:
    write_rtl(
        folder / "rtl",
        kernel.interface,
        [pipeline],
        prefix="fuzz",
        model="fuzz",
        shown=Shown("", ("y",)),
        part=PART,
        clock_ns=5.0,
        X=X[:64],
        Y=Y[:64],
    )
    result = cosim(folder / "rtl", X, {"y": Y})
    if not result.equal:
        raise SystemExit(f"RTL differs: {result.first}, {result.problems}")


def _add_part(part: dict[str, Any]) -> None:
    path = RESULTS / "openhls_fuzz.json"
    old = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else []
    parts = sorted([p for p in old if p["first_file"] != part["first_file"]] + [part], key=lambda p: p["first_file"])
    keys = ("programs", "operations", "through_gcc_and_verilator")
    write_result(
        path,
        "random straight-line ap_int / ap_fixed programs: every vector equal at every station",
        provenance("ziglang", "llvmlite", "xls-python", "verilator"),
        total={**{key: sum(p[key] for p in parts) for key in keys}, "vectors_each": VECTORS + 5, "mismatches": 0},
        parts=parts,
    )


def main() -> None:
    if sys.argv[1] == "fuzz":
        _add_part(fuzz(int(sys.argv[2]), int(sys.argv[3])))


if __name__ == "__main__":
    main()
