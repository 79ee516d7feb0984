"""Conversion to edge-table form: exact where it is done, refused with a reason where it is not."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import MAX_TABLE_BITS, EdgeTable, KanIR, KanLinear, to_edge_table, to_edge_tables
from tests.pymodel.reference.evaluator import evaluate
from tests.strategies import corner_inputs, random_inputs, random_ir


@pytest.mark.parametrize("seed", range(25))
def test_the_same_integers_for_every_input(seed: int) -> None:
    ir = random_ir(seed, widths=(2, 2), edge_tables=0.0, in_bits=3)
    table = to_edge_tables(ir)
    assert all(isinstance(node, EdgeTable) for node in table.layers)
    t = ir.input.out_type
    for x in itertools.product(range(t.min_int, t.max_int + 1), repeat=2):
        assert evaluate(ir, x) == evaluate(table, x)


@pytest.mark.parametrize("seed", range(25))
def test_the_same_integers_in_a_chain(seed: int) -> None:
    ir = random_ir(seed, widths=(4, 3, 2))
    table = to_edge_tables(ir)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 15, np.random.default_rng(seed))])
    for x in X.tolist():
        assert evaluate(ir, x) == evaluate(table, x)
    assert table.host == ir.host
    assert [n.name for n in table.nodes] == [n.name for n in ir.nodes]


def _kan(in_bits: int, *, shared: bool, code_bits: int = 5) -> tuple[KanIR, KanLinear]:
    """A layer with a base branch whose coder is (not) that of the spline branch."""
    for seed in range(1000):
        ir = random_ir(seed, widths=(2, 2), edge_tables=0.0, in_bits=in_bits, code_bits=code_bits)
        node = ir.layers[0]
        assert isinstance(node, KanLinear)
        if node.base is not None and (node.base.coder == node.spline.coder) is shared:
            if shared and node.spline.coder.n_codes <= 1 << (code_bits - 1):
                continue
            return ir, node
    raise AssertionError("no such random layer")


def test_a_shared_code_is_the_index_whatever_the_width_of_the_input() -> None:
    ir, node = _kan(16, shared=True)
    table = to_edge_table(node, ir.in_type(node))
    assert table.coder == node.spline.coder
    other = to_edge_tables(ir)
    for x in random_inputs(ir, 50, np.random.default_rng(0)).tolist():
        assert evaluate(ir, x) == evaluate(other, x)


def test_separate_codes_need_a_small_input() -> None:
    ir, node = _kan(MAX_TABLE_BITS, shared=False)
    assert to_edge_table(node, ir.in_type(node)).coder.n_codes == 1 << MAX_TABLE_BITS
    ir, node = _kan(MAX_TABLE_BITS + 1, shared=False)
    with pytest.raises(
        IRError,
        match="layers_0 has no edge-table form, because its spline and base branches read different codes and its input has 11",
    ):
        to_edge_table(node, ir.in_type(node))


def test_wide_codes_need_a_small_input() -> None:
    ir, node = _kan(12, shared=True, code_bits=12)
    assert node.spline.coder.n_codes > 1 << MAX_TABLE_BITS
    with pytest.raises(IRError, match="because its codes have more than 10 bits and its input has 12 bits"):
        to_edge_table(node, ir.in_type(node))


def test_a_conversion_that_breaks_the_bound_is_refused() -> None:
    """The tables of one edge may each fit while their sum does not."""
    ir, node = _kan(4, shared=True)
    rescale = dataclasses.replace(node.rescale, bias=np.array([1 << 52, 0]), spline_mult=np.zeros(2, dtype=np.int64))
    quiet = dataclasses.replace(node, rescale=dataclasses.replace(rescale, base_mult=np.zeros(2, dtype=np.int64)))
    table = to_edge_table(quiet, ir.in_type(node))
    loud = dataclasses.replace(table, tables=table.tables * 0 + (1 << 51))
    with pytest.raises(IRError, match=r"layers_0.*2\^53"):
        KanIR(name="m", nodes=(ir.input, loud), output=ir.output, host=ir.host)
