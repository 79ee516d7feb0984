"""The generated C++ of convolutions and pools (`hls/kan4ml/{kan_conv2d,edge_table_conv2d,pool2d,conv_stream}.h`).

Coder and basis unit are for the channels of a pixel, weights for the patch of a window. With a reuse factor, arrays
compute the windows in so many steps (`kan_conv2d`, `edge_table_conv2d`); streams compute one window after the other
anyway, each in so many steps (`kan_conv2d_rolled_stream`, `edge_rows_conv2d_stream`).
"""

from __future__ import annotations

import numpy as np

from hwgen.plugin._basis import BasisUnit, basis_unit
from hwgen.plugin._cpp import ap_int, layer_identifier
from hwgen.plugin._node import Spatial
from hwgen.plugin._patch import Patch, patch_of
from hwgen.plugin._rolled import banked_weights, edge_rows, rotated_basis
from hwgen.plugin._structs import coder_struct, identity_coder, struct
from pymodel.ir import (
    Basis,
    ConvGeometry,
    EdgeTable,
    IntArray,
    KanConv,
    KanIR,
    KanLinear,
    Pool,
    PoolKind,
    unsigned_width,
)

__all__ = ["conv_checks", "conv_config", "conv_function", "conv_tables"]

_Members = dict[str, str | int | bool]


def _rolled(node: Spatial, reuse: int, streams: bool) -> bool:
    return isinstance(node, KanConv) and streams and reuse > 1


def conv_function(node: Spatial, reuse: int, streams: bool) -> str:
    """Return the name of the kernel that computes the node; `_stream` follows it where it reads streams."""
    if isinstance(node, Pool):
        return "kan4ml::max_pool2d" if node.op is PoolKind.MAX else "kan4ml::average_pool2d"
    if node.basis is None:
        return "kan4ml::edge_rows_conv2d" if _rolled(node, reuse, streams) else "kan4ml::edge_table_conv2d"
    return "kan4ml::kan_conv2d_rolled" if _rolled(node, reuse, streams) else "kan4ml::kan_conv2d"


# --- tables -----------------------------------------------------------------------------------------------------------


def _edges(patch: Patch) -> tuple[IntArray, IntArray, bool]:
    """Return inputs and outputs of the alive edges, and whether there are any; C++ has no empty array."""
    edges = patch.alive
    if edges.size == 0:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), False
    return edges[:, 1], edges[:, 0], True


def _rows(node: KanConv) -> int:
    """Return how many codes a patch has: one more than the coder where windows leave the image."""
    return node.coders[0].n_codes + int(node.geometry.is_padded)


def _with_outside(values: IntArray, rows: int, axis: int = 0) -> IntArray:
    """Return `values` with zeros for the code of a pixel that does not exist, if `rows` asks for one."""
    padding = [(0, 0)] * values.ndim
    padding[axis] = (0, rows - values.shape[axis])
    return np.pad(values, padding)


def _parallel_tables(node: KanConv, patch: Patch, basis: Basis) -> dict[str, IntArray]:
    i, o, alive = _edges(patch)
    unit, spline = basis_unit(basis), node.coders[0]
    result = {
        "spline_mult": spline.mult,
        "spline_offset": spline.offset,
        "basis_values": unit.table,
        "basis_start": unit.index,
        "edge_input": i,
        "edge_output": o,
        "spline_weights": patch.weights[o, i] * int(alive),
    }
    if patch.base_weights is None:
        return result | {"spline_rescale": patch.spline_mult, "bias": patch.bias}
    base = node.coders[1]
    return result | {
        "base_mult": base.mult,
        "base_offset": base.offset,
        "base_values": _activation(node),
        "base_weights": patch.base_weights[o, i] * int(alive),
        "spline_rescale": patch.spline_mult,
        "base_rescale": patch.base_mult,
        "bias": patch.bias,
    }


def _activation(node: KanConv) -> IntArray:
    first = node.layers[0]
    assert isinstance(first, KanLinear)
    assert first.base is not None
    return first.base.table


