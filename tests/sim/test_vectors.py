"""The vector sets: what they promise to reach and to show is checked by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec, KanIR, Node, Quantize, Task
from pymodel.reference import Reference
from sim.boundary import boundary_rows, codes_to_integers, integers_of
from sim.vectors import VectorSet, corner_rows, coverage, make_vectors
from tests.strategies import random_inputs


@pytest.fixture(scope="module")
def ir() -> KanIR:
    """Two layers of edge tables with entries of 12 bits, as training gives them; a third of the edges pruned."""
    rng = np.random.default_rng(5)
    host = HostSpec(Task.REGRESSION, tuple("abcdef"), (0.0,) * 6, (1.0,) * 6)
    nodes: list[Node] = [Quantize("x", (), FixedPoint(4, 2, True), 0.25, 0.0, size=6)]
    for index, (n_in, n_out) in enumerate(((6, 4), (4, 3))):
        codes, previous = 8, nodes[-1]
        coder = AffineCoder(np.array([1]), np.array([0 if index else 8]), 0 if index else 1, codes, -2.0, 0.5)
        tables = rng.integers(-700, 700, (n_in, codes, n_out)) * (rng.random((n_in, 1, n_out)) < 0.7)
        bias = np.full(n_out, 1 << 10)
        out = FixedPoint(8, 4, True) if index else FixedPoint(3, 3, False)
        nodes.append(
            EdgeTable(
                f"layers_{index}", (previous.name,), out, out.lsb, 0.0, coder=coder, tables=tables, bias=bias, shift=8
            )
        )
    return KanIR("m", tuple(nodes), "layers_1", host)


@pytest.fixture(scope="module")
def vectors(ir: KanIR) -> VectorSet:
    X_test = random_inputs(ir, 20, np.random.default_rng(1))
    return make_vectors(ir, X_test, 500, 0, Reference(ir).run)


def test_parts_follow_each_other(ir: KanIR, vectors: VectorSet) -> None:
    parts = (vectors.n_test, vectors.n_corner, vectors.n_random, vectors.n_coverage, vectors.n_boundary)
    assert sum(parts) == vectors.X.shape[0]
    assert parts[:3] == (20, corner_rows(ir).shape[0], 500)
    t = ir.input.out_type
    assert t.min_int <= vectors.X.min() <= vectors.X.max() <= t.max_int


def test_corners_give_every_input_every_extreme(ir: KanIR) -> None:
    rows = corner_rows(ir)
    t = ir.input.out_type
    assert (rows.min(axis=0) == t.min_int).all()
    assert (rows.max(axis=0) == t.max_int).all()
    layer = ir.layers[0]
    assert isinstance(layer, EdgeTable)
    every = np.unique(layer.coder.codes(np.arange(t.min_int, t.max_int + 1)[:, None]))
    codes = layer.coder.codes(rows)
    assert all(set(codes[:, i]) == set(every) for i in range(layer.n_in))


def test_coverage_counts_what_is_reached(ir: KanIR, vectors: VectorSet) -> None:
    values = Reference(ir).run(vectors.X)
    reached = total = 0
    for layer in ir.layers:
        assert isinstance(layer, EdgeTable)
        codes = layer.coder.codes(values[layer.inputs[0]])
        for i in np.flatnonzero(layer.alive.any(axis=0)):
            reached += len(set(codes[:, i]))
            total += layer.coder.n_codes
    assert (vectors.coverage.reached, vectors.coverage.total) == (reached, total)
    useful, _ = coverage(ir, values)
    assert useful.size


def test_the_same_seed_gives_the_same_vectors(ir: KanIR, vectors: VectorSet) -> None:
    X_test = random_inputs(ir, 20, np.random.default_rng(1))
    assert np.array_equal(make_vectors(ir, X_test, 500, 0, Reference(ir).run).X, vectors.X)


@pytest.mark.parametrize("limit", [1, 7, 60, 10**9, None])
def test_subsets_are_sorted_and_hold_test_rows(vectors: VectorSet, limit: int | None) -> None:
    rows = vectors.subset(limit)
    assert rows.size == min(vectors.X.shape[0], limit or vectors.X.shape[0])
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0


def _changed(ir: KanIR, index: int, place: tuple[int, int, int], delta: int) -> KanIR:
    nodes = list(ir.nodes)
    layer = nodes[index]
    assert isinstance(layer, EdgeTable)
    tables = layer.tables.copy()
    tables[place] += delta
    nodes[index] = replace(layer, tables=tables)
    return KanIR(ir.name, tuple(nodes), ir.output, ir.host)


def test_every_change_of_one_lsb_that_is_counted_visible_is_seen(ir: KanIR, vectors: VectorSet) -> None:
    """Sabotage every entry of every live edge by +1 and -1, and count the changes that the vectors show."""
    expected = Reference(ir).run(vectors.X)
    seen = total = 0
    for index, layer in enumerate(ir.nodes):
        if not isinstance(layer, EdgeTable):
            continue
        codes = layer.coder.codes(expected[layer.inputs[0]])
        for o, i in np.argwhere(layer.alive):
            for code in np.unique(codes[:, i]):
                for delta in (1, -1):
                    total += 1
                    got = Reference(_changed(ir, index, (int(i), int(code), int(o)), delta)).run(vectors.X)
                    seen += bool((got[layer.name] != expected[layer.name]).any())
    assert vectors.visibility.visible <= seen <= vectors.visibility.total
    assert total <= vectors.visibility.total
    assert seen > 0.6 * total, "most changes of one LSB must be seen; a layer of few inputs has few sums"


def test_constructed_rows_show_what_they_count(ir: KanIR) -> None:
    layer = ir.layers[0]
    assert isinstance(layer, EdgeTable)
    rng = np.random.default_rng(0)
    reachable, integers = codes_to_integers(layer, ir.in_type(layer))
    codes, visibility = boundary_rows(layer, reachable, rng)
    rows = integers_of(codes, integers, rng)
    assert (layer.coder.codes(rows) == codes).all()
    t = ir.in_type(layer)
    for step in (-1, 1):  # each integer is the lowest or the highest of its code
        beside = np.clip(rows + step, t.min_int, t.max_int)
        assert 0.2 < ((layer.coder.codes(beside) != codes) | (beside == rows)).mean() < 0.8

    def run(tables: np.ndarray) -> np.ndarray:
        total = tables[np.arange(layer.n_in), codes].sum(axis=1) + layer.bias + layer.half
        return np.clip(total >> layer.shift, layer.out_type.min_int, layer.out_type.max_int)

    expected, seen = run(layer.tables), 0
    for o, i in np.argwhere(layer.alive):
        for c in np.flatnonzero(reachable[i]):
            for delta in (1, -1):
                tables = layer.tables.copy()
                tables[i, c, o] += delta
                seen += bool((run(tables)[:, o] != expected[:, o]).any())
    assert seen >= visibility.visible
    assert visibility.visible > 0.8 * visibility.total


@pytest.mark.parametrize("delta", [1, -1])
def test_a_coder_that_is_off_by_one_is_seen(delta: int) -> None:
    """With 4 codes of 64 integers each, one in 64 random inputs shows it, and most of those hide it behind the rounding."""
    rng = np.random.default_rng(3)
    host = HostSpec(Task.REGRESSION, ("a", "b"), (0.0,) * 2, (1.0,) * 2)
    x = Quantize("x", (), FixedPoint(8, 2, True), 2.0**-6, 0.0, size=2)
    coder = AffineCoder(np.array([1]), np.array([128]), 6, 4, -2.0, 1.0)
    tables = rng.integers(-150, 150, (2, 4, 1))
    out = FixedPoint(3, 3, True)
    layer = EdgeTable("y", ("x",), out, 1.0, 0.0, coder=coder, tables=tables, bias=np.array([0]), shift=8)
    ir = KanIR("m", (x, layer), "y", host)
    off = replace(layer, coder=replace(coder, offset=coder.offset + delta))
    X = make_vectors(ir, random_inputs(ir, 5, rng), 20, 0, Reference(ir).run).X
    assert (Reference(ir).run(X)["y"] != Reference(KanIR("m", (x, off), "y", host)).run(X)["y"]).any()
