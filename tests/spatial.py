"""Random spatial programs, and what they compute, written straight from the formula.

The oracle loops over windows, taps, channels and basis functions in Python integers; it shares nothing with a station but
the constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pymodel.ir import (
    ConvGeometry,
    EdgeTable,
    FixedPoint,
    HostSpec,
    IntArray,
    KanConv,
    KanIR,
    KanLinear,
    Node,
    Pool,
    PoolKind,
    Quantize,
    Task,
)
from pymodel.ir._spatial import first_tables, join_tables
from pymodel.reference import Reference
from tests.strategies import _edge_table, _kan_linear

__all__ = ["GEOMETRIES", "conv_oracle", "pool_oracle", "program", "random_conv", "random_geometry", "random_pool"]

Rng = np.random.Generator

#: Corners of the geometry: 1x1 and 7x7 kernels, one dimension, strides, all paddings, dilation, groups, primes.
GEOMETRIES = {
    "1x1": ConvGeometry(3, 2, 2, 1, 1),
    "one pixel": ConvGeometry(1, 1, 3, 1, 1),
    "3x3 padded": ConvGeometry(4, 5, 1, 3, 3, 1, 1, 1, 1, 1, 1),
    "7x7 padded": ConvGeometry(5, 7, 1, 7, 7, 2, 3, 3, 3, 3, 3),
    "stride 2": ConvGeometry(7, 5, 2, 3, 2, 2, 2),
    "uneven padding": ConvGeometry(3, 4, 2, 3, 3, 1, 2, 2, 0, 0, 1),
    "dilated": ConvGeometry(7, 6, 1, 3, 2, 1, 1, 1, 0, 2, 2, 2, 3),
    "groups": ConvGeometry(3, 3, 4, 2, 2, 1, 1, 0, 0, 0, 0, 1, 1, 2),
    "depthwise": ConvGeometry(3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3),
    "conv1d": ConvGeometry(1, 11, 3, 1, 5, 1, 2, 0, 0, 2, 2),
    "prime": ConvGeometry(5, 3, 7, 2, 3),
}


def random_geometry(rng: Rng, *, groups: bool = True) -> ConvGeometry:
    """Return any small geometry."""
    while True:
        parts = int(rng.choice([1, 1, 2, 3])) if groups else 1
        kernel = [int(k) for k in rng.integers(1, 4, 2)]
        dilation = [int(d) for d in rng.choice([1, 1, 2], 2)]
        tall, wide = ((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        sizes = [int(v) for v in (*rng.integers(1, 6, 2), parts * rng.integers(1, 3))]
        stride = [int(s) for s in rng.integers(1, 4, 2)]
        padding = [int(rng.integers(0, min(3, extent))) for extent in (tall, tall, wide, wide)]
        if sizes[0] + padding[0] + padding[1] >= tall and sizes[1] + padding[2] + padding[3] >= wide:
            return ConvGeometry(*sizes, *kernel, *stride, *padding, *dilation, parts)  # type: ignore[arg-type]


def _periodic(layer: KanLinear | EdgeTable, g: ConvGeometry) -> KanLinear | EdgeTable:
    """Return the layer with the constants of an input belonging to its channel."""

    def coder(old):
        if old.mult.size == 1:
            return old
        mult, offset = (np.tile(a[: g.group_channels], g.n_taps) for a in (old.mult, old.offset))
        return replace(old, mult=mult, offset=offset)

    if isinstance(layer, EdgeTable):
        return replace(layer, coder=coder(layer.coder))
    basis = layer.spline.basis
    if basis.n_tables > 1:
        basis = join_tables([first_tables(basis, g.group_channels)] * g.n_taps)
    base = layer.base and replace(layer.base, coder=coder(layer.base.coder))
    return replace(layer, spline=replace(layer.spline, coder=coder(layer.spline.coder), basis=basis), base=base)


def _shuffled(rng: Rng, layer: KanLinear | EdgeTable) -> KanLinear | EdgeTable:
    """Return the layer of another group: other weights and biases, the same shared constants."""
    order = rng.permutation(layer.n_out)
    if isinstance(layer, EdgeTable):
        return replace(layer, tables=layer.tables[::-1, :, order], bias=layer.bias[order])
    base = layer.base and replace(layer.base, weights=layer.base.weights[order, ::-1])
    r = layer.rescale
    rescale = replace(r, spline_mult=r.spline_mult[order], base_mult=r.base_mult[order], bias=r.bias[order] + 1)
    return replace(
        layer, spline=replace(layer.spline, weights=layer.spline.weights[order, ::-1]), base=base, rescale=rescale
    )


def random_conv(
    rng: Rng,
    name: str,
    source: str,
    in_type: FixedPoint,
    out_type: FixedPoint,
    geometry: ConvGeometry,
    n_out: int,
    *,
    table: bool = False,
    basis: str | None = None,
    code_bits: int = 5,
) -> KanConv:
    """Return a convolution with random constants, `n_out` outputs per group; not a constant one, if that is possible."""
    n_in = geometry.n_taps * geometry.group_channels
    X = rng.integers(in_type.min_int, in_type.max_int, size=(64, n_in), endpoint=True, dtype=np.int64)
    arguments = (rng, name, source, in_type, X, out_type, n_out, code_bits)
    for _ in range(20):
        first = _periodic(_edge_table(*arguments) if table else _kan_linear(*arguments, basis), geometry)
        patches = program([replace(first, inputs=("x",))], in_type)
        if np.ptp(Reference(patches).run(X)[name], axis=0).all():
            break
    layers = [first, *(_shuffled(rng, first) for _ in range(geometry.groups - 1))]
    return KanConv(name, (source,), out_type, out_type.lsb, 0.0, geometry=geometry, layers=tuple(layers))


def random_pool(rng: Rng, name: str, source: str, in_type: FixedPoint, geometry: ConvGeometry, op: PoolKind) -> Pool:
    """Return a pool; an average has any multiplier and shift."""
    if op is PoolKind.MAX:
        return Pool(name, (source,), in_type, in_type.lsb, 0.0, geometry=geometry, op=op)
    out_type = FixedPoint(int(rng.integers(1, 9)), 4, signed=in_type.signed)
    mult, shift = int(rng.integers(1, 200)), int(rng.integers(0, 14))
    return Pool(name, (source,), out_type, out_type.lsb, 0.0, geometry=geometry, op=op, mult=mult, shift=shift)


def program(nodes: Sequence[Node], in_type: FixedPoint) -> KanIR:
    """Return the program of `nodes`, the first of which reads `x`."""
    n = nodes[0].n_in
    source = Quantize("x", (), in_type, in_type.lsb, 0.0, size=n)
    host = HostSpec(Task.REGRESSION, tuple(f"f{i}" for i in range(n)), (0.0,) * n, (1.0,) * n)
    return KanIR("spatial", (source, *nodes), nodes[-1].name, host)


# --- the oracle -------------------------------------------------------------------------------------------------------


def _windows(g: ConvGeometry):
    """Yield for every window the pixels (ky, kx, y, x) that exist."""
    for oy in range(g.out_height):
        for ox in range(g.out_width):
            yield [
                (ky, kx, y, x)
                for ky in range(g.kernel_height)
                for kx in range(g.kernel_width)
                for y in [oy * g.stride_h + ky * g.dilation_h - g.padding_top]
                for x in [ox * g.stride_w + kx * g.dilation_w - g.padding_left]
                if 0 <= y < g.height and 0 <= x < g.width
            ]


def _saturated(total: int, shift: int, t: FixedPoint) -> int:
    return min(max((total + (1 << shift) // 2) >> shift, t.min_int), t.max_int)


def _code(coder, x: int, i: int) -> int:
    k = i if coder.mult.size > 1 else 0
    return min(max((x * int(coder.mult[k]) + int(coder.offset[k])) >> coder.shift, 0), coder.n_codes - 1)


def _layer_sum(layer: KanLinear | EdgeTable, o: int, taps: list[tuple[int, int]]) -> int:
    """Return the sum before rounding of output `o` for (patch input, integer) pairs."""
    if isinstance(layer, EdgeTable):
        return int(layer.bias[o]) + sum(int(layer.tables[i, _code(layer.coder, x, i), o]) for i, x in taps)
    spline = base = 0
    for i, x in taps:
        code = _code(layer.spline.coder, x, i)
        values, start = layer.spline.basis.rows(i)
        weights = layer.spline.weights[o, i, start[code] :]
        spline += sum(int(v) * int(w) for v, w in zip(values[code], weights, strict=False))
        if layer.base is not None:
            base += int(layer.base.table[_code(layer.base.coder, x, i)]) * int(layer.base.weights[o, i])
    r = layer.rescale
    return spline * int(r.spline_mult[o]) + base * int(r.base_mult[o]) + int(r.bias[o])


def conv_oracle(node: KanConv, X: IntArray) -> IntArray:
    """Return what `node` gives for rows (rows, H*W*C)."""
    g = node.geometry
    rows = []
    for image in X.reshape(-1, g.height, g.width, g.channels):
        row = []
        for pixels in _windows(g):
            for group, layer in enumerate(node.layers):
                taps = [
                    ((ky * g.kernel_width + kx) * g.group_channels + c, int(image[y, x, group * g.group_channels + c]))
                    for ky, kx, y, x in pixels
                    for c in range(g.group_channels)
                ]
                shift = layer.shift if isinstance(layer, EdgeTable) else layer.rescale.shift
                row += [_saturated(_layer_sum(layer, o, taps), shift, node.out_type) for o in range(layer.n_out)]
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(X), node.n_out)


def pool_oracle(node: Pool, X: IntArray) -> IntArray:
    """Return what `node` gives for rows (rows, H*W*C)."""
    g = node.geometry
    rows = []
    for image in X.reshape(-1, g.height, g.width, g.channels):
        row = []
        for pixels in _windows(g):
            for c in range(g.channels):
                values = [int(image[y, x, c]) for _, _, y, x in pixels]
                largest = node.op is PoolKind.MAX
                row.append(max(values) if largest else _saturated(sum(values) * node.mult, node.shift, node.out_type))
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(X), node.n_out)
