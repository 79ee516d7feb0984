"""What a report draws of a network: the edges' functions, the codes, the shares that saturate."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hwgen.flow._network import network_details
from hwgen.report._picture import codes_picture, functions_picture, network_picture
from pymodel.ir import HostSpec, KanIR, Task, to_edge_table
from pymodel.layers import build_kan
from pymodel.lower import lower
from pymodel.quant import freeze, quantize_model
from pymodel.reference import Reference
from pymodel.settings import QuantizeSettings

ROWS = 200


@pytest.fixture(scope="module")
def network() -> tuple[KanIR, Any, dict[str, Any]]:
    import torch

    torch.manual_seed(0)
    model = build_kan("efficient_kan", (3, 4, 2), grid=5, order=3, range=(-2.0, 2.0))
    for layer in model.kan_layers():
        layer.spline_weight.data.mul_(6.0)
    mask = torch.ones(4, 3, dtype=torch.bool)
    mask[1, 2] = False
    next(model.kan_layers()).apply_mask(mask)
    x = torch.randn(ROWS, 3)
    quantized = quantize_model(model, QuantizeSettings(activations=4, base_weights=4, spline_weights=4, basis=6))
    quantized.calibrate(x)
    host = HostSpec(Task.CLASSIFICATION, ("p", "q", "r"), (0.0,) * 3, (1.0,) * 3, ("a", "b"))
    ir = lower(freeze(quantized, name="kan", host=host))
    X = ir.input.out_type.quantize(x.double().numpy())
    return ir, model, Reference(ir).run(X)


def test_steps_are_the_edge_tables_without_their_mean(network: Any) -> None:
    ir, model, values = network
    details = network_details(ir, model, values)
    for node, layer in zip(ir.layers, details, strict=True):
        table = to_edge_table(node, ir.in_type(node))
        assert layer["alive"] == node.n_edges == len(layer["edges"])
        for i, o, _, steps, curve in layer["edges"]:
            real = table.tables[i, :, o] * table.value_lsb * 2.0**-table.shift
            assert np.allclose(steps, real - real.mean(), rtol=1e-3, atol=1e-6)
            assert len(curve) == len(steps)
        codes = node.coders[0].codes(values[node.inputs[0]])
        assert sum(layer["histogram"]) == codes.size
        assert layer["ends"][0] == pytest.approx(float(np.mean(codes == 0)), rel=1e-3)
    assert details[0]["pruned"] == [[2, 1]]


def test_curves_are_the_float_functions(network: Any) -> None:
    import torch

    ir, model, values = network
    layer = next(model.kan_layers())
    points = torch.from_numpy(ir.layers[0].coders[0].representatives.copy()).float()
    for i, o, _, _, curve in network_details(ir, model, values)[0]["edges"]:
        x = torch.zeros(len(points), 3)
        x[:, i] = points
        y = layer(x)[:, o].detach().double().numpy()
        assert np.allclose(curve, y - y.mean(), atol=2e-3)


def test_importance_is_how_far_an_edge_moves_its_output(network: Any) -> None:
    ir, model, values = network
    node = ir.layers[0]
    table = to_edge_table(node, ir.in_type(node))
    codes = table.coder.codes(values["x"])
    for i, o, importance, *_ in network_details(ir, model, values)[0]["edges"]:
        moved = table.tables[i, codes[:, i], o] * table.value_lsb * 2.0**-table.shift
        assert importance == pytest.approx(float(moved.std()), rel=2e-3, abs=1e-9)


def test_saturation_is_counted_where_the_rescale_clips(network: Any) -> None:
    ir, _, values = network
    details = network_details(ir, None, values)
    for node, layer in zip(ir.layers, details, strict=True):
        table = to_edge_table(node, ir.in_type(node))
        codes = table.coder.codes(values[node.inputs[0]])
        total = table.bias + sum(table.tables[i, codes[:, i]] for i in range(node.n_in))
        free = (total + table.half) >> table.shift
        share = float(np.mean((free < node.out_type.min_int) | (free > node.out_type.max_int)))
        assert layer["saturated"] == pytest.approx(share, rel=1e-3)
        assert all(edge[4] == [] for edge in layer["edges"])  # no float network, no curve
    assert details[0]["saturated"] > 0.0


def test_pictures_are_the_same_bytes_and_escape_names(network: Any) -> None:
    ir, model, values = network
    details = json.loads(json.dumps(network_details(ir, model, values)))
    hostile = ["<script>", "$x^2$", "a\n*/b"]
    first, second = (network_picture(details, hostile, ["a", "b"]) for _ in range(2))
    assert first == second
    assert "<script>" not in first
    for index, layer in enumerate(details):
        picture = functions_picture(layer, hostile if index == 0 else ())
        assert picture is not None
        assert "<script>" not in picture
        assert "<svg" in codes_picture(layer)


def test_a_layer_of_many_edges_shows_the_most_important_ones() -> None:
    edges = [[k % 100, k // 100, 1.0 / (k + 1), [0.0, 1.0], []] for k in range(600)]
    layer = {
        "name": "a",
        "inputs": 100,
        "outputs": 50,
        "edges": edges,
        "pruned": [],
        "histogram": [1, 2],
        "low": 0,
        "step": 1,
    }
    picture = functions_picture(layer, ())
    assert picture is not None
    assert len(picture) < 300_000
    assert functions_picture({**layer, "edges": []}, ()) is None
