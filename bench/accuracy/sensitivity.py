"""Sweep the bits of one branch at a time in the float MNIST networks of `mnist.py`, without training.

    python bench/accuracy/sensitivity.py --data FOLDER --state FOLDER [--seeds 0,1,2] [--families kagn,pykan]

FOLDER of the state holds `float/FAMILY-SEED.pt`. Finished networks are kept in `sensitivity.json` there, so a run that was
cut off goes on with the same command; `bench/results/sensitivity_mnist.json` and the tables of docs/sensitivity.md are
written from all that is finished.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from _common import RESULTS, provenance, write_result
from _mnist import FAMILIES, WIDTHS, Mnist, load_mnist, mnist_host
from _sensitivity_page import write_page

from pymodel.layers import build_kan
from pymodel.sensitivity import Rows, SweepSettings, sweep

RESULT = RESULTS / "sensitivity_mnist.json"
SWEEP = SweepSettings(bits=(8, 6, 5, 4, 3, 2))
CALIBRATION_ROWS = 2000


def rows(data: Mnist, bounds: tuple[float, float]) -> Rows:
    """Return calibration and test rows of MNIST, pixels mapped onto the grid."""
    host = mnist_host(bounds)
    calibration = host.prepare(data.x[:CALIBRATION_ROWS].double().numpy()).astype(np.float32)
    x, y = data.x_test.double().numpy(), data.y_test.numpy()
    return Rows(torch.from_numpy(calibration), x, y, host, "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--families", default=",".join(FAMILIES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = options.state / "sensitivity.json"
    done: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    data = load_mnist(options.data, "cpu")
    for seed in options.seeds.split(","):
        for family in options.families.split(","):
            path = options.state / "float" / f"{family}-{seed}.pt"
            if f"{family}-{seed}" in done:
                continue
            if not path.exists():
                print(f"{path.name} is not there; train it with mnist.py")
                continue
            facts = FAMILIES[family]
            model = build_kan(family, WIDTHS, **facts)
            model.load_state_dict(torch.load(path, map_location="cpu"))
            begun = time.perf_counter()
            result = sweep(model, rows(data, facts["range"]), SWEEP)
            seconds = time.perf_counter() - begun
            done[f"{family}-{seed}"] = {"family": family, "seed": int(seed), "seconds": seconds, **result.to_json()}
            kept.write_text(json.dumps(done, indent=1) + "\n")
            print(f"{family}-{seed}: float {result.float_value:.4f}, {seconds:.0f} s", flush=True)
    write_result(
        RESULT,
        "MNIST accuracy of the frozen integers with one branch at fewer bits, the others at 8; no training",
        provenance("torch", "numpy"),
        command="python bench/accuracy/sensitivity.py --data FOLDER --state FOLDER",
        networks=sorted(done.values(), key=lambda entry: (list(FAMILIES).index(entry["family"]), entry["seed"])),
    )
    write_page(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
