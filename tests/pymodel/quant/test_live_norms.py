"""Batch normalisation kept in QAT: what folds at the end is what was trained, level for level, and the integers are exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from pymodel.errors import ConfigError, DataError, ModelError
from pymodel.ir import HostSpec, Task
from pymodel.layers import ConvSpec, build_kan
from pymodel.quant import Codes, LiveNorms, freeze, quantize_model
from pymodel.quant._ste import codes_of
from pymodel.settings import QuantizeSettings

FEATURES = 36
HOST = HostSpec(
    Task.CLASSIFICATION, tuple(f"f{i}" for i in range(FEATURES)), (0.0,) * FEATURES, (1.0,) * FEATURES, tuple("abc")
)
SETTINGS = QuantizeSettings(
    activations=3, first_activations=6, base_weights=3, spline_weights=3, basis=8, granularity="channel"
)
CONV = (ConvSpec(4, 3, 1, 1, pool="max"), ConvSpec(6, 2, 1, 1, groups=2, pool="average"))


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose class is the third of the image that is brightest."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (120,), generator=generator)
    x = torch.rand(120, 6, 6, generator=generator) * 2 - 2
    for k in range(3):
        x[y == k, 2 * k : 2 * k + 2] += 1.2
    return x.flatten(1).double(), y


def network(family: str, conv: tuple[ConvSpec, ...] = CONV):
    """Return a float network in float64, trained a little; one factor of its first norm is negative."""
    torch.manual_seed(1)
    x, y = rows()
    model = build_kan(
        family, (FEATURES, *(() if conv else (5,)), 3), grid=4, order=3, range=(-2, 2), norm="batch", conv=conv,
        image=(6, 6, 1) if conv else None,
    ).double()  # fmt: skip
    first = next(model.kan_layers()).norm
    first.weight.data[1] = -0.7
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(8):
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model.eval()


def live(family: str, conv: tuple[ConvSpec, ...] = CONV, steps: int = 4) -> tuple[LiveNorms, list[float]]:
    """Return a calibrated network with live norms, trained for some steps, and its losses."""
    model, (x, y) = network(family, conv), rows()
    result = LiveNorms(quantize_model(model, SETTINGS), model).double()
    result.calibrate(x)
    optimiser = torch.optim.Adam(result.parameter_groups(0.0), 0.01)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = functional.cross_entropy(result(x), y)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return result, losses


def levels(quantized) -> list[np.ndarray]:
    return [
        q.integers(w).abs().numpy()
        for layer in quantized.kan_layers()
        for q, w in zip((layer.base_quantizer, layer.spline_quantizer), layer.masked_weights(), strict=True)
    ]


def normed_as_folded(before: LiveNorms, after: LiveNorms, index: int, u: torch.Tensor, here: Codes) -> bool:
    bias = list(after.quantized.kan_layers())[index].bias
    return torch.allclose(before._normed(index, u, here), after.sums(index, u, here) + bias, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "conv"),
    [("efficient_kan", CONV), ("fast_kan", CONV), ("kagn", CONV), ("kagn", ())],
    ids=["efficient_kan", "fast_kan", "kagn", "kagn-dense"],
)
def test_folding_changes_no_level_and_keeps_every_sum(family, conv):
    network_in_training, losses = live(family, conv)
    assert losses[-1] < losses[0]
    x, _ = rows()
    before = copy.deepcopy(network_in_training)
    quantized = network_in_training.fold(x, rows=50)
    for old, new in zip(levels(before.quantized), levels(quantized), strict=True):
        assert np.array_equal(old, new)
    # Each layer on the same inputs: sums in training, normalised over all rows, and sums of the folded weights.
    u = quantized._first(x)
    codes = quantized.codes()
    layers = list(quantized.kan_layers())
    for index, (here, after) in enumerate(zip(codes, [*codes[1:], None], strict=True)):
        with torch.no_grad():
            if index in before.epsilons:
                assert normed_as_folded(before, network_in_training, index, u, here)
            else:
                assert torch.equal(before.plain(index, u, here, after), layers[index](u, here, after))
            u = layers[index](u, here, after)


def test_frozen_integers_are_those_of_the_folded_network():
    quantized = live("kagn")[0].fold(rows()[0])
    x, _ = rows()
    frozen = freeze(quantized, name="live", host=HOST)
    nodes = frozen.run(frozen.in_type.quantize(x.numpy()))
    u = quantized._first(x)
    codes = quantized.codes()
    layers = list(quantized.kan_layers())
    for name, layer, here, after in zip(("layers_1", "layers_3"), layers, codes, codes[1:], strict=False):
        u = layer(u, here, after)
        found = codes_of(u, 8).numpy()
        assert np.array_equal(found, nodes[name])


def test_a_constant_channel_does_not_take_the_multipliers_bits():
    network_in_training, _ = live("efficient_kan", steps=0)
    layer = next(network_in_training.quantized.kan_layers())
    with torch.no_grad():
        layer.base_weight[2] = 0.0
        layer.spline_weight[2] = 0.0
    steps = layer.base_quantizer.step.detach().clone()
    quantized = network_in_training.fold(rows()[0])
    folded = next(quantized.kan_layers())
    gamma = network_in_training.gammas["0"].detach()
    assert torch.allclose(folded.base_quantizer.step[2], steps[2] * gamma[2], rtol=1e-12)
    assert torch.equal(folded.bias[2], network_in_training.betas["0"][2])


def test_a_wrong_factor_is_seen():
    """The comparison of the first test fails if one step is off by a millionth."""
    network_in_training, _ = live("fast_kan")
    x, _ = rows()
    before = copy.deepcopy(network_in_training)
    quantized = network_in_training.fold(x)
    layer, here = next(quantized.kan_layers()), Codes(*next(quantized.kan_layers()).quantizer.scaled(1))
    with torch.no_grad():
        u = quantized._first(x)
        assert normed_as_folded(before, network_in_training, 0, u, here)
        layer.spline_quantizer.log_step[0] += 1e-6
        layer.spline_weight[0] *= 1 + 1e-6
        assert not normed_as_folded(before, network_in_training, 0, u, here)


def test_biases_in_front_of_a_norm_are_not_trained():
    network_in_training, _ = live("fast_kan", steps=1)
    trained = {id(p) for group in network_in_training.parameter_groups(0.0) for p in group["params"]}
    layers = list(network_in_training.quantized.kan_layers())
    assert [id(layer.bias) in trained for layer in layers] == [False, False, True]
    assert len(trained) == sum(1 for _ in network_in_training.parameters()) - 2


def test_what_cannot_fold_is_refused():
    model = network("efficient_kan")
    with pytest.raises(ConfigError, match="step per output"):
        LiveNorms(quantize_model(model, QuantizeSettings()), model)
    with pytest.raises(ConfigError, match="method lsq"):
        LiveNorms(quantize_model(model, QuantizeSettings(method="dorefa", granularity="channel")), model)
    plain = build_kan("efficient_kan", (4, 2), grid=4, order=3, range=(-2, 2))
    with pytest.raises(ModelError, match="no layer"):
        LiveNorms(quantize_model(plain, SETTINGS), plain)
    with pytest.raises(DataError, match="rows of 36 features"):
        LiveNorms(quantize_model(model, SETTINGS), model)(torch.zeros(2, 35))
