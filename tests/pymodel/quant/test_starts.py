"""Where QAT starts, and the steps that GPTQ and the percentile method choose."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pymodel.layers import KAN, build_kan
from pymodel.quant import (
    QuantKAN,
    best_range,
    best_step,
    covering_range,
    post_training,
    start_from_float,
    start_from_gptq,
)
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant.ptq import _gptq
from pymodel.quant.ptq._apply import _cover
from pymodel.quant.ptq._coder import clipped_share
from pymodel.quant.ptq._problem import branch_quantizers
from pymodel.quant.qat import QilWeights
from pymodel.settings import QuantizeSettings


def trained(family: str) -> tuple[KAN, torch.Tensor]:
    torch.manual_seed(0)
    norm = {"kagn": "batch", "fast_kan": "layer"}.get(family, "none")
    model = build_kan(family, (6, 8, 3), grid=5, order=3, range=(-2, 2), norm=norm)
    x = torch.rand(300, 6) * 4 - 2
    for layer in model.kan_layers():
        layer.spline_weight.data.mul_(4.0)
    model(x)
    return model.eval(), x


def settings(method: str, bits: int = 2, granularity: str = "channel") -> QuantizeSettings:
    return QuantizeSettings(
        method=method, activations=bits, base_weights=bits, spline_weights=bits, basis=8, granularity=granularity
    )


def output_error(quantized: QuantKAN, model: KAN, x: torch.Tensor) -> float:
    """Return the squared error of the first layer's outputs."""
    first, exact = next(quantized.kan_layers()), next(model.kan_layers())
    u = quantized._first(x)
    return float((first(u, quantized.codes()[0], None) - exact(x)).square().sum().detach())


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_gptq_takes_the_multiple_of_the_step_with_the_least_output_error(
    granularity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = trained("efficient_kan")
    x = 2.0 * torch.tanh(
        x[:, :2] @ torch.randn(2, 6)
    )  # as the pixels of an image are, correlated: errors are passed on
    chosen = post_training(model, settings("gptq", granularity=granularity), x)
    errors = {}
    for factor in _gptq._FACTORS:
        with monkeypatch.context() as patch:
            patch.setattr(_gptq, "_FACTORS", (factor,))
            errors[factor] = output_error(post_training(model, settings("gptq", granularity=granularity), x), model, x)
    assert output_error(chosen, model, x) <= min(errors.values()) * 1.001
    assert output_error(chosen, model, x) < errors[1.0]
    for layer in chosen.kan_layers():  # the weights lie on the lattice of the steps that were chosen
        for quantizer, weight in zip(branch_quantizers(layer), layer.masked_weights(), strict=True):
            assert torch.allclose(quantizer(weight), weight)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_percentile_is_about_that_of_least_squared_error_for_normal_values(bits: int) -> None:
    values = torch.randn(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def coded(low: float, step: float) -> float:
        codes = torch.floor((values - low) / step + 0.5).clamp(0, 2**bits - 1)
        return float((low + step * codes - values).square().sum())

    assert coded(*covering_range(values, 2**bits, clipped_share(2**bits))) < 1.25 * coded(*best_range(values, 2**bits))
    q = TensorQuantizer(bits).double()
    _cover(q, values, 2.0 * clipped_share(2 * q.high + 1))
    error = float((q(values) - values).square().sum().detach())
    q.set_step(best_step(values, q.high))
    assert error < 1.25 * float((q(values) - values).square().sum().detach())


@pytest.mark.parametrize("family", ["efficient_kan", "fast_kan", "pykan", "kagn"])
def test_a_start_has_the_codes_of_ptq_and_float_weights_or_those_of_gptq(family: str) -> None:
    model, x = trained(family)
    for start, method in ((start_from_float, "mse"), (start_from_gptq, "gptq")):
        ready = post_training(model, dataclasses.replace(settings(method), coder="output"), x)
        for again in (start(model, settings("lsq"), x), start(model, settings("lsq"), x, ready)):
            assert again.calibrated
            for layer, done, exact in zip(again.kan_layers(), ready.kan_layers(), model.kan_layers(), strict=True):
                assert done.bias is not None
                assert layer.bias is not None
                assert torch.equal(layer.bias, done.bias)
                assert torch.equal(layer.quantizer.step.detach(), done.quantizer.step.detach())
                if isinstance(layer, QuantNormLinear):
                    assert isinstance(done, QuantNormLinear)
                    assert bool(layer.settled)
                    assert torch.equal(layer.normal.low.detach(), done.normal.low.detach())
                wanted = exact.folded()[1] if method == "mse" else done.spline_weight
                assert torch.equal(layer.spline_weight, wanted)
        if method == "gptq":
            assert torch.allclose(again(x), ready(x), atol=1e-5)


def test_qil_means_the_same_whatever_the_size_of_the_weights() -> None:
    """Levels and relative gradients of its parameters do not change with a factor common to all weights."""
    w = torch.randn(6, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []
    for size in (1.0, 0.01):
        q = QilWeights(4, channels=6).double()
        q.calibrate(w * size)
        found.append(
            (q.integers(w * size), *torch.autograd.grad((q(w * size) / size).sum(), [q.ratio, q.log_distance]))
        )
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1:], found[1][1:], rtol=1e-5, atol=1e-5)
