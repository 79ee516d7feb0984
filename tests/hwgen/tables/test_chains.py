"""Chains of adders: exact on layers of every kind, and as cheap as they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.tables import Passes
from hwgen.tables import _forest as forest
from hwgen.tables._chains import Item, adder_luts, arrange
from hwgen.tables._coders import CoderForm, Index
from hwgen.tables._design import plan_network
from hwgen.tables._edges import make_edge
from hwgen.tables._exchange import Sites, exchange
from hwgen.tables.netlist import Adder, LayerNetlist, Register, Table
from tests.hwgen.tables.networks import random_network, shared_layer
from tests.hwgen.tables.test_netlist import check


def _sums_in_last_cycle(netlist: LayerNetlist) -> int:
    return sum(isinstance(node, Adder) and not node.registered for node in netlist.nodes)


@pytest.mark.parametrize("n_in", [2, 3, 5, 8, 11, 16, 21])
def test_layers_of_chains_equal_the_reference(n_in: int) -> None:
    late = 0
    for seed in range(6):
        ir = shared_layer(seed, n_in, 2 + seed)
        (netlist,), (plain,) = check(ir, Passes(), 200), check(ir, Passes(chains=False), 50)
        assert netlist.latency <= plain.latency
        assert _sums_in_last_cycle(netlist) > 0
        tables = {node.wire.name for node in netlist.nodes if isinstance(node, Table)}
        late += sum(isinstance(node, Register) and node.source in tables for node in netlist.nodes)
    assert n_in < 5 or late > 0


def test_any_network_may_have_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "_SHARED", 0.0)
    found = 0
    for seed in range(60):
        netlists = check(random_network(seed), Passes(), 100)
        found += any(map(_sums_in_last_cycle, netlists))
    assert found > 20


def _items(seed: int, count: int) -> list[Item]:
    rng, items = np.random.default_rng(seed), []
    for feature in range(count):
        index = Index(feature, CoderForm.SLICE, 0, 4, np.arange(16), np.ones(16, dtype=bool), 1, 0)
        edge, _ = make_edge((index,), rng.integers(0, 1 << int(rng.integers(3, 10)), 16))
        assert edge is not None
        items.append(Item.of(edge, 0))
    return items


@pytest.mark.parametrize(
    ("heads", "fused", "depth"), [(8, 8, 5), (7, 9, 5), (5, 0, 4), (3, 2, 4), (9, 3, 6), (1, 3, 3)]
)
def test_chains_hold_every_table_once_and_count_the_adders_they_grow(heads: int, fused: int, depth: int) -> None:
    for seed in range(5):
        items = _items(seed, heads + fused)
        chains = arrange(items[:heads], items[heads:], depth)
        assert chains is not None
        assert sorted(place.item.edge.features for place in chains.places) == [(k,) for k in range(heads + fused)]
        levels = chains.grown()
        assert len(levels) <= depth
        assert len(levels[-1]) == 1
        # A late table gives its lowest bit away afterwards, if it has one.
        late = sum(place.late and place.item.sum[1] == 0 for place in chains.places)
        assert chains.luts() + late >= adder_luts(levels) - 1
        assert levels[-1][0].high == sum(item.edge.span for item in items)


def test_too_many_tables_for_the_levels_make_no_chains() -> None:
    items = _items(0, 16)
    assert arrange(items[:8], items[8:], 4) is None
    assert arrange(items[:8], items[8:], 5) is not None


def test_an_exchange_moves_tables_within_outputs_and_costs_fewer_sites() -> None:
    outputs = [arrange(items[:8], items[8:], 5) for items in (_items(seed, 16) for seed in range(6))]
    chains = [one for one in outputs if one is not None]
    before = Sites(8.0)
    for one in chains:
        for place in one.places:
            before.count(place.item, place.cycle, fused=place.fused)
    held = [{id(place.item) for place in one.places} for one in chains]
    luts, after = sum(one.luts() for one in chains), Sites(8.0)
    exchange(chains, after)
    assert [{id(place.item) for place in one.places} for one in chains] == held
    assert 8 * after.total() + 5 * sum(one.luts() for one in chains) < 8 * before.total() + 5 * luts
    counted = Sites(8.0)
    for one in chains:
        for place in one.places:
            counted.count(place.item, place.cycle, fused=place.fused)
    assert counted.total() == after.total()


def test_the_plan_of_a_layer_does_not_depend_on_when_it_is_made() -> None:
    ir = shared_layer(3, 16, 5)
    first, second = (plan_network(ir, Passes())["a"].tables for _ in range(2))
    assert [t.entries.tolist() for t in first] == [t.entries.tolist() for t in second]
