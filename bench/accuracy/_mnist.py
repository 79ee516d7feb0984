"""MNIST on one device, and its training: what every job of the accuracy benchmark shares."""

from __future__ import annotations

import dataclasses
import gzip
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _graph import device_forward, replayed
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import HostSpec, Task
from pymodel.layers import KAN, build_kan
from pymodel.quant import (
    QuantKAN,
    freeze,
    post_training,
    quantize_model,
    start_from_float,
    start_from_gptq,
)
from pymodel.settings import QuantizeSettings

__all__ = [
    "FAMILIES",
    "Mnist",
    "Recipe",
    "fit",
    "float_training",
    "integer_accuracy",
    "load_mnist",
    "mnist_host",
    "prepared",
    "ptq",
    "qat_training",
    "settings_for",
]

WIDTHS = (784, 64, 10)
#: Arguments of `build_kan` by family. Features are mapped onto the range.
FAMILIES: dict[str, dict[str, Any]] = {
    "efficient_kan": {"grid": 5, "order": 3, "range": (-2.0, 2.0)},
    "fast_kan": {"grid": 8, "order": 1, "range": (-2.0, 2.0), "norm": "layer"},
    "pykan": {"grid": 5, "order": 3, "range": (-2.0, 2.0)},
    "kagn": {"grid": 1, "order": 3, "range": (-2.0, 2.0), "norm": "batch"},
}
#: Training rows on which PTQ calibrates, and QAT starts.
CALIBRATION_ROWS = 10_000
_WARMUP_STEPS = 20
_TEMPERATURE = 2.0


@dataclass(frozen=True)
class Mnist:
    """Images in [0, 1], float32 (rows, 784), and int64 labels."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


@dataclass(frozen=True)
class Recipe:
    """How long and how fast one phase trains.

    Attributes:
        epochs: of AdamW with a cosine; the last state counts.
        rate: the largest learning rate.
        batch: rows per step.
        decay: of weights.
        shift: move every image by -1, 0 or 1 pixels in each direction.
        start: of QAT: `gptq`, `float` (`pymodel.quant.start_from_float`) or `plain` (`QuantKAN.calibrate`).
        steps: rate of the quantizers' parameters, as a multiple of `rate`.
        distill: share of the loss that is the distance from the float network's logits.
    """

    epochs: int
    rate: float
    batch: int = 128
    decay: float = 1e-4
    shift: bool = False
    start: str = "gptq"
    steps: float = 1.0
    distill: float = 0.0


def _idx(path: Path, header: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with gzip.open(path) as stream:
        return np.frombuffer(stream.read(), dtype=np.uint8, offset=header)


def load_mnist(folder: Path, device: str, held_out: int = 0, rows: int | None = None) -> Mnist:
    """Read the four official files; `held_out` of the last training rows stand in for the test rows, to try recipes.

    With `rows`, only the first of the training rows are kept.
    """
    parts = []
    for name in ("train", "t10k"):
        images = _idx(folder / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        labels = _idx(folder / f"{name}-labels-idx1-ubyte.gz", 8)
        parts += [torch.from_numpy(images.astype(np.float32) / 255.0), torch.from_numpy(labels.astype(np.int64))]
    if held_out:
        x, y = parts[:2]
        parts = [x[:-held_out], y[:-held_out], x[-held_out:], y[-held_out:]]
    parts[:2] = (part[:rows] for part in parts[:2])
    return Mnist(*(part.to(device) for part in parts))


def scaled(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return features mapped onto the grid's range."""
    return x * (bounds[1] - bounds[0]) + bounds[0]


def _shifted(x: Tensor, corner: Tensor) -> Tensor:
    padded = functional.pad(x.view(-1, 28, 28), (1, 1, 1, 1))
    grid = torch.arange(28, device=x.device)
    rows, columns = corner[:, 0] + grid.view(1, 28, 1), corner[:, 1] + grid.view(1, 1, 28)
    return padded[torch.arange(len(x), device=x.device).view(-1, 1, 1), rows, columns].view(len(x), 784)


