"""Every option of a family reaches the trained network: moving grids, nodes that multiply, norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pymodel.data import load
from pymodel.errors import ModelError
from pymodel.ir import NodeKind
from pymodel.layers import FastKAN, PyKAN, PyKANLinear
from pymodel.lower import lower
from pymodel.reference import Reference
from pymodel.settings import ConvSettings, DataSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings
from pymodel.train import train
from pymodel.train._grids import GridUpdates

CONV = ModelSettings(
    (64, 10), "kagn", norm="batch", image=(8, 8, 1), conv=(ConvSettings(6, stride=2, padding=1, pool="max"),)
)
K, P, N = NodeKind.KAN_LINEAR, NodeKind.PRODUCT, NodeKind.NORM


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        (ModelSettings((2, 3, 2), "pykan", multiplication=(1, 0), grid_per_input=True), [K, P, K]),
        (ModelSettings((2, 3, 2), "pykan", multiplication=1, arity=3), [K, P, K]),
        (ModelSettings((2, 3, 2), "fast_kan", layernorm=True), [N, K, N, K]),
    ],
    ids=["grids", "arity", "norm"],
)
def test_options_become_nodes(model: ModelSettings, kinds: list[NodeKind]) -> None:
    data = load(DataSettings("moons"), model.range)
    settings = TrainSettings(
        epochs=5, qat_epochs=2, learning_rate=0.02, prune=PruneSettings(fraction=0.1), threads=1, batch_size=32
    )
    result = train(data, model, QuantizeSettings(), settings)
    ir = lower(result.frozen)
    assert [node.kind for node in ir.nodes[1:]] == kinds
    total = sum(layer.mask.numel() for layer in result.quantized.kan_layers())
    assert total == sum(model.edges)
    assert sum(int(layer.mask.sum()) for layer in result.quantized.kan_layers()) < total
    X = ir.input.out_type.quantize(data.host.prepare(data.x_test))
    expected = Reference(ir).run(X)
    assert all(np.array_equal(values, expected[name]) for name, values in result.frozen.run(X).items())
    assert result.metrics["accuracy"]["quantized"] > 0.75
    for layer in result.float_model.kan_layers():
        if isinstance(layer, PyKANLinear):
            assert (layer.functions.n_tables > 1) == model.grid_per_input


@pytest.mark.parametrize(
    ("source", "model", "method"),
    [
        ("moons", ModelSettings((2, 3, 2), "pykan", multiplication=1), "gptq"),
        ("moons", ModelSettings((2, 4, 2), "fast_kan", layernorm=True), "awq"),
        ("digits", CONV, "gptq"),
        ("digits", CONV, "hawq_v2"),
    ],
    ids=["products", "norm", "conv", "conv bits"],
)
def test_methods_after_training_take_every_kind_of_layer(source: str, model: ModelSettings, method: str) -> None:
    data = load(DataSettings(source), model.range)
    settings = TrainSettings(epochs=4, qat_epochs=0, learning_rate=0.02, threads=1, batch_size=64)
    quantize = QuantizeSettings(method=method, activations=6, base_weights=5, spline_weights=5)
    result = train(data, model, quantize, settings)
    ir = lower(result.frozen)
    X = ir.input.out_type.quantize(data.host.prepare(data.x_test))
    expected = Reference(ir).run(X)
    assert all(np.array_equal(values, expected[name]) for name, values in result.frozen.run(X).items())
    accuracy = result.metrics["accuracy"]
    assert accuracy["quantized"] > accuracy["float"] - 0.03 > 0.5


def test_grids_move_a_few_times_and_then_stay() -> None:
    torch.manual_seed(0)
    model = PyKAN([2, 1], range=(-2, 2))
    follow = GridUpdates(model, torch.randn(50, 2))
    layer = next(model.kan_layers())
    moved = []
    for progress in np.linspace(0, 1, 41):
        before = layer.spline_weight.detach().clone()
        follow.step(float(progress))
        moved.append(not torch.equal(before, layer.spline_weight))
        follow.rows = torch.randn(50, 2)
    assert sum(moved) == 5
    assert not any(moved[16:])
    with pytest.raises(ModelError, match="only the grids of a PyKAN follow the data"):
        GridUpdates(FastKAN([2, 1]), torch.randn(50, 2))
