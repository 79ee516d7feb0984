"""Spatial nodes written out as dense ones: every pixel an input of its own, every window outputs of its own.

Edges of taps that a window does not have are zero, so they cost nothing. A second meaning of the spatial nodes beside
their kernels, and the road of small networks to generators that know dense layers only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._basis import Basis
from pymodel.ir._edge_tables import MAX_TABLE_BITS, to_edge_table
from pymodel.ir._fixed import FixedPoint, IntArray
from pymodel.ir._nodes import AffineCoder, BaseBranch, EdgeTable, KanLinear, Node, Rescale, SplineBranch
from pymodel.ir._program import KanIR
from pymodel.ir._spatial import KanConv, Pool, PoolKind, join_tables

__all__ = ["MAX_EXPANDED", "dense_form", "expand"]

#: Integers that an expanded layer's largest array may have.
MAX_EXPANDED = 1 << 24


def _place(node: KanConv, patches: list[IntArray]) -> IntArray:
    """Return (n_in, n_out, …) zeros with the edges of every window in place, from (I, N/groups, …) edges per group."""
    g = node.geometry
    rest = patches[0].shape[2:]
    size = node.n_in * node.n_out * int(np.prod(rest, dtype=np.int64))
    if size > MAX_EXPANDED:
        raise IRError(
            f"layer {node.name} as a dense layer has {size} constants, more than {MAX_EXPANDED}; use a smaller image or "
            "fewer channels, or an engine that has convolutions"
        )
    n_out = node.out_channels // g.groups
    dense = np.zeros((g.height * g.width, g.channels, g.n_windows, g.groups, n_out, *rest), dtype=np.int64)
    for group, patch in enumerate(patches):
        edges = patch.reshape(g.n_taps, g.group_channels, n_out, *rest)
        channels = slice(group * g.group_channels, (group + 1) * g.group_channels)
        for window, pixels in enumerate(g.taps()):
            for tap in np.flatnonzero(pixels >= 0):
                dense[pixels[tap], channels, window, group] = edges[tap]
    return dense.reshape(node.n_in, node.n_out, *rest)


def _pixel_coder(coder: AffineCoder, pixels: int) -> AffineCoder:
    if coder.mult.size == 1:
        return coder
    return replace(coder, mult=np.tile(coder.mult, pixels), offset=np.tile(coder.offset, pixels))


def _pixel_basis(basis: Basis, pixels: int) -> Basis:
    return basis if basis.n_tables == 1 else join_tables([basis] * pixels)


def _per_output(node: KanConv, per_group: list[IntArray]) -> IntArray:
    return np.tile(np.concatenate(per_group), node.geometry.n_windows)


def _same_shift(node: KanConv, shifts: list[int]) -> int:
    if len(set(shifts)) > 1:
        raise IRError(f"layer {node.name} has groups of different shifts, and a dense layer has one; lower it again")
    return shifts[0]


def _expand_conv(node: KanConv) -> KanLinear | EdgeTable:
    pixels = node.geometry.height * node.geometry.width
    coders = [_pixel_coder(coder, pixels) for coder in node.coders]
    tables = [layer for layer in node.layers if isinstance(layer, EdgeTable)]
    layers = [layer for layer in node.layers if isinstance(layer, KanLinear)]
    if tables:
        edges = _place(node, [layer.tables.transpose(0, 2, 1) for layer in tables])
        return EdgeTable(
            node.name,
            node.inputs,
            node.out_type,
            node.value_lsb,
            node.value_offset,
            coder=coders[0],
            tables=edges.transpose(0, 2, 1),
            bias=_per_output(node, [layer.bias for layer in tables]),
            shift=_same_shift(node, [layer.shift for layer in tables]),
        )
    assert node.basis is not None
    weights = _place(node, [layer.spline.weights.transpose(1, 0, 2) for layer in layers])
    bases = [layer.base for layer in layers if layer.base is not None]
    base = None
    if bases:
        base_weights = _place(node, [branch.weights.T for branch in bases]).T
        base = BaseBranch(coders[1], bases[0].activation, bases[0].table, bases[0].lsb, base_weights)
    rescales = [layer.rescale for layer in layers]
    return KanLinear(
        node.name,
        node.inputs,
        node.out_type,
        node.value_lsb,
        node.value_offset,
        spline=SplineBranch(coders[0], _pixel_basis(node.basis, pixels), weights.transpose(1, 0, 2)),
        base=base,
        rescale=Rescale(
            spline_mult=_per_output(node, [r.spline_mult for r in rescales]),
            base_mult=_per_output(node, [r.base_mult for r in rescales]),
            bias=_per_output(node, [r.bias for r in rescales]),
            shift=_same_shift(node, [r.shift for r in rescales]),
        ),
    )


def _expand_average(node: Pool, in_type: FixedPoint) -> EdgeTable:
    g = node.geometry
    n_codes = 1 << in_type.width
    size = node.n_in * node.n_out * n_codes
    if in_type.width > MAX_TABLE_BITS or size > MAX_EXPANDED:
        raise IRError(
            f"layer {node.name} as tables has {size} entries of inputs of {in_type.width} bits, and {MAX_EXPANDED} of "
            f"{MAX_TABLE_BITS} are the most; use fewer activation bits or a smaller image"
        )
    X = np.arange(in_type.min_int, in_type.max_int + 1, dtype=np.int64)
    tables = np.zeros((g.height * g.width, g.channels, n_codes, g.n_windows, g.channels), dtype=np.int64)
    channels = np.arange(g.channels)
    for window, pixels in enumerate(g.taps()):
        for pixel in pixels:
            tables[pixel, channels, :, window, channels] = X * node.mult
    return EdgeTable(
        node.name,
        node.inputs,
        node.out_type,
        node.value_lsb,
        node.value_offset,
        coder=AffineCoder(
            np.array([1]), np.array([-in_type.min_int]), 0, n_codes, in_type.min_int * in_type.lsb, in_type.lsb
        ),
        tables=tables.reshape(node.n_in, n_codes, node.n_out),
        bias=np.zeros(node.n_out, dtype=np.int64),
        shift=node.shift,
    )


def dense_form(node: KanConv | Pool, in_type: FixedPoint) -> KanLinear | EdgeTable:
    """Return the dense layer that computes what `node` computes.

    Args:
        node: a convolution, or an average.
        in_type: the type of its input integers.

    Raises:
        IRError: if it would have more than 2^24 constants, its groups have different shifts, or it is a maximum, which
            no sum of tables computes.
    """
    if isinstance(node, KanConv):
        return _expand_conv(node)
    if node.op is PoolKind.MAX:
        raise IRError(f"layer {node.name} is a maximum, which is no sum of tables; use an average or a larger stride")
    return _expand_average(node, in_type)


def expand(ir: KanIR, *, tables: bool = False, maxima: bool = True) -> KanIR:
    """Return the program with every spatial node as a dense one; the same integers at every node.

    Args:
        ir: the program.
        tables: bring convolutions to edge-table form before (small weights per tap, large tables per pixel).
        maxima: expand, that is, refuse them; otherwise they stay as they are.

    Raises:
        IRError: as :func:`dense_form`, and :func:`~pymodel.ir.to_edge_table`.
    """
    nodes: list[Node] = []
    for node in ir.nodes:
        if isinstance(node, Pool) and node.op is PoolKind.MAX and not maxima:
            nodes.append(node)
        elif isinstance(node, KanConv | Pool):
            conv = to_edge_table(node, ir.in_type(node)) if tables and isinstance(node, KanConv) else node
            nodes.append(dense_form(conv, ir.in_type(node)))
        else:
            nodes.append(node)
    return KanIR(name=ir.name, nodes=tuple(nodes), output=ir.output, host=ir.host)
