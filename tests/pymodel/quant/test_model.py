"""The QAT network: calibration, training, masks, tables that follow the steps."""

from __future__ import annotations

import copy

import pytest
import torch

from pymodel.errors import ConfigError, DataError, ModelError
from pymodel.layers import EfficientKAN, EfficientKANLinear
from pymodel.quant import PRESETS, ActivationQuantizer, InputQuantizer, QuantKAN, quantize_model
from pymodel.settings import QuantizeSettings
from tests.pymodel.quant.conftest import Digits


@pytest.fixture
def model() -> EfficientKAN:
    torch.manual_seed(0)
    return EfficientKAN([3, 4, 5, 2], grid=4, order=3, range=(-2.0, 2.0))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(256, 3, generator=torch.Generator().manual_seed(1)) * 4 - 2


def calibrated(model: EfficientKAN, x: torch.Tensor, settings: QuantizeSettings) -> QuantKAN:
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    return quantized


@pytest.mark.parametrize("name", ["W8A8", "E8"])
def test_many_bits_are_close_to_the_float_model(model: EfficientKAN, x: torch.Tensor, name: str) -> None:
    settings = {
        "W8A8": QuantizeSettings(activations=10, base_weights=12, spline_weights=12, basis=12, input=12),
        "E8": QuantizeSettings(activations=10, edge=14, input=12),
    }[name]
    with torch.no_grad():
        difference = (calibrated(model, x, settings)(x) - model(x)).abs().max()
        assert float(difference) < 0.02 * float(model(x).abs().max())


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_learns(model: EfficientKAN, x: torch.Tensor, name: str) -> None:
    quantized = calibrated(model, x, PRESETS[name])
    quantized(x).square().sum().backward()
    for key, parameter in quantized.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        # Moving all representatives of an input without clipping moves nothing: low may have no gradient.
        assert parameter.grad.any() or key.endswith("quantizer.low"), key


@pytest.mark.parametrize("name", ["W4A4", "E4A4"])
def test_training_reduces_the_loss(digits: Digits, float_model: EfficientKAN, name: str) -> None:
    quantized = calibrated(float_model, digits.x, PRESETS[name])
    optimizer = torch.optim.Adam(quantized.parameter_groups(0.0), lr=0.002)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(quantized(digits.x), digits.y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_tables_follow_step_and_offset(model: EfficientKAN, x: torch.Tensor) -> None:
    layer = list(calibrated(model, x, PRESETS["W4A4"]).kan_layers())[1]
    first = layer.tables()
    assert layer.tables() is first  # computed once
    assert isinstance(layer.quantizer, ActivationQuantizer)
    with torch.no_grad():
        layer.quantizer.low += 0.1
    second = layer.tables()
    assert not torch.equal(first.rounded, second.rounded)
    with torch.no_grad():
        layer.quantizer.log_step += 0.1
    assert layer.tables() is not second
    assert copy.deepcopy(layer).double().tables().rounded.dtype is torch.float64


def test_hidden_activations_travel_as_codes(model: EfficientKAN, x: torch.Tensor) -> None:
    for name, grid in (("W4A4", None), ("E4A4", True)):
        quantized = calibrated(model, x, PRESETS[name])
        codes = quantized.codes()
        first, second = list(quantized.kan_layers())[:2]
        assert isinstance(first.quantizer, InputQuantizer)
        u = first(first.quantizer.codes(x), codes[0], codes[1])
        if grid:  # sums of entries are multiples of a power-of-two fraction of a code
            _, shift = first.edge_step(codes[1])
            assert torch.equal(u * 2.0**shift, torch.floor(u * 2.0**shift))
        histogram = second.histogram(u)
        assert histogram.shape == (4, 16)
        assert torch.equal(histogram.sum(dim=1), torch.full((4,), 256))
        assert torch.equal(histogram, quantized.histograms(x)[1])


def test_masks_are_copied_and_hold(model: EfficientKAN, x: torch.Tensor) -> None:
    first = next(model.kan_layers())
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[:, 1] = False
    first.apply_mask(mask)
    for name in ("W4A4", "E4A4"):
        quantized = calibrated(model, x, PRESETS[name])
        assert torch.equal(next(quantized.kan_layers()).mask, mask)
        changed = x.clone()
        changed[:, 1] = 0.7
        assert torch.equal(quantized(x), quantized(changed))
        quantized(x).sum().backward()
        layer = next(quantized.kan_layers())
        assert not layer.base_weight.grad[:, 1].any()
        assert not layer.spline_weight.grad[:, 1].any()
        with pytest.raises(ModelError, match=r"mask of shape \(4, 3\)"):
            layer.apply_mask(mask.T)


def test_the_float_model_is_left_alone(model: EfficientKAN, x: torch.Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    quantized = calibrated(model, x, PRESETS["W4A4"])
    quantized(x).sum().backward()
    torch.optim.SGD(quantized.parameters(), lr=1.0).step()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_parameter_groups_decay_weights_only(model: EfficientKAN, x: torch.Tensor) -> None:
    quantized = calibrated(model, x, PRESETS["W4A4"])
    weights, scalars = quantized.parameter_groups(0.1)
    assert (weights["weight_decay"], scalars["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim >= 2 for p in weights["params"])
    assert all(p.ndim == 0 for p in scalars["params"])
    assert len(weights["params"]) + len(scalars["params"]) == len(list(quantized.parameters()))


def test_any_leading_shape(model: EfficientKAN, x: torch.Tensor) -> None:
    quantized = calibrated(model, x, PRESETS["W4A4"])
    assert torch.equal(quantized(x.view(16, 16, 3)), quantized(x).view(16, 16, 2))
    with pytest.raises(DataError, match="3 features"):
        quantized(x[:, :2])


def test_refuses_non_finite_weights(model: EfficientKAN, x: torch.Tensor) -> None:
    layer = model.layers[1]
    assert isinstance(layer, EfficientKANLinear)
    with torch.no_grad():
        layer.base_weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"layers_1\.base_weight holds NaN"):
        quantize_model(model, PRESETS["W4A4"])


@pytest.mark.parametrize("name", ["W4A4", "E4A4"])
def test_a_diverged_training_ends_in_a_sentence(model: EfficientKAN, x: torch.Tensor, name: str) -> None:
    for part in ("quantizer.log_step", "quantizer.low"):
        for value in (float("nan"), float("inf")):
            quantized = calibrated(model, x, PRESETS[name])
            with torch.no_grad():
                quantized.get_parameter(f"layers.1.{part}").fill_(value)
            with pytest.raises(ModelError, match="lower rate"):
                quantized(x)
    quantized = calibrated(model, x, PRESETS[name])
    with torch.no_grad():
        for scalar in quantized.parameter_groups(0.0)[1]["params"]:
            scalar.fill_(-1e9)
    assert torch.isfinite(quantized(x)).all()


def test_refuses_bits_that_do_not_combine(model: EfficientKAN) -> None:
    with pytest.raises(ConfigError, match=r"quantize\.edge"):
        quantize_model(model, QuantizeSettings(activations=11, edge=4, input=12))


def test_shows_its_bits(model: EfficientKAN) -> None:
    assert "3, 4, codes=16, basis_bits=6" in repr(quantize_model(model, PRESETS["W4A4"]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["W4A4", "E4A4"])
def test_cuda_trains(model: EfficientKAN, x: torch.Tensor, name: str) -> None:
    quantized = calibrated(model.cuda(), x.cuda(), PRESETS[name])
    quantized(x.cuda()).square().sum().backward()
    assert all(p.grad is not None and p.grad.is_cuda for p in quantized.parameters())
