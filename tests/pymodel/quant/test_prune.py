"""Pruning: importance is what a constant cannot replace, scores compare across layers, removed edges stay away."""

from __future__ import annotations

import pytest
import torch

from pymodel.errors import ConfigError, ModelError
from pymodel.layers import EfficientKAN, EfficientKANLinear, feature_table
from pymodel.quant import PRESETS, QuantKAN, edge_importance, edge_scores, prune_to, quantize_model


@pytest.fixture
def model() -> EfficientKAN:
    torch.manual_seed(0)
    return EfficientKAN([5, 4, 3], grid=4, order=3, range=(-2.0, 2.0))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(500, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["float", "W4A4", "E4A4"])
def any_model(request: pytest.FixtureRequest, model: EfficientKAN, x: torch.Tensor) -> EfficientKAN | QuantKAN:
    if request.param == "float":
        return model
    quantized = quantize_model(model, PRESETS[request.param])
    quantized.calibrate(x)
    return quantized


def edge_outputs(layer: EfficientKANLinear, x: torch.Tensor) -> torch.Tensor:
    """(rows, N, I): every edge's function, by the layer itself with all other edges masked."""
    table = torch.stack(
        [
            feature_table(x[:, i].double(), layer.low, layer.step, layer.grid_size, layer.order)[0]
            for i in range(x.shape[1])
        ],
        dim=1,
    )
    weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1).double().detach()
    return torch.einsum("rif,oif->roi", table, weight)


def test_float_scores_are_shares_of_variation(model: EfficientKAN, x: torch.Tensor) -> None:
    first, second = model.kan_layers()
    hidden = first(x).detach()
    d1 = edge_outputs(first, x).std(dim=0, correction=0)
    d2 = edge_outputs(second, hidden).std(dim=0, correction=0)
    s2 = d2 / d2.square().sum(dim=1, keepdim=True).sqrt()
    s1 = d1 / d1.square().sum(dim=1, keepdim=True).sqrt() * s2.square().sum(dim=0).sqrt()[:, None]
    for got, expected in zip(edge_scores(model, x), (s1, s2), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["W4A4", "E4A4"])
def test_importance_is_the_deviation_over_the_codes_seen(model: EfficientKAN, x: torch.Tensor, name: str) -> None:
    quantized = quantize_model(model, PRESETS[name])
    quantized.calibrate(x)
    layer = next(quantized.kan_layers())
    histogram = quantized.histograms(x)[0]
    table = layer.tables().exact.double()
    weight = torch.cat((layer.base_weight.unsqueeze(-1), layer.spline_weight), dim=-1).double().detach()
    values = torch.einsum("cf,oif->oic", table, weight)
    got = edge_importance(layer, histogram)
    for i in range(5):
        seen = values[:, i].repeat_interleave(histogram[i], dim=1)
        torch.testing.assert_close(got[:, i], seen.std(dim=1, correction=0), rtol=1e-6, atol=1e-9)


def test_a_constant_edge_is_worth_nothing(model: EfficientKAN, x: torch.Tensor) -> None:
    layer = next(model.kan_layers())
    with torch.no_grad():
        layer.base_weight[2, 3] = 0.0
        layer.spline_weight[2, 3] = 5.0  # the bases sum to 1: a constant 5
    inside = x.clamp(-2, 2)
    quantized = quantize_model(model, PRESETS["W8A8"])
    quantized.calibrate(inside)
    importance = edge_importance(next(quantized.kan_layers()), quantized.histograms(inside)[0])
    assert float(importance[2, 3]) < 1e-5
    assert float(importance[2, 2]) > 1e-3
    constant = x.clone()
    constant[:, 1] = 0.3  # and so is every edge of an input that never changes
    assert float(edge_scores(model, constant)[0][:, 1].max()) < 1e-6


def test_keeps_the_number_asked_for_and_never_brings_an_edge_back(any_model, x: torch.Tensor) -> None:
    total = 5 * 4 + 4 * 3
    previous = [torch.ones(4, 5, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool)]
    for keep in (total, 25, 12, 12, 5, 0):
        masks = prune_to(any_model, keep, x)
        assert sum(int(mask.sum()) for mask in masks) <= keep
        assert sum(int(mask.sum()) for mask in masks) == min(keep, sum(int(m.sum()) for m in previous))
        for mask, before, layer in zip(masks, previous, any_model.kan_layers(), strict=True):
            assert not (mask & ~before).any()
            assert torch.equal(mask, layer.mask)
        previous = masks


def test_keeps_the_best_edges(any_model, x: torch.Tensor) -> None:
    scores = torch.cat([score.flatten() for score in edge_scores(any_model, x)])
    masks = torch.cat([mask.flatten() for mask in prune_to(any_model, 10, x)])
    assert float(scores[masks].min()) >= float(scores[~masks].max())


def test_per_layer_counts(any_model, x: torch.Tensor) -> None:
    masks = prune_to(any_model, (7, 4), x)
    assert [int(mask.sum()) for mask in masks] == [7, 4]


def test_edges_into_a_dead_node_go_first(model: EfficientKAN, x: torch.Tensor) -> None:
    first, second = model.kan_layers()
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[:, 2] = False  # nothing leaves hidden node 2
    second.apply_mask(mask)
    assert not edge_scores(model, x)[0][2].any()
    masks = prune_to(model, 20 + 9 - 5, x)
    assert not masks[0][2].any()
    assert bool(masks[0][[0, 1, 3]].all())
    assert first.out_features == 4


@pytest.mark.parametrize("keep", [-1, (3,), (3, -1), (1, 2, 3)])
def test_refuses_impossible_counts(model: EfficientKAN, x: torch.Tensor, keep: object) -> None:
    with pytest.raises(ConfigError, match="edges to keep"):
        prune_to(model, keep, x)


def test_refuses_a_histogram_of_another_layer(model: EfficientKAN, x: torch.Tensor) -> None:
    quantized = quantize_model(model, PRESETS["W4A4"])
    quantized.calibrate(x)
    with pytest.raises(ModelError, match=r"\(5, 16\) was expected, not \(4, 16\)"):
        edge_importance(next(quantized.kan_layers()), quantized.histograms(x)[1])
