"""Open HLS on random C++ programs and on every kernel of `hls/` for dense layers, each compared integer by integer.

    python bench/openhls.py fuzz FIRST FILES    files of 60 random C++ programs: LLVM's JIT == XLS; file 0 also through g++ and Verilator
    python bench/openhls.py kernels [NAME ...]  chains of layers with all basis units and base branches: C++ -> RTL == numba
    python bench/openhls.py conv                convolutions 8x8x1 -> 6x6x4 of 3x3 between streams: C++ -> RTL == numba

Results go to `bench/results/openhls_fuzz.json`, a part per call, `total` over all parts, `openhls_kernels.json`, a part
per chain, and `openhls_conv.json`. `make fuzz` runs all 35 files. Seconds are wall time of this machine.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from _common import RESULTS, provenance, write_result  # noqa: E402

from hwgen.openhls import Refused, generate  # noqa: E402
from hwgen.openhls._check import kernel_vectors, self_check  # noqa: E402
from hwgen.openhls._clang import Source  # noqa: E402
from hwgen.openhls._csim import ap_types_folder, compile_csim, run_csim_kernel  # noqa: E402
from hwgen.openhls._kernel import Kernel, PortSpec, lower_kernel  # noqa: E402
from hwgen.openhls._pipeline import make_pipeline  # noqa: E402
from hwgen.openhls._verilog import Pipeline, Shown, write_rtl  # noqa: E402
from pymodel.ir import ConvGeometry, EdgeTable, FixedPoint, HostSpec, IntArray, KanIR, Task  # noqa: E402
from pymodel.layers import KAN, EfficientKANLinear, FastKANLinear, FrozenKAN, KAGNLinear  # noqa: E402
from pymodel.quant import freeze, quantize_model  # noqa: E402
from pymodel.reference import Reference  # noqa: E402
from pymodel.settings import QuantizeSettings  # noqa: E402
from sim.cosim import cosim  # noqa: E402
from tests.hwgen.openhls.programs import INPUTS, cpp_kernel  # noqa: E402
from tests.sim.csim.projects import convert, convert_ir  # noqa: E402
from tests.sim.csim.test_bases import program  # noqa: E402
from tests.spatial import program as images  # noqa: E402
from tests.spatial import random_conv  # noqa: E402
from tests.strategies import corner_inputs, random_inputs, random_ir  # noqa: E402

PROGRAMS = 60
VECTORS = 500
PART = "xcvu9p-flga2104-2L-e"


def fuzz(first: int, files: int) -> dict[str, Any]:
    seconds: Counter[str] = Counter()
    refused: dict[str, str] = {}
    simulated = operations = 0
    for seed in range(first, first + files):
        with tempfile.TemporaryDirectory(prefix="kan4ml-fuzz-") as name:
            folder = Path(name)
            (folder / "fuzz.cpp").write_text(cpp_kernel(1000 + seed, PROGRAMS), encoding="utf-8")
            source = Source(folder / "fuzz.cpp", (ap_types_folder(),))
            try:
                kernel = lower_kernel(source, "top", folder, (PortSpec("x", INPUTS), PortSpec("y", PROGRAMS)))
            except Refused as error:  # the whole file is: its programs are one kernel
                refused[str(seed)] = str(error)
                print(f"file {seed}: {error}", flush=True)
                continue
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
        "programs": (files - len(refused)) * PROGRAMS,
        "refused_programs": len(refused) * PROGRAMS,
        "refusals": refused,
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
    keys = ("programs", "refused_programs", "operations", "through_gcc_and_verilator")
    write_result(
        path,
        "random straight-line ap_int / ap_fixed programs: every vector equal at every station",
        provenance("ziglang", "llvmlite", "xls-python", "verilator"),
        total={
            **{key: sum(p.get(key, 0) for p in parts) for key in keys},
            "vectors_each": VECTORS + 5,
            "mismatches": 0,
        },
        parts=parts,
    )


#: Vectors of every chain: through the pipeline with random bubbles and a reset in the middle, and once more through the
#: AXI4-Stream wrapper with random stalls on both sides.
ROWS = 10_500


def _trained(implementation: str) -> FrozenKAN:
    """B-splines, Gaussians and polynomials in one chain, real tables; the first layer's codes are aligned with its grid."""
    torch.manual_seed(4)
    layers = [
        EfficientKANLinear(2, 3, grid=4, order=3, range=(-2.0, 2.0), activation="gelu"),
        FastKANLinear(3, 2, activation="tanh"),
        KAGNLinear(2, 2, before="silu", norm="none"),
    ]
    settings = QuantizeSettings(activations=5, input=6, first_activations=6, basis=7, implementation=implementation)
    quantized = quantize_model(KAN([2, 3, 2, 2], layers), settings)
    quantized.calibrate((torch.rand(300, 2) - 0.5) * 4)
    host = HostSpec(Task.REGRESSION, ("a", "b"), (0.0, 0.0), (1.0, 1.0))
    return freeze(quantized, name="kan", host=host)


