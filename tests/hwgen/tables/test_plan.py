from __future__ import annotations

import numpy as np
import pytest

from hwgen.tables import Passes
from hwgen.tables._lower import lower
from hwgen.tables._plan import LayerPlan, plan_layer
from hwgen.tables.netlist import bits, emit_layer
from pymodel.ir import EdgeTable, FixedPoint, IntArray, Interval
from tests.hwgen.tables.designs import coder, edge_table, tiny, unsigned
from tests.strategies import random_ir

_SIGNED = FixedPoint(12, 12, signed=True)


def _plan(
    tables: list[list[list[int]]],
    *,
    shift: int = 0,
    bias: list[int] | None = None,
    domain: Interval | None = None,
    passes: Passes | None = None,
) -> LayerPlan:
    """Return the plan for tables[i][o][c], read by 2-bit codes; the plain circuit unless told."""
    array = np.array(tables, dtype=np.int64).transpose(0, 2, 1)
    node = edge_table("l", "x", array, out_type=_SIGNED, coder=coder(1, 0, 0, 4), bias=bias, shift=shift)
    return plan_layer(node, unsigned(2), (domain or Interval(0, 3),) * array.shape[0], passes or Passes.none())


@pytest.mark.parametrize(
    ("low", "high", "width"), [(0, 0, 1), (0, 1, 1), (0, 7, 3), (5, 8, 4), (-1, 0, 1), (-1, 1, 2), (-8, 7, 4)]
)
def test_width_of_an_interval(low: int, high: int, width: int) -> None:
    assert bits(Interval(low, high)) == width


def test_dead_and_constant_tables_are_not_built() -> None:
    plan = _plan([[[0, 0, 0, 0]], [[7, 7, 7, 7]], [[1, 2, 3, 4]]], bias=[-8])
    assert [table.features for table in plan.tables] == [(2,)]
    assert [index.feature for index in plan.indices] == [2]
    assert plan.tables[0].entries.tolist() == [0, 1, 2, 3]  # 7 - 8 + 1 = 0 is what is left of the constant
    assert plan.intervals == (Interval(0, 3),)


def test_an_output_without_tables_is_constant() -> None:
    plan = _plan([[[0, 0, 0, 0], [1, 0, 0, 0]]], bias=[7, 0], shift=1)
    assert plan.outputs[0].total is None
    assert plan.intervals[0] == Interval(4, 4)  # (7 + 1) >> 1


def test_minimum_and_trailing_zeros_are_dropped() -> None:
    plan = _plan([[[-16, 0, 32, 64]], [[-3, 5, 4, 0]]])
    first, second = plan.tables
    assert first.entries.tolist() == [0, 1, 3, 5]
    assert first.width == 3
    assert first.uses == [(0, 4, -16, "whole")]
    # The constant -16 - 3 goes into the table that it widens least.
    assert second.entries.tolist() == [-19, -11, -12, -16]
    assert second.uses == [(0, 0, 16, "whole")]
    assert plan.intervals == (Interval(-19, 69),)


def test_zeros_that_all_terms_share_are_dropped_from_the_constant_too() -> None:
    plan = _plan([[[0, 8, 16, 24]], [[0, 16, 8, 0]]], bias=[5], shift=4)  # + half 8: 13 >> 3 = 1
    assert {table.width for table in plan.tables} == {2}
    assert plan.outputs[0].shift == 1
    assert plan.intervals == (Interval(0, (40 + 13) >> 4),)


def test_equal_tables_of_one_input_are_built_once() -> None:
    plan = _plan([[[0, 1, 5, 2], [10, 11, 15, 12], [0, 4, 20, 8], [0, 1, 5, 3]]])
    assert len(plan.tables) == 3  # the constant 10 is folded into the second
    shared = plan.tables[0]
    assert shared.uses == [(0, 0, 0, "whole"), (2, 2, 0, "whole")]
    assert _plan([[[0, 1, 5, 2]], [[0, 1, 5, 2]]]).tables[1].features == (1,)


def test_codes_that_cannot_occur_do_not_count() -> None:
    plan = _plan([[[5, 5, 5, 900]], [[-900, 1, 2, 3]]], domain=Interval(1, 2))
    (table,) = plan.tables
    assert table.features == (1,)
    assert table.entries.tolist() == [6, 6, 7, 7]
    assert plan.intervals == (Interval(6, 7),)


def test_all_outputs_of_a_layer_are_ready_together() -> None:
    one = [[1, 2, 3, 4] for _ in range(3)]
    tables = [[row if i < n else [0] * 4 for row, n in zip(one, (5, 2, 1), strict=True)] for i in range(5)]
    plan = _plan(tables)
    assert [len(output.levels) for output in plan.outputs] == [3, 1, 0]
    assert {len(output.levels) + output.delay for output in plan.outputs} == {plan.latency} == {4}


