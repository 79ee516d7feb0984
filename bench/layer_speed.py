"""Time and memory of one training step of each layer: kan4ml's float and QAT layers against the library's plain formula.

Run `python bench/layer_speed.py --device cpu` (or `cuda`). One step of a layer inside a network is: zero the gradients,
forward, mean of squares as loss, backward into weights and inputs; no optimiser. QAT is LSQ at W4A4 with 6-bit basis
values; its inputs are codes that the layer before emits, its outputs are codes of a layer behind, and its tables are computed
anew in every step, as after an optimiser's step. All variants of a shape take turns in one process, so that a slow moment of
the machine hits all of them; what counts is the ratio of the fastest steps in one run, because on a shared machine the median
tells how often a step was interrupted (it is recorded beside).

Memory: on CUDA the most that was allocated during a step beyond what lay there before it (weights, inputs and gradients of
the inputs); on the CPU, which does not count that, the bytes of all tensors that autograd saves for the backward pass,
parameters and inputs of the layer left out. Writes `bench/results/layer_speed_<device>.json`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, provenance, write_result
from _plain_layers import (
    PlainEfficient,
    PlainFast,
    PlainFastConv,
    PlainGram,
    PlainGramConv,
    PlainPy,
    PlainSplineConv,
)
from torch import Tensor, nn

from pymodel.layers import (
    EfficientKANConv2d,
    EfficientKANLinear,
    FastKANConv2d,
    FastKANLinear,
    KAGNConv2d,
    KAGNLinear,
    KANLayer,
    PyKANLinear,
)
from pymodel.quant import QuantKANLinear
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes
from pymodel.quant._quantizers import ActivationQuantizer

Step = Callable[[], None]

RANGE = (-2.0, 2.0)
GRID, ORDER, CENTRES, DEGREE = 5, 3, 8, 3
BITS, BASIS_BITS = 4, 6
DENSE = ((64, 16), (784, 64), (256, 256))
#: Channels in and out, and the side of the images.
CONV = ((16, 16, 8), (32, 32, 16))
BATCHES = (128, 1024)
#: On the CPU a convolution of more multiplications per step than this is left out.
CPU_WORK = 4e9


def dense(family: str, n_in: int, n_out: int) -> tuple[KANLayer, nn.Module]:
    """Return our float layer and the plain one with the same weights."""
    if family == "efficient_kan":
        layer = EfficientKANLinear(n_in, n_out, grid=GRID, order=ORDER, range=RANGE)
        return layer, PlainEfficient(layer.grid, *_weights(layer))
    if family == "fast_kan":
        fast = FastKANLinear(n_in, n_out, grid=CENTRES, range=RANGE)
        assert fast.bias is not None
        return fast, PlainFast(torch.linspace(*RANGE, CENTRES), *_weights(fast), fast.bias.detach().clone())
    if family == "pykan":
        py = PyKANLinear(n_in, n_out, grid=GRID, order=ORDER, range=RANGE)
        return py, PlainPy(py.grid, *_weights(py), py.scale_sp.detach().clone())
    gram = KAGNLinear(n_in, n_out, degree=DEGREE, norm="none", range=RANGE)
    return gram, PlainGram(gram.beta_weights.detach().clone(), *_weights(gram))


def conv(family: str, n_in: int, n_out: int, side: int) -> tuple[KANLayer, nn.Module]:
    """Return our float convolution (3x3, padded) and the plain one with the same weights."""
    options: dict[str, Any] = {"size": (side, side), "padding": 1, "range": RANGE}

    def kernels(layer: KANLayer) -> tuple[Tensor, Tensor]:
        base, spline = _weights(layer)
        base = base.view(n_out, 3, 3, n_in).permute(0, 3, 1, 2)
        return base.contiguous(), spline.view(n_out, 3, 3, n_in, -1).permute(0, 3, 4, 1, 2).contiguous()

    if family == "efficient_kan":
        layer = EfficientKANConv2d(n_in, n_out, 3, grid=GRID, order=ORDER, **options)
        return layer, PlainSplineConv(layer.grid, *kernels(layer))
    if family == "fast_kan":
        fast = FastKANConv2d(n_in, n_out, 3, grid=CENTRES, **options)
        nn.init.zeros_(fast.bias)  # type: ignore[arg-type] # the library's convolutions have none
        return fast, PlainFastConv(torch.linspace(*RANGE, CENTRES), *kernels(fast))
    gram = KAGNConv2d(n_in, n_out, 3, degree=DEGREE, norm="none", **options)
    return gram, PlainGramConv(gram.beta_weights.detach().clone(), *kernels(gram))


def _weights(layer: KANLayer) -> tuple[Tensor, Tensor]:
    return layer.base_weight.detach().clone(), layer.spline_weight.detach().clone()


def quantized(layer: KANLayer, x: Tensor, y: Tensor) -> tuple[QuantKANLinear, Callable[[Tensor], Tensor], Tensor]:
    """Return the QAT form of `layer`, calibrated, its step's forward, and inputs `x` in units of codes."""
    kind = QuantKANConv if isinstance(layer, EfficientKANConv2d | FastKANConv2d | KAGNConv2d) else QuantKANLinear
    q = kind(layer, ActivationQuantizer(BITS), base_bits=BITS, spline_bits=BITS, basis_bits=BASIS_BITS).to(x.device)
    behind = ActivationQuantizer(BITS).to(x.device)
    q.quantizer.calibrate(x)  # type: ignore[union-attr]
    behind.calibrate(y)
    q.calibrate_weights()
    with torch.no_grad():
        u = (x - q.quantizer.low) / q.quantizer.step

    def forward(u: Tensor) -> Tensor:
        q._tables = None
        return q(u, Codes(*q.quantizer.scaled(q.n_inputs)), Codes(*behind.scaled(q.n_nodes)))

    return q, forward, u


