"""The netlist model equals the reference, for every pass, and refuses circuits that contradict themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hwgen.tables import Passes
from hwgen.tables._design import plan_network
from hwgen.tables._lower import lower
from hwgen.tables._split import MAX_CARRIES, split
from hwgen.tables.netlist import (
    Adder,
    LayerNetlist,
    NetlistError,
    NetNode,
    Operand,
    Register,
    Table,
    Wire,
    evaluate,
    stages,
)
from pymodel.errors import ConfigError
from pymodel.ir import Interval, KanIR
from pymodel.reference import Reference
from tests.hwgen.tables.designs import coder, edge_table, program, tiny, unsigned
from tests.hwgen.tables.networks import random_network
from tests.hwgen.tables.test_grouping import _edges
from tests.strategies import corner_inputs, random_inputs

PASSES = (
    Passes(),
    Passes(levels_per_stage=2),
    Passes.none(),
    Passes.standard(),
    Passes(residuals=False),
    Passes(grouping=False, ternary=0),
    Passes(folding=False, split_clip=False),
    Passes(levels_per_stage=3, ternary=2),
    Passes(chains=False),
)


def check(ir: KanIR, passes: Passes, rows: int, seed: int = 0) -> list[LayerNetlist]:
    """Compare every layer's circuit with the reference on random and corner inputs, and return the circuits."""
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, rows, np.random.default_rng(seed))])
    expected = Reference(ir).run(X)
    netlists = []
    for name, plan in plan_network(ir, passes).items():
        netlist = lower(plan)
        stages(netlist)
        assert np.array_equal(evaluate(netlist, expected[plan.node.inputs[0]]), expected[name]), name
        netlists.append(netlist)
    return netlists


def _counts(netlists: list[LayerNetlist]) -> Counter[str]:
    found: Counter[str] = Counter()
    for netlist in netlists:
        for node in netlist.nodes:
            found[type(node).__name__] += 1
            if isinstance(node, Adder):
                found["fused"] += node.fused
                found["carry"] += node.carry is not None
                found["ternary"] += len(node.operands) == 3
                found["unregistered"] += not node.registered
            if isinstance(node, Table):
                found["slices"] += len(node.selector) > 1
                found["looked up"] += node.wire.name.startswith("f")
    return found


