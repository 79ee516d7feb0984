"""Interval analysis: every partial sum that any order of summation may form lies inside; the 2^53 bound is enforced."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import EXACT_BOUND, EdgeTable, Interval, KanIR, KanLinear, NodeBounds
from pymodel.reference import Reference
from tests.strategies import corner_inputs, random_inputs, random_ir


def _subset_range(terms: list[int]) -> tuple[int, int]:
    """Least and largest sum over subsets of the terms: what some order of summation can reach."""
    return sum(t for t in terms if t < 0), sum(t for t in terms if t > 0)


def _inside(interval: Interval, terms: list[int]) -> None:
    low, high = _subset_range(terms)
    assert interval.low <= low
    assert high <= interval.high


def _check_kan(node: KanLinear, bounds: NodeBounds, X: list[int]) -> None:
    rom, rescale = node.spline.basis, node.rescale
    for coder in node.coders:
        for i, x in enumerate(X):
            k = i if coder.mult.size > 1 else 0
            _inside(bounds.coder, [x * int(coder.mult[k]), int(coder.offset[k])])
    codes = node.spline.coder.codes(np.array(X)).tolist()
    base_codes = None if node.base is None else node.base.coder.codes(np.array(X)).tolist()
    for o in range(node.n_out):
        spline = [
            int(rom.values[c, j]) * int(node.spline.weights[o, i, rom.start[c] + j])
            for i, c in enumerate(codes)
            for j in range(rom.window)
        ]
        base = []
        if node.base is not None and base_codes is not None:
            base = [int(node.base.table[c]) * int(node.base.weights[o, i]) for i, c in enumerate(base_codes)]
        _inside(bounds.spline, spline)
        _inside(bounds.base, base)
        ms, mb, bias = int(rescale.spline_mult[o]), int(rescale.base_mult[o]), int(rescale.bias[o])
        total = [sum(spline) * ms, sum(base) * mb, bias, rescale.half]
        _inside(bounds.total, total)
        absolute = sum(abs(t * ms) for t in spline) + sum(abs(t * mb) for t in base) + abs(bias) + rescale.half
        assert absolute <= bounds.absolute < EXACT_BOUND


def _check_edge_table(node: EdgeTable, bounds: NodeBounds, X: list[int]) -> None:
    codes = node.coder.codes(np.array(X)).tolist()
    for o in range(node.n_out):
        terms = [int(node.tables[i, c, o]) for i, c in enumerate(codes)]
        _inside(bounds.spline, terms)
        _inside(bounds.total, [*terms, int(node.bias[o]), node.half])
        assert sum(map(abs, terms)) + abs(int(node.bias[o])) + node.half <= bounds.absolute < EXACT_BOUND


def _check(ir: KanIR, X: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    values = Reference(ir).run(X)
    for node in ir.layers:
        bounds = ir.bounds[node.name]
        for row in values[node.inputs[0]].tolist():
            if isinstance(node, KanLinear):
                _check_kan(node, bounds, row)
            else:
                _check_edge_table(node, bounds, row)
        Y = values[node.name]
        assert bounds.out.low <= Y.min()
        assert Y.max() <= bounds.out.high


@pytest.mark.parametrize("seed", range(30))
def test_every_partial_sum_of_small_layers_lies_inside(seed: int) -> None:
    ir = random_ir(seed, widths=(2, 2), in_bits=3)
    t = ir.input.out_type
    _check(ir, np.array(list(itertools.product(range(t.min_int, t.max_int + 1), repeat=2)), dtype=np.int64))


@pytest.mark.parametrize("seed", range(100, 130))
def test_corners_of_larger_programs_lie_inside(seed: int) -> None:
    ir = random_ir(seed, widths=(5, 4, 3))
    _check(ir, np.concatenate([corner_inputs(ir), random_inputs(ir, 20, np.random.default_rng(seed))]))


def test_the_intervals_are_tight_where_one_edge_decides() -> None:
    ir = random_ir(3, widths=(1, 1), edge_tables=1.0, in_bits=6)
    node = ir.layers[0]
    assert isinstance(node, EdgeTable)
    bounds = ir.bounds[node.name]
    assert (bounds.spline.low, bounds.spline.high) == (min(0, node.tables.min()), max(0, node.tables.max()))


def _rebuilt(ir: KanIR, node: KanLinear | EdgeTable) -> KanIR:
    return KanIR(name=ir.name, nodes=(ir.input, node), output=ir.output, host=ir.host)


def _kan() -> tuple[KanIR, KanLinear]:
    ir = random_ir(1, widths=(3, 2), edge_tables=0.0, in_bits=6)
    node = ir.layers[0]
    assert isinstance(node, KanLinear)
    return ir, node


def test_an_absolute_sum_of_2_to_the_53_is_refused_and_one_less_is_not() -> None:
    ir, node = _kan()
    quiet = np.zeros_like(node.rescale.bias)
    largest = np.array([EXACT_BOUND - 1, 0])
    rescale = dataclasses.replace(node.rescale, spline_mult=quiet, base_mult=quiet, bias=largest, shift=0)
    fits = _rebuilt(ir, dataclasses.replace(node, rescale=rescale))
    assert fits.bounds[node.name].absolute == EXACT_BOUND - 1
    rescale = dataclasses.replace(rescale, shift=1)  # the rounding constant is one more
    with pytest.raises(IRError, match=rf"layer layers_0: .* rescaled sum's terms add up to {EXACT_BOUND}.*2\^53"):
        _rebuilt(ir, dataclasses.replace(node, rescale=rescale))


def test_cancelling_terms_do_not_hide_a_broken_bound() -> None:
    """2^53 + 1 - 2^53 is 0 in float64: bounding the result would not be enough."""
    ir = random_ir(2, widths=(2, 1), edge_tables=1.0, in_bits=6)
    node = ir.layers[0]
    assert isinstance(node, EdgeTable)
    tables = np.zeros_like(node.tables)
    tables[0], tables[1] = 1 << 52, -(1 << 52)
    with pytest.raises(IRError, match=r"layer layers_0: .*add up to 900719925474\d+.*2\^53 = 9007199254740992"):
        _rebuilt(ir, dataclasses.replace(node, tables=tables))


def test_a_coder_beyond_the_bound_is_refused() -> None:
    ir, node = _kan()
    coder = dataclasses.replace(node.spline.coder, mult=np.array([1 << 50]), offset=np.array([0]))
    spline = dataclasses.replace(node.spline, coder=coder)
    with pytest.raises(IRError, match=r"layer layers_0: .*coder's terms add up to \d+.*2\^53"):
        _rebuilt(ir, dataclasses.replace(node, spline=spline))


def test_sums_that_would_overflow_int64_are_refused_and_not_wrapped() -> None:
    ir, node = _kan()
    basis = dataclasses.replace(node.spline.basis, values=node.spline.basis.values * 0 + (1 << 40))
    spline = dataclasses.replace(node.spline, basis=basis, weights=node.spline.weights * 0 + (1 << 40))
    with pytest.raises(IRError, match=r"layer layers_0: its spline sum may reach \d+, beyond 2\^53"):
        _rebuilt(ir, dataclasses.replace(node, spline=spline))
    table = random_ir(2, widths=(4, 1), edge_tables=1.0, in_bits=6)
    node_t = table.layers[0]
    assert isinstance(node_t, EdgeTable)
    with pytest.raises(IRError, match=r"layer layers_0: .*2\^53"):
        _rebuilt(table, dataclasses.replace(node_t, tables=node_t.tables * 0 + (1 << 52)))


def test_scaled() -> None:
    assert Interval(-3, 5).scaled(np.array([-2, 0, 4])) == Interval(-12, 20)
    assert Interval(-3, 5).scaled(np.array([-2, -1])) == Interval(-10, 6)
    assert Interval(-8, 7).width == 4
