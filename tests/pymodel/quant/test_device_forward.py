"""The benchmark's forward without the host computes what the product's does, and so do its gradients."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pymodel.layers import build_kan
from pymodel.quant import quantize_model
from pymodel.settings import QuantizeSettings

PATH = Path(__file__).parents[3] / "bench" / "accuracy" / "_graph.py"


@pytest.fixture(scope="module")
def graph() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_accuracy_graph", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", ["lsq", "pact", "dsq"])
@pytest.mark.parametrize("family", ["efficient_kan", "fast_kan", "pykan", "kagn"])
def test_values_and_gradients_are_the_product_s(graph: ModuleType, family: str, method: str) -> None:
    torch.manual_seed(0)
    norm = {"kagn": "batch", "fast_kan": "layer"}.get(family, "none")
    model = build_kan(family, (9, 8, 4), grid=5, order=3, range=(-2, 2), norm=norm).double().eval()
    x = torch.rand(200, 9, dtype=torch.float64) ** 3 * 4 - 2
    settings = QuantizeSettings(
        method=method, activations=3, base_weights=3, spline_weights=3, basis=8, granularity="channel"
    )
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    quantized(x)
    found = []
    for forward in (quantized, graph.device_forward(quantized)):
        quantized.zero_grad()
        y = forward(x)
        y.square().sum().backward()
        gradients = {n: p.grad.clone() for n, p in quantized.named_parameters() if p.grad is not None}
        found.append((y.detach(), gradients))
    (y, gradients), (again, others) = found
    torch.testing.assert_close(again, y, rtol=1e-11, atol=1e-12)  # one code that differs would be a million times more
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-9, atol=1e-12)