class Training:
    """One model in training; on a GPU every step is the replay of a CUDA graph on a stream of its own.

    Args:
        model: trained in place.
        groups: of AdamW.
        data: the images.
        bounds: of the grid.
        recipe: how long and how fast.
        seed: of the order.
        teacher: float network, if the recipe distills.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: list[dict[str, Any]],
        data: Mnist,
        bounds: tuple[float, float],
        recipe: Recipe,
        seed: int,
        teacher: nn.Module | None = None,
    ) -> None:
        self.model, self.data, self.recipe = model, data, recipe
        device = data.x.device
        self.cuda = data.x.is_cuda
        generator = torch.Generator(device).manual_seed(seed)
        self.per_epoch = len(data.x) // recipe.batch
        self.total = recipe.epochs * self.per_epoch
        factors = [float(group.pop("factor", 1.0)) for group in groups]
        rates = [recipe.rate * min(1.0, (i + 1) / _WARMUP_STEPS) * _cosine(i / self.total) for i in range(self.total)]
        self.rates = [torch.tensor(rates, dtype=torch.float64) * factor for factor in factors]
        now = [torch.zeros((), device=device) for _ in groups]
        if self.cuda:
            self.rates = [rate.float().to(device) for rate in self.rates]
            for group, rate in zip(groups, now, strict=True):
                group["lr"] = rate
        self.optimizer = torch.optim.AdamW(groups, weight_decay=recipe.decay, capturable=self.cuda, foreach=True)
        forward = device_forward(model) if isinstance(model, QuantKAN) else model
        parameters = [p for p in model.parameters() if p.requires_grad]
        orders = [
            torch.randperm(len(data.x), generator=generator, device=device)[: self.per_epoch * recipe.batch]
            for _ in range(recipe.epochs)
        ]
        order = torch.cat(orders).view(self.total, recipe.batch)
        corners = torch.randint(
            0, 3, (self.total if recipe.shift else 1, recipe.batch, 2, 1, 1), generator=generator, device=device
        )
        self.done = torch.zeros(1, dtype=torch.long, device=device)

        def step() -> None:
            if self.cuda:
                for rate, table in zip(now, self.rates, strict=True):
                    rate.copy_(table.index_select(0, self.done).view(()))
            rows = order.index_select(0, self.done).view(-1)
            x = data.x[rows]
            if recipe.shift:
                x = _shifted(x, corners.index_select(0, self.done)[0])
            x = scaled(x, bounds)
            logits = forward(x)
            loss = functional.cross_entropy(logits, data.y[rows])
            if teacher is not None:
                with torch.no_grad():
                    wanted = (teacher(x) / _TEMPERATURE).softmax(dim=1)
                soft = functional.cross_entropy(logits / _TEMPERATURE, wanted) * _TEMPERATURE**2
                loss = (1.0 - recipe.distill) * loss + recipe.distill * soft
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0, foreach=True)
            self.optimizer.step()
            self.done += 1

        model.train()
        self.kept = step, order, corners, now  # a graph does not keep alive what its closure holds
        self.stream = torch.cuda.Stream() if self.cuda else None
        self.run = step if self.stream is None else replayed(step, [model], self.optimizer, self.stream)
        self.done.zero_()

    def step(self, index: int) -> None:
        """Take step number `index`, in order."""
        if not self.cuda:
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = float(rate[index])
        with torch.cuda.stream(self.stream):
            self.run()


def fit(runs: list[Training]) -> float:
    """Train several models side by side, all with the same number of steps; return the seconds per model."""
    begun = time.perf_counter()
    if runs[0].cuda:
        torch.cuda.synchronize()
    for index in range(runs[0].total):
        for run in runs:
            run.step(index)
    if runs[0].cuda:
        torch.cuda.synchronize()
    for run in runs:
        run.model.eval()
    return (time.perf_counter() - begun) / len(runs)


def _cosine(done: float) -> float:
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def accuracy(model: nn.Module, data: Mnist, bounds: tuple[float, float]) -> float:
    """Return the share of test rows that a float model classifies rightly."""
    right = [
        (model(scaled(x, bounds)).argmax(1) == y).sum()
        for x, y in zip(data.x_test.split(2000), data.y_test.split(2000), strict=True)
    ]
    return float(sum(right)) / len(data.y_test)


def mnist_host(bounds: tuple[float, float]) -> HostSpec:
    """Return what the host does: pixels in [0, 1] onto the grid's range."""
    low, high = bounds
    return HostSpec(
        Task.CLASSIFICATION,
        tuple(f"p{i}" for i in range(WIDTHS[0])),
        (-low / (high - low),) * WIDTHS[0],
        (high - low,) * WIDTHS[0],
        tuple(str(i) for i in range(WIDTHS[-1])),
    )