CHAINS: dict[str, Callable[[], FrozenKAN]] = {
    "bsplines": lambda: FrozenKAN.from_ir(program("bsplines")),
    "gaussians": lambda: FrozenKAN.from_ir(program("gaussians")),
    "polynomials": lambda: FrozenKAN.from_ir(program("polynomials")),
    "edge_tables": lambda: FrozenKAN.from_ir(random_ir(5, widths=(4, 3, 2), edge_tables=1.0, in_bits=6)),
    "trained_rom": lambda: _trained("rom"),
    "trained_arith": lambda: _trained("arith"),
}


def kernels(name: str) -> dict[str, Any]:
    """Build a chain, a pipeline per layer, and compare every layer in the RTL with the reference."""
    frozen = CHAINS[name]()
    with tempfile.TemporaryDirectory(prefix="kan4ml-kernels-") as place:
        folder = Path(place)
        model = convert(frozen, folder / "hls")
        ir: KanIR = model.kan_ir
        X = np.concatenate([corner_inputs(ir), random_inputs(ir, ROWS, np.random.default_rng(1))])
        want = Reference(ir).run(X)
        started = time.monotonic()
        design = generate(ir, folder / "rtl", project=folder / "hls", part=PART, clock_ns=5.0, vectors=X[:1000])
        generated = time.monotonic()
        result = cosim(folder / "rtl", X, want, axis_rows=len(X))
        config = (folder / "hls" / "firmware" / "parameters.h").read_text(encoding="utf-8")
    if not result.equal or result.axis is None:
        raise SystemExit(f"{name}: {result.first}, {result.problems}")
    checks = {check.node: check for check in result.checks[:-1]}
    layers = [
        {
            "layer": f"{node.n_in} -> {node.n_out}",
            "kernel": _unit(node, config),
            "base": _base(node),
            "values_seen": int(np.unique(want[node.name]).size),
            "vectors": checks[node.name].vectors,
            "mismatches": checks[node.name].mismatches,
        }
        for node in ir.layers
    ]
    print(name, layers, result.latency, result.ii, flush=True)
    return {
        "chain": name,
        "vectors": {"bubbles and a reset": result.vectors, "stalls on both sides": result.axis.vectors},
        "mismatches": result.mismatches,
        "latency": result.latency,
        "ii": result.ii,
        "stages": design.stages,
        "layers": layers,
        "seconds": {
            "C++ to Verilog": round(generated - started, 1),
            "verilator": round(result.seconds["build"], 1),
            "simulation": round(result.seconds["simulate"], 1),
        },
    }