def _rolled_tables(node: KanConv, patch: Patch, basis: Basis, reuse: int) -> dict[str, IntArray]:
    coder, rows = node.coders[0], _rows(node)
    values, groups = rotated_basis(basis.values, basis.start, basis.window)
    result = {
        "mult": coder.mult,
        "offset": coder.offset,
        "basis_values": _with_outside(values, rows),
        "basis_groups": _with_outside(groups, rows),
        "spline_weights": banked_weights(patch.weights, basis.window, reuse),
    }
    if patch.base_weights is None:
        return result | {"spline_rescale": patch.spline_mult, "bias": patch.bias}
    return result | {
        "base_values": _with_outside(_activation(node), rows),
        "base_weights": np.ascontiguousarray(patch.base_weights.T),
        "spline_rescale": patch.spline_mult,
        "base_rescale": patch.base_mult,
        "bias": patch.bias,
    }


def conv_tables(node: Spatial, reuse: int, streams: bool) -> dict[str, IntArray]:
    """Return the arrays of a node by their names in C++, in the order of the kernel's arguments; a pool has none."""
    if isinstance(node, Pool):
        return {}
    patch, coder = patch_of(node), node.coders[0]
    if node.basis is not None:
        if _rolled(node, reuse, streams):
            return _rolled_tables(node, patch, node.basis, reuse)
        return _parallel_tables(node, patch, node.basis)
    tables = _with_outside(patch.tables, _rows(node), axis=1)
    result = {"mult": coder.mult, "offset": coder.offset}
    if _rolled(node, reuse, streams):
        return result | {"rows": edge_rows(tables, reuse), "bias": patch.bias}
    i, o, _ = _edges(patch)  # an edge that stands for none has a table of zeros
    return result | {"edge_input": i, "edge_output": o, "tables": tables[i, :, o], "bias": patch.bias}


_KAN_TYPES = {
    "spline_mult": "spline_coder::mult_t",
    "spline_offset": "spline_coder::offset_t",
    "spline_weights": "spline_mac::weight_t",
    "base_mult": "base_coder::mult_t",
    "base_offset": "base_coder::offset_t",
    "base_values": "base_table::value_t",
    "base_weights": "base_mac::weight_t",
    "spline_rescale": "rescale::spline_mult_t",
    "base_rescale": "rescale::base_mult_t",
    "bias": "rescale::bias_t",
}
_EDGE_TYPES = {"tables": "dense::value_t", "rows": "dense::value_t", "bias": "dense::bias_t"}


def _unit_checks(unit: BasisUnit, config: str) -> tuple[dict[str, str], dict[str, str]]:
    types = {"basis_values": f"basis::{unit.table_type}"}
    if unit.index_type is not None:
        types["basis_start"] = f"basis::{unit.index_type}"
    limits = {"basis_start": f"{config}::basis::n_basis - {config}::basis::window + 1"} if unit.starts else {}
    return types, limits