@pytest.mark.parametrize("chunk", range(4))
def test_random_networks_equal_the_reference(chunk: int) -> None:
    found: Counter[str] = Counter()
    for seed in range(chunk, 80, 4):
        found += _counts(check(random_network(seed), PASSES[seed // 4 % len(PASSES)], 150))
    missing = {"Clip", "Register", "Shift", "Table", "fused", "ternary", "unregistered", "slices"} - set(found)
    assert not missing


def test_every_technique_is_used() -> None:
    found = sum((_counts(check(random_network(seed), Passes(), 50)) for seed in range(40)), Counter())
    assert min(found[name] for name in ("fused", "carry", "looked up")) > 0


def test_six_one_bit_inputs_and_a_threshold_are_one_lookup_table_and_a_register() -> None:
    rng = np.random.default_rng(3)
    tables = np.zeros((18, 2, 3), dtype=np.int64)
    for output in range(3):
        tables[6 * output : 6 * output + 6, 1, output] = rng.choice([-9, -5, 4, 7], 6)
    node = edge_table("h", "x", tables, out_type=unsigned(1), coder=coder(1, 0, 0, 2), bias=[3, 0, -4], shift=3)
    (netlist,) = check(program(unsigned(1), node), Passes(), 500)
    assert _counts([netlist])["Table"] == 3
    assert all(t.select_width == 6 and t.wire.width == 1 for t in netlist.nodes if isinstance(t, Table))
    assert not any(isinstance(n, Adder) for n in netlist.nodes)
    assert netlist.latency == 1


@pytest.mark.parametrize("widths", [[6], [1, 5], [2, 2, 2], [7], [3, 3]])
def test_a_split_table_and_its_carries_add_what_the_table_does(widths: list[int]) -> None:
    rng = np.random.default_rng(len(widths))
    for seed in range(20):
        edge = max(_edges(seed, [sum(widths)]), key=lambda e: e.select_width)
        smooth = np.abs(np.cumsum(rng.integers(-1, 2, edge.entries.size)))
        found = split(replace(edge, entries=smooth), 5)
        if found is None:
            continue
        assert len(found.carries) <= MAX_CARRIES
        codes = np.arange(smooth.size)

        def value(part: object, codes: np.ndarray = codes) -> np.ndarray:
            selector, position = np.zeros_like(codes), 0
            for piece in part.selector:  # type: ignore[attr-defined]
                selector |= ((codes >> piece.low) & ((1 << piece.width) - 1)) << position
                position += piece.width
            return part.entries[selector]  # type: ignore[attr-defined,no-any-return]

        assert np.array_equal(value(found.base) + sum(map(value, found.carries)), smooth)


def test_an_entry_a_delay_and_a_width_that_are_wrong_are_found() -> None:
    ir = tiny()
    plan = plan_network(ir, Passes.none())["case"]
    netlist = lower(plan)
    X = random_inputs(ir, 500, np.random.default_rng(0))
    expected = evaluate(netlist, X)
    position, table = next((i, n) for i, n in enumerate(netlist.nodes) if isinstance(n, Table))

    def changed(node: NetNode) -> LayerNetlist:
        return replace(netlist, nodes=(*netlist.nodes[:position], node, *netlist.nodes[position + 1 :]))

    entries = table.entries.copy()
    entries[0] = entries[1]
    assert not np.array_equal(evaluate(changed(replace(table, entries=entries)), X), expected)
    with pytest.raises(NetlistError, match="outside"):
        evaluate(changed(replace(table, wire=Wire(table.wire.name, Interval(0, 0)))), X)
    late = Register(Wire("late", table.wire.interval), table.wire.name)
    place = next(i for i, n in enumerate(netlist.nodes) if isinstance(n, Adder))
    adder = netlist.nodes[place]
    assert isinstance(adder, Adder)
    wrong = replace(adder, operands=(Operand("late", 0), *adder.operands[1:]))
    with pytest.raises(NetlistError, match="different cycles"):
        stages(replace(netlist, nodes=(*netlist.nodes[:place], late, wrong, *netlist.nodes[place + 1 :])))
    with pytest.raises(NetlistError, match="nothing drives"):
        stages(replace(netlist, nodes=netlist.nodes[1:]))
    with pytest.raises(NetlistError, match="cycles late"):
        stages(replace(netlist, latency=netlist.latency + 1))
    with pytest.raises(NetlistError, match="driven twice"):
        stages(replace(netlist, nodes=(*netlist.nodes, netlist.nodes[-1])))


def _dense(seed: int) -> KanIR:
    """Return 16 inputs of 4 bits to 4 outputs, no table of which is narrow."""
    tables = np.random.default_rng(seed).integers(-300, 300, (16, 16, 4))
    node = edge_table("a", "x", tables, out_type=unsigned(4), coder=coder(1, 0, 0, 16), bias=[700] * 4, shift=8)
    return program(unsigned(4), node)


def test_fused_and_plain_tables_of_a_code_are_kept_even() -> None:
    passes = Passes(residuals=False, chains=False)
    (plan,) = plan_network(_dense(0), passes).values()
    (netlist,) = check(_dense(0), passes, 300)
    fused = {n.operands[1].wire for n in netlist.nodes if isinstance(n, Adder) and n.fused}
    assert len(fused) == 4 * 8
    for feature in range(16):
        tables = [t for t in plan.tables if t.features == (feature,)]
        assert sum(t.name in fused for t in tables) in (1, 2, 3)


def test_lowest_bits_of_two_tables_are_carries_elsewhere() -> None:
    passes = Passes(chains=False)
    (plan,) = plan_network(_dense(1), passes).values()
    (netlist,) = check(_dense(1), passes, 300)
    kinds = Counter(kind for table in plan.tables for *_, kind in table.uses)
    assert kinds["carry"] == kinds["base"] == 4 * 8
    carries = [n.carry for n in netlist.nodes if isinstance(n, Adder) and n.carry is not None]
    assert len(carries) == 4 * 8
    assert {n.wire.width for n in netlist.nodes if isinstance(n, Table) and n.wire.name in carries} == {1}


def test_more_levels_between_registers_shorten_the_pipeline() -> None:
    rng = np.random.default_rng(1)
    node = edge_table(
        "a", "x", rng.integers(-90, 90, (24, 16, 2)), out_type=unsigned(8), coder=coder(1, 0, 0, 16), shift=3
    )
    ir = program(unsigned(4), node)
    latencies = [check(ir, Passes(levels_per_stage=n), 200)[0].latency for n in (1, 2, 3, 4)]
    assert latencies == [5, 3, 2, 2]


def test_passes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="levels_per_stage"):
        Passes(levels_per_stage=0)
    with pytest.raises(ConfigError, match="ternary"):
        Passes(ternary=-1)