@pytest.mark.parametrize(("inputs", "depth"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 3), (12, 3), (13, 4)])
def test_three_terms_that_are_left_are_added_at_once(inputs: int, depth: int) -> None:
    tables = np.arange(4 * inputs).reshape(inputs, 1, 4).tolist()
    (output,) = _plan(tables, passes=Passes(grouping=False)).outputs
    assert len(output.levels) == depth
    assert {len(s.operands) for level in output.levels for s in level} <= {1, 2, 3}
    assert all(len(s.operands) < 3 for level in output.levels[:-1] for s in level)
    reached = [name for level in output.levels for s in level for name in (t.name for t in s.operands)]
    assert len(set(reached)) == len(reached), "a term is added twice"


def test_tables_that_an_adder_absorbs_are_its_second_operand() -> None:
    rng = np.random.default_rng(5)
    tables = rng.integers(-50, 50, size=(10, 1, 4))
    plan = _plan(tables.tolist(), passes=Passes())  # 20 bits: 6 + 5 (two inputs of 2 bits) + 6 + 4, or 6 + 6 + 6 + 2
    by_name = {table.name: table.select_width for table in plan.tables}
    first = [[by_name[term.name] for term in s.operands] for s in plan.outputs[0].levels[0]]
    assert sorted(width for widths in first for width in widths) == [4, 4, 6, 6]
    assert first == [[6, 4], [6, 4]]


@pytest.mark.parametrize(("bits_", "split"), [(3, True), (9, False)])
def test_an_early_output_that_is_clipped_on_both_sides_is_clipped_in_two_cycles(bits_: int, split: bool) -> None:
    tables = np.zeros((12, 4, 2), dtype=np.int64)
    tables[:3, :, 0] = [-9, -3, 4, 20]  # ready after one level
    tables[:, :, 1] = [-9, -3, 4, 20]  # after three
    two_cycles = Passes(grouping=False, folding=False)
    node = edge_table("l", "x", tables, out_type=unsigned(bits_), coder=coder(1, 0, 0, 4))
    early, late = plan_layer(node, unsigned(2), (Interval(0, 3),) * 12, two_cycles).outputs
    assert (early.split, late.split) == (split, False)
    assert not plan_layer(node, unsigned(2), (Interval(0, 3),) * 12, Passes.none()).outputs[0].split
    assert (
        "r0_positive" in emit_layer(lower(plan_layer(node, unsigned(2), (Interval(0, 3),) * 12, two_cycles)), "m")
        or not split
    )


def _evaluate(plan: LayerPlan, codes: IntArray) -> IntArray:
    """Return (rows, outputs): the sum that the plan's tables stand for, from the edges that each one names."""
    total = np.zeros((codes.shape[0], plan.node.n_out), dtype=np.int64)
    for table in plan.tables:
        selector = sum(codes[:, feature] << (2 * j) for j, feature in enumerate(table.features))
        for output, k, offset, _ in table.uses:
            total[:, output] += (table.entries[selector] << k) + offset
    return total


@pytest.mark.parametrize("grouping", [False, True])
def test_every_table_stands_for_the_edges_that_its_comment_names(grouping: bool) -> None:
    rng = np.random.default_rng(3)
    tables = rng.integers(-50, 50, size=(8, 3, 4)) * rng.choice([0, 1, 4, 8], size=(8, 3, 1))
    plan = _plan(tables.tolist(), bias=[100, -77, 3], shift=3, passes=Passes(grouping=grouping, residuals=False))
    codes = rng.integers(0, 4, size=(200, 8))
    expected = sum(plan.node.tables[i][codes[:, i]] for i in range(8))
    used = np.zeros((8, 3), dtype=bool)
    for table in plan.tables:
        assert len(table.features) <= (3 if grouping else 1)
        for output, _, _, _ in table.uses:
            for feature in table.features:
                assert not used[feature, output], "an edge is built twice"
                used[feature, output] = True
    assert np.array_equal(used, (tables != tables[:, :, :1]).any(axis=2))
    left = sum(np.where(used[i], 0, plan.node.tables[i][codes[:, i]]) for i in range(8))
    assert np.array_equal(_evaluate(plan, codes) + left, expected)


@pytest.mark.parametrize("seed", range(40))
def test_intervals_of_sums_hold_every_value_and_are_reached(seed: int) -> None:
    node = random_ir(seed, widths=(3, 2), edge_tables=1.0, in_bits=2).layers[0]
    assert isinstance(node, EdgeTable)
    in_type = unsigned(2)
    X = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    codes = node.coder.codes(X)
    total = sum(node.tables[i][codes[:, i]] for i in range(3)) + node.bias + node.half
    Y = np.clip(total >> node.shift, node.out_type.min_int, node.out_type.max_int)
    plan = plan_layer(node, in_type, (Interval(0, 3),) * 3, Passes() if seed % 2 else Passes.none())
    assert plan.intervals == tuple(Interval(int(y.min()), int(y.max())) for y in Y.T)


def test_tiny_shares_and_folds() -> None:
    node = tiny().layers[0]
    assert isinstance(node, EdgeTable)
    plan = plan_layer(node, FixedPoint(3, 1, signed=True), (Interval(-4, 3),) * 4, Passes.none())
    assert plan.intervals[2] == Interval(5, 5)
    assert [index.feature for index in plan.indices] == [0, 1, 3]
