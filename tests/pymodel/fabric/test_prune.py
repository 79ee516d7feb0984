"""Budgets: inputs per node, edges, LUTs; and the rule of thumb behind the last."""

from __future__ import annotations

import pytest
import torch

from pymodel.errors import ConfigError
from pymodel.fabric import TableKAN, TablePruner, edge_luts, make_table_kan, model_luts, table_scores
from pymodel.settings import ModelSettings, PruneSettings, QuantizeSettings


def model(fan_in: int | None = 6, bits: tuple[int, ...] = (1, 1)) -> TableKAN:
    torch.manual_seed(2)
    return make_table_kan(
        ModelSettings((30, 40, 5), family="table", fan_in=fan_in),
        QuantizeSettings(layer_activations=bits, layer_edges=(8, 3)),
        binary=False,
    )


X = torch.randn(200, 30, generator=torch.Generator().manual_seed(1))


def test_fan_in_alone() -> None:
    net = model()
    pruner = TablePruner(net, None, X)
    assert pruner.needed
    for progress in (0.0, 0.2, 0.4, 0.7, 1.0):
        pruner.step(progress)
    first, last = net.kan_layers()
    assert (first.mask.sum(1) == 6).all()
    assert last.mask.all()
    assert not TablePruner(model(None), None, X).needed


def test_edges_go_gradually_and_dead_nodes_with_them() -> None:
    net = model()
    pruner = TablePruner(net, PruneSettings(edges=30, start=0.0, end=0.5), X)
    left = []
    for progress in (0.1, 0.2, 0.3, 0.4, 0.5):
        pruner.step(progress)
        left.append(int(list(net.kan_layers())[1].mask.sum()))
    assert left == sorted(left, reverse=True)
    assert left[0] > left[-1] == 30
    assert pruner.done(0.51)
    first, last = net.kan_layers()
    assert torch.equal(first.mask.any(1), last.mask.any(0))


@pytest.mark.parametrize(("fan_in", "bits"), [(6, (1, 1)), (None, (1, 1)), (None, (3, 2)), (2, (3, 1))])
@pytest.mark.parametrize("luts", [20, 60])
def test_a_lut_budget_is_met_and_used(fan_in: int | None, bits: tuple[int, ...], luts: int) -> None:
    net = model(fan_in, bits)
    full = model_luts(net)
    TablePruner(net, PruneSettings(luts=luts), X).finish()
    assert 0.7 * luts < model_luts(net) <= luts < full


def test_layers_count_those_without_fan_in() -> None:
    net = model()
    TablePruner(net, PruneSettings(layers=(25,)), X).finish()
    assert int(list(net.kan_layers())[1].mask.sum()) == 25
    with pytest.raises(ConfigError, match="has 2 numbers, but 1 layers have no fan_in"):
        TablePruner(model(), PruneSettings(layers=(25, 3)), X)
    with pytest.raises(ConfigError, match="but the model has 200 edges"):
        TablePruner(model(), PruneSettings(edges=201), X)
    with pytest.raises(ConfigError, match="leaves no edge in the last layer"):
        TablePruner(model(), PruneSettings(luts=1), X).finish()


def test_constant_inputs_score_nothing() -> None:
    net = model(None)
    x = X.clone()
    x[:, 3] = 0.5
    scores = table_scores(net, x)
    assert float(scores[0][:, 3].abs().max()) == 0.0
    assert float(scores[0][:, 4].min()) > 0.0
    assert torch.allclose(scores[0].sum(1), scores[1].sum(0))  # a node passes on what it is worth


def test_more_bits_cost_more() -> None:
    costs = [edge_luts(bits, 4) for bits in (1, 2, 3, 4, 6, 7, 8)]
    assert costs == sorted(costs)
    assert edge_luts(1, 3) < edge_luts(1, 5)


def test_the_estimate_leaves_dead_nodes_out() -> None:
    net = model()
    TablePruner(net, None, X).finish()
    first, last = net.kan_layers()
    before = model_luts(net)
    mask = last.mask.clone()
    mask[:, 0] = False
    last.apply_mask(mask)
    assert model_luts(net) == pytest.approx(before - 1 - 5 * edge_luts(1, 3))
    assert int(first.mask[0].sum()) == 6
