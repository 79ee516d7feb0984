"""How fast are the integer models of a 64-16-10 KAN? numba reference, hls4ml csim, and stock hls4ml's Dense MLP.

Run `python bench/csim.py` on an otherwise idle machine. Three things are measured in one run, all in turns:

- samples per second of the numba reference (one and all threads), of the KAN's C++ through hls4ml's own
  `ModelGraph.predict` (with kan4ml's batched threads, and row by row as stock hls4ml calls it), and of a stock Dense
  MLP of the same shape through `ModelGraph.predict`;
- seconds to compile the C++ of both;
- that the reference and the C++ give the same integers, or nothing is measured.

The KAN is untrained and has all 1,184 edges: the worst case, since pruned edges cost nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hls4ml
import numpy as np
import torch
from _common import RESULTS, provenance, write_result
from torch import nn

from hwgen.plugin import convert
from pymodel.ir import HostSpec, Task
from pymodel.layers import EfficientKAN, FrozenKAN
from pymodel.lower import lower
from pymodel.quant import freeze, quantize_model
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings

WIDTHS = (64, 16, 10)
PART = "xcvu9p-flga2104-2L-e"


def kan() -> FrozenKAN:
    """Return a frozen W4A4 KAN with random weights."""
    torch.manual_seed(0)
    model = quantize_model(EfficientKAN(WIDTHS, grid=5, order=3, range=(-2.0, 2.0)), QuantizeSettings())
    model.calibrate(torch.randn(2048, WIDTHS[0]))
    n = WIDTHS[0]
    host = HostSpec(
        Task.CLASSIFICATION,
        tuple(f"x{i}" for i in range(n)),
        (0.0,) * n,
        (1.0,) * n,
        tuple(map(str, range(WIDTHS[-1]))),
    )
    return freeze(model, name="kan", host=host)


def mlp(folder: Path) -> Any:
    """Return stock hls4ml's model of a Dense MLP of the same shape, with 4-bit weights and activations."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTHS[0], WIDTHS[1]), nn.ReLU(), nn.Linear(WIDTHS[1], WIDTHS[2]))
    config = hls4ml.utils.config_from_pytorch_model(
        model, (WIDTHS[0],), granularity="name", backend="Vitis", default_precision="ap_fixed<8,4>"
    )
    return hls4ml.converters.convert_from_pytorch_model(
        model, output_dir=str(folder), backend="Vitis", hls_config=config, part=PART, io_type="io_parallel"
    )


def rate(run: Callable[[], object], rows: int, rounds: int) -> list[float]:
    """Return samples per second of each round."""
    run()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        rates.append(rows / (time.perf_counter() - start))
    return rates


def timed_compile(model: Any) -> float:
    """Return the seconds of hls4ml's own `compile` after `write`."""
    with contextlib.redirect_stdout(io.StringIO()):
        model.write()
        start = time.perf_counter()
        model._compile() if hasattr(model, "_compile") else model.compile()
        return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "csim.json")
    options = parser.parse_args(arguments)
    frozen = kan()
    ir = lower(frozen)
    reference = Reference(ir)
    rng = np.random.default_rng(0)
    X = rng.integers(ir.input.out_type.min_int, ir.input.out_type.max_int + 1, (options.rows, WIDTHS[0]))
    x = np.ascontiguousarray(ir.input.out_type.to_real(X))
    origin = provenance("torch", "numpy", "numba", "hls4ml")
    with tempfile.TemporaryDirectory() as name:
        compile_seconds: dict[str, list[float]] = {"kan": [], "dense_mlp": []}
        for turn in range(3):
            with contextlib.redirect_stdout(io.StringIO()):
                model = convert(
                    frozen, Path(name) / f"kan{turn}", part=PART, clock_ns=5, strategy="latency", reuse_factor=1,
                    io="io_parallel",
                )  # fmt: skip
                dense = mlp(Path(name) / f"mlp{turn}")
            compile_seconds["kan"].append(timed_compile(model))
            compile_seconds["dense_mlp"].append(timed_compile(dense))
        expected = reference.run(X)[ir.output]
        got = np.asarray(model.predict(x)) / ir.node(ir.output).out_type.lsb
        if not np.array_equal(got.reshape(expected.shape).astype(np.int64), expected):
            raise SystemExit("the C++ and the reference differ: nothing to measure")
        runs: dict[str, tuple[Callable[[], object], int]] = {
            "numba_1_thread": (lambda: reference.run(X, threads=1), options.rows),
            "numba_all_threads": (lambda: reference.run(X), options.rows),
            "kan_predict_row_by_row": (lambda: model._predict(x[:4000]), 4000),
            "kan_predict": (lambda: model.predict(x), options.rows),
            "dense_mlp_predict": (lambda: dense.predict(x[:4000]), 4000),
        }
        rates = {key: rate(run, rows, options.rounds) for key, (run, rows) in runs.items()}
    median = {key: round(statistics.median(values)) for key, values in rates.items()}
    ratios = {
        "numba_over_kan_predict_row_by_row": median["numba_all_threads"] / median["kan_predict_row_by_row"],
        "numba_over_kan_predict": median["numba_all_threads"] / median["kan_predict"],
        "numba_1_thread_over_kan_predict": median["numba_1_thread"] / median["kan_predict"],
        "kan_predict_over_dense_mlp_predict": median["kan_predict"] / median["dense_mlp_predict"],
        "compile_kan_over_dense_mlp": min(compile_seconds["kan"]) / min(compile_seconds["dense_mlp"]),
    }
    write_result(
        options.out,
        "64-16-10, W4A4, all edges: samples per second (median of rounds) and csim compile seconds",
        origin,
        samples_per_second=median,
        samples_per_second_rounds={key: [round(v) for v in values] for key, values in rates.items()},
        compile_seconds={key: [round(v, 2) for v in values] for key, values in compile_seconds.items()},
        ratios={key: round(value, 3) for key, value in ratios.items()},
    )
    for key, value in {**median, **{k: f"{v:.3f}" for k, v in ratios.items()}}.items():
        print(f"{key:40} {value}")


if __name__ == "__main__":
    main(sys.argv[1:])
