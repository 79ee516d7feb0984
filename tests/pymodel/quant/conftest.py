"""Small networks, trained once per session on scikit-learn's digits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from pymodel.ir import HostSpec, Task
from pymodel.layers import EfficientKAN
from pymodel.quant import QuantKAN, prune_to, quantize_model
from pymodel.settings import QuantizeSettings


@dataclass(frozen=True)
class Digits:
    """Digits scaled to [-2, 2], split 80 : 20."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    host: HostSpec

    def accuracy(self, model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(self.x_test).argmax(dim=1) == self.y_test).float().mean())


def train(model: nn.Module, data: Digits, epochs: int, rate: float, before: Callable[[float], object] | None = None):
    groups = model.parameter_groups(1e-4) if isinstance(model, QuantKAN) else model.parameters()
    optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=1e-4)
    rows, batch = len(data.x), 128
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-rows // batch))
    generator = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        if before is not None:
            before(epoch / epochs)
        order = torch.randperm(rows, generator=generator)
        for picked in order.split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.x[picked]), data.y[picked]).backward()
            optimizer.step()
            schedule.step()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small are slower on several threads, and far slower when other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Digits:
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels / 4.0 - 2.0, labels, test_size=0.2, random_state=0, stratify=labels)
    x, x_test, y, y_test = (torch.tensor(part) for part in split)
    names = tuple(f"p{i}" for i in range(64))
    classes = tuple(str(i) for i in range(10))
    host = HostSpec(Task.CLASSIFICATION, names, (8.0,) * 64, (0.25,) * 64, classes)
    return Digits(x.float(), y, x_test.float(), y_test, host)


@pytest.fixture(scope="session")
def float_model(digits: Digits) -> EfficientKAN:
    torch.manual_seed(0)
    model = EfficientKAN([64, 16, 10], grid=5, order=3, range=(-2, 2))
    train(model, digits, 20, 0.005)
    return model


@pytest.fixture(scope="session")
def pruned_float_model(digits: Digits) -> EfficientKAN:
    torch.manual_seed(0)
    model = EfficientKAN([64, 16, 10], grid=5, order=3, range=(-2, 2))
    total, keep = 1184, 300

    def prune(done: float) -> None:
        rest = (1 - min(max((done - 0.1) / 0.6, 0.0), 1.0)) ** 3
        prune_to(model, round(keep + (total - keep) * rest), digits.x)

    train(model, digits, 40, 0.005, prune)
    return model


@pytest.fixture(scope="session")
def qat(digits: Digits) -> Callable[[EfficientKAN, QuantizeSettings], QuantKAN]:
    """Quantize and train a copy of a model; the same settings are trained once."""
    done: dict[tuple[int, QuantizeSettings], QuantKAN] = {}

    def qat(model: EfficientKAN, settings: QuantizeSettings) -> QuantKAN:
        key = (id(model), settings)
        if key not in done:
            torch.manual_seed(0)
            quantized = quantize_model(model, settings)
            quantized.calibrate(digits.x)
            train(quantized, digits, 8, 0.002)
            done[key] = quantized
        return copy.deepcopy(done[key])

    return qat
