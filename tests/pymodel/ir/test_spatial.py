"""Spatial nodes: geometry, what they refuse, files, intervals, and their dense forms' limits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pymodel.errors import IRError
from pymodel.ir import (
    ConvGeometry,
    EdgeTable,
    FixedPoint,
    KanConv,
    KanLinear,
    Pool,
    PoolKind,
    dense_form,
    expand,
    load_ir,
    save_ir,
    to_edge_table,
)
from pymodel.reference import Reference
from tests.spatial import GEOMETRIES, program, random_conv, random_geometry, random_pool
from tests.strategies import BASES, random_inputs

IN = FixedPoint(4, 2, signed=True)
CODES = FixedPoint(4, 4, signed=False)


def rng_of(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def conv(geometry: ConvGeometry, n_out: int = 2, **options) -> KanConv:
    return random_conv(rng_of(), "conv", "x", IN, CODES, geometry, n_out, **options)


@pytest.mark.parametrize("seed", range(30))
def test_taps_are_what_a_sliding_view_gives(seed: int) -> None:
    g = random_geometry(rng_of(seed))
    image = np.arange(g.height * g.width).reshape(g.height, g.width)
    sides = ((g.padding_top, g.padding_bottom), (g.padding_left, g.padding_right))
    padded = np.pad(image, sides, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, g.extent)[:: g.stride_h, :: g.stride_w]
    assert windows.shape[:2] == (g.out_height, g.out_width)
    taps = windows[:, :, :: g.dilation_h, :: g.dilation_w]
    assert np.array_equal(taps.reshape(g.n_windows, g.n_taps), g.taps())


BAD_GEOMETRIES = {
    "no height": ({"height": 0}, "height must be 1"),
    "a float": ({"width": 4.0}, "width must be 1"),
    "a bool": ({"channels": True}, "channels must be 1"),
    "negative padding": ({"padding_top": -1}, "padding_top must be 0"),
    "padding as large as the window": ({"padding_left": 3}, "needs less padding"),
    "kernel larger than the image": ({"kernel_height": 9, "padding_top": 2}, "does not fit"),
    "groups": ({"groups": 3}, "4 channels cannot be divided in 3 groups"),
    "huge": ({"height": 1 << 21, "width": 1 << 21}, "use smaller images"),
}


@pytest.mark.parametrize("name", BAD_GEOMETRIES)
def test_geometries_that_are_refused(name: str) -> None:
    change, match = BAD_GEOMETRIES[name]
    with pytest.raises(IRError, match=match):
        ConvGeometry(**({"height": 5, "width": 5, "channels": 4, "kernel_height": 3, "kernel_width": 3} | change))


def test_layers_that_do_not_fit_the_geometry() -> None:
    node = conv(GEOMETRIES["groups"])
    first, second = node.layers
    assert isinstance(first, KanLinear)
    assert isinstance(second, KanLinear)
    table = to_edge_table(first, IN)
    cases = [
        ({"geometry": replace(node.geometry, kernel_height=1)}, "groups of 4 inputs and 2 outputs"),
        ({"layers": (first,)}, "needs 2 layers of one form"),
        ({"layers": (first, table)}, "needs 2 layers of one form"),
        ({"layers": (first, replace(second, value_offset=1.0))}, "another type or meaning"),
        ({"inputs": ("x", "y")}, "exactly one input"),
    ]
    for change, match in cases:
        with pytest.raises(IRError, match=match):
            replace(node, **change)


def test_constants_belong_to_channels() -> None:
    node = conv(GEOMETRIES["groups"])
    first, second = node.layers
    assert isinstance(first, KanLinear)
    assert isinstance(second, KanLinear)
    coder = first.spline.coder
    mult = np.ones(first.n_in, dtype=np.int64)
    mult[-1] = 2
    coder = replace(coder, mult=coder.mult[:1], offset=coder.offset[:1])
    per_tap = replace(coder, mult=mult, offset=np.zeros_like(mult))
    per_channel = replace(coder, mult=np.tile([1, 3], 4), offset=np.zeros_like(mult))

    def with_coder(layer, coder):
        return replace(layer, spline=replace(layer.spline, coder=coder), base=None)

    with pytest.raises(IRError, match="a coder must belong to a channel"):
        replace(node, layers=(with_coder(first, per_tap), with_coder(second, per_tap)))
    ours = replace(node, layers=(with_coder(first, per_channel), with_coder(second, coder)))
    assert ours.coders[0].mult.tolist() == [1, 3, *coder.mult.tolist() * 2]
    other = replace(first.spline.basis, lsb=first.spline.basis.lsb * 2)
    changed = replace(with_coder(second, coder), spline=replace(second.spline, basis=other))
    with pytest.raises(IRError, match="a basis table must belong"):
        replace(node, layers=(with_coder(first, coder), changed))


@pytest.mark.parametrize("basis", [name for name in BASES if name.endswith("per_input")])
def test_tables_per_channel(basis: str) -> None:
    node = conv(replace(GEOMETRIES["prime"], channels=3), basis=basis)
    layer = node.layers[0]
    assert isinstance(layer, KanLinear)
    assert node.basis is not None
    assert (node.basis.n_tables, layer.spline.basis.n_tables) == (3, 18)
    for channel in range(3):
        ours, theirs = node.basis.rows(channel), layer.spline.basis.rows(15 + channel)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    grouped = replace(node.geometry, channels=6, groups=2)
    double = replace(node, geometry=grouped, layers=(layer, layer))
    assert double.basis is not None
    assert double.basis.n_tables == 6


def test_pools_that_are_refused() -> None:
    good = random_pool(rng_of(), "pool", "x", CODES, GEOMETRIES["stride 2"], PoolKind.MAX)
    cases = [
        ({"op": PoolKind.AVERAGE, "geometry": GEOMETRIES["3x3 padded"]}, "average over padding"),
        ({"geometry": GEOMETRIES["groups"]}, "one group, not 2"),
        ({"mult": 2}, "no multiplier or shift"),
        ({"op": PoolKind.AVERAGE, "mult": 0}, "multiplier of 1"),
        ({"op": PoolKind.AVERAGE, "shift": 63}, "shift of 0"),
        ({"inputs": ()}, "exactly one input"),
    ]
    for change, match in cases:
        with pytest.raises(IRError, match=match):
            replace(good, **change)
    hollow = ConvGeometry(1, 1, 1, 2, 1, dilation_h=2, padding_top=1, padding_bottom=1)
    with pytest.raises(IRError, match="outside of the image"):
        replace(good, geometry=hollow)
    with pytest.raises(IRError, match="keeps the type"):
        program([good], IN)
    with pytest.raises(IRError, match="expects 70 inputs"):
        program([conv(GEOMETRIES["3x3 padded"]), replace(good, inputs=("conv",))], IN)
    wide = replace(good, op=PoolKind.AVERAGE, mult=(1 << 31) - 1, shift=31)
    with pytest.raises(IRError, match=r"2\^53"):
        program([wide], FixedPoint(40, 40, signed=True))


def test_intervals_hold_at_the_extremes() -> None:
    """The largest and smallest sums of an average are reached by the extremes of its input."""
    geometry = GEOMETRIES["stride 2"]
    node = Pool("p", ("x",), FixedPoint(20, 20, signed=True), 1.0, 0.0, geometry=geometry, op=PoolKind.AVERAGE, mult=43)
    ir = program([replace(node, shift=2)], IN)
    X = np.stack([np.full(70, v) for v in (IN.min_int, IN.max_int)])
    values = Reference(ir).run(X)["p"]
    bounds = ir.bounds["p"]
    assert (bounds.out.low, bounds.out.high) == (values.min(), values.max())
    assert (bounds.spline.low, bounds.spline.high) == (6 * IN.min_int, 6 * IN.max_int)


def network():
    first = random_conv(rng_of(3), "a", "x", IN, CODES, GEOMETRIES["groups"], 2)
    pool = random_pool(
        rng_of(), "b", "a", CODES, replace(GEOMETRIES["1x1"], height=2, width=2, channels=4), PoolKind.MAX
    )
    after = replace(GEOMETRIES["1x1"], height=2, width=2, channels=4, kernel_width=2)
    second = random_conv(rng_of(1), "c", "b", CODES, CODES, after, 3, table=True)
    return program([first, pool, second], IN)


def test_files(tmp_path) -> None:
    ir = network()
    save_ir(ir, tmp_path / "one")
    again = load_ir(tmp_path / "one")
    assert again == ir
    assert again.bounds == ir.bounds
    save_ir(again, tmp_path / "two")
    for name in ("ir.json", "ir.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


EDITS = {
    "unknown form": (lambda n: n[1].update(form="dense"), "form is 'dense'"),
    "no groups": (lambda n: n[1].update(layers=[]), "needs 2 layers"),
    "a group too many": (lambda n: n[1]["layers"].append(n[1]["layers"][0]), "needs 2 layers"),
    "a group is no object": (lambda n: n[1]["layers"].__setitem__(0, 3), r"layers\[0\] must be an object"),
    "another form": (lambda n: n[1].update(form="edge_table"), "lacks"),
    "geometry lacks a number": (lambda n: n[1]["geometry"].pop("stride_w"), "lacks"),
    "geometry has more": (lambda n: n[1]["geometry"].update(depth=1), "unknown keys"),
    "geometry of floats": (lambda n: n[1]["geometry"].update(stride_w=1.0), "wrong type float"),
    "huge numbers": (lambda n: n[1]["geometry"].update(stride_w=10**30), "stride_w must be 1"),
    "many groups": (lambda n: n[1]["geometry"].update(groups=4), "needs 4 layers"),
    "unknown pool": (lambda n: n[2].update(op="median"), "MEDIAN"),
    "pool's shift": (lambda n: n[2].update(shift=1), "no multiplier or shift"),
    "pool's window": (lambda n: n[2]["geometry"].update(kernel_height=1, stride_h=2), "expects 16 inputs"),
    "pool's mult as text": (lambda n: n[2].update(mult="1"), "wrong type str"),
}


@pytest.mark.parametrize("name", EDITS)
def test_files_that_are_refused(name: str, tmp_path) -> None:
    save_ir(network(), tmp_path)
    document = json.loads((tmp_path / "ir.json").read_text())
    change, match = EDITS[name]
    change(document["nodes"])
    (tmp_path / "ir.json").write_text(json.dumps(document))
    with pytest.raises(IRError, match=match) as caught:
        load_ir(tmp_path)
    assert "\n" not in str(caught.value)


def test_dense_forms_have_limits() -> None:
    big = ConvGeometry(28, 28, 1, 3, 3)
    node = conv(big, 8, table=True, code_bits=4)
    with pytest.raises(IRError, match="more than 16777216"):
        dense_form(node, IN)
    shifts = conv(GEOMETRIES["groups"], table=True)
    layers = [layer for layer in shifts.layers if isinstance(layer, EdgeTable)]
    uneven = replace(shifts, layers=(layers[0], replace(layers[1], shift=layers[1].shift + 1)))
    with pytest.raises(IRError, match="different shifts"):
        dense_form(uneven, IN)
    average = random_pool(rng_of(), "p", "x", FixedPoint(12, 12, signed=True), GEOMETRIES["1x1"], PoolKind.AVERAGE)
    with pytest.raises(IRError, match="inputs of 12 bits"):
        dense_form(average, FixedPoint(12, 12, signed=True))


def test_pruned_inputs() -> None:
    """An input that no window reads, or reads through pruned edges only, is not alive."""
    node = conv(ConvGeometry(5, 5, 2, 2, 2, 3, 3), table=True)
    layer = node.layers[0]
    assert isinstance(layer, EdgeTable)
    tables = np.ones_like(layer.tables)
    tables[1::2] = 0  # channel 1
    tables[0] = 0  # channel 0 of the first tap
    alive = replace(node, layers=(replace(layer, tables=tables),)).alive_inputs.reshape(5, 5, 2)
    expected = np.zeros((5, 5), dtype=bool)
    for y in (0, 3):
        for x in (0, 3):
            expected[y : y + 2, x : x + 2] = True
            expected[y, x] = False
    assert not alive[:, :, 1].any()
    assert np.array_equal(alive[:, :, 0], expected)
    dense = dense_form(replace(node, layers=(replace(layer, tables=tables),)), IN)
    assert np.array_equal(dense.alive_inputs, alive.reshape(-1))


def test_tables_before_expansion() -> None:
    ir = program([conv(GEOMETRIES["groups"])], IN)
    X = random_inputs(ir, 20, rng_of())
    tables = expand(ir, tables=True)
    assert isinstance(tables.layers[0], EdgeTable)
    assert np.array_equal(Reference(tables).run(X)["conv"], Reference(ir).run(X)["conv"])
