"""Convolutions and pools of the reference against an oracle, and against their dense forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymodel.errors import IRError
from pymodel.ir import EdgeTable, FixedPoint, KanConv, KanLinear, Pool, PoolKind, dense_form, expand, to_edge_tables
from pymodel.reference import Reference
from tests.spatial import (
    GEOMETRIES,
    conv_oracle,
    pool_oracle,
    program,
    random_conv,
    random_geometry,
    random_pool,
)
from tests.strategies import BASES, corner_inputs, random_inputs

IN = FixedPoint(4, 2, signed=True)
OUT = FixedPoint(5, 5, signed=False)


def rows_of(ir, rng, n=6):
    return np.concatenate([corner_inputs(ir)[:4], random_inputs(ir, n, rng)])


def check_conv(node: KanConv, rng) -> None:
    ir = program([node], IN)
    X = rows_of(ir, rng)
    got = Reference(ir).run(X)[node.name]
    assert np.array_equal(got, conv_oracle(node, X))
    bounds = ir.bounds[node.name].out
    assert bounds.low <= got.min() <= got.max() <= bounds.high
    dense = expand(ir)
    assert isinstance(dense.layers[0], EdgeTable if node.basis is None else KanLinear)
    assert np.array_equal(Reference(dense).run(X)[node.name], got)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("table", [False, True], ids=["kan", "table"])
def test_geometries(name: str, table: bool) -> None:
    rng = np.random.default_rng(len(name))
    check_conv(random_conv(rng, "conv", "x", IN, OUT, GEOMETRIES[name], 3, table=table), rng)


@pytest.mark.parametrize("basis", BASES)
def test_basis_units(basis: str) -> None:
    rng = np.random.default_rng(len(basis))
    groups = 1 if "per_input" in basis else 2
    geometry = replace(GEOMETRIES["groups"], groups=groups, padding_left=1)
    check_conv(random_conv(rng, "conv", "x", IN, OUT, geometry, 2, basis=basis), rng)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_convolutions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = bool(rng.random() < 0.4)
    node = random_conv(rng, "conv", "x", IN, OUT, random_geometry(rng), int(rng.integers(1, 4)), table=table)
    check_conv(node, rng)


@pytest.mark.parametrize("op", PoolKind)
@pytest.mark.parametrize("name", [name for name in GEOMETRIES if GEOMETRIES[name].groups == 1])
def test_pools(name: str, op: PoolKind) -> None:
    rng = np.random.default_rng(3)
    geometry = GEOMETRIES[name]
    if op is PoolKind.AVERAGE:
        if geometry.height < geometry.extent[0] or geometry.width < geometry.extent[1]:
            pytest.skip("an average cannot be padded, and the window is larger than the image")
        geometry = replace(geometry, padding_top=0, padding_bottom=0, padding_left=0, padding_right=0)
    node = random_pool(rng, "pool", "x", IN, geometry, op)
    ir = program([node], IN)
    X = rows_of(ir, rng, 40)
    got = Reference(ir).run(X)["pool"]
    assert np.array_equal(got, pool_oracle(node, X))
    if op is PoolKind.AVERAGE:
        assert np.array_equal(Reference(expand(ir)).run(X)["pool"], got)
    else:
        with pytest.raises(IRError, match="maximum, which is no sum of tables"):
            expand(ir)


def small_network(rng, *, table: bool = False):
    """conv 2x2 on 4x4x1, maximum 2x2, conv 2x2: every image of 1-bit pixels can be tried."""
    bit = FixedPoint(1, 1, signed=False)
    geometry = GEOMETRIES["3x3 padded"]
    first = random_conv(rng, "c1", "x", bit, OUT, replace(geometry, height=3, width=4), 2, table=table)
    pool = random_pool(rng, "p", "c1", OUT, replace(GEOMETRIES["1x1"], height=3, width=4, kernel_width=2), PoolKind.MAX)
    after = replace(GEOMETRIES["1x1"], height=3, width=3, channels=2, kernel_height=3)
    second = random_conv(rng, "c2", "p", OUT, FixedPoint(8, 4, signed=True), after, 2, table=table)
    return program([first, pool, second], bit)


@pytest.mark.parametrize("seed", range(3))
def test_all_images_of_a_small_network(seed: int) -> None:
    ir = small_network(np.random.default_rng(seed), table=seed == 2)
    X = (np.arange(1 << 12)[:, None] >> np.arange(12)) & 1
    values = Reference(ir).run(X)
    first, pool, second = ir.nodes[1:]
    assert isinstance(first, KanConv)
    assert isinstance(pool, Pool)
    assert isinstance(second, KanConv)
    rows = np.random.default_rng(0).integers(0, len(X), 60)
    assert np.array_equal(values["c1"][rows], conv_oracle(first, X[rows]))
    assert np.array_equal(values["p"], pool_oracle(pool, values["c1"]))
    assert np.array_equal(values["c2"][rows], conv_oracle(second, values["p"][rows]))
    for form in (to_edge_tables(ir), program([dense_form(first, ir.input.out_type), pool, second], ir.input.out_type)):
        other = Reference(form).run(X)
        assert all(np.array_equal(other[name], values[name]) for name in values)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 300])
def test_batches_and_threads(rows: int) -> None:
    ir = small_network(np.random.default_rng(0))
    X = random_inputs(ir, rows, np.random.default_rng(1))
    whole = Reference(ir).run(X)
    assert all(values.shape == (rows, ir.node(name).n_out) for name, values in whole.items())
    one = Reference(ir).run(X, threads=1)
    assert all(np.array_equal(one[name], values) for name, values in whole.items())


def test_padding_is_not_a_pixel_of_value_zero() -> None:
    """The basis of a pixel of 0 is seldom 0: an implementation that pads before the basis is seen."""
    rng = np.random.default_rng(1)
    g = GEOMETRIES["3x3 padded"]
    node = random_conv(rng, "conv", "x", IN, OUT, g, 3, table=True)
    table = node.layers[0]
    assert isinstance(table, EdgeTable)
    tables = table.tables + 1000
    node = replace(node, layers=(replace(table, tables=tables, shift=8),))
    wide = replace(g, height=6, width=7, padding_top=0, padding_bottom=0, padding_left=0, padding_right=0)
    ir, before = program([node], IN), program([replace(node, geometry=wide)], IN)
    X = random_inputs(ir, 5, rng)
    image = np.pad(X.reshape(-1, 4, 5), ((0, 0), (1, 1), (1, 1))).reshape(5, -1)
    right, wrong = Reference(ir).run(X)["conv"], Reference(before).run(image)["conv"]
    inner = np.zeros((4, 5, 3), dtype=bool)
    inner[1:-1, 1:-1] = True
    assert np.array_equal(right[:, inner.reshape(-1)], wrong[:, inner.reshape(-1)])
    assert (right[:, ~inner.reshape(-1)] != wrong[:, ~inner.reshape(-1)]).any()


@pytest.mark.parametrize("name", ["3x3 padded", "groups", "dilated"])
def test_every_weight_matters(name: str) -> None:
    """A change of any single constant of a tap changes what the oracle gives, and the reference follows."""
    rng = np.random.default_rng(5)
    node = random_conv(rng, "conv", "x", IN, FixedPoint(40, 40, signed=True), GEOMETRIES[name], 1, table=True)
    for group, layer in enumerate(node.layers):
        assert isinstance(layer, EdgeTable)
        for i in range(layer.n_in):
            tables = layer.tables.copy()
            tables[i] += 1 << layer.shift
            layers = list(node.layers)
            layers[group] = replace(layer, tables=tables)
            changed = replace(node, layers=tuple(layers))
            ir = program([changed], IN)
            X = random_inputs(ir, 2, rng)
            assert np.array_equal(Reference(ir).run(X)["conv"], conv_oracle(changed, X))
            assert not np.array_equal(Reference(ir).run(X)["conv"], conv_oracle(node, X))
