"""How fast is one training step? kan4ml's float and QAT layers against the plain efficient-kan formula.

Run `python bench/training_step.py` on an otherwise idle machine. One step is zeroing the gradients, forward, a mean of
squares as loss, and backward; no optimiser. All variants of a shape take turns within one process, so that a slow
moment of the machine hits all of them. Writes `bench/results/training_step.json`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _common import RESULTS, provenance, write_result
from torch import Tensor, nn
from torch.nn import functional

from pymodel.layers import EfficientKAN, EfficientKANLinear
from pymodel.quant import PRESETS, quantize_model

RANGE = (-2.0, 2.0)
GRID, ORDER = 5, 3
SHAPES = ((64, 16), (784, 64), (64, 16, 10), (784, 64, 10))
BATCHES = (128, 256)


class PlainKANLinear(nn.Module):
    """The formula as efficient-kan computes it: Cox-de Boor on whole tensors, one linear map per branch."""

    def __init__(self, source: EfficientKANLinear) -> None:
        super().__init__()
        self.base_weight = nn.Parameter(source.base_weight.detach().clone())
        self.spline_weight = nn.Parameter(source.spline_weight.detach().clone())
        self.register_buffer("grid", source.grid.expand(source.in_features, -1).contiguous())

    def bases(self, x: Tensor) -> Tensor:
        """Return (B, I, G + k) basis values."""
        x, t = x.unsqueeze(-1), self.grid
        values = ((x >= t[:, :-1]) & (x < t[:, 1:])).to(x.dtype)
        for k in range(1, ORDER + 1):
            left = (x - t[:, : -(k + 1)]) / (t[:, k:-1] - t[:, : -(k + 1)]) * values[:, :, :-1]
            right = (t[:, k + 1 :] - x) / (t[:, k + 1 :] - t[:, 1:-k]) * values[:, :, 1:]
            values = left + right
        return values.contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N)."""
        base = functional.linear(functional.silu(x), self.base_weight)
        return base + functional.linear(self.bases(x).flatten(1), self.spline_weight.flatten(1))


def variants(widths: tuple[int, ...], x: Tensor) -> dict[str, nn.Module]:
    """Return the models to compare, all with the same weights."""
    fast = EfficientKAN(widths, grid=GRID, order=ORDER, range=RANGE)
    plain = nn.Sequential(*(PlainKANLinear(layer) for layer in fast.kan_layers()))
    models: dict[str, nn.Module] = {"plain": plain, "float": fast}
    for name in ("W4A4", "E4A4"):
        quantized = quantize_model(fast, PRESETS[name])
        quantized.calibrate(x)
        models[name] = quantized
    with torch.no_grad():
        worst = float((plain(x) - fast(x)).abs().max())
    if worst > 1e-4:
        raise SystemExit(f"the two float models differ by {worst}: nothing to compare")
    return models


def measure(models: dict[str, nn.Module], x: Tensor, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds per step, a list per model; the models take turns."""

    def step(model: nn.Module) -> None:
        model.zero_grad()
        model(x).square().mean().backward()

    times: dict[str, list[float]] = {name: [] for name in models}
    for index in range(rounds + 3):
        for name, model in models.items():
            start = time.perf_counter()
            step(model)
            if index >= 3:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS / "training_step.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    for widths in SHAPES:
        for batch in BATCHES:
            x = torch.randn(batch, widths[0])
            times = measure(variants(widths, x), x, options.rounds)
            median = {name: statistics.median(values) for name, values in times.items()}
            best = {name: min(values) for name, values in times.items()}
            rows.append(
                {
                    "widths": list(widths),
                    "batch": batch,
                    "median_ms": {name: round(value, 4) for name, value in median.items()},
                    "best_ms": {name: round(value, 4) for name, value in best.items()},
                    "speedup_over_plain": {n: round(median["plain"] / v, 3) for n, v in median.items() if n != "plain"},
                }
            )
            print(widths, batch, rows[-1]["median_ms"], rows[-1]["speedup_over_plain"])
    write_result(
        options.out,
        "milliseconds per training step (zero_grad, forward, mean of squares, backward; no optimiser)",
        provenance("torch", "numpy"),
        threads=options.threads,
        settings={"grid": GRID, "order": ORDER, "range": list(RANGE), "rounds": options.rounds},
        rows=rows,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