def _unit(node: Any, config: str) -> str:
    """Return the kernel of a layer as its C++ names it, and whether each input has tables of its own."""
    if isinstance(node, EdgeTable):
        return "edge_table"
    struct = re.search(rf"struct kan_{node.name}_basis \{{(.*?)\}};", config, flags=re.DOTALL)
    assert struct is not None
    unit, tables = (re.search(p, struct[1]) for p in (r"kan4ml::(\w+)_unit unit", r"n_tables = (\d+)"))
    assert unit is not None
    return unit[1] + ("" if tables is None or tables[1] == "1" else ", tables per input")


def _base(node: Any) -> str:
    if isinstance(node, EdgeTable):
        return "in the tables"
    return "none" if node.base is None else "shared coder" if node.base.coder == node.spline.coder else "own coder"


def _add_chain(part: dict[str, Any]) -> None:
    path = RESULTS / "openhls_kernels.json"
    old = json.loads(path.read_text(encoding="utf-8"))["chains"] if path.is_file() else []
    names = list(CHAINS)
    chains = sorted([p for p in old if p["chain"] != part["chain"]] + [part], key=lambda p: names.index(p["chain"]))
    write_result(
        path,
        "kernels of hls/ for dense layers as RTL, from the project's C++: every layer's integers == numba reference",
        provenance("ziglang", "llvmlite", "xls-python", "verilator", "cocotb", "hls4ml"),
        total={
            "layers": sum(len(p["layers"]) for p in chains),
            "kernels": sorted({layer["kernel"] for p in chains for layer in p["layers"]}),
            "fewest_vectors": min(min(p["vectors"].values()) for p in chains),
            "mismatches": sum(p["mismatches"] for p in chains),
        },
        chains=chains,
    )


def conv() -> None:
    """Build one convolution per form, a pixel per clock with the line buffer of the C++, and compare the RTL."""
    in_type, out_type = FixedPoint(5, 2, signed=True), FixedPoint(4, 4, signed=False)
    geometry = ConvGeometry(8, 8, 1, 3, 3)
    parts = []
    for form, seed, basis in (("edge table", 2, None), ("B-spline ROM with base branch", 5, "bspline_rom")):
        rng = np.random.default_rng(seed)
        node = random_conv(rng, "layers_0", "x", in_type, out_type, geometry, 4, table=basis is None, basis=basis)
        with tempfile.TemporaryDirectory(prefix="kan4ml-conv-") as place:
            folder = Path(place)
            ir = images([node], in_type)
            convert_ir(ir, folder / "hls", io="io_stream")
            X = np.concatenate([corner_inputs(ir), random_inputs(ir, 300, np.random.default_rng(1))])
            want = Reference(ir).run(X)
            design = generate(ir, folder / "rtl", project=folder / "hls", part=PART, clock_ns=5.0, vectors=X[:64])
            result = cosim(folder / "rtl", X, want)
        if not result.equal:
            raise SystemExit(f"{form}: {result.first}, {result.problems}")
        parts.append(
            {
                "form": form,
                "images": result.vectors,
                "mismatches": result.mismatches,
                "clocks_per_image": result.ii,
                "latency": result.latency,
                "values_seen": int(np.unique(want[node.name]).size),
                "seconds": {
                    "C++ to Verilog": round(sum(design.seconds.values()), 1),
                    "verilator": round(result.seconds["build"], 1),
                    "simulation": round(result.seconds["simulate"], 1),
                },
            }
        )
        print(parts[-1], flush=True)
    what = "convolution 8x8x1 -> 6x6x4 (3x3), io_stream, from the project's C++: RTL == numba, stalls on both sides"
    packages = ("ziglang", "llvmlite", "xls-python", "verilator", "cocotb", "hls4ml")
    write_result(RESULTS / "openhls_conv.json", what, provenance(*packages), layers=parts)


def main() -> None:
    if sys.argv[1] == "fuzz":
        _add_part(fuzz(int(sys.argv[2]), int(sys.argv[3])))
    elif sys.argv[1] == "conv":
        conv()
    else:
        for name in sys.argv[2:] or CHAINS:
            _add_chain(kernels(name))


if __name__ == "__main__":
    main()