def steps(ours: KANLayer, plain: nn.Module, batch: int, shape: tuple[int, ...], device: str) -> dict[str, Step]:
    """Return one step per variant; the plain layer gets images in torch's own layout."""
    ours, plain = ours.to(device), plain.to(device)
    x = torch.randn(batch, *shape, device=device)
    rows = x if x.dim() == 2 else x.permute(0, 2, 3, 1).flatten(1).contiguous()
    with torch.no_grad():
        y, z = ours(rows), plain(x)
        z = z if z.dim() == 2 else z.permute(0, 2, 3, 1).flatten(1)
        worst = float((y - z).abs().max() / z.abs().max())
    if worst > 1e-4:
        raise SystemExit(f"our float layer and the plain formula differ by {worst}: nothing to compare")
    q, forward, u = quantized(ours, rows, y)
    variants: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor], Tensor]] = {
        "plain": (plain, plain, x),
        "float": (ours, ours, rows),
        "qat": (q, forward, u),
    }

    def one(module: nn.Module, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Step:
        leaf = inputs.detach().clone().requires_grad_()

        def step() -> None:
            module.zero_grad()
            leaf.grad = None
            function(leaf).square().mean().backward()

        return step

    return {name: one(*parts) for name, parts in variants.items()}


def saved_bytes(step: Step) -> int:
    """Return the bytes that autograd saves for the backward pass: distinct storages, leaves left out."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not (tensor.is_leaf and tensor.requires_grad):
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values())


def peak_bytes(step: Step) -> int:
    """Return the most bytes that a step allocates on the GPU beyond what is there before it."""
    step()
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measure(variants: dict[str, Step], seconds: float, *, cuda: bool) -> dict[str, list[float]]:
    """Return milliseconds per step, a list per variant; the variants take turns."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(3):
        for step in variants.values():
            step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["plain"]) < 4:
        for name, step in variants.items():
            if cuda:
                torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            if cuda:
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def row(family: str, kind: str, sizes: tuple[int, ...], batch: int, seconds: float, device: str) -> dict[str, Any]:
    """Measure one layer at one batch size."""
    torch.manual_seed(0)
    if kind == "dense":
        ours, plain = dense(family, sizes[0], sizes[1])
        shape: tuple[int, ...] = sizes[:1]
    else:
        ours, plain = conv(family, sizes[0], sizes[1], sizes[2])
        shape = (sizes[0], sizes[2], sizes[2])
    variants = steps(ours, plain, batch, shape, device)
    cuda = device == "cuda"
    times = measure(variants, seconds, cuda=cuda)
    memory = {name: (peak_bytes if cuda else saved_bytes)(step) for name, step in variants.items()}
    best = {name: min(values) for name, values in times.items()}
    return {
        "family": family,
        "kind": kind,
        "sizes": list(sizes),
        "batch": batch,
        "rounds": len(times["plain"]),
        "best_ms": {name: round(value, 4) for name, value in best.items()},
        "median_ms": {name: round(statistics.median(values), 4) for name, values in times.items()},
        "memory_bytes": memory,
        "speedup": {name: round(best["plain"] / best[name], 3) for name in ("float", "qat")},
        "memory_ratio": {name: round(memory[name] / memory["plain"], 3) for name in ("float", "qat")},
    }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="per row, for all variants")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--family", default="", help="measure this family only, and write nothing")
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no row is begun")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    begun, left_out = time.perf_counter(), 0
    for family in ("efficient_kan", "fast_kan", "pykan", "kagn"):
        if options.family not in ("", family):
            continue
        for batch in BATCHES:
            shapes: list[tuple[str, tuple[int, ...]]] = [("dense", sizes) for sizes in DENSE]
            if family != "pykan":  # has no convolution
                shapes += [("conv", sizes) for sizes in CONV]
            for kind, sizes in shapes:
                work = batch * 27 * sizes[0] * sizes[1] * sizes[-1] ** 2 * CENTRES if kind == "conv" else 0
                if options.device == "cpu" and work > CPU_WORK:
                    continue
                if time.perf_counter() - begun > options.limit:
                    left_out += 1
                    continue
                rows.append(row(family, kind, sizes, batch, options.seconds, options.device))
                r = rows[-1]
                print(family, kind, sizes, batch, r["best_ms"], r["speedup"], r["memory_ratio"], flush=True)
    if options.family:
        return
    origin = provenance("torch", "numpy")
    if options.device == "cuda":
        origin["machine"]["gpu"] = torch.cuda.get_device_name()
    write_result(
        options.out or RESULTS / f"layer_speed_{options.device}.json",
        "milliseconds and bytes per training step of one layer (zero_grad, forward, mean of squares, backward)",
        origin,
        threads=options.threads,
        device=options.device,
        memory="peak allocated beyond what lay there" if options.device == "cuda" else "saved for the backward pass",
        settings={
            "range": list(RANGE),
            "grid": GRID,
            "order": ORDER,
            "centres": CENTRES,
            "degree": DEGREE,
            "bits": BITS,
            "basis_bits": BASIS_BITS,
            "seconds": options.seconds,
        },
        rows_left_out=left_out,
        rows=rows,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