def integer_accuracy(model: QuantKAN, data: Mnist, bounds: tuple[float, float]) -> float:
    """Return the share of test rows that the frozen integers classify rightly."""
    frozen = freeze(model.cpu(), name="mnist", host=mnist_host(bounds))
    X = frozen.in_type.quantize(scaled(data.x_test.cpu().double(), bounds).numpy())
    last = list(frozen.named_layers())[-1][0]
    return float(np.mean(frozen.run(X)[last].argmax(axis=1) == data.y_test.cpu().numpy()))


def float_training(family: str, data: Mnist, recipe: Recipe, seed: int) -> Training:
    """Return an untrained float network with its training."""
    torch.manual_seed(seed)
    model = build_kan(family, WIDTHS, **FAMILIES[family]).to(data.x.device)
    groups = [{"params": list(model.parameters())}]
    return Training(model, groups, data, FAMILIES[family]["range"], recipe, seed)


def settings_for(method: str, bits: tuple[int, int], first: int | None = None, **more: Any) -> QuantizeSettings:
    """Return settings for `bits` of weights and activations; basis values have 8 bits."""
    weights, activations = bits
    return QuantizeSettings(
        method=method,
        activations=activations,
        first_activations=first,
        base_weights=weights,
        spline_weights=weights,
        basis=8,
        **more,
    )


def prepared(model: KAN, settings: QuantizeSettings, start: str, data: Mnist) -> QuantKAN | None:
    """Return what every QAT method with these bits starts from.

    Args:
        model: the float network.
        settings: bits and granularity; the method is not looked at.
        start: as :class:`Recipe` has it; `plain` needs nothing.
        data: the images.
    """
    if start == "plain":
        return None
    method = "gptq" if start == "gptq" else "mse"
    x = scaled(data.x[:CALIBRATION_ROWS], _bounds(model))
    return post_training(model.eval(), dataclasses.replace(settings, method=method, coder="output"), x)


def started(model: KAN, settings: QuantizeSettings, ready: QuantKAN | None, start: str, x: Tensor) -> QuantKAN:
    """Return a network with quantizers, before its training.

    Args:
        model: the float network.
        settings: method and bits.
        ready: from :func:`prepared`.
        start: as :class:`Recipe` has it.
        x: features to calibrate on.
    """
    if start != "plain":
        return (start_from_gptq if start == "gptq" else start_from_float)(model, settings, x, ready)
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    for layer in quantized.kan_layers():
        if layer.bias is None:  # it costs nothing in hardware
            layer.bias = nn.Parameter(layer.base_weight.new_zeros(layer.out_features))
    return quantized


def qat_training(
    model: KAN, data: Mnist, settings: QuantizeSettings, ready: QuantKAN | None, recipe: Recipe, seed: int
) -> Training:
    """Return a network with quantizers, with its training; `ready` comes from :func:`prepared`."""
    bounds = _bounds(model)
    x = scaled(data.x[:CALIBRATION_ROWS], bounds)
    quantized = started(model.eval(), settings, ready, recipe.start, x)
    with torch.no_grad():
        quantized(x[:1000])  # settles what the first rows decide
    groups = quantized.parameter_groups(recipe.decay)
    groups[1]["factor"] = recipe.steps
    teacher = model.eval() if recipe.distill else None
    return Training(quantized, groups, data, bounds, recipe, seed + 1000, teacher)


def _bounds(model: KAN) -> tuple[float, float]:
    layer = next(model.kan_layers())
    return layer.low, layer.high


def ptq(model: KAN, data: Mnist, settings: QuantizeSettings) -> tuple[QuantKAN, float]:
    """Return the network quantized without training, and the seconds."""
    begun = time.perf_counter()
    quantized = post_training(model, settings, scaled(data.x[:CALIBRATION_ROWS], _bounds(model)))
    return quantized, time.perf_counter() - begun
