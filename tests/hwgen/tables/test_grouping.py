"""Groups add, for every combination of their inputs, what their members add one by one."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.tables._coders import plan_index
from hwgen.tables._edges import Edge, make_edge, merged, output_edges
from hwgen.tables._grouping import group, packed
from pymodel.ir import FixedPoint, IntArray, Interval
from tests.hwgen.tables.designs import coder, edge_table, unsigned


def _edges(seed: int, widths: list[int]) -> list[Edge]:
    """Return random tables of inputs of the given bits."""
    rng = np.random.default_rng(seed)
    edges = []
    for feature, width in enumerate(widths):
        index = plan_index(coder(1, 0, 0, 1 << width), feature, unsigned(width), Interval(0, (1 << width) - 1))
        values = rng.integers(-20, 20, 1 << width) << int(rng.integers(0, 4))
        values[:2] = [-60, 60]
        edge, _ = make_edge((index,), values)
        assert edge is not None
        edges.append(edge)
    return edges


def _added(edges: list[Edge], codes: IntArray) -> IntArray:
    """Return what `edges` add for codes (rows, inputs), each read bit by bit as the Verilog does."""
    total = np.zeros(codes.shape[0], dtype=np.int64)
    for edge in edges:
        selector, position = np.zeros(codes.shape[0], dtype=np.int64), 0
        for index in edge.indices:
            selector |= codes[:, index.feature] << position
            position += index.width
        total += (edge.entries[selector] << edge.zeros) + edge.low
    return total


def _all_codes(widths: list[int]) -> IntArray:
    axes = [np.arange(1 << width) for width in widths]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(widths))


@pytest.mark.parametrize("widths", [[1] * 6, [2, 2, 2], [3, 3], [1, 2, 3], [5, 1], [4]])
def test_a_merged_table_equals_the_sum_of_its_members_for_every_input(widths: list[int]) -> None:
    for seed in range(10):
        edges = _edges(seed, widths)
        table = merged(edges)
        codes = _all_codes(widths)
        assert table.select_width == sum(widths)
        assert np.array_equal(_added([table], codes), _added(edges, codes))
        assert table.entries.min() == 0
        assert np.bitwise_or.reduce(table.entries) & 1, "a common factor is left in"


@pytest.mark.parametrize("seed", range(25))
def test_groups_equal_the_sum_of_all_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = [int(w) for w in rng.integers(1, 8, size=int(rng.integers(1, 20)))]
    edges = _edges(seed, widths)
    codes = np.stack([rng.integers(0, 1 << w, 500) for w in widths], axis=1)
    groups = group(edges)
    assert np.array_equal(_added(groups, codes), _added(edges, codes))
    assert sorted(f for g in groups for f in g.features) == list(range(len(widths)))
    assert all(g.select_width <= 6 or len(g.features) == 1 for g in groups)


def test_full_luts_and_absorbed_ones_alternate() -> None:
    groups = packed(_edges(0, [1] * 22), (6, 5))
    assert [len(members) for members in groups] == [6, 5, 6, 5]
    assert [len(members) for members in packed(_edges(0, [2] * 7), (6,))] == [3, 3, 1]
    assert len(group(_edges(0, [1] * 6))) == 1
    assert [sum(e.select_width for e in members) for members in packed(_edges(0, [7, 1, 5]), (6,))] == [7, 6]


def test_members_of_a_group_have_similar_ranges() -> None:
    edges = _edges(1, [1] * 12)
    scaled = [Edge(e.indices, e.entries << (f % 2 * 6), e.zeros, e.low) for f, e in enumerate(edges)]
    assert {frozenset(f % 2 for f in g.features) for g in group(scaled) if len(g.features) == 6} == {
        frozenset({0}), frozenset({1}),
    }  # fmt: skip


def test_a_sign_stays_in_the_order_of_the_entries() -> None:
    tables = np.array([[[0], [3], [-5], [7]], [[1], [0], [0], [9]]])
    node = edge_table("a", "x", tables, out_type=FixedPoint(6, 6, signed=True), coder=coder(1, 2, 0, 4))
    domain = Interval(-2, 1)
    indices = [plan_index(node.coder, i, FixedPoint(2, 2, signed=True), domain) for i in range(2)]
    edges, constant = output_edges(node, indices, 0)
    table = merged(edges)
    for x in range(-2, 2):
        for z in range(-2, 2):
            entry = int(table.entries[(z & 3) << 2 | (x & 3)])
            assert (entry << table.zeros) + constant == tables[0, x + 2, 0] + tables[1, z + 2, 0]
