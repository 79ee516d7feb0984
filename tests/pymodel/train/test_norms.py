"""Batch normalisation re-estimated: the formula, and what it is good for, dense and convolutional."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pymodel.ir import HostSpec, Task
from pymodel.layers import KAN, ConvSpec, build_kan
from pymodel.quant import Codes, freeze, post_training
from pymodel.settings import QuantizeSettings
from pymodel.train import reestimate, reestimate_folded

X = 4 * torch.rand(300, 16, generator=torch.Generator().manual_seed(0)) - 2
HOST = HostSpec(Task.CLASSIFICATION, tuple(f"f{i}" for i in range(16)), (0.0,) * 16, (1.0,) * 16, ("a", "b", "c"))
FACTS = {"grid": 3, "order": 2, "range": (-2.0, 2.0), "norm": "batch"}


def network(conv: bool) -> KAN:
    """Return a network whose running statistics are off, as after training that moved on."""
    torch.manual_seed(1)
    if conv:
        layers = [ConvSpec(channels=4, kernel=3, padding=1, pool="max"), ConvSpec(channels=3, kernel=2)]
        model = build_kan("kagn", (16, 3), conv=layers, image=(4, 4, 1), **FACTS)  # type: ignore[arg-type]
    else:
        model = build_kan("kagn", (16, 8, 6, 3), **FACTS)  # type: ignore[arg-type]
    for layer in model.kan_layers():
        norm = layer.norm
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            with torch.no_grad():
                norm.weight[0] *= -1.0
            nn.init.normal_(norm.bias, std=0.3)
            nn.init.normal_(norm.running_mean, std=0.5)
            nn.init.uniform_(norm.running_var, 0.2, 3.0)
    return model.eval()


@pytest.mark.parametrize("conv", [False, True], ids=["dense", "conv"])
def test_statistics_become_those_of_the_rows(conv: bool) -> None:
    model = network(conv)
    assert reestimate(model, X)
    assert not model.training
    seen: list[torch.Tensor] = []
    norms = [layer.norm for layer in model.kan_layers() if isinstance(layer.norm, nn.BatchNorm1d)]  # type: ignore[union-attr]
    handles = [norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for norm in norms]
    model(X)
    for handle in handles:
        handle.remove()
    for norm, values in zip(norms, seen, strict=True):
        torch.testing.assert_close(norm.running_mean, values.mean(dim=0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, values.var(dim=0, unbiased=True), rtol=1e-3, atol=1e-6)
    before = [norm.running_mean.clone() for norm in norms]  # type: ignore[union-attr]
    reestimate(model, X)  # once more changes nothing
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms, strict=True))
    assert not reestimate(build_kan("efficient_kan", (16, 3), grid=3, order=2, range=(-2.0, 2.0)), X)


def test_the_folded_form_is_the_norm_with_new_statistics() -> None:
    """`|gamma| (y - m) / sqrt(v + a^2 eps) + beta` of folded sums is what the norm makes of the plain ones."""
    model = network(conv=False)
    reestimate(model, X)
    settings = QuantizeSettings(method="minmax", activations=3, base_weights=3, spline_weights=3, basis=8)
    quantized = post_training(model, settings, X)
    plain = copy.deepcopy(quantized)
    assert reestimate_folded(quantized, model, X)
    first, source = next(quantized.kan_layers()), next(model.kan_layers())
    norm = source.norm
    assert isinstance(norm, nn.BatchNorm1d)
    here = Codes(*first.quantizer.scaled(1))
    u = quantized._first(X)
    before = next(plain.kan_layers())
    with torch.no_grad():
        folded = before(u, here, None).double()
        found = first(u, here, None).double()
    gamma, beta = norm.weight.detach().double(), norm.bias.detach().double()
    slope = gamma / torch.sqrt(norm.running_var.double() + norm.eps)  # type: ignore[union-attr]
    expected = nn.functional.batch_norm(folded / slope, None, None, gamma, beta, training=True, eps=norm.eps)
    ratio = gamma.abs() / torch.sqrt(folded.var(dim=0, unbiased=False) + slope.square() * norm.eps)
    steps = [layer.spline_quantizer.step.double() for layer in (before, first)]  # type: ignore[union-attr]
    torch.testing.assert_close(steps[1], steps[0] * ratio, rtol=1e-5, atol=0.0)
    assert before.bias is not None
    assert first.bias is not None
    torch.testing.assert_close(
        first.bias.double(), ratio * (before.bias.double() - folded.mean(dim=0)) + beta, rtol=1e-4, atol=1e-5
    )
    # Multipliers of few bits round the outputs' scales.
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.05 * float(gamma.abs().max()))
    for one, two in zip(plain.kan_layers(), quantized.kan_layers(), strict=True):  # no level changed
        a, b = one.spline_quantizer, two.spline_quantizer
        assert a is not None
        assert b is not None
        assert torch.equal(a.integers(one.spline_weight), b.integers(two.spline_weight))


@pytest.mark.parametrize("conv", [False, True], ids=["dense", "conv"])
def test_it_brings_a_coarse_network_closer_to_the_float_one(conv: bool) -> None:
    model = network(conv)
    reestimate(model, X)
    wanted = model(X).detach()
    errors = []
    for again in (False, True):
        settings = QuantizeSettings(
            method="minmax", activations=4, base_weights=2, spline_weights=2, granularity="tensor"
        )
        quantized = post_training(model, settings, X)
        if again:
            reestimate_folded(quantized, model, X)
        with torch.no_grad():
            errors.append(float((quantized(X) - wanted).square().mean()))
        frozen = freeze(quantized, name="norms", host=HOST)
        assert frozen.run(frozen.in_type.quantize(X.double().numpy()))
    assert errors[1] < 0.8 * errors[0]
