"""Quantized convolutions: torch (frozen) == numba for every family, method and form; QAT computes what is frozen."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from pymodel.ir import HostSpec, KanConv, Pool, Task, expand, to_edge_tables
from pymodel.layers import ConvSpec, EfficientKANConv2d, FrozenKAN, build_kan
from pymodel.lower import lower
from pymodel.quant import freeze, prune_to, quantize_model
from pymodel.quant._conv import QuantKANConv, average_constants
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings
from tests.conformance import assert_same
from tests.spatial import conv_oracle, pool_oracle
from tests.strategies import corner_inputs, random_inputs

FEATURES = 36
HOST = HostSpec(
    Task.CLASSIFICATION, tuple(f"f{i}" for i in range(FEATURES)), (0.0,) * FEATURES, (1.0,) * FEATURES, tuple("abc")
)
CONVS = {
    "max": (ConvSpec(4, 3, 1, 1, pool="max"), ConvSpec(6, 2, 1, 1, groups=2)),
    "average": (ConvSpec(3, (2, 3), (1, 2), (0, 1), pool="average", pool_size=(2, 3)), ConvSpec(2, 1)),
    "last": (ConvSpec(5, 3, 2, 1), ConvSpec(4, 2, pool="average")),
}


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose class is the third of the image that is brightest."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (240,), generator=generator)
    x = torch.rand(240, 6, 6, generator=generator) * 2 - 2
    for k in range(3):
        x[y == k, 2 * k : 2 * k + 2] += 1.2
    return x.flatten(1), y


def trained(family: str, conv: str, settings: QuantizeSettings, *, float_steps=12, steps=6):
    """Return a float network and the quantized one, each trained a little, with the losses of the latter."""
    torch.manual_seed(1)
    x, y = data()
    norm = "batch" if conv != "max" or family == "kagn" else "none"
    model = build_kan(
        family, (FEATURES, 3), grid=4, order=3, range=(-2, 2), norm=norm, conv=CONVS[conv], image=(6, 6, 1)
    )
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(float_steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    model.eval()
    quantized = quantize_model(model, settings)
    quantized.calibrate(x)
    optimiser = torch.optim.Adam(quantized.parameter_groups(0.0), 0.005)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = functional.cross_entropy(quantized(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, quantized, losses


def inputs(ir, rows=150):
    return np.concatenate([corner_inputs(ir), random_inputs(ir, rows, np.random.default_rng(0))])


SETTINGS = {
    "4 bits": QuantizeSettings(),
    "2 bits": QuantizeSettings(activations=2, base_weights=2, spline_weights=2, basis=4),
    "8 bits, arithmetic": QuantizeSettings(
        activations=8, base_weights=8, spline_weights=8, basis=8, implementation="arith"
    ),
    "tables": QuantizeSettings(edge=6),
    "channels": QuantizeSettings(granularity="channel"),
    "dorefa": QuantizeSettings(method="dorefa"),
    "dsq": QuantizeSettings(method="dsq"),
    "lsq_plus": QuantizeSettings(method="lsq_plus"),
}


@pytest.mark.parametrize("family", ["efficient_kan", "fast_kan", "kagn"])
@pytest.mark.parametrize("name", SETTINGS)
def test_exact(family: str, name: str) -> None:
    conv = list(CONVS)[(len(family) + len(name)) % 3]
    _, quantized, _ = trained(family, conv, SETTINGS[name], float_steps=5, steps=3)
    frozen = freeze(quantized, name="net", host=HOST)
    ir = lower(frozen)
    X = inputs(ir)
    expected = Reference(ir).run(X)
    assert_same(expected, frozen.run(X))
    # The model in training computes the same codes; its outputs are not rounded, nor are their multipliers.
    x = torch.from_numpy(ir.input.out_type.to_real(X)).float()
    with torch.no_grad():
        y = quantized(x).double().numpy()
    last = ir.node(ir.output)
    error = y - (last.value_offset + last.value_lsb * expected[ir.output])
    assert np.abs(error).max() <= last.value_lsb


@pytest.mark.parametrize("conv", CONVS)
def test_nodes_and_their_dense_form(conv: str) -> None:
    _, quantized, _ = trained("kagn", conv, QuantizeSettings(), float_steps=3, steps=1)
    ir = lower(freeze(quantized, name="net", host=HOST))
    X = inputs(ir, 20)
    values = Reference(ir).run(X)
    for node in ir.nodes[1:]:
        if isinstance(node, KanConv):
            assert np.array_equal(values[node.name][:8], conv_oracle(node, values[node.inputs[0]][:8]))
        elif isinstance(node, Pool):
            assert np.array_equal(values[node.name], pool_oracle(node, values[node.inputs[0]]))
    tables = to_edge_tables(ir)
    assert_same(values, FrozenKAN.from_ir(tables).run(X))
    if conv != "max":
        assert_same(values, Reference(expand(ir, tables=True)).run(X))


@pytest.mark.parametrize(("family", "edge"), [("efficient_kan", None), ("fast_kan", 5), ("kagn", None)])
def test_training_learns(family: str, edge: int | None) -> None:
    x, y = data()
    settings = QuantizeSettings(activations=3, base_weights=3, spline_weights=3, edge=edge)
    _, quantized, losses = trained(family, "max", settings, float_steps=30, steps=15)
    assert losses[-1] < losses[0]
    accuracy = (quantized(x).argmax(dim=1) == y).double().mean()
    assert accuracy > 0.8
    for name, parameter in quantized.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    weight = next(quantized.kan_layers()).spline_weight.grad
    assert weight.abs().sum() > 0


def test_sabotage_is_seen() -> None:
    _, quantized, _ = trained("kagn", "average", QuantizeSettings(), float_steps=3, steps=1)
    frozen = freeze(quantized, name="net", host=HOST)
    ir = lower(frozen)
    X = inputs(ir)
    expected = Reference(ir).run(X)
    for change in ("weights", "padding", "pool"):
        wrong = copy.deepcopy(frozen)
        conv, pool = wrong.layers[0], wrong.layers[1]
        if change == "weights":
            conv.groups[0].spline_weights[0, 0] += 1
        elif change == "padding":
            conv.groups[0].bias[:] += 1 << conv.groups[0].shift
        else:
            pool.mult += pool.mult // 4
        with pytest.raises(pytest.fail.Exception):
            assert_same(expected, wrong.run(X))


def test_averages() -> None:
    """The average of codes of 8 bits is off by little more than half a code, and exact where all codes are one."""
    for pixels in range(1, 65):
        mult, shift = average_constants(pixels)
        code = np.arange(256)
        same = (code * pixels * mult + (1 << shift >> 1)) >> shift
        assert np.array_equal(same, code)
        sums = np.arange(pixels * 255 + 1)
        got = (sums * mult + (1 << shift >> 1)) >> shift
        assert np.abs(got - sums / pixels).max() < 0.54


def test_histograms_count_pixels() -> None:
    torch.manual_seed(0)
    layer = EfficientKANConv2d(2, 4, (1, 2), size=(2, 3), groups=2)
    net = build_kan(
        "efficient_kan", (12, 2), grid=3, order=2, range=(-1, 1), conv=[ConvSpec(4, (1, 2), groups=2)], image=(2, 3, 2)
    )
    quantized = quantize_model(net, QuantizeSettings(activations=2))
    first = next(quantized.kan_layers())
    assert isinstance(first, QuantKANConv)
    assert first.in_features == layer.in_features == 2
    u = torch.tensor([[0.0, 1.0, 0.0, 3.0, 2.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    counts = first.histogram(u)
    assert counts.tolist() == [[8, 1, 1, 2]] * 2


def test_pruning() -> None:
    """Edges of all layers are ranked together; what goes is 0 in the frozen model."""
    conv = [ConvSpec(4, 3, 1, 1, pool="max"), ConvSpec(3, 2)]
    torch.manual_seed(0)
    x, _ = data()
    model = build_kan("kagn", (FEATURES, 3), grid=4, order=2, range=(-2, 2), norm="batch", conv=conv, image=(6, 6, 1))
    model.eval()
    masks = prune_to(model, 60, x)
    assert [mask.shape for mask in masks] == [(4, 9), (3, 16), (3, 12)]
    assert sum(int(mask.sum()) for mask in masks) == 60
    quantized = quantize_model(model, QuantizeSettings())
    quantized.calibrate(x)
    prune_to(quantized, 40, x)
    ir = lower(freeze(quantized, name="net", host=HOST))
    assert ir.n_edges <= 40
    X = inputs(ir, 20)
    assert_same(Reference(ir).run(X), FrozenKAN.from_ir(ir).run(X))
