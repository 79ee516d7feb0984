"""Number formats, compiled networks and devices: what trains how, and that the integers stay exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError
from pymodel.layers import KAN, build_kan
from pymodel.lower import lower
from pymodel.quant import quantize_model
from pymodel.reference import Reference
from pymodel.settings import DataSettings, ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train import train
from pymodel.train._engine import Engine

SETTINGS = TrainSettings(epochs=4, qat_epochs=2, batch_size=32, learning_rate=0.02, threads=1)
FAMILIES = {
    "efficient_kan": {"grid": 4, "order": 3},
    "fast_kan": {"grid": 4, "order": 1, "norm": "layer"},
    "kagn": {"grid": 1, "order": 3, "norm": "batch"},
    "pykan": {"grid": 4, "order": 2, "arities": [[2], []]},
}


def network(family: str) -> KAN:
    torch.manual_seed(0)
    return build_kan(family, (6, 5, 3), range=(-2.0, 2.0), **FAMILIES[family])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def moons() -> Dataset:
    return load(DataSettings("moons"))


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_products_are_close_and_have_gradients(family: str) -> None:
    x = 4 * torch.rand(64, 6, generator=torch.Generator().manual_seed(1)) - 2
    results = []
    for precision in ("float32", "bfloat16"):
        model = network(family).train()
        y = Engine(precision=precision).forward(model, lambda m: m)(x)
        assert y.dtype == torch.float32
        y.square().mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        assert torch.isfinite(gradient).all()
        results.append((y.detach(), gradient))
    (y, gradient), (y16, gradient16) = results
    assert not torch.equal(y, y16)  # it was done
    assert float((y - y16).norm() / y.norm()) < 0.02
    assert float((gradient - gradient16).norm() / gradient.norm()) < 0.05


def test_quantized_networks_stay_in_float32_and_eager() -> None:
    model = network("efficient_kan").eval()
    x = 4 * torch.rand(64, 6) - 2
    quantized = quantize_model(model, QuantizeSettings(activations=5))
    quantized.calibrate(x)
    forward = Engine(precision="bfloat16", compiled=True).forward(quantized, lambda m: m)
    assert torch.equal(forward(x), quantized(x))


def test_a_run_in_bfloat16_is_exact_and_repeats(moons: Dataset) -> None:
    settings = replace(SETTINGS, precision="bfloat16")
    one, two = (train(moons, ModelSettings((2, 4, 2)), QuantizeSettings(), settings) for _ in range(2))
    plain = train(moons, ModelSettings((2, 4, 2)), QuantizeSettings(), SETTINGS)
    states = [result.float_model.state_dict() for result in (one, two, plain)]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))
    ir = lower(one.frozen)
    X = ir.input.out_type.quantize(moons.host.prepare(moons.x_test))
    expected = Reference(ir).run(X)
    assert all(np.array_equal(values, expected[name]) for name, values in one.frozen.run(X).items())
    assert one.metrics["accuracy"]["float"] > 0.8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler itself
def test_compiled_networks_compute_the_same() -> None:
    """One layer, whose custom function is inside; the compiler takes its time."""
    model, plain = (build_kan("efficient_kan", (6, 2), grid=3, order=2, range=(-2.0, 2.0)).train() for _ in range(2))
    plain.load_state_dict(model.state_dict())
    forward = Engine(compiled=True).forward(model, lambda m: m)
    assert forward is not model
    x = 4 * torch.rand(32, 6, generator=torch.Generator().manual_seed(2)) - 2
    found, expected = forward(x), plain(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.square().mean().backward()
    expected.square().mean().backward()
    for one, two in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_gpu_is_said(moons: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"train\.device is cuda, but torch finds no CUDA device; set it to cpu"):
        train(moons, ModelSettings((2, 4, 2)), QuantizeSettings(), replace(SETTINGS, device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_and_the_integers_are_exact(moons: Dataset) -> None:
    result = train(moons, ModelSettings((2, 4, 2)), QuantizeSettings(), replace(SETTINGS, device="cuda"))
    assert next(result.float_model.parameters()).device.type == "cpu"
    ir = lower(result.frozen)
    X = ir.input.out_type.quantize(moons.host.prepare(moons.x_test))
    expected = Reference(ir).run(X)
    assert all(np.array_equal(values, expected[name]) for name, values in result.frozen.run(X).items())


def test_tables_are_trained_on_the_cpu(moons: Dataset) -> None:
    with pytest.raises(ConfigError, match="family table is trained on the CPU"):
        train(moons, ModelSettings((2, 4, 2), family="table"), QuantizeSettings(), replace(SETTINGS, device="cuda"))
