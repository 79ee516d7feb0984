"""Exact conversion of a KAN layer to edge-table form (docs/design.md, section 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._fixed import FixedPoint, IntArray
from pymodel.ir._nodes import AffineCoder, EdgeTable, KanLinear
from pymodel.ir._program import KanIR
from pymodel.ir._spatial import KanConv

__all__ = ["MAX_TABLE_BITS", "to_edge_table", "to_edge_tables"]

#: A table is indexed by at most this many bits.
MAX_TABLE_BITS = 10


def _edge_sums(node: KanLinear, spline_codes: IntArray, base_codes: IntArray) -> IntArray:
    """Return (I, C, N) edge integers for the branch codes (I, C) that each table entry stands for."""
    rom, weights = node.spline.basis, node.spline.weights
    n_in, n_entries = spline_codes.shape
    dense = rom.dense().reshape(rom.n_tables, rom.n_codes, rom.n_basis)
    tables = np.empty((n_in, n_entries, node.n_out), dtype=np.int64)
    for i in range(n_in):
        values = dense[i if rom.n_tables > 1 else 0]
        tables[i] = (values[spline_codes[i]] @ weights[:, i, :].T) * node.rescale.spline_mult
        if node.base is not None:
            base = node.base.table[base_codes[i]][:, None] * node.base.weights[:, i]
            tables[i] += base * node.rescale.base_mult
    return tables


@overload
def to_edge_table(node: KanLinear, in_type: FixedPoint) -> EdgeTable: ...


@overload
def to_edge_table(node: KanConv, in_type: FixedPoint) -> KanConv: ...


def to_edge_table(node: KanLinear | KanConv, in_type: FixedPoint) -> EdgeTable | KanConv:
    """Return the layer in edge-table form: the same function of every input integer.

    Each entry is the edge's inner sum with the rescale multipliers multiplied in, so nothing is rounded.

    Args:
        node: the layer; a convolution stays one, and its layers change form.
        in_type: the type of its input integers.

    Raises:
        IRError: if the branches read different codes (or codes of more than 10 bits) and the input has more than 10
            bits, so that no small table exists.
    """
    if isinstance(node, KanConv):
        groups = [to_edge_table(layer, in_type) if isinstance(layer, KanLinear) else layer for layer in node.layers]
        return replace(node, layers=tuple(groups))
    same = all(coder == node.coders[0] for coder in node.coders)
    coder = node.coders[0]
    if same and coder.n_codes <= 1 << MAX_TABLE_BITS:
        codes = np.broadcast_to(np.arange(coder.n_codes), (node.n_in, coder.n_codes))
        tables = _edge_sums(node, codes, codes)
    elif in_type.width <= MAX_TABLE_BITS:
        X = np.arange(in_type.min_int, in_type.max_int + 1, dtype=np.int64)
        spline, base = (
            np.broadcast_to(c.codes(X[:, None]).T, (node.n_in, X.size)) for c in (node.coders[0], node.coders[-1])
        )
        tables = _edge_sums(node, spline, base)
        coder = AffineCoder(
            mult=np.array([1]),
            offset=np.array([-in_type.min_int]),
            shift=0,
            n_codes=X.size,
            low=in_type.min_int * in_type.lsb,
            step=in_type.lsb,
        )
    else:
        why = "its codes have more than 10 bits" if same else "its spline and base branches read different codes"
        raise IRError(
            f"layer {node.name} has no edge-table form, because {why} and its input has {in_type.width} bits, more than "
            f"{MAX_TABLE_BITS}; use fewer activation bits"
        )
    return EdgeTable(
        name=node.name,
        inputs=node.inputs,
        out_type=node.out_type,
        value_lsb=node.value_lsb,
        value_offset=node.value_offset,
        coder=coder,
        tables=tables,
        bias=node.rescale.bias,
        shift=node.rescale.shift,
    )


def to_edge_tables(ir: KanIR) -> KanIR:
    """Return the program with every KAN layer in edge-table form; the same integers at every node.

    Raises:
        IRError: as :func:`to_edge_table`.
    """
    nodes = tuple(to_edge_table(n, ir.in_type(n)) if isinstance(n, KanLinear | KanConv) else n for n in ir.nodes)
    return KanIR(name=ir.name, nodes=nodes, output=ir.output, host=ir.host)
