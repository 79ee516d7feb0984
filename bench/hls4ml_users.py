"""What hls4ml's users wait for: `convert`, `write`, `compile` of a 784-64-10 KAN, and `predict` of a 64-16-10 KAN.

Run `python bench/hls4ml_users.py` on an otherwise idle machine. One run measures

- seconds and peak memory (the Python process and its compilers) of convert, write and compile of a 784-64-10 KAN, each in
  a process of its own, for the strategies Latency and EdgeTable;
- samples per second of `ModelGraph.predict` of a 64-16-10 KAN, and of stock hls4ml's Dense MLP of that shape, in turns:
  the KAN in threads and on one thread, the MLP as hls4ml calls it, row by row.

Both KANs are untrained and have all edges: the worst case, since pruned edges cost nothing. Before anything is timed, the
C++ must give the integers of the numba reference.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, provenance, write_result
from csim import PART, WIDTHS, kan, mlp, rate, timed_compile

from hwgen.plugin import convert
from pymodel.ir import HostSpec, Task
from pymodel.layers import EfficientKAN, FrozenKAN
from pymodel.lower import lower
from pymodel.quant import freeze, quantize_model
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings

LARGE = (784, 64, 10)
CHECKED_ROWS = 256


def large() -> FrozenKAN:
    """Return a frozen W4A4 KAN of 50,816 edges with random weights."""
    torch.manual_seed(0)
    model = quantize_model(EfficientKAN(LARGE, grid=5, order=3, range=(-2.0, 2.0)), QuantizeSettings())
    model.calibrate(torch.randn(512, LARGE[0]))
    n = LARGE[0]
    host = HostSpec(Task.REGRESSION, tuple(f"x{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)
    return freeze(model, name="kan", host=host)


def exact(model: Any, frozen: FrozenKAN, rows: int) -> Any:
    """Return inputs on which the compiled `model` gives the integers of the reference, or end the program."""
    ir = lower(frozen)
    kind = ir.input.out_type
    X = np.random.default_rng(0).integers(kind.min_int, kind.max_int + 1, (rows, ir.input.size))
    x = np.ascontiguousarray(kind.to_real(X))
    expected = Reference(ir).run(X)[ir.output]
    got = np.asarray(model.predict(x)) / ir.node(ir.output).out_type.lsb
    if not np.array_equal(got, expected):
        raise SystemExit("the C++ and the reference differ: nothing to measure")
    return x


def measure_large(strategy: str) -> None:
    """Print seconds and memory of one conversion; the program of a process of its own."""
    frozen = large()
    memory = {"before_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        model = convert(
            frozen, Path(name) / "kan", part=PART, clock_ns=5, strategy=strategy, reuse_factor=1, io="io_parallel"
        )
        seconds["convert_and_write"] = time.perf_counter() - start
        start = time.perf_counter()
        model.write()
        seconds["write_again"] = time.perf_counter() - start
        start = time.perf_counter()
        model._compile()
        seconds["compile"] = time.perf_counter() - start
        seconds["total"] = seconds["convert_and_write"] + seconds["compile"]
        memory["python_kb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory["largest_compiler_kb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        # Python and two compilers at once at most: an upper bound of what the machine must have.
        memory["bound_kb"] = memory["python_kb"] + 2 * memory["largest_compiler_kb"]
        x = exact(model, frozen, CHECKED_ROWS)
        start = time.perf_counter()
        model.predict(x)
        rows = len(x) / (time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "memory": memory, "predict_samples_per_second": round(rows)}))


def conversions(rounds: int) -> dict[str, Any]:
    """Return the median round of every strategy."""
    result = {}
    for strategy in ("latency", "edge_table"):
        runs = []
        for _ in range(rounds):
            out = subprocess.run(
                [sys.executable, __file__, "--large", strategy], check=True, capture_output=True, text=True
            ).stdout
            runs.append(json.loads(out.splitlines()[-1]))
        runs.sort(key=lambda run: run["seconds"]["total"])
        median = runs[len(runs) // 2]
        median["seconds"] = {key: round(value, 2) for key, value in median["seconds"].items()}
        result[strategy] = median
    return result


def throughput(rows: int, rounds: int) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return samples per second of the KAN and of the MLP: medians, and every round, taken in turns."""
    frozen = kan()
    with tempfile.TemporaryDirectory() as name:
        model = convert(
            frozen, Path(name) / "kan", part=PART, clock_ns=5, strategy="latency", reuse_factor=1, io="io_parallel"
        )
        with contextlib.redirect_stdout(io.StringIO()):
            dense = mlp(Path(name) / "mlp")
        timed_compile(model)
        timed_compile(dense)
        x = exact(model, frozen, rows)
        runs: dict[str, tuple[Callable[[], object], int]] = {
            "kan_predict": (lambda: model.predict(x), rows),
            "kan_predict_1_thread": (lambda: model.predict(x, n_threads=1), rows),
            "kan_predict_float32": (lambda: model.predict(x.astype(np.float32)), rows),
            "dense_mlp_predict": (lambda: dense.predict(x[:4000]), 4000),
        }
        rates: dict[str, list[float]] = {key: [] for key in runs}
        for _ in range(rounds):
            for key, (run, n) in runs.items():
                rates[key] += rate(run, n, 1)
    return (
        {key: round(statistics.median(values)) for key, values in rates.items()},
        {key: [round(value) for value in values] for key, values in rates.items()},
    )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--large", choices=("latency", "edge_table"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "hls4ml_users.json")
    options = parser.parse_args(arguments)
    if options.large:
        measure_large(options.large)
        return
    origin = provenance("torch", "numpy", "numba", "hls4ml")
    medians, rounds = throughput(options.rows, options.rounds)
    large_kan = conversions(min(3, options.rounds))
    ratio = medians["kan_predict"] / medians["dense_mlp_predict"]
    write_result(
        options.out,
        f"hls4ml's users: predict of {'-'.join(map(str, WIDTHS))} and conversion of {'-'.join(map(str, LARGE))}, W4A4, all edges",
        origin,
        samples_per_second=medians,
        samples_per_second_rounds=rounds,
        kan_predict_over_dense_mlp_predict=round(ratio, 3),
        conversion_784_64_10=large_kan,
    )
    name = "-".join(map(str, WIDTHS))
    print(
        f"predict {name}: KAN {medians['kan_predict']:,}/s, stock Dense MLP {medians['dense_mlp_predict']:,}/s: {ratio:.1f}x"
    )
    alone = medians["kan_predict_1_thread"]
    print(f"predict {name}: KAN on one thread {alone:,}/s: {alone / medians['dense_mlp_predict']:.1f}x")
    for strategy, entry in large_kan.items():
        total, bound = entry["seconds"]["total"], entry["memory"]["bound_kb"] / (1 << 20)
        print(
            f"convert, write, compile {'-'.join(map(str, LARGE))}, {strategy}: {total:.1f} s, at most {bound:.2f} GiB"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