def conv_checks(node: Spatial, reuse: int, streams: bool, config: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return, by table, the members of the config that every entry must fit in, and bounds of indices."""
    if isinstance(node, Pool):
        return {}, {}
    coder = {"mult": "coder::mult_t", "offset": "coder::offset_t"}
    limits = {"edge_output": f"{config}::n_out"}
    if node.basis is None:
        return coder | _EDGE_TYPES, limits | {"edge_input": f"{config}::dense::n_in"}
    if _rolled(node, reuse, streams):
        types = {k: f"dense::{v}" for k, v in _KAN_TYPES.items()} | {
            "basis_values": "dense::basis::value_t",
            "basis_groups": "dense::basis::group_t",
        }
        return types | coder, {"basis_groups": str(-(-node.basis.n_basis // node.basis.window))}
    types, starts = _unit_checks(basis_unit(node.basis), config)
    return _KAN_TYPES | types, limits | starts | {"edge_input": f"{config}::spline_mac::n_in"}


# --- configs ----------------------------------------------------------------------------------------------------------


def _geometry(name: str, g: ConvGeometry) -> str:
    numbers: _Members = {k: v for k, v in g.to_json().items() if k != "groups"}
    return struct(f"{name}_geometry", **numbers)


def _rescale(name: str, node: KanConv, patch: Patch, total: int) -> str:
    members: _Members = {
        "n_out": node.out_channels,
        "shift": patch.shift,
        "spline_mult_t": ap_int(patch.spline_mult),
    }
    if patch.base_weights is not None:
        members["base_mult_t"] = ap_int(patch.base_mult)
    return struct(f"{name}_rescale", **members, bias_t=ap_int(patch.bias), sum_t=f"ap_int<{total}>")


def _kan_config(node: KanConv, patch: Patch, basis: Basis, ir: KanIR, reuse: int) -> str:
    name, bounds, g = layer_identifier(node.name), ir.bounds[node.name], node.geometry
    acc, total = patch.widths(node.name, bounds)
    tables = _parallel_tables(node, patch, basis)
    n_in, n_out, n_edges = g.n_taps * g.channels, node.out_channels, int(tables["edge_input"].size)
    coder, base_coder, base = f"{name}_coder", f"{name}_base_coder", patch.base_weights is not None
    shared = node.coders[0] == node.coders[-1]
    text = coder_struct(coder, node.coders[0], g.channels, bounds.coder.width)
    text += struct(f"{name}_basis", **basis_unit(basis).members)
    mac: _Members = {"n_in": n_in, "n_out": n_out, "n_edges": n_edges}
    text += struct(f"{name}_spline_mac", **mac, weight_t=ap_int(tables["spline_weights"]), acc_t=f"ap_int<{acc}>")
    config: _Members = {
        "geometry": f"{name}_geometry",
        "n_out": n_out,
        "reuse_factor": reuse,
        "has_base": base,
        "spline_coder": coder,
        "basis": f"{name}_basis",
        "spline_mac": f"{name}_spline_mac",
    }
    if base:
        if not shared:
            text += coder_struct(base_coder, node.coders[1], g.channels, bounds.coder.width)
        values = tables["base_values"]
        text += struct(f"{name}_base_table", n_codes=int(values.size), value_t=ap_int(values))
        width = f"ap_int<{bounds.base.width}>"
        text += struct(f"{name}_base_mac", **mac, weight_t=ap_int(tables["base_weights"]), acc_t=width)
        config |= {
            "shared_coder": shared,
            "base_coder": coder if shared else base_coder,
            "base_table": f"{name}_base_table",
            "base_mac": f"{name}_base_mac",
        }
    text += _rescale(name, node, patch, total)
    return text + struct(f"{name}_config", **config, rescale=f"{name}_rescale")


def _codes_config(name: str, node: KanConv, coder_width: int) -> tuple[str, _Members]:
    """Return the structs of the coders of pixel and patch, and the config's members that all layers of codes share."""
    g, rows = node.geometry, _rows(node)
    text = coder_struct(f"{name}_coder", node.coders[0], g.channels, coder_width)
    text += identity_coder(f"{name}_identity", g.n_taps * g.channels, rows)
    members: _Members = {
        "geometry": f"{name}_geometry",
        "n_out": node.out_channels,
        "coder": f"{name}_coder",
        "patch_t": f"ap_uint<{unsigned_width(rows - 1)}>",
        "dense": f"{name}_dense",
    }
    return text, members


def _edge_config(node: KanConv, patch: Patch, ir: KanIR, reuse: int, streams: bool) -> str:
    name, bounds = layer_identifier(node.name), ir.bounds[node.name]
    acc, total = patch.widths(node.name, bounds)
    text, members = _codes_config(name, node, bounds.coder.width)
    rolled = _rolled(node, reuse, streams)
    tables = conv_tables(node, reuse, streams)
    edges = {} if rolled else {"n_edges": int(tables["edge_input"].size)}
    text += struct(
        f"{name}_dense",
        n_in=node.geometry.n_taps * node.geometry.channels,
        n_out=node.out_channels,
        **edges,
        reuse_factor=reuse if rolled else 1,
        coder=f"{name}_identity",
        value_t=ap_int(tables["rows" if rolled else "tables"]),
        acc_t=f"ap_int<{acc}>",
        shift=patch.shift,
        bias_t=ap_int(patch.bias),
        sum_t=f"ap_int<{total}>",
    )
    return text + struct(f"{name}_config", **members, reuse_factor=1 if rolled else reuse)


def _rolled_config(node: KanConv, patch: Patch, basis: Basis, ir: KanIR, reuse: int) -> str:
    name, bounds, g = layer_identifier(node.name), ir.bounds[node.name], node.geometry
    acc, total = patch.widths(node.name, bounds)
    text, members = _codes_config(name, node, bounds.coder.width)
    tables = _rolled_tables(node, patch, basis, reuse)
    n_out, rows = node.out_channels, _rows(node)
    text += struct(
        f"{name}_basis",
        n_codes=rows,
        window=basis.window,
        n_basis=basis.n_basis,
        value_t=ap_int(tables["basis_values"]),
        group_t=f"ap_uint<{unsigned_width(-(-basis.n_basis // basis.window) - 1)}>",
    )
    weight_t = ap_int(tables["spline_weights"])
    text += struct(f"{name}_spline_mac", n_out=n_out, weight_t=weight_t, acc_t=f"ap_int<{acc}>")
    dense: _Members = {
        "n_in": g.n_taps * g.channels,
        "n_out": n_out,
        "reuse_factor": reuse,
        "has_base": patch.base_weights is not None,
        "spline_coder": f"{name}_identity",
        "basis": f"{name}_basis",
        "spline_mac": f"{name}_spline_mac",
    }
    if patch.base_weights is not None:
        text += struct(f"{name}_base_table", n_codes=rows, value_t=ap_int(tables["base_values"]))
        width = f"ap_int<{bounds.base.width}>"
        text += struct(f"{name}_base_mac", n_out=n_out, weight_t=ap_int(tables["base_weights"]), acc_t=width)
        dense |= {
            "shared_coder": True,
            "base_coder": f"{name}_identity",
            "base_table": f"{name}_base_table",
            "base_mac": f"{name}_base_mac",
        }
    text += _rescale(name, node, patch, total) + struct(f"{name}_dense", **dense, rescale=f"{name}_rescale")
    return text + struct(f"{name}_config", **members, reuse_factor=1)


def _pool_config(node: Pool, ir: KanIR, reuse: int) -> str:
    name, bounds = layer_identifier(node.name), ir.bounds[node.name]
    members: _Members = {
        "geometry": f"{name}_geometry",
        "n_out": node.geometry.channels,
        "reuse_factor": reuse,
    }
    if node.op is PoolKind.AVERAGE:
        members |= {
            "mult": node.mult,
            "shift": node.shift,
            "acc_t": f"ap_int<{bounds.spline.width}>",
            "sum_t": f"ap_int<{bounds.total.width}>",
        }
    return struct(f"{name}_config", **members)


def conv_config(node: Spatial, ir: KanIR, reuse: int, streams: bool) -> str:
    """Return the config structs of a node.

    Args:
        node: the only layer of `ir`.
        ir: its program; all widths follow from its bounds.
        reuse: reuse factor, see :func:`hwgen.plugin._node.reuse_domain`.
        streams: whether the layer reads and writes streams.

    Raises:
        ModelError: if the shifts of the groups differ too much.
    """
    text = _geometry(layer_identifier(node.name), node.geometry)
    if isinstance(node, Pool):
        return text + _pool_config(node, ir, reuse)
    patch = patch_of(node)
    if node.basis is None:
        assert isinstance(node.layers[0], EdgeTable)
        return text + _edge_config(node, patch, ir, reuse, streams)
    if _rolled(node, reuse, streams):
        return text + _rolled_config(node, patch, node.basis, ir, reuse)
    return text + _kan_config(node, patch, node.basis, ir, reuse)
